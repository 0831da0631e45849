"""Names of devices, and the sentence for one that is not there."""

import pytest
import torch

from bench.device import gpu_index, is_device, require_device
from bench.errors import BadInput


def test_names() -> None:
    assert all(is_device(name) for name in ("cpu", "cuda", "cuda:0", "cuda:12"))
    assert not any(is_device(name) for name in ("", "gpu", "cuda:", "cuda:-1", "cuda:1x", "CPU", "cpu\n", "cuda:1000"))
    assert [gpu_index(name) for name in ("cpu", "cuda", "cuda:0", "cuda:7")] == [None, 0, 0, 7]


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    require_device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"device is 'cuda:3', but this machine shows no CUDA device .* set device=cpu"):
        require_device("cuda:3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("cuda:1")
    with pytest.raises(BadInput, match="shows the CUDA devices 0 to 1"):
        require_device("cuda:2")
