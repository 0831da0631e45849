"""Published numbers against measured ones: the verdict on each claim, and the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from leaderboard import markup
from leaderboard.controls import carry_over
from leaderboard.live import Live, note
from leaderboard.reading import claims
from leaderboard.source import StoreError, newest, version
from leaderboard.waiting import told_if_long

SIGNS = {"reproduced": "✓", "not reproduced": "✗", "not comparable": "≠", "needs weights": "○"}
MEANING = (
    ("reproduced", "What was published lies within what was measured, or was counted and is exactly so."),
    ("not reproduced", "It lies outside: the reason says by how much."),
    ("not comparable", "Measured under other conditions than published, so that neither supports the other."),
    ("needs weights", "It can only be checked with the published weights, which are not here."),
)


def main() -> None:
    """Draw the page."""
    st.html(markup.style())
    carry_over("claims")
    note(Live(newest()))
    st.html(
        markup.block(
            markup.heading("Published against measured", 1),
            markup.line(
                markup.text("What is said of published models, checked against what this store has measured."),
                css="quiet",
            ),
        )
    )
    try:
        with told_if_long("Reading claims …"):
            found = claims(version())
    except StoreError as error:
        st.html(markup.box(str(error)))
        return
    if not found:
        st.html(markup.box("No claim has been judged in this store yet. This command judges the shipped ones:"))
        st.html(markup.command("paredown claims --store STORE"))
        return
    shown = _filtered(found)
    models = dict.fromkeys(str(each["model"]) for each in shown)
    st.html(
        markup.block(
            markup.line(markup.text(summary(shown, found))),
            *(_model(model, [each for each in shown if each["model"] == model]) for model in models),
        )
    )
    with st.expander("What the verdicts mean"):
        rows = ((f"{SIGNS[word]} {word}", said) for word, said in MEANING)
        st.html(
            markup.block(
                markup.table(("verdict", "meaning"), rows, frozenset({0}), {"verdict": "Whether the claim holds here."})
            )
        )


def _filtered(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        models = list(dict.fromkeys(str(each["model"]) for each in found))
        model = st.multiselect("Model", models, key="model", placeholder="all", bind="query-params", width=320)
        known = [word for word in SIGNS if any(each["verdict"] == word for each in found)]
        verdict = st.multiselect("Verdict", known, key="judged", placeholder="all", bind="query-params", width=320)
    return chosen(found, model, verdict)


def chosen(
    found: Sequence[Mapping[str, Any]], models: Sequence[str], verdicts: Sequence[str]
) -> list[Mapping[str, Any]]:
    """The claims of these models with these verdicts; none named are all."""
    return [
        each
        for each in found
        if (not models or each["model"] in models) and (not verdicts or each["verdict"] in verdicts)
    ]


def summary(shown: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> str:
    """How many there are of each verdict."""
    counts = Counter(str(each["verdict"]) for each in shown)
    told = ", ".join(f"{counts[word]} {word}" for word in SIGNS if counts[word])
    among = "" if len(shown) == len(found) else f" of {len(found)}"
    return f"{len(shown)}{among} claims: {told}." if shown else f"None of {len(found)} claims matches: clear a filter."


def _model(model: str, mine: Sequence[Mapping[str, Any]]) -> str:
    """The claims of one model, what was looked at and failed first."""
    order = {word: place for place, word in enumerate(("not reproduced", "reproduced", "not comparable"))}
    ranked = sorted(mine, key=lambda each: order.get(str(each["verdict"]), len(order)))
    return markup.heading(f"{model} ({len(mine)})", 3) + "".join(_claim(each) for each in ranked)


def _claim(each: Mapping[str, Any]) -> str:
    verdict = str(each["verdict"])
    settings = f" · {each['settings']}" if each["settings"] else ""
    return markup.claim(
        verdict.replace(" ", "-"),
        f"{SIGNS.get(verdict, '?')} {verdict}",
        str(each["text"]),
        str(each["published"]),
        str(each["found"]),
        str(each["reason"]),
        f"{each['source']}{settings} · judged {str(each['declared'])[:10]}",
    )


if __name__ == "__main__":  # which Streamlit calls a page
    main()
