"""The options of `chronotope generate` -> a request: checked together, files read at the model's frame rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from chronotope.cli.terminal import refuse_overwriting, refuse_replacing, say
from chronotope.errors import UsageError
from chronotope.generate.memory import available_bytes
from chronotope.geometry import Frames, Geometry
from chronotope.media import video
from chronotope.media.picture import PICTURE_FORMATS, Frame, check_writable
from chronotope.media.video import VIDEO_FORMATS
from chronotope.prompt import Prompt
from chronotope.request import Defaults, Inputs, Mask, Request, Task

__all__ = ["Options", "check_memory", "read_image", "weights_of_adapters"]

COPIES = 3  # of the frames of a clip are in memory at most: as read, fitted to the size, and put back into the video
MAX_COLOUR = 48  # levels between the channels of a grey pixel after compression


@dataclass(frozen=True)
class Options:
    """What stands on the command line beside the prompt; None stands for the model's default."""

    output: Path | None = None
    overwrite: bool = False
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
    size: tuple[int, int] | None = None
    seconds: float | None = None
    typed: str = ""  # what the user typed, where the model is told something else
    word_notes: tuple[str, ...] = ()  # what became of the user's words
    fps: float | None = None
    steps: int | None = None
    guidance: float | None = None
    solver: Literal["euler", "heun"] = "euler"
    negative: str = ""
    draft: bool = False
    seed: int = 0
    count: int = 1
    compare: tuple[Path, ...] = ()
    no_compare: bool = False

    @property
    def clip(self) -> Path | None:
        """The clip that the task works on."""
        return self.extend or self.edit or self.retake or (self.connect[0] if self.connect else None)

    @property
    def files(self) -> list[Path]:
        """Every file that is read."""
        clips = (self.extend, self.edit, self.retake, self.mask)
        return [*self.images, *(path for path in clips if path), *(self.connect or ())]

    @property
    def to_picture(self) -> bool:
        return self.output is not None and self.output.suffix.lower() in PICTURE_FORMATS

    @property
    def outputs(self) -> list[Path]:
        """The files to write: fox.mp4, or fox-7.mp4 and fox-8.mp4 for seeds 7 and 8."""
        if self.output is None:
            return []
        if self.count == 1:
            return [self.output]
        return [self.output.with_stem(f"{self.output.stem}-{self.seed + number}") for number in range(self.count)]

    # Checks

    def check(self, dry_run: bool) -> None:
        """Refuse what no model could do, before one is loaded."""
        for output in self.outputs:
            check_writable(output, {**VIDEO_FORMATS, **PICTURE_FORMATS})
            for path in self.files:
                refuse_overwriting(path, output)
            refuse_replacing(output, self.overwrite)
        if self.output is None and not dry_run:
            raise UsageError("name the file to write, for example: -o video.mp4")
        if self.compare and self.no_compare:
            raise UsageError("--compare and --no-compare exclude each other; give one of them")
        self._check_task()
        self._check_companions()
        if (self.files or self.loop) and (self.to_picture or self.seconds == 0):
            raise UsageError("a video from these inputs needs --seconds above 0 and a video file such as -o video.mp4")
        if (last := self.seed + self.count - 1) >= 2**63:
            raise UsageError(f"--seed {self.seed} with --count {self.count} ends at seed {last}, beyond 2^63 - 1")

    def _check_task(self) -> None:
        """Refuse inputs that belong to different tasks."""
        clips = {"--extend": self.extend, "--connect": self.connect, "--edit": self.edit, "--retake": self.retake}
        named = [name for name, file in clips.items() if file]
        if len(named) > 1:
            raise UsageError(f"{' and '.join(named)} are different tasks; make one video after the other")
        if self.images and named:
            raise UsageError(f"--image starts a video of its own; leave it out with {named[0]}")
        if self.loop and named and named != ["--extend"]:
            raise UsageError(
                f"--loop takes the prompt alone, an --image or a clip (--extend); it does not go with {named[0]}"
            )
        if self.loop and len(self.images) > 1:
            raise UsageError("--loop begins and ends at one --image")
        if self.at and len(self.at) != len(self.images):
            raise UsageError(
                f"there are {len(self.images)} --image and {len(self.at)} --at; give each picture its seconds"
            )
        if len(self.images) > 1 and not self.at:
            raise UsageError("several pictures need their seconds: --image a.png --at 0 --image b.png --at 2")

    def _check_companions(self) -> None:
        """Refuse an option without the one that it belongs to."""
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
        for name, present, partner, partner_name in needs:
            if present and not partner:
                raise UsageError(f"{name} goes with {partner_name}")
        if self.seconds is not None and (self.edit or self.retake):
            raise UsageError(
                "--edit and --retake keep the length of the clip; leave --seconds out, or cut the clip first"
            )
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise UsageError(f"--strength lies between 0 (keep everything) and 1 (keep nothing), got {self.strength:g}")

    # Request

    def request(self, prompts: tuple[Prompt, ...], defaults: Defaults, geometry: Geometry) -> Request:
        """Return the request, every file read; sizes and lengths that the options leave open follow the inputs."""
        beats = [prompt.seconds for prompt in prompts]
        width, height = self._frame_size((defaults.width, defaults.height), geometry.cell)
        fps = self.fps or defaults.fps
        keeps_length = self.edit or self.retake
        num_frames = None if keeps_length else self._num_frames(defaults, fps, geometry.stride[0], beats)
        return Request(
            prompts=prompts,
            height=height,
            width=width,
            num_frames=num_frames,
            inputs=self._read_inputs(fps),
            fps=fps,
            num_steps=self.steps,
            guidance_scale=self.guidance,
            solver=self.solver,
            negative_prompt=self.negative,
            draft=self.draft,
        )

    def _frame_size(self, default: tuple[int, int], cell: tuple[int, int]) -> tuple[int, int]:
        """Return width and height: those of --size, else of the clip, reduced to the pixel count of the default."""
        source = self.clip or (self.images[0] if self.images and self.loop else None)
        if self.size or source is None:
            return self.size or default
        source_width, source_height = video.probe(source).square_size
        if source_width <= default[0] and source_height <= default[1]:
            return source_width, source_height
        scale = math.sqrt(default[0] * default[1] / (source_width * source_height))
        cell_height, cell_width = cell
        width = max(cell_width, round(source_width * scale / cell_width) * cell_width)
        height = max(cell_height, round(source_height * scale / cell_height) * cell_height)
        return width, height

    def _num_frames(self, defaults: Defaults, fps: float, slice_frames: int, beats: Sequence[float]) -> int:
        """Return how many frames to generate, by --seconds or by the inputs."""
        if self.seconds is not None:
            num_frames = max(1, round(self.seconds * fps))
        elif self.to_picture:
            num_frames = 1
        else:
            num_frames = self._open_length(defaults, fps, slice_frames, beats)
        late = [seconds for seconds in beats if seconds * fps >= num_frames]
        if late:
            raise UsageError(
                f"the story goes on at {late[0]:g} s, after the end of the new part of {num_frames / fps:g} s; "
                "give more --seconds"
            )
        if self.to_picture and num_frames > 1:
            raise UsageError(
                f"{self.output} holds one frame, not {num_frames}; write a video (.mp4), or a picture with --seconds 0"
            )
        return num_frames

    def _open_length(self, defaults: Defaults, fps: float, slice_frames: int, beats: Sequence[float]) -> int:
        """Return the model's length, extended to the last picture or from the last beat of a story."""
        length = max(1, round(defaults.num_frames / defaults.fps * fps))
        if self.at:
            return max(length, round(max(self.at) * fps) + 1)
        last_beat = round(beats[-1] * fps)
        if self.clip or last_beat or (self.loop and not self.images):
            length = max(slice_frames, length // slice_frames * slice_frames)  # new frames come in whole slices
        return last_beat + length

    # Files

    def _read_inputs(self, fps: float) -> Inputs:
        """Read every file at this frame rate, with pixels that are square, as players show it."""
        task = self._task()
        check_memory([path for path in (self.clip, self.connect and self.connect[1], self.mask) if path], fps)
        clip = _read_clip(self.clip, fps) if self.clip else None
        span = None
        if task == "retake" and clip is not None and (self.start is not None or self.stop is not None):
            span = (self.start or 0.0, len(clip) / fps if self.stop is None else self.stop)
        times = self.at or (0.0,) * len(self.images)
        return Inputs(
            task=task,
            images=tuple((seconds, read_image(path)) for seconds, path in zip(times, self.images, strict=True)),
            video=clip,
            into=_read_clip(self.connect[1], fps) if self.connect else None,
            strength=self.strength,
            context=self.context,
            span=span,
            mask=_read_mask(self.mask, fps) if self.mask else None,
        )

    def _task(self) -> Task | None:
        if self.loop:
            return "loop"
        if self.extend:
            return "extend_backward" if self.backward else "extend"
        if self.connect:
            return "connect"
        if self.edit:
            return "edit"
        if self.retake:
            return "outpaint" if self._outpaints(self.retake) else "retake"
        return None

    def _outpaints(self, clip: Path) -> bool:
        """Return whether a --retake only has the surroundings of its clip to fill."""
        if self.mask or self.start is not None or self.stop is not None:
            return False
        width, height = video.probe(clip).square_size
        if self.size is None or (self.size[0] <= width and self.size[1] <= height):
            raise UsageError(
                f"say what to remake: a span (--from 1 --to 2), a --mask, or a --size larger than {width}x{height}"
            )
        return True


def weights_of_adapters(named: Sequence[str]) -> dict[str | Path, float]:
    """Read DIR or DIR=WEIGHT of each --adapter."""
    found: dict[str | Path, float] = {}
    for text in named:
        name, sign, number = text.rpartition("=")
        if not sign or Path(text).is_dir():
            name, number = text, "1"
        try:
            weight = float(number)
        except ValueError:
            raise UsageError(
                f"--adapter {text}: '{number}' is no weight; write DIR or DIR=WEIGHT, as runs/a=0.5"
            ) from None
        if Path(name) in map(Path, found):
            raise UsageError(f"--adapter names {name} more than once; name each adapter once")
        found[name] = weight
    return found


def check_memory(paths: Sequence[Path], fps: float) -> None:
    """Refuse clips that do not fit into the memory together, before any is read."""
    infos = [video.probe(path) for path in paths]
    needed = sum(3 * round(info.seconds * fps) * info.width * info.height * COPIES for info in infos)
    free = available_bytes()
    if needed > free:
        clips = " and ".join(f"{info.path} is {info.seconds:.0f} s of {info.width}x{info.height}" for info in infos)
        seconds = max(info.seconds for info in infos) * free / needed / 2
        raise UsageError(
            f"{clips}: at {fps:g} frames a second that takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            f"cut to {seconds:.0f} s, or make it smaller, first"
        )


def read_image(path: Path) -> Frame:
    """Read a picture, or the first frame of a video, and say what players show and it does not."""
    return video.read_image(path, square_pixels=True, note=lambda sentence: say(f"note: {path}: {sentence}"))


def _read_clip(path: Path, fps: float) -> Frames:
    """Read a clip that `check_memory` has approved, whatever the size of its file."""
    content = video.read(path, fps=fps, square_pixels=True, max_bytes=video.MAX_READ_BYTES)
    info = video.probe(path)
    for sentence in filter(None, (*info.remarks, content.damage)):
        say(f"note: {path}: {sentence}")
    if info.num_frames > 1 and content.num_frames != info.num_frames:
        say(f"note: {path}: its {info.num_frames} frames are read as {content.num_frames}, at {fps:g} a second")
    return content.frames


def _read_mask(path: Path, fps: float) -> Mask:
    """Read a mask: true where its frames are brighter than half."""
    frames = _read_clip(path, fps)
    if video.probe(path).transparent:
        say(f"note: {path} can be transparent; what is transparent in it counts as white, and is remade")
    if int(np.ptp(frames, axis=3).max()) > MAX_COLOUR:
        say(f"note: {path} has colours; what is brighter than half is remade")
    return np.asarray(frames.mean(axis=3) >= 128)
