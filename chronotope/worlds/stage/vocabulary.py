"""The vocabulary of captions: verbs, places, synonyms and camera phrases."""

from __future__ import annotations

from chronotope.worlds.language import article
from chronotope.worlds.stage.backdrops import PLAIN_COLOURS
from chronotope.worlds.stage.cast import CAST
from chronotope.worlds.stage.spec import Actor, Event

__all__ = ["CAMERA", "SYNONYMS", "VERBS", "places", "verb_key"]

# Verbs in the third person, by kind of event or by gait. A verb that is listed twice is chosen twice as often.
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
    "stop": ("stops",),
    "push": ("pushes",),
    "hit": ("hits", "bumps into"),
    "eat": ("eats",),
    "meet": ("meets",),
    "paint": ("paints", "draws"),
    "switch": ("is switched", "is turned", "goes"),
    "hide": ("hides",),
    "stay": ("stays away",),
    "emerge": ("emerges", "comes out"),
    "creep": ("moves slowly", "goes slowly", "creeps"),
    "dash": ("moves fast", "rushes", "dashes"),
}
_PLACES: dict[str, tuple[str, ...]] = {
    "sky": ("in the sky", "in a blue sky", "against the sky"),
    "hills": ("in green hills", "in the hills", "on a meadow in front of hills", "in a grassy landscape with hills"),
    "sea": ("at sea", "at the sea", "by the sea", "on the sea"),
    "street": ("on a street", "in a city street", "on the street"),
    "room": ("in a room", "inside a room", "in a room with a window"),
    "night": ("at night", "on a starry night", "under the night sky"),
    "desert": ("in the desert", "in a sandy desert"),
    "snow": ("in the snow", "in a white landscape of snow"),
}
CAMERA: dict[str, tuple[str, ...]] = {
    "pan": ("the camera pans {direction}", "camera panning {direction}", "the camera moves {direction}"),
    "zoom": ("the camera zooms {direction}{on}", "camera zooming {direction}{on}", "the view zooms {direction}"),
    "follow": ("the camera follows the {noun}", "camera following the {noun}"),
}
SYNONYMS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "ball", "circle"),
    "soccer ball": ("soccer ball", "soccer ball", "football"),
}


def places(backdrop: str) -> tuple[str, ...]:
    """Return phrases for a backdrop: 'in the sky', 'on a red background'."""
    if backdrop not in PLAIN_COLOURS:
        return _PLACES[backdrop]
    word = f"{article(backdrop)} {backdrop}"
    return (f"on {word} background", f"in front of {word} background", f"against {word} backdrop")


def verb_key(actor: Actor, event: Event, travel: bool = False) -> str:
    """Return the key of VERBS for an actor and an event, or for the actor's movement in the event if `travel`."""
    if event.kind in VERBS and event.kind not in ("walk", "fly") and not travel:
        return event.kind
    if actor.kind == "shape":
        return "roll" if event.kind == "hit" and actor.noun == "circle" else "slide"
    gait = CAST[actor.noun].gait
    if event.kind == "walk":
        return "hop" if gait == "hop" else "walk"
    return "fly" if event.kind == "fly" and gait != "float" else gait
