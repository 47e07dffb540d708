"""Writing files that browsers play, in exact colours, with their settings, complete or not at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from chronotope.errors import FileProblem, UsageError
from chronotope.media import video
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES

HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
SETTINGS = {
    "prompt": 'a fox "walks" \u2603\n',
    "seed": 7,
    "size": [128, 72],
    "guidance": 5.5,
    "image": None,
    "sampler": {"steps": 30},
}


def scene(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Return a smooth moving pattern, which compresses well."""
    t, y, x = np.mgrid[0:count, 0:height, 0:width].astype(float)
    waves = [np.sin(x / 9 + t / 7), np.cos(y / 8 - t / 5), np.sin((x + y) / 11 + t / 9)]
    return (128 + 90 * np.stack(waves, -1)).astype(np.uint8)


def boxes(path: Path) -> list[str]:
    """Return the names of the top-level boxes of an MP4 file, in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        names.append(data[at + 4 : at + 8].decode())
        at += size
    return names


# What browsers need


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov"])
def test_browsers_can_play_it(suffix: str, tmp_path: Path) -> None:
    """H.264 4:2:0 in a common profile, index first, a keyframe at least every 12 frames, BT.709 declared."""
    path = tmp_path / f"a.{suffix}"
    video.write(path, scene(40, 45, 63), 24, metadata=SETTINGS)
    names = boxes(path)
    assert names.index("moov") < names.index("mdat")
    with av.open(str(path)) as container:
        track = container.streams.video[0]
        context: Any = track.codec_context
        assert (context.name, context.profile, context.pix_fmt, context.codec_tag) == (
            "h264",
            "High",
            "yuv420p",
            "avc1",
        )
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        assert (context.width % 2, context.height % 2) == (0, 0)
        keys = [index for index, packet in enumerate(container.demux(track)) if packet.is_keyframe]
        assert track.average_rate == 24
        assert container.duration == pytest.approx(40 / 24 * 1e6, abs=1000)
    assert max(np.diff([*keys, 40])) <= 12


@pytest.mark.parametrize("fps", [0.5, 8, 12.5, 23.976, 24000 / 1001, 30000 / 1001, 59.94, 1000 / 3])
def test_any_rate(fps: float, tmp_path: Path) -> None:
    """Common frame rates are preserved."""
    video.write(tmp_path / "a.mp4", scene(9, 16, 16), fps)
    info = video.probe(tmp_path / "a.mp4")
    assert info.fps == pytest.approx(fps, rel=1e-6)
    assert info.seconds == pytest.approx(9 / fps, rel=1e-6)
    assert not info.variable_frame_rate
    assert video.VideoWriter(tmp_path / "b.mp4", 30000 / 1001).rate == Fraction(30000, 1001)


# Colours


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
COLOURS += [(255, 255, 255), (128, 128, 128), (0, 0, 0), (200, 100, 50)]


@pytest.mark.parametrize(("suffix", "error"), [("mp4", 3), ("mov", 3), ("mkv", 3), ("webm", 4), ("gif", 4)])
def test_colours_come_back(suffix: str, error: int, tmp_path: Path) -> None:
    """Pure colours are preserved within the rounding of 8-bit YUV: the colour matrix is consistent."""
    frames = np.repeat(np.repeat(np.array(COLOURS, np.uint8)[None, None], 16, 1), 16, 2).repeat(3, 0)
    path = tmp_path / f"a.{suffix}"
    video.write(path, frames, 8, crf=4)
    back = video.read(path).frames.astype(int)
    assert np.abs(back - frames)[:, 8, 8::16].max() <= error


def test_stored_planes_are_bt709(tmp_path: Path) -> None:
    """Stored values equal the BT.709 formula, independently of our reader."""
    for colour in COLOURS:
        video.write(tmp_path / "a.mp4", np.full((1, 16, 16, 3), colour, np.uint8), 8, crf=1)
        with av.open(str(tmp_path / "a.mp4")) as container:
            planes = next(container.decode(video=0)).to_ndarray()
        r, g, b = np.array(colour) / 255
        luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
        wanted = 16 + 219 * luma, 128 + 224 * (b - luma) / 1.8556, 128 + 224 * (r - luma) / 1.5748
        got = planes[8, 8], planes[18].flat[0], planes[22].flat[0]
        assert np.abs(np.array(got, float) - wanted).max() <= 1.5


def test_quality(tmp_path: Path) -> None:
    """A smooth scene has 37 dB at the default quality and more at a lower crf."""
    frames = scene(24)
    scores = []
    for crf in (30, 16, 4):
        video.write(tmp_path / "a.mp4", frames, 24, crf=crf)
        error = video.read(tmp_path / "a.mp4").frames.astype(float) - frames
        scores.append(10 * np.log10(255**2 / (error**2).mean()))
    assert scores == sorted(scores)
    assert scores[1] > 37


def test_odd_edges_are_exact(tmp_path: Path) -> None:
    """Our reader removes the padded column; for other readers it is a copy of the last one."""
    frames = scene(6, 31, 45)
    video.write(tmp_path / "a.mp4", frames, 8, crf=4)
    assert np.abs(video.read(tmp_path / "a.mp4").frames.astype(int) - frames).mean() < 2
    with av.open(str(tmp_path / "a.mp4")) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert stored.shape == (32, 46, 3)
    assert np.abs(stored[:, 45] - stored[:, 44]).max() < 16
    assert np.abs(stored[31] - stored[30]).max() < 16


# Settings


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "gif", "png", "jpg", "webp"])
def test_settings_come_back(suffix: str, tmp_path: Path) -> None:
    """Settings are read from the file where its format can hold them, and otherwise from the sidecar."""
    path = tmp_path / f"a.{suffix}"
    video.write(path, scene(1), 8, metadata=SETTINGS)
    beside = tmp_path / f"a.{suffix}.json"
    assert sorted(tmp_path.iterdir()) == [path, beside]
    assert json.loads(beside.read_text()) == SETTINGS
    assert video.read_origin(path) == SETTINGS
    beside.unlink()
    assert video.read_origin(path) == SETTINGS
    beside.write_text(json.dumps({"other": 1}))
    assert video.read_origin(path) == SETTINGS
    video.write(path, scene(1), 8)
    assert video.read_origin(path) is None
    assert sorted(tmp_path.iterdir()) == [path]


def test_long_settings(tmp_path: Path) -> None:
    """Settings too long for a JPEG comment are read from the sidecar."""
    settings = {"storyboard": ["a scene " * 20] * 1000}
    for suffix in ("mp4", "png", "jpg"):
        video.write(tmp_path / f"a.{suffix}", scene(1), 8, metadata=settings)
        assert video.read_origin(tmp_path / f"a.{suffix}") == settings


def test_a_comment_leaves_the_frames_of_a_gif_alone(tmp_path: Path) -> None:
    """A comment of any length is valid for Pillow and FFmpeg, and no other file is left."""
    frames = scene(5, 30, 40)
    video.write(tmp_path / "plain.gif", frames, 8)
    plain = video.read(tmp_path / "plain.gif")
    for length in (0, 200, 255, 256, 70_000):
        settings = {"prompt": "x" * length}
        video.write(tmp_path / "a.gif", frames, 8, metadata=settings)
        (tmp_path / "a.gif.json").unlink()
        assert video.read_origin(tmp_path / "a.gif") == settings
        back = video.read(tmp_path / "a.gif")
        assert np.array_equal(back.frames, plain.frames) and back.fps == plain.fps
        with av.open(str(tmp_path / "a.gif")) as container:
            assert sum(1 for _ in container.decode(video=0)) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "plain.gif"]
    with pytest.raises(UsageError), video.VideoWriter(tmp_path / "b.gif", 8, metadata=settings) as writer:
        writer.add(frames[0])
        writer.add(frames[0, :8])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "plain.gif"]


def test_origin_of_strangers(tmp_path: Path) -> None:
    """A camera's comment, a damaged sidecar and an unreadable file hold no settings; a missing file is an error."""
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "notes.txt.json").write_text("{broken")
    assert video.read_origin(tmp_path / "notes.txt") is None
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.metadata["comment"] = "[1, 2]"
        track: Any = container.add_stream("libx264", rate=8)
        track.width, track.height = 16, 16
        container.mux(track.encode(av.VideoFrame.from_ndarray(scene(1, 16, 16)[0])))
        container.mux(track.encode(None))
    assert video.read_origin(tmp_path / "a.mp4") is None
    assert video.probe(tmp_path / "a.mp4").metadata["comment"] == "[1, 2]"
    with pytest.raises(FileProblem, match="does not exist"):
        video.read_origin(tmp_path / "absent.mp4")


# Complete or nothing


def failing(count: int, error: BaseException) -> Iterator[np.ndarray]:
    yield from scene(count)
    raise error


@pytest.mark.parametrize(
    ("suffix", "count"),
    [*itertools.product(["mp4", "mkv", "webm"], [0, 1, 60]), ("gif", 0), ("gif", 1), ("gif", 9)],  # GIF is slow
)
@pytest.mark.parametrize(
    "error", [RuntimeError("no"), KeyboardInterrupt(), FileProblem("no"), ValueError("no"), MemoryError()]
)
def test_failure_leaves_nothing(suffix: str, error: BaseException, count: int, tmp_path: Path) -> None:
    """Any exception while writing reaches the caller, and the folder is unchanged."""
    (tmp_path / f"a.{suffix}").write_bytes(b"the former file")
    with pytest.raises(type(error)):
        video.write(tmp_path / f"a.{suffix}", failing(count, error), 8, metadata=SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{suffix}"]
    assert (tmp_path / f"a.{suffix}").read_bytes() == b"the former file"


def test_failure_at_the_very_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt during completion, or a failed rename, leaves no file."""
    writer = video.VideoWriter(tmp_path / "a.mp4", 8, metadata=SETTINGS)
    writer.add(scene(1)[0])
    with monkeypatch.context() as patch:
        patch.setattr(
            writer,
            "_track",
            type("Interrupted", (), {"encode": lambda self, frame: (_ for _ in ()).throw(KeyboardInterrupt)})(),
        )
        with pytest.raises(KeyboardInterrupt):
            writer.finish()
    assert list(tmp_path.iterdir()) == []

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(FileProblem, match="No space left on device"):
        video.write(tmp_path / "a.mp4", scene(3), 8, metadata=SETTINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is reported in one line."""

    @contextlib.contextmanager
    def full(path: Path, settings: Callable[[], str], allow: Callable[[], None] | None) -> Iterator[Path]:
        yield Path("/dev/full")

    monkeypatch.setattr("chronotope.media.writer.file_with_sidecar", full)
    with pytest.raises(FileProblem, match=r"cannot be written .*No space left"):
        video.write(tmp_path / "a.mkv", np.random.default_rng(0).integers(0, 255, (60, 96, 96, 3), np.uint8), 8)


def test_writer(tmp_path: Path) -> None:
    """The file appears when finished, also after an interrupt; then no frame can be added."""
    frames = scene(30)
    with video.VideoWriter(tmp_path / "a.mp4", 8, metadata=SETTINGS) as writer:
        try:
            for frame in failing(30, KeyboardInterrupt()):
                writer.add(frame)
        except KeyboardInterrupt:
            writer.finish()
        assert (tmp_path / "a.mp4").exists()
    assert writer.num_frames == video.probe(tmp_path / "a.mp4").num_frames == 30
    writer.finish()
    writer.abort()
    assert video.read_origin(tmp_path / "a.mp4") == SETTINGS
    with pytest.raises(UsageError, match="already closed"):
        writer.add(frames[0])
    writer = video.VideoWriter(tmp_path / "b.mp4", 8)
    writer.add(frames[0])
    assert not (tmp_path / "b.mp4").exists()
    writer.abort()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.mp4.json"]


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_constant_memory(tmp_path: Path) -> None:
    """Writing and streaming 2,000 frames needs no more memory than 300 frames."""
    tile = scene(1, 96, 96)[0]
    marks: list[int] = []

    def frames() -> Iterator[np.ndarray]:
        for index in range(2000):
            if index in (300, 1999):
                marks.append(resident())
            yield np.roll(tile, index, axis=1)

    video.write(tmp_path / "a.mp4", frames(), 24)
    for index, _ in enumerate(video.stream(tmp_path / "a.mp4")):
        if index in (300, 1999):
            marks.append(resident())
    whole = 1700 * tile.nbytes
    assert len(marks) == 4
    assert marks[1] - marks[0] < whole / 8
    assert marks[3] - marks[2] < whole / 8


# Bad requests


def test_bad_paths(tmp_path: Path) -> None:
    """An unwritable path is refused with its reason, before any work is done."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path, problem, sentence in [
        ("a.mp5", UsageError, r"Did you mean '\.mp4'"),
        ("a", UsageError, "has no suffix"),
        ("a.", UsageError, "no format"),
        ("a.png", UsageError, "no format"),
        ("folder.mp4", FileProblem, "is a folder"),
        ("absent/a.mp4", FileProblem, "absent does not exist"),
        ("file/a.mp4", FileProblem, "file does not exist|is not a folder"),
    ]:
        with pytest.raises(problem, match=sentence):
            video.VideoWriter(tmp_path / path, 8)
    for path in ("a.mp5", "a.mp4", "absent/a.png"):
        with pytest.raises((UsageError, FileProblem)):
            video.write_image(tmp_path / path, scene(1)[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    """The error names a folder without write permission."""
    tmp_path.chmod(0o500)
    with pytest.raises(FileProblem, match="not writable"):
        video.VideoWriter(tmp_path / "a.mp4", 8)


BAD_FRAMES = [
    ("[]", "no frames were given"),
    ("[good.astype('float32')]", "is float32 [48, 64, 3]; uint8 [height, width, 3] is needed"),
    ("[good[..., :1]]", "is uint8 [48, 64, 1]; uint8"),
    ("[good[:0]]", "is uint8 [0, 64, 3]; uint8"),
    ("['frame']", "is str; uint8"),
    ("[good, good[:40]]", "frame 1 for a.mp4 is 64x40 and the first was 64x48"),
    ("[np.broadcast_to(np.uint8(0), (1, 16400, 3))]", "at most 16384 a side"),
]


def test_bad_frames(tmp_path: Path) -> None:
    """Frames of another type, of two sizes, or none are refused; in a new process, without runtime type checks."""
    code = "import numpy as np; from chronotope.media import video; good = np.zeros((48, 64, 3), np.uint8)\n"
    for frames, _ in BAD_FRAMES:
        code += f"try: video.write('a.mp4', {frames}, 8)\nexcept video.UsageError as error: print(error)\n"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=HERE
    ).stdout
    for sentence, (_, part) in zip(said.splitlines(), BAD_FRAMES, strict=True):
        assert part in sentence
    assert list(tmp_path.iterdir()) == []


BAD_ARGUMENTS = [
    ("video.write('a.mp4', good, fps='8')", "fps must be a finite number, got '8'"),
    ("video.write('a.mp4', good, None)", "fps must be a finite number, got None"),
    ("video.write('a.mp4', good, 8, crf=3.5)", "crf must be a whole number, got 3.5 (float)"),
    ("video.write('a.mp4', good, 8, metadata='x')", "metadata must be a dict or None, got 'x'"),
    ("video.write_image('a.png', good[0], [1])", "metadata must be a dict or None, got [1] (list)"),
    ("video.write('a.mp4', None, 8)", "frames must be an array or frames one after the other, got None"),
    ("video.write(None, good, 8)", "path must be a path, a text or a pathlib.Path, got None"),
    ("video.write_image(b'a.png', good[0])", "path must be a path, a text or a pathlib.Path, got b'a.png'"),
    ("video.VideoWriter(5, 8)", "path must be a path, a text or a pathlib.Path, got 5 (int)"),
    ("video.read(5)", "path must be a path, a text or a pathlib.Path, got 5 (int)"),
    ("video.stream(None)", "path must be a path, a text or a pathlib.Path, got None"),
    ("video.probe(0)", "path must be a path, a text or a pathlib.Path, got 0 (int)"),
    ("video.read_image(True)", "path must be a path, a text or a pathlib.Path, got True (bool)"),
    ("video.read_origin(3)", "path must be a path, a text or a pathlib.Path, got 3 (int)"),
    ("video.read('a.mp4', fps='8')", "fps must be a finite number, got '8'"),
    ("video.stream('a.mp4', start=None)", "start must be a finite number, got None"),
    ("video.read('a.mp4', seconds='1')", "seconds must be a finite number, got '1'"),
    ("video.read('a.mp4', square_pixels='no')", "square_pixels must be True or False, got 'no'"),
    ("video.read(__file__, max_bytes='9')", "max_bytes must be a whole number, got '9'"),
]


def test_arguments_of_other_types_are_refused(tmp_path: Path) -> None:
    """Also a number as a path, which the system would take for an open file; in a new process, as above."""
    code = "import numpy as np; from chronotope.media import video; good = np.zeros((2, 48, 64, 3), np.uint8)\n"
    code += "__file__ = np.__file__\n"
    for call, _ in BAD_ARGUMENTS:
        code += f"try: {call}\nexcept video.UsageError as error: print(error)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=HERE)
    assert done.stdout.splitlines() == [said for _, said in BAD_ARGUMENTS], done.stderr
    assert list(tmp_path.iterdir()) == []


def test_bad_settings(tmp_path: Path) -> None:
    """Impossible rates, qualities and settings, and pictures of several frames, are refused."""
    good = scene(2)
    for wrong in ({"fps": 0}, {"fps": -3}, {"fps": 5000}, {"fps": float("nan")}, {"crf": 0}, {"crf": 52}):
        with pytest.raises(UsageError, match=r"must be (between|a finite number)"):
            video.write(tmp_path / "a.mp4", good, **{"fps": 8, **wrong})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at most 50"):
        video.write(tmp_path / "a.gif", good, 60)
    with pytest.raises(UsageError, match="not JSON"):
        video.write(tmp_path / "a.mp4", good, 8, metadata={"model": object()})
    for frames, word in ((good, "more"), (good[:0], "none")):
        with pytest.raises(UsageError, match=f"exactly one frame and got {word}"):
            video.write(tmp_path / "a.png", frames, 8)
    assert list(tmp_path.iterdir()) == []


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    """The bytes of a file depend on its frames only; the macroblock tree of x264 reads uninitialised memory."""
    frames = render(sample_spec(4_000_017, SCOPES["small"])).frames
    rng, seen = np.random.default_rng(0), set()
    for _ in range(20):
        junk = [np.full(size, size % 256, np.uint8) for size in rng.integers(100, 200_000, 80)]
        del junk[::2]
        video.write(tmp_path / "a.mp4", frames, 8)
        seen.add((tmp_path / "a.mp4").read_bytes())
    assert len(seen) == 1


# What others put in the place of a file while it was made


@pytest.mark.parametrize("name", ["a.mp4", "a.png"])
def test_what_appears_while_a_file_is_made_is_replaced_only_where_that_is_allowed(tmp_path: Path, name: str) -> None:
    """`allow` is asked at the last moment, and what appears even after it is not replaced either."""
    path, frames = tmp_path / name, scene(1)

    def appear() -> None:
        if path.exists():
            raise UsageError("not ours")
        path.write_text("a stranger's")

    def write(allow: Callable[[], None]) -> None:
        if name == "a.png":
            video.write_image(path, frames[0], SETTINGS, allow)
            return
        with video.VideoWriter(path, 8, metadata=SETTINGS, allow=allow) as writer:
            writer.add(frames[0])

    with pytest.raises(UsageError, match="not ours"):
        write(appear)
    assert path.read_text() == "a stranger's" and list(tmp_path.iterdir()) == [path]
    write(lambda: None)
    assert video.read_origin(path) == SETTINGS and len(list(tmp_path.iterdir())) == 2


def test_no_sidecar_is_ever_there_without_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the program is killed: each name is given to a file that has its content, also where none is stored."""
    seen: list[list[int]] = []
    real = os.fsync

    def look(descriptor: int) -> None:
        seen.append([path.stat().st_size for path in tmp_path.glob("a.mp4.json")])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    for settings in (None, SETTINGS, None):
        video.write(tmp_path / "a.mp4", scene(2), 8, metadata=settings)
        assert (tmp_path / "a.mp4.json").exists() == (settings is not None)
    assert len(seen) >= 6 and not any(0 in sizes for sizes in seen)
