"""Draw boxes in columns and arrows between them as SVG.

A layered layout: a box stands below all that leads to it, and a column is as wide as its longest text. Only what is
drawn decides where it goes, so equal graphs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from frozen import Frozen

_CHARACTER = 7.3
"""Width of a character of the monospaced font at 12 pixels."""
_HEIGHT = 26
_ROW = 44
_GAP = 90
"""Pixels between columns, where the arrows run."""
_MARGIN = 20
_HEAD = 34
"""Pixels above the first row, for the titles."""


class Box(Frozen):
    """One box; `name` is unique, `column` counts from 0."""

    name: str
    text: str
    column: int
    rounded: bool = False


class Arrow(Frozen):
    """An arrow between two boxes; one with a text is dashed."""

    begin: str
    end: str
    text: str = ""


class _Place(Frozen, kw_only=False):
    x: float
    y: float
    width: float


def draw(boxes: Sequence[Box], arrows: Sequence[Arrow], titles: Mapping[int, str]) -> str:
    """Return the picture. `boxes` are in an order in which no arrow leads back; `titles` head the columns."""
    rows = _rows(boxes, arrows)
    left, widths = _columns(boxes, titles)
    places = {box.name: _Place(left[box.column], _HEAD + rows[box.name] * _ROW, widths[box.column]) for box in boxes}
    width = max((left[column] + widths[column] for column in widths), default=0) + _MARGIN
    height = _HEAD + (max(rows.values(), default=0) + 1) * _ROW + _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" font-family="monospace" '
            'font-size="12">',
            '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *(
                f'<text x="{left[column]:.1f}" y="{_MARGIN}" font-weight="bold">{escape(title)}</text>'
                for column, title in titles.items()
            ),
            *(_arrow(arrow, places) for arrow in arrows),
            *(_box(box, places[box.name]) for box in boxes),
            "</svg>",
            "",
        ]
    )


def _rows(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> dict[str, int]:
    """Return the row of each box: below those that lead to it and below the one before it in its column."""
    sources: dict[str, list[str]] = {}
    for arrow in arrows:
        sources.setdefault(arrow.end, []).append(arrow.begin)
    rows: dict[str, int] = {}
    free: dict[int, int] = {}
    for box in boxes:
        above = [rows[name] + 1 for name in sources.get(box.name, ())]
        rows[box.name] = max([free.get(box.column, 0), *above])
        free[box.column] = rows[box.name] + 1
    return rows


def _columns(boxes: Sequence[Box], titles: Mapping[int, str]) -> tuple[dict[int, float], dict[int, float]]:
    """Return the left edge and the width of each column."""
    longest: dict[int, int] = {column: len(title) for column, title in titles.items()}
    for box in boxes:
        longest[box.column] = max(longest.get(box.column, 0), len(box.text))
    widths = {column: length * _CHARACTER + 16 for column, length in sorted(longest.items())}
    left: dict[int, float] = {}
    position = float(_MARGIN)
    for column, width in widths.items():
        left[column] = position
        position += width + _GAP
    return left, widths


def _box(box: Box, place: _Place) -> str:
    corner = _HEIGHT / 2 if box.rounded else 3
    return (
        f'<rect x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{_HEIGHT}" rx="{corner:g}" '
        f'fill="#f4f6f8" stroke="#678"/><text x="{place.x + 8:.1f}" y="{place.y + 17:.1f}">{escape(box.text)}</text>'
    )


def _arrow(arrow: Arrow, places: Mapping[str, _Place]) -> str:
    begin, end = places[arrow.begin], places[arrow.end]
    if begin.x == end.x:
        x = begin.x + 14
        path = f"M{x:.1f} {begin.y + _HEIGHT:.1f}L{x:.1f} {end.y:.1f}"
        if arrow.text:  # past the boxes between the two
            side = begin.x + begin.width
            path = (
                f"M{side:.1f} {begin.y + _HEIGHT / 2:.1f}C{side + 50:.1f} {begin.y:.1f} "
                f"{side + 50:.1f} {end.y:.1f} {side:.1f} {end.y + _HEIGHT / 2:.1f}"
            )
    else:
        forward = begin.x < end.x
        x1 = begin.x + begin.width if forward else begin.x
        x2 = end.x if forward else end.x + end.width
        y1, y2, bend = begin.y + _HEIGHT / 2, end.y + _HEIGHT / 2, 45 if forward else -45
        path = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    dashes = ' stroke-dasharray="4 3"' if arrow.text else ""
    title = f"<title>{escape(arrow.text)}</title>" if arrow.text else ""
    return f'<path d="{path}" fill="none" stroke="#555"{dashes} marker-end="url(#head)">{title}</path>'
