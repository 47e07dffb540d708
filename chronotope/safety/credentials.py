"""Content Credentials (C2PA 2.4): a signed manifest in a file that says what made it, and binds it to the content.

Formats without a place for a manifest (Matroska, WebM) have it in their sidecar. A manifest does not bind every byte
of a file: boxes of padding may be changed. `deliver.py` signs the hash of the whole file as well.
"""

from __future__ import annotations

import base64
import io
import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from chronotope.errors import ChronotopeError
from chronotope.media.files import reason
from chronotope.safety.keys import Signer

__all__ = ["CredentialProblem", "Credentials", "read_credentials", "sign_file"]

FORMATS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
ANY_FORMAT = "application/octet-stream"  # the hash of the whole file is bound
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"  # names, which no program connects to
ORIGIN = "org.chronotope.origin"  # the assertion that holds our settings

MINING = ("c2pa.training-mining", "cawg.training-mining")
CAPTIONS = ("name", "headline", "description", "caption", "dc:title", "dc:description")

# Codes of C2PA 2.4, chapter 15
SIGNATURE_FITS = "claimSignature.validated"
UNTRUSTED = "signingCredential.untrusted"
EXPIRED = {"signingCredential.expired", "claimSignature.outsideValidity"}
OF_CERTIFICATES = ("signingCredential.", "claimSignature.outsideValidity", "timeStamp.")

State = Literal["none", "invalid", "rejected", "expired", "valid", "trusted"]


class CredentialProblem(ChronotopeError):
    """A manifest cannot be made for a file, or is not valid on the bytes that would be delivered."""


@dataclass(frozen=True)
class Credentials:
    """The manifest of a file: whether it is valid there, who signed it, and what it says.

    `invalid`: content, signature or manifest do not fit each other. In all further states they fit. `rejected`: the
    certificate breaks a rule of C2PA, or was revoked. `expired`: it is not valid now, and no time stamp says when it
    was used; C2PA then does not tell whether it was trusted. `valid`: nothing is known of the signer. `trusted`: the
    signer is trusted. `problems` are the codes of C2PA. `origin` are our settings, empty in the manifests of other
    programs. `forbids` names the uses that any manifest in the file does not allow, or only on terms, such as
    "ai_inference". `texts` are captions in the manifest. `source` is the IPTC type of the content, such as
    "digitalCapture".
    """

    state: State
    problems: tuple[str, ...] = ()
    generator: str = ""
    signer: str = ""
    origin: Mapping[str, Any] | None = None
    forbids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    source: str = ""


def sign_file(path: Path, settings: Mapping[str, Any], composite: bool, signer: Signer) -> str:
    """Put a manifest into a file; return it in Base64 where the format has no place for it, else "".

    `composite` says that parts of the content were given. Raises `CredentialProblem`, also where the manifest is not
    valid in the file as it then lies on the disk.
    """
    import c2pa

    kind = FORMATS.get(path.suffix.lower(), ANY_FORMAT)
    embeds = kind != ANY_FORMAT
    signed = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(b"ed25519", signer.chain, signer.key, None)
        # opened once, so that a call that was given up cannot make the file again after it was deleted
        with path.open("r+b" if embeds else "rb") as file:
            definition = _definition(kind, settings, composite)
            with c2pa.Signer.from_info(info) as by, c2pa.Builder(definition, _context()) as builder:
                if not embeds:
                    builder.set_no_embed()
                manifest = builder.sign(by, kind, file, signed)
            if embeds:
                _overwrite(file, signed.getvalue())
    except (c2pa.C2paError, OSError, ValueError) as problem:
        raise CredentialProblem(f"no C2PA manifest can be made for {path.name}: {reason(problem)}") from problem
    detached = "" if embeds else base64.b64encode(manifest).decode()
    found = read_credentials(path, detached)
    if found.state not in ("valid", "trusted"):
        raise CredentialProblem(
            f"the C2PA manifest of {path.name} is not valid: {', '.join(found.problems) or 'it is missing'}"
        )
    return detached


def _overwrite(file: BinaryIO, content: bytes) -> None:
    file.seek(0)
    file.truncate()
    file.write(content)


def read_credentials(path: Path, detached: str = "", anchors: Mapping[str, bytes] | None = None) -> Credentials:
    """Read and check the manifest of a file, or a `detached` one in Base64; `anchors` are trusted certificates."""
    import c2pa

    kind = FORMATS.get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            if detached:
                reader = c2pa.Reader(ANY_FORMAT, file, base64.b64decode(detached, validate=True), _context(anchors))
            else:
                reader = c2pa.Reader(kind, file, context=_context(anchors))
            with reader:
                found = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return Credentials("none")
    except c2pa.C2paError as problem:
        return Credentials("invalid", (str(problem)[:200],)) if detached or _has_boxes(path) else Credentials("none")
    except (OSError, ValueError, RecursionError) as problem:
        return Credentials("invalid", (str(problem)[:200],))
    return _described(found)


def _has_boxes(path: Path) -> bool:
    """Return whether a file that cannot be parsed has boxes of manifests in it."""
    if not path.stat().st_size:  # an empty file cannot be mapped
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"jumb") >= 0


def _described(found: Mapping[str, Any]) -> Credentials:
    """Return what the report of the C2PA library says."""
    state = _state_of(found)
    active = found.get("manifests", {}).get(found.get("active_manifest"), {})
    problems = [str(status.get("code")) for status in found.get("validation_status", [])]
    generators = active.get("claim_generator_info") or [{}]
    signature = active.get("signature_info") or {}
    assertions = {one.get("label"): one.get("data") for one in active.get("assertions", [])}
    origin = assertions.get(ORIGIN)
    return Credentials(
        state,
        tuple(code for code in problems if code != UNTRUSTED),
        " ".join(str(generators[0].get(name, "")) for name in ("name", "version")).strip(),
        str(signature.get("common_name") or signature.get("issuer") or ""),
        origin if isinstance(origin, dict) else None,
        _forbidden(found.get("manifests", {})),
        _captions(assertions),
        _source(assertions),
    )


def _forbidden(manifests: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the uses that a manifest of a file forbids, its earlier versions and ingredients included."""
    found = set()
    for manifest in manifests.values():
        for assertion in manifest.get("assertions", []):
            entries = (assertion.get("data") or {}).get("entries") if assertion.get("label") in MINING else None
            for name, entry in entries.items() if isinstance(entries, dict) else ():
                if not isinstance(entry, dict) or entry.get("use") != "allowed":
                    found.add(str(name).rpartition(".")[2])
    return tuple(sorted(found))


def _captions(assertions: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the titles and descriptions in assertions of schema.org and of XMP metadata."""
    tables = [data for data in assertions.values() if isinstance(data, dict)]
    return tuple(table[key] for table in tables for key in CAPTIONS if isinstance(table.get(key), str))


def _source(assertions: Mapping[str, Any]) -> str:
    """Return the type of the content, by the last action that states one."""
    found = ""
    for label in ("c2pa.actions", "c2pa.actions.v2"):
        actions = (assertions.get(label) or {}).get("actions")
        for action in actions if isinstance(actions, list) else ():
            found = str(action.get("digitalSourceType") or found)
    return found.rpartition("/")[2]


def _state_of(found: Mapping[str, Any]) -> State:
    """Return what a report says of the content, and of the certificate where the content is as it was signed."""
    states: dict[str, State] = {"Valid": "valid", "Trusted": "trusted"}
    if found.get("validation_state") in states:
        return states[found["validation_state"]]
    problems = {str(status.get("code")) for status in found.get("validation_status", [])} - {UNTRUSTED}
    active = (found.get("validation_results") or {}).get("activeManifest") or {}
    passed = {status.get("code") for status in active.get("success", [])}
    if SIGNATURE_FITS not in passed or not problems:
        return "invalid"
    if problems <= EXPIRED:
        return "expired"
    return "rejected" if all(code.startswith(OF_CERTIFICATES) for code in problems) else "invalid"


def _definition(kind: str, settings: Mapping[str, Any], composite: bool) -> str:
    """Return the definition of a manifest."""
    name, _, version = str(settings.get("program", "chronotope")).partition(" ")
    source = "compositeWithTrainedAlgorithmicMedia" if composite else "trainedAlgorithmicMedia"
    agent = {"name": name, "version": version or "unknown"}
    action = {"action": "c2pa.created", "digitalSourceType": SOURCES + source, "softwareAgent": agent}
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
        {"label": ORIGIN, "data": dict(settings)},
    ]
    return json.dumps({"claim_generator_info": [agent], "format": kind, "assertions": assertions})


def _context(anchors: Mapping[str, bytes] | None = None) -> Any:
    """Return the settings of the C2PA library: no thumbnails, no network, no trust but that in `anchors`."""
    import c2pa

    settings: dict[str, Any] = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"verify_trust": bool(anchors), "remote_manifest_fetch": False, "ocsp_fetch": False},
    }
    if anchors:
        settings["trust"] = {"user_anchors": b"".join(anchors.values()).decode()}
    return c2pa.Context(c2pa.Settings.from_dict(settings))
