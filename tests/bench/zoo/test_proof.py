"""Claims about the shipped models are judged by what stores hold: contrasts over seeds and examples."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BadInput
from bench.zoo.proof import Claim, Proof, Results, Term, load_claims, prove, table
from tests.leaderboard.sample import TASK, VARIANTS, make_store


class Told(Results):
    """Results that were made up."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self._tables = tables

    def values(self, claim: Claim, term: Term) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(self._tables.get(term.variants, np.empty((0, 0))), dtype=np.float64)


def claim(above: float = 0.0, seeds: int = 5, **weights: float) -> Claim:
    terms = tuple(Term(variants=name, weight=weight) for name, weight in weights.items())
    return Claim(
        id="c",
        text="t",
        stated=date(2026, 11, 21),
        sweep="s",
        task="t",
        value="score",
        terms=terms,
        above=above,
        seeds=seeds,
    )


def judged(above: float, mine: list[list[float]], base: list[list[float]], seeds: int = 5) -> Proof:
    return prove(claim(above, seeds, mine=1, base=-1), Told({"mine": mine, "base": base}))


BASE = [[0.0, 1.0] * 20]
BETTER = [[0.5, 1.5] * 20] * 5


def test_shown_met_missed_and_not_run() -> None:
    noisy = [[0.5 + s, 1.5 + s] * 20 for s in (-3.0, -1.0, 0.0, 1.0, 3.0)]
    assert judged(0.4, BETTER, BASE).verdict == "shown"
    assert judged(0.4, noisy, BASE).verdict == "met but not shown"
    assert judged(0.6, BETTER, BASE).verdict == "missed"
    assert judged(0.4, [], BASE).verdict == "not run"
    few = judged(0.4, BETTER[:2], BASE)
    assert few.verdict == "not run"
    assert few.interval is not None
    assert few.interval.estimate == pytest.approx(0.5)


def test_one_row_stands_against_every_seed_and_other_numbers_of_rows_do_not() -> None:
    found = judged(0.0, BETTER, BASE)
    assert found.rows == 5
    assert found.parts == (("mine", 1.0, 5), ("base", 0.5, 1))
    with pytest.raises(BadInput, match="meets"):
        judged(0.0, BETTER, BASE * 2)


def test_what_needs_no_training_is_judged_over_examples_alone() -> None:
    rng = np.random.default_rng(0)
    found = judged(0.4, [(0.5 + 0.1 * rng.standard_normal(400)).tolist()], [[0.0] * 400], seeds=1)
    assert found.verdict == "shown"
    assert found.interval is not None
    assert found.interval.n == 400


def test_the_table_scales_for_people() -> None:
    shown = judged(0.4, BETTER, BASE)
    text = table([Proof(shown.claim.model_copy(update={"scale": 100.0}), "shown", shown.interval, 5, shown.parts)])
    assert "| t | **shown** | 50 (50 to 50) points | 40 | 5 | mine: 100 (5); base: 50 |" in text


def test_scores_are_read_from_a_real_store(tmp_path: Path) -> None:
    results = Results([make_store(tmp_path / "store")])
    told = claim(int8=1).model_copy(update={"sweep": "sample <b>sweep</b>", "task": TASK})
    scores = results.values(told, told.terms[0])
    assert scores.shape == (1, 1500)
    assert set(np.unique(scores)) == {0.0, 1.0}
    assert not results.values(told, Term(variants="nothing", weight=1)).size
    assert VARIANTS[1].name.endswith(": int8")


def test_committed_claims_are_whole_and_speak_of_shipped_sweeps() -> None:
    from bench.sweep_file import find_sweep

    claims = load_claims()
    assert len({c.id for c in claims}) == len(claims) >= 9
    for each in claims:
        find_sweep(each.sweep)
        assert each.terms
