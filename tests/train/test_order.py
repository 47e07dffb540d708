"""The order of the clips: without weights as it always was, with weights each dataset in its share and its epochs."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.config import override
from chronotope.data.latents import LatentDataset
from chronotope.data.record import changes_in_data, data_of_latents
from chronotope.errors import UsageError
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit
from chronotope.train.order import BatchPlan, Mixture, clips_in_order, plan_batches, share_notes
from tests.train.test_parallel import SETTINGS, WEIGHTS, write_latents


def taken(mixture: Mixture, first: int, count: int, seed: int = 0) -> list[int]:
    return list(itertools.islice(clips_in_order(sum(mixture.counts), seed, first, mixture), count))


def datasets_of(mixture: Mixture, clips: Sequence[int]) -> np.ndarray:
    return np.searchsorted(np.cumsum(mixture.counts), clips, side="right")


def plans_of_before(sizes: Sequence[int], budget: int, seed: int) -> Iterator[BatchPlan]:
    """The plans of the version without weights, as it was written."""
    step, first = 0, 0
    while True:
        clips: list[int] = []
        room, place = budget, first
        while True:
            epoch, offset = divmod(place, len(sizes))
            index = int(np.random.default_rng((seed, epoch, 5)).permutation(len(sizes))[offset])
            if clips and sizes[index] > room:
                break
            clips.append(index)
            room -= sizes[index]
            place += 1
        yield BatchPlan(step, first, tuple(clips), tuple(sizes[index] for index in clips))
        step, first = step + 1, place


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 120), st.integers(0, 9))
def test_without_weights_the_batches_are_those_of_before(sizes: list[int], budget: int, seed: int) -> None:
    before = list(itertools.islice(plans_of_before(sizes, budget, seed), 12))
    assert list(itertools.islice(plan_batches(sizes, budget, seed), 12)) == before
    later = plan_batches(sizes, budget, seed, before[5].step, before[5].first)
    assert list(itertools.islice(later, 4)) == before[5:9]


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=20),
    st.integers(1, 120),
    st.integers(0, 8),
    st.integers(0, 30),
)
def test_looking_ahead_keeps_every_clip_and_goes_on_from_any_step(
    sizes: list[int], budget: int, look_ahead: int, stop: int
) -> None:
    plans = list(itertools.islice(plan_batches(sizes, budget, 3, look_ahead=look_ahead), 40))
    taken = [clip for plan in plans for clip in plan.clips]
    waiting, first = plans[-1].waiting, plans[-1].first + len(plans[-1].clips)
    order = list(itertools.islice(clips_in_order(len(sizes), 3), first + len(waiting)))
    assert len(waiting) <= look_ahead and first == len(taken)
    assert Counter(taken) + Counter(order[place] for place in waiting) == Counter(order)
    for plan in plans:
        assert plan.sizes == tuple(sizes[clip] for clip in plan.clips)
        assert sum(plan.sizes) <= budget or len(plan.clips) == 1
    for before, plan in itertools.pairwise(plans):  # nothing waits for ever: what has waited longest begins a batch
        if before.waiting:
            assert plan.clips[0] == order[before.waiting[0]]
    end = plans[stop]
    later = plan_batches(
        sizes, budget, 3, end.step + 1, end.first + len(end.clips), None, look_ahead, waiting=end.waiting
    )
    assert list(itertools.islice(later, 8)) == plans[stop + 1 : stop + 9]


def test_looking_ahead_fills_what_large_clips_leave() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.choice([24, 60, 120, 500, 1100, 1900], 2000).tolist()
    shares = [
        np.mean([sum(plan.sizes) for plan in itertools.islice(plan_batches(sizes, 3800, 0, look_ahead=n), 150)]) / 3800
        for n in (0, 64)
    ]
    assert shares[0] < 0.9 and shares[1] > 0.99


MIXTURES = st.lists(
    st.tuples(st.integers(1, 30), st.floats(0.01, 100).map(lambda weight: float(f"{weight:.3g}"))),
    min_size=1,
    max_size=5,
).map(lambda rows: Mixture(tuple(count for count, _ in rows), tuple(weight for _, weight in rows)))


@given(MIXTURES, st.integers(0, 5))
def test_every_stretch_holds_each_dataset_in_its_share(mixture: Mixture, seed: int) -> None:
    count = 600
    of = datasets_of(mixture, taken(mixture, 0, count, seed))
    for number, share in enumerate(mixture.shares):
        shown = np.cumsum(of == number)
        off = np.abs(shown - share * np.arange(1, count + 1))
        assert off.max() <= len(mixture.counts) / 2 + 1
        assert off[-1] <= 4 * math.sqrt(count * share * (1 - share)) + 2  # the bounds of a random choice


@given(MIXTURES, st.integers(0, 5))
def test_every_clip_is_shown_before_any_is_shown_again(mixture: Mixture, seed: int) -> None:
    clips = taken(mixture, 0, 400, seed)
    of = datasets_of(mixture, clips)
    for number, count in enumerate(mixture.counts):
        own = [clip for clip, dataset in zip(clips, of, strict=True) if dataset == number]
        start = sum(mixture.counts[:number])
        for epoch in range(len(own) // count):
            assert sorted(own[epoch * count : (epoch + 1) * count]) == list(range(start, start + count))


@given(MIXTURES, st.integers(0, 2000))
def test_the_order_from_any_place_is_that_of_the_whole(mixture: Mixture, first: int) -> None:
    assert taken(mixture, first, 20) == taken(mixture, 0, first + 20)[first:]


def test_the_order_depends_on_the_seed_and_on_the_proportion_alone() -> None:
    one, other = Mixture((20, 30), (1.0, 0.5)), Mixture((20, 30), (4.0, 2.0))
    assert taken(one, 0, 90) == taken(other, 0, 90) != taken(one, 0, 90, seed=1)
    assert Counter(datasets_of(one, taken(one, 0, 90))) == {0: 60, 1: 30}
    far = 10**12  # the place is found without counting up to it
    assert taken(one, far, 6) == taken(one, far - 3, 9)[3:]


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    write_latents(tmp_path / "a")
    write_latents(tmp_path / "b")
    return [tmp_path / "a", tmp_path / "b"]


def test_a_weighted_training_that_was_stopped_goes_on_to_the_same_weights(two: list[Path], tmp_path: Path) -> None:
    config = override(DiTRun(), SETTINGS)
    train_dit(config, two, tmp_path / "whole", quiet=True, weights=WEIGHTS)
    stops = iter([False, True])
    train_dit(config, two, tmp_path / "parts", quiet=True, weights=WEIGHTS, stopping=lambda: next(stops))
    train_dit(config, two, tmp_path / "parts", quiet=True, weights=WEIGHTS)
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    description = json.loads((tmp_path / "parts" / "model.json").read_text())
    assert [about["weight"] for about in description["data"]] == WEIGHTS
    assert share_notes(LatentDataset(two, WEIGHTS)) == [
        f"of the clips shown: {two[0]} 80.0% (6 clips), {two[1]} 20.0% (6 clips)"
    ]
    (said,) = changes_in_data(tmp_path / "parts", data_of_latents(LatentDataset(two, [1.0, 0.5])))
    assert "of weight 1 and" in said and "of weight 0.25, now" in said and said.count("of weight 0.5") == 1
    (said,) = changes_in_data(tmp_path / "parts", data_of_latents(LatentDataset(two)))
    assert said.count("weight") == 2


def test_a_folder_without_clips_has_no_weight(two: list[Path]) -> None:
    header = json.loads((two[1] / "latents.json").read_text())
    (two[1] / "index.jsonl").write_text("")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the SHA-256 of nothing
    (two[1] / "latents.json").write_text(json.dumps({**header, "clips": 0, "manifest": empty}))
    with pytest.raises(UsageError, match="b holds no clips, so it can have no weight"):
        LatentDataset(two, WEIGHTS)
    assert len(LatentDataset(two)) == 6
