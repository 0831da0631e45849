"""Host memory in fresh processes: a large weight shows, int8 takes less, and nothing is left over between models."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.job import MemoryJob
from bench.measure.memory import run_memory
from bench.methods.int8_dynamic import Int8Dynamic
from bench.models import load, save
from bench.recipe import Workplace
from bench.record import Value
from bench.sweep_file import TaskSection
from bench.tasks.spec import bind_task
from tests import tiny

WEIGHT = 40_000_000  # bytes: the widened feed-forward pair of one layer, float32


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, data: dict[str, DataSpec]) -> dict[tuple[str, str], Value]:
    """A tiny model, one with 40 MB more in two Linear layers, and that one in int8; by artefact and metric."""
    root = tmp_path_factory.mktemp("memory")
    sources = tmp_path_factory.mktemp("sources")
    save(load(tiny.saved(tiny.bert(layers=1), sources / "small")), root / "small")
    config = tiny.bert(layers=1, width=512).config
    assert isinstance(config, BertConfig)
    config.intermediate_size = WEIGHT // (2 * 4 * config.hidden_size)
    torch.manual_seed(0)
    save(load(tiny.saved(BertForSequenceClassification(config), sources / "large")), root / "large")
    save(Int8Dynamic().apply(load(root / "large"), Workplace(0, {})), root / "int8")
    names = ("small", "large", "int8")
    job = MemoryJob(
        artefact_ids=names,
        names=names,
        hardware_class="this",
        inputs=bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32}), data),
        versions={},
        shape=(1, 8),
        repeats=2,
    )
    finished, conditions = run_memory(job, Artefacts(root))
    assert conditions.threads == 1
    assert finished.notes["repeats"] == 2
    return {(v.artefact_id, v.metric): v for v in finished.values}


def test_every_number_is_there(measured: dict[tuple[str, str], Value]) -> None:
    metrics = {"host_peak", "resident", "host_imports", "load_seconds"}
    assert measured.keys() == {(a, m) for a in ("small", "large", "int8") for m in metrics}
    for (_, metric), value in measured.items():
        assert value.n == 2
        assert value.low <= value.estimate <= value.high
        assert value.scope == ("batch 1 x 8 tokens" if metric in ("host_peak", "resident") else "")


def test_the_weight_is_in_the_peak(measured: dict[tuple[str, str], Value]) -> None:
    assert measured["large", "host_peak"].low >= WEIGHT
    assert measured["large", "host_peak"].high < 3 * WEIGHT  # not a copy for every stage of loading
    assert measured["large", "resident"].low >= WEIGHT
    assert measured["small", "host_peak"].high < WEIGHT / 2


def test_int8_takes_less(measured: dict[tuple[str, str], Value]) -> None:
    """11 MB of int8 weights instead of 44, and as much again where the kernels pack a copy."""
    assert measured["int8", "host_peak"].high < measured["large", "host_peak"].low - WEIGHT / 4
    assert measured["int8", "resident"].high < measured["large", "resident"].low - WEIGHT / 4
    assert measured["int8", "host_peak"].low >= WEIGHT / 4


def test_libraries_are_no_part_of_a_model(measured: dict[tuple[str, str], Value]) -> None:
    """A forked child meets its parent's library pages anew; they count as imports, as in a process started afresh."""
    assert measured["small", "host_peak"].high < 25e6  # 35 MB where they are counted as the model's
    assert measured["small", "host_imports"].low > 150e6


def test_one_model_leaves_nothing_to_the_next(measured: dict[tuple[str, str], Value]) -> None:
    imports = [measured[a, "host_imports"].estimate for a in ("small", "large", "int8")]
    assert max(imports) - min(imports) < 0.25 * WEIGHT
    assert min(imports) > 50e6  # torch and transformers are imported before the peak is reset


def test_a_missing_artefact_is_named(data: dict[str, DataSpec], tmp_path: Path) -> None:
    from bench.errors import BadInput

    job = MemoryJob(
        artefact_ids=("f" * 64,),
        names=("x",),
        hardware_class="this",
        inputs=bind_task("pairs", TaskSection(data="test"), data),
        versions={},
        shape=(1, 8),
        repeats=1,
    )
    with pytest.raises(BadInput, match=r"ffffffffff is not in .*run the sweep again"):
        run_memory(job, Artefacts(tmp_path))
