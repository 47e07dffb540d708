"""Nine kinds of things that prompts ask for, each in four forms, written from the spec.

`short` is what somebody types, `descriptive` a paragraph, `paraphrased` says it in words that no caption of the stage uses, `rewritten` is
a caption, as an expansion of the short one would give. Of like things, of what shall not be there and of the moving camera the captions
of the scope `small` never speak: there a model trained on it has to guess.
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
from chronotope.worlds.stage.checks.relations import MOVING, absent_of, camera_of
from chronotope.worlds.stage.phrases import StageWriter
from chronotope.worlds.stage.scope import SCOPES, Scope
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import Camera, Spec
from chronotope.worlds.stage.suites.specs import held_out, names_place, specs_of, travellers
from chronotope.worlds.stage.vocabulary import places

__all__ = ["PROMPT_KINDS", "prompts_of", "prompts_suite"]

SPECS = 12  # of each kind
STANDING, ACTING = 8, 16  # frames
NUMBERS = ("no", "one", "two", "three", "four", "five")
ALIKE = 0.36  # short sides: the size of one of several


def prompts_suite() -> Iterator[SuiteItem]:
    """Every kind in its turn, each scene in every form."""
    for index in range(SPECS * len(PROMPT_KINDS)):
        kind = list(PROMPT_KINDS)[index % len(PROMPT_KINDS)]
        spec = next(PROMPT_KINDS[kind](4_700_000 + index))
        for form, prompt in prompts_of(kind, spec).items():
            yield SuiteItem(index, spec, prompt, form, kind=kind)


# Specs


def _standing(seed: int, scope: Scope) -> Iterator[Spec]:
    """Scenes in which nothing happens."""
    quiet = dataclasses.replace(scope, events=(), min_frames=STANDING, max_frames=STANDING, picture_share=0.0)
    return specs_of(seed, quiet, "heldout")


def _single(seed: int) -> Iterator[Spec]:
    return _standing(seed, dataclasses.replace(SCOPES["small"], max_actors=1, shape_share=1.0))


def _in_a_landscape(seed: int) -> Iterator[Spec]:
    return (spec for spec in _alone(seed) if spec.backdrop not in PLAIN_COLOURS)


def _alone(seed: int) -> Iterator[Spec]:
    return _standing(seed, dataclasses.replace(SCOPES["small"], max_actors=1))


def _two_colours(seed: int) -> Iterator[Spec]:
    scope = dataclasses.replace(SCOPES["small"], shape_share=1.0)
    return (spec for spec in _apart(_standing(seed, scope)) if len({actor.colour for actor in spec.actors}) == 2)


def _beside(seed: int) -> Iterator[Spec]:
    return _apart(_standing(seed, SCOPES["small"]))


def _apart(specs: Iterator[Spec]) -> Iterator[Spec]:
    """Those of two actors, one clearly to the left of the other."""
    return (spec for spec in specs if len(spec.actors) == 2 and abs(spec.actors[0].x - spec.actors[1].x) >= 0.4)


def _several(seed: int) -> Iterator[Spec]:
    """One to five alike, in two rows on a plain place."""
    scope = dataclasses.replace(SCOPES["small"], sizes=((96, 64),))
    count = 1 + seed % 5
    for spec in _standing(seed, dataclasses.replace(scope, max_actors=1, shape_share=1.0)):
        places_of = [(x, y) for y in (0.25, 0.75) for x in (0.17, 0.5, 0.83)]
        chosen = np.random.default_rng(seed).permutation(len(places_of))[:count]
        alike = tuple(
            dataclasses.replace(
                spec.actors[0], id=f"{spec.actors[0].noun}{number}", x=places_of[i][0], y=places_of[i][1], size=ALIKE
            )
            for number, i in enumerate(chosen)
        )
        if spec.backdrop in PLAIN_COLOURS and (found := held_out(dataclasses.replace(spec, actors=alike))) is not None:
            yield found


def _doing(seed: int) -> Iterator[Spec]:
    """Somebody who goes, grows or shrinks."""
    if seed % 2:
        yield from travellers(seed, ACTING, sideways=False)
    scope = dataclasses.replace(
        SCOPES["small"],
        events=("grow", "shrink"),
        max_actors=1,
        min_frames=ACTING,
        max_frames=ACTING,
        picture_share=0.0,
    )
    yield from (spec for spec in specs_of(seed, scope, "heldout") if spec.events)


def _one_after_the_other(seed: int) -> Iterator[Spec]:
    scope = dataclasses.replace(SCOPES["acts"], min_frames=ACTING, max_frames=ACTING)
    return (spec for spec in specs_of(seed, scope, "heldout") if len(spec.events) == 2)


def _seen_by_a_moving_camera(seed: int) -> Iterator[Spec]:
    """Somebody who stands in a landscape, and a camera that pans or zooms as can be seen."""
    scope = dataclasses.replace(SCOPES["small"], backdrops=("hills", "sea", "night", "sky"), max_actors=1)
    for spec in _standing(seed, scope):
        actor = spec.actors[0]
        camera = (
            Camera("pan", "left", amount=0.3),
            Camera("zoom", "in", actor.id, amount=1.6),
            Camera("pan", "right", amount=0.3),
            Camera("zoom", "out", actor.id, amount=1.6),
        )[seed % 4]
        moved = dataclasses.replace(spec, num_frames=ACTING, camera=camera, actors=(dataclasses.replace(actor, x=0.5),))
        if (found := held_out(moved)) is not None and camera_of(found) >= MOVING:
            yield found


# Words


def prompts_of(kind: str, spec: Spec) -> dict[str, str]:
    """The four forms of a prompt; each names the place."""
    if kind not in _WRITERS:
        raise UsageError(f"no prompts are written of '{kind}'; expected {', '.join(_WRITERS)}")
    pen = StageWriter(spec, simulate(spec), np.random.default_rng(spec.seed))
    return dict(zip(PROMPT_FORMS, _WRITERS[kind](pen, places(spec.backdrop)[0]), strict=True))


def _caption(pen: StageWriter, level: str) -> str:
    """The first caption of this level that names the place."""
    return next(text for text in captions(pen.spec, 12)[level] if names_place(text, pen.spec.backdrop))


def _told(pen: StageWriter) -> list[str]:
    return [pen.name(actor) for actor in pen.spec.actors]


def _things(pen: StageWriter, place: str) -> tuple[str, ...]:
    """Who is there, and where."""
    who = " and ".join(pen.a(actor) for actor in pen.spec.actors)
    are = "are" if len(pen.spec.actors) > 1 else "is"
    return (
        f"{', '.join(_told(pen))}, {place}",
        _caption(pen, "paragraph"),
        f"What can be made out {place} {are} {who}.",
        f"{who} {place}",
    )


def _count(pen: StageWriter, place: str) -> tuple[str, ...]:
    spec = pen.spec
    number, name = NUMBERS[len(spec.actors)], _told(pen)[0]
    ending, are, they = ("s", "are", "They do") if len(spec.actors) > 1 else ("", "is", "It does")
    return (
        f"{number} {name}{ending}, {place}",
        f"This video shows {number} {name}{ending} {place}. There {are} exactly {number} of this kind. {they} not move.",
        f"Whoever counts the {name}s {place} comes to {number}.",
        f"{number} {name}{ending} {place}",
    )


def _relation(pen: StageWriter, place: str) -> tuple[str, ...]:
    left, right = sorted(pen.spec.actors, key=lambda actor: actor.x)
    one, two = pen.name(left), pen.name(right)
    return (
        f"{one} left of {two}, {place}",
        f"This video shows {pen.a(left)} and {pen.a(right)} {place}. The {one} is on the left. The {two} is on the right.",
        f"{pen.a(right).capitalize()} has {pen.a(left)} to its left; this is {place}.",
        f"{pen.a(left)} to the left of {pen.a(right)} {place}",
    )


def _deeds(pen: StageWriter, place: str) -> tuple[str, ...]:
    (actor,) = pen.spec.actors
    deeds = [pen.action(actor, event) for event in pen.events_of(actor)]
    order = f"at first it {deeds[0]}, and only after that it {deeds[1]}" if len(deeds) > 1 else f"it {deeds[0]}"
    return (
        f"{pen.name(actor)} {', then '.join(deeds)}, {place}",
        _caption(pen, "paragraph"),
        f"There is {pen.a(actor)} {place}: {order}.",
        f"{pen.a(actor)} {' and then '.join(deeds)} {place}",
    )


def _camera(pen: StageWriter, place: str) -> tuple[str, ...]:
    camera, who = pen.spec.camera, pen.a(pen.spec.actors[0])
    moves = f"{'pans' if camera.kind == 'pan' else 'zooms'} {camera.direction}"
    turn = {"left": "The view wanders to the left", "right": "The view wanders to the right"}
    turn |= {"in": "We come closer and closer", "out": "We draw back farther and farther"}
    return (
        f"{_told(pen)[0]}, {place}, camera {moves}",
        _caption(pen, "paragraph"),
        f"{turn[camera.direction or '']} while {who} stays where it is {place}.",
        f"{who} {place}, the camera {moves}",
    )


def _absence(pen: StageWriter, place: str) -> tuple[str, ...]:
    who, other = pen.a(pen.spec.actors[0]), absent_of(pen.spec)
    return (
        f"{_told(pen)[0]}, no {other}, {place}",
        f"{_caption(pen, 'paragraph')} There is no {other}.",
        f"{who.capitalize()} {place}, where {article(other)} {other} is nowhere to be found.",
        f"{who} without {article(other)} {other} {place}",
    )


PROMPT_KINDS: dict[str, Callable[[int], Iterator[Spec]]] = {
    "single attribute": _single,
    "attribute binding": _two_colours,
    "count": _several,
    "spatial relation": _beside,
    "motion verb": _doing,
    "ordered events": _one_after_the_other,
    "camera motion": _seen_by_a_moving_camera,
    "absence": _alone,
    "background": _in_a_landscape,
}
_WRITERS: dict[str, Callable[[StageWriter, str], tuple[str, ...]]] = {
    "single attribute": _things,
    "attribute binding": _things,
    "count": _count,
    "spatial relation": _relation,
    "motion verb": _deeds,
    "ordered events": _deeds,
    "camera motion": _camera,
    "absence": _absence,
    "background": _things,
}
