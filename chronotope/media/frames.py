"""From a video or picture file to its frames, with exact times, as they are to be seen.

Nothing is dropped silently: what is cut short or damaged ends in FileProblem after the last frame that could be decoded.
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
    check_size,
    is_picture,
    over_white,
    picture_facts,
    picture_frames,
    readable,
    reason,
)

if TYPE_CHECKING:
    import av
    import av.container

__all__ = ["Source", "Timed", "cadence", "careful", "open_video", "packet_spans", "selected", "source"]

SEEK_FROM = 2.0  # seconds; an earlier start is decoded up to
SIZE_TAG = "chronotope_size"  # the true size of a file whose odd size our writer padded to even

# Where one packet is one frame on screen, frames are counted without decoding them; elsewhere packets can be hidden or lost.
COUNTABLE_CODECS = {"h264", "hevc", "mjpeg", "ffv1", "prores", "rawvideo", "dnxhd", "png", "huffyuv"}
INDEXED = ("mov", "matroska")  # containers whose index and timestamps can be trusted


class Timed(NamedTuple):
    """A frame: when it comes on screen, for how long by the file's word, and its pixels when asked."""

    time: float
    seconds: float
    pixels: Callable[[], Frame]


class Source(NamedTuple):
    """A file opened for reading: its facts, declared frame rate, the step in which it counts time, its frames."""

    facts: dict[str, Any]
    rate: float
    tick: float
    frames: Iterator[Timed]
    still: bool


# From file to frames in time


def source(path: str | Path, start: Number) -> Source:
    """Open a video or a picture; its first frame is decoded, since only that tells how it is displayed."""
    path = readable(path)
    if is_picture(path):
        facts, still = picture_facts(path)
        stills = (
            Timed(time, seconds, functools.partial(np.asarray, pixels))
            for time, seconds, pixels in picture_frames(path)
        )
        return Source(facts, 1.0, 0.01, stills, still)  # a GIF counts in hundredths
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
        frames = _sought(path, first.pts + int(start / tick)) or frames
    timed = _timed(frames, (first.pts or 0) * tick, rate, tick, display)
    return Source(facts, rate, tick, timed, still=False)


def _timed(
    frames: Iterator[av.VideoFrame], zero: float, rate: float, tick: float, display: _Display
) -> Iterator[Timed]:
    """The frames with their times since the first one."""
    for index, frame in enumerate(frames):
        time = index / rate if frame.pts is None else frame.pts * tick - zero
        yield Timed(time, (frame.duration or 0) * tick or 1 / rate, functools.partial(display.rgb, frame))


def open_video(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """The container and its video track, their size checked; libav is made quiet and its errors one sentence."""
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
    """The file ends, or breaks, before what its header announces."""


def _packets(
    container: av.container.InputContainer, track: av.VideoStream, after_seek: bool = False
) -> Iterator[av.Packet[av.VideoStream]]:
    """The whole packets of a track, then _CutShortError if more were announced."""
    import av

    count, end, tick, rate = 0, 0.0, float(track.time_base or 0), _declared_rate(track)
    indexed = track.frames if "mov" in container.format.name and not after_seek else 0
    try:
        for packet in container.demux(track):
            if packet.is_corrupt and container.format.name != "mpegts":  # half a packet; broadcasts have them by nature
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
    """How long Matroska says the track is; the others have better marks of an early end, or none."""
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
    """Every frame that can be decoded, then FileProblem if the file is damaged or cut short."""
    import av

    shown, unread, key, lead = 0, "", None, None
    stamps: deque[int | None] = deque()
    # AVI has no display times for reordered frames, and some writers of MP4 forget them: stamps then count up in decoding order.
    suspect = container.format.name == "avi" or "mov" in container.format.name
    forgotten = (
        suspect and track.codec_context.has_b_frames and track.codec_context.name in {*COUNTABLE_CODECS, "mpeg4"}
    )
    try:
        for packet in _packets(container, track, after_seek):
            key = packet.pts if key is None else key
            if forgotten and packet.pts is not None and packet.dts is not None:
                lead = packet.pts - packet.dts if lead is None else lead
                forgotten = packet.pts - packet.dts == lead
                if packet.size and not packet.is_discard:
                    stamps.append(packet.pts)
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if shown:
                    raise _CutShortError(reason(error)) from None
                unread = reason(error)  # a capture that begins between keyframes: no player can show this
                continue
            for frame in frames:
                if forgotten and stamps:
                    frame.pts = stamps.popleft()
                if after_seek and (frame.pts is None or key is None or frame.pts < key):
                    continue  # it leans on frames before the keyframe
                shown += 1
                yield frame
        if unread and not shown:
            raise _CutShortError(unread)
    except _CutShortError as damage:
        with contextlib.suppress(av.FFmpegError):
            for frame in track.codec_context.decode(None):
                frame.pts = stamps.popleft() if forgotten and stamps else frame.pts
                shown += 1
                yield frame
        total = " after the start asked for" if after_seek else f" of {track.frames}" if track.frames > shown else ""
        raise FileProblem(
            f"{path} is cut short or damaged ({damage}): {shown} frames{total} could be decoded."
            " Get a complete copy, or keep what is there by re-encoding it with ffmpeg."
        ) from None


def _sought(path: Path, target: int) -> Iterator[av.VideoFrame] | None:
    """The frames from the keyframe before a timestamp on; None where that cannot be trusted."""
    import av

    container, track = open_video(path)
    index = track.index_entries
    if "mov" in container.format.name and len(index) and index[-1].pos + index[-1].size > path.stat().st_size:
        return None  # cut short: decoding from the start will find and say where
    frames = _decoded(container, track, path, after_seek=True)
    try:
        next(
            _decoded(container, track, path)
        )  # files of old x264 in 4:4:4 say only in their first frame how to decode all others
        container.seek(target, stream=track)
        landed = next(frames, None)
    except (av.FFmpegError, FileProblem):
        return None
    if landed is None or landed.pts is None or landed.pts > target:
        return None
    return itertools.chain([landed], frames)


def packet_spans(facts: dict[str, Any]) -> list[tuple[float, float]]:
    """When each frame comes and how long it stays, without decoding; empty where packets do not tell."""
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
        return []  # decoding will say how many frames are there
    return sorted(spans)


def _declared_rate(track: av.VideoStream) -> float:
    """What the header says; a bare stream without timestamps has its rate in the codec's own data."""
    rates = track.average_rate, track.guessed_rate, track.base_rate
    return float((rates[1] if track.start_time is None else None) or rates[0] or rates[1] or rates[2] or 25)


def _slack(tick: float, rate: float) -> float:
    """How far in seconds a timestamp may be off: a tick or the millisecond of other containers; nothing where ticks are frames."""
    return min(max(tick, 0.001) * 1.01, 0.34 / rate) if 2 * tick < 1 / rate else 1e-6


def cadence(times: list[float], last: float, declared: float, tick: float) -> tuple[float, bool]:
    """The frame rate, and whether it varies by more than the rounding of timestamps."""
    if len(times) == 1:
        return declared, False
    elapsed = np.asarray(times) - times[0]
    span = max(float(elapsed[-1]), 1e-6)
    mean = (len(times) - 1) / span
    for rate in (declared, float(round(mean) or mean), mean):
        if np.abs(elapsed - np.arange(len(times)) / rate).max() <= _slack(tick, rate):
            return rate, False
    return len(times) / (span + last), True


def selected(
    path: str | Path, fps: Number | None, start: Number, seconds: Number | None
) -> tuple[Source, Iterator[Timed]]:
    """The opened file and those of its frames that were asked for: with `fps` the one on screen at every output time."""
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"fps is {fps:g}; it must be above 0 and at most 1000.")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"seconds is {seconds:g}; it must be above 0.")
    if not 0 <= start < float("inf"):
        raise UsageError(f"start is {start:g}; it must be 0 or more seconds.")
    opened = source(path, start)
    slack = _slack(opened.tick, opened.rate)
    stop = float("inf") if seconds is None else float(start + seconds)
    if fps is None or opened.still:
        chosen = _begun(opened.frames, float(start), stop, slack)
    else:
        chosen = _resampled(opened.frames, fps, start, stop, slack)
    first = next(chosen, None)
    if first is None:
        raise UsageError(f"{path} ends before {start:g} seconds; ask for an earlier start.")
    return opened, itertools.chain([first], chosen)


def _begun(frames: Iterator[Timed], start: float, stop: float, slack: float) -> Iterator[Timed]:
    """The frames that begin in the window; where none does, the one that is on screen all through it."""
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


def _resampled(frames: Iterator[Timed], fps: Number, start: Number, stop: float, slack: float) -> Iterator[Timed]:
    """At each output time start + k/fps the frame that is on screen then."""
    shown: Timed | None = None
    count = 0
    for following in itertools.chain(frames, [None]):
        if shown is not None:
            until = following.time if following else shown.time + shown.seconds
            pixels = functools.cache(shown.pixels)
            while (time := start + count / fps) < min(until, stop) - slack:
                yield Timed(time, 1 / fps, pixels)
                count += 1
            if time >= stop - slack:
                return
        shown = following


# From decoded frame to what is seen


class _Display:
    """How the frames of a file are to be seen: colours, transparency, rotation, and the padding of odd sizes."""

    def __init__(self, container: av.container.InputContainer, first: av.VideoFrame) -> None:
        from av.video.reformatter import VideoReformatter

        self.coded = first.width, first.height
        self.clean = self.coded
        tags = {key.lower(): value for key, value in container.metadata.items()}
        with contextlib.suppress(ValueError):
            width, height = map(int, tags.get(SIZE_TAG, "").split("x"))
            if (width + width % 2, height + height % 2) == self.coded:  # else another tool has scaled it since
                self.clean = width, height
        self.matrix = _display_matrix(first)
        self.transposed = abs(self.matrix[1]) > abs(self.matrix[0])
        self.width, self.height = self.clean[::-1] if self.transposed else self.clean
        self.rotation = round(np.degrees(np.arctan2(self.matrix[1], self.matrix[0])) / 90) * 90 % 360
        self.reformatter = VideoReformatter()

    def rgb(self, frame: av.VideoFrame) -> Frame:
        """The pixels of one frame; one that differs in size from the first is scaled to it, as players do."""
        import av
        from av.video.reformatter import Colorspace

        # Of files that do not name their colour matrix, players take large ones for BT.709 and small ones for BT.601.
        unnamed = Colorspace.ITU709 if self.coded[1] >= 720 else Colorspace.ITU601
        transparent = any(part.is_alpha for part in frame.format.components) or frame.format.name == "pal8"
        try:
            converted = self.reformatter.reformat(
                frame,
                *self.coded,
                "rgba" if transparent else "rgb24",
                src_colorspace=unnamed if frame.colorspace == 2 else None,
                interpolation=careful(sharp=False),
                threads=1,
            )
        except av.FFmpegError as error:
            raise FileProblem(
                f"frames of kind {frame.format.name} cannot be shown ({reason(error)}); convert the video first."
            ) from None
        pixels = np.asarray(converted.to_ndarray())
        pixels = (over_white(pixels) if transparent else pixels)[: self.clean[1], : self.clean[0]]
        a, b, c, d = self.matrix
        if self.transposed:
            pixels, a, d = pixels.transpose(1, 0, 2), c, b
        return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """How the file says that its frames are turned or mirrored: x' = ax + cy, y' = bx + dy."""
    try:
        sides: Any = frame.side_data  # a ValueError where it holds a kind that PyAV does not know
        a, b, _, c, d, *_ = struct.unpack("9i", bytes(sides["DISPLAYMATRIX"]))
        return a, b, c, d
    except (KeyError, ValueError):
        clockwise = round(-frame.rotation / 90) % 4
        return [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)][clockwise]


def careful(sharp: bool) -> int:
    """Flags for colour conversion: libav's defaults darken by a level and, in a round trip of RGB, lose 8 dB."""
    from av.video.reformatter import Interpolation

    exact = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    return exact | (Interpolation.BICUBIC if sharp else Interpolation.BILINEAR)
