"""What is said of the leases behind a number."""

from __future__ import annotations

import pytest

from bench.statistics.intervals import Interval
from bench.store.timing import lease_note


def lease(middle: float) -> Interval:
    return Interval(middle, middle - 0.01, middle + 0.01, 0.95, 40, "by hand")


@pytest.mark.parametrize(
    ("middles", "declared", "note"),
    [
        ((1.0,), 2, "1 of 2 leases"),
        ((1.0, 1.01), 2, None),
        ((1.0, 1.1), 2, "unstable: leases disagree"),
        ((1.0, 1.1, 1.05), 2, "unstable: leases disagree"),
        ((1.0, 1.0, 1.1, 1.1), 3, "unstable: leases disagree"),  # the fourth is there because they do
        ((1.0, 1.0, 1.1, 1.1), 2, "4 leases"),  # settled: the interval over leases holds what differs between them
        ((1.0, 1.0, 1.0, 1.1, 1.1), 3, "5 leases"),
    ],
)
def test_what_is_said_of_leases(middles: tuple[float, ...], declared: int, note: str | None) -> None:
    assert lease_note([lease(middle) for middle in middles], declared) == note
