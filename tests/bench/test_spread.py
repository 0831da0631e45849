"""Models over several cards: where their modules would go, and that they compute the same wherever they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.artefacts import weight_bytes
from bench.errors import BadInput, DoesNotFit
from bench.measure.predict import meta_model
from bench.models import load
from bench.spread import device_map, spread
from tests import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("model")
    return tiny.saved(tiny.bart(decoder_layers=6, width=64), found)


def layers_of(places: dict[str, int]) -> dict[int, int]:
    """Card of each decoder layer."""
    prefix = "model.decoder.layers."
    return {int(name.removeprefix(prefix)): card for name, card in places.items() if name.startswith(prefix)}


def test_whole_layers_go_to_card_after_card(folder: Path) -> None:
    size = weight_bytes(folder)
    places = device_map(folder, [size // 2] * 3)
    assert set(places.values()) == {0, 1, 2}
    cards = [card for _, card in sorted(layers_of(places).items())]
    assert cards == sorted(cards)
    model = meta_model(folder)
    for name, parameter in model.named_parameters():  # each weight has exactly one place, and no card too much
        owners = {card for module, card in places.items() if name == module or name.startswith(f"{module}.")}
        assert len(owners) == 1, (name, parameter.shape)
    for card in range(3):
        held = {
            id(parameter): parameter.nbytes
            for module, place in places.items()
            if place == card
            for name, parameter in model.named_parameters()
            if name == module or name.startswith(f"{module}.")
        }
        assert sum(held.values()) <= size // 2


def test_one_card_that_holds_it_is_enough(folder: Path) -> None:
    assert set(device_map(folder, [4 * weight_bytes(folder)] * 2).values()) == {0}
    assert spread(folder, "cpu") is None


def test_too_little_is_said_in_a_sentence(folder: Path) -> None:
    with pytest.raises(DoesNotFit, match=r"cannot fit onto 2 cards with .* MB left together"):
        device_map(folder, [weight_bytes(folder) // 3] * 2)


def test_a_model_that_was_spread_computes_the_same(folder: Path) -> None:
    """Every module on the CPU, by name: hooks hand the activations on."""
    plain = load(folder)
    places: dict[str, int | str] = dict.fromkeys(device_map(folder, [weight_bytes(folder) // 2] * 3), "cpu")
    over = load(folder, "cpu", places)
    ids = torch.tensor([[0, 4, 5, 6, 2]])
    with torch.inference_mode():
        assert torch.equal(plain.model(ids).logits, over.model(ids).logits)


def test_quantised_models_are_not_spread(folder: Path, tmp_path: Path) -> None:
    from bench.models import copy_model, mark

    copy_model(folder, tmp_path / "quantised")
    mark(tmp_path / "quantised", "int8_dynamic")
    with pytest.raises(BadInput, match="cannot be spread over several devices"):
        load(tmp_path / "quantised", "cpu", {"": "cpu"})
