"""What is said of files: those that were delivered, those that were changed, and those of others."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chronotope.errors import FileProblem
from chronotope.media import video
from chronotope.media.picture import sidecar
from chronotope.safety import credentials
from chronotope.safety import verify as module
from chronotope.safety.deliver import deliver
from chronotope.safety.keys import keys_folder
from chronotope.safety.verify import Verification, verify
from chronotope.safety.watermark import PACKAGE_KEY, Detection, Detector, detect
from tests.cli.models import answer, run
from tests.safety.test_deliver import ORIGIN, frames

FLIPPED = 60  # files


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two deliveries of each of three formats: with a manifest in a box, in a chunk, and beside."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("one", "two"):
        for suffix in (".mp4", ".webm", ".png"):
            deliver(folder / f"{name}{suffix}", frames(1 if suffix == ".png" else 4), 8, {**ORIGIN, "name": name})
    return folder


def copied(made: Path, name: str, folder: Path, with_sidecar: bool = True) -> Path:
    shutil.copy(made / name, folder / name)
    if with_sidecar:
        shutil.copy(made / f"{name}.json", folder / f"{name}.json")
    return folder / name


def judge(path: Path) -> Verification:
    return verify(path, search=False)


@pytest.mark.parametrize("name", ["one.mp4", "one.webm", "one.png"])
def test_no_byte_can_be_changed(made: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C2PA alone leaves padding open; the sidecar does not. The mark plays no part in it, so it is not looked for."""
    monkeypatch.setattr(module, "_find_mark", lambda path, search: (None, []))
    path = copied(made, name, tmp_path)
    assert judge(path).verdict == "authentic"
    content, rng = path.read_bytes(), random.Random(name)
    for place in (*range(40), *(rng.randrange(len(content)) for _ in range(FLIPPED))):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        assert judge(path).verdict in ("altered", "unknown", "claimed"), place


def edited(path: Path) -> None:
    document = json.loads(sidecar(path).read_text())
    sidecar(path).write_text(json.dumps({**document, "prompt": "a dog"}) + "\n")


def restyled(path: Path) -> None:
    sidecar(path).write_text(json.dumps(json.loads(sidecar(path).read_text()), indent=1))


TAMPERED: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "appended": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "a box of padding appended": lambda path: path.write_bytes(path.read_bytes() + b"\0\0\0\x0cfreemore"),
    "prompt of the sidecar": edited,
    "layout of the sidecar": restyled,
    "sidecar of another file": lambda path: shutil.copy(path.parent / "two.json", sidecar(path)),
    "another file": lambda path: shutil.copy(path.parent / "two", path),
}


@pytest.mark.parametrize("name", ["one.mp4", "one.webm", "one.png"])
@pytest.mark.parametrize("change", TAMPERED)
def test_what_was_tampered_with_is_altered(made: Path, name: str, change: str, tmp_path: Path) -> None:
    path = copied(made, name, tmp_path)
    shutil.copy(made / name.replace("one", "two"), tmp_path / "two")
    shutil.copy(made / f"{name.replace('one', 'two')}.json", tmp_path / "two.json")
    TAMPERED[change](path)
    assert judge(path).verdict == "altered"


def test_a_file_without_its_sidecar_is_signed_and_not_authentic(made: Path, tmp_path: Path) -> None:
    found = judge(copied(made, "one.mp4", tmp_path, with_sidecar=False))
    assert (found.verdict, found.sidecar, found.credentials.state) == ("signed", "none", "trusted")
    assert found.origin is not None and found.origin["name"] == "one"


def test_what_a_site_leaves_is_marked(made: Path, tmp_path: Path) -> None:
    """Another encode, without manifest and sidecar, of a file that is large enough."""
    deliver(tmp_path / "made.mp4", frames(6, 128, 160), 8, ORIGIN)
    video.write(tmp_path / "site.mp4", video.read(tmp_path / "made.mp4").frames, 8, crf=28)
    found = judge(tmp_path / "site.mp4")
    assert found.verdict == "marked" and "can be copied" in found.sure


def test_tags_alone_prove_nothing(tmp_path: Path) -> None:
    video.write(tmp_path / "made.mp4", frames(), 8, metadata=ORIGIN)
    assert judge(tmp_path / "made.mp4").verdict == "claimed"
    sidecar(tmp_path / "made.mp4").unlink()
    assert judge(tmp_path / "made.mp4").verdict == "claimed"
    video.write(tmp_path / "other.mp4", frames(), 8, metadata={"program": "another 1"})
    sidecar(tmp_path / "other.mp4").unlink()
    assert judge(tmp_path / "other.mp4").verdict == "unknown"


def test_another_installation_is_a_stranger_until_it_is_trusted(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, root = copied(made, "one.mp4", tmp_path), tmp_path / "their-root.pem"
    content = (keys_folder() / "signer" / "root.pem").read_bytes() + (
        keys_folder() / "signer" / "signer.pem"
    ).read_bytes()
    root.write_bytes(content)
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "nothing"))
    assert judge(path).verdict == "signed by a stranger"
    assert verify(path, [root], search=False).verdict == "authentic"
    assert not (tmp_path / "nothing").exists()


def test_a_stripped_manifest_is_not_authentic(made: Path, tmp_path: Path) -> None:
    """The same pictures and tags in another container, under the old name and with the old sidecar."""
    path = copied(made, "one.mp4", tmp_path)
    document = json.loads(sidecar(path).read_text())
    video.write(path, video.read(path).frames, 8, metadata=ORIGIN)
    sidecar(path).write_text(json.dumps(document) + "\n")
    found = judge(path)
    assert (found.verdict, found.sidecar, found.credentials.state) == ("altered", "of another file", "none")


# Files whose certificate was valid for 15 seconds in 2026, delivered in that time, and its chain
EXPIRED = Path(__file__).parent / "expired"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that trusts the expired certificate as an earlier one of its own."""
    shutil.copytree(EXPIRED, tmp_path / "keys" / "retired" / "1")
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "keys"))


@pytest.mark.parametrize("name", ["one.mp4", "one.png"])
def test_a_file_outlives_the_certificate_of_its_signer(name: str, own: None, tmp_path: Path) -> None:
    whole = judge(copied(EXPIRED, name, tmp_path))
    assert (whole.verdict, whole.sidecar, whole.credentials.state) == ("signed", "signed", "expired")
    assert "certain of every byte" in whole.sure and any("has expired" in reason for reason in whole.reasons)
    assert run("verify", tmp_path / name, "--no-search").exit_code == 0
    sidecar(tmp_path / name).unlink()
    alone = judge(tmp_path / name)
    assert alone.verdict == "expired" and "certificate has expired" in alone.sure
    assert run("verify", tmp_path / name, "--no-search").exit_code == 0


@pytest.mark.parametrize("name", ["one.mp4", "one.png"])
def test_an_expired_certificate_of_a_stranger_is_no_change_of_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "nothing"))
    found = judge(copied(EXPIRED, name, tmp_path))
    assert (found.verdict, found.sidecar, found.credentials.state) == ("expired", "of a stranger", "expired")


@pytest.mark.parametrize("name", ["one.mp4", "one.png"])
@pytest.mark.parametrize("part", ["content", "settings"])
def test_a_change_is_found_after_the_certificate_expired(name: str, part: str, own: None, tmp_path: Path) -> None:
    path = copied(EXPIRED, name, tmp_path, with_sidecar=False)
    content = bytearray(path.read_bytes())
    if part == "content":
        place = content.index(b"mdat" if name == "one.mp4" else b"IDAT") + 20
    else:
        place = content.index(b"a fox", content.index(b"org.chronotope.origin"))
    content[place] ^= 1
    path.write_bytes(content)
    found = judge(path)
    assert found.verdict == "altered" and any("mismatch" in problem for problem in found.credentials.problems)


# Codes that the C2PA library gives where the signature fits, and others


@pytest.mark.parametrize(
    ("codes", "state"),
    [
        (["signingCredential.expired"], "expired"),
        (["signingCredential.untrusted", "claimSignature.outsideValidity"], "expired"),
        (["signingCredential.untrusted", "signingCredential.ocsp.revoked"], "rejected"),
        (["signingCredential.expired", "signingCredential.invalid"], "rejected"),
        (["signingCredential.expired", "assertion.dataHash.mismatch"], "invalid"),
        (["signingCredential.expired", "assertion.missing"], "invalid"),
        ([], "invalid"),
    ],
)
def test_only_what_does_not_fit_is_invalid(codes: list[str], state: str) -> None:
    passed = {"activeManifest": {"success": [{"code": "claimSignature.validated"}]}}
    report = {
        "validation_state": "Invalid",
        "validation_status": [{"code": code} for code in codes],
        "validation_results": passed,
    }
    assert credentials._described(report).state == state
    assert credentials._described({**report, "validation_results": {}}).state == "invalid"


def test_a_key_more_makes_a_false_alarm_no_likelier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chance is that of the best of all keys, so it is as many times that of one key."""
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path))
    (tmp_path / "watermark.key").write_bytes(b"own")
    (tmp_path / "watermark.key").chmod(0o600)
    still = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    video.write_image(tmp_path / "still.png", still[0])
    best = min(detect(still, key, search=False).chance for key in (b"own", PACKAGE_KEY))
    assert best < 0.5
    mark = judge(tmp_path / "still.png").mark
    assert mark is not None and mark.chance == pytest.approx(2 * best) and not mark.found
    monkeypatch.setattr(Detector, "find", lambda *_: Detection(True, 3.2, 0.0007, False, 1.0, 1.0))
    mark = judge(tmp_path / "still.png").mark
    assert mark is not None and not mark.found


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="is no file"):
        verify(tmp_path)
    (tmp_path / "notes.mp4").write_text("no video")
    found = verify(tmp_path / "notes.mp4")
    assert found.verdict == "unknown" and found.mark is None
    (tmp_path / "noise.png").write_bytes(np.random.default_rng(0).bytes(500))
    assert verify(tmp_path / "noise.png").verdict == "unknown"


def test_hostile_sidecars(made: Path, tmp_path: Path) -> None:
    path = copied(made, "one.png", tmp_path)
    for text in (
        "[" * 100_000,
        "[]",
        "null",
        '{"signed": 1}',
        '{"signed": {"certificate": [], "signature": {}}}',
        "\0",
    ):
        sidecar(path).write_text(text)
        assert judge(path).verdict == "signed"  # the manifest in the picture is still there


def test_the_command(made: Path, tmp_path: Path) -> None:
    path = copied(made, "one.mp4", tmp_path)
    result = run("verify", path)
    assert result.exit_code == 0 and result.stdout.startswith(f"{path}: authentic\n")
    (found,) = answer("verify", path, "--no-search")["files"]
    assert found["verdict"] == "authentic" and found["mark"]["found"]
    edited(path)
    assert run("verify", path, "--no-search").exit_code == 1
