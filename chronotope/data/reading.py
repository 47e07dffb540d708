"""A clip -> its frames as they are encoded, part by part, and their latents: a plain function of one clip.

Frames have square pixels, a constant rate, and are within the limits.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chronotope.actions import SUFFIX, ActionSchema, has_actions, read_actions
from chronotope.config import to_dict
from chronotope.data.clips import Clip
from chronotope.data.latents import ClipActions, encode_frames, latents_hash
from chronotope.data.limits import Limits, part_key
from chronotope.data.notes import ClipNotes
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Frames, Geometry, Slice
from chronotope.manifest import Source, described
from chronotope.media import video
from chronotope.media.damage import DAMAGE_ADVICE
from chronotope.media.generated import generated_by
from chronotope.models.autoencoder import Autoencoder

__all__ = ["ClipJob", "EncodedPart", "Part", "PartEncoder", "read_parts"]


@dataclass(frozen=True)
class Part:
    """Frames that become one item: all of a clip, or one of `count` parts, which begins at frame `first`.

    `original` are the size, rate and length of a clip that was scaled, resampled or cut; None of any other.
    """

    frames: Frames
    fps: float
    first: int = 0
    count: int = 1
    original: dict[str, Any] | None = None

    @property
    def start(self) -> float:
        """Seconds of the clip at which the part begins."""
        return self.first / self.fps


def read_parts(clip: Clip, limits: Limits, cell: tuple[int, int], notes: ClipNotes) -> Iterator[Part]:
    """Yield the parts of a clip as players show them, each as it is read; say where frames are not those of the file.

    Without limits a clip is one part. Within limits it is streamed, and only the frames of one part, scaled, are in
    memory. Raises UsageError for a part of more pixels than `video.read` accepts.
    """
    if not limits:
        content = _read_whole(clip, notes)
        yield Part(content.frames, float(content.fps))
        return
    info = video.probe(clip.path)
    for remark in info.remarks:
        notes.remarks.add(clip.file, remark)
    own = info.constant_fps if info.variable_frame_rate else info.fps
    fps = own if info.num_frames == 1 else limits.rate(own)
    as_stored = fps == own and not info.variable_frame_rate
    width, height = limits.size(*info.square_size, cell)
    _say_resampling(info, (width, height), fps, notes)
    lengths = limits.parts(info.num_frames if as_stored else limits.frames_at(info.seconds, fps), fps)
    original: dict[str, Any] | None = None
    own_frames = info.num_frames if own == info.fps else round(info.seconds * own)
    if (width, height) != info.square_size or fps != own or len(lengths) > 1:
        size = dict(zip(("width", "height"), info.square_size, strict=True))
        original = {**size, "num_frames": own_frames, "fps": own}
    stream = video.stream(clip.path, fps=None if as_stored else fps)
    first = 0
    for frames in _gathered(clip, stream, lengths, (height, width)):
        yield Part(frames, float(fps), first, len(lengths), original)
        first += len(frames)
    if stream.damage:
        notes.clip(f"{clip.path}: {stream.damage}; {DAMAGE_ADVICE}")


def _gathered(clip: Clip, stream: video.FrameStream, lengths: list[int], size: tuple[int, int]) -> Iterator[Frames]:
    """Yield the scaled frames of each part; the last one takes all that remain."""
    most = video.most_read_bytes(clip.path.stat().st_size)
    for index, length in enumerate(lengths):
        last, frames, held = index == len(lengths) - 1, list[np.ndarray](), 0
        while last or len(frames) < length:
            frame = next(stream, None)
            if frame is None:
                break
            frames.append(frame if frame.shape[:2] == size else video.resize(frame, *size))
            held += frames[-1].nbytes
            if held > most:
                stream.close()
                raise UsageError(
                    f"{clip.path} is too long to hold in memory ({most / 2**30:.3g} GiB were full after {len(frames)} "
                    "frames); encode it in parts, with a smaller --max-seconds"
                )
        if not frames:
            raise FileProblem(f"{clip.path} has fewer frames than its header says; get a complete copy")
        yield np.stack(frames)


def _say_resampling(info: video.VideoInfo, size: tuple[int, int], fps: float, notes: ClipNotes) -> None:
    """Say where pixels are not square and where the rate varies."""
    if info.square_size != (info.width, info.height):
        sizes = "{}x{} to {}x{}".format(info.width, info.height, *size)
        notes.clip(f"the pixels of {info.path} are not square; it was resampled from {sizes}")
    if info.variable_frame_rate:
        varies = f"the frame rate of {info.path} varies ({info.fps:.3g} a second on average)"
        notes.clip(f"{varies}; it was resampled to {fps:g}")
    if info.skipped and fps == info.constant_fps:
        notes.clip(f"{info.path}: {info.skipped}")


def _read_whole(clip: Clip, notes: ClipNotes) -> video.Video:
    """Read a clip at a constant frame rate and with square pixels, as players show it; say where that changes it."""
    path = clip.path
    content = video.read(path, square_pixels=True)
    for remark in content.remarks:
        notes.remarks.add(clip.file, remark)
    if content.variable_frame_rate or content.pixel_aspect != 1:
        info = video.probe(path)
        _say_resampling(info, info.square_size, info.constant_fps, notes)
        if info.variable_frame_rate:
            content = video.read(path, fps=info.constant_fps, square_pixels=True)
    if content.damage:
        notes.clip(f"{path}: {content.damage}; {DAMAGE_ADVICE}")
    return content


@dataclass(frozen=True)
class ClipJob:
    """A clip to encode, the identity of its file, and the rows of its parts that an interrupted run wrote, by key."""

    clip: Clip
    source: Source
    kept: Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class EncodedPart:
    """The row of a part for the index, its latents (None where an interrupted run wrote them), and what is to be said.

    Sentences are on the clip, remarks of a kind that other clips share. The last one of a clip may have no row.
    """

    row: dict[str, Any]
    latents: Float[Tensor, "s c h w"] | None = None
    sentences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartEncoder:
    """Encodes the parts of clips; in a share `shuffled` of them, still slices are at random places.

    With a `schema`, actions beside a clip go into the row of each part.
    """

    autoencoder: Autoencoder
    geometry: Geometry
    limits: Limits
    shuffled: float
    schema: ActionSchema | None = None

    def __call__(self, job: ClipJob) -> Iterator[EncodedPart]:
        """Yield the parts of a clip; raise FileProblem for one that cannot be read or encoded, or was changed."""
        clip, sentences = job.clip, list[str]()
        notes = ClipNotes(sentences.append, clip.path.parent)
        made = {"generated_by": weights} if (weights := generated_by(clip.path)) else {}
        for part in read_parts(clip, self.limits, self.geometry.cell, notes):
            row = {**_about(clip, job.source, part), **made}
            self._check_actions(clip, part)
            if not job.source.unchanged(clip.path):  # else these frames could be recorded as those of another content
                raise FileProblem(f"{clip.path} was changed while it was read; run the same command again")
            said, sentences[:] = tuple(sentences), []
            if row["key"] in job.kept:
                yield EncodedPart(dict(job.kept[row["key"]]), None, said)
            else:
                yield EncodedPart(*self._encoded(clip, row, part), said)
        yield EncodedPart({}, None, tuple(sentences), tuple(notes.remarks.files))

    def _check_actions(self, clip: Clip, part: Part) -> None:
        """Raise FileProblem, before the frames are encoded, where the actions beside a clip cannot be used."""
        original = part.original or {"num_frames": len(part.frames), "fps": part.fps}
        _actions_of_frames(clip, self.schema, original, part.fps, slice(part.first, part.first + len(part.frames)))

    def _encoded(self, clip: Clip, row: dict[str, Any], part: Part) -> tuple[dict[str, Any], Tensor]:
        """Encode the frames of one item; return its row and its latents."""
        num_frames, height, width = part.frames.shape[:3]
        slices = _cut(row["key"], num_frames, self.geometry, self.shuffled)
        try:
            latents = encode_frames(self.autoencoder, self.geometry, part.frames, slices).half().cpu()
        except (MemoryError, RuntimeError) as problem:
            if not isinstance(problem, MemoryError) and "memory" not in str(problem):
                raise
            size = f"{num_frames} frames of {width}x{height}"
            raise FileProblem(
                f"{clip.path}, {size}, is too large for the memory of this machine; cut it, or encode it with "
                "--max-side and --max-seconds"
            ) from problem
        if not torch.isfinite(latents).all():
            raise FileProblem(f"the latents of {clip.path} are not finite numbers; check the autoencoder")
        facts = {
            "slices": [piece.num_frames for piece in slices],
            "height": height,
            "width": width,
            "fps": part.fps,
            "sha256": latents_hash(latents),
        }
        return {**row, **facts}, latents


def actions_of_row(row: Mapping[str, Any], clip: Clip, schema: ActionSchema | None) -> dict[str, Any]:
    """Return the row of a part with the actions that are beside its clip now; without actions where there are none.

    Raises FileProblem where they are damaged or do not match schema and clip, UsageError where the rate was changed.
    """
    count, first = sum(row["slices"]), round(float(row.get("start", 0)) * row["fps"])
    original = row.get("original") or {"num_frames": count, "fps": row["fps"]}
    found = _actions_of_frames(clip, schema, original, row["fps"], slice(first, first + count))
    plain = {name: value for name, value in row.items() if name != "actions"}
    return plain | ({"actions": to_dict(found)} if found else {})


def _actions_of_frames(
    clip: Clip, schema: ActionSchema | None, original: Mapping[str, Any], fps: float, frames: slice
) -> ClipActions | None:
    """Read the actions that led to some frames of a clip; None where no file of actions is beside it."""
    if schema is None or not has_actions(clip.path):
        return None
    if original["fps"] != fps:
        raise UsageError(
            f"{clip.path} has an action for each frame, so its rate of {original['fps']:g} frames a second cannot be "
            f"changed to {fps:g}; encode it without --fps, or with --fps native"
        )
    found = read_actions(clip.path.with_name(clip.path.stem + SUFFIX), schema, original["num_frames"])
    return ClipActions(found.values[frames].tolist(), found.known[frames].tolist())


def _about(clip: Clip, source: Source, part: Part) -> dict[str, Any]:
    """Return what a row of the index says of a part before it is encoded."""
    row: dict[str, Any] = {"key": clip.key, "source": described(source)}
    if part.count > 1:
        row |= {"key": part_key(clip.key, part.start), "clip": clip.key, "start": part.start, "parts": part.count}
    return row | ({"original": part.original} if part.original else {})


def _cut(key: str, num_frames: int, geometry: Geometry, shuffled: float) -> tuple[Slice, ...]:
    """Cut an item into slices; the random choice depends on its key only."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    return geometry.shuffled_slices(num_frames, rng) if rng.random() < shuffled else geometry.slices(num_frames)
