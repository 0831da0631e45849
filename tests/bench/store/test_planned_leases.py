"""Another sweep that plans more leases is a further look: the fewest that were planned, first or since, count."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.store.journal import Entry
from bench.store.reader import open_snapshot
from bench.store.verify import verify
from leaderboard.contests import open_contests
from tests.leaderboard import sample

RATIO = "latency_ratio", sample.SCOPE


def again(entry: Entry, **changes: Any) -> Entry:
    """A declaration with other things in it."""
    body = json.loads(entry.body) | changes
    return Entry.statement("sweep", f"sweep {body['sweep_id']} {body['declared']}", body)


def extended(root: Path, declarations: Sequence[Entry]) -> dict[str, set[float | None]]:
    """Of each sweep, how far its ratios count as extended; in a store of the sample's records."""
    with sample.writing(root) as writer:
        writer.append([*declarations, *(Entry.of(d) for d in sample.deliveries())])
    with open_snapshot(root) as snapshot:
        said = verify(snapshot, snapshot.sweeps()).differences
        assert not [each for each in said if each.check != "artefacts"]  # the sample has none
        found: dict[str, set[float | None]] = {}
        for row in snapshot.rows("select * from numbers join sweeps using (sweep_id) where metric = ?", [RATIO[0]]):
            found.setdefault(row["name"], set()).add(row["extended"])
        return found


PILOT, MINE = sample.declaration(name="pilot", day=19, leases=1), sample.declaration()
QUESTIONS = json.loads(MINE.body)["questions"]
OTHERWISE = again(PILOT, questions=QUESTIONS | {"LatencyJob": QUESTIONS["LatencyJob"] | {"max_rounds": 7}})
ALONE = {None, 0.5, 1.0}  # the base, a variant that was timed once, the rest


def test_alone_a_sweep_has_what_it_plans(tmp_path: Path) -> None:
    assert extended(tmp_path, [MINE]) == {sample.SWEEP: ALONE}


def test_a_sweep_that_was_declared_before_planned_fewer(tmp_path: Path) -> None:
    found = extended(tmp_path, [MINE, PILOT])  # in whatever order the entries lie
    assert found == {"pilot": {None, 1.0, 2.0}, sample.SWEEP: {None, 1.0, 2.0}}
    with open_snapshot(tmp_path) as snapshot:
        sweep = next(each for each in snapshot.sweeps() if each["name"] == sample.SWEEP)
        (further,) = open_contests(snapshot, sweep)
    alone = tmp_path / "alone"
    extended(alone, [MINE])
    with open_snapshot(alone) as snapshot:
        (first,) = open_contests(snapshot, snapshot.sweeps()[0])
    assert further.leases == first.leases
    # What was looked at before leaves less of the error: nothing is easier to decide.
    assert further.pairs.of.size >= first.pairs.of.size
    assert further.price().leases > first.price().leases


@pytest.mark.parametrize(
    "other",
    [
        sample.declaration(name="later", day=21, leases=1),
        sample.declaration(name="untimed", day=19, leases=0),
        OTHERWISE,
    ],
    ids=["later", "untimed", "another question"],
)
def test_what_says_nothing_of_earlier_looks(tmp_path: Path, other: Entry) -> None:
    assert extended(tmp_path, [other, MINE])[sample.SWEEP] == ALONE


def test_a_sweep_that_is_declared_again_keeps_its_place(tmp_path: Path) -> None:
    renewed = again(PILOT, declared="2026-11-22T09:00:00.000+00:00", constraints=[])
    assert extended(tmp_path, [PILOT, MINE, renewed])[sample.SWEEP] == {None, 1.0, 2.0}
