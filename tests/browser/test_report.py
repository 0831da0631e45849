"""The report as it opens from a mail: from a file, without a network, in both schemes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from cluster.cli import app
from tests.browser.contrast import faint
from tests.leaderboard.sample import SQL, make_store

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    store, out = make_store(folder / "store"), folder / "mailed.html"
    asked = ["report", "--store", str(store), "--out", str(out), "--where", "size <= 1 GB"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    return out


@pytest.fixture
def offline(browser: Browser) -> Iterator[Page]:
    """A page that reaches nothing but files."""
    with browser.new_context(offline=True) as context:
        yield context.new_page()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_whole_and_readable_without_a_network(
    offline: Page, report: Path, scheme: Literal["light", "dark"]
) -> None:
    asked: list[str] = []
    offline.on("request", lambda request: asked.append(request.url))
    offline.emulate_media(color_scheme=scheme)
    offline.goto(report.as_uri())
    expect(offline.locator("tbody").first.locator("tr")).to_have_count(7)
    expect(offline.locator("svg .mark")).to_have_count(5)
    expect(offline.locator("svg path.bound, svg text.bound")).to_have_count(0)
    expect(offline.locator("td.name", has_text=SQL.partition(": ")[2])).to_be_visible()
    for each in offline.locator("body > details").all():
        each.locator("summary").first.click()
        expect(each.locator("tbody tr").first).to_be_visible()
    assert faint(offline) == []
    assert asked == [report.as_uri()]


def test_it_fits_a_phone_and_its_headings_explain_themselves(offline: Page, report: Path) -> None:
    offline.set_viewport_size({"width": 390, "height": 844})
    offline.goto(report.as_uri())
    assert offline.evaluate("document.documentElement.scrollWidth") <= 390
    heading = offline.locator("th details").first
    heading.locator("summary").click()
    expect(heading.locator("span")).to_be_visible()
