"""Sample random table specs: a spec is simulated, and sampled again unless every event has its intended outcome."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chronotope.errors import UsageError
from chronotope.worlds.language import Choices
from chronotope.worlds.splits import Split, split_of, split_rng
from chronotope.worlds.table.camera import views
from chronotope.worlds.table.materials import TOP_RADIUS
from chronotope.worlds.table.simulate import Trajectory, simulate
from chronotope.worlds.table.spec import DIRECTIONS, SOLIDS, Actor, Camera, Event, TableSpec, extent

__all__ = ["TableScope", "is_valid_outcome", "sample_table"]

_MAX_TRIES, _TRIES_PER_STORY = 2000, 50
# Colours that can hardly be seen on a table.
_INVISIBLE = {("orange", "wooden"), ("white", "white"), ("black", "dark"), ("brown", "wooden")}
_FLAT = ("cube", "cylinder", "brick")  # solids that can push others
_FREE_DISTANCE = 0.75  # metres between the centres of two solids that stand apart


@dataclasses.dataclass(frozen=True)
class TableScope:
    """What the clips may contain."""

    solids: tuple[str, ...] = tuple(SOLIDS)
    colours: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
    tables: tuple[str, ...] = ("wooden", "grey", "white", "dark")
    sizes: tuple[tuple[int, int], ...] = ((96, 64), (64, 96), (64, 64), (128, 72), (128, 128))
    fps: float = 12.0
    min_frames: int = 16
    max_frames: int = 32
    picture_share: float = 0.1
    moving_camera_share: float = 0.4


def sample_table(seed: int, scope: TableScope | None = None, split: Split = "train") -> tuple[TableSpec, Trajectory]:
    """Return the spec of this seed and its simulation: the first random spec of the split with a valid outcome."""
    rng, scope = split_rng(seed, split), scope or TableScope()
    for number in range(_MAX_TRIES):
        if number % _TRIES_PER_STORY == 0:  # a story that often fails keeps its share by being tried again
            picture = rng.random() < scope.picture_share
            story = _STORIES[int(rng.integers(len(_STORIES)))]
        spec = _Draft(rng, scope, picture).spec(_still if picture else story)
        if spec is not None and split_of(spec) == split:
            trajectory = simulate(spec)
            if is_valid_outcome(spec, trajectory):
                return spec, trajectory
    raise UsageError(f"no spec of split '{split}' found in this scope: it is too small to hold one out")


def is_valid_outcome(spec: TableSpec, trajectory: Trajectory) -> bool:
    """Tell whether every solid stays on the table and in the picture, and every event has its effect and no other."""
    falls = [record for record in trajectory.events if record.kind == "fall"]
    toppling = any(event.kind == "topple" for event in spec.events)
    # Solids that a falling stack hits may leave the picture afterwards.
    until = math.ceil(falls[0].end * spec.fps) if falls else spec.num_frames
    sizes = np.array([actor.size for actor in spec.actors])
    for t, (view, positions) in enumerate(zip(views(spec), trajectory.position, strict=True)):
        x, y, depth = view.project(positions).T
        radius = sizes / 2 * view.focal / depth  # pixels
        inside = (np.minimum(x, view.width - x) > 0.6 * radius) & (np.minimum(y, view.height - y) > 0.6 * radius)
        on_table = (np.hypot(*positions[:, :2].T) < TOP_RADIUS - 0.2) & (positions[:, 2] > 0)
        if not (on_table & (inside | (t > until))).all():
            return False
        if t == 0 and _is_any_hidden(x, y, depth, radius):
            return False
    return bool(falls) == toppling and all(_has_effect(trajectory, event) for event in spec.events)


def _is_any_hidden(x: np.ndarray, y: np.ndarray, depth: np.ndarray, radius: np.ndarray) -> bool:
    """Tell whether the centre of a solid is behind another solid."""
    behind = depth[:, None] > depth + 0.05
    return bool((behind & (np.hypot(x[:, None] - x, y[:, None] - y) < 0.9 * radius)).any())


def _has_effect(trajectory: Trajectory, event: Event) -> bool:
    """Tell whether the actor first touches its target, or no other actor if it has none."""
    touched = []
    for contact in trajectory.contacts:
        if event.actor in (contact.actor, contact.target) and contact.seconds >= event.start:
            touched.append(contact.target if contact.actor == event.actor else contact.actor)
    actors = [name for name in touched if name != "table"]
    if event.kind in ("hit", "push"):
        return actors[:1] == [event.target]
    if event.kind == "topple":
        return bool(actors)
    if event.kind == "drop":
        return bool(touched)
    return not actors and (event.kind != "bounce" or len(touched) > 1)


class _Draft(Choices):
    """A spec while it is being composed."""

    def __init__(self, rng: np.random.Generator, scope: TableScope, picture: bool) -> None:
        self.rng, self.scope = rng, scope
        self.width, self.height = self.pick(scope.sizes)
        full_length = self.chance(0.5)
        if picture:
            self.num_frames = 1
        elif full_length:
            self.num_frames = scope.max_frames
        else:
            self.num_frames = int(rng.integers(scope.min_frames, scope.max_frames + 1))
        self.seconds = self.num_frames / scope.fps
        self.table = self.pick(scope.tables)
        self.actors: list[Actor] = []
        self.events: list[Event] = []
        self.fits = True  # no two solids overlap

    def spec(self, story: Callable[[_Draft], None]) -> TableSpec | None:
        """Return the finished spec, or None if its solids overlap."""
        story(self)
        if self.events:
            for _ in range(int(self.rng.integers(0, 3))):
                self.add_bystander()
        camera = self.choose_camera()
        if not self.fits:
            return None
        seed = int(self.rng.integers(2**31))
        actors, events = tuple(self.actors), tuple(self.events)
        return TableSpec(
            self.width, self.height, self.scope.fps, self.num_frames, seed, self.table, camera, actors, events
        )

    def uniform(self, low: float, high: float) -> float:
        """Return a random number between the two, rounded to 3 digits."""
        return round(float(self.rng.uniform(low, high)), 3)

    def choose_camera(self) -> Camera:
        """Return a random camera; going round is likely only if nothing moves, as it hides movements."""
        elevation = self.uniform(24.0, 34.0)
        if self.num_frames == 1 or (self.events and not self.chance(self.scope.moving_camera_share)):
            return Camera(elevation=elevation)
        if self.chance(0.15 if self.events else 0.6):
            return Camera("round", self.pick(("left", "right")), elevation=elevation)
        return Camera("orbit", self.pick(("left", "right")), self.uniform(35.0, 80.0), elevation=elevation)

    def choose_start(self) -> float:
        """Return the start of an event in seconds, mostly 0."""
        return round(self.uniform(0.2, 0.35 * self.seconds), 1) if self.chance(0.3) else 0.0

    def add_actor(self, nouns: tuple[str, ...], x: float, y: float, **details: Any) -> Actor:
        """Add a solid with one of these nouns and a colour of its own; clear `fits` if it is impossible."""
        nouns = tuple(noun for noun in nouns if noun in self.scope.solids)
        used = {actor.colour for actor in self.actors}
        visible = [c for c in self.scope.colours if (c, self.table) not in _INVISIBLE]
        options = [(colour, noun) for colour in visible if colour not in used for noun in nouns]
        if not options:
            self.fits = False
            options = [("red", "ball")]
        colour, noun = self.pick(options)
        turn = 0.0 if noun in ("ball", "cylinder", "cone") else self.uniform(0.0, 90.0)
        details = {"size": self.uniform(0.4, 0.65), "turn": turn} | details
        actor = Actor(f"{noun}{len(self.actors)}", noun, colour, round(x, 3), round(y, 3), **details)
        reach = max(extent(actor)[:2]) * 0.6
        for other in self.actors:
            apart = math.hypot(other.x - actor.x, other.y - actor.y) > reach + max(extent(other)[:2]) * 0.6
            self.fits &= apart or actor.lift > 0
        self.actors.append(actor)
        return actor

    def is_free(self, x: float, y: float) -> bool:
        """Tell whether no solid is near this place."""
        return all(math.hypot(actor.x - x, actor.y - y) > _FREE_DISTANCE for actor in self.actors)

    def choose_place(self, radius: float = 0.8) -> tuple[float, float]:
        """Return a random place within `radius` metres of the middle; a free one if 30 tries find one."""
        for _ in range(30):
            angle, distance = self.uniform(0.0, 2 * math.pi), radius * math.sqrt(self.rng.random())
            x, y = distance * math.cos(angle), distance * math.sin(angle)
            if self.is_free(x, y):
                break
        return x, y

    def add_bystander(self) -> None:
        """Add a solid that takes part in no event, if there is room."""
        x, y = self.choose_place(0.95)
        if self.is_free(x, y):
            self.add_actor(self.scope.solids, x, y)

    def choose_direction(self) -> tuple[Any, float, float]:
        """Return a direction, mostly left or right, and its unit step."""
        name = self.pick(("left", "right", "left", "right", *DIRECTIONS))
        return name, *DIRECTIONS[name]


def _still(draft: _Draft) -> None:
    """Add one to three solids and perhaps a stack; nothing happens."""
    if draft.chance(0.3):
        _add_stack(draft, *draft.choose_place(0.5), int(draft.rng.integers(2, 4)))
    for _ in range(int(draft.rng.integers(1, 4))):
        draft.add_actor(draft.scope.solids, *draft.choose_place())


def _add_stack(draft: _Draft, x: float, y: float, count: int) -> list[Actor]:
    size, lift = draft.uniform(0.34, 0.44), 0.0
    stack: list[Actor] = []
    for i in range(count):
        nouns = ("cube", "cylinder", "cone", "pyramid") if i == count - 1 else ("cube", "cylinder")
        at = x + draft.uniform(-0.02, 0.02), y + draft.uniform(-0.02, 0.02)
        actor = draft.add_actor(nouns, *at, size=round(size * 0.94**i, 3), lift=lift)
        stack.append(actor)
        lift += extent(actor)[2]
    return stack


def _roll(draft: _Draft) -> None:
    _add_travel(draft, "roll", ("ball",), draft.uniform(0.4, 0.9))


def _slide(draft: _Draft) -> None:
    _add_travel(draft, "slide", tuple(noun for noun in SOLIDS if noun != "ball"), draft.uniform(1.6, 2.5))


def _add_travel(draft: _Draft, kind: str, nouns: tuple[str, ...], speed: float) -> None:
    """Let a solid travel through the middle of the picture."""
    direction, dx, dy = draft.choose_direction()
    start = draft.choose_start()
    seconds = draft.seconds - start
    distance = min(speed * seconds if kind == "roll" else speed**2 / 6.9, 1.8)  # a slide ends after v^2 / (2 mu g)
    if kind == "roll":
        speed = round(distance / seconds, 3)
    across, along = draft.uniform(-0.5, 0.5), draft.uniform(-0.15, 0.15)
    x = along - dx * distance / 2 + abs(dy) * across
    y = along - dy * distance / 2 + abs(dx) * across
    actor = draft.add_actor(nouns, x, y)
    draft.events.append(Event(kind, actor.id, start, direction, speed=speed))


def _drop(draft: _Draft) -> None:
    actor = draft.add_actor(draft.scope.solids, *draft.choose_place(0.6), lift=draft.uniform(0.5, 0.9))
    draft.events.append(Event("drop", actor.id, draft.choose_start()))


def _bounce(draft: _Draft) -> None:
    direction, dx, dy = draft.choose_direction() if draft.chance(0.5) else (None, 0.0, 0.0)
    speed, across = draft.uniform(0.25, 0.5), draft.uniform(-0.4, 0.4)
    distance = speed * draft.seconds / 2
    x, y = (-dx * distance, across - dy * distance) if direction else draft.choose_place(0.5)
    lift, restitution = draft.uniform(0.6, 0.95), draft.uniform(0.7, 0.88)
    actor = draft.add_actor(("ball",), x, y, lift=lift, restitution=restitution, size=draft.uniform(0.35, 0.55))
    start = round(draft.choose_start() / 2, 1)
    draft.events.append(Event("bounce", actor.id, start, direction, speed=speed if direction else None))


def _choose_pair(draft: _Draft, gap: tuple[float, float]) -> tuple[float, float, float, float]:
    """Return two places, x and y of each, mostly side by side; `gap` is the range of their distance in metres."""
    angle = math.radians(draft.pick((0, 180)) + draft.uniform(-35.0, 35.0))
    distance = draft.uniform(*gap)
    x, y, dx, dy = draft.uniform(-0.2, 0.2), draft.uniform(-0.25, 0.35), math.cos(angle), math.sin(angle)
    return x - dx * distance * 0.6, y - dy * distance * 0.6, x + dx * distance * 0.4, y + dy * distance * 0.4


def _hit(draft: _Draft) -> None:
    ax, ay, bx, by = _choose_pair(draft, (0.9, 1.3))
    restitution = draft.uniform(0.5, 0.85)
    actor = draft.add_actor(("ball",), ax, ay, restitution=restitution, size=draft.uniform(0.45, 0.65))
    target = draft.add_actor(draft.scope.solids, bx, by, restitution=restitution, size=draft.uniform(0.38, 0.55))
    draft.events.append(Event("hit", actor.id, draft.choose_start(), target=target.id, speed=draft.uniform(0.9, 1.8)))


def _push(draft: _Draft) -> None:
    ax, ay, bx, by = _choose_pair(draft, (0.8, 1.0))
    towards_target = round(math.degrees(math.atan2(by - ay, bx - ax)) % 360, 3)
    actor = draft.add_actor(_FLAT, ax, ay, size=draft.uniform(0.4, 0.5), turn=towards_target)
    target = draft.add_actor(draft.scope.solids, bx, by, size=draft.uniform(0.38, 0.55))
    start = draft.choose_start()
    speed = round(min(draft.uniform(0.35, 0.6), 1.1 / (draft.seconds - start)), 3)
    draft.events.append(Event("push", actor.id, start, target=target.id, speed=speed))


def _topple(draft: _Draft) -> None:
    ax, ay, bx, by = _choose_pair(draft, (1.0, 1.2))
    actor = draft.add_actor(("ball",), ax, ay, size=draft.uniform(0.6, 0.75))
    stack = _add_stack(draft, bx, by, int(draft.rng.integers(2, 4)))
    start = draft.choose_start()
    draft.events.append(Event("topple", actor.id, start, target=stack[0].id, speed=draft.uniform(1.3, 2.1)))


# A story that is listed twice is chosen twice as often.
_STORIES = (_still, _roll, _slide, _drop, _bounce, _hit, _hit, _push, _topple)
