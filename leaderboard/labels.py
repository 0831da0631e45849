"""Where the names stand in a plot, so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence

LETTER = 6.4  # mean width in pixels at the size of the labels
HEIGHT = 16.0
REACH = 11.0  # from a point to its label, clear of its mark and its whiskers
LEVELS = (0.9, -0.9, 2.0, -2.0)

Box = tuple[float, float, float, float]  # left, bottom, right, top
Place = tuple[str, float, float]  # anchor, shift right, shift up


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], size: tuple[float, float]
) -> list[Place | None]:
    """A place for each label, None where there is none; earlier labels choose first.

    Args:
        points: positions in pixels from the lower left corner of the plot.
        texts: the labels.
        size: width and height of the plot in pixels.
    """
    taken: list[Box] = [(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    found: list[Place | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        width = LETTER * len(text)
        place = None
        for level in LEVELS:
            for anchor, left in (("left", x + REACH), ("right", x - REACH - width)):
                up = level * HEIGHT
                box = (left, y + up - HEIGHT / 2, left + width, y + up + HEIGHT / 2)
                inside = box[0] >= 0 and box[2] <= size[0] and box[1] >= 0 and box[3] <= size[1]
                if inside and not any(_overlap(box, other) for other in taken):
                    place = (anchor, REACH if anchor == "left" else -REACH, up)
                    taken.append(box)
                    break
            if place:
                break
        found.append(place)
    return found


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
