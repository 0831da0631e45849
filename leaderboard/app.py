"""The page. Streamlit runs this file; everything else is imported."""

import logging

import streamlit as st

from leaderboard import markup
from leaderboard.components import component
from leaderboard.live import follow
from leaderboard.signing import mode, signed_in

FAILED = (
    "This page could not be drawn. Load it again; if that does not help, `paredown verify` looks for damage in the "
    "store, and whoever serves the page finds the reason in its log."
)


def main() -> None:
    """Name the pages and run the one that was asked for."""
    st.set_page_config(page_title="paredown", page_icon="◐", layout="wide")
    pages = [
        st.Page("pages_/board.py", title="Leaderboard", default=True),
        st.Page("pages_/pareto.py", title="Pareto plot", url_path="pareto"),
        st.Page("pages_/variant.py", title="Variant", url_path="variant", visibility="hidden"),
        st.Page("pages_/compare.py", title="Compare", url_path="compare"),
        st.Page("pages_/sweeps.py", title="Sweeps", url_path="sweeps"),
        st.Page("pages_/review.py", title="Review", url_path="review"),
        st.Page("pages_/claims.py", title="Claims", url_path="claims"),
        st.Page("pages_/meaning.py", title="How to read it", url_path="meaning"),
    ]
    page = st.navigation(pages, position="top")
    with st.container(key="early"):
        component("early")(key="early component")
        if mode() == "oidc":
            component("back")(key="back component", data={"signed_in": signed_in() is not None})
    try:
        page.run()
    except Exception:
        # Whoever looks gets a sentence; what it was is in the log of whoever serves the page.
        logging.getLogger(__name__).exception("the page %s could not be drawn", page.title)
        st.html(markup.style() + markup.box(FAILED))
    follow()


main()
