"""A number with what its interval came from: the form in which summaries pass evidence on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.statistics.intervals import Interval
from bench.statistics.objectives import Piece

DRAWS = 1000
SEED = 7  # draws are the same in every snapshot of the same records


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """One metric of one artefact in one scope. `draws` [DRAWS] are None where it is exact."""

    metric: str
    scope: str
    interval: Interval
    draws: NDArray[np.float64] | None = None
    evidence: int | None = None  # independent examples or blocks behind it
    span: float = 0.0  # range of one example's score, 0 where unbounded
    hardware_class: str | None = None
    note: str | None = None
    extended: float | None = None  # leases behind it over those planned at first; None where not measured in leases
    p: float | None = None  # of the exact test that it is no different from the base's, where there is one
    right: bytes | None = None  # of a share over a whole task: one bit an example, 1 where it counts, by `packbits`

    @property
    def piece(self) -> Piece:
        """As evidence is put together from."""
        estimate, noisy = self.interval.estimate, self.interval.low < self.interval.high
        return Piece(estimate, noisy, self.draws, self.evidence, self.span, self.extended)


def exact(metric: str, scope: str, value: float, hardware_class: str | None = None) -> Number:
    """A number known without sampling."""
    return Number(metric, scope, Interval(value, value, value, 0.95, 1, "exact"), hardware_class=hardware_class)
