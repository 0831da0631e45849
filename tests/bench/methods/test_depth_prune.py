"""Depth pruning: the right layers go, the rest are bit for bit the parent's, and what is saved writes as it should."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError

from bench.architecture import describe
from bench.artefacts import Artefacts
from bench.data import DataSpec
from bench.errors import BadInput
from bench.execute import build, study
from bench.job import BuildJob, StudyJob
from bench.methods import depth_prune
from bench.methods.depth_prune import DepthPrune, mergekit
from bench.methods.similarity import EVIDENCE, curve_rows, layer_stack
from bench.models import Loaded, load, save
from bench.recipe import Workplace
from bench.record import Finished
from tests import answering, tiny
from tests.answering import asked_by
from tests.bench.methods.test_similarity import planted

SIMILAR = {"data": "texts", "samples": 40}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSpec]:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": row["premise"]}) + "\n" for row in tiny.rows(30)), encoding="utf-8")
    return {"texts": DataSpec(source=str(path), label=None)}


def applied(model: Loaded, texts: dict[str, DataSpec], **settings: object) -> Loaded:
    """The step with its questions answered."""
    return answering.applied(DepthPrune.model_validate(settings), model, Workplace(0, texts))


def in_memory(kind: str, folder: Path, **changes: Any) -> Loaded:
    return load(tiny.saved(tiny.causal(kind, layers=6, **changes), folder / "parent"))


@pytest.mark.parametrize("kind", tiny.CAUSAL)
def test_without_an_identity_block_nothing_has_changed(
    kind: str, texts: dict[str, DataSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers 2 and 3 add nothing, so without them the logits stay; cached writing is as uncached."""
    monkeypatch.setattr(depth_prune, "SHARD", 16)
    model = planted(in_memory(kind, tmp_path), (2, 3))
    ids = model.tokenizer(["the red cat runs not"], return_tensors="pt")["input_ids"]
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    with torch.no_grad():
        expected = model.model(input_ids=ids).logits
    made = applied(model, texts, layers=2, **SIMILAR)
    assert made.evidence[EVIDENCE]["dropped"] == [2, 3]
    save(made, tmp_path / "student")
    again = load(tmp_path / "student")
    for found in (made, again):
        with torch.no_grad():
            assert torch.equal(found.model(input_ids=ids).logits, expected)
        generate: Any = found.model.generate
        written = [generate(ids, max_new_tokens=8, do_sample=False, use_cache=c) for c in (True, False)]
        assert torch.equal(*written)
        assert written[0].shape[1] > ids.shape[1]
    prefix = "transformer.h" if kind == "gpt2" else "model.layers"
    after = again.model.state_dict()
    for new, old in enumerate((0, 1, 4, 5)):
        mine = {k: v for k, v in after.items() if k.startswith(f"{prefix}.{new}.")}
        assert len(mine) > 5
        assert all(torch.equal(v, before[k.replace(f".{new}.", f".{old}.", 1)]) for k, v in mine.items())
    assert describe(tmp_path / "student").encoder_layers == 4 == len(layer_stack(again.model, None))


def test_evidence_holds_the_whole_curve(texts: dict[str, DataSpec], tmp_path: Path) -> None:
    model = planted(in_memory("llama", tmp_path), (1, 2))
    made = applied(model, texts, layers=2, **SIMILAR)
    found = made.evidence[EVIDENCE]
    assert found == json.loads(json.dumps(found, allow_nan=False))
    assert [len(row) for row in found["distance"]] == [6, 5, 4, 3, 2]
    assert (found["kept"], found["dropped"], found["samples"], found["data"]) == ([0, 3, 4, 5], [1, 2], 30, "texts")
    assert len(found["influence"]) == 6
    assert (2, 1, found["distance"][1][1]) in curve_rows(made.evidence)
    assert len(curve_rows(made.evidence)) == 20


def test_recipes_share_the_calibration_pass(texts: dict[str, DataSpec]) -> None:
    """Questions say nothing of how many layers go or by which rule; other ways of measuring ask others."""
    first = DepthPrune.model_validate({"layers": 2, **SIMILAR})
    others: list[dict[str, object]] = [{"layers": 5}, {"layers": 1, "strategy": "shortgpt"}, {"skip_first": True}]
    for other in others:
        step = DepthPrune.model_validate({"layers": 2, **SIMILAR, **other})
        assert [q.key for q in asked_by(step)] == [q.key for q in asked_by(first)]
    others = [{"final_norm": True}, {"position": "mean"}, {"max_length": 64}, {"stack": "encoder"}]
    for other in others:
        step = DepthPrune.model_validate({"layers": 2, **SIMILAR, **other})
        assert asked_by(step)[0].key != asked_by(first)[0].key
    many = asked_by(DepthPrune.model_validate({"layers": 2, "data": "texts", "samples": 600}))
    assert [(q.settings["first"], q.settings["last"]) for q in many] == [(0, 256), (256, 512), (512, 600)]
    assert [q.data for q in many] == [("texts",)] * 3
    assert (
        len(asked_by(DepthPrune.model_validate({"layers": 2, "data": "texts", "samples": 600}), {many[0].key: {}})) == 2
    )
    assert asked_by(DepthPrune(layers=2, strategy="deepest_but_last")) == ()
    assert asked_by(DepthPrune(drop=(1,))) == ()


@pytest.mark.parametrize(
    ("settings", "dropped"),
    [
        ({"layers": 2, "strategy": "deepest_but_last"}, [3, 4]),
        ({"layers": 5, "strategy": "deepest_but_last"}, [0, 1, 2, 3, 4]),
        ({"drop": [4, 1]}, [1, 4]),
        ({"layers": 3, "strategy": "shortgpt", **SIMILAR}, [0, 2, 5]),
    ],
)
def test_strategies(settings: dict[str, Any], dropped: list[int], texts: dict[str, DataSpec], tmp_path: Path) -> None:
    """Layers 0, 2 and 5 are planted: influence finds them one by one, which no block could."""
    made = applied(planted(in_memory("qwen3", tmp_path), (0, 2, 5)), texts, **settings)
    assert made.evidence[EVIDENCE]["dropped"] == dropped
    assert len(layer_stack(made.model, None)) == 6 - len(dropped)
    slices = yaml.safe_load(made.extra_files["mergekit.yaml"])["slices"]
    ranges = [range(*source["layer_range"]) for part in slices for source in part["sources"]]
    assert [i for r in ranges for i in r] == made.evidence[EVIDENCE]["kept"]


def test_mergekit_text() -> None:
    """The slices published for Mistral-7B-Instruct-v0.2-sliced-24-layer."""
    text = mergekit([*range(21), *range(29, 32)], "bfloat16")
    assert yaml.safe_load(text) == {
        "slices": [
            {"sources": [{"model": "parent", "layer_range": [0, 21]}]},
            {"sources": [{"model": "parent", "layer_range": [29, 32]}]},
        ],
        "merge_method": "passthrough",
        "dtype": "bfloat16",
    }


def test_lists_with_an_entry_a_layer_are_cut(texts: dict[str, DataSpec], tmp_path: Path) -> None:
    """Layers 0 to 3 attend to everything, 4 and 5 to a window of 3: those kept go on as they did."""
    windows = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 4}
    made = applied(in_memory("qwen2", tmp_path, **windows), texts, drop=[0, 2, 4])
    assert made.model.config.layer_types == ["full_attention"] * 2 + ["sliding_attention"]
    assert made.model.config.max_window_layers == 2
    save(made, tmp_path / "student")
    assert load(tmp_path / "student").model.config.layer_types == made.model.config.layer_types


def test_stacks_of_an_encoder_decoder(texts: dict[str, DataSpec], tmp_path: Path) -> None:
    folder = tiny.saved(tiny.bart(4, 4), tmp_path / "bart")
    for stack, depths in (("encoder", (3, 4)), ("decoder", (4, 3))):
        step = {"layers": 1, "stack": stack, **SIMILAR}
        model = load(folder)
        planted(model, (2,), "encoder" if stack == "encoder" else "decoder")
        made = applied(model, texts, **step)
        assert made.evidence[EVIDENCE]["dropped"] == [2]
        assert (made.model.config.encoder_layers, made.model.config.decoder_layers) == depths
        assert not made.extra_files
    assert DepthPrune.model_validate(step).label(describe(folder)) == "decoder 4 to 3 (similarity)"


def test_how_a_model_writes_is_kept(texts: dict[str, DataSpec], tmp_path: Path) -> None:
    model = in_memory("llama", tmp_path)
    model.model.generation_config.max_length = 17
    made = applied(model, texts, drop=[1])
    save(made, tmp_path / "student")
    assert load(tmp_path / "student").model.generation_config.max_length == 17


def test_precision_is_kept_and_positions_stay_exact(texts: dict[str, DataSpec], tmp_path: Path) -> None:
    """A bfloat16 student computes in memory what it computes when loaded: rotary angles are never rounded."""
    tiny.saved(tiny.causal("llama").bfloat16(), tmp_path / "parent")
    made = applied(load(tmp_path / "parent"), texts, drop=[1])
    save(made, tmp_path / "student")
    assert {p.dtype for p in made.model.parameters()} == {torch.bfloat16}
    assert yaml.safe_load(made.extra_files["mergekit.yaml"])["dtype"] == "bfloat16"
    ids = torch.tensor([[0, 4, 5, 6, 7, 8, 9, 10] * 6])
    with torch.no_grad():
        assert torch.equal(made.model(ids).logits, load(tmp_path / "student").model(ids).logits)


def test_as_jobs(texts: dict[str, DataSpec], tmp_path: Path) -> None:
    """The study is one job, the build another; mergekit.yaml lies beside the weights, and the curve in the record."""
    artefacts = Artefacts(tmp_path / "artefacts")
    parent = tiny.saved(planted(Loaded(tiny.causal(), tiny.tokenizer(), tmp_path), (1,)).model, tmp_path / "parent")
    with artefacts.draft() as draft:
        save(load(parent), draft)
        artefact_id = artefacts.publish(draft)
    step = DepthPrune.model_validate({"layers": 1, **SIMILAR})
    (question,) = asked_by(step)
    settings = step.model_dump(mode="json")
    asked = StudyJob(
        artefact_id=artefact_id,
        name="x",
        step=step.name,
        version=1,
        settings=settings,
        question=question.kind,
        asked=dict(question.settings),
        data=texts,
        tasks={},
        versions={},
    )
    answer = study(asked, artefacts, 1).outcome.answer
    assert answer is not None
    job = BuildJob(
        recipe_id="a" * 64,
        name="x",
        parent=artefact_id,
        step=step.name,
        settings=settings,
        data=texts,
        answers={question.key: dict(answer)},
    )
    outcome = build(job, artefacts, 1).outcome
    assert isinstance(outcome, Finished)
    assert outcome.artefact_id is not None
    assert outcome.answer is not None
    assert outcome.answer[EVIDENCE]["dropped"] == [1]
    assert (artefacts.path(outcome.artefact_id) / "mergekit.yaml").is_file()


def test_what_does_not_fit(models: dict[str, Path], texts: dict[str, DataSpec], tmp_path: Path) -> None:
    bert, bart = describe(models["bert"]), describe(models["bart"])
    llama = describe(tiny.saved(tiny.causal("llama"), tmp_path / "llama"))
    assert DepthPrune(drop=(3,)).check(llama).encoder_layers == 3
    assert DepthPrune(drop=(3,), stack="decoder").check(llama).encoder_layers == 3
    assert DepthPrune(drop=(3,), stack="decoder").check(bart).decoder_layers == 3
    assert DepthPrune(drop=(3, 1)).label(llama) == "depth 4 to 2 (without 1, 3)"
    assert DepthPrune(layers=1, data="x").label(llama) == "depth 4 to 3 (similarity)"
    wrong = [
        ({"drop": [0, 1, 2]}, bert, "drops 3 of 3 layers: choose a number from 1 to 2"),
        ({"layers": 9, "data": "x"}, llama, "drops 9 of 4 layers: choose a number from 1 to 3"),
        ({"drop": [4]}, llama, "names layer 4, but there are 4: choose from 0 to 3"),
        ({"drop": [1]}, llama.changed(encoder_layers=None), "llama model counts none"),
        ({"drop": [1]}, bert.changed(int8=True), "cannot follow int8_dynamic"),
        ({"drop": [1]}, bart, "bart model has two stacks: set it to encoder or decoder"),
        ({"drop": [1], "stack": "decoder"}, bert, "asks for the decoder, but a BertForSequenceClassification has none"),
        ({"drop": [1], "stack": "encoder"}, llama, "asks for the encoder, but a LlamaForCausalLM has none"),
    ]
    for settings, architecture, message in wrong:
        with pytest.raises(BadInput, match=message):
            DepthPrune.model_validate(settings).check(architecture)
    short = texts["texts"].model_copy(update={"limit": 5})
    with pytest.raises(BadInput, match="'texts' give 5 samples with text, and similarity needs at least 8"):
        applied(load(tmp_path / "llama"), {"texts": short}, layers=1, **SIMILAR)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either layers"),
        ({"layers": 2, "drop": [1], "data": "x"}, "either layers"),
        ({"layers": 2}, "by similarity needs data"),
        ({"layers": 2, "strategy": "shortgpt"}, "by shortgpt needs data"),
        ({"drop": [1, 1]}, "different layer numbers"),
        ({"drop": []}, "different layer numbers"),
        ({"drop": [-1]}, "different layer numbers"),
    ],
)
def test_settings_that_contradict(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DepthPrune.model_validate(settings)
