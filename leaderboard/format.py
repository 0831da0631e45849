"""Numbers as people read them. Units are decimal: MB = 10^6 bytes."""

import math

SIGNS = {"certain": "●", "contested": "◐", "dominated": "○", "not evaluated": "–"}


def number(value: float, unit: str, metric: str = "") -> str:
    """One number with its unit; shares as percent, ratios with a times sign, bytes in MB."""
    if not math.isfinite(value):
        return "–"
    if unit == "B":
        return f"{value / 1e6:.1f} MB" if value < 1e9 else f"{value / 1e9:.2f} GB"
    if unit == "count":
        return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value:,.0f}"
    if unit == "ms":
        return f"{value:.3g} ms"
    if unit == "s":
        return f"{value:.2f} s"
    if metric == "accuracy_difference":
        return f"{100 * value:+.1f} pts"
    if metric.endswith("_ratio"):
        return f"{value:.3f}×"
    return f"{100 * value:.1f}%"


def interval(low: float, high: float, unit: str, metric: str = "") -> str:
    """Both ends of an interval in the number's own form, the unit once."""
    if low == high:
        return "exact"
    first, last = number(low, unit, metric), number(high, unit, metric)
    for suffix in (" MB", " GB", " ms", " s", " pts", "×", "%", " M"):
        if first.endswith(suffix) and last.endswith(suffix):
            first = first.removesuffix(suffix)
            break
    return f"{first} to {last}"
