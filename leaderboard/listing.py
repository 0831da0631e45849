"""Rows of a large sweep as a sequence: what is asked for is counted, sorted, cut into pages and read in DuckDB."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from leaderboard.facts import keeps
from leaderboard.index import Index
from leaderboard.rows import VERDICT_ORDER, Cell, Kept, Key, Place, Required, Row, Step, Stopped

VERDICTS = tuple(VERDICT_ORDER)
JUDGED = "o.standing"  # the verdict of a row that was judged anew, as a place in VERDICT_ORDER
AT_ONCE = 2000  # rows, when all of them are wanted one after the other


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition in SQL on `r`, a row of the index, with its parameters; `o` is its verdict where judged anew."""

    sql: str = "true"
    parameters: tuple[Any, ...] = ()

    def both(self, other: Clause) -> Clause:
        if "true" in (self.sql, other.sql):
            return other if self.sql == "true" else self  # the same clause is the same question: its answer is kept
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
    awaited: tuple[Any, ...] | None = None  # what is being worked out, while nobody has a verdict yet


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

    def arrays(self, what: str, tail: str = "") -> dict[str, Any]:
        """The same as numpy columns."""
        query = f"select {what} {self._source()} {tail}"
        return dict(self._cursor().execute(query, [self.sweep_id, *self._told]).fetchnumpy())

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
        """How many rows, bases apart: of their places, which are known, as the rows are counted and shown too."""
        ask = "select place from rows where sweep_id = ? and is_base"
        bases = self.source.remembered(
            ("bases", self.sweep_id),
            lambda: self.source.cursor().execute(ask, [self.sweep_id]).fetchnumpy()["place"],
        )
        return len(self) - int(np.isin(bases, self.places()).sum())

    @property
    def _kept_rows(self) -> tuple[Any, ...]:
        """What names the kept rows: verdicts only where the clause asks for them."""
        asks = self.anew is not None and JUDGED in self.keeping.sql
        return self.sweep_id, self.keeping, self.anew.name if asks and self.anew else None

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
        return "r.standing" if self.anew is None else JUDGED

    def __len__(self) -> int:
        return int(self.places().size)

    def places(self) -> NDArray[np.int32]:
        """Where on the board the rows stand, in order; remembered for the next page and the next visitor."""
        by_verdict = self.anew.name if self.anew is not None and self.order.by == "verdict" else None
        # Rows whose verdicts have come stand where they stood without them: nothing is asked again.
        return self.source.remembered(("order", *self._kept_rows, self.order, by_verdict), self._places)

    def _places(self) -> NDArray[np.int32]:
        if self.order.together:
            apart = replace(self, order=replace(self.order, together=False)).places()
            family = self._whole()["family"][apart]
            first = np.full(1 + int(np.max(family, initial=0)), apart.size)
            np.minimum.at(first, family, np.arange(apart.size))
            return np.asarray(apart[np.argsort(first[family], kind="stable")])
        if isinstance(self.order.by, tuple):
            return self._by_number(self.order.by)
        found = self.arrays("r.place as place", f"order by {self._by()}")
        return np.asarray(found["place"], dtype=np.int32)

    def _by_number(self, key: Key) -> NDArray[np.int32]:
        """Sorted here: DuckDB would join and sort whole rows, which takes several times as long."""
        rows, whole = replace(self, order=Order()).places(), self._whole()
        ask = "select place, estimate from cells where sweep_id = ? and metric = ? and scope = ?"
        told = self.source.cursor().execute(ask, [self.sweep_id, *key]).fetchnumpy()
        number = np.full(whole["base"].size, np.nan)  # a missing number comes last, whichever way is up
        number[told["place"]] = np.ma.filled(told["estimate"], np.nan)
        sign = -1 if self.order.descending else 1
        order = np.lexsort((sign * number[rows], ~whole["is_base"][rows], whole["base"][rows]))
        return np.asarray(rows[order])

    def _whole(self) -> dict[str, NDArray[Any]]:
        """Base and family of seeds, by place, of the whole sweep: read once for all filters and orders."""

        def read() -> dict[str, NDArray[Any]]:
            ask = (
                "select family, dense_rank() over (order by base)::integer as base, is_base from rows where "
                "sweep_id = ? order by place"
            )
            found = self.source.cursor().execute(ask, [self.sweep_id]).fetchnumpy()
            return {name: np.concatenate([each[:1], each]) for name, each in found.items()}  # places begin at 1

        return self.source.remembered(("whole", self.sweep_id), read)

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
        """Each base above its variants, what is equal as the sweep ranks it."""
        by, down = self.order.by, " desc" if self.order.descending else ""
        if by is None:
            return "r.place"
        share = "r.share" if self.anew is None else "o.share"
        value = "r.folded" if by == "name" else f"{self.standing} + (1 - {share}) / 2"
        return f"r.base, not r.is_base, {value}{down}, r.place"

    def base(self, name: str) -> Row | None:
        """The base of that name, whether kept or not."""
        whole = replace(self, keeping=Clause("r.is_base and r.base = ?", (name,)), anew=None, order=Order())
        asked = ("base", self.sweep_id, name, self.declared, self.asked)  # every page and every variant shows it
        return self.source.remembered(asked, lambda: next(iter(whole.page(0, 1)), None))

    def of_group(self, group: str) -> list[Row]:
        """The variants of one recipe with their seeds, whether kept or not."""
        whole = replace(self, keeping=Clause("r.recipe_group = ?", (group,)), anew=None, order=Order())
        return whole.page(0, AT_ONCE)

    def find(self, recipe_id: str) -> Row | None:
        """The kept variant with that recipe_id, or beginning of one."""
        place = self.place_of(recipe_id)
        return None if place is None else self.read([place])[0]

    def place_of(self, recipe_id: str) -> int | None:
        """Where that variant stands on the board, if it is kept."""
        found = self.ask("r.place", "and starts_with(r.recipe_id, ?) order by r.place limit 1", [recipe_id])
        return int(found[0][0]) if found else None

    def read(self, places: Sequence[int], keys: Collection[Key] | None = None) -> list[Row]:
        """The rows at these places of the board, in this order, with everything that is known of them.

        With `keys` with these numbers alone: most of what thousands of rows take is for numbers.
        """
        if not places:
            return []
        judged = self._judged(places)
        if keys is not None:  # constraints that were asked for are looked up here
            keys = {*keys, *((each.constraint.metric, each.constraint.scope) for each in self.asked)}
        return [
            self._row(told, judged.get(place), keys)
            for place, told in zip(places, self.source.whole(self.sweep_id, places), strict=True)
        ]

    def _row(
        self,
        told: Mapping[str, Any],
        judged: tuple[str, float, str, str | None] | None,
        keys: Collection[Key] | None,
    ) -> Row:
        """A row as the index tells it, with what it was judged anew."""
        declared = told["verdict"], told["share"], told["verdict_reason"], told["dominated_by"]
        verdict, share, reason, winner = declared if judged is None else judged
        cells = {(m, s): Cell(*rest) for m, s, *rest in told["cells"] or () if keys is None or (m, s) in keys}
        as_base, stopped = told["as_base"], told["stopped"]
        return Row(
            recipe_id=told["recipe_id"],
            name=told["name"],
            base=told["base"],
            is_base=told["is_base"],
            seed=told["seed"],
            group=told["recipe_group"],
            steps=tuple(Step(s["step"], s["settings"], s.get("seed")) for s in told["steps"]),
            artefact_id=told["artefact_id"],
            status=told["status"],
            reason=told["reason"],
            verdict=verdict,
            share=share,
            verdict_reason=reason,
            dominated_by=winner,
            cells=cells,
            stopped=None
            if stopped is None
            else Stopped(told["dominated_by"], frozenset((m, s) for m, s in stopped), told["verdict_reason"]),
            places={
                (m, s): self._place(*rest) for m, s, *rest in told["stood"] or () if keys is None or (m, s) in keys
            },
            kept=(
                *(Kept(*each) for each in (told["kept"] or () if self.declared else ())),
                *(keeps(cells, as_base, each.constraint) for each in self.asked),
            ),
            undelivered=tuple(told["undelivered"]),
            seeds=told["seeds"],
            as_base=as_base,
        )

    def _place(self, first: int | None, last: int, tie: str, *beside: Any) -> Place:
        """Where a row stands among the whole sweep; judged anew, only the comparison with the base still holds."""
        if self.anew is not None:
            return Place(None, "", *beside)
        return Place(None if first is None else (first, last), tie, *beside)

    def _judged(self, places: Sequence[int]) -> dict[int, tuple[str, float, str, str | None]]:
        """(verdict, share, reason, recipe_id of who dominates) by place, where rows were judged anew.

        Picked here: a join in DuckDB reads the verdicts of the whole field for a page of rows.
        """
        if self.anew is None:
            return {}
        table = self.anew.table
        every = table["place"].to_numpy()
        at = np.flatnonzero(np.isin(every, places))
        told = table.take(at).to_pylist()
        by = [row["by"] for row in told if row["by"] is not None]
        ask = "select place, recipe_id from rows where sweep_id = ? and place in (select unnest(?))"
        winners = dict(self.source.cursor().execute(ask, [self.sweep_id, by]).fetchall()) if by else {}
        return {
            row["place"]: (VERDICTS[row["standing"]], row["share"], row["reason"], winners.get(row["by"]))
            for row in told
        }
