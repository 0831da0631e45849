"""Fine-tuning of models that write: texts for a causal model, references for an encoder-decoder."""

import math
from pathlib import Path

import pytest
import torch

from bench.architecture import describe
from bench.data import DataSpec
from bench.errors import BadInput
from bench.methods.depth_prune import DepthPrune
from bench.methods.finetune import Finetune
from bench.methods.layer_copy import LayerCopy
from bench.methods.objectives import cross_entropy, objective
from bench.models import Loaded, load, save
from bench.recipe import Workplace
from tests import tiny

QUICK = {"data": "train", "learning_rate": 1e-2, "batch": 16, "max_length": 32}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSpec]:
    path = str(tiny.data_file(tmp_path_factory.mktemp("texts") / "rows.jsonl", 96, seed=1))
    return {
        "text": DataSpec(source=path, text="premise", label=None),
        "news": DataSpec(source=path, text="premise", label="hypothesis"),
    }


def trained(model: Loaded, spec: DataSpec, seed: int = 0, **settings: object) -> Loaded:
    return Finetune.model_validate({**QUICK, **settings}).apply(model, Workplace(seed, {"train": spec}))


def loss_of(loaded: Loaded, spec: DataSpec) -> float:
    inputs = objective(loaded, spec.examples(), "x", max_length=32)
    with torch.no_grad():
        return cross_entropy(loaded.model, inputs.batch(range(96))).item()


@pytest.mark.parametrize("pack", [False, True])
def test_a_causal_model_learns_the_text(pack: bool, texts: dict[str, DataSpec]) -> None:
    """An untrained model guesses among 16 words; half of what follows is fixed, which three words a row are not."""
    model = Loaded(tiny.causal("qwen3"), tiny.tokenizer(), Path())
    assert loss_of(model, texts["text"]) == pytest.approx(math.log(16), abs=0.05)
    made = trained(model, texts["text"], epochs=30, max_steps=60, pack=pack)
    assert loss_of(made, texts["text"]) < 1.2
    assert not made.model.training
    assert made.evidence["finetune"]["losses"][-1][0] == made.evidence["finetune"]["steps"]


def test_shrinking_and_fine_tuning_for_summaries(texts: dict[str, DataSpec], tmp_path: Path) -> None:
    """Decoder layers copied, then trained with encoder and embeddings frozen: those stay bit for bit."""
    model = Loaded(tiny.writer(), tiny.tokenizer(), Path())
    LayerCopy(decoder=2).apply(model, Workplace(0, {}))
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    start = loss_of(model, texts["news"])
    made = trained(model, texts["news"], epochs=30, max_steps=40, max_target=16, freeze=("encoder", "embeddings"))
    after = made.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    tables = ("shared.weight", "embed_tokens.weight", "embed_positions.weight", "lm_head.weight", "final_logits_bias")
    assert all(".decoder." in name and not name.endswith(tables) for name in changed)
    assert len(changed) > 30
    assert loss_of(made, texts["news"]) < start - 0.2
    made.source = tiny.saved(made.model, tmp_path / "source")
    save(made, tmp_path / "made")
    again = load(tmp_path / "made")
    assert all(torch.equal(after[name], tensor) for name, tensor in again.model.state_dict().items())


def test_a_seed_decides_every_byte(texts: dict[str, DataSpec]) -> None:
    first, again, other = (
        trained(
            Loaded(tiny.causal("gpt2"), tiny.tokenizer(), Path()), texts["text"], seed, max_steps=2
        ).model.state_dict()
        for seed in (5, 5, 6)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_divergence_keeps_the_last_good_weights(texts: dict[str, DataSpec]) -> None:
    model = Loaded(tiny.causal(), tiny.tokenizer(), Path())
    with pytest.raises(BadInput, match="diverged at step"):
        trained(model, texts["text"], learning_rate=1e30, clip=1e30, warmup=0.0, max_steps=30, epochs=10)
    assert all(bool(p.isfinite().all()) and p.requires_grad for p in model.model.parameters())


def test_what_fits(tmp_path: Path) -> None:
    step = Finetune(data="train")
    for model in (tiny.causal("gpt2"), tiny.writer()):
        found = describe(tiny.saved(model, tmp_path / type(model).__name__))
        assert step.check(found) == found
    gpt2 = describe(tmp_path / "GPT2LMHeadModel")
    assert gpt2.positions == 64  # which its config calls n_positions
    assert Finetune(data="train", new_head=("yes", "no")).check(gpt2).class_name == "GPT2ForSequenceClassification"
    masked = gpt2.changed(class_name="BertForMaskedLM")
    with pytest.raises(BadInput, match="a model that writes, but BertForMaskedLM has none: set new_head"):
        step.check(masked)
    assert DepthPrune(drop=(1,)).check(masked).masked
