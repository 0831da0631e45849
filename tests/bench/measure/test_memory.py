"""Host memory in fresh processes: a large weight shows, int8 takes less, and nothing is left over between models."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification

from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.job import MemoryJob
from bench.measure.memory import ALONE, run_memory
from bench.measure.memory_process import shared
from bench.methods.int8_dynamic import Int8Dynamic
from bench.metrics import METRICS
from bench.models import load, save
from bench.recipe import Workplace
from bench.record import Value
from bench.sweep_file import TaskSection
from bench.tasks.spec import bind_task
from tests import tiny

WEIGHT = 40_000_000  # bytes: the widened feed-forward pair of one layer, float32


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, one with 40 MB more in two Linear layers, and that one in int8."""
    root = tmp_path_factory.mktemp("memory")
    sources = tmp_path_factory.mktemp("sources")
    save(load(tiny.saved(tiny.bert(layers=1), sources / "small")), root / "small")
    config = tiny.bert(layers=1, width=512).config
    assert isinstance(config, BertConfig)
    config.intermediate_size = WEIGHT // (2 * 4 * config.hidden_size)
    torch.manual_seed(0)
    save(load(tiny.saved(BertForSequenceClassification(config), sources / "large")), root / "large")
    save(Int8Dynamic().apply(load(root / "large"), Workplace(0, {})), root / "int8")
    return root


@pytest.fixture(scope="module")
def measured(root: Path, data: dict[str, DataSpec]) -> dict[tuple[str, str], Value]:
    return _measured(("small", "large", "int8"), root, data)


def _measured(names: tuple[str, ...], root: Path, data: dict[str, DataSpec]) -> dict[tuple[str, str], Value]:
    """What a job of two repeats says, by artefact and metric."""
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
    named = [f"backend_{i}" for i, name in enumerate(names) if name == "int8"]
    assert [note for note in finished.notes if note.startswith("backend_")] == named  # int8 alone has a choice
    assert all(conditions.details[name] == finished.notes[name] for name in named)
    return {(v.artefact_id, v.metric): v for v in finished.values}


def test_a_model_that_is_timed_writing_is_measured_writing(data: dict[str, DataSpec], tmp_path: Path) -> None:
    written = tiny.saved(tiny.writer(), tmp_path / "sources")
    save(load(written), tmp_path / "writer")
    job = MemoryJob(
        artefact_ids=("writer",),
        names=("writer",),
        hardware_class="this",
        inputs=bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32}), data),
        versions={},
        shape=(2, 8),
        repeats=1,
        new_tokens=8,
    )
    finished, _ = run_memory(job, Artefacts(tmp_path))
    found = {v.metric: v for v in finished.values}
    assert found["host_peak"].scope == found["first_call_seconds"].scope == "batch 2 x 8 tokens, 8 new"
    assert found["host_peak"].estimate > 0


def test_every_number_is_there(measured: dict[tuple[str, str], Value]) -> None:
    of_shape = {"host_peak", "resident", "first_call_seconds"}
    metrics = of_shape | {"mapped_weights", "host_imports", "load_seconds"}
    assert measured.keys() == {(a, m) for a in ("small", "large", "int8") for m in metrics}
    for (_, metric), value in measured.items():
        assert value.n == 2
        assert value.low <= value.estimate <= value.high
        assert value.scope == ("batch 1 x 8 tokens" if metric in of_shape else "")
        assert METRICS[metric].better == "lower"
        assert value.low > 0


def test_the_weight_is_in_the_peak(measured: dict[tuple[str, str], Value]) -> None:
    assert measured["large", "host_peak"].low >= WEIGHT
    assert measured["large", "host_peak"].high < 3 * WEIGHT  # not a copy for every stage of loading
    assert measured["large", "resident"].low >= WEIGHT
    assert measured["small", "host_peak"].high < WEIGHT / 2


def test_mapped_weights_are_those_of_the_file(measured: dict[tuple[str, str], Value], root: Path) -> None:
    """To the byte, in every repeat. What int8 kernels pack is mapped from nowhere."""
    for name in ("small", "large", "int8"):
        value = measured[name, "mapped_weights"]
        with safe_open(root / name / "model.safetensors", framework="pt") as file:
            size = sum(file.get_tensor(key).nbytes for key in file.keys())  # noqa: SIM118 - no dict
        assert value.low == value.high == size


def test_weights_that_no_token_asks_for_are_in_the_peak_whatever_else_is_measured(
    data: dict[str, DataSpec], root: Path
) -> None:
    """Whether the file was just written or is not in the page cache: kernels map it in pieces of other sizes then.

    And whether alone or beside an int8 model, which has the parent touch code of the libraries.
    """
    config = tiny.bert(layers=1, width=512).config
    assert isinstance(config, BertConfig)
    config.vocab_size = WEIGHT // (4 * config.hidden_size)  # most rows stay untouched
    torch.manual_seed(0)
    save(load(tiny.saved(BertForSequenceClassification(config), root / "source")), root / "words")
    peaks = []
    for names in (("words",), ("int8", "words")):
        peaks.append(_measured(names, root, data)["words", "host_peak"])
        with (root / "words" / "model.safetensors").open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for value in peaks:
        assert WEIGHT <= value.low <= value.high < 1.7 * WEIGHT
    assert abs(peaks[0].estimate - peaks[1].estimate) < 0.1 * WEIGHT


def test_the_share_of_two_sets_of_spans() -> None:
    assert shared([(0, 10), (5, 20)], [(8, 12), (18, 30)]) == 4 + 2
    assert shared([(0, 10)], [(10, 20)]) == 0
    assert shared([(0, 10), (0, 10)], [(0, 4), (2, 10)]) == 10
    assert shared([], [(0, 10)]) == 0


def test_a_child_that_fails_is_quoted(data: dict[str, DataSpec], root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "small", tmp_path / "broken")
    weights = tmp_path / "broken" / "model.safetensors"
    with safe_open(weights, framework="pt") as file:
        kept = {key: file.get_tensor(key) for key in list(file.keys())[1:]}
    save_file(kept, weights)
    with pytest.raises(RuntimeError, match=r"(?s)ended with exit code 1: .*BadInput: .*lacks the weights"):
        _measured(("broken",), tmp_path, data)


ASKING = """
import os, sys, torch
parent = os.getpid()

def asked(*_, **__):
    if os.getpid() == parent:
        sys.exit("the parent asked CUDA, and children of such a process cannot use it")
    return 0

torch.cuda._lazy_init = torch.cuda.current_device = torch.cuda.mem_get_info = asked
if os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK") != "1":
    torch.cuda.is_available = torch.cuda.device_count = asked
from bench.measure.memory_process import main
main()
"""


def test_nothing_asks_cuda_before_the_children_are_forked(data: dict[str, DataSpec], root: Path) -> None:
    """It would be poison for them. What only looks for a GPU may, for it is made to ask NVML."""
    inputs = bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32}), data)
    request = {
        "folders": [str(root / "int8")],
        "inputs": inputs.model_dump(mode="json"),
        "shape": [1, 8],
        "repeats": 1,
        "device": "cpu",
        "new_tokens": None,
    }
    done = subprocess.run(
        [sys.executable, "-c", ASKING],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ALONE},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (answer,) = json.loads(done.stdout.splitlines()[-1])
    assert len(answer["measured"]) == 1


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
    small, large, int8 = (measured[a, "host_imports"].estimate for a in ("small", "large", "int8"))
    assert abs(small - large) < 0.05 * WEIGHT < int8 - small  # which has chosen its kernels
    assert small > 50e6  # torch and transformers are imported before the peak is reset


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
