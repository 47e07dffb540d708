"""What the models inside the package were taught, and what a request asks beyond that."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chronotope.generate.pipeline import WEIGHTS, Generator
from chronotope.generate.plan import Plan
from chronotope.worlds.language import DIRECTIONS
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES, Scope
from chronotope.worlds.stage.vocabulary import SYNONYMS

__all__ = ["beyond", "taught"]

TAUGHT = {
    "small": ("small", "acts", "deeds")
}  # the scopes of the stage that a model learnt from: runs/small.sh, then runs/longer.sh
READ = 200  # clips of a scope whose captions are read for a word that the vocabulary spells in pieces


def taught(model: Path) -> dict[str, Any] | None:
    """The things, colours, deeds, sizes and lengths of a model inside the package; of others only their makers know."""
    scopes = _scopes(model)
    if not scopes:
        return None
    return {
        "things": ", ".join(
            _all(SYNONYMS.get(thing, (thing,)) for scope in scopes for thing in (*scope.shapes, *scope.nouns))
        ),
        "colours": ", ".join(_all(scope.colours for scope in scopes)) + " (of shapes)",
        "places": ", ".join(_all(scope.backdrops for scope in scopes)),
        "deeds": ", ".join(_all(scope.events for scope in scopes)),
        "directions": ", ".join(DIRECTIONS),
        "sizes": ", ".join(_sizes(scopes)),
        "lengths": _lengths(scopes),
    }


def beyond(generator: Generator, plan: Plan) -> list[str]:
    """What a request asks that the model was not trained for, in words: it is made all the same."""
    model, inputs, canvas, notes = generator.folder, plan.request.inputs, plan.canvas, []
    scopes = _scopes(model) if model else ()
    size = f"{canvas.width}x{canvas.height}"
    if scopes and size not in _sizes(scopes):
        notes.append(f"the model was trained on {', '.join(_sizes(scopes))} and not on {size}; expect less of it")
    # where a clip goes on or leads into another, the new frames are what was asked for
    whole = inputs.video is None or inputs.keeps_length
    count = plan.num_frames if whole else plan.num_new
    if scopes and not _knows_length(scopes, count, canvas.fps):
        rate = f" at {canvas.fps:g} frames a second" if count > 1 else ""
        notes.append(f"the model was trained on {_lengths(scopes)}, and not on {count}{rate}; expect less of it")
    told = " ".join([prompt.text for prompt in plan.request.prompts] + [plan.sampling.negative_prompt])
    if unknown := _unknown(generator, told, scopes):
        where = f"; it knows what `chronotope info {model.name}` lists" if model and scopes else ""
        notes.append(f"the model's captions had no such word: {', '.join(unknown)}{where}")
    return notes


def _unknown(generator: Generator, text: str, scopes: tuple[Scope, ...]) -> list[str]:
    """The words that are no piece of the vocabulary, which was learnt before the later scopes; those are asked themselves."""
    unknown = generator.tokenizer.spelt(text)
    for scope in scopes if unknown else ():
        said = " ".join(
            text for seed in range(READ) for texts in captions(sample_spec(seed, scope)).values() for text in texts
        )
        heard = set(generator.tokenizer.spelt(said))
        unknown = [word for word in unknown if word not in heard]
    return unknown


def _scopes(model: Path) -> tuple[Scope, ...]:
    inside = model.resolve().parent == WEIGHTS
    return tuple(SCOPES[name] for name in TAUGHT.get(model.name, ())) if inside else ()


def _all(many: Iterable[Iterable[str]]) -> list[str]:
    """Each once, in the order in which they come."""
    return list(dict.fromkeys(one for some in many for one in some))


def _sizes(scopes: tuple[Scope, ...]) -> list[str]:
    return _all((f"{width}x{height}" for width, height in scope.sizes) for scope in scopes)


def _lengths(scopes: tuple[Scope, ...]) -> str:
    rates = " or ".join(_all([f"{scope.fps:g}"] for scope in scopes))
    least, most = min(scope.min_frames for scope in scopes), max(scope.max_frames for scope in scopes)
    return f"{'pictures and ' if _has_pictures(scopes) else ''}videos of {least} to {most} frames at {rates} a second"


def _knows_length(scopes: tuple[Scope, ...], count: int, fps: float) -> bool:
    if count == 1:
        return _has_pictures(scopes)
    return any(scope.min_frames <= count <= scope.max_frames and scope.fps == fps for scope in scopes)


def _has_pictures(scopes: tuple[Scope, ...]) -> bool:
    return any(scope.picture_share for scope in scopes)
