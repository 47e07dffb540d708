"""Prompts of nine kinds, each in four forms, written from a spec.

`short` is what a user types, `descriptive` a paragraph, `paraphrased` uses no word of the stage's captions, and
`rewritten` is a caption, as an expansion of the short form would be. The captions of the scope `small` never contain
counts, negations or camera motion, so a model trained on it has to generalise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from chronotope.errors import UsageError
from chronotope.worlds.case import PROMPT_FORMS, SuiteItem
from chronotope.worlds.language import article
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.relations import MIN_CAMERA_MOTION, absent_of, true_camera_motion
from chronotope.worlds.stage.phrases import StageWriter
from chronotope.worlds.stage.scope import SCOPES, Scope
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import Camera, Spec
from chronotope.worlds.stage.suites.specs import fixed_length, held_out, names_place, specs_of, travelling_specs
from chronotope.worlds.stage.vocabulary import places

__all__ = ["PROMPT_KINDS", "prompts_of", "prompts_suite"]

SPECS_PER_KIND = 12
STILL_FRAMES = 8
ACTION_FRAMES = 16
NUMBERS = ("no", "one", "two", "three", "four", "five")
COUNTED_SIZE = 0.36  # short sides


def prompts_suite() -> Iterator[SuiteItem]:
    """Yield every scene in every form, kinds in turns."""
    for index in range(SPECS_PER_KIND * len(PROMPT_KINDS)):
        kind = list(PROMPT_KINDS)[index % len(PROMPT_KINDS)]
        spec = next(PROMPT_KINDS[kind](4_700_000 + index))
        for form, prompt in prompts_of(kind, spec).items():
            yield SuiteItem(index, spec, prompt, form, kind=kind)


# Specs


def _still_specs(seed: int, scope: Scope) -> Iterator[Spec]:
    """Yield specs without events."""
    still = dataclasses.replace(scope, events=(), min_frames=STILL_FRAMES, max_frames=STILL_FRAMES, picture_share=0.0)
    return specs_of(seed, still, "heldout")


def _single_shape(seed: int) -> Iterator[Spec]:
    return _still_specs(seed, dataclasses.replace(SCOPES["small"], max_actors=1, shape_share=1.0))


def _landscape(seed: int) -> Iterator[Spec]:
    return (spec for spec in _single_actor(seed) if spec.backdrop not in PLAIN_COLOURS)


def _single_actor(seed: int) -> Iterator[Spec]:
    return _still_specs(seed, dataclasses.replace(SCOPES["small"], max_actors=1))


def _two_colours(seed: int) -> Iterator[Spec]:
    scope = dataclasses.replace(SCOPES["small"], shape_share=1.0)
    return (spec for spec in _separate(_still_specs(seed, scope)) if len({actor.colour for actor in spec.actors}) == 2)


def _side_by_side(seed: int) -> Iterator[Spec]:
    return _separate(_still_specs(seed, SCOPES["small"]))


def _separate(specs: Iterator[Spec]) -> Iterator[Spec]:
    """Yield the specs of two actors of which one is clearly left of the other."""
    return (spec for spec in specs if len(spec.actors) == 2 and abs(spec.actors[0].x - spec.actors[1].x) >= 0.4)


def _equal_actors(seed: int) -> Iterator[Spec]:
    """Yield specs of one to five equal actors, in two rows on a plain backdrop."""
    scope = dataclasses.replace(SCOPES["small"], sizes=((96, 64),))
    count = 1 + seed % 5
    for spec in _still_specs(seed, dataclasses.replace(scope, max_actors=1, shape_share=1.0)):
        positions = [(x, y) for y in (0.25, 0.75) for x in (0.17, 0.5, 0.83)]
        chosen = np.random.default_rng(seed).permutation(len(positions))[:count]
        first, equal = spec.actors[0], []
        for number, i in enumerate(chosen):
            x, y = positions[i]
            equal.append(dataclasses.replace(first, id=f"{first.noun}{number}", x=x, y=y, size=COUNTED_SIZE))
        if (
            spec.backdrop in PLAIN_COLOURS
            and (found := held_out(dataclasses.replace(spec, actors=tuple(equal)))) is not None
        ):
            yield found


def _one_event(seed: int) -> Iterator[Spec]:
    """Yield specs of one actor that travels, grows or shrinks."""
    if seed % 2:
        yield from travelling_specs(seed, ACTION_FRAMES, sideways=False)
    scope = fixed_length("small", ACTION_FRAMES, events=("grow", "shrink"), max_actors=1)
    yield from (spec for spec in specs_of(seed, scope, "heldout") if spec.events)


def _two_events(seed: int) -> Iterator[Spec]:
    scope = dataclasses.replace(SCOPES["acts"], min_frames=ACTION_FRAMES, max_frames=ACTION_FRAMES)
    return (spec for spec in specs_of(seed, scope, "heldout") if len(spec.events) == 2)


def _moving_camera(seed: int) -> Iterator[Spec]:
    """Yield specs of one still actor in a landscape, with a camera that visibly pans or zooms."""
    scope = dataclasses.replace(SCOPES["small"], backdrops=("hills", "sea", "night", "sky"), max_actors=1)
    for spec in _still_specs(seed, scope):
        actor = spec.actors[0]
        camera = (
            Camera("pan", "left", amount=0.3),
            Camera("zoom", "in", actor.id, amount=1.6),
            Camera("pan", "right", amount=0.3),
            Camera("zoom", "out", actor.id, amount=1.6),
        )[seed % 4]
        moved = dataclasses.replace(
            spec, num_frames=ACTION_FRAMES, camera=camera, actors=(dataclasses.replace(actor, x=0.5),)
        )
        if (found := held_out(moved)) is not None and true_camera_motion(found) >= MIN_CAMERA_MOTION:
            yield found


# Words


def prompts_of(kind: str, spec: Spec) -> dict[str, str]:
    """Return a prompt in its four forms, each with the name of the place.

    Raises UsageError for an unknown kind.
    """
    if kind not in _WRITERS:
        raise UsageError(f"no prompts are written of '{kind}'; expected {', '.join(_WRITERS)}")
    writer = StageWriter(spec, simulate(spec), np.random.default_rng(spec.seed))
    return dict(zip(PROMPT_FORMS, _WRITERS[kind](writer, places(spec.backdrop)[0]), strict=True))


def _caption(writer: StageWriter, level: str) -> str:
    """Return the first caption of this level that names the place."""
    return next(text for text in captions(writer.spec, 12)[level] if names_place(text, writer.spec.backdrop))


def _names(writer: StageWriter) -> list[str]:
    return [writer.name(actor) for actor in writer.spec.actors]


def _write_things(writer: StageWriter, place: str) -> tuple[str, ...]:
    """Write who is present, and where."""
    who = " and ".join(writer.a(actor) for actor in writer.spec.actors)
    are = "are" if len(writer.spec.actors) > 1 else "is"
    return (
        f"{', '.join(_names(writer))}, {place}",
        _caption(writer, "paragraph"),
        f"What can be made out {place} {are} {who}.",
        f"{who} {place}",
    )


def _write_count(writer: StageWriter, place: str) -> tuple[str, ...]:
    spec = writer.spec
    number, name = NUMBERS[len(spec.actors)], _names(writer)[0]
    ending, are, they = ("s", "are", "They do") if len(spec.actors) > 1 else ("", "is", "It does")
    return (
        f"{number} {name}{ending}, {place}",
        f"This video shows {number} {name}{ending} {place}. "
        f"There {are} exactly {number} of this kind. {they} not move.",
        f"Whoever counts the {name}s {place} comes to {number}.",
        f"{number} {name}{ending} {place}",
    )


def _write_relation(writer: StageWriter, place: str) -> tuple[str, ...]:
    left, right = sorted(writer.spec.actors, key=lambda actor: actor.x)
    one, two = writer.name(left), writer.name(right)
    return (
        f"{one} left of {two}, {place}",
        f"This video shows {writer.a(left)} and {writer.a(right)} {place}. "
        f"The {one} is on the left. The {two} is on the right.",
        f"{writer.a(right).capitalize()} has {writer.a(left)} to its left; this is {place}.",
        f"{writer.a(left)} to the left of {writer.a(right)} {place}",
    )


def _write_events(writer: StageWriter, place: str) -> tuple[str, ...]:
    (actor,) = writer.spec.actors
    phrases = [writer.action(actor, event) for event in writer.events_of(actor)]
    order = f"at first it {phrases[0]}, and only after that it {phrases[1]}" if len(phrases) > 1 else f"it {phrases[0]}"
    return (
        f"{writer.name(actor)} {', then '.join(phrases)}, {place}",
        _caption(writer, "paragraph"),
        f"There is {writer.a(actor)} {place}: {order}.",
        f"{writer.a(actor)} {' and then '.join(phrases)} {place}",
    )


def _write_camera(writer: StageWriter, place: str) -> tuple[str, ...]:
    camera, who = writer.spec.camera, writer.a(writer.spec.actors[0])
    moves = f"{'pans' if camera.kind == 'pan' else 'zooms'} {camera.direction}"
    turn = {"left": "The view wanders to the left", "right": "The view wanders to the right"}
    turn |= {"in": "We come closer and closer", "out": "We draw back farther and farther"}
    return (
        f"{_names(writer)[0]}, {place}, camera {moves}",
        _caption(writer, "paragraph"),
        f"{turn[camera.direction or '']} while {who} stays where it is {place}.",
        f"{who} {place}, the camera {moves}",
    )


def _write_absence(writer: StageWriter, place: str) -> tuple[str, ...]:
    who, other = writer.a(writer.spec.actors[0]), absent_of(writer.spec)
    return (
        f"{_names(writer)[0]}, no {other}, {place}",
        f"{_caption(writer, 'paragraph')} There is no {other}.",
        f"{who.capitalize()} {place}, where {article(other)} {other} is nowhere to be found.",
        f"{who} without {article(other)} {other} {place}",
    )


PROMPT_KINDS: dict[str, Callable[[int], Iterator[Spec]]] = {
    "single attribute": _single_shape,
    "attribute binding": _two_colours,
    "count": _equal_actors,
    "spatial relation": _side_by_side,
    "motion verb": _one_event,
    "ordered events": _two_events,
    "camera motion": _moving_camera,
    "absence": _single_actor,
    "background": _landscape,
}
_WRITERS: dict[str, Callable[[StageWriter, str], tuple[str, ...]]] = {
    "single attribute": _write_things,
    "attribute binding": _write_things,
    "count": _write_count,
    "spatial relation": _write_relation,
    "motion verb": _write_events,
    "ordered events": _write_events,
    "camera motion": _write_camera,
    "absence": _write_absence,
    "background": _write_things,
}
