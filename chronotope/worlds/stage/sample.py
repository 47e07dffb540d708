"""Sample random specs within a scope and a split."""

from __future__ import annotations

from chronotope.errors import UsageError
from chronotope.worlds.splits import Split, split_of, split_rng
from chronotope.worlds.stage.compose import compose
from chronotope.worlds.stage.scope import Scope
from chronotope.worlds.stage.spec import Spec

__all__ = ["sample_spec"]

_MAX_TRIES = 2000


def sample_spec(seed: int, scope: Scope, split: Split = "train") -> Spec:
    """Return the spec of this seed: the first random spec that belongs to the split."""
    rng = split_rng(seed, split)
    for _ in range(_MAX_TRIES):
        spec = compose(rng, scope)
        if split_of(spec) == split:
            return spec
    raise UsageError(f"no spec of split '{split}' found in this scope: it is too small to hold one out")
