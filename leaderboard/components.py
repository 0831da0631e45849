"""The page's own components: a script each, with a style sheet and a bit of HTML where it draws."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st


@cache
def component(name: str, html: str | None = None) -> Any:
    """The component of NAME.js, and NAME.css where it has HTML: registered once a process, on first use."""

    def read(ending: str) -> str:
        return files("leaderboard").joinpath(f"{name}.{ending}").read_text(encoding="utf-8")

    return st.components.v2.component(f"paredown_{name}", html=html, css=read("css") if html else None, js=read("js"))
