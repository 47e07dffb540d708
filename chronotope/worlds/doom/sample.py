"""Sample specs: windows of games that a policy plays, each map in one split."""

from __future__ import annotations

import dataclasses

from chronotope.errors import UsageError
from chronotope.worlds.doom.deeds import deeds
from chronotope.worlds.doom.simulate import planned
from chronotope.worlds.doom.spec import HELDOUT_MAPS, MAPS, DoomSpec
from chronotope.worlds.splits import Split, split_rng

__all__ = ["DoomScope", "sample_doom", "split_of_spec"]

PER_GAME = 4  # clips from one game, since a game takes longer to begin than to go on
GAMES = 20  # tried before a seed is given up


@dataclasses.dataclass(frozen=True)
class DoomScope:
    """What the clips may contain: who plays, and the sizes and lengths of clips."""

    policy: str = "explorer"
    sizes: tuple[tuple[int, int], ...] = ((96, 64), (64, 64), (128, 96))
    fps: float = 8.75
    lengths: tuple[int, ...] = (16, 24, 32)
    picture_share: float = 0.05
    latest: int = 240  # frame at which a clip may end


def split_of_spec(spec: DoomSpec) -> Split:
    """Return the split of a spec: that of its map."""
    return "heldout" if spec.map in HELDOUT_MAPS else "train"


def sample_doom(seed: int, scope: DoomScope, split: Split) -> DoomSpec:
    """Return the spec of this seed; four seeds in a row share a game, each with a quarter of it.

    Raises UsageError for the split "combination", which this world does not have.
    """
    if split == "combination":
        raise UsageError("Doom has no split 'combination'; choose train or heldout (other maps)")
    rng, games = split_rng(seed, split), split_rng(seed // PER_GAME, split)
    width, height = scope.sizes[int(rng.integers(len(scope.sizes)))]
    picture = rng.random() < scope.picture_share
    num_frames = 1 if picture else int(rng.choice(scope.lengths))
    maps = [name for name in MAPS if (name in HELDOUT_MAPS) == (split == "heldout")]
    for _ in range(GAMES):
        spec = DoomSpec(
            width, height, scope.fps, num_frames, maps[int(games.integers(len(maps)))], int(games.integers(2**31)),
            policy=scope.policy,
        )  # fmt: skip
        _, states = planned(spec.map, spec.seed, spec.tics, scope.latest)
        quarter = (len(states) - 1) // PER_GAME
        if quarter <= num_frames:
            continue
        start = quarter * (seed % PER_GAME) + int(rng.integers(quarter - num_frames + 1))
        if num_frames == 1 or deeds(states[start : start + num_frames]):
            return dataclasses.replace(spec, start=start)
    raise UsageError(f"no clip of {num_frames} frames found in {GAMES} games; take another seed")
