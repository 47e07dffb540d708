"""Captions written from the spec, at three levels of detail, never from pixels.

A clip in which something begins later also has a story: a line for each beat, with the second from which it speaks.
"""

from __future__ import annotations

from collections.abc import Callable

from chronotope.worlds.language import NEXT_TO, distinct_wordings, gerund, join
from chronotope.worlds.splits import spec_key
from chronotope.worlds.stage.occlusion import returns
from chronotope.worlds.stage.phrases import Pen
from chronotope.worlds.stage.simulate import choreograph
from chronotope.worlds.stage.spec import Actor, Spec
from chronotope.worlds.stage.vocabulary import VERBS, verb_key

__all__ = ["captions", "clauses"]


def captions(spec: Spec, count: int = 4) -> dict[str, tuple[str, ...]]:
    """`count` different wordings (fewer if the spec does not allow so many) of each level: tags, sentence, paragraph, maybe story."""
    scene, seed = choreograph(spec), int(spec_key(spec)[:12], 16)
    writers: dict[str, Callable[[Pen], str]] = {"tags": _tags, "sentence": _sentence, "paragraph": _paragraph}
    if len(_moments(spec)) > 1:
        writers["story"] = _story
    return distinct_wordings(writers, lambda rng: Pen(spec, scene, rng), seed, count)


def _tags(pen: Pen) -> str:
    words = []
    for actor in pen.spec.actors:
        words.append(pen.name(actor))
        for event in pen.events_of(actor):
            if event.kind == "switch":
                words.append(f"light {event.direction}")
                continue
            if event.kind == "stay":
                words.append("not coming back")
                continue
            if event.kind == "beside":
                words.append(f"to the {event.direction} of {pen.the(pen.spec.actor(event.target or ''))}")
                continue
            going = event.kind in ("enter", "leave", "pass", "meet", "hit", "eat", "push", "paint", "hide", "emerge")
            side = pen.side(event) if event.target else event.direction
            words.append(" ".join(filter(None, (gerund(pen.pick(VERBS[verb_key(actor, event, going)])), side))))
            if going:
                colour = f" {event.colour or actor.colour} line" if event.kind == "paint" else ""
                deed = (
                    "comes back"
                    if returns(pen.spec, event)
                    else event.kind + ("es" if event.kind in ("push", "pass") else "s")
                )
                words.append(gerund(deed) + colour)
    words.append(f"{pen.spec.backdrop} background" if pen.chance(0.5) else pen.place().removeprefix("in front of "))
    camera = pen.spec.camera
    if camera.kind != "still":
        words.append(
            f"camera {gerund({'pan': 'pans', 'zoom': 'zooms', 'follow': 'follows'}[camera.kind])} {camera.direction or ''}".strip()
        )
    return ", ".join(words)


def clauses(pen: Pen) -> str:
    """Who does what, everybody once: 'a fox walks right past a tree'."""
    spec = pen.spec
    busy = [actor for actor in spec.actors if pen.events_of(actor)]
    parts: list[str] = []
    said: set[str] = set()
    for actor in busy:
        deeds = [pen.deed(actor, event) for event in pen.events_of(actor)]
        name = pen.the(actor) if actor.id in said else pen.a(actor)
        parts.append(
            f"{name} {join(deeds, ' and then ')}".replace("and then stops", pen.pick(("and stops", "and then stops")))
        )
        parts[-1] = parts[-1].replace("and then does not", "and does not")
        said |= {actor.id} | {
            other.id for other in spec.actors if other.id != actor.id and f" {pen.a(other)}" in parts[-1]
        }
    idle = [actor for actor in spec.actors if actor.id not in said]
    if not busy:
        return _group(pen, idle)
    if idle:
        parts[-1] += f" {pen.pick(NEXT_TO)} {join([pen.a(actor) for actor in idle])}"
    return join(parts, pen.pick((" and ", " while ", " and ")))


def _group(pen: Pen, idle: list[Actor]) -> str:
    """'a penguin and an apple', 'a penguin to the left of an apple'."""
    names = [pen.a(actor) for actor in idle]
    if len(idle) == 2 and pen.chance(0.5):
        gap = pen.scene.tracks[idle[1].id].x[0] - pen.scene.tracks[idle[0].id].x[0]
        beside = "to the left of" if gap > 0 else "to the right of"
        return f"{names[0]} {pen.pick((*NEXT_TO[:2], beside, beside))} {names[1]}"
    return join(names)


def _sentence(pen: Pen) -> str:
    text, camera = clauses(pen), pen.camera()
    if pen.chance(0.9):
        text = f"{text} {pen.place()}"
    if camera:
        text = f"{text}, {camera}"
    return text[0].upper() + text[1:] + "." if pen.chance(0.25) else text


_SIZES = ((0.3, "small"), (0.48, "medium-sized"), (9.9, "large"))


def _paragraph(pen: Pen) -> str:
    spec = pen.spec
    still = spec.num_frames == 1
    kind = "picture" if still else "video"
    names = join([pen.a(actor) for actor in spec.actors]) if spec.actors else "nobody"
    lines = [pen.pick((f"This {kind} shows {names} {pen.place()}.", f"A {kind} of {names} {pen.place()}.",
                       f"{names[0].upper()}{names[1:]} {pen.place()}."))]  # fmt: skip
    lines += [_portrait(pen, actor, still) for actor in spec.actors]
    lines += _history(pen)
    for one, two in zip(spec.actors, spec.actors[1:], strict=False):
        if one.depth != two.depth:
            front, back = (one, two) if one.depth < two.depth else (two, one)
            lines.append(pen.pick((f"The {pen.name(front)} is closer than the {pen.name(back)}.",
                                   f"The {pen.name(back)} is further away than the {pen.name(front)}.")))  # fmt: skip
    camera = pen.camera()
    if camera:
        lines.append(camera[0].upper() + camera[1:] + ".")
    elif not still:
        lines.append(pen.pick(("The camera does not move.", "The camera is still.", "The camera stays still.")))
    return " ".join(lines)


def _portrait(pen: Pen, actor: Actor, still: bool) -> str:
    size = next(word for limit, word in _SIZES if actor.size < limit)
    if any(e.kind == "enter" for e in pen.events_of(actor)[:1]):
        return f"The {pen.name(actor)} is {size} and not there at first."
    return f"The {pen.name(actor)} is {size} and {'is' if still else 'starts'} {pen.where(actor, 0)}."


def _history(pen: Pen) -> list[str]:
    """What happens, in the order of time."""
    spec, lines = pen.spec, []
    for number, event in enumerate(sorted(spec.events, key=lambda e: e.start)):
        actor = spec.actor(event.actor)
        if event.kind == "stay":
            when = ""
        elif event.start >= 0.1:
            when = f"After {event.start:.1f} seconds, "
        else:
            when = (
                pen.pick(("At first, ", "First, "))
                if number == 0 and len(spec.events) > 1
                else "Meanwhile, "
                if number
                else ""
            )
        other = pen.the(spec.actor(event.target)) if event.target else "the"
        text = f"{when}{pen.the(actor)} {pen.deed(actor, event, other)}"
        lines.append(text[0].upper() + text[1:] + ".")
        if event.kind == "eat":
            lines.append(f"Then the {pen.name(spec.actor(event.target or ''))} is gone.")
        if event.kind in ("walk", "fly", "move", "roll", "push") and pen.chance(0.6):
            lines.append(f"It ends {pen.where(actor, spec.num_frames - 1)}.")
        if event.kind == "paint":
            lines.append("The line stays.")
    return lines


def _moments(spec: Spec) -> list[float]:
    """The seconds at which a beat of the story begins: at first, and whenever something else begins."""
    return sorted({0.0, *(event.start for event in spec.events)})


def _story(pen: Pen) -> str:
    """'0: a fox walks to the right', and on the next line '1.2: it walks to the left'."""
    lines = []
    for number, moment in enumerate(_moments(pen.spec)):
        told = pen.telling(tuple(event for event in pen.spec.events if event.start == moment))
        actors = {event.actor for event in told.events}
        if number and len(actors) == 1 and pen.chance(0.4):
            actor = pen.spec.actor(actors.pop())
            text = f"{pen.pick(('it', pen.the(actor)))} {join([told.deed(actor, event) for event in told.events])}"
        else:
            text = _sentence(told)
        lines.append(f"{moment:g}: {text}")
    return "\n".join(lines)
