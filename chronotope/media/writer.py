"""RGB frames -> files that browsers play, complete or not at all, with the settings that they were made with.

FFmpeg opens no file: it writes to a file object, so that no character of a name means anything to it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from chronotope.arguments import as_number, as_path, as_whole, described
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Frames
from chronotope.media.convert import SIZE_TAG, conversion_flags
from chronotope.media.files import reason
from chronotope.media.frames import Number
from chronotope.media.picture import (
    PICTURE_FORMATS,
    Completion,
    Frame,
    check_frame,
    check_writable,
    comment_gif,
    completed,
    file_with_sidecar,
    settings_json,
    tag_json,
    write_image,
)

if TYPE_CHECKING:
    import av
    import av.container
    import av.filter

__all__ = ["VIDEO_FORMATS", "VideoWriter", "write"]

KEYFRAME_EVERY = 12  # frames; few, so that reading a clip from the middle of a file is fast
ENCODER_THREADS = "4"  # always, since the bytes of H.264 and VP9 depend on it; by default it follows the processors

VIDEO_FORMATS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".gif": ("gif", "gif"),
}


def write(
    path: str | Path,
    frames: Frames | Iterable[Frame],
    fps: Number,
    *,
    metadata: dict[str, Any] | None = None,
    crf: int = 16,
) -> None:
    """Write frames as a video (.mp4 .m4v .mov .mkv .webm .gif), or a single frame as a picture (.png .jpg .jpeg .webp).

    `metadata` is stored in the file and in a sidecar JSON; `crf` is the quality, from 1 (best) to 51 (smallest file).
    """
    path = as_path("path", path)
    if not isinstance(frames, Iterable):
        raise UsageError(f"frames must be an array or frames one after the other, got {described(frames)}")
    if path.suffix.lower() in PICTURE_FORMATS:
        found = list(itertools.islice(frames, 2))
        if len(found) != 1:
            raise UsageError(
                f"{path} must hold exactly one frame and got {'more' if found else 'none'}; use .mp4 for a video."
            )
        write_image(path, found[0], metadata)
        return
    with VideoWriter(path, fps, metadata=metadata, crf=crf) as writer:
        for frame in frames:
            writer.add(frame)


class VideoWriter:
    """Write a video frame by frame; the file gets its name when it is complete, and a failure leaves no file.

    A `watchable` file can be played while it is written (as `growing`, from the first frame on), and after a crash.
    Otherwise an .mp4 file is reordered at the end (faststart), so that browsers can start to play it before all of it
    is loaded. `allow` is called before a file is replaced, and raises where it must not be. `complete` is called with
    the closed file before it gets its name.
    """

    def __init__(
        self,
        path: str | Path,
        fps: Number,
        *,
        metadata: dict[str, Any] | None = None,
        crf: int = 16,
        watchable: bool = False,
        allow: Callable[[], None] | None = None,
        complete: Completion | None = None,
    ) -> None:
        self.path = check_writable(path, VIDEO_FORMATS)
        fps, crf = as_number("fps", fps), as_whole("crf", crf)
        self.codec = VIDEO_FORMATS[self.path.suffix.lower()][1]
        if not 0.01 <= fps <= 1000:
            raise UsageError(f"fps is {fps:g}; it must be between 0.01 and 1000.")
        if self.codec == "gif" and fps > 50:
            raise UsageError(f"fps is {fps:g}; a GIF shows at most 50 frames a second. Use .mp4.")
        if not 1 <= crf <= 51:
            raise UsageError(f"crf is {crf}; it must be between 1 (best) and 51 (smallest).")
        self.rate = Fraction(fps).limit_denominator(100_000)
        self.crf = crf
        self.num_frames = 0
        self.watchable, self._allow = watchable, allow
        self._tag, self._metadata, self._complete = tag_json(self.path, metadata), metadata, complete
        settings_json(self.path, metadata)  # raises for what is not JSON, before a frame is encoded
        self._shape: tuple[int, ...] = ()
        self._files = contextlib.ExitStack()
        self._closed = False

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abort()

    def add(self, frame: Frame) -> None:
        """Append one frame; every frame must have the size of the first."""
        if self._closed:
            raise UsageError(f"{self.path} is already closed, so no frame can be added to it.")
        check_frame(self.path, frame)
        if self._shape and frame.shape != self._shape:
            raise UsageError(
                f"frame {self.num_frames} for {self.path} is {frame.shape[1]}x{frame.shape[0]} and the first was"
                f" {self._shape[1]}x{self._shape[0]}; all frames must have the same size."
            )
        with self._or_abort():
            if not self._shape:
                self._shape = frame.shape
                self.growing = self._files.enter_context(file_with_sidecar(self.path, self._settings, self._allow))
                self._start(frame.shape[0], frame.shape[1])
            self._container.mux(self._track.encode(self._converted(frame)))
        self.num_frames += 1

    def finish(self, metadata: dict[str, Any] | None = None) -> None:
        """Complete the file and rename it to its path; do nothing if it is already closed.

        `metadata` replaces the settings in the sidecar, for facts that are known only at the end.
        """
        if self._closed:
            return
        settings_json(self.path, metadata)
        self._metadata = self._metadata if metadata is None else metadata
        if not self._shape:
            self._closed = True
            raise UsageError(f"no frames were given for {self.path}, so it was not written; at least one is needed.")
        try:
            with self._or_abort():
                self._container.mux(self._track.encode(None))
                self._files.close()  # closes the container, then renames the file
            self._closed = True
        finally:
            self.abort()  # does nothing after success

    def _settings(self, partial: Path) -> str:
        return completed(self.path, self._metadata, self._complete)(partial)

    def abort(self) -> None:
        """Delete what was written so far; do nothing if the file is already closed."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(Exception):  # libav may complain about its interrupted file
            self._files.__exit__(_AbortedError, _AbortedError(), None)

    @contextlib.contextmanager
    def _or_abort(self) -> Iterator[None]:
        """On an error of libav or the disk, delete what was written and raise FileProblem."""
        import av

        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self.abort()
            size = f"{self._shape[1]}x{self._shape[0]}"
            raise FileProblem(
                f"{self.path} cannot be written ({reason(error)}); check the disk, and that the format allows {size}."
            ) from error

    def _start(self, height: int, width: int) -> None:
        """Open the file; called at the first frame, when the size is known."""
        import av

        av.logging.set_libav_level(av.logging.PANIC)
        muxer = VIDEO_FORMATS[self.path.suffix.lower()][0]
        options = {"fflags": "+bitexact"}  # no random numbers and dates, which Matroska would hold
        if self.watchable:
            options["flush_packets"] = "1"
        if muxer in ("mp4", "mov"):
            # a file that grows has no edit list, so its first frame is at 0 s only with negative offsets
            growing = "hybrid_fragmented+negative_cts_offsets"
            options["movflags"] = "use_metadata_tags+" + (growing if self.watchable else "faststart")
        if self.codec == "gif" and self._tag:
            self._files.callback(comment_gif, self.growing, self._tag)  # runs after the container is closed
        file = _Output(self.growing)
        self._files.callback(file.close)
        self._container = av.open(file, "w", format=muxer, options=options, io_open=file.reopen)
        self._files.callback(self._container.close)
        if self._tag:
            self._container.metadata["comment"] = self._tag
        # H.264 in 4:2:0 allows only even sizes: an odd edge is repeated once, and a tag tells our reader the true size
        self._pad = ((0, height % 2), (0, width % 2), (0, 0)) if self.codec == "libx264" else ((0, 0), (0, 0), (0, 0))
        if np.any(self._pad):
            self._container.metadata[SIZE_TAG] = f"{width}x{height}"
        track: av.VideoStream
        track = self._container.add_stream(self.codec, rate=self.rate, options=self._options())  # type: ignore[assignment]
        track.height, track.width = height + self._pad[0][1], width + self._pad[1][1]
        track.pix_fmt = "pal8" if self.codec == "gif" else "yuv420p"
        if self.codec == "gif":
            self._palette = _palette_graph(width, height, 1 / self.rate)
        else:
            context = track.codec_context
            context.gop_size = KEYFRAME_EVERY
            # 1 means BT.709 for the first three and studio range for the last
            context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        self._track = track

    def _options(self) -> dict[str, str]:
        """Return the options of the encoder."""
        if self.codec == "libvpx-vp9":  # its crf runs to 63; adding 8 gives about the same quality
            quality = {"crf": str(self.crf + 8), "b": "0", "deadline": "good", "cpu-used": "4"}
            return {**quality, "row-mt": "1", "threads": ENCODER_THREADS}
        if self.codec == "libx264":
            # the macroblock tree of x264 reads uninitialised memory: small videos would differ from run to run
            quality = {"crf": str(self.crf), "preset": "medium"}
            return {**quality, "x264-params": "mbtree=0", "threads": ENCODER_THREADS}
        return {}

    def _converted(self, frame: Frame) -> av.VideoFrame:
        """Convert a frame to the pixel format of the encoder."""
        import av
        from av.video.reformatter import ColorRange, Colorspace

        if np.any(self._pad):
            frame = np.pad(frame, self._pad, mode="edge")
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        image.pts, image.time_base = self.num_frames, 1 / self.rate
        if self.codec == "gif":
            self._palette.vpush(image)
            return self._palette.vpull()
        return image.reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=conversion_flags(sharp=True),
            threads=1,
        )


class _Output:
    """The file that a muxer writes to."""

    name = "media"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    def write(self, data: bytes) -> int:
        """Write all of the data at once, so that a file can be watched while it grows."""
        left = memoryview(data)
        while left:
            left = left[os.write(self.descriptor, left) :]
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self.descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self.descriptor, 0, os.SEEK_CUR)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    def reopen(self, name: str, flags: int, options: dict[str, str]) -> Any:
        """Open this file a second time for reading: an index is moved to its beginning at the end."""
        return self.path.open("rb")


class _AbortedError(Exception):
    """Raised into the context of the open file to delete it instead of renaming it."""


def _palette_graph(width: int, height: int, tick: Fraction) -> av.filter.Graph:
    """Build a filter that chooses the 256 colours of every frame of a GIF separately."""
    import av
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=tick)
    split, make, use = (
        graph.add("split"),
        graph.add("palettegen", "stats_mode=single"),
        graph.add("paletteuse", "new=1"),
    )
    source.link_to(split)
    split.link_to(make, 0, 0)
    split.link_to(use, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
