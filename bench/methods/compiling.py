"""torch.compile of a loaded model, where this machine has what it takes."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import nn

from bench.errors import BadInput


def compile_model(model: nn.Module, mode: str, dynamic: bool) -> None:
    """Have the model compiled at its first call, in place. Raises BadInput where a compiler is missing.

    What torch learns in one process about shapes and keeps for the next (its profile-guided choice) is switched off:
    two leases of one model would run different code.
    """
    import torch._dynamo.config

    require_compiler(next((p.device for p in model.parameters()), torch.device("cpu")))
    torch._dynamo.config.automatic_dynamic_local_pgo = False
    model.compile(mode=mode, dynamic=dynamic)


def require_compiler(device: torch.device) -> None:
    """Raise BadInput unless code for the device can be generated here: a C++ compiler, and Triton for a GPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise BadInput(
            "compile needs a C++ compiler, and this machine has none that torch finds: install g++, name one in CXX, "
            "or leave compile out."
        ) from error
    if device.type == "cuda" and find_spec("triton") is None:
        raise BadInput("compile needs Triton for a GPU, and it is not installed: install triton, or leave compile out.")
