"""One random scene within a scope: a story is chosen, then who plays it, where and when, so that everything fits the frame."""

from __future__ import annotations

import numpy as np

from chronotope.worlds.stage.backdrops import PLAIN
from chronotope.worlds.stage.draft import Draft
from chronotope.worlds.stage.scope import Scope
from chronotope.worlds.stage.spec import Camera, Spec
from chronotope.worlds.stage.stories import choose_story

__all__ = ["compose"]


def compose(rng: np.random.Generator, scope: Scope) -> Spec:
    """Draw one spec."""
    width, height = scope.sizes[int(rng.integers(len(scope.sizes)))]
    picture = rng.random() < scope.picture_share
    frames = 1 if picture else _length(rng, scope)
    draft = Draft(rng, scope, width, height, 0.0 if picture else frames / scope.fps)
    choose_story(draft)(draft)
    camera = Camera() if picture else _camera(draft)
    return Spec(
        width,
        height,
        scope.fps,
        frames,
        int(rng.integers(2**31)),
        draft.backdrop,
        camera,
        tuple(draft.actors),
        tuple(draft.events),
    )


def _length(rng: np.random.Generator, scope: Scope) -> int:
    """Half the clips have the full length, the others any length."""
    return scope.max_frames if rng.random() < 0.5 else int(rng.integers(scope.min_frames, scope.max_frames + 1))


def _camera(draft: Draft) -> Camera:
    kinds = [kind for kind in draft.scope.cameras if kind != "still"]
    # A thing that enters or leaves does so at the edge of the frame, which must then stay where it is.
    if (
        not kinds
        or not draft.chance(draft.scope.moving_camera_share)
        or any(e.kind in ("enter", "leave") for e in draft.events)
    ):
        return Camera()
    kind = draft.pick(kinds)
    movers = [e.actor for e in draft.events if e.direction in ("left", "right")]
    if kind in ("follow", "pan") and draft.backdrop in PLAIN:
        return Camera()  # without scenery nobody could see that the camera moves
    if kind == "follow":
        return Camera("follow", actor=movers[0]) if movers else Camera()
    if kind == "pan":
        # A thing that moves with the camera would seem to stand still.
        return (
            Camera()
            if movers
            else Camera("pan", draft.pick(("left", "right")), amount=round(draft.within(0.2, 0.35), 3))
        )
    return Camera(
        "zoom",
        draft.pick(("in", "out")),
        (draft.events[0].actor if draft.events else draft.actors[0].id),
        amount=round(draft.within(1.3, 1.7), 3),
    )
