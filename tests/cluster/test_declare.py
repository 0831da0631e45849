"""What a sweep says of itself: what judges its numbers is in it, and does not make another board of it."""

import json
from pathlib import Path
from typing import Any

from bench.sweep import Sweep, load_sweep
from cluster.declare import board_id, declare
from cluster.plan import Planner
from cluster.standing import Machine
from tests import tiny

MACHINE = Machine("a class", {"torch": "2", "transformers": "5"})


def sweep_of(folder: Path, **changes: object) -> Sweep:
    return load_sweep(str(tiny.sweep_file(folder, recipes=[["int8_dynamic"]], **changes)))


def declared(sweep: Sweep) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(declare(sweep, MACHINE, Planner(sweep, MACHINE)).body)
    return body


def test_constraints_and_differences_that_matter_are_declared_on_the_same_board(tmp_path: Path) -> None:
    plain = sweep_of(tmp_path)
    judged = sweep_of(tmp_path, constraints=["size <= 2 MB, accuracy >= 50%"], matters={"latency": 0.05})
    assert board_id(judged, MACHINE) == board_id(plain, MACHINE)
    before, after = declared(plain), declared(judged)
    assert after["sweep_id"] == before["sweep_id"]
    assert before["constraints"] == []
    assert after["constraints"] == [
        {"metric": "size", "scope": "", "operator": "<=", "bound": 2e6, "text": "size <= 2 MB"},
        {"metric": "accuracy", "scope": "pairs", "operator": ">=", "bound": 0.5, "text": "accuracy >= 50%"},
    ]
    assert [o["matters"] for o in before["objectives"]] == [0, 0]
    assert [o["matters"] for o in after["objectives"]] == [0, 0.05]
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"constraints", "objectives", "declared"}
