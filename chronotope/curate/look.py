"""One pass over a video or a picture: its shots, and the measures and hashes of each, from small frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chronotope.curate import scores
from chronotope.curate.fingerprints import Small, fingerprints, main_colour, shrunk, within_borders
from chronotope.curate.shots import CutFinder, equal_parts
from chronotope.curate.text import TEXT_SIDE, text_share
from chronotope.media import video
from chronotope.media.picture import Frame

__all__ = ["EVERY", "LOOK_SIDE", "Looked", "Scores", "Shot", "look"]

LOOK_SIDE = 256  # pixels of the longer side of the frames that are looked at
LONGEST_HELD = 1.0  # seconds for which a moving picture may hold a frame, as in a time-lapse
EVERY = 0.25  # seconds between two frames that are measured and hashed
EVERY_TEXT = 0.5  # ... that are searched for text: every shot that is long enough for a clip has one
MOST_SAMPLES = 20_000  # of a file that are held in memory, 12 KiB each
MOST_HASHES = 48  # of a shot


@dataclass(frozen=True)
class Scores:
    """What a shot looks like; see `scores` for the units. `borders` is the share of the picture that is black edge.

    `repeated` is the share of frames that repeat the one before them. `text` is the largest share of a frame that text
    covers; None where it was not looked for, or no frame of a short shot was searched.
    """

    motion: float
    sharpness: float
    brightness: float
    contrast: float
    borders: float
    repeated: float
    text: float | None = None


@dataclass(frozen=True)
class Shot:
    """A part of a file without a cut: where it lies, in frames and in seconds, and what it looks like.

    `whole` tells that it is all of the file. `hashes` and `colour` are those of `fingerprints`.
    """

    start: float
    seconds: float
    frames: int
    whole: bool
    scores: Scores
    hashes: tuple[str, ...]
    colour: tuple[int, ...] = ()


@dataclass(frozen=True)
class Looked:
    """A file and its shots; `damage` and `remarks` are those of reading it."""

    width: int
    height: int
    fps: float
    frames: int
    picture: bool
    variable_frame_rate: bool
    metadata: dict[str, str]
    shots: tuple[Shot, ...]
    damage: str = ""
    remarks: tuple[str, ...] = ()


def look(path: Path, max_seconds: float, alive: Callable[[], None] = lambda: None, text: bool = False) -> Looked:
    """Read a file once and find its shots; those longer than `max_seconds` are cut into equal parts.

    With `text`, some frames are searched for text. Raises FileProblem where the file cannot be read. `alive` is called
    for every frame.
    """
    info = video.probe(path)
    width, height = info.square_size
    stream = video.stream(path, max_side=TEXT_SIDE if text else LOOK_SIDE)
    finder = CutFinder(min(max(info.fps, 1.0), 240.0))
    measured = _Measures()
    times = []
    for large in stream:
        times.append(stream.time)
        frame = _within(large, LOOK_SIDE)
        finder.add(frame, measured.add(frame, stream.time))
        if text:
            measured.search(large, stream.time)
        alive()
    end = max(info.seconds, times[-1] + 1 / max(info.fps, 1.0)) if len(times) > 1 else 1 / max(info.fps, 1.0)
    most = max(1, int(max_seconds * info.fps))
    spans = [part for bounds in finder.bounds() for part in equal_parts(*bounds, most)]
    edges = [*times, end]
    shots = tuple(
        Shot(times[first], edges[last] - times[first], last - first, len(spans) == 1, *measured.shot(first, last))
        for first, last in spans
    )
    return Looked(
        width=width,
        height=height,
        fps=info.fps,
        frames=len(times),
        picture=len(times) == 1,
        variable_frame_rate=info.variable_frame_rate,
        metadata=dict(info.metadata),
        shots=shots,
        damage=stream.damage,
        remarks=tuple(info.remarks),
    )


def _within(frame: Frame, side: int) -> Frame:
    scale = side / max(frame.shape)
    return frame if scale >= 1 else video.resize(frame, *(max(1, round(scale * length)) for length in frame.shape[:2]))


@dataclass
class _Sample:
    """What was measured at one frame, `number`; `motion` up to the frame `until`, None where it is not known."""

    number: int
    sharpness: float
    brightness: float
    contrast: float
    small: Small
    motion: float | None = None
    until: int = 0


class _Measures:
    """Measures some frames of a film, and which of all frames repeat the one before."""

    def __init__(self) -> None:
        self.samples: list[_Sample] = []
        self.repeated: list[bool] = []
        self.texts: list[tuple[int, float]] = []  # the numbers of the frames that were searched for text, and its share
        self._last: Frame | None = None
        self._text_due = 0.0
        self._due, self._every = 0.0, EVERY
        self._open: tuple[_Sample, scores.Grey, float] | None = None  # whose motion is not known yet, and its time

    def add(self, frame: Frame, time: float) -> bool:
        """Measure the next frame if one is due; return whether it repeats the one before."""
        repeats = self._last is not None and scores.repeats(self._last, frame)
        self.repeated.append(repeats)
        if self._open is not None:
            sample, grey, since = self._open
            if not repeats or time - since >= LONGEST_HELD:  # motion is that to the next picture
                sample.motion = scores.motion(grey, scores.grey(frame)) / max(time - since, 1e-3)
                sample.until = len(self.repeated) - 1
                self._open = None
        if time >= self._due:
            self._due = time + self._every
            self._sample(frame, time)
        self._last = frame
        return repeats

    def search(self, frame: Frame, time: float) -> None:
        """Search the frame that was added last for text if one is due; `frame` has its larger size."""
        if time >= self._text_due:
            self._text_due = time + EVERY_TEXT
            self.texts.append((len(self.repeated) - 1, text_share(frame)))

    def _sample(self, frame: Frame, time: float) -> None:
        number, grey = len(self.repeated) - 1, scores.grey(frame)
        light = scores.sharpness(grey), scores.brightness(grey), scores.contrast(grey)
        self.samples.append(_Sample(number, *light, shrunk(frame)))
        self._open = self._open or (self.samples[-1], grey, time)
        if len(self.samples) > MOST_SAMPLES:  # of a film of hours, a sample in two is enough
            self.samples, self._every = self.samples[::2], 2 * self._every

    def shot(self, first: int, last: int) -> tuple[Scores, tuple[str, ...], tuple[int, ...]]:
        """Return the measures, the hashes and the main colour of the frames from `first` up to `last`."""
        samples = [each for each in self.samples if first <= each.number < last]
        if not samples:  # shorter than the time between two samples: the nearest frame
            samples = [min(self.samples, key=lambda each: abs(each.number - first))]
        motions = [each.motion for each in samples if each.motion is not None and each.until < last]
        repeated = self.repeated[first + 1 : last]
        texts = [share for number, share in self.texts if first <= number < last]
        small = np.stack([each.small for each in samples])
        top, bottom, left, right = edges = scores.borders(small.max(axis=(0, 3)))
        found = Scores(
            motion=_rounded(float(np.median(motions)) if motions else 0.0),
            sharpness=_rounded(float(np.median([each.sharpness for each in samples]))),
            brightness=_rounded(float(np.mean([each.brightness for each in samples]))),
            contrast=_rounded(max(each.contrast for each in samples)),
            borders=_rounded(1 - (1 - top - bottom) * (1 - left - right)) if max(top, bottom, left, right) else 0.0,
            repeated=_rounded(float(np.mean(repeated)) if repeated else 0.0),
            text=_rounded(max(texts)) if texts else None,
        )
        few = small[:: -(-len(small) // MOST_HASHES)]
        inside = within_borders(few, edges)
        return found, fingerprints(np.stack([scores.grey(each) for each in inside])), main_colour(few)


def _rounded(value: float) -> float:
    """Round what is stored, so that a record is the same wherever the last bits of a float differ."""
    return float(f"{value:.4g}")
