"""Ties in a large sweep, told among those that are not dominated: letters for all would be as many as the variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.statistics.pruned import MOST_CANDIDATES, rank_ends
from bench.statistics.ranks import tie_groups
from bench.statistics.simultaneous import half_widths
from leaderboard.choices import View
from leaderboard.large import LEVEL, known_of, members
from leaderboard.listing import Clause, Listing
from leaderboard.rows import VERDICT_ORDER, Board, Key, Place, Row

UNBEATEN = (VERDICT_ORDER["certain"], VERDICT_ORDER["contested"])


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """On each objective of a field."""

    compared: int  # variants among which ties were looked for, the first by share where there are too many
    tied: Mapping[Key, Mapping[int, int]]  # place of one of them -> how many others it was not told apart from
    places: NDArray[np.intp]  # of the field, ascending
    ranks: Mapping[Key, NDArray[np.int32]]  # best and worst by place, where the sweep's own do not hold; 0 without

    def told(self, row: Row, place: int) -> Row:
        """The row with what is known here of its places."""
        found = dict(row.places)
        at = int(np.searchsorted(self.places, place))
        inside = at < self.places.size and self.places[at] == place  # a base stands beside every field
        for key, among in self.tied.items():
            mine = found.get(key, Place(None, "", None, None, None, None))
            if key in self.ranks:
                best, worst = (int(end) for end in self.ranks[key][at]) if inside else (0, 0)
                mine = replace(mine, rank=(best, worst) if best else None)
            found[key] = replace(mine, tied=among.get(place))
        return replace(row, places=found)


def ties_of(view: View, patience: float | None) -> Ties | None:
    """Of the view's field, worked out once; None where that takes longer than so many seconds: ask again."""
    field = view.field
    assert isinstance(field, Listing)
    asked = ("ties", field.sweep_id, field.keeping, view.keys, None if field.anew is None else field.anew.name)
    if patience is None:
        return field.source.remembered(asked, lambda: _ties(view.board, field, view.keys))
    return field.source.begin(asked, lambda: _ties(view.board, field, view.keys), patience)


def with_ties(view: View, rows: Sequence[Row], patience: float | None = 0.0) -> tuple[list[Row], str]:
    """Rows of a view with what is known of their ties, and a sentence on that.

    What takes longer than so many seconds is awaited by the page that asks. Small sweeps know their ties by letters,
    and nothing is said of those of a view that still awaits its verdicts.
    """
    field = view.field
    if not isinstance(field, Listing) or view.waiting:
        return list(rows), ""
    found = ties_of(view, patience)
    if found is None:
        from leaderboard.live import awaits  # a page: others have the patience, and no Streamlit

        awaits(lambda: ties_of(view, 0) is not None)
        return list(rows), "Who ties with whom follows in a moment."
    every = replace(field, keeping=Clause(), anew=None)
    mine = [row.recipe_id for row in rows]
    place_of = dict(every.ask("r.recipe_id, r.place", "and r.recipe_id in (select unnest(?))", [mine]))
    first = "first " if found.compared == MOST_CANDIDATES else ""
    said = f"Tied: not told apart, among the {first}{found.compared:,} that are not dominated; others have ranks alone."
    return [found.told(row, place_of[row.recipe_id]) for row in rows], said


def _ties(board: Board, field: Listing, keys: tuple[Key, ...]) -> Ties:
    index, sweep_id = field.source, field.sweep_id
    who = members(index, sweep_id)
    share = "r.share" if field.anew is None else "o.share"
    every = field.arrays(
        f"r.place as place, {field.standing} in {UNBEATEN} as unbeaten",
        f"order by unbeaten desc, {share} desc, r.place",
    )
    order = every["place"].astype(np.intp)
    chosen = np.sort(order[every["unbeaten"].astype(np.bool_)][:MOST_CANDIDATES])
    places = np.sort(order)
    tied: dict[Key, dict[int, int]] = {key: {} for key in keys}
    ranks: dict[Key, Any] = {}
    if field.anew is not None:
        ranks = {key: np.zeros((places.size, 2), dtype=np.int32) for key in keys}
    for base in np.unique(who.base[places]):
        at = np.flatnonzero(who.base[places] == base)
        mine = places[at]
        known = known_of(board, index, sweep_id, keys, mine)
        candidates = np.flatnonzero(np.isin(mine, chosen))
        evidence = tuple(known.pick(candidates))
        for key, each, width in zip(keys, evidence, half_widths(evidence, LEVEL, known.pairs), strict=True):
            groups = tie_groups(each, LEVEL, width)
            tied[key] |= {int(mine[candidates[number]]): count for number, count in _others(groups).items()}
        for key, between in zip(ranks, known.between, strict=False):
            ranks[key][at] = rank_ends(between)
    return Ties(int(chosen.size), tied, places, ranks)


def _others(groups: Sequence[Sequence[int]]) -> dict[int, int]:
    """With how many others each member of a group shares one: groups are runs in one order."""
    at = {row: place for place, row in enumerate(dict.fromkeys(row for group in groups for row in group))}
    first, last = dict(at), dict(at)
    for group in groups:
        for row in group:
            first[row] = min(first[row], at[group[0]])
            last[row] = max(last[row], at[group[-1]])
    return {row: last[row] - first[row] for row in at}
