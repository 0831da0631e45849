"""What the doctor says of machines that are known, and of this one."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from bench.errors import BadInput
from bench.measure.container import Limits
from bench.store.bucket import Bucket
from bench.store.places import Local, Place
from cluster.doctor import Finding, doctor_table, fit, judge, look_here
from cluster.examine import CONSTRAINTS, LIBRARIES, Card, Facts, Sign, answer, open_dashboards, place_of, strays
from cluster.examine_nodes import Visit
from cluster.ray_settings import SETTINGS

WELL = Facts(
    host="n1",
    python="3.11.7",
    code="0123456789",
    versions=dict.fromkeys(LIBRARIES, "1.0"),
    strays=(),
    cpu="a CPU",
    instructions="avx2",
    sound=True,
    cpus=8,
    governor="performance",
    limits=Limits(None, None),
    memory=32 * 10**9,
    memory_free=20 * 10**9,
    shared_memory=16 * 10**9,
    scratch_free=0.5,
    cards=(),
    cards_unread=None,
    settings=SETTINGS,
    token_modes={},
    open_dashboards=(),
)
NODE = Visit("n1", "10.0.0.1", {"CPU": 8.0}, WELL, skew=0.0, skew_bound=0.001, folder_free=10**11)
CARD = Card("A100", persistence=True)
FOLDER = Local(Path("/shared/store"))


def judged(visit: Visit, check: str, folder: Place | None = FOLDER) -> Finding:
    (found,) = [f for f in judge(WELL, [visit], folder) if f.check == check]
    return found


def with_facts(**changes: object) -> Visit:
    return replace(NODE, facts=replace(WELL, **changes))  # type: ignore[arg-type]


def test_a_cluster_of_equal_sound_nodes_is_fit() -> None:
    others = [replace(NODE, name=f"n{i}", address=f"10.0.0.{i}") for i in (2, 3)]
    found = judge(WELL, [NODE, *others], FOLDER)
    assert {f.verdict for f in found} == {"ok"}
    assert {f.do for f in found} == {""}
    table = doctor_table(found)
    assert len(table.rows) < len(found), "what all nodes say stands in one row"
    assert ("nodes reach each other", "n1, n2, n3") in [row[:2] for row in table.rows]
    assert table.records["fit"] is True
    json.dumps(table.records)


@pytest.mark.parametrize(
    ("visit", "check", "verdict", "found", "do"),
    [
        (with_facts(python="3.12.1"), "Python", "fail", "3.12.1, here 3.11.7", "same on n1"),
        (with_facts(code="ffff"), "paredown's code", "fail", "ffff, here 0123456789", "same on n1"),
        (with_facts(versions={**WELL.versions, "torch": "2.0"}), "torch", "fail", "2.0, here 1.0", "constraints.txt"),
        (
            with_facts(strays=("numpy 1 (2)", *"abcd")),
            "packages",
            "warning",
            "numpy 1 (2), a, b, c and 1 more",
            "-c cons",
        ),
        (with_facts(sound=False), "instruction sets", "warning", "dies", "Nothing"),
        (with_facts(governor="powersave"), "CPU clocks", "warning", "governor powersave", "cpupower"),
        (with_facts(limits=Limits(2.0, None)), "CPUs", "warning", "may use 2", "at most"),
        (with_facts(limits=Limits(2.5, None)), "CPUs given to Ray", "warning", "8 of 2.5", "--num-cpus=2"),
        (with_facts(memory_free=10**8), "memory", "fail", "0.1 GB free", "End what else"),
        (with_facts(memory_free=10**9), "memory", "warning", "1.0 GB free", "End what else"),
        (with_facts(shared_memory=2**26), "shared memory", "warning", "0.07 GB", "--shm-size"),
        (with_facts(scratch_free=0.02), "temporary files", "warning", "2% free", "RAY_TMPDIR"),
        (with_facts(cards=(CARD,), cards_unread="no NVML"), "GPUs", "fail", "1 x A100; no NVML", "paredown[gpu]"),
        (with_facts(cards=(Card("A100", False),)), "GPUs", "warning", "persistence mode is off", "-pm 1"),
        (with_facts(cards=(CARD, CARD)), "GPUs given to Ray", "warning", "0 of 2", "CUDA_VISIBLE_DEVICES"),
        (replace(NODE, resources={"CPU": 8, "GPU": 1}), "GPUs given to Ray", "fail", "1 of 0", "visible"),
        (with_facts(settings={}), "token", "fail", "none is asked for", "RAY_AUTH_MODE=token"),
        (with_facts(settings={"RAY_AUTH_MODE": "token"}), "Ray's settings", "warning", "=unset", "launch file"),
        (with_facts(open_dashboards=("10.0.0.1",)), "binding", "warning", "listens at 10.0.0.1", "127.0.0.1"),
        (replace(NODE, address="8.8.8.8"), "binding", "warning", "public address", "firewall"),
        (replace(NODE, skew=-2.5), "clock", "warning", "2.500 s behind", "time server"),
        (replace(NODE, skew=99.0), "clock", "fail", "99.000 s ahead of", "time server"),
        (replace(NODE, skew=None), "clock", "warning", "did not answer", "again"),
        (replace(NODE, folder="it is not seen"), "results folder", "fail", "it is not seen", "on every node"),
        (replace(NODE, folder_free=10**8), "results folder", "fail", "0.1 GB free", "artefacts"),
        (replace(NODE, facts=None, silence="no such module"), "node answers", "fail", "no such module", "log"),
    ],
)
def test_each_fault_is_named_with_what_to_do(visit: Visit, check: str, verdict: str, found: str, do: str) -> None:
    one = judged(visit, check)
    assert (one.where, one.verdict) == ("n1", verdict)
    assert found in one.found
    assert do in one.do
    assert fit([one]) is (verdict != "fail")


def test_packages_are_held_against_the_constraints() -> None:
    here = version("numpy")
    lines = ["# comment", f"numpy=={here}", "duckdb==0.0.1", "no-such-package==1.0", "torch==" + version("torch")]
    assert strays(lines) == (f"duckdb {version('duckdb')} (0.0.1)",)
    assert CONSTRAINTS.read_text(encoding="utf-8").count("==") > 50


def test_a_node_that_cannot_fetch() -> None:
    other = replace(NODE, name="n2", fetch="it does not answer within 30 s")
    wrong = [f for f in judge(WELL, [NODE, other], FOLDER) if f.verdict == "fail"]
    assert [(f.check, f.where) for f in wrong] == [("nodes reach each other", "n2")]


def test_a_folder_that_nobody_named_is_not_called_shared() -> None:
    assert judged(NODE, "results folder", None).verdict == "warning"


def test_torch_without_cuda_beside_gpus() -> None:
    versions = {**WELL.versions, "torch": "2.13.0+cpu"}
    mine = replace(WELL, versions=versions)
    (found,) = [f for f in judge(mine, [with_facts(versions=versions, cards=(CARD,))], None) if f.check == "GPUs"]
    assert (found.verdict, "built without CUDA" in found.found) == ("fail", True)


def test_this_machine(tmp_path: Path) -> None:
    found = look_here(str(tmp_path / "store"))
    checks = [f.check for f in found]
    assert checks[:9] == [
        "versions",
        "packages",
        "instruction sets",
        "CPU clocks",
        "CPUs",
        "memory",
        "shared memory",
        "temporary files",
        "GPUs",
    ]
    assert "results folder" in checks
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"
    (folder,) = [f for f in found if f.check == "results folder"]
    assert f"{tmp_path} can be written" in folder.found


def test_a_bucket_has_no_end_and_needs_credentials_everywhere() -> None:
    bucket = Bucket("s3://bucket/store", Path())
    (fine,) = [f for f in judge(WELL, [replace(NODE, folder_free=None)], bucket) if f.check == "results folder"]
    assert (fine.found, fine.verdict) == ("s3://bucket/store is shared", "ok")
    wrong = judged(replace(NODE, folder="it cannot be read (no credentials)"), "results folder", bucket)
    assert (wrong.verdict, "credentials" in wrong.do) == ("fail", True)


def test_a_store_of_another_kind_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'gs://bucket/store': name a folder, or a bucket"):
        look_here("gs://bucket/store")


def test_where_a_store_is_or_will_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert place_of(str(tmp_path / "file" / "store")) == Local(tmp_path)
    assert place_of("s3://bucket/store/").location == "s3://bucket/store"


def test_signs_tell_folders_apart(tmp_path: Path) -> None:
    one, other = Local(tmp_path / "one"), Local(tmp_path / "other")
    one.root.mkdir()
    other.root.mkdir()
    sign = Sign(one)
    assert answer(one, sign.name, "0") is None
    assert answer(other, sign.name, "1", patience=0.1) == "what was put there is not seen"
    assert sign.answered({"0", "1"}, patience=0.1) == {"0"}
    (one.root / sign.name).write_text("another's")
    assert answer(one, sign.name, "2") == "what was put there reads differently"
    sign.remove(["0", "1", "2"])
    assert list(one.root.iterdir()) == []


def test_open_dashboards(tmp_path: Path) -> None:
    """The kernel's table of a machine on which 0.0.0.0:8265 and 127.0.0.1:8265 listen, and ::1, and a client of it."""
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    head = "  sl  local_address rem_address   st\n"
    (net / "tcp").write_text(
        head
        + "   0: 00000000:2049 00000000:0000 0A 0\n"
        + "   1: 0100007F:2049 00000000:0000 0A 0\n"
        + "   2: 0501A8C0:2049 0601A8C0:9999 01 0\n"
        + "   3: 0501A8C0:1F90 00000000:0000 0A 0\n"
    )
    (net / "tcp6").write_text(head + f"   0: {'0' * 24}01000000:2049 {'0' * 32}:0000 0A 0\n")
    assert open_dashboards(tmp_path) == ("0.0.0.0",)
    assert open_dashboards(tmp_path / "nowhere") == ()
