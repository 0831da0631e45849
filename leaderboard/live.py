"""How far the sweep is, and the beat that notices a new snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from leaderboard import markup
from leaderboard.components import component
from leaderboard.format import clock
from leaderboard.rows import Board
from leaderboard.source import StoreError, ask, newest

LIVE = "live"


def progress_lines(progress: dict[str, Any]) -> list[str]:
    """What a run says of itself, in words: counts first, then what runs now. Empty where nothing was said."""
    if "done" not in progress:
        return []
    running, coming, failed = (int(progress.get(name, 0)) for name in ("running", "open", "failed"))
    of = f"paredown {progress['verb']}: " if "verb" in progress else ""  # it counts its own jobs, not the sweep's
    if not running + coming:
        return [f"{of}{progress['done']} jobs done, {failed} failed"] if failed else []
    counts = [f"{progress['done']} done", f"{running} running", f"{failed} failed", f"{coming} to come"]
    left = int(progress.get("seconds_left", 0))
    lines = [of + ", ".join(counts) + (f"; about {clock(left)} left" if left else "")]
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


@dataclass(frozen=True)
class Live:
    """What may change while a page stands."""

    shown: str | None  # name of the snapshot
    offers: bool = False  # whether a newer one is offered, and not taken by itself
    ready: Callable[[], bool] | None = None  # whether what the page goes without has come


def note(live: Live) -> None:
    """Say what the page shows: `follow` looks for news of it."""
    st.session_state[LIVE] = live


def awaits(ready: Callable[[], bool]) -> None:
    """Have the page drawn again as soon as that gives true."""
    note(replace(st.session_state[LIVE], ready=ready))


def follow() -> None:
    """Look for news as long as the page stands; the last that a page draws.

    A beat may come while what the page has drawn still waits to be sent. Streamlit then sends the beat's container
    after all else, and a browser that has not got it yet stops at the gap ("Bad delta path index") unless it is last.
    Or it comes when all is drawn and nothing handed over: Streamlit then begins anew for the beat and forgets the rest
    (`AppSession.request_rerun`), unless it does not know the beat. So each drawing has one of its own, by its name.
    """
    live, drawn, asked = st.session_state.pop(LIVE, None) or Live(newest()), time.time(), _asked()

    def beat() -> None:
        _beat(live, drawn, asked)

    beat.__qualname__ = f"beat of {drawn!r}"
    st.fragment(beat)()


def _beat(live: Live, drawn: float, asked: dict[str, Any]) -> None:
    """Draw the page again, or offer to, when there is news: else this reads the newest snapshot's name, no more.

    `drawn` is when the page was: of two, the browser asks for the later one. `asked` is what it was drawn for: a busy
    browser sends what was typed or chosen along with a beat, and then no other run would see it.
    """
    data = {"milliseconds": 500 if live.ready else 1000, "drawn": drawn}
    component("beat")(key="beat", data=data, on_asked_change=lambda: None)
    if (live.ready is not None and live.ready()) or any(
        asked.get(key, value) != value for key, value in _asked().items()
    ):
        st.rerun()
    name = newest()
    if name in (None, live.shown):
        return
    if not live.offers:
        st.rerun()
    new = new_results(st.session_state["held"][1].board)
    said = f"{new} new result{'s' * (new != 1)}: refresh" if new > 0 else "Newer results: refresh"
    with st.container(key="news"):
        if st.button(said, type="primary", help="The plot stays as it is until then, with your zoom."):
            st.session_state.pop("held", None)
            st.rerun()


def _asked() -> dict[str, Any]:
    """What was typed and chosen on the page, by the key of its box."""
    return {str(key): value for key, value in st.session_state.items() if isinstance(value, str | list)}


def new_results(board: Board) -> int:
    """How many jobs of the sweep have ended since the board was read; 0 where nobody knows."""
    before = board.progress
    try:
        now = ask(lambda snapshot: snapshot.progress(board.sweep_id))
    except StoreError:
        return 0
    if not ("done" in now and "done" in before):  # a run of another sweep in between
        return 0
    return sum(int(now.get(key, 0)) - int(before.get(key, 0)) for key in ("done", "failed"))
