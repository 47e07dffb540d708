"""A file -> what its manifest, its mark, its sidecar and its tags say of where it came from, and how sure that is.

Nothing is called authentic unless every byte is proved to be as a trusted installation delivered it. What is absent
proves nothing: manifests are stripped by most sites, and marks can be removed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.media import video
from chronotope.media.picture import sidecar
from chronotope.safety.credentials import Credentials, read_credentials
from chronotope.safety.deliver import SIGNED, signed_content
from chronotope.safety.keys import is_signature, trusted_certificates, watermark_keys
from chronotope.safety.watermark import FALSE_POSITIVE_RATE, MOST_FRAMES, RELIABLE_SIDE, Detection, Detector
from chronotope.storage import file_sha256

__all__ = ["Verification", "sidecar_state", "verify"]

MOST_SIDECAR = 2**24  # bytes
MOST_DECODED = 1000  # frames at the beginning of a file in which the mark is looked for

Verdict = Literal["authentic", "signed", "signed by a stranger", "expired", "altered", "marked", "claimed", "unknown"]
SidecarState = Literal["none", "unsigned", "of a stranger", "wrong", "of another file", "signed"]


@dataclass(frozen=True)
class Verification:
    """What is believed of a file, how sure it is, and the findings that it rests on."""

    path: str
    verdict: Verdict
    sure: str
    reasons: tuple[str, ...]
    credentials: Credentials
    sidecar: SidecarState
    mark: Detection | None
    origin: Mapping[str, Any] | None  # of the best protected source

    def described(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def verify(path: Path, trust: Sequence[Path] = (), search: bool = True) -> Verification:
    """Judge a file; `trust` names certificates in PEM that are trusted beside those of this installation.

    Without `search` the mark is looked for only where frames were not cropped. Raises `FileProblem` for no file.
    """
    if not path.is_file():
        raise FileProblem(f"{path} is no file; give a video or a picture")
    anchors = trusted_certificates(*trust)
    document, text = _read_sidecar(path)
    signed = document.get(SIGNED)
    manifest = signed.get("manifest") if isinstance(signed, dict) else ""
    credentials = read_credentials(path, manifest if isinstance(manifest, str) else "", anchors)
    state = _judge_sidecar(path, document, text, anchors)
    mark, unread = _find_mark(path, search)
    tags = _read_tags(path)
    verdict, sure, reasons = _conclude(credentials, state, mark, bool(tags or document))
    origin = document if state == "signed" else credentials.origin or tags or document or None
    return Verification(str(path), verdict, sure, (*reasons, *unread), credentials, state, mark, origin)


def sidecar_state(path: Path) -> SidecarState:
    """Return whether the sidecar of a file is signed by a certificate of this installation, for exactly these bytes."""
    document, text = _read_sidecar(path)
    return _judge_sidecar(path, document, text, trusted_certificates())


def _read_sidecar(path: Path) -> tuple[dict[str, Any], str]:
    """Return the document beside a file and its text; an empty one where there is none."""
    file = sidecar(path)
    try:
        if not file.is_file() or file.stat().st_size > MOST_SIDECAR:
            return {}, ""
        text = file.read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}, ""
    return (found, text) if isinstance(found, dict) else ({}, "")


def _judge_sidecar(path: Path, document: Mapping[str, Any], text: str, anchors: Mapping[str, bytes]) -> SidecarState:
    """Return whether a sidecar is signed by a trusted certificate, and is of exactly these bytes."""
    if not document:
        return "none"
    signed = document.get(SIGNED)
    if not isinstance(signed, dict):
        return "unsigned"
    certificate = anchors.get(str(signed.get("certificate")))
    if certificate is None:
        return "of a stranger"
    try:
        signature = base64.b64decode(str(signed.get("signature")), validate=True)
    except ValueError:
        return "wrong"
    as_written = json.dumps(document) + "\n" == text  # not another document that is read as the same one
    if not as_written or not is_signature(certificate, signature, signed_content(document)):
        return "wrong"
    return "signed" if signed.get("sha256") == file_sha256(path) else "of another file"


def _find_mark(path: Path, search: bool) -> tuple[Detection | None, list[str]]:
    """Look for the mark with every key; also return sentences on what limits the answer."""
    notes = []
    try:
        info = video.probe(path)
        seen = min(info.num_frames, MOST_DECODED)
        chosen = set(np.linspace(0, seen - 1, min(MOST_FRAMES, seen)).astype(int).tolist())
        detector, frames = Detector(), video.stream(path)
        try:
            for number, frame in zip(range(seen), frames, strict=False):
                if number in chosen:
                    detector.add(frame)
        finally:
            frames.close()
        found = [detector.find(key, search) for key in watermark_keys()]
    except ChronotopeError as problem:
        return None, [f"no mark can be looked for: {problem}"]
    best = min(found, key=lambda one: one.chance)
    chance = min(1.0, len(found) * best.chance)  # that any of the keys is found where no mark is
    best = replace(best, chance=chance, found=chance < FALSE_POSITIVE_RATE)
    if not best.found and min(info.width, info.height) < RELIABLE_SIDE:
        notes.append(f"below {RELIABLE_SIDE} pixels a side the absence of the mark says little")
    return best, notes


def _read_tags(path: Path) -> dict[str, Any] | None:
    try:
        tags = video.read_tags(path)
    except ChronotopeError:
        return None
    return tags if tags and str(tags.get("program", "")).startswith("chronotope") else None


def _conclude(
    credentials: Credentials, state: SidecarState, mark: Detection | None, told: bool
) -> tuple[Verdict, str, list[str]]:
    """Return the verdict, how sure it is, and every reason; the strongest evidence comes first."""
    reasons = [_of_credentials(credentials), _of_sidecar(state), _of_mark(mark)]
    ours = credentials.generator.startswith("chronotope")
    if credentials.state == "invalid" or state in ("wrong", "of another file"):
        verdict: tuple[Verdict, str] = "altered", "certain: a signature does not fit; what was changed is not known"
    elif credentials.state == "trusted" and ours and state == "signed":
        verdict = "authentic", "certain, if the key of the installation was kept: two signatures cover every byte"
    elif state == "signed":
        verdict = (
            "signed",
            "certain of every byte by the sidecar; no trusted manifest is in the file",
        )
    elif credentials.state == "trusted" and ours:
        verdict = "signed", "certain of the pixels; C2PA leaves bytes of padding and headers open to changes"
    elif credentials.state == "expired":
        verdict = (
            "expired",
            "the content is as it was signed; by whom cannot be checked, since the certificate has expired",
        )
    elif credentials.state in ("rejected", "valid", "trusted"):
        verdict = "signed by a stranger", "nothing: anyone can sign; trust a certificate of its maker with --trust"
    elif mark is not None and mark.found:
        verdict = "marked", f"of files without the mark {_chance(mark.chance)} look so; but marks can be copied"
    elif told:
        verdict = "claimed", "nothing: anyone can write such words"
    else:
        verdict = "unknown", "nothing is known; that is no sign of a camera"
    return (*verdict, reasons)


def _of_credentials(found: Credentials) -> str:
    if found.state == "none":
        return "there is no C2PA manifest"
    if found.state == "invalid":
        return f"the C2PA manifest does not fit the file ({', '.join(found.problems) or 'for no stated reason'})"
    if found.state == "rejected":
        return f"the C2PA manifest fits the file, but its certificate is not accepted ({', '.join(found.problems)})"
    by = f"by '{found.signer}' for {found.generator or 'an unnamed program'}"
    if found.state == "expired":
        return f"the C2PA manifest fits the file, signed {by}, with a certificate that has expired"
    known = "a trusted certificate" if found.state == "trusted" else "a certificate that nothing is known of"
    return f"the C2PA manifest is valid, signed {by}, with {known}"


def _of_sidecar(state: SidecarState) -> str:
    return {
        "none": "there is no sidecar",
        "unsigned": "the sidecar is not signed",
        "of a stranger": "the sidecar is signed with a certificate that nothing is known of",
        "wrong": "the sidecar was changed since it was signed",
        "of another file": "the sidecar was signed for other bytes than those of the file",
        "signed": "the sidecar is signed with a trusted certificate, for exactly these bytes",
    }[state]


def _of_mark(mark: Detection | None) -> str:
    if mark is None:
        return "the mark was not looked for"
    if not mark.found:
        return f"no mark was found (chance {mark.chance:.2g}, {FALSE_POSITIVE_RATE:g} is needed)"
    changes = [f"cropped to {mark.width:.0%} of its width and {mark.height:.0%} of its height"]
    if mark.width == mark.height == 1:
        changes = ["not cropped"]
    if mark.mirrored:
        changes.append("mirrored")
    return f"the mark is there (chance {_chance(mark.chance)}): {', '.join(changes)}"


def _chance(value: float) -> str:
    return f"{value:.1g}" if value > 1e-100 else "below 1e-100"
