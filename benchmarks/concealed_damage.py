"""Real clips -> how much damage decoders notice, by format, as a table.

`python -m benchmarks.concealed_damage CLIP CLIP CLIP` encodes 40 frames of each clip in every format, replaces 8, 60
or 400 bytes of the middle by zeros or noise, twelve times, and compares the frames with those of the whole file.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from chronotope.errors import FileProblem
from chronotope.media import video

__all__ = ["main"]

# ending: container of libav, codec, pixel format
FORMATS = {
    "ffv1.mkv": ("matroska", "ffv1", "yuv420p"),
    "mpeg4.avi": ("avi", "mpeg4", "yuv420p"),
    "mpeg2.ts": ("mpegts", "mpeg2video", "yuv420p"),
    "h264.mp4": ("mp4", "libx264", "yuv420p"),
    "h264.mkv": ("matroska", "libx264", "yuv420p"),
    "h264.ts": ("mpegts", "libx264", "yuv420p"),
    "mjpeg.avi": ("avi", "mjpeg", "yuvj420p"),
    "prores.mov": ("mov", "prores", "yuv422p10le"),
    "hevc.mp4": ("mp4", "libx265", "yuv420p"),
    "vp8.webm": ("webm", "libvpx", "yuv420p"),
    "vp9.webm": ("webm", "libvpx-vp9", "yuv420p"),
}
LENGTHS = (400, 60, 400, 8)  # bytes
DAMAGES = 12  # a clip and format
FRAMES = 40


def _encoded(frames: np.ndarray, container_name: str, codec: str, pixels: str) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format=container_name) as container:
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        track: Any = container.add_stream(codec, rate=8, options=options)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt, track.bit_rate = pixels, 1_000_000
        for array in frames:
            container.mux(track.encode(av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format=pixels)))
        container.mux(track.encode(None))
    return data.getvalue()


def _outcome(path: Path, whole: np.ndarray) -> str:
    try:
        found = video.read(path)
    except FileProblem:
        return "refused"
    if np.array_equal(found.frames, whole):
        return "harmless" if not found.damage else "false alarm"
    return "noticed" if found.damage else "unnoticed"


def main(clips: Sequence[Path], seed: int = 0) -> dict[str, Counter[str]]:
    """Print a row for each format, and return the counts."""
    rng, table = np.random.default_rng(seed), dict[str, Counter[str]]()
    sources = [video.read(clip).frames[:FRAMES] for clip in clips]
    with tempfile.TemporaryDirectory() as folder:
        for name, how in FORMATS.items():
            table[name], path = Counter(), Path(folder) / name
            for frames in sources:
                data = _encoded(frames, *how)
                path.write_bytes(data)
                whole = video.read(path)
                table[name]["false alarm"] += bool(whole.damage)
                for number in range(DAMAGES):
                    at, length = int(len(data) * rng.uniform(0.2, 0.8)), LENGTHS[number % len(LENGTHS)]
                    noise = bytes(length) if number % 2 == 0 else rng.bytes(length)
                    path.write_bytes(data[:at] + noise + data[at + length :])
                    table[name][_outcome(path, whole.frames)] += 1
            print(f"{name:11}", ", ".join(f"{count} {what}" for what, count in sorted(table[name].items()) if count))
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, help="videos of real scenes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    main(arguments.clips, arguments.seed)
