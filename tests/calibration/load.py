"""Another process's work in bursts, as other users of a shared machine make it.

`python -m tests.calibration.load SEED` runs until it is ended.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

SECONDS = (0.05, 1.0)  # shortest and longest burst, and pause
MEGABYTES = 64  # more than the caches hold


@contextmanager
def bursts(processes: int) -> Iterator[None]:
    """So many busy processes for as long as the block lasts."""
    started = [subprocess.Popen([sys.executable, "-m", "tests.calibration.load", str(i)]) for i in range(processes)]
    try:
        time.sleep(2.0)  # until they are at it
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> None:
    """Work and rest by turns, log-uniformly long: half of the bursts compute, half stream through memory."""
    rng = np.random.default_rng(int(sys.argv[1]))
    values = np.ones(MEGABYTES * 131_072)
    small = np.ones(4096)
    while True:
        work, rest = np.exp(rng.uniform(np.log(SECONDS[0]), np.log(SECONDS[1]), size=2))
        streaming = rng.random() < 0.5
        end = time.perf_counter() + work
        while time.perf_counter() < end:
            np.add(values, 1.0, out=values) if streaming else np.sqrt(small, out=small)
        time.sleep(rest)


if __name__ == "__main__":
    main()
