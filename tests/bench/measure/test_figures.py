"""From rounds to figures, with values computed by hand."""

import numpy as np
import pytest

from bench.job import parts_of
from bench.measure.figures import figures, tail, tokens_per_second
from bench.statistics.intervals import Interval

NONE = np.full((3, 2), np.nan)


def test_a_forward_pass_is_one_figure() -> None:
    table = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]])
    scope = "batch 2 x 16 tokens"
    assert parts_of((2, 16), None) == (scope,)
    (figure,) = figures({scope: table}, {scope: NONE}, [(2, 16)], None)
    assert figure[:3] == ("latency_ms", "latency_ratio", scope)
    assert figure.table is table
    assert figure.scale == 1e3


def test_writing_has_four_times() -> None:
    prefill, first, whole = parts_of((1, 16), 11)
    assert whole == "batch 1 x 16 tokens, 11 new"
    tables = {
        prefill: np.full((3, 2), 1.0),
        first: np.full((3, 2), 2.0),
        whole: np.array([[12.0, 22.0], [12.0, 22.0], [1.0, 22.0]]),  # a stall in the third round's first token
    }
    found = {f.metric: f for f in figures(tables, dict.fromkeys(tables, NONE), [(1, 16)], 11)}
    assert set(found) == {"latency_ms", "prefill_ms", "first_token_ms", "per_token_ms"}
    assert {f.scope for f in found.values()} == {whole}
    assert found["per_token_ms"].table.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert found["first_token_ms"].table.tolist() == [[2.0, 2.0]] * 3


def test_energy_counts_where_it_moved_in_every_visit() -> None:
    scope = parts_of((1, 8), None)[0]
    tables = {scope: np.ones((3, 2))}
    metrics = [f.metric for f in figures(tables, {scope: np.full((3, 2), 0.5)}, [(1, 8)], None)]
    assert metrics == ["latency_ms", "energy_j"]
    still = np.array([[0.5, 0.5], [0.5, 0.0], [0.5, 0.5]])
    assert [f.metric for f in figures(tables, {scope: still}, [(1, 8)], None)] == ["latency_ms"]


def test_tokens_per_second() -> None:
    found = tokens_per_second(Interval(500.0, 400.0, 800.0, 0.95, 40, "medians"), batch=2, new_tokens=16)
    assert (found.estimate, found.low, found.high) == (64.0, 40.0, 80.0)


def test_a_tail_counts_independent_calls() -> None:
    rng = np.random.default_rng(0)
    seconds = 0.01 + 0.001 * rng.random(400)
    found = tail(seconds, 0.95, 0.95)
    assert found is not None
    assert found.estimate == pytest.approx(10.95, abs=0.03)
    assert found.low <= 10.95 <= found.high
    alike = np.repeat(seconds[:40], 10)  # as many calls, a tenth of the news
    assert tail(alike, 0.95, 0.95) is None
