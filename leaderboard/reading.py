"""What the pages ask of the newest snapshot, each answer kept until there is another snapshot.

Everything here raises StoreError with one sentence where it cannot be had.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from bench.errors import BadInput
from bench.store.outcomes import Change, Count, Line, example_texts, open_outcomes
from bench.store.reader import Snapshot
from bench.store.why import Why
from leaderboard.choices import Choice, look
from leaderboard.comparison import Pair, compare
from leaderboard.dossier import Attempt, Dossier, read_attempts, read_dossier, read_why
from leaderboard.format import without_folders
from leaderboard.large import board_in
from leaderboard.rows import Key
from leaderboard.running import Bar, Cause, Contested, Elimination, Work, bars, causes, contested, eliminations, work
from leaderboard.source import ask

A_PAGE = 20  # examples


@dataclass(frozen=True, slots=True)
class Examples:
    """What was asked of the outcomes: which variants beside the first, on which task, and which examples of it."""

    sweep_id: str
    artefact_ids: tuple[str, ...]  # the one that the others are compared with first
    base_id: str
    task: str
    change: Change = "all"
    part: str | None = None
    page: int = 1


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of examples with counts of the whole."""

    counts: tuple[Count, ...]
    matching: int
    lines: tuple[Line, ...]
    texts: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What the page of a sweep shows of its jobs."""

    bars: tuple[Bar, ...]
    work: tuple[Work, ...]
    causes: tuple[Cause, ...]
    stops: tuple[Elimination, ...]
    command: str  # that goes on with it


@st.cache_data(max_entries=64, show_spinner=False)
def dossier(sweep_id: str, recipe_id: str, version: str) -> Dossier:
    """What is known of a variant beyond its row."""
    del version  # of the snapshot: part of the cache's key
    return ask(lambda snapshot: read_dossier(snapshot, sweep_id, recipe_id))


@st.cache_data(max_entries=64, show_spinner="Reading attempts …")
def attempts(sweep_id: str, recipe_id: str, version: str) -> tuple[int, tuple[Attempt, ...]]:
    """How many attempts at jobs concern a variant, and the newest of them."""
    del version
    return ask(lambda snapshot: read_attempts(snapshot, sweep_id, recipe_id))


@st.cache_data(max_entries=64, show_spinner="Reading the journal …")
def why(sweep_id: str, recipe_id: str, key: Key, version: str) -> Why:
    """What stands behind a number."""
    del version
    return ask(lambda snapshot: read_why(snapshot, sweep_id, recipe_id, key))


@st.cache_data(max_entries=128, show_spinner="Reading outcomes …")
def examples(asked: Examples, version: str) -> Shown:
    """A page of examples."""
    del version
    return ask(lambda snapshot: _examples(snapshot, asked))


@st.cache_data(max_entries=64, show_spinner="Comparing …")
def pairs(sweep_id: str, recipe_ids: tuple[str, ...], version: str) -> tuple[Pair, ...]:
    """Every pair of the chosen variants."""
    del version

    def read(snapshot: Snapshot) -> tuple[Pair, ...]:
        board = board_in(snapshot, sweep_id)
        view = look(board, Choice(), board.objectives, {})
        found = [view.find(recipe_id) for recipe_id in recipe_ids]
        chosen = [row for row in found if row is not None]
        if len(chosen) < len(found):
            raise BadInput("One of these variants is not in the store any more: choose others.")
        return compare(snapshot, board, chosen)

    return ask(read)


@st.cache_data(max_entries=16, show_spinner="Reading what ran …")
def told_of(sweep_id: str, version: str) -> Told:
    """What a sweep's jobs did."""
    del version

    def read(snapshot: Snapshot) -> Told:
        body = snapshot.body(sweep_id)
        if body is None:
            raise BadInput("This sweep is not in the store any more: choose another one.")
        asked = [str(word) for word in body.get("asked", ())] or ["SWEEP.yaml"]
        return Told(
            bars=bars(snapshot, sweep_id),
            work=work(snapshot, sweep_id),
            causes=causes(snapshot, sweep_id),
            stops=eliminations(snapshot, sweep_id),
            command=without_folders(f"paredown run {shlex.join(asked)}"),
        )

    return ask(read)


@st.cache_data(max_entries=16, show_spinner="Working out what is open …")
def open_of(sweep_id: str, version: str) -> Contested:
    """What more leases would decide."""
    del version
    return ask(lambda snapshot: contested(snapshot, sweep_id))


@st.cache_data(max_entries=4, show_spinner=False)
def claims(version: str) -> tuple[dict[str, Any], ...]:
    """Published numbers as they were last judged."""
    del version
    return ask(lambda snapshot: tuple(snapshot.rows("select * from claims order by model, id")))


def outcomes_file(asked: Examples) -> bytes:
    """All examples that match, as a Parquet file."""

    def read(snapshot: Snapshot) -> bytes:
        body, task = _task(snapshot, asked)
        with open_outcomes(snapshot, body, task, asked.artefact_ids, asked.base_id) as found:
            return found.parquet(asked.change, asked.part)

    return ask(read)


def _examples(snapshot: Snapshot, asked: Examples) -> Shown:
    body, task = _task(snapshot, asked)
    with open_outcomes(snapshot, body, task, asked.artefact_ids, asked.base_id) as found:
        lines = found.lines(asked.change, asked.part, offset=(asked.page - 1) * A_PAGE, limit=A_PAGE)
        counts, matching = found.counts(), found.count(asked.change, asked.part)
    texts = _texts(snapshot, str(task["fingerprint"]), asked)
    return Shown(tuple(counts), matching, tuple(lines), {line.index: texts.get(line.index, "") for line in lines})


def _task(snapshot: Snapshot, asked: Examples) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    body = snapshot.body(asked.sweep_id)
    task = next((t for t in (body or {}).get("tasks", ()) if t["name"] == asked.task), None)
    if body is None or task is None:
        raise BadInput(f"This sweep has no task called {asked.task!r} any more: choose another.")
    return body, task


def _texts(snapshot: Snapshot, fingerprint: str, asked: Examples) -> Mapping[int, str]:
    rows = snapshot.rows(
        "select job from records where kind = 'evaluate' and status = 'finished' and artefact_id = ? order by ordinal",
        [asked.artefact_ids[0]],
    )
    jobs = [row["job"] for row in rows]
    found = _texts_of(fingerprint, asked.task, jobs)
    if not found:  # not to be had just now: asked for again by the next visitor
        _texts_of.clear(fingerprint, asked.task, jobs)
    return found


@st.cache_resource(max_entries=4, show_spinner=False)
def _texts_of(fingerprint: str, task: str, _jobs: list[str]) -> Mapping[int, str]:
    """The words of a task's examples, read once: the fingerprint names the data's bytes."""
    del fingerprint
    return example_texts(_jobs, task)
