import pytest

from leaderboard.format import clock, interval, number, rank, without_folders


@pytest.mark.parametrize(
    ("value", "unit", "metric", "text"),
    [
        (0.8444, "1", "accuracy", "84.4%"),
        (-0.0123, "1", "accuracy_difference", "−1.2 pts"),
        (0.0123, "1", "accuracy_difference", "+1.2 pts"),
        (0.5496, "1", "latency_ratio", "0.550×"),
        (97_884, "B", "size", "97.9 kB"),
        (570e6, "B", "size", "570.0 MB"),
        (1.43e9, "B", "host_peak", "1.43 GB"),
        (407e6, "count", "parameters", "407 M"),
        (20_579, "count", "parameters", "20,579"),
        (0.0456, "ms", "latency_ms", "0.0456 ms"),
        (1234.0, "ms", "latency_ms", "1,234 ms"),
        (float("nan"), "ms", "latency_ms", "–"),
    ],
)
def test_a_number_has_its_unit(value: float, unit: str, metric: str, text: str) -> None:
    assert number(value, unit, metric) == text


def test_an_interval_says_its_unit_once() -> None:
    assert interval(0.826, 0.861, "1", "accuracy") == "82.6 to 86.1%"
    assert interval(0.9e6, 1.1e6, "B") == "900.0 kB to 1.1 MB"
    assert interval(-0.02, 0.01, "1", "accuracy_difference") == "−2.0 to +1.0 pts"
    assert interval(48.6, 96.6, "1/s") == "48.6 to 96.6 / s"
    assert interval(3.0, 3.0, "B") == "exact"


def test_a_clock_counts_hours_only_when_there_are_some() -> None:
    assert [clock(s) for s in (-1, 5, 215, 3725)] == ["0:00", "0:05", "3:35", "1:02:05"]


def test_folders_of_a_machine_are_left_out() -> None:
    told = "FileNotFoundError: [Errno 2] No such file: '/data/of/someone/model.safetensors' (and/or zoo://a/b, 3/4)"
    assert without_folders(told) == (
        "FileNotFoundError: [Errno 2] No such file: '…/model.safetensors' (and/or zoo://a/b, 3/4)"
    )
    assert without_folders("") == ""


def test_a_rank_has_its_letters() -> None:
    assert rank((1, 6), "b,a") == "ranks 1 to 6, groups ab"
    assert rank((2, 2), "") == "rank 2"
    assert rank((3, 4), "a,ab") == "ranks 3 to 4, groups a,ab"
    assert rank((2, 2), "a") == "rank 2, group a"
    assert rank((1, 1220), "", 1) == "ranks 1 to 1,220, tied with 1 other"
    assert rank((3, 3), "", 41) == "rank 3, tied with 41 others"
    assert rank(None, "a") == ""
