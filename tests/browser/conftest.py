"""A browser, a served sample store, and a page that is watched for foreign requests and errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.screenshots import rest
from tests.browser.served import ARGUMENTS, SETTLED, chromium, serving
from tests.leaderboard.sample import make_store

expect.set_options(timeout=SETTLED)  # a state is waited for; how fast the machine is just now is no finding
PROBES = ("/_stcore/health", "/_stcore/host-config")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        if os.environ.get("CI") == "true" or os.environ.get("PAREDOWN_REQUIRE_BROWSER") == "1":
            pytest.fail("chromium is not installed: apt-get install chromium, or name one in PAREDOWN_CHROMIUM")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    del browser  # no server is started where there is no browser
    with serving(make_store(tmp_path_factory.mktemp("served") / "store")) as url:
        yield url


class Watched:
    """What a page asked for and complained about."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda r: self.hosts.add(urlsplit(r.url).hostname or urlsplit(r.url).scheme))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)
        page.on("dialog", lambda d: self.complaints.append(f"dialog: {d.message}"))

    def _hear(self, message: ConsoleMessage) -> None:
        # Streamlit looks for itself below the address of a page before it looks at the root: that is its only 404.
        if message.type == "error" and not message.location["url"].endswith(PROBES):
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def check(self) -> None:
        """No request left this machine, and the console is without errors."""
        assert self.hosts <= {"127.0.0.1", "blob", "data"}
        assert not self.complaints


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all tests: its cache holds Streamlit's scripts, which take longer to load than any test."""
    found = browser.new_context(viewport={"width": 1440, "height": 1000})
    found.set_default_timeout(SETTLED)
    yield found
    found.close()


@pytest.fixture
def servers(browser: Browser) -> Iterator[ExitStack]:
    """A test's own servers: they end after its page, which asks for news each second and else complains of silence."""
    del browser
    with ExitStack() as found:
        yield found


@pytest.fixture
def page(context: BrowserContext, servers: ExitStack) -> Iterator[Page]:
    del servers  # asked for, so that it outlives the page
    found = context.new_page()
    watched = Watched(found)
    yield found
    if found.locator("[data-testid=stApp]").count():
        rest(found)
    found.close()
    watched.check()


@pytest.fixture
def growing(browser: Browser, tmp_path: Path) -> Path:
    """Where a test writes a store that grows while it is looked at."""
    del browser
    return tmp_path / "growing"
