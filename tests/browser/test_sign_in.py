"""Signing in at a real identity provider, and everything that must not sign anybody in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.store.folder import open_folder
from bench.store.reviews import list_reviews
from tests.browser.provider import CLIENT, FAULTS, PEOPLE, SECRET
from tests.browser.screenshots import rest
from tests.browser.served import SETTLED, end, free_port, serving, wait_for
from tests.leaderboard.sample import make_store

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
FILE = """
[auth]
redirect_uri = "{url}/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef0123456789abcdef"
client_id = "{client}"
client_secret = "{secret}"
server_metadata_url = "{issuer}/.well-known/openid-configuration"
"""


class Site(NamedTuple):
    url: str
    issuer: str
    store: Path

    def fault(self, name: str) -> None:
        """Have the provider hand out tokens that nobody may accept; or none such, for an empty name."""
        with urlopen(Request(f"{self.issuer}/fault", data=name.encode(), method="POST"), timeout=60) as answer:
            assert answer.status == 200


@pytest.fixture(scope="module")
def signed(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page and a provider, each a process of its own."""
    del browser  # nothing is started where there is no browser
    folder = tmp_path_factory.mktemp("signed")
    ports = free_port(), free_port()
    url, issuer = (f"http://127.0.0.1:{port}" for port in ports)
    told = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.browser.provider", str(ports[1])],
        cwd=ROOT,
        env=told,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"{issuer}/keys", process)
        file = folder / "provider.toml"
        file.write_text(FILE.format(url=url, client=CLIENT, secret=SECRET, issuer=issuer))
        with serving(make_store(folder / "store"), "--auth", str(file), port=ports[0]):
            yield Site(url, issuer, folder / "store")
    finally:
        end(process)


def to_provider(page: Page, site: Site, question: str = "") -> None:
    page.goto(f"{site.url}/review{question}")
    expect(page.get_by_text("Only signed-in people can write.")).to_be_visible(timeout=SETTLED)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Who are you?")).to_be_visible(timeout=SETTLED)


def test_a_person_signs_in_and_the_event_names_them(page: Page, signed: Site) -> None:
    signed.fault("")
    to_provider(page, signed, "?where=size+<=+600+MB")
    page.get_by_role("link", name="anna").click()
    # Back at the question that was left for the provider.
    expect(page).to_have_url(re.compile(r"/review\?(.*&)?where=size"), timeout=SETTLED)
    expect(page.get_by_label("Constraints", exact=True)).to_have_value("size <= 600 MB", timeout=SETTLED)
    name = PEOPLE["anna"]["name"]
    who = f"{name}, anna@example.invalid (subject 8f3a-anna at {signed.issuer})"
    expect(page.get_by_text(f"Signed in as {who}")).to_be_visible(timeout=SETTLED)
    page.get_by_label("Open a review of this question", exact=True).fill("A phone")
    page.get_by_role("button", name="Open the review").click()
    expect(page.get_by_role("heading", name="A phone")).to_be_visible(timeout=SETTLED)
    page.get_by_label("Reason", exact=True).fill("Good enough.")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text(f"by {name}.")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_role("cell", name=who).first).to_be_visible()
    events = list_reviews(open_folder(signed.store))[0].events
    assert [event.kind for event in events] == ["opened", "approve"]
    for event in events:
        person = event.person
        assert (person.how, person.subject, person.issuer) == ("oidc", "8f3a-anna", signed.issuer)
        assert (person.name, person.email) == (name, "anna@example.invalid")
    page.get_by_role("button", name="Sign out").click()
    # Signing out leads to the leaderboard, which adds to the address whose it is.
    expect(page).to_have_url(re.compile(rf"{re.escape(signed.url)}/(\?.*)?$"), timeout=SETTLED)
    page.get_by_role("link", name="Review").click(timeout=SETTLED)
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=SETTLED)


def test_tokens_that_nobody_may_accept_sign_nobody_in(page: Page, signed: Site) -> None:
    """Wrong nonce, issuer or key, expired, unsigned: no cookie of a signed-in person, and nothing is written."""
    page.context.clear_cookies()
    with page.expect_request(re.compile("/auth/login")) as asked:
        to_provider(page, signed)
    before = len(list_reviews(open_folder(signed.store)))
    try:
        for fault in FAULTS:
            signed.fault(fault)
            if fault != FAULTS[0]:
                page.goto(asked.value.url)
            with page.expect_response(re.compile("/oauth2callback")) as answer:
                page.get_by_role("link", name="ben").click()
            assert answer.value.status == 302, fault
            assert answer.value.headers["location"] == "/", fault
            rest(page)  # back at the board, which is left again
            assert "_streamlit_user" not in cookies(page), fault
        page.goto(f"{signed.url}/review")
        page.get_by_label("Open a review of this question", exact=True).fill("Not mine to open")
        page.get_by_role("button", name="Open the review").click()
        expect(page.get_by_text("Sign in first: only a signed-in person").first).to_be_visible(timeout=SETTLED)
        signed.fault("")
        page.goto(asked.value.url)
        page.get_by_role("link", name="ben").click()
        expect(page.get_by_role("link", name="Review")).to_be_visible(timeout=SETTLED)
        assert "_streamlit_user" in cookies(page)  # so that the absence above means something
    finally:
        signed.fault("")
        page.context.clear_cookies()
    assert len(list_reviews(open_folder(signed.store))) == before


def test_a_token_for_another_program_signs_nothing(page: Page, signed: Site) -> None:
    """The library that signs in accepts it, for its authorised party is right; what writes does not."""
    signed.fault("audience")
    before = len(list_reviews(open_folder(signed.store)))
    try:
        to_provider(page, signed)
        page.get_by_role("link", name="ben").click()
        expect(page.get_by_role("link", name="Review")).to_be_visible(timeout=SETTLED)
        assert "_streamlit_user" in cookies(page)
        page.get_by_role("link", name="Review").click()
        page.get_by_label("Open a review of this question", exact=True).fill("Not mine to open")
        page.get_by_role("button", name="Open the review").click()
        expect(page.get_by_text("made for another program").first).to_be_visible(timeout=SETTLED)
    finally:
        signed.fault("")
        page.context.clear_cookies()
    assert len(list_reviews(open_folder(signed.store))) == before


def cookies(page: Page) -> set[str]:
    return {str(cookie["name"]) for cookie in page.context.cookies()}
