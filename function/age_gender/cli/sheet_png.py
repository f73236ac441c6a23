"""A contact sheet as one PNG file."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from age_gender.cli.text import plural
from age_gender.cli.tiles import SIDE, Bar, Sheet, Tile, histogram
from age_gender.vision.geometry import Image
from age_gender.vision.render import COLOURS

MAX_TILES = 1000
"""Faces shown; few programs open larger images."""
MIN_COLUMNS = 6
GAP = 16
CAPTION = 52
"""Height in pixels of the two lines below a thumbnail."""
HEADER = 240
BARS_HEIGHT = 120

GROUND, INK, MUTED, LINE, WARN = (
    (250, 250, 250),
    (28, 31, 35),
    (96, 102, 110),
    (205, 210, 215),
    (160, 85, 0),
)

Colour = tuple[int, int, int]


def render_png(sheet: Sheet) -> bytes:
    """Draw the first `MAX_TILES` faces; return a PNG file."""
    shown = sheet.tiles[:MAX_TILES]
    columns = max(MIN_COLUMNS, math.ceil(math.sqrt(len(shown))))
    rows = math.ceil(len(shown) / columns)
    width = columns * (SIDE + GAP) + GAP
    canvas = np.full((HEADER + rows * (SIDE + CAPTION + GAP), width, 3), GROUND, np.uint8)
    pen = _Pen(canvas)
    pen.write(sheet.summary, GAP, 34, 24, INK)
    omitted = len(sheet.tiles) - len(shown)
    notes = [f"{plural(sheet.failed, 'file')} could not be read"] if sheet.failed else []
    notes += [f"{plural(omitted, 'face')} not shown: use .html"] if omitted else []
    pen.write("; ".join(notes), GAP, 56, 14, MUTED)
    _draw_histogram(pen, histogram(sheet.tiles), 80)
    for index, tile in enumerate(shown):
        row, column = divmod(index, columns)
        left = GAP + column * (SIDE + GAP)
        _draw_tile(pen, tile, left, HEADER + row * (SIDE + CAPTION + GAP))
    return bytes(cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))[1])


class _Pen:
    """Draws text and rectangles on an image, uint8 ``[H, W, 3]``, RGB."""

    def __init__(self, canvas: Image):
        self.canvas = canvas
        self._font = cv2.FontFace("sans")

    def width_of(self, text: str, size: int) -> int:
        height, width = self.canvas.shape[:2]
        return int(cv2.getTextSize((width, height), text, (0, 0), self._font, size, 400)[2])

    def write(self, text: str, left: int, base: int, size: int, colour: Colour) -> None:
        """Draw text ``size`` pixels high on the base line ``base``."""
        cv2.putText(self.canvas, text, (left, base), colour, self._font, size, 400)

    def fill(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        self.canvas[top:bottom, left:right] = colour


def _draw_histogram(pen: _Pen, bars: Sequence[Bar], top: int) -> None:
    """Draw one column per decade: women below men, the count above, the ages below."""
    max_count = max(1, *(bar.women + bar.men for bar in bars))
    step, base = 88, top + BARS_HEIGHT
    for index, bar in enumerate(bars):
        left, bottom = GAP + index * step, base
        for count, gender in ((bar.women, "F"), (bar.men, "M")):
            height = round(count / max_count * (BARS_HEIGHT - 20))
            pen.fill(left, bottom - height, left + step - 10, bottom, COLOURS[gender])
            bottom -= height
        if bar.women + bar.men:
            pen.write(str(bar.women + bar.men), left, bottom - 5, 13, INK)
        pen.write(bar.label, left, base + 18, 13, MUTED)
    pen.fill(GAP, base, GAP + len(bars) * step - 10, base + 1, LINE)
    for index, gender in enumerate(("F", "M")):
        left = GAP + len(bars) * step + index * 60
        pen.fill(left, top, left + 12, top + 12, COLOURS[gender])
        pen.write(gender, left + 18, top + 12, 14, INK)


def _draw_tile(pen: _Pen, tile: Tile, left: int, top: int) -> None:
    chip = cv2.imdecode(np.frombuffer(tile.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    pen.canvas[top : top + SIDE, left : left + SIDE] = np.asarray(chip, np.uint8)
    pen.fill(left, top + SIDE, left + SIDE, top + SIDE + 4, COLOURS[tile.gender])
    low, high = tile.interval
    mark = "" if tile.reliable else " ?"
    caption = f"{tile.age:.0f} {tile.gender}  {low:.0f}-{high:.0f}{mark}"
    pen.write(caption, left, top + SIDE + 25, 18, INK if tile.reliable else WARN)
    pen.write(_fitted(pen, tile.source), left, top + SIDE + 43, 12, MUTED)


def _fitted(pen: _Pen, text: str) -> str:
    """Shorten a name from the left until it fits under its thumbnail."""
    cut = text
    while pen.width_of(cut, 12) > SIDE:
        text = text[max(1, len(text) // 12) :]
        cut = f"...{text}"
    return cut
