"""Every number of a store recomputed from its journal; whatever was tampered with is named, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bench import job
from bench.store.findings import Check, Difference, compare_draws, nearly
from bench.store.reader import open_snapshot
from bench.store.verify import CHECKS, Verified, verify
from tests.bench.store import defended
from tests.bench.store.defended import MEASURED
from tests.leaderboard import sample
from tests.leaderboard.sample import SCOPE, TASK

INT8 = MEASURED[1]
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return defended.make_store(tmp_path_factory.mktemp("verify") / "store")


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(good, tmp_path / "store"))


def verified(root: Path, **how: Any) -> Verified:
    with open_snapshot(root) as snapshot:
        return verify(snapshot, snapshot.sweeps(), **how)


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(root.rglob("*"))}


def test_a_store_as_it_was_written(good: Path) -> None:
    """Everything is compared, bit for bit, and nothing is written."""
    before = state(good)
    told: list[str] = []
    found = verified(good, tell=told.append)
    assert found.differences == ()
    compared = {check.name for check in found.checks if check.compared}
    assert compared == CHECKS.keys() - {"races"}  # nobody was stopped
    assert [check.rounded for check in found.checks] == [0] * len(CHECKS)
    assert (found.same_code, found.later_parts, found.sweeps) == (True, 0, ("defended",))
    assert any("defended" in text for text in told)
    assert state(good) == before


def in_snapshot(statement: str) -> Change:
    def change(root: Path) -> None:
        name = json.loads((root / "published" / "current.json").read_text(encoding="utf-8"))["snapshot"]
        with duckdb.connect(str(root / "published" / name)) as connection:
            connection.execute(statement)

    return change


def in_journal(number: int, edit: Callable[[dict[str, Any]], None]) -> Change:
    """Edit the one entry of the part of that number."""

    def change(root: Path) -> None:
        path = root / "journal" / f"000001-{number:08d}.parquet"
        table = pq.read_table(path)
        rows = table.to_pylist()
        edit(rows[0])
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, compression="zstd")

    return change


def in_body(number: int, edit: Callable[[dict[str, Any]], None]) -> Change:
    """Edit the record of a part."""

    def change(row: dict[str, Any]) -> None:
        body = json.loads(row["body"])
        edit(body)
        row["body"] = json.dumps(body)

    return in_journal(number, change)


def slower(row: dict[str, Any]) -> None:
    for visit in row["samples"]:
        if visit["artefact_id"] == INT8.artefact_id:
            visit["seconds"] *= 1.01


def first_example(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda row: row["examples"][0].update(changes)


def lower(body: dict[str, Any]) -> None:
    stated = next(v for v in body["outcome"]["values"] if v["metric"] == "latency_ratio" and v["estimate"] < 1)
    stated["low"] -= 0.125


def flip_a_bit(root: Path) -> None:
    path = root / "artefacts" / INT8.artefact_id / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def remove(*parts: str) -> Change:
    def change(root: Path) -> None:
        path = root.joinpath(*parts)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def tear(root: Path) -> None:
    path = root / "journal" / "000001-00000007.parquet"
    path.write_bytes(path.read_bytes()[:-100])


# Parts: 0 the sweep, 1 to 5 builds, 6 to 8 evaluations, 9 memory, 10 and 11 leases.
MINE = f"where recipe_id = '{INT8.recipe_id}'"
CASES: dict[str, tuple[Change, str, str, str, str]] = {
    # what is done -> check, subject, metric and field that must be named
    "a number": (
        in_snapshot(f"update numbers set low = low - 0.01 {MINE} and metric = 'accuracy'"),
        *("numbers", INT8.name, "accuracy", "low"),
    ),
    "a number's note": (
        in_snapshot(f"update numbers set note = 'fine' {MINE} and metric = 'latency_ratio'"),
        *("numbers", INT8.name, "latency_ratio", "note"),
    ),
    "a number less": (
        in_snapshot(f"delete from numbers {MINE} and metric = 'size'"),
        *("numbers", INT8.name, "size", "estimate"),
    ),
    "a number more": (
        in_snapshot(f"insert into numbers by name select * replace ('flops' as metric) from numbers {MINE} limit 1"),
        *("numbers", INT8.name, "flops", "estimate"),
    ),
    "a number twice": (
        in_snapshot(f"insert into numbers select * from numbers {MINE} and metric = 'size'"),
        *("numbers", INT8.name, "size", ""),
    ),
    "a draw": (
        in_snapshot(f"update draws set draws = list_concat([9.0], draws[2:]) {MINE} and metric = 'accuracy'"),
        *("draws", INT8.name, "accuracy", "draw 0"),
    ),
    "a verdict": (
        in_snapshot(f"update verdicts set verdict = 'of course' {MINE}"),
        *("verdicts", INT8.name, "", "verdict"),
    ),
    "a variant": (
        in_snapshot(f"update variants set status = 'partial' {MINE}"),
        *("variants", INT8.name, "", "status"),
    ),
    "a record": (
        in_snapshot("update records set worker = 'me' where job_type = 'MemoryJob'"),
        *("records", "MemoryJob", "", "worker"),
    ),
    "an artefact": (flip_a_bit, "artefacts", INT8.name, "", "artefact_id"),
    "an artefact less": (remove("artefacts", INT8.artefact_id), "artefacts", INT8.name, "", ""),
    "a confidence": (
        in_journal(7, first_example(confidence=0.125)),
        *("database", "examples of EvaluateJob", "", "confidence"),
    ),
    "an order": (
        in_journal(7, lambda row: row["examples"].reverse()),
        *("outcomes", INT8.name, "", "order"),
    ),
    "a job": (
        in_body(10, lambda body: body["job"].update(burst_ms=5.0)),
        *("keys", "latency of 3 models, lease 1", "", "key"),
    ),
    "an identity": (
        in_journal(9, lambda row: row.update(identity="0" * 64)),
        *("journal", "entry 1 of part 000001-00000009.parquet", "", "identity"),
    ),
    "a body": (
        in_body(9, lambda body: body.update(seconds="soon")),
        *("journal", "entry 1 of part 000001-00000009.parquet", "", ""),
    ),
    "a visit": (
        in_journal(10, lambda row: row["samples"].pop()),
        *("timings", "latency of 3 models, lease 1", "", "visits in round 40"),
    ),
    "another machine": (
        in_body(10, lambda body: body["conditions"].update(hardware_class="another CPU")),
        *("timings", "latency of 3 models, lease 1", "", "hardware_class"),
    ),
    "a promise": (
        in_body(3, lambda body: body["outcome"]["answer"]["delivered"]["after"].update(bytes=58)),
        *("promises", f"build of {INT8.name}", "", "verdict"),
    ),
    "a stated value": (
        in_body(10, lower),
        *("stated values", "latency of 3 models, lease 1", "latency_ratio", "low"),
    ),
    "a part": (remove("journal", "000001-00000007.parquet"), "journal", "part 000001-00000007.parquet", "", ""),
    "the last part": (remove("journal", "000001-00000011.parquet"), "journal", "000001-00000011", "", ""),
    "a torn part": (tear, "journal", "part 000001-00000007.parquet", "", ""),
}
# What stands in the snapshot or an artefact alone cannot make anything else look wrong.
ALONE = [name for name in CASES if name in ("an artefact", "an artefact less", "a confidence", "a number twice")] + [
    name for name in CASES if name.startswith(("a number", "a draw", "a verdict", "a variant", "a record"))
]


def named(differences: tuple[Difference, ...], check: str, subject: str, metric: str, field: str) -> list[Difference]:
    return [
        d
        for d in differences
        if d.check == check and subject in d.subject and d.metric == metric
        if not field or field in [name for name, _, _ in d.fields]
    ]


@pytest.mark.parametrize("case", CASES)
def test_tampering_is_named(case: str, store: Path) -> None:
    change, *expected = CASES[case]
    change(store)
    found = verified(store).differences
    assert len(named(found, *expected)) == 1, found
    if case in ALONE:
        assert len(found) == 1, found


def test_a_slower_sample_is_found_wherever_it_shows(store: Path) -> None:
    """In what the lease states, in the numbers of that variant alone, in its draws, and in the query database."""
    in_journal(10, slower)(store)
    found = verified(store).differences
    shown = {"stated values", "numbers", "draws", "standings", "constraints", "database"}
    assert {d.check for d in found} - {"verdicts"} == shown
    numbers = [d for d in found if d.check == "numbers"]
    assert {(d.subject, d.metric, d.scope) for d in numbers} == {
        (INT8.name, metric, SCOPE) for metric in ("latency_ms", "latency_ratio")
    }
    (ratio,) = [d for d in numbers if d.metric == "latency_ratio"]
    ((_, stored, recomputed),) = [f for f in ratio.fields if f[0] == "estimate"]
    assert 1.001 < recomputed / stored < 1.011


def test_a_score_shows_in_the_number_and_its_difference(store: Path) -> None:
    """The first example of int8 was right or wrong, and is the other now."""
    in_journal(7, lambda row: row["examples"][0].update(score=1 - row["examples"][0]["score"]))(store)
    numbers = [d for d in verified(store).differences if d.check == "numbers"]
    assert {d.subject for d in numbers} == {INT8.name}
    assert {(d.metric, d.scope) for d in numbers} == {
        ("accuracy", TASK),
        ("accuracy_difference", TASK),
        ("flips_lost", TASK),
        ("recovery", TASK),
    }
    ((_, stored, recomputed),) = [f for d in numbers if d.metric == "accuracy" for f in d.fields if f[0] == "estimate"]
    assert abs(stored - recomputed) == pytest.approx(1 / sample.EXAMPLES)


def test_while_a_sweep_is_writing(tmp_path: Path) -> None:
    """What the journal has beyond the snapshot is checked for itself, and no number is missed or doubted."""
    *early, late = defended.entries()
    with sample.writing(tmp_path / "store") as writer:
        writer.append([defended.declaration(), *early])
        assert writer.publish(now=True)
        writer.append([late])
        before = state(tmp_path)
        found = verified(tmp_path / "store")
        assert state(tmp_path) == before
        assert found.later_parts == 1
        assert [d for d in found.differences if d.check != "artefacts"] == []
        (database,) = [check for check in found.checks if check.name == "database"]
        assert (database.compared, database.notes) == (0, ["a sweep is writing: its database is not looked at"])


def test_measurements_of_another_protocol_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that was declared and measured under an older protocol keeps its numbers."""
    monkeypatch.setattr(job, "LATENCY_PROTOCOL", 0)
    root = defended.make_store(tmp_path / "store")
    monkeypatch.undo()
    found = verified(root)
    assert found.differences == ()
    with open_snapshot(root) as snapshot:
        assert len(snapshot.rows("select * from numbers where metric = 'latency_ratio'")) == len(MEASURED)


def test_other_code_is_told(store: Path) -> None:
    in_snapshot("update info set value = '{}' where key = 'summarised_by'")(store)
    found = verified(store)
    assert (found.same_code, found.differences) == (False, ())


def test_numbers_but_for_rounding() -> None:
    assert nearly(0.1 + 0.2, 0.3)
    assert nearly(float("nan"), float("nan"))
    assert not nearly(0.3, 0.3 + 1e-8)
    assert not nearly(None, 0.0)
    assert not nearly("a", "b")
    check = Check("draws", "")
    compare_draws(check, "x", [1.0, 2.0], [1.0, 2.0 + 1e-9], "m", "s")
    assert (check.compared, check.rounded, check.differences) == (1, 1, [])
    compare_draws(check, "x", [1.0, 2.0], [1.0, 2.1], "m", "s")
    compare_draws(check, "x", [1.0, 2.0], [1.0], "m", "s")
    assert [d.fields for d in check.differences] == [(("draw 1", 2.0, 2.1),), (("draws", 2, 1),)]
