"""The writer, its query form and its snapshots."""

import time
from pathlib import Path

import duckdb
import pytest

from bench.errors import BadInput
from bench.store.database import open_database, take_in
from bench.store.folder import Folder, open_folder, take_lease
from bench.store.journal import Journal, parts
from bench.store.publish import READ_SECONDS
from bench.store.reader import current_name, open_snapshot
from bench.store.writer import Writer
from tests.bench.store.entries import entry, full_entry, record, records_in

TABLES = ("entries", "records", "numbers", "examples", "samples", "sweeps", "retries")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "store", create=True)


def dump(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[object, ...]]]:
    return {t: connection.execute(f"select * from {t} order by all").fetchall() for t in TABLES}


def test_a_repeated_append_adds_nothing(folder: Folder) -> None:
    writer = Writer(folder, take_lease(folder).epoch)
    writer.append([entry("a")])
    writer.append([entry("a"), entry("b")])
    writer.append([entry("b")])
    assert len(parts(folder.journal)) == 2
    assert [r.key for r in records_in(writer.lease.folder)] == [record("a").key, record("b").key]
    writer.close()


def test_a_writer_of_other_code_than_its_driver_is_refused(folder: Folder) -> None:
    lease = take_lease(folder)
    lease.mark(code="f" * 64)
    with pytest.raises(BadInput, match="runs version ffffffffff of paredown and its writer"):
        Writer(folder, lease.epoch)
    assert not folder.database.exists()


def test_failed_attempts_stand_beside_each_other_and_a_finished_key_once(folder: Folder) -> None:
    writer = Writer(folder, take_lease(folder).epoch)
    writer.append([entry("a", 1, failed=True), entry("a", 2, failed=True), entry("a", 3)])
    writer.append([entry("a", 4)])
    assert [(r.attempt, r.finished) for r in records_in(writer.lease.folder)] == [(1, False), (2, False), (3, True)]
    writer.close()


def test_a_new_writer_knows_what_the_old_one_acknowledged(folder: Folder) -> None:
    first = take_lease(folder)
    writer = Writer(folder, first.epoch)
    writer.append([full_entry("a")])
    writer.close()
    first.release()
    second = Writer(folder, take_lease(folder).epoch)
    second.append([full_entry("a")])
    assert len(records_in(second.lease.folder)) == 1
    assert len(parts(folder.journal)) == 1
    second.close()


def test_the_database_is_rebuilt_from_the_journal_as_it_was(folder: Folder) -> None:
    journal = Journal(take_lease(folder))
    for entries in ([entry("a"), full_entry("b")], [entry("c", failed=True)], [full_entry("d")]):
        journal.append(entries)
    with open_database(folder.database, folder.journal) as first:
        whole = dump(first)
    assert len(whole["examples"]) == 6
    assert len(whole["samples"]) == 4
    folder.database.unlink()
    with open_database(folder.database, folder.journal) as second:
        assert dump(second) == whole
        for part in parts(folder.journal):
            take_in(second, part)
        assert dump(second) == whole


def test_a_broken_database_is_made_anew(folder: Folder) -> None:
    Journal(take_lease(folder)).append([entry("a")])
    folder.database.write_bytes(b"this was never a database" * 100)
    with open_database(folder.database, folder.journal) as connection:
        assert len(dump(connection)["records"]) == 1


def test_a_snapshot_is_published_when_something_changed(folder: Folder) -> None:
    writer = Writer(folder, take_lease(folder).epoch)
    writer.append([entry("a")])
    assert writer.publish(now=True)
    first = current_name(folder)
    assert not writer.publish(now=True)
    writer.append([entry("b")])
    assert writer.publish(now=True)
    assert current_name(folder) != first
    with open_snapshot(folder.root) as snapshot:
        assert snapshot.rows("select count(*) as n from records") == [{"n": 2}]
    writer.close()


def test_a_reader_keeps_its_snapshot_while_new_ones_appear(folder: Folder) -> None:
    writer = Writer(folder, take_lease(folder).epoch)
    writer.append([entry("a")])
    writer.publish(now=True)
    with open_snapshot(folder.root) as old:
        writer.append([entry("b")])
        writer.publish(now=True)
        assert old.rows("select count(*) as n from records") == [{"n": 1}]
    writer.close()


def test_snapshots_come_at_most_once_a_second(folder: Folder) -> None:
    writer = Writer(folder, take_lease(folder).epoch)
    published, begin, count = 0, time.monotonic(), 0
    while time.monotonic() - begin < 1.5:
        writer.append([entry(f"job {count}")])
        published += writer.publish()
        count += 1
    assert count > published
    assert 1 <= published <= 1 + (time.monotonic() - begin)
    writer.close()


def test_readers_of_nothing_get_a_sentence(tmp_path: Path, folder: Folder) -> None:
    with pytest.raises(BadInput, match="nothing to show yet"), open_snapshot(folder.root):
        pass
    with pytest.raises(BadInput, match="not a paredown store"), open_snapshot(tmp_path / "missing"):
        pass
    for text in ("[]", "{}", "oops"):
        folder.pointer.write_text(text)
        with pytest.raises(BadInput, match="cannot be read"), open_snapshot(folder.root):
            pass


def test_records_of_a_large_store_are_published_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.store.publish.SEGMENT", 4)
    lease = take_lease(folder)
    writer = Writer(folder, lease.epoch)
    written: set[str] = set()
    for number in range(11):
        writer.append([entry(f"job {number}")])
        writer.publish(now=True)
        now = {p.name for p in folder.published.glob("records-*")}
        assert written <= now
        written = now
        with open_snapshot(folder.root) as snapshot:
            rows = snapshot.rows("select key, ordinal, answer from records order by ordinal")
            assert [r["key"] for r in rows] == [record(f"job {n}").key for n in range(number + 1)]
            held = snapshot.connection.execute(f'select * from "{snapshot.name[:-7]}".main.records').fetchall()
            assert len(held) <= 5
    assert len(written) == 2
    writer.close()
    lease.release()
    again = Writer(folder, take_lease(folder).epoch)
    again.publish(now=True)
    assert len({p.name for p in folder.published.glob("records-*")}) == 4
    with open_snapshot(folder.root) as snapshot:
        monkeypatch.setattr("bench.store.publish.KEPT_SECONDS", -1.0 - READ_SECONDS)
        again.append([entry("late")])
        again.publish(now=True)
        assert snapshot.rows("select count(*) as n from records") == [{"n": 11}]
    with open_snapshot(folder.root) as snapshot:
        assert snapshot.rows("select count(*) as n from records") == [{"n": 12}]
    assert len({p.name for p in folder.published.glob("records-*")}) == 2
    again.close()
