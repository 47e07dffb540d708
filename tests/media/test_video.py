"""Reading: exact frames at exact times from any file, compared with independent decoders and closed forms."""

from __future__ import annotations

import itertools
import re
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from chronotope.errors import UsageError
from chronotope.media import video
from chronotope.media.convert import Converter
from chronotope.media.display import Reading
from chronotope.media.files import MediaFile
from chronotope.media.frames import _timed, constant_rate
from tests.media.files import CONTAINERS, encode, numbered, numbers
from tests.real_clips import CLIPS, available

REAL = available()


def real(name: str) -> Path:
    """Return the path of a camera clip, or skip the test."""
    if name not in REAL:
        pytest.skip(f"{name} is missing; run `python tests/real_clips.py {name}`")
    return REAL[name]


# Real files


@pytest.mark.parametrize("name", CLIPS)
def test_real_facts(name: str) -> None:
    """probe returns the facts that are listed for each camera clip."""
    info, clip = video.probe(real(name)), CLIPS[name]
    assert (info.codec, info.width, info.height, info.num_frames) == (clip.codec, clip.width, clip.height, clip.frames)
    assert info.fps == pytest.approx(clip.fps, abs=0.001)
    assert info.seconds == pytest.approx(clip.frames / clip.fps, rel=0.001)
    assert info.variable_frame_rate == (name in {"tree.avi", "box.mp4"})


@pytest.mark.parametrize("name", [name for name in CLIPS if name not in {"bbb.mp4", "box.mp4", "cockatoo.mp4"}])
def test_real_count_by_another_reader(name: str) -> None:
    """OpenCV finds as many frames as the list says, and so as many as `test_real_clips_are_whole` decodes."""
    capture = cv2.VideoCapture(str(real(name)))
    assert sum(1 for _ in iter(capture.grab, False)) == CLIPS[name].frames


LATE_ENOUGH = 30.0  # seconds: behind the second keyframe of every clip


@pytest.mark.parametrize("name", [name for name in CLIPS if name != "bbb.mp4"])
def test_real_middle_is_the_same_as_from_the_start(name: str) -> None:
    """Seeking gives the same bits as decoding from the beginning; cockatoo.mp4 breaks naive seeking."""
    info = video.probe(real(name))
    first = int(min(max(info.seconds * 0.6 - 0.5, 0), LATE_ENOUGH) * 10)
    whole = list(itertools.islice(video.stream(real(name), fps=10), first, first + 5))
    part = list(video.stream(real(name), fps=10, start=first / 10, seconds=0.5))
    assert len(part) == 5
    assert all(np.array_equal(one, other) for one, other in zip(part, whole, strict=True))


@pytest.mark.parametrize("name", [name for name in CLIPS if name != "bbb.mp4"])
def test_real_clips_are_whole(name: str) -> None:
    """No decoder reports damage, and no reader misses anything, in a clip from a camera."""
    frames = video.stream(real(name))
    assert sum(1 for _ in frames) == CLIPS[name].frames
    assert frames.damage == ""


def test_real_film_is_cut_quickly() -> None:
    """A position nine minutes into a film is reached through its index."""
    frames = list(video.stream(real("bbb.mp4"), start=540.0, seconds=0.5))
    assert len(frames) == 12
    with av.open(str(real("bbb.mp4"))) as container:
        container.seek(530 * av.time_base)
        wanted = next(
            frame for frame in container.decode(video=0) if frame.time is not None and frame.time >= 540.0 - 1e-6
        )
    difference = np.abs(frames[0].astype(int) - np.asarray(wanted.to_ndarray(format="rgb24", src_colorspace="ITU709")))
    assert difference.mean() < 1


def test_real_timestamps_in_decoding_order_are_corrected() -> None:
    """The timestamps of box.mp4 are in decoding order; times in display order must still be evenly spaced."""
    with av.open(str(real("box.mp4"))) as container:
        stamps = [frame.pts for frame in container.decode(video=0)]
    assert stamps != sorted(stamps)  # type: ignore[type-var]
    times = [frame.time for frame in Reading(real("box.mp4"), None, 0, None)]
    assert len(times) == len(stamps)
    assert np.diff(times[:-1]).min() > 0.03
    assert np.diff(times[:-1]).max() < 0.04


# Generated files: containers, codecs, pixel formats


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name: str, tmp_path: Path) -> None:
    """Every frame is read once and in order from every container, with hidden frames and missing durations too."""
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
    """Grey levels are preserved in every pixel format, within the error of the codec."""
    steps = np.repeat(np.linspace(0, 255, 8).astype(np.uint8), 8)
    frames = np.broadcast_to(steps[None, None, :, None], (3, 32, 64, 3))
    options = {"crf": "8"} if codec == "libx264" else {}
    path = encode(tmp_path / f"a.{suffix}", frames, codec, pixels, options=options)
    back = video.read(path)
    assert back.frames.shape == frames.shape
    assert np.abs(back.frames.astype(int) - frames)[:, :, 2::8].max() <= 4
    assert video.probe(path).pixel_format == ("yuvj420p" if pixels == "gray" else pixels)


def test_transparency_is_over_white(tmp_path: Path) -> None:
    """Half-transparent black over white is grey."""
    frames = np.zeros((2, 16, 16, 4), np.uint8)
    frames[:, :, 8:, 3] = 128
    path = encode(tmp_path / "a.mov", frames, "png", "rgba", source="rgba")
    back = video.read(path).frames
    assert (back[:, :, :8] == 255).all()
    assert np.abs(back[:, :, 8:].astype(int) - 127).max() <= 1


@pytest.mark.parametrize(("height", "tagged"), [(480, 5), (480, 1), (720, 1), (480, 2), (720, 2)])
def test_colour_matrix(height: int, tagged: int, tmp_path: Path) -> None:
    """A tagged matrix is used; without a tag, small videos are BT.601 and large ones BT.709, as in players."""
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


def with_matrix(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """Write a display matrix into the track header of an MP4 file, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", *(round(x * 2**16) for x in (a, b, 0, c, d, 0, 0, 0, 2**14)))
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
    """Frames and their size are rotated and mirrored as for display."""
    frames = np.full((3, 32, 64, 3), 30, np.uint8)
    frames[:, :16, :16], frames[:, :16, 48:], frames[:, 16:, :16] = 230, 160, 90
    path = encode(tmp_path / "a.mp4", frames)
    expected = turned(video.read(path).frames)
    with_matrix(path, *matrix)
    back, info = video.read(path), video.probe(path)
    assert np.array_equal(back.frames, expected)
    assert (info.height, info.width) == back.frames.shape[1:3]
    assert degrees is None or info.rotation == degrees
    assert info.remarks == []


def test_what_players_show_and_is_not_read_is_said(tmp_path: Path) -> None:
    frames = numbered(3)
    turned = with_matrix(encode(tmp_path / "turned.mp4", frames), 0.707, 0.707, -0.707, 0.707)
    (remark,) = video.probe(turned).remarks
    assert re.fullmatch("it asks to be shown turned by 45 degrees, and is read turned by (0|90)", remark)
    interlaced = encode(tmp_path / "b.mp4", frames, options={"x264-params": "interlaced=1:log-level=-1"})
    (remark,) = video.probe(interlaced).remarks
    assert "interlaced" in remark


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (1, ""), (2, "")])
def test_hdr_is_said_wherever_frames_are_read(transfer: int, name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(3), "libx265", "yuv420p10le", transfer=transfer)
    said: list[str] = []
    video.read_image(path, note=said.append)
    found = [list(video.probe(path).remarks), list(video.read(path).remarks), list(video.stream(path).remarks), said]
    assert found == [found[0]] * 4
    assert [bool(re.match(rf"it is HDR \({name}, ", remark)) for remark in found[0]] == ([True] if name else [])


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
    assert info.seconds == pytest.approx(stamps[-1] / 1000, abs=0.15)  # the duration of the last frame is a guess
    got = numbers(video.stream(path, fps=fps))
    times = np.arange(len(got)) / fps * 1000
    exact = np.searchsorted(stamps, times + 1e-6, side="right") - 1
    near = np.searchsorted(stamps, times + 1.02, side="right") - 1  # a timestamp may be off by its tick
    assert all(low <= number <= high for low, number, high in zip(exact, got, near, strict=True))
    assert len(got) == pytest.approx(info.seconds * fps, abs=1)
    assert numbers(video.stream(path)) == list(range(40))
    unseen = set(range(40)) - set(numbers(video.stream(path, fps=info.constant_fps)))
    assert info.skipped_frames == len(unseen) > 0
    assert info.skipped.startswith(f"{len(unseen)} of its 40 frames are too short to be seen at {info.constant_fps:g} ")


@pytest.mark.parametrize("fps", [8, 23.976, 60])
def test_no_frame_of_a_constant_rate_counts_as_too_short(fps: float, tmp_path: Path) -> None:
    """Neither do those that a lower rate leaves out, which whoever asks for it expects."""
    path = tmp_path / "a.mp4"
    video.write(path, numbered(30), fps)
    assert len(numbers(video.stream(path, fps=8))) == pytest.approx(30 / fps * 8, abs=1)
    info = video.probe(path)
    assert (info.skipped_frames, info.skipped) == (0, "")


def test_times_that_jitter_around_a_rate_are_of_that_rate(tmp_path: Path) -> None:
    """No frame comes twice where a camera's clock is off by 2 ms; a higher average is still rounded up."""
    jitter = np.random.default_rng(0).integers(-2, 3, 45)
    stamps = (np.arange(45) * 1000 / 30 + jitter).round().astype(int).tolist()
    path = encode(tmp_path / "a.mkv", numbered(45), stamps=stamps, tick=Fraction(1, 1000))
    info = video.probe(path)
    assert info.variable_frame_rate and info.constant_fps == 30
    assert len(numbers(video.stream(path, fps=info.constant_fps))) <= 46  # the last may last until a 46th begins
    assert [constant_rate(fps) for fps in (29.97, 30.02, 30.2, 0.2, 5000)] == [30, 30, 31, 1, 1000]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "gif"])
@pytest.mark.parametrize("fps", [8, 10, 12.5, 23.976, 30000 / 1001, 30])
def test_resampling_to_its_own_rate_changes_nothing(suffix: str, fps: float, tmp_path: Path) -> None:
    """Resampling to the same rate repeats and drops no frame, however the container rounds its timestamps."""
    path = tmp_path / f"a.{suffix}"
    if suffix == "avi":
        rate = Fraction(fps).limit_denominator(1001)
        encode(path, numbered(50), "mpeg4", tick=1 / rate)
        fps = video.probe(path).fps
    else:
        video.write(path, numbered(50), fps)
    assert numbers(video.stream(path, fps=fps, seconds=50 / fps)) == list(range(50))


def test_window(tmp_path: Path) -> None:
    """Each frame begins in exactly one of adjacent windows; a window inside a frame returns that frame."""
    path = encode(tmp_path / "a.mp4", numbered(72))
    tiles = [numbers(video.stream(path, start=second / 2, seconds=0.5)) for second in range(6)]
    assert tiles == [list(range(12 * second, 12 * second + 12)) for second in range(6)]
    assert numbers(video.stream(path, start=1.01, seconds=0.01)) == [24]
    assert numbers(video.stream(path, start=2.99)) == [71]
    assert video.read(path, fps=8, start=1, seconds=1).frames.shape[0] == 8
    assert video.read(path, start=2.5, seconds=9).num_frames == 12
    for rate in (None, 8):  # no window is too short for the frame at its start
        assert numbers(video.stream(path, fps=rate, seconds=1e-9)) == [0]
        assert numbers(video.stream(path, fps=rate, start=1, seconds=1e-9)) == [24]
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


def test_start_offset_is_subtracted(tmp_path: Path) -> None:
    """Time is relative to the first frame, whatever its timestamp."""
    path = encode(tmp_path / "a.mkv", numbered(48), stamps=list(range(240, 288)))
    assert numbers(video.stream(path, start=1, seconds=0.5)) == list(range(24, 36))
    assert video.probe(path).seconds == pytest.approx(2)


def test_first_frames_without_timestamps(tmp_path: Path) -> None:
    """Frames without a timestamp follow each other at the declared rate, before, between and after those with one."""
    frames = [av.VideoFrame(16, 16, "rgb24") for _ in range(8)]
    for frame, stamp in zip(frames, [None, None, 242, 243, None, 245, None, None], strict=True):
        frame.pts = stamp
    converter = Converter(MediaFile("a.mkv", ".mkv", -1, 0), av.open(str(tmp_path / "a.mkv"), "w"), frames[0])
    times = [timed.time for timed in _timed(iter(frames), None, 24.0, 1 / 24, converter)]
    assert times == pytest.approx([index / 24 for index in range(8)])


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_webm(codec: str, tmp_path: Path) -> None:
    """The transparency of VP8 and VP9, which FFmpeg's own decoders hide, is laid over white."""
    rgba = np.zeros((6, 32, 64, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, :, 32:, 3] = 255
    options = {"cpu-used": "8", "deadline": "realtime", "auto-alt-ref": "0"}
    path = encode(tmp_path / "a.webm", rgba, codec, "yuva420p", source="rgba", options=options)
    with av.open(str(path)) as container:
        if "alpha_mode" not in container.streams.video[0].metadata:
            pytest.skip("this FFmpeg writes no transparency")
    shown = video.read(path).frames.astype(int)
    assert shown.shape == (6, 32, 64, 3)
    assert (shown[:, 8:24, 4:28] > 245).all()
    assert np.abs(shown[:, 8:24, 36:60] - (200, 0, 0)).max() < 24


def test_the_default_track_is_read(tmp_path: Path) -> None:
    """Of several video tracks the one that is marked as default is read, as players do."""
    for chosen in (0, 1):
        path = tmp_path / f"{chosen}.mkv"
        with av.open(str(path), "w") as container:
            tracks: list[Any] = [container.add_stream("libx264", rate=24) for _ in range(2)]
            for index, track in enumerate(tracks):
                track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
                track.disposition = av.stream.Disposition.default if index == chosen else av.stream.Disposition(0)
            for number, array in enumerate(numbered(12)):
                for index, track in enumerate(tracks):
                    image = av.VideoFrame.from_ndarray(array if index == chosen else array * 0)
                    image.pts, image.time_base = number, Fraction(1, 24)
                    container.mux(track.encode(image))
            for track in tracks:
                container.mux(track.encode(None))
        assert numbers(video.stream(path)) == list(range(12))


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(2), 128), (Fraction(1, 2), 32), (Fraction(12), 64)])
def test_pixels_that_are_not_square(aspect: Fraction, width: int, tmp_path: Path) -> None:
    """Reading keeps stored pixels; on request they become square, unless their aspect is absurd."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("libx264", rate=24)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        track.codec_context.sample_aspect_ratio = aspect
        for array in numbered(5):
            container.mux(track.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(array))))
        container.mux(track.encode(None))
    info = video.probe(path)
    assert (info.width, info.pixel_aspect, info.square_size) == (64, aspect, (width, 48))
    assert video.read(path).frames.shape == (5, 48, 64, 3)
    assert video.read_image(path, square_pixels=True).shape == (48, width, 3)
    assert numbers(video.read(path, square_pixels=True).frames) == list(range(5))


# One frame, one pixel, odd sizes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 5), (33, 17), (16, 15)])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm", "gif"])
def test_any_size_and_count(height: int, width: int, count: int, suffix: str, tmp_path: Path) -> None:
    """Any size and any number of frames is preserved exactly."""
    frames = np.random.default_rng(0).integers(0, 255, (count, height, width, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    video.write(path, frames, 8)
    back, info = video.read(path), video.probe(path)
    assert back.frames.shape == frames.shape == (info.num_frames, info.height, info.width, 3)
    assert back.fps == info.fps == (8 if count > 1 or suffix != "gif" else 1)


def test_importing_is_cheap() -> None:
    """PyAV, Pillow and OpenCV are imported only when they are needed."""
    code = "import sys, chronotope.media.video; print(sorted({'av', 'PIL', 'cv2', 'torch'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.parametrize("turned", [False, True])
def test_frames_are_scaled_down_where_they_are_decoded(turned: bool, tmp_path: Path) -> None:
    """The same pixels as averages of areas of whole frames, at the same times; smaller files stay as they are."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(90, 160, (6, 6, 10, 3), np.uint8)
    frames = coarse.repeat(16, axis=1).repeat(16, axis=2)  # 96 rows, 160 columns
    path = encode(tmp_path / "a.mp4", frames)
    if turned:
        with_matrix(path, 0, 1, -1, 0)
    whole = video.stream(path)
    frames, times = zip(*((frame, whole.time) for frame in whole), strict=True)
    small = video.stream(path, max_side=40)
    scaled, small_times = zip(*((frame, small.time) for frame in small), strict=True)
    assert small_times == times
    shape = (40, 24, 3) if turned else (24, 40, 3)
    assert {frame.shape for frame in scaled} == {shape}
    averages = [video.resize(frame, *shape[:2]) for frame in frames]
    differences = np.abs(np.stack(averages).astype(int) - np.stack(scaled))
    assert differences.mean() < 1 and differences.max() <= 8  # colours are averaged before they are converted
    assert np.array_equal(np.stack(list(video.stream(path, max_side=160))), np.stack(frames))
    with pytest.raises(UsageError, match="max_side is 0 pixels"):
        video.stream(path, max_side=0)
