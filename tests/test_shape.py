"""The rules of the layout, proven on the syntax trees: which package imports which, how long things are, what they are
called."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "cluster", "leaderboard")
MOST_LINES, MOST_FUNCTION_LINES = 350, 60
VAGUE = {"utils", "util", "common", "helpers", "helper", "base", "core", "misc", "shared"}

# What the page may know: the store's rows, statistics, what can go wrong, what metrics mean. Nothing that runs.
OF_LEADERBOARD = ("bench.store", "bench.statistics", "bench.record", "bench.errors", "bench.metrics")
OF_RAY = {
    f"cluster.{name}"
    for name in ("runner_ray", "ray_metrics", "ray_nodes", "ray_share", "ray_start", "ray_work", "ray_writer")
}
# The composition root and the tables that it prints.
MAY_SEE_LEADERBOARD = {
    f"cluster.{name}"
    for name in (
        *("across", "cli", "cli_board", "cli_show", "confirmed", "export", "report"),
        *("review", "settle", "settled", "show", "shown", "status", "why"),
    )
}


class Import(NamedTuple):
    """One import statement; `lazy` inside a function, `typing` under `if TYPE_CHECKING`."""

    module: str
    target: str
    lazy: bool
    typing: bool


def sources(*packages: str) -> list[Path]:
    return sorted(p for package in packages for p in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Import]:
    def walk(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            here = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            hints = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            if isinstance(child, ast.Import):
                yield from (Import(name_of(path), alias.name, here, hints) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path} imports relatively: name the package"
                for alias in child.names:
                    yield Import(name_of(path), f"{child.module}.{alias.name}", here, hints)
            else:
                yield from walk(child, here, hints)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), lazy=False, typing=False)


@cache
def all_imports(*packages: str) -> list[Import]:
    return [found for path in sources(*packages) for found in imports(path)]


def test_the_scan_sees_imports() -> None:
    """Guards the other tests: were the scan blind, they would all pass."""
    found = all_imports("cluster")
    assert any(i.module == "cluster.cli" and i.target.startswith("leaderboard.") and i.lazy for i in found)
    assert any(i.module == "cluster.plan" and i.target == "bench.sweep.Sweep" and not i.lazy for i in found)
    assert any(i.typing for i in all_imports("bench"))


def test_bench_imports_neither_of_the_others() -> None:
    assert not [i for i in all_imports("bench") if i.target.split(".")[0] in ("cluster", "leaderboard")]


def test_leaderboard_imports_only_what_it_reads() -> None:
    ours = [i for i in all_imports("leaderboard") if i.target.split(".")[0] in ("bench", "cluster")]
    assert [i for i in ours if not i.target.startswith(tuple(f"{a}." for a in OF_LEADERBOARD))] == []
    heavy = ("torch", "transformers", "ray", "evaluate", "accelerate")
    assert not [i for i in all_imports("leaderboard") if i.target.split(".")[0] in heavy]


def test_only_the_composition_root_sees_all_three() -> None:
    found = [i for i in all_imports("cluster") if i.target.split(".")[0] == "leaderboard"]
    assert {i.module for i in found} <= MAY_SEE_LEADERBOARD
    assert all(i.lazy for i in found if i.module == "cluster.cli")


def test_nothing_imports_the_command() -> None:
    assert not [i for i in all_imports(*PACKAGES) if f"{i.target}.".startswith("cluster.cli.")]


def test_ray_evaluate_and_streamlit_stay_where_they_are_optional() -> None:
    """Ray only in its runner (elsewhere in functions), evaluate only in the metric modules, Streamlit on the page."""
    eager = [i for i in all_imports(*PACKAGES) if not i.lazy and not i.typing]
    assert {i.module for i in eager if i.target.split(".")[0] == "ray"} <= OF_RAY
    evaluate = {i.module for i in eager if i.target.split(".")[0] in ("evaluate", "datasets", "sklearn")}
    assert evaluate == {"bench.metrics.accuracy", "bench.metrics.macro_f1"}
    assert {i.module.split(".")[0] for i in eager if i.target.split(".")[0] == "streamlit"} <= {"leaderboard"}


@pytest.mark.parametrize("path", sources(*PACKAGES, "tests"), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= MOST_FUNCTION_LINES, f"{node.name} in {path.name}"


def test_names_say_what_is_inside() -> None:
    vague = [str(p.relative_to(ROOT)) for p in sources(*PACKAGES, "tests") if p.stem.strip("_") in VAGUE]
    assert vague == []
    folders = {p.parent.name for p in sources(*PACKAGES)}
    assert not folders & VAGUE


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(p.relative_to(ROOT))
        for p in sources(*PACKAGES)
        if (text := p.read_text(encoding="utf-8")) and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def tracked() -> list[Path]:
    """Every file of the project, whether committed yet or not; what git ignores is no part of it."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def test_no_path_of_a_machine_stands_in_the_project() -> None:
    here = re.escape(str(ROOT).encode() + b"/")  # wherever the tests run, and whoever ran them before
    home = re.compile(rb"/(?:home|Users)/[a-z]\w+/|/root/|/tmp/pytest|" + here)
    found = [
        (str(path.relative_to(ROOT)), match[0])
        for path in tracked()
        if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".sh", ".cfg", ".txt", ".jsonl", ""}
        if path != Path(__file__) and (match := home.search(path.read_bytes()))
    ]
    assert found == []
