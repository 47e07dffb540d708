"""Captions of stage clips at three levels of detail, written from the spec and never from pixels.

A clip in which an event starts later than 0 s also has a story: one line a beat, with its time in seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from chronotope.worlds.language import NEXT_TO, capitalised, distinct_wordings, gerund, join, size_word
from chronotope.worlds.stage.occlusion import is_return
from chronotope.worlds.stage.phrases import StageWriter
from chronotope.worlds.stage.simulate import simulate
from chronotope.worlds.stage.spec import Actor, Event, Spec
from chronotope.worlds.stage.vocabulary import VERBS, verb_key

__all__ = ["captions", "clauses"]

# Events whose tags name the movement and then the event: 'walking right, entering'.
_TWO_TAGS = ("enter", "leave", "pass", "meet", "hit", "eat", "push", "paint", "hide", "emerge")
_MEDIUM_FROM, _LARGE_FROM = 0.3, 0.48  # short frame sides


def captions(spec: Spec, count: int = 4) -> dict[str, tuple[str, ...]]:
    """Return up to `count` different wordings of each level: tags, sentence, paragraph and perhaps story."""
    scene = simulate(spec)
    levels: dict[str, Callable[[StageWriter], str]] = {
        "tags": _tags,
        "sentence": _sentence,
        "paragraph": _paragraph,
    }
    if len(_beats(spec)) > 1:
        levels["story"] = _story
    return distinct_wordings(spec, levels, lambda rng: StageWriter(spec, scene, rng), count)


def _tags(writer: StageWriter) -> str:
    tags = []
    for actor in writer.spec.actors:
        tags.append(writer.name(actor))
        for event in writer.events_of(actor):
            tags += _event_tags(writer, actor, event)
    if writer.chance(0.5):
        tags.append(f"{writer.spec.backdrop} background")
    else:
        tags.append(writer.place().removeprefix("in front of "))
    camera = writer.spec.camera
    if camera.kind != "still":
        verb = {"pan": "pans", "zoom": "zooms", "follow": "follows"}[camera.kind]
        tags.append(f"camera {gerund(verb)} {camera.direction or ''}".strip())
    return ", ".join(tags)


def _event_tags(writer: StageWriter, actor: Actor, event: Event) -> list[str]:
    if event.kind == "switch":
        return [f"light {event.direction}"]
    if event.kind == "stay":
        return ["not coming back"]
    if event.kind == "beside":
        return [f"to the {event.direction} of {writer.the(writer.spec.actor(event.target or ''))}"]
    two_tags = event.kind in _TWO_TAGS
    side = writer.side(event) if event.target else event.direction
    movement = gerund(writer.pick(VERBS[verb_key(actor, event, travel=two_tags)]))
    tags = [f"{movement} {side}" if side else movement]
    if two_tags:
        if is_return(writer.spec, event):
            verb = "comes back"
        else:
            verb = event.kind + ("es" if event.kind in ("push", "pass") else "s")
        line = f" {event.colour or actor.colour} line" if event.kind == "paint" else ""
        tags.append(gerund(verb) + line)
    return tags


def clauses(writer: StageWriter) -> str:
    """Return who does what, with every actor named: 'a fox walks right past a tree'."""
    spec = writer.spec
    parts: list[str] = []
    named: set[str] = set()
    for actor in spec.actors:
        events = writer.events_of(actor)
        if not events:
            continue
        actions = [writer.action(actor, event) for event in events]
        name = writer.the(actor) if actor.id in named else writer.a(actor)
        clause = f"{name} {join(actions, ' and then ')}"
        clause = clause.replace("and then stops", writer.pick(("and stops", "and then stops")))
        clause = clause.replace("and then does not", "and does not")
        parts.append(clause)
        named.add(actor.id)
        named |= {other.id for other in spec.actors if other.id != actor.id and f" {writer.a(other)}" in clause}
    idle = [actor for actor in spec.actors if actor.id not in named]
    if not parts:
        return _group(writer, idle)
    if idle:
        parts[-1] += f" {writer.pick(NEXT_TO)} {join([writer.a(actor) for actor in idle])}"
    return join(parts, writer.pick((" and ", " while ", " and ")))


def _group(writer: StageWriter, idle: list[Actor]) -> str:
    """Return 'a penguin and an apple' or 'a penguin to the left of an apple'."""
    names = [writer.a(actor) for actor in idle]
    if len(idle) == 2 and writer.chance(0.5):
        gap = writer.scene.tracks[idle[1].id].x[0] - writer.scene.tracks[idle[0].id].x[0]
        side = "to the left of" if gap > 0 else "to the right of"
        return f"{names[0]} {writer.pick((*NEXT_TO[:2], side, side))} {names[1]}"
    return join(names)


def _sentence(writer: StageWriter) -> str:
    text, camera = clauses(writer), writer.camera()
    if writer.chance(0.9):
        text = f"{text} {writer.place()}"
    return writer.finish_sentence(text, camera)


def _paragraph(writer: StageWriter) -> str:
    spec = writer.spec
    still = spec.num_frames == 1
    names = join([writer.a(actor) for actor in spec.actors]) if spec.actors else "nobody"
    lines = [writer.opening(names, still)]
    lines += [_portrait(writer, actor, still) for actor in spec.actors]
    lines += _history(writer)
    for one, two in zip(spec.actors, spec.actors[1:], strict=False):
        if one.depth != two.depth:
            front, back = (one, two) if one.depth < two.depth else (two, one)
            closer = f"The {writer.name(front)} is closer than the {writer.name(back)}."
            further = f"The {writer.name(back)} is further away than the {writer.name(front)}."
            lines.append(writer.pick((closer, further)))
    lines += writer.camera_sentences(still)
    return " ".join(lines)


def _portrait(writer: StageWriter, actor: Actor, still: bool) -> str:
    size = size_word(actor.size, _MEDIUM_FROM, _LARGE_FROM)
    if any(event.kind == "enter" for event in writer.events_of(actor)[:1]):
        return f"The {writer.name(actor)} is {size} and not there at first."
    return f"The {writer.name(actor)} is {size} and {'is' if still else 'starts'} {writer.position(actor, 0)}."


def _history(writer: StageWriter) -> list[str]:
    """Return sentences about the events in order of time."""
    spec, lines = writer.spec, []
    for number, event in enumerate(sorted(spec.events, key=lambda e: e.start)):
        actor = spec.actor(event.actor)
        target = writer.the(spec.actor(event.target)) if event.target else "the"
        when = _when(writer, number, event)
        lines.append(capitalised(f"{when}{writer.the(actor)} {writer.action(actor, event, target)}") + ".")
        if event.kind == "eat":
            lines.append(f"Then the {writer.name(spec.actor(event.target or ''))} is gone.")
        if event.kind in ("walk", "fly", "move", "roll", "push") and writer.chance(0.6):
            lines.append(f"It ends {writer.position(actor, spec.num_frames - 1)}.")
        if event.kind == "paint":
            lines.append("The line stays.")
    return lines


def _when(writer: StageWriter, number: int, event: Event) -> str:
    if event.kind == "stay":
        return ""
    if event.start >= 0.1:
        return f"After {event.start:.1f} seconds, "
    if number == 0:
        return str(writer.pick(("At first, ", "First, "))) if len(writer.spec.events) > 1 else ""
    return "Meanwhile, "


def _beats(spec: Spec) -> list[float]:
    """Return the seconds at which a beat of the story begins: 0 and the start of every event."""
    return sorted({0.0, *(event.start for event in spec.events)})


def _story(writer: StageWriter) -> str:
    """Return '0: a fox walks to the right' and on the next line '1.2: it walks to the left'."""
    lines = []
    for number, beat in enumerate(_beats(writer.spec)):
        events = tuple(event for event in writer.spec.events if event.start == beat)
        limited = writer.limited_to(events)
        actors = {event.actor for event in events}
        if number and len(actors) == 1 and writer.chance(0.4):
            actor = writer.spec.actor(actors.pop())
            subject = writer.pick(("it", writer.the(actor)))
            text = f"{subject} {join([limited.action(actor, event) for event in events])}"
        else:
            text = _sentence(limited)
        lines.append(f"{beat:g}: {text}")
    return "\n".join(lines)
