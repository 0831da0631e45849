"""Predicted bytes: the published files of BART-large, what is written for a tiny model, and refusals."""

from pathlib import Path

import pytest
import yaml
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from transformers import BartConfig, BartForConditionalGeneration

import bench
from bench.methods.int8_sizes import (
    TORCH_AO,
    Weights,
    bart_table,
    folder_table,
    linears,
    module_table,
    predicted_bytes,
    tied_heads,
)
from tests import tiny

LARGE = bart_table(1024, 4096, (12, 12), 50264, 1024)
PUBLISHED = Path(str(bench.__file__)).parent / "claims" / "bart_large_cnn_int8_fp32_modules.yaml"


def published() -> list[str]:
    kept: list[str] = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))["kept"]
    return kept


def test_linear_layers_of_bart_large() -> None:
    """6 an encoder layer, 10 a decoder layer, the head: 72 + 120 + 1, also in transformers' own model."""
    assert len(linears(LARGE)) == 72 + 120 + 1
    config = BartConfig(
        vocab_size=50264,
        d_model=1024,
        encoder_layers=12,
        decoder_layers=12,
        encoder_ffn_dim=4096,
        decoder_ffn_dim=4096,
        max_position_embeddings=1024,
    )
    with init_empty_weights(include_buffers=False):
        model = BartForConditionalGeneration(config)
    model.tie_weights()
    table = module_table(model)
    assert set(table) == set(LARGE)
    assert linears(table) == linears(LARGE)
    assert tied_heads(table) == {"lm_head"}


def test_forty_published_names() -> None:
    kept = published()
    assert len(set(kept)) == 40
    assert set(kept) <= set(linears(LARGE))
    assert sum(name.endswith(("fc1", "fc2")) for name in kept) == 34


@pytest.mark.parametrize(
    ("settings", "measured"),
    [
        ({"lm_head": "int8"}, 625_359_632),
        ({}, 573_083_891),
        ({"kept": 40, "lm_head": "int8"}, 1_015_113_975),
        ({"kept": 40, "embeddings": True}, 1_066_953_954),
    ],
)
def test_published_sizes_within_a_thousandth(settings: dict[str, object], measured: int) -> None:
    """Bytes that torch.ao's quantised BART-large takes when saved; the file's own header is the difference."""
    chosen = {**settings, **({"kept": published()} if "kept" in settings else {})}
    found = predicted_bytes(LARGE, channel_bytes=TORCH_AO, **chosen)  # type: ignore[arg-type]
    assert 0 < measured - found < measured / 1000


def test_float_model_has_its_published_parameters() -> None:
    buffer = 50264  # final_logits_bias is saved and is no parameter
    assert predicted_bytes(LARGE, linears(LARGE)) == 4 * (406_290_432 + buffer)


def test_by_hand() -> None:
    table = (
        Weights("embed", "embedding", 10, 4, 0, "embed"),
        Weights("again", "embedding", 10, 4, 0, "embed"),
        Weights("fc", "linear", 6, 4, 6, "fc"),
        Weights("norm", "other", 8, 1, 0, "norm"),
        Weights("lm_head", "linear", 10, 4, 0, "embed"),
    )
    embed, norm, fc, fc_float = 160, 32, 24 + 6 * 4 + 6 * 4, (24 + 6) * 4
    assert predicted_bytes(table) == embed + norm + fc
    assert predicted_bytes(table, ["fc"]) == embed + norm + fc_float
    assert predicted_bytes(table, lm_head="int8") == embed + norm + fc + 40 + 40
    assert predicted_bytes(table, ["lm_head"], lm_head="int8") == embed + norm + fc
    assert predicted_bytes(table, embeddings=True) == (40 + 80) + norm + fc + embed  # the head needs its own now
    assert predicted_bytes(table, embeddings=True, lm_head="int8") == (40 + 80) + norm + fc + 40 + 40
    assert predicted_bytes(table, ["fc"], float_bytes=2) == (embed + norm + fc_float) // 2
    with pytest.raises(ValueError, match="no Linear layer is called 'norm'"):
        predicted_bytes(table, ["norm"])


def test_table_of_a_folder(tmp_path: Path) -> None:
    folder = tiny.saved(tiny.writer(), tmp_path / "writer")
    assert set(folder_table(folder)) == set(bart_table(16, 32, (2, 4), 16, 64))
