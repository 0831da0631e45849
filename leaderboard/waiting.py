"""A sentence for whatever takes long, which quick views never show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx

LONG = 0.7  # seconds; Streamlit's own spinners come after a tenth of one, and flicker where most views take three


@contextmanager
def told_if_long(sentence: str) -> Iterator[None]:
    """Show the sentence until the work within is done, if that takes long."""
    place = st.empty()
    timer = Timer(LONG, place.caption, [sentence])
    add_script_run_ctx(timer)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        place.empty()
