"""What someone asked to see, and the rows that answer it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from leaderboard.bounded import all_met
from leaderboard.judging import Judging, judge
from leaderboard.large import judge_field, listed, matching
from leaderboard.listing import Clause, Listing
from leaderboard.rows import VERDICT_ORDER, Board, Draws, Key, Row

ENDED = ("complete", "stopped")  # statuses of variants that lack nothing they were to have
SHORTEST = 8  # characters of a recipe_id that name a variant


@dataclass(frozen=True, slots=True)
class Choice:
    """Filters. The first three say which variants compete; the others only which of them are listed."""

    base: str | None = None
    methods: tuple[str, ...] = ()
    text: str = ""
    standings: tuple[str, ...] = ()  # verdicts
    statuses: tuple[str, ...] = ()
    task: str | None = None

    @property
    def narrows(self) -> bool:
        return bool(self.base or self.methods or self.text.strip())


@dataclass(frozen=True, slots=True)
class View:
    """The rows to show, judged among `field`: those that match, and their base."""

    board: Board
    keys: tuple[Key, ...]
    field: Sequence[Row]  # tuples, or of a large sweep a `Listing` each
    rows: Sequence[Row]
    narrowed: bool

    def find(self, recipe_id: str | None) -> Row | None:
        """The variant with that recipe_id, or beginning of one; judged among the field where it is in it."""
        if not recipe_id or len(recipe_id) < SHORTEST:
            return None
        for rows in (self.field, self.board.rows):
            if isinstance(rows, Listing):
                found = rows.find(recipe_id)
            else:
                found = next((row for row in rows if row.recipe_id.startswith(recipe_id)), None)
            if found is not None:
                return found
        return None

    @property
    def waiting(self) -> bool:
        """Whether verdicts are still being worked out."""
        return isinstance(self.field, Listing) and self.field.anew is not None and self.field.anew.awaited is not None

    def worth_asking_again(self) -> bool:
        """Whether verdicts that were waited for are there; nothing is begun by asking."""
        field = self.field
        return isinstance(field, Listing) and field.anew is not None and field.source.knows(field.anew.awaited)

    @property
    def matching(self) -> int:
        """Rows of the field apart from the bases."""
        return variants_in(self.field)

    def competes(self, row: Row) -> bool:
        """Whether a variant is in the field."""
        if isinstance(self.field, Listing):
            return not self.narrowed or self.field.place_of(row.recipe_id) is not None
        return any(row.recipe_id == other.recipe_id for other in self.field)

    def base_of(self, row: Row) -> Row | None:
        """The base of a variant; the row itself of a base."""
        if row.is_base:
            return row
        if isinstance(self.board.rows, Listing):
            return self.board.rows.base(row.base)
        return next((r for r in self.board.rows if r.is_base and r.base == row.base), None)


def some_met(board: Board) -> bool:
    """Whether some variant is known to meet all constraints of the board."""
    if isinstance(board.rows, Listing):
        return all_met(board.rows, board.constraints)
    return any(not row.is_base and all(kept.state == "met" for kept in row.kept) for row in board.rows)


def unfinished(board: Board) -> Sequence[Row]:
    """Rows that lack numbers which they were to have."""
    if isinstance(board.rows, Listing):
        return board.rows.narrowed(Clause("r.status not in (select unnest(?))", (ENDED,)))
    return [row for row in board.rows if row.status not in ENDED]


def variants_in(rows: Sequence[Row]) -> int:
    """How many rows, bases apart."""
    return rows.variants if isinstance(rows, Listing) else sum(not row.is_base for row in rows)


def look(
    board: Board,
    choice: Choice,
    keys: Sequence[Key],
    draws: Draws,
    *,
    patience: float | None = None,
    judging: Judging = judge,
) -> View:
    """The board as `choice` asks for it, judged on `keys`.

    The frontier is recomputed among the rows that match and the base, never among those that happen to have one
    verdict: a list of dominated variants does not make the best of them certain. Of a large sweep the view is `waiting`
    where that takes longer than `patience` seconds, and has no verdicts yet. `judging` gives verdicts to the rows of
    others, as `judge` does.
    """
    if isinstance(board.rows, Listing):
        return _look_at(board, board.rows, choice, tuple(keys), patience)
    field = tuple(row for row in board.rows if _matches(row, choice))
    # A board under constraints has fewer rows than the verdicts that it carries are about.
    narrowed = board.among is not None or (choice.narrows and len(field) < len(board.rows))
    if narrowed or tuple(keys) != board.objectives:
        field = judging(board, field, keys, draws)
    rows = tuple(row for row in field if row.is_base or _listed(row, choice))
    return View(board, tuple(keys), field, rows, narrowed)


def _look_at(board: Board, listing: Listing, choice: Choice, keys: tuple[Key, ...], patience: float | None) -> View:
    """The same of a large sweep: nothing but what verdicts need is read."""
    field = listing.narrowed(matching(choice.base, choice.methods, choice.text))
    narrowed = board.among is not None or (choice.narrows and len(field) < len(listing))
    if narrowed or keys != board.objectives:
        # Who is listed by verdict must have one.
        field = replace(field, anew=judge_field(board, field, keys, None if choice.standings else patience))
    standings = [VERDICT_ORDER[name] for name in choice.standings]
    rows = field.narrowed(listed(field, standings, choice.statuses, choice.task))
    return View(board, keys, field, rows, narrowed)


def has_task(key: Key, task: str) -> bool:
    """Whether a number is of a task or of a part of it."""
    return key[1] == task or key[1].startswith(f"{task} / ")


def _listed(row: Row, choice: Choice) -> bool:
    if choice.task and not any(has_task(key, choice.task) for key in row.cells):
        return False
    standing = not choice.standings or row.verdict in choice.standings
    return standing and (not choice.statuses or row.status in choice.statuses)


def _matches(row: Row, choice: Choice) -> bool:
    if choice.base is not None and row.base != choice.base:
        return False
    if row.is_base:
        return True
    if choice.methods and not set(choice.methods) & set(row.methods):
        return False
    words = choice.text.casefold().split()
    described = " ".join((row.name, *row.methods, row.recipe_id)).casefold()
    return all(word in described for word in words)


def in_order(rows: Sequence[Row], by: Key | str | None, *, descending: bool) -> Sequence[Row]:
    """Rows sorted by a number, or by "name" or "verdict"; each base stays above its variants, missing numbers last."""
    if isinstance(rows, Listing):
        return replace(rows, order=replace(rows.order, by=by, descending=descending))
    if by is None:
        return list(rows)

    def place(row: Row) -> tuple[bool, float, str]:
        if by == "name":
            return False, 0.0, row.name.casefold()
        if by == "verdict":
            return False, VERDICT_ORDER[row.verdict] + (1 - row.share) / 2, ""
        cell = row.cells.get(by) if isinstance(by, tuple) else None
        return cell is None, (-cell.estimate if descending else cell.estimate) if cell else 0.0, ""

    ordered = sorted(rows, key=place, reverse=descending and isinstance(by, str))
    bases = list(dict.fromkeys(row.base for row in rows))
    return sorted(ordered, key=lambda row: (bases.index(row.base), not row.is_base))


def with_seeds_together(rows: Sequence[Row]) -> Sequence[Row]:
    """The same rows, those of one recipe with several seeds below the first of them."""
    if isinstance(rows, Listing):
        return replace(rows, order=replace(rows.order, together=True))
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.group, place)
    return sorted(rows, key=lambda row: first[row.group])


def with_bases(view: View, part: Sequence[Row]) -> list[Row]:
    """A part of the rows, each base above its variants also where it stands in another part."""
    there = {row.base for row in part if row.is_base}
    found: list[Row] = []
    for row in part:
        if row.base not in there:
            there.add(row.base)
            base = view.base_of(row)
            judged = None if base is None else view.find(base.recipe_id)  # as the rows beside it were
            found += [judged] if judged else []
        found.append(row)
    return found


def several_seeds(rows: Sequence[Row]) -> dict[str, int]:
    """How many seeds each recipe has that has more than one, by its group."""
    counts: dict[str, set[int]] = {}
    if isinstance(rows, Listing):
        return dict(rows.ask("r.recipe_group, any_value(r.seeds)", "and r.seeds > 1 group by 1"))
    for row in rows:
        if row.seed is not None:
            counts.setdefault(row.group, set()).add(row.seed)
    return {group: len(seeds) for group, seeds in counts.items() if len(seeds) > 1}
