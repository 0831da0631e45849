"""A model over several cards of one machine, where one does not hold it: accelerate's device map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.artefacts import weight_bytes
from bench.device import gpu_index
from bench.errors import DoesNotFit

FIRST_CARD_SHARE = 0.8  # of its memory that weights may fill: inputs, outputs and the cache lie there as well
CARD_SHARE = 0.9


def device_map(folder: Path, cards: Sequence[int]) -> dict[str, int]:
    """Which card each module of the model in `folder` goes to: whole layers, in their order, card after card.

    Args:
        folder: of the model.
        cards: bytes that each card has left, by its number.

    Raises:
        DoesNotFit: all cards together do not hold it.
        BadInput: the folder holds no model that can be loaded.
    """
    from accelerate import infer_auto_device_map  # type: ignore[import-untyped]

    from bench.measure.predict import meta_model

    model = meta_model(folder)
    shares = [FIRST_CARD_SHARE, *[CARD_SHARE] * (len(cards) - 1)]
    most: dict[int | str, int] = {
        i: int(share * left) for i, (share, left) in enumerate(zip(shares, cards, strict=True))
    }
    whole = sorted(model._no_split_modules or ())
    limits = {**most, "cpu": 0}
    found: Mapping[str, int | str] = infer_auto_device_map(model, limits, no_split_module_classes=whole)
    beyond = [name for name, place in found.items() if not isinstance(place, int)]
    if beyond:
        raise DoesNotFit(
            f"{folder.name[:10]} cannot fit onto {len(cards)} cards with {sum(cards) / 1e6:,.0f} MB left together: its "
            f"weights take {weight_bytes(folder) / 1e6:,.0f} MB, and {beyond[0]!r} has no place. Use more or larger "
            "cards."
        )
    return {name: int(place) for name, place in found.items()}


def spread(folder: Path, device: str) -> dict[str, int] | None:
    """The device map of a model that one card cannot hold and several that this process sees can; None for any other.

    Raises as `device_map`.
    """
    if gpu_index(device) is None:
        return None
    import torch

    from bench.measure.predict import available_bytes

    cards = [available_bytes(f"cuda:{i}") for i in range(torch.cuda.device_count())]
    if len(cards) < 2 or weight_bytes(folder) <= cards[gpu_index(device) or 0]:
        return None
    return device_map(folder, cards)
