"""How the resamples of a large sweep are spread, where a base or some resamples are missing."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from leaderboard.index_writing import WIDTH, _spreads

RNG = np.random.default_rng(0)
NOISY = {name: (0.9 + 0.001 * RNG.standard_normal(500)) for name in ("base", "one", "two", "three")}


def spreads(draws: Mapping[str, NDArray[np.float64]], estimate: float = 0.9) -> dict[str, Sequence[float]]:
    """What is written of the variants with these resamples, the base among them or not; in order."""
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as snap")
    connection.execute(
        "create table snap.draws (sweep_id text, recipe_id text, metric text, scope text, draws float[])"
    )
    connection.execute("create table rows (sweep_id text, recipe_id text, place integer, base text, is_base boolean)")
    connection.execute("create table cells (sweep_id text, metric text, scope text, place integer, estimate double)")
    for place, name in enumerate(NOISY, 1):
        connection.execute("insert into rows values ('s', ?, ?, 'base', ?)", [name, place, name == "base"])
        if name in draws:
            connection.execute("insert into snap.draws values ('s', ?, 'm', '', ?)", [name, draws[name].tolist()])
            connection.execute("insert into cells values ('s', 'm', '', ?, ?)", [place, estimate])
    file = io.BytesIO()
    (table,) = _spreads(connection, "s", "m", "", file)
    assert file.tell() == WIDTH * sum(each.size for each in draws.values())
    found = table.sort_by("place").to_pydict()
    return {name: found[name] for name in ("deviation", "own", "size")}


def test_without_a_number_of_the_base_the_spread_is_about_the_estimates() -> None:
    found = spreads({name: each for name, each in NOISY.items() if name != "base"})
    assert found["own"] == [True] * 3
    assert found["deviation"] == pytest.approx([0.001] * 3, rel=0.2)


def test_one_with_other_resamples_leaves_the_rest_alone() -> None:
    whole, odd = spreads(NOISY), spreads({**NOISY, "two": NOISY["two"][:100]})
    assert [odd["deviation"][i] for i in (0, 1, 3)] == [whole["deviation"][i] for i in (0, 1, 3)]
    assert (odd["deviation"][2], odd["own"][2], odd["size"][2]) == (np.inf, False, 100)


def test_resamples_that_never_differ_have_no_spread_whatever_single_precision_makes_of_them() -> None:
    found = spreads({"base": np.full(500, 0.9), "one": np.full(500, 0.9), "two": NOISY["two"]})
    assert found["own"] == [False, False, True]
    assert found["deviation"][:2] == [0, 0]
