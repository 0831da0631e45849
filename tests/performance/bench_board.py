"""How long does the page take over a store of 100,000 variants and 10 million outcomes, in a real browser?

`python -m tests.performance.bench_board [FOLDER]` makes the store in a temporary folder, or takes the one that
`tests.performance.board_store` has written to FOLDER; serves it as `paredown board` does, looks at it with Chromium,
and prints a Markdown page. Times are of the whole way: from the moment of asking until what was asked for stands on the
page. Memory is the server's own process, looked at five times a second.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from playwright.async_api import async_playwright
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.store.reader import open_snapshot
from leaderboard.controls import PAUSE
from tests.browser.served import ARGUMENTS, chromium
from tests.performance.bench_int8_linear import cpu_name
from tests.performance.board_served import EMPTY, Server, served, served_empty
from tests.performance.board_store import make_store
from tests.performance.board_variants import DOCUMENTS

REPEATS = 7
SESSIONS = 20
ROWS = "tbody tr[data-variant]"
AMONG = "Frontier recomputed among"
# The table is a component with a document of its own.
INSIDE = """
const all = css => [document, ...[...document.querySelectorAll("*")].map(e => e.shadowRoot).filter(Boolean)]
  .flatMap(root => [...root.querySelectorAll(css)]);"""
LISTED = f"""words => {{ {INSIDE}
  const rows = all("tbody tr[data-variant]:not(.base)");
  return rows.length > 0 && rows.every(row => words.every(word => row.innerText.toLowerCase().includes(word)));
}}"""
JUDGED = f"""() => {{ {INSIDE}
  return all(".pd").some(e => e.innerText.includes("Frontier recomputed among"))
    && !all("td.verdict").some(e => e.innerText.includes("being judged"));
}}"""
STANDS = f"""([css, words]) => {{ {INSIDE}
  return all(css).some(e => e.getClientRects().length > 0 && e.textContent.includes(words));
}}"""
PLOT = ".js-plotly-plot .scatterlayer, .js-plotly-plot .gl-canvas"
PATIENCE = 300_000.0  # milliseconds
WORDS = (
    "int4",
    "int8",
    "bfloat16",
    "0.0005",
    "3e-05",
    "1e-05",
    "phi",
    "qwen",
    "mistral int8",
    "phi int4",
    "llama 0.0002",
)


class Watch:
    """Takes times: on the wall, and of the processors, which a machine that others use too does not lengthen."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.begin()

    def begin(self) -> None:
        self._worked = self._processors()
        self._at = time.perf_counter()

    def lap(self) -> Lap:
        """Since the last beginning."""
        seconds = time.perf_counter() - self._at  # before processes are looked through, which takes its time
        return Lap(seconds, *(now - then for now, then in zip(self._processors(), self._worked, strict=True)))

    def _processors(self) -> tuple[float, float]:
        mine = self.server.process.cpu_times()
        browser = 0.0
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "chrom" in process.name():
                    browser += sum(process.cpu_times()[:2])
        return mine.user + mine.system, browser


class Lap(NamedTuple):
    """Seconds of one action: on the wall, of the server's processors, of the browser's."""

    wall: float
    server: float
    browser: float


def first_view(browser: Browser, watch: Watch, path: str = "", css: str = ROWS, words: str = "") -> Lap:
    """A visitor whom the server and the browser have never seen, until the first row stands there."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    watch.begin()
    page.goto(f"{watch.server.url}/{path}", wait_until="commit")
    _await(page, css, words)
    lap = watch.lap()
    _check(page)
    context.close()
    return lap


def repeated(browser: Browser, watch: Watch) -> list[Lap]:
    """Words, each typed at once, until a page that does nothing else repeats them."""
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.goto(watch.server.url)
    box = page.get_by_role("searchbox", name="Search")
    found = []
    for word in WORDS:
        page.wait_for_timeout(500)
        watch.begin()
        box.fill(word)
        _await(page, "p, pre, div", f"typed {word}")
        found.append(watch.lap())
    page.context.close()
    return found


def searches(page: Page, watch: Watch) -> tuple[list[Lap], list[Lap]]:
    """Words, each typed at once: until every listed row has them, and until the verdicts among them are there."""
    rows, verdicts = [], []
    box = page.get_by_role("searchbox", name="Search")
    for word in WORDS:
        watch.begin()
        box.fill(word)
        page.wait_for_function(LISTED, arg=word.split(), timeout=PATIENCE, polling="raf")
        rows.append(watch.lap())
        page.wait_for_function(JUDGED, timeout=PATIENCE, polling="raf")
        verdicts.append(watch.lap())
        page.wait_for_timeout(500)
    box.fill("")
    page.get_by_text(AMONG).wait_for(state="detached", timeout=PATIENCE)
    page.wait_for_timeout(1000)
    return rows, verdicts


def sorts(page: Page, watch: Watch) -> list[Lap]:
    """A click on a heading, until the rows stand in that order."""
    found = []
    for name in ("perplexity", "size on disk", "parameters", "peak host memory"):
        heading = page.locator("th", has=page.locator("button.sort", has_text=name)).first
        watch.begin()
        heading.locator("button.sort").click()
        expect(heading).to_have_attribute("aria-sort", "ascending", timeout=PATIENCE)
        found.append(watch.lap())
        page.wait_for_timeout(500)
    return found


def variants(page: Page, watch: Watch) -> list[Lap]:
    """A click on a row nobody has opened yet, until the variant's objectives stand there."""
    found = []
    for number in range(REPEATS):
        page.goto(f"{watch.server.url}/?page={number + 2}")
        row = page.locator(f"{ROWS} button.open").nth(7)
        row.wait_for(timeout=PATIENCE)
        page.wait_for_timeout(500)
        watch.begin()
        row.click()
        _await(page, "h2, h3, h4", "Objectives")
        found.append(watch.lap())
        _check(page)
    return found


def others(browser: Browser, watch: Watch, two: str) -> Iterator[str]:
    """The other pages, each to new visitors until its last part stands there."""
    for what, path, css, words in (
        ("Sweeps", "sweeps", "h2", "What more measuring would decide"),
        ("Review", "review", "p, div, span", "the base among them"),
        ("Compare of two variants", f"compare?variants={two}", "h3", "Disagreements"),
    ):
        yield line(f"{what}, a new visitor", [first_view(browser, watch, path, css, words) for _ in range(3)])


def two_of(store: Path) -> str:
    """Two variants of one base of the newest sweep, as an address has them."""
    with open_snapshot(store) as snapshot:
        rows = snapshot.rows(
            "select recipe_id from variants where sweep_id = ? and not is_base order by base, position limit 2",
            [snapshot.sweeps()[0]["sweep_id"]],
        )
    return ",".join(str(row["recipe_id"])[:16] for row in rows)


def _await(page: Page, css: str, words: str) -> None:
    """Asked before every frame: a locator's own waiting looks but twice a second once a quarter of one has passed."""
    page.wait_for_function(STANDS, arg=[css, words], timeout=PATIENCE, polling="raf")


def _check(page: Page) -> None:
    for sentence in ("could not be drawn", "cannot be read (", "cannot be read:"):
        assert not page.get_by_text(sentence).count(), sentence


async def at_once(path: str, url: str) -> tuple[list[float], list[str]]:
    """Twenty visitors who come together: the board, a search, a variant. Returns seconds each, and what went wrong."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)

        async def visit(number: int) -> tuple[float, list[str]]:
            context = await browser.new_context(viewport={"width": 1440, "height": 1000})
            page = await context.new_page()
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            begin = time.perf_counter()
            try:
                await page.goto(url, wait_until="commit")
                await page.locator(ROWS).first.wait_for(timeout=PATIENCE)
                await page.get_by_role("searchbox", name="Search").fill(WORDS[number % 6], timeout=PATIENCE)
                await page.get_by_text(AMONG).wait_for(timeout=PATIENCE)
                await page.locator(f"{ROWS} button.open").nth(number % 8).click(timeout=PATIENCE)
                await page.get_by_role("heading", name="Objectives").wait_for(timeout=PATIENCE)
                seconds = time.perf_counter() - begin
                for sentence in ("could not be drawn", "cannot be read (", "cannot be read:"):
                    wrong += [sentence] * await page.get_by_text(sentence).count()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                return time.perf_counter() - begin, [*wrong, str(error).splitlines()[0]]
            await context.close()
            return seconds, wrong

        found = await asyncio.gather(*(visit(number) for number in range(SESSIONS)))
        await browser.close()
    return [seconds for seconds, _ in found], [sentence for _, wrong in found for sentence in wrong]


def line(what: str, laps: Sequence[Lap], aim: float | None = None) -> str:
    """A row of the table."""
    wall = [lap.wall for lap in laps]
    spread = f" ({min(wall):.2f} to {max(wall):.2f}, n = {len(wall)})" if len(wall) > 1 else ""
    asked = "–" if aim is None else f"under {aim}: {_met(median(wall) < aim)}"
    worked = [f"{median([lap[part] for lap in laps]):.2f}" for part in (1, 2)]
    return f"| {what} | {median(wall):.2f}{spread} | {worked[0]} | {worked[1]} | {asked} |"


def _memory(what: str, peak: int) -> str:
    return f"| {what} | {peak / 1e6:.0f} MB | | | under 1000 MB: {_met(peak < 1e9)} |"


def _met(met: bool) -> str:
    return "met" if met else "**missed**"


def measure(store: Path, path: str) -> Iterator[str]:
    """The rows of the table."""
    for left in (store / "published").glob(".board-*"):
        left.unlink()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        with served_empty() as server:
            watch = Watch(server)
            views = [first_view(browser, watch, css="p, pre, div", words=EMPTY) for _ in range(REPEATS + 1)]
            yield line("for comparison: first view of a Streamlit page that repeats a word", views[1:])
            yield line(
                f"… and a word typed there, until it is repeated, {PAUSE} of it a pause", repeated(browser, watch)
            )
        with served(store) as server:
            yield line(
                "very first view of a snapshot: its index is written, once", [first_view(browser, Watch(server))]
            )
        os.sync()  # else the disk goes on writing the index while the next lines are measured
        with served(store) as server:
            watch = Watch(server)
            yield line("first view of a server that has just started", [first_view(browser, watch)])
            views = [first_view(browser, watch) for _ in range(REPEATS)]
            yield line("first view, a new visitor with an empty browser cache", views, 1.5)
            page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
            page.goto(server.url)
            page.locator(ROWS).first.wait_for(timeout=PATIENCE)
            page.wait_for_timeout(1000)
            rows, verdicts = searches(page, watch)
            yield line(f"changed filter: the rows with a new word, {PAUSE} of it a pause in typing", rows, 0.3)
            yield line("… and the verdicts among them, worked out anew, with progress", verdicts)
            rows, verdicts = searches(page, watch)
            yield line("a filter that someone has asked for before: rows, with the same pause", rows, 0.3)
            yield line("… and verdicts", verdicts, 0.3)
            yield line("another order of the rows", sorts(page, watch), 0.3)
            yield line("variant page, by a click on its row", variants(page, watch), 0.5)
            plots = [first_view(browser, watch, "pareto", PLOT) for _ in range(3)]
            yield line("Pareto plot, a new visitor", plots)
            yield from others(browser, watch, two_of(store))
            yield _memory("server memory after one visitor at a time, at most", server.peak)
        browser.close()
    with served(store) as server:
        seconds, wrong = asyncio.run(at_once(path, server.url))
        said = f"{SESSIONS} visitors at once, each: board, search, variant"
        yield f"| {said} | {median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | | | – |"
        yield f"| errors among them | {len(wrong)} | | | none: {_met(not wrong)} |"
        yield _memory("server memory with them, at most", server.peak)
    yield from (f"\n{sentence}" for sentence in wrong[:5])


def describe(store: Path) -> str:
    """What was looked at, and on what."""
    with open_snapshot(store) as snapshot:
        (told,) = snapshot.rows(
            "select (select count(*) from variants) as variants, (select count(*) from verdicts where verdict in "
            "('certain', 'contested')) as near, (select count(*) from records where kind = 'evaluate') as evaluations"
        )
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    memory = psutil.virtual_memory().total / 2**30
    size = sum(p.stat().st_size for p in store.rglob("*") if p.is_file() and not p.name.startswith(".")) / 1e6
    return (
        f"`python -m tests.performance.bench_board`, {datetime.now(UTC):%Y-%m-%d}, commit {git.stdout.strip()}; "
        f"{cpu_name()}, {os.cpu_count()} CPUs, {memory:.0f} GiB; Python {platform.python_version()}, streamlit "
        f"{version('streamlit')}, duckdb {version('duckdb')}; load average before {os.getloadavg()[0]:.1f}.\n\n"
        f"{told['variants']:,} variants in three sweeps, {told['evaluations'] * DOCUMENTS:,} per-example outcomes, "
        f"{size:,.0f} MB on disk; {told['near']:,} variants are certain or contested. The browser runs on the same "
        "machine. Seconds are on the wall, median and range; processor seconds, medians, say what a machine that "
        "others use too does not lengthen."
    )


HEAD = "| what | seconds | of the server's processors | of the browser's | aim |\n|---|---|---|---|---|\n"


def main() -> None:
    """Print the page."""
    path = chromium()
    assert path is not None, "chromium is not installed: apt-get install chromium, or name one in PAREDOWN_CHROMIUM"
    with tempfile.TemporaryDirectory() as folder:
        store = Path(sys.argv[1]) if len(sys.argv) > 1 else make_store(Path(folder) / "store")
        sys.stdout.write(f"# The page over 100,000 variants\n\n{describe(store)}\n\n{HEAD}")
        for told in measure(store, path):
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
