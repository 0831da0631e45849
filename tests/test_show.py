"""Tables for the terminal: nothing is cut off, nothing is markup, and every form carries the same rows."""

import csv
import io
import json

import pytest
from rich.console import Console

from bench.errors import BadInput
from cluster.show import Printable, known_table, print_table

COLUMNS = ("variant", "verdict", "share", *(f"metric {i}, batch 1 x 16 tokens" for i in range(5)), "latency, last")
NAME = "tiny: decoder 12 to 6, fine-tuned, [red]int8[/red] | [/] 9"
ROW = (NAME, "◐ contested", "85%", *(f"31.7{i}% (24.0 to 40.4%)" for i in range(5)), "4.94 ms (3.76 to 6.15 ms)")
TABLE = Printable("title [b]", COLUMNS, (ROW, ROW), {"rows": [list(ROW)]}, ("A note [/].",), frozenset({"share"}))


def printed(form: str, width: int = 150, table: Printable = TABLE) -> str:
    text = io.StringIO()
    print_table(table, form, Console(file=text, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [100, 150, 240])
def test_nothing_is_cut_off(width: int) -> None:
    """Columns fold, so that every character of every cell is somewhere, the last column's too."""
    text = printed("table", width)
    assert max(len(line) for line in text.splitlines()) <= width
    characters = text.replace(" ", "")
    cells = "".join([*ROW, *ROW, *COLUMNS]).replace(" ", "")
    assert all(characters.count(c) >= cells.count(c) for c in set(cells))
    assert "A note [/]." in text
    assert "title [b]" in text
    short = Printable("t", ("variant", "x"), (("a", "1"),), {})
    assert max(len(line.rstrip()) for line in printed("table", width, short).splitlines()) < 20


def test_csv_and_json_and_markdown_carry_the_rows() -> None:
    rows = list(csv.reader(io.StringIO(printed("csv"))))
    assert rows == [list(COLUMNS), list(ROW), list(ROW)]
    assert json.loads(printed("json", 20)) == {"rows": [list(ROW)]}
    lines = printed("md").splitlines()
    assert lines[2].count("|") - lines[2].count("\\|") == len(COLUMNS) + 1
    assert lines[-1] == "A note [/]."


def test_what_is_known() -> None:
    for what in ("methods", "tasks", "metrics", "sweeps", "models"):
        assert all(len(row) == 2 and all(row) for row in known_table(what).rows)
    with pytest.raises(BadInput, match="no list called 'method'"):
        known_table("method")
