"""The commands that a page offers."""

from __future__ import annotations

import re
from html import unescape

from streamlit.testing.v1 import AppTest


def commands(page: AppTest) -> list[str]:
    """All of them, in order, as they would be copied."""
    found = "\n".join(element.proto.body for element in page.get("html"))
    return [unescape(each) for each in re.findall(r'<pre class="command"[^>]*>(.*?)</pre>', found, re.DOTALL)]
