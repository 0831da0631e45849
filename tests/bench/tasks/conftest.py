"""Models that write, made once for all tests of tasks. Nobody may write into these folders."""

from pathlib import Path

import pytest

from tests import tiny

# After "the" comes red (1/2), blue (1/4) or a cat (1/4); what is most likely leads to red, blue, green and the end.
CHANCES = {
    "<s>": {"the": 0.5, "red": 0.25, "big": 0.25},
    "the": {"red": 0.5, "blue": 0.25, "cat": 0.25},
    "red": {"blue": 0.5, "cat": 0.25, "dog": 0.125, "red": 0.125},
    "blue": {"green": 0.75, "cat": 0.25},
    "green": {"</s>": 0.5, "dog": 0.5 - 1e-3, "cat": 1e-3},
    "cat": {"runs": 0.75, "</s>": 0.25},
    "runs": {"cat": 0.75, "</s>": 0.25},
    "dog": {"dog": 0.75, "</s>": 0.25},
}


@pytest.fixture(scope="session")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved models: three causal ones and a writing BART with random weights, "bigrams" with the chances above."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("decoders")
    found = {kind: tiny.saved(tiny.causal(kind), folder / kind) for kind in ("llama", "mistral", "gpt2")}
    found["bart"] = tiny.saved(tiny.writer(seed=3), folder / "bart")
    found["bigrams"] = tiny.saved(tiny.bigrams(CHANCES), folder / "bigrams")
    return found
