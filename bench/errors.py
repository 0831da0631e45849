"""What can be wrong with a request, said in one sentence, and the kinds of failure that a job can have."""

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(Exception):  # noqa: N818 - the name says what it is
    """The request was wrong: what was asked, the value received, what is allowed, what to do next.

    The command prints the sentence and ends with exit code 2; inside a job it becomes `Failed(kind="bad spec")`.
    """


class StoreBusy(BadInput):
    """The results folder is leased to another living driver."""


class StaleLease(Exception):  # noqa: N818
    """A newer driver has taken the results folder over: this process may write nothing more."""


class DiskFull(Exception):  # noqa: N818
    """The disk under the results folder has no room for another record."""


def unknown(kind: str, name: object, known: Iterable[str]) -> BadInput:
    """The error for a name that is not in a table: nearest three first, then all."""
    names = sorted(known)
    near = get_close_matches(str(name), names, n=3)
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return BadInput(f"There is no {kind} called {str(name)!r}.{hint} Known: {', '.join(names) or 'none'}.")
