"""The states of the page, without a browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

from bench.store.folder import open_folder
from bench.store.reviews import list_reviews
from leaderboard import PAGE, signing
from leaderboard.signing import SIGNING
from leaderboard.source import STORE
from tests.leaderboard import newer, sample
from tests.leaderboard.commands import commands
from tests.leaderboard.drawn import words
from tests.leaderboard.sample import BASE, SQL, VARIANTS, make_store


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which nobody has reviewed anything, which tests copy: writing it takes most of a second."""
    return newer.store_before(tmp_path_factory.mktemp("before") / "store")


@pytest.fixture
def written(before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that a test may write reviews into, on a page that signs locally."""
    return signed_locally(Path(shutil.copytree(before, tmp_path / "store")), monkeypatch)


def signed_locally(store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STORE, str(store))
    monkeypatch.setenv(SIGNING, "local")
    monkeypatch.setattr(signing, "_check_loopback", lambda: None)  # there is no server here
    return store


def on_review(where: str = "", review: str = "") -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=120).run().switch_page("pages_/review.py")
    if review:
        page.query_params["review"] = review
    page.run()
    return page.text_input(key="where").set_value(where).run() if where else page


def press(page: AppTest, name: str) -> AppTest:
    return next(button for button in page.button if button.label.startswith(name)).click().run()


def begin(page: AppTest, title: str = "A phone") -> AppTest:
    next(box for box in page.text_input if box.label.startswith("Open a review")).input(title)
    return press(page, "Open the review")


def test_a_question_in_the_address_is_answered(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(store))
    monkeypatch.delenv(SIGNING, raising=False)
    page = on_review(where="size <= 600 MB")
    text = words(page)
    assert "are known to keep size &lt;= 600 MB" in text
    assert f"With these weights {BASE}: int8 and {BASE}: &#x27;; drop table variants; -- have the same score" in text
    assert "the choice changes to" in text
    assert "Nobody can write here." in text
    assert "base model</td><td>zoo://sample</td><td>MIT</td><td>sweep file" in text
    assert next(b for b in page.button if b.label == "Open the review").disabled
    page.number_input(key="w accuracy:entailment").set_value(20).run()
    assert f"First with these weights: {BASE}: int8" in words(page)
    page.multiselect(key="also").set_value(["size"]).run()
    assert page.number_input(key="w size").value == 1
    assert "size on disk (lower is better), weighs 0.05" in words(page)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("size <= 100 MB", "Nearest is &#x27;size &lt;= 100 MB&#x27;: loosened to 390.0 MB"),
        ("size < 1 MB, size > 2 MB", "Nothing can meet both"),
        ("speed <= 3", "There is no metric on this board called &#x27;speed&#x27;"),
        ("<script>alert(1)</script> <= 3", "cannot be read"),
    ],
)
def test_constraints_that_help_nobody_are_a_sentence(
    store: Path, monkeypatch: pytest.MonkeyPatch, where: str, sentence: str
) -> None:
    monkeypatch.setenv(STORE, str(store))
    text = words(on_review(where=where))
    assert sentence in text
    assert "<script" not in text


def test_no_weight_at_all_is_a_sentence(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(store))
    page = on_review()
    for box in page.number_input:
        box.set_value(0)
    assert "All weights are 0" in words(page.run())


def test_a_review_from_question_to_decision(written: Path) -> None:
    page = on_review(where="size <= 600 MB")
    page.text_input(key="signing as").input("Dora").run()
    begin(page, "A **phone** <b>x</b>")
    assert page.query_params["review"]
    assert "A **phone** &lt;b&gt;x&lt;/b&gt;</h1>" in words(page)
    page.text_area[0].input("Fine :red[by] me")
    press(page, "Comment")
    assert "commented: Fine :red[by] me" in words(page)
    page.text_area[1].input("Too slow")
    press(page, "Reject")
    assert "Rejected: " in words(page)
    press(page, "Withdraw")
    assert "reason: it is empty, and must be said in words" in words(page)
    page.text_area[1].input("I was wrong")
    press(page, "Withdraw")
    assert "Open: nobody has decided yet." in words(page)
    page.text_area[1].input("Fast enough")
    press(page, "Approve")
    assert f"Approved: {BASE}: int8, by Dora." in words(page)
    choice = next(v for v in VARIANTS if v.name == f"{BASE}: int8")
    assert commands(page)[0].startswith(f"paredown export {choice.recipe_id[:12]} DIR --sweep ")
    events = list_reviews(open_folder(written))[0].events
    assert [event.kind for event in events] == ["opened", "comment", "reject", "withdrawn", "approve"]
    assert [event.read_to for event in events] == [0, 1, 2, 3, 4]
    assert {(event.person.name, event.person.how) for event in events} == {("Dora", "local")}
    press(page, "← All reviews")
    assert "approved · sample" in words(page)


def test_the_list_flags_what_another_sweep_says_of_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = signed_locally(make_store(tmp_path / "store"), monkeypatch)
    page = begin(on_review(where="size <= 600 MB"))
    page.text_area[1].input("Fast enough")
    press(page, "Approve")
    press(page, "← All reviews")
    assert "approved · sample" in words(page)
    with sample.writing(store) as writer:  # recipes that are added to a sweep file make another sweep
        writer.append([sample.declaration((*VARIANTS[:2], newer.BETTER), name="more recipes", day=22)])
    newer.let_it_come(store)
    assert "approved, flagged for reopening · sample" in words(page.run())


def test_what_another_sweep_says_meanwhile_is_not_signed_as_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = signed_locally(make_store(tmp_path / "store"), monkeypatch)
    newer.let_it_come(store)  # to no sweep yet
    page = begin(on_review(where="size <= 600 MB"))
    with sample.writing(store) as writer:
        writer.append([sample.declaration((*VARIANTS[:2], newer.BETTER), name="more recipes", day=22)])
    page.text_area[1].input("Fast enough")
    press(page, "Approve")
    assert "Newer results came in while you were writing" in words(page)
    assert "which has it too" in words(page)
    press(page, "Approve")  # the reason has stayed
    *_, event = list_reviews(open_folder(store))[0].events
    assert event.kind == "approve"
    assert len(event.beaten_in) == 1


def test_what_came_in_while_writing_is_looked_at_first(written: Path) -> None:
    page = begin(on_review())
    newer.let_it_come(written)
    page.text_area[1].input("Good")
    press(page, "Approve")
    assert "Newer results came in while you were writing" in words(page)
    assert next(b.label for b in page.button if b.label.startswith("Approve")).endswith("better")
    assert len(list_reviews(open_folder(written))[0].events) == 1
    page.text_area[1].input("Still good")
    press(page, "Approve")
    assert len(list_reviews(open_folder(written))[0].events) == 2


def test_a_review_that_is_gone_damaged_or_newer_is_a_sentence(written: Path) -> None:
    assert "It is not in this store" in words(on_review(review="0123456789abcdef"))
    assert "is no review: its id has 16" in words(on_review(review="../../<b>"))
    begin(on_review())
    found = list_reviews(open_folder(written))[0]
    path = written / "reviews" / found.review / "000001.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "format": 9}))
    text = words(on_review(review=found.review))
    assert "newer paredown (format 9, and this reads 1): update this one" in text
    assert "damaged" in words(on_review())
    path.write_text("{")
    assert "Event 1 cannot be read" in words(on_review(review=found.review))


def test_a_review_of_a_sweep_that_is_gone_still_shows_its_history(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(on_review())
    other = make_store(tmp_path / "other", VARIANTS[:2])
    found = list_reviews(open_folder(written))[0]
    (other / "reviews").mkdir()
    (written / "reviews" / found.review).rename(other / "reviews" / found.review)
    for path in (other / "reviews" / found.review).iterdir():
        path.write_text(path.read_text().replace(found.events[0].seen.snapshot, "gone.duckdb"))
    body = other / "reviews" / found.review / "000001.json"
    body.write_text(re.sub(r'"sweep_id": ?"\w+"', f'"sweep_id":"{"9" * 64}"', body.read_text()))
    monkeypatch.setenv(STORE, str(other))
    text = words(on_review(review=found.review))
    assert "There is no sweep in this store called" in text
    assert "opened: A phone" in text


def test_a_review_opens_at_what_was_decided_on(written: Path) -> None:
    page = begin(on_review())
    chosen = next(v.recipe_id for v in VARIANTS if v.name == SQL)
    looked_at(page).set_value(chosen).run()
    page.text_area[1].input("Smallest")
    press(page, "Approve")
    page = on_review()  # where the box shows the first of the shortlist
    assert looked_at(page).value != chosen
    page.query_params["review"] = list_reviews(open_folder(written))[0].review
    assert looked_at(page.run()).value == chosen


def looked_at(page: AppTest) -> Selectbox[str]:
    return next(box for box in page.selectbox if box.label == "Variant")


def test_evidence_leads_to_the_sweep_of_the_review(written: Path) -> None:
    begin(on_review())
    with sample.writing(written) as writer:
        writer.append([sample.declaration(VARIANTS[:1], "newer", day=21)])
    page = on_review(review=list_reviews(open_folder(written))[0].review)
    (link,) = [each.proto for each in page.get("page_link") if each.proto.label.startswith("Everything known")]
    told = dict(parse_qsl(link.query_string))
    page.switch_page("pages_/variant.py")
    for key, value in told.items():
        page.query_params[key] = value
    text = words(page.run())
    assert told["sweep"] == sample.SWEEP
    assert "There is no variant" not in text


def test_a_page_with_a_provider_asks_to_sign_in(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(store))
    monkeypatch.setenv(SIGNING, "oidc")
    assert "paredown board --auth FILE" in words(on_review())  # where the file is not there any more
    monkeypatch.setattr(signing, "_section", lambda: {"client_id": "board"})
    page = on_review()
    assert "Only signed-in people can write." in words(page)
    assert [b.label for b in page.button if b.label.startswith("Sign in")] == ["Sign in"]
    begin(page, "Not mine")
    assert "Sign in first: only a signed-in person" in words(page)
    assert list_reviews(open_folder(store)) == []
