"""The sweeps of a store: how far they are, what runs where, what failed and why, what a race stopped, what is open."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from leaderboard import markup
from leaderboard.controls import choose_sweep, open_head
from leaderboard.format import clock
from leaderboard.live import draw_progress
from leaderboard.reading import Told, open_of, told_of
from leaderboard.rows import Board
from leaderboard.running import MOST_CAUSES, Bar, Cause, Contested, running_now, runs, work_rows
from leaderboard.source import Loaded, StoreError, store_option, version
from leaderboard.timeline import timeline
from leaderboard.wording import SHORT

STATUSES = ("complete", "stopped", "partial", "waiting", "failed")


def main() -> None:
    """Draw the page."""
    loaded = open_head("sweeps", with_box=True)
    choose_sweep(loaded)
    board = loaded.board
    st.html(
        markup.block(
            markup.heading(board.name, 1),
            markup.line(markup.text(board.description), css="quiet") if board.description else "",
            markup.line(markup.text(f"Measured on {board.hardware_class}"), css="quiet small"),
        )
    )
    draw_progress(board)
    _variants(loaded)
    _running(board)
    try:
        told = told_of(board.sweep_id, version())
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    _timeline(told)
    _failures(told.causes, told.command + store_option())
    _races(told)
    st.html(markup.block(markup.heading("What more measuring would decide", 2)))
    try:
        found = open_of(board.sweep_id, version())
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    _contested(found, board.sweep_id[:SHORT] if board.name != loaded.called else board.name)


def _variants(loaded: Loaded) -> None:
    rows, statuses = loaded.board.rows, loaded.board.about.statuses
    counts = [(statuses.get(status, 0), status) for status in STATUSES]
    said = ", ".join(f"{count:,} {status}" for count, status in counts if count)
    st.html(markup.block(markup.line(markup.text(f"{len(rows):,} variants: {said}."))))


def _running(board: Board) -> None:
    """What runs now and where, while a run goes on."""
    jobs, nodes = running_now(board.progress)
    if not jobs:
        return
    when = board.published[11:19]
    parts = [markup.heading("Running now", 2), markup.table(("node", "job", "began (UTC)"), jobs, frozenset({2}))]
    if nodes:
        parts.append(markup.table(("node", "CPUs in use"), nodes, frozenset({1})))
    said = f"As of {when} UTC. A job joins the timeline below when it ends."
    st.html(markup.block(*parts, markup.line(markup.text(said), css="quiet small")))


def _timeline(told: Told) -> None:
    st.html(markup.block(markup.heading("What ran where", 2)))
    found = runs(told.bars)
    every = sum(each.finished + each.failed for each in told.work)
    cut = every > len(told.bars)
    if cut and len(found) > 1:
        found = found[:-1]  # not all of it is there, and its name is when it began
    if not found:
        st.html(markup.box("No job of this sweep has ended yet: the first one appears here by itself."))
        return
    chosen = 0
    if len(found) > 1:
        names = [_run_name(bars) for bars in found]
        name = st.selectbox("Run", names, key="run", bind="query-params", width=420)
        chosen = names.index(str(name))
    bars = found[chosen]
    nodes = len({bar.node for bar in bars})
    took = clock(max(bar.started + bar.seconds for bar in bars) - bars[0].started)
    which = f"Run {len(found) - chosen} of {'the newest ' * cut}{len(found)}, {took} long. " if len(found) > 1 else ""
    if cut:
        which = f"The newest {sum(map(len, found)):,} of {every:,} attempts. {which}"
    said = f"{len(bars):,} attempts over time, by node ({nodes}); the tables here have counts and failures."
    config = {"displaylogo": False, "displayModeBar": False}
    st.plotly_chart(timeline(bars), config=config, key="timeline", alt=said)
    ran = f"{len(bars):,} attempt{'s' * (len(bars) != 1)} on {nodes} node{'s' * (nodes != 1)}."
    st.caption(
        f"{which}{ran} A row is a node, and one more for each job that ran beside another; crossed bars failed. Drag "
        "to move, point at a bar for the job."
    )
    st.html(
        markup.block(
            markup.table(
                ("job", "finished", "failed", "time, all together"), work_rows(told.work), frozenset({1, 2, 3})
            )
        )
    )


def _run_name(bars: Sequence[Bar]) -> str:
    """When it began: the address has it, and must not change while the run goes on."""
    return datetime.fromtimestamp(bars[0].started, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _failures(causes: Sequence[Cause], command: str) -> None:
    st.html(markup.block(markup.heading("Failures by cause", 2)))
    if not causes:
        st.html(markup.block(markup.line(markup.text("Nothing failed."), css="quiet")))
        return
    rows = [
        (
            f"{cause.kind} in {cause.stage}",
            cause.reason,
            f"{cause.count}",
            "all done since" if not cause.open else f"{cause.open} open",
            "; ".join(cause.jobs),
            cause.last[:19].replace("T", " "),
        )
        for cause in causes
    ]
    head = ("kind", "reason", "attempts", "now", "jobs", "last (UTC)")
    st.html(markup.block(markup.table(head, rows, frozenset({2, 3, 5}))))
    if len(rows) == MOST_CAUSES:
        said = f"The first {MOST_CAUSES} causes: those that most attempts are open for. There may be more."
        st.html(markup.block(markup.line(markup.text(said), css="small")))
    waiting = [cause for cause in causes if cause.open]
    if not waiting:
        return
    if any(cause.passing for cause in waiting):
        said = "Failures that may pass (memory, lost machines, timeouts) are tried again by the next run by itself."
        st.html(markup.block(markup.line(markup.text(said), css="small")))
    lasting = list(dict.fromkeys(cause.kind for cause in waiting if not cause.passing))
    if lasting:
        said = f"{', '.join(lasting).capitalize()}: these stay until what caused them has changed. Once it has:"
        st.html(markup.block(markup.line(markup.text(said), css="small")))
        retries = "\n".join(f"paredown retry --where {shlex.quote(kind)}{store_option()}" for kind in lasting)
        st.html(markup.command(f"{retries}\n{command}"))
    else:
        st.html(markup.command(command))


def _races(told: Told) -> None:
    st.html(markup.block(markup.heading("Stopped by a race", 2)))
    if not told.stops:
        st.html(markup.block(markup.line(markup.text("No variant was stopped before its end."), css="quiet")))
        return
    rows = [
        (s.variant, s.by, s.raced, s.look, s.examples, f"{s.level:.2g}", s.objectives, s.reason) for s in told.stops
    ]
    head = ("stopped", "beaten by", "raced on", "look", "examples seen", "level", "objectives", "reason")
    said = "The level is one-sided, of the one comparison. The option --no-race completes every variant."
    st.html(
        markup.block(markup.table(head, rows, frozenset({3, 5})), markup.line(markup.text(said), css="quiet small"))
    )


def _contested(found: Contested, name: str) -> None:
    st.html(markup.block(markup.line(markup.text(found.sentence), css="" if found.rows else "quiet")))
    if not found.rows:
        return
    head = ("contested variant", "leases", "what would decide it")
    st.html(markup.block(markup.table(head, found.rows, frozenset({1}))))
    if not found.budget:
        return
    command = f"paredown settle {shlex.quote(name)} --budget {found.budget}{store_option()}"
    st.html(markup.command(command))
    said = "Measures where that decides most for its time, and stops at the budget; a smaller one decides less."
    st.html(markup.block(markup.line(markup.text(said), css="quiet small")))


if __name__ == "__main__":  # which Streamlit calls a page
    main()
