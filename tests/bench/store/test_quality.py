"""Metrics from per-example outcomes: the rule that the metric names, slices, comparisons with the base."""

import math

import duckdb
import numpy as np
import pytest

from bench.metrics import METRICS, Metric
from bench.record import Examples
from bench.store import quality
from bench.store.numbers import DRAWS
from bench.store.quality import Outcomes, compare, outcomes_of, point, recovery, score

N = 8


@pytest.fixture(autouse=True)
def _metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "points": Metric("points", "points", "points", "higher", False, "m", ("mean", "points"), 100.0),
        "surprise": Metric("surprise", "surprise", "plain", "lower", False, "m", ("exp ratio", "nll", "tokens")),
        "repeated": Metric("repeated", "repeated", "1", "lower", False, "m", ("ratio", "again", "all")),
    }
    for name, metric in found.items():
        monkeypatch.setitem(METRICS, name, metric)


def examples(**columns: list[float]) -> Examples:
    """Eight examples in a mixed order, of two parts, half of them right."""
    order = np.array([3, 0, 7, 1, 6, 2, 5, 4])
    right = (order % 2).astype(np.float64)
    return Examples(
        artefact_id="a",
        task="t",
        index=order,
        label=("yes",) * N,
        prediction=tuple("yes" if r else "no" for r in right),
        score=right,
        confidence=np.full(N, 0.5),
        slice=tuple("low" if i < 4 else "high" for i in order),
        columns={key: np.array(values)[order] for key, values in columns.items()},
    )


def outcomes(**columns: list[float]) -> Outcomes:
    return outcomes_of(examples(**columns))


def test_a_share_a_mean_and_two_ratios_by_hand() -> None:
    numbers = {
        "points": [10.0, 20, 30, 40, 50, 60, 70, 80],
        "nll": [1.0, 2, 3, 4, 0, 0, 0, 2],
        "tokens": [1.0, 1, 2, 2, 1, 1, 1, 3],
        "again": [0.0, 1, 0, 1, 0, 0, 0, 0],
        "all": [2.0, 2, 0, 2, 2, 0, 1, 1],
    }
    found = {
        n.metric: n for n in score(outcomes(**numbers), ("accuracy", "points", "surprise", "repeated"), "task")[:4]
    }
    assert found["accuracy"].interval.estimate == 0.5
    assert found["points"].interval.estimate == 45
    assert found["surprise"].interval.estimate == pytest.approx(math.e)
    assert found["repeated"].interval.estimate == pytest.approx(0.2)
    for number in found.values():
        assert number.interval.low <= number.interval.estimate <= number.interval.high
        assert number.draws is not None
        assert number.draws.shape == (DRAWS,)
    assert point(examples(**numbers), "surprise") == pytest.approx(math.e)


def test_draws_of_artefacts_and_metrics_resample_the_same_examples() -> None:
    one = outcomes(points=[0.0, 1, 0, 1, 0, 1, 0, 1])
    found = score(one, ("accuracy", "points"), "task")
    assert found[0].draws == pytest.approx(found[1].draws)  # the points are the right answers


def test_the_main_metric_comes_for_each_part_too() -> None:
    found = score(outcomes(), ("accuracy",), "task")
    assert [(n.scope, n.interval.estimate, n.interval.n) for n in found] == [
        ("task", 0.5, 8),
        ("task / high", 0.5, 4),
        ("task / low", 0.5, 4),
    ]


def test_a_model_at_chance_has_a_note() -> None:
    # Always wrong in one cell and always right in the other: one answer to everything.
    one_answer = outcomes()
    parts = np.where(one_answer.columns["score"] == 1, "x / yes", "x / no")
    noted = quality.with_chance_noted(
        score(one_answer, ("accuracy",), "task"),
        Outcomes(one_answer.label, one_answer.prediction, parts, one_answer.columns),
    )
    assert noted[0].note is not None
    assert noted[0].note.startswith("At chance")
    assert noted[1].note is None


def test_macro_f1_by_hand() -> None:
    # Labels all "yes", half predicted "no": F1 of yes = 2*4/(4+8) = 2/3, of no = 0; the mean is 1/3.
    (number, *_) = score(outcomes(), ("macro_f1",), "task")
    assert number.interval.estimate == pytest.approx(1 / 3)


def test_comparisons_are_paired_by_example() -> None:
    base = outcomes(points=[10.0] * N, nll=[1.0] * N, tokens=[2.0] * N)
    mine = outcomes(points=[11.0] * N, nll=[1.5] * N, tokens=[2.0] * N)
    found = {n.metric: n.interval for n in compare(mine, base, ("points", "surprise", "accuracy"), "task")}
    assert found["points_difference"].estimate == pytest.approx(1)
    assert found["surprise_ratio"].estimate == pytest.approx(math.exp(0.25))
    assert found["surprise_ratio"].low == pytest.approx(math.exp(0.25))  # every example differs alike
    assert found["accuracy_difference"].estimate == 0
    assert "exact McNemar p = 1" in found["accuracy_difference"].method
    assert found["agreement"].estimate == 1


def test_without_predictions_there_is_no_agreement_and_without_n_grams_no_share_of_them() -> None:
    silent = outcomes(again=[0.0] * N, all=[0.0] * N)
    silent = Outcomes(silent.label, np.full(N, ""), silent.slice, silent.columns)
    assert [n.metric for n in compare(silent, silent, ("accuracy",), "task")] == ["accuracy_difference"]
    assert [n.metric for n in score(silent, ("accuracy", "repeated"), "task")] == ["accuracy"] * 3


def test_recovery_turns_what_is_better_lower() -> None:
    low = score(outcomes(nll=[1.0] * N, tokens=[1.0] * N), ("surprise",), "task")[0]
    high = score(outcomes(nll=[2.0] * N, tokens=[1.0] * N), ("surprise",), "task")[0]
    assert recovery([high], [low]).interval.estimate == pytest.approx(1 / math.e)


def test_examples_that_happen_to_be_alike_leave_no_number_certain() -> None:
    """40 of 40 right is not always right, and a twin without a flip on 40 examples may flip the next one."""
    n, label = 40, np.array(["yes", "no"] * 20)
    alike = Outcomes(label, label, np.full(n, ""), {"score": np.ones(n), "points": np.full(n, 70.0)})
    names = ("accuracy", "macro_f1", "points")
    accuracy, f1, points = score(alike, names, "task")
    reach = 2.0227 * math.sqrt(2) / n  # Student's quantile, and two pseudo examples that differ by all of the span
    assert f1.interval.low == pytest.approx(1 - reach, rel=1e-4)
    assert f1.interval.high == 1
    assert points.interval.high - 70 == pytest.approx(100 * reach, rel=1e-4)
    assert points.interval.method == "Student t, two pseudo examples"
    twin = recovery([score(alike, names, "task")[0]], [accuracy]).interval
    assert twin.estimate == 1
    assert twin.high - 1 == pytest.approx(reach, rel=1e-4)
    itself = recovery([accuracy], [accuracy]).interval
    assert (itself.low, itself.high) == (1.0, 1.0)
    single = Outcomes(label[:1], label[:1], np.full(1, ""), {"score": np.ones(1), "points": np.full(1, 70.0)})
    (one,) = score(single, ("points",), "task")
    assert (one.interval.low, one.interval.high) == (0.0, 100.0)  # one example tells nothing of the next


def test_one_example_that_is_worse_makes_nothing_surer() -> None:
    """All but one at the very best are no more alike than all of them."""
    n, label = 50, np.array(["yes", "no"] * 25)
    best = np.full(n, 100.0)
    nearly = np.where(np.arange(n) == 7, 100 - 1e-4, best)
    ends = []
    for points in (best, nearly):
        of = Outcomes(label, label, np.full(n, ""), {"score": np.ones(n), "points": points})
        (found,) = score(of, ("points",), "task")
        ends.append((found.interval.low, found.interval.high))
    assert ends[1][0] <= ends[0][0] < 99
    assert ends[0][1] == ends[1][1] == 100


def test_outcomes_are_read_back_with_their_columns_and_parts() -> None:
    connection = duckdb.connect()
    connection.execute(
        "create table examples (identity varchar, index bigint, label varchar, prediction varchar, score double, "
        "slice varchar, columns map(varchar, double))"
    )
    for i in reversed(range(3)):
        connection.execute(
            "insert into examples values ('r', ?, 'yes', 'no', 0.0, ?, map {'nll': ?, 'tokens': 2.0})",
            [i, f"part {i % 2}", i + 0.5],
        )
    found = quality.read_outcomes(connection, ["r"], 3)
    assert found is not None
    assert found.columns["nll"].tolist() == [0.5, 1.5, 2.5]
    assert found.slices == ("part 0", "part 1")
    assert found.part("part 0").columns["nll"].tolist() == [0.5, 2.5]
    assert quality.read_outcomes(connection, ["r"], 4) is None
