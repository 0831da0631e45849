"""The table as a component of the page: sorted by a click on a heading, opened by a click on a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from leaderboard.components import component

KEY = "grid"


def draw_grid(
    data: dict[str, Any],
    *,
    picked: Callable[[str], None],
    sorted_by: Callable[[str], None],
    ticked: Callable[[str], None],
) -> None:
    """Draw the table; `picked` and `ticked` hear the recipe_id of a clicked row or box, `sorted_by` a heading's id."""

    def tell(name: str, hear: Callable[[str], None]) -> Callable[[], None]:
        def changed() -> None:
            value = st.session_state[KEY].get(name)
            if value:
                hear(str(value))

        return changed

    component("grid", '<div class="board"></div>')(
        key=KEY,
        data=data,
        on_picked_change=tell("picked", picked),
        on_sorted_change=tell("sorted", sorted_by),
        on_ticked_change=tell("ticked", ticked),
    )
