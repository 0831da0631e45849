"""Whether every word of every page can be read, in light and dark."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Page

from tests.browser.contrast import faint
from tests.browser.screenshots import settle
from tests.browser.served import SETTLED
from tests.leaderboard.sample import VARIANTS

pytestmark = pytest.mark.browser
INT8, SMALL = (variant.recipe_id[:16] for variant in VARIANTS[1:3])
PATHS = (
    "/?verdict=certain",
    f"/pareto?variant={INT8}&where=size+<=+1+GB&x=size+on+disk+(lower+is+better)&z=parameters+(lower+is+better)",
    f"/variant?variant={INT8}",
    f"/variant?variant={INT8}&tab=Examples",
    f"/compare?variants={INT8},{SMALL}",
    "/sweeps",
    "/review?where=size+<=+1+GB",
    "/claims",
    "/meaning",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_no_word_is_too_faint(page: Page, site: str, path: str, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site}{path}")
    page.locator("tbody tr, .scatterlayer .point, .box, dd").filter(visible=True).first.wait_for(timeout=SETTLED)
    settle(page)
    assert faint(page) == []


def test_what_is_faint_is_found(page: Page) -> None:
    page.set_content(
        "<body style='background: #fff; color: #111'>read me<p style='color: #999'>grey</p><div style='opacity: 0.4'>"
        "half <b>gone</b></div><h1 style='color: #888'>large</h1><p hidden style='color: #eee'>nobody sees</p>"
        "<button disabled style='color: #bbb'>off</button><div style='background: #333'><i>dark on dark</i></div>"
    )
    assert [line.partition(": ")[2] for line in faint(page)] == ["grey", "half", "gone", "dark on dark"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("path", "button"), [("/", "Columns"), ("/", "Download"), ("/pareto", "Drawing")])
def test_no_word_of_what_a_button_opens_is_too_faint(
    page: Page, site: str, path: str, button: str, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site}{path}")
    page.get_by_role("button", name=button, exact=True).click(timeout=SETTLED)
    page.locator("[data-testid=stPopoverBody]").wait_for()
    settle(page)
    assert faint(page) == []
