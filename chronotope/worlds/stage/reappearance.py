"""Stories that ask whether somebody stays who it is: beside another, crossing, hidden, away, changed while away; and slow and fast."""

from __future__ import annotations

from collections.abc import Callable

from chronotope.worlds.stage.backdrops import PLAIN
from chronotope.worlds.stage.draft import Draft, Who
from chronotope.worlds.stage.spec import Actor, Camera, Spec

__all__ = ["FAST", "SLOW", "choose_return"]

_SIDES = ("left", "right")
_OTHER = {"left": "right", "right": "left", "up": "down", "down": "up"}
_COVERS = ("square", "circle", "house", "tree")  # what is wide enough to hide somebody
_COVER = 0.66, 0.8  # short sides
_HIDDEN = 0.01  # of its pixels: less of it is nothing that could be seen
_GAP = 0.04  # frame widths between two that stand apart
_GOOD = 0.2  # of those who go out of sight do not come back
_FACTOR = 1.35, 1.6  # by how much somebody is larger or smaller when it comes back
SLOW, FAST = (0.11, 0.17), (0.8, 1.1)  # short sides a second: what "slowly" and "fast" mean here


def choose_return(draft: Draft) -> Callable[[Draft], None]:
    """One of the scope's stories, each as often."""
    stories = (beside, cross, screened, hide, away, altered, paced)
    return draft.pick([story for story in stories if story.__name__ in draft.scope.stories])  # type: ignore[no-any-return]


def _goer(draft: Draft) -> Who:
    """Anybody that gets about sideways, with a place for it."""
    for _ in range(100):
        who = draft.who()
        if who.going in ("walk", "fly", "move"):
            break
    draft.choose_backdrop(who)
    return who


def _other(draft: Draft, who: Who) -> Who | None:
    """Somebody of another kind, before anybody has a place."""
    draft.actors.append(Actor("", who.noun, "shape", 0.5, 0.5, 0.1, "red"))  # holds the noun
    other = draft.companion()
    draft.actors.clear()
    return other


def _step(side: str) -> int:
    return 1 if side == "right" else -1


def beside(draft: Draft) -> None:
    """One to the left or right of another; then the one who stands outside may go away from there, or change its size."""
    first = _goer(draft)
    second = _other(draft, first)
    if second is None:
        return away(draft)
    act = draft.pick(("leave", "grow", "shrink", "go", "nothing"))
    side = draft.pick(_SIDES)
    outer = 0.5 + _step(side) * draft.within(0.2, 0.25)
    actors: list[Actor] = []
    for who, x, depth in ((first, outer, 0.2), (second, 1 - outer, 0.4)):
        size = 0.54 if act == "shrink" and not actors else draft.size(crowd=2)
        actors.append(draft.place(who, x, draft.level(who, draft.halves(who, size)[1], depth), size, depth))
    one, two = actors
    draft.add("beside", one, side, target=two.id, span=(0.0, 0.0))
    start, end = round(draft.seconds * draft.within(0.25, 0.4), 3), draft.seconds
    if act == "leave":
        draft.add("leave", one, side, span=(start, end))
    elif act in ("grow", "shrink"):
        factor = draft.within(*_FACTOR)
        draft.add(act, one, span=(start, end), amount=round(factor if act == "grow" else 1 / factor, 3))
    elif act == "go":
        room = (1 - one.x if side == "right" else one.x) - draft.halves(first, one.size)[0]
        draft.add(first.going, one, side, span=(start, end), amount=round(max(room, 0.08), 4))
    return None


def cross(draft: Draft) -> None:
    """Two that look alike - one shape in two colours, or two shapes in one colour - pass each other."""
    shapes = [name for name in draft.scope.shapes if name != "heart"]
    shapes = [shapes[int(i)] for i in draft.rng.permutation(len(shapes))[:2]]
    colours = [draft.scope.colours[int(i)] for i in draft.rng.permutation(len(draft.scope.colours))[:2]]
    same = draft.chance(0.5)
    pair = (
        [Who(shapes[0], colour, "slide") for colour in colours]
        if same
        else [Who(shape, colours[0], "slide") for shape in shapes]
    )
    draft.backdrop = draft.pick([name for name in draft.scope.backdrops if name in PLAIN or name == "sky"])
    side, size = draft.pick(_SIDES), draft.size(crowd=2)
    y, stays = draft.within(0.4, 0.6), draft.chance(0.3)
    front = draft.pick((0, 1))
    half = max(draft.halves(who, size)[0] for who in pair)
    near, far = (half + 0.02, 1 - half - 0.02) if side == "right" else (1 - half - 0.02, half + 0.02)
    start, end = draft.pick(((0.0, draft.seconds), (0.0, draft.seconds * 0.85), (draft.seconds * 0.15, draft.seconds)))
    for index, (who, x) in enumerate(zip(pair, (near, 0.5 if stays else far), strict=True)):
        way = side if index == 0 else _OTHER[side]
        actor = draft.place(who, x, y + draft.within(-0.02, 0.02), size, 0.2 if index == front else 0.6, way)
        if index == 0 or not stays:
            draft.add("move", actor, way, span=(start, end), amount=round(abs(far - near), 4))


def screened(draft: Draft) -> None:
    """One goes by another that hides only a part of it, or of which it hides a part."""
    who = _goer(draft)
    other = _other(draft, who)
    if other is None:
        return away(draft)
    side, behind = draft.pick(_SIDES), draft.chance(0.6)
    size = round(draft.within(0.46, 0.56), 3)
    depth = 0.8 if behind else 0.1
    half = draft.halves(who, size)
    low, high = half[0] + 0.02, 1 - half[0] - 0.02
    y = draft.level(who, half[1], depth)
    one = draft.place(who, low if side == "right" else high, y, size, depth, side)
    small = round(size * draft.within(0.85, 1.0), 3)
    level = draft.level(other, draft.halves(other, small)[1], 0.4)
    draft.place(other, draft.within(0.45, 0.55), level, small, 0.4)
    draft.add(who.going, one, side, span=(0.0, draft.seconds), amount=round(high - low, 4))
    return None


def hide(draft: Draft) -> None:
    """One goes behind something large, stays there for a while, and comes out again; or does not."""
    _behind(draft, 1.0)
    _for_good(draft)


def altered(draft: Draft) -> None:
    """One goes out of sight and comes back larger or smaller."""
    factor = draft.within(*_FACTOR)
    grows = draft.chance(0.5)
    (_away if draft.chance(0.5) else _behind)(draft, round(factor if grows else 1 / factor, 3))


def away(draft: Draft) -> None:
    """One leaves the frame and comes back; or does not."""
    _away(draft, 1.0)
    _for_good(draft)


def _for_good(draft: Draft) -> None:
    """Sometimes it is said that it does not come back."""
    if draft.chance(_GOOD):
        back = draft.events.pop()
        gone = draft.events[-1]
        draft.add("stay", draft.actors[0], span=(gone.end, back.end))


def _change(draft: Draft, actor: Actor, factor: float, start: float, end: float) -> None:
    """While nobody can see it."""
    if factor != 1.0:
        draft.add("grow" if factor > 1 else "shrink", actor, span=(start, end), amount=factor)


def _sizes(draft: Draft, factor: float, most: float) -> tuple[float, float]:
    """A size before and after a change, neither of them too small or too large to be told."""
    low, high = 0.36, min(most, 0.58)
    return (size := round(draft.within(max(low, low / factor), min(high, high / factor)), 3)), size * factor


def _away(draft: Draft, factor: float) -> None:
    draft.actors.clear()
    who = _goer(draft)
    ways = [way for way in _SIDES for _ in range(3)]
    ways += ["up", "down"] if draft.floating(who) and who.going in ("fly", "move") else []
    way = draft.pick(ways)
    size, after = _sizes(draft, factor, 0.58)
    half = draft.halves(who, max(size, after))
    x = 0.5 + (_step(way) * draft.within(0.05, 0.16) if way in _SIDES else draft.within(-0.1, 0.1))
    one = draft.place(who, x, draft.level(who, half[1], 0.3), size, 0.3, way if way in _SIDES else None)
    other = draft.companion() if draft.chance(0.4) and way in _SIDES else None
    if other is not None:
        room = (x if way == "right" else 1 - x) - half[0] - _GAP  # on the side from which nobody comes
        least = draft.scope.smallest
        if 2 * draft.halves(other, least)[0] < room:
            level = draft.level(other, draft.halves(other, least)[1], 0.5)
            draft.place(other, room / 2 if way == "right" else 1 - room / 2, level, least, 0.5)
    rest = draft.within(0.6, 1.1)
    gone = round((draft.seconds - rest) * draft.within(0.42, 0.5), 3)
    back = round(gone + rest, 3)
    draft.add("leave", one, way, span=(0.0, gone))
    _change(draft, one, factor, gone, back)
    draft.add("enter", one, _OTHER[way], span=(back, draft.seconds))


def _behind(draft: Draft, factor: float) -> None:
    for _ in range(60):
        if _hides(draft, factor):
            return
        draft.actors.clear()
        draft.events.clear()
    _away(draft, factor)


def _hides(draft: Draft, factor: float) -> bool:
    """Try once; false if there is no room, or if something of the actor would still be seen."""
    who = _goer(draft)
    noun = draft.pick(_COVERS)
    colour = draft.pick(draft.scope.colours) if noun in draft.scope.shapes else None
    cover = Who(noun, colour, "slide" if colour else "stand")
    if not draft.suits(cover) or who.noun == noun or (who.colour and who.colour == colour):
        return False
    large = round(draft.within(*_COVER), 3)
    size, after = _sizes(draft, factor, 0.54)
    half, wide = draft.halves(who, max(size, after)), draft.halves(cover, large)
    side = draft.pick(_SIDES)
    room = 2 * half[0] + 2 * _GAP  # beside the cover, for all of the actor
    through = draft.chance(0.6)
    low, high = (
        wide[0] + (room if through or side == "right" else 0.02),
        1 - wide[0] - (room if through or side == "left" else 0.02),
    )
    if low > high or half[0] > 0.9 * wide[0]:
        return False
    x = draft.within(low, high)
    free = draft.floating(cover) or draft.backdrop == "sea"
    y = draft.level(who, half[1], 0.95)
    level = min(max(y, wide[1] + 0.01), 0.99 - wide[1]) if free else draft.level(cover, wide[1], 0.3)
    if draft.floating(who):
        y = level + draft.within(-0.3, 0.3) * (wide[1] - half[1])
    one = draft.place(who, x - _step(side) * (wide[0] + half[0] + _GAP), y, size, 0.95, side)
    two = draft.place(cover, x, level, large, 0.3)
    rest = draft.within(0.3, 0.8)
    gone = round((draft.seconds - rest) * draft.within(0.42, 0.5), 3)
    back, out = round(gone + rest, 3), side if through else _OTHER[side]
    draft.add("hide", one, side, target=two.id, span=(0.0, gone))
    _change(draft, one, factor, gone, back)
    draft.add("emerge", one, out, target=two.id, span=(back, draft.seconds), amount=round(wide[0] + half[0] + _GAP, 4))
    return _covered(draft, one, two, max(size, after))


def _covered(draft: Draft, one: Actor, two: Actor, size: float) -> bool:
    """Whether nothing of the actor is seen when it is where the cover is, in this size, walking or not."""
    from chronotope.worlds.stage.render import render

    there = Actor(one.id, one.noun, one.kind, two.x, one.y, size, one.colour, one.depth, one.facing)
    place = Spec(draft.width, draft.height, 8.0, 1, 0, "grey", Camera(), (there, two), ())
    return bool(render(place).truth.visible_fraction[0, 0] <= _HIDDEN)


def paced(draft: Draft) -> None:
    """One moves slowly, or fast."""
    who = _goer(draft)
    slow, side = draft.chance(0.5), draft.pick(_SIDES)
    size = draft.size()
    half = draft.halves(who, size)
    reach = 1 - 2 * half[0] - 0.04
    ratio = min(draft.width, draft.height) / draft.width  # frame widths a short side
    speed = draft.within(*(SLOW if slow else FAST)) * ratio
    seconds = draft.seconds if slow else min(draft.seconds, reach / speed)
    start = 0.0 if slow else draft.within(0.0, draft.seconds - seconds)
    amount = min(speed * seconds, reach)
    near = half[0] + 0.02 + draft.within(0.0, reach - amount)
    one = draft.place(who, near if side == "right" else 1 - near, draft.level(who, half[1], 0.3), size, 0.3, side)
    draft.add("creep" if slow else "dash", one, side, span=(start, start + seconds), amount=round(amount, 4))
