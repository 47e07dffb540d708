"""What captions claim, read back from their words, against the spec that they were written from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chronotope.worlds.facts import CLASSES, Fact, of_class
from chronotope.worlds.stage.facts import facts_of, read_facts
from chronotope.worlds.stage.world import STAGE

ALWAYS = ("object", "colour", "motion")  # that every caption of a clip names


@pytest.mark.parametrize("scope", ["shapes", "small", "acts", "deeds", "wide", "full"])
def test_captions_say_what_is_true_and_all_of_it(scope: str) -> None:
    seen = set()
    for seed in range(40):
        spec = STAGE.sample(seed, STAGE.scope(scope), "heldout")
        truth = facts_of(spec)
        captions = STAGE.captions(spec, 3)
        for level in ("tags", "sentence", "paragraph"):
            for text in captions[level]:
                said = read_facts(text)
                assert said <= truth, text
                for kind in ALWAYS:
                    assert of_class(said, kind) == of_class(truth, kind), text
                seen |= {fact.kind for fact in said}
        paragraph = read_facts(captions["paragraph"][0])
        for kind in ("size", "position", "place", "camera", "order"):
            assert of_class(paragraph, kind) == of_class(truth, kind), captions["paragraph"][0]
    assert seen >= {"object", "motion", "place", "size", "position"}
    assert seen <= set(CLASSES)


def test_what_is_wrong_is_read_as_it_is_said() -> None:
    said = read_facts("a red ball rolls left past a fox and then spins, at night, the camera zooms in")
    assert said == {
        Fact("object", "circle"),
        Fact("colour", "circle", "red"),
        Fact("object", "fox"),
        Fact("motion", "circle", "go", "left"),
        Fact("interaction", "circle", "pass", "fox"),
        Fact("motion", "circle", "spin"),
        Fact("order", "circle", "go left", "spin"),
        Fact("place", "", "night"),
        Fact("camera", "", "zoom", "in"),
    }
    assert read_facts("") == frozenset()
    assert read_facts("completely other words about nothing") == frozenset()


def test_two_things_of_one_noun_are_told_apart_by_colour() -> None:
    said = read_facts("a red star moves up while a blue star shrinks")
    assert Fact("motion", "red star", "go", "up") in said
    assert Fact("motion", "blue star", "shrink") in said
    assert Fact("object", "star") not in said


@pytest.mark.parametrize(
    ("right", "wrong", "kind"),
    [
        ("a red star moves up", "a blue star moves up", "colour"),
        ("a red star moves up", "a red star moves down", "motion"),
        ("a cat walks right", "a fox walks right", "object"),
        ("a cat walks right and then stops", "a cat stops and then walks right", "order"),
        ("a cat eats an apple", "a cat pushes an apple", "interaction"),
        ("a cat at sea", "a cat at night", "place"),
    ],
)
def test_one_wrong_word_is_one_wrong_fact(right: str, wrong: str, kind: str) -> None:
    assert {fact.kind for fact in read_facts(wrong) - read_facts(right)} >= {kind}


def test_two_things_that_are_alike_are_one_name() -> None:
    """The captions of two red squares are true of them."""
    found = 0
    for seed in range(400):
        spec = STAGE.sample(seed, STAGE.scope("shapes"), "heldout")
        if len(spec.actors) != 2 or not all(actor.colour for actor in spec.actors):
            continue
        first, second = spec.actors
        spec = replace(spec, actors=(first, replace(second, noun=first.noun, colour=first.colour)))
        truth = facts_of(spec)
        assert {fact.name for fact in of_class(truth, "object")} == {first.noun}
        for texts in STAGE.captions(spec, 2).values():
            for text in texts:
                said = read_facts(text)
                assert {kind: of_class(said, kind) - truth for kind in ALWAYS} == dict.fromkeys(ALWAYS, frozenset()), (
                    text
                )
        found += 1
    assert found > 20
