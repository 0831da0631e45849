"""What pages ask of large sweeps, worked out once a snapshot: a DuckDB file beside it, or in a temporary folder.

Boards of up to `LARGE` variants are read as they are. Of larger ones a page reads only the rows that it shows, and the
file holds what would otherwise be worked out for every view: the order of the rows, words to search in, who has which
seeds, and how far the resamples of each variant lie from its base's. It is written beside and renamed, so that readers
who come at once do the same work twice at worst; the writer's own database is never opened.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import subprocess
import sys
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import Any, TypeVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.errors import BadInput
from bench.store.folder import Folder
from bench.store.reader import DECLARED, Snapshot, open_snapshot
from leaderboard.index_writing import WIDTH, quoted

T = TypeVar("T")
LARGE = 2000  # variants of a sweep
LAYOUT = 5  # of the file; raised whenever it would hold something else
STALE_SECONDS = 600.0  # after which the file of an earlier snapshot is removed, and a draft that nobody finished
MEMORY = "256MB"  # that DuckDB may hold of snapshot and index together
HEAD_START = 0.2  # seconds that a page has to draw what is there before work for it begins beside
WORKERS = 2  # that judge fields beside the pages
PREPARING = "Preparing a large sweep: once for each state of the store …"
REMEMBERED = 160  # answers of up to a few megabytes; three for each filter that somebody asks for


class Indexed(Snapshot):
    """A snapshot as its index reads it: declarations of large sweeps come without variants that nobody asked for."""

    # Of a small sweep the declaration has them; of a large one they are apart.
    variants_declared = (
        f"select value from (select sweep_id, body::json as value from declared union all {DECLARED}) "  # noqa: S608
        "where sweep_id = ?"
    )

    def __init__(self, index: Index, folder: Folder, name: str, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(folder, name, connection)
        self.index = index

    def body(self, sweep_id: str, recipe_ids: Sequence[str] = ()) -> dict[str, Any] | None:
        found = super().body(sweep_id)
        if found is not None and not found["variants"]:
            rows = self.rows(
                "select body from declared where sweep_id = ? and recipe_id in (select unnest(?))",
                [sweep_id, list(recipe_ids)],
            )
            found["variants"] = [json.loads(row["body"]) for row in rows]
        return found


class Index:
    """A snapshot with its index, open for reading. Cursors of it may be used by several threads at once."""

    def __init__(
        self, snapshot: Snapshot, connection: duckdb.DuckDBPyConnection, beside: Path, large: dict[str, int]
    ) -> None:
        self._folder, self._name = snapshot.folder, snapshot.name
        self._connection = connection
        ((draws, rows),) = connection.execute("select draws, rows from beside").fetchall()
        self._draws, self._rows = (beside / draws).open("rb"), (beside / rows).open("rb")
        self._known: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._lock = Lock()
        self._workers = ThreadPoolExecutor(WORKERS)
        self.large = large  # sweep_id -> variants, of the sweeps that are in it

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own: tables of the index, and those of the snapshot as `snap.TABLE`."""
        return self._connection.cursor()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The snapshot, to be asked by one thread."""
        cursor = self.cursor()
        try:
            yield Indexed(self, self._folder, self._name, cursor)
        finally:
            cursor.close()

    def remembered(self, asked: Hashable, read: Callable[[], T]) -> T:
        """What `read` gives, kept for the next one who asks the same; one works it out, others wait for it."""
        future, mine = self._future(asked)
        if mine:
            self._answer(asked, future, read)
        found: T = future.result()
        return found

    def begin(self, asked: Hashable, read: Callable[[], T], patience: float) -> T | None:
        """The same, worked out beside; None where it takes longer than so many seconds: ask again."""
        future, mine = self._future(asked)
        if mine:
            self._workers.submit(self._answer_later, asked, future, read)
        try:
            found: T = future.result(patience)
        except TimeoutError:
            return None
        return found

    def knows(self, asked: Hashable) -> bool:
        """Whether an answer is there, or is not being worked out any more, so that asking again is worth it."""
        with self._lock:
            future = self._known.get(asked)
        return future is None or future.done()

    def _future(self, asked: Hashable) -> tuple[Future[Any], bool]:
        """The answer to be, and whether the caller must work it out."""
        with self._lock:
            mine = asked not in self._known
            if mine:
                self._known[asked] = Future()
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            self._known.move_to_end(asked)
            return self._known[asked], mine

    def _answer_later(self, asked: Hashable, future: Future[Any], read: Callable[[], Any]) -> None:
        time.sleep(HEAD_START)
        self._answer(asked, future, read)

    def _answer(self, asked: Hashable, future: Future[Any], read: Callable[[], Any]) -> None:
        try:
            future.set_result(read())
        except BaseException as error:  # noqa: BLE001 - whoever asked gets it
            with self._lock:
                self._known.pop(asked, None)
            future.set_exception(error)

    def resamples(self, nth: Sequence[int], size: int) -> NDArray[np.float32]:
        """[V, size]: those that begin at these places of the file."""
        descriptor = self._draws.fileno()
        parts = [os.pread(descriptor, size * WIDTH, at * WIDTH) for at in nth]
        return np.frombuffer(b"".join(parts), dtype=np.float32).reshape(-1, size)

    def whole(self, sweep_id: str, places: Sequence[int]) -> list[dict[str, Any]]:
        """Everything known of the rows at these places of a sweep's board, as `index_writing.WHOLE` names it."""

        def read() -> dict[str, Any]:
            ask = "select nth, size from spots where sweep_id = ? order by place"
            return self.cursor().execute(ask, [sweep_id]).fetchnumpy()

        spots = self.remembered(("spots", sweep_id), read)
        at = np.asarray(places, dtype=np.intp) - 1  # places begin at 1
        where = zip(spots["size"][at].tolist(), spots["nth"][at].tolist(), strict=True)
        rows = [os.pread(self._rows.fileno(), size, nth) for size, nth in where]
        return [json.loads(zlib.decompress(row)) for row in rows]


@contextmanager
def open_indexed(root: Path, tell: Callable[[str], None] = lambda _: None) -> Iterator[Snapshot]:
    """The newest snapshot of a store; of a large one by its index, so that not every row is read. Raises BadInput.

    `tell` hears of an index that has to be made.
    """
    with open_snapshot(root) as snapshot:
        index = open_index(snapshot, tell)
        if index is None:
            yield snapshot
            return
    with index.snapshot() as indexed:
        yield indexed


def large_sweeps(snapshot: Snapshot) -> dict[str, int]:
    """sweep_id -> how many variants, of those whose rows do not all come into Python."""
    rows = snapshot.rows("select sweep_id, count(*) as n from variants group by 1 having count(*) > ?", [LARGE])
    return {row["sweep_id"]: row["n"] for row in rows}


def open_index(snapshot: Snapshot, tell: Callable[[str], None] = lambda _: None) -> Index | None:
    """The index of a snapshot, made if there is none yet, which `tell` hears; None where no sweep is large.

    Raises BadInput where it cannot be made, duckdb.Error or OSError where it cannot be read.
    """
    large = large_sweeps(snapshot)
    if not large:
        return None
    near = snapshot.folder.place.near(f"published/{snapshot.name}")
    told = f"{LAYOUT} {LARGE} {near} {snapshot.info()['published']} {near.stat().st_size}"
    name = f".board-{sha256(told.encode()).hexdigest()[:32]}.index"
    found = next((p for p in (snapshot.folder.published / name, _own_folder() / name) if p.exists()), None)
    if found is None:
        tell(PREPARING)
    path = found or _make(snapshot, near, name, list(large))
    connection = duckdb.connect(str(path), read_only=True, config={"memory_limit": MEMORY, "threads": 2})
    connection.execute(f"attach if not exists '{quoted(near)}' as snap (read_only)")
    return Index(snapshot, connection, path.parent, large)


@cache
def _own_folder() -> Path:
    """A folder of this process, for stores that may only be read."""
    path = Path(mkdtemp(prefix="paredown-board-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def _make(snapshot: Snapshot, near: Path, name: str, sweeps: list[str]) -> Path:
    """In a process of its own, whose memory goes with it: declarations of large sweeps are large."""
    beside = snapshot.folder.published
    folder = beside if os.access(beside, os.W_OK) else _own_folder()
    records = [str(path) for path in snapshot.segments]
    asked = json.dumps({"near": str(near), "path": str(folder / name), "sweeps": sweeps, "segments": records})
    run = [
        sys.executable,
        "-P",
        "-c",
        "import sys; from leaderboard.index_writing import write; write(sys.argv[1])",
        asked,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        # What it was names folders of this machine: that is for whoever serves the page.
        logging.getLogger(__name__).error("the index %s could not be written: %s", folder / name, done.stderr.strip())
        raise BadInput(
            f"What large sweeps of the store {snapshot.folder.root} are read by could not be written: free space on "
            "its disk and in the temporary folder, then try again. Whoever serves this finds the reason in its log."
        )
    _tidy(folder, name)
    return folder / name


def _tidy(folder: Path, current: str) -> None:
    """Remove indices of older snapshots, each with what lies beside it, and drafts that nobody finished."""
    groups: dict[str, list[Path]] = {}
    for path in folder.glob(".*.index*"):  # and *.indexing
        if not path.name.startswith(current):
            groups.setdefault(path.name.partition(".index")[0], []).append(path)
    for paths in groups.values():
        with suppress(OSError):
            if max(path.stat().st_mtime for path in paths) < time.time() - STALE_SECONDS:
                for path in paths:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
