"""Parts are immutable, fenced by the lease, and numbered on after a restart."""

import threading
from contextlib import suppress
from pathlib import Path

import pytest

from bench.errors import StaleLease
from bench.store.folder import Folder, Lease, open_folder, take_lease
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
    with pytest.raises(StaleLease, match="another writer"):
        two.append([entry("b")])
    assert part.read_bytes() == before
    assert [p.name for p in folder.journal.iterdir()] == [part.name]


def identities(folder: Folder) -> list[str]:
    return [identity for part in parts(folder) for _, identity, _ in read_entries(part)]


def test_a_driver_that_was_cut_off_appends_no_more_though_it_has_looked_before(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that no check before writing can win: the store is taken over between the check and the link."""
    old = Journal(take_lease(folder))
    old.append([entry("a")])
    taken: list[Journal] = []

    def check(lease: Lease) -> None:
        if not taken:
            monkeypatch.undo()
            taken.append(Journal(take_lease(folder, take_over=True)))

    monkeypatch.setattr(Lease, "check", check)
    with pytest.raises(StaleLease):
        old.append([entry("late")])
    with pytest.raises(StaleLease):
        old.append([entry("late")])
    taken[0].append([entry("b")])
    assert identities(folder) == [entry("a").identity, entry("b").identity]


def test_whatever_was_acknowledged_is_there_when_the_next_driver_looks(folder: Folder) -> None:
    """Many writers of the old epoch's next part against the new driver: either it sees the part, or it is refused."""
    for number in range(20):
        old = Journal(take_lease(folder, take_over=True))
        name = f"job {number}"
        acknowledged: list[str] = []

        def write(old: Journal = old, name: str = name, acknowledged: list[str] = acknowledged) -> None:
            with suppress(StaleLease):
                old.append([entry(name)])
                acknowledged.append(entry(name).identity)

        thread = threading.Thread(target=write)
        thread.start()
        Journal(take_lease(folder, take_over=True))
        seen = identities(folder)
        thread.join()
        assert set(acknowledged) <= set(seen)
        assert identities(folder) == seen


def test_earlier_epochs_are_closed_once_and_released_ones_need_it_not(folder: Folder) -> None:
    first = take_lease(folder)
    Journal(first).append([entry("a")])
    first.release()
    Journal(take_lease(folder))
    assert len(parts(folder)) == 1
    take_lease(folder, take_over=True)  # it died before it had a journal
    Journal(take_lease(folder, take_over=True))
    assert [p.name for p in parts(folder)] == [
        "000001-00000000.parquet",
        "000002-00000000.parquet",
        "000003-00000000.parquet",
    ]
    Journal(take_lease(folder, take_over=True))
    assert [p.name for p in parts(folder)][3:] == ["000004-00000000.parquet"]
    assert identities(folder) == [entry("a").identity]


def test_what_a_killed_writer_left_half_done_is_no_part(folder: Folder) -> None:
    (folder.journal / ".0123.part").write_bytes(b"half")
    journal = Journal(take_lease(folder))
    assert parts(folder.journal) == []
    journal.append([entry("a")])
    assert len(list(folder.journal.iterdir())) == 1
