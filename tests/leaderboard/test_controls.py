"""The address and the boxes of every page: a link brings back what was seen, also when the store has got more."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from leaderboard import PAGE
from leaderboard.source import STORE, sweep_called
from tests.leaderboard import sample
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, SWEEP, TASK, VARIANTS, make_store

INT8 = VARIANTS[1]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one sweep, which tests copy: writing it takes most of a second."""
    return make_store(tmp_path_factory.mktemp("begun") / "s", VARIANTS[:3], {})


@pytest.fixture
def growing(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of one sweep that a test may add to."""
    monkeypatch.setenv(STORE, str(tmp_path / "s"))
    return Path(shutil.copytree(begun, tmp_path / "s"))


def declare(store: Path, name: str, day: int, kind: str = sample.CLASS) -> None:
    with sample.writing(store) as writer:
        writer.append([sample.declaration(VARIANTS[:1], name, day, kind)])


def opened(name: str = "board", **query: str) -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=120)
    if name != "board":
        page.switch_page(f"pages_/{name}.py")
    for key, value in query.items():
        page.query_params[key] = value
    return page.run()


def address(page: AppTest) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in page.query_params.items()}


@pytest.mark.parametrize("name", ["variant", "pareto"])
def test_a_link_made_when_there_was_one_sweep_still_holds_when_there_are_two(growing: Path, name: str) -> None:
    made = address(opened(name, variant=INT8.recipe_id[:16]))
    declare(growing, "newer", 21)
    text = words(opened(name, **made))
    assert f"{BASE}: int8</h" in text
    assert "There is no" not in text


def test_the_links_of_a_page_name_the_only_sweep(growing: Path) -> None:
    page = opened("variant", variant=INT8.recipe_id[:16])
    links = [each.proto.query_string for each in page.get("page_link")]
    assert len(links) == 3
    assert all("sweep=sample" in link for link in links)


@pytest.mark.parametrize("name", ["board", "pareto", "sweeps", "review", "variant"])
@pytest.mark.parametrize("several", [False, True])
def test_a_sweep_that_is_not_there_is_a_sentence(growing: Path, name: str, several: bool) -> None:
    if several:
        declare(growing, "newer", 21)
    page = opened(name, sweep="<b>gone</b>")
    assert "There is no sweep called &#x27;&lt;b&gt;gone&lt;/b&gt;&#x27; in this store" in words(page)
    assert ("newer" if several else "sample &lt;b&gt;sweep") in words(page)
    if not several:  # no box takes it out of the address
        assert address(page)["sweep"] == "<b>gone</b>"


def test_a_name_that_two_sweeps_share_by_now_is_the_older_ones(growing: Path) -> None:
    declare(growing, "newer", 21)
    declare(growing, SWEEP, 22, "GPU")
    page = opened(sweep=SWEEP)
    assert f"Measured on {sample.CLASS}" in words(page)
    assert page.selectbox(key="sweep").value == f"{SWEEP} on {sample.CLASS}"
    assert "There is no sweep" not in words(page)
    assert f"{BASE}: int8</h1>" in words(opened("variant", sweep=SWEEP, variant=INT8.recipe_id[:16]))


def test_names_are_found_as_they_were_when_a_link_was_made() -> None:
    sweeps = [
        {"sweep_id": str(i), "name": "same", "declared": f"2026-11-2{i}", "body": {"hardware_class": kind}}
        for i, kind in ((2, "GPU"), (1, "GPU"), (0, "CPU"))
    ]
    known = {"same": "0", "same on CPU": "0", "same on GPU": "1", "same on GPU, 2026-11-22": "2"}
    assert {name: sweep_called(sweeps, name) for name in known} == known
    assert sweep_called(sweeps, "other") is None
    assert sweep_called(sweeps, None) is None


def test_a_variant_that_is_gone_from_the_plot_is_a_sentence(growing: Path) -> None:
    assert "There is no variant 0123456789abcdef among those shown" in words(
        opened("pareto", variant="0123456789abcdef")
    )
    assert "Click a point" in words(opened("pareto"))


def test_an_axis_that_tells_no_pair_is_a_sentence(growing: Path) -> None:
    """Beside a plot whose every row is "not evaluated: no finite number", though each has one."""
    page = opened("pareto", x=f"agreement with base, {TASK} (higher is better)")
    assert f"agreement with base, {TASK} is known of each variant by itself" in words(page)
    assert page.get("plotly_chart")


@pytest.mark.parametrize("name", ["board", "pareto", "sweeps", "review"])
def test_choosing_another_class_shows_its_sweep_at_once(growing: Path, name: str) -> None:
    declare(growing, "on a GPU", 21, "GPU")
    page = opened(name)
    if name != "review":
        assert "Measured on GPU" in words(page)
    page.selectbox(key="class").set_value(sample.CLASS).run()
    assert page.selectbox(key="sweep").value == SWEEP
    if name != "review":
        assert f"Measured on {sample.CLASS}" in words(page)
    page.selectbox(key="class").set_value("GPU").run()
    assert page.selectbox(key="sweep").value == "on a GPU"
    if name != "review":
        assert "Measured on GPU" in words(page)


def test_progress_is_told_of_the_sweep_that_runs(growing: Path) -> None:
    declare(growing, "newer", 21)
    newer = str(sample.declaration(VARIANTS[:1], "newer", 21).identity.split()[1])
    with sample.writing(growing) as writer:
        writer.report({**sample.PROGRESS, "sweep": newer})
    assert "31 done" in words(opened())
    assert "31 done" not in words(opened(sweep=SWEEP))
    assert "31 done" not in words(opened("sweeps", sweep=SWEEP))
    with sample.writing(growing) as writer:
        writer.report(sample.PROGRESS)  # as older runs said it
    assert "31 done" in words(opened(sweep=SWEEP))


@pytest.mark.parametrize("filters", [{}, {"q": "int8"}, {"where": "size <= 1 GB"}])
def test_a_sweep_of_nothing_but_its_base_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: dict[str, str]
) -> None:
    make_store(tmp_path / "base", VARIANTS[:1], {})
    monkeypatch.setenv(STORE, str(tmp_path / "base"))
    text = words(opened(**filters))
    assert "This sweep has nothing but the base: add recipes" in text
    assert "clear one" not in text
    assert "loosen" not in text


def test_a_store_that_cannot_be_read_says_what_to_do(growing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(growing))

    monkeypatch.setattr("leaderboard.source.open_snapshot", refused)
    text = words(opened())
    assert f"The store {growing.name} cannot be read (Permission denied): see that its folder" in text
    assert "then load the page again" in text
    assert str(growing) not in text
