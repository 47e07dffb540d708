"""Anybody's words become captions: every fact is kept or named, and what captions say passes through unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.caption.expand import expand
from chronotope.caption.prompts import expand_prompts
from chronotope.caption.vocabulary import Vocabulary
from chronotope.caption.words.lexicon import is_english, load_lexicon, third_person
from chronotope.data.record import read_record
from chronotope.errors import UsageError
from chronotope.generate.pipeline import find_model
from chronotope.prompt import read_prompts, read_story
from chronotope.storage import read_json
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.cast import CAST, SHAPES
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.suites.prompts import PROMPT_KINDS, prompts_of
from chronotope.worlds.table.spec import SOLIDS
from tests.cli.models import refused, run

RECORD = read_record(read_json(find_model("small") / "dit" / "model.json"))
assert RECORD is not None
KNOWN = frozenset(RECORD.words)


@pytest.mark.parametrize(
    ("typed", "caption"),
    [
        ("kitten strolls by the shore", "a cat walks by the sea"),
        ("A DOG runs on the beach", "a dog runs by the sea"),  # its user's word, since no caption had it
        ("two bunnies hopping through a meadow", "two rabbits hop in green hills"),
        ("a rabit hops across the feild", "a rabbit hops in green hills"),
        ("a crimson sphere bounces on black background", "a red ball bounces on a black background"),
        ("sportscar driving to the left, city", "a car drives to the left on a street"),
        ("a \U0001f98a walks past a \U0001f333", "a fox walks past a tree"),
        ("a fox \U0001f98a at night", "a fox at night"),
        ("the spaceship takes off into the sky", "a rocket flies in the sky"),
        ("a goldfish swims from left to right under the sea", "a fish swims to the right by the sea"),
        ("(red:1.4) ball on [white] background", "a red ball on a white background"),
        ("cat and rabbit run to the left", "a cat runs to the left and a rabbit runs to the left"),
        ("penguin waddles toward an apple and eats it", "a penguin walks toward an apple and then eats the apple"),
        ("camera zooms in on a fox in green hills", "a fox in green hills, the camera zooms in on the fox"),
        ("ball, which is red", "a red ball"),
        ("there is a movie star", "a movie star"),  # who is no star
        ("a caf\u00e9 and a fir", "a cafe and a tree"),
        ("fox,\r\nhills\t", "a fox in green hills"),
        ("we come closer while a tree stands at night", "a tree at night, the camera zooms in"),
        ("kitty moves out of the picture to the right", "a cat leaves to the right"),
        ("on the left a fox, on the right a cat", "a fox on the left and a cat on the right"),
        ("left of the tree a cat", "a cat to the left of a tree"),
        ("a house and a fox that walks left", "a fox walks to the left and a house"),
        ("a fox beside a cat that runs right", "a cat runs to the right and a fox next to the cat"),
        ("red ball, cat runs left", "a cat runs to the left and a red ball"),
        ("fox: walks left; cat: walks right", "a fox walks to the left and a cat walks to the right"),
        ("a fox walks right, then a kitten jumps", "a fox walks to the right and then a cat jumps"),
        ("two red foxes walk right", "two red foxes walk to the right"),
        ("fox, left to right", "a fox moves to the right"),
        ("a yelow star", "a yellow star"),
        ("a fxo wlaks rihgt", "a fox walks right"),
        ("fox walks in the snow", "a fox walks in the snow"),
    ],
)
def test_words_become_those_of_captions(typed: str, caption: str) -> None:
    found = expand(typed, KNOWN)
    assert found.prompt == caption, found
    assert expand(found.prompt, KNOWN).prompt == caption  # and it is a caption


@pytest.mark.parametrize(
    ("typed", "caption"),
    [
        ("\U0001f431\U0001f431\U0001f431 running \u2b05\ufe0f", "three cats run to the left"),
        ("\U0001f98a\u2b07\ufe0f\U0001f303", "a fox moves down at night"),
        ("\U0001f535 \u2b1c background \U0001f60d", "a blue circle on a white background"),
        ("balon spinin rihgt", "a balloon spins to the right"),
        ("a kity in the see", "a cat by the sea"),
        ("lil kitteh walkin thru the hills", "a small cat walks in green hills"),
        ("square, blue, bouncing, white bg", "a blue square bounces on a white background"),
        ("a heart upon a canvas of spotless black", "a heart on a black background"),
        ("a fox of the palest purple walks", "a purple fox walks"),
        ("a rocket rises", "a rocket moves up"),
        ("an apple falls", "an apple moves down"),
        ("a star becomes smaller and smaller", "a star shrinks"),
        ("a car drives left, passes a house", "a car drives to the left past a house"),
        ("a sphere rolls in", "a ball enters rolling"),
        ("a butterfly flutters away", "a butterfly leaves flying"),
        ("before the fox walks left, it eats an apple", "a fox eats an apple and then walks to the left"),
        ("a kitty runs right after it hits the ball", "a cat hits a ball and then runs to the right"),
        ("a star spins but before that it grows", "a star grows and then spins"),
        ("a fox, quick like an arrow of the gods, runs left", "a fox runs to the left"),
        ("a cat walks to a halt adjacent to a tree", "a cat walks and then stops and the cat is next to a tree"),
        ("red car, to the right", "a red car drives to the right"),
        ("the fox has left", "a fox leaves"),
        ("\U0001f680" * 10 + " at night", "many rockets at night"),
    ],
)
def test_what_people_type_is_read(typed: str, caption: str) -> None:
    """Emoji, slang, typing errors, colours behind their noun, directions of verbs, and clauses out of their order."""
    found = expand(typed, KNOWN)
    assert found.prompt == caption, found


@pytest.mark.parametrize(
    ("typed", "negative"),
    [
        ("a fox, no snow", "snow"),
        ("a fox without any cats or balls", "cat, ball"),
        ("a fox, no other animals", "animal"),
        ("avoid trees. a fox walks", "tree"),
        ("\U0001f6ab\U0001f333 a fox", "tree"),
        ("a fox, no logos", "logos"),
    ],
)
def test_places_lists_and_unknown_things_can_be_denied(typed: str, negative: str) -> None:
    found = expand(typed, KNOWN)
    assert found.negative == negative and found.prompt.startswith("a fox")


def test_a_symbol_without_a_meaning_is_said() -> None:
    found = expand("a fox walks left \U0001f60d\U0001f9f9", KNOWN)
    assert found.prompt == "a fox walks left" and found.left_out == ("\U0001f60d", "\U0001f9f9")


def test_notes_on_long_words_and_on_many_are_short() -> None:
    assert len("".join(expand("x" * 10_000, KNOWN).notes())) < 200
    many = " ".join(f"qx{letter}" + "z" * number for letter in "abcdefgh" for number in range(20))
    (note,) = expand(f"a fox, {many}", KNOWN).notes()
    assert note.startswith("left out: qxa, qxaz, ") and note.endswith(" and 120 more")


def test_control_characters_part_words() -> None:
    assert expand("a\x00kitten\x07 walks\ufeff", KNOWN).prompt == "a cat walks"
    with pytest.raises(UsageError, match="the prompt is empty"):
        read_prompts("\ufeff \u200b")


def test_many_unknown_words_are_read_in_no_time() -> None:
    """A text with hundreds of unknown words is no English with typing errors, so none is corrected."""
    strange = " ".join(f"{a}q{b}z{c}" for a in "abcdefgh" for b in "klmnop" for c in "rstuvwx")
    assert not expand(f"a fox {strange}", KNOWN).read
    assert expand("a fox wlaks", KNOWN).read == (("wlaks", "walks"),)


@pytest.mark.parametrize(
    ("typed", "caption", "negative"),
    [
        ("a fox without a tree at night", "a fox at night", "tree"),
        ("no kitten, fox in the sky", "a fox in the sky", "cat"),
        ("a rabbit at sea, where an owl is nowhere to be found", "a rabbit by the sea", "owl"),
        ("a house. There is no red ball.", "a house", "red ball"),
        ("a ball that does not move", "a ball", ""),
        ("a cat, dont show a fox", "a cat", "fox"),
        ("a fox that isnt red", "a fox", ""),
        ("the fox doesnt walk", "the fox doesn't walk", ""),
    ],
)
def test_what_shall_not_be_there_leaves_the_prompt(typed: str, caption: str, negative: str) -> None:
    found = expand(typed, KNOWN)
    assert (found.prompt, found.negative) == (caption, negative)


@pytest.mark.parametrize(
    "typed",
    [
        "a fox never walks right", "a star doesn't grow", "a fox walks without stopping", "one red star, not two",
        "an apple is eaten by a fox", "a cat is hit by a car", "after a fox walks left a star grows",
        "a fox walks right before dawn", "nothing moves, a red star", "instead of a cat, a fox walks right",
        "a fox chases a rabbit to the right", "a fox can't fly",
    ],
)  # fmt: skip
def test_what_is_not_read_is_left_as_it_is(typed: str) -> None:
    """A sentence whose meaning would be lost keeps its words where they stand; only words are exchanged."""
    assert expand(typed, KNOWN).prompt == typed
    other = expand(typed.replace("fox", "kitten").replace("star", "sphere"), KNOWN)
    assert other.prompt == typed.replace("fox", "cat").replace("star", "ball")


@pytest.mark.parametrize(
    ("typed", "caption", "left_out"),
    [
        ("a fox walks left for 3 seconds", "a fox walks left", ("for 3 seconds",)),
        ("a fox walks left for two seconds then stops", "a fox walks left then stops", ("for two seconds",)),
        ("a fox hops three times", "a fox hops", ("three times",)),
        ("a fox walks two steps to the left", "a fox walks to the left", ("two steps",)),
        ("a fox at 2 o'clock", "a fox", ("at 2 o'clock",)),
        ("a fox walks left, 2 meters", "a fox walks left", ("2 meters",)),
        ("a kitten in the upper left corner grows", "a cat grows", ("in the upper left corner",)),
        ("a star in the bottom right corner", "a star", ("in the bottom right corner",)),
        ("all right, a kitten", "a cat", ("all right",)),
        ("1,000 stars", "stars", ("1000",)),
        ("a few red hearts", "red hearts", ("few",)),
    ],
)
def test_measures_and_corners_are_no_counts_and_no_directions(
    typed: str, caption: str, left_out: tuple[str, ...]
) -> None:
    found = expand(typed, KNOWN)
    assert (found.prompt, found.left_out) == (caption, left_out)


@pytest.mark.parametrize(
    ("typed", "caption", "negative"),
    [
        ("a red ball isn't there, only a cat", "a cat", "red ball"),
        ("a cat and a red fox isn't there", "a cat", "red fox"),
        ("a cat rather than a fox", "a cat", "fox"),
        ("a red fox is not there", "", "red fox"),
    ],
)
def test_what_is_not_there_is_not_asked_for(typed: str, caption: str, negative: str) -> None:
    found = expand(typed, KNOWN)
    assert (found.prompt, found.negative) == (caption, negative)


@pytest.mark.parametrize("typed", ["two foxes, one walks left", "one of three foxes walks left", "two of them are red"])
def test_parts_of_a_number_are_not_read(typed: str) -> None:
    found = expand(typed, KNOWN)
    assert found.prompt == typed and found.kept


def test_what_a_story_says_later_is_no_negative_of_the_whole() -> None:
    story = ("0: a house, no fox", "1: a fox walks left, no house, no tree")
    found = json.loads(run("generate", "--story", *story, "--dry-run", "--json").stdout)
    assert found["negative_prompt"] == "tree"
    notes = expand_prompts(read_prompts(read_story(story)), "", True, Vocabulary(KNOWN)).notes
    assert [note for note in notes if note.startswith("not to")] == [
        "not told: no fox; another part of the story shows it",
        "not to be there: tree",
        "not told: no house; another part of the story shows it",
    ]
    stopped = expand_prompts(read_prompts([(0.0, "a house, no fox"), (1.0, "a fox.")]), "", True, Vocabulary(KNOWN))
    assert not stopped.negative
    colours = expand_prompts(
        read_prompts([(0.0, "a house, no red fox"), (1.0, "a red ball")]), "", True, Vocabulary(KNOWN)
    )
    assert colours.negative == "red fox"
    unguided = expand_prompts(read_prompts("a fox, no tree"), "", False, Vocabulary(KNOWN))
    assert not unguided.negative and not any("not to be there: tree" in note for note in unguided.notes)


@pytest.mark.parametrize(
    "typed", ["no fox", "without any kittens", "no red balls, only blue ones", "sunset, no people"]
)
def test_a_prompt_of_what_shall_not_be_there_alone_is_refused(typed: str) -> None:
    """To tell it to the model would be to ask for it."""
    found = expand(typed, KNOWN)
    assert not found.prompt and found.negative
    said = f"says only what shall not be there ({found.negative})"
    assert found.left_out == {"no red balls, only blue ones": ("blue", "ones"), "sunset, no people": ("sunset",)}.get(
        typed, ()
    )
    assert said in refused("expand", typed, status=2) and said in refused("generate", typed, "-o", "x.mp4", status=2)
    with pytest.raises(UsageError, match="says only what shall not be there"):
        expand_prompts(read_prompts([(0.0, "a cat"), (1.0, typed)]), "", True, Vocabulary(KNOWN))


def facts(spec: Spec) -> Iterator[str]:
    """Yield nouns and colours that every sentence of a spec has."""
    for actor in spec.actors:
        yield actor.noun
        if actor.colour:
            yield actor.colour


@pytest.mark.parametrize("scope", ["small", "acts", "deeds"])
def test_captions_pass_through_unchanged(scope: str) -> None:
    """All but keywords, which are no sentences; those keep who is there."""
    for seed in range(15):
        spec = sample_spec(seed, SCOPES[scope], "train")
        for level, texts in captions(spec).items():
            for text in texts:
                found = expand(text, KNOWN)
                if level in ("sentence", "paragraph"):
                    assert found.prompt == text and not found.notes(), found
                elif level == "tags":
                    assert all(fact in found.prompt or fact == "circle" for fact in facts(spec)), found


@pytest.mark.parametrize("kind", PROMPT_KINDS)
def test_other_words_for_a_scene_become_its_caption(kind: str) -> None:
    """Whatever the form, the caption is the same, with the facts of the spec and what shall not be there apart."""
    for seed in range(4_700_000, 4_700_006):
        spec = next(PROMPT_KINDS[kind](seed))
        forms = prompts_of(kind, spec)
        short, other = expand(forms["short"], KNOWN), expand(forms["paraphrased"], KNOWN)
        assert (short.prompt, short.negative) == (other.prompt, other.negative), (forms, short, other)
        assert not other.left_out and not other.suggestions, other
        for fact in facts(spec):
            assert fact in other.prompt or (fact == "circle" and "ball" in other.prompt), (forms, other)
        assert bool(other.negative) == (kind == "absence")
        assert bool(spec.camera.kind != "still") == ("camera" in other.prompt)


def test_every_word_is_kept_or_named() -> None:
    found = expand("A majestic hare strolls proudly by a fir, golden hour, 4k", KNOWN)
    assert found.prompt == "a hare walks by a tree" or found.prompt == "a hare walks past a tree"
    assert set(found.left_out) == {"majestic", "proudly", "golden", "hour", "4k"}
    assert found.suggestions[0][0] == "hare" and "rabbit" in found.suggestions[0][1]
    said = " | ".join(found.notes())
    assert "strolls -> walk" in said and "fir -> tree" in said and "no caption had 'hare'; what is alike" in said


@pytest.mark.parametrize(
    "typed", ["\u8d64\u3044\u30dc\u30fc\u30eb", "un renard court sur la plage ce soir", "...", "qwrtz"]
)
def test_what_is_not_understood_stays_as_it_was_typed(typed: str) -> None:
    found = expand(typed, KNOWN)
    assert found.prompt == typed and found.negative == ""
    assert not found.left_out and any("stays as it is" in note for note in found.notes())
    assert any("only English" in note for note in found.notes()) == (typed not in ("...", "qwrtz"))


@given(st.text(max_size=200))
def test_any_text_is_expanded(text: str) -> None:
    found = expand(text, KNOWN)
    assert expand(text, KNOWN) == found  # the same every time
    assert found.prompt == text or "\n" not in found.prompt
    assert found.prompt or not text or found.negative


def test_a_long_text_takes_no_time() -> None:
    assert expand("a fox and a tree " * 10_000, KNOWN).prompt
    assert expand("x" * 10**6, KNOWN).prompt == "x" * 10**6


def test_the_table_covers_the_worlds_and_says_each_thing_once() -> None:
    lexicon = load_lexicon()
    nouns = set(lexicon.nouns())
    assert {*CAST, *SHAPES, *SOLIDS} <= nouns
    for phrase, meanings in lexicon.meanings.items():
        kinds = [meaning.kind for meaning in meanings]
        assert len(kinds) == len(set(kinds)), (phrase, meanings)
        assert phrase == phrase.lower().strip() and "  " not in phrase
    assert set(lexicon.kinds) | set(lexicon.kinds.values()) <= nouns
    assert all(any(word in group for group in lexicon.near.values()) for word in nouns)


def test_forms_of_words() -> None:
    lexicon = load_lexicon()
    for verb, form in (("ran", "past"), ("hopping", "ing"), ("flies", "s"), ("strolled", "past"), ("gliding", "ing")):
        assert {m.form for m in lexicon.find(verb) if m.kind == "verb"} == {form}
    for many, one in (("foxes", "fox"), ("bunnies", "rabbit"), ("wolves", "wolf"), ("mice", "mouse"), ("buses", "bus")):
        assert [(m.word, m.plural) for m in lexicon.find(many) if m.kind == "noun"] == [(one, True)]
    assert [third_person(verb) for verb in ("fly", "pass", "go", "play", "catch")] == [
        "flies", "passes", "goes", "plays", "catches",
    ]  # fmt: skip
    assert not any(m.kind == "noun" for m in lexicon.find("stares"))  # which are no stars
    assert is_english("meadow") and is_english("hot-air") and not is_english("feild")


def test_the_command_and_generate_tell_the_model_the_same(tmp_path: Path) -> None:
    result = run("expand", "kitten strolls by the shore, no fox", "--why")
    assert result.stdout == "a cat walks by the sea\n" and "kitten -> cat" in result.stderr
    assert "kitten" not in run("expand", "kitten strolls by the shore").stderr
    denied = run("expand", "a fox walks right, not left", "--json")
    assert "not understood: 'not'" in denied.stderr and "'not'" in str(json.loads(denied.stdout)["notes"])
    found = json.loads(run("expand", "kitten by the shore, no fox", "--json").stdout)
    assert (found["prompt"], found["negative"]) == ("a cat by the sea", "fox")
    words = ("generate", "kitten by the shore, no fox", "--dry-run", "--json")
    plan = json.loads(run(*words).stdout)
    assert (plan["prompt"], plan["negative_prompt"], plan["typed_prompt"]) == (
        "a cat by the sea", "fox", "kitten by the shore, no fox",
    )  # fmt: skip
    assert 'the model is told: "a cat by the sea"' in plan["notes"]
    assert json.loads(run(*words, "--negative", "star").stdout)["negative_prompt"] == "star, fox"
    unguided = json.loads(run(*words, "--guidance", "1").stdout)
    assert unguided["negative_prompt"] == "" and any("without guidance" in note for note in unguided["notes"])
    typed = json.loads(run(*words, "--no-expand").stdout)
    assert typed["prompt"] == "kitten by the shore, no fox" and "typed_prompt" not in typed
    assert "Missing argument" in refused("expand", status=2)
    video = tmp_path / "cat.png"
    run("generate", "kitten by the shore", "--seconds", 0, "--steps", 1, "-o", video)
    sidecar = json.loads((tmp_path / "cat.png.json").read_text())
    assert (sidecar["prompt"], sidecar["typed_prompt"]) == ("a cat by the sea", "kitten by the shore")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("a red circle moves left, not right", ("not",)),
        ("a cat or a fox walks left", ("or",)),
        ("a fox never walks left, not right", ("never", "not")),
        ("a kitten or a bunny hops", ("or",)),
        ("either a fox or a cat", ("either", "or")),
        ("a fox walks left", ()),
        ("The camera does not move. A fox walks left.", ()),
        ("a fox walks left, no cat", ()),  # which becomes the negative prompt
    ],
)
def test_denials_and_choices_that_stay_are_said(typed: str, words: tuple[str, ...]) -> None:
    found = expand(typed, KNOWN)
    assert found.kept == words
    assert any(note.startswith("not understood: ") for note in found.notes()) == bool(words)
    assert " and " not in found.prompt  # "or" does not become "and"


@pytest.mark.parametrize(
    ("typed", "told", "alike"),
    [
        ("a maroon square", "a red square", ()),
        ("a tangerine star", "an orange star", ()),
        ("a midnight blue rocket", "a blue rocket", ()),
        ("a teal ball", "a teal ball", (("teal", ("green", "blue")),)),
        ("a cyan heart", "a cyan heart", (("cyan", ("blue", "green")),)),  # no slip of 'can'
        ("the ball is turquoise", "the ball is turquoise", (("turquoise", ("blue", "green")),)),
        ("a reddish-brown fox", "a brown fox", (("brown", ("orange", "red")),)),
    ],
)
def test_a_colour_between_those_of_captions_is_never_put_in_the_place_of_one(
    typed: str, told: str, alike: tuple[tuple[str, tuple[str, ...]], ...]
) -> None:
    found = expand(typed, KNOWN)
    assert (found.prompt, found.suggestions, found.left_out) == (told, alike, ())


@pytest.mark.parametrize(
    ("typed", "told", "alike"),
    [
        ("a fox and an apricot", "a fox and an apricot", ("apricot",)),
        ("a lime and a fox walk", "a lime walks and a fox walks", ("lime",)),
        ("a coral bounces", "a coral bounces", ("coral",)),
        ("a lime ball", "a green ball", ()),
    ],
)
def test_a_colour_word_that_stands_as_a_noun_is_one(typed: str, told: str, alike: tuple[str, ...]) -> None:
    found = expand(typed, KNOWN)
    assert (found.prompt, tuple(word for word, _ in found.suggestions), found.left_out) == (told, alike, ())


def test_nothing_is_suggested_for_a_colour_that_shall_not_be_there() -> None:
    assert expand("a fox, no brown ball", KNOWN).suggestions == ()
    assert dict(expand("a bird flies", KNOWN).suggestions)["bird"] == ("penguin", "butterfly")
