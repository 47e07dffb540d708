"""The keys of an installation: made once, renewed before they expire, never replaced by a race."""

from __future__ import annotations

import datetime
import multiprocessing
from pathlib import Path

import pytest

from chronotope.errors import FileProblem
from chronotope.safety.keys import (
    KeyProblem,
    is_signature,
    load_signer,
    trusted_certificates,
    watermark_keys,
)
from chronotope.safety.watermark import PACKAGE_KEY

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "keys"))
    return tmp_path / "keys"


def test_a_signer_is_made_once_and_signs(folder: Path) -> None:
    signer = load_signer()
    assert load_signer() == signer
    assert (folder / "signer" / "signer.key").stat().st_mode & 0o777 == 0o600
    certificate = trusted_certificates()[signer.fingerprint]
    signature = signer.sign(b"content")
    assert is_signature(certificate, signature, b"content")
    assert not is_signature(certificate, signature, b"contents")


def _fingerprint(_: int) -> str:
    return load_signer().fingerprint


def test_processes_that_start_together_share_one_signer() -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_fingerprint, range(8)))) == 1


def test_a_signer_is_renewed_before_it_expires_and_the_old_one_stays_trusted() -> None:
    old = load_signer(NOW - 725 * DAY)
    new = load_signer(NOW)
    assert new.fingerprint != old.fingerprint
    assert {old.fingerprint, new.fingerprint} <= trusted_certificates().keys()


def test_a_wrong_clock_is_said() -> None:
    load_signer(NOW)
    with pytest.raises(KeyProblem, match="set the clock"):
        load_signer(NOW - 400 * DAY)


def test_a_folder_that_cannot_be_used_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("a file")
    with pytest.raises(KeyProblem, match="CHRONOTOPE_KEYS"):
        load_signer()


def test_damaged_keys_are_said(folder: Path) -> None:
    load_signer()
    (folder / "signer" / "signer.key").write_text("no key")
    with pytest.raises(KeyProblem, match="cannot be made or read"):
        load_signer()
    (folder / "trusted").mkdir()
    (folder / "trusted" / "bad.pem").write_text("no certificate")
    with pytest.raises(FileProblem, match=r"bad\.pem is no certificate"):
        trusted_certificates()


def test_a_key_of_the_users_own_comes_first(folder: Path) -> None:
    assert watermark_keys() == [PACKAGE_KEY]
    write_secret(folder / "watermark.key", b"secret", 0o600)
    assert watermark_keys() == [b"secret", PACKAGE_KEY]


def write_secret(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.parent.chmod(0o755)
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [(b"", 0o600, "is empty"), (b"secret", 0o604, "chmod 600"), (b"secret", 0o640, "chmod 600")],
)
def test_a_key_that_is_no_secret_is_not_used(folder: Path, content: bytes, mode: int, message: str) -> None:
    write_secret(folder / "watermark.key", content, mode)
    with pytest.raises(KeyProblem, match=message):
        watermark_keys()


def test_a_folder_that_others_cannot_enter_keeps_its_keys_secret(folder: Path) -> None:
    write_secret(folder / "watermark.key", b"secret", 0o644)
    folder.chmod(0o700)
    assert watermark_keys()[0] == b"secret"


def test_a_signing_key_that_others_can_read_is_not_used(folder: Path) -> None:
    load_signer()
    (folder / "signer" / "signer.key").chmod(0o644)
    load_signer()  # its folder is private
    (folder / "signer").chmod(0o755)
    with pytest.raises(KeyProblem, match="chmod 600"):
        load_signer()


def test_messages_name_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are shown to the users of a server, and stand in the log of refusals."""

    def message(now: datetime.datetime = NOW) -> str:
        with pytest.raises(KeyProblem) as problem:
            load_signer(now)
        return str(problem.value)

    load_signer()
    early = message(NOW - 400 * DAY)
    (folder / "signer" / "signer.key").write_text("no key")
    damaged = message()
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(folder / "signer" / "signer.key"))
    no_folder = message()
    monkeypatch.delenv("CHRONOTOPE_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "signer" / "signer.key"))
    assert "$XDG_CONFIG_HOME/chronotope" in message()
    for text in (early, damaged, no_folder, message()):
        assert str(folder) not in text
    assert all("$CHRONOTOPE_KEYS" in text for text in (early, damaged, no_folder))
