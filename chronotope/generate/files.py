"""A request whose pictures and clips are files -> the request itself: files are read at the frame rate of the video."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from chronotope.errors import UsageError
from chronotope.generate.memory import available_bytes
from chronotope.geometry import Frames, Geometry
from chronotope.media import video
from chronotope.media.picture import Frame
from chronotope.prompt import Prompt
from chronotope.request import Choices, Defaults, InputFile, Inputs, Mask, Request, Task

__all__ = ["ExpectedFile", "FileRequest", "check_memory", "read_image"]

COPIES = 3  # of the frames of a clip are in memory at most: as read, fitted to the size, and put back into the video
MAX_COLOUR = 48  # levels between the channels of a grey pixel after compression

Note = Callable[[str], None]


@dataclass(frozen=True)
class ExpectedFile:
    """What is known of a clip that is still to be made."""

    square_size: tuple[int, int]
    seconds: float


@dataclass(frozen=True)
class FileRequest(Choices):
    """One video to generate from files; None stands for the model's default.

    `images` are pictures, all of them at 0 s without `at`. `clip` is what the task works on and `into` the second clip
    of `connect`. A retake replaces what lies between `start` and `stop`, where `mask` is white, or both; without any of
    them it paints around the clip.
    """

    prompts: tuple[Prompt, ...]
    task: Task | None = None
    images: tuple[Path, ...] = ()
    clip: Path | None = None
    into: Path | None = None
    mask: Path | None = None
    to_picture: bool = False
    typed: str = ""
    word_notes: tuple[str, ...] = ()
    expected: Mapping[Path, ExpectedFile] = field(default_factory=dict)

    def read(self, defaults: Defaults, geometry: Geometry, note: Note = lambda sentence: None) -> Request:
        """Return the request, every file read; sizes and lengths that are left open follow the inputs.

        `note` receives sentences on what files hold and the request does not.
        """
        return self._request(defaults, geometry, self._read_inputs(self.fps or defaults.fps, note))

    def preview(self, defaults: Defaults, geometry: Geometry) -> Request:
        """Return the request with placeholders of one pixel for the frames of its files, none of which is decoded.

        Raises the errors of `read` that do not depend on pixels.
        """
        fps = self.fps or defaults.fps
        return self._request(
            defaults,
            geometry,
            self._inputs(fps, _one_pixel, partial(self._clip_of_one_pixel, fps=fps), _mask_of_one_pixel),
        )

    def _request(self, defaults: Defaults, geometry: Geometry, inputs: Inputs) -> Request:
        beats = [prompt.seconds for prompt in self.prompts]
        width, height = self._frame_size((defaults.width, defaults.height), geometry.cell)
        fps = self.fps or defaults.fps
        if inputs.keeps_length:  # another length than that of the clip is refused by the request
            num_frames = None if self.seconds is None else max(1, round(self.seconds * fps))
        else:
            num_frames = self._num_frames(defaults, fps, geometry.stride[0], beats)
        return Request(
            prompts=self.prompts,
            height=height,
            width=width,
            num_frames=num_frames,
            inputs=inputs,
            fps=fps,
            num_steps=self.steps,
            guidance_scale=self.guidance,
            solver=self.solver,
            negative_prompt=self.negative,
            draft=self.draft,
            typed=self.typed,
            files=self.input_files,
            consent=self.consent,
            word_notes=self.word_notes,
        )

    @property
    def input_files(self) -> tuple[InputFile, ...]:
        """Every file that is read."""
        clips = [InputFile("clip", path) for path in (self.clip, self.into) if path]
        masks = [InputFile("mask", self.mask)] if self.mask else []
        return (*(InputFile("picture", path) for path in self.images), *clips, *masks)

    def _frame_size(self, default: tuple[int, int], cell: tuple[int, int]) -> tuple[int, int]:
        """Return width and height: those of --size, else of the clip, reduced to the pixel count of the default."""
        source = self.clip or (self.images[0] if self.images and self.task == "loop" else None)
        if self.size or source is None:
            return self.size or default
        source_width, source_height = self._probe(source).square_size
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
                f"a picture holds one frame, not {num_frames}; write a video (.mp4), or a picture with --seconds 0"
            )
        return num_frames

    def _open_length(self, defaults: Defaults, fps: float, slice_frames: int, beats: Sequence[float]) -> int:
        """Return the model's length, extended to the last picture or from the last beat of a story."""
        length = max(1, round(defaults.num_frames / defaults.fps * fps))
        if self.at:
            return max(length, round(max(self.at) * fps) + 1)
        last_beat = round(beats[-1] * fps)
        if self.clip or last_beat or (self.task == "loop" and not self.images):
            length = max(slice_frames, length // slice_frames * slice_frames)  # new frames come in whole slices
        return last_beat + length

    # Files

    def _probe(self, path: Path) -> ExpectedFile | video.VideoInfo:
        return self.expected.get(path) or video.probe(path)

    def _clip_of_one_pixel(self, path: Path, fps: float) -> Frames:
        return np.zeros((max(1, round(self._probe(path).seconds * fps)), 1, 1, 3), np.uint8)

    def _read_inputs(self, fps: float, note: Note) -> Inputs:
        """Read every file at this frame rate, with pixels that are square, as players show it."""
        check_memory([path for path in (self.clip, self.into, self.mask) if path], fps)
        return self._inputs(
            fps,
            lambda path: read_image(path, note),
            lambda path: _read_clip(path, fps, note),
            lambda path: _read_mask(path, fps, note),
        )

    def _inputs(
        self,
        fps: float,
        picture_of: Callable[[Path], Frame],
        clip_of: Callable[[Path], Frames],
        mask_of: Callable[[Path], Mask],
    ) -> Inputs:
        task = self.task
        if task != "retake" and (self.start is not None or self.stop is not None):
            raise UsageError(f"a span of time goes with retake, not with {task or 'a plain prompt'}; leave it out")
        if self.at and len(self.at) != len(self.images):
            raise UsageError(f"there are {len(self.images)} pictures and {len(self.at)} times; give one for each")
        if task == "retake" and self.clip and self._outpaints(self.clip):
            task = "outpaint"
        clip = clip_of(self.clip) if self.clip else None
        span = None
        if task == "retake" and clip is not None and (self.start is not None or self.stop is not None):
            span = (self.start or 0.0, len(clip) / fps if self.stop is None else self.stop)
        times = self.at or (0.0,) * len(self.images)
        return Inputs(
            task=task,
            images=tuple((seconds, picture_of(path)) for seconds, path in zip(times, self.images, strict=True)),
            video=clip,
            into=clip_of(self.into) if self.into else None,
            strength=self.strength,
            context=self.context,
            span=span,
            mask=mask_of(self.mask) if self.mask else None,
        )

    def _outpaints(self, clip: Path) -> bool:
        """Return whether a --retake only has the surroundings of its clip to fill."""
        if self.mask or self.start is not None or self.stop is not None:
            return False
        width, height = self._probe(clip).square_size
        if self.size is None or (self.size[0] <= width and self.size[1] <= height):
            raise UsageError(
                f"say what to remake: a span (--from 1 --to 2), a --mask, or a --size larger than {width}x{height}"
            )
        return True


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


def read_image(path: Path, note: Note = lambda sentence: None) -> Frame:
    """Read a picture, or the first frame of a video; `note` receives what players show and the picture does not."""
    return video.read_image(path, square_pixels=True, note=lambda sentence: note(f"{path}: {sentence}"))


def _read_clip(path: Path, fps: float, note: Note) -> Frames:
    """Read a clip that `check_memory` has approved, whatever the size of its file."""
    content = video.read(path, fps=fps, square_pixels=True, max_bytes=video.MAX_READ_BYTES)
    info = video.probe(path)
    for sentence in filter(None, (*info.remarks, content.damage)):
        note(f"{path}: {sentence}")
    if info.num_frames > 1 and content.num_frames != info.num_frames:
        note(f"{path}: its {info.num_frames} frames are read as {content.num_frames}, at {fps:g} a second")
    return content.frames


def _read_mask(path: Path, fps: float, note: Note) -> Mask:
    """Read a mask: true where its frames are brighter than half."""
    frames = _read_clip(path, fps, note)
    if video.probe(path).transparent:
        note(f"{path} can be transparent; what is transparent in it counts as white, and is remade")
    if int(np.ptp(frames, axis=3).max()) > MAX_COLOUR:
        note(f"{path} has colours; what is brighter than half is remade")
    return np.asarray(frames.mean(axis=3) >= 128)


def _one_pixel(path: Path) -> Frame:
    del path
    return np.zeros((1, 1, 3), np.uint8)


def _mask_of_one_pixel(path: Path) -> Mask:
    del path
    return np.ones((1, 1, 1), bool)
