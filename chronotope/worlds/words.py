"""The vocabulary of captions: verbs, directions, places and camera phrases."""

from __future__ import annotations

from chronotope.worlds.backdrops import PLAIN
from chronotope.worlds.cast_table import CAST
from chronotope.worlds.spec import Actor, Event

__all__ = ["CAMERA", "DIRECTIONS", "PLACES", "SYNONYMS", "VERBS", "gerund", "plain_place", "verb_key"]

# Third person, by the kind of event and the way of getting about.
VERBS: dict[str, tuple[str, ...]] = {
    "walk": ("walks", "walks", "runs"),
    "hop": ("hops", "jumps", "walks"),
    "crawl": ("crawls", "moves"),
    "slither": ("slithers", "moves"),
    "fly": ("flies",),
    "float": ("floats", "flies", "drifts"),
    "swim": ("swims",),
    "drive": ("drives", "moves"),
    "sail": ("sails", "moves"),
    "roll": ("rolls",),
    "slide": ("moves", "slides", "glides", "moves"),
    "stand": ("moves", "slides"),
    "bounce": ("bounces",),
    "grow": ("grows", "gets bigger", "gets larger"),
    "shrink": ("shrinks", "gets smaller"),
    "spin": ("spins", "spins around", "rotates", "turns"),
}
DIRECTIONS: dict[str, tuple[str, ...]] = {
    "left": ("to the left", "left", "from right to left", "toward the left"),
    "right": ("to the right", "right", "from left to right", "toward the right"),
    "up": ("up", "upward", "upwards"),
    "down": ("down", "downward", "downwards"),
}
PLACES: dict[str, tuple[str, ...]] = {
    "sky": ("in the sky", "in a blue sky", "against the sky"),
    "hills": ("in green hills", "in the hills", "on a meadow in front of hills", "in a grassy landscape with hills"),
    "sea": ("at sea", "at the sea", "by the sea", "on the sea"),
    "street": ("on a street", "in a city street", "on the street"),
    "room": ("in a room", "inside a room", "in a room with a window"),
    "night": ("at night", "on a starry night", "under the night sky"),
    "desert": ("in the desert", "in a sandy desert"),
    "snow": ("in the snow", "in a snowy landscape with snow"),
}
CAMERA: dict[str, tuple[str, ...]] = {
    "pan": ("the camera pans {direction}", "camera panning {direction}", "the camera moves {direction}"),
    "zoom": ("the camera zooms {direction}", "camera zooming {direction}", "the view zooms {direction}"),
    "follow": ("the camera follows the {noun}", "camera following the {noun}"),
}
SYNONYMS: dict[str, tuple[str, ...]] = {"circle": ("circle", "ball", "circle"), "soccer ball": ("soccer ball", "soccer ball", "football")}


def plain_place(colour: str) -> tuple[str, ...]:
    """Phrases for a backdrop of one colour."""
    word = {"orange": "an orange"}.get(colour, f"a {colour}")
    return (f"on {word} background", f"in front of {word} background", f"against {word} backdrop")


def places(backdrop: str) -> tuple[str, ...]:
    """Phrases for any backdrop."""
    return plain_place(backdrop) if backdrop in PLAIN else PLACES[backdrop]


def verb_key(actor: Actor, event: Event) -> str:
    """Which row of VERBS fits this actor doing this."""
    if event.kind in ("bounce", "grow", "shrink", "spin", "roll"):
        return event.kind
    if actor.kind == "shape":
        return "slide"
    gait = CAST[actor.noun].gait
    if event.kind == "walk":
        return gait if gait == "hop" else "walk"
    return "fly" if event.kind == "fly" and gait != "float" else gait


def gerund(verb: str) -> str:
    """'walks' -> 'walking', for the verbs above."""
    head, _, rest = verb.partition(" ")
    stem = head[:-3] + "y" if head.endswith("ies") else head[:-1]
    special = {"run": "running", "hop": "hopping", "get": "getting", "swim": "swimming", "spin": "spinning", "pan": "panning"}
    word = special.get(stem) or (stem[:-1] + "ing" if stem.endswith("e") else stem + "ing")
    return f"{word} {rest}".strip()
