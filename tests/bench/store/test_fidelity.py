"""Flips, agreement and differences against the base, by hand: equal scores and a whole task can hide much."""

import numpy as np
import pytest

from bench.statistics.intervals import wilson
from bench.store.fidelity import beside_base, with_right
from bench.store.quality import Outcomes, score

N = 12
BASE = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
MINE = [1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]  # loses two in part a, gains two in part b: the same score
PARTS = ["a"] * 6 + ["b"] * 6


def outcomes(right: list[int], prediction: list[str] | None = None) -> Outcomes:
    return Outcomes(
        np.full(N, "yes"),
        np.array(prediction or ["yes" if r else "no" for r in right]),
        np.array(PARTS),
        {"score": np.array(right, dtype=np.float64)},
    )


def test_flips_both_ways_whole_and_by_part() -> None:
    found = {(n.metric, n.scope): n.interval for n in beside_base(outcomes(MINE), outcomes(BASE), ("accuracy",), "t")}
    counted = {key: round(each.estimate * each.n) for key, each in found.items()}
    assert found["accuracy_difference", "t"].estimate == 0
    assert (counted["flips_gained", "t"], counted["flips_lost", "t"]) == (2, 2)
    assert (counted["flips_gained", "t / a"], counted["flips_lost", "t / a"]) == (0, 2)
    assert (counted["flips_gained", "t / b"], counted["flips_lost", "t / b"]) == (2, 0)
    assert found["accuracy_difference", "t / a"].estimate == pytest.approx(-2 / 6)
    assert found["accuracy_difference", "t / b"].estimate == pytest.approx(2 / 6)
    assert (counted["agreement", "t"], counted["agreement", "t / a"], counted["agreement", "t / b"]) == (8, 4, 4)
    assert found["flips_lost", "t / a"] == wilson(2, 6)


def test_gained_less_lost_is_the_difference_everywhere() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        mine, base = (outcomes(rng.integers(2, size=N).tolist()) for _ in range(2))
        numbers = beside_base(mine, base, ("accuracy",), "t")
        found = {(n.metric, n.scope): n.interval.estimate for n in numbers}
        for scope in ("t", "t / a", "t / b"):
            gained, lost = found["flips_gained", scope], found["flips_lost", scope]
            assert found["accuracy_difference", scope] == pytest.approx(gained - lost)
            assert gained + lost <= 1 - found["agreement", scope] + 1e-12  # a changed score is a changed prediction


def test_the_exact_test_of_the_flips_is_kept_for_families() -> None:
    found = {(n.metric, n.scope): n for n in beside_base(outcomes(MINE), outcomes(BASE), ("accuracy",), "t")}
    assert found["accuracy_difference", "t"].p == 1.0
    assert found["accuracy_difference", "t / a"].p == pytest.approx(0.5)
    assert found["agreement", "t"].p is None


def test_scores_that_are_not_right_or_wrong_have_no_flips() -> None:
    texts = Outcomes(np.full(N, ""), np.full(N, ""), np.array(PARTS), {"score": np.linspace(0, 1, N)})
    found = beside_base(texts, texts, (), "t")
    assert found == []
    one_label = outcomes([1] * N)
    assert {n.metric for n in beside_base(one_label, one_label, ("macro_f1",), "t")} == {"agreement"}


def test_a_share_over_the_whole_task_carries_its_bits() -> None:
    mine = outcomes(MINE)
    found = with_right(score(mine, ("accuracy", "macro_f1"), "t"), mine, "t")
    bits = {(n.metric, n.scope): n.right for n in found}
    assert {key for key, right in bits.items() if right is not None} == {("accuracy", "t")}
    whole = bits["accuracy", "t"]
    assert whole is not None
    assert np.unpackbits(np.frombuffer(whole, dtype=np.uint8), count=N).tolist() == MINE
