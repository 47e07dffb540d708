"""Latents follow the folder of clips, whatever was added, changed, removed or killed: what is there is listed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from chronotope.data import encode as encoding
from chronotope.data import latents, reading
from chronotope.data.encode import Encoded, encode_dataset
from chronotope.data.latents import LatentDataset, read_index
from chronotope.errors import DecoderUnavailableError, FileProblem, UsageError
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.worlds.write import DatasetRequest, write_dataset

GEOMETRY = Geometry()
CONFIG = AutoencoderConfig(widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=4)


def autoencoder(seed: int = 0) -> Autoencoder:
    torch.manual_seed(seed)
    return Autoencoder(CONFIG).eval()


def save_clip(path: Path, frames: int = 5, side: int = 32, colour: int = 200, caption: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((frames, side, side, 3), colour, np.uint8)
    video.write(path, pixels, 8.0) if frames > 1 else video.write_image(path, pixels[0])
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "d"
    for number, name in enumerate("abc"):
        save_clip(folder / f"{name}.mp4", frames=4 + number, colour=60 * (number + 1), caption=f"clip {name}")
    return folder


def encode(clips: Path, notes: list[str] | None = None, **options: Any) -> Encoded:
    note = None if notes is None else notes.append
    return encode_dataset(clips, clips.parent / "lat", autoencoder(), GEOMETRY, note=note, **options)


def listed(clips: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of the index by key, after checking that files and index hold the same clips, each once."""
    out = clips.parent / "lat"
    rows = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]
    tensors: list[str] = []
    for path in out.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            tensors += file.keys()
    assert sorted(tensors) == sorted(row["key"] for row in rows) == sorted({row["key"] for row in rows})
    return {row["key"]: row for row in rows}


def content(clips: Path) -> dict[str, Any]:
    """Return all that training sees of the latents, in order."""
    data = LatentDataset([clips.parent / "lat"])
    assert [clip.key for clip in data.clips] == list(listed(clips))
    return {
        clip.key: (clip.slices, clip.width, clip.fps, clip.captions, data.latents(i).numpy().tobytes())
        for i, clip in enumerate(data.clips)
    }


def counts(encoded: Encoded) -> tuple[int, int, int, int, int]:
    return encoded.clips, encoded.new, encoded.changed, encoded.recaptioned, encoded.gone


def test_what_is_there_is_what_is_listed(clips: Path) -> None:
    assert counts(encode(clips)) == (3, 3, 0, 0, 0)
    files = {path: path.stat().st_mtime_ns for path in (clips.parent / "lat").glob("[a-z]*")}
    again = encode(clips)
    assert counts(again) == (3, 0, 0, 0, 0) and again.in_words() == "3 clips: nothing has changed"
    assert files == {path: path.stat().st_mtime_ns for path in (clips.parent / "lat").glob("[a-z]*")}
    before = content(clips)

    save_clip(clips / "aa.mp4", frames=8, caption="clip aa")  # sorts between the others
    save_clip(clips / "b.mp4", frames=12, side=48)
    (clips / "c.txt").write_text("new words")
    found = encode(clips)
    assert counts(found) == (4, 1, 1, 1, 0) and found.in_words() == "4 clips: 1 new, 1 changed, 1 with new captions"
    rows, after = listed(clips), content(clips)
    assert list(rows) == ["d/a", "d/aa", "d/b", "d/c"]
    assert sum(rows["d/b"]["slices"]) == 12 and rows["d/b"]["width"] == 48
    assert rows["d/c"]["captions"] == {"sentence": ["new words"]}
    assert after["d/a"] == before["d/a"] and after["d/c"][4] == before["d/c"][4]

    (clips / "a.mp4").unlink()
    assert counts(encode(clips)) == (3, 0, 0, 0, 1)
    assert list(content(clips)) == ["d/aa", "d/b", "d/c"]


def test_the_result_does_not_depend_on_how_it_was_reached(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(clips)
    at_once = content(clips)
    header = json.loads((clips.parent / "lat" / "latents.json").read_text())
    shutil.rmtree(clips.parent / "lat")
    monkeypatch.setattr(encoding, "SAVE_CLIPS", 1)
    kept = clips.parent / "kept"
    kept.mkdir()
    for name in "bc":
        shutil.move(clips / f"{name}.mp4", kept / f"{name}.mp4")
    for name in "cb":
        encode(clips)
        shutil.move(kept / f"{name}.mp4", clips / f"{name}.mp4")
    encode(clips)
    assert content(clips) == at_once
    assert json.loads((clips.parent / "lat" / "latents.json").read_text())["manifest"] != ""
    assert header["clips"] == 3


def test_two_files_of_one_name_are_two_clips(tmp_path: Path) -> None:
    save_clip(tmp_path / "d" / "IMG_1.mov", colour=40)
    save_clip(tmp_path / "d" / "IMG_1.mp4", colour=220)
    save_clip(tmp_path / "d" / "IMG_1.png", frames=1, side=48)
    encode(tmp_path / "d")
    found = content(tmp_path / "d")
    assert list(found) == ["d/IMG_1.mov", "d/IMG_1.mp4", "d/IMG_1.png"]
    assert len({value[4] for value in found.values()}) == 3


def test_unreadable_clips_are_named_and_the_others_kept(clips: Path) -> None:
    whole = (clips / "b.mp4").read_bytes()
    (clips / "b.mp4").write_bytes(whole[: len(whole) // 2])
    (clips / "c.json").write_text("{")
    found = encode(clips)
    assert counts(found)[:2] == (1, 1) and [item.key for item in found.left_out] == ["d/b", "d/c"]
    assert "b.mp4" in found.left_out[0].reason and "c.json" in found.left_out[1].reason
    assert [item["key"] for item in json.loads((clips.parent / "lat/latents.json").read_text())["left_out"]] == [
        "d/b",
        "d/c",
    ]
    with pytest.raises(FileProblem, match=r"b\.mp4"):
        encode(clips, strict=True)
    (clips / "b.mp4").write_bytes(whole)
    (clips / "c.json").unlink()
    assert counts(encode(clips)) == (3, 2, 0, 0, 0)
    for name in "abc":
        (clips / f"{name}.mp4").write_bytes(b"no video")
    with pytest.raises(FileProblem, match="none of the 3 clips"):
        encode(clips)


def test_latents_that_are_no_numbers_are_refused(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = reading.encode_frames
    monkeypatch.setattr(reading, "encode_frames", lambda *given: real(*given) * float("nan"))
    with pytest.raises(FileProblem, match="not finite"):
        encode(clips)


def test_a_varying_frame_rate_is_resampled_and_said(tmp_path: Path) -> None:
    import av

    path = tmp_path / "d" / "a.mkv"
    path.parent.mkdir()
    times = [50 * i if i < 10 else 500 + 200 * (i - 10) for i in range(20)]  # milliseconds
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=20)
        track.width = track.height = 32
        track.pix_fmt, track.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for index, time_ms in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 12 * index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time_ms, track.codec_context.time_base
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    notes: list[str] = []
    encode(tmp_path / "d", notes)
    (row,) = listed(tmp_path / "d").values()
    assert sum(row["slices"]) / row["fps"] == pytest.approx(2.5, abs=0.12)
    unseen = 20 - len({int(frame[16, 16, 0]) // 6 for frame in video.stream(path, fps=row["fps"])})
    assert len(notes) == 2 and "varies" in notes[0] and "a.mkv" in notes[0]
    assert unseen and f"a.mkv: {unseen} of its 20 frames are too short to be seen at {row['fps']:g} frames" in notes[1]


def test_pixels_that_are_not_square_are_made_square_and_said(tmp_path: Path) -> None:
    import av

    path = tmp_path / "d" / "a.mp4"
    path.parent.mkdir()
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=8)
        track.width, track.height, track.pix_fmt = 32, 48, "yuv420p"
        track.codec_context.sample_aspect_ratio = Fraction(2)
        for index in range(5):
            shown = np.full((48, 32, 3), 40 * index, np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        container.mux(track.encode(None))
    notes: list[str] = []
    encode(tmp_path / "d", notes)
    (row,) = listed(tmp_path / "d").values()
    assert (row["width"], row["height"]) == (64, 48)
    assert notes == [f"the pixels of {path} are not square; it was resampled from 32x48 to 64x48"]


def test_another_dataset_or_autoencoder_is_refused(clips: Path, tmp_path: Path) -> None:
    encode(clips)
    with pytest.raises(UsageError, match="another autoencoder"):
        encode_dataset(clips, tmp_path / "lat", autoencoder(1), GEOMETRY)
    with pytest.raises(UsageError, match="cut otherwise"):
        encode_dataset(clips, tmp_path / "lat", autoencoder(), GEOMETRY, shuffled=0.5)
    save_clip(tmp_path / "other" / "z.mp4")
    save_clip(tmp_path / "elsewhere" / "d" / "a.mp4", colour=99)  # the same names, other clips
    before = content(clips)
    for other in (tmp_path / "other", tmp_path / "elsewhere" / "d"):
        with pytest.raises(UsageError, match="other clips"):
            encode_dataset(other, tmp_path / "lat", autoencoder(), GEOMETRY)
    assert content(clips) == before
    shutil.copytree(clips, tmp_path / "moved" / "d")  # the same clips elsewhere, with other times
    found = encode_dataset(tmp_path / "moved" / "d", tmp_path / "lat", autoencoder(), GEOMETRY)
    assert counts(found) == (3, 0, 0, 0, 0) and content(clips) == before


@pytest.mark.parametrize("damage", ["flip", "cut", "zero", "remove"])
def test_damaged_latents_are_never_read(clips: Path, damage: str) -> None:
    encode(clips)
    before = content(clips)
    (shard,) = (clips.parent / "lat").glob("*.safetensors")
    data = bytearray(shard.read_bytes())
    if damage == "flip":
        data[-9] ^= 4
    elif damage == "cut":
        del data[-40:]
    elif damage == "zero":
        data[-64:] = bytes(64)
    shard.write_bytes(data)
    if damage == "remove":
        shard.unlink()
    dataset = LatentDataset([clips.parent / "lat"])
    with pytest.raises(FileProblem, match="run the `chronotope encode` command again"):
        [dataset.latents(i) for i in range(3)]
    notes: list[str] = []
    found = encode(clips, notes)
    lost = found.new
    assert content(clips) == before and lost in {"flip": (1,), "zero": (1,), "cut": (1, 3), "remove": (3,)}[damage]
    assert notes == [
        f"{clips.parent / 'lat'}: the latents of {lost} clip{'' if lost == 1 else 's'} are missing or damaged; "
        "they are encoded again"
    ]


def test_a_changed_index_is_never_read(clips: Path) -> None:
    encode(clips)
    before, index = content(clips), clips.parent / "lat" / "index.jsonl"
    text = index.read_text()
    lines = text.splitlines(keepends=True)
    for changed in (
        text.replace("clip a", "clip b", 1),
        text.replace('"fps": 8.0', '"fps": 9.0', 1),
        "".join(lines[:2]),
        "".join([lines[1], lines[0], lines[2]]),
        text[:-30],
        "",
        re.sub(', "seal": "\\w+"', "", text, count=1),
        None,
    ):
        index.unlink() if changed is None else index.write_text(changed)
        with pytest.raises(FileProblem, match=r"index\.jsonl.*run the `chronotope encode` command again"):
            LatentDataset([clips.parent / "lat"])
        encode(clips)
        assert content(clips) == before, changed


def test_an_interrupted_folder_is_not_trained_on(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "SAVE_CLIPS", 1)
    real, calls = reading.encode_frames, list[int]()

    def interrupted(*given: Any) -> Any:
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(reading, "encode_frames", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode(clips)
    assert list(listed(clips)) == ["d/a", "d/b"]
    with pytest.raises(FileProblem, match="not complete"):
        LatentDataset([clips.parent / "lat"])
    assert counts(encode(clips)) == (3, 1, 0, 0, 0)  # the same command again
    assert list(content(clips)) == ["d/a", "d/b", "d/c"]


KILLED = """
import functools, os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from data.test_encode import GEOMETRY, autoencoder
from chronotope.data import encode
encode.SAVE_CLIPS = 1
calls, real = 0, os.fsync  # one or more a file that is written; each is a moment at which the program may be killed
def kill_at(number, descriptor):
    global calls
    calls += 1
    if calls == number:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = functools.partial(kill_at, int(sys.argv[3]))
encode.encode_dataset(Path(sys.argv[1]), Path(sys.argv[2]), autoencoder(), GEOMETRY)
"""


def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    for number in range(6):
        save_clip(clips / f"{number}.mp4", frames=9 + number, colour=30 * number, caption=f"clip {number}")
    encode(clips)
    whole = content(clips)
    shutil.rmtree(tmp_path / "lat")
    script = KILLED.format(tests=str(Path(__file__).parents[1]))
    before = 0
    for number in (2, 5):  # each run is killed within its work, and goes on from what the one before has saved
        command = [sys.executable, "-c", script, clips, tmp_path / "lat", str(number)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        index = tmp_path / "lat" / "index.jsonl"
        saved = len(read_index(tmp_path / "lat", lambda _: None)) if index.is_file() else 0
        assert before <= saved <= 6
        before = saved
    assert 0 < before < 6
    encode(clips)
    assert content(clips) == whole
    assert {path.name for path in (tmp_path / "lat").glob("*")} - {".lock"} == {
        "latents.json",
        "index.jsonl",
        *(path.name for path in (tmp_path / "lat").glob("latents-*.safetensors")),
    }


def test_a_full_disk_is_one_sentence_and_what_was_encoded_is_kept(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "SAVE_CLIPS", 1)
    real, calls = latents.write_atomically, list[Path]()

    def full(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) >= 2:
            raise FileProblem(f"{path} cannot be written: No space left on device")
        real(path, data)

    monkeypatch.setattr(latents, "write_atomically", full)
    with pytest.raises(FileProblem, match=r"latents-00001\.safetensors cannot be written: No space"):
        encode(clips)
    monkeypatch.setattr(latents, "write_atomically", real)
    assert counts(encode(clips)) == (3, 2, 0, 0, 0)


@pytest.mark.parametrize("content", ["[]", "3", "{", '{"world": 3}', '{"world": null}', '{"world": ["x"]}', '"a"'])
def test_a_stranger_dataset_json_names_no_world(clips: Path, content: str) -> None:
    (clips / "dataset.json").write_text(content)
    encode(clips)
    assert LatentDataset([clips.parent / "lat"]).about[0]["worlds"] == []


# What a review found: each was silently wrong, or stopped the run, before


@pytest.mark.parametrize("header", [None, "{}", "[]", '{"autoencoder": 3}'])
def test_latents_of_an_unknown_maker_are_refused(clips: Path, tmp_path: Path, header: str | None) -> None:
    """Without its header nothing tells a folder from that of another autoencoder."""
    encode(clips)
    (tmp_path / "lat" / "latents.json").unlink()
    if header is not None:
        (tmp_path / "lat" / "latents.json").write_text(header)
    with pytest.raises(FileProblem, match="which autoencoder made the latents"):
        encode_dataset(clips, tmp_path / "lat", autoencoder(1), GEOMETRY)


def test_an_edited_header_is_never_read(clips: Path, tmp_path: Path) -> None:
    encode(clips)
    header = tmp_path / "lat" / "latents.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "worlds": ["stage small"]}))
    with pytest.raises(FileProblem, match=r"latents\.json is damaged or was edited.*chronotope encode"):
        LatentDataset([tmp_path / "lat"])
    encode(clips)  # as the message says
    assert LatentDataset([tmp_path / "lat"]).about[0]["worlds"] == []
    header.write_text(json.dumps({**json.loads(header.read_text()), "channels": 8}))
    with pytest.raises(FileProblem, match=r"does not fit its seal; delete the folder .*lat and run the command again"):
        encode(clips)


@pytest.mark.skipif(sys.platform != "linux", reason="needs pipes with names and names of bytes")
def test_pipes_devices_and_names_that_are_no_text_are_left_out(clips: Path) -> None:
    os.mkfifo(clips / "pipe.mp4")
    (clips / "zero.mp4").symlink_to("/dev/zero")
    Path(os.fsdecode(os.fsencode(clips) + b"/\xff.mp4")).write_bytes(b"x")
    notes: list[str] = []
    found = encode(clips, notes)
    assert found.clips == 3 and {item.key for item in found.left_out} == {"d/pipe", "d/zero"}
    assert all("is a pipe, a device or a socket" in item.reason for item in found.left_out)
    assert any("not UTF-8" in note for note in notes)


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clips / "sub").mkdir()
    save_clip(clips / "sub" / "x.mp4")
    encode(clips)
    before, scandir = content(clips), os.scandir

    def refuse(folder: Any = ".") -> Any:
        if str(folder).endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(FileProblem, match="sub cannot be read: Permission denied"):
            encode(clips)
    assert content(clips) == before


def test_a_line_that_is_no_row_is_removed_from_the_index(clips: Path, tmp_path: Path) -> None:
    encode(clips)
    before, index = content(clips), tmp_path / "lat" / "index.jsonl"
    with index.open("a") as file:
        file.write("\n")
    with pytest.raises(FileProblem, match="line 4"):
        LatentDataset([tmp_path / "lat"])
    notes: list[str] = []
    encode(clips, notes)
    assert len(notes) == 1 and content(clips) == before
    LatentDataset([tmp_path / "lat"])


def test_one_clip_that_is_too_large_does_not_stop_the_run(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reading.encode_frames

    def encode_small(model: Autoencoder, geometry: Geometry, frames: np.ndarray, slices: Any) -> Any:
        if len(frames) == 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return whole(model, geometry, frames, slices)

    monkeypatch.setattr(reading, "encode_frames", encode_small)
    (item,) = encode(clips).left_out
    assert item.key == "d/b" and "5 frames of 32x32, is too large for the memory" in item.reason


def test_a_machine_that_cannot_decode_leaves_nothing_out(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(path: Path, **_: Any) -> Any:
        raise DecoderUnavailableError("the process that decodes media files cannot be started")

    monkeypatch.setattr(video, "read", unavailable)
    with pytest.raises(DecoderUnavailableError, match=r"lat is not complete: the process that decodes .* started$"):
        encode(clips)


def test_a_rendered_dataset_that_was_changed_is_said_and_claims_no_world(tmp_path: Path) -> None:
    """Clips of another split, a replaced clip and a corrected caption: the model would claim what is not true."""
    data = tmp_path / "d"
    write_dataset(data, DatasetRequest("stage", "shapes", "train", 1, 5))
    notes: list[str] = []
    encode(data, notes)
    assert notes == [] and LatentDataset([tmp_path / "lat"]).about[0]["worlds"] == ["stage shapes"]
    first, second, third = sorted(data.glob("0000/*.mp4"))[:3]
    save_clip(data / "0000" / "foreign.mp4")
    save_clip(first)
    caption = second.with_suffix(".json")
    caption.write_text(caption.read_text().replace("red", "green") + " ")
    third.unlink()
    encode(data, notes)
    orphan = next(note for note in notes if "a text beside no clip" in note)
    note = next(note for note in notes if "as a world rendered it" in note)
    (other,) = (each for each in notes if each not in (orphan, note))
    assert f"1 caption file ({first.stem}.json): its spec has another number of frames" in other
    assert f"1 file is left out, a text beside no clip of its name: 0000/{third.stem}.json" in orphan
    assert "(clips from elsewhere: 1, changed clips: 1, changed captions: 1, missing clips: 1)" in note
    assert LatentDataset([tmp_path / "lat"]).about[0]["worlds"] == []
