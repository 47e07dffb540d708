"""Files of answers -> how often each system is preferred, how far raters agree, and who may have answered at random."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from chronotope.errors import FileProblem
from chronotope.evaluate.documents import read_document
from chronotope.evaluate.preference.study import Item, Study
from chronotope.metrics.statistics import Rate, clustered, cohen_kappa, sign_flip
from chronotope.prompt import cleaned, person

__all__ = ["Agreement", "Preference", "Rater", "binomial_tail", "read_answers", "summarise"]

Choice = Literal["a", "b", "tie"]
CHANCE = 1 / 3  # that an attention check is passed by one of three answers at random
ALPHA = 0.05


@dataclass(frozen=True)
class Rater:
    """What one person answered: of pairs by their item, and how many attention checks were passed."""

    name: str
    choices: Mapping[str, Choice]
    checks: Rate
    left: Rate  # among the pairs in which one side was preferred
    unplayable: int

    @property
    def random(self) -> bool:
        """Whether answers at random pass as many attention checks with more than 5 % probability."""
        return binomial_tail(self.checks.successes, self.checks.trials, CHANCE) > ALPHA

    @property
    def one_sided(self) -> bool:
        """Whether the side explains the answers: sides are random, so 1 % of attentive raters look like it."""
        fewer = min(self.left.successes, self.left.trials - self.left.successes)
        return 2 * binomial_tail(self.left.trials - fewer, self.left.trials, 0.5) <= 0.01


@dataclass(frozen=True)
class Agreement:
    """Two raters, the number of pairs that both answered, and Cohen's kappa over a, b and tie."""

    first: str
    second: str
    pairs: int
    kappa: float


@dataclass(frozen=True)
class Preference:
    """Shares of answers with 95 % intervals, in which the answers to one pair are a cluster.

    `p_value` is of the hypothesis that neither system is preferred (sign flips of whole pairs).
    """

    answers: Mapping[Choice, int]
    intervals: Mapping[Choice, tuple[float, float]]
    pairs: int
    p_value: float

    def share(self, choice: Choice) -> float:
        """Return the share of a choice among all answers; NaN without answers."""
        total = sum(self.answers.values())
        return self.answers[choice] / total if total else math.nan


def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """Return the probability of at least so many successes."""
    ways = range(successes, trials + 1)
    return sum(math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in ways)


def read_answers(study: Study, paths: Sequence[Path]) -> list[Rater]:
    """Read the files of answers to a study.

    Raises FileProblem for a file of another study, an item that is not of it or answered twice, and for two files of
    one rater, however the name is spelt.
    """
    raters: dict[str, Rater] = {}
    for path in paths:
        found = read_document(path, "study_answers")
        if found["study"] != study.study:
            raise FileProblem(f"{path} answers the study {found['study'][:16]}, and this one is {study.study[:16]}")
        name = cleaned(found["rater"])
        if known := raters.get(person(name)):
            spelt = f", spelt '{known.name}' before" if known.name != name else ""
            raise FileProblem(f"{path} is the second file of answers by '{name}'{spelt}; give one for each rater")
        raters[person(name)] = _rater(name, study, found["answers"], path)
    return list(raters.values())


def _rater(name: str, study: Study, answers: Sequence[Mapping[str, Any]], path: Path) -> Rater:
    items = {item.item: item for item in study.items}
    chosen: dict[str, str] = {}
    for one in answers:
        if one["item"] not in items or one["item"] in chosen:
            wrong = "twice" if one["item"] in chosen else "and is not of this study"
            raise FileProblem(f"{path}: the item {one['item']} is answered {wrong}")
        chosen[one["item"]] = one["choice"]
    played = {item: choice for item, choice in chosen.items() if choice != "unplayable"}
    checks = [_passed(items[item], choice) for item, choice in played.items() if items[item].kind != "pair"]
    pairs = {item: choice for item, choice in played.items() if items[item].kind == "pair"}
    sided = Counter(choice for choice in pairs.values() if choice != "tie")
    return Rater(
        name,
        {item: _meant(items[item], choice) for item, choice in pairs.items()},
        Rate(sum(checks), len(checks)),
        Rate(sided["left"], sided.total()),
        len(chosen) - len(played),
    )


def _passed(item: Item, choice: str) -> bool:
    if item.kind == "same":
        return choice == "tie"
    return choice == ("right" if item.left == "broken" else "left")


def _meant(item: Item, choice: str) -> Choice:
    """Return which system an answer prefers."""
    side = {"left": item.left, "right": item.right}.get(choice, "tie")
    assert side != "broken"  # of attention checks alone
    return side  # type: ignore[return-value]


def summarise(raters: Sequence[Rater]) -> tuple[Preference, list[Agreement]]:
    """Return what these raters prefer, and how far every two of them agree."""
    made = [(item, choice) for rater in raters for item, choice in rater.choices.items()]
    counts = Counter(choice for _, choice in made)
    names = [item for item, _ in made]
    choices: tuple[Choice, ...] = ("a", "b", "tie")
    intervals = {choice: clustered([one == choice for _, one in made], names) for choice in choices}
    worth = {"a": 1.0, "b": -1.0, "tie": 0.0}
    p_value = sign_flip([worth[choice] for _, choice in made], names) if made else 1.0
    agreements = []
    for one, two in combinations(raters, 2):
        both = [item for item in one.choices if item in two.choices]
        if both:
            kappa = cohen_kappa([one.choices[item] for item in both], [two.choices[item] for item in both])
            agreements.append(Agreement(one.name, two.name, len(both), kappa))
    return Preference({choice: counts[choice] for choice in choices}, intervals, len(set(names)), p_value), agreements
