"""What a page that runs without a browser has written."""

from __future__ import annotations

import re

from streamlit.testing.v1 import AppTest


def words(page: AppTest) -> str:
    """All HTML of a page, but for its style sheet."""
    found = "\n".join(e.proto.body for e in page.get("html"))
    assert not page.exception
    assert "could not be drawn" not in found
    assert not re.findall("<th>(?!<details)[^<]*", found)  # every column says what it means
    return re.sub("<style>.*?</style>", "", found, flags=re.DOTALL)
