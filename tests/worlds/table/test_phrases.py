"""Captions of tables name every actor, its colour, the outcome of events and the camera, and nothing else."""

from __future__ import annotations

import functools

import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install 'chronotope[table]'")

from chronotope.prompt import read_story
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.splits import attribute_pairs, spec_key, split_of
from chronotope.worlds.table.captions import captions
from chronotope.worlds.table.sample import TableScope, is_valid_outcome, sample_table
from chronotope.worlds.table.simulate import Trajectory
from chronotope.worlds.table.spec import SOLIDS, Camera, Event, TableSpec
from tests.worlds.table.tables import solid, table

WORDS = {"ball": ("ball", "sphere"), "brick": ("brick", "box")}


@functools.cache
def sampled() -> list[tuple[TableSpec, Trajectory]]:
    return [sample_table(seed) for seed in range(8)]


def texts(spec: TableSpec, level: str = "sentence") -> str:
    return "\n".join(captions(spec)[level]).lower()


def test_captions_name_actors_and_camera_of_the_spec_only() -> None:
    for spec, trajectory in sampled():
        for level, wordings in captions(spec, trajectory).items():
            assert wordings
            for text in wordings:
                low = text.lower()
                for actor in spec.actors:
                    assert any(f"{actor.colour} {word}" in low for word in WORDS.get(actor.noun, (actor.noun,))), (
                        text,
                        actor,
                    )
                told = {word for word in low.replace(",", " ").replace(".", " ").split() if word in COLOURS}
                assert told <= {actor.colour for actor in spec.actors} | {spec.table}, text
                there = {noun for noun in SOLIDS if f" {noun}" in low}
                assert there <= {actor.noun for actor in spec.actors}, text
                if spec.camera.kind != "still":
                    assert "camera" in low and str(spec.camera.direction) in low
                assert "{" not in text and "  " not in text and "None" not in text, text
                if level == "story":
                    assert [moment for moment, _ in read_story(text.splitlines())] == sorted(
                        {0.0, *(event.start for event in spec.events)}
                    )


def test_captions_are_deterministic_and_varied() -> None:
    spec, trajectory = sampled()[3]
    assert captions(spec, trajectory) == captions(spec)
    assert len(set(captions(spec, trajectory)["paragraph"])) == 4


def test_captions_name_the_outcome() -> None:
    """Captions say that a stack falls only if it does: hit gently, it stands."""
    pile = [
        solid(f"cube{i}", "cube", colour, 0.3, 0, 0.36, lift=0.36 * i) for i, colour in enumerate(("blue", "green"))
    ]
    for speed, falls in ((0.4, False), (4.0, True)):
        ball = solid("ball", x=-0.6, size=0.7)
        said = texts(table(*pile, ball, events=(Event("topple", "ball", target="cube0", speed=speed),)))
        assert any(word in said for word in ("knocks over", "topples", "knocks it over")) == falls, said
        assert "right" in said or "into" in said
    post = solid("post", "cylinder", "green", 0.3, 0, 0.5)
    assert "knocks" in texts(
        table(solid("ball", x=-0.6, size=0.7), post, events=(Event("hit", "ball", target="post", speed=3.5),))
    )
    short = (Event("hit", "ball", target="cube", speed=0.5),)
    far = texts(table(solid("ball", x=-0.6), solid("cube", "cube", "blue", 0.8), frames=5, events=short))
    assert "toward" in far and "hits" not in far


def test_left_and_right_are_those_of_the_first_frame() -> None:
    for direction, other in (("left", "right"), ("right", "left")):
        said = texts(table(solid("ball"), events=(Event("roll", "ball", 0.0, direction, speed=0.5),)))
        assert f"to the {direction}" in said or f"rolls {direction}" in said
        assert other not in said
    beside = [
        captions(table(solid("a", x=-0.5), solid("b", "cube", "blue", 0.5), frames=1, seed=seed))["sentence"]
        for seed in range(4)
    ]
    said = "\n".join(text.lower() for wordings in beside for text in wordings)
    assert "to the left of a blue cube" in said and "to the right of a blue cube" not in said


def test_splits_share_nothing() -> None:
    train = {spec_key(spec) for spec, _ in sampled()}
    pairs = set().union(*(attribute_pairs(spec) for spec, _ in sampled()))
    assert {split_of(spec) for spec, _ in sampled()} == {"train"}
    held, _ = sample_table(1, split="heldout")
    novel, _ = sample_table(1, split="combination")
    assert split_of(held) == "heldout" and spec_key(held) not in train
    assert split_of(novel) == "combination" and attribute_pairs(novel) - pairs


def test_specs_have_a_valid_outcome_and_stay_in_scope() -> None:
    scope = TableScope(sizes=((48, 32),), colours=("red", "blue", "green", "yellow"), picture_share=0.5)
    for seed in range(4):
        spec, trajectory = sample_table(seed, scope)
        assert (spec, trajectory.events) == ((again := sample_table(seed, scope))[0], again[1].events)
        assert (spec.width, spec.height) == (48, 32) and {actor.colour for actor in spec.actors} <= set(scope.colours)
        assert spec.num_frames == 1 or scope.min_frames <= spec.num_frames <= scope.max_frames
        assert spec.num_frames > 1 or not spec.events
        assert is_valid_outcome(spec, trajectory)
    kinds = {event.kind for spec, _ in sampled() for event in spec.events}
    assert len(kinds) >= 4


def test_a_scope_too_small_to_split(monkeypatch: pytest.MonkeyPatch) -> None:
    from chronotope.errors import UsageError
    from chronotope.worlds.table import sample

    monkeypatch.setattr(sample, "_MAX_TRIES", 50)
    with pytest.raises(UsageError, match="too small"):
        sample_table(0, TableScope(solids=("ball",), colours=("blue", "red"), picture_share=1.0), "combination")


def test_captions_name_cameras() -> None:
    said = texts(table(solid("a"), camera=Camera("round", "left")))
    assert "round the table" in said or "circles the table" in said
    assert "orbit" in texts(table(solid("a"), camera=Camera("orbit", "right", 45.0))) + texts(
        table(solid("a"), camera=Camera("orbit", "right", 45.0)), "tags"
    )
