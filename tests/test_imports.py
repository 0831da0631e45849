"""Importing does nothing but import: proven in fresh processes that hide packages and look for side effects."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NEEDS_EXTRA = {"bench.metrics.accuracy", "bench.metrics.macro_f1"}  # of `evaluate`; imported by name, on demand

PROBE = """
import importlib, json, os, sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ImportError(f"{name} is hidden")

hidden, modules = json.loads(sys.argv[1])
sys.meta_path.insert(0, Hide())
before = dict(os.environ)
failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        failed[module] = repr(error)
changed = sorted(k for k in {*before, *os.environ} if before.get(k) != os.environ.get(k))
print(json.dumps({"failed": failed, "environment": changed, "loaded": sorted({m.split(".")[0] for m in sys.modules}),
                  "threads": __import__("threading").active_count()}))
"""


def modules(package: str) -> list[str]:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts)
        if name not in found:
            found.append(name)
    return found


def imported(names: list[str], hidden: list[str], folder: Path) -> dict[str, Any]:
    """What a fresh process that imported `names` with `hidden` packages absent has to say."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROBE, json.dumps([hidden, names])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), "HF_HOME": str(folder / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [str(p) for p in folder.rglob("*")] == []
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_bench_without_ray_evaluate_and_streamlit(tmp_path: Path) -> None:
    names = [name for name in modules("bench") if name not in NEEDS_EXTRA]
    assert len(names) > 40
    found = imported(names, ["ray", "evaluate", "datasets", "streamlit", "plotly"], tmp_path)
    assert found["failed"] == {}
    ours = [k for k in found["environment"] if k.startswith(("ONEDNN", "PAREDOWN", "OMP", "HF_", "RAY"))]
    assert ours == []


LIGHT = [
    "bench.sweep",
    "bench.sweep_file",
    "bench.recipe",
    "bench.data",
    "bench.bases",
    "bench.job",
    "bench.record",
    "bench.execute",
    "bench.processor",
    "bench.zoo",
    "bench.methods.finetune",
    "bench.methods.int8_dynamic",
    "bench.methods.layer_copy",
    "bench.methods.cast",
    "bench.methods.checkpoint",
    "bench.tasks.classification",
    "bench.measure.latency",
    "bench.measure.memory",
    "bench.store.writer",
    "bench.store.handed_out",
    "bench.store.loading",
    "bench.store.reader",
    "bench.store.retold",
    "bench.store.summary",
    "bench.store.verify",
    "bench.store.why",
    "cluster.plan",
    "cluster.session",
    "cluster.cli",
    "cluster.export",
    "cluster.show",
    "cluster.verify",
    "cluster.why",
    "cluster.runner_local",
]


def test_planning_and_reading_import_nothing_heavy(tmp_path: Path) -> None:
    """A plan, a table or a typing error must not wait for torch; nor does any of it change the process."""
    found = imported(LIGHT, ["torch", "transformers", "ray", "evaluate", "accelerate", "streamlit"], tmp_path)
    assert found["failed"] == {}
    assert found["environment"] == []
    assert found["threads"] == 1


def test_a_worker_starts_without_what_only_some_jobs_need(tmp_path: Path) -> None:
    """Every process of a sweep pays for these imports before its first job; scipy's statistics alone double them."""
    names = [
        "cluster.runner_local",
        "cluster.ray_work",
        "cluster.ray_writer",
        "bench.execute",
        "bench.store.writer",
        "bench.sweep",
    ]
    found = imported(names, ["scipy", "pandas", "sklearn", "torch", "transformers", "evaluate"], tmp_path)
    assert found["failed"] == {}


OF_RAY = {"cluster.runner_ray", *(name for name in modules("cluster") if name.startswith("cluster.ray_"))}
OF_RAY.remove("cluster.ray_settings")  # they are applied before Ray is imported


def test_ray_runner_is_the_only_part_of_cluster_that_needs_ray(tmp_path: Path) -> None:
    names = [name for name in modules("cluster") if name not in LIGHT]
    found = imported(names, ["ray", "torch", "streamlit"], tmp_path)
    assert set(found["failed"]) <= OF_RAY
    assert found["environment"] == []


SCRIPTS = ("leaderboard.app", "leaderboard.pages_.")  # run by Streamlit from top to bottom


def test_leaderboard_needs_neither_torch_nor_ray(tmp_path: Path) -> None:
    pytest.importorskip("streamlit")
    pytest.importorskip("plotly")
    names = [name for name in modules("leaderboard") if not name.startswith(SCRIPTS)]
    assert "leaderboard.rows" in names
    found = imported(names, ["torch", "transformers", "ray", "evaluate", "accelerate"], tmp_path)
    assert found["failed"] == {}
    assert "torch" not in found["loaded"]
    assert "ray" not in found["loaded"]


def test_the_rows_of_the_board_and_cards_need_no_page(tmp_path: Path) -> None:
    names = ["leaderboard.rows", "leaderboard.format", "leaderboard.card.document", "leaderboard.large"]
    found = imported(names, ["torch", "ray", "streamlit", "plotly"], tmp_path)
    assert found["failed"] == {}
    assert found["environment"] == []
