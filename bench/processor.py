"""The CPU's instruction sets, announced and working, and what a process needs before torch. Imports nothing heavy.

Some virtual machines announce AMX and hide its tile palette. oneDNN, through which torch runs bfloat16 and int8
products, then dies of an illegal instruction and takes the process with it. So on a CPU that announces AMX one small
product runs in a process of its own first, and where that dies, oneDNN is told to do without. It reads the setting
once, so `prepare` must come before a process's first torch call.
"""

import gc
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

CAP = "ONEDNN_MAX_CPU_ISA"
WITHOUT_TILES = "AVX512_CORE_FP16"
CHECKED = "PAREDOWN_TILES_CHECKED"  # children inherit the answer and need not ask again
# Those that change which kernels run, weakest first.
DECISIVE = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
PROBE = "import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); print(float((a @ a).sum()))"


@cache
def cpu() -> tuple[str, frozenset[str]]:
    """The CPU's model name and every flag that it announces."""
    model, flags = platform.processor() or platform.machine(), frozenset[str]()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() == "flags":
                flags = frozenset(value.split())
                break
    return model, flags


def instruction_sets() -> tuple[str, ...]:
    """The decisive instruction sets that kernels of this process may use."""
    announced = cpu()[1]
    capped = os.environ.get(CAP, "").upper()
    return tuple(s for s in DECISIVE if s in announced and not (s.startswith("amx") and capped and "AMX" not in capped))


def prepare() -> None:
    """Keep oneDNN off instructions that this machine announces but cannot run. Children inherit the setting."""
    if CAP in os.environ or CHECKED in os.environ or "amx_tile" not in cpu()[1]:
        return
    if not _survives_probe():
        os.environ[CAP] = WITHOUT_TILES
    os.environ[CHECKED] = "1"


def collect_seldom() -> None:
    """Look for garbage a fourteenth as often: importing torch and transformers then takes an eighth less time."""
    gc.set_threshold(10_000)


def onednn_is_sound() -> bool:
    """Whether oneDNN can be called in this process without dying."""
    return CAP in os.environ or "amx_tile" not in cpu()[1] or _survives_probe()


@cache
def _survives_probe() -> bool:
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=120, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
