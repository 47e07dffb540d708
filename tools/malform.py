"""Drawings with wrong anatomy: cut, mirrored onto themselves, warped, melted, in pieces, or crossed with another one.

A generator that has learned too little draws animals without a head or with two tails. The detector is trained to call
these `something`, because a person does not recognise them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

__all__ = ["Drawing", "change", "cut_out", "lone_actor", "malform", "malformed"]

Frame = UInt8[np.ndarray, "h w 3"]
Mask = UInt8[np.ndarray, "h w"]
MIN_PIXELS = 80  # of an actor in a frame with a short side of 64: a smaller one has no anatomy
CUT_SHARE = (0.28, 0.6)  # of the pixels of the actor
WARP_PIXELS = (3.5, 6.0)  # standard deviation; `degrade.bend` warps by at most 1
MELT_PIXELS = (3.5, 6.0)  # sigma; `degrade.spoil` blurs by at most 1.3
MIN_CHANGE = 0.16  # mean change of colour and outline, 0 to 1: with less, a person still recognises the drawing


@dataclass(frozen=True)
class Drawing:
    """An actor cut out of its frame: straight colours, and how much each pixel is covered, 0 to 1.

    `plain` tells that its outline alone says what it is, whatever its colours.
    """

    colour: Frame
    cover: Float[np.ndarray, "h w"]
    plain: bool = False

    @property
    def inside(self) -> Bool[np.ndarray, "h w"]:
        return self.cover >= 0.5

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of the pixels that it covers."""
        rows, columns = np.flatnonzero(self.inside.any(1)), np.flatnonzero(self.inside.any(0))
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def lone_actor(mask: Mask) -> int | None:
    """Return the kind of the only actor of a frame, where it is whole, large enough and away from the edge."""
    kinds = np.unique(mask[mask > 0])
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if len(kinds) != 1 or edge.any() or (mask > 0).sum() < MIN_PIXELS:
        return None
    return int(kinds[0])


def malform(
    frame: Frame, behind: Frame, mask: Mask, others: Sequence[Drawing], something: int, rng: np.random.Generator
) -> tuple[Frame, Mask]:
    """Redraw the only actor of a frame wrongly over what is behind it, and call the result `something`.

    A circle that was mirrored is still a circle: where the change is small, the actor keeps its kind. In one case of
    six nothing is changed, so that the new edges alone do not give the answer away.
    """
    kind = lone_actor(mask)
    if kind is None:
        return frame, mask
    drawing = cut_out(frame, mask)
    wrong = drawing if rng.random() < 1 / 6 else malformed(drawing, others, rng)
    if not wrong.inside.any():
        return frame, mask
    label = something if change(drawing, wrong) >= MIN_CHANGE else kind
    cover = wrong.cover[..., None]
    redrawn = (behind * (1 - cover) + wrong.colour * cover).round().astype(np.uint8)
    return redrawn, np.where(wrong.inside, label, 0).astype(np.uint8)


def malformed(drawing: Drawing, others: Sequence[Drawing], rng: np.random.Generator) -> Drawing:
    """Return the drawing after one malformation, chosen at random."""
    ways: list[Callable[[], Drawing]] = [
        lambda: _cut(drawing, rng),
        lambda: _cut(drawing, rng),
        lambda: _mirror(drawing, rng),
        lambda: _mirror(drawing, rng),
        lambda: _warp(drawing, rng),
        lambda: _melt(drawing, rng),
        lambda: _in_pieces(drawing, rng),
        lambda: _lump(drawing, rng),
        lambda: _lump(drawing, rng),
    ]
    if others:
        other = others[int(rng.integers(len(others)))]
        ways.append(lambda: _cross(drawing, other, rng))
        if not other.plain:
            ways += [lambda: _impostor(drawing, other)] * 2
    return ways[int(rng.integers(len(ways)))]()


def cut_out(frame: Frame, mask: Mask, plain: bool = False) -> Drawing:
    """Cut the actors out of a frame; their colours continue outside, so that a soft edge has no rim of the backdrop."""
    inside = mask > 0
    solid = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float64)
    core = Drawing(frame, solid if solid.any() else inside.astype(np.float64))
    return Drawing(np.where(inside[..., None], frame, _spread(core)), _soft(inside), plain)


def change(before: Drawing, after: Drawing) -> float:
    """Return how different two drawings look, 0 to 1: where one alone covers 1, elsewhere the distance of colours."""
    either = before.inside | after.inside
    both = before.inside & after.inside
    distance = np.abs(before.colour.astype(float) - after.colour).mean(axis=2) / 128
    return float(np.where(both, distance.clip(0, 1), 1.0)[either].mean())


def _soft(inside: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    return cv2.GaussianBlur(inside.astype(np.float64), (0, 0), 0.6)


def _cut(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Take away what lies on one side of a line: a head, the legs, a half."""
    y, x = np.mgrid[: drawing.cover.shape[0], : drawing.cover.shape[1]]
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    limit = np.quantile(along[drawing.inside], 1 - rng.uniform(*CUT_SHARE))
    return Drawing(drawing.colour, _soft(drawing.inside & (along < limit)))


def _mirror(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Draw one half on both sides: two heads, or two tails."""
    _, _, left, right = drawing.box
    width = drawing.cover.shape[1]
    middle = left + (right - left) * rng.uniform(0.35, 0.65)
    columns = np.arange(width, dtype=np.float64)
    reflected = 2 * middle - columns
    source = np.where((columns < middle) == (rng.random() < 0.5), columns, reflected)
    source = source.round().astype(int)
    valid = (source >= 0) & (source < width)
    source = source.clip(0, width - 1)
    return Drawing(drawing.colour[:, source], drawing.cover[:, source] * valid)


def _remapped(drawing: Drawing, dx: np.ndarray, dy: np.ndarray) -> Drawing:
    height, width = drawing.cover.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    map_x, map_y = (x + dx).astype(np.float32), (y + dy).astype(np.float32)
    colour = cv2.remap(drawing.colour, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Drawing(colour, cv2.remap(drawing.cover, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def _warp(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Bend the drawing until it is a lump."""
    height, width = drawing.cover.shape
    strength, grid = rng.uniform(*WARP_PIXELS), int(rng.integers(6, 10))
    waves = [
        cv2.resize(rng.normal(0, strength, (grid, grid)), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    ]
    return _remapped(drawing, *waves)


def _melt(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Blur colours and outline until the details are gone; the rim is made sharp again."""
    sigma = rng.uniform(*MELT_PIXELS)
    weight = cv2.GaussianBlur(drawing.cover, (0, 0), sigma)
    summed = cv2.GaussianBlur(drawing.colour * drawing.cover[..., None], (0, 0), sigma)
    colour = (summed / np.maximum(weight, 1e-3)[..., None]).clip(0, 255).round().astype(np.uint8)
    return Drawing(colour, _soft(weight > 0.5 * weight.max()))


def _lump(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Keep the rough colours and place of the drawing, and give it another outline and texture."""
    melted = _melt(drawing, rng)
    height, width = drawing.cover.shape
    top, bottom, left, right = drawing.box
    side = max(bottom - top, right - left)
    cells = max(3, round(max(height, width) / side * rng.uniform(2.5, 5)))
    field = cv2.resize(rng.normal(0, 1, (cells, cells)), (width, height), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(drawing.cover, (0, 0), 0.12 * side)
    inside = soft * (1 + rng.uniform(0.3, 0.7) * field) > 0.5 * soft.max()
    grain = cv2.resize(rng.normal(0, rng.uniform(0, 25), (height // 3, width // 3, 3)), (width, height))
    colour = (_spread(melted) + grain).clip(0, 255).round().astype(np.uint8)
    return Drawing(colour, _soft(inside))


def _spread(drawing: Drawing) -> Frame:
    """Continue the colours of a drawing outside it, from the nearest pixel inside."""
    inside = drawing.inside.astype(np.uint8)
    labels = cv2.distanceTransformWithLabels(1 - inside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)[1]
    nearest = np.zeros((labels.max() + 1, 3), np.uint8)
    nearest[labels[inside > 0]] = drawing.colour[inside > 0]
    return np.where(inside[..., None] > 0, drawing.colour, nearest[labels])


def _impostor(drawing: Drawing, other: Drawing) -> Drawing:
    """Draw the other one in the colours of this one: the darkest become the darkest, and so on."""
    top, bottom, left, right = drawing.box
    y0, y1, x0, x1 = other.box
    factor = np.sqrt((bottom - top) * (right - left) / ((y1 - y0) * (x1 - x0)))
    height, width = drawing.cover.shape
    rows, columns = min(height, round((y1 - y0) * factor)), min(width, round((x1 - x0) * factor))
    small = Drawing(
        cv2.resize(other.colour[y0:y1, x0:x1], (columns, rows), interpolation=cv2.INTER_AREA),
        cv2.resize(other.cover[y0:y1, x0:x1], (columns, rows), interpolation=cv2.INTER_AREA),
    )
    if not small.inside.any():
        return drawing
    palette = drawing.colour[drawing.inside]
    palette = palette[palette.sum(axis=1).argsort()]
    light = small.colour.sum(axis=2)
    ranks = np.searchsorted(np.sort(light[small.inside]), light) / small.inside.sum()
    colour, cover = drawing.colour.copy(), np.zeros_like(drawing.cover)
    y = int(np.clip(bottom - rows, 0, height - rows))
    x = int(np.clip((left + right - columns) // 2, 0, width - columns))
    colour[y : y + rows, x : x + columns] = palette[(ranks * (len(palette) - 1)).clip(0, len(palette) - 1).astype(int)]
    cover[y : y + rows, x : x + columns] = small.cover
    return Drawing(colour, cover)


def _in_pieces(drawing: Drawing, rng: np.random.Generator) -> Drawing:
    """Exchange the four quarters of the box that the drawing fills."""
    top, bottom, left, right = drawing.box
    rows, columns = (bottom - top) // 2, (right - left) // 2
    corners = [(top, left), (top, left + columns), (top + rows, left), (top + rows, left + columns)]
    colour, cover = drawing.colour.copy(), drawing.cover.copy()
    for (to_y, to_x), place in zip(corners, np.roll(np.arange(4), int(rng.integers(1, 4))), strict=True):
        y, x = corners[place]
        colour[to_y : to_y + rows, to_x : to_x + columns] = drawing.colour[y : y + rows, x : x + columns]
        cover[to_y : to_y + rows, to_x : to_x + columns] = drawing.cover[y : y + rows, x : x + columns]
    return Drawing(colour, cover)


def _cross(drawing: Drawing, other: Drawing, rng: np.random.Generator) -> Drawing:
    """Put a half of another drawing, scaled to the same box, in the place of one half."""
    top, bottom, left, right = drawing.box
    y0, y1, x0, x1 = other.box
    size = (right - left, bottom - top)
    scaled_colour = cv2.resize(other.colour[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    scaled_cover = cv2.resize(other.cover[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    middle = int(size[0] * rng.uniform(0.35, 0.65))
    half = slice(0, middle) if rng.random() < 0.5 else slice(middle, size[0])
    colour, cover = drawing.colour.copy(), drawing.cover.copy()
    colour[top:bottom, left:right][:, half] = scaled_colour[:, half]
    cover[top:bottom, left:right][:, half] = scaled_cover[:, half]
    return Drawing(colour, cover)
