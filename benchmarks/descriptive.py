"""Measure the expander: how many short captions it writes as descriptive ones, and what those are worth.

    python -m benchmarks.descriptive --model small       writes descriptive.json, a quarter of an hour on one core

Captions are tags and sentences of held-out specs of scope `small`, and of pairs of colour and noun, or noun and
direction, that training never shows. The videos are of the first of those held-out specs whose tags can be compared,
that have motion and that the checks can judge: one seed each, from the short and from the descriptive caption.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import HERE, say
from chronotope.caption.describe import TRIES, describe
from chronotope.caption.expand import expand
from chronotope.cli.language.expanders import TrainedExpander, load_expander
from chronotope.generate.pipeline import Generator, find_model
from chronotope.generate.stored.folders import weights_of
from chronotope.generate.stored.knowledge import vocabulary_of_model
from chronotope.metrics.statistics import Rate, mcnemar
from chronotope.storage import write_json
from chronotope.worlds.stage.checks.attributes import judge
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.checks.tracking import unsupported
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec
from chronotope.worlds.stage.world import STAGE

FIRST_SPEC, FIRST_VIDEO = 50_000, 60_000  # seeds


class Counted:
    """An expander that counts how often it is asked."""

    def __init__(self, expander: TrainedExpander) -> None:
        self.expander, self.asked = expander, 0

    def write(self, caption: str, seed: int | None) -> str:
        self.asked += 1
        return self.expander.write(caption, seed)


def written(expander: TrainedExpander, known: frozenset[str], count: int) -> dict[str, Any]:
    """Return how many of the captions of `count` specs a split could be compared, and were written with every fact."""
    counts: Counter[str] = Counter()
    for split in ("heldout", "combination"):
        for number in range(count):
            captions = STAGE.captions(STAGE.sample(FIRST_SPEC + number, STAGE.scope("small"), split), 4)
            for level, seed in (("tags", None), ("sentence", number)):
                counted = Counted(expander)
                found = describe(captions[level][0], known, counted, STAGE.read_facts, seed)
                counts["captions"] += 1
                counts["compared"] += counted.asked > 0
                counts["written"] += found.written
                counts["at the first try"] += found.written and counted.asked == 1
    return dict(counts)


def is_judged(spec: Spec) -> bool:
    """Return whether the checks can judge what moves in a video of this spec."""
    return spec.num_frames > 4 and bool(spec.events) and not unsupported(spec)


def worth(model: str, expander: TrainedExpander, known: frozenset[str], count: int) -> dict[str, Any]:
    """Return how many videos succeed from short and from descriptive captions of the same specs, in pairs."""
    generator, detector = Generator.load(model), load_detector()
    pairs: list[tuple[bool, bool]] = []
    seed = FIRST_VIDEO - 1
    while len(pairs) < count:
        seed += 1
        spec = sample_spec(seed, SCOPES["small"], "heldout")
        short = expand(STAGE.captions(spec, 4)["tags"][0], known).prompt
        found = describe(short, known, expander, STAGE.read_facts) if is_judged(spec) else None
        if found is None or not found.written:
            continue
        size = {"height": spec.height, "width": spec.width, "num_frames": spec.num_frames, "fps": spec.fps}
        made = (generator.generate(text, seed=len(pairs), **size) for text in (short, found.expansion.prompt))
        first, second = (all(one.all_right for one in judge(detector, spec, video.frames)) for video in made)
        pairs.append((first, second))
        if len(pairs) % 20 == 0:
            say(f"  {len(pairs)} of {count}")
    better, worse = (sum(pair == change for pair in pairs) for change in ((False, True), (True, False)))
    rates = {
        name: str(Rate(sum(pair[at] for pair in pairs), count)) for at, name in enumerate(("short", "descriptive"))
    }
    return {**rates, "better": better, "worse": worse, "p": round(mcnemar(better, worse), 4)}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="small")
    parser.add_argument("--count", type=int, default=40, help="specs of a split whose captions are written")
    parser.add_argument("--videos", type=int, default=100, help="pairs of videos")
    parser.add_argument("--out", type=Path, default=HERE / "descriptive.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = find_model(options.model)
    expander, vocabulary = load_expander(folder), vocabulary_of_model(folder)
    assert vocabulary is not None
    known = vocabulary.known
    table: dict[str, Any] = {
        "model": options.model,
        "weights": weights_of(folder),
        "tries": TRIES,
        "captions": written(expander, known, options.count),
    }
    say(str(table["captions"]))
    table["videos"] = worth(options.model, expander, known, options.videos)
    say(str(table["videos"]))
    write_json(options.out, table)


if __name__ == "__main__":
    main()
