"""Pictures of every page at two widths, light and dark: `python -m tests.browser.screenshots --store S --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from bench.store.reader import open_snapshot
from tests.browser.served import ARGUMENTS, SETTLED, chromium, serving

PAGES = {
    "table": "/",
    "plot": "/pareto",
    "sweeps": "/sweeps",
    "review": "/review",
    "claims": "/claims",
    "meaning": "/meaning",
}
TABS = ("Overview", "Lineage and layers", "Examples", "Why this number", "Attempts")
SIZES = {1440: 1000, 390: 844}


def rest(page: Page) -> None:
    """Wait until nothing runs: a page that is left in the middle of a run complains of the connection."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=SETTLED)


def settle(page: Page) -> None:
    """Wait until the page has drawn what it was asked for."""
    rest(page)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_timeout(700)  # fonts and the plot's own animation


def of_variants(store: Path) -> dict[str, str]:
    """The page of the last variant of the newest sweep, every part of it, and the first three beside each other."""
    with open_snapshot(store) as snapshot:
        sweep_id = snapshot.sweeps()[0]["sweep_id"]
        rows = snapshot.rows("select recipe_id from variants where sweep_id = ? order by position", [sweep_id])
    ids = [str(row["recipe_id"])[:16] for row in rows]
    found = {
        f"variant-{tab.partition(' ')[0].lower()}": f"/variant?{urlencode({'variant': ids[-1], 'tab': tab})}"
        for tab in TABS
    }
    return {**found, "compare": f"/compare?{urlencode({'variants': ','.join(ids[:3])})}"}


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--query", default="", help="added to every address, as 'q=int8&variant=0123'")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    pages = {**PAGES, **of_variants(chosen.store)}
    with serving(chosen.store) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for scheme in ("light", "dark"):
            for width, height in SIZES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme="light" if scheme == "light" else "dark"
                )
                page = context.new_page()
                for name, path in pages.items():
                    page.goto(f"{url}{path}{'&' if '?' in path else '?'}{chosen.query}")
                    settle(page)
                    page.screenshot(path=chosen.out / f"{name}-{width}-{scheme}.png")
                context.close()
        browser.close()


if __name__ == "__main__":
    main()
