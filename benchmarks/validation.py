"""Can the verdicts be believed? The checker meets clips whose truth is known, and clips that are wrong in a known way.

It must pass what the stage rendered (99 %) and fail the video of another spec that differs in the attribute (95 %). Among those
others the nearest are taken first: the same shape in another colour, the same actor moving another way. Harder controls: the same
spec in another colour, the clip backwards, its first frame frozen, no actor at all.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from chronotope.geometry import Frames
from chronotope.metrics.statistics import Rate
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.splits import Split
from chronotope.worlds.stage.backdrops import flat_backdrop
from chronotope.worlds.stage.checks.attributes import Detections, Verdict, detect, direction_of, judge_sight
from chronotope.worlds.stage.checks.detector import Detector
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import Scope
from chronotope.worlds.stage.spec import Actor, Spec
from tools.degrade import soften

__all__ = ["ATTRIBUTES", "Validation", "held_out_specs", "pass_rates", "validate"]

ATTRIBUTES = ("who", "colour", "direction")


@dataclass(frozen=True)
class Validation:
    """Rates by (clips, attribute): how often the checker said yes."""

    rates: dict[tuple[str, str], Rate]

    def missed(self) -> list[str]:
        """Which promises are not kept: truth passes 99 % of the time, anything else 5 %."""
        problems = []
        for (clips, attribute), rate in self.rates.items():
            good = rate.share >= 0.99 if clips == "truth" else rate.share <= 0.05
            if rate.trials and not good and clips in PROMISED:
                problems.append(f"{attribute} of {clips}: passed {rate}")
        return problems


PROMISED = ("truth", "shuffled", "recoloured", "reversed", "frozen", "empty")


def held_out_specs(count: int, scope: Scope, first_seed: int = 50_000, split: Split = "heldout") -> list[Spec]:
    """Specs that no training saw; the words benchmark takes seeds from 0, this takes others."""
    return [sample_spec(first_seed + index, scope, split) for index in range(count)]


def pass_rates(verdicts: list[tuple[Verdict, ...]]) -> dict[str, Rate]:
    """How many actors pass each attribute that the spec asks of them."""
    rates = {}
    for attribute in (*ATTRIBUTES, "stays"):
        values = [value for clip in verdicts for v in clip if (value := getattr(v, attribute)) is not None]
        rates[attribute] = Rate(sum(values), len(values))
    return rates


def validate(
    detector: Detector,
    specs: list[Spec],
    through: Callable[[Frames], Frames] | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Validation:
    """Judge every spec against its own clip and against wrong ones; `through` (an autoencoder, say) changes every true clip first."""
    rates: dict[tuple[str, str], Rate] = defaultdict(lambda: Rate(0, 0))

    @functools.lru_cache(maxsize=128)
    def sight_of(index: int) -> Detections:
        return detect(detector, render(specs[index]).frames)

    def note(
        clips: str, spec: Spec, sight: Detections, attributes: Sequence[str], actors: set[str] | None = None
    ) -> None:
        for verdict in judge_sight(sight, spec):
            for attribute in attributes:
                passed = getattr(verdict, attribute)
                if passed is not None and (actors is None or verdict.actor in actors):
                    rates[clips, attribute] += Rate(int(passed), 1)

    for index, spec in enumerate(specs):
        note("truth", spec, sight_of(index), (*ATTRIBUTES, "stays"))
        frames = render(spec).frames
        note("truth, softened", spec, detect(detector, soften(frames, index)), (*ATTRIBUTES, "stays"))
        if through:
            note("truth, through", spec, detect(detector, through(frames)), (*ATTRIBUTES, "stays"))
        for attribute in ATTRIBUTES:
            for actor in spec.actors:
                other = _other(spec, actor.id, attribute, index, specs)
                if other is not None:
                    note("shuffled", spec, sight_of(other), (attribute,), {actor.id})
        for control, attribute, sight, actors in _controls(detector, spec, sight_of(index), index):
            note(control, spec, sight, (attribute,), actors)
        report(index + 1)
    return Validation(dict(rates))


def _controls(
    detector: Detector, spec: Spec, sight: Detections, index: int
) -> Iterator[tuple[str, str, Detections, set[str]]]:
    """(control, the attribute that is wrong in it, what is seen, the actors in whom it is wrong)."""
    if any(direction_of(spec, actor) for actor in spec.actors):
        # the detector looks at one frame at a time, so what it saw can be put in another order
        everybody = {actor.id for actor in spec.actors}
        yield "reversed", "direction", Detections(sight.frames[::-1], sight.likely[::-1]), everybody
        still = np.full(len(sight.frames), len(sight.frames) // 2)
        yield "frozen", "direction", Detections(sight.frames[still], sight.likely[still]), everybody
    changed = _recoloured(spec, index)
    coloured = {a.id for a, b in zip(spec.actors, changed.actors, strict=True) if a.colour != b.colour}
    if coloured:
        yield "recoloured", "colour", detect(detector, render(changed).frames), coloured
    empty = flat_backdrop(spec.backdrop, spec.width, spec.height, spec.seed)[None]
    yield "empty", "who", detect(detector, np.ascontiguousarray(empty)), {actor.id for actor in spec.actors}


def _other(spec: Spec, name: str, attribute: str, index: int, specs: list[Spec]) -> int | None:
    """The next spec in which this attribute of this actor is not what is asked; with the same actor otherwise, if there is one."""
    actor = spec.actor(name)
    way = direction_of(spec, actor)
    fallback = None
    for step in range(1, len(specs)):
        place = (index + step) % len(specs)
        other = specs[place]
        same = [a for a in other.actors if a.noun == actor.noun]
        if attribute == "who":
            if not same:
                return place
        elif attribute == "colour" and actor.colour:
            colours = {a.colour for a in other.actors if a.colour}
            if same and all(a.colour != actor.colour for a in same):
                return place
            if fallback is None and colours and actor.colour not in colours:
                fallback = place
        elif attribute == "direction" and way:
            if same and other.num_frames > 1 and all(direction_of(other, a) != way for a in same):
                return place
            if fallback is None and not same:
                fallback = place
    return fallback


def _recoloured(spec: Spec, index: int) -> Spec:
    """The same scene with every shape in the next colour but the backdrop's."""
    names = [colour for colour in COLOURS if colour not in (spec.backdrop, "pink", "white", "black", "brown")]
    step = 1 + index % (len(names) - 1)

    def changed(actor: Actor) -> Actor:
        place = names.index(actor.colour) if actor.colour in names else None
        return actor if place is None else dataclasses.replace(actor, colour=names[(place + step) % len(names)])

    return dataclasses.replace(spec, actors=tuple(changed(actor) for actor in spec.actors))
