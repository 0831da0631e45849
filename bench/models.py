"""Load and save any artefact: a folder with safetensors, a config, a tokenizer, and `paredown.json` naming the loader.

Nothing is unpickled and no code of a model folder is run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from bench.architecture import MARKER, architecture_of, check_model_folder, is_batch_dependent, model_files
from bench.errors import BadInput, few, unknown

FORMAT = 1
WEIGHTS = "model.safetensors"
# Loaders that put quantised modules in a model: functions of an empty model, the saved state and the loader's settings.
RESTORERS = {
    "int8_dynamic": "bench.methods.int8_model:restored",
    "weight_only": "bench.methods.packed_model:restored",
    "fp8": "bench.methods.packed_model:restored",
}
PLAIN = ("transformers", "sparse_2_4")  # loaders of weights that transformers itself reads
NOT_TOKENIZER = ("config.json", MARKER, "model.safetensors.index.json")


@dataclass
class Loaded:
    """A model in memory with its tokenizer, and how it must be saved so that it loads again."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: Path  # folder it was loaded from; its tokenizer files are copied byte for byte when the model is saved
    loader: str = "transformers"
    loader_settings: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(
        default_factory=dict
    )  # what the step found and decided; kept in the build's record
    extra_files: dict[str, str] = field(default_factory=dict)  # name -> text, written beside the weights
    compiled: dict[str, Any] | None = None  # arguments of torch.compile, for a model that is compiled when loaded

    @property
    def batch_dependent(self) -> bool:
        """Whether what it predicts for a text depends on the texts beside it in the batch, and on padding."""
        return is_batch_dependent(self.loader_settings)


def load(folder: Path, device: str = "cpu", device_map: Mapping[str, int | str] | None = None) -> Loaded:
    """Load the artefact or model saved in `folder`, in the data type it was saved in, on `device`, in eval mode.

    With `device_map` (`bench.spread`) its modules go to the devices that it names instead, and each hands on to the
    next.

    Raises BadInput where the folder holds no config, only pickled weights, not all weights, an architecture that
    transformers lacks, or what this machine cannot compile; or a device map for what is quantised or compiled.
    """
    check_model_folder(folder, str(folder))
    marker_file = folder / MARKER
    marker: dict[str, Any] = {"loader": "transformers"}
    if marker_file.exists():
        marker = json.loads(marker_file.read_text(encoding="utf-8"))
    if marker.get("format", FORMAT) > FORMAT:
        raise BadInput(f"{marker_file} has format {marker['format']}, newer than {FORMAT}: update paredown.")
    loader, settings, compiled = marker["loader"], marker.get("settings", {}), marker.get("compiled")
    if device_map is not None and (loader != "transformers" or compiled is not None):
        raise BadInput(
            f"{folder.name[:10]} was saved by {loader if compiled is None else 'compile'}, whose modules cannot be "
            "spread over several devices: use one that holds it."
        )
    if loader in RESTORERS:
        model = _restored(folder, RESTORERS[loader], settings)
    elif loader not in PLAIN:
        raise unknown("loader", loader, [*PLAIN, *RESTORERS])
    else:
        known: dict[str, Any] = {} if device_map is None else {"device_map": dict(device_map)}
        model = _whole(folder, **known)
    model.train(False)
    if device != "cpu" and device_map is None:
        model.to(device)  # type: ignore[arg-type]
    _make_ready(model, loader, compiled)
    return Loaded(model, load_tokenizer(folder), folder, loader, settings, compiled=compiled)


def _make_ready(model: PreTrainedModel, loader: str, compiled: dict[str, Any] | None) -> None:
    """What must wait until the weights are where they will run: layouts of kernels, and torch.compile."""
    if loader == "sparse_2_4":
        from bench.methods.sparse_layout import use_sparse_kernels

        use_sparse_kernels(model)
    elif loader in ("weight_only", "fp8"):
        from bench.methods.packed_model import arrange

        arrange(model)
    if compiled is not None:
        from bench.methods.compiling import compile_model

        compile_model(model, **compiled)


def _whole(folder: Path, **settings: Any) -> PreTrainedModel:
    """The folder's model as transformers loads it. BadInput where it lacks weights: random ones would be made up."""
    read: Any = model_class(folder).from_pretrained
    model, found = read(
        folder, dtype="auto", local_files_only=True, use_safetensors=True, output_loading_info=True, **settings
    )
    if lacking := sorted(found["missing_keys"]):
        raise BadInput(
            f"The model folder {folder} lacks the weights {few(lacking, 3)}, which its architecture "
            f"{type(model).__name__} needs: save the model whole, or set 'architectures' in config.json to a class "
            "that does without (`finetune` can give it a new head)."
        )
    loaded: PreTrainedModel = model
    return loaded


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer saved beside a model."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The model folder {folder} has no tokenizer that can be loaded: save the tokenizer beside it."
        ) from error
    return tokenizer


def model_class(folder: Path) -> type[PreTrainedModel]:
    """The transformers class that the folder's config names."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = (config.get("architectures") or [None])[0]
    found = getattr(transformers, str(name), None)
    if not (isinstance(found, type) and issubclass(found, PreTrainedModel)):
        raise BadInput(
            f"The config of {folder.name!r} names the architecture {name!r}, which transformers "
            f"{transformers.__version__} does not have: set 'architectures' in config.json to a class of transformers."
        )
    return found


def empty_model(folder: Path) -> PreTrainedModel:
    """The folder's model with weights on the meta device; computed buffers are real."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with init_empty_weights(include_buffers=False):
        return model_class(folder)(config)


def _restored(folder: Path, restorer: str, settings: dict[str, Any]) -> PreTrainedModel:
    """Rebuild the model with quantised modules wherever the saved weights are quantised."""
    module, function = restorer.split(":")
    state: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        state.update(load_file(file))
    model = empty_model(folder)
    try:
        getattr(import_module(module), function)(model, state, **settings)
    except ValueError as error:
        raise BadInput(f"{folder} holds {error}: build the variant again.") from error
    missing = sorted(n for n, t in (*model.named_parameters(), *model.named_buffers()) if t.is_meta)
    if missing:
        raise BadInput(f"{folder} lacks the weights {', '.join(missing[:3])}: build the variant again.")
    if model.can_generate() and (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def save(loaded: Loaded, folder: Path) -> None:
    """Write the artefact's files into the empty folder `folder`: weights, config, tokenizer, `paredown.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    if loaded.compiled is not None:  # the weights of its parent, byte for byte: compiling changes none
        copy_model(loaded.source, folder)
        mark(folder, loaded.loader, loaded.loader_settings, loaded.compiled)
        return
    if loaded.loader in PLAIN:
        loaded.model.save_pretrained(folder)
    else:
        loaded.model.config.save_pretrained(folder)
        save_file(unique_state(loaded.model), folder / WEIGHTS, metadata={"format": "pt"})
    for name in model_files(loaded.source):
        if not name.endswith(".safetensors") and name not in NOT_TOKENIZER and not (folder / name).exists():
            shutil.copyfile(loaded.source / name, folder / name)
    for name, text in loaded.extra_files.items():
        (folder / name).write_text(text, encoding="utf-8")
    mark(folder, loaded.loader, loaded.loader_settings)


def copy_model(source: Path, folder: Path) -> None:
    """Copy a model's files byte for byte. No links: a file written to in its place must not change an artefact."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in model_files(source):
        shutil.copyfile(source / name, folder / name)
    if not (folder / MARKER).exists():
        mark(folder)


def mark(
    folder: Path,
    loader: str = "transformers",
    settings: dict[str, Any] | None = None,
    compiled: dict[str, Any] | None = None,
) -> None:
    """Write `paredown.json`, by which `load` knows what to do. It is part of what names an artefact."""
    marker: dict[str, Any] = {"format": FORMAT, "loader": loader, "settings": settings or {}}
    if compiled is not None:
        marker["compiled"] = compiled
    (folder / MARKER).write_text(json.dumps(marker, sort_keys=True) + "\n", encoding="utf-8")


def unique_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state dict with each shared tensor under its first name only, contiguous, on the CPU."""
    seen: set[int] = set()
    unique: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen and tensor.numel():
            continue
        seen.add(tensor.data_ptr())
        unique[name] = tensor.detach().cpu().contiguous()
    return unique


def parameter_count(model: nn.Module) -> int:
    """Numbers that make up the weights: parameters and saved buffers, each storage once; two to a byte of int4."""
    return sum(tensor.numel() * numbers_in(name) for name, tensor in unique_state(model).items())


def numbers_in(name: str) -> int:
    """How many weights one element of the saved tensor of that name holds."""
    return 2 if name.endswith(".weight_int4") else 1


def layer_count(model: PreTrainedModel) -> int:
    """Transformer layers that the config of the model declares, encoder and decoder together."""
    found = architecture_of(model.config.to_dict())
    return (found.encoder_layers or 0) + (found.decoder_layers or 0)
