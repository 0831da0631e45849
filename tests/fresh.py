"""What a fresh interpreter makes of saved models: `python -m tests.fresh` answers questions line by line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

Digests = Callable[[str, Iterable[Path]], dict[str, str]]
ANSWER = "digests: "


@contextmanager
def another_process() -> Iterator[Digests]:
    """A process of its own; it loads the models in folders, and a function, "module:name", makes digests of them."""
    root = Path(__file__).parent.parent
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.fresh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": str(root)},
            cwd=root,
            text=True,
        ) as process,
    ):
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def digests(function: str, folders: Iterable[Path]) -> dict[str, str]:
            questions.write(json.dumps([function, [str(folder) for folder in folders]]) + "\n")
            questions.flush()
            for line in answers:
                if line.startswith(ANSWER):
                    found: dict[str, str] = json.loads(line.removeprefix(ANSWER))
                    return found
            errors.seek(0)
            raise AssertionError(errors.read())

        yield digests


def main() -> None:
    """Answer until nothing more is asked."""
    import torch

    from bench.models import load

    torch.set_num_threads(1)  # as in the process that asks: two add up in another order
    for line in sys.stdin:
        function, folders = json.loads(line)
        module, _, name = function.partition(":")
        digest = getattr(import_module(module), name)
        print(f"{ANSWER}{json.dumps({folder: digest(load(Path(folder))) for folder in folders})}", flush=True)


if __name__ == "__main__":
    main()
