"""Parts are immutable, fenced by the lease, and numbered on after a restart."""

from pathlib import Path

import pytest

from bench.errors import StaleLease
from bench.store.folder import Folder, open_folder, take_lease
from bench.store.journal import Journal, parts, read_entries
from tests.bench.store.entries import entry, full_entry


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "store", create=True)


def test_what_was_appended_is_read_back_in_order(folder: Folder) -> None:
    journal = Journal(take_lease(folder))
    journal.append([entry("a"), entry("b")])
    journal.append([full_entry("c")])
    found = [identity for part in parts(folder.journal) for _, identity, _ in read_entries(part)]
    assert found == [entry(name).identity for name in "abc"]


def test_a_stale_driver_writes_nothing(folder: Folder) -> None:
    old = Journal(take_lease(folder))
    take_lease(folder, take_over=True)
    with pytest.raises(StaleLease):
        old.append([entry("late")])
    assert list(folder.journal.iterdir()) == []


def test_a_restarted_writer_of_the_same_epoch_counts_on(folder: Folder) -> None:
    lease = take_lease(folder)
    first = Journal(lease).append([entry("a")])
    second = Journal(lease).append([entry("b")])
    assert first != second
    assert parts(folder.journal) == [first, second]


def test_two_writers_of_one_epoch_never_overwrite_each_other(folder: Folder) -> None:
    lease = take_lease(folder)
    one, two = Journal(lease), Journal(lease)
    part = one.append([entry("a")])
    before = part.read_bytes()
    with pytest.raises(FileExistsError):
        two.append([entry("b")])
    assert part.read_bytes() == before
    assert [p.name for p in folder.journal.iterdir()] == [part.name]


def test_what_a_killed_writer_left_half_done_is_no_part(folder: Folder) -> None:
    (folder.journal / ".0123.part").write_bytes(b"half")
    journal = Journal(take_lease(folder))
    assert parts(folder.journal) == []
    journal.append([entry("a")])
    assert len(list(folder.journal.iterdir())) == 1
