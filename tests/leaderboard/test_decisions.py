"""What steps decided, as people read it."""

import json
from pathlib import Path
from typing import Any

from bench.store.reader import open_snapshot
from leaderboard.decisions import (
    heat_map,
    heat_map_sentence,
    kept_sentence,
    layers_sentence,
    ranges,
    read_decisions,
    trace_sentence,
    trial_rows,
)
from tests.leaderboard.sample import VARIANTS, make_store

PRUNED: dict[str, Any] = {
    "strategy": "similarity",
    "stack": None,
    "depth": 5,
    "dropped": [2, 3],
    "kept": [0, 1, 4],
    "distance": [[0.4, 0.3, 0.2, 0.1, 0.5], [0.45, 0.35, 0.15, 0.6], [0.5, 0.4, 0.55], [0.7, 0.8]],
    "samples": 1024,
}
SEARCHED: dict[str, Any] = {
    "metric": "rougeLsum",
    "order": "mse",
    "base": 41.5274,
    "target": 41.112,
    "n": 512,
    "modules": 6,
    "kept": ["a.fc1", "b.fc2"],
    "trials": [
        {"kept": [], "score": 40.12, "reached": False, "taken": False},
        {"kept": ["a", "b", "c"], "score": None, "reached": False, "taken": False},
        {"kept": ["a", "b", "c", "d"], "score": 41.2, "reached": True, "taken": True},
    ],
}


def test_layers_are_named_in_ranges() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0 to 2, 5, 7 to 8"
    assert ranges([]) == "none"
    sentence = "Dropped layers 2 to 3 of 0 to 4 (the block that changes its input least); kept 0 to 1, 4."
    assert layers_sentence(PRUNED) == sentence
    assert "decoder layers" in layers_sentence({**PRUNED, "stack": "decoder"})


def test_the_heat_map_shows_every_block_and_rings_the_dropped_one() -> None:
    drawn = heat_map(PRUNED).to_dict()
    (cells,) = drawn["data"]
    assert [list(row) for row in cells["z"]] == [
        [0.4, 0.3, 0.2, 0.1, 0.5],
        [0.45, 0.35, 0.15, 0.6, None],
        [0.5, 0.4, 0.55, None, None],
        [0.7, 0.8, None, None, None],
    ]
    (ring,) = drawn["layout"]["shapes"]
    assert (ring["x0"], ring["x1"], ring["y0"], ring["y1"]) == (1.5, 2.5, 1.5, 2.5)
    assert "1,024 calibration samples" in heat_map_sentence(PRUNED)


def test_a_search_shows_every_trial_and_what_it_aimed_at() -> None:
    assert trial_rows(SEARCHED) == [
        ("0 of 6", "40.12", "missed"),
        ("3 of 6", "no score", "missed"),
        ("4 of 6", "41.2", "reached, taken"),
    ]
    sentence = (
        "rougeLsum in float: 41.53; target: 41.11 on 512 tuning examples. Modules tried in the order of output error."
    )
    assert trace_sentence(SEARCHED) == sentence
    assert kept_sentence(SEARCHED) == "In float: a.fc1, b.fc2."
    assert kept_sentence({"kept": []}) == "In float: none."


def test_layers_that_are_no_block_are_not_ringed() -> None:
    assert "shapes" not in heat_map({**PRUNED, "dropped": [1, 3]}).to_dict()["layout"]


def test_decisions_come_from_the_builds_that_a_variant_stands_on(tmp_path: Path) -> None:
    root = make_store(tmp_path / "store", answers={VARIANTS[2].recipe_id: {"depth_prune": PRUNED}})
    with open_snapshot(root) as snapshot:
        sweep_id = snapshot.sweeps()[0]["sweep_id"]
        found = read_decisions(snapshot, sweep_id, VARIANTS[2].recipe_id)
        assert json.loads(json.dumps(found)) == {"depth_prune": PRUNED}
        assert read_decisions(snapshot, sweep_id, VARIANTS[1].recipe_id) == {}
        assert read_decisions(snapshot, "nowhere", "nobody") == {}
