"""Reading: exact frames at exact times from any file, checked against independent decodes and closed forms."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from chronotope.errors import FileProblem, UsageError
from chronotope.media import video
from chronotope.media.frames import open_source, select_frames
from tests.real_clips import CLIPS, available

REAL = available()


def real(name: str) -> Path:
    """A real clip, or a skip that says how to get it."""
    if name not in REAL:
        pytest.skip(f"{name} is not there; run `python tests/real_clips.py {name}`")
    return REAL[name]


def numbered(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames that say their own number in eight black or white bars, so that every codec keeps it."""
    bits = (np.arange(count)[:, None] >> np.arange(8)) & 1
    bars = np.repeat(bits, width // 8, axis=1) * 215 + 20
    return np.broadcast_to(bars[:, None, :, None], (count, height, width, 3)).astype(np.uint8)


def numbers(frames: Iterable[np.ndarray]) -> list[int]:
    """The numbers that frames say."""
    bits = [frame[frame.shape[0] // 2, frame.shape[1] // 16 :: frame.shape[1] // 8, 1] > 128 for frame in frames]
    return [int((one * (1 << np.arange(8))).sum()) for one in bits]


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
) -> Path:
    """Write a file as other tools do, with PyAV alone."""
    with av.open(str(path), "w", format=muxer, options=muxing or {}) as container:
        track: Any = container.add_stream(codec, rate=24, options=options or {})
        track.height, track.width = frames[0].shape[:2]
        track.pix_fmt, track.codec_context.time_base, track.codec_context.colorspace = pixels, tick, colours
        track.codec_context.color_range = (
            2 if pixels.startswith("gray") else 0
        )  # libav makes grey from RGB in full range
        for index, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=source)
            frame.pts, frame.time_base = (index if stamps is None else stamps[index]), tick
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


# Real files


@pytest.mark.parametrize("name", CLIPS)
def test_real_facts(name: str) -> None:
    """What probe says of a real clip is what the table says."""
    info, clip = video.probe(real(name)), CLIPS[name]
    assert (info.codec, info.width, info.height, info.num_frames) == (clip.codec, clip.width, clip.height, clip.frames)
    assert info.fps == pytest.approx(clip.fps, abs=0.001)
    assert info.seconds == pytest.approx(clip.frames / clip.fps, rel=0.001)
    assert info.variable_frame_rate == (name in {"tree.avi", "box.mp4"})


@pytest.mark.parametrize("name", [name for name in CLIPS if name not in {"bbb.mp4", "box.mp4", "cockatoo.mp4"}])
def test_real_count_by_another_reader(name: str) -> None:
    """Decoding yields as many frames as OpenCV's reader finds."""
    capture = cv2.VideoCapture(str(real(name)))
    count = sum(1 for _ in iter(capture.grab, False))
    assert sum(1 for _ in open_source(real(name), 0).frames) == count == CLIPS[name].frames


@pytest.mark.parametrize("name", [name for name in CLIPS if name != "bbb.mp4"])
def test_real_middle_is_the_same_as_from_the_start(name: str) -> None:
    """A start in the middle gives, to the bit, what decoding all before it gives; cockatoo.mp4 breaks naive seeking."""
    info = video.probe(real(name))
    first = int(max(info.seconds * 0.6 - 0.5, 0) * 10)
    whole = [timed.pixels() for timed in itertools.islice(select_frames(real(name), 10, 0, None)[1], first, first + 5)]
    part = list(video.stream(real(name), fps=10, start=first / 10, seconds=0.5))
    assert len(part) == 5
    assert all(np.array_equal(one, other) for one, other in zip(part, whole, strict=True))


def test_real_film_is_cut_quickly() -> None:
    """Nine minutes into the film is reached by its index: half a second there costs no more than at the start."""
    frames = list(video.stream(real("bbb.mp4"), start=540.0, seconds=0.5))
    assert len(frames) == 12
    with av.open(str(real("bbb.mp4"))) as container:
        container.seek(530 * av.time_base)
        wanted = next(
            frame for frame in container.decode(video=0) if frame.time is not None and frame.time >= 540.0 - 1e-6
        )
    difference = np.abs(frames[0].astype(int) - np.asarray(wanted.to_ndarray(format="rgb24", src_colorspace="ITU709")))
    assert difference.mean() < 1


def test_real_stamps_in_decoding_order_are_mended() -> None:
    """The timestamps of box.mp4 are in decoding order; times in display order must still be evenly spaced."""
    with av.open(str(real("box.mp4"))) as container:
        stamps = [frame.pts for frame in container.decode(video=0)]
    assert stamps != sorted(stamps)  # type: ignore[type-var]
    times = [timed.time for timed in open_source(real("box.mp4"), 0).frames]
    assert len(times) == len(stamps)
    assert np.diff(times[:-1]).min() > 0.03
    assert np.diff(times[:-1]).max() < 0.04


# Generated files: containers, codecs, pixel formats


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


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name: str, tmp_path: Path) -> None:
    """Every frame comes once and in order from every container, hidden frames and missing durations or not."""
    path = encode(tmp_path / name, numbered(60), **CONTAINERS[name])  # type: ignore[arg-type]
    info = video.probe(path)
    assert (info.num_frames, info.height, info.width) == (60, 48, 64)
    assert info.fps == pytest.approx(24, rel=0.01)
    assert not info.variable_frame_rate
    whole = video.read(path)
    assert numbers(whole.frames) == list(range(60))
    assert whole.fps == pytest.approx(24, rel=0.01)
    assert numbers(video.stream(path, fps=6)) == list(range(0, 60, 4))
    assert numbers(video.stream(path, start=2.0, seconds=0.25)) == list(range(48, 54))


PIXELS = [
    ("yuv420p", "libx264", "mp4"),
    ("yuv422p", "libx264", "mp4"),
    ("yuv444p", "libx264", "mp4"),
    ("yuvj420p", "libx264", "mp4"),
    ("gray", "libx264", "mp4"),
    ("yuv420p10le", "libx264", "mp4"),
    ("yuv444p12le", "ffv1", "mkv"),
    ("gray16le", "ffv1", "mkv"),
    ("yuva420p", "ffv1", "mkv"),
    ("rgba", "png", "mov"),
    ("bgr24", "rawvideo", "avi"),
    ("bgr0", "ffv1", "mkv"),
]


@pytest.mark.parametrize(("pixels", "codec", "suffix"), PIXELS)
def test_pixel_formats(pixels: str, codec: str, suffix: str, tmp_path: Path) -> None:
    """Grey steps survive every pixel format within the error of the codec."""
    steps = np.repeat(np.linspace(0, 255, 8).astype(np.uint8), 8)
    frames = np.broadcast_to(steps[None, None, :, None], (3, 32, 64, 3))
    options = {"crf": "8"} if codec == "libx264" else {}
    path = encode(tmp_path / f"a.{suffix}", frames, codec, pixels, options=options)
    back = video.read(path)
    assert back.frames.shape == frames.shape
    assert np.abs(back.frames.astype(int) - frames)[:, :, 2::8].max() <= 4
    assert video.probe(path).pixel_format == ("yuvj420p" if pixels == "gray" else pixels)


def test_transparency_is_over_white(tmp_path: Path) -> None:
    """Half-transparent black on white is grey, in a video as in a picture."""
    frames = np.zeros((2, 16, 16, 4), np.uint8)
    frames[:, :, 8:, 3] = 128
    path = encode(tmp_path / "a.mov", frames, "png", "rgba", source="rgba")
    back = video.read(path).frames
    assert (back[:, :, :8] == 255).all()
    assert np.abs(back[:, :, 8:].astype(int) - 127).max() <= 1


@pytest.mark.parametrize(("height", "tagged"), [(480, 5), (480, 1), (720, 1), (480, 2), (720, 2)])
def test_colour_matrix(height: int, tagged: int, tmp_path: Path) -> None:
    """A tagged matrix is obeyed; untagged, small videos are BT.601 and large ones BT.709, as players have it."""
    red, green, blue = (
        (0.2126, 0.7152, 0.0722) if tagged == 1 or (tagged == 2 and height >= 720) else (0.299, 0.587, 0.114)
    )
    r, g, b = 200 / 255, 60 / 255, 30 / 255
    luma = red * r + green * g + blue * b
    planes = 16 + 219 * luma, 128 + 112 * (b - luma) / (1 - blue), 128 + 112 * (r - luma) / (1 - red)
    frame = np.concatenate(
        [np.full(height * 64 // (1, 4, 4)[i], round(value), np.uint8) for i, value in enumerate(planes)]
    )
    frame = frame.reshape(height * 3 // 2, 64)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("ffv1", rate=24)
        track.width, track.height, track.pix_fmt, track.codec_context.colorspace = 64, height, "yuv420p", tagged
        container.mux(track.encode(av.VideoFrame.from_ndarray(frame, format="yuv420p")))
        container.mux(track.encode(None))
    assert np.abs(video.read_image(path)[5, 5].astype(int) - (200, 60, 30)).max() <= 2


# Rotation


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Put a display matrix into an MP4's track header, as a phone does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "turned", "degrees"),
    [
        ((1, 0, 0, 1), lambda x: x, 0),
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1, (1, 2)), 90),
        ((-1, 0, 0, -1), lambda x: np.rot90(x, 2, (1, 2)), 180),
        ((0, -1, 1, 0), lambda x: np.rot90(x, 1, (1, 2)), 270),
        ((-1, 0, 0, 1), lambda x: x[:, :, ::-1], None),
        ((1, 0, 0, -1), lambda x: x[:, ::-1], None),
        ((0, 1, 1, 0), lambda x: x.transpose(0, 2, 1, 3), None),
    ],
)
def test_rotation(matrix: tuple[int, int, int, int], turned: Any, degrees: int | None, tmp_path: Path) -> None:
    """Frames come as they are displayed, turned or mirrored, and so does their size."""
    frames = np.full((3, 32, 64, 3), 30, np.uint8)
    frames[:, :16, :16], frames[:, :16, 48:], frames[:, 16:, :16] = 230, 160, 90
    path = encode(tmp_path / "a.mp4", frames)
    expected = turned(video.read(path).frames)
    with_matrix(path, *matrix)
    back, info = video.read(path), video.probe(path)
    assert np.array_equal(back.frames, expected)
    assert (info.height, info.width) == back.frames.shape[1:3]
    assert degrees is None or info.rotation == degrees


# Time


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("fps", [1, 7.3, 23.976, 24, 30, 60, 240])
def test_resampling_follows_the_clock(suffix: str, fps: float, tmp_path: Path) -> None:
    """With uneven timestamps, each output frame is the one on screen; a search in the timestamps finds the same."""
    rng = np.random.default_rng(0)
    stamps = np.concatenate([[0], np.cumsum(rng.integers(5, 120, 39))])
    path = encode(
        tmp_path / f"a.{suffix}", numbered(40), stamps=stamps.tolist(), tick=Fraction(1, 1000), options={"bf": "2"}
    )
    info = video.probe(path)
    assert info.num_frames == 40
    assert info.variable_frame_rate
    assert info.fps == pytest.approx(40 / info.seconds)
    assert info.seconds == pytest.approx(
        stamps[-1] / 1000, abs=0.15
    )  # what the last frame lasts is the container's guess
    got = numbers(video.stream(path, fps=fps))
    times = np.arange(len(got)) / fps * 1000
    exact = np.searchsorted(stamps, times + 1e-6, side="right") - 1
    near = np.searchsorted(stamps, times + 1.02, side="right") - 1  # a timestamp may be off by its tick
    assert all(low <= number <= high for low, number, high in zip(exact, got, near, strict=True))
    assert len(got) == pytest.approx(info.seconds * fps, abs=1)
    assert numbers(video.stream(path)) == list(range(40))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "gif"])
@pytest.mark.parametrize("fps", [8, 10, 12.5, 23.976, 30000 / 1001, 30])
def test_resampling_to_its_own_rate_changes_nothing(suffix: str, fps: float, tmp_path: Path) -> None:
    """No frame doubles or drops when the rate is kept, however the container rounds its timestamps."""
    path = tmp_path / f"a.{suffix}"
    if suffix == "avi":
        rate = Fraction(fps).limit_denominator(1001)
        encode(path, numbered(50), "mpeg4", tick=1 / rate)
        fps = video.probe(path).fps
    else:
        video.write(path, numbered(50), fps)
    assert numbers(video.stream(path, fps=fps, seconds=50 / fps)) == list(range(50))


def test_window(tmp_path: Path) -> None:
    """Windows tile: each frame begins in exactly one; a window inside a frame shows that frame."""
    path = encode(tmp_path / "a.mp4", numbered(72))
    tiles = [numbers(video.stream(path, start=second / 2, seconds=0.5)) for second in range(6)]
    assert tiles == [list(range(12 * second, 12 * second + 12)) for second in range(6)]
    assert numbers(video.stream(path, start=1.01, seconds=0.01)) == [24]
    assert numbers(video.stream(path, start=2.99)) == [71]
    assert video.read(path, fps=8, start=1, seconds=1).frames.shape[0] == 8
    assert video.read(path, start=2.5, seconds=9).num_frames == 12
    assert video.read(path, fps=5).seconds == pytest.approx(3)
    with pytest.raises(UsageError, match="ends before 3 seconds"):
        video.stream(path, start=3)
    for wrong in (
        {"fps": 0},
        {"fps": -1},
        {"fps": float("nan")},
        {"seconds": 0},
        {"start": -1},
        {"start": float("nan")},
    ):
        with pytest.raises(UsageError, match=r"must be"):
            video.stream(path, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_sound_and_cover_are_no_frames(name: str, tmp_path: Path) -> None:
    """Sound longer than the video does not mean that it is cut short, and a cover picture is not a frame."""
    with av.open(str(tmp_path / name), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=24) if name == "a.mp4" else None
        track: Any = container.add_stream("libx264", rate=24)
        sound: Any = container.add_stream("mp3", rate=44100, layout="mono")
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        if cover:
            cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
            container.mux(cover.encode(None))
        for array in numbered(24):
            container.mux(track.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(array))))
        container.mux(track.encode(None))
        for _ in range(100):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
            frame.rate = 44100
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    assert numbers(video.stream(tmp_path / name)) == list(range(24))
    info = video.probe(tmp_path / name)
    assert (info.codec, info.num_frames, info.seconds) == ("h264", 24, pytest.approx(1))


def test_start_offset_is_taken_off(tmp_path: Path) -> None:
    """Time counts from the first frame on screen, whatever the container's clock said."""
    path = encode(tmp_path / "a.mkv", numbered(48), stamps=list(range(240, 288)))
    assert numbers(video.stream(path, start=1, seconds=0.5)) == list(range(24, 36))
    assert video.probe(path).seconds == pytest.approx(2)


# One frame, one pixel, odd sizes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 5), (33, 17), (16, 15)])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm", "gif"])
def test_any_size_and_count(height: int, width: int, count: int, suffix: str, tmp_path: Path) -> None:
    """Size and count come back exactly, odd, tiny and single ones too."""
    frames = np.random.default_rng(0).integers(0, 255, (count, height, width, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    video.write(path, frames, 8)
    back, info = video.read(path), video.probe(path)
    assert back.frames.shape == frames.shape == (info.num_frames, info.height, info.width, 3)
    assert back.fps == info.fps == (8 if count > 1 or suffix != "gif" else 1)


# Bad input


def cut(path: Path, share: float) -> Path:
    """The first part of a file, as a broken download leaves it."""
    data = path.read_bytes()
    short = path.with_name("cut_" + path.name)
    short.write_bytes(data[: int(len(data) * share)])
    return short


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "frag.mp4", "a.avi", "a.flv"])
def test_truncated(name: str, share: float, tmp_path: Path) -> None:
    """Every whole frame is yielded, then one sentence says how many there were; reading whole fails with it."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    options = {**CONTAINERS[name], "muxing": {"movflags": "faststart"}} if name == "a.mp4" else CONTAINERS[name]
    path = encode(tmp_path / name, noise, **options)  # type: ignore[arg-type]
    whole, short = video.read(path).frames, cut(path, share)
    got = []
    with pytest.raises(FileProblem, match=r"cut short or damaged .* (\d+) frames( of 60)? could be decoded") as caught:
        got.extend(video.stream(short))
    assert f" {len(got)} frames" in str(caught.value)
    assert 15 * share < len(got) < 60
    assert np.array_equal(np.stack(got), whole[: len(got)])
    for reader in (video.read, video.probe):
        with pytest.raises(FileProblem, match="cut short"):
            reader(short)
    if share > 0.9:
        assert len(list(video.stream(short, seconds=1))) == 24  # what is asked for is there
        with pytest.raises(FileProblem, match="cut short"):
            video.read(short, start=2.25, seconds=5)


def test_no_index_at_all(tmp_path: Path) -> None:
    """An MP4 without its index is named as cut short."""
    path = encode(tmp_path / "a.mp4", numbered(20))
    with pytest.raises(FileProblem, match=r"cannot be opened as a video .* cut short"):
        video.read(cut(path, 0.5))


def test_capture_from_between_keyframes(tmp_path: Path) -> None:
    """A broadcast caught in the middle begins at its first keyframe."""
    path = encode(tmp_path / "a.ts", numbered(60), muxer="mpegts", options={"g": "20", "bf": "0", "sc_threshold": "0"})
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 188 // 2 * 188 :])
    got = numbers(video.stream(path))
    assert got == list(range(got[0], 60))
    assert got[0] % 20 == 0


def test_damaged_middle(tmp_path: Path) -> None:
    """Damage that the decoder notices ends the video there and is told."""
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    path = encode(tmp_path / "a.mov", noise, "png", "rgb24")
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at : at + 4000] = bytes(4000)
    path.write_bytes(data)
    got = []
    with pytest.raises(FileProblem, match="damaged"):
        got.extend(video.stream(path))
    assert 5 < len(got) < 25
    assert np.array_equal(np.stack(got), noise[: len(got)])


def silence(path: Path) -> Path:
    """A file with sound and nothing else."""
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(track.encode(frame))
    return path


def test_not_a_video(tmp_path: Path) -> None:
    """Each kind of wrong file has its sentence."""
    (tmp_path / "text.mp4").write_text("no video at all\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    silence(tmp_path / "sound.wav")
    silence(tmp_path / "sound.mkv")
    for name, sentence in {
        "": "is a folder",
        "absent.mp4": "does not exist",
        "empty.mp4": r"empty \(0 bytes\)",
        "text.mp4": "cannot be opened as a video",
        "half.png": "cannot be read as a picture",
        "sound.wav": "no video that can be decoded .*audio",
        "sound.mkv": "no video that can be decoded .*audio",
        "text.mp4/x.mp4": "cannot be read",
    }.items():
        for reader in (video.read, video.probe, video.read_image, video.stream):
            with pytest.raises(FileProblem, match=sentence) as caught:
                reader(tmp_path / name)
            assert "\n" not in str(caught.value)


def test_absurd_size_is_refused_from_the_header(tmp_path: Path) -> None:
    """A header that claims a gigantic frame costs no memory."""
    raw = b"YUV4MPEG2 W30000 H30000 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(100)
    (tmp_path / "a.y4m").write_bytes(raw)
    (tmp_path / "b.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
        + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        + b"\0\0\0\0"
        + bytes(50)
    )
    code = (
        "import resource, sys; from chronotope.media import video\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30,) * 2)\n"
        "try: video.read(sys.argv[1])\nexcept Exception as error: print(type(error).__name__, error)"
    )
    for name in ("a.y4m", "b.png"):
        said = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=True)
        assert said.stdout.startswith("FileProblem"), said
        assert not said.stderr


def test_libav_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, whatever libav thinks of a file."""
    path = encode(tmp_path / "a.mp4", numbered(20), muxing={"movflags": "faststart"})
    capfd.readouterr()
    with pytest.raises(FileProblem):
        video.read(cut(path, 0.9))
    assert capfd.readouterr() == ("", "")


def test_importing_is_cheap() -> None:
    """PyAV, Pillow and OpenCV come only when they are needed."""
    code = "import sys, chronotope.media.video; print(sorted({'av', 'PIL', 'cv2', 'torch'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
