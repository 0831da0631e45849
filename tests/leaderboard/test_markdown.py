"""Whatever text holds, Markdown shows it as text: told by a parser of Markdown, not by the signs that are escaped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from leaderboard.markdown import Code, Heading, Paragraph, Table, as_markdown, plain

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SIGNS = " \n\t\\`*_{}[]()#+-.!~>|$:<&=@;\"'ab1www./\u202e\u2028\x07"
TEXTS = [
    "layer_copy __x__ a_b_ *y* **z**",
    "<b>bold</b> <!-- x --> &amp; &#60; &lt;script>",
    "1. not a list",
    "12) nor this",
    "- x",
    "+ x",
    "# x",
    "#",
    "=== ",
    "---",
    "* * *",
    "> x",
    "```python\nx\n```",
    "~~~\nx",
    "[a](http://example.invalid) ![b](c) [d] <http://example.invalid>",
    "a | b \\| c \\",
    "    indented",
    "line\nbreak  \nhard",
    "|---|---|",
    "[^1]: x",
    "\\*",
]


def shown(text: str) -> str:
    """What people are to see."""
    return plain(" ".join(text.split()))


def inline(tokens: list[object]) -> tuple[str, set[str]]:
    """The text of what a parser has found, and the kinds of pieces that it is made of."""
    children = [child for token in tokens for child in (getattr(token, "children", None) or ())]
    return "".join(child.content for child in children), {child.type for child in children}


def only_text(markdown: str, text: str, *blocks: str) -> None:
    tokens = PARSER.parse(markdown)
    found, kinds = inline(list(tokens))
    assert {token.type for token in tokens} <= {"inline", *blocks}, markdown
    assert kinds <= {"text", "text_special"}, markdown
    assert found == text, markdown


@given(st.one_of(st.sampled_from(TEXTS), st.text(st.sampled_from(SIGNS), max_size=30), st.text(max_size=20)))
def test_text_stays_text(text: str) -> None:
    if not shown(text):
        return
    only_text(as_markdown([Paragraph(text)]), shown(text), "paragraph_open", "paragraph_close")
    only_text(as_markdown([Heading(2, text)]), shown(text), "heading_open", "heading_close")


@pytest.mark.parametrize("text", TEXTS)
def test_and_in_cells(text: str) -> None:
    markdown = as_markdown([Table(("odd", "other"), [(text, "x"), ("y", text)], {})])
    parts = ("table", "thead", "tbody", "tr", "th", "td")
    blocks = [f"{part}_{end}" for part in parts for end in ("open", "close")]
    only_text(markdown, f"oddother{shown(text)}xy{shown(text)}", *blocks)


def test_numbers_and_names_stay_readable() -> None:
    """Cards are read as files too."""
    for text in (
        "+5.0 pts (−8.2 to +18.1 pts)",
        "0.616×",
        "tiny: decoder 4 to 2, fine-tuned",
        "max_length 128",
        "-1.5",
    ):
        assert as_markdown([Paragraph(text)]) == f"{text}\n"
    for text in (
        "http://x.invalid",
        "a@b.invalid",
        "www.x.invalid",
        ":smile:",
        "mailto:x",
    ):  # as GitHub would read them
        assert "\\" in as_markdown([Paragraph(text)])


def test_code() -> None:
    assert as_markdown([Code("paredown plan 'a b'")]) == "    paredown plan 'a b'\n"
    tokens = PARSER.parse(as_markdown([Code("x = 1", "python")]))
    assert [(token.type, token.info, token.content) for token in tokens] == [("fence", "python", "x = 1\n")]
