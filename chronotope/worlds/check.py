"""The result of one check of a video: what was asked, whether it holds, how it fails and from which frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chronotope.worlds.taxonomy import blocks

__all__ = ["DRIFT_CHECK", "Check", "Outcome", "succeeds"]


DRIFT_CHECK = "looks alike to the end"  # the check that measures how far the end of a video is from its beginning
Outcome = tuple[str, int] | None  # the code of a failure and the first frame that shows it; None if the check holds


@dataclass(frozen=True)
class Check:
    """One check of one actor, or of the whole clip if `actor` is empty.

    `code` is the failure of the taxonomy (None if the check holds) and `frame` the first frame that shows it.
    `measured` holds the numbers behind the decision, for the report.
    """

    name: str
    actor: str = ""
    code: str | None = None
    frame: int | None = None
    measured: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, outcome: Outcome, actor: str = "") -> Check:
        """Build a check from an outcome."""
        return cls(name, actor, *(outcome or (None, None)))

    @property
    def holds(self) -> bool:
        return self.code is None


def succeeds(checks: Sequence[Check]) -> bool:
    """Tell whether no check fails with a blocking severity."""
    return not any(check.code and blocks(check.code) for check in checks)
