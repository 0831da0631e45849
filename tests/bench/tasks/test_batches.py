"""Inputs go to the model's device, nothing is fetched between batches, and what memory does not hold is split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.artefacts import Artefacts
from bench.data import DataSpec, Example
from bench.execute import Site, attempt, evaluate
from bench.job import EvaluateJob
from bench.methods.int8_dynamic import Int8Dynamic
from bench.models import Loaded, load, save
from bench.recipe import Workplace
from bench.record import Examples, Failed
from bench.sweep_file import TaskSection
from bench.tasks.batches import NARROW_TOKENS, counted_splits, in_batches, narrowed
from bench.tasks.classification import Classification
from bench.tasks.generation import Generation
from bench.tasks.heuristics import Heuristics
from bench.tasks.language_modelling import LanguageModelling
from bench.tasks.multiple_choice import MultipleChoice
from bench.tasks.spec import Task, bind_task
from bench.tasks.summarisation import Summarisation
from bench.tasks.zero_shot import ZeroShot
from tests import tiny

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate 9"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


@dataclass
class Fake:
    """As much of a model as batches need."""

    batch_dependent: bool = False


def fitting(most: int, seen: list[list[int]], error: Exception) -> Callable[[Sequence[int], Sequence[int]], None]:
    """Holds at most `most` rows at once; `seen` gets the batches that fitted."""

    def run(rows: Sequence[int], batch: Sequence[int]) -> None:
        assert set(rows) <= set(batch)
        if len(rows) > most:
            raise error
        seen.append(list(rows))

    return run


@pytest.mark.parametrize("error", FULL, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_batches_are_halved_until_they_fit(most: int, error: Exception) -> None:
    seen: list[list[int]] = []
    with counted_splits() as splits:
        in_batches(Fake(), [4] * 11, 32, fitting(most, seen, error))  # type: ignore[arg-type]
    assert [row for rows in seen for row in rows] == list(range(11))  # each row once, in the order of the batches
    assert max(map(len, seen)) <= most
    assert splits.count == len(seen) - 2  # two batches asked for; every split makes one more


def test_what_is_as_large_as_what_did_not_fit_is_not_tried() -> None:
    tried: list[int] = []

    def run(rows: Sequence[int], _: Sequence[int]) -> None:
        tried.append(len(rows))
        if len(rows) > 4:
            raise MemoryError

    in_batches(Fake(), [2] * 40, 16, run)  # type: ignore[arg-type]
    assert tried == [8] + [4] * 10


def test_one_row_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(MemoryError):
        in_batches(Fake(), [4] * 4, 16, fitting(0, [], MemoryError()))  # type: ignore[arg-type]


def test_any_other_error_is_not_taken_for_full_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"):
        in_batches(Fake(), [4] * 4, 16, fitting(2, [], RuntimeError("shape '[2]' is invalid")))  # type: ignore[arg-type]


def test_a_model_that_minds_its_batch_mates_is_never_split() -> None:
    seen: list[list[int]] = []
    with counted_splits() as splits, pytest.raises(MemoryError):
        in_batches(Fake(batch_dependent=True), [4] * 4, 16, fitting(2, seen, MemoryError()))  # type: ignore[arg-type]
    assert (seen, splits.count) == ([], 0)


def test_only_float32_on_a_cpu_reads_less_than_asked_for(models: dict[str, Path]) -> None:
    """There the width of a batch changes last bits; int8 and bfloat16 make steps of them, and a GPU wants more."""
    loaded = load(models["bert"])
    assert narrowed(loaded, 4096) == NARROW_TOKENS
    assert narrowed(loaded, 64) == 64
    for activations in ("token", "tensor"):
        int8 = Int8Dynamic.model_validate({"activations": activations}).apply(load(models["bert"]), Workplace(0, {}))
        assert narrowed(int8, 4096) == 4096
    loaded.model.to(torch.bfloat16)  # type: ignore[arg-type]
    assert narrowed(loaded, 4096) == 4096
    loaded.model.to("meta", torch.float32)  # type: ignore[arg-type]
    assert narrowed(loaded, 4096) == 4096


def test_int8_by_token_gives_the_same_numbers_in_parts(
    models: dict[str, Path], examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the width of the whole batch. In another one float rounding moves, and int8 makes steps of it."""
    loaded = Int8Dynamic(activations="token").apply(load(models["bart"]), Workplace(0, {}))
    task = Classification(max_length=32, batch_tokens=256)
    whole = task.outcomes(loaded, examples[:60])
    held = limited(loaded, 3, "forward", monkeypatch)
    found = task.outcomes(loaded, examples[:60])
    assert max(held) == 3
    assert np.abs(found.confidence - whole.confidence).max() < 1e-6


def limited(loaded: Loaded, most: int, method: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let `forward` or `generate` hold at most `most` rows at once; returns the sizes of the batches that fitted."""
    held: list[int] = []
    inner = getattr(loaded.model, method)

    def run(*args: Any, **inputs: Any) -> Any:
        if len(inputs["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        held.append(len(inputs["input_ids"]))
        return inner(*args, **inputs)

    monkeypatch.setattr(loaded.model, method, run)
    return held


CLASSIFYING = [
    Classification(max_length=32),
    ZeroShot(max_length=32, labels=("red", "big"), template="the {}"),
    Heuristics(max_length=32),
]
SCORING = [LanguageModelling(max_length=16), MultipleChoice(max_length=32)]
WRITING = [Summarisation(source_tokens=32, max_length=12), Generation(prompt_tokens=4, new_tokens=6, max_length=32)]


def window_for(task: Task, examples: list[Example]) -> list[Example]:
    choices = ("red", "big cat") if isinstance(task, MultipleChoice) else ()
    pair = isinstance(task, Classification | Heuristics)
    return [
        Example(e.index, e.text, e.pair if pair else None, "0" if choices else e.label, choices=choices)
        for e in examples[:24]
    ]


def place_of(task: Task, models: dict[str, Path], decoders: dict[str, Path]) -> Path:
    if task in CLASSIFYING:
        return models["bert"]
    return decoders["bart" if isinstance(task, Summarisation) else "llama"]


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("task", [*CLASSIFYING, *SCORING, *WRITING], ids=lambda t: t.kind)
def test_split_batches_give_what_whole_ones_give(
    task: Task,
    most: int,
    models: dict[str, Path],
    decoders: dict[str, Path],
    examples: list[Example],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded, window = load(place_of(task, models, decoders)), window_for(task, examples)
    whole = task.outcomes(loaded, window)
    held = limited(loaded, most, "generate" if task in WRITING else "forward", monkeypatch)
    with counted_splits() as splits:
        found = task.outcomes(loaded, window)
    assert 0 < max(held) <= most
    assert splits.count > 0
    assert found.prediction == whole.prediction
    assert found.index.tolist() == whole.index.tolist()
    assert columns(found).keys() == columns(whole).keys()
    for name, values in columns(whole).items():
        np.testing.assert_allclose(columns(found)[name], values, rtol=1e-5, atol=1e-6)  # rounding of float32 only


def columns(examples: Examples) -> dict[str, Any]:
    return {"score": examples.score, "confidence": examples.confidence, **examples.columns}


@pytest.mark.parametrize("task", [*CLASSIFYING, *SCORING, *WRITING], ids=lambda t: t.kind)
def test_inputs_go_to_the_models_device_and_nothing_comes_back_between_batches(
    task: Task,
    models: dict[str, Path],
    decoders: dict[str, Path],
    examples: list[Example],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On torch's device without memory every attempt to look at a number fails: it must come after the last batch."""
    loaded, window = load(place_of(task, models, decoders)), window_for(task, examples)
    small = task.model_copy(update={"batch_tokens": 64})
    method = "generate" if task in WRITING else "forward"
    batches = limited(loaded, 1000, method, monkeypatch)
    small.outcomes(loaded, window)
    expected, seen = len(batches), []
    loaded.model.to("meta")  # type: ignore[arg-type]

    def run(*_: Any, **inputs: Any) -> Any:
        seen.append({str(v.device) for v in inputs.values() if isinstance(v, torch.Tensor)})
        shape = tuple(inputs["input_ids"].shape)
        if task in WRITING:
            return torch.zeros(shape[0], 40, dtype=torch.long)
        size = (*shape, loaded.model.config.vocab_size) if task in SCORING else (shape[0], len(tiny.LABELS))
        return SimpleNamespace(logits=torch.empty(size, device="meta"))

    monkeypatch.setattr(loaded.model, method, run)
    if task in WRITING:  # whether a text has ended must be looked at in any case
        small.outcomes(loaded, window)
    else:
        with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
            small.outcomes(loaded, window)
    assert expected > 1
    assert seen == [{"meta"}] * expected


@pytest.mark.parametrize("activations", ["token", "tensor"])
def test_an_evaluation_notes_its_splits_or_fails_for_want_of_memory(
    activations: str,
    models: dict[str, Path],
    data: dict[str, DataSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = Int8Dynamic.model_validate({"activations": activations}).apply(load(models["bert"]), Workplace(0, {}))
    save(loaded, tmp_path / "x")
    settings = {"data": "test", "max_length": 32, "batch_tokens": 512}
    task = bind_task("pairs", TaskSection.model_validate(settings), data)
    job = EvaluateJob(artefact_id="x", name="x", task=task, first=0, last=1, versions={})
    whole = evaluate(job, Artefacts(tmp_path), 1)
    assert whole.outcome.notes["batches_split"] == 0
    inner = type(loaded.model).forward

    def forward(self: Any, **inputs: Any) -> Any:
        if len(inputs["input_ids"]) > 16:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return inner(self, **inputs)

    monkeypatch.setattr(type(loaded.model), "forward", forward)
    delivery = attempt(job, 1, Site(tmp_path))
    outcome = delivery.record.outcome
    if activations == "tensor":
        assert isinstance(outcome, Failed)
        assert outcome.kind == "out of memory"
        return
    assert not isinstance(outcome, Failed)
    assert int(str(outcome.notes["batches_split"])) > 0
    assert delivery.examples is not None
    assert whole.examples is not None
    assert delivery.examples.prediction == whole.examples.prediction


def test_who_depends_on_batch_mates_is_declared(models: dict[str, Path], tmp_path: Path) -> None:
    """By the step to the plan, by what is saved to whoever loads it, and to the plan of a sweep that begins there."""
    from bench.architecture import describe

    for activations, dependent in (("token", False), ("tensor", True)):
        step = Int8Dynamic.model_validate({"activations": activations})
        assert step.check(describe(models["bert"])).batch_dependent is dependent
        folder = tmp_path / activations
        save(step.apply(load(models["bert"]), Workplace(0, {})), folder)
        assert load(folder).batch_dependent is dependent
        assert describe(folder).batch_dependent is dependent
    assert load(models["bert"]).batch_dependent is False
