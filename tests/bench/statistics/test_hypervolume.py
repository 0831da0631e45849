"""Hypervolume: against counting unit cells, ties and missing numbers included."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bench.statistics.hypervolume import hypervolume

FloatArray = NDArray[np.float64]
CELLS = st.one_of(st.integers(0, 5).map(float), st.integers(0, 5).map(float), st.sampled_from([math.nan, -math.inf]))
TABLES = st.tuples(st.integers(0, 8), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=CELLS)
)
REFERENCE = 4


def unit_cells(costs: FloatArray) -> int:
    """How many unit cells up to the reference some finite row is at least as good as."""
    finite = [row for row in costs if np.isfinite(row).all()]
    return sum(any((row <= cell).all() for row in finite) for cell in product(range(REFERENCE), repeat=costs.shape[1]))


@settings(max_examples=300, deadline=None)
@given(TABLES)
def test_it_is_the_number_of_cells_covered(costs: FloatArray) -> None:
    objectives = costs.shape[1]
    reference = np.full(objectives, float(REFERENCE))
    assert hypervolume(costs, reference) == pytest.approx(unit_cells(costs), abs=1e-9)
    assert hypervolume(np.vstack([costs, costs]), reference) == pytest.approx(unit_cells(costs), abs=1e-9)
    share = hypervolume(costs, reference, np.zeros(objectives))
    assert share == pytest.approx(unit_cells(costs) / REFERENCE**objectives, abs=1e-9)


def test_edges() -> None:
    assert hypervolume(np.empty((0, 2)), [1, 1]) == 0
    assert hypervolume([[1.0, 1.0], [2.0, 0.0], [math.nan, 0.0]], [1, 1]) == 0
    assert hypervolume([[0, 0]], [1, 1]) == 1
    assert hypervolume([[-1, 0]], [1, 1], [0, 0]) == 2
    assert hypervolume([[0, 0, 0, 0]], [1, 2, 3, 4]) == pytest.approx(24)


def test_bad_points_are_refused() -> None:
    with pytest.raises(ValueError, match="table"):
        hypervolume([1.0, 2.0], [1, 1])
    for bad in ([1.0], [1.0, math.inf]):
        with pytest.raises(ValueError, match="reference needs"):
            hypervolume([[0, 0]], bad)
    with pytest.raises(ValueError, match="ideal needs"):
        hypervolume([[0, 0]], [1, 1], [0])
    with pytest.raises(ValueError, match="below the reference"):
        hypervolume([[0, 0]], [1, 1], [0, 1])
