"""What a visitor saves: the rows that are listed, in each format, under the name that the button promises."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import Page, expect

from tests.browser.screenshots import settle
from tests.browser.served import SETTLED
from tests.leaderboard.sample import BASE, SQL

pytestmark = pytest.mark.browser


def of_csv(file: Path) -> Iterable[str]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [line["variant"] for line in csv.DictReader(lines)]


def of_parquet(file: Path) -> Iterable[str]:
    with duckdb.connect() as connection:
        return [name for (name,) in connection.execute("select variant from read_parquet(?)", [str(file)]).fetchall()]


def of_json(file: Path) -> Iterable[str]:
    return [row["variant"] for row in json.loads(file.read_text(encoding="utf-8"))["variants"]]


@pytest.mark.parametrize(
    ("button", "name", "names"),
    [
        ("CSV", "leaderboard.csv", of_csv),
        ("Parquet", "leaderboard.parquet", of_parquet),
        ("JSON", "leaderboard.json", of_json),
    ],
)
def test_the_listed_rows_are_saved(
    page: Page, site: str, tmp_path: Path, button: str, name: str, names: Callable[[Path], Iterable[str]]
) -> None:
    page.goto(f"{site}/?q=int8")
    expect(page.locator("tbody tr")).to_have_count(3, timeout=SETTLED)
    page.get_by_role("button", name="Download", exact=True).click()
    settle(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button, exact=True).click()
    assert waiting.value.suggested_filename == name
    waiting.value.save_as(tmp_path / name)
    assert sorted(names(tmp_path / name)) == sorted([f"{BASE}: base", f"{BASE}: int8", SQL])
