"""The page in a real browser. Every test also checks that no request left the machine and the console stayed clean."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from bench.store.journal import Entry
from tests.browser.screenshots import rest, settle
from tests.browser.served import SETTLED, serving
from tests.leaderboard import sample
from tests.leaderboard.sample import BASE, HTML, MARKDOWN, SQL, VARIANTS

pytestmark = pytest.mark.browser
PAGE_OF_ONE = f"/variant?variant={VARIANTS[3].recipe_id[:16]}&tab=Examples"


def row(page: Page, name: str) -> Locator:
    """The table row of a variant."""
    return page.locator(f'tr[data-variant="{next(v.recipe_id for v in VARIANTS if v.name == name)}"]')


def open_plot(page: Page, site: str, query: str = "") -> Locator:
    page.goto(f"{site}/pareto?{query}")
    points = page.locator(".scatterlayer .point")
    expect(points.first).to_be_visible(timeout=SETTLED)
    settle(page)
    return points


def place(page: Page, seen: Locator) -> FloatRect:
    """Where the leftmost of what is seen stands, once it stays there."""
    before: FloatRect | None = None
    for _ in range(100):
        now = min((box for each in seen.all() if (box := each.bounding_box())), key=lambda box: box["x"], default=None)
        if now is not None and now == before:
            return now
        before = now
        page.wait_for_timeout(200)
    raise AssertionError("the page does not come to rest")


def click_leftmost(page: Page) -> None:
    """The base is the point further to the right."""
    left = place(page, page.locator(".scatterlayer .point"))
    page.mouse.click(left["x"] + left["width"] / 2, left["y"] + left["height"] / 2)


def narrow(page: Page) -> None:
    """Nothing is wider than a phone once the page is drawn."""
    settle(page)
    page.wait_for_function("document.documentElement.scrollWidth <= 390")


def test_the_table_shows_every_variant_with_its_verdict(page: Page, site: str) -> None:
    page.goto(site)
    expect(page.locator("tbody tr")).to_have_count(11, timeout=SETTLED)
    expect(page.locator("tbody tr").first).to_contain_text("the base model itself")
    expect(row(page, f"{BASE}: int8")).to_contain_text("● certain")
    expect(row(page, f"{BASE}: int8")).to_contain_text("82.5 to 86.2%")
    expect(row(page, f"{BASE}: bf16")).to_contain_text("unstable: leases disagree")
    expect(row(page, f"{BASE}: decoder 12 to 0")).to_contain_text("failed: build: bad spec")
    expect(row(page, f"{BASE}: distilled")).to_contain_text("not built yet")


def test_names_are_text_whatever_they_say(page: Page, site: str) -> None:
    page.goto(site)
    expect(page.locator("tbody tr")).to_have_count(11, timeout=SETTLED)
    for name in (HTML, MARKDOWN, SQL):
        expect(row(page, name).locator("button.open")).to_have_text(name.removeprefix(f"{BASE}: "))
    expect(page.locator("h1").first).to_have_text(sample.SWEEP)
    assert page.locator("img[src=x]").count() == 0
    rest(page)
    points = open_plot(page, site)
    expect(points.first).to_be_visible()
    assert page.locator("img[src=x], .js-plotly-plot a, script:has-text('alert')").count() == 0


def test_a_filter_recomputes_the_frontier_and_goes_into_the_address(page: Page, site: str) -> None:
    page.goto(site)
    expect(page.locator("tbody tr")).to_have_count(11, timeout=SETTLED)
    page.get_by_role("searchbox", name="Search").fill("decoder")
    expect(page.locator("tbody tr")).to_have_count(5)
    expect(page.get_by_text("Frontier recomputed among 4 shown and the base")).to_be_visible()
    expect(row(page, f"{BASE}: decoder 12 to 1")).to_contain_text("● certain")
    expect(page).to_have_url(re.compile(r"q=decoder"))
    rest(page)
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(5, timeout=SETTLED)
    page.get_by_role("link", name="Pareto plot").click()
    expect(page.locator(".scatterlayer .point").first).to_be_visible(timeout=SETTLED)
    expect(page.get_by_role("searchbox", name="Search")).to_have_value("decoder")
    page.get_by_role("link", name="How to read it").click()
    expect(page.get_by_text("A share, not a probability")).to_be_visible()
    page.get_by_role("link", name="Leaderboard").click()
    expect(page.locator("tbody tr[data-variant]")).to_have_count(5)


def test_a_heading_sorts_and_the_base_stays(page: Page, site: str) -> None:
    page.goto(site)
    expect(page.locator("tbody tr")).to_have_count(11, timeout=SETTLED)
    page.get_by_role("button", name=re.compile("^size on disk")).click()
    expect(page.locator("tbody tr").nth(1)).to_contain_text("drop table")
    expect(page.locator("tbody tr").first).to_contain_text("the base model itself")
    page.get_by_role("button", name=re.compile("^size on disk")).click()
    expect(page.locator("tbody tr").nth(1)).to_contain_text("1.42 GB")
    expect(page).to_have_url(re.compile(r"sort=-size"))


def test_a_row_opens_its_page_and_back_leads_back(page: Page, site: str) -> None:
    page.goto(f"{site}/?q=drop")
    row(page, SQL).locator("button.open").click(timeout=SETTLED)
    expect(page.get_by_role("heading", name=SQL)).to_be_visible(timeout=SETTLED)
    expect(page).to_have_url(re.compile(r"/variant\?variant=[0-9a-f]{16}"))
    page.get_by_role("tab", name="Attempts").click()
    expect(page.get_by_text("attempts at jobs that concern this variant")).to_be_visible()
    expect(page).to_have_url(re.compile("tab=Attempts"))
    rest(page)
    page.reload()
    expect(page.get_by_text("attempts at jobs that concern this variant")).to_be_visible(timeout=SETTLED)
    page.get_by_role("link", name="← Leaderboard").click()
    expect(row(page, SQL)).to_be_visible(timeout=SETTLED)


def test_a_command_is_selected_by_a_click_and_needs_no_highlighter(page: Page, site: str) -> None:
    page.goto(f"{site}/variant?variant={VARIANTS[3].recipe_id[:16]}")
    command = page.locator("pre.command").first
    command.click(timeout=SETTLED)
    assert page.evaluate("String(getSelection())").strip() == command.inner_text().strip()
    loaded = "performance.getEntriesByType('resource').map(entry => entry.name)"
    page.wait_for_function(f"{loaded}.some(name => name.includes('BidiComponent'))")
    settle(page)
    assert not [name for name in page.evaluate(loaded) if "SyntaxHighlighter" in name]


def test_ticked_rows_are_compared(page: Page, site: str) -> None:
    page.goto(site)
    for name in (f"{BASE}: int8", MARKDOWN):
        row(page, name).locator("input.tick").check(timeout=SETTLED)
        expect(page).to_have_url(re.compile(next(v.recipe_id[:16] for v in VARIANTS if v.name == name)))
    page.get_by_role("button", name="Compare 2").click()
    expect(page.get_by_role("heading", name="Pair by pair")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_text("▼ worse").first).to_be_visible()
    expect(page.locator("article.example").first).to_be_visible(timeout=SETTLED)
    assert page.locator("[data-testid=stPageLink] strong, [data-testid=stPageLink] a[href*=invalid]").count() == 0


def test_the_keyboard_stays_where_it_was(page: Page, site: str) -> None:
    page.goto(site)
    box = row(page, f"{BASE}: int8").locator("input.tick")
    box.focus(timeout=SETTLED)
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Compare 1")).to_be_visible()
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    heading = page.get_by_role("button", name=re.compile("^size on disk"))
    heading.focus()
    for order in ("ascending", "descending"):
        page.keyboard.press("Enter")
        expect(page.locator(f"th[aria-sort={order}]")).to_contain_text("size on disk")
        expect(heading).to_be_focused()


def test_a_long_table_is_whole_and_stays_where_it_was(page: Page, growing: Path, servers: ExitStack) -> None:
    """Rows below the window are drawn a moment later: neither they nor the keyboard nor the place are lost by that."""
    many = [replace(VARIANTS[1], name=f"{BASE}: int8 {i:02d}", seed=i, lost=0.001 * i) for i in range(40)]
    main = "document.querySelector('[data-testid=stMain]')"
    url = servers.enter_context(serving(sample.make_store(growing, (VARIANTS[0], *many))))
    page.goto(url)
    expect(page.locator("tbody tr")).to_have_count(41, timeout=SETTLED)
    last = page.locator(f'tr[data-variant="{many[39].recipe_id}"] input.tick')
    last.focus(timeout=SETTLED)
    settle(page)
    assert page.evaluate(f"{main}.scrollTop") > 0
    page.evaluate(f"window.scrolled = 0; {main}.addEventListener('scroll', () => window.scrolled++)")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Compare 1")).to_be_visible()
    expect(last).to_be_checked()
    expect(last).to_be_focused()
    expect(page.locator("tbody tr")).to_have_count(41)
    settle(page)
    assert page.evaluate("window.scrolled") == 0


def test_a_step_that_did_not_deliver_is_marked(page: Page, growing: Path, servers: ExitStack) -> None:
    name, reason = f"{BASE}: int8", "int8_dynamic promised products in int8, but all 23 run in float32"
    told = {"step": "int8_dynamic", "promise": ["products in int8"], "verdict": "not delivered", "reason": reason}
    facts = {"parameters": 9, "bytes": 36, "layers": 1, "flops": None, "types": {"float32": 9}, "zeros": 0.0}
    answer = {"delivered": {**told, "after": {**facts, "operators": None, "unknown": "it did not run"}}}
    recipe_id = next(v.recipe_id for v in VARIANTS if v.name == name)
    url = servers.enter_context(serving(sample.make_store(growing, answers={recipe_id: answer})))
    page.goto(url)
    mark = row(page, name).locator(".flag", has_text="did not deliver")
    expect(mark).to_be_visible(timeout=SETTLED)
    expect(mark).to_have_attribute("title", reason)
    expect(page.locator("tbody .flag", has_text="did not deliver")).to_have_count(1)
    mark.click()
    expect(page.get_by_text(f"Note: did not deliver: {reason}")).to_be_visible(timeout=SETTLED)
    page.get_by_role("tab", name="Lineage and layers").click()
    expect(page.get_by_role("heading", name="Promise and fact")).to_be_visible(timeout=SETTLED)


def test_choosing_an_axis_redraws_the_plot(page: Page, site: str) -> None:
    open_plot(page, site)
    title = page.locator(".xtitle")
    expect(title).to_have_text(f"latency relative to base, {sample.SCOPE} (lower is better)")
    page.get_by_label("Horizontal axis").click()
    page.get_by_role("option", name="size on disk (lower is better)").click()
    expect(title).to_have_text("size on disk (lower is better)")
    expect(page.get_by_text("Verdicts on size on disk and accuracy")).to_be_visible()
    expect(page).to_have_url(re.compile("x=size"))
    rest(page)
    page.reload()
    expect(title).to_have_text("size on disk (lower is better)", timeout=SETTLED)
    expect(page.get_by_text("Verdicts on size on disk and accuracy")).to_be_visible()


def test_a_clicked_point_opens_its_details(page: Page, site: str) -> None:
    open_plot(page, site, "method=int8_dynamic&q=drop")
    click_leftmost(page)  # the base and the variant are left
    expect(page.get_by_role("heading", name=SQL)).to_be_visible()
    expect(page).to_have_url(re.compile(r"variant=[0-9a-f]{16}"))
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_text("Click a point to see")).to_be_visible()


def test_a_click_keeps_the_zoom_and_leads_to_the_page(page: Page, site: str) -> None:
    open_plot(page, site, "method=int8_dynamic")
    ticks = page.locator(".xaxislayer-above .xtick")
    first = place(page, ticks.first)
    plot = place(page, page.locator(".js-plotly-plot .nsewdrag"))
    page.mouse.move(plot["x"] + 300, plot["y"] + 300)
    page.mouse.down()
    page.mouse.move(plot["x"] + 360, plot["y"] + 300, steps=4)
    page.mouse.up()
    settle(page)
    moved = place(page, ticks.first)
    assert moved["x"] != first["x"]
    click_leftmost(page)
    expect(page.get_by_role("link", name="Open its page")).to_be_visible()
    settle(page)
    assert place(page, ticks.first) == moved
    page.get_by_role("link", name="Open its page").click()
    expect(page.get_by_role("tab", name="Overview")).to_be_visible(timeout=SETTLED)


def test_a_running_sweep_appears_by_itself(page: Page, growing: Path, servers: ExitStack) -> None:
    base, late = VARIANTS[0], VARIANTS[1]
    url = servers.enter_context(serving(growing))
    page.goto(url)
    expect(page.get_by_text("growing is not a paredown store")).to_be_visible(timeout=SETTLED)
    assert str(growing.parent) not in page.content()
    page.evaluate("window.untouched = true")
    # The writer holds its database open all the while: the page must not meet its lock.
    with sample.writing(growing) as writer:
        writer.append([sample.declaration(), Entry.of(sample.build(base))])
        writer.report({"done": 1, "running": 1, "failed": 0, "open": 2, "now": ["build later"], "seconds_left": 30})
        writer.publish(now=True)
        expect(row(page, late.name)).to_contain_text("not built yet", timeout=SETTLED)
        expect(page.get_by_text("1 done, 1 running, 0 failed, 2 to come; about 0:30 left")).to_be_visible()
        pair = [base, late]
        made = [sample.build(late), sample.evaluation(base), sample.evaluation(late), sample.memory(pair)]
        writer.append([Entry.of(d) for d in [*made, *(sample.latency(pair, lease) for lease in range(2))]])
        writer.report({"done": 4, "running": 0, "failed": 0, "open": 0, "now": [], "seconds_left": 0})
        writer.publish(now=True)
        expect(row(page, late.name)).to_contain_text("0.55", timeout=SETTLED)
        expect(row(page, late.name)).to_contain_text("● certain")
    assert page.evaluate("window.untouched")


@pytest.mark.parametrize("path", ["/", "/pareto", "/meaning", "/sweeps", "/claims", "/compare", PAGE_OF_ONE])
def test_nothing_is_wider_than_a_phone(page: Page, site: str, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site}{path}")
    page.locator("tbody tr, .scatterlayer .point, .box").first.wait_for(timeout=SETTLED)
    narrow(page)
    drawn = "[...document.querySelectorAll('.pd, .stPlotlyChart')].map(e => e.getBoundingClientRect().right)"
    page.wait_for_function(f"(rights => rights.length && Math.max(...rights) <= 390)({drawn})")


def test_every_column_is_explained_where_nothing_can_be_pointed_at(page: Page, site: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(site)
    expect(page.locator("tbody tr")).to_have_count(11, timeout=SETTLED)
    page.get_by_text("What the columns mean").click(timeout=SETTLED)
    columns = page.locator(".legend dd")
    expect(columns.filter(visible=True)).to_have_count(page.locator("thead th").count())
    expect(columns.filter(has_text=re.compile(r"^\s*$"))).to_have_count(0)
    page.locator(".legend").get_by_role("button", name=re.compile("^size on disk")).click()
    expect(page).to_have_url(re.compile(r"sort=size"))
    expect(page.locator("tbody tr").nth(1)).to_contain_text("drop table")
    expect(columns.first).to_be_visible()
    narrow(page)
    page.goto(f"{site}/sweeps")
    page.locator("th summary", has_text="finished").click(timeout=SETTLED)
    expect(page.get_by_text("Attempts that gave what they were to give")).to_be_visible()


def test_a_card_on_a_phone_has_its_objectives_and_the_rest_at_a_touch(page: Page, site: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(site)
    card = row(page, f"{BASE}: int8")
    parameters = card.locator('td[data-label="parameters"]')
    expect(card.get_by_text("82.5 to 86.2%")).to_be_visible(timeout=SETTLED)
    expect(parameters).to_be_hidden()
    more = card.get_by_role("button", name=re.compile(r"^\d+ more numbers?$"))
    expect(more).to_have_attribute("aria-expanded", "false")
    more.click()
    expect(parameters).to_be_visible()
    expect(page).not_to_have_url(re.compile("/variant"))
    card.locator("input.tick").check()
    expect(page).to_have_url(re.compile("variants="))
    expect(parameters).to_be_visible()  # also in the table that is drawn anew
    card.get_by_role("button", name="Objectives only").click()
    expect(parameters).to_be_hidden()
    page.set_viewport_size({"width": 1440, "height": 1000})
    expect(parameters).to_be_visible()


def test_names_without_an_end_or_from_right_to_left_break_nothing(
    page: Page, growing: Path, servers: ExitStack
) -> None:
    endless, hebrew = f"{BASE}: {'endless' * 90}", f"{BASE}: \u202eשלום עולם int8\u202c"
    named = (VARIANTS[0], replace(VARIANTS[1], name=endless), replace(VARIANTS[2], name=hebrew))
    page.set_viewport_size({"width": 390, "height": 844})
    url = servers.enter_context(serving(sample.make_store(growing, named, {})))
    both = ",".join(v.recipe_id[:16] for v in named[1:])
    for path in ("/", "/pareto", f"/variant?variant={named[1].recipe_id[:16]}", f"/compare?variants={both}"):
        page.goto(f"{url}{path}")
        page.locator("tbody tr, .scatterlayer .point").first.wait_for(timeout=SETTLED)
        narrow(page)
