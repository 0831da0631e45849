"""A folder that is handed out is there whole or not at all, with the bytes that the store's records are about."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.architecture import model_files
from bench.artefacts import Artefacts
from bench.errors import BadInput, Unreachable
from bench.identity import files_digest
from bench.store import handed_out
from bench.store.handed_out import copy_artefact, new_folder
from tests.bench.test_artefacts import publish
from tests.cluster import small_disk


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def written(folder: Path) -> None:
    with new_folder(folder) as draft:
        (draft / "x").write_text("whole", encoding="utf-8")


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a link to one", "no parents"])
def test_a_new_folder(there: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "model" if there == "no parents" else tmp_path / "model"
    if there == "an empty folder":
        folder.mkdir()
    elif there == "a link to one":
        (tmp_path / "real").mkdir()
        folder.symlink_to(tmp_path / "real")
    with new_folder(folder) as draft:
        (draft / "x").write_text("whole", encoding="utf-8")
        assert not (folder / "x").exists()
    assert (folder / "x").read_text(encoding="utf-8") == "whole"
    assert not [name for name in everything(tmp_path) if handed_out.DRAFT in name]


@pytest.mark.parametrize("there", ["a file", "a full folder", "a dangling link", "this folder", "a nul", "too long"])
def test_where_none_can_be(there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    said = {"a file": "is a file", "a full folder": "is not empty", "this folder": "the folder that you are in"}
    if there == "a file":
        folder.write_text("mine", encoding="utf-8")
    elif there == "a full folder":
        folder.mkdir()
        (folder / ".hidden").write_text("mine", encoding="utf-8")
    elif there == "a dangling link":
        folder.symlink_to(tmp_path / ("x" * 300))
    elif there == "this folder":
        folder.mkdir()
        monkeypatch.chdir(folder)
        folder = Path()
    elif there == "a nul":
        folder = tmp_path / "a\0b"
    elif there == "too long":
        folder = tmp_path / ("x" * 300)
    before = everything(tmp_path)
    with pytest.raises(BadInput, match=said.get(there, "can be no folder")):
        written(folder)
    assert everything(tmp_path) == before


class StopError(Exception):
    """Whatever may go wrong."""


@pytest.mark.parametrize("error", [StopError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_nothing_is_left_of_what_went_wrong(error: BaseException, tmp_path: Path) -> None:
    raised = BadInput if isinstance(error, OSError) else type(error)

    def half() -> None:
        with new_folder(tmp_path / "a" / "b") as draft:
            (draft / "x").write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(raised) as caught:
        half()
    assert raised is not BadInput or "cannot be written (No space left on device)" in str(caught.value)
    assert everything(tmp_path) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for folder in (tmp_path / "file" / "model", Path("/proc/model")):
        with pytest.raises(BadInput, match=r"(cannot be written|can be no folder) \("):
            written(folder)
    assert everything(tmp_path) == ["file"]


def test_what_comes_in_between_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "model"

    def overtaken() -> None:
        with new_folder(folder) as draft:
            (draft / "x").write_text("whole", encoding="utf-8")
            folder.mkdir()
            (folder / "y").write_text("another's", encoding="utf-8")

    with pytest.raises(BadInput, match="cannot be written"):
        overtaken()
    assert everything(tmp_path) == ["model", "model/y"]


KILLED = """
import sys, time
from pathlib import Path
from bench.store.handed_out import new_folder
with new_folder(Path(sys.argv[1])) as draft:
    (draft / "x").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_kill_leaves_nothing_under_the_name_and_its_draft_goes_with_the_next(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "model")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "model").exists()
    (left,) = everything(tmp_path)[:1]
    assert left.startswith(handed_out.DRAFT)
    (tmp_path / f"{handed_out.DRAFT}mine").mkdir()  # no draft of ours
    with new_folder(tmp_path / "other") as draft:
        written(tmp_path / "model")
        assert draft.is_dir()  # of who is still at it
    assert everything(tmp_path) == [f"{handed_out.DRAFT}mine", "model", "model/x", "other"]
    assert (tmp_path / "model" / "x").read_text(encoding="utf-8") == "whole"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[small_disk.SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if not small_disk.mount(folder):
        pytest.skip("may not mount a file system here")
    try:
        yield small_disk.SmallDisk(folder)
    finally:
        small_disk.unmount(folder)


def test_a_full_disk(small: small_disk.SmallDisk, tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "artefacts")
    name = publish(artefacts, "a", 3_000_000)
    small.fill()
    with pytest.raises(BadInput, match=r"cannot be written \(No space left"), new_folder(small.folder / "m") as draft:
        copy_artefact(artefacts, name, draft, "paredown run x")
    assert everything(small.folder) == ["ballast"]


def test_the_bytes_are_those_of_the_name(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "artefacts")
    name = publish(artefacts, "a", 3_000_000)
    to = tmp_path / "to"
    to.mkdir()
    (artefacts.folder / name / ".used").touch()
    (artefacts.folder / name / "notes.md").touch()
    copy_artefact(artefacts, name, to, "paredown run x")
    assert everything(to) == model_files(artefacts.folder / name)
    (to / "numbers.json").write_text("{}", encoding="utf-8")
    (to / "README.md").touch()
    (to / "recipe.yaml").touch()
    assert files_digest(to, model_files(to)) == name


@pytest.mark.parametrize("harm", ["changed", "shorter", "a file more", "a file less", "unreadable", "gone"])
def test_other_bytes_are_refused(harm: str, tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "artefacts")
    name = publish(artefacts, "a", 3_000_000)
    folder = artefacts.folder / name
    weights = next(path for path in sorted(folder.iterdir()) if path.stat().st_size > 1000)
    if harm == "changed":
        with weights.open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"!!")
    elif harm == "shorter":
        os.truncate(weights, 2_999_999)
    elif harm == "a file more":
        (folder / "added.json").write_text("{}", encoding="utf-8")
    elif harm == "a file less":
        weights.unlink()
    elif harm == "unreadable":
        weights.unlink()
        weights.symlink_to("/proc/self/mem")  # of which the first byte cannot be read
    else:
        folder.rename(tmp_path / "elsewhere")
    said = {"gone": "is not in the store any more", "unreadable": "cannot be read"}.get(harm, "has other bytes")
    with pytest.raises(BadInput, match=said) as caught, new_folder(tmp_path / "out") as draft:
        copy_artefact(artefacts, name, draft, "paredown run x --store y")
    assert not (tmp_path / "out").exists()
    assert harm == "unreadable" or "`paredown run x --store y` builds it anew" in str(caught.value)


def test_a_store_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> Path:
        raise Unreachable("s3://results does not answer")

    artefacts = Artefacts(tmp_path / "artefacts")
    name = publish(artefacts, "a")
    monkeypatch.setattr(Artefacts, "path", silent)
    with pytest.raises(BadInput, match=r"cannot be read \(s3://results does not answer\)"):
        copy_artefact(artefacts, name, tmp_path, "paredown run x")
