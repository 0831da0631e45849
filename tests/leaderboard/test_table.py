"""The table's cells and the CSV."""

import csv
import io
import json
from dataclasses import replace

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from leaderboard.choices import Choice, View, look
from leaderboard.downloads import as_csv, as_json, as_parquet
from leaderboard.report import report_html
from leaderboard.rows import Board, Draws, Place
from leaderboard.table import label, notes, payload, usual_columns
from tests.leaderboard.sample import BASE, HTML, REASON, SQL, TASK


@pytest.fixture
def view(board: Board, draws: Draws) -> View:
    return look(board, Choice(), board.objectives, draws)


def test_columns_are_the_objectives_and_what_a_decision_needs(board: Board) -> None:
    assert [metric for metric, _ in usual_columns(board)] == [
        "accuracy",
        "latency_ratio",
        "accuracy_difference",
        "latency_ms",
        "host_peak",
        "size",
        "parameters",
    ]


def test_cells_carry_number_interval_and_place(view: View, board: Board) -> None:
    data = payload(view, view.rows, usual_columns(board), None)
    row = next(r for r in data["rows"] if r["title"] == f"{BASE}: int8")
    accuracy, ratio = row["cells"][:2]
    assert accuracy["text"] == "84.5%"
    assert accuracy["below"] == "82.5 to 86.2%"
    low, middle, high = ratio["bar"]
    assert 0 <= low <= middle <= high <= 1
    assert row["sign"] == "●"
    assert row["verdict"] == "certain"
    assert row["share"] == "100%"


def test_the_base_has_its_ratio_of_times_and_is_compared_with_itself_nowhere(view: View, board: Board) -> None:
    keys = [key for key in usual_columns(board) if key[0] in ("latency_ratio", "accuracy_difference")]
    cells = payload(view, view.rows, keys, None)["rows"][0]["cells"]
    assert [(cell["text"], cell["below"]) for cell in cells] == [("1.000×", ""), ("–", "the base itself")]
    accuracy = board.axes["accuracy_difference", TASK]
    ratio = replace(accuracy, metric="perplexity_ratio")
    mine = replace(view, board=replace(board, axes={**board.axes, ratio.key: ratio}))
    (cell,) = payload(mine, mine.rows, [ratio.key], None)["rows"][0]["cells"]
    assert (cell["text"], cell["below"]) == ("–", "the base itself")
    assert "1.000×" in report_html(board, {}).partition("<tr class=base>")[2].partition("</tr>")[0]


def test_objectives_carry_ranks_and_ties(view: View, board: Board) -> None:
    """The same words as `paredown show` prints, below declared objectives alone."""
    row = next(r for r in board.rows if r.name == f"{BASE}: bf16")
    data = payload(view, view.rows, usual_columns(board), None)
    cells = next(r for r in data["rows"] if r["title"] == row.name)["cells"]
    for key, cell in zip(board.objectives, cells, strict=False):
        best, worst = row.places[key].rank or (0, 0)
        letters = "".join(sorted(row.places[key].letters))
        assert letters
        stands = f"rank {best}" if best == worst else f"ranks {best} to {worst}"
        assert cell["rank"] == f"{stands}, group{'s' * (len(letters) > 1)} {letters}"
        assert "variants of one group tie" in cell["ranked"]
    assert [cell["rank"] for cell in cells[2:]] == [""] * len(cells[2:])
    waiting = next(r for r in data["rows"] if r["title"] == f"{BASE}: distilled")
    assert {cell["rank"] for cell in waiting["cells"]} == {""}


def test_a_rank_without_letters_stands_alone(view: View, board: Board) -> None:
    key = board.objectives[0]
    places = {key: Place((2, 900), "", None, None, None, None)}
    (row,) = payload(view, [replace(board.rows[1], places=places)], [key], None)["rows"]
    assert row["cells"][0]["rank"] == "ranks 2 to 900"
    assert "group" not in row["cells"][0]["ranked"]


def test_a_letter_that_nobody_shares_is_no_tie(view: View, board: Board) -> None:
    key = board.objectives[0]
    base, one, *others = board.rows
    told = [Place((1, 1), "a,e", None, None, None, None), Place((1, 2), "a,f", None, None, None, None)]
    base, one = (replace(row, places={key: place}) for row, place in zip((base, one), told, strict=True))
    elsewhere = replace(others[0], base="another", places={key: told[1]})
    alone = replace(others[1], places={key: Place((8, 8), "g", None, None, None, None)})
    among = replace(view, field=(base, one, elsewhere, alone))
    found = payload(among, among.field, [key], None)["rows"]
    stands = ["rank 1, group a", "ranks 1 to 2, group a", "ranks 1 to 2", "rank 8"]
    assert [row["cells"][0]["rank"] for row in found] == stands
    assert "group" not in found[3]["cells"][0]["ranked"]


def test_the_payload_is_plain_json_with_names_as_they_are(view: View, board: Board) -> None:
    data = payload(view, view.rows, usual_columns(board), ("size", True))
    assert json.loads(json.dumps(data, allow_nan=False)) == json.loads(json.dumps(data))
    assert HTML in {row["title"] for row in data["rows"]}
    assert data["sort"] == {"id": "size", "descending": True}


def test_every_variant_has_a_row_and_missing_ones_say_why(view: View, board: Board) -> None:
    data = payload(view, view.rows, usual_columns(board), None)
    assert len(data["rows"]) == 11
    empty = {row["title"]: row["notes"] for row in data["rows"] if row["empty"]}
    assert REASON in empty[f"{BASE}: decoder 12 to 0"][0]
    assert empty[f"{BASE}: distilled"] == ["not built yet"]


def test_notes_name_what_is_odd(board: Board) -> None:
    found = {row.name: notes(row, board) for row in board.rows}
    assert found[f"{BASE}: bf16"] == ("unstable: leases disagree",)
    assert found[HTML] == ("1 of 2 leases",)
    assert found[SQL] == ("one seed",)
    assert found[f"{BASE}: base"] == ()


def test_a_failure_beside_complete_numbers_is_told(board: Board) -> None:
    row = replace(board.rows[1], reason="measure: lost worker: gone")
    assert "a job failed: measure: lost worker: gone" in notes(row, board)


def test_folders_of_a_machine_reach_neither_grid_nor_files(view: View, board: Board, draws: Draws) -> None:
    reason = "build: OSError: No such file: '/data/of/someone/model.bin'"
    failed = next(row for row in board.rows if row.status == "failed")
    rows = [replace(failed, reason=reason), replace(board.rows[1], reason=reason)]
    told = json.dumps(payload(view, rows, usual_columns(board), None), ensure_ascii=False)
    parquet = pq.read_table(io.BytesIO(as_parquet(board, rows))).to_pylist()
    told += as_csv(board, rows) + as_json(board, rows).decode() + str(parquet)
    told += report_html(replace(board, rows=tuple(rows)), draws)
    assert "/data" not in told
    assert "…/model.bin" in told


def test_the_base_is_named_once(board: Board) -> None:
    assert label(board.rows[0], board) == BASE
    assert label(board.rows[1], board) == "int8"
    two = replace(board, rows=(*board.rows, replace(board.rows[1], base="other")))
    assert label(board.rows[1], two) == f"{BASE}: int8"


def test_csv_has_every_number_at_full_precision(view: View, board: Board) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(view.board, view.rows))))
    assert [line["variant"] for line in lines] == [row.name for row in view.rows]
    title = board.axes[board.objectives[0]].title
    for line, row in zip(lines, view.rows, strict=True):
        cell = row.cells.get(board.objectives[0])
        assert line[f"{title} [1]"] == ("" if cell is None else str(cell.estimate))
        assert line[f"{title}: low"] == ("" if cell is None else str(cell.low))


def test_csv_gives_a_spreadsheet_nothing_to_run(view: View) -> None:
    rows = [replace(view.rows[1], name=name) for name in ("=1+1", "@SUM(A1)", "-2", "plain")]
    lines = list(csv.DictReader(io.StringIO(as_csv(view.board, rows))))
    assert [line["variant"] for line in lines] == ["'=1+1", "'@SUM(A1)", "'-2", "plain"]
