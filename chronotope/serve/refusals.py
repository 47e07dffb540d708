"""What the policy refuses of an order before it waits, as errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chronotope.request import InputFile
from chronotope.safety.policy.decide import Policy, RefusedError
from chronotope.safety.uploads import check_files
from chronotope.serve.order import FieldError, Order

__all__ = ["check_texts", "check_upload", "fields_of_files"]


def check_texts(rules: Policy, texts: Mapping[str, str]) -> None:
    """Raise FieldError for a text, by its field, that the policy refuses."""
    for field, text in texts.items():
        try:
            rules.check({field: text})
        except RefusedError as refusal:
            raise FieldError(field, str(refusal), "content_policy_violation") from None


def check_upload(rules: Policy, path: Path, field: str, consent: str | None) -> None:
    """Raise FieldError for a given file that the policy refuses; `consent` is None where it is only stored."""
    try:
        check_files(rules, [InputFile("clip", path)], consent)
    except RefusedError as refusal:
        field = "consent" if refusal.decision.rule == "uploads.consent" else field
        raise FieldError(field, str(refusal).replace(path.name, "the file"), "content_policy_violation") from None


def fields_of_files(order: Order) -> dict[str | None, str]:
    """Return the field of each file of an order."""
    return {
        **dict.fromkeys(order.images, "image"),
        order.video: "video",
        order.into: "into",
        order.mask: "mask",
    }
