"""Captions of table clips at three levels of detail, written from the spec and its simulation, never from pixels.

A clip in which an event starts later than 0 s also has a story: one line a beat, with its time in seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from chronotope.worlds.language import NEXT_TO, capitalised, distinct_wordings, gerund, join, size_word
from chronotope.worlds.table.phrases import TableWriter
from chronotope.worlds.table.simulate import Trajectory, simulate
from chronotope.worlds.table.spec import Actor, Event, TableSpec

__all__ = ["captions"]

_MEDIUM_FROM, _LARGE_FROM = 0.43, 0.57  # metres
_BESIDE = 0.3  # metres: actors this far apart in x are to the left and right of each other
_PARTICIPLES = {
    "roll": "rolling",
    "slide": "sliding",
    "drop": "falling",
    "bounce": "bouncing",
    "push": "pushing",
}


def captions(spec: TableSpec, trajectory: Trajectory | None = None, count: int = 4) -> dict[str, tuple[str, ...]]:
    """Return up to `count` different wordings of each level: tags, sentence, paragraph and perhaps story."""
    simulated = trajectory or simulate(spec)
    levels: dict[str, Callable[[TableWriter], str]] = {
        "tags": _tags,
        "sentence": _sentence,
        "paragraph": _paragraph,
    }
    if any(event.start > 0 for event in spec.events):
        levels["story"] = _story
    return distinct_wordings(spec, levels, lambda rng: TableWriter(spec, simulated, rng), count)


def _tags(writer: TableWriter) -> str:
    tags = []
    for actor in writer.spec.actors:
        below, event = writer.spec.stacked_on(actor), writer.event_of(actor)
        tags.append(f"{writer.name(actor)} on {writer.name(below)}" if below else writer.name(actor))
        if event is not None:
            tags += _event_tags(writer, actor, event)
    tags.append(f"{writer.spec.table} table")
    camera = writer.spec.camera
    if camera.kind != "still":
        verb = "orbits" if camera.kind == "orbit" else "circles"
        tags.append(f"camera {gerund(verb)} {camera.direction}")
    return ", ".join(tags)


def _event_tags(writer: TableWriter, actor: Actor, event: Event) -> list[str]:
    side = writer.side(event) if event.direction or event.target else ""
    if side == "closer":
        side = "toward the camera"
    movement = f"{'rolling' if actor.noun == 'ball' else 'sliding'} {side}"
    if event.kind == "hit":
        return [movement, "hitting"] if writer.first_touched(event) else [movement]
    if event.kind == "topple":
        stack = writer.stack(writer.spec.actor(event.target or ""))
        return [movement, "knocking over a stack" if writer.has_fallen(stack) else "hitting a stack"]
    return [f"{_PARTICIPLES[event.kind]} {side}".strip()]


def _names(writer: TableWriter, actors: list[Actor]) -> list[str]:
    """Return the name of each actor once; the actors of a stack have one name together."""
    named: set[str] = set()
    names = []
    for actor in actors:
        if actor.id not in named:
            stack = writer.stack(actor)
            names.append(writer.stack_name(stack) if len(stack) > 1 else writer.a(actor))
            named |= {part.id for part in stack}
    return names


def _clauses(writer: TableWriter, events: list[Event]) -> str:
    """Return who does what, with every actor named once: 'a red ball rolls to the right next to a green cone'."""
    spec = writer.spec
    parts: list[str] = []
    named: set[str] = set()
    for event in events:
        actor = spec.actor(event.actor)
        name = writer.the(actor) if actor.id in named else writer.a(actor)
        parts.append(f"{name} {writer.action(actor, event)}")
        named.add(actor.id)
        named |= {other.id for other in spec.actors if writer.a(other) in parts[-1]}
    rest = [actor for actor in spec.actors if actor.id not in named]
    if not parts:
        return _group(writer, rest)
    if rest:
        parts[-1] += f" {writer.pick(NEXT_TO)} {join(_names(writer, rest))}"
    return join(parts, writer.pick((" and ", " while ")))


def _group(writer: TableWriter, actors: list[Actor]) -> str:
    """Return 'a red ball and a blue cube' or 'a red ball to the left of a blue cube'."""
    names = _names(writer, actors)
    if len(names) == 2 and len(actors) == 2 and writer.chance(0.5):
        gap = actors[1].x - actors[0].x
        if abs(gap) > _BESIDE and writer.spec.camera.kind == "still":
            return f"{names[0]} {'to the left of' if gap > 0 else 'to the right of'} {names[1]}"
        return f"{names[0]} {writer.pick(NEXT_TO)} {names[1]}"
    return join(names)


def _ordered(spec: TableSpec) -> list[Event]:
    return sorted(spec.events, key=lambda event: event.start)


def _sentence(writer: TableWriter) -> str:
    text, camera = _clauses(writer, _ordered(writer.spec)), writer.camera()
    if writer.chance(0.9):
        text = _with_table(writer, text)
    return writer.finish_sentence(text, camera)


def _with_table(writer: TableWriter, text: str) -> str:
    """Name the table: 'falls onto the table' becomes 'falls onto a wooden table'."""
    if "the table" in text:
        return text.replace("the table", f"a {writer.spec.table} table", 1)
    return f"{text} {writer.place()}"


def _paragraph(writer: TableWriter) -> str:
    spec = writer.spec
    still = spec.num_frames == 1
    lines = [writer.opening(join(_names(writer, list(spec.actors))), still)]
    lines += [_portrait(writer, actor, still) for actor in spec.actors]
    lines += _history(writer)
    lines += writer.camera_sentences(still)
    return " ".join(lines)


def _portrait(writer: TableWriter, actor: Actor, still: bool) -> str:
    subject = f"The {writer.name(actor)} is {size_word(actor.size, _MEDIUM_FROM, _LARGE_FROM)}"
    below = writer.spec.stacked_on(actor)
    if below:
        return f"{subject} and {'stands' if still else 'starts'} on {writer.the(below)}."
    in_air = "in the air " if writer.event_of(actor) is not None and actor.lift > 0 else ""
    return f"{subject} and {'is' if still else 'starts'} {in_air}{writer.position(actor)}."


def _history(writer: TableWriter) -> list[str]:
    """Return sentences about the events and their outcomes, in order of time."""
    lines = []
    for number, event in enumerate(_ordered(writer.spec)):
        actor = writer.spec.actor(event.actor)
        if event.start >= 0.1:
            when = f"After {event.start:.1f} seconds, "
        else:
            when = "Meanwhile, " if number else ""
        lines.append(capitalised(f"{when}{writer.the(actor)} {writer.action(actor, event, definite=True)}") + ".")
        contact = writer.first_contact(event)
        if contact and event.kind in ("hit", "push", "topple") and writer.chance(0.6):
            subject = "The stack is hit" if event.kind == "topple" else "They meet"
            lines.append(f"{subject} after {contact.seconds:.1f} seconds.")
        if event.kind == "bounce":
            pairs = [{contact.actor, contact.target} for contact in writer.trajectory.contacts]
            count = pairs.count({event.actor, "table"})
            lines.append(f"It touches the table {'once' if count == 1 else f'{count} times'}.")
    return lines


def _story(writer: TableWriter) -> str:
    """Return '0: a red ball next to a blue cube' and on the next line '0.5: the red ball rolls to the left'."""
    lines = []
    for beat in sorted({0.0, *(event.start for event in writer.spec.events)}):
        events = [event for event in writer.spec.events if event.start == beat]
        if beat == 0:
            text = _with_table(writer, _clauses(writer, events))
        else:
            actions = []
            for event in events:
                actor = writer.spec.actor(event.actor)
                actions.append(f"{writer.the(actor)} {writer.action(actor, event, definite=True)}")
            text = join(actions)
        camera = writer.camera()
        lines.append(f"{beat:g}: {text}, {camera}" if camera else f"{beat:g}: {text}")
    return "\n".join(lines)
