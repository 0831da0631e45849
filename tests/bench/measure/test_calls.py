"""What is timed of a model: the number of tokens that it writes is pinned, and the parts do what their names say."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.job import parts_of
from bench.measure.calls import calls_of
from bench.models import Loaded, load
from tests import tiny


@pytest.fixture(scope="module")
def writers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    folder = tmp_path_factory.mktemp("writers")
    made = {"bart": tiny.writer(), "llama": tiny.causal(), "gpt2": tiny.causal("gpt2")}
    return {name: load(tiny.saved(model, folder / name)) for name, model in made.items()}


def inputs_for(batch: int, length: int) -> dict[str, torch.Tensor]:
    ids = torch.arange(5, 5 + batch * length).reshape(batch, length) % 11 + 5
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_a_forward_pass(models: dict[str, Path]) -> None:
    loaded = load(models["bert"])
    calls = calls_of(loaded, inputs_for(2, 8), None)
    assert tuple(calls) == parts_of((2, 8), None)
    result: Any = calls["batch 2 x 8 tokens"]()
    assert result.logits.shape[0] == 2


@pytest.mark.parametrize("name", ["bart", "llama", "gpt2"])
def test_writing(writers: dict[str, Loaded], name: str) -> None:
    loaded = writers[name]
    loaded.model.generation_config.num_beams = 4  # the model's own wishes do not count
    loaded.model.generation_config.no_repeat_ngram_size = 2
    with torch.inference_mode():
        calls = calls_of(loaded, inputs_for(2, 6), 9)
        assert tuple(calls) == parts_of((2, 6), 9)
        results: list[Any] = [call() for call in calls.values()]
    prefill, first, whole = results
    read: Any = 1 if name == "bart" else 6  # a decoder repeats what it read, an encoder-decoder its start token
    assert tuple(first.shape) == (2, read + 1)
    assert tuple(whole.shape) == (2, read + 9)
    if name == "bart":  # whose last token is always the end of text
        assert prefill.last_hidden_state.shape[:2] == (2, 6)
    else:
        assert torch.equal(first, whole[:, : read + 1])
        assert prefill.logits.shape[:2] == (2, 1)
        assert prefill.past_key_values.get_seq_length() == 6


def test_an_end_of_text_does_not_end_it(writers: dict[str, Loaded]) -> None:
    """Whatever the model likes best: every token may be the end of text but the number stays."""
    loaded = writers["llama"]
    with torch.inference_mode():
        free: Any = calls_of(loaded, inputs_for(1, 6), 8)[parts_of((1, 6), 8)[-1]]()
        loaded.model.generation_config.eos_token_id = int(free[0, 6])  # what it would write first
        pinned: Any = calls_of(loaded, inputs_for(1, 6), 8)[parts_of((1, 6), 8)[-1]]()
    assert pinned.shape == free.shape
    assert int(free[0, 6]) not in pinned[0, 6:-1].tolist()
