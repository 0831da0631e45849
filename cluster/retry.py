"""Whether a job that failed is tried again. Pure."""

from collections.abc import Sequence
from typing import Literal

from bench.record import PASSING, Failed, Record

Decision = Literal["again", "give up"]


def decide(failures: Sequence[Record], limit: int) -> Decision:
    """What to do about a job with these failed attempts.

    A failure that may pass by itself (out of memory, a lost worker, a time-out, a contaminated measurement) is tried
    again until `limit` attempts; any other would only fail again, and stays until the request or the code changes.
    """
    for record in failures:
        if isinstance(record.outcome, Failed) and record.outcome.kind not in PASSING:
            return "give up"
    return "again" if len(failures) < limit else "give up"
