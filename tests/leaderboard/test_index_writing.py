"""How the resamples of a large sweep are spread, where a base or some resamples are missing; rows written whole."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping, Sequence

import duckdb
import numpy as np
import pytest
from numpy.typing import NDArray

from leaderboard import index_writing
from leaderboard.index_writing import WIDTH, _rows, _spreads

RNG = np.random.default_rng(0)
NOISY = {name: (0.9 + 0.001 * RNG.standard_normal(500)) for name in ("base", "one", "two", "three")}


def spreads(draws: Mapping[str, NDArray[np.float64]], estimate: float = 0.9) -> dict[str, Sequence[float]]:
    """What is written of the variants with these resamples, the base among them or not; in order."""
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as snap")
    connection.execute(
        "create table snap.draws (sweep_id text, recipe_id text, metric text, scope text, draws float[])"
    )
    connection.execute("create table rows (sweep_id text, recipe_id text, place integer, base text, is_base boolean)")
    connection.execute("create table cells (sweep_id text, metric text, scope text, place integer, estimate double)")
    for place, name in enumerate(NOISY, 1):
        connection.execute("insert into rows values ('s', ?, ?, 'base', ?)", [name, place, name == "base"])
        if name in draws:
            connection.execute("insert into snap.draws values ('s', ?, 'm', '', ?)", [name, draws[name].tolist()])
            connection.execute("insert into cells values ('s', 'm', '', ?, ?)", [place, estimate])
    file = io.BytesIO()
    (table,) = _spreads(connection, "s", "m", "", file)
    assert file.tell() == WIDTH * sum(each.size for each in draws.values())
    found = table.sort_by("place").to_pydict()
    return {name: found[name] for name in ("deviation", "own", "size")}


def test_without_a_number_of_the_base_the_spread_is_about_the_estimates() -> None:
    found = spreads({name: each for name, each in NOISY.items() if name != "base"})
    assert found["own"] == [True] * 3
    assert found["deviation"] == pytest.approx([0.001] * 3, rel=0.2)


def test_one_with_other_resamples_leaves_the_rest_alone() -> None:
    whole, odd = spreads(NOISY), spreads({**NOISY, "two": NOISY["two"][:100]})
    assert [odd["deviation"][i] for i in (0, 1, 3)] == [whole["deviation"][i] for i in (0, 1, 3)]
    assert (odd["deviation"][2], odd["own"][2], odd["size"][2]) == (np.inf, False, 100)


def test_resamples_that_never_differ_have_no_spread_whatever_single_precision_makes_of_them() -> None:
    found = spreads({"base": np.full(500, 0.9), "one": np.full(500, 0.9), "two": NOISY["two"]})
    assert found["own"] == [False, False, True]
    assert found["deviation"][:2] == [0, 0]


def test_a_row_comes_back_whole_whatever_its_numbers_and_names_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_writing, "BATCH", 1)
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as snap")
    name = 'a"\\\n\u202e</b>\x00'
    for statement, told in (
        (
            """create table rows as select 's' as sweep_id, place, 'r' as recipe_id, $name as name, 'b' as base,
            false as is_base, null::integer as seed, 'g' as recipe_group, '[{"step": "cast"}]' as steps,
            'a' as artefact_id, if(place = 1, 'stopped', 'complete') as status, null::text as reason,
            'contested' as verdict, 0.1 + place as share, '' as verdict_reason, null::text as dominated_by, 1 as seeds,
            [$name] as undelivered, true as as_base from range(1, 3) r(place)""",
            {"name": name},
        ),
        (
            """create table cells as select 's' as sweep_id, 1 as place, 'm' as metric, '' as scope, 'nan'::double as
            estimate, '-infinity'::double as low, 'infinity'::double as high, 3 as n, 'x' as method, null::text as
            hardware_class, null::text as note, null::bigint as evidence, 1e-300 as span, null::double as p,
            null::double as p_holm, 1 / 3 as extended""",
            {},
        ),
        (
            """create table stood as select 's' as sweep_id, 1 as place, 'm' as metric, '' as scope, 1 as rank_low,
            2 as rank_high, 'a,b' as tie, 'better' as relation, 0.5::double as difference, 0.25 as low, 1 as high""",
            {},
        ),
        (
            """create table snap.constraints as select 's' as sweep_id, 'r' as recipe_id, place as position,
            'open' as state, place as estimate, 0 as low, 1 as high from range(2, 0, -1) r(place)""",
            {},
        ),
        (
            """create table snap.stops as select 's' as sweep_id, 'a' as artefact_id, '[["m", ""]]' as objectives,
            'reason' as reason""",
            {},
        ),
    ):
        connection.execute(statement, told)
    file = io.BytesIO()
    spots = [row for table in _rows(connection, file) for row in table.to_pylist()]
    assert [(spot["sweep_id"], spot["place"]) for spot in spots] == [("s", 1), ("s", 2)]
    whole = file.getvalue()
    first, second = (json.loads(zlib.decompress(whole[s["nth"] : s["nth"] + s["size"]])) for s in spots)
    assert (first["name"], first["undelivered"], first["seed"], first["share"]) == (name, [name], None, 1.1)
    assert (first["steps"], first["stopped"]) == ([{"step": "cast"}], [["m", ""]])
    (cell,) = first["cells"]
    assert cell[:2] == ["m", ""]
    assert np.isnan(cell[2])
    assert cell[3:] == [-np.inf, np.inf, 3, "x", None, None, None, 1e-300, None, None, 1 / 3]
    assert first["kept"] == [["open", 1, 0, 1], ["open", 2, 0, 1]]
    assert first["stood"] == [["m", "", 1, 2, "a,b", "better", 0.5, 0.25, 1]]
    assert (second["cells"], second["stood"], second["stopped"]) == (None, None, None)
    connection.execute("delete from rows where place = 1")
    with pytest.raises(ValueError, match="rows 1 to 1 of s are not there"):
        [*_rows(connection, file)]
