"""Files of strangers: each is read or refused in one sentence, in bounded time and memory, and names no other file."""

from __future__ import annotations

import math
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.hostile_media import check
from chronotope.errors import FileProblem
from chronotope.media import files, formats, video
from chronotope.media.frames import open_source
from tests.media import hostile
from tests.media.files import encode, numbered, numbers

HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
READERS = (video.read, video.probe, video.read_image, video.stream, video.read_origin)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return one small file of every format."""
    return hostile.seeds(tmp_path_factory.mktemp("seeds"))


# What is no file


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/maps", "/proc/kmsg", "/sys/power/state"]
)
def test_devices_and_kernel_files_are_refused(path: str) -> None:
    """Nothing is read from what is no ordinary file."""
    if not Path(path).exists():
        pytest.skip(f"there is no {path}")
    for reader in READERS:
        with pytest.raises(FileProblem, match=r"is (a device|a pipe|a file of the kernel)|is empty") as caught:
            reader(path)
        assert "\n" not in str(caught.value)


def test_pipes_and_sockets_are_refused(tmp_path: Path) -> None:
    """A pipe that nobody writes to does not make the reader wait."""
    os.mkfifo(tmp_path / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tmp_path)  # the name of a socket is limited to 108 bytes
        listener.bind("socket.mp4")
        for name, kind in (("pipe.mp4", "a pipe"), ("socket.mp4", "a socket")):
            for reader in READERS:
                with pytest.raises(FileProblem, match=kind):
                    reader(tmp_path / name)


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    """A symbolic link to a video is that video; one that leads nowhere or to itself is refused."""
    encode(tmp_path / "a.mp4", numbered(5))
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "nowhere.mp4").symlink_to("b.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    assert numbers(video.read(tmp_path / "link.mp4").frames) == list(range(5))
    for name in ("nowhere.mp4", "loop.mp4", "nul\0.mp4"):
        with pytest.raises(FileProblem):
            video.probe(tmp_path / name)


NAMES = ["x%d.tga.mp4", "x%03d.png", "concat:x.mp4", "cache:x.mkv", "http:x.mp4", "subfile,,start,0,end,9,,:x.mp4"]
NAMES += [
    "file:x.mp4",
    "pipe:0.mp4",
    "a?b*[c].mp4",
    "-i.mp4",
    "x.mp4|y.mp4",
    "data:x,y.gif",
    "crypto:x.webm",
    "p\u00e9.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_mean_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that FFmpeg takes for protocols or patterns are written, read and tagged like others."""
    monkeypatch.chdir(tmp_path)
    frames = numbered(1 if name.endswith("png") else 4)
    video.write(name, frames, 8, metadata={"seed": 1})
    assert sorted(os.listdir()) == sorted([name, f"{name}.json"])
    assert numbers(video.read(name).frames) == list(range(len(frames)))
    assert numbers([video.read_image(name)]) == [0]
    assert video.read_origin(name) == {"seed": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    """A name of arbitrary bytes is read and written; the messages of the command line stay one line."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff\xe9.mp4"))
    video.write(path, numbered(4), 8)
    assert numbers(video.read(path).frames) == [0, 1, 2, 3]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(FileProblem, match=r"cannot be opened|has no video"):
        video.read(path)
    done = subprocess.run([sys.executable, "-m", "chronotope", "info", path], capture_output=True, text=True, env=HERE)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


# The corpus


@pytest.mark.parametrize("step", [18, pytest.param(1, marks=pytest.mark.slow)])
def test_handmade_files(real: dict[str, bytes], tmp_path: Path, step: int) -> None:
    """Each handmade file is read, or refused in one sentence; what is read is the same twice."""
    for path in sorted(hostile.handmade(tmp_path, real))[::step]:
        assert check(path) in ("read", "refused"), path.name


@pytest.mark.parametrize("count", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_mutations(real: dict[str, bytes], tmp_path: Path, count: int) -> None:
    """A sample of damaged files of every format is read or refused."""
    rng = random.Random(7)
    for name, data in list(real.items())[:: 3 if count == 1 else 1]:
        for index in range(count):
            path = tmp_path / f"{index}_{name}"
            path.write_bytes(hostile.mutate(data, rng))
            assert check(path) in ("read", "refused"), path.name


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_other_file_and_no_address_is_opened(real: dict[str, bytes], tmp_path: Path) -> None:
    """The system calls of the whole process tree name the file that is read, and nothing else outside of Python."""
    from benchmarks.hostile_media import foreign_files, traced

    paths = hostile.handmade(tmp_path, real)
    paths = [
        path for path in paths if path.suffix in (".mp4", ".mov", ".m3u8", ".ffconcat", ".sdp", ".mpd", ".xml", ".avs")
    ]
    log = traced(paths, tmp_path / "calls.txt")
    assert "mp4" in log.read_text()  # it has seen the files
    assert foreign_files(log, paths) == []


# Sizes


def test_limits_are_sane(tmp_path: Path) -> None:
    """A wide photograph and an 8K picture are read; a picture with more pixels than its bytes can mean is not."""
    noise = np.random.default_rng(0).integers(0, 255, (96, 16384, 3), np.uint8)
    video.write_image(tmp_path / "wide.png", noise)
    assert np.array_equal(video.read_image(tmp_path / "wide.png"), noise)
    photo = np.repeat(np.repeat(noise[:60, :100], 72, 0), 77, 1)
    video.write_image(tmp_path / "large.jpg", photo)
    assert video.read_image(tmp_path / "large.jpg").shape == (4320, 7700, 3)
    flat = np.zeros((5800, 5800, 3), np.uint8)
    video.write_image(tmp_path / "flat.png", flat)
    with pytest.raises(FileProblem, match=r"declares 5800x5800 pixels in \d+ bytes"):
        video.probe(tmp_path / "flat.png")
    encode(tmp_path / "a.mp4", [np.zeros((4352, 8192, 3), np.uint8)], options={"preset": "ultrafast"})
    with pytest.raises(FileProblem, match=f"at most {files.MAX_FILE_SIDE} a side"):
        video.probe(tmp_path / "a.mp4")


def test_a_small_file_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is limited by the size of the file, unless the caller raises the limit."""
    path = encode(tmp_path / "a.mp4", [np.zeros((480, 640, 3), np.uint8)] * 60)
    monkeypatch.setattr(video, "SMALL_READ_BYTES", 2**20)
    with pytest.raises(video.UsageError, match=r"too long to hold in memory .*stream"):
        video.read(path)
    assert video.read(path, max_bytes=video.MAX_READ_BYTES).num_frames == 60
    assert sum(1 for _ in video.stream(path)) == 60


def gif_of_few_bytes(width: int, height: int, frames: int) -> bytes:
    """An animated GIF whose canvas is large and whose frames have one pixel."""
    header = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"!\xf9\x04\0\x05\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0"
    return header + frame * frames + b";"


def test_a_few_bytes_do_not_keep_the_decoder_busy(tmp_path: Path) -> None:
    """A GIF of 700 bytes that means a billion pixels is refused before any is decoded; a small long clip is read."""
    trap = tmp_path / "trap.gif"
    trap.write_bytes(gif_of_few_bytes(6000, 5500, 28))
    assert trap.stat().st_size < 720
    for read in (video.probe, video.read):
        with pytest.raises(FileProblem, match=r"million pixels in 6\d\d bytes"):
            read(trap)
    trap.write_bytes(gif_of_few_bytes(64, 48, 28))
    assert video.probe(trap).num_frames == 28
    with pytest.raises(FileProblem, match=r"have to be decoded, and at most 0 million are accepted"):
        video.probe(trap, max_animation=27 * 64 * 48)
    assert video.probe(trap, max_animation=28 * 64 * 48, max_decoded=1).num_frames == 28
    with pytest.raises(FileProblem, match="at most 63 a side"):
        video.probe(trap, max_side=63)
    # a minute of black as H.264, and ten seconds of 4K, encoded once: four times as many pixels are accepted
    for size, pixels in ((97_145, 1440 * 1280 * 720), (67_028, 240 * 3840 * 2160)):
        files.check_total_pixels(files.MediaFile("a.mp4", ".mp4", -1, size), 4 * pixels, math.inf)
    with pytest.raises(FileProblem, match="million pixels in 700 bytes"):
        files.check_total_pixels(files.MediaFile("a.mp4", ".mp4", -1, 700), 2**28 + 1, math.inf)


def test_decoding_a_video_ends_at_the_limit_too(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", [np.zeros((64, 64, 3), np.uint8)] * 30)
    with path.open("rb") as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "MANY_PIXELS", 20 * 64 * 64)
        patch.setattr(files, "MOVING_PIXELS_A_BYTE", 1)
        file = files.MediaFile(str(path), ".mp4", opened.fileno(), path.stat().st_size)
        with pytest.raises(FileProblem, match="If it is no trap"):
            list(open_source(file, 0).frames)


def test_the_lists_of_formats() -> None:
    """The listed formats and decoders exist, and none of them reads further files."""
    known: Any = av.codecs_available
    assert not formats.DECODERS - set(known)
    parts = {part for name in av.formats_available for part in name.split(",")}
    assert not set(formats.DEMUXERS) - parts
    followers = "hls concat concatf image2 image2pipe dash sdp rtsp imf webvtt lavfi vobsub vapoursynth tee ffmetadata"
    assert not set(followers.split()) & set(formats.DEMUXERS)
