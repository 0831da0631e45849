"""What a model folder holds, read from its files without importing torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bench.errors import BadInput, Unavailable

MARKER = "paredown.json"
# What makes a model behave as it does; a README or a training log beside the weights does not.
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
BESIDE = "numbers.json"  # what `paredown export` writes beside a model: no part of it
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.*", "*.model")
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True, slots=True)
class Architecture:
    """The parts of a model that steps change or depend on; layers are counted, None where there is no such stack."""

    model_type: str
    class_name: str | None
    encoder_layers: int | None
    decoder_layers: int | None
    labels: tuple[str, ...] | None
    positions: int | None
    dtype: str = "float32"
    int8: bool = False
    hidden: int | None = None  # width of the residual stream
    heads: int | None = None
    vocab: int | None = None
    sealed: str | None = None  # the step after which there are no plain weights to work on, but for who follows it
    batch_dependent: bool = False  # predictions for a text depend on its batch-mates and on padding

    def _is(self, *endings: str) -> bool:
        return bool(self.class_name and self.class_name.endswith(endings))

    @property
    def classifies(self) -> bool:
        return self._is("ForSequenceClassification")

    @property
    def generates(self) -> bool:
        """An encoder-decoder that writes text."""
        return self._is("ForConditionalGeneration")

    @property
    def causal(self) -> bool:
        """A decoder that continues text."""
        return self._is("ForCausalLM", "LMHeadModel")

    @property
    def masked(self) -> bool:
        """An encoder that fills in masked tokens."""
        return self._is("ForMaskedLM", "ForPreTraining")

    def changed(self, **changes: Any) -> "Architecture":
        return replace(self, **changes)


def model_files(folder: Path) -> list[str]:
    """Names of the files that make up the model in `folder`, sorted; `paredown.json` belongs to them."""
    names = [p.name for p in folder.iterdir() if p.is_file()]
    mine = (n for n in names if not n.startswith(".") and n != BESIDE)
    return sorted(n for n in mine if any(fnmatch(n, pattern) for pattern in MODEL_FILES))


def check_model_folder(folder: Path, asked: str) -> None:
    """Raise BadInput unless `folder` can be loaded without executing or unpickling anything."""
    if not folder.is_dir():
        raise BadInput(
            f"The base model {asked!r} is not a folder: give a folder with config.json and safetensors weights."
        )
    names = [p.name for p in folder.iterdir()]
    if "config.json" not in names:
        raise BadInput(
            f"The model folder {asked!r} has no config.json: save the model with save_pretrained and try again."
        )
    if not any(n.endswith(".safetensors") for n in names):
        pickled = sorted(n for n in names if any(fnmatch(n, p) for p in PICKLED))
        found = f"only pickled weights ({', '.join(pickled)})" if pickled else "no weights"
        raise Unavailable(
            f"The model folder {asked!r} has {found}; paredown loads safetensors only, because unpickling runs code: "
            "save it again with save_pretrained(..., safe_serialization=True)."
        )
    if not any(fnmatch(n, pattern) for n in names for pattern in TOKENIZER_FILES):
        raise BadInput(
            f"The model folder {asked!r} has no tokenizer (none of {', '.join(TOKENIZER_FILES)}): "
            "save the tokenizer into it with save_pretrained."
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as JSON ({error}): save the model again.") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path} holds {type(value).__name__}, not a JSON object: save the model again.")
    return value


def is_batch_dependent(loader_settings: Mapping[str, Any]) -> bool:
    """Whether an artefact so loaded has activations that share one scale over a whole batch."""
    return loader_settings.get("activations") == "tensor"


def sealed_by(marker: Mapping[str, Any]) -> str | None:
    """The step that an artefact's `paredown.json` shows as the last, None for plain weights; loaders are named so."""
    loader = marker.get("loader", "transformers")
    return "compile" if marker.get("compiled") else None if loader == "transformers" else str(loader)


def describe(folder: Path) -> Architecture:
    """Read the architecture of the model saved in `folder`. Raises BadInput where config.json cannot be read."""
    config = _json(folder / "config.json")
    marker = _json(folder / MARKER) if (folder / MARKER).exists() else {}
    try:
        found = architecture_of(config, int8=marker.get("loader") == "int8_dynamic")
        found = found.changed(sealed=sealed_by(marker))
        return found.changed(batch_dependent=is_batch_dependent(marker.get("settings") or {}))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadInput(
            f"{folder / 'config.json'} is not the config of a transformers model ({error}): save the model again."
        ) from error


def architecture_of(config: dict[str, Any], *, int8: bool = False) -> Architecture:
    """The architecture that a transformers config (as a dict) stands for."""
    if "decoder_layers" in config and "encoder_layers" in config:
        encoder: int | None = int(config["encoder_layers"])
        decoder: int | None = int(config["decoder_layers"])
    else:
        layers = next((config[k] for k in ("num_hidden_layers", "n_layers", "n_layer") if k in config), None)
        encoder, decoder = (None if layers is None else int(layers)), None
    classes = config.get("architectures") or [None]
    labels = config.get("id2label")
    if labels is None and str(classes[0]).endswith("ForSequenceClassification"):
        labels = {str(i): f"LABEL_{i}" for i in range(int(config.get("num_labels", 2)))}
    return Architecture(
        model_type=str(config.get("model_type", "unknown")),
        class_name=classes[0],
        encoder_layers=encoder,
        decoder_layers=decoder,
        labels=tuple(str(labels[k]) for k in sorted(labels, key=int)) if labels else None,
        positions=_positions(config),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or "float32"),
        int8=int8,
        hidden=_first(config, "d_model", "hidden_size", "dim", "n_embd"),
        heads=_first(config, "num_attention_heads", "decoder_attention_heads", "n_heads", "n_head"),
        vocab=_first(config, "vocab_size"),
    )


def _first(config: dict[str, Any], *keys: str) -> int | None:
    """The first of these settings that the config has."""
    return next((int(config[key]) for key in keys if config.get(key) is not None), None)


def _positions(config: dict[str, Any]) -> int | None:
    """The longest input in tokens. RoBERTa counts positions from the padding id on: its first rows serve no token."""
    # The GPT-2 family has another word for it; T5 uses that word for what is no limit.
    positions = config.get("max_position_embeddings", config.get("n_positions") if "n_embd" in config else None)
    if positions is None or config.get("model_type") not in OFFSET_POSITIONS:
        return positions
    padding = config.get("pad_token_id")
    return int(positions) - (1 if padding is None else int(padding)) - 1


def label_ids(id2label: Mapping[Any, Any] | None) -> dict[str, int]:
    """The model's label numbers by lower-case name."""
    return {str(name).lower(): int(number) for number, name in (id2label or {}).items()}
