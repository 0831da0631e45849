"""Names of devices: "cpu", "cuda" (the first GPU that the process sees) or "cuda:N"."""

import re

from bench.errors import BadInput

NAME = re.compile(r"cpu|cuda(:\d{1,3})?")


def is_device(text: str) -> bool:
    """Whether `text` names a device, be it there or not."""
    return NAME.fullmatch(text) is not None


def gpu_index(device: str) -> int | None:
    """The number of a GPU among those that the process sees; None for the CPU."""
    if device == "cpu":
        return None
    return int(device.partition(":")[2] or 0)


def require_device(device: str) -> None:
    """Raise BadInput with one sentence where this machine, as this process sees it, lacks the device."""
    index = gpu_index(device)
    if index is None:
        return
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        several = f"the CUDA devices 0 to {count - 1}"
        seen = {0: "no CUDA device", 1: "the CUDA device 0 alone"}.get(count, several)
        raise BadInput(
            f"device is {device!r}, but this machine shows {seen} to torch {torch.__version__}: set device=cpu, or run "
            "where that device is."
        )
