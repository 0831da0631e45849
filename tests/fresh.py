"""What a fresh interpreter makes of saved models."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def digests_in_another_process(reader: str, folders: Iterable[Path]) -> dict[str, str]:
    """Run `reader`, a script that reads a JSON list of folders and prints a JSON object of digests by folder."""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", reader],
        input=json.dumps([str(folder) for folder in folders]),
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found
