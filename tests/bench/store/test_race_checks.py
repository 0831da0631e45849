"""Eliminations are tested again by what the race had seen, whichever objectives it was about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from bench.store.findings import Check, Difference
from bench.store.race_checks import check_stops
from bench.store.reader import open_snapshot
from bench.store.rebuild import database_of, names_published
from tests.leaderboard.sample import EXAMPLES, SCOPE, TASK, VARIANTS, make_store

BASE, BEST, BEATEN = VARIANTS[:3]  # as accurate as the base or nearly, and smaller and faster than the third
QUALITY, LATENCY, MEMORY, SIZE = ("accuracy", TASK), ("latency_ratio", SCOPE), ("host_peak", SCOPE), ("size", "")
Journal = tuple[duckdb.DuckDBPyConnection, dict[str, Any]]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    root = make_store(tmp_path_factory.mktemp("races") / "store")
    with open_snapshot(root) as snapshot:
        body = snapshot.sweeps()[0]["body"]
        with database_of([root / "journal" / name for name in names_published(snapshot)]) as connection:
            yield connection, body


def counts(connection: duckdb.DuckDBPyConnection) -> str:
    """Of the examples on which one is right and the other is not."""
    rows = connection.execute(
        "select count(*) filter (a.score > b.score), count(*) filter (a.score < b.score) from examples a "
        "join examples b using (index) where a.artefact_id = ? and b.artefact_id = ?",
        [BEST.artefact_id, BEATEN.artefact_id],
    ).fetchall()
    return "better on {:,} and worse on {:,}".format(*rows[0])


def checked(journal: Journal, **stated: Any) -> tuple[Difference, ...]:
    """What is found of one elimination, as it is stated here but for what is given."""
    connection, body = journal
    row = {
        "sweep_id": body["sweep_id"],
        "artefact_id": BEATEN.artefact_id,
        "beaten_by": BEST.artefact_id,
        "raced": "examples",
        "look": 3,
        "looks": 4,
        "examples": json.dumps({TASK: EXAMPLES}),
        "level": 0.0021,
        "objectives": json.dumps([QUALITY, LATENCY, SIZE]),
        "reason": f"{BEST.name} is better on every noisy objective ({counts(connection)} of 1,500 examples) at "
        "one-sided 2.1e-03",
    }
    told = row | stated
    check = Check("races", "")
    connection.begin()
    try:
        connection.execute(f"insert into stops values ({', '.join('?' * len(told))})", list(told.values()))
        check_stops(connection, body, check)
    finally:
        connection.rollback()
    assert check.compared == 1
    return tuple(check.differences)


def without_counts(level: str) -> str:
    return f"{BEST.name} is better on every noisy objective at one-sided {level}"


def test_what_the_race_had_seen_shows_it(journal: Journal) -> None:
    assert checked(journal) == ()
    assert checked(journal, objectives=json.dumps([LATENCY, SIZE]), reason=without_counts("2.1e-03")) == ()
    alone = {"objectives": json.dumps([LATENCY]), "reason": without_counts("2.1e-03"), "raced": "leases"}
    assert checked(journal, look=1, **alone) == ()
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
    ("stated", "sentence"),
    [
        ({"examples": json.dumps({TASK: 512})}, "an outcome of the 512 examples of"),
        ({"beaten_by": VARIANTS[-1].artefact_id, "objectives": json.dumps([SIZE])}, "the size on disk that"),
        ({"beaten_by": VARIANTS[-1].artefact_id, "objectives": json.dumps([MEMORY])}, "a measurement of memory that"),
    ],
)
def test_what_is_not_there_is_named(journal: Journal, stated: dict[str, Any], sentence: str) -> None:
    (difference,) = checked(journal, **stated)
    assert difference.reason.startswith(sentence)
    assert difference.reason.endswith("the race had seen is not in the journal")


def test_a_variant_that_no_lease_timed_beats_nobody(journal: Journal) -> None:
    (difference,) = checked(journal, beaten_by=VARIANTS[-1].artefact_id, objectives=json.dumps([LATENCY]))
    assert difference.fields == ((" ".join(LATENCY), "beaten", "not shown"),)


def test_a_sweep_without_a_race_has_nothing_to_check(journal: Journal) -> None:
    check = Check("races", "")
    check_stops(*journal, check)
    assert (check.compared, check.differences) == (0, [])
