"""Which folders are stores, and which driver one belongs to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BadInput, StaleLease, StoreBusy
from bench.store.folder import holder, latest_epoch, open_folder, take_lease, write_whole


def test_a_new_folder_becomes_a_store_and_stays_the_same_one(tmp_path: Path) -> None:
    made = open_folder(tmp_path / "store", create=True)
    before = (made.root / "store.json").read_text()
    assert open_folder(tmp_path / "store", create=True) == made
    assert (made.root / "store.json").read_text() == before


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="not a paredown store"):
        open_folder(tmp_path, create=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"kind": "cake", "schema": 1}', "'cake'"),
        ('{"kind": "paredown store", "schema": 99}', "newer"),
    ],
)
def test_a_marker_that_says_something_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(BadInput, match=words):
        open_folder(tmp_path)


def test_a_path_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        open_folder(tmp_path / "file" / "store", create=True)


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    first = take_lease(folder)
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
        take_lease(folder)
    assert latest_epoch(folder) == first.epoch


def test_take_over_makes_the_first_driver_stale(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    first = take_lease(folder)
    second = take_lease(folder, take_over=True)
    assert second.epoch == first.epoch + 1
    second.check()
    with pytest.raises(StaleLease):
        first.check()


def test_a_released_lease_is_free_and_its_epoch_is_not_used_again(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    first = take_lease(folder)
    first.release()
    assert holder(folder) is None
    assert take_lease(folder).epoch == first.epoch + 1


def test_the_lease_of_a_dead_process_is_free(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    code = (
        "import sys; from pathlib import Path; from bench.store.folder import open_folder, take_lease; "
        "take_lease(open_folder(Path(sys.argv[1])))"
    )
    subprocess.run([sys.executable, "-c", code, str(folder.root)], check=True)
    assert latest_epoch(folder) == 1
    assert holder(folder) is None
    assert take_lease(folder).epoch == 2


def test_another_machines_lease_needs_take_over(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    elsewhere = {"host": "another-machine", "pid": 1, "born": 0.0, "since": "2026-01-01"}
    (folder.leases / "000001.json").write_text(json.dumps(elsewhere))
    with pytest.raises(StoreBusy, match="another-machine"):
        take_lease(folder)
    assert take_lease(folder, take_over=True).epoch == 2


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
