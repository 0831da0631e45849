"""What `paredown verify` prints: a line for each kind of check, then a line for each thing that differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from bench.store.findings import Difference
from bench.store.verify import Verified
from cluster.show import Printable, print_table

COLUMNS = ("check", "what", "metric", "in what", "stored", "recomputed", "why it is named")


def print_verified(found: Verified, form: str, console: Console) -> None:
    """Print in the asked form; CSV has a line for each difference only."""
    if form == "json":
        print_table(_checks(found), form, console)
        return
    if form != "csv":
        print_table(_checks(found), form, console)
    if found.differences or form == "csv":
        print_table(_differences(found), form, console)


def _checks(found: Verified) -> Printable:
    rows = tuple(
        (check.name, check.meaning, f"{check.compared:,}", f"{check.rounded:,}", f"{len(check.differences):,}")
        for check in found.checks
    )
    notes = [f"{check.name}: {note}." for check in found.checks for note in check.notes]
    if found.later_parts:
        notes.append(
            f"{found.later_parts} parts of the journal came after the snapshot: of them only records are checked."
        )
    if found.same_code is False:
        notes.append(
            "The snapshot was published by other code or libraries than these; where numbers differ, that may be why: "
            "run the sweep again, which repeats nothing, to publish it anew."
        )
    count = len(found.differences)
    notes.append("Nothing differs." if not count else f"{count} thing{'s differ' if count > 1 else ' differs'}.")
    title = f"{found.store}: {', '.join(found.sweeps)}, as published {found.published}"
    columns = ("check", "meaning", "compared", "equal but for rounding", "differ")
    return Printable(title, columns, rows, records(found), tuple(notes), frozenset(columns[2:]))


def _differences(found: Verified) -> Printable:
    rows = tuple(row for difference in found.differences for row in _rows(difference))
    return Printable("What differs", COLUMNS, rows, records(found), (), frozenset({"stored", "recomputed"}))


def _rows(difference: Difference) -> Sequence[tuple[str, ...]]:
    """A line for each field that differs, or one where there is none to show."""
    where = f"{difference.metric}, {difference.scope}" if difference.scope else difference.metric
    fields = difference.fields or (("", "", ""),)
    return [
        (difference.check, difference.subject, where, name, _text(stored), _text(found), difference.reason)
        for name, stored, found in fields
    ]


def _text(value: Any) -> str:
    """A value with all its digits; None is nothing."""
    return "–" if value is None else repr(value) if isinstance(value, float) else str(value)


def records(found: Verified) -> dict[str, Any]:
    """Everything that was found, for programs."""
    return {
        "store": found.store,
        "snapshot": found.snapshot,
        "published": found.published,
        "sweeps": list(found.sweeps),
        "same_code": found.same_code,
        "later_parts": found.later_parts,
        "differ": len(found.differences),
        "checks": [
            {
                "check": check.name,
                "meaning": check.meaning,
                "compared": check.compared,
                "rounded": check.rounded,
                "differ": len(check.differences),
                "notes": check.notes,
            }
            for check in found.checks
        ],
        "differences": [
            {
                "check": d.check,
                "subject": d.subject,
                "metric": d.metric or None,
                "scope": d.scope or None,
                "reason": d.reason,
                "fields": [{"field": name, "stored": stored, "recomputed": new} for name, stored, new in d.fields],
            }
            for d in found.differences
        ],
    }
