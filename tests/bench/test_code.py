"""The digest of the code follows the sources, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.code import code_version


def version_of(folder: Path) -> str:
    """What a fresh process says that imports the package from `folder`."""
    command = [sys.executable, "-B", "-c", "from bench.code import code_version; print(code_version())"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_the_same_sources_elsewhere_are_the_same_version_and_an_edit_is_another(tmp_path: Path) -> None:
    here = Path(str(bench.__file__)).parent
    shutil.copytree(here, tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    assert version_of(tmp_path) == code_version()
    (tmp_path / "bench" / "notes.txt").write_text("no code")
    assert version_of(tmp_path) == code_version()
    with (tmp_path / "bench" / "store" / "schema.sql").open("a") as file:
        file.write("-- edited\n")
    assert version_of(tmp_path) != code_version()


def test_packages_enter_by_name() -> None:
    assert len(code_version()) == 64
    assert code_version() == code_version("bench")
    assert code_version("bench", "cluster") not in (code_version("bench"), code_version("cluster"))
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        code_version("no_such_package")
