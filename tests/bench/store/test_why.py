"""What stands behind a number, against the same counted out by hand; why there is none; what may be asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BadInput
from bench.statistics.intervals import block_median
from bench.store.asked import Asked, find_variant, understand
from bench.store.reader import Snapshot, open_snapshot
from bench.store.sheets import Sheet
from bench.store.why import Why, explain
from tests.bench.store import defended
from tests.bench.store.defended import MEASURED, REASON, TUNED, VARIANTS
from tests.leaderboard.sample import BASE, EXAMPLES, ROUNDS, SCOPE, TASK, latency, writing

MINE = MEASURED[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return defended.make_store(tmp_path_factory.mktemp("why") / "store")


@pytest.fixture(scope="module")
def snapshot(store: Path) -> Iterator[Snapshot]:
    with open_snapshot(store) as found:
        yield found


def asked(snapshot: Snapshot, variant: str, metric: str, scope: str | None = None) -> Asked:
    return understand(snapshot, snapshot.sweeps()[0], variant, metric, scope)


def why(snapshot: Snapshot, metric: str, variant: str = MINE.name, **how: Any) -> Why:
    return explain(snapshot, asked(snapshot, variant, metric), **how)


def column(sheet: Sheet, name: str) -> list[Any]:
    return [row[sheet.columns.index(name)] for row in sheet.rows]


def mapping(sheet: Sheet) -> dict[Any, Any]:
    return {row[0]: row[1] for row in sheet.rows}


def test_a_number_of_more_leases_says_how_they_came(snapshot: Snapshot) -> None:
    about = asked(snapshot, MINE.name, "latency_ratio")
    assert about.number is not None
    assert "settle" not in explain(snapshot, about).command_note
    for declared, words in (
        (1, "one lease more than the 1 of the sweep: a run takes it by itself where leases disagree"),
        (0, "2 leases more than the 0 of the sweep: `paredown settle --store NEW_FOLDER` buys"),
    ):
        more = replace(about, sweep={**about.sweep, "leases": declared})
        assert words in explain(snapshot, more).command_note


def test_a_ratio_lease_by_lease(snapshot: Snapshot) -> None:
    found = why(snapshot, "latency_ratio", everything=True)
    leases, blocks = found.raw
    deliveries = [defended.latency(MEASURED, lease) for lease in range(2)]
    ids = [v.artefact_id for v in MEASURED]
    tables = [defended.table_of(d.samples, ids) for d in deliveries if d.samples]
    ratios = [table[:, 2] / table[:, 0] for table in tables]
    assert column(leases, "record") == [d.record.key for d in deliveries]
    assert column(leases, "estimate") == [pytest.approx(float(np.median(r)), rel=1e-12) for r in ratios]
    assert column(leases, "low") == [pytest.approx(block_median(r).low, rel=1e-12) for r in ratios]
    assert column(leases, "highest") == [pytest.approx(r.max(), rel=1e-12) for r in ratios]
    assert column(leases, "rounds") == [ROUNDS] * 2
    for words, count in zip(column(blocks, "medians"), column(leases, "blocks"), strict=True):
        assert len(words.split()) == count
    assert found.asked.number is not None
    assert found.asked.number["estimate"] == pytest.approx(
        np.exp(np.mean([np.log(np.median(r)) for r in ratios])), rel=1e-12
    )
    assert any("over 2 leases" in text for text in found.interval)
    assert any("several leases give the geometric mean of theirs" in text for text in found.formula)
    assert any("divided by the base's value in the same round" in text for text in found.formula)
    assert found.everything is not None
    assert len(found.everything.rows) == 2 * ROUNDS * 2 * 2  # leases, rounds, visits, the variant and its base
    seconds = column(found.everything, "seconds")
    assert sum(seconds) == pytest.approx(sum(2 * table[:, [0, 2]].sum() for table in tables))


def test_what_differs_between_leases_is_named(snapshot: Snapshot) -> None:
    found = why(snapshot, "latency_ms")
    assert found.conditions.notes == ("Not the same in all: load_1min.",)
    assert ("load_1min", 0.5, 1.5) in found.conditions.rows
    assert ("governor", "performance", "performance") in found.conditions.rows


def test_the_key_and_what_is_outside_of_it(snapshot: Snapshot) -> None:
    rows = mapping(why(snapshot, "latency_ratio").key)
    assert rows["protocol"] == "2, steady"
    assert rows["lease"] == "0; 1"
    assert {"hardware_class", "versions", "burst_ms", "threads", "inputs", "artefacts"} <= rows.keys()
    assert "load_1min" not in rows
    scored = mapping(why(snapshot, "accuracy").key)
    assert {"task kind", "task version", "task settings", "data", "versions", "device", "windows"} <= scored.keys()
    assert "artefacts" not in scored


def test_right_wrong_and_flips(snapshot: Snapshot) -> None:
    mine, base = (defended.evaluation(v).examples for v in (MINE, MEASURED[0]))
    assert mine is not None
    assert base is not None
    found = why(snapshot, "accuracy_difference", everything=True)
    totals, flips, examples = found.raw
    rows = {row[0]: row[1:] for row in totals.rows}
    assert rows["right"] == (int(mine.score.sum()), int(base.score.sum()))
    assert rows["wrong"] == (EXAMPLES - int(mine.score.sum()), EXAMPLES - int(base.score.sum()))
    gained, lost = int((mine.score > base.score).sum()), int((mine.score < base.score).sum())
    assert [row[1] for row in flips.rows] == [gained, lost, EXAMPLES - gained - lost]
    first = np.flatnonzero(mine.score != base.score)[:5].tolist()
    assert column(examples, "example") == first
    assert column(examples, "prediction") == [mine.prediction[i] for i in first]
    assert column(examples, "base's prediction") == [base.prediction[i] for i in first]
    assert found.everything is not None
    assert column(found.everything, "score") == mine.score.tolist()
    assert len(found.records.rows) == 2, "the base's evaluation is behind a difference too"
    assert len(why(snapshot, "accuracy").records.rows) == 1


def test_f1_by_label_and_prediction(snapshot: Snapshot) -> None:
    examples = defended.evaluation(MINE).examples
    assert examples is not None
    (confusion,) = [sheet for sheet in why(snapshot, "macro_f1").raw if "prediction (columns)" in sheet.title]
    names = confusion.columns[1:]
    for label, *counts in confusion.rows:
        pairs = list(zip(examples.label, examples.prediction, strict=True))
        assert counts == [pairs.count((str(label), name)) for name in names]


def test_recovery_names_the_scores_that_it_rests_on(snapshot: Snapshot) -> None:
    (scores,) = why(snapshot, "recovery").raw
    assert (column(scores, "task"), column(scores, "metric")) == ([TASK], ["accuracy"])
    assert column(scores, "ratio") == [pytest.approx(column(scores, "variant")[0] / column(scores, "base")[0])]


def test_memory_as_the_record_states_it(snapshot: Snapshot) -> None:
    found = why(snapshot, "host_peak")
    (sheet,) = found.raw
    assert found.interval[0] == "Method: Student t with what measurements differ by."
    assert found.interval[1].startswith("Student's t for the median of the repeats")
    assert column(sheet, "median") == [MINE.memory]
    assert column(sheet, "lowest") == [0.995 * MINE.memory]
    assert sheet.notes == ("Lowest, median and highest of 3: these are all the samples that there are.",)


def test_exact_numbers_and_the_files_they_were_counted_from(snapshot: Snapshot, store: Path, tmp_path: Path) -> None:
    found = why(snapshot, "parameters", everything=True)
    files, types, counts = found.raw
    assert mapping(files) == {name: len(content) for name, content in MINE.files.items()}
    assert sorted(types.rows) == [("F16", 1, 5), ("F32", 1, 12)]
    assert ("bytes", 58, 29) in counts.rows
    assert counts.notes[0].startswith("delivered: fewer bytes of weights")
    assert found.everything is not None
    assert column(found.everything, "shape") == ["3x4", "5"]
    assert ("decoder_layers", "4") in why(snapshot, "layers").raw[1].rows
    shutil.copytree(store, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "artefacts" / MINE.artefact_id)
    with open_snapshot(tmp_path / "store") as other:
        gone = why(other, "size")
    assert gone.artefact_folder is None
    assert gone.raw[0].notes == ("The artefact is not in the store any more.",)


def test_lineage_records_and_command(snapshot: Snapshot, store: Path) -> None:
    found = why(snapshot, "accuracy")
    assert column(found.lineage, "step") == ["import", "finetune", "int8_dynamic"]
    assert column(found.lineage, "seed") == [None, 3, 3]
    assert column(found.lineage, "artefact") == [v.artefact_id for v in (MEASURED[0], TUNED, MINE)]
    assert found.artefact_folder == str(store.resolve() / "artefacts" / MINE.artefact_id)
    assert column(found.records, "job") == [f"evaluate {MINE.name} on {TASK}"]
    assert found.command == "paredown run defended.yaml 'seeds=[3]' --store NEW_FOLDER"


MISSING = {
    "failed": (VARIANTS[3].name, "accuracy", f"could not be built: build: bad spec: {REASON}"),
    "waiting": (VARIANTS[4].name, "size", "not built yet"),
    "base": (VARIANTS[0].name, "accuracy_difference", "the base itself"),
    "ratio of base": (VARIANTS[0].name, "perplexity_ratio", "the base itself"),
    "no task": (MINE.name, "rouge1", f"No task of the sweep gives it ({TASK}: accuracy, macro_f1)"),
    "no writing": (MINE.name, "per_token_ms", "latency.new_tokens is not set"),
    "no energy": (MINE.name, "energy_j", "Nothing told the energy"),
    "no tail": (MINE.name, "latency_p99_ms", "Fewer than 10 independent calls"),
}


@pytest.mark.parametrize("case", MISSING)
def test_why_there_is_no_number(case: str, snapshot: Snapshot) -> None:
    variant, metric, words = MISSING[case]
    found = why(snapshot, metric, variant)
    assert found.asked.number is None
    assert found.missing is not None
    assert words in found.missing
    assert found.raw == ()


def test_what_the_sweep_did_not_measure(tmp_path: Path) -> None:
    """No leases, no repeats, no evaluation yet: each is another sentence."""
    questions = json.loads(defended.declaration().body)["questions"]
    questions["MemoryJob"]["repeats"] = 0

    with writing(tmp_path / "store") as writer:
        writer.append([defended.declaration(leases=0, questions=questions), *defended.entries()[:5]])
    with open_snapshot(tmp_path / "store") as found:
        assert "latency.leases is 0" in str(why(found, "latency_ratio").missing)
        assert "memory.repeats is 0" in str(why(found, "host_peak").missing)
        assert "not been evaluated yet" in str(why(found, "accuracy").missing)


def test_variants_by_name_part_and_id(snapshot: Snapshot) -> None:
    variants = snapshot.rows("select * from variants order by position")
    for asked_for in (MINE.name, "Fine-Tuned", "fine-tuned, int8", MINE.recipe_id[:8], MINE.artefact_id[:6]):
        assert find_variant(variants, asked_for)["name"] == MINE.name
    assert find_variant(variants, "int8")["name"] == f"{BASE}: int8", "a whole name goes before a part of one"
    with pytest.raises(BadInput, match=r"'bart' may mean .*'bart-large: base'.*give more of the name"):
        find_variant(variants, "bart")
    with pytest.raises(BadInput, match=r"no variant called 'distiled'.*Did you mean 'bart-large: distilled'"):
        find_variant(variants, "distiled")
    with pytest.raises(BadInput, match="no variant called ''"):
        find_variant(variants, "")


def test_metrics_and_scopes(snapshot: Snapshot) -> None:
    assert asked(snapshot, MINE.name, "accuracy").scope == TASK
    assert asked(snapshot, MINE.name, f"latency_ms:{SCOPE}").scope == SCOPE
    assert asked(snapshot, MINE.name, "latency_ms", "1 x 128").scope == SCOPE
    with pytest.raises(BadInput, match=r"no metric called 'acuracy'.*'accuracy'.*paredown ls metrics"):
        asked(snapshot, MINE.name, "acuracy")
    with pytest.raises(BadInput, match=f"no scope of accuracy in this sweep called 'x'.*{TASK}"):
        asked(snapshot, MINE.name, "accuracy", "x")


def test_the_base_is_its_own_measure(snapshot: Snapshot) -> None:
    found = why(snapshot, "latency_ratio", VARIANTS[0].name)
    assert column(found.raw[0], "estimate") == [1.0, 1.0]
    assert any("by definition" in text for text in found.interval)
    assert latency(MEASURED, 0).record.key == column(found.raw[0], "record")[0]
