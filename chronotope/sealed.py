"""JSON documents with a seal, a hash of their content, by which a value that was damaged or edited is noticed.

Documents without a seal are read as they are: earlier versions of this program, and strangers, write none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronotope.errors import FileProblem
from chronotope.storage import json_text, read_json, write_atomically

__all__ = ["check_seal", "digest", "has_seal", "read_sealed", "seal", "unsealed", "write_sealed"]

# Hex digits of the SHA-256 in a seal, by the name of its field. Descriptions of models have the whole hash.
SEALS = {"seal": 16, "checksum": 64}


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain JSON values, in hex; seals and the order of the keys make no difference."""
    rest = {name: value for name, value in content.items() if name not in SEALS}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def seal(content: Mapping[str, Any], name: str = "seal") -> dict[str, Any]:
    """Return a document with its seal in the field `name`."""
    plain = json.loads(json.dumps(content))  # as it is read again: tuples are lists, keys are texts
    rest = {key: value for key, value in plain.items() if key not in SEALS}
    return rest | {name: digest(rest)[: SEALS[name]]}


def has_seal(content: Mapping[str, Any]) -> bool:
    """Return whether a document has a seal, right or wrong."""
    return any(name in content for name in SEALS)


def unsealed(*paths: Path) -> list[str]:
    """Say in a sentence for each of these documents that has no seal, as strangers and earlier versions write them."""
    return [
        f"{path} has no seal, so nothing tells whether it was changed since it was written"
        for path in paths
        if not has_seal(read_json(path))
    ]


def check_seal(content: Any, path: Path, mend: str) -> dict[str, Any]:
    """Return the content of the document `path`; raise FileProblem, which ends in `mend`, for a wrong seal.

    It is raised for what is no JSON object too.
    """
    if not isinstance(content, dict):
        raise FileProblem(f"{path} is not a JSON object; {mend}")
    if has_seal(content):
        found = digest(content)
        for name, digits in SEALS.items():
            if content.get(name, found[:digits]) != found[:digits]:
                raise FileProblem(
                    f"{path} is damaged or was edited: its content does not fit its {name}; {mend}, or, if you edited "
                    f'it, delete its line "{name}"'
                )
    return content


def read_sealed(path: Path, mend: str) -> dict[str, Any]:
    """Read a document and compare it with its seal, if it has one; see `check_seal`."""
    return check_seal(read_json(path), path, mend)


def write_sealed(path: Path, content: Mapping[str, Any], name: str = "seal") -> None:
    """Write a document with its seal, atomically."""
    write_atomically(path, json_text(seal(content, name)))
