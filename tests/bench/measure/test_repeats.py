"""Repeats in fresh processes: one value a metric, and each kept where the value does not tell all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.job import parts_of
from bench.measure.repeats import KEPT, kept, repeated
from bench.record import Delivery, Record
from bench.store.evidence import stated
from bench.store.findings import Check
from bench.store.folder import open_folder, take_lease
from bench.store.journal import Entry, Journal, parts
from bench.store.raw_checks import Raw, check_repeats
from bench.store.rebuild import database_of
from tests.bench.store.defended import MEASURED, changed
from tests.leaderboard import sample

SIZES = [5.0, 1.0, 4.0, 2.0, 3.0]
ARTEFACT = MEASURED[0].artefact_id


def measured(estimate: float = 3.0) -> Delivery:
    """A record of five repeats of one model, which states an estimate of its own."""
    (value,) = repeated(ARTEFACT, {"host_peak": SIZES}, sample.SCOPE)
    values = (value.model_copy(update={"estimate": estimate}),)
    return changed(sample.memory(MEASURED), values=values, answer=kept({ARTEFACT: {"host_peak": SIZES}}))


def test_the_median_with_the_range() -> None:
    peak, load = repeated("a" * 64, {"host_peak": SIZES, "load_seconds": [2.0]}, "batch 1 x 8 tokens")
    assert (peak.estimate, peak.low, peak.high, peak.n, peak.scope) == (3.0, 1.0, 5.0, 5, "batch 1 x 8 tokens")
    assert (load.estimate, load.low, load.high, load.n, load.scope) == (2.0, 2.0, 2.0, 1, "")


def test_three_are_told_by_the_value_and_more_are_kept() -> None:
    assert kept({"a": {"host_peak": [1.0, 2.0, 3.0]}}) is None
    assert kept({}) is None
    assert kept({"a": {"host_peak": SIZES}}) == {KEPT: {"a": {"host_peak": SIZES}}}


@pytest.mark.parametrize(("estimate", "reasons"), [(3.0, []), (3.5, ["is not what its repeats give"])])
def test_what_a_record_states_is_held_against_its_repeats(estimate: float, reasons: list[str]) -> None:
    check = Check("stated values", "")
    check_repeats(Raw(measured(estimate).record, "part", None, None, None, None, None), check)
    assert check.compared == 1
    assert [difference.reason for difference in check.differences] == reasons


@pytest.mark.parametrize(("estimate", "differ"), [(3.0, 0), (3.5, 1)])
def test_repeats_of_writing_are_of_its_own_scope(estimate: float, differ: int) -> None:
    found = measured(estimate).record
    scope = parts_of(sample.SHAPE, 9)[-1]
    assert scope != sample.SCOPE
    values = [{**value.model_dump(), "scope": scope} for value in found.outcome.values]  # type: ignore[union-attr]
    body = found.model_dump() | {"job": {**found.job, "new_tokens": 9}}
    record = Record.model_validate(body | {"outcome": {**body["outcome"], "values": values}})
    check = Check("stated values", "")
    check_repeats(Raw(record, "part", None, None, None, None, None), check)
    assert (check.compared, len(check.differences)) == (1, differ)


def test_every_repeat_is_evidence(tmp_path: Path) -> None:
    folder, delivery = open_folder(tmp_path / "store", create=True), measured()
    Journal(take_lease(folder)).append([Entry.of(delivery)])
    metric = {"meaning": "Peak memory.", "unit": "MB"}
    asked: Any = SimpleNamespace(variant={"artefact_id": ARTEFACT}, name="host_peak", scope=sample.SCOPE, metric=metric)
    with database_of(parts(folder)) as connection:
        found = stated(connection, asked, [delivery.record.identity])
    summary, every = found.sheets
    assert summary.notes == ("Lowest, median and highest of 5: each stands below.",)
    assert [row[1] for row in every.rows] == SIZES
    assert found.everything() == every
