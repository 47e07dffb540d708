"""`check` finds before any work what `encode` would leave out, or take with a note."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chronotope.data.audit import audit_dataset
from chronotope.data.encode import encode_dataset
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig

CONFIG = AutoencoderConfig(widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1), channels=4)


def encode(clips: Path) -> tuple[dict[str, str], list[str]]:
    """Return the clips that are left out with the reasons, and the notes."""
    torch.manual_seed(0)
    notes: list[str] = []
    found = encode_dataset(clips, clips.parent / "lat", Autoencoder(CONFIG).eval(), Geometry(), note=notes.append)
    return {item.key: item.reason for item in found.left_out}, notes


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with one whole clip."""
    folder = tmp_path / "d"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8)
    video.write(folder / "whole.mkv", noise, 8.0)
    (folder / "whole.txt").write_text("noise")
    return folder


def test_a_whole_folder_is_found_whole(clips: Path) -> None:
    assert list(audit_dataset(clips)) == []
    assert encode(clips) == ({}, [])


def test_pages_of_different_sizes(clips: Path) -> None:
    """The reason that `encode` gives is the one that `check` gives."""
    first, *others = (Image.new("RGB", (side, side)) for side in (32, 32, 48))
    first.save(clips / "pages.tiff", save_all=True, append_images=others)
    (clips / "pages.txt").write_text("pages")
    left_out, _ = encode(clips)
    findings = [finding for finding in audit_dataset(clips) if finding.serious]
    assert "changes size at frame 2; all frames must be 32x32" in left_out["d/pages"]
    assert [finding.what for finding in findings] == list(left_out.values())


def test_frames_that_encode_does_not_use_are_said(clips: Path) -> None:
    """One frame of an animation is shorter than a frame at the constant rate; those of a regular one are not."""
    frames = [Image.new("RGB", (32, 32), (40 * index, 20, 90)) for index in range(5)]
    for name, durations in (("uneven", [100, 200, 50, 300, 150]), ("even", [20] * 5)):
        frames[0].save(clips / f"{name}.gif", save_all=True, append_images=frames[1:], duration=durations)
        (clips / f"{name}.txt").write_text(name)
    _, notes = encode(clips)
    expected = "uneven.gif: 1 of its 5 frames are too short to be seen at 7 frames a second, and are not used"
    assert [note for note in notes if "too short" in note] == [f"{clips}/{expected}"]
    found = [finding for finding in audit_dataset(clips) if "too short" in finding.what]
    assert [(finding.what, finding.serious) for finding in found] == [(f"{expected} by `encode`", False)]


def test_more_pixels_than_encode_takes(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "SMALL_READ_BYTES", 10_000)
    monkeypatch.setattr(video, "PIXELS_PER_BYTE", 0)
    (finding,) = audit_dataset(clips)
    assert finding.serious and "whole.mkv is too long to encode" in finding.what
    with pytest.raises(Exception, match="too long to hold in memory"):
        encode(clips)


def test_concealed_damage_is_said(clips: Path) -> None:
    """A spoiled frame is taken with a note, and `check` calls it wrong."""
    path = clips / "whole.mkv"
    Image.new("RGB", (32, 32)).save(clips / "zzz.png")  # read by the same child afterwards
    (clips / "zzz.txt").write_text("a picture")
    data = path.read_bytes()
    for start in range(len(data) // 4, len(data), len(data) // 16):
        path.write_bytes(data[:start] + bytes(60) + data[start + 60 :])
        if video.read(path).damage:
            break
    (finding,) = audit_dataset(clips)
    assert finding.serious and "whole.mkv: its h264 video seems damaged" in finding.what
    left_out, notes = encode(clips)
    assert not left_out
    (note,) = notes
    assert "its h264 video seems damaged" in note and "re-encode it with ffmpeg" in note


def test_files_that_contradict_their_clip_are_said(tmp_path: Path) -> None:
    """Exchanged sidecars, the record of another clip, and a story that goes on after the end; each in one line."""
    folder = tmp_path / "d"
    folder.mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (8, 32, 48, 3), np.uint8)
    for name in ("a", "b"):
        video.write(folder / f"{name}.mp4", frames, 8.0, metadata={"program": "chronotope 0", "prompt": name})
    for name, count, beat in (("whole", 8, "0.5"), ("other", 12, "1.0")):
        video.write(folder / f"{name}.mkv", frames[:, ::-1], 8.0)
        spec = {"num_frames": count, "height": 32, "width": 48}
        story = f"0: a fox\n{beat}: it sits"
        (folder / f"{name}.json").write_text(json.dumps({"captions": {"story": [story]}, "spec": spec}))
    right, left = folder / "a.mp4.json", folder / "b.mp4.json"

    def said() -> tuple[str, str]:
        found = "\n".join(str(finding) for finding in audit_dataset(folder))
        return found, "\n".join(encode(folder)[1])

    for found in said():
        assert "tells of other settings" not in found
        assert "1 caption file (other.json): its spec has another number of frames" in found
        assert "1 caption file (other.mkv): a story has beats after the end" in found
    first, second = right.read_bytes(), left.read_bytes()
    right.write_bytes(second)
    left.write_bytes(first)
    for found in said():
        assert "2 caption files (a.mp4.json, b.mp4.json): tells of other settings than the tags of its video" in found
    for file in (right, left):  # and where a file has no tags
        video.write(file.with_suffix(""), frames, 8.0)
        facts = {"program": "chronotope 0", "prompt": "x", "num_frames": 17 if file == right else 8}
        file.write_text(json.dumps(facts))
    for found in said():
        assert "1 caption file (a.mp4.json): tells of another size, rate or number of frames than its clip" in found
