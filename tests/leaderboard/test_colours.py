"""Words are readable on both themes, and verdicts apart for every kind of colour blindness."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import pytest

from leaderboard import PAGE

Colour = tuple[float, float, float]
ENOUGH = 4.5  # to one: what WCAG asks of text
SHADES = 0.07  # of the rows of a base, and of a row that is pointed at


def colour(text: str) -> Colour:
    red, green, blue = (int(text[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


def mixed(first: Colour, second: Colour, part: float) -> Colour:
    red, green, blue = (part * a + (1 - part) * b for a, b in zip(first, second, strict=True))
    return red, green, blue


def contrast(first: Colour, second: Colour) -> float:
    """As WCAG defines it, from the luminance of sRGB."""

    def luminance(found: Colour) -> float:
        parts = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in found]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def words(style: str) -> dict[str, tuple[Colour | None, float]]:
    """What the words of verdicts are mixed of, with the colour of text: (colour, its part), of grey the text itself."""
    text = files("leaderboard").joinpath(style).read_text(encoding="utf-8")
    certain, contested = (
        re.search(rf"{name}(?:-word:| {{ color:) color-mix\(in srgb, (#\w+) (\d+)%, ", text)
        for name in ("certain", "contested")
    )
    quiet = re.search(r"quiet(?: { color)?: color-mix\(in srgb, \S+ (\d+)%, transparent", text)
    assert certain
    assert contested
    assert quiet
    found: dict[str, tuple[Colour | None, float]] = {
        name: (colour(match[1]), int(match[2]) / 100)
        for name, match in (("certain", certain), ("contested", contested))
    }
    return {**found, "quiet": (None, int(quiet[1]) / 100)}


def themes() -> list[tuple[Colour, Colour, Colour]]:
    """(background, text, what marks a row) of each theme."""
    found = tomllib.loads((PAGE.parent / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
    names = ("backgroundColor", "textColor", "primaryColor")
    return [(colour(t[names[0]]), colour(t[names[1]]), colour(t[names[2]])) for t in found.values()]


@pytest.mark.parametrize("style", ["grid.css", "page.css", "report.css"])
def test_words_of_verdicts_are_readable_on_both_themes(style: str) -> None:
    assert len(themes()) == 2
    for back, text, accent in themes():
        for name, (own, part) in words(style).items():
            for behind in (back, mixed(text, back, 0.05), mixed(accent, back, SHADES)):
                word = mixed(own, text, part) if own else mixed(text, behind, part)
                assert contrast(word, behind) >= ENOUGH, (name, back)


@pytest.mark.parametrize("style", ["grid.css", "page.css", "report.css"])
def test_certain_and_contested_differ_from_blue_to_yellow_and_from_green_to_red(style: str) -> None:
    """Whoever sees one of these differences badly sees the other."""
    for _, text, _ in themes():
        certain, contested = (mixed(own or text, text, part) for own, part in list(words(style).values())[:2])
        assert (certain[2] - certain[0]) - (contested[2] - contested[0]) > 100
        assert (certain[1] - certain[0]) - (contested[1] - contested[0]) > 60


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast(colour("#000000"), colour("#ffffff")) == pytest.approx(21)
    assert contrast(colour("#d97706"), colour("#ffffff")) == pytest.approx(3.19, abs=0.005)
