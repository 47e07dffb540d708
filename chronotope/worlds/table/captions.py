"""Captions of tables, written from the spec and from how it went, at three levels of detail, never from pixels.

A clip in which something begins later also has a story: a line for each beat, with the second from which it speaks.
"""

from __future__ import annotations

from collections.abc import Callable

from chronotope.worlds.language import NEXT_TO, distinct_wordings, gerund, join
from chronotope.worlds.splits import spec_key
from chronotope.worlds.table.phrases import TablePen
from chronotope.worlds.table.simulate import Motion, simulate
from chronotope.worlds.table.spec import Actor, Event, TableSpec

__all__ = ["captions"]

_SIZES = ((0.43, "small"), (0.57, "medium-sized"), (9.9, "large"))


def captions(spec: TableSpec, motion: Motion | None = None, count: int = 4) -> dict[str, tuple[str, ...]]:
    """`count` different wordings (fewer if the spec does not allow so many) of each level: tags, sentence, paragraph, maybe story."""
    motion, seed = motion or simulate(spec), int(spec_key(spec)[:12], 16)
    writers: dict[str, Callable[[TablePen], str]] = {"tags": _tags, "sentence": _sentence, "paragraph": _paragraph}
    if any(event.start > 0 for event in spec.events):
        writers["story"] = _story
    return distinct_wordings(writers, lambda rng: TablePen(spec, motion, rng), seed, count)


_DOING = {
    "roll": "rolling",
    "slide": "sliding",
    "drop": "falling",
    "bounce": "bouncing",
    "push": "pushing",
    "topple": "toppling a stack",
}


def _tags(pen: TablePen) -> str:
    words = []
    for actor in pen.spec.actors:
        words.append(pen.name(actor))
        if pen.spec.stacked_on(actor):
            words[-1] += f" on {pen.name(pen.stack(actor)[pen.stack(actor).index(actor) - 1])}"
        event = pen.event_of(actor)
        if event is None:
            continue
        side = (
            {"closer": "toward the camera"}.get(pen.side(event), pen.side(event))
            if event.direction or event.target
            else ""
        )
        if event.kind == "hit":
            words += [
                f"{'rolling' if actor.noun == 'ball' else 'sliding'} {side}",
                *(["hitting"] if pen.met(event) else []),
            ]
        elif event.kind == "topple":
            words += [f"rolling {side}" if actor.noun == "ball" else f"sliding {side}"]
            words += [
                "knocking over a stack"
                if pen.fell(pen.stack(pen.spec.actor(event.target or "")))
                else "hitting a stack"
            ]
        else:
            words.append(f"{_DOING[event.kind]} {side}".strip())
    words.append(f"{pen.spec.table} table")
    camera = pen.spec.camera
    if camera.kind != "still":
        words.append(f"camera {gerund('orbits' if camera.kind == 'orbit' else 'circles')} {camera.direction}")
    return ", ".join(words)


def _names(pen: TablePen, actors: list[Actor]) -> list[str]:
    """Each actor once, those of a stack together."""
    said: set[str] = set()
    names = []
    for actor in actors:
        if actor.id not in said:
            pile = pen.stack(actor)
            names.append(pen.pile(pile) if len(pile) > 1 else pen.a(actor))
            said |= {part.id for part in pile}
    return names


def _clauses(pen: TablePen, events: tuple[Event, ...], idle: bool = True) -> str:
    """Who does what, everybody once: 'a red ball rolls to the right and hits a blue cube next to a green cone'."""
    spec = pen.spec
    parts, said = [], set()
    for event in events:
        actor = spec.actor(event.actor)
        name = pen.the(actor) if actor.id in said else pen.a(actor)
        parts.append(f"{name} {pen.deed(actor, event)}")
        said |= {actor.id} | {other.id for other in spec.actors if pen.a(other) in parts[-1]}
    rest = [actor for actor in spec.actors if actor.id not in said] if idle else []
    if not parts:
        return _group(pen, rest)
    if rest:
        parts[-1] += f" {pen.pick(NEXT_TO)} {join(_names(pen, rest))}"
    return join(parts, pen.pick((" and ", " while ")))


def _group(pen: TablePen, actors: list[Actor]) -> str:
    """'a red ball and a blue cube', 'a red ball to the left of a blue cube'."""
    names = _names(pen, actors)
    if len(names) == 2 and len(actors) == 2 and pen.chance(0.5):
        gap = actors[1].x - actors[0].x
        if abs(gap) > 0.3 and pen.spec.camera.kind == "still":
            return f"{names[0]} {'to the left of' if gap > 0 else 'to the right of'} {names[1]}"
        return f"{names[0]} {pen.pick(NEXT_TO)} {names[1]}"
    return join(names)


def _ordered(spec: TableSpec) -> tuple[Event, ...]:
    return tuple(sorted(spec.events, key=lambda event: event.start))


def _sentence(pen: TablePen) -> str:
    text, camera = _clauses(pen, _ordered(pen.spec)), pen.camera()
    if pen.chance(0.9):
        text = _placed(pen, text)
    if camera:
        text = f"{text}, {camera}"
    return text[0].upper() + text[1:] + "." if pen.chance(0.25) else text


def _placed(pen: TablePen, text: str) -> str:
    """With the table named: 'falls onto the table' becomes 'falls onto a wooden table'."""
    return text.replace("the table", f"a {pen.spec.table} table", 1) if "the table" in text else f"{text} {pen.place()}"


def _paragraph(pen: TablePen) -> str:
    spec = pen.spec
    still = spec.num_frames == 1
    kind, names = "picture" if still else "video", join(_names(pen, list(spec.actors)))
    lines = [pen.pick((f"This {kind} shows {names} {pen.place()}.", f"A {kind} of {names} {pen.place()}.",
                       f"{names[0].upper()}{names[1:]} {pen.place()}."))]  # fmt: skip
    lines += [_portrait(pen, actor, still) for actor in spec.actors]
    lines += _history(pen)
    camera = pen.camera()
    if camera:
        lines.append(camera[0].upper() + camera[1:] + ".")
    elif not still:
        lines.append(pen.pick(("The camera does not move.", "The camera is still.", "The camera stays still.")))
    return " ".join(lines)


def _portrait(pen: TablePen, actor: Actor, still: bool) -> str:
    size = next(word for limit, word in _SIZES if actor.size < limit)
    below, event = pen.spec.stacked_on(actor), pen.event_of(actor)
    if below:
        return f"The {pen.name(actor)} is {size} and {'stands' if still else 'starts'} on {pen.the(below)}."
    verb = "is" if still else "starts"
    air = "in the air " if event is not None and actor.lift > 0 else ""
    return f"The {pen.name(actor)} is {size} and {verb} {air}{pen.where(actor)}."


def _history(pen: TablePen) -> list[str]:
    """What happens and what comes of it, in the order of time."""
    lines = []
    for number, event in enumerate(_ordered(pen.spec)):
        actor = pen.spec.actor(event.actor)
        when = f"After {event.start:.1f} seconds, " if event.start >= 0.1 else "Meanwhile, " if number else ""
        text = f"{when}{pen.the(actor)} {pen.deed(actor, event, definite=True)}"
        lines.append(text[0].upper() + text[1:] + ".")
        contact = pen.first_contact(event)
        if contact and event.kind in ("hit", "push", "topple") and pen.chance(0.6):
            met = pen.met(event)
            lines.append(f"They meet after {contact.seconds:.1f} seconds." if met and event.kind != "topple"
                         else f"The stack is hit after {contact.seconds:.1f} seconds.")  # fmt: skip
        if event.kind == "bounce":
            count = sum(
                event.actor in (c.actor, c.target) and "table" in (c.actor, c.target) for c in pen.motion.contacts
            )
            lines.append(f"It touches the table {'once' if count == 1 else f'{count} times'}.")
    return lines


def _story(pen: TablePen) -> str:
    """'0: a red ball next to a blue cube', and on the next line '0.5: the red ball rolls to the left'."""
    lines = []
    for moment in sorted({0.0, *(event.start for event in pen.spec.events)}):
        events = tuple(event for event in pen.spec.events if event.start == moment)
        if moment == 0:
            text = _placed(pen, _clauses(pen, events))
        else:
            text = join(
                [
                    f"{pen.the(pen.spec.actor(e.actor))} {pen.deed(pen.spec.actor(e.actor), e, definite=True)}"
                    for e in events
                ]
            )
        lines.append(f"{moment:g}: {text}{', ' + pen.camera() if pen.spec.camera.kind != 'still' else ''}")
    return "\n".join(lines)
