"""What `chronotope generate` is given beside words: pictures at times, clips, masks and stories, read from files and checked together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chronotope.cli.terminal import check_finite, say
from chronotope.errors import UsageError
from chronotope.generate.memory import available_bytes
from chronotope.media import video
from chronotope.request import Inputs, Task

__all__ = ["Sources"]

COPIES = 3  # of a clip's frames are in memory at worst: as read, fitted to the frame, put back where nothing was made
MOST_COLOUR = 48  # levels between the channels of what is still grey, after compression


def check_memory(paths: Sequence[Path], fps: float) -> None:
    """Refuse clips that do not fit the memory together, before they are read: what is given comes back whole in the video."""
    infos = [video.probe(path) for path in paths]
    wanted, have = (
        sum(3 * round(info.seconds * fps) * info.width * info.height * COPIES for info in infos),
        available_bytes(),
    )
    if wanted > have:
        said = " and ".join(f"{info.path} is {info.seconds:.0f} s of {info.width}x{info.height}" for info in infos)
        raise UsageError(
            f"{said}: at {fps:g} frames a second that takes {wanted / 1e9:.1f} GB, and {have / 1e9:.1f} GB are free; "
            f"cut to {max(infos, key=lambda info: info.seconds).seconds * have / wanted / 2:.0f} s, or make it smaller, first"
        )


@dataclass(frozen=True)
class Sources:
    """The files named on the command line and what is to be done with them."""

    images: tuple[Path, ...] = ()
    at: tuple[float, ...] = ()
    extend: Path | None = None
    backward: bool = False
    context: float | None = None
    connect: tuple[Path, Path] | None = None
    loop: bool = False
    edit: Path | None = None
    strength: float | None = None
    retake: Path | None = None
    start: float | None = None
    stop: float | None = None
    mask: Path | None = None

    @property
    def clip(self) -> Path | None:
        """The clip that is worked on."""
        return self.extend or self.edit or self.retake or (self.connect[0] if self.connect else None)

    @property
    def files(self) -> list[Path]:
        """Everything that is read."""
        return [*self.images, *filter(None, (self.extend, self.edit, self.retake, self.mask)), *(self.connect or ())]

    @property
    def needs_motion(self) -> bool:
        return bool(self.images or self.clip or self.loop)

    def task(self, outpaints: bool) -> Task | None:
        """What is done with the clip."""
        if self.loop:
            return "loop"
        if self.extend:
            return "extend_backward" if self.backward else "extend"
        if self.connect:
            return "connect"
        if self.edit:
            return "edit"
        if self.retake:
            return "outpaint" if outpaints else "retake"
        return None

    def check(self, seconds: float | None) -> None:
        """Refuse what does not go together."""
        for name, value in (
            ("--context", self.context),
            ("--strength", self.strength),
            ("--from", self.start),
            ("--to", self.stop),
        ):
            check_finite(name, value)
        clips = {"--extend": self.extend, "--connect": self.connect, "--edit": self.edit, "--retake": self.retake}
        named = [name for name, file in clips.items() if file]
        if len(named) > 1:
            raise UsageError(f"{' and '.join(named)} are different tasks; make one video after the other")
        if self.images and named:
            raise UsageError(f"--image starts a video of its own; leave it out with {named[0]}")
        if self.loop and named and named != ["--extend"]:
            raise UsageError(
                f"--loop makes a loop of words, of an --image or of a clip (--extend); it does not go with {named[0]}"
            )
        if self.loop and len(self.images) > 1:
            raise UsageError("--loop begins and ends at one --image")
        if self.at and len(self.at) != len(self.images):
            raise UsageError(
                f"there are {len(self.images)} --image and {len(self.at)} --at; give each picture its seconds"
            )
        if len(self.images) > 1 and not self.at:
            raise UsageError("several pictures need their seconds: --image a.png --at 0 --image b.png --at 2")
        self._check_companions()
        if seconds is not None and (self.edit or self.retake):
            raise UsageError(
                "a clip that is edited or made again keeps its length; leave --seconds out, or cut the clip first"
            )
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"--strength lies between 0 (keep everything) and 1 (keep nothing), got {self.strength:g}")

    def _check_companions(self) -> None:
        """An option that only makes sense beside another."""
        needs: list[tuple[str, Any, Any, str]] = [
            ("--at", self.at, self.images, "--image"),
            ("--backward", self.backward, self.extend and not self.loop, "--extend"),
            ("--context", self.context is not None, self.extend or self.connect, "--extend or --connect"),
            (
                "--strength",
                self.strength is not None,
                self.edit or self.retake or self.connect,
                "--edit, --retake or --connect",
            ),
            ("--from", self.start is not None, self.retake, "--retake"),
            ("--to", self.stop is not None, self.retake, "--retake"),
            ("--mask", self.mask, self.retake, "--retake"),
        ]
        for name, given, partner, other in needs:
            if given and not partner:
                raise UsageError(f"{name} goes with {other}")

    def size(self, asked: tuple[int, int] | None, defaults: tuple[int, int], cell: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the video: as asked, else as many pixels as the model's own size, in the shape of what is given."""
        source = self.clip or (self.images[0] if self.images and self.loop else None)
        if asked or source is None:
            return asked or defaults
        info = video.probe(source)
        if info.width <= defaults[0] and info.height <= defaults[1]:
            return info.width, info.height
        scale = math.sqrt(defaults[0] * defaults[1] / (info.width * info.height))
        return tuple(
            max(side, round(n * scale / side) * side)
            for n, side in zip((info.width, info.height), cell[::-1], strict=True)
        )  # type: ignore[return-value]

    def outpaints(self, asked: tuple[int, int] | None) -> bool:
        """Whether a retake only has room around the clip to fill."""
        if self.retake is None or self.mask or self.start is not None or self.stop is not None:
            return False
        info = video.probe(self.retake)
        if asked is None or (asked[0] <= info.width and asked[1] <= info.height):
            raise UsageError(
                f"say what is to be made again: a stretch (--from 1 --to 2), a --mask, or a --size larger than {info.width}x{info.height}"
            )
        return True

    def read(self, fps: float, asked: tuple[int, int] | None) -> Inputs:
        """What lies in the files, at this rate."""
        outpaints = self.outpaints(asked)
        times = self.at or (0.0,) * len(self.images)
        check_memory([path for path in (self.clip, self.connect and self.connect[1], self.mask) if path], fps)
        clip = video.read(self.clip, fps=fps).frames if self.clip else None
        span = None
        if self.retake and clip is not None and not outpaints and (self.start is not None or self.stop is not None):
            span = (self.start or 0.0, len(clip) / fps if self.stop is None else self.stop)
        return Inputs(
            task=self.task(outpaints),
            images=tuple((seconds, video.read_image(path)) for seconds, path in zip(times, self.images, strict=True))
            if self.images
            else (),
            video=clip,
            into=video.read(self.connect[1], fps=fps).frames if self.connect else None,
            strength=self.strength,
            context=self.context,
            span=span,
            mask=self._mask(fps) if self.mask else None,
        )

    def _mask(self, fps: float) -> np.ndarray:
        """White (bright) is made again, black is kept."""
        assert self.mask is not None
        frames = video.read(self.mask, fps=fps).frames
        if int(np.ptp(frames, axis=3).max()) > MOST_COLOUR:
            say(f"note: {self.mask} has colours; what is brighter than half is made again")
        return np.asarray(frames.mean(axis=3) >= 128)
