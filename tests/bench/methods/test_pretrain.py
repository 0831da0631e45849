"""Pre-training: bodies learn from text alone, a classifier's head stays as it was, decoders predict what follows."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.architecture import describe
from bench.data import DataSpec
from bench.errors import BadInput
from bench.methods.pretrain import Pretrain, masked_model
from bench.models import Loaded, load
from bench.recipe import Workplace
from tests import tiny, tiny_bert

QUICK: dict[str, Any] = {"data": "text", "shortest": 4, "batch": 16, "epochs": 50, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    return {
        "masked": tiny_bert.saved(tiny_bert.masked(layers=2), root / "masked"),
        "pretraining": tiny_bert.saved(tiny_bert.pretraining(layers=2), root / "pretraining"),
        "classifier": tiny_bert.saved(tiny_bert.classifier(layers=2), root / "classifier"),
        "causal": tiny.saved(tiny.causal("gpt2"), root / "causal"),
        "bart": tiny.saved(tiny.bart(), root / "bart"),
    }


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSpec]:
    source = str(tiny.data_file(tmp_path_factory.mktemp("data") / "train.jsonl", 64, seed=1))
    return {"text": DataSpec(source=source, text="premise", label=None)}


def trained(folder: Path, specs: dict[str, DataSpec], seed: int = 0, **settings: object) -> Loaded:
    step = Pretrain.model_validate({**QUICK, "max_steps": 40, **settings})
    assert step.check(describe(folder)) == describe(folder)
    return step.apply(load(folder), Workplace(seed, specs))


@pytest.mark.parametrize("kind", ["masked", "pretraining", "causal"])
def test_the_loss_falls_below_chance(folders: dict[str, Path], specs: dict[str, DataSpec], kind: str) -> None:
    """Texts are 'the COLOUR ANIMAL runs ...': a model that learnt nothing is worse than ln 16, every word alike."""
    found = trained(folders[kind], specs)
    losses = [x for _, x in found.evidence["pretrain"]["losses"]]
    assert sum(losses[-5:]) / 5 < 1.7 < 2.7 < losses[0]
    assert type(found.model) is type(load(folders[kind]).model)
    assert not found.model.training


def test_rare_words_can_be_favoured(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    even, rare = (trained(folders["masked"], specs, favour_rare=f, max_steps=2).model.state_dict() for f in (0, 1))
    assert any(not torch.equal(even[k], rare[k]) for k in even)


def test_a_classifier_keeps_its_head_and_learns_in_its_body(
    folders: dict[str, Path], specs: dict[str, DataSpec]
) -> None:
    before = load(folders["classifier"]).model.state_dict()
    found = trained(folders["classifier"], specs, max_steps=5)
    after = found.model.state_dict()
    assert set(after) == set(before)
    same = {k for k in before if torch.equal(before[k], after[k])}
    assert {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight"} <= same
    assert not torch.equal(
        before["bert.encoder.layer.1.output.dense.weight"], after["bert.encoder.layer.1.output.dense.weight"]
    )
    assert found.evidence["pretrain"]["objective"] == "masked language modelling, no next-sentence task"
    assert found.evidence["pretrain"]["examples"] == 64


def test_the_masked_model_has_the_classifiers_body(folders: dict[str, Path]) -> None:
    classifier = load(folders["classifier"]).model
    inner = masked_model(classifier).base_model.state_dict()
    body = classifier.base_model.state_dict()
    assert all(torch.equal(tensor, body[name]) for name, tensor in inner.items())
    assert len(inner) == len(body) - 2  # but for the pooler


def test_a_seed_decides_every_byte(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    first, again, other = (
        trained(folders["classifier"], specs, seed, max_steps=2).model.state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_what_it_cannot_train_is_said(folders: dict[str, Path], specs: dict[str, DataSpec]) -> None:
    step = Pretrain(data="text")
    with pytest.raises(
        BadInput, match="masked and causal language models and encoders that classify, but this is a Bart"
    ):
        step.check(describe(folders["bart"]))
    with pytest.raises(BadInput, match="pretrain trains in float32"):
        step.check(describe(folders["masked"]).changed(dtype="bfloat16"))
    with pytest.raises(
        BadInput, match=r"All 64 texts of 'text' are left out: 64 have fewer than 12 tokens.*pretrain.short"
    ):
        Pretrain(data="text").apply(load(folders["masked"]), Workplace(0, specs))
    with pytest.raises(BadInput, match="pretrain hides tokens, but the tokenizer has no mask token"):
        trained(tiny.saved(tiny.bert(), folders["bart"].parent / "maskless"), specs)


def test_long_texts_are_cut_into_pieces(folders: dict[str, Path], tmp_path: Path) -> None:
    """Twenty words, eight tokens a piece of which two frame it: 6 + 6 + 6 + 2 words, nothing lost."""
    path = tmp_path / "long.csv"
    words = " ".join(tiny.WORDS[n % 12] for n in range(20))
    path.write_text(f"text\n{words}\nthe red cat runs\n", encoding="utf-8")
    specs = {"text": DataSpec(source=str(path), label=None)}
    found = trained(folders["masked"], specs, max_length=8, max_steps=1)
    assert found.evidence["pretrain"]["examples"] == 5
