"""What faults are planted with: the same spec without somebody or with somebody changed, who can be changed at all, and when."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from chronotope.geometry import Frames
from chronotope.worlds.stage.checks.tracking import truth_of
from chronotope.worlds.stage.spec import Actor, Spec

__all__ = ["apart", "changed", "moment_of", "pick", "steady", "then", "without"]


def without(spec: Spec, name: str) -> Spec:
    """Nobody of this name, and nothing that happened with them."""
    actors = tuple(actor for actor in spec.actors if actor.id != name)
    return dataclasses.replace(
        spec, actors=actors, events=tuple(e for e in spec.events if name not in (e.actor, e.target))
    )


def changed(spec: Spec, name: str, **changes: object) -> Spec:
    """The same spec, with something about one actor changed."""
    actors = tuple(dataclasses.replace(actor, **changes) if actor.id == name else actor for actor in spec.actors)  # type: ignore[arg-type]
    return dataclasses.replace(spec, actors=actors)


def steady(spec: Spec, *besides: str) -> list[Actor]:
    """Those who are in full view through the whole clip, apart from all others, and do none of these things."""
    visible = truth_of(spec).visible_fraction
    busy = {event.actor for event in spec.events if event.kind in besides}
    fit = (place for place, actor in enumerate(spec.actors) if visible[:, place].min() >= 0.9 and actor.id not in busy)
    return [spec.actors[place] for place in fit if apart(spec, place)]


def apart(spec: Spec, place: int) -> bool:
    """Whether nobody's box ever comes near this one's."""
    truth, gap = truth_of(spec), 8 * min(spec.width, spec.height) / 64
    far = [
        np.abs(at - at[:, [place]]) - (size + size[:, [place]]) / 2
        for at, size in ((truth.x, truth.width), (truth.y, truth.height))
    ]
    return bool((np.delete(np.maximum(*far), place, axis=1) > gap).all())


def pick(choices: Sequence[Actor], rng: np.random.Generator) -> Actor | None:
    """One of them, if there is any."""
    return choices[int(rng.integers(len(choices)))] if choices else None


def moment_of(spec: Spec, rng: np.random.Generator) -> int | None:
    """A frame in the middle of the clip, with at least half a second before and after it."""
    least = max(3, round(spec.fps / 2))
    return int(rng.integers(least, spec.num_frames - least + 1)) if spec.num_frames >= 2 * least else None


def then(first: Frames, second: Frames, moment: int) -> Frames:
    """The one clip until a frame, and from there the other."""
    return np.concatenate([first[:moment], second[moment:]])
