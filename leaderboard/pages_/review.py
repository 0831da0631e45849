"""Choosing a model and putting one's name to it: a question, its shortlist, what people said, and the decision."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from bench.store.folder import open_folder
from bench.store.reviews import History, list_reviews
from leaderboard import markup
from leaderboard.controls import WHERE, choose_sweep, in_address, open_head
from leaderboard.markdown import Part, as_markdown, plain
from leaderboard.review import drawing, writing
from leaderboard.review.case import Case, read_case, reasons_to_reopen, weighable
from leaderboard.review.document import as_html, document, subject
from leaderboard.review.elsewhere import Elsewhere, look_elsewhere
from leaderboard.rows import Row
from leaderboard.signing import NotSignedIn, mode, signed_in
from leaderboard.source import Loaded, StoreError, ask, in_words, store_root, version
from leaderboard.table import column_name

REVIEW = "review"
WROTE = "wrote"
WRITTEN = "written"  # how many events this visitor wrote
LISTED = 100  # reviews
LOOKED_AT = 20  # reviews in the list that are held against the newest data
Weights = tuple[tuple[str, float], ...]


def main() -> None:
    """Draw the page."""
    loaded = open_head("review", with_box=True)
    chosen = st.query_params.get(REVIEW)
    said = st.session_state.pop(WROTE, None)
    if said:
        st.toast(plain(said))
    try:
        if chosen:
            _one(chosen, loaded)
        else:
            _ask(loaded)
    except StoreError as error:
        st.html(markup.box(str(error)))
        if chosen:
            st.button("All reviews", on_click=_leave)


@st.cache_resource(max_entries=32, show_spinner="Weighing …")
def _case(
    version: str, sweep: str, base: str, constraints: tuple[str, ...], weights: Weights, watched: str | None = None
) -> Case:
    """The answer to a question; nothing in it is ever changed."""
    del version  # of the snapshot: part of the cache's key
    asked = {"base": base, "constraints": constraints, "weights": dict(weights)}
    return ask(lambda s: read_case(s, sweep, watched=watched, **asked))


def _ask(loaded: Loaded) -> None:
    """The list of reviews, and a question that one may be opened on."""
    about = "State what must be kept and what weighs how much; look at the evidence; put your name to a decision."
    st.html(markup.block(markup.heading("Review", 1), markup.line(markup.text(about), css="quiet")))
    drawing.draw_signing()
    _list(loaded)
    st.html(markup.block(markup.heading("A question", 2)))
    found = _question(loaded)
    if found is None:
        return
    drawing.draw_shortlist(found)
    drawing.draw_sensitivity(found.found)
    row = drawing.choose_variant(found, None)
    if row is not None:
        with st.container(border=True):
            drawing.draw_evidence(found, row, loaded, _elsewhere(version(), found, row.recipe_id))
    _exports(found, None, ())
    with st.form("open", border=True):
        title = st.text_input(
            "Open a review of this question",
            max_chars=200,
            placeholder="Classifier for the phone, winter release",
            help="What the decision is about, in a few words. Constraints and weights stay as they are now.",
        )
        if st.form_submit_button("Open the review", disabled=mode() == "none" or not drawing.hashed(found)):
            _do(lambda: writing.begin(found, title, drawing.typed()), "The review is open.", go=True)
    if mode() != "none":
        writing.remember(found, None)


def _question(loaded: Loaded) -> Case | None:
    """Controls that state a question, and its answer; a sentence where it means nothing."""
    board = loaded.board
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choose_sweep(loaded)
        base = board.bases[0] if board.bases else ""
        if len(board.bases) > 1:
            base = str(st.selectbox("Base model", board.bases, key="of base", bind="query-params", width=260))
        text = st.text_input(
            "Constraints",
            key=WHERE,
            bind="query-params",
            placeholder="size <= 100 MB, recovery >= 99%",
            width=420,
            help="METRIC OPERATOR NUMBER, with commas between several. Met only if the whole interval keeps the bound.",
        )
        offered = {column_name(key): key for key in weighable(board)}
        declared = [column_name(key) for key in board.objectives]
        also = st.multiselect(
            "Weigh also",
            [name for name in offered if name not in declared],
            key="also",
            bind="query-params",
            placeholder="nothing else",
            format_func=lambda name: board.axes[offered[name]].title,
            help="Numbers beside the declared objectives. Verdicts are then found on these too.",
        )
    with st.container(horizontal=True, gap="small"):
        weights = tuple(
            (
                name,
                float(
                    st.number_input(
                        f"Weight of {markup.as_label(board.axes[offered[name]].title)}",
                        0.0,
                        100.0,
                        1.0,
                        0.25,
                        key=f"w {name}",
                        bind="query-params",
                        width=230,
                        help="Only proportions count: 2 weighs twice as much as 1; 0 leaves it out of the score.",
                    )
                ),
            )
            for name in (*declared, *also)
        )
    try:
        return _case(version(), board.sweep_id, base, (str(text),) if (text or "").strip() else (), weights)
    except StoreError as error:
        st.html(markup.box(str(error)))
        return None


def _list(loaded: Loaded) -> None:
    """Reviews of the store, newest first, with a link to each."""
    found = in_words(lambda: list_reviews(open_folder(store_root())))
    if not found:
        then = "for its shortlist" if mode() == "none" else "and open one"
        st.html(markup.box(f"There is no review in this store yet: state a question below {then}."))
        return
    st.html(markup.block(markup.heading("Reviews", 2)))
    if len(found) > LISTED:
        said = f"The newest {LISTED} of {len(found):,}; `paredown review --list` tells all."
        st.html(markup.block(markup.line(markup.text(said), css="quiet small")))
    for place, history in enumerate(found[:LISTED]):
        first = history.opened
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            title = first.title if first else f"Review {history.review}"
            st.page_link(
                "pages_/review.py",
                label=markup.as_label(plain(title)),
                query_params=in_address(loaded, review=history.review),
            )
            told = f"{_state(history, look=place < LOOKED_AT)} · {first.sweep if first else 'damaged'}"
            if history.events:
                told += f" · {len(history.events)} events, last {history.events[-1].at[:16].replace('T', ' ')} UTC"
            st.html(markup.block(markup.line(markup.text(told), css="quiet small")), width="content")


def _state(history: History, *, look: bool) -> str:
    """Where a review stands, in a few words; with `look`, on the data as they are now."""
    if history.problems:
        return "damaged"
    if not look and history.state == "approved":
        return "approved; open it to see whether newer results flag it"
    return f"{history.state}, flagged for reopening" if _flags(version(), history) else history.state


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={History: lambda h: h.hashes})
def _flags(version: str, history: History) -> tuple[str, ...]:
    """Why an approved review should be looked at again."""
    if history.choice is None:
        return ()
    try:
        case = _case_of(history)
        return reasons_to_reopen(case, history, _elsewhere(version, case, history.choice.recipe_id))
    except StoreError as error:
        return (str(error),)


def _case_of(history: History) -> Case:
    """The case of a review that has been opened."""
    first = history.opened
    assert first is not None
    watched = history.decisions[-1].recipe_id if history.decisions else None
    weights = tuple(first.weights.items())
    return _case(version(), first.sweep_id, first.base, first.constraints, weights, watched)


@st.cache_data(max_entries=256, show_spinner="Asking other sweeps …", hash_funcs={Case: lambda case: case.about})
def _elsewhere(version: str, case: Case, recipe_id: str) -> Elsewhere:
    """What other sweeps say of a variant."""
    del version
    return ask(lambda snapshot: look_elsewhere(snapshot, case.board.sweep_id, case.found.question, recipe_id))


def _one(chosen: str, loaded: Loaded) -> None:
    """One review."""
    history = in_words(lambda: writing.read(chosen))
    first = history.opened
    st.button("← All reviews", on_click=_leave)
    if first is None:
        gone = history.problems[0] if history.problems else "It is not in this store: choose another one."
        st.html(markup.box(f"This review cannot be shown. {gone}"))
        return
    about = f"{first.sweep} · opened by {first.person.name} · {first.at[:16].replace('T', ' ')} UTC"
    st.html(markup.block(markup.heading(first.title, 1), markup.line(markup.text(about), css="quiet small")))
    try:
        case = _case_of(history)
    except StoreError as error:
        drawing.draw_state(history, (str(error),) if history.choice else ())
        drawing.draw_signing()
        st.html(markup.box(str(error)))
        drawing.draw_history(history)
        return
    choice = history.choice
    elsewhere = _elsewhere(version(), case, choice.recipe_id) if choice else Elsewhere()
    reasons = reasons_to_reopen(case, history, elsewhere)
    drawing.draw_state(history, reasons)
    drawing.draw_signing()
    asked = ", ".join(r.text for r in case.found.board.constraints) or "none"
    weights = "; ".join(
        f"{case.board.axes[key].title}: {weight:.2f}" for key, weight in case.found.question.weights.items()
    )
    st.html(markup.block(markup.table(("constraints", "weights"), [(asked, weights)])))
    drawing.draw_shortlist(case)
    drawing.draw_sensitivity(case.found)
    row = drawing.choose_variant(case, subject(case, history), history.review)
    shown = {}
    if row is not None:
        shown[row.recipe_id] = _elsewhere(version(), case, row.recipe_id)
        with st.container(border=True):
            drawing.draw_evidence(case, row, loaded, shown[row.recipe_id])
    if not history.problems:
        _write(case, history, row)
    drawing.draw_history(history)
    _exports(case, history, reasons)
    if mode() != "none":
        writing.remember(case, history, shown)


def _write(case: Case, history: History, row: Row | None) -> None:
    """Forms to comment and to decide. Whether one may is asked again by what writes."""
    if mode() == "none" or (mode() == "oidc" and signed_in() is None) or not drawing.hashed(case):
        return
    name = "no variant" if row is None else plain(row.name)
    # Buttons have keys: were they known by their words, a click while newer results come in would be lost unsaid.
    left, right = st.columns(2, gap="medium")
    nth = st.session_state.get(WRITTEN, 0)  # what was written clears the boxes, what was refused stays in them
    with left, st.form("comment"):
        said = "Shown to everyone as text. It cannot be changed later."
        text = st.text_area("Comment", max_chars=10_000, help=said, key=f"comment {nth}")
        about = row is not None and st.checkbox(f"About {markup.as_label(name)}", value=False, key=f"about {nth}")
        if st.form_submit_button("Comment"):
            _do(
                lambda: writing.comment(case, history, text, row if about else None, drawing.typed()),
                "Your comment is in.",
            )
    with right, st.form("decide"):
        said = "Required: why this variant, or why not."
        reason = st.text_area("Reason", max_chars=10_000, help=said, key=f"reason {nth}")
        with st.container(horizontal=True, gap="small"):
            yes = st.form_submit_button(
                f"Approve {markup.as_label(name)}", type="primary", disabled=row is None, key="approve"
            )
            no = st.form_submit_button(f"Reject {markup.as_label(name)}", disabled=row is None, key="reject")
            back = bool(history.decisions) and st.form_submit_button("Withdraw mine")
            again = bool(history.decisions) and st.form_submit_button("Reopen the review")
        if row is not None and yes:
            _do(lambda: writing.decide(case, history, "approve", row, reason, drawing.typed()), "You approved it.")
        elif row is not None and no:
            _do(lambda: writing.decide(case, history, "reject", row, reason, drawing.typed()), "You rejected it.")
        elif back:
            _do(lambda: writing.withdraw(case, history, reason, drawing.typed()), "Your decision is withdrawn.")
        elif again:
            _do(lambda: writing.reopen(case, history, reason, drawing.typed()), "The review is open again.")


def _do(write: Callable[[], History], said: str, *, go: bool = False) -> None:
    """Write, and draw the page anew; or say why not."""
    try:
        history = in_words(write)
    except (NotSignedIn, StoreError) as error:
        st.html(markup.box(str(error)))
        return
    st.session_state[WROTE] = said
    st.session_state[WRITTEN] = st.session_state.get(WRITTEN, 0) + 1
    if go:
        st.query_params[REVIEW] = history.review
    st.rerun()


def _exports(case: Case, history: History | None, reasons: tuple[str, ...]) -> None:
    """The whole of it as files."""

    def parts() -> list[Part]:
        return document(case, history, reasons)

    title = history.opened.title if history and history.opened else f"Shortlist of {case.board.name}"
    name = f"review-{history.review}" if history else "shortlist"
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Export as Markdown",
            lambda: as_markdown(parts()),
            file_name=f"{name}.md",
            mime="text/markdown",
            on_click="ignore",
        )
        st.download_button(
            "Export as HTML",
            lambda: as_html(parts(), title),
            file_name=f"{name}.html",
            mime="text/html",
            on_click="ignore",
            help="One file without scripts that opens offline.",
        )


def _leave() -> None:
    st.query_params.pop(REVIEW, None)


if __name__ == "__main__":  # which Streamlit calls a page
    main()
