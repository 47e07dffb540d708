"""Captions of the stage name actors, colours, directions and places, and nothing that is not in the spec."""

from __future__ import annotations

import functools
import itertools

import pytest

from chronotope.prompt import read_story
from chronotope.worlds.language import article, gerund
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.cast import CAST, SHAPES
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Camera, Spec
from chronotope.worlds.stage.vocabulary import SYNONYMS, VERBS

from .scenes import clip, does, emoji, shape


@functools.cache
def specs(scope: str) -> list[Spec]:
    return [sample_spec(seed, SCOPES[scope]) for seed in range(300)]


@functools.cache
def wordings(spec: Spec) -> list[tuple[str, str]]:
    return [(level, text) for level, texts in captions(spec).items() for text in texts]


@pytest.mark.parametrize("scope", SCOPES)
def test_captions_name_actors_directions_and_camera(scope: str) -> None:
    for spec in specs(scope):
        for level, text in wordings(spec):
            low = text.lower()
            for actor in spec.actors:
                names = SYNONYMS.get(actor.noun, (actor.noun,))
                wanted = [f"{actor.colour} {name}" if actor.colour else name for name in names]
                assert any(name in low for name in wanted), (text, wanted)
            for event in spec.events:
                assert event.direction is None or event.direction in low, (text, event)
            if spec.camera.kind != "still":
                assert ("camera" in low or "view" in low) and (spec.camera.direction or "follow") in low, text
            assert "{" not in text and "  " not in text and "None" not in text, text
            assert level != "paragraph" or text.count(".") >= 2


@pytest.mark.parametrize("scope", SCOPES)
def test_captions_name_only_colours_and_shapes_of_the_spec(scope: str) -> None:
    """The only colours, shapes and directions in a caption are the spec's own."""
    for spec in specs(scope):
        own = " ".join(
            [spec.backdrop, *(f"{a.colour} {a.noun}" for a in spec.actors), *(str(e.colour) for e in spec.events)]
        )
        for _, text in wordings(spec):
            words = text.lower().replace(",", " ").replace(".", " ").split()
            scenery = (
                {"green", "blue", "white"}
                if any(place in text for place in ("green hills", "blue sky", "white landscape"))
                else set()
            )
            for colour in set(COLOURS) & set(words) - scenery:
                assert colour in own, (text, colour)
            for noun in set(SHAPES) & set(words):
                assert noun in own or (noun == "cross"), (text, noun)


def test_captions_are_deterministic_and_varied() -> None:
    spec = clip(
        emoji("fox", x=0.1), emoji("tree"), events=(does("walk", "fox", 0, 3, "right", amount=0.8),), backdrop="hills"
    )
    assert captions(spec) == captions(spec)
    assert len(captions(spec, 8)["sentence"]) == 8
    assert all("past a tree" in text or "in front of a tree" in text for text in captions(spec, 8)["sentence"])
    assert len({text for s in specs("small") for _, text in wordings(s)}) > 2500


def test_past_is_used_only_if_an_actor_is_passed() -> None:
    far = clip(emoji("fox", x=0.1), emoji("tree", x=0.9), events=(does("walk", "fox", 0, 3, "right", amount=0.3),))
    assert not any("past" in text or "in front of a tree" in text for _, text in wordings(far))
    behind = clip(
        emoji("fox", x=0.1, depth=0.9), emoji("tree"), events=(does("walk", "fox", 0, 3, "right", amount=0.8),)
    )
    assert any("behind a tree" in text for _, text in wordings(behind)) and not any(
        "in front of a tree" in t for _, t in wordings(behind)
    )


def test_captions_name_every_kind_of_event() -> None:
    a, b = shape("a", x=0.1), shape("b", "square", "blue", x=0.7)
    told = {
        "meet": "meet", "push": "push", "hit": "square", "eat": "eat", "pass": "blue square",
    }  # fmt: skip
    for kind, word in told.items():
        for level, text in wordings(clip(a, b, events=(does(kind, "a", 0, 2, target="b"),))):
            assert (word in text and "right" in text) or (level == "tags" and "right" in text), text
    for kind, word in {"spin": "red circle", "bounce": "bounc", "grow": "red circle", "shrink": "red circle"}.items():
        for _, text in wordings(clip(shape("a", "star", "red"), events=(does(kind, "a", 0, 2),))):
            assert word.replace("circle", "star") in text.lower()
    painted = clip(emoji("crayon"), events=(does("paint", "crayon", 0, 2, "left", colour="green"),))
    assert all("green" in text for _, text in wordings(painted))
    dark = clip(emoji("lamp"), events=(does("switch", "lamp", 1, 1, "off"),), backdrop="room")
    assert all("off" in text for _, text in wordings(dark))


def test_captions_keep_the_order_of_events() -> None:
    spec = clip(emoji("horse", x=0.1), events=(does("walk", "horse", 0, 3, "right"), does("stop", "horse", 1.5, 1.5)))
    for level, text in wordings(spec):
        if level != "tags":
            assert text.index("right") < text.index("stops")


def test_grammar() -> None:
    assert [article(w) for w in ("owl", "red owl", "elephant", "unicorn", "ufo", "umbrella", "orange star", "hut")] == [
        "an", "a", "an", "a", "a", "an", "an", "a",
    ]  # fmt: skip
    made = {gerund(verb.replace("is ", "")) for verb in itertools.chain.from_iterable(VERBS.values())}
    assert {
        "running",
        "hopping",
        "flying",
        "gliding",
        "pushing",
        "getting bigger",
        "bouncing",
        "driving",
        "moving",
        "hitting",
    } <= made
    for noun in CAST:
        text = captions(clip(emoji(noun), backdrop="sky"), 1)["sentence"][0].lower()
        assert f"{article(noun)} {noun}" in text


def test_captions_name_a_moving_camera() -> None:
    for camera, words in (
        (Camera("pan", "left"), "left"),
        (Camera("zoom", "in"), " in"),
        (Camera("follow", actor="a"), "follow"),
    ):
        assert all(words in text for _, text in wordings(clip(shape("a"), camera=camera)))


def test_story_names_each_event_in_its_beat() -> None:
    """The beat of an event names its direction; a clip with one start has no story."""
    told = 0
    for spec in specs("acts") + specs("full"):
        stories = captions(spec).get("story", ())
        moments = sorted({0.0, *(event.start for event in spec.events)})
        assert bool(stories) == (len(moments) > 1)
        for story in stories:
            beats = dict(read_story(story.splitlines()))
            assert list(beats) == pytest.approx(moments, abs=1e-3)
            for event in spec.events:
                text = beats[min(beats, key=lambda seconds: abs(seconds - event.start))].lower()
                assert event.direction is None or event.direction in text, (story, event)
            told += 1
    assert told > 500
