"""`paredown store`: a store made anew, joined with others, and carried away."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner

from bench.artefacts import Artefacts
from bench.errors import BadInput, StoreBusy
from bench.identity import digest
from bench.record import Delivery
from bench.store import upkeep
from bench.store.folder import Folder, open_folder, take_lease
from bench.store.journal import Entry, parts, read_entries
from bench.store.reader import open_snapshot
from bench.store.upkeep import export, merge, rebuild
from bench.store.writer import Writer
from cluster.store import app
from tests.bench.store.entries import entry, full_entry, record
from tests.bench.test_artefacts import publish


def store(root: Path, *batches: list[Entry]) -> Folder:
    folder = open_folder(root, create=True)
    lease = take_lease(folder)
    with closing(Writer(folder, lease.epoch)) as writer:
        for batch in batches:
            writer.append(batch)
    lease.release()
    return folder


def identities(folder: Folder) -> list[str]:
    return [identity for part in parts(folder) for _, identity, _ in read_entries(part)]


def named(*names: str) -> list[str]:
    return [entry(name).identity for name in names]


def built(artefacts: Artefacts, name: str) -> Entry:
    """A record of a build whose artefact is there."""
    artefact_id = publish(artefacts, name)
    made = record(name)
    outcome = made.outcome.model_copy(update={"artefact_id": artefact_id, "values": ()})
    return Entry.of(Delivery(made.model_copy(update={"outcome": outcome})))


def test_a_store_is_made_anew_from_its_journal(tmp_path: Path) -> None:
    folder = store(tmp_path / "store", [entry("a"), full_entry("b")], [entry("c", failed=True)])
    with duckdb.connect(str(folder.database)) as connection:
        connection.execute("delete from records")
        connection.execute("update examples set score = 7")
    shutil.rmtree(folder.published)
    folder.published.mkdir()
    found = rebuild(folder)
    assert (found.parts, found.records) == (2, 3)
    with open_snapshot(folder.root) as snapshot:
        assert snapshot.name == found.snapshot
        assert snapshot.rows("select count(*) as n from records") == [{"n": 3}]
    with duckdb.connect(str(folder.database), read_only=True) as connection:
        assert connection.execute("select sum(score) from examples").fetchall() == [(2.0,)]
    assert take_lease(folder).epoch == 3


def test_a_store_in_use_is_left_alone(tmp_path: Path) -> None:
    folder = store(tmp_path / "store", [entry("a")])
    take_lease(folder)
    with pytest.raises(StoreBusy):
        rebuild(folder)
    with pytest.raises(StoreBusy, match="merge it when that has ended"):
        merge(tmp_path / "new", [folder.root])
    assert not (tmp_path / "new").exists()
    with pytest.raises(StoreBusy):
        merge(folder.root, [store(tmp_path / "other", [entry("b")]).root])


def test_a_part_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    folder = store(tmp_path / "store", [entry("a")])
    parts(folder)[0].write_bytes(b"PAR1 no more")
    for action in (lambda: rebuild(folder), lambda: merge(tmp_path / "new", [folder.root])):
        with pytest.raises(BadInput, match=r"cannot be read .*paredown verify"):
            action()
    with pytest.raises(BadInput, match="cannot be read"):
        export(folder, tmp_path / "out")
    take_lease(folder)  # which is free again


def test_stores_are_joined_and_each_record_is_there_once(tmp_path: Path) -> None:
    one = store(tmp_path / "one", [entry("a"), entry("b")])
    two = store(tmp_path / "two", [entry("b"), full_entry("c")], [entry("d", failed=True)])
    before = {p: p.read_bytes() for folder in (one, two) for p in parts(folder)}
    merged = merge(tmp_path / "all", [one.root, two.root])
    assert (merged.parts, merged.entries, merged.repeated) == (3, 4, 1)
    into = open_folder(tmp_path / "all")
    assert identities(into) == [*named("a", "b", "c"), entry("d", failed=True).identity]
    assert {p: p.read_bytes() for folder in (one, two) for p in parts(folder)} == before
    with duckdb.connect(str(into.database), read_only=True) as connection:
        assert connection.execute("select count(*), count(distinct identity) from examples").fetchall() == [(3, 1)]
    again = merge(tmp_path / "all", [two.root, one.root])
    assert (again.parts, again.entries, again.repeated) == (0, 0, 5)
    assert len(identities(into)) == 4


def test_artefacts_come_along_but_not_broken_ones(tmp_path: Path) -> None:
    mine = open_folder(tmp_path / "one", create=True)
    entries = [built(mine.open_artefacts(), name) for name in ("good", "bad", "gone")]
    store(mine.root, entries)
    good, bad, gone = ((json.loads(e.body)["outcome"]["artefact_id"]) for e in entries)
    (mine.artefacts / bad / "config.json").write_text("{}")
    shutil.rmtree(mine.artefacts / gone)
    merged = merge(tmp_path / "all", [mine.root])
    assert (merged.artefacts, merged.broken, merged.missing) == (1, [bad[:10]], [gone[:10]])
    assert [p.name for p in (tmp_path / "all" / "artefacts").iterdir()] == [good]
    assert merge(tmp_path / "all", [mine.root]).artefacts == 0


SLOW = """
import sys
from pathlib import Path
from bench.store import upkeep
whole = upkeep._merge_part
def slowly(*arguments):
    whole(*arguments)
    print("one", flush=True)
    sys.stdin.readline()
upkeep._merge_part = slowly
upkeep.merge(Path(sys.argv[1]), [Path(sys.argv[2])])
"""


def test_a_merge_that_was_killed_goes_on(tmp_path: Path) -> None:
    source = store(tmp_path / "one", *([entry(f"job {number}")] for number in range(30)))
    command = [sys.executable, "-c", SLOW, str(tmp_path / "all"), str(source.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(5):
            assert process.stdout.readline() == "one\n"
            process.stdin.write("go on\n")
            process.stdin.flush()
        process.kill()
    merged = merge(tmp_path / "all", [source.root])
    assert merged.repeated >= 5
    assert merged.entries + merged.repeated == 30
    assert identities(open_folder(tmp_path / "all")) == identities(source)


def test_what_cannot_be_merged_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    one = store(tmp_path / "one", [entry("a")])
    old = store(tmp_path / "old", [entry("b")])
    (old.root / "store.json").write_text('{"kind": "paredown store", "schema": 2, "id": "x"}')
    with pytest.raises(BadInput, match="has layout 2"):
        merge(tmp_path / "all", [one.root, old.root])
    with pytest.raises(BadInput, match="not a paredown store"):
        merge(tmp_path / "all", [tmp_path / "missing"])
    assert not (tmp_path / "all").exists()
    with pytest.raises(BadInput, match="both where to merge into and what to merge"):
        merge(one.root, [one.root / ".." / "one"])
    assert identities(one) == named("a")


def test_the_way_out_holds_every_table(tmp_path: Path) -> None:
    folder = store(tmp_path / "store", [entry("a"), full_entry("b")])
    found = export(folder, tmp_path / "out")
    assert found.rows["records"] == found.rows["board/records"] == 2
    tables = {p.stem: pq.read_table(p) for p in (tmp_path / "out").glob("*.parquet")}
    assert tables["examples"].num_rows == 3
    assert "create table if not exists records" in (tmp_path / "out" / "schema.sql").read_text()
    with duckdb.connect(str(folder.database), read_only=True) as connection:
        names = {n for (n,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    assert names == set(tables)
    assert {p.stem for p in (tmp_path / "out" / "board").glob("*.parquet")} >= {"numbers", "variants", "metrics"}
    with pytest.raises(BadInput, match="is not empty"):
        export(folder, tmp_path / "out")
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match=r"not empty|cannot be written"):
            export(folder, target)


def test_the_verbs_say_what_they_did(tmp_path: Path) -> None:
    store(tmp_path / "one", [entry("a"), entry("b")])
    run = CliRunner().invoke
    done = run(app, ["rebuild", "--store", str(tmp_path / "one")])
    assert done.exit_code == 0
    assert done.output.startswith("Made anew: 2 records from 1 part of the journal; published as 00000")
    done = run(app, ["merge", str(tmp_path / "all"), str(tmp_path / "one")])
    assert "2 entries in 1 part, 0 artefacts; 0 of the entries were there already" in done.output
    assert f"1 artefact ({digest({'artefact': 'a'})[:10]}" not in done.output
    assert "2 artefacts (" in done.output
    done = run(app, ["export", str(tmp_path / "out"), "--store", str(tmp_path / "all")])
    assert "records.parquet: 2 rows" in done.output.replace("\n", "")
    done = run(app, ["export", str(tmp_path / "out"), "--store", str(tmp_path / "all")])
    assert isinstance(done.exception, BadInput)


def test_two_merges_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    source = store(tmp_path / "one", *([entry(f"job {number}")] for number in range(10)))
    command = [sys.executable, "-c", SLOW, str(tmp_path / "all"), str(source.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        with pytest.raises(StoreBusy):
            upkeep.merge(tmp_path / "all", [source.root])
        process.communicate(timeout=120)  # at the end of its input it goes on
    assert identities(open_folder(tmp_path / "all")) == identities(source)
