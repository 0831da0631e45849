"""What every test process needs before anything else: usable instructions for oneDNN, no network, Ctrl-C.

And what lets a test say the same on every machine: nothing of the terminal around it, examples that are not drawn anew.
"""

import fcntl
import gc
import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from bench.processor import collect_seldom, prepare

# Several tests run at a time, and threads of numpy's or torch's that wait for a core do so at full speed.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Widths and colours of whoever starts the tests; tests read what commands print.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "PY_COLORS", "TTY_COMPATIBLE", "GITHUB_ACTIONS"):
    os.environ.pop(name, None)
for name in ("NO_PROXY", "no_proxy"):  # what tests serve is not reached through a proxy
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost")))
# As hypothesis itself does where it knows a CI: a slow example is no finding, and what passed once passes again.
settings.register_profile(
    "ours", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ours")
prepare()
collect_seldom()
# A shell that starts a command in the background has it ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Who comes first to a folder or file compiles what it imports; the others wait, and read what that has left."""
    if not isinstance(collector, pytest.Directory | pytest.Module):
        return (yield)
    place = os.open(collector.path, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(place, fcntl.LOCK_SH)
        fcntl.flock(place, fcntl.LOCK_UN)
    try:
        return (yield)
    finally:
        os.close(place)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares something dear runs in one process: all that need a Ray cluster, all with a browser, each file.

    The dear ones come first: they mostly wait, and beside them there is work enough for the other process.
    """
    dear = ("cluster", "browser")
    for item in items:
        group = next((name for name in dear if item.get_closest_marker(name)), str(item.path))
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in dear))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Set apart what the imports left: it stays, and every full collection took a quarter of a second to walk it."""
    # pytest 9.2 gives its tests names that pytest-xdist 3.8 cannot add a group to, and says nothing.
    if getattr(session.config.option, "loadgroup", False) and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("The tests are not grouped: use the versions that constraints.txt names.")
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # so that it is taken down as the process ends
