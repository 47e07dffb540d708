"""What one scene states and another lacks: whether a caption that somebody else wrote keeps the facts of a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chronotope.caption.scene import Deed, Scene, Thing

__all__ = ["lost", "shown_though_absent"]

Match = Mapping[int, int]  # from the things of the one scene to those of the other


def lost(stated: Scene, written: Scene) -> list[str]:
    """Return in words what `stated` says and `written` does not, for the best match of their things.

    A thing keeps its noun, and its colour, size, number and side where they are stated; a deed its actor, verb,
    direction and target, and its place in the order of time; so do relations, the place and the camera. What is added
    is no loss.
    """
    found = [_missing(stated, written, match) for match in _matches(stated.things, written.things, {})]
    return min(found, key=len)


def shown_though_absent(absent: Sequence[Thing], written: Scene) -> list[str]:
    """Return the things that shall not be there and are."""
    return [
        _in_words(thing)
        for thing in absent
        if any(one.noun == thing.noun and thing.colour in ("", one.colour) for one in written.things)
    ]


def _matches(things: Sequence[Thing], others: Sequence[Thing], before: Match) -> Iterator[Match]:
    """Yield every way to give each thing another one like it; things without one are left out."""
    if len(before) == len(things):
        yield before
        return
    index = len(before)
    free = [at for at, other in enumerate(others) if at not in before.values() and _keeps(things[index], other)]
    for at in [*free, -1 - index]:  # a negative number is no thing
        yield from _matches(things, others, {**before, index: at})


def _keeps(thing: Thing, other: Thing) -> bool:
    same_number = (thing.count, thing.plural) == (other.count, other.plural)
    asked = ((thing.colour, other.colour), (thing.size, other.size), (thing.side, other.side))
    return thing.noun == other.noun and same_number and all(mine in ("", its) for mine, its in asked)


def _missing(stated: Scene, written: Scene, match: Match) -> list[str]:
    """Return what is missing where the things correspond as `match` says."""
    things = stated.things
    missing = [_in_words(thing) for index, thing in enumerate(things) if match[index] < 0]
    at = -1
    for deed in stated.deeds:
        places = [place for place, other in enumerate(written.deeds) if _is_same(deed, other, match)]
        later = [place for place in places if place > at and written.deeds[place].later] if deed.later else places
        if not later:
            missing.append(f"{things[deed.actor].noun} {deed.verb} {deed.direction}".strip())
            continue
        at = later[0]
    for relation in stated.relations:
        wanted = (match[relation.one], relation.how, match[relation.other])
        standing = [(one.one, one.how, one.other) for one in written.relations]
        standing += [(deed.actor, deed.relation, deed.target) for deed in written.deeds if deed.target is not None]
        if wanted not in standing:
            missing.append(f"{things[relation.one].noun} {relation.how} {things[relation.other].noun}")
    if stated.place and stated.place != written.place:
        missing.append(f"the place {stated.place}")
    if stated.camera is not None:
        seen = written.camera
        if seen is None or (seen.kind, seen.direction) != (stated.camera.kind, stated.camera.direction):
            missing.append(f"the camera: {stated.camera.kind} {stated.camera.direction}".strip())
    return missing


def _is_same(deed: Deed, other: Deed, match: Match) -> bool:
    target = None if deed.target is None else match[deed.target]
    return (
        match[deed.actor] == other.actor
        and deed.verb == other.verb
        and deed.direction in ("", other.direction)
        and (target is None or (target, deed.relation) == (other.target, other.relation))
    )


def _in_words(thing: Thing) -> str:
    side = f"on the {thing.side}" if thing.side else ""
    return " ".join(filter(None, (thing.count, thing.size, thing.colour, thing.noun, side)))
