"""Eliminations are tested again by what the race had seen, whichever objectives it was about."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bench.store.findings import Check, Difference
from bench.store.journal import Entry
from bench.store.quality import read_outcomes
from bench.store.race_checks import check_stops
from bench.store.reader import open_snapshot
from bench.store.rebuild import database_of, names_published
from bench.store.stopped import identity_of
from bench.store.upkeep import merge
from bench.store.verify import verify
from tests.bench.store import defended
from tests.leaderboard import sample
from tests.leaderboard.sample import EXAMPLES, SCOPE, TASK, VARIANTS, make_store

BASE, BEST, BEATEN = VARIANTS[:3]  # as accurate as the base or nearly, and smaller and faster than the third
QUALITY, LATENCY, MEMORY, SIZE = ("accuracy", TASK), ("latency_ratio", SCOPE), ("host_peak", SCOPE), ("size", "")
Journal = tuple[duckdb.DuckDBPyConnection, dict[str, Any]]


LAST = "999999-00000000.parquet"  # a part after all others


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    yield from read(make_store(tmp_path_factory.mktemp("races") / "store"))


def read(root: Path) -> Iterator[Journal]:
    """The tables of a store, and its sweep as if it were of three variants."""
    with open_snapshot(root) as snapshot:
        body = snapshot.sweeps()[0]["body"]
        with database_of([root / "journal" / name for name in names_published(snapshot)]) as connection:
            yield connection, body | {"variants": body["variants"][:3]}


def counts(connection: duckdb.DuckDBPyConnection) -> str:
    """Of the examples on which one is right and the other is not."""
    rows = connection.execute(
        "select count(*) filter (a.score > b.score), count(*) filter (a.score < b.score) from examples a "
        "join examples b using (index) where a.artefact_id = ? and b.artefact_id = ?",
        [BEST.artefact_id, BEATEN.artefact_id],
    ).fetchall()
    return "better on {:,} and worse on {:,}".format(*rows[0])


def row_of(journal: Journal, **stated: Any) -> dict[str, Any]:
    """One elimination, as it is stated here but for what is given."""
    connection, body = journal
    return {
        "sweep_id": body["sweep_id"],
        "artefact_id": BEATEN.artefact_id,
        "beaten_by": BEST.artefact_id,
        "raced": "leases",
        "look": 1,
        "looks": 1,
        "examples": json.dumps({TASK: EXAMPLES}),
        "level": 0.0021,
        "objectives": json.dumps([QUALITY, LATENCY, SIZE]),
        "reason": f"{BEST.name} is better on every noisy objective ({counts(connection)} of 1,500 examples) at "
        "one-sided 2.1e-03",
    } | stated


def found_of(
    journal: Journal,
    *rows: Mapping[str, Any],
    declared: Sequence[Mapping[str, Any]] = ({},),
    in_force: Collection[str] = (BEST.artefact_id, BEATEN.artefact_id),
    part: str = LAST,
    statement: str = "",
) -> Check:
    """What is found of eliminations in a sweep whose objectives are those of the first, unless it is declared here.

    `part` is where they are stated; `statement` tampers with the tables.
    """
    connection, body = journal
    objectives = [dict(zip(("metric", "scope"), key, strict=True)) for key in json.loads(rows[0]["objectives"])]
    every = [{**body, "objectives": objectives, **each} for each in declared]
    check = Check("races", "")
    connection.begin()
    try:
        for row in rows:
            connection.execute(f"insert into stops values ({', '.join('?' * len(row))})", list(row.values()))
            identity = identity_of(row["sweep_id"], row["artefact_id"])
            connection.execute("insert into entries values (?, 'stop', ?, 99)", [identity, part])
        if statement:
            connection.execute(statement)
        check_stops(connection, every[-1], every, in_force, check)
    finally:
        connection.rollback()
    assert check.compared == len(rows)
    return check


def checked(journal: Journal, **stated: Any) -> tuple[Difference, ...]:
    """What differs of one elimination, as `row_of` states it."""
    return tuple(found_of(journal, row_of(journal, **stated)).differences)


def without_counts(level: str) -> str:
    return f"{BEST.name} is better on every noisy objective at one-sided {level}"


def test_what_the_race_had_seen_shows_it(journal: Journal) -> None:
    assert checked(journal) == ()
    assert checked(journal, objectives=json.dumps([LATENCY, SIZE]), reason=without_counts("2.1e-03")) == ()
    alone = {"objectives": json.dumps([LATENCY]), "reason": without_counts("2.1e-03")}
    assert checked(journal, **alone) == ()
    three = {"level": 0.05, "objectives": json.dumps([MEMORY]), "reason": without_counts("5.0e-02")}
    assert checked(journal, **three) == ()  # of three repetitions each


@pytest.mark.parametrize("key", [QUALITY, LATENCY, SIZE, MEMORY], ids=lambda key: key[0])
def test_who_does_not_beat_is_named_with_the_objective(journal: Journal, key: tuple[str, str]) -> None:
    swapped = {"artefact_id": BEST.artefact_id, "beaten_by": BEATEN.artefact_id, "level": 0.05}
    (difference,) = checked(journal, objectives=json.dumps([key]), **swapped)
    assert difference.reason == "what the race had seen by then does not show that it is beaten"
    assert difference.fields == ((" ".join(filter(None, key)), "beaten", "not shown"),)
    assert difference.subject == f"{BEST.name}, stopped by {BEATEN.name}"


def test_a_level_at_which_nothing_was_shown_is_named(journal: Journal) -> None:
    assert [name for d in checked(journal, level=1e-30) for name, _, _ in d.fields] == [
        " ".join(QUALITY),
        " ".join(LATENCY),
    ]


def test_other_words_than_follow_are_named(journal: Journal) -> None:
    (difference,) = checked(journal, reason=without_counts("2.1e-03"))
    assert difference.reason == "is not how it is beaten"
    assert "1,500 examples" in str(difference.fields[0][2])


@pytest.mark.parametrize(
    ("stated", "gone", "sentence"),
    [
        ({"examples": json.dumps({TASK: 512}), "raced": "examples"}, "", "an outcome of the 512 examples"),
        ({"objectives": json.dumps([SIZE])}, "delete from numbers where metric = 'size'", "the size on disk that"),
        ({"objectives": json.dumps([MEMORY])}, "delete from numbers where n = 3", "a measurement of memory that"),
    ],
)
def test_what_is_not_there_is_named(journal: Journal, stated: dict[str, Any], gone: str, sentence: str) -> None:
    (difference,) = found_of(journal, row_of(journal, **stated), statement=gone).differences
    assert difference.reason.startswith(sentence)
    assert difference.reason.endswith("the race had seen is not in the journal")


def test_a_variant_that_no_lease_timed_beats_nobody(journal: Journal) -> None:
    row = row_of(journal, objectives=json.dumps([LATENCY]))
    (difference,) = found_of(journal, row, statement="delete from records where job_type = 'LatencyJob'").differences
    assert difference.fields == ((" ".join(LATENCY), "beaten", "not shown"),)


def test_a_sweep_without_a_race_has_nothing_to_check(journal: Journal) -> None:
    check = Check("races", "")
    check_stops(*journal, (), (), check)
    assert (check.compared, check.differences) == (0, [])


NOBODY = "f" * 64


@pytest.mark.parametrize(
    ("stated", "declared", "field", "stored"),
    [
        ({}, {"objectives": [{"metric": "accuracy", "scope": TASK}]}, "objectives", [QUALITY, LATENCY, SIZE]),
        ({"level": 0.18}, {}, "level", 0.18),  # above 1 / 6 pairs
        ({"level": 0.009}, {"race": {"alpha": 0.05, "pinned": []}}, "level", 0.009),  # above 0.05 / 6
        ({}, {"leases": 1}, "look", 1),  # no second lease to spare anybody
        ({"artefact_id": BASE.artefact_id}, {}, "artefact_id", BASE.name),
        ({}, {"race": {"alpha": 0.05, "pinned": [BEATEN.recipe_id]}}, "artefact_id", BEATEN.name),
        ({"artefact_id": NOBODY}, {}, "artefact_id", NOBODY),
        ({"beaten_by": VARIANTS[-1].artefact_id}, {}, "beaten_by", VARIANTS[-1].artefact_id),  # it was never built
        ({"beaten_by": VARIANTS[3].artefact_id}, {}, "beaten_by", VARIANTS[3].artefact_id),  # in no such sweep
        ({"examples": json.dumps({TASK: EXAMPLES, "another": 512})}, {}, "examples", [TASK, "another"]),
        ({"examples": "{}"}, {}, "examples", []),
        ({"examples": json.dumps({TASK: 1024})}, {}, "examples", {TASK: 1024}),  # not all, before leases are raced
        ({"raced": "examples", "look": 2}, {}, "examples", {TASK: EXAMPLES}),  # 2 of its 3 windows
        ({"raced": "examples", "look": 3}, {}, "look", 3),  # the last: nothing is left to spare
        ({"look": 0}, {}, "look", 0),
    ],
)
def test_what_no_race_of_the_sweep_can_state_is_named(
    journal: Journal, stated: dict[str, Any], declared: dict[str, Any], field: str, stored: Any
) -> None:
    """Also of a variant that has been completed."""
    for in_force in ((BEATEN.artefact_id,), ()):
        found = found_of(journal, row_of(journal, **stated), declared=[declared], in_force=in_force)
        (difference,) = found.differences
        assert difference.reason == "is not what a race of this sweep can state"
        assert [(name, was) for name, was, _ in difference.fields] == [(field, stored)]
        assert found.notes == []


def test_a_variant_of_another_base_beats_nobody(journal: Journal) -> None:
    variants = [v if v["name"] != BEST.name else {**v, "base": "another"} for v in journal[1]["variants"]]
    (difference,) = found_of(journal, row_of(journal), declared=[{"variants": variants}]).differences
    assert difference.fields == (("beaten_by", BEST.name, "a variant of the same base"),)


def test_any_declaration_of_a_sweep_may_have_asked_for_its_race(journal: Journal) -> None:
    """It was raced at a larger alpha, and pinned what is pinned later."""
    asked = [{"race": {"alpha": 0.05, "pinned": []}}, {"race": {"alpha": 0.001, "pinned": [BEATEN.recipe_id]}}]
    assert found_of(journal, row_of(journal), declared=asked).differences == []
    assert len(found_of(journal, row_of(journal), declared=asked[1:]).differences) == 1


def test_what_cannot_be_read_hides_nothing_else(journal: Journal) -> None:
    torn = row_of(journal, artefact_id=VARIANTS[3].artefact_id, objectives="accuracy", look=0)
    odd = row_of(journal, level=1e-30)
    found = found_of(journal, odd, torn).differences
    assert [d.subject.split(",")[0] for d in found] == [VARIANTS[3].artefact_id[:10], BEATEN.name]
    assert found[0].reason.startswith("cannot be tested again (JSONDecodeError: ")
    assert found[1].reason == "what the race had seen by then does not show that it is beaten"


def test_a_stop_on_which_nothing_rests_is_a_note(journal: Journal) -> None:
    """As after a merge: a variant was completed by leases that are not those which the race had seen."""
    found = found_of(journal, row_of(journal, level=1e-30), in_force=())
    assert found.differences == []
    (note,) = found.notes
    assert note.startswith(f"{BEATEN.name}, stopped by {BEST.name}: what the race had seen by then does not show")


def test_a_race_saw_nothing_that_came_later_or_is_of_another_base(tmp_path: Path) -> None:
    """Measurements under which the one that beats would not, of the same models."""
    heavy, slow = replace(BEST, memory=9e9), replace(BEST, ratio=5.0)
    with sample.writing(tmp_path / "store") as writer:
        writer.append([sample.declaration(), *(Entry.of(d) for d in sample.deliveries())])
        writer.append([Entry.of(sample.memory((heavy, BEATEN)))])  # as a base
        writer.append([Entry.of(d) for d in (sample.memory((BASE, heavy)), sample.latency((BASE, slow, BEATEN), 0))])
    keys = {"objectives": json.dumps([MEMORY, LATENCY]), "reason": without_counts("5.0e-02"), "level": 0.05}
    for found in read(tmp_path / "store"):
        row = row_of(found, **keys)
        assert found_of(found, row, part="000001-00000001.parquet").differences == []
        assert len(found_of(found, row).differences) == 1
        (difference,) = found_of(found, row, part="000000-00000000.parquet").differences
        assert difference.reason.startswith("a measurement of memory that")


def test_outcomes_are_read_once(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def counted(*of: Any) -> Any:
        asked.append(of)
        return read_outcomes(*of)

    monkeypatch.setattr("bench.store.race_checks.read_outcomes", counted)
    found_of(journal, row_of(journal), row_of(journal, artefact_id=BEST.artefact_id, beaten_by=BEATEN.artefact_id))
    assert len(asked) == 2


def test_a_merged_store_whose_leases_are_another_s(tmp_path: Path) -> None:
    """One store timed every variant twice. The other, where one was much slower, stopped it after its first lease."""
    base, best, beaten = defended.MEASURED
    slow = replace(beaten, ratio=1.5)
    objectives = [{"axis": "latency", "metric": "latency_ratio", "scope": SCOPE, "title": "latency"}]
    declaration = defended.declaration(objectives=objectives)
    before = [Entry.of(of(v)) for of in (defended.build, defended.evaluation) for v in defended.MEASURED]
    raced = [
        Entry.of(defended.latency((base, best, slow), 0)),
        stop_of(declaration, beaten.artefact_id, best),
        Entry.of(defended.latency((base, best), 1)),
    ]
    timed = [Entry.of(defended.latency(defended.MEASURED, lease)) for lease in range(2)]
    found = []
    for name, entries in (("raced", raced), ("timed", timed)):
        with sample.writing(tmp_path / name) as writer:
            writer.append([declaration, *before, *entries])
        found.append(races_of(tmp_path / name))
    assert [(check.compared, check.differences, check.notes) for check in found] == [(1, [], []), (0, [], [])]
    merge(tmp_path / "timed", [tmp_path / "raced"])
    check = races_of(tmp_path / "timed")
    assert (check.compared, check.differences) == (1, [])
    (note,) = check.notes
    assert note == (
        f"{beaten.name}, stopped by {best.name}: what the race had seen by then does not show that it is beaten, and "
        "no verdict rests on that stop any more"
    )
    merge(tmp_path / "raced", [tmp_path / "timed"])  # the leases that the race saw came first
    check = races_of(tmp_path / "raced")
    assert (check.compared, check.differences, check.notes) == (1, [], [])


def stop_of(declaration: Entry, artefact_id: str, by: sample.Variant) -> Entry:
    """The statement that a first lease has stopped a variant."""
    body = {
        "sweep_id": json.loads(declaration.body)["sweep_id"],
        "artefact_id": artefact_id,
        "by": by.artefact_id,
        "raced": "leases",
        "look": 1,
        "looks": 1,
        "examples": {TASK: EXAMPLES},
        "level": 0.0025,
        "objectives": [LATENCY],
        "reason": f"{by.name} is better on every noisy objective at one-sided 2.5e-03",
    }
    return Entry.statement("stop", identity_of(body["sweep_id"], artefact_id), body)


def races_of(root: Path) -> Check:
    """What `verify` says of the races of a store."""
    with open_snapshot(root) as snapshot:
        checks = verify(snapshot, snapshot.sweeps()).checks
    return next(check for check in checks if check.name == "races")


@pytest.mark.parametrize("artefact_id", [NOBODY, defended.MEASURED[2].artefact_id])
def test_a_statement_that_names_nothing_there_does_not_end_verify(artefact_id: str, tmp_path: Path) -> None:
    """Neither for an artefact that nobody built, nor for a task that is none of a variant not yet evaluated."""
    declaration, (base, best, beaten) = defended.declaration(), defended.MEASURED
    before = [Entry.of(d) for d in (*map(defended.build, (base, best, beaten)), defended.evaluation(base))]
    nothing = stop_of(declaration, artefact_id, best)
    body = json.loads(nothing.body) | {"objectives": [["accuracy", "no task"]], "examples": {"no task": 512}}
    with sample.writing(tmp_path / "store") as writer:
        writer.append([declaration, *before, replace(nothing, body=json.dumps(body))])
    (difference,) = races_of(tmp_path / "store").differences
    unbuilt = ["artefact_id"] if artefact_id == NOBODY else []
    assert [name for name, *_ in difference.fields] == [*unbuilt, "objectives", "examples"]
