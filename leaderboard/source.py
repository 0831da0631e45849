"""The store that the page shows: where it is, what is read from it, and sentences for when that cannot be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import streamlit as st

from bench.errors import BadInput
from bench.store.folder import open_folder
from bench.store.reader import current_name, open_snapshot
from leaderboard.rows import Board, Draws, Key, find_axis, read_board, read_draws
from leaderboard.table import column_name

STORE = "PAREDOWN_STORE"  # environment variable: the folder to show
DEFAULT = "results/store"


class NothingToShow(Exception):
    """One sentence for the reader, without paths of the machine."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one rerun of the page draws from: one sweep of one snapshot."""

    snapshot: str
    sweeps: tuple[tuple[str, str], ...]  # sweep_id, what it is called; newest first
    board: Board
    keys: tuple[Key, ...]  # judged on
    draws: Draws
    metrics: tuple[dict[str, Any], ...]


def store_root() -> Path:
    """The folder of the store."""
    return Path(os.environ.get(STORE, DEFAULT))


def newest() -> str | None:
    """Name of the newest snapshot; None where there is none or it cannot be told. Costs one small file."""
    try:
        return current_name(open_folder(store_root()))
    except (BadInput, OSError):
        return None


def load(sweep_id: str | None, axes: Sequence[str | None]) -> Loaded:
    """The newest snapshot's board of a sweep (the newest without one), judged on two axes by name.

    Raises NothingToShow, with the reason, where there is nothing to draw.
    """
    root = store_root()
    try:
        pointer = open_folder(root).pointer
        # The file's time is part of the key: a store that was deleted and made again repeats its names.
        changed = pointer.stat().st_mtime_ns if pointer.is_file() else 0
        return _read(str(root), (newest(), changed), sweep_id, tuple(axes))
    except BadInput as error:
        raise NothingToShow(without_paths(str(error), root)) from error
    except duckdb.Error as error:
        raise NothingToShow(
            f"The newest snapshot of the store {root.name} cannot be read: run `paredown run` again to publish a new one."
        ) from error
    except OSError as error:
        raise NothingToShow(f"The store {root.name} cannot be read ({error.strerror}).") from error


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(root: str, version: tuple[str | None, int], sweep_id: str | None, axes: tuple[str | None, ...]) -> Loaded:
    """Everything from one open of one snapshot. Shared between visitors: nothing in it is ever changed."""
    del version  # part of the cache's key
    with open_snapshot(Path(root)) as snapshot:
        sweeps = snapshot.sweeps()
        known = {sweep["sweep_id"] for sweep in sweeps}
        board = read_board(snapshot, sweep_id if sweep_id in known else None)
        keys = chosen_keys(board, axes)
        names = [sweep["name"] for sweep in sweeps]
        called = tuple(
            (
                s["sweep_id"],
                s["name"] if names.count(s["name"]) == 1 else f"{s['name']} on {s['body']['hardware_class']}",
            )
            for s in sweeps
        )
        draws = {} if keys == board.objectives and not len(board.rows) else read_draws(snapshot, board, keys)
        metrics = tuple(snapshot.rows("select * from metrics"))
        return Loaded(snapshot.name, called, board, keys, draws, metrics)


def chosen_keys(board: Board, axes: Sequence[str | None]) -> tuple[Key, ...]:
    """The numbers that the axes name; the declared objectives where they name none, or the same one twice."""
    if not any(axes):
        return board.objectives
    keys = []
    for asked, usual in zip(axes, default_axes(board), strict=True):
        try:
            keys.append(usual if asked is None else find_axis(board, asked))
        except BadInput:
            keys.append(usual)
    # Two declared objectives in either order are the declared question.
    if set(keys) == set(board.objectives):
        return board.objectives
    return tuple(dict.fromkeys(keys))


def default_axes(board: Board) -> tuple[Key, Key]:
    """What is drawn when nothing was chosen: cost to the right, quality upwards."""
    first, second = board.objectives[0], board.objectives[1] if len(board.objectives) > 1 else board.objectives[0]
    return second, first


def axis_names(board: Board) -> list[str]:
    """Every number that some row has, as an address names it."""
    have = {key for row in board.rows for key in row.cells}
    return [column_name(key) for key in board.axes if key in have or key in board.objectives]


def without_paths(sentence: str, root: Path) -> str:
    """The sentence with the store's name where its path was."""
    for path in (root.resolve(), root.absolute(), root):
        for inside in (f"{path}{os.sep}", str(path)):
            sentence = sentence.replace(inside, "" if inside.endswith(os.sep) else root.name)
    return sentence
