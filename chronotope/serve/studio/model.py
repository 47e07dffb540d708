"""What the page shows of the model: its words as chips, the sizes of its training, and its measured success rates."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from chronotope.caption.words.grammar import IGNORED
from chronotope.caption.words.lexicon import load_lexicon
from chronotope.errors import FileProblem
from chronotope.generate.stored.folders import weights_of
from chronotope.sealed import read_sealed
from chronotope.serve.limits import ModelFacts
from chronotope.serve.texts import vocabulary
from chronotope.storage import read_json

__all__ = ["EXAMPLES", "chips", "known_words", "model_page", "rates_of"]

EXAMPLES = (  # a viewer recognises what the shipped model makes of each at seed 0
    "a red ball rolls to the right",
    "a fox walks to the left at night",
    "a yellow star grows in the sky",
    "a rocket flies up at night",
    "a balloon flies up in the sky",
    "a butterfly flies to the right",
)
KINDS = {"noun": "things", "colour": "colours", "verb": "actions", "place": "places"}


def known_words(folder: Path) -> frozenset[str]:
    """Return the words of the captions of the worlds, where a model was trained on those alone; else none."""
    found = vocabulary(folder)
    return found.known if found is not None and found.similar is None else frozenset()


@lru_cache(maxsize=4)
def rates_of(folder: Path) -> dict[str, Any]:
    """Return the success rates that were measured of a model, from `rates.json` in its folder; else none.

    Rates of other weights, and those that were edited, are none.
    """
    try:
        found = read_sealed(folder / "rates.json", "take it from a copy")
        about = found.get("about")
        return found if isinstance(about, dict) and about.get("weights") == weights_of(folder) else {}
    except FileProblem:
        return {}


def chips(known: frozenset[str]) -> dict[str, list[str]]:
    """Return the words that a prompt can be made of, by kind; every one of them is known to the model."""
    lexicon, groups = load_lexicon(), {name: list[str]() for name in KINDS.values()}
    for word in sorted(known - IGNORED):
        for meaning in lexicon.find(word):
            form = meaning.form in ("", "s")
            same = meaning.word == word or (
                meaning.kind == "verb" and meaning.form == "s" and meaning.base == meaning.word
            )
            if meaning.kind in KINDS and form and same and not meaning.plural:
                if word not in groups[KINDS[meaning.kind]]:
                    groups[KINDS[meaning.kind]].append(word)
    return {name: words for name, words in groups.items() if words}


def model_page(facts: ModelFacts) -> dict[str, Any]:
    """Return what the page needs to know of the model before anything is typed."""
    known, defaults = known_words(facts.folder), facts.defaults
    record = read_json(facts.folder / "dit" / "model.json").get("trained_on") or {}
    height, width = facts.geometry.cell
    return {
        "name": facts.name,
        "width": defaults.width,
        "height": defaults.height,
        "num_frames": defaults.num_frames,
        "fps": defaults.fps,
        "num_inference_steps": defaults.num_steps,
        "guidance_scale": defaults.guidance_scale,
        "cell": [width, height],
        "slice_frames": facts.geometry.stride[0],
        "sizes": record.get("sizes", []),
        "lengths": record.get("num_frames"),
        "chips": chips(known),
        "examples": [text for text in EXAMPLES if known and set(text.replace(",", "").split()) <= known],
        "measured": {name: rates_of(facts.folder).get(name) for name in ("about", "success")},
    }
