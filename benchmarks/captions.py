"""Measure the captioner on clips that it was not trained on: how true and complete its captions are, and its agreement.

Three sets of clips, rendered here: `small` and `deeds` held out by their hash, and `combinations` of colour and noun,
or noun and direction, that no training clip has. Every clip is captioned at each level of detail, first tries; what is
claimed is compared with the spec.

Agreement (`caption.captioners.agreement`) is asked for true captions and the same with one injected error, of clips
without looking at their truth: the threshold is that at which 5 % of the true ones are doubted, on a half of the clips,
and what is detected is counted on the other half.

    python -m benchmarks.captions --model small       writes captions.json
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import HERE, say
from chronotope.caption.captioners.agreement import agreement
from chronotope.caption.captioners.answers import caption_of
from chronotope.caption.captioners.builtin import BuiltIn
from chronotope.caption.captioners.captioner import NoCaptionError
from chronotope.caption.score import CaptionScore, score_caption, tally
from chronotope.checkpoint import weights_hash
from chronotope.cli.language.captioners import load_captioner
from chronotope.generate.pipeline import find_model
from chronotope.metrics.statistics import Rate
from chronotope.models.captioner import DETAILS, Memory
from chronotope.storage import write_json
from chronotope.worlds.facts import of_class
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.world import STAGE

SETS = {"small": ("small", "heldout"), "deeds": ("deeds", "heldout"), "combinations": ("small", "combination")}
FALSE_ALARMS = 0.05
OTHERS = 4  # clips with which a word is compared
_ORDER = re.compile(r"^(an? (?:\w+ )?\w+) (\S.*?),? and then (.+?)( (?:in|on|at|by|under|against) .*)?$")


def main() -> None:
    """Caption, score and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--count", type=int, default=100, help="clips of each set")
    parser.add_argument("--seed", type=int, default=40_000)
    parser.add_argument("--out", type=Path, default=HERE / "captions.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = find_model(options.model)
    captioner = load_captioner(folder)
    about = {"model": options.model, "weights": f"captioner {weights_hash(folder / 'captioner')}"}
    table: dict[str, Any] = {**about, "clips of a set": options.count, "sets": {}}
    paragraphs: list[CaptionScore] = []
    true: list[tuple[Spec, Memory]] = []
    for name, (scope, split) in SETS.items():
        specs = [STAGE.sample(options.seed + k, STAGE.scope(scope), split) for k in range(options.count)]
        clips = [STAGE.render(spec).frames for spec in specs]
        table["sets"][name] = {}
        for detail in DETAILS:
            captioner.detail = detail
            found, scores = describe(captioner, specs, clips)
            table["sets"][name][detail] = found
            paragraphs += scores if detail == "paragraph" else []
            say(f"{name:12} {detail:10} {found}")
        if split == "heldout":
            true += [(spec, captioner.look(frames, spec.fps)) for spec, frames in zip(specs, clips, strict=True)]
    table["bias"] = bias(paragraphs)
    table["reader"] = readings()
    table["agreement"] = detection(captioner, true)
    for name, rate in table["agreement"].items():
        say(f"{name:12} {rate}")
    write_json(options.out, table)


def describe(
    captioner: BuiltIn, specs: Sequence[Spec], clips: Sequence[np.ndarray]
) -> tuple[dict[str, Any], list[CaptionScore]]:
    """Caption every clip; return rates by class and what it took, and the scores."""
    scores: list[CaptionScore] = []
    failed, started = 0, time.process_time()
    texts = []
    for spec, frames in zip(specs, clips, strict=True):
        try:
            texts.append(caption_of(captioner.ask(frames, spec.fps).text, captioner.detail))
        except NoCaptionError:
            texts.append("")
            failed += 1
    seconds = time.process_time() - started
    for spec, text in zip(specs, texts, strict=True):
        facts = STAGE.facts(spec)
        full = STAGE.captions(spec, 8)[captioner.detail]
        wanted = facts & frozenset().union(*map(STAGE.read_facts, full))
        scores.append(score_caption(STAGE.read_facts(text), facts, wanted))
    classes = {
        name: {"true": str(found.precision), "found": str(found.recall)} for name, found in tally(scores).items()
    }
    wrong = [
        f"{text} | {', '.join(map(str, sorted(s.wrong)))}" for text, s in zip(texts, scores, strict=True) if s.wrong
    ]
    rates = {
        "without a false claim": str(Rate(sum(score.true for score in scores), len(scores))),
        "no caption": failed,
        "clips a second": round(len(clips) / seconds, 2),
        "classes": classes,
        "first that are not true": wrong[:5],
    }
    return rates, scores


def readings(count: int = 150) -> dict[str, dict[str, int]]:
    """Return, by scope, how many claims are read in true captions of `count` specs, how many of them wrong, and the
    facts of motion and order of sentences and paragraphs that are not read.
    """
    found = {}
    for name in ("small", "acts", "deeds", "full", "returns"):
        counts = {"claims": 0, "wrong": 0, "motions": 0, "motions missed": 0, "orders": 0, "orders missed": 0}
        for seed in range(count):
            spec = STAGE.sample(seed, STAGE.scope(name), "heldout")
            truth, captions = STAGE.facts(spec), STAGE.captions(spec, 2)
            for level in DETAILS:
                for text in captions[level]:
                    said = STAGE.read_facts(text)
                    counts["claims"] += len(said)
                    counts["wrong"] += len(said - truth)
                    for kind in ("motion", "order") if level != "tags" else ():
                        wanted = of_class(truth, kind)
                        counts[f"{kind}s"] += len(wanted)
                        counts[f"{kind}s missed"] += len(wanted - said)
        found[name] = counts
    return found


def bias(scores: Sequence[CaptionScore]) -> dict[str, dict[str, list[int]]]:
    """Return how often each thing, colour, place and motion is claimed, and how often it is true."""
    found: dict[str, dict[str, list[int]]] = {}
    for kind in ("object", "colour", "size", "motion", "interaction", "place"):
        counts: dict[str, list[int]] = {}
        for score in scores:
            for place, facts in ((0, score.right | score.wrong), (1, score.right | score.missing)):
                for fact in facts:
                    if fact.kind == kind:
                        word = fact.name if kind == "object" else f"{fact.what} {fact.other}".strip()
                        word = fact.what if kind == "interaction" else word
                        counts.setdefault(word, [0, 0])[place] += 1
        found[kind] = dict(sorted(counts.items()))
    return found


def injected(text: str, spec: Spec, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Yield the text with one error of each class that it can have: (class, text)."""
    scope = SCOPES["deeds"]
    words: Mapping[str, Sequence[str]] = {
        "colour": scope.colours,
        "object": (*scope.nouns, *(shape for shape in scope.shapes)),
    }
    for kind, all_words in words.items():
        present = [word for word in all_words if re.search(rf"\b{word}\b", text)]
        named = {actor.colour if kind == "colour" else actor.noun for actor in spec.actors}
        if present := [word for word in present if word in named]:
            word = present[int(rng.integers(len(present)))]
            others = [other for other in all_words if other not in named]
            other = others[int(rng.integers(len(others)))]
            yield kind, re.sub(rf"\b{word}\b", other, text, count=1)
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up", "upward": "downward"}
    ways = [word for word in opposite if re.search(rf"\b{word}\b", text)]
    if ways and "from" not in text and not {"left", "right"} <= set(text.split()):
        yield "direction", re.sub(rf"\b{ways[0]}\b", opposite[ways[0]], text, count=1)
    if match := _ORDER.match(text):
        who, first, second, rest = match.groups()
        yield "order", f"{who} {second} and then {first}{rest or ''}"


def detection(captioner: BuiltIn, clips: Sequence[tuple[Spec, Memory]]) -> dict[str, str]:
    """Return the share of injected errors that are doubted where 5 % of true captions are, by class."""
    rng = np.random.default_rng(1)
    worst: dict[str, list[list[float]]] = {"true": [[], []]}
    for place, (spec, memory) in enumerate(clips):
        text = str(rng.choice(STAGE.captions(spec, 4)["sentence"])).lower().rstrip(".")
        others = [clips[int(index)][1] for index in rng.choice(len(clips), OTHERS, replace=False) if index != place]
        for kind, words in [("true", text), *injected(text, spec, rng)]:
            found = agreement(captioner.network, captioner.tokenizer, memory, others, "sentence", words)
            worst.setdefault(kind, [[], []])[place % 2].append(found.worst)
    threshold = float(np.quantile(worst["true"][0], FALSE_ALARMS))
    rates = {
        kind: str(Rate(sum(value < threshold for value in halves[1]), len(halves[1]))) for kind, halves in worst.items()
    }
    return {"threshold": f"{threshold:.2f} nats", **rates}


if __name__ == "__main__":
    main()
