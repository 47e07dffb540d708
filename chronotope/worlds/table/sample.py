"""Random table specs: a story is drawn, then who plays it and where; what does not go as told is drawn again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chronotope.errors import UsageError
from chronotope.worlds.splits import Split, spec_key, split_by, split_rng
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.materials import TOP_RADIUS
from chronotope.worlds.table.simulate import Motion, simulate
from chronotope.worlds.table.spec import DIRECTIONS, SOLIDS, Actor, Camera, Event, TableSpec, extent

__all__ = ["TableScope", "goes_as_told", "sample_table", "table_pairs", "table_split"]

_TRIES, _PATIENCE = 2000, 50
_CLASHES = {
    ("orange", "wooden"),
    ("white", "white"),
    ("black", "dark"),
    ("brown", "wooden"),
}  # colours that one could hardly see there
_FLAT = ("cube", "cylinder", "brick")  # what can carry another and be shoved


@dataclasses.dataclass(frozen=True)
class TableScope:
    """What a table may show."""

    solids: tuple[str, ...] = tuple(SOLIDS)
    colours: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
    tables: tuple[str, ...] = ("wooden", "grey", "white", "dark")
    sizes: tuple[tuple[int, int], ...] = ((96, 64), (64, 96), (64, 64), (128, 72), (128, 128))
    fps: float = 12.0
    min_frames: int = 16
    max_frames: int = 32
    picture_share: float = 0.1
    moving_camera_share: float = 0.4


def sample_table(seed: int, scope: TableScope | None = None, split: Split = "train") -> tuple[TableSpec, Motion]:
    """The spec of this seed, and how it goes: the first of its draws that belongs to the split and goes as it tells."""
    rng, scope = split_rng(seed, split), scope or TableScope()
    for number in range(_TRIES):
        if number % _PATIENCE == 0:  # what is hard to arrange is tried again, else there would be few of it
            picture = rng.random() < scope.picture_share
            story = _STORIES[int(rng.integers(len(_STORIES)))]
        spec = _Draft(rng, scope, picture).spec(_still if picture else story)
        if spec is not None and table_split(spec) == split:
            motion = simulate(spec)
            if goes_as_told(spec, motion):
                return spec, motion
    raise UsageError(f"no spec of split '{split}' found in this scope: it is too small to hold one out")


def table_split(spec: TableSpec) -> Split:
    """Which split a spec belongs to; this depends on the spec alone."""
    return split_by(spec_key(spec), table_pairs(spec))


def table_pairs(spec: TableSpec) -> set[tuple[str, str]]:
    """The pairs whose novelty the combination split tests: (colour, noun) and (noun, direction)."""
    pairs = {(actor.colour, actor.noun) for actor in spec.actors}
    return pairs | {(spec.actor(event.actor).noun, event.direction) for event in spec.events if event.direction}


def goes_as_told(spec: TableSpec, motion: Motion) -> bool:
    """Everything stays on the table and in the picture, and every event has its effect and no other."""
    fallen = [happening for happening in motion.events if happening.kind == "fall"]
    toppling = any(event.kind == "topple" for event in spec.events)
    # What a falling stack knocks away may leave the picture afterwards.
    until = math.ceil(fallen[0].end * spec.fps) if fallen else spec.num_frames
    for t, (view, places) in enumerate(zip(views(spec), motion.position, strict=True)):
        x, y, depth = view.project(places).T
        reach = np.array([actor.size for actor in spec.actors]) / 2 * view.focal / depth
        inside = (np.minimum(x, view.width - x) > 0.6 * reach) & (np.minimum(y, view.height - y) > 0.6 * reach)
        on_top = (np.hypot(*places[:, :2].T) < TOP_RADIUS - 0.2) & (places[:, 2] > 0)
        if not (on_top & (inside | (t > until))).all() or (t == 0 and _hidden(x, y, depth, reach)):
            return False
    return bool(fallen) == toppling and all(_has_its_effect(motion, event) for event in spec.events)


def _hidden(x: np.ndarray, y: np.ndarray, depth: np.ndarray, reach: np.ndarray) -> bool:
    """Whether the middle of one is behind another."""
    behind = depth[:, None] > depth + 0.05
    return bool((behind & (np.hypot(x[:, None] - x, y[:, None] - y) < 0.9 * reach)).any())


def _has_its_effect(motion: Motion, event: Event) -> bool:
    """It meets whom it should, first, and nobody where it should meet nobody."""
    contacts = [c for c in motion.contacts if event.actor in (c.actor, c.target) and c.seconds >= event.start]
    met = [c.target if c.actor == event.actor else c.actor for c in contacts]
    actors = [name for name in met if name != "table"]
    if event.kind in ("hit", "push"):
        return actors[:1] == [event.target]
    if event.kind == "topple":
        return bool(actors)
    if event.kind == "drop":
        return bool(met)
    return not actors and (event.kind != "bounce" or len(met) > 1)


class _Draft:
    """A table being laid."""

    def __init__(self, rng: np.random.Generator, scope: TableScope, picture: bool) -> None:
        self.rng, self.scope = rng, scope
        self.width, self.height = self.pick(scope.sizes)
        full = self.chance(0.5)
        self.frames = (
            1 if picture else scope.max_frames if full else int(rng.integers(scope.min_frames, scope.max_frames + 1))
        )
        self.seconds = self.frames / scope.fps
        self.table = self.pick(scope.tables)
        self.actors: list[Actor] = []
        self.events: list[Event] = []
        self.fits = True

    def spec(self, story: Callable[[_Draft], None]) -> TableSpec | None:
        """The finished spec, or nothing if it came out crowded."""
        story(self)
        for _ in range(int(self.rng.integers(0, 3)) if self.events else 0):
            self.bystander()
        camera = self.camera()
        if not self.fits:
            return None
        seed = int(self.rng.integers(2**31))
        actors, events = tuple(self.actors), tuple(self.events)
        return TableSpec(self.width, self.height, self.scope.fps, self.frames, seed, self.table, camera, actors, events)

    def pick(self, choices: Any) -> Any:
        """One of them, all equally likely."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """True this often."""
        return bool(self.rng.random() < share)

    def within(self, low: float, high: float) -> float:
        """A number between the two."""
        return round(float(self.rng.uniform(low, high)), 3)

    def camera(self) -> Camera:
        """A camera that stands, or goes around; once round only where little happens, which it would hide."""
        up = self.within(24.0, 34.0)
        if self.frames == 1 or (self.events and not self.chance(self.scope.moving_camera_share)):
            return Camera(elevation=up)
        if self.chance(0.6 if not self.events else 0.15):
            return Camera("round", self.pick(("left", "right")), elevation=up)
        return Camera("orbit", self.pick(("left", "right")), self.within(35.0, 80.0), elevation=up)

    def start(self) -> float:
        """Mostly at once."""
        return round(self.within(0.2, 0.35 * self.seconds), 1) if self.chance(0.3) else 0.0

    def add(self, nouns: tuple[str, ...], x: float, y: float, **more: Any) -> Actor:
        """Put a solid of one of these nouns there, unlike those that are there already."""
        nouns = tuple(noun for noun in nouns if noun in self.scope.solids)
        seen = [colour for colour in self.scope.colours if (colour, self.table) not in _CLASHES]
        free = [
            (c, n)
            for c in seen
            for n in nouns
            if all((a.colour, a.noun) != (c, n) and a.colour != c for a in self.actors)
        ]
        if not free:
            self.fits = False
            free = [("red", "ball")]
        colour, noun = self.pick(free)
        turn = 0.0 if noun in ("ball", "cylinder", "cone") else self.within(0.0, 90.0)
        more = {"size": self.within(0.4, 0.65), "turn": turn} | more
        actor = Actor(f"{noun}{len(self.actors)}", noun, colour, round(x, 3), round(y, 3), **more)
        reach = max(extent(actor)[:2]) * 0.6
        for other in self.actors:
            apart = math.hypot(other.x - actor.x, other.y - actor.y) > reach + max(extent(other)[:2]) * 0.6
            self.fits &= apart or actor.lift > 0
        self.actors.append(actor)
        return actor

    def spot(self, reach: float = 0.8) -> tuple[float, float]:
        """A place on the table with room around it, if there is one."""
        for _ in range(30):
            angle, away = self.within(0.0, 2 * math.pi), reach * math.sqrt(self.rng.random())
            x, y = away * math.cos(angle), away * math.sin(angle)
            if all(math.hypot(a.x - x, a.y - y) > 0.75 for a in self.actors):
                break
        return x, y

    def bystander(self) -> None:
        """Somebody who only stands there, if there is room."""
        x, y = self.spot(0.95)
        if all(math.hypot(a.x - x, a.y - y) > 0.75 for a in self.actors):
            self.add(self.scope.solids, x, y)

    def way(self) -> tuple[Any, float, float]:
        """A direction, sideways more often than not, with its step."""
        name = self.pick(("left", "right", "left", "right", *DIRECTIONS))
        return name, *DIRECTIONS[name]


def _still(draft: _Draft) -> None:
    if draft.chance(0.3):
        _stack(draft, *draft.spot(0.5), int(draft.rng.integers(2, 4)))
    for _ in range(int(draft.rng.integers(1, 4))):
        draft.add(draft.scope.solids, *draft.spot())


def _stack(draft: _Draft, x: float, y: float, count: int) -> list[Actor]:
    size, pile, lift = draft.within(0.34, 0.44), [], 0.0
    for i in range(count):
        top = i == count - 1
        nouns = ("cube", "cylinder", *(("cone", "pyramid") if top else ()))
        pile.append(
            draft.add(
                nouns,
                x + draft.within(-0.02, 0.02),
                y + draft.within(-0.02, 0.02),
                size=round(size * 0.94**i, 3),
                lift=lift,
            )
        )
        lift += extent(pile[-1])[2]
    return pile


def _roll(draft: _Draft) -> None:
    _along(draft, "roll", ("ball",), draft.within(0.4, 0.9))


def _slide(draft: _Draft) -> None:
    _along(draft, "slide", tuple(noun for noun in SOLIDS if noun != "ball"), draft.within(1.6, 2.5))


def _along(draft: _Draft, kind: str, nouns: tuple[str, ...], speed: float) -> None:
    """A way through the middle of the picture."""
    direction, dx, dy = draft.way()
    start = draft.start()
    far = min(speed * (draft.seconds - start) if kind == "roll" else speed**2 / 6.9, 1.8)
    if kind == "roll":
        speed = round(far / (draft.seconds - start), 3)
    across, middle = draft.within(-0.5, 0.5), draft.within(-0.15, 0.15)
    x, y = (middle - dx * far / 2 + abs(dy) * across, middle - dy * far / 2 + abs(dx) * across)
    actor = draft.add(nouns, x, y)
    draft.events.append(Event(kind, actor.id, start, direction, speed=speed))


def _drop(draft: _Draft) -> None:
    actor = draft.add(draft.scope.solids, *draft.spot(0.6), lift=draft.within(0.5, 0.9))
    draft.events.append(Event("drop", actor.id, draft.start()))


def _bounce(draft: _Draft) -> None:
    direction, dx, dy = draft.way() if draft.chance(0.5) else (None, 0.0, 0.0)
    speed, across = draft.within(0.25, 0.5), draft.within(-0.4, 0.4)
    far = speed * draft.seconds / 2
    x, y = (-dx * far, across - dy * far) if direction else draft.spot(0.5)
    actor = draft.add(
        ("ball",),
        x,
        y,
        lift=draft.within(0.6, 0.95),
        restitution=draft.within(0.7, 0.88),
        size=draft.within(0.35, 0.55),
    )
    draft.events.append(
        Event("bounce", actor.id, round(draft.start() / 2, 1), direction, speed=speed if direction else None)
    )


def _facing(draft: _Draft, gap: tuple[float, float]) -> tuple[float, float, float, float]:
    """Two places, mostly side by side."""
    angle = math.radians(draft.pick((0, 180)) + draft.within(-35.0, 35.0))
    away = draft.within(*gap)
    x, y, dx, dy = draft.within(-0.2, 0.2), draft.within(-0.25, 0.35), math.cos(angle), math.sin(angle)
    return x - dx * away * 0.6, y - dy * away * 0.6, x + dx * away * 0.4, y + dy * away * 0.4


def _hit(draft: _Draft) -> None:
    ax, ay, bx, by = _facing(draft, (0.9, 1.3))
    lively = draft.within(0.5, 0.85)
    actor = draft.add(("ball",), ax, ay, restitution=lively, size=draft.within(0.45, 0.65))
    target = draft.add(draft.scope.solids, bx, by, restitution=lively, size=draft.within(0.38, 0.55))
    draft.events.append(Event("hit", actor.id, draft.start(), target=target.id, speed=draft.within(0.9, 1.8)))


def _push(draft: _Draft) -> None:
    ax, ay, bx, by = _facing(draft, (0.8, 1.0))
    actor = draft.add(
        _FLAT, ax, ay, size=draft.within(0.4, 0.5), turn=round(math.degrees(math.atan2(by - ay, bx - ax)) % 360, 3)
    )
    target = draft.add(draft.scope.solids, bx, by, size=draft.within(0.38, 0.55))
    start = draft.start()
    speed = round(min(draft.within(0.35, 0.6), 1.1 / (draft.seconds - start)), 3)
    draft.events.append(Event("push", actor.id, start, target=target.id, speed=speed))


def _topple(draft: _Draft) -> None:
    ax, ay, bx, by = _facing(draft, (1.0, 1.2))
    actor = draft.add(("ball",), ax, ay, size=draft.within(0.6, 0.75))
    pile = _stack(draft, bx, by, int(draft.rng.integers(2, 4)))
    draft.events.append(Event("topple", actor.id, draft.start(), target=pile[0].id, speed=draft.within(1.3, 2.1)))


_STORIES = (_still, _roll, _slide, _drop, _bounce, _hit, _hit, _push, _topple)
