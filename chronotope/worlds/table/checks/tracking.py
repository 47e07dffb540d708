"""Solids found by colour in a video of a table, and followed: no detector, only the palette of the spec.

Light makes a face darker and leaves the mixture of its colour as it is: a pixel belongs to the colour whose shades it is nearest to,
or to the table's or the sky's. Connected pixels of one colour are a patch.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from chronotope.errors import UsageError
from chronotope.geometry import Frames
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.table.checks.geometry import TableTruth, table_region, truth_of
from chronotope.worlds.table.materials import TOPS
from chronotope.worlds.table.spec import TableSpec

__all__ = ["Patches", "TableScene", "unsupported", "look"]

SHADES = 0.33, 1.12  # times the colour: the darkest face and the brightest
SHADOW = 0.28, 1.15  # of the table
SKY = 0.6, 1.02  # of white
BITS = 6  # of each channel: finer does not matter
STRANGERS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")  # what is looked for besides the spec's own
CLASHES = {  # a colour beside another or on a table of which it is a shade
    ("orange", "wooden"), ("brown", "wooden"), ("white", "white"), ("white", "grey"), ("black", "dark"), ("brown", "orange"),
    ("black", "white"),
}  # fmt: skip
FEWEST_PIXELS = 0.002  # of the short side squared: smaller patches are specks
SHARE_OF_DOUBLE = 0.2  # of the largest patch of its colour
TOO_LARGE = 4.0  # times the truth's area
NEAR = 2  # pixels
_THIN = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Patches:
    """One colour through the clip: pixels with the corner at (0, 0), NaN where it is not seen."""

    colour: str
    centres: Float[np.ndarray, "t 2"]
    areas: Float[np.ndarray, " t"]
    boxes: Float[np.ndarray, "t 4"]  # left, top, right, bottom
    doubles: Bool[np.ndarray, " t"]  # a second patch that nothing divides from the first
    at_edge: Bool[np.ndarray, " t"]
    touched: Bool[np.ndarray, "t a"]  # by each actor of the spec: side by side, or one before the other

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        return ~np.isnan(self.areas)

    @property
    def alone(self) -> Bool[np.ndarray, " t"]:
        """All of it can be seen, and nobody's edge is near."""
        return self.found & ~self.at_edge & ~self.touched.any(axis=1)


@dataclass(frozen=True)
class TableScene:
    """A video of a table: the patches of its actors in the spec's order, and those of colours that nobody in the spec has."""

    spec: TableSpec
    frames: Frames
    truth: TableTruth
    actors: tuple[Patches, ...]
    strangers: tuple[Patches, ...]

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def short(self) -> int:
        """The short side in pixels."""
        return min(self.spec.width, self.spec.height)


def unsupported(spec: TableSpec) -> str | None:
    """Why this spec cannot be judged, or nothing."""
    colours = [actor.colour for actor in spec.actors]
    twice = sorted({colour for colour in colours if colours.count(colour) > 1})
    if twice:
        return f"two solids are {twice[0]} and cannot be told apart by colour; give them different ones"
    if min(spec.width, spec.height) < 64:
        return f"a frame of {spec.width}x{spec.height} is too small to follow solids in; its short side has to be 64 at least"
    for colour in colours:
        if (colour, spec.table) in CLASHES:
            return f"a {colour} solid cannot be told from a {spec.table} table, of which it is a shade; take another colour or table"
    for one, two in itertools.permutations(colours, 2):
        if (one, two) in CLASHES:
            return f"{one} is a shade of {two}: the two solids cannot be told apart; take another colour"
    return None


def look(spec: TableSpec, frames: Frames) -> TableScene:
    """Find everybody in a video of this spec, which must have its size and length."""
    if problem := unsupported(spec):
        raise UsageError(problem)
    wanted = (spec.num_frames, spec.height, spec.width, 3)
    if frames.shape != wanted or frames.dtype != np.uint8:
        raise UsageError(
            f"frames are {frames.dtype} {frames.shape}, expected uint8 {wanted} as the spec says; resize or cut the video"
        )
    colours = _looked_for(spec)
    labels = _labels(spec, colours, frames)
    own = [colours.index(actor.colour) for actor in spec.actors]
    truth = truth_of(spec)
    size = {actor.colour: truth.whole[:, i] for i, actor in enumerate(spec.actors)}
    picked = [_Pick(labels == number, spec, colour, size.get(colour)) for number, colour in enumerate(colours)]
    masks = np.stack([picked[number].masks for number in own]) if own else np.zeros((0, *labels.shape), bool)
    wide = np.stack([[_grown(mask) for mask in one] for one in masks])
    actors = tuple(picked[number].patches(spec.actors[i].colour, masks, wide, i) for i, number in enumerate(own))
    others = [number for number in range(len(colours)) if number not in own]
    strangers = tuple(picked[number].patches(colours[number], masks, wide, None) for number in others)
    return TableScene(spec, frames, truth, actors, strangers)


def _looked_for(spec: TableSpec) -> tuple[str, ...]:
    """The spec's colours, and those in which a stranger could be told from them and from the table."""
    own = tuple(dict.fromkeys(actor.colour for actor in spec.actors))
    return own + tuple(
        c
        for c in STRANGERS
        if c not in own and (c, spec.table) not in CLASHES and all((o, c) not in CLASHES for o in own)
    )


def _labels(spec: TableSpec, colours: tuple[str, ...], frames: Frames) -> UInt8[np.ndarray, "t h w"]:
    """The number of each pixel's colour; one more where it is the table, two more where the sky."""
    code = frames.astype(np.int32) >> (8 - BITS)
    code = (code[..., 0] << 2 * BITS) | (code[..., 1] << BITS) | code[..., 2]
    found = _nearest(colours, spec.table, False)[code]
    if "white" in colours:  # before the sky nothing white can be told
        found = np.where(table_region(spec), found, _nearest(colours, spec.table, True)[code])
    return np.asarray(found, np.uint8)


@functools.lru_cache(maxsize=256)
def _nearest(colours: tuple[str, ...], table: str, sky: bool) -> UInt8[np.ndarray, " codes"]:
    """For every colour there is: the number of the nearest of these, len(colours) for the table, len(colours) + 1 for the sky."""
    rows = [(COLOURS[colour], SHADES) for colour in colours] + [(TOPS[table], SHADOW), ((255, 255, 255), SKY)]
    left_out = (colours.index("white") if sky else len(rows) - 1) if "white" in colours else None
    least, found = np.full(1 << 3 * BITS, np.inf, np.float32), np.zeros(1 << 3 * BITS, np.uint8)
    for number, (colour, shades) in enumerate(rows):
        if number == left_out:
            continue
        far = _off(colour, shades)
        nearer = far < least
        least[nearer], found[nearer] = far[nearer], number
    return found


@functools.lru_cache(maxsize=64)
def _off(colour: tuple[int, int, int], shades: tuple[float, float]) -> Float[np.ndarray, " codes"]:
    """How far every colour there is lies from the nearest shade of this one."""
    levels = (np.arange(1 << BITS, dtype=np.float32) + 0.5) * (256 >> BITS)
    pixels = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    base = np.array(colour, np.float32)
    shade = np.clip(pixels @ base / (base @ base), *shades)
    return np.asarray(np.linalg.norm(pixels - shade[:, None] * base, axis=1))


def _grown(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    side = 2 * NEAR + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)


class _Pick:
    """The patches of one colour: the largest of every frame, and what else there is."""

    def __init__(
        self, pixels: Bool[np.ndarray, "t h w"], spec: TableSpec, colour: str, size: np.ndarray | None
    ) -> None:
        # how large it can be: whatever is far larger than an actor is not the actor
        self.size = np.full(len(pixels), np.inf) if size is None else np.maximum(size, 1.0)
        self.edge = np.ones((spec.height, spec.width), bool)
        self.edge[1:-1, 1:-1] = False
        if colour == "white":  # it ends where the sky begins, whatever is behind
            self.edge |= _grown(~table_region(spec))
        self.least = max(4.0, FEWEST_PIXELS * min(spec.width, spec.height) ** 2)
        self.masks = np.zeros_like(pixels)
        self.rest: list[list[np.ndarray]] = []
        for t, mixed in enumerate(pixels):
            # where two other colours mix, at an edge or a highlight, there are thin lines of this one
            picture = cv2.morphologyEx(mixed.astype(np.uint8), cv2.MORPH_OPEN, _THIN)
            patches = self._patches(picture, TOO_LARGE * self.size[t])
            if patches:
                self.masks[t] = patches[0]
            self.rest.append(patches[1:])

    def _patches(self, picture: UInt8[np.ndarray, "h w"], most: float) -> list[np.ndarray]:
        """Largest first; specks are none."""
        if np.count_nonzero(picture) < self.least:
            return []
        _count, labels, stats, _ = cv2.connectedComponentsWithStats(picture, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        order = [i for i in np.argsort(-areas[1:]) + 1 if self.least <= areas[i] <= most]
        return [labels == i for i in order]

    def patches(self, colour: str, masks: np.ndarray, wide: np.ndarray, me: int | None) -> Patches:
        """Measured, with what the actors' masks [a, t, h, w] hide or divide taken into account."""
        count = len(self.masks)
        centres, areas, boxes = np.full((count, 2), np.nan), np.full(count, np.nan), np.full((count, 4), np.nan)
        doubles, at_edge, touched = np.zeros(count, bool), np.zeros(count, bool), np.zeros((count, len(masks)), bool)
        for t in range(count):
            own = self.masks[t]
            if not own.any():
                continue
            beside = [i for i in range(len(masks)) if i != me and (wide[i, t] & own).any()]
            for other in self.rest[t]:
                by = [i for i in range(len(masks)) if i != me and (wide[i, t] & other).any()]
                both, large = int(own.sum() + other.sum()), other.sum() >= SHARE_OF_DOUBLE * own.sum()
                if not by:
                    doubles[t] |= bool(large)
                elif me is not None and both > 1.5 * self.size[t] and other.sum() > 0.35 * self.size[t]:
                    doubles[t] = True
                elif me is not None and set(by) & set(beside) and both <= 1.5 * self.size[t]:
                    own = own | other  # who stands before it divides it
            rows, columns = np.nonzero(own)
            areas[t], centres[t] = len(rows), (columns.mean() + 0.5, rows.mean() + 0.5)
            boxes[t] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            at_edge[t] = bool((own & self.edge).any())
            touched[t, beside] = True
        return Patches(colour, centres, areas, boxes, doubles, at_edge, touched)
