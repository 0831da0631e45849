"""What the documents say exists, exists, and what exists is documented."""

import re
from pathlib import Path

from bench.methods import METHODS
from bench.sweep_file import SHIPPED, SweepFile
from bench.tasks import TASKS

ROOT = Path(__file__).parent.parent
DOCS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def test_every_step_and_every_kind_of_task_is_documented() -> None:
    assert [name for name in METHODS if f"`{name}`" not in DOCS["sweeps.md"]] == []
    assert [name for name in TASKS if f"`{name}`" not in DOCS["tasks.md"]] == []


def test_every_section_of_a_sweep_file_is_named() -> None:
    assert [key for key in SweepFile.model_fields if key not in DOCS["sweeps.md"]] == []


def test_links_between_documents_lead_somewhere() -> None:
    for path in (*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_sweeps_that_documents_run_are_shipped() -> None:
    shipped = {path.stem for path in SHIPPED.glob("*.yaml")}
    for path in (ROOT / "README.md", *SHIPPED.glob("*.yaml")):
        for name in re.findall(r"paredown run ([a-z_]+)\b(?!\.)", path.read_text(encoding="utf-8")):
            assert name in shipped, f"{path.name} runs {name}"
