"""What is tried again, when, where and with how much."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from bench.identity import digest
from bench.record import PASSING, Failed, FailureKind, Record
from cluster.retry import (
    LONGEST_PAUSE,
    MOST_UNCOUNTED,
    RETRIED,
    Next,
    decide,
    is_poison,
    next_attempt,
    pause_after,
    poison_reason,
)


def failed(kind: FailureKind, node: str = "") -> Record:
    return Record(
        key=digest("job"),
        kind="build",
        attempt=1,
        outcome=Failed(stage="build", kind=kind, reason="because"),
        job={},
        started="2026-01-01T00:00:00.000",
        seconds=1.0,
        worker="host:1",
        node=node,
    )


def test_what_is_retried_within_a_run_gets_a_new_chance_with_the_next_one() -> None:
    assert RETRIED < PASSING
    assert {"no place"} == PASSING - RETRIED
    assert set(get_args(FailureKind)) - PASSING == {"bad spec", "bug", "poison"}


def test_preemptions_count_against_nothing_but_not_for_ever() -> None:
    preempted = [failed("preempted")] * (MOST_UNCOUNTED - 1)
    assert decide([*preempted, failed("lost node")], 2) == "again"
    assert decide([*preempted, failed("preempted")], 2) == "give up"
    assert decide([*preempted, failed("lost node"), failed("lost node")], 2) == "give up"


@pytest.mark.parametrize("kind", ["lost worker", "timeout", "contaminated", "out of memory"])
def test_pauses_double_up_to_a_minute(kind: FailureKind) -> None:
    pauses = [pause_after(kind, n) for n in range(1, 40)]
    assert all(b == min(2 * a, LONGEST_PAUSE) for a, b in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE
    assert pause_after(kind, 10**9) == LONGEST_PAUSE
    assert 0 < pauses[0] <= 2


def test_a_lost_node_is_avoided_at_once_and_a_lost_worker_after_a_pause() -> None:
    assert next_attempt([]) == Next()
    assert next_attempt([failed("lost node", "a")]) == Next(0.0, frozenset({"a"}))
    found = next_attempt([failed("lost node", "a"), failed("timeout", "b"), failed("lost worker", "c")])
    assert found == Next(0.25, frozenset({"a", "c"}))  # a job that hung on b may do so anywhere


def test_out_of_memory_asks_for_more_from_then_on() -> None:
    assert next_attempt([failed("out of memory", "a")]).larger
    assert next_attempt([failed("out of memory"), failed("lost node", "b")]).larger
    assert not next_attempt([failed("out of memory", "a")]).avoids


def test_poison_is_what_took_workers_down_and_says_where() -> None:
    failures = [failed("lost worker", "b"), failed("preempted", "c"), failed("lost worker", "a")]
    assert not is_poison(failures, None)
    assert not is_poison(failures, 3)
    assert is_poison(failures, 2)
    assert poison_reason(failures, "Signal 11.") == (
        "It took down 2 workers on a, b and is given up; other jobs go on. The last time: Signal 11."
    )
