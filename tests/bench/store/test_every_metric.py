"""What stands behind a number, and whether it follows from it, for every metric that there is."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from rich.console import Console

from bench.metrics import METRICS
from bench.store.asked import understand
from bench.store.reader import Snapshot, open_snapshot
from bench.store.verify import verify
from bench.store.why import explain
from cluster.why import print_raw, print_why, records
from tests.bench.store import every_metric
from tests.bench.store.every_metric import MINE, PARTS, WATTS
from tests.leaderboard.sample import CLASS

OF_VARIANTS = [name for name in METRICS if name != "macro_f1_difference"]  # which only recipes over seeds have
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return every_metric.make_store(tmp_path_factory.mktemp("every") / "store")


@pytest.fixture(scope="module")
def snapshot(store: Path) -> Iterator[Snapshot]:
    with open_snapshot(store) as found:
        yield found


def test_the_store_has_every_metric(snapshot: Snapshot) -> None:
    """Of the variant; what compares it with the base has no row of the base's own, unless it is 1 by definition."""
    found = {row["metric"] for row in snapshot.rows("select distinct metric from numbers")}
    assert found == set(OF_VARIANTS)


@pytest.mark.parametrize("metric", OF_VARIANTS)
def test_what_stands_behind_it(metric: str, snapshot: Snapshot) -> None:
    """Raw samples, conditions, the artefact, the command, and what would change it."""
    found = explain(snapshot, understand(snapshot, snapshot.sweeps()[0], MINE[1].name, metric, None), everything=True)
    assert found.missing is None
    assert found.formula
    assert found.interval[0].startswith("Method: ")
    assert len(found.interval) > 1, "the method is told in words"
    assert found.raw
    assert all(sheet.rows for sheet in found.raw)
    assert found.everything is not None
    assert found.everything.rows
    assert found.records.rows
    assert found.conditions.rows
    assert ("hardware_class", CLASS) in [row[:2] for row in found.conditions.rows]
    assert found.asked.variant["artefact_id"] == MINE[1].artefact_id
    assert found.artefact_folder is not None
    assert found.artefact_folder.endswith(MINE[1].artefact_id)
    assert found.command == "paredown run defended.yaml 'seeds=[3]' --store NEW_FOLDER"
    assert found.key.rows
    assert found.outside
    json.dumps(records(found), allow_nan=False)
    for form in ("table", "md", "json"):
        text = io.StringIO()
        print_why(found, form, Console(file=text, width=200))
        assert MINE[1].artefact_id in text.getvalue()
    text = io.StringIO()
    print_raw(found, "csv", Console(file=text))
    assert len(text.getvalue().splitlines()) == 1 + len(found.everything.rows)


@pytest.mark.parametrize("metric", ["energy_j", "energy_ratio"])
def test_energy_comes_from_joules(metric: str, snapshot: Snapshot) -> None:
    found = explain(snapshot, understand(snapshot, snapshot.sweeps()[0], MINE[1].name, metric, None), everything=True)
    assert found.asked.number is not None
    scale = WATTS * every_metric.SECONDS[-1] if metric == "energy_j" else 1.0
    assert found.asked.number["estimate"] == pytest.approx(0.6 * scale, rel=0.1)
    assert found.everything is not None
    assert "joules" in found.everything.columns


def test_all_of_it_follows_from_what_was_kept(snapshot: Snapshot) -> None:
    assert verify(snapshot, snapshot.sweeps()).differences == ()


def twice(row: dict[str, Any]) -> None:
    """Every call of every visit took twice as long."""
    for visit in row["samples"]:
        visit["each"] = [2 * value for value in visit["each"]]


def more(column: str) -> Change:
    """Two per cent more in every visit of writing all tokens with the variant."""

    def change(row: dict[str, Any]) -> None:
        for visit in row["samples"]:
            if (visit["artefact_id"], visit["scope"]) == (MINE[1].artefact_id, PARTS[-1]):
                visit[column] *= 1.02

    return change


def other_outcomes(row: dict[str, Any]) -> None:
    """The first example did otherwise in every way that is counted."""
    first = row["examples"][0]
    shares = {metric.source[1] for metric in METRICS.values() if metric.source[:1] == ("share",)}
    columns = {name: 1 - value if name in shares else 1.5 * value for name, value in dict(first["columns"]).items()}
    first |= {"columns": list(columns.items()), "score": 1 - first["score"]}


# Parts: 0 the sweep, 1 and 2 builds, 3 and 4 evaluations, 5 memory, 6 and 7 leases.
RAW: dict[str, tuple[int, Change, set[str]]] = {
    "seconds": (
        6,
        more("seconds"),
        {"latency_ms", "latency_ratio", "per_token_ms", "per_token_ratio", "tokens_per_second"},
    ),
    "joules": (6, more("joules"), {"energy_j", "energy_ratio"}),
    "single calls": (6, twice, {"latency_p95_ms", "latency_p99_ms"}),
    "outcomes": (4, other_outcomes, {name for name, metric in METRICS.items() if metric.source} - {"macro_f1"}),
}


@pytest.mark.parametrize("kind", RAW)
def test_raw_material_that_was_changed_shows_in_its_metrics(kind: str, store: Path, tmp_path: Path) -> None:
    """In each metric that is made of it, and in no other but those that compare it with the base."""
    number, change, expected = RAW[kind]
    copy = shutil.copytree(store, tmp_path / "store")
    path = sorted((copy / "journal").glob("*.parquet"))[number]
    whole = pq.read_table(path)
    rows = whole.to_pylist()
    change(rows[0])
    pq.write_table(pa.Table.from_pylist(rows, schema=whole.schema), path, compression="zstd")
    with open_snapshot(copy) as snapshot:
        found = verify(snapshot, snapshot.sweeps())
    named = {difference.metric for difference in found.differences if difference.check == "numbers"}
    compared = {METRICS[name].paired for name in expected} - {""}
    assert expected <= named, found.differences
    assert named <= expected | compared | {"flips_gained", "flips_lost", "recovery"}
