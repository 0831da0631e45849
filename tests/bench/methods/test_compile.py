"""torch.compile as a step: its parent's bytes under another name, compiled code once called, or a sentence why not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from bench.architecture import architecture_of, describe, model_files
from bench.artefacts import Artefacts
from bench.errors import BadInput
from bench.identity import file_digest
from bench.measure.delivered import delivered
from bench.measure.shrink import facts_of
from bench.methods.compile import Compile
from bench.methods.compiling import require_compiler
from bench.methods.int8_dynamic import Int8Dynamic
from bench.models import Loaded, copy_model, load, save
from bench.recipe import Workplace
from tests import tiny

WORK = Workplace(0, {})
IDS = torch.tensor([[0, 5, 6, 7, 2], [0, 9, 2, 1, 1]])


def logits(loaded: Loaded, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = loaded.model(input_ids=ids, attention_mask=(ids != 1).long()).logits
    return found


def publish(artefacts: Artefacts, loaded: Loaded) -> str:
    with artefacts.draft() as draft:
        save(loaded, draft)
        return artefacts.publish(draft)


def test_the_same_bytes_under_another_name(models: dict[str, Path], tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    with artefacts.draft() as draft:
        copy_model(models["bert"], draft)
        parent = artefacts.publish(draft)
    steps: list[dict[str, Any]] = [{}, {"dynamic": False}, {"mode": "max-autotune"}]
    made = [publish(artefacts, Compile.model_validate(s).apply(load(artefacts.path(parent)), WORK)) for s in steps]
    assert len({parent, *made}) == 4
    for name in model_files(artefacts.path(parent)):
        same = file_digest(artefacts.path(parent) / name) == file_digest(artefacts.path(made[0]) / name)
        assert same == (name != "paredown.json")
    marker = json.loads((artefacts.path(made[0]) / "paredown.json").read_text())
    assert marker == {
        "format": 1,
        "loader": "transformers",
        "settings": {},
        "compiled": {"mode": "default", "dynamic": True},
    }
    assert describe(artefacts.path(made[0])).sealed == "compile"
    assert publish(artefacts, Compile().apply(load(artefacts.path(parent)), WORK)) == made[0]


def test_the_loader_of_its_parent_stays(models: dict[str, Path], tmp_path: Path) -> None:
    save(Int8Dynamic(activations="tensor").apply(load(models["bert"]), WORK), tmp_path / "int8")
    save(Compile().apply(load(tmp_path / "int8"), WORK), tmp_path / "x")
    again = load(tmp_path / "x")
    assert (again.loader, again.loader_settings) == ("int8_dynamic", {"activations": "tensor"})
    assert again.compiled == {"mode": "default", "dynamic": True}
    assert describe(tmp_path / "x").batch_dependent
    assert again.model._compiled_call_impl is not None
    with torch.compiler.set_stance("force_eager"):
        assert torch.equal(logits(again), logits(load(tmp_path / "int8")))


def test_compiled_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One layer: compiling takes its time. A second shape is served by the code of the first."""
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)  # no processes that import torch to compile it
    folder = tiny.saved(tiny.bert(1), tmp_path / "bert")
    save(Compile().apply(load(folder), WORK), tmp_path / "x")
    plain, made = load(folder), load(tmp_path / "x")
    before = facts_of(plain.model)
    torch._dynamo.utils.counters.clear()
    facts = facts_of(made.model)
    assert not torch._dynamo.utils.counters["stats"]  # looked at as it is written
    assert delivered("compile", Compile().promise(describe(folder), {}), before, facts)["verdict"] == "delivered"
    assert facts.operators == before.operators
    assert (logits(made) - logits(plain)).abs().max() < 1e-5
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs >= 1
    wider = torch.randint(3, 16, (3, 9))
    assert (logits(made, wider) - logits(plain, wider)).abs().max() < 1e-5
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
    assert list(made.model.state_dict()) == list(plain.model.state_dict())
    assert not torch._dynamo.config.automatic_dynamic_local_pgo


def test_no_compiler(models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    save(Compile().apply(load(models["bert"]), WORK), tmp_path / "x")

    def nothing() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", nothing)
    with pytest.raises(BadInput, match=r"compile needs a C\+\+ compiler, and this machine has none"):
        load(tmp_path / "x")
    monkeypatch.undo()
    require_compiler(torch.device("cpu"))


def test_settings() -> None:
    bert = architecture_of(tiny.bert(1).config.to_dict())
    assert Compile().label(bert) == "compiled"
    assert Compile(mode="max-autotune", dynamic=False).label(bert) == "compiled (max-autotune, fixed shapes)"
    with pytest.raises(ValidationError):
        Compile.model_validate({"mode": "fast"})
