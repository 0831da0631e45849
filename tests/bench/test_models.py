"""Loading refuses what would have to be made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.errors import BadInput
from bench.models import WEIGHTS, load
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.saved(tiny.bert(layers=2), tmp_path / "model")


def without(folder: Path, words: str) -> list[str]:
    """Take the weights whose names hold `words` out of a folder; gives their names."""
    state = load_file(folder / WEIGHTS)
    gone = sorted(name for name in state if words in name)
    save_file({name: t for name, t in state.items() if name not in gone}, folder / WEIGHTS, metadata={"format": "pt"})
    return gone


def test_weights_that_are_not_there_are_not_made_up(folder: Path) -> None:
    """As of a body that was saved without the head which its config names: other random ones at each load."""
    gone = without(folder, "classifier")
    with pytest.raises(BadInput, match=rf"lacks the weights {', '.join(gone)}, which its .*`finetune` can give"):
        load(folder)


def test_of_many_the_first_are_named(folder: Path) -> None:
    gone = without(folder, "layer.1.")
    with pytest.raises(BadInput, match=rf"lacks the weights {', '.join(gone[:3])} and {len(gone) - 3} more, which"):
        load(folder)


def test_what_a_class_does_without_is_no_lack(folder: Path) -> None:
    """Weights that two modules share are saved once, and others are computed."""
    where = tiny.saved(tiny.writer(), folder.parent / "writer")
    assert "lm_head.weight" not in load_file(where / WEIGHTS)
    loaded: Any = load(where).model
    assert torch.equal(loaded.get_output_embeddings().weight, loaded.get_input_embeddings().weight)
