"""Dissolves: the frames of both clips, a linear blend between them, and captions of both at their times."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chronotope.data.captions import read_captions
from chronotope.data.clips import find_clips
from chronotope.prompt import read_story
from chronotope.worlds.splits import split_of
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.transitions import sample_dissolve
from chronotope.worlds.write import DatasetRequest, write_dataset

SMALL = SCOPES["small"]


def test_frames_equal_both_clips_and_blend_linearly() -> None:
    for seed in (*range(6), 23):
        pair = sample_dissolve(seed, SMALL, "train")
        one, two, both = render(pair.first).frames, render(pair.second).frames, pair.render()
        assert both.shape == (SMALL.max_frames, *one.shape[1:]) and one.shape[1:] == two.shape[1:]
        assert np.array_equal(both[: pair.starts], one[: pair.starts])
        assert np.array_equal(both[len(one) :], two[pair.overlap :])
        for number in range(pair.overlap):
            before, after = one[pair.starts + number].astype(float), two[number].astype(float)
            share = (number + 1) / (pair.overlap + 1)
            assert np.abs(both[pair.starts + number] - (before + share * (after - before))).max() <= 0.51


def test_pair_depends_on_its_seed_and_keeps_its_split() -> None:
    assert sample_dissolve(5, SMALL, "train") == sample_dissolve(5, SMALL, "train")
    pairs = [sample_dissolve(seed, SMALL, "heldout") for seed in range(20)]
    assert len({pair.key for pair in pairs}) == 20
    assert {split_of(spec) for pair in pairs for spec in (pair.first, pair.second)} == {"heldout"}


def test_the_story_names_the_second_clip_while_it_appears() -> None:
    for seed in range(30):
        pair = sample_dissolve(seed, SMALL, "train")
        told = pair.captions()
        for text in told["story"]:
            (start, before), (moment, after) = read_story(text.splitlines())
            assert start == 0 and pair.starts - 0.1 <= moment * pair.first.fps <= pair.first.num_frames + 0.1
            assert before in {text.rstrip(".") for text in captions(pair.first)["sentence"]}
            assert after in {text.rstrip(".") for text in captions(pair.second)["sentence"]}
        for text in told["sentence"]:
            assert all(
                actor.colour is None or actor.colour in text for actor in (*pair.first.actors, *pair.second.actors)
            )


def test_dataset_has_its_share_of_dissolves(tmp_path: Path) -> None:
    write_dataset(tmp_path, DatasetRequest("stage", "small", "train", 2, 24, dissolves=0.5))
    clips = find_clips(tmp_path)
    pairs = [clip for clip in clips if not clip.path.with_suffix(".masks.npz").exists()]
    assert len(clips) == 24 and 6 <= len(pairs) <= 18
    assert all(set(read_captions(clip.path)) == {"sentence", "story"} for clip in pairs)
    before = {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != "dataset.json"
    }
    write_dataset(tmp_path, DatasetRequest("stage", "small", "train", 2, 24, dissolves=0.5))
    assert before == {path: path.stat().st_mtime_ns for path in before}
