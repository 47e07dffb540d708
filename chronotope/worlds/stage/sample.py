"""Random specs within a scope, and the splits: train, held out by hash, and pairs of attributes never seen together."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Literal

import numpy as np

from chronotope.errors import UsageError, suggest
from chronotope.worlds.stage.backdrops import PLAIN
from chronotope.worlds.stage.cast import CAST, COLOURS, SHAPES
from chronotope.worlds.stage.compose import compose
from chronotope.worlds.stage.spec import BACKDROPS, CAMERAS, Spec, spec_key

__all__ = [
    "SCOPES",
    "Scope",
    "Split",
    "attribute_pairs",
    "sample_spec",
    "scope_of",
    "split_by",
    "split_of",
    "split_rng",
]

Split = Literal["train", "heldout", "combination"]
HELDOUT_SHARE, COMBINATION_SHARE = 0.05, 0.06
_TRIES = 2000


@dataclasses.dataclass(frozen=True)
class Scope:
    """What a world may contain; sizes of actors are in short frame sides."""

    shapes: tuple[str, ...]
    nouns: tuple[str, ...]
    colours: tuple[str, ...]
    backdrops: tuple[str, ...]
    events: tuple[str, ...]
    cameras: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    max_actors: int = 2
    fps: float = 8.0
    min_frames: int = 2
    max_frames: int = 24
    picture_share: float = 0.25
    moving_camera_share: float = 0.1
    shape_share: float = 0.4
    smallest: float = 0.35
    largest: float = 0.55
    told_share: float = (
        0.1  # how often each deed with a story of its own (eat, meet, ...) is told, beside the other stories together
    )
    stories: tuple[str, ...] = ()  # of `returns`, instead of all others
    acts: int = 1  # how many things one actor does, one after the other: 1 or 2


_SIX_SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond")
_SIX_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
_MANY_COLOURS = (*_SIX_COLOURS, "pink", "white")
_FEW = ("fox", "cat", "rabbit", "fish", "butterfly", "penguin", "car", "rocket", "balloon", "apple", "tree", "house")
_USEFUL = (
    "fox", "dog", "cat", "rabbit", "fish", "bird", "butterfly", "duck", "elephant", "penguin", "car", "bus", "sailboat", "rocket",
    "airplane", "balloon", "apple", "tree", "house", "flower", "mushroom", "ghost", "robot", "soccer ball",
)  # fmt: skip
_OPEN_PLACES, _MORE_PLACES = ("sky", "hills", "sea", "night"), ("sky", "hills", "sea", "street", "room", "night")
_IN_PLACE = ("move", "bounce", "grow", "shrink")
_PLAINLY = ("walk", "fly", "move", "enter", "grow", "shrink")
_RETURNS = (
    "walk",
    "fly",
    "move",
    "creep",
    "dash",
    "leave",
    "enter",
    "hide",
    "emerge",
    "stay",
    "beside",
    "grow",
    "shrink",
)
_DEEDS = ("leave", "bounce", "spin", "stop", "meet", "hit", "eat")
_SIMPLE = ("enter", "leave", "walk", "fly", "move", "roll", "bounce", "grow", "shrink")
_RICH = (*_SIMPLE, "spin", "stop", "meet", "push", "hit", "eat", "paint", "switch")
_TINY_SIZES = ((64, 64), (96, 64), (64, 96), (80, 48), (48, 80))
_LARGE_SIZES = ((128, 128), (192, 128), (128, 192), (256, 144), (144, 256))

# fmt: off
SCOPES: dict[str, Scope] = {
    #                shapes           nouns        colours         backdrops                           events     cameras
    "shapes": Scope(_SIX_SHAPES,      (),          _MANY_COLOURS,  (*PLAIN, "sky", "night"),           _IN_PLACE, ("still",),
                    _TINY_SIZES, shape_share=1.0, moving_camera_share=0.0),
    "small":  Scope(_SIX_SHAPES[:5],  _FEW,        _SIX_COLOURS,   ("white", "black", *_OPEN_PLACES),  _PLAINLY,  ("still",),
                    _TINY_SIZES[:3], min_frames=4, max_frames=17, picture_share=0.2, moving_camera_share=0.0, smallest=0.42, largest=0.6),
    "acts":   Scope(_SIX_SHAPES[:5],  _FEW,        _SIX_COLOURS,   ("white", "black", *_OPEN_PLACES),  (*_PLAINLY, "leave"), ("still",),
                    _TINY_SIZES[:3], min_frames=12, max_frames=17, picture_share=0.0, moving_camera_share=0.0, smallest=0.42, largest=0.6,
                    acts=2),
    "deeds":  Scope(_SIX_SHAPES[:5],  _FEW,        _SIX_COLOURS,   ("white", "black", *_OPEN_PLACES),  (*_PLAINLY, *_DEEDS), ("still",),
                    _TINY_SIZES[:3], min_frames=12, max_frames=17, picture_share=0.0, moving_camera_share=0.0, smallest=0.42, largest=0.6),
    "returns": Scope(_SIX_SHAPES[:5], _FEW,        _SIX_COLOURS,   ("white", "black", *_OPEN_PLACES),  _RETURNS,  ("still",),
                    ((96, 64), (112, 64), (128, 64)), min_frames=24, max_frames=33, picture_share=0.0, moving_camera_share=0.0,
                    smallest=0.42, largest=0.54, stories=("beside", "cross", "screened", "hide", "away", "altered", "paced")),
    "wide":   Scope(_SIX_SHAPES,      _USEFUL,     _MANY_COLOURS,  (*PLAIN, *_MORE_PLACES),            _SIMPLE,   ("still", "pan", "zoom"),
                    _TINY_SIZES),
    "full":   Scope(SHAPES,           tuple(CAST), tuple(COLOURS), BACKDROPS,                          _RICH,     CAMERAS,
                    _LARGE_SIZES, max_actors=3, max_frames=48, moving_camera_share=0.3, shape_share=0.25, smallest=0.22, largest=0.55),
}
# fmt: on


def scope_of(deed: str) -> Scope:
    """The scope `deeds` with only this one of its deeds beside the plain ones, and often."""
    if deed not in _DEEDS:
        raise UsageError(f"'{deed}' is not a deed of the scope deeds. {suggest(deed, _DEEDS)}")
    return dataclasses.replace(SCOPES["deeds"], events=(*_PLAINLY, deed), told_share=10.0)


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


def split_by(key: str, pairs: Iterable[tuple[str, str]]) -> Split:
    """The split of a spec with this key and these pairs of attributes, of any world."""
    if any(_share(f"{a}|{b}") < COMBINATION_SHARE for a, b in pairs):
        return "combination"
    return "heldout" if int(key[:8], 16) < HELDOUT_SHARE * 2**32 else "train"


def split_rng(seed: int, split: str) -> np.random.Generator:
    """The dice of a seed and a split."""
    if split not in ("train", "heldout", "combination"):
        raise UsageError(f"unknown split '{split}'. {suggest(split, ('train', 'heldout', 'combination'))}")
    return np.random.default_rng([seed, {"train": 1, "heldout": 2, "combination": 3}[split]])


def attribute_pairs(spec: Spec) -> set[tuple[str, str]]:
    """The pairs whose novelty the combination split tests: (colour, noun) and (noun, direction)."""
    pairs = {(actor.colour, actor.noun) for actor in spec.actors if actor.colour}
    return pairs | {(spec.actor(event.actor).noun, event.direction) for event in spec.events if event.direction}


def _share(text: str) -> float:
    return int(hashlib.sha256(f"combination {text}".encode()).hexdigest()[:8], 16) / 2**32
