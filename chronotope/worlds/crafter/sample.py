"""Sample specs: windows of games that a policy plays, each map in one split."""

from __future__ import annotations

import dataclasses

from chronotope.errors import UsageError
from chronotope.worlds.crafter.deeds import deeds, pairs
from chronotope.worlds.crafter.simulate import played, simulate
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.splits import Split, key_of_record, split_by, split_rng

__all__ = ["NEW_COMBINATIONS", "CrafterScope", "sample_crafter", "split_of_spec"]

# Deeds and places that no clip of the training split shows together; each of both is common elsewhere.
NEW_COMBINATIONS = frozenset(
    {
        ("chop tree", "shore"),
        ("eat cow", "shore"),
        ("pick sapling", "shore"),
        ("place table", "forest"),
        ("walk left", "rocks"),
        ("walk up", "forest"),
    }
)

MAPS = 100  # games tried before a split counts as empty
PER_MAP = 4  # clips from one map, since a new map takes longer than its clips
NIGHT_SHARE = 0.15  # of the clips may be dark; by chance it would be a third, and its grain is hard to learn
DARK = 0.5  # daylight below which there is grain
TRIES = 12  # windows tried in one game


@dataclasses.dataclass(frozen=True)
class CrafterScope:
    """What the clips may contain: who plays, and the sizes and lengths of clips."""

    policy: str = "forager"
    sizes: tuple[tuple[int, int], ...] = ((64, 64), (96, 64), (64, 96))
    fps: float = 8.0
    lengths: tuple[int, ...] = (16, 24, 32, 48)
    picture_share: float = 0.05
    latest: int = 500  # step at which a clip may end
    area: int = 64


def split_of_spec(spec: CrafterSpec) -> Split:
    """Return the split of a spec: by what is done where, or by its map, so that no map is in two splits."""
    episode = simulate(spec)
    if pairs(deeds(episode.scenes, episode.positions), episode.scenes) & NEW_COMBINATIONS:
        return "combination"
    return split_by(_map_key(spec), [])


def sample_crafter(seed: int, scope: CrafterScope, split: Split) -> CrafterSpec:
    """Return the spec of this seed: the first window of the split, on the maps that this seed shares with others.

    Four seeds in a row share a map, each with a quarter of its game. Raises UsageError where no map has a window of the
    split.
    """
    rng, maps = split_rng(seed, split), split_rng(seed // PER_MAP, split)
    width, height = scope.sizes[int(rng.integers(len(scope.sizes)))]
    picture = rng.random() < scope.picture_share
    num_frames = 1 if picture else int(rng.choice(scope.lengths))
    dark = rng.random() < NIGHT_SHARE
    tried = 0
    while tried < MAPS:
        spec = CrafterSpec(
            width, height, scope.fps, num_frames, int(maps.integers(2**31)), policy=scope.policy, area=scope.area
        )
        if split != "combination" and split_by(_map_key(spec), []) != split:
            continue
        tried += 1
        steps = len(played(spec.seed, spec.area, spec.policy).to(scope.latest))
        quarter = (steps - 1) // PER_MAP  # the last frame of a game may show a dead player, so no clip contains it
        for _ in range(TRIES if quarter >= num_frames else 0):
            start = quarter * (seed % PER_MAP) + int(rng.integers(quarter - num_frames + 1))
            window = dataclasses.replace(spec, start=start)
            light = simulate(window).scenes.daylight.min()
            if (dark or light >= DARK) and split_of_spec(window) == split:
                return window
    raise UsageError(f"no clip of split '{split}' found: clips of {num_frames} frames are too long or too short")


def _map_key(spec: CrafterSpec) -> str:
    return key_of_record({"world": "crafter", "seed": spec.seed, "area": spec.area})
