"""A sweep that is declared again is one board: the newest declaration counts, and one that says nothing new is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.store.database import take_in
from bench.store.folder import Folder, open_folder, take_lease
from bench.store.journal import Entry, parts
from bench.store.reader import open_snapshot
from bench.store.rebuild import database_of
from bench.store.writer import Writer
from tests.leaderboard import sample


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "store", create=True)


def declared(second: int, **changes: Any) -> Entry:
    """The sample's declaration as of that second, with changes."""
    body = json.loads(sample.declaration().body) | {"declared": f"2026-11-20T09:00:{second:02d}.000+00:00"} | changes
    return Entry.statement("sweep", f"sweep {body['sweep_id']} {body['declared']}", body)


def bound(text: str) -> dict[str, Any]:
    """A constraint as it is declared, under that text."""
    return {"metric": "size", "scope": "", "operator": "<=", "bound": 1e9, "text": text}


def newest(folder: Folder) -> dict[str, Any]:
    with open_snapshot(folder.root) as snapshot:
        (sweep,) = snapshot.sweeps()
    body: dict[str, Any] = sweep["body"]
    return body


def test_the_newest_declaration_counts_and_returning_to_an_older_one_is_new(folder: Folder) -> None:
    writer = Writer(folder, take_lease(folder).epoch)
    for second, constraints in enumerate(([], [bound("one")], [bound("two")], [bound("one")])):
        writer.append([declared(second, constraints=constraints)])
        writer.publish(now=True)
        assert newest(folder)["constraints"] == constraints
    assert len(parts(folder.journal)) == 4
    writer.close()


def test_a_declaration_that_says_nothing_new_is_not_written(folder: Folder) -> None:
    lease = take_lease(folder)
    writer = Writer(folder, lease.epoch)
    writer.append([declared(0, constraints=[bound("one")], asked=["demo"])])
    writer.append([declared(1, constraints=[bound("one")], asked=["bench/sweeps/demo.yaml"])])
    writer.close()
    lease.release()
    again = Writer(folder, take_lease(folder).epoch)
    again.append([declared(2, constraints=[bound("one")])])
    assert len(parts(folder.journal)) == 1
    again.close()
    assert newest(folder)["asked"] == ["demo"]


def test_time_and_not_the_order_of_parts_says_which_is_the_newest(folder: Folder) -> None:
    """Folders are merged by copying parts, whose names say nothing of when."""
    writer = Writer(folder, take_lease(folder).epoch)
    writer.append([declared(30, constraints=[bound("late")])])
    writer.append([declared(10, constraints=[bound("early")])])
    writer.close()
    assert newest(folder)["constraints"] == [bound("late")]
    with database_of(parts(folder.journal)[::-1]) as connection:
        for part in parts(folder.journal):
            take_in(connection, part)
        ((body,),) = connection.execute("select body from sweeps").fetchall()
    assert json.loads(body)["constraints"] == [bound("late")]
