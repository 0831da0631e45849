"""How far the sweep is, and the beat that notices a new snapshot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from leaderboard import markup
from leaderboard.format import clock
from leaderboard.rows import Board
from leaderboard.source import StoreError, ask, newest


def progress_lines(progress: dict[str, Any]) -> list[str]:
    """What a run says of itself, in words: counts first, then what runs now. Empty where nothing was said."""
    if "done" not in progress:
        return []
    running, coming, failed = (int(progress.get(name, 0)) for name in ("running", "open", "failed"))
    if not running + coming:
        return [f"{progress['done']} jobs done, {failed} failed"] if failed else []
    counts = [f"{progress['done']} done", f"{running} running", f"{failed} failed", f"{coming} to come"]
    left = int(progress.get("seconds_left", 0))
    lines = [", ".join(counts) + (f"; about {clock(left)} left" if left else "")]
    now = [str(title) for title in progress.get("now", ())]
    return lines + ([f"Now: {'; '.join(now)}"] if now else [])


def draw_progress(board: Board) -> None:
    """The progress line under the title."""
    progress = dict(board.progress)
    lines = progress_lines(progress)
    if not lines:
        return
    done, failed = int(progress["done"]), int(progress.get("failed", 0))
    everything = done + failed + int(progress.get("running", 0)) + int(progress.get("open", 0))
    going = done + failed < everything
    st.html(
        markup.block(
            markup.track(done / max(1, everything), failed / max(1, everything)) if going else "",
            markup.line(markup.text(lines[0]), css="small"),
            *(markup.line(markup.text(line), css="small quiet") for line in lines[1:]),
        )
    )


@st.fragment(run_every="1s")
def follow(shown: str | None) -> None:
    """Once a second ask for the newest snapshot's name, nothing more; draw the page again when it is another."""
    name = newest()
    if name is not None and name != shown:
        st.rerun()


@st.fragment(run_every="1s")
def offer(shown: str) -> None:
    """Once a second ask for the newest snapshot's name; say how many results are new, and take them on a click."""
    name = newest()
    if name is None or name == shown:
        return
    new = new_results(st.session_state["held"][1].board.progress)
    said = f"{new} new result{'s' * (new != 1)}: refresh" if new > 0 else "Newer results: refresh"
    if st.button(said, type="primary", help="The plot stays as it is until then, with your zoom."):
        st.session_state.pop("held", None)
        st.rerun()


def new_results(before: Mapping[str, Any]) -> int:
    """How many jobs have ended since a run said `before` of itself; 0 where nobody knows."""
    try:
        now: dict[str, Any] = json.loads(ask(lambda snapshot: snapshot.info()["progress"]))
    except StoreError:
        return 0
    return sum(int(now.get(key, 0)) - int(before.get(key, 0)) for key in ("done", "failed"))
