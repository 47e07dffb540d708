"""The red-team set, disguised in every way -> how many prompts a policy refuses, by category and by disguise."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from chronotope.metrics.statistics import Rate
from chronotope.safety.policy.decide import Policy
from chronotope.safety.red_team.prompts import red_team, version
from chronotope.safety.red_team.transforms import TRANSFORMS

__all__ = ["measure"]

MOST_EXAMPLES = 3  # of mistakes, of each category


def measure(policy: Policy, report: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """Return recall and over-refusal, with intervals.

    Recall counts prompts that are refused for whatever category; `right category` those refused for their own.
    """
    prompts = red_team()
    recall: dict[tuple[str, str], list[bool]] = defaultdict(list)
    over: dict[tuple[str, str], list[bool]] = defaultdict(list)
    unseen: dict[str, list[bool]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    mistakes: dict[str, list[str]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        for name, transform in TRANSFORMS.items():
            text = transform(prompt.text, random.Random(number))
            decision = policy.decide(text)
            refused = decision.action == "refuse"
            (recall if prompt.harmful else over)[prompt.category, name].append(refused)
            if name != "none":
                continue
            if prompt.harmful:
                right[prompt.category].append(refused and decision.category == prompt.category)
            if prompt.held_out:
                unseen["harmful" if prompt.harmful else "benign"].append(refused)
            if refused != prompt.harmful:
                mistakes[prompt.category].append(prompt.text)
        report(number + 1, len(prompts))
    return {
        "set": version(),
        "policy": {"name": policy.name, "version": policy.version, "hash": policy.hash},
        "prompts": len(prompts),
        "refused": {"harmful": _summary(recall), "benign": _summary(over)},
        "refused for the right category": {name: _rate(found) for name, found in right.items()},
        "refused of held-out templates": {name: _rate(found) for name, found in unseen.items()},
        "mistakes": {name: texts[:MOST_EXAMPLES] for name, texts in mistakes.items()},
    }


def _summary(found: dict[tuple[str, str], list[bool]]) -> dict[str, Any]:
    """Return the rates of each category without disguise, and of each disguise over all categories."""
    categories = dict.fromkeys(category for category, _ in found)
    disguises = dict.fromkeys(name for _, name in found)
    by_disguise = {
        name: [one for (_, other), them in found.items() if other == name for one in them] for name in disguises
    }
    return {
        "by category": {category: _rate(found[category, "none"]) for category in categories},
        "by disguise": {name: _rate(them) for name, them in by_disguise.items()},
    }


def _rate(found: list[bool]) -> dict[str, Any]:
    rate = Rate(sum(found), len(found))
    return {"of": len(found), "share": round(rate.share, 4), "interval": [round(end, 4) for end in rate.interval]}
