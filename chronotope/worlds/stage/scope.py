"""Scopes: which shapes, nouns, colours, backdrops and events the clips of a dataset may show."""

from __future__ import annotations

import dataclasses

from chronotope.errors import UsageError, suggest
from chronotope.worlds.palette import COLOURS
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.cast import CAST, SHAPES
from chronotope.worlds.stage.spec import BACKDROPS, CAMERAS

__all__ = ["SCOPES", "Scope", "single_event_scope"]


@dataclasses.dataclass(frozen=True)
class Scope:
    """What the clips may contain."""

    shapes: tuple[str, ...]
    nouns: tuple[str, ...]
    colours: tuple[str, ...]
    backdrops: tuple[str, ...]
    events: tuple[str, ...]
    cameras: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]  # width and height of the frame in pixels
    max_actors: int = 2
    fps: float = 8.0
    min_frames: int = 2
    max_frames: int = 24
    picture_share: float = 0.25  # of the clips have one frame
    moving_camera_share: float = 0.1
    shape_share: float = 0.4  # of the actors are shapes, the others nouns
    smallest: float = 0.35  # size of actors in short frame sides
    largest: float = 0.55
    event_weight: float = (
        0.1  # of each story about one event (eat, meet, ...); the weights of all other stories sum to 1
    )
    stories: tuple[str, ...] = ()  # of reappearance.py; if given, there are no other stories
    dissolve_share: float = 0.0  # of the clips are two clips, the first of which dissolves into the second
    acts: int = 1  # how many things one actor does in turn: 1 or 2


_SIX_SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond")
_SIX_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
_EIGHT_COLOURS = (*_SIX_COLOURS, "pink", "white")
_TWELVE_NOUNS = (
    "fox", "cat", "rabbit", "fish", "butterfly", "penguin", "car", "rocket", "balloon", "apple", "tree", "house",
)  # fmt: skip
_TWENTY_FOUR_NOUNS = (
    "fox", "dog", "cat", "rabbit", "fish", "bird", "butterfly", "duck", "elephant", "penguin", "car", "bus", "sailboat",
    "rocket", "airplane", "balloon", "apple", "tree", "house", "flower", "mushroom", "ghost", "robot", "soccer ball",
)  # fmt: skip
_OPEN_PLACES = ("sky", "hills", "sea", "night")
_SIX_PLACES = ("sky", "hills", "sea", "street", "room", "night")
_SMALL_BACKDROPS = ("white", "black", *_OPEN_PLACES)
_IN_PLACE_EVENTS = ("move", "bounce", "grow", "shrink")
_BASIC_EVENTS = ("walk", "fly", "move", "enter", "grow", "shrink")
_RETURN_EVENTS = (
    "walk", "fly", "move", "creep", "dash", "leave", "enter", "hide", "emerge", "stay", "beside", "grow", "shrink",
)  # fmt: skip
_ACTIONS = ("leave", "bounce", "spin", "stop", "meet", "hit", "eat")
_WIDE_EVENTS = ("enter", "leave", "walk", "fly", "move", "roll", "bounce", "grow", "shrink")
_FULL_EVENTS = (*_WIDE_EVENTS, "spin", "stop", "meet", "push", "hit", "eat", "paint", "switch")
_IDENTITY_STORIES = (
    "side_by_side", "crossing", "partial_occlusion", "hide", "leave_and_return", "size_change", "speed",
)  # fmt: skip
_TINY_SIZES = ((64, 64), (96, 64), (64, 96), (80, 48), (48, 80))
_LARGE_SIZES = ((128, 128), (192, 128), (128, 192), (256, 144), (144, 256))

_SMALL = Scope(
    shapes=_SIX_SHAPES[:5],
    nouns=_TWELVE_NOUNS,
    colours=_SIX_COLOURS,
    backdrops=_SMALL_BACKDROPS,
    events=_BASIC_EVENTS,
    cameras=("still",),
    sizes=_TINY_SIZES[:3],
    min_frames=4,
    max_frames=17,
    picture_share=0.2,
    moving_camera_share=0.0,
    smallest=0.42,
    largest=0.6,
)
_SOLO = dataclasses.replace(
    _SMALL,
    backdrops=("white", "black", "white", "black", *_OPEN_PLACES),
    shape_share=0.15,
    max_actors=1,
    picture_share=1.0,
)
_SMALL_VIDEOS = dataclasses.replace(_SMALL, min_frames=12, picture_share=0.0)

SCOPES: dict[str, Scope] = {
    "shapes": Scope(
        shapes=_SIX_SHAPES,
        nouns=(),
        colours=_EIGHT_COLOURS,
        backdrops=(*PLAIN_COLOURS, "sky", "night"),
        events=_IN_PLACE_EVENTS,
        cameras=("still",),
        sizes=_TINY_SIZES,
        shape_share=1.0,
        moving_camera_share=0.0,
    ),
    "small": _SMALL,
    # one actor alone, in a picture: its appearance at the least cost
    "solo": _SOLO,
    # the same actors, as large in pixels, with less around them: fewer tokens
    "close": dataclasses.replace(_SOLO, sizes=((48, 48),), smallest=0.56, largest=0.8),
    "acts": dataclasses.replace(_SMALL_VIDEOS, events=(*_BASIC_EVENTS, "leave"), acts=2),
    "deeds": dataclasses.replace(_SMALL_VIDEOS, events=(*_BASIC_EVENTS, *_ACTIONS)),
    "returns": dataclasses.replace(
        _SMALL_VIDEOS,
        events=_RETURN_EVENTS,
        sizes=((96, 64), (112, 64), (128, 64)),
        min_frames=24,
        max_frames=33,
        largest=0.54,
        stories=_IDENTITY_STORIES,
    ),
    "wide": Scope(
        shapes=_SIX_SHAPES,
        nouns=_TWENTY_FOUR_NOUNS,
        colours=_EIGHT_COLOURS,
        backdrops=(*PLAIN_COLOURS, *_SIX_PLACES),
        events=_WIDE_EVENTS,
        cameras=("still", "pan", "zoom"),
        sizes=_TINY_SIZES,
    ),
    "full": Scope(
        shapes=SHAPES,
        nouns=tuple(CAST),
        colours=tuple(COLOURS),
        backdrops=BACKDROPS,
        events=_FULL_EVENTS,
        cameras=CAMERAS,
        sizes=_LARGE_SIZES,
        max_actors=3,
        max_frames=48,
        moving_camera_share=0.3,
        shape_share=0.25,
        smallest=0.22,
        largest=0.55,
    ),
}


def single_event_scope(kind: str) -> Scope:
    """Return the scope `deeds` with only this one of its actions beside the basic events, and a high weight for it.

    Raises UsageError if `kind` is not an action of the scope.
    """
    if kind not in _ACTIONS:
        raise UsageError(f"'{kind}' is not an action of the scope deeds. {suggest(kind, _ACTIONS)}")
    return dataclasses.replace(SCOPES["deeds"], events=(*_BASIC_EVENTS, kind), event_weight=10.0)
