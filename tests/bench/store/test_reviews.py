"""Reviews: events that stay as they were written, one number each, and a chain that shows what was changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BadInput
from bench.store.folder import Folder, open_folder
from bench.store.review_copies import copy_reviews
from bench.store.reviews import History, Opened, Person, Seen, append, list_reviews, open_review, read_review
from bench.store.upkeep import merge
from tests.bench.store import s3

ROOT = Path(__file__).parents[3]
ANNA = Person(subject="a-1", name="Anna", email="anna@example.invalid", issuer="https://id.example.invalid", how="oidc")
BEN = Person(subject="b-2", name="Ben", issuer="this machine", how="local")
SEEN = Seen(snapshot="000001-00000001.duckdb", published="2026-11-20T09:00:00+00:00", digest="0" * 64)
ASKED: dict[str, Any] = {
    "title": "A phone",
    "sweep_id": "s" * 64,
    "sweep": "sample",
    "base": "bart",
    "constraints": ("size <= 1 GB",),
    "weights": {"accuracy:entailment": 0.5, "size": 0.5},
}


def decided(name: str = "int8") -> dict[str, Any]:
    return {
        "recipe_id": name,
        "artefact_id": "f" * 64,
        "name": name,
        "reason": "it is small",
        "figures": (),
        "met": ("size <= 1 GB",),
        "confirmed": "Not confirmed.",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "store", create=True)


@pytest.fixture
def begun(folder: Folder) -> History:
    return open_review(folder, ANNA, SEEN, **ASKED)


def files(folder: Folder, history: History) -> list[Path]:
    return sorted((folder.root / "reviews" / history.review).iterdir())


def test_events_come_back_as_they_were_written(folder: Folder, begun: History) -> None:
    append(folder, begun.review, "comment", BEN, SEEN, read_to=1, text="Is <b>int8</b> slower?")
    found = append(folder, begun.review, "approve", ANNA, SEEN, read_to=2, **decided())
    again = read_review(folder, begun.review)
    assert again == found
    assert [event.kind for event in again.events] == ["opened", "comment", "approve"]
    assert [event.number for event in again.events] == [1, 2, 3]
    assert again.events[1].person == BEN
    assert again.events[2].previous == again.hashes[1]
    assert again.events[0].program.startswith("paredown ")
    assert [path.name for path in files(folder, begun)] == ["000001.json", "000002.json", "000003.json"]
    assert [history.review for history in list_reviews(folder)] == [begun.review]


@pytest.mark.parametrize("changed", [0, 1])
def test_a_changed_event_breaks_the_chain(folder: Folder, begun: History, changed: int) -> None:
    append(folder, begun.review, "comment", BEN, SEEN, read_to=1, text="fine")
    append(folder, begun.review, "approve", ANNA, SEEN, read_to=2, **decided())
    path = files(folder, begun)[changed]
    body = json.loads(path.read_text())
    body["person"]["name"] = "Mallory"
    path.write_text(json.dumps(body))
    found = read_review(folder, begun.review)
    assert found.problems == (
        f"The chain is broken at event {changed + 2}: what stands before it is not what it was written after.",
    )
    assert len(found.events) == changed + 1
    with pytest.raises(BadInput, match=r"The chain is broken .* Open a new review"):
        append(folder, begun.review, "comment", BEN, SEEN, read_to=3, text="still there?")


def test_a_missing_a_foreign_and_a_damaged_event_are_said(folder: Folder, begun: History) -> None:
    append(folder, begun.review, "comment", BEN, SEEN, read_to=1, text="fine")
    append(folder, begun.review, "comment", BEN, SEEN, read_to=2, text="fine still")
    first, second, third = files(folder, begun)
    kept = second.read_bytes()
    second.unlink()
    assert read_review(folder, begun.review).problems == ("Event 2 is missing.",)
    second.write_bytes(kept[:-20])
    assert read_review(folder, begun.review).problems[0].startswith("Event 2 cannot be read")
    second.write_bytes(kept)
    assert not read_review(folder, begun.review).problems
    (third.parent / "notes.txt").write_text("hello")
    assert "'notes.txt' is no event" in read_review(folder, begun.review).problems[0]
    other = open_review(folder, BEN, SEEN, **ASKED)
    files(folder, other)[0].write_bytes(first.read_bytes())
    assert "belongs elsewhere" in read_review(folder, other.review).problems[0]


def test_a_newer_format_is_a_sentence(folder: Folder, begun: History) -> None:
    path = files(folder, begun)[0]
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "mood": "good"}))
    found = read_review(folder, begun.review)
    assert found.events == ()
    assert "newer paredown (format 2, and this reads 1): update this one" in found.problems[0]
    assert len(list_reviews(folder)) == 1


def test_the_last_decision_of_each_person_counts(folder: Folder, begun: History) -> None:
    def add(kind: Any, person: Person, **said: Any) -> History:
        now = read_review(folder, begun.review)
        return append(folder, begun.review, kind, person, SEEN, read_to=len(now.events), **said)

    assert begun.state == "open"
    assert add("approve", ANNA, **decided()).state == "approved"
    assert add("reject", BEN, **decided()).state == "disputed"
    found = add("withdrawn", BEN, reason="I misread it")
    assert found.state == "approved"
    assert found.choice is not None
    assert found.choice.person == ANNA
    assert add("approve", BEN, **decided("other")).state == "disputed"
    assert add("approve", BEN, **decided()).state == "approved"
    assert add("reopened", BEN, reason="newer results").state == "open"
    with pytest.raises(BadInput, match="Anna has no decision in this review that counts"):
        add("withdrawn", ANNA, reason="too late")
    assert add("reject", ANNA, **decided()).state == "rejected"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"text": "   "}, "text: it is empty"),
        ({"text": "x" * 10_001}, "text: .*at most 10000 characters"),
        ({"text": "fine", "mood": "good"}, "mood: Extra inputs"),
        ({}, "text: Field required"),
        ({"text": "\ud800"}, "text: "),
    ],
)
def test_what_is_no_event_is_not_written(folder: Folder, begun: History, said: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        append(folder, begun.review, "comment", ANNA, SEEN, read_to=1, **said)
    assert len(files(folder, begun)) == 1


def test_ids_are_no_paths_and_reviews_must_be_there(folder: Folder) -> None:
    for name in ("../../etc", "0123", "0123456789ABCDEF", "0123456789abcdef/..", ""):
        with pytest.raises(BadInput, match="is no review: its id has 16"):
            read_review(folder, name)
    assert read_review(folder, "0123456789abcdef").events == ()
    with pytest.raises(BadInput, match="There is no review 0123456789abcdef"):
        append(folder, "0123456789abcdef", "comment", ANNA, SEEN, read_to=0, text="hello")
    assert not (folder.root / "reviews").exists()


def test_a_folder_that_cannot_be_written_is_a_sentence(folder: Folder) -> None:
    (folder.root / "reviews").write_text("in the way")
    with pytest.raises(BadInput, match="The reviews of the store cannot be read"):
        open_review(folder, ANNA, SEEN, **ASKED)


WRITER = """
import sys, time
from pathlib import Path
from bench.store.folder import open_folder
from bench.store.reviews import append
from tests.bench.store.test_reviews import SEEN, Person, decided

root, review, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
person = Person(subject=str(who), name=f"Writer {who}", issuer="this machine", how="local")
print("ready", flush=True)
sys.stdin.readline()
for i in range(count):
    # Two kinds of events: they must not share a number either.
    kind, said = ("comment", {"text": str(i)}) if who % 2 else ("reject", decided(f"{who}-{i}"))
    append(open_folder(root), review, kind, person, SEEN, read_to=1, **said)
"""


def test_several_at_once_get_a_number_each(folder: Folder, begun: History) -> None:
    """Real processes that write as fast as they can: nothing is lost, nothing shares a number, the chain holds."""
    writers, count = 4, 12
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder.root), begun.review, str(who), str(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(writers)
    ]
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in started:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    assert [each.wait(120) for each in started] == [0] * writers
    found = read_review(folder, begun.review)
    assert found.problems == ()
    assert [event.number for event in found.events] == list(range(1, 2 + writers * count))
    mine = [event.person.subject for event in found.events[1:]]
    assert {who: mine.count(str(who)) for who in range(writers)} == dict.fromkeys(range(writers), count)
    assert len(files(folder, begun)) == 1 + writers * count


def test_reviews_come_along_when_stores_are_merged(folder: Folder, begun: History, tmp_path: Path) -> None:
    append(folder, begun.review, "comment", BEN, SEEN, read_to=1, text="first")
    other = open_folder(tmp_path / "other", create=True)
    assert copy_reviews(folder, other) == (2, [])
    assert copy_reviews(folder, other) == (0, [])
    assert read_review(other, begun.review) == read_review(folder, begun.review)
    append(folder, begun.review, "comment", BEN, SEEN, read_to=2, text="here")
    there = append(other, begun.review, "comment", ANNA, SEEN, read_to=2, text="there")
    assert copy_reviews(folder, other) == (0, [begun.review])
    assert read_review(other, begun.review) == there
    merged = merge(tmp_path / "third", [folder.root, other.root])
    assert (merged.events, merged.differing) == (3, [begun.review])
    assert read_review(open_folder(tmp_path / "third"), begun.review) == read_review(folder, begun.review)


def test_a_bucket_holds_reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    with s3.moto_server() as port:
        for name, value in s3.environment(port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PAREDOWN_CACHE", str(tmp_path / "cache"))
        s3.make_bucket(port, "reviewed")
        folder = open_folder("s3://reviewed/store", create=True)
        assert list_reviews(folder) == []
        begun = open_review(folder, ANNA, SEEN, **ASKED)
        open_review(folder, BEN, SEEN, **ASKED)
        found = append(folder, begun.review, "approve", BEN, SEEN, read_to=1, **decided())
        assert {history.review for history in list_reviews(folder)} >= {begun.review}
        assert len(list_reviews(folder)) == 2
        assert read_review(folder, begun.review) == found
        assert isinstance(found.events[0], Opened)
        with pytest.raises(FileExistsError):
            folder.place.create(f"reviews/{begun.review}/000002.json", b"another")
        assert read_review(folder, begun.review).problems == ()
