"""Constraints of a sweep on its variants' numbers, places as rows, and families of tests whatever is finished."""

import math
from typing import Any

import numpy as np
import pytest

from bench.statistics.frontier import Comparison
from bench.statistics.intervals import Interval
from bench.statistics.paired import holm
from bench.statistics.standings import Standing
from bench.store.numbers import Number
from bench.store.required import constraint_rows, standing_rows, with_holm
from bench.store.rows import NumberRow

VARIANTS = [{"recipe_id": name, "is_base": name == "base"} for name in ("base", "a", "b", "c")]
PLACED = ["base's", "a's", "b's", None]  # artefacts
TASKS = [{"name": "t", "metrics": ["accuracy", "macro_f1"]}, {"name": "u", "metrics": ["accuracy", "accuracy_summed"]}]
OBJECTIVES = [{"metric": "size", "scope": ""}]


def sweep(*constraints: tuple[str, str, str, float]) -> dict[str, Any]:
    names = ("metric", "scope", "operator", "bound")
    declared = [{**dict(zip(names, each, strict=True)), "text": " ".join(map(str, each))} for each in constraints]
    return {"sweep_id": "s", "objectives": OBJECTIVES, "constraints": declared, "tasks": TASKS, "variants": VARIANTS}


def number(metric: str, low: float, high: float, scope: str = "t") -> Number:
    return Number(metric, scope, Interval((low + high) / 2, low, high, 0.95, 100, "by hand"))


def states(declared: dict[str, Any], *numbers: list[Number]) -> list[list[str]]:
    """By constraint, the state of each variant."""
    rows = list(constraint_rows(declared, VARIANTS, PLACED, numbers))
    assert len(rows) == len(declared["constraints"]) * len(VARIANTS)
    positions = range(len(declared["constraints"]))
    return [[row.state for row in rows if row.position == position] for position in positions]


def test_every_variant_is_held_against_every_constraint() -> None:
    declared = sweep(("accuracy", "t", ">=", 0.8), ("accuracy_difference", "t", ">=", -0.01), ("flops", "", "<=", 9.0))
    mine = [number("accuracy", 0.81, 0.85), number("accuracy_difference", -0.02, 0.0), number("flops", 8, 8, "1x16")]
    base = [number("accuracy", 0.79, 0.83), number("flops", 10, 10, "1x16")]
    other = [number("accuracy", 0.7, 0.75), number("accuracy", 0.9, 0.95, "u"), number("accuracy_difference", 0, 0.01)]
    assert states(declared, base, mine, other, []) == [
        ["open", "met", "not met", "open"],
        ["met", "open", "met", "open"],  # the base is no worse than itself
        ["not met", "met", "open", "open"],
    ]


def test_a_base_is_as_good_as_itself_in_ratios_too() -> None:
    declared = sweep(("perplexity_ratio", "t", "<=", 1.05), ("token_accuracy_ratio", "t", ">=", 1.01))
    assert states(declared, [], [], [], []) == [
        ["met", "open", "open", "open"],
        ["not met", "open", "open", "open"],
    ]


def test_the_bytes_of_the_base_are_as_good_as_it() -> None:
    declared = sweep(
        ("accuracy_difference", "t", ">=", -0.01), ("agreement", "t", "<", 0.99), ("accuracy", "t", ">=", 0.8)
    )
    rows = list(constraint_rows(declared, VARIANTS, ["base's", "base's", "b's", None], [[], [], [], []]))
    assert [row.state for row in rows if row.recipe_id == "a"] == ["met", "not met", "open"]
    assert {row.state for row in rows if row.recipe_id in ("b", "c")} == {"open"}
    unbuilt = list(constraint_rows(declared, VARIANTS, [None] * 4, [[]] * 4))
    assert [row.state for row in unbuilt if row.position == 0] == ["met", "open", "open", "open"]


def test_rows_carry_the_number_and_the_words() -> None:
    declared = sweep(("accuracy", "t", ">=", 0.8))
    rows = list(constraint_rows(declared, VARIANTS, PLACED, [[number("accuracy", 0.75, 0.85)], [], [], []]))
    assert (rows[0].text, rows[0].bound) == ("accuracy t >= 0.8", 0.8)
    assert (rows[0].estimate, rows[0].low, rows[0].high) == pytest.approx((0.8, 0.75, 0.85))
    assert (rows[1].estimate, rows[1].low, rows[1].high) == (None, None, None)
    del declared["constraints"]  # of before there were any
    assert list(constraint_rows(declared, VARIANTS, PLACED, [[]] * 4)) == []


def test_places_are_rows_without_infinities() -> None:
    known = Comparison("size", "better", -2.0, -3.0, -1.0)
    unknown = Comparison("size", "not known yet", math.nan, -math.inf, math.inf)
    column = [Standing((2, 3), "b", None), Standing((1, 1), "a", known), Standing(None, "", unknown)]
    column.append(Standing((2, 3), "b", Comparison("size", "not known yet", 1.0, -math.inf, math.inf)))
    rows = [row[4:] for row in standing_rows(sweep(), VARIANTS, [column])]
    assert rows == [
        (2, 3, "b", None, None, None, None),
        (1, 1, "a", "better", -2.0, -3.0, -1.0),
        (None, None, "", "not known yet", None, None, None),
        (2, 3, "b", "not known yet", 1.0, None, None),
    ]


def rows_with(*tests: tuple[str, str, str, float | None]) -> list[NumberRow]:
    """(variant, metric, scope, p) as rows of numbers."""
    return [
        NumberRow("s", variant, metric, scope, 0, 0, 0, 9, "by hand", None, None, None, 0, p)
        for variant, metric, scope, p in tests
    ]


def test_the_family_is_the_variants_by_the_declared_metrics_whatever_is_finished() -> None:
    """Three variants and three 0/1 metrics: nine tests, of which two have been made."""
    found = with_holm(
        sweep(),
        rows_with(
            ("a", "accuracy_difference", "t", 0.01),
            ("a", "accuracy", "t", None),
            ("b", "accuracy_summed_difference", "u", 0.005),
        ),
    )
    assert [row.p_holm for row in found] == [pytest.approx(8 * 0.01), None, pytest.approx(9 * 0.005)]
    assert [row.p for row in found] == [0.01, None, 0.005]


def test_a_finished_family_is_holm_over_all_of_it() -> None:
    rng = np.random.default_rng(0)
    names = [("accuracy_difference", "t"), ("accuracy_difference", "u"), ("accuracy_summed_difference", "u")]
    tests = [(v, *name, float(p)) for v, name, p in zip("aaabbbccc", names * 3, rng.random(9) ** 4, strict=True)]
    found = with_holm(sweep(), rows_with(*tests))
    assert [row.p_holm for row in found] == pytest.approx(holm([t[3] for t in tests]).tolist())


def test_parts_of_the_data_are_a_family_of_their_own() -> None:
    found = with_holm(
        sweep(),
        rows_with(
            ("a", "accuracy_difference", "t", 0.01),
            ("a", "accuracy_difference", "t / x", 0.01),
            ("a", "accuracy_difference", "t / y", 0.5),
        ),
    )
    assert [row.p_holm for row in found] == [pytest.approx(9 * 0.01), pytest.approx(6 * 0.01), 1.0]
