"""The rule of a policy about videos that are nearly copies of training clips, and what it decides of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chronotope.errors import UsageError, suggest
from chronotope.safety.action import ACTIONS, Action

__all__ = ["NEAR_COPIES", "CopyRule", "read_copy_rule"]

NEAR_COPIES = "near-copies"  # names the rule
FARTHEST = 255.0  # levels


@dataclass(frozen=True)
class CopyRule:
    """What is done with a video that is nearer to a training clip than `distance`.

    `distance` is in levels of 255, root mean square; None is the distance that follows from the clips. `required`
    refuses every video that was not compared with all clips that trained its model.
    """

    action: Action = "note"
    distance: float | None = None
    required: bool = False


def read_copy_rule(found: Any) -> CopyRule:
    """Read the table `near_copies` of a policy; raise UsageError for what cannot hold."""
    example = 'near_copies must be a table, such as [near_copies] with action = "refuse"'
    if not isinstance(found, Mapping):
        raise UsageError(f"{example}, got {found!r}")
    fields = ("action", "distance", "required")
    for name in found:
        if name not in fields:
            raise UsageError(f"unknown field '{name}' of near_copies. {suggest(name, fields)}")
    action = found.get("action", "note")
    if action not in ACTIONS:
        raise UsageError(f"the action of near_copies is {action!r}; it must be one of {', '.join(ACTIONS)}")
    distance = found.get("distance")
    if distance is not None and (
        isinstance(distance, bool) or not isinstance(distance, int | float) or not 0 < distance <= FARTHEST
    ):
        raise UsageError(f"the distance of near_copies is {distance!r}; it lies above 0 and is at most 255 levels")
    required = found.get("required", action == "refuse")
    if not isinstance(required, bool):
        raise UsageError(f"required of near_copies is {required!r}; it must be true or false")
    if required and action == "allow":
        raise UsageError(
            "near_copies contradicts itself: it allows copies and requires a comparison; give another action, or "
            "required = false"
        )
    return CopyRule(action, None if distance is None else float(distance), required)
