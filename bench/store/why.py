"""Everything behind one number of a store: raw samples, conditions, artefact, records, command. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from bench.store import origin
from bench.store.asked import Asked, Row, kind_of, why_missing
from bench.store.evidence import Evidence, counted, stated
from bench.store.evidence_scored import scored
from bench.store.evidence_timed import timed
from bench.store.finished_leases import finished_leases
from bench.store.outcomes import example_texts
from bench.store.reader import Snapshot
from bench.store.rebuild import database_of, parts_with
from bench.store.scored import evaluations
from bench.store.sheets import Sheet
from bench.store.summary import leases, matching

# The beginning of an interval's method -> how it was made.
INTERVALS = {
    "exact McNemar": "McNemar's exact test of the flips, two-sided, gives p.",
    "exact": "Exact: nothing was sampled, so there is no interval.",
    "the base itself": "The base itself: a ratio of 1 by definition.",
    "Wilson": "Wilson's score interval of a proportion, 95%.",
    "Student t over": "Student's t for the mean of the leases' log ratios, 95%, with the luck of their rounds and what "
    "differs between leases; the fewer they are, the more the latter leans on what calibration found.",
    "Student t with what": "Student's t for the median of the repeats, 95%, with what two measurements of one model "
    "differ by, which its repeats share: calibration found that.",
    "Student t": "Student's t for a mean over examples, 95%.",
    "BCa": "Bias-corrected and accelerated bootstrap (BCa) over examples, 95%.",
    "percentile bootstrap": "The 2.5th to the 97.5th percentile of the resamples.",
    "Tango score": "Tango's score interval of a paired difference of proportions, 95%.",
    "paired t": "Student's t for the paired differences, 95%.",
    "one example": "A single example: the interval is all that is possible.",
    "hull of": "From the lowest to the highest end of the leases' intervals: what changes between leases is in it.",
    "medians of": "Order statistics of the medians of blocks longer than the rounds' correlation; each planned look "
    "has its share of what may be missed, so that all of them together keep 95%.",
    "order statistics": "Order statistics of single calls, which count for as many as are independent.",
    "tokens over time": "The ends of the interval of the time, turned into a speed.",
    "two pseudo examples": "No narrower than two more examples that differ by all of the score would make it.",
}


@dataclass(frozen=True, slots=True)
class Why:
    """What stands behind one number; `missing` says why there is none, and then little else is filled in."""

    asked: Asked
    missing: str | None
    formula: tuple[str, ...]
    interval: tuple[str, ...]
    raw: tuple[Sheet, ...]
    conditions: Sheet
    artefact_folder: str | None  # None where it is gone, or was never made
    lineage: Sheet
    records: Sheet
    key: Sheet
    outside: tuple[str, ...]  # what does not enter the key
    command: str
    command_note: str
    everything: Sheet | None  # all raw material, where it was asked for


def explain(snapshot: Snapshot, asked: Asked, *, everything: bool = False) -> Why:
    """Gather what stands behind a number. Raises BadInput where the journal cannot be read.

    Args:
        snapshot: the published state.
        asked: which number.
        everything: with all of its raw material.
    """
    chain, lineage = origin.lineage(snapshot, asked)
    evidence, whole = None, None
    if asked.number is not None:
        evidence, whole = _evidence(snapshot, asked, chain, everything=everything)
    found = origin.records(snapshot, evidence.identities if evidence else ())
    artefact_id = asked.variant["artefact_id"]
    folder = snapshot.folder.artefacts / str(artefact_id)
    command, note = origin.command(asked.sweep)
    if asked.number is not None and asked.number.get("extended") is not None:
        held = [lease for lease in finished_leases(snapshot, asked.sweep) if artefact_id in lease.job["artefact_ids"]]
        note += _more_leases(len(held), asked.sweep["leases"])
    return Why(
        asked=asked,
        missing=None if asked.number is not None else why_missing(snapshot, asked),
        formula=evidence.formula if evidence else (str(asked.metric["meaning"]),),
        interval=_interval(asked),
        raw=evidence.sheets if evidence else (),
        conditions=origin.conditions(found),
        artefact_folder=str(folder) if artefact_id and folder.is_dir() else None,
        lineage=lineage,
        records=origin.record_sheet(found),
        key=origin.key_sheet(found),
        outside=(*origin.OUTSIDE[kind_of(asked)], origin.NEVER),
        command=command,
        command_note=note,
        everything=whole,
    )


def _more_leases(held: int, declared: int) -> str:
    """Where those of a number come from that the sweep did not declare; empty without any."""
    more = held - declared
    if more <= 0:
        return ""
    if more == 1:
        return (
            f" The number holds one lease more than the {declared} of the sweep: a run takes it by itself where leases "
            "disagree, and where they do not, `paredown settle --store NEW_FOLDER` may buy it."
        )
    return (
        f" The number holds {more} leases more than the {declared} of the sweep: `paredown settle --store NEW_FOLDER` "
        "buys more there too, as many as its budget allows and as decide something."
    )


def _evidence(
    snapshot: Snapshot, asked: Asked, chain: Sequence[Row], *, everything: bool
) -> tuple[Evidence | None, Sheet | None]:
    kind = kind_of(asked)
    if kind == "counted":
        found: Evidence | None = counted(snapshot, asked, chain[-1:])
        return found, found.everything() if found and everything else None
    with database_of(parts_with(snapshot, _concerned(snapshot, asked, kind))) as connection:
        if kind == "scored":
            known = evaluations(connection, asked.sweep, asked.base["artefact_id"])
            found = scored(connection, snapshot, asked, known, _texts(connection, asked))
        else:
            found = timed(connection, asked, leases(connection, asked.sweep)) or stated(
                connection, asked, _measurements(connection, asked.sweep)
            )
        return found, found.everything() if everything else None


def _concerned(snapshot: Snapshot, asked: Asked, kind: str) -> list[str]:
    """Keys of the finished records that may hold the raw material: of the variant, and for scores of its base."""
    mine, base = asked.variant, asked.base
    if kind == "scored":
        wanted = "kind in ('build', 'evaluate') and (artefact_id in (?, ?) or recipe_id in (?, ?))"
        given = [mine["artefact_id"], base["artefact_id"], mine["recipe_id"], base["recipe_id"]]
    else:
        wanted, given = "kind = 'measure' and contains(job, ?)", [mine["artefact_id"]]
    rows = snapshot.rows(f"select key from records where status = 'finished' and {wanted}", given)  # noqa: S608
    return [row["key"] for row in rows]


def _measurements(connection: duckdb.DuckDBPyConnection, sweep: Row) -> list[str]:
    from bench.job import MEASURES

    kinds = [kind for kind in MEASURES if kind in sweep["questions"]]
    return [identity for kind in kinds for identity, _ in matching(connection, sweep, kind)]


def _texts(connection: duckdb.DuckDBPyConnection, asked: Asked) -> dict[int, str]:
    """The words of the task's examples by index, nothing where its data cannot be read any more."""
    rows = connection.execute("select job from records where kind = 'evaluate' order by ordinal").fetchall()
    name = next((t["name"] for t in asked.sweep["tasks"] if asked.scope == t["name"]), asked.scope.partition(" / ")[0])
    return example_texts([text for (text,) in rows], name)


def _interval(asked: Asked) -> tuple[str, ...]:
    """How the interval was made, and what must be said of the number."""
    number = asked.number
    if number is None:
        return ()
    method = str(number["method"])
    pieces = re.split("[:;,] ", method)
    words = [next((INTERVALS[start] for start in INTERVALS if piece.startswith(start)), "") for piece in pieces]
    if number["p_holm"] is not None:
        family = "variants x parts of the data" if " / " in asked.scope else "variants x 0/1 metrics"
        words.append(f"Adjusted for the sweep's {family} (Holm): p = {number['p_holm']:.2g}.")
    if number["evidence"] is not None:
        unit = "rounds, leases or repeats" if kind_of(asked) == "measured" else "examples"
        words.append(f"Verdicts take it for what {number['evidence']} independent {unit} would tell.")
    if number["note"]:
        words.append(f"{number['note'][0].upper()}{number['note'][1:]}.")
    return (f"Method: {method}.", *(sentence for sentence in words if sentence))
