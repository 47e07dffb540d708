"""Decode a video or picture file to frames as they are displayed, with exact times.

No frame is dropped silently: a truncated or damaged file raises FileProblem after the last frame that could be decoded.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import struct
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chronotope.errors import FileProblem, UsageError
from chronotope.media.picture import (
    Frame,
    Number,
    check_readable,
    check_size,
    is_picture,
    over_white,
    picture_facts,
    picture_frames,
    reason,
)

if TYPE_CHECKING:
    import av
    import av.container

__all__ = [
    "Source",
    "TimedFrame",
    "conversion_flags",
    "frame_spans",
    "measure_rate",
    "open_source",
    "open_video",
    "select_frames",
]

SEEK_FROM = 2.0  # seconds; for an earlier start, decoding from the beginning is faster than seeking
SIZE_TAG = "chronotope_size"  # the true size of a file whose odd size VideoWriter padded to even

# In these codecs one packet is one displayed frame, so frames can be counted without decoding.
COUNTABLE_CODECS = {"h264", "hevc", "mjpeg", "ffv1", "prores", "rawvideo", "dnxhd", "png", "huffyuv"}
INDEXED = ("mov", "matroska")  # containers with a reliable index and reliable timestamps


class TimedFrame(NamedTuple):
    """A frame: its start in seconds, its duration as the file declares it, and a function that returns its pixels."""

    time: float
    seconds: float
    pixels: Callable[[], Frame]


class Source(NamedTuple):
    """A file opened for reading: facts, declared frame rate, unit of its timestamps in seconds, frames."""

    facts: dict[str, Any]
    rate: float
    tick: float
    frames: Iterator[TimedFrame]
    still: bool


# Files to timed frames


def open_source(path: str | Path, start: Number) -> Source:
    """Open a video or a picture; the first frame is decoded, because it determines how the file is displayed."""
    path = check_readable(path)
    if is_picture(path):
        facts, still = picture_facts(path)
        stills = (
            TimedFrame(time, seconds, functools.partial(np.asarray, pixels))
            for time, seconds, pixels in picture_frames(path)
        )
        return Source(facts, 1.0, 0.01, stills, still)  # the time unit of a GIF is 0.01 s
    container, track = open_video(path)
    decoded = _decoded(container, track, path)
    first = next(decoded, None)
    if first is None:
        raise FileProblem(f"{path} holds no frame that can be decoded; a video with at least one frame is needed.")
    display, rate, tick = _Display(container, first), _declared_rate(track), float(track.time_base or 0)
    facts = dict(
        path=path,
        container=container.format.name,
        codec=track.codec_context.name,
        pixel_format=first.format.name,
        width=display.width,
        height=display.height,
        rotation=display.rotation,
        pixel_aspect=float(track.codec_context.sample_aspect_ratio or 1),
        metadata={**track.metadata, **container.metadata},
    )
    frames: Iterator[av.VideoFrame] = itertools.chain([first], decoded)
    if start >= SEEK_FROM and first.pts is not None and any(name in container.format.name for name in INDEXED):
        frames = _frames_from_keyframe(path, first.pts + int(start / tick)) or frames
    timed = _timed(frames, (first.pts or 0) * tick, rate, tick, display)
    return Source(facts, rate, tick, timed, still=False)


def _timed(
    frames: Iterator[av.VideoFrame], zero: float, rate: float, tick: float, display: _Display
) -> Iterator[TimedFrame]:
    """Yield the frames with their times since the first frame."""
    for index, frame in enumerate(frames):
        time = index / rate if frame.pts is None else frame.pts * tick - zero
        yield TimedFrame(time, (frame.duration or 0) * tick or 1 / rate, functools.partial(display.rgb, frame))


def open_video(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open a container and its first video track, whose size is checked; raise FileProblem for every error of libav."""
    import av
    import av.stream

    av.logging.set_libav_level(av.logging.PANIC)
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise FileProblem(
            f"{path} cannot be opened as a video ({reason(error)}): it is cut short or of another kind."
            " A complete file that FFmpeg reads is needed, such as .mp4, .webm, .avi or .gif."
        ) from None
    tracks = [track for track in container.streams.video if not track.disposition & av.stream.Disposition.attached_pic]
    if not tracks or tracks[0].codec_context is None:
        kinds = ", ".join(sorted({str(track.type) for track in container.streams})) or "nothing"
        raise FileProblem(
            f"{path} has no video that can be decoded (it holds: {kinds}); a file with a video track is needed."
        )
    check_size(path, tracks[0].codec_context.width, tracks[0].codec_context.height)
    return container, tracks[0]


class _CutShortError(Exception):
    """The file ends or is damaged before the end that its header announces."""


def _packets(
    container: av.container.InputContainer, track: av.VideoStream, after_seek: bool = False
) -> Iterator[av.Packet[av.VideoStream]]:
    """Yield the complete packets of a track; then raise _CutShortError if the header announces more."""
    import av

    count, end, tick, rate = 0, 0.0, float(track.time_base or 0), _declared_rate(track)
    indexed = track.frames if "mov" in container.format.name and not after_seek else 0
    try:
        for packet in container.demux(track):
            if packet.is_corrupt and container.format.name != "mpegts":  # broadcasts begin and end with partial packets
                raise _CutShortError("a frame is cut off")
            count += packet.size > 0
            end = max(end, ((packet.pts or 0) + (packet.duration or 0)) * tick)
            yield packet
    except av.FFmpegError as error:
        raise _CutShortError(reason(error)) from None
    announced = _announced_seconds(container, track)
    if count < indexed:
        raise _CutShortError(f"{indexed} frames are announced")
    if end < announced - max(1.5 / rate, 0.05):
        raise _CutShortError(f"{announced:.2f} seconds are announced, {end:.2f} are there")


def _announced_seconds(container: av.container.InputContainer, track: av.VideoStream) -> float:
    """Return the duration in seconds that a Matroska file declares; 0 for other containers."""
    if "matroska" in container.format.name:
        if "DURATION" in track.metadata:
            with contextlib.suppress(ValueError):  # a damaged tag
                hours, minutes, seconds = map(float, track.metadata["DURATION"].split(":"))
                return hours * 3600 + minutes * 60 + seconds
        if len(container.streams) == 1 and container.duration:
            return container.duration / 1e6
    return 0.0


def _decoded(
    container: av.container.InputContainer, track: av.VideoStream, path: Path, after_seek: bool = False
) -> Iterator[av.VideoFrame]:
    """Yield every frame that can be decoded; then raise FileProblem if the file is damaged or cut short."""
    import av

    shown, unread, key, lead = 0, "", None, None
    stamps: deque[int | None] = deque()
    # AVI has no display times for reordered frames, and some MP4 writers omit them. Timestamps then rise in decoding
    # order and are assigned to frames in display order below.
    suspect = container.format.name == "avi" or "mov" in container.format.name
    in_decoding_order = (
        suspect and track.codec_context.has_b_frames and track.codec_context.name in {*COUNTABLE_CODECS, "mpeg4"}
    )
    try:
        for packet in _packets(container, track, after_seek):
            key = packet.pts if key is None else key
            if in_decoding_order and packet.pts is not None and packet.dts is not None:
                lead = packet.pts - packet.dts if lead is None else lead
                in_decoding_order = packet.pts - packet.dts == lead
                if packet.size and not packet.is_discard:
                    stamps.append(packet.pts)
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if shown:
                    raise _CutShortError(reason(error)) from None
                unread = reason(error)  # a capture that begins between keyframes: these frames cannot be decoded
                continue
            for frame in frames:
                if in_decoding_order and stamps:
                    frame.pts = stamps.popleft()
                if after_seek and (frame.pts is None or key is None or frame.pts < key):
                    continue  # it depends on frames before the keyframe
                shown += 1
                yield frame
        if unread and not shown:
            raise _CutShortError(unread)
    except _CutShortError as damage:
        with contextlib.suppress(av.FFmpegError):
            for frame in track.codec_context.decode(None):
                frame.pts = stamps.popleft() if in_decoding_order and stamps else frame.pts
                shown += 1
                yield frame
        raise _damage_problem(path, damage, shown, track.frames, after_seek) from None


def _damage_problem(path: Path, damage: _CutShortError, decoded: int, announced: int, after_seek: bool) -> FileProblem:
    total = f" of {announced}" if announced > decoded else ""
    if after_seek:
        total = " after the requested start"
    return FileProblem(
        f"{path} is cut short or damaged ({damage}): {decoded} frames{total} could be decoded."
        " Get a complete copy, or keep what is there by re-encoding it with ffmpeg."
    )


def _frames_from_keyframe(path: Path, target: int) -> Iterator[av.VideoFrame] | None:
    """Return the frames from the keyframe before a timestamp on; None where seeking is not reliable."""
    import av

    container, track = open_video(path)
    index = track.index_entries
    if "mov" in container.format.name and len(index) and index[-1].pos + index[-1].size > path.stat().st_size:
        return None  # cut short: decoding from the beginning will report where
    frames = _decoded(container, track, path, after_seek=True)
    try:
        # files of old x264 in 4:4:4 declare only in their first frame how to decode all others
        next(_decoded(container, track, path))
        container.seek(target, stream=track)
        landed = next(frames, None)
    except (av.FFmpegError, FileProblem):
        return None
    if landed is None or landed.pts is None or landed.pts > target:
        return None
    return itertools.chain([landed], frames)


def frame_spans(facts: dict[str, Any]) -> list[tuple[float, float]]:
    """Return (start, duration) of each frame in seconds without decoding, or [] where decoding is necessary."""
    path, spans = facts["path"], list[tuple[float, float]]()
    if facts["codec"] not in COUNTABLE_CODECS or not any(name in facts["container"] for name in INDEXED):
        return spans
    container, track = open_video(path)
    tick, rate = float(track.time_base or 0), _declared_rate(track)
    try:
        for packet in _packets(container, track):
            if packet.size:
                if packet.pts is None or not (spans or packet.is_keyframe or packet.is_discard):
                    return []
                if not packet.is_discard:
                    spans.append((packet.pts * tick, (packet.duration or 0) * tick or 1 / rate))
    except _CutShortError:
        return []  # decoding will report how many frames there are
    return sorted(spans)


def _declared_rate(track: av.VideoStream) -> float:
    """Return the declared frame rate; a stream without timestamps declares it in the data of its codec."""
    if track.start_time is None and track.guessed_rate:
        return float(track.guessed_rate)
    return float(track.average_rate or track.guessed_rate or track.base_rate or 25)


def _slack(tick: float, rate: float) -> float:
    """Return the tolerance for timestamps in seconds: one tick, at least 1 ms, at most a third of a frame.

    Where a tick is half a frame or longer, ticks count frames and timestamps are exact.
    """
    if 2 * tick >= 1 / rate:
        return 1e-6
    return min(max(tick, 0.001) * 1.01, 0.34 / rate)


def measure_rate(times: list[float], last: float, declared: float, tick: float) -> tuple[float, bool]:
    """Return the frame rate, and whether it varies by more than the rounding of timestamps.

    `times` are the starts of the frames, `last` is the duration of the last one, all in seconds.
    """
    if len(times) == 1:
        return declared, False
    elapsed = np.asarray(times) - times[0]
    span = max(float(elapsed[-1]), 1e-6)
    mean = (len(times) - 1) / span
    for rate in (declared, float(round(mean) or mean), mean):
        if np.abs(elapsed - np.arange(len(times)) / rate).max() <= _slack(tick, rate):
            return rate, False
    return len(times) / (span + last), True


def select_frames(
    path: str | Path, fps: Number | None, start: Number, seconds: Number | None
) -> tuple[Source, Iterator[TimedFrame]]:
    """Open a file and select its frames in a window: with `fps`, the frame on screen at every output time."""
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"fps is {fps:g}; it must be above 0 and at most 1000.")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"seconds is {seconds:g}; it must be above 0.")
    if not 0 <= start < float("inf"):
        raise UsageError(f"start is {start:g}; it must be 0 or more seconds.")
    opened = open_source(path, start)
    slack = _slack(opened.tick, opened.rate)
    stop = float("inf") if seconds is None else float(start + seconds)
    if fps is None or opened.still:
        chosen = _in_window(opened.frames, float(start), stop, slack)
    else:
        chosen = _resampled(opened.frames, fps, start, stop, slack)
    first = next(chosen, None)
    if first is None:
        raise UsageError(f"{path} ends before {start:g} seconds; choose an earlier start.")
    return opened, itertools.chain([first], chosen)


def _in_window(frames: Iterator[TimedFrame], start: float, stop: float, slack: float) -> Iterator[TimedFrame]:
    """Yield the frames that begin in the window; where there are none, the frame that is on screen during it."""
    earlier, found, ended = None, False, True
    for frame in frames:
        if frame.time >= stop - slack:
            ended = False
            break
        if frame.time >= start - slack:
            found = True
            yield frame
        else:
            earlier = frame
    if earlier is not None and not found and not (ended and earlier.time + earlier.seconds <= start + slack):
        yield earlier


def _resampled(
    frames: Iterator[TimedFrame], fps: Number, start: Number, stop: float, slack: float
) -> Iterator[TimedFrame]:
    """Yield the frame on screen at each output time start + k / fps."""
    shown: TimedFrame | None = None
    count = 0
    for following in itertools.chain(frames, [None]):
        if shown is not None:
            until = following.time if following else shown.time + shown.seconds
            pixels = functools.cache(shown.pixels)
            while (time := start + count / fps) < min(until, stop) - slack:
                yield TimedFrame(time, 1 / fps, pixels)
                count += 1
            if time >= stop - slack:
                return
        shown = following


# Decoded frames to displayed pixels


class _Display:
    """Converts the frames of a file to displayed pixels: colours, transparency, rotation, and removal of padding."""

    def __init__(self, container: av.container.InputContainer, first: av.VideoFrame) -> None:
        from av.video.reformatter import VideoReformatter

        self.coded = first.width, first.height
        self.clean = self.coded
        tags = {key.lower(): value for key, value in container.metadata.items()}
        with contextlib.suppress(ValueError):
            width, height = map(int, tags.get(SIZE_TAG, "").split("x"))
            if (width + width % 2, height + height % 2) == self.coded:  # otherwise another tool has resized the file
                self.clean = width, height
        self.matrix = _display_matrix(first)
        self.transposed = abs(self.matrix[1]) > abs(self.matrix[0])
        self.width, self.height = self.clean[::-1] if self.transposed else self.clean
        self.rotation = round(np.degrees(np.arctan2(self.matrix[1], self.matrix[0])) / 90) * 90 % 360
        self.reformatter = VideoReformatter()

    def rgb(self, frame: av.VideoFrame) -> Frame:
        """Return the pixels of one frame; a frame of another size is scaled to that of the first, as players do."""
        import av
        from av.video.reformatter import Colorspace

        # where a file does not name its colour matrix, players assume BT.709 for large frames and BT.601 for small ones
        unnamed = Colorspace.ITU709 if self.coded[1] >= 720 else Colorspace.ITU601
        transparent = any(part.is_alpha for part in frame.format.components) or frame.format.name == "pal8"
        try:
            converted = self.reformatter.reformat(
                frame,
                *self.coded,
                "rgba" if transparent else "rgb24",
                src_colorspace=unnamed if frame.colorspace == 2 else None,
                interpolation=conversion_flags(sharp=False),
                threads=1,
            )
        except av.FFmpegError as error:
            raise FileProblem(
                f"frames of format {frame.format.name} cannot be shown ({reason(error)}); convert the video first."
            ) from None
        pixels = np.asarray(converted.to_ndarray())
        pixels = (over_white(pixels) if transparent else pixels)[: self.clean[1], : self.clean[0]]
        a, b, c, d = self.matrix
        if self.transposed:
            pixels, a, d = pixels.transpose(1, 0, 2), c, b
        return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Return the rotation and mirroring that the file declares, as (a, b, c, d) of x' = ax + cy, y' = bx + dy."""
    try:
        sides: Any = frame.side_data  # raises ValueError where it holds a kind unknown to PyAV
        a, b, _, c, d, *_ = struct.unpack("9i", bytes(sides["DISPLAYMATRIX"]))
        return a, b, c, d
    except (KeyError, ValueError):
        clockwise = round(-frame.rotation / 90) % 4
        return [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)][clockwise]


def conversion_flags(sharp: bool) -> int:
    """Return flags for accurate colour conversion.

    The defaults of libav darken pixels by 1 of 255 and lose 8 dB in an RGB round trip.
    """
    from av.video.reformatter import Interpolation

    exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    return exact | (Interpolation.BICUBIC if sharp else Interpolation.BILINEAR)
