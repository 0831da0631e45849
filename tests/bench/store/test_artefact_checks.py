"""What a build says of its artefact is counted again from its files."""

from __future__ import annotations

from pathlib import Path

from bench.architecture import model_files
from bench.execute import Site, attempt
from bench.identity import digest, files_digest
from bench.job import BuildJob
from bench.record import Delivery, Finished
from bench.store.artefact_checks import check_artefacts
from bench.store.findings import Check
from bench.store.folder import Folder, open_folder, take_lease
from bench.store.journal import Entry, Journal, parts
from bench.store.rebuild import database_of


def built(folder: Folder, model: Path) -> Delivery:
    recipe = digest({"base": f"files:{files_digest(model, model_files(model))}", "steps": []})
    return attempt(BuildJob(recipe_id=recipe, name="base", folder=str(model)), 1, Site(folder.artefacts))


def checked(folder: Folder, *, deep: bool) -> Check:
    found = Check("artefacts", "")
    with database_of(parts(folder)) as connection:
        check_artefacts(folder, connection, deep=deep, check=found)
    return found


def test_a_build_is_counted_again_when_asked(models: dict[str, Path], tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    Journal(take_lease(folder)).append([Entry.of(built(folder, models["bart"]))])
    deep, plain = checked(folder, deep=True), checked(folder, deep=False)
    assert deep.differences == plain.differences == []
    assert deep.compared == plain.compared + 3  # parameters, layers, FLOPs
    assert (deep.notes, len(plain.notes)) == ([], 1)


def test_a_count_that_is_not_its_own_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    true = built(folder, models["bart"])
    outcome = true.record.outcome
    assert isinstance(outcome, Finished)
    halved = tuple(
        v.model_copy(update={"estimate": v.estimate / 2, "low": v.estimate / 2, "high": v.estimate / 2})
        if v.metric == "flops"
        else v
        for v in outcome.values
    )
    record = true.record.model_copy(update={"outcome": outcome.model_copy(update={"values": halved})})
    Journal(take_lease(folder)).append([Entry.of(Delivery(record))])
    (difference,) = checked(folder, deep=True).differences
    ((name, stated, found),) = difference.fields
    assert (difference.metric, name, found) == ("flops", "flops", 2 * stated)
    assert checked(folder, deep=False).differences == []


def test_what_a_study_left_is_hashed_too(models: dict[str, Path], tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "store", create=True)
    true = built(folder, models["bart"])
    artefacts = folder.open_artefacts()
    with artefacts.draft() as draft:
        (draft / "texts.json").write_text('["what the teacher wrote"]', encoding="utf-8")
        left = artefacts.publish(draft)
    job = {**true.record.job, "passes": {"question": left}}
    Journal(take_lease(folder)).append([Entry.of(Delivery(true.record.model_copy(update={"job": job})))])
    before = checked(folder, deep=True)
    assert before.differences == []
    (artefacts.path(left) / "texts.json").write_text('["something else"]', encoding="utf-8")
    (difference,) = checked(folder, deep=True).differences
    assert difference.subject == f"artefact {left[:10]} of base"
    assert "not those that it is named after" in difference.reason
