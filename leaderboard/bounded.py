"""Which rows of a large sweep keep bounds, asked in DuckDB: what `facts.keeps` says of a row that was read."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics import of_base
from bench.statistics.constraints import Constraint
from leaderboard.listing import Clause, Listing
from leaderboard.rows import Required

# Where <=> stands comes one of the four operators that a constraint may have.
CELLS = "(select place from cells where sweep_id = ? and metric = ? and scope = ? and low <= high"
BROKEN = f"r.place not in {CELLS} and not (low <=> ?) and not (high <=> ?))"
ITSELF = f"(r.as_base and r.place not in {CELLS}))"  # what compares with the base is known of its bytes
MET = f"r.place in {CELLS} and low <=> ? and high <=> ?)"


def kept_by(listing: Listing, asked: Sequence[Required]) -> Clause:
    """Who is not known to break one of the bounds; bases always stay."""
    found = Clause()
    for required in asked:
        found = found.both(_not_broken(listing.sweep_id, required.constraint))
    return Clause(f"(r.is_base or ({found.sql}))", found.parameters)


def all_met(listing: Listing, constraints: Sequence[Required]) -> bool:
    """Whether some variant is known to meet all of these bounds."""
    found = Clause("not r.is_base")
    for required in constraints:
        found = found.both(_met(listing.sweep_id, required.constraint))
    return bool(listing.narrowed(found))


def _not_broken(sweep_id: str, constraint: Constraint) -> Clause:
    number = (sweep_id, constraint.metric, constraint.scope)
    found = Clause(BROKEN.replace("<=>", constraint.operator), (*number, constraint.bound, constraint.bound))
    itself = of_base(constraint.metric)
    return found if itself is None or constraint.holds(itself) else found.both(Clause(f"not {ITSELF}", number))


def _met(sweep_id: str, constraint: Constraint) -> Clause:
    number = (sweep_id, constraint.metric, constraint.scope)
    found = Clause(MET.replace("<=>", constraint.operator), (*number, constraint.bound, constraint.bound))
    itself = of_base(constraint.metric)
    if itself is None or not constraint.holds(itself):
        return found
    return Clause(f"({found.sql} or {ITSELF})", (*found.parameters, *number))
