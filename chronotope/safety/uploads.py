"""Pictures, clips and masks that a user gives -> what the policy decides of them, before a network sees them.

Their frames go through the check of outputs, the texts that they carry through the rules of prompts. Files whose C2PA
manifest forbids their use are refused or noted. Where the policy needs consent, what may be a camera's is refused
without a statement of its user: everything that no trusted manifest says was generated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chronotope.errors import ChronotopeError
from chronotope.geometry import Picture
from chronotope.media import video
from chronotope.media.files import reason
from chronotope.request import InputFile, Inputs
from chronotope.safety.audit import record
from chronotope.safety.credentials import Credentials, read_credentials
from chronotope.safety.deliver import SIGNED
from chronotope.safety.guarded import LAYER_SECONDS, within
from chronotope.safety.keys import trusted_certificates
from chronotope.safety.output.check import OutputCheck
from chronotope.safety.policy.decide import Policy, RefusedError
from chronotope.safety.refusals import refuse_file, refuse_frames
from chronotope.storage import file_sha256

__all__ = ["check_files", "check_uploads"]

GENERATED = "trainedAlgorithmicMedia"  # and no composite, which may show people that a camera saw
USE = "ai_inference"


def check_uploads(
    policy: Policy, inputs: Inputs, files: Sequence[InputFile], consent: str, fps: float
) -> dict[str, Any]:
    """Judge the inputs of a request; return what the sidecar says of it, empty without inputs. Raises `RefusedError`.

    Inputs that are frames in memory have no files, and are taken for a camera's. A check that fails refuses.
    """
    count = len(inputs.images) + sum(part is not None for part in (inputs.video, inputs.into, inputs.mask))
    if policy.off or not count:
        return {}
    judged = check_files(policy, files, consent)
    if len(files) < count:
        _need_consent(policy, consent, "the picture or clip", "")
    found: dict[str, Any] = {"files": judged, "frames": _judge_frames(policy, inputs, files, fps)}
    if consent.strip():
        found["consent"] = consent.strip()
        statement = hashlib.sha256(consent.strip().encode()).hexdigest()
        about = {"policy": policy.hash, "version": policy.version, "files": [one["sha256"] for one in judged]}
        record({"event": "consent", "statement": statement, **about})
    return found


def check_files(policy: Policy, files: Sequence[InputFile], consent: str | None) -> list[dict[str, Any]]:
    """Judge what files carry beside their frames; return a row for each.

    Without a statement (None) no consent is needed yet: the files are only stored. Raises `RefusedError`.
    """
    return [_judge_file(policy, one.path, consent) for one in files] if not policy.off else []


def _judge_file(policy: Policy, path: Path, consent: str | None) -> dict[str, Any]:
    digest = _guarded(policy, path.name, lambda: file_sha256(path))
    found = _guarded(policy, path.name, lambda: _credentials(path))
    rules, action, note = policy.uploads, "allow", ""
    if found.forbids:
        use = USE in found.forbids
        action = rules.forbidden_use if use else rules.forbidden_training
        note = f"its C2PA manifest does not allow {', '.join(found.forbids)}"
    if action == "refuse":
        refuse_file(policy, path.name, "uploads.forbidden_use" if use else "uploads.forbidden_training", note, digest)
    texts = _guarded(policy, path.name, lambda: dict(_texts(path, found)))
    decided = policy.check(texts)["decisions"]
    generated = found.state == "trusted" and found.source == GENERATED
    if not generated and consent is not None:
        _need_consent(policy, consent, path.name, digest)
    facts = {"manifest": found.state, "source": found.source, "generated": generated}
    return {"sha256": digest, **facts, "action": action, "note": note if action == "note" else "", "texts": decided}


def _credentials(path: Path) -> Credentials:
    """Read the manifest of a file, or that in its sidecar."""
    beside = video.read_origin(path) or {}
    signed = beside.get(SIGNED)
    detached = signed.get("manifest") if isinstance(signed, dict) else ""
    return read_credentials(path, detached if isinstance(detached, str) else "", trusted_certificates())


def _texts(path: Path, found: Credentials) -> Iterator[tuple[str, str]]:
    """Yield the captions that a file carries: the prompts that made it, and the titles in its manifest."""
    origins = [origin for origin in (video.read_origin(path), found.origin) if origin]
    told = [origin.get(name) for origin in origins for name in ("prompt", "typed_prompt")]
    texts = [*(_text(one) for one in told), *found.texts]
    for number, text in enumerate(dict.fromkeys(filter(None, texts)), start=1):
        yield f"text {number} in {path.name}", text


def _text(prompt: Any) -> str:
    """Return a prompt as one text: it may be a story of (seconds, text)."""
    if isinstance(prompt, list):
        return "\n".join(str(beat[-1]) for beat in prompt if isinstance(beat, list) and beat)
    return prompt if isinstance(prompt, str) else ""


def _need_consent(policy: Policy, consent: str, what: str, digest: str) -> None:
    if policy.uploads.consent == "needed" and not consent.strip():
        why = (
            "it may show people; state that they agreed, or that there are none, with --consent TEXT "
            "(the field consent of a request)"
        )
        refuse_file(policy, what, "uploads.consent", why, digest)


# Frames


def _judge_frames(policy: Policy, inputs: Inputs, files: Sequence[InputFile], fps: float) -> list[dict[str, Any]]:
    """Judge every picture, clip and file of a mask by the rules of outputs."""
    if not policy.output:
        return []
    parts: list[tuple[str, Iterable[Picture], float]] = [
        (f"picture {number}", [picture], 1.0) for number, (_, picture) in enumerate(inputs.images, start=1)
    ]
    parts += [
        (name, clip, fps) for name, clip in (("clip", inputs.video), ("second clip", inputs.into)) if clip is not None
    ]
    masks = [one.path for one in files if one.kind == "mask"]
    parts += [(f"mask {path.name}", video.stream(path), fps) for path in masks]
    return [{"input": what, **_judge(policy, what, frames, rate)} for what, frames, rate in parts]


def _judge(policy: Policy, what: str, frames: Iterable[Picture], fps: float) -> dict[str, Any]:
    check = _guarded(policy, what, lambda: OutputCheck(policy.output, fps))
    for frame in frames:
        if found := _guarded(policy, what, lambda frame=frame: check.add(frame)):  # type: ignore[misc]
            refuse_frames(policy, f"given {what}", found)
    if found := _guarded(policy, what, check.finish):
        refuse_frames(policy, f"given {what}", found)
    return check.described()


def _guarded(policy: Policy, what: str, work: Any) -> Any:
    """Do the work of a check; whatever goes wrong, and taking too long, is a refusal."""
    try:
        return within(LAYER_SECONDS, work)
    except RefusedError:
        raise
    except Exception as problem:
        why = (
            reason(problem)
            if isinstance(problem, ChronotopeError | OSError)
            else f"{type(problem).__name__}: {problem}"
        )
        refuse_file(policy, what, "uploads: a check that fails refuses", f"it cannot be checked ({why[:300]})")
        raise AssertionError from problem  # the line above raises
