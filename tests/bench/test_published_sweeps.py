"""The sweeps of the five published models: pinned, one sentence without the hub, planned with local folders."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from safetensors.torch import save_file

from bench.claims.checks import kept_names
from bench.claims.published import SHIPPED
from bench.errors import BadInput
from bench.sweep import Sweep, load_sweep
from bench.sweep_file import SHIPPED as FOLDER
from cluster.plan import Planner
from cluster.standing import Known, Machine
from tests import tiny

COMMIT = re.compile(r"@[0-9a-f]{40}($|/)")
WIDTH = {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}


def model(folder: Path, kind: str, config: transformers.PretrainedConfig) -> Path:
    """What a plan reads of a model: its config, its tokenizer, and that it has weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config.architectures = [kind]
    config.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of the published depths, narrow, and data with the published columns."""
    root = tmp_path_factory.mktemp("published")
    depth = {"encoder_layers": 12, "decoder_layers": 12}
    bart: dict[str, Any] = {"vocab_size": 16, "max_position_embeddings": 1024, **depth, **WIDTH}
    bert: dict[str, Any] = {"vocab_size": 16, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32}
    model(root / "mnli", "BartForSequenceClassification", transformers.BartConfig(**bart, id2label=LABELS))
    model(root / "cnn", "BartForConditionalGeneration", transformers.BartConfig(**bart))
    mistral = transformers.MistralConfig(vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=32)
    model(root / "mistral", "MistralForCausalLM", mistral)
    model(root / "bert", "BertForMaskedLM", transformers.BertConfig(**bert, num_hidden_layers=12))
    model(root / "mini", "BertForMaskedLM", transformers.BertConfig(**bert, num_hidden_layers=4))
    student = transformers.DistilBertConfig(vocab_size=16, dim=16, n_heads=4, hidden_dim=32, n_layers=6)
    model(root / "student", "DistilBertForMaskedLM", student)
    rows: dict[str, list[dict[str, Any]]] = {
        "pairs": [{"premise": "a", "hypothesis": "b", "label": i % 3} for i in range(6)],
        "articles": [{"article": "a b. c d.", "highlights": "a b."} for _ in range(5000)],
        "text": [{"text": "a b c d"} for _ in range(6)],
        "hans": [
            {"sentence1": "a", "sentence2": "b", "gold_label": label, "heuristic": "subsequence"}
            for label in ("entailment", "non-entailment")
        ],
    }
    for name, found in rows.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return root


LOCAL: dict[str, dict[str, str]] = {
    "distilbart_mnli": {
        "bases.mnli.model": "mnli",
        **{f"data.{name}.source": "pairs.jsonl" for name in ("train", "matched", "mismatched")},
    },
    "mistral_sliced": {
        "bases.mistral.model": "mistral",
        **{f"data.{name}.source": "text.jsonl" for name in ("calibration", "heal", "test")},
    },
    "bart_cnn_int8": {
        "bases.cnn.model": "cnn",
        **{f"data.{name}.source": "articles.jsonl" for name in ("test", "tune", "holdout")},
    },
    "distilbert": {
        "bases.bert.model": "bert",
        "teachers.masked.model": "bert",
        "teachers.published.model": "student",
        "data.text.source": "text.jsonl",
        **{f"data.{name}.source": "pairs.jsonl" for name in ("train", "matched")},
    },
    "bert_mini": {
        "bases.bert.model": "bert",
        "teachers.mini.model": "mini",
        "data.hans.source": "hans.jsonl",
        **{f"data.{name}.source": "pairs.jsonl" for name in ("train", "matched", "mismatched")},
    },
}
NAMES = {
    "distilbart_mnli": ("decoder 12 to 9, fine-tuned", "decoder 12 to 1", "checkpoint distilbart-mnli-12-9"),
    "mistral_sliced": (
        "depth 32 to 24 (similarity)",
        "depth 32 to 24 (ShortGPT), healed (LoRA rank 4)",
        "checkpoint Mistral-7B-Instruct-v0.2-sliced-24-layer",
    ),
    "bart_cnn_int8": (
        "int8 per tensor (13 patterns kept in float",
        "fallback mse, 1% of rougeLsum",
        "checkpoint bart-large-cnn-int8-dynamic",
    ),
    "distilbert": ("distilled from masked, fine-tuned", "pre-trained, fine-tuned", "student published"),
    "bert_mini": ("student mini", "random", "first layers, distilled, no gold"),
}


def planned(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return load_sweep(name, [f"{key}={folder / value}" for key, value in LOCAL[name].items()])


@pytest.mark.parametrize("name", SHIPPED)
def test_every_published_sweep_is_planned_with_local_folders(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = planned(name, folder, monkeypatch)
    names = [recipe.variant_name for recipe in sweep.recipes]
    for wanted in NAMES[name]:
        assert any(wanted in found for found in names), names
    plan = Planner(sweep, Machine("a class", {"torch": "2"}))(Known(), frozenset())
    assert {p.status for p in plan.jobs} == {"ready", "waiting"}


@pytest.mark.parametrize("name", SHIPPED)
def test_without_the_hub_the_answer_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="cannot be had from the hub"):
        load_sweep(name)


@pytest.mark.parametrize("name", SHIPPED)
def test_models_and_data_are_pinned_to_commits(name: str) -> None:
    file: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    for section in (*file["bases"].values(), *file.get("teachers", {}).values()):
        assert COMMIT.search(section["model"]), section
    for section in file["data"].values():
        assert COMMIT.search(section["source"]) or not section["source"].startswith("hf://")


def test_the_modules_kept_in_float_are_those_of_the_card() -> None:
    from bench.claims.architectures import counted
    from bench.methods.int8_sizes import linears, module_table

    file: Any = yaml.safe_load((FOLDER / "bart_cnn_int8.yaml").read_text(encoding="utf-8"))
    patterns = next(r[0]["int8_dynamic"]["keep_fp32"] for r in file["recipes"] if "keep_fp32" in str(r))
    names = linears(module_table(counted("bart-large-cnn")))
    matched = {n for n in names if any(fnmatch(n, p) for p in patterns)}
    assert matched == set(kept_names())
