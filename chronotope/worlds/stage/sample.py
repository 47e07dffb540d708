"""Random specs within a scope, and the splits: train, held out by hash, and pairs of attributes never seen together."""

from __future__ import annotations

from chronotope.errors import UsageError
from chronotope.worlds.splits import Split, spec_key, split_by, split_rng
from chronotope.worlds.stage.compose import compose
from chronotope.worlds.stage.scope import Scope
from chronotope.worlds.stage.spec import Spec

__all__ = ["attribute_pairs", "sample_spec", "split_of"]

_TRIES = 2000


# fmt: on


def sample_spec(seed: int, scope: Scope, split: Split = "train") -> Spec:
    """The spec of this seed: the first of its draws that belongs to the split."""
    rng = split_rng(seed, split)
    for _ in range(_TRIES):
        spec = compose(rng, scope)
        if split_of(spec) == split:
            return spec
    raise UsageError(f"no spec of split '{split}' found in this scope: it is too small to hold one out")


def split_of(spec: Spec) -> Split:
    """Which split a spec belongs to; this depends on the spec alone."""
    return split_by(spec_key(spec), attribute_pairs(spec))


def attribute_pairs(spec: Spec) -> set[tuple[str, str]]:
    """The pairs whose novelty the combination split tests: (colour, noun) and (noun, direction)."""
    pairs = {(actor.colour, actor.noun) for actor in spec.actors if actor.colour}
    return pairs | {(spec.actor(event.actor).noun, event.direction) for event in spec.events if event.direction}
