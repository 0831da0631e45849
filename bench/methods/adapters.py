"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) on the feed-forward layers, folded into the weights after.

QLoRA (Dettmers et al. 2023, arXiv:2305.14314) trains them against a 4-bit copy of the model, and folds them into the
weights that the copy was made from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from bench.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from bench.models import Loaded

# The feed-forward layers, as the families of models call them.
FEED_FORWARD = re.compile(
    r"\.(gate_proj|up_proj|down_proj|gate_up_proj"  # Llama, Mistral, Qwen, Gemma, Phi
    r"|fc1|fc2"  # BART, Marian, OPT
    r"|intermediate\.dense|(?<!attention\.)output\.dense"  # BERT, RoBERTa, ELECTRA
    r"|lin1|lin2"  # DistilBERT
    r"|mlp\.c_fc|mlp\.c_proj"  # GPT-2
    r"|wi|wi_0|wi_1|wo"  # T5
    r"|dense_h_to_4h|dense_4h_to_h)$"  # Falcon, GPT-NeoX
)


@dataclass(frozen=True, slots=True)
class Adapters:
    """Which layers are adapted and how."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] | None = None  # patterns of module names; None for the feed-forward layers


def targets_of(model: nn.Module, patterns: Sequence[str] | None) -> list[str]:
    """Full names of the Linear layers that the patterns name. Raises BadInput where one names none."""
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    if patterns is None:
        found = [name for name in names if FEED_FORWARD.search(name)]
        if not found:
            raise BadInput(
                f"heal does not know what {type(model).__name__} calls its feed-forward layers: name them in targets, "
                f"such as '*.{names[0].rpartition('.')[2] if names else 'dense'}'."
            )
        return found
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise BadInput(
                f"heal.targets has {pattern!r}, which names no Linear layer of {type(model).__name__}; it has "
                f"{', '.join(names[:3])} and so on."
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def adapted(model: PreTrainedModel, how: Adapters) -> Any:
    """The model with fresh adapters, which alone require a gradient; draws from torch's global generator."""
    from peft import LoraConfig, get_peft_model

    names = targets_of(model, how.targets)
    conv = any(isinstance(model.get_submodule(name), Conv1D) for name in names)
    config = LoraConfig(
        r=how.rank,
        lora_alpha=how.alpha,  # type: ignore[arg-type]
        lora_dropout=how.dropout,
        target_modules=names,
        fan_in_fan_out=conv,
    )
    return get_peft_model(model, config)


def healed(model: PreTrainedModel, how: Adapters, train: Callable[[nn.Module, Any], Any]) -> PreTrainedModel:
    """The model after `train` has trained adapters on it: the same modules and names as before, other weights.

    Where training diverges, what was good before is folded in all the same, so that no adapter stays on the model.
    """
    wrapped = adapted(model, how)
    try:
        train(wrapped, None)
    finally:
        plain = unwrapped(wrapped)
    return plain


def unwrapped(wrapped: Any) -> PreTrainedModel:
    """The adapted model with the adapters folded into its weights, and nothing left of them."""
    plain: PreTrainedModel = wrapped.merge_and_unload()
    for leftover in ("peft_config", "_hf_peft_config_loaded"):
        vars(plain).pop(leftover, None)
    for parameter in plain.parameters():
        parameter.requires_grad_(True)
    return plain


def check_qlora() -> None:
    """Raise BadInput unless this machine can train against a 4-bit model."""
    if not torch.cuda.is_available():
        raise BadInput(
            "heal.qlora needs a CUDA GPU, and this worker has none: set qlora to false, or use a GPU worker."
        )
    if find_spec("bitsandbytes") is None:
        raise BadInput("heal.qlora needs bitsandbytes, which is not installed: install it, or set qlora to false.")


def healed_in_four_bits(
    loaded: Loaded, how: Adapters, train: Callable[[nn.Module, Any], Any], device: str = "cuda"
) -> PreTrainedModel:
    """As `healed`, with adapters that were trained against the saved model in nf4 with double quantisation."""
    from accelerate import Accelerator  # type: ignore[import-untyped]
    from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
    from peft import get_peft_model_state_dict, prepare_model_for_kbit_training, set_peft_model_state_dict
    from transformers import BitsAndBytesConfig

    four_bit = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    small: Any = type(loaded.model).from_pretrained(
        loaded.source,
        quantization_config=four_bit,
        device_map={"": device},
        local_files_only=True,
        use_safetensors=True,
    )
    ready: Any = prepare_model_for_kbit_training  # untyped
    wrapped = adapted(ready(small, gradient_checkpointing_kwargs={"use_reentrant": False}), how)
    AcceleratorState._reset_state(reset_partial_state=True)  # a step before may have set this process to the CPU
    try:
        train(wrapped, Accelerator(cpu=device == "cpu"))
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    full = adapted(loaded.model, how)
    set_peft_model_state_dict(full, {k: v.cpu() for k, v in get_peft_model_state_dict(wrapped).items()})
    return unwrapped(full)
