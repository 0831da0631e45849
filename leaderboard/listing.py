"""Rows of a large sweep as a sequence: what is asked for is counted, sorted, cut into pages and read in DuckDB."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from leaderboard.facts import keeps
from leaderboard.index import Index
from leaderboard.rows import VERDICT_ORDER, Cell, Kept, Key, Place, Required, Row, Step, Stopped

VERDICTS = tuple(VERDICT_ORDER)
AT_ONCE = 2000  # rows, when all of them are wanted one after the other


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition in SQL on `r`, a row of the index, with its parameters; `o` is its verdict where judged anew."""

    sql: str = "true"
    parameters: tuple[Any, ...] = ()

    def both(self, other: Clause) -> Clause:
        if self.sql == "true":
            return other
        return Clause(f"{self.sql} and {other.sql}", (*self.parameters, *other.parameters))


@dataclass(frozen=True, slots=True, eq=False)
class Anew:
    """Verdicts of a field that was judged again.

    `table` has place, standing, share, by (a place, or null), reason; `keys` are what it was judged on.
    """

    table: pa.Table
    keys: tuple[Key, ...]
    name: tuple[Any, ...]  # the same for the same field and numbers
    compared: int  # candidates that were compared in pairs
    candidates: int
    waiting: bool = False  # nobody has a verdict yet


@dataclass(frozen=True, slots=True)
class Order:
    """How rows are sorted; without `by` as the sweep ranks them."""

    by: Key | str | None = None
    descending: bool = False
    together: bool = False  # the seeds of a recipe below the first of them


@dataclass(frozen=True, slots=True, eq=False)
class Listing(Sequence[Row]):
    """The rows of one sweep that a clause keeps. Nothing is read before it is asked for."""

    source: Index
    sweep_id: str
    keeping: Clause = field(default_factory=Clause)
    order: Order = field(default_factory=Order)
    anew: Anew | None = None
    declared: int = 0  # constraints of the sweep
    asked: tuple[Required, ...] = ()  # further constraints

    def narrowed(self, clause: Clause) -> Listing:
        """Those that also keep another clause."""
        return replace(self, keeping=self.keeping.both(clause))

    def ask(self, what: str, tail: str = "", parameters: Sequence[Any] = (), first: Sequence[Any] = ()) -> list[Any]:
        """Rows of an own question about the kept rows: `select WHAT from ... where ... TAIL`."""
        cursor = self._cursor()
        query = f"select {what} {self._source()} {tail}"
        told = [*first, self.sweep_id, *self._told, *parameters]
        found: list[Any] = cursor.execute(query, told).fetchall()
        return found

    def arrays(self, what: str, tail: str = "", first: Sequence[Any] = (), joined: str = "") -> dict[str, Any]:
        """The same as numpy columns. `joined` are further tables, with `first` as their parameters."""
        cursor = self._cursor()
        query = f"select {what} {self._source(joined)} {tail}"
        return dict(cursor.execute(query, [*first, self.sweep_id, *self._told]).fetchnumpy())

    @property
    def _told(self) -> list[Any]:
        """The clause's parameters; a tuple is a list to DuckDB."""
        return [list(each) if isinstance(each, tuple) else each for each in self.keeping.parameters]

    def _cursor(self) -> Any:
        cursor = self.source.cursor()
        if self.anew is not None:
            cursor.register("anew", self.anew.table)
        return cursor

    def _source(self, joined: str = "") -> str:
        overlay = "join anew o using (place)" if self.anew is not None else ""
        return f"from rows r {overlay} {joined} where r.sweep_id = ? and {self.keeping.sql}"

    @property
    def variants(self) -> int:
        """How many rows, bases apart."""
        return int(self.ask("count(*)", "and not r.is_base")[0][0])

    def numbers(self) -> set[Key]:
        """What some kept row has a number for."""
        have = "join cells k on k.sweep_id = r.sweep_id and k.place = r.place"
        found = self._cursor().execute(
            f"select distinct k.metric, k.scope {self._source(have)}", [self.sweep_id, *self._told]
        )
        return {(metric, scope) for metric, scope in found.fetchall()}

    @property
    def standing(self) -> str:
        """The SQL of a row's verdict, as a place in VERDICT_ORDER."""
        return "r.standing" if self.anew is None else "o.standing"

    def __len__(self) -> int:
        return int(self.places().size)

    def places(self) -> NDArray[np.int32]:
        """Where on the board the rows stand, in order; remembered for the next page and the next visitor."""
        judged = None if self.anew is None else self.anew.name
        asked = ("order", self.sweep_id, self.keeping, self.order, judged)
        return self.source.remembered(asked, self._places)

    def _places(self) -> NDArray[np.int32]:
        key = self.order.by if isinstance(self.order.by, tuple) else None
        joined = ""
        if key is not None:
            joined = (
                "left join cells k on k.place = r.place and k.sweep_id = r.sweep_id and k.metric = ? and k.scope = ?"
            )
        found = self.arrays("r.place as place, r.family as family", f"order by {self._by()}", key or (), joined)
        places: NDArray[np.int32] = np.asarray(found["place"], dtype=np.int32)
        if self.order.together and places.size:
            family = np.asarray(found["family"])
            first = np.full(int(family.max()) + 1, places.size)
            np.minimum.at(first, family, np.arange(places.size))
            places = places[np.argsort(first[family], kind="stable")]
        return places

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, int):
            found = self.page(at if at >= 0 else len(self) + at, 1)
            if not found:
                raise IndexError(f"there are {len(self)} rows, asked for number {at}")
            return found[0]
        first, last, step = at.indices(len(self))
        return self.page(first, max(0, last - first))[::step]

    def __iter__(self) -> Iterator[Row]:
        first = 0
        while found := self.page(first, AT_ONCE):
            yield from found
            first += len(found)

    def page(self, first: int, count: int) -> list[Row]:
        """Some rows in order."""
        if count <= 0:
            return []
        return self.read([int(place) for place in self.places()[first : first + count]])

    def _by(self) -> str:
        """Each base above its variants, missing numbers last, what is equal as the sweep ranks it."""
        by, down = self.order.by, " desc" if self.order.descending else ""
        if by is None:
            return "r.place"
        if isinstance(by, tuple):
            return f"r.base, not r.is_base, k.estimate is null, k.estimate{down}, r.place"
        share = "r.share" if self.anew is None else "o.share"
        value = "r.folded" if by == "name" else f"{self.standing} + (1 - {share}) / 2"
        return f"r.base, not r.is_base, {value}{down}, r.place"

    def base(self, name: str) -> Row | None:
        """The base of that name, whether kept or not."""
        whole = replace(self, keeping=Clause("r.is_base and r.base = ?", (name,)), anew=None, order=Order())
        return next(iter(whole.page(0, 1)), None)

    def of_group(self, group: str) -> list[Row]:
        """The variants of one recipe with their seeds, whether kept or not."""
        whole = replace(self, keeping=Clause("r.recipe_group = ?", (group,)), anew=None, order=Order())
        return whole.page(0, AT_ONCE)

    def find(self, recipe_id: str) -> Row | None:
        """The kept variant with that recipe_id, or beginning of one."""
        found = self.ask("r.place", "and starts_with(r.recipe_id, ?) order by r.place limit 1", [recipe_id])
        return self.read([found[0][0]])[0] if found else None

    def read(self, places: Sequence[int]) -> list[Row]:
        """The rows at these places of the board, in this order, with everything that is known of them."""
        if not places:
            return []
        cursor = self._cursor()
        overlay = "left join anew o using (place)" if self.anew is not None else ""
        judged = "o.standing, o.share, o.reason, o.by" if self.anew is not None else "null, null, null, null"
        about = [self.sweep_id, list(places)]
        told = cursor.execute(
            "select r.place, r.recipe_id, r.name, r.base, r.is_base, r.seed, r.recipe_group, r.steps, r.artefact_id, "  # noqa: S608
            "r.status, r.reason, r.verdict, r.share, r.verdict_reason, r.dominated_by, r.seeds, r.undelivered, "
            f"{judged}, b.recipe_id from rows r {overlay} left join rows b on b.sweep_id = r.sweep_id and b.place = "
            f"{'o.by' if self.anew is not None else '-1'} "
            "where r.sweep_id = ? and r.place in (select unnest(?))",
            about,
        ).fetchall()
        cells = _cells(cursor, about)
        recipes = {row[0]: row[1] for row in told}
        stopped = _stopped(cursor, self.sweep_id, [row[8] for row in told if row[9] == "stopped"])
        stood = _places(cursor, about, anew=self.anew is not None)
        kept = _kept(cursor, self.sweep_id, list(recipes.values())) if self.declared else {}
        found = {}
        for row in told:
            place, recipe_id, is_base = row[0], row[1], row[4]
            mine = cells.get(place, {})
            anew = row[17] is not None
            found[place] = Row(
                recipe_id=recipe_id,
                name=row[2],
                base=row[3],
                is_base=is_base,
                seed=row[5],
                group=row[6],
                steps=tuple(Step(s["step"], s["settings"], s.get("seed")) for s in json.loads(row[7])),
                artefact_id=row[8],
                status=row[9],
                reason=row[10],
                verdict=VERDICTS[row[17]] if anew else row[11],
                share=row[18] if anew else row[12],
                verdict_reason=row[19] if anew else row[13],
                dominated_by=row[21] if anew else row[14],
                cells=mine,
                stopped=Stopped(row[14], *stopped[row[8]], row[13]) if row[8] in stopped else None,
                places=stood.get(place, {}),
                kept=(*kept.get(recipe_id, ()), *(keeps(mine, is_base, each.constraint) for each in self.asked)),
                undelivered=tuple(row[16]),
                seeds=row[15],
            )
        return [found[place] for place in places if place in found]


def _cells(cursor: Any, about: list[Any]) -> dict[int, dict[Key, Cell]]:
    found: dict[int, dict[Key, Cell]] = {}
    for place, metric, scope, *numbers in cursor.execute(
        "select place, metric, scope, estimate, low, high, n, method, hardware_class, note, evidence, span, p, p_holm, "
        "extended from cells where sweep_id = ? and place in (select unnest(?))",
        about,
    ).fetchall():
        found.setdefault(place, {})[metric, scope] = Cell(*numbers)
    return found


def _stopped(cursor: Any, sweep_id: str, artefacts: list[str]) -> Mapping[str, tuple[frozenset[Key]]]:
    if not artefacts:
        return {}
    rows = cursor.execute(
        "select artefact_id, objectives from snap.stops where sweep_id = ? and artefact_id in (select unnest(?))",
        [sweep_id, artefacts],
    ).fetchall()
    return {a: (frozenset((metric, scope) for metric, scope in json.loads(told)),) for a, told in rows}


def _places(cursor: Any, about: list[Any], *, anew: bool) -> dict[int, dict[Key, Place]]:
    """Standings among the whole sweep; judged anew, a rank is not known, but a comparison with the base still holds."""
    found: dict[int, dict[Key, Place]] = {}
    for place, metric, scope, first, last, tie, *other in cursor.execute(
        "select place, metric, scope, rank_low, rank_high, tie, relation, difference, low, high "
        "from stood where sweep_id = ? and place in (select unnest(?))",
        about,
    ).fetchall():
        rank = None if first is None or anew else (first, last)
        found.setdefault(place, {})[metric, scope] = Place(rank, "" if anew else tie, *other)
    return found


def _kept(cursor: Any, sweep_id: str, recipes: list[str]) -> dict[str, list[Kept]]:
    found: dict[str, list[Kept]] = {}
    for recipe_id, *told in cursor.execute(
        "select recipe_id, state, estimate, low, high from snap.constraints where sweep_id = ? and recipe_id in "
        "(select unnest(?)) order by position",
        [sweep_id, recipes],
    ).fetchall():
        found.setdefault(recipe_id, []).append(Kept(*told))
    return found
