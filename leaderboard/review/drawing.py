"""The evidence of a review on the page: shortlist, sensitivity, licences, unopened data, history."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from bench.store.reviews import History
from leaderboard import markup
from leaderboard.controls import VARIANT, in_address
from leaderboard.held_back import CONFIRMED, confirmed_rows
from leaderboard.live import awaits
from leaderboard.markdown import plain
from leaderboard.review import words
from leaderboard.review.case import Case, licences_of, on_held_back
from leaderboard.review.elsewhere import Elsewhere
from leaderboard.review.shortlist import Shortlist
from leaderboard.rows import Row
from leaderboard.signing import HOW, mode, providers, signed_in
from leaderboard.source import Loaded, store_option
from leaderboard.table import label
from leaderboard.wording import SHORT as SHORT_ID
from leaderboard.wording import TAKEN, export_command

SHORT = 8  # candidates listed at first
LONG = 500  # at most
MOST_OPEN = 100  # listed of those that may keep the constraints
OFFERED = 300  # names in the box: the best scores
TYPED = "signing as"  # the box with a name
HUES = 8  # colours of the strips; the names say more


def draw_shortlist(case: Case) -> None:
    """Who may be chosen, with the evidence; and who would be, if it were known to keep the constraints."""
    found = case.found
    st.html(markup.block(markup.line(markup.text(words.constraints_sentence(found)), css="quiet")))
    if not found.candidates:
        st.html(markup.box(words.choice_sentence(found)))
        _open(found)
        return
    st.html(markup.block(markup.line(f"<b>{markup.text(words.choice_sentence(found))}</b>")))
    count = len(found.candidates)
    listed = f"All {count:,}" if count <= LONG else f"The first {LONG:,} of {count:,}"
    everything = count <= SHORT or st.toggle(listed, key="all", bind="query-params")
    numbers = frozenset(range(1, 2 + len(found.question.weights) + 3))
    shown = words.shortlist_rows(case, LONG if everything else SHORT)
    st.html(markup.block(markup.table(words.shortlist_head(found), shown, numbers, words.meanings(found))))
    st.caption(markup.as_label(f"{words.METHOD} {words.SHARES}"))
    _open(found)


def _open(found: Shortlist) -> None:
    if not found.open:
        return
    keys = list(found.question.weights)
    head = ("open to keep the constraints", "constraints", *(found.board.axes[key].title for key in keys))
    rows = [
        (
            label(row, found.board),
            "; ".join(f"{r.text}: {kept.state}" for r, kept in zip(found.board.constraints, row.kept, strict=True)),
            *(words.value_text(row, found.board.axes[key]) for key in keys),
        )
        for row in found.open[:MOST_OPEN]
    ]
    said = "Their intervals straddle a bound, or they have no number: they are not proposed, and beat nobody."
    count = found.counts["open"]
    if count > len(rows):
        said += f" {len(rows):,} of them are listed: another constraint leaves fewer."
    with st.expander(f"{count:,} may keep the constraints", expanded=not found.candidates):
        st.html(
            markup.block(
                markup.line(markup.text(said), css="quiet small"), markup.table(head, rows, told=words.meanings(found))
            )
        )


def draw_sensitivity(found: Shortlist) -> None:
    """At which weights the choice changes: in words, as strips, and as rows."""
    if len(found.candidates) < 2:
        return
    told = words.sensitivity_sentences(found)
    strips = []
    for (key, parts), sentence in zip(found.sensitivity.items(), told, strict=True):
        pieces = [
            (part.high - part.low, part.choice % HUES, label(found.candidates[part.choice].row, found.board))
            for part in parts
        ]
        strips.append(markup.line(markup.text(sentence)) + markup.strip(pieces, found.question.weights[key]))
    st.html(
        markup.block(
            markup.heading("Sensitivity", 3),
            *strips,
            markup.line(
                markup.text(
                    "Each strip runs from weight 0 to 1 of one number, the others in proportion; the line is the "
                    "stated weight."
                ),
                css="quiet small",
            ),
        )
    )
    with st.expander("Sensitivity as rows"):
        st.html(markup.block(markup.table(words.SENSITIVITY, words.sensitivity_rows(found), frozenset({1, 2}))))
        st.html(markup.block(markup.table(("scale", "loss 0", "loss 1"), words.scale_rows(found), frozenset({1, 2}))))


def choose_variant(case: Case, first: Row | None, review: str = "") -> Row | None:
    """A box with the shortlist, what may be on it, and what was decided on; each review has a box of its own."""
    offered = {each.row.recipe_id: each.row for each in case.found.candidates[:OFFERED]}
    offered |= {row.recipe_id: row for row in case.found.open[:OFFERED]}
    if first is not None:
        offered = {first.recipe_id: offered.get(first.recipe_id, first)} | offered
    if not offered:
        return None
    told = "Whose evidence is shown below, and whom a comment or a decision is about."
    count = len(case.found.candidates) + case.found.counts["open"]
    if count > len(offered):
        told += f" {len(offered):,} of {count:,} are offered, the best scores first: a constraint leaves fewer."
    picked = st.selectbox(
        "Variant",
        list(offered),
        key=f"{VARIANT}-{review}" if review else VARIANT,
        bind="query-params",
        format_func=lambda recipe_id: plain(label(offered[recipe_id], case.board)),
        help=told,
    )
    return offered.get(str(picked), first)


def draw_evidence(case: Case, row: Row, loaded: Loaded, elsewhere: Elsewhere) -> None:
    """What is known of one variant: numbers, what other sweeps say, licences, and what unopened data said."""
    sentence, command = on_held_back(case, row)
    confirmed = confirmed_rows(case.held_back, case.board, row.recipe_id)
    licences = licences_of(case, row.recipe_id)
    missing = words.missing_licences(licences)
    open_points = words.open_points(row, case.found)
    st.html(
        markup.block(
            markup.heading(row.name, 2),
            markup.line(markup.text(f"{row.verdict}: {row.verdict_reason}"), css="small"),
            *(markup.line(markup.text(f"Open: {said}"), css="small") for said in open_points),
            markup.table(words.EVIDENCE, words.evidence_rows(row, case.found), frozenset({1, 2, 3})),
            *(markup.line(markup.text(said), css="small") for said in elsewhere.sentences()),
            markup.heading("Licences, as stated", 3),
            markup.table(words.LICENCES, licences),
            markup.line(markup.text(missing), css="failed small") if missing else "",
            markup.heading("Unopened data", 3),
            markup.line(markup.text(sentence)),
            markup.table(CONFIRMED, confirmed, frozenset({1, 2})) if confirmed else "",
        )
    )
    if command:
        st.html(markup.command(command + store_option()))
    # The review's own sweep, which need not be the one that the page was opened with.
    named = dict(loaded.sweeps).get(case.board.sweep_id, case.board.name)
    to = in_address(loaded, sweep=named, variant=row.recipe_id[:16])
    st.page_link("pages_/variant.py", label="Everything known of it →", query_params=to)


def draw_state(history: History, reasons: Sequence[str]) -> None:
    """Where the review stands, why it should be looked at again, and what is wrong with its files."""
    st.html(markup.box(words.state_sentence(history, reasons)))
    for said in reasons:
        st.html(markup.block(markup.line(markup.text(f"To look at again: {said}"), css="failed")))
    if history.state == "approved" and history.choice is not None and history.opened is not None:
        command = export_command(history.choice.recipe_id, history.opened.sweep_id[:SHORT_ID])
        st.html(markup.command(command + store_option()))
        st.html(markup.block(markup.line(markup.text(TAKEN), css="quiet small")))
    for problem in history.problems:
        sentence = f"The history of this review is damaged: {problem} Nothing more can be added to it."
        st.html(markup.block(markup.line(markup.text(sentence), css="failed")))


def hashed(case: Case) -> bool:
    """Whether one may sign by now; else says why not, and has the page drawn again as soon as one may."""
    if not case.hashed:
        said = "What is signed names a hash of all data that you see. It is being worked out: signing opens soon …"
        st.html(markup.block(markup.line(markup.text(said), css="quiet small")))
        awaits(lambda: case.hashed)
    return case.hashed


def draw_history(history: History) -> None:
    """Every event, with who wrote it and under which data."""
    st.html(
        markup.block(
            markup.heading("History", 2),
            markup.table(words.HISTORY, [[plain(cell) for cell in line] for line in words.history_rows(history)]),
            markup.line(markup.text(words.SIGNED), css="quiet small"),
        )
    )


def typed() -> str:
    """The name that stands in the box of who signs locally."""
    return str(st.session_state.get(TYPED) or "")


def draw_signing() -> None:
    """Who is signed in, or how one does; and what signing means here."""
    now = mode()
    if now == "none":
        st.html(markup.block(markup.line(markup.text(f"Nobody can write here. {HOW}"), css="quiet small")))
    elif now == "local":
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.text_input("Your name", key=TYPED, max_chars=200, width=260)
            st.html(markup.block(markup.line(markup.text(words.SIGNED_LOCALLY), css="failed small")), width="content")
    else:
        _with_provider()
    with st.expander("What signed means"):
        st.html(markup.block(markup.line(markup.text(words.SIGNED))))


def _with_provider() -> None:
    person = signed_in()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if person is not None:
            told = f"Signed in as {words.who(person)}"
            st.html(markup.block(markup.line(markup.text(told), css="small")), width="content")
            st.button("Sign out", on_click=st.logout)
            return
        known = providers()
        for name in known:
            at = f" with {name}" if name else ""
            st.button(f"Sign in{at}", key=f"sign in {name}", on_click=st.login, args=(name,) if name else ())
        said = "Only signed-in people can write. " + ("Signing in leads back here." if known else HOW)
        st.html(markup.block(markup.line(markup.text(said), css="quiet small")), width="content")
