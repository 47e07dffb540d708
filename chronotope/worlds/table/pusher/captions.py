"""Captions of pusher clips at three levels of detail, written from what really happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from chronotope.worlds.language import Choices, article, capitalised, distinct_wordings, gerund, join
from chronotope.worlds.table.pusher.deeds import Deed, deeds
from chronotope.worlds.table.pusher.simulate import simulate
from chronotope.worlds.table.pusher.spec import PusherSpec
from chronotope.worlds.table.spec import Actor

__all__ = ["captions", "prompt", "vocabulary"]

STICKS = ("stick", "rod")
PUSHES = ("pushes", "shoves")
WAYS: dict[str, tuple[str, ...]] = {
    "left": ("to the left", "left"),
    "right": ("to the right", "right"),
    "away": ("away from the camera", "to the back"),
    "closer": ("towards the camera", "to the front"),
    "": ("",),
}
LEAST_MOTION = 0.15  # metres over a clip, below which a stick that pushes nothing is said to stand


class _Writer(Choices):
    """Write about a clip; `rng` chooses between wordings."""

    def __init__(self, spec: PusherSpec, found: tuple[Deed, ...], rng: np.random.Generator) -> None:
        self.spec, self.deeds, self.rng = spec, found, rng
        self.stick = f"{spec.stick.colour} {self.pick(STICKS)}"
        self.push = self.pick(PUSHES)
        self._noted = set[str]()

    def name(self, actor: Actor) -> str:
        """Return 'a red cube', and 'the red cube' when it was named before."""
        phrase = f"{actor.colour} {actor.noun}"
        again = phrase in self._noted
        self._noted.add(phrase)
        return f"the {phrase}" if again else f"{article(phrase)} {phrase}"

    def deed(self, deed: Deed, first: bool = True) -> str:
        """Return 'pushes a red cube to the left'."""
        actor = next(actor for actor in self.spec.actors if actor.id == deed.actor)
        verb = self.push if first else "pushes"
        return f"{verb} {self.name(actor)} {self.pick(WAYS[deed.direction])}".strip()

    def deed_list(self) -> str:
        return join([self.deed(deed) for deed in self.deeds], self.pick((" and then ", ", then ")))

    def others(self) -> list[str]:
        """Return the names of the solids that are not named yet."""
        return [self.name(each) for each in self.spec.actors if f"{each.colour} {each.noun}" not in self._noted]

    def idle(self) -> str:
        """Return what a stick does that pushes nothing."""
        path = simulate(self.spec).trajectory.position[:, -1, :2]
        moves = np.linalg.norm(np.ptp(path, axis=0)) >= LEAST_MOTION
        return f"{'moves about' if moves else 'stands'} beside {join([self.name(each) for each in self.spec.actors])}"


def captions(spec: PusherSpec, count: int = 4) -> Mapping[str, tuple[str, ...]]:
    """Return up to `count` wordings of each level: tags, sentence and paragraph."""
    found = deeds(spec, simulate(spec))
    levels: dict[str, Callable[[_Writer], str]] = {"tags": _tags, "sentence": _sentence, "paragraph": _paragraph}
    return distinct_wordings(spec, levels, lambda rng: _Writer(spec, found, rng), count)  # type: ignore[type-var]


def prompt(spec: PusherSpec) -> str:
    """Return a sentence that says all that happens."""
    writer = _Writer(spec, deeds(spec, simulate(spec)), np.random.default_rng([spec.seed, 3]))
    return f"{_acts(writer)} on a {spec.table} table"


def vocabulary(nouns: tuple[str, ...], colours: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return what captions can name."""
    return {"nouns": (*nouns, *STICKS), "colours": colours, "actions": ("push",)}


def _acts(writer: _Writer) -> str:
    """Return 'a blue stick pushes a red cube to the left, beside a green brick'."""
    stick = f"{article(writer.stick)} {writer.stick}"
    if not writer.deeds:
        return f"{stick} {writer.idle()}"
    text = f"{stick} {writer.deed_list()}"
    others = writer.others()
    return f"{text}, beside {join(others)}" if others else text


def _tags(writer: _Writer) -> str:
    names = [f"{actor.colour} {actor.noun}" for actor in writer.spec.actors]
    told = [gerund(f"pushes {writer.pick(WAYS[deed.direction])}") for deed in writer.deeds]
    return ", ".join(dict.fromkeys([writer.stick, *names, *told, f"{writer.spec.table} table"]))


def _sentence(writer: _Writer) -> str:
    text = _acts(writer)
    if writer.chance(0.6):
        text += f" on a {writer.spec.table} table"
    return capitalised(text) + "." if writer.chance(0.25) else text


def _paragraph(writer: _Writer) -> str:
    spec = writer.spec
    kind = "picture" if spec.num_frames == 1 else "video"
    solids = [writer.name(actor) for actor in spec.actors]
    lines = [
        f"This {kind} shows a {spec.table} table with {join([*solids, f'{article(writer.stick)} {writer.stick}'])}."
    ]
    for number, deed in enumerate(writer.deeds):
        when = "" if number == 0 else f"After {deed.start / spec.fps:.1f} seconds "
        far = f" by about {round(deed.metres * 10) * 10} centimetres" if writer.chance(0.5) else ""
        lines.append(capitalised(f"{when}the {writer.stick} {writer.deed(deed)}{far}") + ".")
    if not writer.deeds:
        lines.append(f"The {writer.stick} pushes nothing.")
    return " ".join([*lines, "The camera stands still."])
