"""Decode a video or picture file to frames as they are displayed, with exact times.

No frame is dropped silently: a truncated or damaged file raises FileProblem after the last frame that could be decoded.
This runs in the guarded child, so it needs no numpy; pixels stay as planes until the parent lays them out.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from chronotope.errors import FileProblem, UsageError
from chronotope.media.convert import Converter
from chronotope.media.files import MediaFile, check_total_pixels, reason
from chronotope.media.formats import edit_remarks, open_video
from chronotope.media.planes import Planes
from chronotope.media.stills import is_picture, picture_facts, picture_frames

if TYPE_CHECKING:
    import av
    import av.container

__all__ = [
    "Number",
    "Source",
    "TimedFrame",
    "check_window",
    "constant_rate",
    "count_skipped",
    "find_gaps",
    "frame_spans",
    "measure_rate",
    "open_source",
    "select_frames",
]

Number = int | float  # the runtime type check in tests does not accept an int as a float

GAP_STEPS = 2.5  # times the usual distance of two frames
MOST_RATE = 1000  # that a video is read at
MOST_GAPS = 3  # with more, the frame rate varies on purpose
LONGEST_FRAME_LINE = 80  # bytes before the pixels of a frame in a y4m file
SEEK_FROM = 2.0  # seconds; for an earlier start, decoding from the beginning is faster than seeking

# In these codecs one packet is one displayed frame, so frames can be counted without decoding.
COUNTABLE_CODECS = {"h264", "hevc", "mjpeg", "ffv1", "prores", "rawvideo", "dnxhd", "png", "huffyuv"}
INDEXED = ("mov", "matroska")  # containers with a reliable index and reliable timestamps


class TimedFrame(NamedTuple):
    """A frame: its start in seconds, its duration as the file declares it, and a function that returns its pixels."""

    time: float
    seconds: float
    pixels: Callable[[], Planes]


class Source(NamedTuple):
    """A file opened for reading: facts, declared frame rate, unit of its timestamps in seconds, frames.

    Its durations are `exact` where they are stored, and not guessed from the rate.
    """

    facts: dict[str, Any]
    rate: float
    tick: float
    frames: Iterator[TimedFrame]
    still: bool
    exact: bool


# Files to timed frames


def open_source(file: MediaFile, start: Number, max_side: int | None = None) -> Source:
    """Open a video or a picture; the first frame is decoded, because it determines how the file is displayed.

    The frames of a video are scaled down to `max_side` pixels; pictures are not.
    """
    if is_picture(file):
        facts, still = picture_facts(file)
        stills = (
            TimedFrame(time, seconds, functools.partial(_itself, planes))
            for time, seconds, planes in picture_frames(file)
        )
        return Source(facts, 1.0, 0.01, stills, still, exact=True)  # the time unit of a GIF is 0.01 s
    container, track, decoder = open_video(file)
    decoded = _decoded(container, track, decoder, file)
    first = next(decoded, None)
    if first is None:
        raise FileProblem(f"{file.path} holds no frame that can be decoded; a video with at least one frame is needed.")
    converter = Converter(file, container, first, max_side)
    rate, tick = _declared_rate(track), float(track.time_base or 0)
    aspect = float(track.sample_aspect_ratio or track.codec_context.sample_aspect_ratio or 1)
    height, width = converter.displayed
    facts = dict(
        container=container.format.name,
        codec=track.codec_context.name,
        pixel_format=first.format.name,
        transparent=first.format.name == "pal8" or any(part.is_alpha for part in first.format.components),
        width=width,
        height=height,
        rotation=converter.rotation,
        remarks=converter.remarks + (edit_remarks(file) if _has(container, ("mov",)) else []),
        pixel_aspect=1 / aspect if converter.transposed else aspect,
        metadata={**track.metadata, **container.metadata},
    )
    frames: Iterator[av.VideoFrame] = itertools.chain([first], decoded)
    if start >= SEEK_FROM and first.pts is not None and tick and _has(container, INDEXED):
        frames = _frames_from_keyframe(file, first.pts + int(start / tick)) or frames
    timed = _timed(frames, None if first.pts is None else first.pts * tick, rate, tick, converter)
    return Source(facts, rate, tick, timed, still=False, exact=False)


def _itself(planes: Planes) -> Planes:
    return planes


def _has(container: av.container.InputContainer, names: tuple[str, ...]) -> bool:
    return any(name in container.format.name for name in names)


def _timed(
    frames: Iterator[av.VideoFrame], zero: float | None, rate: float, tick: float, converter: Converter
) -> Iterator[TimedFrame]:
    """Yield the frames with their times since the first frame; `zero` is its timestamp in seconds, if it has one.

    A frame without a timestamp follows the one before at the declared rate. Where the first frames have none, the
    first timestamp is placed where they lead to, so that the times of a file that begins late begin at 0 too. Where
    timestamps begin again, as in files that were joined, the later part follows the earlier one.
    """
    known, since = 0.0, 0  # the time of the last frame with a timestamp, and how many came after it
    before = -math.inf  # the time of the last frame
    for index, frame in enumerate(frames):
        if frame.pts is None:
            time = known + since / rate
        else:
            zero = frame.pts * tick - index / rate if zero is None else zero
            if frame.pts * tick - zero < before - 0.5 / rate:
                converter.file.damage.add("its times begin again, as where files were joined or parts are lost")
                zero = frame.pts * tick - before - 1 / rate
            time = known = frame.pts * tick - zero
            since = 0
        since += 1
        before = time
        yield TimedFrame(time, (frame.duration or 0) * tick or 1 / rate, functools.partial(converter.planes, frame))


class _CutShortError(Exception):
    """The file ends or is damaged before the end that its header announces."""


def _damage(error: Exception) -> Exception:
    """Return what an error of libav says about a file; a lack of memory says nothing about it."""
    return error if isinstance(error, MemoryError) else _CutShortError(reason(error))


def _packets(
    container: av.container.InputContainer, track: av.VideoStream, file: MediaFile, after_seek: bool = False
) -> Iterator[av.Packet[av.VideoStream]]:
    """Yield the complete packets of a track; then raise _CutShortError if the header announces more."""
    import av

    count, end, tick, rate, partial = 0, 0.0, float(track.time_base or 0), _declared_rate(track), False
    read_to = 0
    indexed = _indexed(file, track) if "mov" in container.format.name and not after_seek else 0
    try:
        for packet in container.demux(track):
            if packet.is_corrupt and container.format.name != "mpegts":  # broadcasts begin and end with partial packets
                raise _CutShortError("a frame is cut off")
            if partial and packet.size:
                file.damage.add("a packet in its middle is incomplete")
            partial = packet.is_corrupt and count > 0
            file.progress()
            count += packet.size > 0
            read_to = max(read_to, (packet.pos or 0) + packet.size)
            end = max(end, ((packet.pts or 0) + (packet.duration or 0)) * tick)
            yield packet
    except av.FFmpegError as error:
        raise _damage(error) from None
    announced = _announced_seconds(container, track)
    if container.format.name == "yuv4mpegpipe" and file.size - read_to > LONGEST_FRAME_LINE:
        raise _CutShortError("a frame is cut off")
    if count < indexed:
        raise _CutShortError(f"{indexed} frames are announced")
    if end < announced - max(1.5 / rate, 0.05):
        raise _CutShortError(f"{announced:.2f} seconds are announced, {end:.2f} are there")
    declared = _declared_seconds(container, track)
    if declared and abs(end - declared) > max(1.5 / rate, 0.05):
        file.damage.add(f"it announces {declared:.2f} seconds and has {end:.2f}")


def _indexed(file: MediaFile, track: av.VideoStream) -> int:
    """Return how many frames of an MP4 file its header announces; an edit list may show fewer than are stored."""
    shown, stored = len(track.index_entries), track.frames
    if shown < stored:
        container, whole, _ = open_video(file, edited=False)
        with container:
            return shown if len(whole.index_entries) == stored else stored
    return stored


def _declared_seconds(container: av.container.InputContainer, track: av.VideoStream) -> float:
    """Return the duration in seconds that the header of AVI, MXF, ASF or FLV declares, for the video alone; or 0.

    Programs write it less reliably than that of Matroska, so another length is worth a remark and no error.
    """
    if container.format.name in ("avi", "mxf"):
        return float((track.duration or 0) * (track.time_base or 0))
    if container.format.name in ("asf", "flv") and len(container.streams) == 1:
        return (container.duration or 0) / 1e6
    return 0.0


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
    container: av.container.InputContainer,
    track: av.VideoStream,
    decoder: av.VideoCodecContext,
    file: MediaFile,
    after_seek: bool = False,
) -> Iterator[av.VideoFrame]:
    """Yield every frame that can be decoded; then raise FileProblem if the file is damaged or cut short."""
    import av

    shown, pixels, unread, key, lead = 0, 0, "", None, None
    stamps: deque[int | None] = deque()
    # AVI has no display times for reordered frames, and some MP4 writers omit them. Timestamps then rise in decoding
    # order and are assigned to frames in display order below.
    file.damage.begin("" if after_seek else decoder.name)
    suspect = container.format.name == "avi" or "mov" in container.format.name
    in_decoding_order = (
        suspect and track.codec_context.has_b_frames and track.codec_context.name in {*COUNTABLE_CODECS, "mpeg4"}
    )
    try:
        for packet in _packets(container, track, file, after_seek):
            file.damage.packet(packet.is_keyframe)
            key = packet.pts if key is None else key
            if in_decoding_order and packet.pts is not None and packet.dts is not None:
                lead = packet.pts - packet.dts if lead is None else lead
                in_decoding_order = packet.pts - packet.dts == lead
                if packet.size and not packet.is_discard:
                    stamps.append(packet.pts)
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError as error:
                if shown or isinstance(error, MemoryError):
                    raise _damage(error) from None
                unread = reason(error)  # a capture that begins between keyframes: these frames cannot be decoded
                continue
            for frame in frames:
                file.damage.frame(frame.is_corrupt)
                pixels += frame.width * frame.height
                check_total_pixels(file, pixels, file.max_decoded)
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
            for frame in decoder.decode(None):
                frame.pts = stamps.popleft() if in_decoding_order and stamps else frame.pts
                shown += 1
                yield frame
        raise _damage_problem(file, damage, shown, track.frames, after_seek) from None


def _damage_problem(
    file: MediaFile, damage: _CutShortError, decoded: int, announced: int, after_seek: bool
) -> FileProblem:
    total = f" of {announced}" if announced > decoded else ""
    if after_seek:
        total = " after the requested start"
    return FileProblem(
        f"{file.path} is cut short or damaged ({damage}): {decoded} frames{total} could be decoded."
        " Get a complete copy, or keep what is there by re-encoding it with ffmpeg."
    )


def _frames_from_keyframe(file: MediaFile, target: int) -> Iterator[av.VideoFrame] | None:
    """Return the frames from the keyframe before a timestamp on; None where seeking is not reliable."""
    import av

    container, track, decoder = open_video(file)
    index = track.index_entries
    if "mov" in container.format.name and len(index) and index[-1].pos + index[-1].size > file.size:
        return None  # cut short: decoding from the beginning will report where
    frames = _decoded(container, track, decoder, file, after_seek=True)
    try:
        # files of old x264 in 4:4:4 declare only in their first frame how to decode all others
        next(_decoded(container, track, decoder, file))
        container.seek(target, stream=track)
        landed = next(frames, None)
    except MemoryError:
        raise
    except (av.FFmpegError, FileProblem):
        return None
    if landed is None or landed.pts is None or landed.pts > target:
        return None
    return itertools.chain([landed], frames)


def frame_spans(file: MediaFile, facts: dict[str, Any]) -> list[tuple[float, float]]:
    """Return (start, duration) of each frame in seconds without decoding, or [] where decoding is necessary."""
    spans: list[tuple[float, float]] = []
    if facts["codec"] not in COUNTABLE_CODECS or not any(name in facts["container"] for name in INDEXED):
        return spans
    container, track, _ = open_video(file)
    tick, rate = float(track.time_base or 0), _declared_rate(track)
    try:
        for packet in _packets(container, track, file):
            if packet.size:
                if packet.pts is None or not (spans or packet.is_keyframe or packet.is_discard):
                    return []
                if not packet.is_discard:
                    spans.append((packet.pts * tick, (packet.duration or 0) * tick or 1 / rate))
    except _CutShortError:
        return []  # decoding will report how many frames there are
    spans.sort()
    if any(after <= before for (before, _), (after, _) in itertools.pairwise(spans)):
        return []  # joined files, or damage: decoding tells which frame follows which
    return spans


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


def measure_rate(
    times: list[float], last: float, declared: float, tick: float, exact: bool = False
) -> tuple[float, bool]:
    """Return the frame rate, and whether it varies by more than the rounding of timestamps.

    `times` are the starts of the frames, `last` is the duration of the last one, all in seconds. Where durations are
    `exact`, as in animated pictures, the end counts as a further timestamp.
    """
    if len(times) == 1:
        return declared, False
    marks = [*times, times[-1] + last] if exact else times
    span = max(marks[-1] - marks[0], 1e-6)
    mean = (len(marks) - 1) / span
    for rate in (declared, float(round(mean) or mean), mean):
        slack = _slack(tick, rate)
        if all(abs(time - marks[0] - index / rate) <= slack for index, time in enumerate(marks)):
            return rate, False
    return len(times) / (span if exact else span + last), True


def constant_rate(fps: float) -> float:
    """Return the constant rate at which a video of varying rate is read: its average, rounded up.

    An average that is hardly above a whole rate is that of times which jitter.
    """
    return float(min(MOST_RATE, max(1, round(fps), math.ceil(0.998 * fps))))


def count_skipped(times: list[float], last: float, declared: float, tick: float, fps: float) -> int:
    """Count the frames that are on screen at no time k / fps; the other arguments are those of `measure_rate`."""
    slack, read, skipped = _slack(tick, declared), 0, 0
    for until in [*times[1:], times[-1] + last]:
        before, read = read, max(read, math.ceil((until - times[0] - slack) * fps))
        skipped += read == before
    return skipped


def find_gaps(times: list[float]) -> list[str]:
    """Say where frames are missing: where the starts of all others, in seconds, follow each other regularly."""
    steps = [after - before for before, after in itertools.pairwise(times)]
    usual = sorted(steps)[len(steps) // 2] if steps else 0.0
    gaps = [index for index, step in enumerate(steps) if step > GAP_STEPS * usual]
    regular = sum(abs(step - usual) <= 0.1 * usual + 0.002 for step in steps)
    if not 0 < len(gaps) <= MOST_GAPS or regular < len(steps) - len(gaps):
        return []
    where = ", ".join(f"{times[index]:.2f} and {times[index + 1]:.2f} s" for index in gaps)
    return [f"has no frames between {where}, and one every {usual:.3g} s elsewhere; it may be damaged there"]


def check_window(fps: Number | None, start: Number, seconds: Number | None) -> None:
    """Raise UsageError for a rate or a window that cannot be read."""
    if fps is not None and not 0 < fps <= MOST_RATE:
        raise UsageError(f"fps is {fps:g}; it must be above 0 and at most {MOST_RATE}.")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"seconds is {seconds:g}; it must be above 0.")
    if not 0 <= start < float("inf"):
        raise UsageError(f"start is {start:g}; it must be 0 or more seconds.")


def select_frames(
    file: MediaFile, fps: Number | None, start: Number, seconds: Number | None, max_side: int | None = None
) -> tuple[Source, Iterator[TimedFrame]]:
    """Open a file and select its frames in a window: with `fps`, the frame on screen at every output time."""
    opened = open_source(file, start, max_side)
    slack = _slack(opened.tick, opened.rate)
    # at least the frame at the start: a window within the tolerance would hold none
    stop = float("inf") if seconds is None else float(start + max(seconds, 2 * slack))
    if fps is None or opened.still:
        chosen = _in_window(opened.frames, float(start), stop, slack)
    else:
        chosen = _resampled(opened.frames, fps, start, stop, slack)
    first = next(chosen, None)
    if first is None:
        raise UsageError(f"{file.path} ends before {start:g} seconds; choose an earlier start.")
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
