"""A review in a real browser, from constraints to a decision that newer results flag."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bench.store.folder import open_folder
from bench.store.reviews import Decision, list_reviews
from tests.browser.screenshots import rest, settle
from tests.browser.served import SETTLED, serving
from tests.browser.test_board import narrow
from tests.leaderboard import newer
from tests.leaderboard.sample import BASE

pytestmark = pytest.mark.browser
REVIEW = "<img src=x onerror=alert(3)> phone"


def state_question(page: Page, url: str) -> None:
    page.goto(f"{url}/review")
    limit = page.get_by_label("Constraints", exact=True)
    limit.fill("size <= 600 MB")
    limit.press("Enter")
    expect(page.get_by_text("are known to keep size <= 600 MB")).to_be_visible(timeout=SETTLED)


def test_from_constraints_to_a_decision_that_newer_results_flag(page: Page, growing: Path, servers: ExitStack) -> None:
    url = servers.enter_context(serving(newer.store_before(growing), "--sign-locally"))
    state_question(page, url)
    expect(page.get_by_text("There is no review in this store yet")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_text("This page signs locally")).to_be_visible()
    expect(page).to_have_url(re.compile(r"where=size"))
    weight = page.get_by_role("spinbutton", name=re.compile("Weight of accuracy"))
    weight.fill("10")
    weight.press("Enter")
    expect(page.get_by_text(f"First with these weights: {BASE}: int8")).to_be_visible()
    rest(page)
    page.reload()
    expect(page.get_by_text(f"First with these weights: {BASE}: int8")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_text(re.compile(r"the choice changes to .*drop table.* if it weighs under"))).to_be_visible()
    expect(page.get_by_role("cell", name="zoo://sample")).to_be_visible()
    expect(page.get_by_text("Not confirmed, and it cannot be")).to_be_visible()
    page.get_by_label("Your name", exact=True).fill("Dora Decides")
    page.get_by_label("Your name", exact=True).press("Enter")
    page.get_by_label("Open a review of this question", exact=True).fill(REVIEW)
    page.get_by_role("button", name="Open the review").click()
    expect(page.get_by_role("heading", name=REVIEW)).to_be_visible(timeout=SETTLED)
    expect(page.get_by_text("Open: nobody has decided yet.")).to_be_visible()
    page.get_by_label("Comment", exact=True).fill("Is it <b>fast</b> enough?")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.get_by_text("commented: Is it <b>fast</b> enough?")).to_be_visible(timeout=SETTLED)
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.get_by_text("reason: it is empty, and must be said in words")).to_be_visible(timeout=SETTLED)
    page.get_by_label("Reason", exact=True).fill("Smallest that keeps its accuracy.")
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.get_by_text(f"Approved: {BASE}: int8, by Dora Decides.")).to_be_visible(timeout=SETTLED)
    exported(page)
    newer.let_it_come(growing)
    expect(page.get_by_text("Flagged for reopening.")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_text(f"Newer results dominate it: {BASE}: better")).to_be_visible()
    page.get_by_role("button", name="← All reviews").click()
    expect(page.get_by_text("approved, flagged for reopening")).to_be_visible(timeout=SETTLED)
    assert page.locator("img[src=x]").count() == 0
    events = list_reviews(open_folder(growing))[0].events
    assert [event.kind for event in events] == ["opened", "comment", "approve"]
    assert {(event.person.how, event.person.name) for event in events} == {("local", "Dora Decides")}
    assert events[2].read_to == 2
    assert isinstance(events[2], Decision)
    assert events[2].met == ("size <= 600 MB",)


def exported(page: Page) -> None:
    """The files hold the decision, the hash of the data and nothing that runs."""
    settle(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="HTML").click()
    html = Path(waiting.value.path()).read_text(encoding="utf-8")
    assert "Smallest that keeps its accuracy." in html
    assert "SHA-256 of the data" in html
    assert "<script" not in html
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Markdown").click()
    assert "local, identity not verified" in Path(waiting.value.path()).read_text(encoding="utf-8")


def test_without_a_way_to_sign_the_page_only_shows(page: Page, site: str) -> None:
    page.goto(f"{site}/review")
    expect(page.get_by_text("Nobody can write here.")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_role("button", name="Open the review")).to_be_disabled()
    limit = page.get_by_label("Constraints", exact=True)
    limit.fill("size <= 100 MB")
    limit.press("Enter")
    expect(page.get_by_text("Nearest is 'size <= 100 MB': loosened to 390.0 MB")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_on_a_phone_nothing_runs_over_the_edge(page: Page, growing: Path, servers: ExitStack) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    url = servers.enter_context(serving(newer.store_before(growing), "--sign-locally"))
    state_question(page, url)
    expect(page.get_by_text("With these weights").first).to_be_visible(timeout=SETTLED)
    narrow(page)
