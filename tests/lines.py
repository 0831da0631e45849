"""What lines of Python that load a model give: run as they stand, in a process that need not know of paredown."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SCRIPT = """
import hashlib, json, os, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ImportError(f"{name} is hidden")

hidden, asked = json.loads(sys.stdin.read())
sys.meta_path.insert(0, Hidden())
import torch
torch.set_num_threads(1)
found = []
for place, lines in asked:
    os.chdir(place)
    space = {}
    exec(lines, space)
    model, tokenizer = space["model"], space["tokenizer"]
    ids = torch.tensor([[0, 5, 6, 7, 9, 2], [0, 9, 12, 7, 5, 2]])
    with torch.inference_mode():
        extra = {"decoder_input_ids": ids[:, :4]} if model.config.is_encoder_decoder and model.can_generate() else {}
        sha = hashlib.sha256(model(input_ids=ids, **extra).logits.float().numpy().tobytes())
        if model.can_generate():
            sha.update(model.generate(input_ids=ids, max_new_tokens=6, do_sample=False).numpy().tobytes())
    found.append([sha.hexdigest(), tokenizer("red cat").input_ids, type(model).__name__, model.training])
print("found: " + json.dumps(found))
"""
LOAD = """
from pathlib import Path
from bench.models import load
loaded = load(Path("."))
model, tokenizer = loaded.model, loaded.tokenizer
"""  # what measured it


def run_lines(asked: Iterable[tuple[Path, str]], *, hidden: tuple[str, ...] = ()) -> list[list[Any]]:
    """(digest of outputs, tokens, class, whether it trains) of each model that the lines, run in a folder, load."""
    given = json.dumps([hidden, [[str(folder), lines] for folder, lines in asked]])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1].removeprefix("found: "))
    return found


def lines_of(card: str) -> str:
    """The lines of Python that a card holds."""
    (found,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return str(found)
