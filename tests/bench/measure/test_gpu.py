"""What readings of a GPU mean: which refuse a measurement, which are only recorded. No GPU; readings are made up."""

from dataclasses import replace

import pytest

from bench.errors import Contaminated
from bench.measure.gpu import (
    Course,
    Process,
    Reading,
    Setup,
    clock_drop,
    description,
    foreign_bytes,
    foreign_processes,
    hardware_class,
    judge,
)
from tests.bench.measure.readings import BUSY, COURSE, MIB, OURS, QUIET, SETUP, THEIRS, hidden, looks

OWN = frozenset({OURS})


def refusal(course: Course) -> str:
    with pytest.raises(Contaminated) as caught:
        judge(course)
    return str(caught.value)


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (SETUP, "NVIDIA H100 80GB HBM3 | 700 W | driver 570 | torch 2.13"),
        (replace(SETUP, mig="1g.10gb"), "NVIDIA H100 80GB HBM3 | MIG 1g.10gb | 700 W | driver 570 | torch 2.13"),
        (replace(SETUP, mps="50%"), "NVIDIA H100 80GB HBM3 | MPS 50% | 700 W | driver 570 | torch 2.13"),
        (
            replace(SETUP, power_cap_watts=None, driver="535"),
            "NVIDIA H100 80GB HBM3 | power cap unknown | driver 535 | torch 2.13",
        ),
        (replace(SETUP, power_cap_watts=312.5), "NVIDIA H100 80GB HBM3 | 312.5 W | driver 570 | torch 2.13"),
    ],
)
def test_hardware_class(setup: Setup, words: str) -> None:
    assert hardware_class(setup, "2.13") == words


def test_the_class_names_neither_one_card_nor_what_does_not_matter() -> None:
    other = replace(SETUP, uuid="GPU-x", persistence=False, driver="570.200.01", top_sm_mhz=None)
    assert hardware_class(other, "2.13") == hardware_class(SETUP, "2.13")


def test_a_clean_measurement_is_described() -> None:
    found = judge(COURSE)
    assert found["gpu_looks"] == found["gpu_busy_looks"] == 9
    assert found["gpu_clock_drop"] == 0.0
    assert (found["gpu_sm_mhz_before"], found["gpu_memory_mhz_after"]) == (1980, 2619)
    assert (found["gpu_celsius_before"], found["gpu_celsius_highest"]) == (34.0, 52.0)
    assert found["gpu_power_capped_share"] == 0.0
    assert found["gpu_process_ids"] == "seen"
    assert found["gpu_foreign_bytes"] == 10 * MIB
    assert description(SETUP)["gpu_power_cap_watts"] == 700.0


def test_a_device_that_tells_nothing_is_not_refused() -> None:
    silent = Reading()
    found = judge(replace(COURSE, start=silent, looks=(silent,) * 9, finish=silent))
    assert found["gpu_busy_looks"] == 0
    assert found["gpu_clock_drop"] is found["gpu_foreign_bytes"] is found["gpu_power_capped_share"] is None
    assert found["gpu_process_ids"] == "hidden"


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (replace(SETUP, power_cap_watts=500.0), "The GPU's power cap in watts changed from 700.0 to 500.0"),
        (replace(SETUP, mig="1g.10gb"), "The GPU's MIG profile changed from None to 1g.10gb"),
        (replace(SETUP, mps="100%"), "The GPU's multi-process service changed from None to 100%"),
        (replace(SETUP, compute_mode="exclusive process"), "The GPU's compute mode changed from default"),
        (replace(SETUP, persistence=None), "The GPU's persistence mode changed from True to None"),
        (replace(SETUP, uuid="GPU-x"), "The GPU's device changed from"),
        (replace(SETUP, driver="575.1"), "The GPU's driver changed from"),
    ],
)
def test_another_device_halfway_is_refused(after: Setup, words: str) -> None:
    assert refusal(replace(COURSE, after=after)).startswith(words)


# Strangers.


@pytest.mark.parametrize(
    ("listed", "mps", "expected"),
    [
        ((), False, 0),
        ((OURS,), False, 0),
        ((OURS, OURS + 1), False, 0),  # a child of ours
        ((OURS, THEIRS), False, 1),
        ((OURS, 0), False, 1),  # a process outside our container, of which the driver gives no id
        ((31415,), False, 0),  # ids of the host: one of them must be ours
        ((31415, 27182), False, 1),
        ((OURS, THEIRS), True, 0),  # the server of the multi-process service
        ((OURS, THEIRS, THEIRS + 1), True, 1),
        ((31415, 27182), True, 0),
        ((OURS,), True, 0),
    ],
)
def test_foreign_processes(listed: tuple[int, ...], mps: bool, expected: int) -> None:
    reading = replace(QUIET, processes=tuple(Process(pid, None) for pid in listed))
    assert foreign_processes(reading, frozenset({OURS, OURS + 1}), mps) == expected
    assert foreign_processes(replace(QUIET, processes=None), OWN, mps) == 0


@pytest.mark.parametrize("where", ["start", "looks", "finish"])
def test_a_listed_stranger_is_refused_whenever_it_was_there(where: str) -> None:
    shared = replace(BUSY, processes=(Process(OURS, 4990 * MIB), Process(THEIRS, MIB)))
    changed: dict[str, object] = {where: (BUSY,) * 8 + (shared,) if where == "looks" else replace(shared, percent=0)}
    said = refusal(replace(COURSE, **changed))  # type: ignore[arg-type]
    assert said.startswith("The GPU was shared: 1 other process computed on it")


def test_use_while_we_do_nothing_is_a_hidden_stranger() -> None:
    assert "busy 40% of the time just before" in refusal(replace(COURSE, start=replace(hidden(QUIET), percent=40)))
    assert "busy 6% of the time just after" in refusal(replace(COURSE, finish=replace(hidden(QUIET), percent=6)))
    desktop = judge(replace(COURSE, start=replace(QUIET, percent=5)))
    assert desktop["gpu_percent_before"] == 5


def test_memory_of_others_where_the_driver_tells_ours() -> None:
    assert foreign_bytes(QUIET, OWN) == 10 * MIB
    assert foreign_bytes(replace(QUIET, processes=(Process(31415, 4990 * MIB),)), OWN) == 10 * MIB
    assert foreign_bytes(hidden(QUIET), OWN) is None
    assert foreign_bytes(replace(QUIET, processes=(Process(OURS, None),)), OWN) is None
    assert foreign_bytes(replace(QUIET, used_bytes=None), OWN) is None
    screen = replace(QUIET, used_bytes=5600 * MIB, graphics=(Process(7, 600 * MIB), Process(8, None)))
    assert foreign_bytes(screen, OWN) == 10 * MIB
    both = replace(QUIET, graphics=QUIET.processes or ())
    assert foreign_bytes(both, OWN) == 10 * MIB  # a process of ours that also draws is counted once
    held = replace(BUSY, used_bytes=5000 * MIB + 300 * MIB)
    assert refusal(replace(COURSE, looks=(BUSY, held))).startswith("310 MiB of the GPU's memory belonged to somebody")
    judge(replace(COURSE, looks=(BUSY, replace(BUSY, used_bytes=5200 * MIB))))


def test_memory_of_others_where_process_ids_are_hidden() -> None:
    """What torch's allocator and one context do not explain, at the start and by what was added later."""
    clean = replace(COURSE, start=hidden(QUIET), looks=(hidden(BUSY),) * 9, finish=hidden(QUIET))
    assert judge(clean)["gpu_process_ids"] == "hidden"
    assert judge(replace(clean, bare_bytes=200 * MIB))["gpu_foreign_bytes"] is None
    assert refusal(replace(clean, bare_bytes=4000 * MIB)).startswith("4000 MiB")
    full = replace(hidden(QUIET), used_bytes=(4500 + 1536 + 300) * MIB)
    assert refusal(replace(clean, start=full)).startswith("300 MiB")
    assert judge(replace(clean, start=full, bare_bytes=0))  # it was empty before us: all of it is our context
    came = replace(hidden(BUSY), used_bytes=5300 * MIB)
    assert refusal(replace(clean, looks=(hidden(BUSY), came))).startswith("300 MiB")
    ours = replace(came, reserved_bytes=4800 * MIB)  # our allocator grew by as much
    judge(replace(clean, looks=(hidden(BUSY), ours)))


# Slowing down.


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        ([0, 0x20, 0], "slowed by heat (software) in 1 of 3"),
        ([0x48, 0, 0], "slowed by heat (hardware) in 1 of 3"),
        ([0x80, 0x80, 0], "slowed by its power supply in 2 of 3"),
        ([0x08, 0x0C, 0], "hardware slowed it down in 2 of 3"),
        ([0, 0x08, 0], None),  # may be a mere change of clocks
        ([0x04, 0x04, 0x06], None),  # at its power cap, which the class names
        ([0x21, 0x81, 0], None),  # idle: nothing was running
    ],
)
def test_slowing_down(reasons: list[int], words: str | None) -> None:
    course = replace(COURSE, looks=looks(reasons=reasons))
    if words is None:
        judge(course)
    else:
        assert words in refusal(course)


def test_heat_counts_only_while_we_measure() -> None:
    judge(replace(COURSE, start=replace(QUIET, reasons=0x21), finish=replace(QUIET, reasons=0x60)))


def test_the_share_at_the_power_cap() -> None:
    assert judge(replace(COURSE, looks=looks(reasons=[4, 0, 4, 1])))["gpu_power_capped_share"] == 0.667


# Clocks.


@pytest.mark.parametrize(
    ("mhz", "drop"),
    [
        ([], None),
        ([1980, 1000, 1980, 1000, 1980], None),  # too few to tell a drop from a look at a bad moment
        ([1980] * 9, 0.0),
        ([1980] * 3 + [1965] * 3 + [1950] * 3, 30 / 1980),
        ([1980, 1980, 1980, 1980, 1200, 1980, 1980, 1980, 1980], 0.0),  # one look is no drop
        ([1980] * 6 + [1881] * 3, 0.05),
        ([1881] * 2 + [1980] * 5, 0.05),  # warming up is no better
    ],
)
def test_small_moves_of_the_clock_are_told(mhz: list[int], drop: float | None) -> None:
    assert clock_drop("SM", mhz) == (None if drop is None else pytest.approx(drop))


@pytest.mark.parametrize(
    "mhz", [[1980] * 6 + [1875] * 3, [1980] * 3 + [1500] * 3 + [1980] * 3, [1500, 1500] + [1980] * 5]
)
def test_a_clock_drop_is_refused(mhz: list[int]) -> None:
    with pytest.raises(Contaminated, match=r"SM clock moved by .*%.* MHz\), and at most 5% is allowed"):
        clock_drop("SM", mhz)
    assert "memory clock moved" in refusal(replace(COURSE, looks=looks(memory_mhz=mhz)))
    assert "SM clock moved" in refusal(replace(COURSE, looks=looks(sm_mhz=mhz)))


def test_other_work_may_run_at_another_clock() -> None:
    """As a larger batch at the power cap; within a part a clock may not fall, and too few looks tell nothing."""
    seen = looks(sm_mhz=[1980] * 6 + [1500] * 6)
    assert "SM clock moved" in refusal(replace(COURSE, looks=seen))
    found = judge(replace(COURSE, looks=seen, parts=(6,)))
    assert (found["gpu_clock_drop"], found["gpu_sm_mhz_lowest"], found["gpu_sm_mhz_highest"]) == (0.0, 1500, 1980)
    falling = looks(sm_mhz=[1980] * 6 + [1500] * 4 + [1300] * 4)
    assert "SM clock moved" in refusal(replace(COURSE, looks=falling, parts=(6,)))


def test_idle_clocks_are_no_drop() -> None:
    idle = replace(BUSY, reasons=1, sm_mhz=345)
    found = judge(replace(COURSE, looks=(idle,) * 5 + (BUSY,) * 6 + (idle,) * 5))
    assert (found["gpu_clock_drop"], found["gpu_sm_mhz_lowest"], found["gpu_busy_looks"]) == (0.0, 1980, 6)
