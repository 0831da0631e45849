"""Which variants of a large sweep a plot draws: all that may be on the frontier, and so many of the others as show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.statistics.frontier import nondominated
from bench.statistics.pruned import DOMINATED
from leaderboard.choices import View
from leaderboard.large import column, members
from leaderboard.listing import Listing
from leaderboard.rows import Axis

MOST_DRAWN = 4000  # points; SVG and WebGL draw them in a moment
CELLS = 64  # of a grid over the plot, each way


def thinned(view: View, x: Axis, y: Axis, watched: str | None = None, third: Axis | None = None) -> tuple[View, str]:
    """A view with the rows to draw, and a sentence on which these are; of a small sweep the view as it is.

    Of dominated variants one stays in each cell of a grid, where many would lie on each other. The field becomes those
    on the frontier of estimates, among all that compete: neither a filter that hides nor thinning bends the line. The
    variant `watched` (a recipe_id) is drawn in any case. The rows have the numbers of the axes and the third one.
    """
    rows, field = view.rows, view.field
    if not isinstance(rows, Listing) or not isinstance(field, Listing):
        return view, ""
    told = rows.arrays(f"r.place as place, {rows.standing} as standing, r.is_base as is_base", "order by r.place")
    places = np.asarray(told["place"])
    found = _estimates(rows, places, (x, y))
    both = np.isfinite(found).all(axis=1)
    kept = chosen(found[both], np.asarray(told["standing"])[both] != DOMINATED, np.asarray(told["is_base"])[both])
    itself = rows.place_of(watched) if watched else None
    kept = np.union1d(kept, np.flatnonzero(places[both] == itself))
    keys = {axis.key for axis in (x, y, third) if axis is not None}
    drawn = tuple(rows.read(places[both][kept].tolist(), keys))
    count = int(both.sum())
    said = (
        f"{len(drawn):,} of {count:,} variants with both numbers are drawn, so that single points can be seen: "
        "all that are certain or contested, unless these are thousands, and one of the others in each small area."
    )
    front = tuple(field.read(_front(field, (x, y)), keys))
    return replace(view, field=front, rows=drawn), said if len(drawn) < count else ""


def _estimates(rows: Listing, places: NDArray[np.intp], axes: tuple[Axis, Axis]) -> NDArray[np.float64]:
    """[P, 2]: both numbers of the variants at these places, NaN where there is none."""
    return np.column_stack([column(rows.source, rows.sweep_id, axis.key).estimate[places] for axis in axes])


def _front(field: Listing, axes: tuple[Axis, Axis]) -> list[int]:
    """Places of the variants whose estimates no other of the same base beats; of equals the first."""
    places = np.sort(field.places()).astype(np.intp)
    who = members(field.source, field.sweep_id)
    if not all(axis.exact for axis in axes):
        places = places[~who.stopped[places]]  # as for `points.competing`
    found = _estimates(field, places, axes)
    base = who.base[places]
    signs = [1 if axis.better == "lower" else -1 for axis in axes]
    kept: list[int] = []
    for each in np.unique(base):
        at = np.flatnonzero(base == each)
        on = at[nondominated(found[at] * signs)]
        kept += places[on[np.unique(found[on], axis=0, return_index=True)[1]]].tolist()
    return sorted(kept)


def chosen(found: NDArray[np.float64], near: NDArray[np.bool_], base: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of the points [P, 2] to draw: the bases, those `near` the frontier, then one of each cell of a grid."""
    if len(found) <= MOST_DRAWN:
        return np.arange(len(found))
    low, high = np.quantile(found, (0.005, 0.995), axis=0)
    span = np.where(high > low, high - low, 1.0)
    grid = np.clip(np.nan_to_num((found - low) / span), 0, 1) * (CELLS - 1)
    cell = (grid[:, 0].astype(np.intp) * CELLS + grid[:, 1].astype(np.intp)) + near * CELLS * CELLS
    order = np.lexsort((np.arange(len(found)), ~near, ~base))
    first = order[np.unique(cell[order], return_index=True)[1]]
    every = np.flatnonzero(near | base)
    kept = np.union1d(np.flatnonzero(base), first) if len(every) > MOST_DRAWN // 2 else np.union1d(every, first)
    return kept[:MOST_DRAWN] if len(kept) <= MOST_DRAWN else np.sort(order[np.isin(order, kept)][:MOST_DRAWN])
