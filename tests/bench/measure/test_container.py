"""Limits of containers, read from trees of files like those of the kernel, in both versions of the interface."""

from pathlib import Path

import pytest

from bench.measure.container import Limits, Throttled, limits, memory_left, throttled


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Limits(None, None)),
        # version 2, inside a container: its own group is the root of what it sees
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, Limits(1.5, None)),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, Limits(None, None)),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"}, Limits(None, None)),
        ({"sys/fs/cgroup/cpu.max": "50000 100000\n", "sys/fs/cgroup/memory.max": "1000000\n"}, Limits(0.5, 1000000)),
        # version 2, on a host: the tightest of the group and those around it
        (
            {
                "proc/self/cgroup": "0::/batch/job\n",
                "sys/fs/cgroup/batch/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/batch/memory.max": "max\n",
                "sys/fs/cgroup/batch/job/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/batch/job/memory.max": "4096\n",
                "sys/fs/cgroup/other/cpu.max": "100000 100000\n",
            },
            Limits(2.0, 4096),
        ),
        # version 1, inside a container: the path is the host's and is not there
        (
            {
                "proc/self/cgroup": "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "8192\n",
            },
            Limits(2.5, 8192),
        ),
        # version 1 without limits
        (
            {
                "proc/self/cgroup": "4:memory:/\n1:cpu:/\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            Limits(None, None),
        ),
        # a path that points out of the container's view is not followed
        (
            {"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/cpu.max": "100000 100000", "sys/x/cpu.max": "1 100"},
            Limits(1.0, None),
        ),
    ],
)
def test_limits(files: dict[str, str], expected: Limits, tmp_path: Path) -> None:
    assert limits(tree(tmp_path, files)) == expected


def test_throttling_in_both_versions(tmp_path: Path) -> None:
    assert throttled(tmp_path) is None
    new = {
        "proc/self/cgroup": "0::/job\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 5\n",
        "sys/fs/cgroup/job/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 4\nthrottled_usec 2500000\n",
    }
    assert throttled(tree(tmp_path / "two", new)) == Throttled(4, 2.5)
    old = {
        "proc/self/cgroup": "2:cpu:/\n",
        "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 1500000000\n",
    }
    assert throttled(tree(tmp_path / "one", old)) == Throttled(3, 1.5)


def test_the_root_group_keeps_no_count(tmp_path: Path) -> None:
    assert throttled(tree(tmp_path, {"sys/fs/cgroup/cpu.stat": "usage_usec 5\nuser_usec 3\n"})) is None


def test_memory_left_counts_cached_files_as_free(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/"
    stat = "anon 500\nactive_file 60\ninactive_file 40\n"
    files = {f"{group}memory.max": "1000\n", f"{group}memory.current": "700\n", f"{group}memory.stat": stat}
    assert memory_left(tree(tmp_path / "two", files)) == 400
    old = f"{group}memory/memory."
    files = {
        "proc/self/cgroup": "4:memory:/\n",
        f"{old}limit_in_bytes": "1000\n",
        f"{old}usage_in_bytes": "1200\n",
        f"{old}stat": "active_file 1\ntotal_active_file 50\ntotal_inactive_file 30\n",
    }
    assert memory_left(tree(tmp_path / "one", files)) == 0
    files = {f"{group}memory.max": "max\n", f"{group}memory.current": "1\n"}
    assert memory_left(tree(tmp_path / "none", files)) is None
