"""The rows of a snapshot, one type a table."""

from dataclasses import dataclass, field
from typing import NamedTuple


class VariantRow(NamedTuple):
    """A variant of a sweep."""

    sweep_id: str
    recipe_id: str
    position: int
    name: str
    base: str
    is_base: bool
    seed: int | None
    recipe_group: str
    steps: str
    artefact_id: str | None
    status: str
    reason: str | None


class NumberRow(NamedTuple):
    """A number of a variant."""

    sweep_id: str
    recipe_id: str
    metric: str
    scope: str
    estimate: float
    low: float
    high: float
    n: int
    method: str
    hardware_class: str | None
    note: str | None
    evidence: int | None  # independent examples or blocks of rounds behind it
    span: float  # range of one example's score, 0 where unbounded
    p: float | None = None  # of the exact test that it is no different from the base's, where there is one
    p_holm: float | None = None  # the same, adjusted for the sweep's family of such tests
    extended: float | None = None  # leases behind it over those planned at first, where it was measured in leases


class VerdictRow(NamedTuple):
    """Where a variant stands on the sweep's declared objectives."""

    sweep_id: str
    recipe_id: str
    verdict: str
    share: float
    dominated_by: str | None
    reason: str


class StandingRow(NamedTuple):
    """A variant on one objective: its rank and ties, and how it compares with its base."""

    sweep_id: str
    recipe_id: str
    metric: str
    scope: str
    rank_low: int | None  # the best rank that it may have, 1 best; None without a number
    rank_high: int | None
    tie: str  # letters; who shares one was not told apart
    relation: str | None  # better | equivalent | worse | not known yet; None for the base
    difference: float | None  # from the base, with its simultaneous interval; None where nothing is known
    low: float | None
    high: float | None


class ConstraintRow(NamedTuple):
    """Whether a variant keeps one of the sweep's constraints."""

    sweep_id: str
    recipe_id: str
    position: int
    metric: str
    scope: str
    operator: str
    bound: float
    text: str
    state: str  # met | not met | open
    estimate: float | None
    low: float | None
    high: float | None


class HitsRow(NamedTuple):
    """Which examples of a task count for a variant's share, so that any two variants can be tested exactly."""

    sweep_id: str
    recipe_id: str
    metric: str
    scope: str
    n: int
    bits: bytes  # one an example, 1 where it counts


class DrawRow(NamedTuple):
    """Coherent bootstrap draws of a number."""

    sweep_id: str
    recipe_id: str
    metric: str
    scope: str
    draws: list[float]


class ConfirmationRow(NamedTuple):
    """A number of a variant on held-back examples, beside the one that it was chosen by."""

    sweep_id: str
    opening: str
    recipe_id: str
    metric: str
    scope: str
    estimate: float
    low: float
    high: float
    level: float  # of this interval alone
    n: int
    method: str
    chosen: float | None  # estimate on the examples that are for choosing
    optimism: float | None  # how much better it looked there
    optimism_low: float | None
    optimism_high: float | None
    finding: str | None  # confirmed | overstated | understated | open


class FrontRow(NamedTuple):
    """The frontier of a base's variants as a whole, on the sweep's declared objectives: of estimates."""

    sweep_id: str
    base: str
    size: int  # variants on it
    knee: str | None  # recipe_id of the one in its bend
    hypervolume: float | None  # share of the box from the best of all objectives to a tenth beyond the worst


class RecipeRow(NamedTuple):
    """A recipe over its training seeds: beside the base, or beside another recipe."""

    sweep_id: str
    base: str
    recipe_group: str
    name: str  # of its variants, without their seeds
    metric: str
    scope: str
    other: str  # group of the recipe that it is compared with; empty for the base
    seeds: int
    estimate: float | None  # None with one seed
    low: float | None
    high: float | None
    method: str
    variance_seeds: float | None  # of a single value, of a ratio's on logs; None where not split
    variance_examples: float | None
    variance_sessions: float | None  # from one lease to another
    variance_rest: float | None  # of an example under a seed, or of the rounds of a lease


@dataclass
class Summary:
    """Everything that a snapshot says of one sweep."""

    variants: list[VariantRow] = field(default_factory=list)
    numbers: list[NumberRow] = field(default_factory=list)
    verdicts: list[VerdictRow] = field(default_factory=list)
    draws: list[DrawRow] = field(default_factory=list)
    standings: list[StandingRow] = field(default_factory=list)
    constraints: list[ConstraintRow] = field(default_factory=list)
    hits: list[HitsRow] = field(default_factory=list)
    confirmations: list[ConfirmationRow] = field(default_factory=list)
    fronts: list[FrontRow] = field(default_factory=list)
    recipes: list[RecipeRow] = field(default_factory=list)
