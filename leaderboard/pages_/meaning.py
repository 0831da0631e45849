"""What the words and numbers mean."""

from __future__ import annotations

import streamlit as st

from leaderboard import markup
from leaderboard.controls import carry_over
from leaderboard.format import SIGNS
from leaderboard.glossary import VERDICTS
from leaderboard.live import Live, note
from leaderboard.source import StoreError, load

NOTES = (
    (
        "share on the frontier",
        "Part of resamples in which the variant is on the frontier. A share, not a probability: the intervals of all "
        "pairs together are wider than what resamples show, so 100% may stand beside contested.",
    ),
    ("interval", "95%, over examples and timing rounds. It speaks of this artefact, not of the method."),
    ("one seed", "The recipe trains with chance, and only one seed was run."),
    ("unstable", "Two sessions of timing, each with its own process, gave intervals that do not overlap."),
    (
        "1 of 2 leases",
        "Only one of the declared timing sessions is finished: what changes between sessions is not seen.",
    ),
    ("under a filter", "The frontier is recomputed among the variants that match and the base."),
    (
        "under constraints",
        "Who does not meet one is left out; who may meet it stays, marked open. The base stays.",
    ),
    (
        "attainment band",
        "Pointwise: along any one direction 95% of the resampled frontiers cross inside it; fewer lie inside "
        "throughout. Verdicts rest on intervals instead.",
    ),
    ("knee", "The point in the bend of the frontier: giving up a little of one number gains most of the other."),
    (
        "better, equivalent, worse",
        "Told by intervals that hold at once for all pairs of variants of one base, and objectives.",
    ),
    ("not known yet", "The interval of the difference holds zero, or differences that matter and ones that do not."),
    ("flips", "Examples that one variant has right and the other wrong: equal scores can hide many."),
    ("lease", "One session of timing: the base and a few variants in turn, in one process on a quiet node."),
    ("stopped", "A race took it out, because another was shown to be better; its row says at which look."),
    ("hardware class", "Times hold on one kind of machine. A frontier never joins two kinds."),
)
UNITS = {"1": "share or ratio", "B": "bytes", "count": "number"}


def main() -> None:
    """Draw the page."""
    st.html(markup.style())
    carry_over("meaning")
    st.html(
        markup.block(
            markup.heading("Verdicts"),
            markup.table(("verdict", "meaning"), ((f"{SIGNS[w]} {w}", m) for w, m in VERDICTS.items()), frozenset({0})),
            markup.heading("Words", 3),
            markup.table(("word", "meaning"), NOTES, frozenset({0})),
        )
    )
    try:
        loaded = load(None, ())
    except StoreError:
        return
    note(Live(loaded.snapshot))
    rows = [
        (m["title"], m["meaning"], UNITS.get(m["unit"], m["unit"]), f"{m['better']} is better") for m in loaded.metrics
    ]
    st.html(
        markup.block(
            markup.heading("Numbers", 3),
            markup.table(("number", "meaning", "unit", "direction"), rows, frozenset({3})),
        )
    )


if __name__ == "__main__":  # which Streamlit calls a page
    main()
