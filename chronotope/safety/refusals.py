"""Findings about frames -> a refusal, recorded in the log, whose words name the rule and what to change."""

from __future__ import annotations

from collections.abc import Sequence

from chronotope.safety.audit import record
from chronotope.safety.output.check import Finding
from chronotope.safety.policy.decide import Decision, Policy, RefusedError

__all__ = ["refuse_file", "refuse_frames"]


def refuse_frames(policy: Policy, what: str, findings: Sequence[Finding], file: str = "") -> None:
    """Record every finding and raise `RefusedError` for the first; `what` is named in the words, `file` in the log."""
    for one in findings:
        record(
            {
                "event": "refused",
                "text": what,
                **one.described(),
                "file": file,
                "policy": policy.hash,
                "version": f"{policy.version}, {one.by} {one.version}",
            }
        )
    first = findings[0]
    raise RefusedError(
        f"the {what} is refused by the rule '{first.rule}' of the policy '{policy.name}' ({policy.version}): "
        f"{first.seen}; change what is asked for, or the rule",
        Decision(what, "refuse", "", first.rule, first.score),
    )


def refuse_file(policy: Policy, what: str, rule: str, why: str, digest: str = "") -> None:
    """Record that a given file is refused, by its SHA-256, and raise `RefusedError`; `why` says what to change."""
    facts = {"rule": rule, "score": 1.0, "sha256": digest, "policy": policy.hash, "version": policy.version}
    record({"event": "refused", "text": what, "action": "refuse", **facts})
    raise RefusedError(
        f"{what} is refused by the rule '{rule}' of the policy '{policy.name}' ({policy.version}): {why}",
        Decision(what, "refuse", "", rule, 1.0),
    )
