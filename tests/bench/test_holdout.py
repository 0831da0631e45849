"""What a sweep holds back: never among what it chooses by, and read by nothing else of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench.data import DataSpec, Example
from bench.errors import BadInput
from bench.execute import outcomes
from bench.models import load
from bench.sweep import Sweep, load_sweep
from bench.sweep_file import SHIPPED, SweepFile, TaskSection
from bench.tasks.spec import WINDOW, TaskSpec, bind_task
from bench.tasks.windows import windows_of
from tests import tiny

KEEPS_BACK = {"demo"}  # the others are compared with published numbers or with committed tables


def made(count: int) -> list[Example]:
    return [Example(i, str(i), None, "x") for i in range(count)]


@given(st.integers(4, 2500), st.floats(0.001, 0.999))
def test_either_part_is_the_rest_of_the_other(count: int, share: float) -> None:
    """And the choosing part is what it is whatever is held back: the beginning of the one fixed order."""
    held = min(max(2, round(count * share)), count - 2)
    choosing, back = windows_of(made(count), "choosing", held), windows_of(made(count), "held back", held)
    seen, kept = ([e.index for w in windows for e in w] for windows in (choosing, back))
    assert not set(seen) & set(kept)
    assert len(kept) == held
    assert seen + kept == [e.index for w in windows_of(made(count)) for e in w]
    for windows in (choosing, back):
        assert all(len(w) == WINDOW for w in windows[:-1])
        assert 1 <= len(windows[-1]) <= WINDOW


def bound(data: dict[str, DataSpec], holdout: float) -> TaskSpec:
    return bind_task("pairs", TaskSection.model_validate({"data": "test", "max_length": 32}), data, holdout)


def test_a_task_in_two_parts(data: dict[str, DataSpec]) -> None:
    whole, part = bound(data, 0), bound(data, 1 / 3)
    assert (whole.part, whole.examples, whole.held) == ("all", 700, 0)
    assert (part.part, part.examples, part.held, part.windows) == ("choosing", 467, 233, 1)
    back = part.held_back
    assert (back.part, back.examples, back.windows) == ("held back", 233, 1)
    assert len({whole.fingerprint, part.fingerprint, back.fingerprint, bound(data, 0.5).fingerprint}) == 4
    assert {t.fingerprint for t in part.smaller_batches}.isdisjoint(t.fingerprint for t in back.smaller_batches)
    assert part.on(data["train"]).part == "all", "other data are other data"
    with pytest.raises(ValueError, match="nothing is held back"):
        _ = whole.held_back


def test_without_a_holdout_a_task_is_called_as_ever(data: dict[str, DataSpec]) -> None:
    """Records of sweeps from before there was one go on counting."""
    spec = bound(data, 0).model_copy(update={"settings": {"max_length": 32}, "data_id": "d" * 64, "version": 1})
    assert spec.fingerprint == "bad5578e96e80515de20f173a4ccd9f5c9711c06e2c927b920e4af4cf9296df7"


def test_a_model_answers_either_part_as_it_answers_the_whole(
    data: dict[str, DataSpec], models: dict[str, Path]
) -> None:
    loaded = load(models["bert"])
    part = bound(data, 1 / 3)
    whole, chosen, back = (outcomes(loaded, spec) for spec in (bound(data, 0), part, part.held_back))
    assert sorted([*chosen.index, *back.index]) == sorted(whole.index) == list(range(700))
    assert (chosen.task, back.task) == (part.fingerprint, part.held_back.fingerprint)
    told = dict(zip(whole.index, whole.prediction, strict=True))
    for found in (chosen, back):
        assert [told[i] for i in found.index] == list(found.prediction)


def sweep_of(folder: Path, **changes: Any) -> Sweep:
    return load_sweep(str(tiny.sweep_file(folder, **changes)))


def test_a_sweep_holds_a_third_back_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = tiny.sweep_file(tmp_path)
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    del values["holdout"]
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    default = load_sweep(str(path))
    assert [(t.part, t.examples, t.held) for t in default.tasks] == [("choosing", 80, 40)]
    half, none = sweep_of(tmp_path, holdout=0.5), sweep_of(tmp_path, holdout=0)
    assert [t.held for t in half.tasks] == [60]
    assert [(t.part, t.held) for t in none.tasks] == [("all", 0)]
    assert len({default.sweep_id, half.sweep_id, none.sweep_id}) == 3
    recipes = [[r.recipe_id for r in sweep.recipes] for sweep in (default, half, none)]
    assert recipes[0] == recipes[1] == recipes[2], "what is built does not depend on it"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda p: p.stem)
def test_sweeps_that_are_compared_with_known_numbers_use_all_the_data(path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert values.get("holdout") == (None if path.stem in KEEPS_BACK else 0)
    assert SweepFile.model_fields["holdout"].default == pytest.approx(1 / 3)


def test_shares_that_cannot_be(tmp_path: Path) -> None:
    for share, words in (
        (-0.1, "greater than or equal to 0"),
        (1, "less than 1"),
        (".nan", "nan"),
        ("a third", "number"),
    ):
        with pytest.raises(BadInput, match=f"'holdout' in the sweep.*{words}"):
            sweep_of(tmp_path, holdout=share)
    for share, held in ((0.01, 1), (0.99, 119)):
        words = f"holdout is {share}, .* {held} of the 120 examples of the task 'pairs'.*least 2"
        with pytest.raises(BadInput, match=words):
            sweep_of(tmp_path, holdout=share)
    few = {"source": str(tiny.data_file(tmp_path / "few.jsonl", 4)), "text": "premise", "pair": "hypothesis"}
    with pytest.raises(BadInput, match=r"holds back 1 of the 4 .*set holdout: 0"):
        sweep_of(tmp_path, holdout=1 / 3, data={"test": few, "train": few}, recipes=[])


def test_no_step_may_read_what_is_held_back(tmp_path: Path) -> None:
    tiny.sweep_file(tmp_path)
    pair = {"text": "premise", "pair": "hypothesis", "label": "label"}
    test = {"source": "test.jsonl", **pair}

    def tuned(rows: dict[str, Any], **changes: Any) -> Sweep:
        data = {"test": {**test, "limit": 60}, "train": {**test, **rows}}
        return sweep_of(
            tmp_path, **{"data": data, "recipes": [[{"finetune": {"data": "train"}}]], "holdout": 0.5} | changes
        )

    with pytest.raises(
        BadInput, match=r"step 'finetune' reads the data set 'train', which has 30 of the 30 rows .*'pairs'"
    ):
        tuned({})
    with pytest.raises(BadInput, match="rows that the task 'pairs' holds back"):
        tuned({"limit": 50})
    assert tuned({"offset": 60}).recipes
    assert tuned({}, holdout=0).recipes
    teachers = {"wise": {"model": "model", "prepare": [{"finetune": {"data": "train"}}]}}
    with pytest.raises(BadInput, match="step 'finetune' reads"):
        tuned({}, recipes=[], teachers=teachers)


def test_no_task_may_choose_on_what_another_holds_back(tmp_path: Path) -> None:
    tiny.sweep_file(tmp_path)
    pair = {"text": "premise", "pair": "hypothesis", "label": "label"}
    data: dict[str, Any] = {
        "test": {"source": "test.jsonl", **pair},
        "less": {"source": "test.jsonl", **pair, "limit": 90},
        "rest": {"source": "test.jsonl", **pair, "offset": 90},
    }

    def both(first: str, second: str) -> Sweep:
        tasks = {"one": {"data": first, "max_length": 32}, "two": {"data": second, "max_length": 16}}
        return sweep_of(tmp_path, data=data, tasks=tasks, recipes=[], holdout=1 / 3, quality="one.accuracy")

    assert both("test", "test").tasks
    assert both("less", "rest").tasks
    with pytest.raises(
        BadInput, match=r"The task '(one|two)' chooses on \d+ of the \d+ rows that the task '(one|two)'"
    ):
        both("test", "less")
