"""The table [uploads] of a policy: what becomes of given files that forbid their use, and whether consent is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from chronotope.errors import UsageError, suggest
from chronotope.safety.action import ACTIONS, Action

__all__ = ["DEFAULT_UPLOADS", "UploadRules", "read_upload_rules"]

Consent = Literal["not needed", "needed"]
FIELDS = ("forbidden_use", "forbidden_training", "consent")


@dataclass(frozen=True)
class UploadRules:
    """What becomes of given files, by what their C2PA manifests forbid, and by what their user states.

    `forbidden_use` is for manifests that forbid inference, which generating from a file is; `forbidden_training` for
    those that forbid training or mining alone. Where `consent` is needed, files that may be a camera's are refused
    without a statement of their user.
    """

    forbidden_use: Action = "refuse"
    forbidden_training: Action = "note"
    consent: Consent = "not needed"


DEFAULT_UPLOADS = UploadRules()


def read_upload_rules(table: Any) -> UploadRules:
    """Return the rules of a table; raise UsageError for what cannot hold."""
    if not isinstance(table, dict):
        raise UsageError('uploads must be a table, such as: [uploads] consent = "needed"')
    for name in table:
        if name not in FIELDS:
            raise UsageError(f"unknown field '{name}' in [uploads]. {suggest(name, FIELDS)}")
    for name, choices in (*((name, ACTIONS) for name in FIELDS[:2]), ("consent", get_args(Consent))):
        if name in table and table[name] not in choices:
            raise UsageError(f"uploads.{name} is {table[name]!r}; it must be one of {', '.join(choices)}")
    rules = UploadRules(**table)
    if ACTIONS.index(rules.forbidden_training) > ACTIONS.index(rules.forbidden_use):
        raise UsageError(
            f"it contradicts itself: what forbids training has the action {rules.forbidden_training}, and what forbids "
            f"any use the milder {rules.forbidden_use}; make forbidden_use as strict"
        )
    return rules
