"""Check a run of a sealed kit without Chronotope: python check.py KIT RUN [HASH...]

It needs Python and `pip install cryptography`, and does what README.md beside it describes under "For auditors". HASH
is a hash that was published, of the kit or of the run. It prints every prompt with its output, or stops at the first
thing that does not fit.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["DoesNotFitError", "check", "main"]

INFO = "chronotope sealed kit 1, item "


class DoesNotFitError(Exception):
    """The run is not the one that was committed to."""


def check(kit: Path, run: Path, published: Sequence[str]) -> list[dict[str, Any]]:
    """Return the prompts of a run, each with its `output`; raise DoesNotFitError, or KeyError for a missing field."""
    sealed = _read(kit / "kit.json")
    kit_hash = _signed(sealed, sealed["public_key"], "kit.json")
    commitment = _read(run / "commitment.json")
    _signed(commitment, sealed["public_key"], "commitment.json")
    _require(commitment["kit"] == kit_hash, "commitment.json is of another kit")
    for one in published:
        _require(one in (kit_hash, commitment["ledger"]), f"neither the kit nor the run has the hash {one}")
    ends = _ledger(run / "ledger.jsonl", sealed["items"], kit_hash, commitment["ledger"])
    secret = bytes.fromhex(_read(run / "reveal.json")["secret"])
    _require(list(commitment["outputs"]) == list(ends), "commitment.json commits to other items")
    committed = commitment["outputs"]
    rows = [_prompt(one, secret) for one in sealed["items"]]
    lines = (run / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    _require([json.loads(line) for line in lines] == rows, "prompts.jsonl holds other prompts than the kit")
    found = [row | _output(run, name, committed[name], ends[name]) for row, name in zip(rows, ends, strict=True)]
    added = {path.name for path in (run / "outputs").glob("[!.]*")} - {row["output"] for row in found}
    _require(not added, f"no item has the outputs {sorted(added)}")
    return found


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DoesNotFitError(otherwise)


def _signed(document: dict[str, Any], key: str, name: str) -> str:
    """Check the signature of a document; return its hash."""
    unsigned = {field: value for field, value in document.items() if field != "signature"}
    content = json.dumps(unsigned, sort_keys=True, separators=(",", ":")).encode()
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(document["signature"]), content)
    except InvalidSignature:
        raise DoesNotFitError(f"{name} has a wrong signature") from None
    return hashlib.sha256(content).hexdigest()


def _ledger(path: Path, items: Sequence[dict[str, Any]], kit_hash: str, head: str) -> dict[str, dict[str, Any]]:
    """Check the chain of the ledger; return the line in which each item ended."""
    last, rows = "0" * 64, list[dict[str, Any]]()
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        claimed = row.pop("hash")
        last = hashlib.sha256((last + json.dumps(row, sort_keys=True)).encode()).hexdigest()
        _require(last == claimed, f"line {len(rows) + 1} of the ledger was changed")
        rows.append(row)
    _require(bool(rows) and last == head and rows[0]["kit"] == kit_hash, "the ledger was cut, or is of another kit")
    planned = [(row["case"], row["prompt"]) for row in rows if row["kind"] == "planned"]
    _require(planned == [(one["id"], f"sealed {one['commitment']}") for one in items], "the ledger plans other prompts")
    place = {one["id"]: number for number, one in enumerate(items)}
    told = [place[row["case"]] for row in rows if row["kind"] not in ("began", "planned")]
    _require(told == sorted(told), "a prompt was revealed before the last output was committed")
    ends = [row for row in rows if row["kind"] in ("done", "failed")]
    _require([row["case"] for row in ends] == [one["id"] for one in items], "an item did not end once")
    return {row["case"]: row for row in ends}


def _prompt(item: dict[str, Any], secret: bytes) -> dict[str, Any]:
    """Open the prompt of an item and compare it with its commitment."""
    name = item["id"]
    key = HKDF(SHA256(), 32, salt=None, info=f"{INFO}{name}".encode()).derive(secret)
    try:
        plain = AESGCM(key).decrypt(bytes.fromhex(item["nonce"]), bytes.fromhex(item["sealed"]), name.encode())
    except InvalidTag:
        raise DoesNotFitError(f"the secret does not open item {name}") from None
    _require(hashlib.sha256(plain).hexdigest() == item["commitment"], f"item {name} holds another prompt")
    row: dict[str, Any] = json.loads(plain)["row"]
    return row


def _output(run: Path, name: str, committed: str | None, end: dict[str, Any]) -> dict[str, Any]:
    """Compare the output of an item with the hash that was committed; return its file, or why there is none."""
    _require(end.get("sha256") == committed, f"the ledger names another output of item {name}")
    files = sorted(path.name for path in (run / "outputs").glob(f"{name}.*"))
    _require(files == ([end["file"]] if committed else []), f"item {name} has the outputs {files}")
    if committed:
        content = (run / "outputs" / end["file"]).read_bytes()
        _require(hashlib.sha256(content).hexdigest() == committed, f"the output of item {name} was changed")
    return {"output": end.get("file"), "reason": end.get("reason")}


def main() -> None:
    """Check what the command line names, and print it."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        rows = check(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except (DoesNotFitError, LookupError, TypeError, AttributeError, ValueError, OSError) as problem:
        sys.exit(f"does not fit: {problem}")
    for row in rows:
        sys.stdout.write(f"{row['output'] or 'failed, ' + str(row['reason'])}  {row['prompt']}\n")
    if len(sys.argv) == 3:
        sys.stdout.write("no published hash was given: a kit and a run that were made anew would fit, too\n")


if __name__ == "__main__":
    main()
