"""The store that the page shows: where it is, what is read from it, and sentences for when that cannot be."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import streamlit as st

from bench.errors import BadInput
from bench.store.folder import bucket_url, open_folder, store_id
from bench.store.reader import Snapshot, current_name, open_snapshot
from leaderboard.axes import default_axes
from leaderboard.decisions import Decisions, read_decisions
from leaderboard.index import PREPARING, Index, open_index
from leaderboard.large import board_in
from leaderboard.rows import Board, Draws, Key, read_draws
from leaderboard.table import full_name
from leaderboard.waiting import told_if_long

T = TypeVar("T")
STORE = "PAREDOWN_STORE"  # environment variable: the folder to show
DEFAULT = "results/store"


class StoreError(Exception):
    """One sentence for the reader, without paths of the machine."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one rerun of the page draws from: one sweep of one snapshot."""

    snapshot: str
    sweeps: tuple[tuple[str, str], ...]  # sweep_id, what it is called; newest first
    classes: tuple[str, ...]  # hardware class of each of them
    board: Board
    keys: tuple[Key, ...]  # judged on
    draws: Draws
    metrics: tuple[dict[str, Any], ...]
    missing: str | None = None  # the sweep that was asked for, where there is none of that name; this is the newest

    @property
    def called(self) -> str:
        """What the sweep is called."""
        return next(name for sweep_id, name in self.sweeps if sweep_id == self.board.sweep_id)


def store_root() -> Path:
    """The folder of the store."""
    return Path(os.environ.get(STORE, DEFAULT))


def store_option() -> str:
    """What a command needs to find this store, to be put behind it: nothing where it looks there by itself."""
    root = store_root()
    return "" if bucket_url(root) is None and root.parts[-2:] == Path(DEFAULT).parts else " --store STORE"


def newest() -> str | None:
    """Name of the newest snapshot; None where there is none or it cannot be told. Costs one small file."""
    try:
        return current_name(open_folder(store_root()))
    except (BadInput, OSError):
        return None


def version() -> str:
    """What names the newest snapshot among all that this process may ever see: a part of the keys of caches."""
    root = store_root()
    try:
        folder = open_folder(root)
        # More than a name: a store that was deleted and made again repeats its names.
        changed = store_id(folder) if folder.bucket else str(folder.pointer.stat().st_mtime_ns)
    except (BadInput, OSError):
        changed = ""
    return f"{root}|{newest()}|{changed}"


def load(sweep: str | None, axes: Sequence[str | None]) -> Loaded:
    """The newest snapshot's board of a sweep by what it is called, judged on two axes by name.

    It is the newest sweep where none is asked for, and where there is none of that name, which `missing` then says.
    Raises StoreError, with the reason, where there is nothing to draw.
    """
    root = store_root()
    with told_if_long("Reading the store …"):
        return in_words(lambda: _read(str(root), version(), sweep, tuple(axes)))


def in_words(read: Callable[[], T]) -> T:
    """What `read` gives. Raises StoreError, one sentence without a path, for whatever goes wrong in a store."""
    root = store_root()
    try:
        return read()
    except BadInput as error:
        raise StoreError(without_paths(str(error), root)) from error
    except duckdb.Error as error:
        logging.getLogger(__name__).exception("a question to the store %s failed", root)
        sentence = f"The newest snapshot of the store {root.name} cannot be read: run `paredown run` again."
        raise StoreError(sentence) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        todo = "see that its folder is there, may be read and answers, then load the page again"
        raise StoreError(f"The store {root.name} cannot be read ({why}): {todo}.") from error


def ask(question: Callable[[Snapshot], T]) -> T:
    """The answer of the newest snapshot to a question. Raises StoreError."""

    def read() -> T:
        index = _index(str(store_root()), version())
        with index.snapshot() if index else open_snapshot(store_root()) as snapshot:
            return question(snapshot)

    return in_words(read)


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(root: str, version: str, sweep: str | None, axes: tuple[str | None, ...]) -> Loaded:
    """Everything from one open of one snapshot. Shared between visitors: nothing in it is ever changed."""
    index = _index(root, version)
    with index.snapshot() if index else open_snapshot(Path(root)) as snapshot:
        sweeps = snapshot.sweeps()
        called = names_of(sweeps)
        found = sweep_called(sweeps, sweep)
        board = board_in(snapshot, found)
        keys = chosen_keys(board, axes)
        draws = read_draws(snapshot, board, keys)
        metrics = tuple(snapshot.rows("select * from metrics"))
        classes = tuple(str(s["body"]["hardware_class"]) for s in sweeps)
        missing = sweep if found is None else None
        return Loaded(snapshot.name, called, classes, board, keys, draws, metrics, missing)


@st.cache_resource(max_entries=2, show_spinner=PREPARING)
def _index(root: str, version: str) -> Index | None:
    """What large sweeps are read by; None where there is none."""
    del version  # part of the cache's key
    with open_snapshot(Path(root)) as snapshot:
        return open_index(snapshot)


@st.cache_data(max_entries=64, show_spinner=False)
def decisions(sweep_id: str, recipe_id: str, version: str) -> Decisions:
    """What the builds behind a variant kept. Raises StoreError where the store cannot be read just now."""
    del version  # of the snapshot: part of the cache's key
    return ask(lambda snapshot: read_decisions(snapshot, sweep_id, recipe_id))


def names_of(sweeps: Sequence[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    """(sweep_id, what it is called) of each sweep: its name, with its hardware class or its date where two share it."""
    names = [sweep["name"] for sweep in sweeps]
    longer = [_on_class(sweep) for sweep in sweeps]
    called = [
        name if names.count(name) == 1 else long if longer.count(long) == 1 else f"{long}, {sweep['declared'][:19]}"
        for name, long, sweep in zip(names, longer, sweeps, strict=True)
    ]
    return tuple((sweep["sweep_id"], name) for sweep, name in zip(sweeps, called, strict=True))


def sweep_called(sweeps: Sequence[dict[str, Any]], asked: str | None) -> str | None:
    """sweep_id of the sweep that an address names, None where there is none. `sweeps` come newest first."""
    found = {name: sweep_id for sweep_id, name in names_of(sweeps)}
    for sweep in reversed(sweeps):
        # A name that newer sweeps share by now is the oldest one's: no other had it when the link was made.
        found.setdefault(sweep["name"], sweep["sweep_id"])
        found.setdefault(_on_class(sweep), sweep["sweep_id"])
    return found.get(asked or "")


def _on_class(sweep: dict[str, Any]) -> str:
    return f"{sweep['name']} on {sweep['body']['hardware_class']}"


def chosen_keys(board: Board, axes: Sequence[str | None]) -> tuple[Key, ...]:
    """The numbers that two axes name in full, the usual ones where they name none; without axes what was declared."""
    if not axes:
        return board.objectives
    by_name = {full_name(axis): key for key, axis in board.axes.items()}
    keys = [by_name.get(asked or "", usual) for asked, usual in zip(axes, default_axes(board), strict=True)]
    # Two declared objectives in either order are the declared question.
    if set(keys) == set(board.objectives):
        return board.objectives
    return tuple(dict.fromkeys(keys))


def without_paths(sentence: str, root: Path) -> str:
    """The sentence with the store's name where its path was."""
    for path in (root.resolve(), root.absolute(), root):
        for inside in (f"{path}{os.sep}", str(path)):
            sentence = sentence.replace(inside, "" if inside.endswith(os.sep) else root.name)
    return sentence
