"""Numbers as people read them. Units are decimal: MB = 10^6 bytes."""

import math
import re

SIGNS = {"certain": "●", "contested": "◐", "dominated": "○", "not evaluated": "–"}
MINUS = "−"
FOLDERS = re.compile(r"(?<![\w:/.…])/(?:[^\s/'\"<>:,;]+/)+")  # of an absolute path, before its last part
SUFFIXES = (" kB", " MB", " GB", " ms", " / s", " s", " pts", "×", "%", " M")


def number(value: float, unit: str, metric: str = "") -> str:
    """One number with its unit; shares as percent, ratios with a times sign, bytes in kB, MB or GB."""
    if not math.isfinite(value):
        return "–"
    text = _plain(value, unit, metric)
    return text.replace("-", MINUS)


def _plain(value: float, unit: str, metric: str) -> str:
    if unit == "B":
        return _bytes(value)
    if unit == "count":
        return f"{_three_digits(value / 1e6)} M" if value >= 1e6 else f"{value:,.0f}"
    if unit in ("ms", "J"):
        return f"{_three_digits(value)} {unit}"
    if unit == "1/s":
        return f"{_three_digits(value)} / s"
    if unit == "s":
        return f"{value:.2f} s"
    sign = "+" if metric.endswith("_difference") else ""
    if unit in ("points", "tokens"):
        return f"{value:{sign}.1f}"
    if unit == "plain":
        return f"{value:+.3g}" if sign else _three_digits(value)
    if sign:
        return f"{100 * value:+.1f} pts"
    if metric.endswith("_ratio"):
        return f"{value:.3f}×"
    return f"{100 * value:.1f}%"


def _bytes(value: float) -> str:
    if value < 1e6:
        return f"{value / 1e3:.1f} kB"
    return f"{value / 1e6:.1f} MB" if value < 1e9 else f"{value / 1e9:.2f} GB"


def _three_digits(value: float) -> str:
    """Three significant digits, never in powers of ten."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def difference(value: float, unit: str, metric: str = "") -> str:
    """A difference of two numbers in their unit, with its sign; of shares in percentage points."""
    if unit == "1":
        text = f"{value:+.3f}" if metric.endswith("_ratio") else f"{100 * value:+.2f} pts"
        return text.replace("-", MINUS)
    return f"{'+' if value >= 0 else MINUS}{number(abs(value), unit, metric.removesuffix('_difference'))}"


def interval(low: float, high: float, unit: str, metric: str = "") -> str:
    """Both ends of an interval in the number's own form, the unit once."""
    if low == high:
        return "exact"
    first, last = number(low, unit, metric), number(high, unit, metric)
    for suffix in SUFFIXES:
        if first.endswith(suffix) and last.endswith(suffix):
            first = first.removesuffix(suffix)
            break
    return f"{first} to {last}"


def without_folders(text: str) -> str:
    """A sentence in which absolute paths are told by their last part: where things lie is nothing for visitors."""
    return FOLDERS.sub("…/", text)


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def rank(ends: tuple[int, int] | None, tie: str, tied: int | None = None) -> str:
    """As "ranks 2 to 5, groups ab": those that a variant may have, and the letters of who ties with whom.

    Where letters are too many, with how many it ties: "ranks 2 to 90, tied with 41 others". Empty without
    a rank.
    """
    if ends is None:
        return ""
    best, worst = ends
    said = f"rank {best:,}" if best == worst else f"ranks {best:,} to {worst:,}"
    if tied:
        return f"{said}, {tied_with(tied)}"
    letters = tie.split(",")
    told = "".join(sorted(letters)) if all(len(each) <= 1 for each in letters) else tie
    return f"{said}, group{'s' * (len(letters) > 1)} {told}" if told else said


def tied_with(others: int) -> str:
    """With how many a variant ties."""
    return f"tied with {others:,} other{'s' * (others != 1)}"
