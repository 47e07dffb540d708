"""Facts -> a caption in the words and the order that the model was taught."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from chronotope.caption.scene import Camera, Deed, Scene, Thing
from chronotope.caption.words.lexicon import third_person
from chronotope.worlds.language import article, gerund, join

__all__ = ["compose", "plural"]

# What can be written for a verb, the best first: the first whose words the model knows is taken.
_WORDINGS: dict[str, tuple[str, ...]] = {
    "walk": ("walks", "moves"), "run": ("runs", "walks", "moves"), "hop": ("hops", "jumps", "moves"),
    "fly": ("flies", "moves"), "swim": ("swims", "moves"), "drive": ("drives", "moves"), "roll": ("rolls", "moves"),
    "move": ("moves",), "slide": ("slides", "glides", "moves"), "drift": ("drifts", "floats", "moves"),
    "bounce": ("bounces",), "grow": ("grows", "gets bigger"), "shrink": ("shrinks", "gets smaller"),
    "spin": ("spins", "rotates", "turns"), "stop": ("stops",), "enter": ("enters", "comes in"), "leave": ("leaves",),
    "meet": ("meets",), "hit": ("hits", "bumps into"), "eat": ("eats",), "push": ("pushes",), "hide": ("hides",),
    "paint": ("paints", "draws"),
}  # fmt: skip
_THEN = "then "  # before a clause of what comes later
_OPPOSITE = {"left": "right", "right": "left", "up": "bottom", "down": "top"}


def compose(scene: Scene, known: Collection[str], place_phrases: Mapping[str, Sequence[str]]) -> str:
    """Write one sentence; empty where the scene has neither things nor a place."""
    parts = _clauses(scene, known)
    where = _place(scene.place, known, place_phrases)
    text = f"{_joined(parts)} {where}".strip() if parts else where
    camera = _camera(scene)
    return f"{text}, {camera}" if text and camera else text or camera


def _clauses(scene: Scene, known: Collection[str]) -> list[str]:
    """Return who does what, with everybody named: 'a fox walks right past a tree'."""
    parts: list[str] = []
    named: set[int] = set()
    for index, thing in enumerate(scene.things):
        deeds = [deed for deed in scene.deeds if deed.actor == index]
        if not deeds:
            continue
        name = _the(thing) if index in named else _name(thing)
        named.add(index)
        actions = []
        for deed in deeds:
            actions.append(_action(scene, deed, known, named))
            named |= set() if deed.target is None else {deed.target}
        parts.append(f"{_THEN if deeds[0].later and parts else ''}{name} {' and then '.join(actions)}")
    for relation in scene.relations:
        one, other = scene.things[relation.one], scene.things[relation.other]
        first = _the(one) if relation.one in named else _name(one)
        second = _the(other) if relation.other in named else _name(other)
        link = "is " if relation.one in named else ""
        parts.append(f"{first} {link}{relation.how} {second}")
        named |= {relation.one, relation.other}
    return parts + [_name(thing) for index, thing in enumerate(scene.things) if index not in named]


def _joined(parts: list[str]) -> str:
    """Join clauses by 'and', and by 'and then' what comes later."""
    text, together = "", [parts[0]]
    for part in parts[1:]:
        if part.startswith(_THEN):
            text, together = f"{text}{join(together)} and then ", [part.removeprefix(_THEN)]
        else:
            together.append(part)
    return text + join(together)


def _name(thing: Thing) -> str:
    """Return 'a red ball', 'two red balls' or 'foxes on the left'."""
    words = " ".join(filter(None, (thing.size, thing.colour, thing.noun)))
    side = {"left": " on the left", "right": " on the right", "middle": " in the middle"}.get(thing.side, "")
    if thing.count or thing.plural:
        return f"{thing.count} {plural(words)}{side}".strip()
    return f"{article(words)} {words}{side}"


def _the(thing: Thing) -> str:
    words = " ".join(filter(None, (thing.colour, thing.noun)))
    return f"the {plural(words) if thing.count or thing.plural else words}"


def plural(words: str) -> str:
    """Return 'red balls' of 'red ball'."""
    if words.endswith(("fish", "sheep", "deer", "bison", "grapes", "shrimp")):
        return words
    irregular = {"mouse": "mice", "goose": "geese", "wolf": "wolves", "ox": "oxen", "die": "dice"}
    for one, many in irregular.items():
        if words == one or words.endswith(f" {one}"):
            return words.removesuffix(one) + many
    return third_person(words)  # nouns and verbs take their s alike


def _action(scene: Scene, deed: Deed, known: Collection[str], named: Collection[int]) -> str:
    """Return 'walks to the right past a tree'."""
    said = third_person(deed.said.split()[0]) + deed.said.removeprefix(deed.said.split()[0]) if deed.said else ""
    verb = said if said and all(word in known for word in said.split()) else _wording(deed.verb, known)
    if deed.manner:
        going = gerund(third_person(deed.manner))
        verb = f"{_wording(deed.verb, known)} {going if going in known else ''}".strip()
    thing = scene.things[deed.actor]
    if thing.count or thing.plural:
        verb = _for_many(verb)
    if deed.verb == "enter" and deed.direction:
        return f"{verb} from the {_OPPOSITE[deed.direction]}"
    direction = {"": "", "left": " to the left", "right": " to the right"}.get(deed.direction, f" {deed.direction}")
    if deed.target is None:
        return f"{verb}{direction}"
    target = scene.things[deed.target]
    other = _the(target) if deed.target in named else _name(target)
    relation = f" {deed.relation}" if deed.relation and not verb.endswith("into") else ""
    return f"{verb}{direction}{relation} {other}"


def _wording(verb: str, known: Collection[str]) -> str:
    wordings = _WORDINGS.get(verb, (third_person(verb),))
    return next((words for words in wordings if all(word in known for word in words.split())), wordings[0])


def _for_many(verb: str) -> str:
    first, _, rest = verb.partition(" ")
    if first.endswith("ies"):
        first = f"{first[:-3]}y"
    elif first.endswith(("shes", "ches", "oes")):
        first = first[:-2]
    else:
        first = first.removesuffix("s")
    return f"{first} {rest}".strip()


def _place(place: str, known: Collection[str], phrases: Mapping[str, Sequence[str]]) -> str:
    if not place:
        return ""
    if place not in phrases:
        return f"on {article(place)} {place} background"
    choices = phrases[place]
    return next((text for text in choices if all(word in known for word in text.split())), choices[0])


def _camera(scene: Scene) -> str:
    camera: Camera | None = scene.camera
    if camera is None:
        return ""
    target = _the(scene.things[camera.target]) if camera.target is not None else ""
    if camera.kind == "follow":
        return f"the camera follows {target or 'it'}"
    on = f" {'on' if camera.direction == 'in' else 'from'} {target}" if target and camera.kind == "zoom" else ""
    return f"the camera {camera.kind}s {camera.direction}{on}".rstrip()
