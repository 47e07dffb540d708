"""Measure the recall and the false-positive rate of the attribute checks on clips whose truth is known.

The checks must pass clips that the stage rendered (99 %) and fail clips of another spec that differs in the attribute
(95 %). Among other specs the most similar are used first: the same shape in another colour, the same actor with another
direction. Harder controls are the same spec in another colour, the reversed clip, a frozen frame, and an empty stage.
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
from chronotope.worlds.stage.checks.attributes import Detections, Verdict, detect, direction_of, judge_detections
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
    """Pass rates by (kind of clips, attribute)."""

    rates: dict[tuple[str, str], Rate]

    def missed(self, least: float = 0.99, most: float = 0.05) -> list[str]:
        """List the required rates that are missed: at least `least` for true clips, at most `most` for all others."""
        problems = []
        for (clips, attribute), rate in self.rates.items():
            good = rate.share >= least if clips == "truth" else rate.share <= most
            if rate.trials and not good and clips in REQUIRED:
                problems.append(f"{attribute} of {clips}: passed {rate}")
        return problems


REQUIRED = ("truth", "shuffled", "recoloured", "reversed", "frozen", "empty")


def held_out_specs(count: int, scope: Scope, first_seed: int = 50_000, split: Split = "heldout") -> list[Spec]:
    """Sample specs of a split that is held out from training, with other seeds than the words benchmark."""
    return [sample_spec(first_seed + index, scope, split) for index in range(count)]


def pass_rates(verdicts: list[tuple[Verdict, ...]]) -> dict[str, Rate]:
    """Return the share of actors that pass, for each attribute that the specs determine."""
    rates = {}
    for attribute in (*ATTRIBUTES, "stays"):
        values = [value for clip in verdicts for v in clip if (value := getattr(v, attribute)) is not None]
        rates[attribute] = Rate(sum(values), len(values))
    return rates


def validate(
    detector: Detector,
    specs: list[Spec],
    through: Callable[[Frames], Frames] | None = None,
    on_done: Callable[[int], None] = lambda done: None,
) -> Validation:
    """Judge every spec on its own clip, on wrong clips, and on its own clip after `through`, such as an autoencoder."""
    rates: dict[tuple[str, str], Rate] = defaultdict(lambda: Rate(0, 0))

    @functools.lru_cache(maxsize=128)
    def sight_of(index: int) -> Detections:
        return detect(detector, render(specs[index]).frames)

    def note(
        clips: str, spec: Spec, sight: Detections, attributes: Sequence[str], actors: set[str] | None = None
    ) -> None:
        for verdict in judge_detections(sight, spec):
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
        on_done(index + 1)
    return Validation(dict(rates))


def _controls(
    detector: Detector, spec: Spec, sight: Detections, index: int
) -> Iterator[tuple[str, str, Detections, set[str]]]:
    """Yield (control, attribute that is wrong, detections, actors for which it is wrong)."""
    if any(direction_of(spec, actor) for actor in spec.actors):
        # the detector processes each frame alone, so its detections can be reordered
        all_actors = {actor.id for actor in spec.actors}
        yield "reversed", "direction", Detections(sight.frames[::-1], sight.probability[::-1]), all_actors
        still = np.full(len(sight.frames), len(sight.frames) // 2)
        yield "frozen", "direction", Detections(sight.frames[still], sight.probability[still]), all_actors
    changed = _recoloured(spec, index)
    coloured = {a.id for a, b in zip(spec.actors, changed.actors, strict=True) if a.colour != b.colour}
    if coloured:
        yield "recoloured", "colour", detect(detector, render(changed).frames), coloured
    empty = flat_backdrop(spec.backdrop, spec.width, spec.height, spec.seed)[None]
    yield "empty", "who", detect(detector, np.ascontiguousarray(empty)), {actor.id for actor in spec.actors}


def _other(spec: Spec, name: str, attribute: str, index: int, specs: list[Spec]) -> int | None:
    """Find the next spec that differs in this attribute of this actor, if possible with the same actor otherwise."""
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
    """Return the same scene with every shape in another colour than its own and that of the backdrop."""
    names = [colour for colour in COLOURS if colour not in (spec.backdrop, "pink", "white", "black", "brown")]
    step = 1 + index % (len(names) - 1)

    def changed(actor: Actor) -> Actor:
        place = names.index(actor.colour) if actor.colour in names else None
        return actor if place is None else dataclasses.replace(actor, colour=names[(place + step) % len(names)])

    return dataclasses.replace(spec, actors=tuple(changed(actor) for actor in spec.actors))
