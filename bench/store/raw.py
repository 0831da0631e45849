"""Raw material of finished records, read from the journal's parts when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bench.store.folder import Folder
from bench.store.journal import parts

FloatArray = NDArray[np.float64]
Tables = dict[str, FloatArray]  # scope -> [rounds, models]


class Raw:
    """What evaluations and leases gave, by the key of their job. Parts never change, so nothing is read twice."""

    def __init__(self, journal: Folder | Path) -> None:
        self._journal = journal
        self._parts: dict[str, Path] = {}  # identity -> where it is
        self._seen: set[Path] = set()
        self._scores: dict[tuple[str, str], tuple[NDArray[np.int64], FloatArray]] = {}
        self._rounds: dict[str, tuple[Tables, Tables]] = {}

    def scores(self, key: str, column: str) -> tuple[NDArray[np.int64], FloatArray]:
        """(index, value) of one statistic of every example of an evaluation. KeyError for an unknown key."""
        if (key, column) not in self._scores:
            entries = self._entry(key, "examples")
            index = np.asarray(entries.field("index").to_numpy(), dtype=np.int64)
            if column == "score":
                values = entries.field("score").to_numpy()
            else:
                values = np.array([dict(row)[column] for row in entries.field("columns").to_pylist()])
            self._scores[key, column] = index, np.asarray(values, dtype=np.float64)
        return self._scores[key, column]

    def rounds(self, key: str, artefact_ids: tuple[str, ...]) -> tuple[Tables, Tables]:
        """Seconds and joules per call of a lease by scope, the mean of each round's two visits; NaN for no joules."""
        if key not in self._rounds:
            entries = self._entry(key, "samples")
            place = {artefact_id: i for i, artefact_id in enumerate(artefact_ids)}
            model = np.array([place[a] for a in entries.field("artefact_id").to_pylist()])
            scope = np.array(entries.field("scope").to_pylist())
            number = np.asarray(entries.field("round").to_numpy(), dtype=np.int64)
            found: tuple[Tables, Tables] = {}, {}
            for name in dict.fromkeys(scope.tolist()):
                rows = scope == name
                for tables, column in zip(found, ("seconds", "joules"), strict=True):
                    values = np.asarray(entries.field(column).to_numpy(zero_copy_only=False), dtype=np.float64)
                    table = np.zeros((int(number[rows].max()) + 1, len(place)))
                    np.add.at(table, (number[rows], model[rows]), values[rows] / 2)
                    tables[str(name)] = table
            self._rounds[key] = found
        return self._rounds[key]

    def _entry(self, key: str, column: str) -> Any:
        """The raw material of one record, as a struct of columns."""
        if key not in self._parts:
            self._look()
        rows = pq.read_table(self._parts[key], columns=["identity", column])
        place = rows.column("identity").to_pylist().index(key)
        return rows.column(column)[place].values

    def _look(self) -> None:
        """Learn what is in parts that came since."""
        for part in parts(self._journal):
            if part not in self._seen:
                for identity in pq.read_table(part, columns=["identity"]).column("identity").to_pylist():
                    self._parts.setdefault(identity, part)
                self._seen.add(part)
