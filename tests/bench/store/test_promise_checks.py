"""What a record says of a step's promise is judged again by the facts that it keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.execute import Site, attempt
from bench.identity import digest
from bench.job import BuildJob
from bench.measure.delivered import DELIVERED
from bench.record import Delivery, Finished
from bench.store.findings import Check
from bench.store.folder import Folder, open_folder, take_lease
from bench.store.journal import Entry, Journal, parts
from bench.store.promise_checks import check_promises
from bench.store.rebuild import database_of
from tests.bench.store.test_artefact_checks import built

STEPS: dict[str, dict[str, Any]] = {"cast": {"dtype": "bfloat16"}, "layer_copy": {"decoder": 2}, "sparse_2_4": {}}
Told = dict[str, Any]


@pytest.fixture(scope="module")
def builds(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Delivery]]:
    """A store's folder with the artefacts of a base and of one step each, and the records of their builds."""
    root = tmp_path_factory.mktemp("promises") / "store"
    folder = open_folder(root, create=True)
    base = built(folder, models["bart"])
    found = [base]
    for step, settings in STEPS.items():
        job = BuildJob(
            recipe_id=digest({"step": step}), name=step, parent=artefact_of(base), step=step, settings=settings
        )
        found.append(attempt(job, 1, Site(folder.artefacts)))
    return root, found


def artefact_of(delivery: Delivery) -> str:
    outcome = delivery.record.outcome
    assert isinstance(outcome, Finished), outcome
    return str(outcome.artefact_id)


def checked(folder: Folder, found: list[Delivery]) -> Check:
    Journal(take_lease(folder)).append([Entry.of(delivery) for delivery in found])
    check = Check("promises", "")
    with database_of(parts(folder)) as connection:
        check_promises(folder, connection, check)
    return check


@pytest.fixture
def folder(builds: tuple[Path, list[Delivery]], tmp_path: Path) -> Folder:
    """A store with a copy of the artefacts and nothing in its journal."""
    found = open_folder(tmp_path / "store", create=True)
    shutil.copytree(builds[0] / "artefacts", found.artefacts, dirs_exist_ok=True)
    return found


def test_steps_as_they_were_built(builds: tuple[Path, list[Delivery]], folder: Folder) -> None:
    found = checked(folder, builds[1])
    assert (found.differences, found.notes) == ([], [])
    assert found.compared == 2 * len(STEPS)  # the verdict, and the numbers beside the facts


def changed(delivery: Delivery, edit: Callable[[Told], None]) -> Delivery:
    """A delivery whose answer has been edited."""
    outcome = delivery.record.outcome
    assert isinstance(outcome, Finished)
    answer = json.loads(json.dumps(outcome.answer))
    edit(answer[DELIVERED])
    return Delivery(
        delivery.record.model_copy(update={"outcome": outcome.model_copy(update={"answer": answer})}),
        delivery.examples,
        delivery.samples,
    )


CASES: dict[str, tuple[str, Callable[[Told], None], str]] = {
    # step, what is done to it, and the field that is named
    "a kept promise said to be broken": ("cast", lambda told: told.update(verdict="not delivered"), "verdict"),
    "a promise said to be none": ("cast", lambda told: told.update(verdict="nothing promised"), "verdict"),
    "bytes that did not fall": (
        "cast",
        lambda told: told["after"].update(bytes=told["before"]["bytes"]),
        "verdict",
    ),
    "layers that stayed": ("layer_copy", lambda told: told["before"].update(layers=1), "verdict"),
    "zeros that were there": ("sparse_2_4", lambda told: told["before"].update(zeros=0.99), "verdict"),
    "other operators": ("cast", lambda told: told["after"].update(operators={"aten.mm float32": 3}), "verdict"),
    "something left over": ("sparse_2_4", lambda told: told["after"].update(left=["1 pruning mask (x)"]), "verdict"),
    "parameters that are not those stated": (
        "cast",
        lambda told: told.update({side: told[side] | {"parameters": 7} for side in ("before", "after")}),
        "parameters",
    ),
    "facts that are none": ("cast", lambda told: told.update(after={"bytes": 1}), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_follow_is_named(case: str, builds: tuple[Path, list[Delivery]], folder: Folder) -> None:
    step, edit, field = CASES[case]
    place = 1 + list(STEPS).index(step)
    found = [changed(d, edit) if number == place else d for number, d in enumerate(builds[1])]
    (difference,) = checked(folder, found).differences
    assert difference.subject.startswith(f"build of {step} (")
    assert [name for name, _, _ in difference.fields] == ([field] if field else [])


def test_a_parent_that_is_gone_is_told(builds: tuple[Path, list[Delivery]], folder: Folder) -> None:
    shutil.rmtree(folder.artefacts / artefact_of(builds[1][0]))
    found = checked(folder, builds[1])
    assert (found.compared, found.differences) == (0, [])
    (note,) = found.notes
    assert note.startswith(f"of {len(STEPS)} steps the model before them is not in the store any more")
