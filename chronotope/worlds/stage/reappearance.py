"""Stories that test whether an actor keeps its identity: crossing, occlusion, leaving and returning, size changes."""

from __future__ import annotations

from collections.abc import Callable

from chronotope.worlds.language import OPPOSITE
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.draft import Candidate, Draft
from chronotope.worlds.stage.spec import Actor, Camera, Spec

__all__ = ["FAST", "SLOW", "choose_identity_story"]

SLOW, FAST = (0.11, 0.17), (0.8, 1.1)  # short sides per second

_SIDES = ("left", "right")
_OCCLUDERS = ("square", "circle", "house", "tree")  # wide enough to hide another actor
_OCCLUDER_SIZE = 0.66, 0.8  # short sides
_MAX_VISIBLE = 0.01  # of the pixels of an actor that counts as hidden
_GAP = 0.04  # frame widths between two actors that stand apart
_STAY_PROBABILITY = 0.2  # that an actor which goes out of sight does not come back
_SCALE_FACTOR = 1.35, 1.6  # of an actor whose size changes
_SIZE_RANGE = 0.36, 0.58  # short sides: of an actor before and after its size changes
_MAX_HIDDEN_SIZE = 0.54  # short sides


def choose_identity_story(draft: Draft) -> Callable[[Draft], None]:
    """Return one of the scope's stories, all equally likely."""
    return _STORIES[draft.pick([name for name in _STORIES if name in draft.scope.stories])]


def _choose_traveller(draft: Draft) -> Candidate:
    """Return an actor that can move sideways, and set a backdrop for it."""
    for _ in range(100):
        candidate = draft.choose_actor()
        if candidate.travel_event in ("walk", "fly", "move"):
            break
    draft.choose_backdrop(candidate)
    return candidate


def _sign(side: str) -> int:
    return 1 if side == "right" else -1


def side_by_side(draft: Draft) -> None:
    """Show one actor to the left or right of another; it may then leave, move aside or change its size."""
    first = _choose_traveller(draft)
    second = draft.choose_unlike(first)
    if second is None:
        return leave_and_return(draft)
    action = draft.pick(("leave", "grow", "shrink", "move", "nothing"))
    side = draft.pick(_SIDES)
    x = 0.5 + _sign(side) * draft.uniform(0.2, 0.25)
    size = 0.54 if action == "shrink" else draft.choose_size(crowded=True)
    one = draft.place(first, x, draft.choose_y(first, draft.half_size(first, size)[1], 0.2), size, 0.2)
    size = draft.choose_size(crowded=True)
    two = draft.place(second, 1 - x, draft.choose_y(second, draft.half_size(second, size)[1], 0.4), size, 0.4)
    draft.add_event("beside", one, side, span=(0.0, 0.0), target=two.id)
    span = round(draft.seconds * draft.uniform(0.25, 0.4), 3), draft.seconds
    if action == "leave":
        draft.add_event("leave", one, side, span=span)
    elif action in ("grow", "shrink"):
        factor = draft.uniform(*_SCALE_FACTOR)
        draft.add_event(action, one, span=span, amount=round(factor if action == "grow" else 1 / factor, 3))
    elif action == "move":
        room = (1 - one.x if side == "right" else one.x) - draft.half_size(first, one.size)[0]
        draft.add_event(first.travel_event, one, side, span=span, amount=round(max(room, 0.08), 4))


def crossing(draft: Draft) -> None:
    """Let two similar actors pass each other: one shape in two colours, or two shapes in one colour."""
    shapes = [name for name in draft.scope.shapes if name != "heart"]
    shapes = [shapes[int(i)] for i in draft.rng.permutation(len(shapes))[:2]]
    colours = [draft.scope.colours[int(i)] for i in draft.rng.permutation(len(draft.scope.colours))[:2]]
    if draft.chance(0.5):
        pair = [Candidate(shapes[0], colour, "slide") for colour in colours]
    else:
        pair = [Candidate(shape, colours[0], "slide") for shape in shapes]
    draft.backdrop = draft.pick([name for name in draft.scope.backdrops if name in PLAIN_COLOURS or name == "sky"])
    side, size = draft.pick(_SIDES), draft.choose_size(crowded=True)
    y, second_rests = draft.uniform(0.4, 0.6), draft.chance(0.3)
    front = draft.pick((0, 1))
    half_width = max(draft.half_size(candidate, size)[0] for candidate in pair)
    near, far = half_width + 0.02, 1 - half_width - 0.02
    if side == "left":
        near, far = far, near
    seconds = draft.seconds
    start, end = draft.pick(((0.0, seconds), (0.0, seconds * 0.85), (seconds * 0.15, seconds)))
    for index, (candidate, x) in enumerate(zip(pair, (near, 0.5 if second_rests else far), strict=True)):
        direction = side if index == 0 else OPPOSITE[side]
        depth = 0.2 if index == front else 0.6
        actor = draft.place(candidate, x, y + draft.uniform(-0.02, 0.02), size, depth, direction)
        if index == 0 or not second_rests:
            draft.add_event("move", actor, direction, span=(start, end), amount=round(abs(far - near), 4))


def partial_occlusion(draft: Draft) -> None:
    """Let one actor pass another; the nearer one hides a part of the other."""
    candidate = _choose_traveller(draft)
    other = draft.choose_unlike(candidate)
    if other is None:
        return leave_and_return(draft)
    side, behind = draft.pick(_SIDES), draft.chance(0.6)
    size = round(draft.uniform(0.46, 0.56), 3)
    depth = 0.8 if behind else 0.1
    half_width, half_height = draft.half_size(candidate, size)
    low, high = half_width + 0.02, 1 - half_width - 0.02
    y = draft.choose_y(candidate, half_height, depth)
    one = draft.place(candidate, low if side == "right" else high, y, size, depth, side)
    other_size = round(size * draft.uniform(0.85, 1.0), 3)
    other_y = draft.choose_y(other, draft.half_size(other, other_size)[1], 0.4)
    draft.place(other, draft.uniform(0.45, 0.55), other_y, other_size, 0.4)
    span = (0.0, draft.seconds)
    draft.add_event(candidate.travel_event, one, side, span=span, amount=round(high - low, 4))


def hide(draft: Draft) -> None:
    """Let one actor hide behind a large one and emerge after a while; sometimes it does not."""
    _hide_and_emerge(draft, 1.0)
    _maybe_stay(draft)


def size_change(draft: Draft) -> None:
    """Let one actor go out of sight and come back larger or smaller."""
    factor = draft.uniform(*_SCALE_FACTOR)
    if not draft.chance(0.5):
        factor = 1 / factor
    go = _leave_and_enter if draft.chance(0.5) else _hide_and_emerge
    go(draft, round(factor, 3))


def leave_and_return(draft: Draft) -> None:
    """Let one actor leave the frame and come back; sometimes it does not."""
    _leave_and_enter(draft, 1.0)
    _maybe_stay(draft)


def _maybe_stay(draft: Draft) -> None:
    """Sometimes replace the return by the event that the actor does not come back."""
    if draft.chance(_STAY_PROBABILITY):
        back = draft.events.pop()
        gone = draft.events[-1]
        draft.add_event("stay", draft.actors[0], span=(gone.end, back.end))


def _change_size(draft: Draft, actor: Actor, factor: float, start: float, end: float) -> None:
    if factor != 1.0:
        draft.add_event("grow" if factor > 1 else "shrink", actor, span=(start, end), amount=factor)


def _choose_sizes(draft: Draft, factor: float, largest: float) -> tuple[float, float]:
    """Return the sizes before and after a change by `factor`; both are within the range of sizes."""
    low, high = _SIZE_RANGE[0], min(largest, _SIZE_RANGE[1])
    size = round(draft.uniform(max(low, low / factor), min(high, high / factor)), 3)
    return size, size * factor


def _leave_and_enter(draft: Draft, factor: float) -> None:
    draft.actors.clear()
    candidate = _choose_traveller(draft)
    directions = [side for side in _SIDES for _ in range(3)]
    if draft.can_float(candidate) and candidate.travel_event in ("fly", "move"):
        directions += ["up", "down"]
    direction = draft.pick(directions)
    sideways = direction in _SIDES
    size, size_after = _choose_sizes(draft, factor, _SIZE_RANGE[1])
    half_width, half_height = draft.half_size(candidate, max(size, size_after))
    x = 0.5 + (_sign(direction) * draft.uniform(0.05, 0.16) if sideways else draft.uniform(-0.1, 0.1))
    y = draft.choose_y(candidate, half_height, 0.3)
    one = draft.place(candidate, x, y, size, 0.3, direction if sideways else None)
    other = draft.choose_companion() if draft.chance(0.4) and sideways else None
    if other is not None:
        room = (x if direction == "right" else 1 - x) - half_width - _GAP  # on the side on which it does not travel
        smallest = draft.scope.smallest
        half_other = draft.half_size(other, smallest)
        if 2 * half_other[0] < room:
            y = draft.choose_y(other, half_other[1], 0.5)
            draft.place(other, room / 2 if direction == "right" else 1 - room / 2, y, smallest, 0.5)
    seconds_away = draft.uniform(0.6, 1.1)
    gone = round((draft.seconds - seconds_away) * draft.uniform(0.42, 0.5), 3)
    back = round(gone + seconds_away, 3)
    draft.add_event("leave", one, direction, span=(0.0, gone))
    _change_size(draft, one, factor, gone, back)
    draft.add_event("enter", one, OPPOSITE[direction], span=(back, draft.seconds))


def _hide_and_emerge(draft: Draft, factor: float) -> None:
    for _ in range(60):
        if _try_to_hide(draft, factor):
            return
        draft.actors.clear()
        draft.events.clear()
    _leave_and_enter(draft, factor)


def _try_to_hide(draft: Draft, factor: float) -> bool:
    """Try once; return False if there is too little room or a part of the actor stays visible."""
    candidate = _choose_traveller(draft)
    noun = draft.pick(_OCCLUDERS)
    colour = draft.pick(draft.scope.colours) if noun in draft.scope.shapes else None
    occluder = Candidate(noun, colour, "slide" if colour else "stand")
    alike = candidate.noun == noun or (candidate.colour and candidate.colour == colour)
    if not draft.fits(occluder) or alike:
        return False
    occluder_size = round(draft.uniform(*_OCCLUDER_SIZE), 3)
    size, size_after = _choose_sizes(draft, factor, _MAX_HIDDEN_SIZE)
    half, half_occluder = draft.half_size(candidate, max(size, size_after)), draft.half_size(occluder, occluder_size)
    side = draft.pick(_SIDES)
    room = 2 * half[0] + 2 * _GAP  # for the whole actor beside the occluder
    through = draft.chance(0.6)
    low = half_occluder[0] + (room if through or side == "right" else 0.02)
    high = 1 - half_occluder[0] - (room if through or side == "left" else 0.02)
    if low > high or half[0] > 0.9 * half_occluder[0]:
        return False
    x = draft.uniform(low, high)
    y = draft.choose_y(candidate, half[1], 0.95)
    if draft.can_float(occluder) or draft.backdrop == "sea":
        occluder_y = min(max(y, half_occluder[1] + 0.01), 0.99 - half_occluder[1])
    else:
        occluder_y = draft.choose_y(occluder, half_occluder[1], 0.3)
    if draft.can_float(candidate):
        y = occluder_y + draft.uniform(-0.3, 0.3) * (half_occluder[1] - half[1])
    distance = half_occluder[0] + half[0] + _GAP
    one = draft.place(candidate, x - _sign(side) * distance, y, size, 0.95, side)
    two = draft.place(occluder, x, occluder_y, occluder_size, 0.3)
    seconds_away = draft.uniform(0.3, 0.8)
    gone = round((draft.seconds - seconds_away) * draft.uniform(0.42, 0.5), 3)
    back = round(gone + seconds_away, 3)
    draft.add_event("hide", one, side, span=(0.0, gone), target=two.id)
    _change_size(draft, one, factor, gone, back)
    direction = side if through else OPPOSITE[side]
    span = (back, draft.seconds)
    draft.add_event("emerge", one, direction, span=span, target=two.id, amount=round(distance, 4))
    return _is_hidden(draft, one, two, max(size, size_after))


def _is_hidden(draft: Draft, one: Actor, two: Actor, size: float) -> bool:
    """Tell whether the actor, in this size and behind the occluder, cannot be seen."""
    from chronotope.worlds.stage.render import render

    hidden = Actor(one.id, one.noun, one.kind, two.x, one.y, size, one.colour, one.depth, one.facing)
    spec = Spec(draft.width, draft.height, 8.0, 1, 0, "grey", Camera(), (hidden, two), ())
    return bool(render(spec).truth.visible_fraction[0, 0] <= _MAX_VISIBLE)


def speed(draft: Draft) -> None:
    """Let one actor move slowly or fast."""
    candidate = _choose_traveller(draft)
    slow, side = draft.chance(0.5), draft.pick(_SIDES)
    size = draft.choose_size()
    half_width, half_height = draft.half_size(candidate, size)
    reach = 1 - 2 * half_width - 0.04
    widths_per_side = min(draft.width, draft.height) / draft.width
    rate = draft.uniform(*(SLOW if slow else FAST)) * widths_per_side
    seconds = draft.seconds if slow else min(draft.seconds, reach / rate)
    start = 0.0 if slow else draft.uniform(0.0, draft.seconds - seconds)
    amount = min(rate * seconds, reach)
    x = half_width + 0.02 + draft.uniform(0.0, reach - amount)
    if side == "left":
        x = 1 - x
    one = draft.place(candidate, x, draft.choose_y(candidate, half_height, 0.3), size, 0.3, side)
    kind, span = "creep" if slow else "dash", (start, start + seconds)
    draft.add_event(kind, one, side, span=span, amount=round(amount, 4))


# By the name in Scope.stories.
_STORIES: dict[str, Callable[[Draft], None]] = {
    "side_by_side": side_by_side,
    "crossing": crossing,
    "partial_occlusion": partial_occlusion,
    "hide": hide,
    "leave_and_return": leave_and_return,
    "size_change": size_change,
    "speed": speed,
}
