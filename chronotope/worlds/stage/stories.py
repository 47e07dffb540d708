"""The stories of random specs: each adds actors and events to a draft."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.draft import Candidate, Draft
from chronotope.worlds.stage.reappearance import choose_identity_story
from chronotope.worlds.stage.spec import Actor
from chronotope.worlds.stage.tracks import unit_step

__all__ = ["choose_story"]

Story = Callable[[Draft], None]
Option = tuple[str, str | None]  # kind of event, direction

_SIDES = ("left", "right")
_FOOD = (
    "apple", "banana", "carrot", "cheese", "cookie", "strawberry", "grapes", "bread", "cake", "pizza", "watermelon",
    "donut", "mushroom", "flower",
)  # fmt: skip
_LOADS = ("box", "gift", "rock", "soccer ball", "chair", "drum", "sled", "potted plant", "television")
_BRUSHES = ("paintbrush", "crayon", "pencil")
_PAPER_COLOURS = ("white", "grey", "yellow", "pink", "blue")
_LAMPS = ("lamp", "light bulb")
_LANDMARKS = (
    "tree", "house", "flower", "mushroom", "pine tree", "palm tree", "cactus", "castle", "rock", "church", "snowman",
    "sunflower",
)  # fmt: skip
_SCALE_FACTOR = 1.5, 1.9  # of grow, and the inverse of shrink
_SPEED = 0.25, 0.6  # frame widths or heights per second
_MIN_DISTANCE = 0.12  # frame widths or heights


def choose_story(draft: Draft) -> Story:
    """Return a random story that the scope and the length of the clip allow."""
    scope = draft.scope
    if scope.stories and draft.seconds:
        return choose_identity_story(draft)
    if scope.acts > 1 and draft.seconds:
        return two_acts
    if scope.max_actors < 2:
        return solo
    if draft.seconds == 0:
        return side_by_side if draft.chance(0.4) else solo
    weights: dict[Story, float] = {solo: 0.55, side_by_side: 0.17, passing: 0.2, lanes: 0.08}
    if draft.seconds >= 1.0:
        weights |= {story: scope.event_weight for kind, story in _EVENT_STORIES.items() if kind in scope.events}
    total = sum(weights.values())
    place = draft.rng.choice(len(weights), p=[weight / total for weight in weights.values()])
    return list(weights)[int(place)]


def _within(nouns: tuple[str, ...], draft: Draft) -> tuple[str, ...]:
    """Return those of the nouns that the scope has."""
    return tuple(noun for noun in nouns if noun in draft.scope.nouns)


def solo(draft: Draft) -> None:
    """Show one actor, which mostly does one thing."""
    candidate = draft.choose_actor()
    draft.choose_backdrop(candidate)
    size, depth = draft.choose_size(), 0.3
    half_height = draft.half_size(candidate, size)[1]
    x, y = draft.uniform(0.4, 0.6), draft.choose_y(candidate, half_height, depth)
    options = _travel_options(draft, candidate) + _in_place_options(draft, candidate)
    if draft.seconds == 0 or not options or draft.chance(0.08):
        draft.place(candidate, x, y, size, depth)
        return
    kind, direction = draft.pick(options)
    if kind in ("enter", "leave"):
        actor = draft.place(candidate, x, y, size, depth, direction)
        draft.add_event(kind, actor, direction, span=draft.choose_span())
    elif direction is not None:
        _travel(draft, candidate, kind, direction, (x, y), size, depth)
    else:
        if kind == "bounce":
            y = draft.uniform(half_height, half_height + 0.12)
        _act_in_place(draft, draft.place(candidate, x, y, size, depth), kind)


def two_acts(draft: Draft) -> None:
    """Let one actor do one thing and then another."""
    candidate = draft.choose_actor()
    draft.choose_backdrop(candidate)
    size, depth = draft.choose_size(), 0.3
    half_width, half_height = draft.half_size(candidate, size)
    options = _travel_options(draft, candidate)
    moment = round(draft.seconds * draft.uniform(0.35, 0.65), 3)
    first_options = [option for option in options if option[0] != "leave"]
    if not first_options:
        return solo(draft)
    first, direction = draft.pick(first_options)
    at = (draft.uniform(0.4, 0.6), draft.choose_y(candidate, half_height, depth))
    if first == "enter":
        actor = draft.place(candidate, *at, size, depth, direction)
        draft.add_event(first, actor, direction, span=(0.0, moment))
        x, y = actor.x, actor.y
    else:
        actor = _travel(draft, candidate, first, direction, at, size, depth, span=(0.0, moment))
        (sx, sy), distance = unit_step(direction), draft.events[-1].amount or 0.0
        x, y = actor.x + sx * distance, actor.y + sy * distance
    room = {"left": x - half_width, "right": 1 - x - half_width, "up": y - half_height, "down": 1 - y - half_height}
    second_options: list[Option] = []
    for kind, way in options:
        new_way = way not in (direction, None) and room[str(way)] >= _MIN_DISTANCE
        if kind == "leave" or (kind != "enter" and new_way):
            second_options.append((kind, way))
    second_options += [option for option in _in_place_options(draft, candidate) if option[0] in ("grow", "shrink")]
    if not second_options:
        return
    second, way = draft.pick(second_options)
    amount = None
    if way is None:
        amount = _scale_amount(draft, second)
    elif second != "leave":
        distance = max(_MIN_DISTANCE, draft.uniform(*_SPEED) * (draft.seconds - moment))
        amount = round(min(distance, room[way]), 4)
    draft.add_event(second, actor, way, span=(moment, draft.seconds), amount=amount)


def _travel_options(draft: Draft, candidate: Candidate) -> list[Option]:
    """Return the movements of this actor on this backdrop; an option that is listed n times is n times as likely."""
    travel = candidate.travel_event
    options: list[Option] = []
    if travel:
        options += [(travel, side) for side in _SIDES] * 4
        options += [(kind, side) for kind in ("enter", "leave") for side in _SIDES]
    if draft.can_float(candidate) and travel in ("fly", "move"):
        often = candidate.noun in ("rocket", "balloon") or candidate.colour
        options += [(travel, way) for way in ("up", "down")] * (3 if often else 1)
    return [option for option in options if option[0] in draft.scope.events]


def _in_place_options(draft: Draft, candidate: Candidate) -> list[Option]:
    """Return what this actor can do in its place."""
    options: list[Option] = []
    if candidate.colour or candidate.gait in ("roll", "stand", "float"):
        options += [("grow", None), ("shrink", None)] * 2
        if candidate.noun != "circle":  # the rotation of a circle is hardly visible
            options.append(("spin", None))
    if (candidate.colour or candidate.gait == "roll") and draft.backdrop != "sea":
        options += [("bounce", None)] * 3
    return [option for option in options if option[0] in draft.scope.events]


def _scale_amount(draft: Draft, kind: str) -> float | None:
    """Return the factor of a grow or shrink event, or None for other events."""
    factor = draft.uniform(*_SCALE_FACTOR)
    return {"grow": round(factor, 3), "shrink": round(1 / factor, 3)}.get(kind)


def _act_in_place(draft: Draft, actor: Actor, kind: str) -> None:
    amount = _scale_amount(draft, kind)
    span = (0.0, draft.seconds) if kind == "bounce" else draft.choose_span()
    draft.add_event(kind, actor, span=span, amount=amount)


def _travel(
    draft: Draft,
    candidate: Candidate,
    kind: str,
    direction: str,
    at: tuple[float, float],
    size: float,
    depth: float,
    far: bool = False,
    span: tuple[float, float] | None = None,
) -> Actor:
    """Place an actor that travels inside the frame; `far` takes the whole clip and the whole width or height."""
    sideways = direction in _SIDES
    half = draft.half_size(candidate, size)[0 if sideways else 1]
    if span is None:
        span = (0.0, draft.seconds) if far else draft.choose_span()
    low, reach = min(0.45, half), max(0.1, 1 - 2 * half)
    wanted = 1.0 if far else draft.uniform(*_SPEED) * (span[1] - span[0])
    distance = min(max(wanted, _MIN_DISTANCE), reach)
    start = low + draft.uniform(0.0, reach - distance)
    if direction not in ("right", "down"):
        start = 1 - start
    x, y = (start, at[1]) if sideways else (at[0], start)
    actor = draft.place(candidate, x, y, size, depth, direction if sideways else None)
    draft.add_event(kind, actor, direction, span=span, amount=round(distance, 4))
    return actor


def side_by_side(draft: Draft) -> None:
    """Show two or three actors side by side; each may do something in its place."""
    first = draft.choose_actor()
    draft.choose_backdrop(first)
    count = 2 if draft.scope.max_actors < 3 or draft.chance(0.7) else 3
    columns = [0.27, 0.73] if count == 2 else [0.18, 0.5, 0.82]
    order = [columns[int(i)] for i in draft.rng.permutation(count)]
    for index in range(count):
        candidate = first if index == 0 else draft.choose_companion()
        if candidate is None:
            return
        size = draft.choose_size(crowded=True) * (1.0 if count == 2 else 0.75)
        depth = 0.2 + 0.25 * index
        half_height = draft.half_size(candidate, size)[1]
        options: list[Option] = []
        if draft.seconds and draft.chance(0.75 if index == 0 else 0.4):
            options = _in_place_options(draft, candidate)
        kind = draft.pick(options)[0] if options else None
        if kind == "bounce":
            y = draft.uniform(half_height, half_height + 0.12)
        else:
            y = draft.choose_y(candidate, half_height, depth)
        actor = draft.place(candidate, order[index], y, round(size, 3), depth)
        if kind:
            _act_in_place(draft, actor, kind)


def passing(draft: Draft) -> None:
    """Let one actor pass another that rests, in front of it or behind it."""
    candidate = draft.choose_actor()
    if candidate.travel_event not in draft.scope.events:
        return solo(draft)
    draft.choose_backdrop(candidate)
    landmarks = _within(_LANDMARKS, draft)
    other = draft.choose_unlike(candidate, landmarks if landmarks and draft.chance(0.6) else None)
    behind = draft.chance(0.3)
    size = draft.choose_size(crowded=True)
    depth = 0.95 if behind else 0.1
    y = draft.choose_y(candidate, draft.half_size(candidate, size)[1], depth)
    direction = draft.pick(_SIDES)
    _travel(draft, candidate, candidate.travel_event, direction, (0.5, y), size, depth, far=draft.chance(0.7))
    if other is not None:
        size = round(draft.choose_size(crowded=True) * (0.9 if behind else 1.15), 3)
        y = draft.choose_y(other, draft.half_size(other, size)[1], 0.55)
        draft.place(other, draft.uniform(0.4, 0.6), y, size, 0.55)


def lanes(draft: Draft) -> None:
    """Let two actors travel at once, one above the other."""
    first = draft.choose_actor()
    draft.choose_backdrop(first)

    def can_travel(candidate: Candidate) -> bool:
        travels = candidate.travel_event in ("fly", "move") and candidate.travel_event in draft.scope.events
        return travels and draft.can_float(candidate)

    if not can_travel(first):
        return solo(draft)
    rows = [0.27, 0.73] if draft.chance(0.5) else [0.73, 0.27]
    for index, candidate in enumerate((first, draft.choose_companion())):
        if candidate is not None and can_travel(candidate):
            size = min(draft.choose_size(crowded=True), 0.46 * draft.height / min(draft.width, draft.height))
            at = (0.5, rows[index])
            direction, depth = draft.pick(_SIDES), 0.2 + 0.3 * index
            _travel(draft, candidate, candidate.travel_event, direction, at, round(size, 3), depth)


def _choose_walker(draft: Draft) -> Candidate | None:
    """Return an actor that moves on the ground, and set a backdrop for it."""
    for _ in range(40):
        candidate = draft.choose_actor(shapes=False)
        if candidate.gait in ("walk", "hop", "crawl", "drive", "slither"):
            draft.choose_backdrop(candidate)
            return candidate
    return None


def _place_pair(
    draft: Draft, one: Candidate, two: Candidate, x_range: tuple[float, float], shrink: float = 1.0
) -> tuple[Actor, Actor, str]:
    """Place two actors on the same ground; return them and the side on which the second is.

    Seen from the side of the first, the second is at an x in `x_range`; its size is multiplied by `shrink`.
    """
    side = draft.pick(_SIDES)
    sizes = draft.choose_size(crowded=True), round(draft.choose_size(crowded=True) * shrink, 3)
    half_one, half_two = draft.half_size(one, sizes[0]), draft.half_size(two, sizes[1])
    ground = draft.choose_y(one, half_one[1], 0.25) + half_one[1]
    x_one = half_one[0] + 0.02
    x_two = min(1 - half_two[0] - 0.02, draft.uniform(*x_range))
    if side == "left":
        x_one, x_two = 1 - x_one, 1 - x_two
    first = draft.place(one, x_one, ground - half_one[1], sizes[0], 0.25, side)
    second = draft.place(two, x_two, ground - half_two[1], sizes[1], 0.35)
    return first, second, side


def push(draft: Draft) -> None:
    """Let a walker push a load."""
    walker = _choose_walker(draft)
    load = draft.choose_companion(_within(_LOADS, draft) or None) if walker else None
    if walker is None or load is None:
        return solo(draft)
    one, two, side = _place_pair(draft, walker, load, (0.5, 0.6), 0.8)
    half_load = draft.half_size(load, two.size)[0]
    room = (1 - two.x if side == "right" else two.x) - half_load
    gap = abs(two.x - one.x) - draft.half_size(walker, one.size)[0] - half_load
    distance = max(gap, 0.0) + min(draft.uniform(0.15, 0.3), max(room, 0.12))
    draft.add_event("push", one, side, target=two.id, amount=round(distance, 4))


def hit(draft: Draft) -> None:
    """Let a ball run into another."""
    colours = [draft.scope.colours[int(i)] for i in draft.rng.permutation(len(draft.scope.colours))[:2]]
    one, two = (Candidate("circle", colour, "slide") for colour in colours)
    plain = [name for name in draft.scope.backdrops if name in PLAIN_COLOURS and name not in colours]
    draft.backdrop = draft.pick(plain or draft.scope.backdrops)
    first, second, side = _place_pair(draft, one, two, (0.5, 0.6))
    draft.add_event("hit", first, side, target=second.id, amount=round(draft.uniform(0.7, 1.1), 3))


def eat(draft: Draft) -> None:
    """Let an animal eat something."""
    walker, foods = _choose_walker(draft), _within(_FOOD, draft)
    food = draft.choose_companion(foods) if walker and foods and CAST[walker.noun].group == "animal" else None
    if walker is None or food is None:
        return solo(draft) if not draft.backdrop else passing(draft)
    one, two, side = _place_pair(draft, walker, food, (0.6, 0.8), 0.7)
    draft.add_event("eat", one, side, span=(0.0, draft.seconds * draft.uniform(0.55, 0.8)), target=two.id)


def meet(draft: Draft) -> None:
    """Let two actors walk towards each other until they touch."""
    walker = _choose_walker(draft)
    nouns = tuple(noun for noun in draft.scope.nouns if CAST[noun].gait in ("walk", "hop"))
    other = draft.choose_companion(nouns) if walker and nouns and walker.gait in ("walk", "hop") else None
    if walker is None or other is None or other.noun == walker.noun:
        return passing(draft)
    one, two, side = _place_pair(draft, walker, other, (0.95, 1.0))
    draft.actors[1] = dataclasses.replace(two, facing="left" if side == "right" else "right")
    draft.add_event("meet", one, side, span=(0.0, draft.seconds * draft.uniform(0.6, 0.9)), target=two.id)


def paint(draft: Draft) -> None:
    """Let a brush draw a line that stays."""
    brushes = _within(_BRUSHES, draft)
    if not brushes:
        return solo(draft)
    draft.backdrop = draft.pick([name for name in draft.scope.backdrops if name in _PAPER_COLOURS] or ["white"])
    brush = Candidate(draft.pick(brushes), None, "stand")
    colour = draft.pick([c for c in draft.scope.colours if c not in (draft.backdrop, "white")])
    direction, y = draft.pick(_SIDES), draft.uniform(0.4, 0.55)
    size = draft.choose_size(crowded=True)
    _travel(draft, brush, "move", direction, (0.5, y), size, 0.2, far=True)
    move = draft.events.pop()
    end = round(draft.seconds * draft.uniform(0.6, 0.95), 3)
    draft.events.append(dataclasses.replace(move, kind="paint", end=end, colour=colour))


def switch(draft: Draft) -> None:
    """Let a lamp be switched on or off beside another actor."""
    lamps = _within(_LAMPS, draft)
    if not lamps or "room" not in draft.scope.backdrops:
        return solo(draft)
    draft.backdrop = "room"
    lamp = Candidate(draft.pick(lamps), None, "stand")
    x, size = draft.pick((0.25, 0.75)), draft.choose_size(crowded=True)
    actor = draft.place(lamp, x, draft.choose_y(lamp, draft.half_size(lamp, size)[1], 0.4), size, 0.4)
    other = draft.choose_companion()
    if other is not None:
        size = draft.choose_size(crowded=True)
        draft.place(other, 1 - x, draft.choose_y(other, draft.half_size(other, size)[1], 0.2), size, 0.2)
    moment = draft.seconds * draft.uniform(0.3, 0.6)
    draft.add_event("switch", actor, draft.pick(("on", "off")), span=(moment, moment))


def stop(draft: Draft) -> None:
    """Let an actor stop on its way."""
    candidate = draft.choose_actor()
    if candidate.travel_event == "roll" or candidate.travel_event not in draft.scope.events:
        return solo(draft)
    draft.choose_backdrop(candidate)
    size = draft.choose_size()
    y = draft.choose_y(candidate, draft.half_size(candidate, size)[1], 0.3)
    actor = _travel(draft, candidate, candidate.travel_event, draft.pick(_SIDES), (0.5, y), size, 0.3, far=True)
    moment = draft.seconds * draft.uniform(0.4, 0.65)
    draft.add_event("stop", actor, span=(moment, moment))


_EVENT_STORIES: dict[str, Story] = {
    "push": push,
    "hit": hit,
    "eat": eat,
    "meet": meet,
    "paint": paint,
    "switch": switch,
    "stop": stop,
}
