"""What a sweep file requires of its variants, and which differences matter: checked before anything is spent."""

from pathlib import Path
from typing import Any

import pytest

from bench.errors import BadInput
from bench.requirements import Requirement
from bench.sweep import Sweep, load_sweep
from tests import tiny

SHAPE = "batch 1 x 16 tokens"
TWO_TASKS = {"a": {"data": "test", "max_length": 32}, "b": {"data": "test", "max_length": 32}}
TWO_SHAPES = {"length": [8, 16], "first_rounds": 20, "max_rounds": 20, "burst_ms": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweeps")
    tiny.sweep_file(root)
    return root


def sweep_of(folder: Path, **changes: object) -> Sweep:
    return load_sweep(str(tiny.sweep_file(folder, **{"recipes": [["int8_dynamic"]], **changes})))


def required(folder: Path, *texts: str, **changes: object) -> list[tuple[str, str, str, float]]:
    found = sweep_of(folder, constraints=list(texts), **changes).constraints
    return [(c.metric, c.scope, c.operator, c.bound) for c in found]


def test_every_kind_of_number_finds_its_scope(folder: Path) -> None:
    asked = {
        "latency_p95_ms <= 20": ("latency_p95_ms", SHAPE, "<=", 20.0),
        "latency_ratio:1x16 <= 80%": ("latency_ratio", SHAPE, "<=", 0.8),
        "recovery >= 99%": ("recovery", "pairs", ">=", 0.99),
        "accuracy_difference >= -0.01": ("accuracy_difference", "pairs", ">=", -0.01),
        "macro_f1 > 0.5": ("macro_f1", "pairs", ">", 0.5),
        "flips_lost <= 2%": ("flips_lost", "pairs", "<=", 0.02),
        "agreement:pairs / a part >= 0.9": ("agreement", "pairs / a part", ">=", 0.9),
        "size < 100kB": ("size", "", "<", 1e5),
        "host_peak <= 1 GB": ("host_peak", SHAPE, "<=", 1e9),
        "load_seconds <= 1": ("load_seconds", "", "<=", 1.0),
    }
    assert required(folder, *asked) == list(asked.values())
    assert required(folder, ", ".join(asked)) == list(asked.values())
    assert sweep_of(folder).constraints == ()


def test_what_is_written_is_kept(folder: Path) -> None:
    (found,) = sweep_of(folder, constraints=["size  at most 100 kB"]).constraints
    assert found == Requirement(metric="size", scope="", operator="<=", bound=1e5, text="size  at most 100 kB")


def test_a_sweep_with_other_constraints_measures_the_same(folder: Path) -> None:
    """So it is the same board: nothing is run again for them."""
    plain = sweep_of(folder)
    judged = sweep_of(folder, constraints=["size <= 1MB"], matters={"quality": 0.01, "latency": 0.05})
    assert judged.sweep_id == plain.sweep_id
    assert [o.matters for o in judged.objectives] == [0.01, 0.05]
    assert [o.matters for o in plain.objectives] == [0, 0]


def test_a_difference_that_matters_is_named_as_in_objectives(folder: Path) -> None:
    changes: dict[str, Any] = {"latency": TWO_SHAPES, "objectives": ["quality", "latency:1x8", "latency:1x16"]}
    found = sweep_of(folder, **changes, matters={"latency": 0.05, "latency:1x16": 0.1})
    assert [o.matters for o in found.objectives] == [0, 0.05, 0.1]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"constraints": ["acuracy >= 0.9"]}, "no metric called 'acuracy'. Did you mean 'accuracy'"),
    ({"constraints": ["rougeLsum >= 9"]}, "rougeLsum, which no task of the sweep gives: tasks give accuracy, macro_f1"),
    ({"constraints": ["accuracy:pears >= 0.9"]}, "no scope of accuracy in this sweep called 'pears'. .*'pairs'"),
    ({"constraints": ["macro_f1:pairs / a part >= 0.9"]}, "no scope of macro_f1"),
    ({"constraints": ["accuracy >= 0.9"], "tasks": TWO_TASKS, "quality": "a.accuracy"}, "names no scope.*of a, b"),
    ({"constraints": ["latency_ms <= 9"], "latency": TWO_SHAPES, "objectives": ["size"]}, "batch 1 x 8 tokens, batch"),
    ({"constraints": ["latency_ms:2x16 <= 9"]}, "no scope of latency_ms in this sweep called '2x16'"),
    ({"constraints": ["latency_ms <= 9"], "latency": {"leases": 0}, "objectives": ["size"]}, "latency.leases is 0"),
    ({"constraints": ["host_peak <= 9GB"], "memory": {"repeats": 0}}, "memory.repeats is 0"),
    ({"constraints": ["tokens_per_second >= 9"]}, "tokens_per_second, which is of writing, but latency.new_tokens is"),
    ({"constraints": ["per_token_ms <= 9"]}, "per_token_ms, which is of writing"),
    ({"constraints": ["accuracy <= 0.9"]}, "would leave out the best variants, for higher accuracy .* write >="),
    ({"constraints": ["size >= 9MB"]}, "would leave out the best variants, for lower size .* write <="),
    ({"constraints": ["size <= 3MB", "size >= 9MB"]}, "meet both 'size <= 3MB' and 'size >= 9MB'"),
    ({"constraints": ["accuracy >= 90"]}, "met by no possible value"),
    ({"constraints": "size <= 3MB"}, "valid list"),
    ({"matters": {"size": 1000}}, "in matters called 'size'.*Known: latency, quality"),
    ({"matters": {"quality": -0.1}}, "'matters.quality' .* is -0.1, but: .*greater than or equal to 0"),
    ({"matters": {"quality": float("nan")}}, "'matters.quality' .* finite"),
    ({"matters": {"quality": "1%"}}, "'matters.quality' .* is '1%', but: .*valid number"),
    ({"matters": {"quality": True}}, "'matters.quality' .* is True"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=[s[:40] for _, s in REFUSED])
def test_what_is_refused(changes: dict[str, Any], sentence: str, folder: Path) -> None:
    with pytest.raises(BadInput, match=sentence):
        sweep_of(folder, **changes)
