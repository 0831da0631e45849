"""Which folders are stores, and which driver one belongs to."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bench.errors import BadInput, StaleLease, StoreBusy
from bench.store import folder as leasing
from bench.store.folder import Folder, holder, latest_epoch, open_folder, take_lease
from bench.store.places import Local
from bench.store.processes import processes_here


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


def of_elsewhere(folder: Folder, seconds: float, **words: object) -> Path:
    """A lease of another machine that was renewed so many seconds ago."""
    told = {"host": "another-machine", "processes": "of another", "pid": 1, "born": 0.0, "since": "2026-01-01"}
    path = folder.leases / "000001.json"
    path.write_text(json.dumps({**told, **words}))
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_another_machines_lease_that_is_not_renewed_is_free(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    path = of_elsewhere(folder, leasing.EXPIRY_SECONDS - 20)
    with pytest.raises(StoreBusy, match=r"heard of (39|4\d) s ago"):
        take_lease(folder)
    then = time.time() - leasing.EXPIRY_SECONDS - 1
    os.utime(path, (then, then))
    assert holder(folder) is None
    assert take_lease(folder).epoch == 2


def test_a_lease_is_renewed_until_it_is_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "RENEW_SECONDS", 0.02)
    folder = open_folder(tmp_path / "store", create=True)
    before = set(threading.enumerate())
    lease = take_lease(folder)
    (thread,) = set(threading.enumerate()) - before
    path = folder.leases / "000001.json"

    def renewed() -> bool:
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 30
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        return path.stat().st_mtime > 0

    assert renewed()
    lease.release()
    thread.join(60)
    assert not thread.is_alive()
    assert holder(folder) is None


def test_a_driver_that_lost_its_lease_renews_it_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "RENEW_SECONDS", 0.02)
    folder = open_folder(tmp_path / "store", create=True)
    before = set(threading.enumerate())
    take_lease(folder)
    (thread,) = set(threading.enumerate()) - before
    take_lease(folder, take_over=True).release()
    thread.join(60)
    assert not thread.is_alive()


def test_a_process_of_another_container_is_not_looked_for_here(tmp_path: Path) -> None:
    """Its number may be that of another process here, or of none."""
    folder = open_folder(tmp_path / "store", create=True)
    of_elsewhere(folder, 1)
    assert holder(folder) is not None
    of_elsewhere(folder, 1, processes=processes_here())
    assert holder(folder) is None


def test_a_clock_that_is_wrong_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    of_elsewhere(folder, 1)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    with pytest.raises(StoreBusy):
        take_lease(folder)
    assert len(list(folder.leases.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "half a li", "[]", "{}", '{"host": "x"}'])
def test_a_lease_that_names_nobody_is_free(tmp_path: Path, text: str) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    (folder.leases / "000001.json").write_text(text)
    assert holder(folder) is None
    assert take_lease(folder).epoch == 2


def test_of_many_who_take_a_free_store_at_once_one_gets_it(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    gate = threading.Barrier(8)
    took: list[int] = []

    def try_it() -> None:
        gate.wait()
        with suppress(StoreBusy):
            took.append(take_lease(folder).epoch)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert took == [1]


def test_a_small_file_is_replaced_whole_and_created_once(tmp_path: Path) -> None:
    place = Local(tmp_path)
    place.replace("file", b"old")
    place.replace("file", b"new")
    assert place.read("file") == b"new"
    with pytest.raises(FileExistsError):
        place.create("file", b"newer")
    assert place.read("file") == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert place.names("no such folder") == []
