"""Clips beyond the limits of size, rate and length are scaled, resampled and cut; all others stay as they are."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from chronotope.data import encode as encoding
from chronotope.data import reading
from chronotope.data.audit import audit_freshness, audit_latents
from chronotope.data.encode import Encoded, encode_dataset
from chronotope.data.latents import LatentDataset, encode_frames, read_header, read_index
from chronotope.data.limits import Limits
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from tests.data.test_encode import autoencoder, save_clip

GEOMETRY = Geometry()
NOISE = np.random.default_rng(0)


def noise(path: Path, frames: int, size: tuple[int, int], fps: float, caption: str = "") -> np.ndarray:
    """Write a lossless clip of noise, and return its frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video.write(path, NOISE.integers(0, 255, (frames, size[1], size[0], 3), np.uint8), fps)
    if caption:
        path.with_suffix(".txt").write_text(caption)
    return video.read(path).frames


def encode(clips: Path, limits: Limits, notes: list[str] | None = None, out: str = "lat") -> Encoded:
    note = None if notes is None else notes.append
    return encode_dataset(clips, clips.parent / out, autoencoder(), GEOMETRY, note=note, limits=limits)


def rows_of(clips: Path, out: str = "lat") -> dict[str, dict[str, Any]]:
    """Return the rows by key, after checking that index and files hold the same items, each once."""
    rows = read_index(clips.parent / out)
    tensors: list[str] = []
    for path in (clips.parent / out).glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            tensors += file.keys()
    assert sorted(tensors) == sorted(row["key"] for row in rows) == sorted({row["key"] for row in rows})
    return {row["key"]: row for row in rows}


def findings(clips: Path, out: str = "lat") -> list[str]:
    folder = clips.parent / out
    return [str(found) for found in audit_freshness(folder, read_header(folder), read_index(folder))]


# Arithmetic


@pytest.mark.parametrize(
    ("size", "most", "expected"),
    [
        ((3840, 2160), 256, (256, 144)),
        ((2160, 3840), 256, (144, 256)),
        ((640, 480), 256, (256, 192)),
        ((1000, 1000), 100, (96, 96)),
        ((256, 250), 256, (256, 250)),  # within the limit: as it is
        ((960, 540), 96, (96, 54)),  # 48 would change the aspect ratio by an eighth
        ((1920, 800), 256, (256, 108)),
        ((1920, 1040), 256, (256, 136)),
        ((5000, 20), 64, (64, 1)),
    ],
)
def test_sizes_are_whole_tokens_where_the_aspect_allows_it(
    size: tuple[int, int], most: int, expected: tuple[int, int]
) -> None:
    assert Limits(max_side=most).size(*size, GEOMETRY.cell) == expected


@given(st.integers(1, 8000), st.integers(1, 8000), st.integers(16, 2000))
def test_no_clip_is_scaled_up_or_beyond_the_limit(width: int, height: int, most: int) -> None:
    wide, high = Limits(max_side=most).size(width, height, GEOMETRY.cell)
    assert max(wide, high) <= most
    if max(width, height) <= most:
        assert (wide, high) == (width, height)
    else:
        longer, exact = most // 16 * 16, min(width, height) * (most // 16 * 16) / max(width, height)
        assert max(wide, high) == longer and abs(min(wide, high) - exact) <= max(0.5, 0.02 * exact, 1 - exact)


@given(st.integers(1, 5000), st.sampled_from([1.0, 5.0, 8.0, 23.976, 24.0, 30.0]), st.floats(0.5, 60))
def test_parts_are_few_equal_and_within_the_limit(frames: int, fps: float, most: float) -> None:
    lengths = Limits(max_seconds=most).parts(frames, fps)
    assert sum(lengths) == frames and max(lengths) - min(lengths) <= 1
    longest = max(1, math.floor(most * fps + 0.02))
    assert max(lengths) <= longest and len(lengths) == math.ceil(frames / longest)
    assert len(lengths) == 1 or min(lengths) >= longest // 2 >= longest / 4 - 1


def test_limits_that_make_no_sense_are_refused() -> None:
    for wrong in ({"max_side": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"max_seconds": 0.1}, {"max_side": 10**6}):
        with pytest.raises(UsageError):
            Limits(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least 16 pixels a side, and the limit is 15"):
        Limits(max_side=15).check_cell(GEOMETRY.cell)
    assert not Limits() and str(Limits()) == "none"
    assert str(Limits(256, 8.0, 4.0)) == "--max-side 256 --fps 8 --max-seconds 4"


# Frames


def latents_of(frames: np.ndarray) -> torch.Tensor:
    model: Autoencoder = autoencoder()
    return encode_frames(model, GEOMETRY, frames).half().float()


def test_large_clips_are_scaled_and_small_ones_stay(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    large = noise(clips / "large.mkv", 6, (128, 96), 8.0)
    noise(clips / "small.mkv", 5, (48, 40), 8.0)
    save_clip(clips / "still.png", frames=1, side=100)
    notes: list[str] = []
    encode(clips, Limits(max_side=64), notes)
    encode(clips, Limits(), out="whole")
    rows, whole = rows_of(clips), rows_of(clips, "whole")
    assert [(row["width"], row["height"]) for row in rows.values()] == [(64, 48), (48, 40), (64, 64)]
    dataset = LatentDataset([tmp_path / "lat"])
    torch.testing.assert_close(dataset.latents(0), latents_of(video.resize(large, 48, 64)), rtol=0, atol=0)
    assert rows["d/small"] == {**whole["d/small"], "shard": rows["d/small"]["shard"]}
    assert notes == [f"{clips}: 2 clips scaled to at most 64 pixels"]
    assert rows["d/large"]["original"] == {"width": 128, "height": 96, "num_frames": 6, "fps": 8.0}
    assert read_header(tmp_path / "lat")["limits"] == {"max_side": 64}
    assert "limits" not in read_header(tmp_path / "whole")


@pytest.mark.parametrize(("own", "frames", "limit"), [(24.0, 30, 8.0), (30.0, 31, 8.0), (12.5, 20, 12.0)])
def test_fast_videos_are_read_at_the_limit(tmp_path: Path, own: float, frames: int, limit: float) -> None:
    clips = tmp_path / "d"
    fast = noise(clips / "fast.mkv", frames, (32, 32), own)
    slow = noise(clips / "slow.mkv", 7, (32, 32), 5.0)
    notes: list[str] = []
    encode(clips, Limits(fps=limit), notes)
    rows, dataset = rows_of(clips), LatentDataset([tmp_path / "lat"])
    count = sum(rows["d/fast"]["slices"])
    on_screen = [int(number * own / limit + 1e-6) for number in range(count)]
    assert on_screen[-1] < frames <= (count * own / limit) + 0.1
    assert rows["d/fast"]["fps"] == limit and rows["d/slow"]["fps"] == 5.0
    torch.testing.assert_close(dataset.latents(0), latents_of(fast[on_screen]), rtol=0, atol=0)
    torch.testing.assert_close(dataset.latents(1), latents_of(slow), rtol=0, atol=0)
    assert notes == [f"{clips}: 1 clip resampled to {limit:g} fps"]


def test_the_parts_of_a_clip_are_all_of_it(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    long = noise(clips / "long.mkv", 43, (32, 32), 8.0, "a walk")
    noise(clips / "short.mkv", 8, (32, 32), 8.0)
    notes: list[str] = []
    found = encode(clips, Limits(max_seconds=1), notes)
    rows, dataset = rows_of(clips), LatentDataset([tmp_path / "lat"])
    assert found.in_words() == "2 clips in 7 items: 2 new" and found.captioned == 1
    assert list(rows) == [f"d/long@{start}s" for start in ("0.0", "0.9", "1.8", "2.6", "3.5", "4.4")] + ["d/short"]
    first = 0
    for index, row in enumerate(list(rows.values())[:-1]):
        count = sum(row["slices"])
        assert row["start"] == first / 8 and row["parts"] == 6 and row["captions"] == {"sentence": ["a walk"]}
        torch.testing.assert_close(dataset.latents(index), latents_of(long[first : first + count]), rtol=0, atol=0)
        first += count
    assert first == 43
    assert notes == [f"{clips}: 1 clip cut into 6 parts of at most 1 s"]
    assert findings(clips) == [] and not [str(each) for each in audit_latents(tmp_path / "lat") if each.serious]


def test_a_film_is_scaled_resampled_and_cut_in_little_memory(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    clips.mkdir()
    with video.VideoWriter(clips / "film.mp4", 24.0) as writer:
        for number in range(240):
            writer.add(np.full((540, 960, 3), number, np.uint8))
    notes: list[str] = []
    tracemalloc.start()
    encode(clips, Limits(96, 8.0, 2.0), notes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    rows = rows_of(clips)
    assert [sum(row["slices"]) for row in rows.values()] == [16] * 5 and peak < 30e6 < 240 * 540 * 960 * 3
    assert {(row["width"], row["height"], row["fps"]) for row in rows.values()} == {(96, 54, 8.0)}
    assert list(rows) == [f"d/film@{start}.0s" for start in (0, 2, 4, 6, 8)]
    done = "1 clip scaled to at most 96 pixels, 1 resampled to 8 fps, 1 cut into 5 parts of at most 2 s"
    assert notes == [f"{clips}: {done}"]


def test_a_clip_that_does_not_fit_memory_says_how_it_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(tmp_path / "d" / "a.mkv", 30, (64, 64), 8.0)
    monkeypatch.setattr(video, "most_read_bytes", lambda _: 20 * 64 * 64 * 3)
    with pytest.raises(FileProblem, match=r"too long to hold in memory .* with a smaller --max-seconds"):
        encode(tmp_path / "d", Limits(max_side=64))
    assert encode(tmp_path / "d", Limits(max_seconds=2)).items == 2


# Captions


def test_a_story_is_cut_by_its_times(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    noise(clips / "a.mkv", 32, (32, 32), 8.0)
    captions = {"sentence": ["a fox"], "story": ["0: walks\n1.5: sits\n2: sleeps\n3.25: wakes", "no beats"]}
    (clips / "a.json").write_text(json.dumps({"captions": captions}))
    encode(clips, Limits(max_seconds=1))
    stories = [row["captions"]["story"] for row in rows_of(clips).values()]
    assert [story[0] for story in stories] == ["0: walks", "0: walks\n0.5: sits", "0: sleeps", "0: sleeps\n0.25: wakes"]
    assert all(story[1] == "no beats" for story in stories) and findings(clips) == []
    before = {key: row["sha256"] for key, row in rows_of(clips).items()}
    captions["story"] = ["0: walks\n2.5: jumps"]
    (clips / "a.json").write_text(json.dumps({"captions": captions}))
    assert findings(clips)[0].startswith(f"the clips in {clips} are not those that were encoded: 1 changed")
    assert findings(clips)[0].endswith("--max-seconds 1` again")
    found = encode(clips, Limits(max_seconds=1))
    assert (found.recaptioned, found.new, found.changed) == (1, 0, 0) and findings(clips) == []
    rows = rows_of(clips)
    assert [row["captions"]["story"] for row in rows.values()] == [
        ["0: walks"],
        ["0: walks"],
        ["0: walks\n0.5: jumps"],
        ["0: jumps"],
    ]
    assert {key: row["sha256"] for key, row in rows.items()} == before


# Runs


def test_other_limits_are_refused(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    noise(clips / "a.mkv", 8, (32, 32), 8.0)
    encode(clips, Limits(max_side=32, fps=4.0))
    message = (
        r"lat holds clips that were scaled, resampled or cut otherwise \(limits then: --max-side 32 --fps 4; now: "
    )
    with pytest.raises(UsageError, match=message + "none"):
        encode(clips, Limits())
    with pytest.raises(UsageError, match=message + "--max-side 16 --fps 4"):
        encode(clips, Limits(max_side=16, fps=4.0))
    assert encode(clips, Limits(max_side=32, fps=4.0)).in_words() == "1 clip: nothing has changed"
    encode(clips, Limits(), out="none")
    with pytest.raises(UsageError, match="limits then: none; now: --fps 4"):
        encode(clips, Limits(fps=4.0), out="none")


def test_an_interrupted_clip_goes_on_with_the_parts_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tmp_path / "d"
    noise(clips / "a.mkv", 40, (32, 32), 8.0, "a walk")
    noise(clips / "b.mkv", 20, (32, 32), 8.0)
    encode(clips, Limits(max_seconds=1), out="whole")
    real, calls = reading.encode_frames, list[int]()

    def interrupted(model: Autoencoder, geometry: Geometry, frames: np.ndarray, slices: Any) -> Any:
        calls.append(len(frames))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(model, geometry, frames, slices)

    monkeypatch.setattr(encoding, "SAVE_CLIPS", 1)
    monkeypatch.setattr(reading, "encode_frames", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode(clips, Limits(max_seconds=1))
    assert len(read_index(tmp_path / "lat")) == 3
    found = encode(clips, Limits(max_seconds=1))
    assert len(calls) == 4 + 5 and (found.new, found.changed) == (2, 0)
    shards = {"shard": 0}
    assert [{**row, **shards} for row in rows_of(clips).values()] == [
        {**row, **shards} for row in rows_of(clips, "whole").values()
    ]
    again = encode(clips, Limits(max_seconds=1))
    assert again.in_words() == "2 clips in 8 items: nothing has changed" and len(calls) == 9


def test_a_clip_that_gets_shorter_leaves_no_parts(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    noise(clips / "a.mkv", 40, (32, 32), 8.0)
    noise(clips / "b.mkv", 12, (32, 32), 8.0)
    limits = Limits(max_seconds=1)
    encode(clips, limits)
    assert len(rows_of(clips)) == 7
    noise(clips / "a.mkv", 17, (32, 32), 8.0)
    assert findings(clips)[0].startswith(f"the clips in {clips} are not those that were encoded: 1 changed;")
    assert encode(clips, limits).in_words() == "2 clips in 5 items: 1 changed"
    assert list(rows_of(clips)) == ["d/a@0.0s", "d/a@0.6s", "d/a@1.4s", "d/b@0.0s", "d/b@0.8s"]
    noise(clips / "a.mkv", 8, (32, 32), 8.0)  # one item again
    assert encode(clips, limits).in_words() == "2 clips in 3 items: 1 changed"
    assert list(rows_of(clips)) == ["d/a", "d/b@0.0s", "d/b@0.8s"]
    (clips / "b.mkv").unlink()
    assert findings(clips)[0].startswith(f"the clips in {clips} are not those that were encoded: 1 gone;")
    assert encode(clips, limits).in_words() == "1 clip: 1 gone"
    assert list(rows_of(clips)) == ["d/a"] and findings(clips) == []


def test_a_clip_that_is_damaged_in_its_middle_leaves_no_parts(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    noise(clips / "a.mkv", 40, (32, 32), 8.0)
    noise(clips / "b.mkv", 8, (32, 32), 8.0)
    data = (clips / "a.mkv").read_bytes()
    (clips / "a.mkv").write_bytes(data[: len(data) * 2 // 3])
    found = encode(clips, Limits(max_seconds=1))
    assert [item.key for item in found.left_out] == ["d/a"] and list(rows_of(clips)) == ["d/b"]


def test_a_clip_with_the_name_of_a_part_is_said(tmp_path: Path) -> None:
    clips = tmp_path / "d"
    noise(clips / "a.mkv", 16, (32, 32), 8.0)
    noise(clips / "a@1.0s.mkv", 8, (32, 32), 8.0)
    (item,) = encode(clips, Limits(max_seconds=1)).left_out
    assert item.key == "d/a" and "has the name of another clip, d/a@1.0s; rename that one" in item.reason
    assert list(rows_of(clips)) == ["d/a@1.0s"]
