"""Sample random specs within a scope and a split: size, length, story, camera."""

from __future__ import annotations

import numpy as np

from chronotope.errors import UsageError
from chronotope.worlds.splits import Split, split_of, split_rng
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.draft import Draft
from chronotope.worlds.stage.scope import Scope
from chronotope.worlds.stage.spec import Camera, Spec
from chronotope.worlds.stage.stories import choose_story

__all__ = ["compose", "sample_spec"]

_MAX_TRIES = 2000


def sample_spec(seed: int, scope: Scope, split: Split = "train") -> Spec:
    """Return the spec of this seed: the first random spec that belongs to the split."""
    rng = split_rng(seed, split)
    for _ in range(_MAX_TRIES):
        spec = compose(rng, scope)
        if split_of(spec) == split:
            return spec
    raise UsageError(f"no spec of split '{split}' found in this scope: it is too small to hold one out")


def compose(rng: np.random.Generator, scope: Scope) -> Spec:
    """Return one random spec."""
    width, height = scope.sizes[int(rng.integers(len(scope.sizes)))]
    picture = rng.random() < scope.picture_share
    num_frames = 1 if picture else _random_length(rng, scope)
    draft = Draft(rng, scope, width, height, 0.0 if picture else num_frames / scope.fps)
    choose_story(draft)(draft)
    camera = Camera() if picture else _random_camera(draft)
    return Spec(
        width=width,
        height=height,
        fps=scope.fps,
        num_frames=num_frames,
        seed=int(rng.integers(2**31)),
        backdrop=draft.backdrop,
        camera=camera,
        actors=tuple(draft.actors),
        events=tuple(draft.events),
    )


def _random_length(rng: np.random.Generator, scope: Scope) -> int:
    """Return the full length for half of the clips, and any length for the others."""
    return scope.max_frames if rng.random() < 0.5 else int(rng.integers(scope.min_frames, scope.max_frames + 1))


def _random_camera(draft: Draft) -> Camera:
    kinds = [kind for kind in draft.scope.cameras if kind != "still"]
    if not kinds or not draft.chance(draft.scope.moving_camera_share):
        return Camera()
    # Actors enter and leave at the edge of the frame, which must not move then.
    if any(event.kind in ("enter", "leave") for event in draft.events):
        return Camera()
    kind = draft.pick(kinds)
    moving = [event.actor for event in draft.events if event.direction in ("left", "right")]
    if kind in ("follow", "pan") and draft.backdrop in PLAIN_COLOURS:
        return Camera()  # the movement of the camera cannot be seen in front of a plain colour
    if kind == "follow":
        return Camera("follow", actor=moving[0]) if moving else Camera()
    if kind == "pan":
        if moving:
            return Camera()  # an actor that moves with the camera would seem to stand still
        return Camera("pan", draft.pick(("left", "right")), amount=round(draft.uniform(0.2, 0.35), 3))
    direction = draft.pick(("in", "out"))
    actor = draft.events[0].actor if draft.events else draft.actors[0].id
    return Camera("zoom", direction, actor, amount=round(draft.uniform(1.3, 1.7), 3))
