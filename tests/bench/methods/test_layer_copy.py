"""Layer copying: the published maps, the rule for every other depth, and layers that are bit for bit the teacher's."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.architecture import Architecture, describe
from bench.errors import BadInput
from bench.methods.layer_copy import LayerCopy, layer_map
from bench.models import layer_count, load, parameter_count, save, unique_state
from bench.recipe import Workplace

WORK = Workplace(0, {})
# Depth -> kept -> layers, as published with the shrink-and-fine-tune students of BART, Pegasus and Marian.
PUBLISHED = {
    12: {
        1: (0,),
        2: (0, 6),
        3: (0, 6, 11),
        4: (0, 4, 8, 11),
        6: (0, 2, 4, 7, 9, 11),
        9: (0, 1, 2, 4, 5, 7, 9, 10, 11),
        12: tuple(range(12)),
    },
    16: {
        1: (0,),
        2: (0, 15),
        3: (0, 8, 15),
        4: (0, 5, 10, 15),
        6: (0, 3, 6, 9, 12, 15),
        8: (0, 2, 4, 6, 8, 10, 12, 15),
    },
    6: {2: (0, 5), 3: (0, 2, 5), 4: (0, 1, 3, 5)},
}
KEEPS_NO_LAST = {(12, 2)}  # as published


@pytest.mark.parametrize(("depth", "keep"), [(d, k) for d, maps in PUBLISHED.items() for k in maps])
def test_published_maps(depth: int, keep: int) -> None:
    assert layer_map(depth, keep) == PUBLISHED[depth][keep]


@given(st.integers(1, 96).flatmap(lambda depth: st.tuples(st.just(depth), st.integers(1, depth))))
def test_every_map_is_ascending_and_keeps_the_ends(pair: tuple[int, int]) -> None:
    depth, keep = pair
    found = layer_map(depth, keep)
    assert len(found) == len(set(found)) == keep
    assert list(found) == sorted(found)
    assert found[0] == 0
    assert found[-1] <= depth - 1
    if keep > 1 and pair not in KEEPS_NO_LAST:
        assert found[-1] == depth - 1
        gaps = [b - a for a, b in itertools.pairwise(found)]
        assert max(gaps) - min(gaps) <= 2 if depth in PUBLISHED else max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(("depth", "keep"), [(6, 9), (6, 0), (6, -1), (1, 2)])
def test_impossible_numbers_of_layers(depth: int, keep: int) -> None:
    with pytest.raises(BadInput, match=rf"asks for {keep} of {depth} layers: choose a number from 1 to {depth}"):
        layer_map(depth, keep)


def layer_of(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


STACKS = {
    "bart-decoder": ("bart", LayerCopy(decoder=2), "model.decoder.layers.", (0, 3)),
    "bart-encoder": ("bart", LayerCopy(encoder=1), "model.encoder.layers.", (0,)),
    "bert": ("bert", LayerCopy(encoder=2), "bert.encoder.layer.", (0, 2)),
    "distilbert": ("distilbert", LayerCopy(encoder=2), "distilbert.transformer.layer.", (0, 2)),
}


@pytest.mark.parametrize("case", STACKS)
def test_layers_are_the_teachers_bit_for_bit(case: str, models: dict[str, Path], tmp_path: Path) -> None:
    kind, step, prefix, kept = STACKS[case]
    teacher = load(models[kind])
    before = {k: v.clone() for k, v in teacher.model.state_dict().items()}
    layers = layer_count(teacher.model)
    student = step.apply(load(models[kind]), WORK)
    save(student, tmp_path / "student")
    after = load(tmp_path / "student").model.state_dict()
    for new, old in enumerate(kept):
        mine, theirs = layer_of(after, f"{prefix}{new}."), layer_of(before, f"{prefix}{old}.")
        assert len(mine) > 10
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[k], theirs[k]) for k in mine)
    assert not layer_of(after, f"{prefix}{len(kept)}.")
    rest = [k for k in before if not k.startswith(prefix)]
    assert rest
    assert all(torch.equal(before[k], after[k]) for k in rest)
    depth = sum(1 for k in before if k.startswith(prefix) and k.endswith("fc1.weight"))
    stack_depth = depth or 3
    assert layer_count(student.model) == layers - stack_depth + len(kept)


def test_parameters_after_copying_as_computed_by_hand(models: dict[str, Path], tmp_path: Path) -> None:
    """Tiny BART: d=16, ffn 32, vocabulary 16, 64 + 2 positions. Every product is written out."""
    attention = 4 * (16 * 16 + 16)
    feed_forward = 16 * 32 + 32 + 32 * 16 + 16
    norm = 2 * 16
    encoder_layer = attention + feed_forward + 2 * norm
    decoder_layer = 2 * attention + feed_forward + 3 * norm
    embeddings = 16 * 16 + 2 * (66 * 16) + 2 * norm  # tokens once for both sides, positions and their norm for each
    head = (16 * 16 + 16) + (16 * 3 + 3)
    whole = embeddings + 2 * encoder_layer + 4 * decoder_layer + head
    assert parameter_count(load(models["bart"]).model) == whole
    for step, count in (
        (LayerCopy(decoder=2), whole - 2 * decoder_layer),
        (LayerCopy(encoder=1), whole - encoder_layer),
        (LayerCopy(encoder=1, decoder=1), whole - encoder_layer - 3 * decoder_layer),
    ):
        student = step.apply(load(models["bart"]), WORK)
        assert parameter_count(student.model) == count
    save(student, tmp_path / "x")
    tensors = sum(t.numel() * t.element_size() for t in unique_state(student.model).values())
    on_disk = (tmp_path / "x" / "model.safetensors").stat().st_size
    assert tensors == 4 * count
    assert 0 < on_disk - tensors < 8192  # the header: names and shapes, no second copy of the embedding


def test_students_do_not_remember_the_dropped_layers(models: dict[str, Path], tmp_path: Path) -> None:
    """The config says what the weights say: another loader that believes the config finds every layer."""
    student = LayerCopy(encoder=1, decoder=2).apply(load(models["bart"]), WORK)
    save(student, tmp_path / "x")
    found = describe(tmp_path / "x")
    assert (found.encoder_layers, found.decoder_layers) == (1, 2)
    assert student.model.config.num_hidden_layers == 1


def test_short_precision_is_kept(models: dict[str, Path]) -> None:
    from bench.methods.cast import Cast

    student = LayerCopy(decoder=1).apply(Cast().apply(load(models["bart"]), WORK), WORK)
    assert {p.dtype for p in student.model.parameters()} == {torch.bfloat16}


def test_what_does_not_fit() -> None:
    bert = Architecture("bert", "BertForSequenceClassification", 3, None, ("a", "b"), 64)
    with pytest.raises(BadInput, match="bert model has no decoder"):
        LayerCopy(decoder=1).check(bert)
    with pytest.raises(BadInput, match="cannot follow int8_dynamic"):
        LayerCopy(encoder=1).check(bert.changed(int8=True))
    assert LayerCopy(encoder=2).check(bert).encoder_layers == 2
    assert LayerCopy(encoder=2).label(bert) == "encoder 3 to 2"
