"""How a model folder is loaded by those who run it: the lines of Python, and what they need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.architecture import MARKER, Architecture, describe

# The end of an architecture's name -> the class of transformers that finds it by the folder's config.
AUTO = {
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForPreTraining": "AutoModelForPreTraining",
}
KINDS = {
    "int8_dynamic": "Its weights are int8 modules that transformers does not know",
    "weight_only": "Its weights are packed into few bits by modules that transformers does not know",
    "fp8": "Its weights are float8 with scales, in modules that transformers does not know",
    "sparse_2_4": "transformers alone loads its weights as dense ones, with the same values, and without the kernels "
    "that a GPU has for 2:4 sparsity",
    "compile": "transformers alone loads its weights, with the same values but not compiled",
}
HERE = "."  # where whoever reads the card stands


@dataclass(frozen=True, slots=True)
class Loading:
    """How to load a folder."""

    architecture: Architecture
    plain: bool  # whether transformers alone loads it as it was measured
    needs: tuple[str, ...]  # names and versions of packages
    reason: str  # why transformers alone does not do; empty where it does

    @property
    def library(self) -> str:
        return "transformers" if self.plain else "paredown"

    def lines(self, folder: str = HERE) -> str:
        """Python that loads model and tokenizer."""
        at = f"folder = {folder!r}" + ("  # where this file lies" if folder == HERE else "")
        if self.plain:
            name = auto_class(self.architecture.class_name)
            return (
                f"from transformers import {name}, AutoTokenizer\n\n{at}\n"
                f'model = {name}.from_pretrained(folder, dtype="auto").eval()\n'
                "tokenizer = AutoTokenizer.from_pretrained(folder)"
            )
        return (
            f"from pathlib import Path\n\nfrom bench.models import load\n\n{at}\n"
            'loaded = load(Path(folder), device="cpu")\nmodel, tokenizer = loaded.model, loaded.tokenizer'
        )


def auto_class(name: str | None) -> str:
    """The class of transformers to load an architecture by; its own where none finds it."""
    if name is None:
        return "AutoModel"
    return next((auto for ending, auto in AUTO.items() if name.endswith(ending)), name)


def loading_of(folder: Path, measured_with: Mapping[str, str]) -> Loading:
    """How to load the model in `folder`. Raises BadInput where its config cannot be read.

    Args:
        folder: with config.json and, where it is an artefact, the file that names its loader.
        measured_with: versions of libraries.
    """
    architecture = describe(folder)
    marker = json.loads((folder / MARKER).read_text(encoding="utf-8")) if (folder / MARKER).exists() else {}
    loader = "compile" if marker.get("compiled") else str(marker.get("loader", "transformers"))
    needs = [f"{name} {measured_with[name]}" for name in ("torch", "transformers") if name in measured_with]
    if loader == "transformers":
        return Loading(architecture, True, tuple(needs), "")
    reason = KINDS.get(loader, f"It is loaded as {loader}, which transformers does not know")
    if loader == "compile":
        needs.append("a C++ compiler, and Triton for a GPU")
    return Loading(architecture, False, (f"paredown {own_version()}", *needs), reason)


def own_version() -> str:
    """The version of paredown that is installed."""
    try:
        return version("paredown")
    except PackageNotFoundError:
        return "unreleased"
