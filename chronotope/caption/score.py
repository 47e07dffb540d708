"""Is a caption true? Precision and recall of what it claims, by class of fact, against a truth that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chronotope.metrics.statistics import Rate
from chronotope.worlds.facts import CLASSES, Fact, of_class

__all__ = ["CaptionScore", "score_caption", "tally"]


@dataclass(frozen=True)
class CaptionScore:
    """Of one caption: claims that are true, claims that are not, and facts that it leaves out."""

    right: frozenset[Fact]
    wrong: frozenset[Fact]
    missing: frozenset[Fact]

    @property
    def true(self) -> bool:
        return not self.wrong


def score_caption(said: frozenset[Fact], truth: frozenset[Fact], wanted: frozenset[Fact] | None = None) -> CaptionScore:
    """Compare what a caption claims with the truth; `wanted` are the facts that a full caption of its kind has.

    Without `wanted` these are all facts of the truth.
    """
    return CaptionScore(said & truth, said - truth, (truth if wanted is None else wanted) - said)


@dataclass(frozen=True)
class ClassScore:
    """Precision (claims that are true) and recall (facts that are claimed) of one class over many captions."""

    precision: Rate
    recall: Rate


def tally(scores: Iterable[CaptionScore]) -> Mapping[str, ClassScore]:
    """Return precision and recall by class of fact, for the classes that occur."""
    counts = {name: _Count() for name in CLASSES}
    for score in scores:
        for name, count in counts.items():
            count.right += len(of_class(score.right, name))
            count.wrong += len(of_class(score.wrong, name))
            count.missing += len(of_class(score.missing, name))
    return {name: count.rates() for name, count in counts.items() if count.right + count.wrong + count.missing}


@dataclass
class _Count:
    right: int = field(default=0)
    wrong: int = field(default=0)
    missing: int = field(default=0)

    def rates(self) -> ClassScore:
        return ClassScore(Rate(self.right, self.right + self.wrong), Rate(self.right, self.right + self.missing))
