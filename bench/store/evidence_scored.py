"""The outcomes behind a number: how many were right, what flipped against the base, and the examples themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.metrics import METRICS, Metric
from bench.statistics.paired import flips
from bench.store.asked import Asked, Row
from bench.store.evidence import Connection, Evidence
from bench.store.numbers import DRAWS, SEED
from bench.store.reader import Snapshot
from bench.store.sheets import Cell, Sheet

SHOWN = 5  # examples
LONGEST_TEXT = 120  # characters of an example's text that a table shows
Known = Mapping[tuple[str, str], list[str]]


@dataclass(frozen=True, slots=True)
class Scored:
    """All outcomes of one model on one task (or a part of it), by example; `columns` hold "score" too."""

    index: NDArray[np.int64]
    label: NDArray[np.str_]
    prediction: NDArray[np.str_]
    confidence: NDArray[np.float64]
    part: NDArray[np.str_]
    columns: Mapping[str, NDArray[np.float64]]


def scored(
    connection: Connection, snapshot: Snapshot, asked: Asked, known: Known, texts: Mapping[int, str]
) -> Evidence:
    """The evidence of a metric of a task.

    Args:
        connection: tables that hold the outcomes of the variant and of its base.
        snapshot: where the tasks' own numbers are looked up, for recovery.
        asked: what is asked.
        known: identities of the evaluations that count, by (artefact_id, task fingerprint).
        texts: the examples' own words by index, as far as the data can be read.
    """
    if asked.name == "recovery":
        return _recovery(snapshot, asked, known)
    name, _, part = asked.scope.partition(" / ")
    task = asked.task(asked.scope) or asked.task(name) or {}
    part = "" if asked.task(asked.scope) else part
    identities = [known.get((str(v["artefact_id"]), str(task["fingerprint"])), []) for v in (asked.variant, asked.base)]
    mine, theirs = (_read(connection, each, part) for each in identities)
    against = None if asked.is_base or theirs.index.size != mine.index.size else theirs
    source = _source(asked.name)
    sheets = [_totals(source, mine, against)]
    if source and source.source == ("cells",):
        sheets.append(_confusion(mine))
    binary = bool(np.isin(mine.columns["score"], (0.0, 1.0)).all())
    if against is not None:
        sheets.append(_flips(mine, against, binary=binary))
    sheets.append(_examples(mine, against, texts))
    compared = source is None or source.name != asked.name
    held = [i for each in (identities if compared and not asked.is_base else identities[:1]) for i in each]
    return Evidence(
        tuple(sheets), tuple(dict.fromkeys(held)), _formula(asked, source), lambda: _everything(mine, against, texts)
    )


def _source(name: str) -> Metric | None:
    """The metric of a task that this one is, or compares with the base; None for agreement and flips."""
    return next((m for m in METRICS.values() if m.source and name in (m.name, m.paired)), None)


def _read(connection: Connection, identities: Sequence[str], part: str) -> Scored:
    where = "from examples where list_contains(?, identity) and (? = '' or slice = ?)"
    given = [list(identities), part, part]
    row = connection.execute(f"select any_value(columns) {where}", given).fetchone()
    names = sorted(row[0]) if row and row[0] else []
    wanted = "".join(f", any_value(element_at(columns, ?)[1]) as column_{i}" for i in range(len(names)))
    found = connection.execute(
        "select index, any_value(label) as label, any_value(prediction) as prediction, any_value(score) as score, "
        f"any_value(confidence) as confidence, any_value(slice) as part{wanted} {where} group by index order by index",
        [*names, *given],
    ).fetchnumpy()
    text = {
        key: np.array([str(x) for x in found[key].tolist()], dtype=np.str_) for key in ("label", "prediction", "part")
    }
    numbers = {key: np.asarray(np.ma.filled(found[key], np.nan), dtype=np.float64) for key in found if key not in text}
    return Scored(
        np.asarray(found["index"], dtype=np.int64),
        text["label"],
        text["prediction"],
        numbers["confidence"],
        text["part"],
        {"score": numbers["score"], **{name: numbers[f"column_{i}"] for i, name in enumerate(names)}},
    )


def _totals(source: Metric | None, mine: Scored, base: Scored | None) -> Sheet:
    """Counts and sums that the metric is made from, the variant's beside the base's."""
    kind, columns = (source.source[0], source.source[1:]) if source else ("", ())
    first = _counted(kind, columns or ("score",), mine)
    second = (
        [None] * len(first) if base is None else [value for _, value in _counted(kind, columns or ("score",), base)]
    )
    rows: list[tuple[Cell, ...]] = [(name, value, other) for (name, value), other in zip(first, second, strict=True)]
    if base is not None and (mine.prediction != "").any():
        rows.append(("predicts as the base", int((mine.prediction == base.prediction).sum()), None))
    return Sheet("Totals", ("what", "variant", "base"), tuple(rows))


def _counted(kind: str, columns: Sequence[str], outcomes: Scored) -> list[tuple[str, Cell]]:
    found: list[tuple[str, Cell]] = [("examples", int(outcomes.index.size))]
    for column in columns:
        values = outcomes.columns[column]
        if kind == "share":
            right, wrong = ("right", "wrong") if column == "score" else (f"{column} is 1", f"{column} is 0")
            found += [(right, int(values.sum())), (wrong, int((values == 0).sum()))]
        elif kind == "mean":
            found += [(f"mean of {column}", float(values.mean())), (f"lowest {column}", float(values.min()))]
            found += [(f"median {column}", float(np.median(values))), (f"highest {column}", float(values.max()))]
        else:
            found.append((f"sum of {column}", float(values.sum())))
    return found


def _confusion(mine: Scored) -> Sheet:
    names = sorted({*mine.label.tolist(), *mine.prediction.tolist()})
    rows = tuple(
        (label, *(int(((mine.label == label) & (mine.prediction == predicted)).sum()) for predicted in names))
        for label in names
    )
    return Sheet("Examples by right label (rows) and prediction (columns)", ("label", *names), rows)


def _flips(mine: Scored, base: Scored, *, binary: bool) -> Sheet:
    """How many examples changed sides; equal scores can hide many."""
    if binary:
        gained, lost = flips(base.columns["score"], mine.columns["score"])
        names = "wrong in the base, right here", "right in the base, wrong here"
    else:
        change = mine.columns["score"] - base.columns["score"]
        gained, lost = int((change > 0).sum()), int((change < 0).sum())
        names = "score above the base's", "score below the base's"
    rows = ((names[0], gained), (names[1], lost), ("no change", int(mine.index.size) - gained - lost))
    return Sheet("Flips against the base", ("change", "examples"), rows)


def _examples(mine: Scored, base: Scored | None, texts: Mapping[int, str]) -> Sheet:
    """The first examples that changed sides, or the first ones where none did or there is no base."""
    change = np.zeros(mine.index.size) if base is None else mine.columns["score"] - base.columns["score"]
    chosen = np.flatnonzero(change)
    told = "that differ from the base"
    if not chosen.size:
        chosen, told = np.flatnonzero(mine.columns["score"] == 0), "that score nothing"
    if not chosen.size:
        chosen, told = np.arange(mine.index.size), "of all"
    every = _everything(mine, base, {i: _shortened(text) for i, text in texts.items()})
    left_out = {every.columns.index(name) for name in every.columns if name in mine.columns and name != "score"}
    kept = [i for i in range(len(every.columns)) if i not in left_out]
    rows = tuple(tuple(every.rows[row][i] for i in kept) for row in chosen[:SHOWN])
    return Sheet(f"First {len(rows)} examples {told}", tuple(every.columns[i] for i in kept), rows)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _everything(mine: Scored, base: Scored | None, texts: Mapping[int, str]) -> Sheet:
    """One row an example, the base's answer beside the variant's."""
    columns: dict[str, Sequence[Cell]] = {
        "example": mine.index.tolist(),
        "label": mine.label.tolist(),
        "prediction": mine.prediction.tolist(),
        "score": mine.columns["score"].tolist(),
        "confidence": mine.confidence.tolist(),
    }
    if base is not None:
        columns |= {"base's prediction": base.prediction.tolist(), "base's score": base.columns["score"].tolist()}
    if mine.part.size and (mine.part != "").any():
        columns["part"] = mine.part.tolist()
    columns |= {name: values.tolist() for name, values in mine.columns.items() if name != "score"}
    if texts:
        columns["text"] = [texts.get(i, "") for i in mine.index.tolist()]
    told = {name: values for name, values in columns.items() if any(value != "" for value in values)}
    return Sheet("Every example", tuple(told), tuple(zip(*told.values(), strict=True)))


def _recovery(snapshot: Snapshot, asked: Asked, known: Known) -> Evidence:
    """Recovery stands on the scores of several tasks, which have evidence of their own."""
    rows: list[tuple[Cell, ...]] = []
    held: list[str] = []
    for task in asked.sweep["tasks"]:
        name = task["metrics"][0]
        mine, theirs = (
            _number(snapshot, asked, variant, name, task["name"]) for variant in (asked.variant, asked.base)
        )
        lower = METRICS[name].better == "lower"
        ratio = None if not mine or not theirs else theirs / mine if lower else mine / theirs
        rows.append((task["name"], name, mine, theirs, ratio))
        for variant in (asked.variant, asked.base):
            held += known.get((str(variant["artefact_id"]), str(task["fingerprint"])), [])
    columns = ("task", "metric", "variant", "base", "ratio")
    note = "The outcomes behind each score: `paredown why VARIANT METRIC --scope TASK`."
    sheet = Sheet("Scores that it is the mean ratio of", columns, tuple(rows), (note,))
    formula = (
        str(asked.metric["meaning"]),
        "Each score is divided by the base's (the other way round where lower is better); then the mean over tasks.",
        _drawn(),
    )
    return Evidence((sheet,), tuple(dict.fromkeys(held)), formula, lambda: sheet)


def _number(snapshot: Snapshot, asked: Asked, variant: Row, metric: str, scope: str) -> float | None:
    rows = snapshot.rows(
        "select estimate from numbers where sweep_id = ? and recipe_id = ? and metric = ? and scope = ?",
        [asked.sweep["sweep_id"], variant["recipe_id"], metric, scope],
    )
    return float(rows[0]["estimate"]) if rows else None


def _drawn() -> str:
    return f"For verdicts, examples are resampled {DRAWS:,} times, for all variants alike, from the fixed seed {SEED}."


def _formula(asked: Asked, source: Metric | None) -> tuple[str, ...]:
    words = [str(asked.metric["meaning"])]
    if source is None:
        counted = {
            "flips_gained": "that the base gets wrong and this variant right",
            "flips_lost": "that the base gets right and this variant wrong",
        }.get(asked.name, "with the base's prediction, right or wrong")
        words.append(f"The examples {counted}, divided by all examples.")
        return tuple(words)
    kind, (upper, lower) = source.source[0], (*source.source[1:], "", "")[:2]
    words.append(
        {
            "share": f"The examples whose {upper} is 1, divided by all examples.",
            "mean": f"The mean of {upper} over the examples.",
            "ratio": f"The sum of {upper} over the examples, divided by that of {lower}.",
            "exp ratio": f"The exponential of: sum of {upper} over the examples, divided by that of {lower}.",
            "cells": "From the counts of right label by prediction: F1 = 2 hits / (named + predicted), label by label.",
        }[kind]
    )
    if asked.name != source.name:
        does = "minus the base's" if re.search("_difference$", asked.name) else "divided by the base's"
        words.append(f"That of the variant {does}, on the same examples.")
    words.append(_drawn())
    return tuple(words)
