"""Orders on several hardware classes: what flips comes first, each class is named with its interval."""

from dataclasses import replace
from typing import Any

import pytest

from bench.errors import BadInput
from cluster import across
from cluster.across import across_table, boards_across
from leaderboard.rows import Axis, Board, Cell, Row

KEY = ("latency_ratio", "batch 1 x 32 tokens")
AXIS = Axis(*KEY, "latency relative to base, batch 1 x 32 tokens", "1", "lower", exact=False, meaning="")


def row(name: str, low: float, high: float) -> Row:
    cell = Cell((low + high) / 2, low, high, 40, "medians", "x", None, None, 0.0)
    return Row(
        recipe_id=f"recipe {name}",
        name=f"bart: {name}",
        base="bart",
        is_base=name == "base",
        seed=None,
        group=name,
        steps=(),
        artefact_id=name,
        status="complete",
        reason=None,
        verdict="contested",
        share=0.5,
        verdict_reason="",
        dominated_by=None,
        cells={KEY: cell},
    )


def board(hardware_class: str, **ratios: tuple[float, float]) -> Board:
    rows = (row("base", 1.0, 1.0), *(row(name, *ratio) for name, ratio in ratios.items()))
    return Board("id " + hardware_class, "sweep", "", hardware_class, "", {}, (KEY,), {KEY: AXIS}, rows)


CPU = board("old CPU", int8=(1.8, 2.2), half=(0.5, 0.6), bf16=(0.9, 1.2))
GPU = board("new GPU", int8=(0.4, 0.45), half=(0.5, 0.6), bf16=(0.65, 0.7))


def test_flipped_orders_come_first() -> None:
    table = across_table([CPU, GPU])
    found = {
        (first.removeprefix("bart: "), second.removeprefix("bart: ")): order
        for first, second, _, order, _ in table.rows
    }
    assert found == {
        ("base", "int8"): "flipped",
        ("int8", "half"): "flipped",
        ("int8", "bf16"): "flipped",
        ("base", "half"): "same",
        ("base", "bf16"): "undecided",
        ("half", "bf16"): "same",
    }
    assert [order for *_, order, _ in table.rows][:3] == ["flipped"] * 3
    told = next(words for first, second, _, _, words in table.rows if (first, second) == ("bart: int8", "bart: half"))
    assert told.split("; ") == [
        "old CPU: slower, 1.800 to 2.200× against 0.500 to 0.600×",
        "new GPU: faster, 0.400 to 0.450× against 0.500 to 0.600×",
    ]
    assert table.records[0]["verdict"] == "flipped"
    assert table.records[0]["orders"].keys() == {"old CPU", "new GPU"}


def test_a_variant_that_one_class_lacks_is_left_out() -> None:
    table = across_table([CPU, replace(GPU, rows=GPU.rows[:2])])
    assert {name for r in table.rows for name in r[:2]} == {"bart: base", "bart: int8"}


def test_one_class_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two:
        def sweeps(self) -> list[dict[str, Any]]:
            return [
                {"name": "sweep", "sweep_id": "a"},
                {"name": "sweep", "sweep_id": "b"},
                {"name": "x", "sweep_id": "c"},
            ]

    boards = {"a": CPU, "b": replace(CPU, sweep_id="older")}
    monkeypatch.setattr(across, "find_sweep", lambda snapshot, asked: {"name": asked})
    monkeypatch.setattr(across, "read_board", lambda snapshot, sweep_id: boards[sweep_id])
    snapshot: Any = Two()
    with pytest.raises(
        BadInput, match=r"'sweep' was measured on one hardware class only \(old CPU\): run it on another"
    ):
        boards_across(snapshot, "sweep")
    boards["b"] = GPU
    assert boards_across(snapshot, "sweep") == (CPU, GPU)
