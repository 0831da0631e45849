"""A store in a bucket: the promises of one in a folder, with a server that throttles, breaks off or is silent."""

from __future__ import annotations

import os
import random
import threading
from contextlib import suppress
from datetime import timedelta
from importlib import util
from pathlib import Path

import pytest

from bench.errors import BadInput, StaleLease, StoreBusy, Unreachable
from bench.store import bucket
from bench.store.bucket import Bucket
from bench.store.folder import Folder, holder, open_folder, store_id, take_lease
from bench.store.journal import Journal, parts, read_entries
from bench.store.reader import current_name, open_snapshot
from bench.store.writer import Writer
from tests.bench.store.entries import entry, full_entry, records_in
from tests.bench.store.s3 import Fault, Proxy, forget

pytest.importorskip("obstore")
pytest.importorskip("moto")

URL = "s3://results/some/store"
MANY = 100_000  # more than can be written before another has taken over
FAULTS: tuple[Fault, ...] = ("slow down", "answer lost", "half an answer", "no answer")


def identities(folder: Folder) -> list[str]:
    return [identity for part in parts(folder) for _, identity, _ in read_entries(part)]


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str = "there") -> Folder:
    """The store as another machine sees it, which has no copies yet."""
    monkeypatch.setenv("PAREDOWN_CACHE", str(tmp_path / name))
    return open_folder(URL)


def test_a_bucket_becomes_a_store_and_is_found_from_anywhere(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_folder(Path(URL), create=True)  # a Path loses a slash of it
    assert folder.location == URL
    lease = take_lease(folder)
    writer = Writer(folder, lease.epoch)
    writer.append([entry("a"), full_entry("b")])
    writer.append([entry("c")])
    writer.close()
    lease.release()
    there = elsewhere(monkeypatch, tmp_path)
    assert there.root != folder.root
    assert store_id(there) == store_id(folder)
    assert identities(there) == [entry(n).identity for n in "abc"]
    with open_snapshot(Path(URL)) as snapshot:
        assert snapshot.rows("select count(*) as n from records") == [{"n": 3}]
    second = take_lease(there)
    monkeypatch.setenv("PAREDOWN_CACHE", str(tmp_path / "head"))
    again = Writer(there.here(), second.epoch)  # as on a cluster's head, which a driver elsewhere hands the store
    assert not there.database.exists()
    again.append([entry("a"), entry("d")])
    assert [r.key for r in records_in(again.lease.folder)] == [entry(n).identity for n in "abcd"]
    assert len(again._connection.execute("select * from examples").fetchall()) == 3
    again.close()


def test_parts_and_leases_are_one_conditional_put(proxy: Proxy) -> None:
    folder = open_folder(URL, create=True)
    lease = take_lease(folder)
    journal = Journal(lease)
    proxy.seen.clear()
    journal.append([entry("a")])
    assert [path for method, path in proxy.seen if method == "PUT"] == [
        "/results/some/store/journal/000001-00000000.parquet"
    ]
    with pytest.raises(FileExistsError):
        folder.place.create("journal/000001-00000000.parquet", b"other")
    with pytest.raises(StoreBusy):
        take_lease(folder)
    assert folder.place.names("lease") == ["000001.json"]


def test_of_two_writers_one_wins(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = open_folder(URL, create=True)
    old = Journal(take_lease(here))
    old.append([entry("a")])
    there = elsewhere(monkeypatch, tmp_path)
    gate = threading.Barrier(2)
    acknowledged: list[str] = []
    refused: list[bool] = []

    def write() -> None:
        gate.wait()
        try:
            for number in range(MANY):
                old.append([entry(f"job {number}")])
                acknowledged.append(entry(f"job {number}").identity)
        except StaleLease:
            refused.append(True)

    thread = threading.Thread(target=write)
    thread.start()
    gate.wait()
    new = Journal(take_lease(there, take_over=True))
    seen = identities(there)
    thread.join()
    assert refused
    assert set(acknowledged) <= set(seen)
    new.append([entry("b")])
    assert identities(here) == [*seen, entry("b").identity]


def test_many_who_take_it_at_once_are_one(proxy: Proxy) -> None:
    folder = open_folder(URL, create=True)
    took: list[int] = []

    def try_it() -> None:
        with suppress(StoreBusy):
            took.append(take_lease(folder).epoch)

    threads = [threading.Thread(target=try_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert took == [1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
def test_one_fault_is_waited_out(proxy: Proxy, fault: Fault, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if (method, fault) == ("HEAD", "half an answer"):
        pytest.skip("the answer to HEAD has no body")
    if fault == "no answer":
        monkeypatch.setattr(bucket, "ANSWER", timedelta(seconds=1))  # the proxy is silent for three
    folder = open_folder(URL, create=True)
    journal = Journal(take_lease(folder))
    proxy.faults.append((method, fault))
    journal.append([full_entry("a")])
    folder.place.replace("published/current.json", b'{"snapshot": "x"}')
    assert current_name(folder) == "x"
    fresh = Bucket(URL, folder.root.parent / "fresh")
    (part,) = fresh.gather("journal").iterdir()
    assert part.read_bytes() == parts(folder)[0].read_bytes()
    assert proxy.faults == []
    journal.append([entry("b")])
    assert identities(folder) == [entry("a").identity, entry("b").identity]


def test_nothing_acknowledged_is_lost_or_doubled_whatever_breaks(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(7)
    folder = open_folder(URL, create=True)
    acknowledged: list[str] = []
    for epoch in range(4):
        lease = take_lease(folder, take_over=epoch > 0)
        writer = Writer(folder, lease.epoch)
        for number in range(10):
            kinds: list[Fault] = rng.choices(FAULTS[:3], k=3)
            proxy.faults += [(rng.choice(("PUT", "PUT", "GET", "HEAD")), kind) for kind in kinds]
            batch = [entry(f"{epoch} {number} {i}") for i in range(3)]
            writer.append(batch)
            acknowledged += [each.identity for each in batch]
        if epoch % 2:
            writer.close()
            lease.release()
        else:
            writer._connection.close()  # as when it is killed
    proxy.faults.clear()
    assert {"slow down", "answer lost", "half an answer"} <= set(proxy.made)
    assert identities(elsewhere(monkeypatch, tmp_path)) == acknowledged


def test_a_place_that_does_not_answer_stops_a_sweep(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(URL, create=True)
    journal = Journal(take_lease(folder))
    monkeypatch.setattr(bucket, "PATIENCE", 0.5)
    proxy.faults += [("PUT", "slow down")] * 100_000  # more than can be asked for before patience ends
    with pytest.raises(Unreachable, match="has not answered for"):
        journal.append([entry("a")])
    proxy.faults.clear()
    journal.append([entry("a")])
    assert identities(folder) == [entry("a").identity]


def test_a_part_that_came_late_is_not_written_over(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer was lost until patience ended: what was written then may not be taken for what comes next."""
    folder = open_folder(URL, create=True)
    journal = Journal(take_lease(folder))
    monkeypatch.setattr(bucket, "PATIENCE", 0.0)
    proxy.faults += [("PUT", "answer lost")] * 100_000
    proxy.faults += [("GET", "slow down")] * 100_000
    with pytest.raises(Unreachable):
        journal.append([entry("a")])
    proxy.faults.clear()
    monkeypatch.setattr(bucket, "PATIENCE", 30.0)
    with pytest.raises(StaleLease, match="run the same command again"):
        journal.append([entry("b")])
    assert identities(folder) == [entry("a").identity]


def test_copies_of_earlier_snapshots_are_removed(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(URL, create=True)
    writer = Writer(folder, take_lease(folder).epoch)
    there = elsewhere(monkeypatch, tmp_path)
    for name in "abc":
        writer.append([entry(name)])
        writer.publish(now=True)
        with open_snapshot(URL):
            held = sorted(there.published.iterdir())
            newest = current_name(there)
            assert newest in {path.name for path in held}
        for path in held:
            os.utime(path, (1, 1))
    assert [path.name for path in there.published.iterdir()] == [newest]
    writer.close()


def test_leases_are_renewed_by_the_clock_of_the_server(proxy: Proxy) -> None:
    folder = open_folder(URL, create=True)
    lease = take_lease(folder)
    assert 0 <= folder.place.idle("lease/000001.json", probe=True) <= 30
    folder.place.touch("lease/000001.json")
    assert lease.told()["pid"] == os.getpid()
    lease.release()
    assert holder(folder) is None
    assert take_lease(folder).epoch == 2


def test_a_store_that_was_made_anew_is_another(proxy: Proxy, server: int) -> None:
    """Its names repeat those of the old one, and copies of the old one must not be taken for them."""
    first = open_folder(URL, create=True)
    Journal(take_lease(first)).append([entry("a")])
    for name in (*(f"journal/{n}" for n in first.place.names("journal")), "lease/000001.json", "store.json"):
        first.place.remove(name)
    second = open_folder(URL, create=True)
    Journal(take_lease(second)).append([entry("b")])
    assert identities(second) == [entry("b").identity]


def test_a_copy_of_a_part_that_is_gone_is_gone_too(proxy: Proxy) -> None:
    folder = open_folder(URL, create=True)
    journal = Journal(take_lease(folder))
    journal.append([entry("a")])
    journal.append([entry("b")])
    Bucket(URL, folder.root.parent / "x").remove("journal/000001-00000000.parquet")
    assert identities(folder) == [entry("b").identity]


def test_what_is_wrong_is_one_sentence(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for create in (True, False):
        with pytest.raises(BadInput, match="The bucket of s3://missing/x does not exist: make it first"):
            open_folder("s3://missing/x", create=create)
    with pytest.raises(BadInput, match="holds no paredown store"):
        open_folder(URL)
    Bucket(URL, Path()).replace("thesis.txt", b"years of work")
    with pytest.raises(BadInput, match="holds other things"):
        open_folder(URL, create=True)
    with (
        pytest.raises(BadInput, match="nothing to show yet"),
        open_snapshot(Path(open_folder(f"{URL}2", create=True).location)),
    ):
        pass
    forget()
    monkeypatch.setattr(bucket, "FIRST_PATIENCE", 0.3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BadInput, match="cannot be reached"):
        open_folder(URL)
    forget()
    monkeypatch.setattr(bucket, "find_spec", lambda name: None if name == "obstore" else util.find_spec(name))
    with pytest.raises(BadInput, match=r"pip install 'paredown\[s3\]'"):
        open_folder(URL)


def test_forbidden_is_one_sentence(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.store.s3.SLOW_DOWN", b"<Error><Code>AccessDenied</Code></Error>")
    original = Proxy.next_fault
    monkeypatch.setattr(Proxy, "next_fault", lambda self, m, p: original(self, m, p) or "slow down")
    monkeypatch.setattr("tests.bench.store.s3.REFUSED", 403)
    with pytest.raises(BadInput, match="may not be read or written with these credentials"):
        open_folder(URL, create=True)
