"""What someone asked to see, and the rows that answer it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.judging import judge
from leaderboard.rows import VERDICT_ORDER, Board, Draws, Key, Row

SHORTEST = 8  # characters of a recipe_id that name a variant


@dataclass(frozen=True, slots=True)
class Choice:
    """Filters. The first three say which variants compete; the others only which of them are listed."""

    base: str | None = None
    methods: tuple[str, ...] = ()
    text: str = ""
    standings: tuple[str, ...] = ()  # verdicts
    statuses: tuple[str, ...] = ()

    @property
    def narrows(self) -> bool:
        return bool(self.base or self.methods or self.text.strip())


@dataclass(frozen=True, slots=True)
class View:
    """The rows to show, judged among `field`: those that match, and their base."""

    board: Board
    keys: tuple[Key, ...]
    field: tuple[Row, ...]
    rows: tuple[Row, ...]
    narrowed: bool

    def find(self, recipe_id: str | None) -> Row | None:
        """The variant with that recipe_id, or beginning of one; judged among the field where it is in it."""
        for row in (*self.field, *self.board.rows):
            if recipe_id and len(recipe_id) >= SHORTEST and row.recipe_id.startswith(recipe_id):
                return row
        return None

    @property
    def matching(self) -> int:
        """Rows of the field apart from the bases."""
        return sum(not row.is_base for row in self.field)


def look(board: Board, choice: Choice, keys: Sequence[Key], draws: Draws) -> View:
    """The board as `choice` asks for it, judged on `keys`.

    The frontier is recomputed among the rows that match and the base, never among those that happen to have one
    verdict: a list of dominated variants does not make the best of them certain.
    """
    field = tuple(row for row in board.rows if _matches(row, choice))
    # A board under constraints has fewer rows than the verdicts that it carries are about.
    narrowed = board.among is not None or (choice.narrows and len(field) < len(board.rows))
    if narrowed or tuple(keys) != board.objectives:
        field = judge(board, field, keys, draws)
    rows = tuple(row for row in field if row.is_base or _listed(row, choice))
    return View(board, tuple(keys), field, rows, narrowed)


def _listed(row: Row, choice: Choice) -> bool:
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


def in_order(rows: Sequence[Row], by: Key | str | None, *, descending: bool) -> list[Row]:
    """Rows sorted by a number, or by "name" or "verdict"; each base stays above its variants, missing numbers last."""
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


def with_seeds_together(rows: Sequence[Row]) -> list[Row]:
    """The same rows, those of one recipe with several seeds below the first of them."""
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.group, place)
    return sorted(rows, key=lambda row: first[row.group])


def several_seeds(rows: Sequence[Row]) -> dict[str, int]:
    """How many seeds each recipe has that has more than one, by its group."""
    counts: dict[str, set[int]] = {}
    for row in rows:
        if row.seed is not None:
            counts.setdefault(row.group, set()).add(row.seed)
    return {group: len(seeds) for group, seeds in counts.items() if len(seeds) > 1}
