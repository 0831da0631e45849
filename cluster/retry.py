"""Whether a job that failed is tried again, when, and how otherwise. Pure.

| kind | what the next attempt is |
| --- | --- |
| lost node, preempted | at once, on another node; a preemption counts against nothing |
| lost worker | after a pause, on another node; one that has taken down its share of workers is poison |
| out of memory | once more, with a larger lease |
| timeout, contaminated | after a pause |
| bad spec, bug, poison | none, until the request or the code changes, or `paredown retry` |
| no place | none in this run: no node could take it |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.record import Failed, FailureKind, Record

Decision = Literal["again", "give up"]

RETRIED: frozenset[FailureKind] = frozenset(
    {"out of memory", "lost worker", "lost node", "preempted", "timeout", "contaminated"}
)
UNCOUNTED: frozenset[FailureKind] = frozenset({"preempted"})
ELSEWHERE: frozenset[FailureKind] = frozenset({"lost worker", "lost node", "preempted"})
AT_ONCE: frozenset[FailureKind] = frozenset({"lost node", "preempted"})
MOST_OUT_OF_MEMORY = 2  # the second attempt had twice the room: a third would end as they did
MOST_UNCOUNTED = 100  # of one job: a cluster that takes its nodes back more often than that does not want the job
FIRST_PAUSE = {"contaminated": 2.0}  # seconds; a stranger on a device stays a while
PAUSE = 0.25
LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Next:
    """How the next attempt differs from a first one."""

    pause: float = 0.0  # seconds from the end of the last one
    avoids: frozenset[str] = frozenset()  # names of nodes
    larger: bool = False  # more memory, or no neighbours


def kinds_of(failures: Sequence[Record]) -> list[FailureKind]:
    """How each attempt failed, in their order."""
    return [record.outcome.kind for record in failures if isinstance(record.outcome, Failed)]


def decide(failures: Sequence[Record], limit: int) -> Decision:
    """What to do about a job with these failed attempts, of which `limit` may count."""
    kinds = kinds_of(failures)
    counted = sum(kind not in UNCOUNTED for kind in kinds)
    over = (
        any(kind not in RETRIED for kind in kinds)
        or counted >= limit
        or kinds.count("out of memory") >= MOST_OUT_OF_MEMORY
        or len(kinds) - counted >= MOST_UNCOUNTED
    )
    return "give up" if over else "again"


def pause_after(kind: FailureKind, times: int) -> float:
    """Seconds to wait after the failure of that kind for the so many-th time: doubled each time, up to a minute."""
    if kind in AT_ONCE:
        return 0.0
    doubled: float = FIRST_PAUSE.get(kind, PAUSE) * 2.0 ** min(times - 1, 30)
    return min(LONGEST_PAUSE, doubled)


def next_attempt(failures: Sequence[Record]) -> Next:
    """How to make the next attempt at a job with these failed ones."""
    kinds = kinds_of(failures)
    if not kinds:
        return Next()
    places = zip(kinds, (record.node for record in failures), strict=True)
    return Next(
        pause=pause_after(kinds[-1], kinds.count(kinds[-1])),
        avoids=frozenset(node for kind, node in places if kind in ELSEWHERE and node),
        larger="out of memory" in kinds,
    )


def is_poison(failures: Sequence[Record], deaths: int | None) -> bool:
    """Whether a job took its worker down so many times; None: never said."""
    return deaths is not None and kinds_of(failures).count("lost worker") >= deaths


def poison_reason(failures: Sequence[Record], reason: str) -> str:
    """Why a job is given up that took workers down, in one sentence and the last worker's `reason`."""
    deaths = [record for record in failures if kinds_of([record]) == ["lost worker"]]
    nodes = sorted({record.node for record in deaths if record.node})
    where = f" on {', '.join(nodes)}" if nodes else ""
    return f"It took down {len(deaths)} workers{where} and is given up; other jobs go on. The last time: {reason}"
