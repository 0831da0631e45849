"""What a frontier is drawn over: objectives, and the evidence for each variant on one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Objective:
    """One axis: its full name, which way is better, and the smallest difference that `matters`, in its unit.

    ValueError for another direction or a negative or non-finite difference.
    """

    name: str
    better: Literal["lower", "higher"]
    matters: float = 0.0

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher"):
            raise ValueError(f"'{self.name}' is better lower or higher, got '{self.better}'")
        if not (math.isfinite(self.matters) and self.matters >= 0):
            raise ValueError(f"a difference that matters on '{self.name}' is 0 or more, got {self.matters}")


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All variants on one objective, in the objective's own unit and direction.

    `estimates` [V]; NaN or infinite where a variant has no number. `draws` [B, V] are coherent resamples, row b of
    every objective being one world; None where the numbers are exact, as bytes on disk are. `n` is the number of
    independent examples or blocks of rounds behind an estimate: with it small samples pay Student's price. `span` is
    the range of one example's score (1 for right or wrong, 100 in percent, 0 where unbounded): with it, variants that
    differ on few examples or none do not look certain (see `simultaneous.half_widths`). Give it for bounded scores.

    All variants with a number were scored on the same examples, or timed in rounds that the draws resample together:
    pairing is what differences rest on. One scored on fewer, because a race stopped it, has a number with an interval
    of its own but comes here as NaN; it neither dominates nor narrows anything, and its place is told by what stopped
    it.

    `freedom` [V] are the degrees of freedom of each variant's own deviation, where they are not n - 1 for all; a pair
    has the smaller of its two.

    `extended` [V] says how many times as long as planned each variant was measured, after looks at what it showed:
    beyond 1 a smaller share of the error is left to its intervals (`looks.left_to_spend`). Infinite for one that cannot
    err, as the base of ratios; a pair has the smaller of its two, for it narrows no further than that one.

    ValueError for shapes that do not match, n below 2, a negative span, or a span without n.
    """

    objective: Objective
    estimates: FloatArray
    draws: FloatArray | None = None
    n: int | None = None
    span: float = 0.0
    freedom: FloatArray | None = None
    extended: FloatArray | None = None

    def __post_init__(self) -> None:
        name = self.objective.name
        if self.estimates.ndim != 1:
            raise ValueError(f"estimates of '{name}' come as one row, got shape {self.estimates.shape}")
        if self.draws is not None and (self.draws.ndim != 2 or self.draws.shape[1] != self.estimates.size):
            raise ValueError(f"draws of '{name}' need shape [B, {self.estimates.size}], got {self.draws.shape}")
        for what, each in (("freedom", self.freedom), ("extended", self.extended)):
            if each is not None and (each.shape != self.estimates.shape or not (each > 0).all()):
                raise ValueError(f"{what} of '{name}' comes as one positive number a variant, got {each}")
        if self.n is not None and self.n < 2:
            raise ValueError(f"'{name}' needs at least 2 examples or blocks, got {self.n}")
        if not (math.isfinite(self.span) and self.span >= 0) or (self.span > 0 and self.n is None):
            raise ValueError(f"the span of '{name}' is 0 or more and comes with n, got {self.span} with n={self.n}")

    @property
    def present(self) -> BoolArray:
        """[V]: whether a variant has a finite number here, in every draw too."""
        finite = np.isfinite(self.estimates)
        return finite if self.draws is None else finite & np.isfinite(self.draws).all(axis=0)

    @property
    def costs(self) -> FloatArray:
        """Estimates [V] turned so that lower is better. Directions turn here and in `cost_draws`, nowhere else."""
        return self.estimates if self.objective.better == "lower" else -self.estimates

    @property
    def cost_draws(self) -> FloatArray | None:
        """Draws [B, V] turned so that lower is better."""
        if self.draws is None or self.objective.better == "lower":
            return self.draws
        return -self.draws

    def only(self, rows: NDArray[np.intp]) -> "Evidence":
        """The same evidence for some of the variants."""
        draws = None if self.draws is None else self.draws[:, rows]
        freedom = None if self.freedom is None else self.freedom[rows]
        extended = None if self.extended is None else self.extended[rows]
        return Evidence(self.objective, self.estimates[rows], draws, self.n, self.span, freedom, extended)


class Piece(NamedTuple):
    """What is known of one variant on one objective."""

    estimate: float
    noisy: bool  # its interval has a width
    draws: FloatArray | None
    evidence: int | None  # independent examples or blocks behind it
    span: float  # range of one example's score, 0 where unbounded
    extended: float | None  # as in `Evidence`, None where it was not measured in leases


def put_together(objective: Objective, pieces: Sequence[Piece | None]) -> Evidence:
    """The evidence of all variants on one objective; None for a variant without a number.

    Noisy numbers without resamples show nothing of any pair, and a bare estimate must not pass for exact: all are NaN.
    """
    known = [each for each in pieces if each is not None]
    estimates = np.array([np.nan if each is None else each.estimate for each in pieces])
    size = next((each.draws.size for each in known if each.draws is not None), 0)
    if not size:
        return Evidence(objective, np.full(len(pieces), np.nan) if any(each.noisy for each in known) else estimates)
    columns = [
        np.full(size, estimate) if each is None or each.draws is None else each.draws
        for each, estimate in zip(pieces, estimates, strict=True)
    ]
    drawn = about_estimates(np.column_stack(columns), estimates)
    span = max((each.span for each in known if each.evidence is not None), default=0.0)
    n, freedom = worth([None if each is None else each.evidence for each in pieces], span)
    extended = extension([None if each is None else each.extended for each in pieces])
    return Evidence(objective, estimates, drawn, n, span, freedom, extended)


def about_estimates(draws: FloatArray, estimates: FloatArray) -> FloatArray:
    """Draws [B, V] of V estimates; those of a column that never differ are the estimate.

    They say nothing of how far it may be off. What storing them in single precision made of it is no error of it.
    """
    return np.where(draws.min(axis=0) == draws.max(axis=0), estimates, draws)


def worth(pieces: Sequence[int | None], span: float) -> tuple[int | None, FloatArray | None]:
    """(n, freedom) of evidence, from how many independent examples or blocks stand behind each variant's number.

    Examples of a score with a span are the same for all variants, so the fewest count for all; what was measured may
    have been measured more often for some. None for a variant whose number is exact, or that has none.
    """
    known = [n for n in pieces if n is not None]
    if not known:
        return None, None
    if span > 0:
        return min(known), None
    return None, np.array([math.inf if n is None else max(n - 1, 1) for n in pieces])


def extension(each: Sequence[float | None] | FloatArray) -> FloatArray | None:
    """`extended` of evidence, infinite for a variant that was not measured in leases (None, NaN); None if none was."""
    times = np.asarray(each, dtype=np.float64)
    return None if np.isnan(times).all() else np.where(np.isnan(times), math.inf, times)


def count_variants(evidence: tuple[Evidence, ...]) -> int:
    """V, after checking that all objectives speak of as many variants and draw as many worlds; ValueError otherwise."""
    if not evidence:
        raise ValueError("a frontier needs at least one objective; without one every variant would be on it")
    names = [each.objective.name for each in evidence]
    if len(set(names)) < len(names):
        raise ValueError(f"objectives must differ, got {names}")
    sizes = {each.objective.name: each.estimates.size for each in evidence}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"objectives must hold the same variants, got {sizes}")
    worlds = {each.objective.name: each.draws.shape[0] for each in evidence if each.draws is not None}
    if len(set(worlds.values())) > 1:
        raise ValueError(f"objectives must be drawn equally often, got {worlds}")
    return evidence[0].estimates.size
