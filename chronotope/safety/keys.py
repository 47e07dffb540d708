"""The keys of this installation: made at first use, kept in the user's folder, and never sent anywhere.

FOLDER/signer/         the private key that signs files, its certificate, and the root that certifies it
FOLDER/retired/*/      certificates of earlier signers, so that their files are still recognised
FOLDER/trusted/*.pem   certificates of others that are trusted
FOLDER/watermark.key   an optional secret of the user's, instead of the public key of the watermark

The folder is $CHRONOTOPE_KEYS, else chronotope/ in $XDG_CONFIG_HOME or ~/.config. The certificate is self-signed: it
proves that files come from one installation, and not who runs it.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chronotope.errors import ChronotopeError, FileProblem
from chronotope.media.files import reason
from chronotope.safety.watermark import PACKAGE_KEY

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509 import Certificate

__all__ = [
    "KeyProblem",
    "Signer",
    "is_signature",
    "keys_folder",
    "load_signer",
    "trusted_certificates",
    "watermark_keys",
]

ROOT_DAYS, SIGNER_DAYS = 20 * 365, 2 * 365
RENEWED_BEFORE = datetime.timedelta(days=30)
SLACK = datetime.timedelta(days=1)  # clocks of other machines may be behind
MOST_BYTES = 2**16  # of a key or a certificate


class KeyProblem(ChronotopeError):
    """The keys of this installation cannot be made, read or used."""


@dataclass(frozen=True)
class Signer:
    """A key that signs, and its chain of certificates in PEM, its own first."""

    key: bytes
    chain: bytes
    fingerprint: str  # SHA-256 of its certificate, in hex

    def sign(self, content: bytes) -> bytes:
        """Return the Ed25519 signature of `content`."""
        return _private_key(self.key).sign(content)


def keys_folder() -> Path:
    """Return the folder of the keys, which need not exist."""
    if named := os.environ.get("CHRONOTOPE_KEYS"):
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "chronotope"


def _folder_name() -> str:
    """Return how a user names the folder: its path is private, and messages get into logs and answers of a server."""
    if os.environ.get("CHRONOTOPE_KEYS"):
        return "$CHRONOTOPE_KEYS"
    return f"{'$XDG_CONFIG_HOME' if os.environ.get('XDG_CONFIG_HOME') else '~/.config'}/chronotope"


def load_signer(now: datetime.datetime | None = None) -> Signer:
    """Return the signer of this installation, made or renewed where needed.

    Raises `KeyProblem` where the folder cannot be used, or the clock is outside the validity of the certificate.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    folder = keys_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        signer = _read_signer(folder / "signer")
        if signer is None or _expires(signer) - now < RENEWED_BEFORE:
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                signer = _read_signer(folder / "signer")  # another process may have been faster
                if signer is None or _expires(signer) - now < RENEWED_BEFORE:
                    signer = _make_signer(folder, now)
    except (OSError, ValueError) as problem:
        raise KeyProblem(
            f"the keys in {_folder_name()} that sign files cannot be made or read ({reason(problem)}); make the "
            "folder writable, or name another one in CHRONOTOPE_KEYS"
        ) from problem
    certificate = _certificates(signer.chain)[0]
    if now < certificate.not_valid_before_utc:
        raise KeyProblem(
            f"the clock says {now:%Y-%m-%d %H:%M}, and the certificate in {_folder_name()} is valid from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}; set the clock"
        )
    return signer


def trusted_certificates(*others: Path) -> dict[str, bytes]:
    """Return the certificates whose signatures are believed, in PEM by their fingerprints.

    They are those of this installation, those in its folder `trusted`, and `others`.
    """
    folder = keys_folder()
    paths = [path for kind in ("signer", "retired/*", "trusted") for path in sorted(folder.glob(f"{kind}/*.pem"))]
    found: dict[str, bytes] = {}
    for path in (*paths, *others):
        try:
            certificates = _certificates(_read(path))
        except (OSError, ValueError) as problem:
            raise FileProblem(f"{path} is no certificate in PEM ({problem}); name one, or delete it") from problem
        found |= {_fingerprint(one): _pem(one) for one in certificates}
    return found


def is_signature(certificate: bytes, signature: bytes, content: bytes) -> bool:
    """Return whether a signature is that of a certificate's key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = _certificates(certificate)[0].public_key()
    if not isinstance(key, Ed25519PublicKey):
        return False
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def watermark_keys() -> list[bytes]:
    """Return the keys of the watermark: the user's own first, where there is one, then that of the package."""
    path = keys_folder() / "watermark.key"
    if not path.is_file():
        return [PACKAGE_KEY]
    try:
        key = _read_secret(path)
    except (OSError, ValueError) as problem:
        raise KeyProblem(
            f"the file watermark.key in {_folder_name()} cannot be used ({reason(problem)}); mend it, or "
            "delete it, and the key of the package is used"
        ) from problem
    return [key, PACKAGE_KEY]


# Certificates


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def _read_secret(path: Path) -> bytes:
    """Return the content of a file that only its owner can read; raise ValueError for another one, or an empty one."""
    file, folder = path.stat().st_mode, path.parent.stat().st_mode
    of_group = file & stat.S_IRGRP and folder & stat.S_IXGRP
    if of_group or (file & stat.S_IROTH and folder & stat.S_IXOTH):
        raise ValueError(f"other users can read {path.name}; make it private with chmod 600")
    content = _read(path)
    if not content:
        raise ValueError(f"{path.name} is empty")
    return content


def _read_signer(folder: Path) -> Signer | None:
    paths = folder / "signer.key", folder / "signer.pem", folder / "root.pem"
    if not all(path.is_file() for path in paths):
        return None
    key, certificate, root = _read_secret(paths[0]), _read(paths[1]), _read(paths[2])
    own = _certificates(certificate)[0]
    if own.public_key() != _private_key(key).public_key():
        raise ValueError("signer.key is not the key of signer.pem; delete both, and new ones are made")
    return Signer(key, certificate + root, _fingerprint(own))


def _make_signer(folder: Path, now: datetime.datetime) -> Signer:
    """Make a signer, whole or not at all, in the place of an old one, whose certificates are kept."""
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=".signer-"))
    try:
        for name, content in _new_signer(now).items():
            (partial / name).write_bytes(content)
            (partial / name).chmod(0o600)
        if (folder / "signer").exists():
            (folder / "retired").mkdir(mode=0o700, exist_ok=True)
            (folder / "signer" / "signer.key").unlink(missing_ok=True)
            (folder / "signer").rename(folder / "retired" / str(time.time_ns()))
        partial.rename(folder / "signer")
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    signer = _read_signer(folder / "signer")
    assert signer is not None
    return signer


def _new_signer(now: datetime.datetime) -> dict[str, bytes]:
    """Make a root and a signer below it, since C2PA accepts no self-signed signer; the root's key is not kept."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    authority = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        _builder("Chronotope installation", root_key, now, ROOT_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(authority, critical=False)
        .sign(root_key, None)
    )
    signer = (
        _builder("Chronotope file signer", key, now, SIGNER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
        .sign(root_key, None)
    )
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(encoding, kind, serialization.NoEncryption())
    return {"signer.key": secret, "signer.pem": _pem(signer), "root.pem": _pem(root)}


def _builder(subject: str, key: Ed25519PrivateKey, now: datetime.datetime, days: int) -> x509.CertificateBuilder:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def name(common: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Chronotope, self-signed")
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])

    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("Chronotope installation"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(**used: bool) -> x509.KeyUsage:
    from cryptography import x509

    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names.split()})


def _certificates(pem: bytes) -> list[Certificate]:
    from cryptography import x509

    return x509.load_pem_x509_certificates(pem)


def _private_key(pem: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("signer.key is no Ed25519 key")
    return key


def _pem(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _fingerprint(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256()).hex()


def _expires(signer: Signer) -> datetime.datetime:
    return _certificates(signer.chain)[0].not_valid_after_utc
