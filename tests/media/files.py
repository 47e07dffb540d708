"""Video files for the tests, written with PyAV alone, whose frames show their own numbers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

__all__ = ["CONTAINERS", "encode", "numbered", "numbers"]

CONTAINERS = {
    "a.mp4": {},
    "a.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
    "a.mkv": {"codec": "ffv1", "pixels": "yuv444p"},
    "b.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "a.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "b.webm": {
        "codec": "libvpx",
        "options": {"cpu-used": "8", "deadline": "realtime", "auto-alt-ref": "1", "lag-in-frames": "16"},
    },
    "c.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "a.avi": {"codec": "mpeg4"},
    "bframes.avi": {"options": {"bf": "3"}},
    "divx.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "b.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "a.mpg": {"codec": "mpeg2video", "muxer": "mpeg"},
    "a.ts": {"muxer": "mpegts"},
    "a.flv": {"codec": "flv"},
    "a.h264": {"muxer": "h264"},
    "a.gif": {"codec": "gif", "pixels": "rgb8"},
    "frag.mp4": {"muxing": {"movflags": "frag_keyframe+empty_moov"}},
    "live.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}, "muxing": {"live": "1"}},
    "rgb.mp4": {"codec": "libx264rgb", "pixels": "rgb24"},
    "open.mp4": {"options": {"x264-params": "open-gop=1:keyint=12:bframes=5:log-level=-1"}},
}


def numbered(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return frames that show their number as eight black or white bars, which every codec preserves."""
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    bars = np.repeat(bits, width // 8, axis=1) * 215 + 20
    return np.broadcast_to(bars[:, None, :, None], (count, height, width, 3)).astype(np.uint8)


def numbers(frames: Iterable[np.ndarray]) -> list[int]:
    """Read the numbers that frames show."""
    bits = [frame[frame.shape[0] // 2, frame.shape[1] // 16 :: frame.shape[1] // 8, 1] > 128 for frame in frames]
    return [int((one * (1 << np.arange(8))).sum()) for one in bits]


@contextlib.contextmanager
def same_scheduling() -> Iterator[None]:
    """Give this process back its scheduling policy: for root, the encoder of AV1 makes it a real-time process.

    Threads of such a process that wait for each other in a loop never let another one run, so that a product of
    matrices in several threads does not end.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def encode(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    *,
    source: str = "rgb24",
    stamps: Sequence[int] | None = None,
    tick: Fraction = Fraction(1, 24),
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    muxer: str | None = None,
    colours: int = 2,
    transfer: int = 2,
) -> Path:
    """Write a file with PyAV alone."""
    with same_scheduling(), av.open(str(path), "w", format=muxer, options=muxing or {}) as container:
        track: Any = container.add_stream(codec, rate=24, options=options or {})
        track.height, track.width = frames[0].shape[:2]
        track.pix_fmt, track.codec_context.time_base, track.codec_context.colorspace = pixels, tick, colours
        track.codec_context.color_trc = transfer
        # libav converts RGB to grey in full range
        track.codec_context.color_range = 2 if pixels.startswith("gray") else 0
        for index, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source)
            frame.color_trc = transfer
            frame.pts, frame.time_base = (index if stamps is None else stamps[index]), tick
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path
