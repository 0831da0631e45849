"""What every test process needs before anything else: usable instructions for oneDNN, no network, Ctrl-C."""

import gc
import os
import signal

import pytest

from bench.processor import prepare

# Two tests run at a time, and threads of numpy's that wait for a core do so at full speed.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
prepare()
# A shell that starts a command in the background has it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares something dear runs in one process: all that need a Ray cluster, all with a browser, each file."""
    for item in items:
        dear = [name for name in ("cluster", "browser") if item.get_closest_marker(name)]
        item.add_marker(pytest.mark.xdist_group(dear[0] if dear else str(item.path)))


def pytest_collection_finish() -> None:
    """Set apart what the imports left: it stays, and every full collection took a quarter of a second to walk it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # so that it is taken down as the process ends
