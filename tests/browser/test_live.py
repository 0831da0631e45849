"""How a page that stands asks for news."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.served import SETTLED, free_port, running
from tests.browser.test_board import row
from tests.leaderboard.sample import BASE, make_store

pytestmark = pytest.mark.browser
# What a page draws reaches its visitor late, as where there are twenty; what is asked reaches the server at once.
LATE = """
import os, sys
from collections import deque
from pathlib import Path
from streamlit.runtime.app_session import AppSession
from streamlit.web.cli import main
from leaderboard import PAGE
from leaderboard.serve import command, environment

def later(session, callback):
    drawn = session.__dict__.setdefault("drawn", deque())
    drawn.append(callback)
    loop = session._event_loop
    loop.call_soon_threadsafe(loop.call_later, 2.5, lambda: drawn.popleft()())

AppSession._call_soon_on_event_loop = later
os.environ.update(environment(Path(sys.argv[1])))
os.chdir(PAGE.parent)
sys.argv = command(int(sys.argv[2]))[3:]
main()
"""


class Wire:
    """The connection between page and server, which can keep back what the server says."""

    def __init__(self, page: Page) -> None:
        self.asked = 0
        self.beats = 0  # of what was asked
        self.closed = False
        self.closes = False  # as soon as the page knows that what it asked is being worked out
        self.merges = False  # send what is asked as if it were asked with the last beat
        self._beat = ""
        self._kept: list[str | bytes] = []
        page.route_web_socket(re.compile("/_stcore/stream"), self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        self._route, self._server = route, route.connect_to_server()
        route.on_message(self._up)
        self._server.on_message(self._down)

    def _up(self, message: str | bytes) -> None:
        self.asked += 1
        asked = BackMsg.FromString(message) if isinstance(message, bytes) else BackMsg()
        if asked.rerun_script.fragment_id:
            self._beat = asked.rerun_script.fragment_id
            self.beats += 1
        elif self.merges:
            asked.rerun_script.fragment_id = self._beat
            message = asked.SerializeToString()
        self._server.send(message)

    def _down(self, message: str | bytes) -> None:
        if self.closed:
            self._kept.append(message)
        else:
            self._route.send(message)
            told = ForwardMsg.FromString(message) if isinstance(message, bytes) else ForwardMsg()
            self.closed = self.closes and told.session_status_changed.script_is_running

    def open(self) -> None:
        self.closed = self.closes = False
        for message in self._kept:
            self._route.send(message)


def beats(page: Page, wire: Wire, more: int = 2) -> None:
    """Wait until the page has asked for news so often: once a second, on a machine that has time."""
    before, waited = wire.beats, 0
    while wire.beats < before + more:
        assert waited < SETTLED, "the page asks for no news"
        page.wait_for_timeout(100)
        waited += 100


def test_nothing_is_asked_of_a_page_that_is_being_left(page: Page, site: str) -> None:
    """The server would answer for the page before with an empty one, or not go to the next at all."""
    wire = Wire(page)
    page.goto(site)
    expect(row(page, f"{BASE}: int8")).to_be_visible(timeout=SETTLED)
    beats(page, wire)
    wire.closed = True
    clicks = wire.asked - wire.beats
    row(page, f"{BASE}: int8").locator("button.open").click()
    for _ in range(80):  # until the click is asked, and whatever was asked before it
        page.wait_for_timeout(100)
        if wire.asked - wire.beats > clicks:
            break
    before = wire.asked
    page.wait_for_timeout(3500)
    assert wire.asked == before
    wire.open()
    expect(page.get_by_role("heading", name="Objectives")).to_be_visible(timeout=SETTLED)
    beats(page, wire)


def test_what_is_asked_along_with_a_beat_is_answered(page: Page, site: str) -> None:
    """As a browser does that has no time to send the one before the other."""
    wire = Wire(page)
    page.goto(site)
    expect(page.locator("tbody tr")).to_have_count(11, timeout=SETTLED)
    beats(page, wire, 1)
    wire.merges = True
    page.get_by_role("searchbox", name="Search").fill("decoder")
    expect(page.locator("tbody tr")).to_have_count(5)


def test_nothing_is_asked_of_a_page_that_is_being_left_however_long_that_takes(page: Page, site: str) -> None:
    """With twenty visitors a click is answered after half a minute."""
    wire = Wire(page)
    page.clock.install()
    page.goto(site)
    expect(row(page, f"{BASE}: int8")).to_be_visible(timeout=SETTLED)
    beats(page, wire)
    page.wait_for_timeout(500)
    wire.closes = True
    row(page, f"{BASE}: int8").locator("button.open").click()
    expect(page.locator("[data-test-script-state=running]")).to_be_attached()
    assert wire.closed
    before = wire.beats
    page.clock.fast_forward(60_000)
    page.wait_for_timeout(3500)
    assert wire.beats == before
    wire.open()
    expect(page.get_by_role("heading", name="Objectives")).to_be_visible(timeout=SETTLED)
    beats(page, wire)


def test_a_beat_takes_nothing_away_that_is_still_on_its_way(page: Page, growing: Path, servers: ExitStack) -> None:
    """For a beat Streamlit forgets what a run before it has drawn and not yet handed over."""
    port = free_port()
    servers.enter_context(running([sys.executable, "-c", LATE, str(make_store(growing)), str(port)], port))
    wire = Wire(page)
    page.goto(f"http://127.0.0.1:{port}")
    expect(page.locator("tbody tr")).to_have_count(11)
    for word, rows in (("decoder", 5), ("int8", 3)):
        beats(page, wire)
        page.get_by_role("searchbox", name="Search").fill(word)
        expect(page.locator("tbody tr")).to_have_count(rows, timeout=20_000)
