"""Similarity of blocks: planted identity blocks are found, and every number is the one that its definition gives."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, RobertaConfig, RobertaForSequenceClassification

from bench.data import Example
from bench.errors import BadInput
from bench.methods.similarity import (
    EVIDENCE,
    Position,
    Probe,
    Similarity,
    Stack,
    _Watch,
    cosine,
    curve_rows,
    layer_stack,
    measure,
    merged,
    pick,
)
from bench.models import Loaded
from tests import tiny

TEXTS = ["the red cat runs", "dog", "the big blue bird sleeps not", "green small dog runs the cat"]
# What a layer adds to the residual: with these at zero it adds nothing.
WRITES = ("o_proj", "down_proj", "attn.c_proj", "mlp.c_proj", "output.dense", "out_proj", "fc2", "out_lin", "lin2")


def loaded(model: PreTrainedModel) -> Loaded:
    return Loaded(model, tiny.tokenizer(), Path())


def rows(count: int = 12, label: str = "") -> list[Example]:
    return [Example(i, " ".join([TEXTS[i % 4], *["bird"] * (i // 4)]), None, label) for i in range(count)]


def planted(model: Loaded, layers: Sequence[int], stack: Stack | None = None) -> Loaded:
    """The model with layers that add nothing; a layer norm keeps the direction of what it has normed once."""
    for number in layers:
        for name, module in layer_stack(model.model, stack)[number].named_modules():
            if name.endswith(WRITES):
                for parameter in module.parameters():
                    nn.init.zeros_(parameter)
    return model


def similarity(model: Loaded, examples: Sequence[Example], probe: Probe) -> Similarity:
    return merged([measure(model, examples, probe)], "texts")


def roberta(layers: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = RobertaConfig.from_dict({**tiny.bert(layers).config.to_dict(), "model_type": "roberta"})
    model: PreTrainedModel = RobertaForSequenceClassification(config)
    model.train(False)
    return model


@pytest.mark.parametrize("kind", [*tiny.CAUSAL, "bert", "roberta", "distilbert", "encoder", "decoder", "writer"])
def test_a_planted_identity_block_is_found(kind: str) -> None:
    stack: Stack | None = "encoder" if kind == "encoder" else "decoder" if kind in ("decoder", "writer") else None
    if kind in tiny.CAUSAL:
        model = tiny.causal(kind, layers=6)
    elif kind == "roberta":
        model = roberta(layers=6)
    elif kind == "writer":
        model = tiny.writer(decoder_layers=6)
    else:
        model = tiny.bart(6, 6) if stack else getattr(tiny, kind)(layers=6)
    held = planted(loaded(model), (2, 3, 4), stack)
    found = similarity(held, rows(label="the dog runs"), Probe(stack=stack))
    assert found.block(3) == 2
    assert found.distance[2][2] <= 1e-4
    assert min(d for first, d in enumerate(found.distance[2]) if first != 2) > 1e-3
    assert found.idlest(3) == (2, 3, 4)
    double = similarity(Loaded(model.double(), held.tokenizer, Path()), rows(label="dog"), Probe(stack=stack))
    assert double.distance[2][2] == 0 if kind in tiny.CAUSAL else double.distance[2][2] < 1e-7


@pytest.mark.parametrize("final_norm", [False, True])
def test_every_block_against_its_definition(final_norm: bool) -> None:
    """Sample by sample, without padding, from the states that transformers hands out: the last of those is normed."""
    model = tiny.causal("llama", layers=3, initializer_range=0.3)
    held, examples = loaded(model), rows(9)
    found = similarity(held, examples, Probe(final_norm=final_norm))
    ends: list[torch.Tensor] = []
    layer_stack(model, None)[-1].register_forward_hook(lambda _m, _a, out: ends.append(out))
    expected = [[0.0] * (4 - n) for n in (1, 2)]
    influence, tokens = [0.0] * 3, 0
    for example in examples:
        ids = held.tokenizer(example.text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = list(model(input_ids=ids, output_hidden_states=True).hidden_states)
        if not final_norm:
            states[-1] = ends[-1]
        vectors = [s[0].double() for s in states]
        tokens += ids.shape[1]
        for n in (1, 2):
            for first in range(4 - n):
                a, b = vectors[first][-1], vectors[first + n][-1]
                expected[n - 1][first] += math.acos(float(a @ b / (a.norm() * b.norm()))) / math.pi / 9
        for layer in range(3):
            a, b = vectors[layer], vectors[layer + 1]
            influence[layer] += float((1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).sum())
    for row, wanted in zip(found.distance, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-6)
    assert found.influence == pytest.approx([x / tokens for x in influence], abs=1e-6)
    assert (found.count, found.tokens) == (9, tokens)


def test_following_pruneme_changes_the_blocks_that_end_last_alone() -> None:
    model = loaded(tiny.causal("llama", layers=3, initializer_range=0.3))
    plain, normed = (similarity(model, rows(), Probe(final_norm=x)) for x in (False, True))
    for n, (a, b) in enumerate(zip(plain.distance, normed.distance, strict=True), start=1):
        assert a[: 3 - n] == b[: 3 - n]
        assert a[3 - n] != b[3 - n]
    row = Similarity([[0.1, 0.3, 0.2, 0.2]], [0.0] * 4, 9, 9)
    assert row.block(1) == 0
    assert row.block(1, skip_first=True) == 2  # of two alike, the earlier


class Fixed(nn.Module):
    """A layer that gives what it was told to, whatever comes in."""

    def __init__(self, state: list[list[float]]) -> None:
        super().__init__()
        self.state = torch.tensor([state])

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor]:
        del hidden_states
        return (self.state,)


def test_influence_and_angles_by_hand() -> None:
    """Two real tokens and one padding. Cosines by layer: 1/sqrt(2) and 1, then 0 and -1."""
    watch = _Watch(2, Probe())
    watch.mask = torch.tensor([[True, True, False]])
    layers = nn.ModuleList([Fixed([[1, 1], [0, 2], [9, 9]]), Fixed([[-1, 1], [0, -2], [7, -7]])])
    with watch.on(layers):
        middle = layers[0](torch.tensor([[[1.0, 0], [0, 1], [5, 5]]]))[0]
        layers[1](hidden_states=middle)
    watch.finish()
    found = merged([{**watch.answer(), "count": 8}], "texts")  # the sample eight times
    assert watch.answer()["count"] == 1
    assert watch.answer()["sums"] == [[0.0, 1.0]]
    assert found.influence == pytest.approx([(1 - 1 / math.sqrt(2)) / 2, 1.5], abs=1e-6)
    assert found.idlest(1) == (0,)
    assert Similarity([], [0.3, 0.1, 0.2, 0.1], 8, 8).idlest(3) == (1, 2, 3)
    layers[0](torch.zeros(1, 3, 2))
    assert not watch._picked  # the hooks are gone


@pytest.mark.parametrize(("position", "expected"), [("last", [3, 7]), ("first", [2, 5]), ("mean", [2.5, 6])])
def test_positions_follow_the_mask_on_either_side(position: Position, expected: list[float]) -> None:
    state = torch.tensor([[0.0, 2, 3, 0], [5, 6, 7, 0]])[..., None]
    mask = torch.tensor([[False, True, True, False], [True, True, True, False]])
    assert pick(state, mask, position)[:, 0].tolist() == expected


def test_cosines_are_exact_for_equal_vectors_and_stay_in_range() -> None:
    vectors = torch.randn(500, 37, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(cosine(vectors, vectors.clone()), torch.ones(500, dtype=torch.float64))
    assert float(cosine(vectors, -3 * vectors).min()) == -1.0
    assert cosine(torch.zeros(1, 3), torch.ones(1, 3)).tolist() == [0.0]


def test_padding_changes_nothing() -> None:
    """Whatever side the tokenizer pads on, and whether a sample is padded at all or has no neighbour."""
    model = loaded(tiny.causal("gpt2", layers=3, initializer_range=0.3))
    whole = measure(model, rows(), Probe())
    model.tokenizer.padding_side = "left"
    assert measure(model, rows(), Probe()) == whole
    single = [measure(model, [row], Probe()) for row in rows()]
    a, b = merged([whole], ""), merged(single, "")
    for one, other in zip(a.distance, b.distance, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert a.influence == pytest.approx(b.influence, rel=1e-4)
    model.tokenizer.pad_token = model.tokenizer.eos_token = None
    assert measure(model, rows(), Probe())["tokens"] == whole["tokens"]


def test_shards_add_up_to_one_pass() -> None:
    model, examples = loaded(tiny.causal("llama", layers=3)), rows(44)
    whole = merged([measure(model, examples, Probe())], "")
    parts = merged([measure(model, examples[a : a + 16], Probe()) for a in range(0, 80, 16)], "")
    assert (parts.count, parts.tokens) == (whole.count, whole.tokens) == (44, whole.tokens)
    for one, other in zip([*whole.distance, whole.influence], [*parts.distance, parts.influence], strict=True):
        assert one == pytest.approx(other, rel=1e-12)
    unequal = merged([measure(model, examples[:8], Probe()), measure(model, examples[8:], Probe())], "")
    assert unequal.distance[0] == pytest.approx(whole.distance[0], rel=1e-12)  # a mean of means would differ
    few, rest = (measure(model, part, Probe()) for part in (examples[:8], examples[8:]))
    mean_of_means = (few["sums"][0][0] / 8 + rest["sums"][0][0] / 36) / 2
    assert mean_of_means != pytest.approx(whole.distance[0][0], rel=1e-6)


def test_a_long_sample_is_cut() -> None:
    model = loaded(tiny.causal("llama"))
    assert measure(model, [Example(0, "red " * 200, None, "")], Probe(max_length=5))["tokens"] == 5
    assert measure(model, [Example(0, "red " * 200, None, "")], Probe(max_length=500))["tokens"] == 64


def test_what_cannot_be_measured() -> None:
    with pytest.raises(BadInput, match="'c4' give 7 samples with text, and similarity needs at least 8"):
        merged([measure(loaded(tiny.causal()), rows(7), Probe())], "c4")
    with pytest.raises(BadInput, match="measured on references, and the calibration data have none"):
        measure(loaded(tiny.writer()), rows(), Probe(stack="decoder"))
    broken = tiny.causal()
    nn.init.constant_(layer_stack(broken, None)[1].get_parameter("mlp.down_proj.weight"), float("inf"))
    with pytest.raises(BadInput, match=r"not finite in torch.float32.*before cast"):
        measure(loaded(broken), rows(), Probe())


def test_rows_of_the_curve() -> None:
    assert curve_rows({EVIDENCE: {"distance": [[0.5, 0.25], [0.75]]}}) == [(1, 0, 0.5), (1, 1, 0.25), (2, 0, 0.75)]
    assert curve_rows({}) == curve_rows({EVIDENCE: {"strategy": "drop"}}) == []
