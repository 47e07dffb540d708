"""The suite of Crafter: words alone, one to three deeds by daylight, half of them at places where no training clip
shows that deed.

`tools/draw_crafter_suite.py` drew the specs beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from chronotope.config import from_dict
from chronotope.worlds.case import Case, SuiteItem
from chronotope.worlds.crafter.captions import MOST_DEEDS, prompt
from chronotope.worlds.crafter.deeds import deeds, place
from chronotope.worlds.crafter.sample import CrafterScope, sample_crafter
from chronotope.worlds.crafter.simulate import simulate
from chronotope.worlds.crafter.spec import CrafterSpec
from chronotope.worlds.splits import Split

__all__ = ["crafter_specs", "crafter_suite", "not_checkable", "strata_of", "trial_cases"]

DRAWN = Path(__file__).with_name("suite.jsonl")
LIGHT = 0.75  # daylight of every frame
MOST = 3  # deeds


def crafter_specs(count: int, split: Split, first: int = 3_000_000, area: int = 64) -> list[CrafterSpec]:
    """Return specs of a split that words alone describe, by seed, each from another map."""
    scope = CrafterScope(lengths=(16, 24), picture_share=0.0, latest=150, area=area)
    found: list[CrafterSpec] = []
    seed = first
    while len(found) < count:
        spec = sample_crafter(seed, scope, split)
        done = deeds((episode := simulate(spec)).scenes, episode.positions)
        if 1 <= len(done) <= MOST and episode.scenes.daylight.min() >= LIGHT:
            found.append(spec)
            seed += 4 - seed % 4  # four seeds share a map
        else:
            seed += 1
    return found


def crafter_suite() -> Iterator[SuiteItem]:
    """Yield the cases that were drawn, in their order."""
    for index, line in enumerate(DRAWN.read_text().splitlines()):
        row = json.loads(line)
        yield SuiteItem(index, from_dict(CrafterSpec, row["spec"]), row["prompt"], "sentence")


def trial_cases(count: int) -> Iterator[tuple[str, Case]]:
    """Yield held-out specs on which the checks are tried: any clips, also of long stories."""
    for index in range(count):
        spec = sample_crafter(4_000_000 + index, CrafterScope(picture_share=0.02), "heldout")
        yield "crafter", Case("crafter", spec, prompt(spec), "sentence", "heldout", 0, index, index)


def strata_of(spec: CrafterSpec) -> dict[str, str]:
    """Return the strata of a spec beside those that cases of every world have."""
    episode = simulate(spec)
    done = deeds(episode.scenes, episode.positions)
    acts = [deed for deed in done if deed.kind != "walk"]
    return {
        "deeds": f"{len(done)}" if len(done) < MOST else f"{MOST} or more",
        "kind": "gathers, builds or fights" if acts else "walks" if done else "does nothing",
        "place": place(episode.scenes, 0),
    }


def not_checkable(case: Case) -> str | None:
    """Say why the checks cannot decide about a case, or None where they can."""
    if case.task or case.kind:
        return f"a spec of Crafter has neither task nor kind, got '{case.task}' and '{case.kind}'"
    episode = simulate(case.spec)
    count = len(deeds(episode.scenes, episode.positions))
    return f"{count} deeds: a prompt tells at most {MOST_DEEDS}" if count > MOST_DEEDS else None
