"""The scopes: which shapes, nouns, colours, places and events the clips of a dataset may show."""

from __future__ import annotations

import dataclasses

from chronotope.errors import UsageError, suggest
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.backdrops import PLAIN
from chronotope.worlds.stage.cast import CAST, SHAPES
from chronotope.worlds.stage.spec import BACKDROPS, CAMERAS

__all__ = ["SCOPES", "Scope", "scope_of"]


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
    dissolve_share: float = 0.0  # of a dataset's clips: two clips of which one dissolves into the other
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


def scope_of(deed: str) -> Scope:
    """The scope `deeds` with only this one of its deeds beside the plain ones, and often."""
    if deed not in _DEEDS:
        raise UsageError(f"'{deed}' is not a deed of the scope deeds. {suggest(deed, _DEEDS)}")
    return dataclasses.replace(SCOPES["deeds"], events=(*_PLAINLY, deed), told_share=10.0)
