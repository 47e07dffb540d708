"""Track the solids in a video of a table by their colour; no trained detector is needed.

Shading makes a face darker but keeps the ratio of its channels: each pixel gets the colour of the palette, of the table
or of the sky to whose shades it is nearest. Connected pixels of one colour are a patch.
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
from chronotope.worlds.table.checks.geometry import ExpectedScene, table_region, truth_of
from chronotope.worlds.table.materials import TABLE_COLOURS
from chronotope.worlds.table.spec import TableSpec

__all__ = ["CONFUSABLE", "OTHER_COLOURS", "ColourTrack", "TrackedScene", "track_solids", "unsupported"]

SOLID_SHADES = 0.33, 1.12  # times the colour: its darkest and brightest face
TABLE_SHADES = 0.28, 1.15
SKY_SHADES = 0.6, 1.02  # times white
BITS = 6  # of each channel that are compared
OTHER_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")  # searched for beside those of the spec
# A colour, and a second colour or a table of which it is a shade.
CONFUSABLE = {
    ("orange", "wooden"), ("brown", "wooden"), ("white", "white"), ("white", "grey"), ("black", "dark"),
    ("brown", "orange"), ("black", "white"),
}  # fmt: skip
MIN_SIDE = 64  # pixels
MIN_AREA = 0.002  # short sides squared: smaller patches are noise
MAX_AREA = 4.0  # times the expected area: larger patches are not the solid
DUPLICATE_AREA = 0.2  # of the largest patch of a colour: a smaller second patch is ignored
COMPLETE_AREA = 1.5  # times the expected area: two patches larger than this are not one divided solid
SECOND_AREA = 0.35  # of the expected area: a smaller second patch is not a second solid
ADJACENT = 2  # pixels between two solids that touch in the picture
_OPENING = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class ColourTrack:
    """One colour over the clip, in pixels with the picture's corner at (0, 0); NaN where it is not found."""

    colour: str
    centres: Float[np.ndarray, "t 2"]
    areas: Float[np.ndarray, " t"]
    boxes: Float[np.ndarray, "t 4"]  # left, top, right, bottom
    duplicates: Bool[np.ndarray, " t"]  # a second patch that no other solid divides from the first
    at_edge: Bool[np.ndarray, " t"]
    touched: Bool[np.ndarray, "t a"]  # in the picture, by each actor of the spec

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        """Return the frames in which the colour is found."""
        return ~np.isnan(self.areas)


@dataclass(frozen=True)
class TrackedScene:
    """A video of a table: the tracks of the actors in the spec's order, and the tracks of other colours."""

    spec: TableSpec
    frames: Frames
    truth: ExpectedScene
    actors: tuple[ColourTrack, ...]
    others: tuple[ColourTrack, ...]

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def short(self) -> int:
        """Return the short side of the frame in pixels."""
        return min(self.spec.width, self.spec.height)


def unsupported(spec: TableSpec) -> str | None:
    """Return why videos of this spec cannot be judged, or None."""
    colours = [actor.colour for actor in spec.actors]
    twice = sorted({colour for colour in colours if colours.count(colour) > 1})
    if twice:
        return f"two solids are {twice[0]} and cannot be told apart by colour; give them different ones"
    if min(spec.width, spec.height) < MIN_SIDE:
        size = f"{spec.width}x{spec.height}"
        return f"a frame of {size} is too small to follow solids in; its short side must be at least {MIN_SIDE} pixels"
    for colour in colours:
        if (colour, spec.table) in CONFUSABLE:
            return f"a {colour} solid cannot be told from a {spec.table} table; take another colour or table"
    for one, two in itertools.permutations(colours, 2):
        if (one, two) in CONFUSABLE:
            return f"{one} is a shade of {two}: the two solids cannot be told apart; take another colour"
    return None


def track_solids(spec: TableSpec, frames: Frames, truth: ExpectedScene | None = None) -> TrackedScene:
    """Track all solids in a video of this spec; `truth` is what it must show, if not the simulation of the spec.

    Raises UsageError if the spec cannot be judged or the frames do not have its size and length.
    """
    if problem := unsupported(spec):
        raise UsageError(problem)
    expected = (spec.num_frames, spec.height, spec.width, 3)
    if frames.shape != expected or frames.dtype != np.uint8:
        raise UsageError(
            f"frames are {frames.dtype} {frames.shape}, expected uint8 {expected} by the spec; resize or cut the video"
        )
    colours = _colours_to_find(spec)
    labels = _labels(spec, colours, frames)
    truth = truth or truth_of(spec)
    area = {actor.colour: truth.whole[:, i] for i, actor in enumerate(spec.actors)}
    found = {
        colour: _ColourPatches(labels == number, spec, colour, area.get(colour))
        for number, colour in enumerate(colours)
    }
    near = np.stack([[_dilate(mask) for mask in found[actor.colour].masks] for actor in spec.actors])
    actors = tuple(found[actor.colour].track(near, i) for i, actor in enumerate(spec.actors))
    others = tuple(found[colour].track(near, None) for colour in colours if colour not in area)
    return TrackedScene(spec, frames, truth, actors, others)


def _colours_to_find(spec: TableSpec) -> tuple[str, ...]:
    """Return the colours of the spec, and the other colours that can be distinguished from them and from the table."""
    own = tuple(dict.fromkeys(actor.colour for actor in spec.actors))
    others = []
    for colour in OTHER_COLOURS:
        confusable = (colour, spec.table) in CONFUSABLE or any((one, colour) in CONFUSABLE for one in own)
        if colour not in own and not confusable:
            others.append(colour)
    return (*own, *others)


def _labels(spec: TableSpec, colours: tuple[str, ...], frames: Frames) -> UInt8[np.ndarray, "t h w"]:
    """Return the index of each pixel's colour; `len(colours)` for the table, one more for the sky."""
    code = frames.astype(np.int32) >> (8 - BITS)
    code = (code[..., 0] << 2 * BITS) | (code[..., 1] << BITS) | code[..., 2]
    labels = _nearest(colours, spec.table, False)[code]
    if "white" in colours:  # white cannot be distinguished from the sky: it is found only in front of the table
        labels = np.where(table_region(spec), labels, _nearest(colours, spec.table, True)[code])
    return np.asarray(labels, np.uint8)


@functools.lru_cache(maxsize=256)
def _nearest(colours: tuple[str, ...], table: str, sky: bool) -> UInt8[np.ndarray, " codes"]:
    """Return a look-up table from every colour code to a label.

    If white is one of the colours, labels are either white or sky: sky if `sky`.
    """
    rows = [(COLOURS[colour], SOLID_SHADES) for colour in colours]
    rows += [(TABLE_COLOURS[table], TABLE_SHADES), ((255, 255, 255), SKY_SHADES)]
    left_out = None
    if "white" in colours:
        left_out = colours.index("white") if sky else len(rows) - 1
    least, labels = np.full(1 << 3 * BITS, np.inf, np.float32), np.zeros(1 << 3 * BITS, np.uint8)
    for number, (colour, shades) in enumerate(rows):
        if number == left_out:
            continue
        distance = _distance_to_shades(colour, shades)
        nearer = distance < least
        least[nearer], labels[nearer] = distance[nearer], number
    return labels


@functools.lru_cache(maxsize=64)
def _distance_to_shades(colour: tuple[int, int, int], shades: tuple[float, float]) -> Float[np.ndarray, " codes"]:
    """Return the RGB distance of every colour code from the nearest shade of a colour."""
    levels = (np.arange(1 << BITS, dtype=np.float32) + 0.5) * (256 >> BITS)
    pixels = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    base = np.array(colour, np.float32)
    shade = np.clip(pixels @ base / (base @ base), *shades)
    return np.asarray(np.linalg.norm(pixels - shade[:, None] * base, axis=1))


def _dilate(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    side = 2 * ADJACENT + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)


class _ColourPatches:
    """The patches of one colour: the largest one of every frame in `masks`, the others in `rest`."""

    def __init__(
        self, pixels: Bool[np.ndarray, "t h w"], spec: TableSpec, colour: str, expected_area: np.ndarray | None
    ) -> None:
        self.colour = colour
        self.area = np.full(len(pixels), np.inf) if expected_area is None else np.maximum(expected_area, 1.0)
        self.edge = np.ones((spec.height, spec.width), bool)
        self.edge[1:-1, 1:-1] = False
        if colour == "white":  # its region ends at the sky
            self.edge |= _dilate(~table_region(spec))
        self.min_area = max(4.0, MIN_AREA * min(spec.width, spec.height) ** 2)
        self.masks = np.zeros_like(pixels)
        self.rest: list[list[np.ndarray]] = []
        for t, mask in enumerate(pixels):
            # Opening removes thin lines, where two other colours mix at an edge or a highlight.
            opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _OPENING)
            patches = self._patches(opened, MAX_AREA * self.area[t])
            if patches:
                self.masks[t] = patches[0]
            self.rest.append(patches[1:])

    def _patches(self, mask: UInt8[np.ndarray, "h w"], max_area: float) -> list[np.ndarray]:
        """Return the masks of the patches within the limits of area, largest first."""
        if np.count_nonzero(mask) < self.min_area:
            return []
        _count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        order = np.argsort(-areas[1:]) + 1
        return [labels == i for i in order if self.min_area <= areas[i] <= max_area]

    def track(self, near: Bool[np.ndarray, "a t h w"], actor: int | None) -> ColourTrack:
        """Measure the colour in every frame; `near` are the dilated masks of all actors, `actor` is its own index."""
        count = len(self.masks)
        centres, areas, boxes = np.full((count, 2), np.nan), np.full(count, np.nan), np.full((count, 4), np.nan)
        duplicates, at_edge, touched = np.zeros(count, bool), np.zeros(count, bool), np.zeros((count, len(near)), bool)
        others = [i for i in range(len(near)) if i != actor]
        for t in range(count):
            own = self.masks[t]
            if not own.any():
                continue
            beside = [i for i in others if (near[i, t] & own).any()]
            for patch in self.rest[t]:
                beside_patch = [i for i in others if (near[i, t] & patch).any()]
                area = int(patch.sum())
                is_one = int(own.sum()) + area <= COMPLETE_AREA * self.area[t]
                if not beside_patch:
                    duplicates[t] |= bool(area >= DUPLICATE_AREA * own.sum())
                elif actor is None:
                    continue
                elif not is_one and area > SECOND_AREA * self.area[t]:
                    duplicates[t] = True
                elif is_one and set(beside_patch) & set(beside):
                    own = own | patch  # an actor in front of it divides it in two
            rows, columns = np.nonzero(own)
            areas[t], centres[t] = len(rows), (columns.mean() + 0.5, rows.mean() + 0.5)
            boxes[t] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            at_edge[t] = bool((own & self.edge).any())
            touched[t, beside] = True
        return ColourTrack(self.colour, centres, areas, boxes, duplicates, at_edge, touched)
