"""Random specs stay in their scope; the splits are disjoint."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest

from chronotope.errors import UsageError
from chronotope.worlds.splits import attribute_pairs, spec_key, split_of, split_of_record, to_json
from chronotope.worlds.stage import sample
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES


@pytest.mark.parametrize("name", SCOPES)
def test_specs_stay_in_scope(name: str) -> None:
    scope = SCOPES[name]
    for seed in range(100):
        spec = sample_spec(seed, scope)
        assert spec == sample_spec(seed, scope)
        assert (
            (spec.width, spec.height) in scope.sizes
            and spec.backdrop in scope.backdrops
            and spec.camera.kind in scope.cameras
        )
        assert 1 <= len(spec.actors) <= scope.max_actors
        assert spec.num_frames == 1 or scope.min_frames <= spec.num_frames <= scope.max_frames
        assert {event.kind for event in spec.events} <= set(scope.events)
        for actor in spec.actors:
            assert actor.noun in (scope.shapes if actor.kind == "shape" else scope.nouns)
            assert actor.colour is None or (actor.colour in scope.colours and actor.colour != spec.backdrop)
        assert spec.num_frames > 1 or not spec.events


@pytest.mark.parametrize("name", SCOPES)
def test_splits_share_nothing(name: str) -> None:
    scope = SCOPES[name]
    keys, pairs = {}, {}
    for split in ("train", "heldout", "combination"):
        specs = [sample_spec(seed, scope, split) for seed in range(30 if split == "train" else 12)]
        assert {split_of(spec) for spec in specs} == {split}
        assert {split_of_record(json.loads(to_json(spec))) for spec in specs} == {split}
        keys[split] = {spec_key(spec) for spec in specs}
        pairs[split] = set().union(*map(attribute_pairs, specs))
    assert not keys["train"] & keys["heldout"] and not keys["train"] & keys["combination"]
    novel = [
        pairs_of - pairs["train"]
        for pairs_of in (attribute_pairs(sample_spec(s, scope, "combination")) for s in range(12))
    ]
    assert all(novel), "every spec of the combination split holds a pair that training never shows"


def test_about_five_percent_are_held_out() -> None:
    """Of the specs without a novel pair."""
    import numpy as np

    from chronotope.worlds.stage.sample import compose

    rng = np.random.default_rng(0)
    counts = Counter(split_of(compose(rng, SCOPES["shapes"])) for _ in range(800))
    assert 0.03 < counts["heldout"] / (counts["train"] + counts["heldout"]) < 0.07
    assert counts["combination"] > 0


def test_seeds_give_different_specs() -> None:
    assert len({spec_key(sample_spec(seed, SCOPES["small"])) for seed in range(300)}) == 300


def test_scope_full_samples_every_event() -> None:
    kinds = {event.kind for seed in range(600) for event in sample_spec(seed, SCOPES["full"]).events}
    assert kinds == set(SCOPES["full"].events)


def test_scope_solo_shows_each_thing_alone() -> None:
    specs = [sample_spec(seed, SCOPES["solo"]) for seed in range(300)]
    assert {(len(spec.actors), spec.num_frames, len(spec.events)) for spec in specs} == {(1, 1, 0)}
    assert {spec.actors[0].noun for spec in specs} == {*SCOPES["small"].nouns, *SCOPES["small"].shapes}


def test_unknown_split() -> None:
    unchecked = getattr(sample_spec, "__wrapped__", sample_spec)  # without the type check of the test run
    with pytest.raises(UsageError, match="Did you mean 'train'"):
        unchecked(0, SCOPES["small"], "trian")


def test_a_scope_too_small_to_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_MAX_TRIES", 100)
    scope = dataclasses.replace(SCOPES["shapes"], shapes=("circle",), colours=("red",), events=("grow",))
    with pytest.raises(UsageError, match="too small"):
        sample_spec(0, scope, "combination")


def test_two_acts_follow_each_other_inside_the_frame() -> None:
    kinds = Counter()
    for seed in range(300):
        spec = sample_spec(seed, SCOPES["acts"])
        kinds[tuple(event.kind for event in spec.events)] += 1
        if len(spec.events) < 2:
            continue
        first, second = spec.events
        assert first.actor == second.actor and first.end == second.start and second.end == round(spec.seconds, 3)
        truth = render(spec).truth
        inside = (
            (truth.x[:, 0] > 0) & (truth.x[:, 0] < spec.width) & (truth.y[:, 0] > 0) & (truth.y[:, 0] < spec.height)
        )
        there = inside | (first.kind == "enter") | (second.kind == "leave")
        assert there.all(), spec
        if first.direction and second.direction and {first.kind, second.kind} <= {"walk", "fly", "move"}:
            assert first.direction != second.direction
    assert sum(count for events, count in kinds.items() if len(events) == 2) >= 240
