"""Prompts -> a sealed kit, which can be published at once, and its key, which stays with the holder.

Each prompt is encrypted with a key of its own (AES-256-GCM, keys by HKDF-SHA256), and the SHA-256 of its plain text,
which holds a random salt, is published: it hides the prompt and binds the holder to it. README.md beside this module
describes every format; a kit holds a copy, and standalone.py as check.py.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.evaluate.documents import check_document, parse_json, read_document, read_rows
from chronotope.evaluate.suite import read_cases
from chronotope.storage import json_text, write_atomically, write_folder, write_json

__all__ = [
    "CHECK",
    "README",
    "Item",
    "Key",
    "Kit",
    "canonical",
    "hash_of",
    "is_signed",
    "open_item",
    "read_key",
    "read_kit",
    "seal_file",
    "seal_rows",
    "sign",
]

FORMAT = "chronotope sealed kit 1"
KEY_FORMAT = "chronotope key of a sealed kit 1"
LINE = ("prompt", "width", "height", "num_frames", "fps", "seed", "file", "inputs")  # fields of a line without a spec
PAD = 1024  # bytes: plain texts are padded to multiples of it, so that their lengths say little
README, CHECK = Path(__file__).with_name("README.md"), Path(__file__).with_name("standalone.py")


@dataclass(frozen=True)
class Item:
    """An encrypted prompt: the hash of its plain text, and nonce and ciphertext of AES-GCM."""

    id: str
    commitment: str
    nonce: bytes
    sealed: bytes


@dataclass(frozen=True)
class Kit:
    """What is published of a set of prompts; `fingerprint` is the SHA-256 of all of it but the signature."""

    name: str
    public_key: bytes
    items: tuple[Item, ...]
    fingerprint: str


@dataclass(frozen=True)
class Key:
    """What the holder of a kit keeps: `secret` opens the prompts, and is published at the end; `signer` signs."""

    secret: bytes
    signer: bytes


def canonical(value: Any) -> bytes:
    """Return the bytes of JSON that are hashed and signed: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def hash_of(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document without its signature, in hex."""
    return hashlib.sha256(canonical(_unsigned(document))).hexdigest()


def _unsigned(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "signature"}


def sign(document: Mapping[str, Any], signer: bytes) -> dict[str, Any]:
    """Return a document with the Ed25519 signature of its canonical form."""
    signature = Ed25519PrivateKey.from_private_bytes(signer).sign(canonical(_unsigned(document)))
    return {**document, "signature": signature.hex()}


def is_signed(document: Mapping[str, Any], public_key: bytes) -> bool:
    """Return whether the signature of a document is that of a key."""
    try:
        signature = bytes.fromhex(document["signature"])
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, canonical(_unsigned(document)))
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


# Sealing


def seal_file(prompts: Path, out: Path, key: Path) -> Kit:
    """Seal a file of JSON lines, each with a `prompt`: write the kit into the new folder `out`, its key to `key`.

    The lines of a plan, by `chronotope evaluate --plan`, can be judged by checks later. Raises FileProblem for a file
    of anything else, and UsageError where `out` or `key` exists or the key would lie inside the kit.
    """
    for path in (out, key):
        if os.path.lexists(path):
            raise UsageError(f"{path} exists; a kit is never changed, so give another name")
    if key.resolve().is_relative_to(out.resolve()):
        raise UsageError(f"the key {key} would lie in the kit, which is published; give another --key")
    document, secret = seal_rows(read_prompts(prompts), prompts.stem)
    stored = {
        "format": KEY_FORMAT,
        "kit": hash_of(document),
        "secret": secret.secret.hex(),
        "signer": secret.signer.hex(),
    }
    key.parent.mkdir(parents=True, exist_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json_text(stored))
        file.flush()
        os.fsync(file.fileno())

    def fill(folder: Path) -> None:
        write_json(folder / "kit.json", document)
        write_atomically(folder / "README.md", README.read_bytes())
        write_atomically(folder / "check.py", CHECK.read_bytes())

    write_folder(out, fill)
    return read_kit(out)


def read_prompts(path: Path) -> list[dict[str, Any]]:
    """Read the lines that are to be sealed; raise FileProblem where one is no prompt, or gives more than words."""
    rows = []
    for where, row in read_rows(path, "prompt"):
        check_document(row, "sealed_row", f"{where} cannot be sealed:")
        if "spec" not in row and (unknown := sorted(row.keys() - LINE)):
            raise FileProblem(f"{where} has the unknown field '{unknown[0]}'. {suggest(unknown[0], LINE)}")
        if ("width" in row) != ("height" in row):
            raise FileProblem(f"{where} has one side of a size; give width and height, or neither")
        if "inputs" in row:
            raise FileProblem(f"{where} has inputs beside its words; seal the prompts of a task of words alone")
        rows.append(row)
    if not rows:
        raise FileProblem(f'{path} holds no prompts; write one JSON object a line, such as {{"prompt": "a red ball"}}')
    judged = sum("spec" in row for row in rows)
    if judged not in (0, len(rows)):
        raise FileProblem(f"{path} has specs in {judged} of {len(rows)} lines; give all of them one, or none")
    if judged:
        read_cases(path)  # raises for a spec that could not be judged later
    return rows


def seal_rows(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[dict[str, Any], Key]:
    """Return the signed document of a kit, and its new random key."""
    key = Key(secrets.token_bytes(32), secrets.token_bytes(32))
    public_key = Ed25519PrivateKey.from_private_bytes(key.signer).public_key().public_bytes_raw()
    items = []
    for number, row in enumerate(rows, start=1):
        identity = f"{number:04d}"
        plain = canonical({"id": identity, "salt": secrets.token_hex(32), "row": row})
        plain += b" " * (-len(plain) % PAD)
        nonce = secrets.token_bytes(12)
        sealed = AESGCM(_item_key(key.secret, identity)).encrypt(nonce, plain, identity.encode())
        commitment = hashlib.sha256(plain).hexdigest()
        items.append({"id": identity, "commitment": commitment, "nonce": nonce.hex(), "sealed": sealed.hex()})
    document = {
        "format": FORMAT,
        "name": name,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "public_key": public_key.hex(),
        "items": items,
    }
    return sign(document, key.signer), key


def _item_key(secret: bytes, identity: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=f"{FORMAT}, item {identity}".encode()).derive(secret)


# Reading


def read_kit(folder: Path) -> Kit:
    """Read a kit; raise FileProblem where it is none, or was changed since it was signed."""
    path = folder / "kit.json"
    found = read_document(path, "sealed_kit")
    if not is_signed(found, bytes.fromhex(found["public_key"])):
        raise FileProblem(f"{path} was changed: its signature does not fit its content; get the kit from its holder")
    items = tuple(
        Item(one["id"], one["commitment"], bytes.fromhex(one["nonce"]), bytes.fromhex(one["sealed"]))
        for one in found["items"]
    )
    if [one.id for one in items] != [f"{number:04d}" for number in range(1, len(items) + 1)]:
        raise FileProblem(f"{path} does not number its items 0001, 0002, ...; get the kit from its holder")
    return Kit(found["name"], bytes.fromhex(found["public_key"]), items, hash_of(found))


def read_key(path: Path, kit: Kit) -> Key:
    """Read the key of a kit; raise FileProblem where it is none, or that of another kit."""
    if not path.exists():
        raise FileProblem(f"{path} is missing: the holder of the kit has its key; give it with --key")
    found = read_document(path, "sealed_key")
    if found["kit"] != kit.fingerprint:
        raise FileProblem(f"{path} is the key of the kit {found['kit'][:16]}, and this one is {kit.fingerprint[:16]}")
    return Key(bytes.fromhex(found["secret"]), bytes.fromhex(found["signer"]))


def open_item(item: Item, secret: bytes) -> dict[str, Any]:
    """Decrypt a prompt, and compare it with its commitment; raise FileProblem where they do not fit."""
    try:
        plain = AESGCM(_item_key(secret, item.id)).decrypt(item.nonce, item.sealed, item.id.encode())
    except InvalidTag as problem:
        raise FileProblem(f"item {item.id} cannot be opened: the kit was changed, or the key is another's") from problem
    if hashlib.sha256(plain).hexdigest() != item.commitment:
        raise FileProblem(f"item {item.id} holds another prompt than the one that was committed to")
    found = parse_json(plain.decode(), f"item {item.id}")
    check_document(found, "sealed_plain", f"item {item.id}:")
    if found["id"] != item.id:
        raise FileProblem(f"item {item.id} holds the prompt of item {found['id']}")
    row: dict[str, Any] = found["row"]
    return row
