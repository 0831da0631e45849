"""What two readings of a machine say of the time between them: arithmetic on recorded texts, and one real second."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import Contaminated
from bench.measure import host
from bench.measure.container import Throttled
from bench.measure.host import Reading, Setup, Times, between, listed, times, unlisted

# user nice system idle iowait irq softirq steal guest guest_nice; guest time is in user already
STAT = """cpu  600 0 160 1400 40 0 0 20 50 0
cpu0 100 0 60 700 20 0 10 10 50 0
cpu1 500 0 100 700 20 0 0 10 0 0
cpu10 9000 0 0 0 0 0 0 0 0 0
intr 1 2 3
"""
QUIET = Reading(
    setup=Setup("0-1", "0-3", "performance", 2.0),
    times=Times(total=100.0, busy=10.0, stolen=1.0),
    own=5.0,
    throttled=Throttled(3, 0.5),
    load=0.5,
    mhz=2000.0,
    celsius=40.0,
)


def test_times_of_the_allowed_cpus_only() -> None:
    assert times(STAT, [0], 100) == Times(total=9.0, busy=1.7, stolen=0.1)
    both = times(STAT, [0, 1], 100)
    assert both == Times(total=22.3, busy=7.7, stolen=0.2)
    assert times(STAT, [2], 100) is None
    assert times("cpu0 1 2 3\n", [0], 100) is None
    assert times("", [0], 100) is None


def test_shares_are_of_our_cpus_and_without_our_own_work() -> None:
    later = replace(
        QUIET,
        times=Times(total=120.0, busy=22.0, stolen=3.0),
        own=14.0,
        throttled=Throttled(7, 0.75),
        load=3.254,
        mhz=1800.0,
        celsius=None,
    )
    assert between(QUIET, later) == {
        "load_before": 0.5,
        "load_after": 3.25,
        "mhz_before": 2000.0,
        "mhz_after": 1800.0,
        "celsius_before": 40.0,
        "celsius_after": None,
        "stolen_share": 0.1,
        "strangers_share": 0.15,  # 12 s busy, 9 of them ours, of 20
        "throttled_periods": 4,
        "throttled_seconds": 0.25,
    }


def test_heavy_load_and_theft_are_recorded_and_never_refused() -> None:
    later = replace(QUIET, times=Times(total=200.0, busy=70.0, stolen=41.0), load=99.0, mhz=800.0)
    found = between(QUIET, later)
    assert (found["strangers_share"], found["stolen_share"]) == (0.6, 0.4)


def test_what_the_machine_does_not_tell_is_absent() -> None:
    found = between(replace(QUIET, times=None), replace(QUIET, throttled=None))
    assert found["stolen_share"] is found["strangers_share"] is found["throttled_periods"] is None
    assert between(QUIET, QUIET)["strangers_share"] is None  # no time has passed
    clipped = between(QUIET, replace(QUIET, times=Times(110.0, 12.0, 1.0), own=9.0))
    assert clipped["strangers_share"] == 0.0  # the kernel's clock ticks; ours is finer


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (replace(QUIET.setup, allowed="0"), "The CPUs that this process may use changed from 0-1 to 0 while"),
        (replace(QUIET.setup, online="0-1"), "The CPUs online changed from 0-3 to 0-1 while"),
        (
            replace(QUIET.setup, governor="powersave"),
            "The frequency governor changed from performance to powersave while",
        ),
        (replace(QUIET.setup, quota=None), "The container's CPU quota changed from 2.0 to none while"),
    ],
)
def test_another_machine_halfway_is_refused(setup: Setup, words: str) -> None:
    with pytest.raises(Contaminated) as caught:
        between(QUIET, replace(QUIET, setup=setup))
    assert str(caught.value).startswith(words)
    assert str(caught.value).count(".") <= 2  # one sentence; a quota has a point of its own


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([2, 0, 1], "0-2"), ([0, 1, 2, 8, 10, 11], "0-2,8,10-11")]
)
def test_lists_of_cpus(numbers: list[int], text: str) -> None:
    assert listed(numbers) == text
    assert unlisted(text + "\n") == sorted(numbers)


def test_nodes_and_governors_of_the_allowed_cpus(tmp_path: Path) -> None:
    for node, cpus in (("node0", "0-3"), ("node1", "4-7"), ("node10", "8")):
        folder = tmp_path / "sys/devices/system/node" / node
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(cpus + "\n", encoding="utf-8")
    assert host.numa_nodes([1, 2], tmp_path) == "0"
    assert host.numa_nodes([3, 4], tmp_path) == "0-1"
    assert host.numa_nodes([8], tmp_path) == "10"
    assert host.numa_nodes([1], tmp_path / "nothing") is None
    for number, text in enumerate(("performance", "powersave", "performance")):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{number}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(text + "\n", encoding="utf-8")
    assert host.governor([0, 2], tmp_path) == "performance"
    assert host.governor([0, 1], tmp_path) == "performance, powersave"
    assert host.governor([7], tmp_path) is None


def test_description_of_a_pinned_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2})
    folder = tmp_path / "sys/devices/system/cpu"
    folder.mkdir(parents=True)
    assert host.description(tmp_path)["pinned"] is False  # what is online is not told
    (folder / "online").write_text("0-3\n", encoding="utf-8")
    found = host.description(tmp_path)
    assert (found["cpus_allowed"], found["cpus_online"], found["pinned"]) == ("1-2", "0-3", True)
    (folder / "online").write_text("1-2\n", encoding="utf-8")
    assert host.description(tmp_path)["pinned"] is False


def test_the_work_of_children_is_our_own() -> None:
    """A child counts while it lives and after it has ended: the parent inherits its time when it waits for it."""
    before = host.read()
    spin = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    living = host.read()
    child.communicate(b"\n")
    ended = host.read()
    assert living.own - before.own >= 0.4
    assert ended.own >= living.own - 0.02  # the kernel counts in hundredths
    assert between(before, ended)["strangers_share"] is not None


def test_a_real_reading() -> None:
    before = host.read()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = host.read()
    assert after.own - before.own >= 0.15
    found = between(before, after)
    assert 0 <= float(found["strangers_share"] or 0) <= 1
    assert 0 <= float(found["stolen_share"] or 0) <= 1
    assert before.setup.allowed == listed(os.sched_getaffinity(0))
