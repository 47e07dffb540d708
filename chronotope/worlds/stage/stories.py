"""The stories a random scene can tell: each puts its actors on the stage and lets something happen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from chronotope.worlds.stage.backdrops import PLAIN
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.draft import Draft, Who
from chronotope.worlds.stage.reappearance import choose_return
from chronotope.worlds.stage.spec import Actor
from chronotope.worlds.stage.tracks import step_of

__all__ = ["choose_story"]

_SIDES = ("left", "right")
_FOOD = ("apple", "banana", "carrot", "cheese", "cookie", "strawberry", "grapes", "bread", "cake", "pizza", "watermelon", "donut",
         "mushroom", "flower")  # fmt: skip
_LOADS = ("box", "gift", "rock", "soccer ball", "chair", "drum", "sled", "potted plant", "television")
_BRUSHES = ("paintbrush", "crayon", "pencil")
_CANVASES = ("white", "grey", "yellow", "pink", "blue")
_LAMPS = ("lamp", "light bulb")
_LANDMARKS = (
    "tree",
    "house",
    "flower",
    "mushroom",
    "pine tree",
    "palm tree",
    "cactus",
    "castle",
    "rock",
    "church",
    "snowman",
    "sunflower",
)


def choose_story(draft: Draft) -> Callable[[Draft], None]:
    """A story that the scope and the length allow."""
    scope = draft.scope
    if scope.stories and draft.seconds:
        return choose_return(draft)
    if scope.acts > 1 and draft.seconds:
        return two_acts
    if scope.max_actors < 2:
        return solo
    if draft.seconds == 0:
        return aside if draft.chance(0.4) else solo
    menu: list[tuple[Callable[[Draft], None], float]] = [(solo, 0.55), (aside, 0.17), (passing, 0.2), (lanes, 0.08)]
    if draft.seconds >= 1.0:
        menu += [
            (story, scope.told_share)
            for story in (push, hit, eat, meet, paint, switch, stop)
            if story.__name__ in scope.events
        ]
    shares = [share for _, share in menu]
    place = draft.rng.choice(len(menu), p=[share / sum(shares) for share in shares])
    return menu[int(place)][0]


def solo(draft: Draft) -> None:
    """One actor and what it does."""
    who = draft.who()
    draft.choose_backdrop(who)
    size, depth = draft.size(), 0.3
    half_h = draft.halves(who, size)[1]
    x, y = draft.within(0.4, 0.6), draft.level(who, half_h, depth)
    menu = _ways(draft, who) + _antics(draft, who)
    if draft.seconds == 0 or not menu or draft.chance(0.08):
        draft.place(who, x, y, size, depth)
        return
    kind, direction = draft.pick(menu)
    if kind in ("enter", "leave"):
        draft.add(kind, draft.place(who, x, y, size, depth, direction), direction, span=draft.when())
    elif direction is not None:
        _cross(draft, who, kind, direction, (x, y), size, depth)
    else:
        _antic(
            draft,
            draft.place(who, x, draft.within(half_h, half_h + 0.12) if kind == "bounce" else y, size, depth),
            kind,
        )


def two_acts(draft: Draft) -> None:
    """One actor does one thing, and then another."""
    who = draft.who()
    draft.choose_backdrop(who)
    size, depth = draft.size(), 0.3
    halves = draft.halves(who, size)
    ways = _ways(draft, who)
    moment = round(draft.seconds * draft.within(0.35, 0.65), 3)
    begin = [deed for deed in ways if deed[0] != "leave"]
    if not begin:
        return solo(draft)
    (kind, way), at = draft.pick(begin), (draft.within(0.4, 0.6), draft.level(who, halves[1], depth))
    assert way is not None
    if kind == "enter":
        actor = draft.place(who, *at, size, depth, way)
        draft.add(kind, actor, way, span=(0.0, moment))
        x, y = actor.x, actor.y
    else:
        actor = _cross(draft, who, kind, way, at, size, depth, span=(0.0, moment))
        (sx, sy), gone = step_of(way), draft.events[-1].amount or 0.0
        x, y = actor.x + sx * gone, actor.y + sy * gone
    room = {"left": x - halves[0], "right": 1 - x - halves[0], "up": y - halves[1], "down": 1 - y - halves[1]}
    then = [
        (kind, to)
        for kind, to in ways
        if kind == "leave" or (kind != "enter" and to not in (way, None) and room[str(to)] >= 0.12)
    ]
    then += [deed for deed in _antics(draft, who) if deed[0] in ("grow", "shrink")]
    if not then:
        return None
    kind, to = draft.pick(then)
    amount = None
    if to is None:
        factor = draft.within(1.5, 1.9)
        amount = round(factor if kind == "grow" else 1 / factor, 3)
    elif kind != "leave":
        amount = round(min(max(0.12, draft.within(0.25, 0.6) * (draft.seconds - moment)), room[to]), 4)
    draft.add(kind, actor, to, span=(moment, draft.seconds), amount=amount)
    return None


def _ways(draft: Draft, who: Who) -> list[tuple[str, str | None]]:
    """How this actor can get about here, each as often as it should be seen."""
    menu: list[tuple[str, str | None]] = []
    if who.going:
        menu += [(who.going, side) for side in _SIDES] * 4 + [
            (kind, side) for kind in ("enter", "leave") for side in _SIDES
        ]
    if draft.floating(who) and who.going in ("fly", "move"):
        menu += [(who.going, way) for way in ("up", "down")] * (
            3 if who.noun in ("rocket", "balloon") or who.colour else 1
        )
    return [(kind, way) for kind, way in menu if kind in draft.scope.events]


def _antics(draft: Draft, who: Who) -> list[tuple[str, str | None]]:
    """What this actor can do without going anywhere."""
    menu: list[tuple[str, str | None]] = []
    if who.colour or who.gait in ("roll", "stand", "float"):
        menu += [("grow", None), ("shrink", None)] * 2
        menu += [("spin", None)] if who.noun != "circle" else []
    if (who.colour or who.gait == "roll") and draft.backdrop != "sea":
        menu += [("bounce", None)] * 3
    return [(kind, way) for kind, way in menu if kind in draft.scope.events]


def _antic(draft: Draft, actor: Actor, kind: str) -> None:
    factor = draft.within(1.5, 1.9)
    amount = {"grow": round(factor, 3), "shrink": round(1 / factor, 3)}.get(kind)
    draft.add(kind, actor, span=(0.0, draft.seconds) if kind == "bounce" else draft.when(), amount=amount)


def _cross(
    draft: Draft,
    who: Who,
    kind: str,
    direction: str,
    at: tuple[float, float],
    size: float,
    depth: float,
    far: bool = False,
    span: tuple[float, float] | None = None,
) -> Actor:
    """Let an actor go in a direction, all of its way inside the frame; `far` for the longest such way."""
    sideways = direction in _SIDES
    half = draft.halves(who, size)[0 if sideways else 1]
    span = span or ((0.0, draft.seconds) if far else draft.when())
    low, reach = min(0.45, half), max(0.1, 1 - 2 * half)
    wanted = 1.0 if far else draft.within(0.25, 0.6) * (span[1] - span[0])
    distance = min(max(wanted, 0.12), reach)
    start = low + draft.within(0.0, reach - distance)
    start = start if direction in ("right", "down") else 1 - start
    x, y = (start, at[1]) if sideways else (at[0], start)
    actor = draft.place(who, x, y, size, depth, direction if sideways else None)
    draft.add(kind, actor, direction, span=span, amount=round(distance, 4))
    return actor


def aside(draft: Draft) -> None:
    """Two or three side by side; each may do something on its spot."""
    first = draft.who()
    draft.choose_backdrop(first)
    count = 2 if draft.scope.max_actors < 3 or draft.chance(0.7) else 3
    columns = [0.27, 0.73] if count == 2 else [0.18, 0.5, 0.82]
    order = [columns[int(i)] for i in draft.rng.permutation(count)]
    for index in range(count):
        who = first if index == 0 else draft.companion()
        if who is None:
            return
        size = draft.size(crowd=2) * (1.0 if count == 2 else 0.75)
        depth = 0.2 + 0.25 * index
        half = draft.halves(who, size)[1]
        menu = _antics(draft, who) if draft.seconds and draft.chance(0.75 if index == 0 else 0.4) else []
        kind = draft.pick(menu)[0] if menu else None
        y = draft.within(half, half + 0.12) if kind == "bounce" else draft.level(who, half, depth)
        actor = draft.place(who, order[index], y, round(size, 3), depth)
        if kind:
            _antic(draft, actor, kind)


def passing(draft: Draft) -> None:
    """One goes past another that stays: in front of it, or behind."""
    who = draft.who()
    if who.going not in draft.scope.events:
        return solo(draft)
    draft.choose_backdrop(who)
    draft.actors.append(Actor("", who.noun, "shape", 0.5, 0.5, 0.1, "red"))  # holds the noun while the other is chosen
    marks = tuple(noun for noun in _LANDMARKS if noun in draft.scope.nouns)
    other = draft.companion(marks) if marks and draft.chance(0.6) else draft.companion()
    draft.actors.clear()
    behind = draft.chance(0.3)
    size = draft.size(crowd=2)
    depth = 0.95 if behind else 0.1
    y = draft.level(who, draft.halves(who, size)[1], depth)
    _cross(draft, who, who.going, draft.pick(_SIDES), (0.5, y), size, depth, far=draft.chance(0.7))
    if other is not None:
        size = round(draft.size(crowd=2) * (0.9 if behind else 1.15), 3)
        half = draft.halves(other, size)[1]
        level = draft.level(other, half, 0.55)
        draft.place(other, draft.within(0.4, 0.6), level, size, 0.55)


def lanes(draft: Draft) -> None:
    """Two move at once, one above the other, each its own way."""
    first = draft.who()
    draft.choose_backdrop(first)
    if not draft.floating(first) or first.going not in ("fly", "move") or first.going not in draft.scope.events:
        return solo(draft)
    rows = [0.27, 0.73] if draft.chance(0.5) else [0.73, 0.27]
    for index, who in enumerate((first, draft.companion())):
        if who is not None and draft.floating(who) and who.going in ("fly", "move") and who.going in draft.scope.events:
            size = min(draft.size(crowd=2), 0.46 * draft.height / min(draft.width, draft.height))
            _cross(draft, who, who.going, draft.pick(_SIDES), (0.5, rows[index]), round(size, 3), 0.2 + 0.3 * index)


def _walker(draft: Draft) -> Who | None:
    """Somebody who goes about on the ground, with the place chosen for it."""
    for _ in range(40):
        who = draft.who(shapes=False)
        if who.gait in ("walk", "hop", "crawl", "drive", "slither"):
            draft.choose_backdrop(who)
            return who
    return None


def _pair(
    draft: Draft, who: Who, other: Who, gap: tuple[float, float], shrink: float = 1.0
) -> tuple[Actor, Actor, str]:
    """Two at the same depth with feet on one line, the second in the direction returned."""
    side = draft.pick(_SIDES)
    sizes = [draft.size(crowd=2), round(draft.size(crowd=2) * shrink, 3)]
    halves = [draft.halves(w, s) for w, s in zip((who, other), sizes, strict=True)]
    ground = draft.level(who, halves[0][1], 0.25) + halves[0][1]
    near, far = halves[0][0] + 0.02, 1 - halves[1][0] - 0.02
    x_far = min(far, draft.within(*gap))
    xs = (near, x_far) if side == "right" else (1 - near, 1 - x_far)
    one = draft.place(who, xs[0], ground - halves[0][1], sizes[0], 0.25, side)
    two = draft.place(other, xs[1], ground - halves[1][1], sizes[1], 0.35)
    return one, two, side


def push(draft: Draft) -> None:
    """A walker pushes a load."""
    who = _walker(draft)
    other = draft.companion(tuple(noun for noun in _LOADS if noun in draft.scope.nouns) or None) if who else None
    if who is None or other is None:
        return solo(draft)
    one, two, side = _pair(draft, who, other, (0.5, 0.6), 0.8)
    room = (1 - two.x if side == "right" else two.x) - draft.halves(other, two.size)[0]
    gap = abs(two.x - one.x) - draft.halves(who, one.size)[0] - draft.halves(other, two.size)[0]
    draft.add(
        "push", one, side, target=two.id, amount=round(max(gap, 0.0) + min(draft.within(0.15, 0.3), max(room, 0.12)), 4)
    )


def hit(draft: Draft) -> None:
    """A ball runs into another."""
    colours = [draft.scope.colours[int(i)] for i in draft.rng.permutation(len(draft.scope.colours))[:2]]
    one, two = (Who("circle", colour, "slide") for colour in colours)
    plain = [name for name in draft.scope.backdrops if name in PLAIN and name not in colours]
    draft.backdrop = draft.pick(plain or draft.scope.backdrops)
    first, second, side = _pair(draft, one, two, (0.5, 0.6))
    draft.add("hit", first, side, target=second.id, amount=round(draft.within(0.7, 1.1), 3))


def eat(draft: Draft) -> None:
    """An animal eats something."""
    who = _walker(draft)
    food = tuple(noun for noun in _FOOD if noun in draft.scope.nouns)
    other = draft.companion(food) if who and food and CAST[who.noun].group == "animal" else None
    if who is None or other is None:
        return solo(draft) if not draft.backdrop else passing(draft)
    one, two, side = _pair(draft, who, other, (0.6, 0.8), 0.7)
    draft.add("eat", one, side, target=two.id, span=(0.0, draft.seconds * draft.within(0.55, 0.8)))


def meet(draft: Draft) -> None:
    """Two walk towards each other until they touch."""
    who = _walker(draft)
    walkers = tuple(noun for noun in draft.scope.nouns if CAST[noun].gait in ("walk", "hop"))
    other = draft.companion(walkers) if who and walkers and who.gait in ("walk", "hop") else None
    if who is None or other is None or other.noun == who.noun:
        return passing(draft)
    one, two, side = _pair(draft, who, other, (0.95, 1.0))
    draft.actors[1] = dataclasses.replace(two, facing="left" if side == "right" else "right")
    draft.add("meet", one, side, target=two.id, span=(0.0, draft.seconds * draft.within(0.6, 0.9)))


def paint(draft: Draft) -> None:
    """A brush draws a line that stays."""
    brushes = tuple(noun for noun in _BRUSHES if noun in draft.scope.nouns)
    if not brushes:
        return solo(draft)
    draft.backdrop = draft.pick([name for name in draft.scope.backdrops if name in _CANVASES] or ["white"])
    noun = draft.pick(brushes)
    colour = draft.pick([c for c in draft.scope.colours if c not in (draft.backdrop, "white")])
    who = Who(noun, None, "stand")
    actor = _cross(
        draft, who, "paint", draft.pick(_SIDES), (0.5, draft.within(0.4, 0.55)), draft.size(crowd=2), 0.2, far=True
    )
    event = draft.events.pop()
    draft.add(
        "paint",
        actor,
        event.direction,
        amount=event.amount,
        colour=colour,
        span=(0.0, draft.seconds * draft.within(0.6, 0.95)),
    )


def switch(draft: Draft) -> None:
    """A lamp is switched on or off beside somebody."""
    lamps = tuple(noun for noun in _LAMPS if noun in draft.scope.nouns)
    if not lamps or "room" not in draft.scope.backdrops:
        return solo(draft)
    draft.backdrop = "room"
    lamp = Who(draft.pick(lamps), None, "stand")
    aside_x = draft.pick((0.25, 0.75))
    size = draft.size(crowd=2)
    actor = draft.place(lamp, aside_x, draft.level(lamp, draft.halves(lamp, size)[1], 0.4), size, 0.4)
    other = draft.companion()
    if other is not None:
        size = draft.size(crowd=2)
        draft.place(other, 1 - aside_x, draft.level(other, draft.halves(other, size)[1], 0.2), size, 0.2)
    moment = draft.seconds * draft.within(0.3, 0.6)
    draft.add("switch", actor, draft.pick(("on", "off")), span=(moment, moment))


def stop(draft: Draft) -> None:
    """Somebody goes, and stops on the way."""
    who = draft.who()
    if who.going == "roll" or who.going not in draft.scope.events:
        return solo(draft)
    draft.choose_backdrop(who)
    size = draft.size()
    y = draft.level(who, draft.halves(who, size)[1], 0.3)
    actor = _cross(draft, who, who.going, draft.pick(_SIDES), (0.5, y), size, 0.3, far=True)
    moment = draft.seconds * draft.within(0.4, 0.65)
    draft.add("stop", actor, span=(moment, moment))
