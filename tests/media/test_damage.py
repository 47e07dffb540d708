"""Damaged, truncated and other unreadable files: what can be decoded is yielded, then an error says what is wrong."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from chronotope.errors import FileProblem
from chronotope.media import video
from chronotope.media.frames import find_gaps
from tests.media.files import CONTAINERS, encode, numbered, numbers


def cut(path: Path, share: float) -> Path:
    """Write the first part of a file, as an interrupted download does."""
    data = path.read_bytes()
    short = path.with_name("cut_" + path.name)
    short.write_bytes(data[: int(len(data) * share)])
    return short


@pytest.mark.parametrize("share", [0.3, pytest.param(0.6, marks=pytest.mark.slow), 0.97])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "frag.mp4", "a.avi", "a.flv"])
def test_truncated(name: str, share: float, tmp_path: Path) -> None:
    """Every complete frame is yielded, then the error says how many there were; reading all frames fails."""
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
        assert len(list(video.stream(short, seconds=1))) == 24  # the requested part is complete
        with pytest.raises(FileProblem, match="cut short"):
            video.read(short, start=2.25, seconds=5)


@pytest.mark.parametrize("bframes", [0, 2])
def test_an_end_that_an_edit_list_hides_is_not_missing(bframes: int, tmp_path: Path) -> None:
    """Editors trim in the header alone; a file that lacks stored frames is still damaged, trimmed or not."""
    options = {"x264-params": f"bframes={bframes}:keyint=24:log-level=-1"}
    path = encode(tmp_path / "whole.mp4", numbered(24), options=options, muxing={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12  # after the name, the flags and the count: the duration of the first edit
    ticks = struct.unpack(">I", data[data.index(b"mvhd") + 16 :][:4])[0]  # a second
    struct.pack_into(">I", data, place, ticks * 10 // 24)
    trimmed = tmp_path / "trimmed.mp4"
    trimmed.write_bytes(data)
    assert numbers(video.read(trimmed).frames) == list(range(10))
    with pytest.raises(FileProblem, match="cut short or damaged"):
        video.read(cut(trimmed, 0.5))


@pytest.mark.parametrize(
    ("edits", "followed"),
    [
        ([(1000, 0, 1, 0)], True),
        ([(500, -1, 1, 0), (1000, 0, 1, 0)], True),  # a delay
        ([(1000, 0, 0, 2**14)], False),  # a quarter of the speed
        ([(1000, 0, 2, 0)], False),
        ([(500, 0, 1, 0), (500, 0, 0, 0), (500, 1024, 1, 0)], False),  # a frame is held
        ([(500, 0, 1, 0), (500, -1, 1, 0), (500, 1024, 1, 0)], False),  # a pause
    ],
)
def test_edits_that_are_not_followed_are_said(
    edits: list[tuple[int, int, int, int]], followed: bool, tmp_path: Path
) -> None:
    path = encode(tmp_path / "a.mp4", numbered(24))
    data = path.read_bytes()
    place = data.index(b"elst") - 4
    old = data[place : place + int.from_bytes(data[place : place + 4], "big")]
    content = b"elst" + struct.pack(">II", 0, len(edits)) + b"".join(struct.pack(">Iihh", *edit) for edit in edits)
    new, change = struct.pack(">I", len(content) + 4) + content, len(content) + 4 - len(old)
    changed = bytearray(data.replace(old, new))
    for name in (b"edts", b"trak", b"moov"):  # the index is behind the frames, so no offset changes
        at = data.index(name) - 4
        struct.pack_into(">I", changed, at, int.from_bytes(data[at : at + 4], "big") + change)
    path.write_bytes(changed)
    assert any("its edit list" in remark for remark in video.probe(path).remarks) != followed


def test_no_index_at_all(tmp_path: Path) -> None:
    """The error for an MP4 file without its index says that it is cut short."""
    path = encode(tmp_path / "a.mp4", numbered(20))
    with pytest.raises(FileProblem, match=r"cannot be opened as a video .* cut short"):
        video.read(cut(path, 0.5))


def test_capture_from_between_keyframes(tmp_path: Path) -> None:
    """A broadcast recorded from the middle begins at its first keyframe."""
    path = encode(tmp_path / "a.ts", numbered(60), muxer="mpegts", options={"g": "20", "bf": "0", "sc_threshold": "0"})
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 188 // 2 * 188 :])
    got = numbers(video.stream(path))
    assert got == list(range(got[0], 60))
    assert got[0] % 20 == 0


def test_damaged_middle(tmp_path: Path) -> None:
    """Damage that the decoder detects ends the video with an error."""
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
    """Write a file with sound only."""
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(track.encode(frame))
    return path


def test_not_a_video(tmp_path: Path) -> None:
    """Each kind of unreadable file has its own message of one line."""
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
    """A frame size that no video has is refused before memory is allocated."""
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
        done = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("FileProblem"), done
        assert not done.stderr


def test_libav_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libav prints nothing for a damaged file."""
    path = encode(tmp_path / "a.mp4", numbered(20), muxing={"movflags": "faststart"})
    capfd.readouterr()
    with pytest.raises(FileProblem):
        video.read(cut(path, 0.9))
    assert capfd.readouterr() == ("", "")


CHECKED = {  # share of spoiled files that a decoder must notice; formats without redundancy hide nearly all damage
    "a.avi": ({"codec": "mpeg4"}, 0.8),
    "a.mkv": ({"codec": "ffv1", "muxer": "matroska"}, 1.0),
    "a.mp4": ({"codec": "libx264"}, 0.05),  # of 31 spoiled files 8 are noticed; other builds write other bytes
}


@pytest.mark.parametrize("name", CHECKED)
def test_damage_that_a_decoder_conceals(name: str, tmp_path: Path) -> None:
    """Bytes overwritten in the middle leave the number of frames as it was: `damage` says that frames are spoiled."""
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    options, least = CHECKED[name]
    path = encode(tmp_path / name, noise, **options)  # type: ignore[arg-type]
    whole = video.read(path)
    assert whole.damage == ""
    data, rng, spoiled, noticed = path.read_bytes(), np.random.default_rng(1), 0, 0
    for _ in range(40):
        at = int(len(data) * rng.uniform(0.2, 0.8))
        path.write_bytes(data[:at] + rng.bytes(200) + data[at + 200 :])
        try:
            frames = video.stream(path)
            different = not np.array_equal(np.stack(list(frames)), whole.frames)
        except FileProblem:
            continue
        spoiled += different
        noticed += different and bool(frames.damage)
    assert spoiled >= 12
    assert noticed >= least * spoiled


def test_whole_files_report_no_damage(tmp_path: Path) -> None:
    """Every container, also one that is read from a later start and one that begins between two key frames."""
    for name, options in CONTAINERS.items():
        path = encode(tmp_path / name, numbered(40), **options)
        assert video.read(path).damage == "", name
        assert video.read(path, start=0.5, seconds=0.5).damage == "", name
    path = encode(tmp_path / "b.ts", numbered(60), muxer="mpegts", options={"g": "20", "bf": "0", "sc_threshold": "0"})
    data = path.read_bytes()
    path.write_bytes(data[188 * (len(data) // 188 // 2) :])
    assert video.read(path).damage == ""


@pytest.mark.parametrize(
    ("name", "codec", "muxer"), [("a.wmv", "wmv2", "asf"), ("a.avi", "mpeg4", "avi"), ("a.ts", "libx264", "mpegts")]
)
def test_a_hole_that_takes_frames_away(name: str, codec: str, muxer: str, tmp_path: Path) -> None:
    """Where a demultiplexer skips what it does not understand, fewer frames are read, which is said."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    path = encode(tmp_path / name, noise, codec, muxer=muxer, options={"b": "100000"})
    assert video.read(path).damage == ""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3] + bytes(len(data) // 4) + data[len(data) // 3 + len(data) // 4 :])
    found, remarks = video.read(path), " ".join(video.probe(path).remarks)
    assert found.num_frames < 40
    assert found.damage or "has no frames between" in remarks


def test_less_than_the_header_of_a_wmv_announces(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    path = encode(tmp_path / "a.wmv", noise, "wmv2", muxer="asf")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5] + bytes(len(data) - len(data) * 3 // 5))
    found = video.read(path)
    assert 10 < found.num_frames < 30
    assert re.search(r"it announces 1\.67 seconds and has [01]\.\d+", found.damage)


def test_gaps_are_told_from_varying_rates() -> None:
    regular = [index / 8 for index in range(20)]
    assert find_gaps(regular) == find_gaps([]) == find_gaps([0.0]) == []
    (sentence,) = find_gaps(regular[:5] + regular[9:])
    assert "between 0.50 and 1.12 s, and one every 0.125 s" in sentence
    assert find_gaps([index**1.5 for index in range(20)]) == []  # every step is another one
    assert find_gaps([index + (index // 3) * 9 for index in range(20)]) == []  # pauses are the rule


def test_joined_files_play_one_after_the_other(tmp_path: Path) -> None:
    """Timestamps that begin again do not lay the second part over the first."""
    for name, muxer in (("a.ts", "mpegts"), ("a.mkv", "matroska")):
        options = {"muxer": muxer, "options": {"bf": "0"}}
        first, second = encode(tmp_path / name, numbered(12), **options), tmp_path / f"b{name}"  # type: ignore[arg-type]
        data = first.read_bytes()
        second.write_bytes(data + data)
        found = video.read(second, fps=24)
        assert numbers(found.frames) == [*range(12), *range(12)], name
        assert "its times begin again" in found.damage
        assert video.probe(second).num_frames == 24


def test_frames_that_change_size_are_said(tmp_path: Path) -> None:
    """They are scaled to the size of the first, as players do."""
    parts = []
    for side in (32, 48):
        frames = np.full((4, side, side, 3), 90, np.uint8)
        parts.append(encode(tmp_path / f"{side}.ts", frames, "mpeg2video", muxer="mpegts").read_bytes())
    (tmp_path / "a.ts").write_bytes(parts[0] + parts[1])
    found = video.read(tmp_path / "a.ts")
    assert found.num_frames >= 7 and found.frames.shape[1:] == (32, 32, 3)
    assert "its frames change size, and are scaled to 32x32" in found.damage


def test_a_y4m_file_that_is_cut_inside_a_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.y4m", numbered(9), "rawvideo", muxer="yuv4mpegpipe")
    assert len(video.read(path).frames) == 9
    with pytest.raises(FileProblem, match=r"a frame is cut off.* 4 frames"):
        video.read(cut(path, 0.5))


def test_pauses_of_a_gif_are_no_gaps(tmp_path: Path) -> None:
    """A GIF says how long it shows each frame."""
    first, *others = (Image.new("L", (8, 8), grey) for grey in (0, 60, 120, 180, 240))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=[100, 100, 700, 100, 100])
    assert list(video.probe(tmp_path / "a.gif").remarks) == []


def test_joined_avi_files_are_longer_than_announced(tmp_path: Path) -> None:
    """Their frames are counted on, so that no time begins again."""
    path = encode(tmp_path / "a.avi", numbered(17), "mpeg4", muxer="avi")
    assert video.read(path).damage == ""
    path.write_bytes(path.read_bytes() * 2)
    found = video.read(path)
    assert found.num_frames == 34
    assert "it announces 0.71 seconds and has 1.42" in found.damage
