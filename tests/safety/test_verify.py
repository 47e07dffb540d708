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
from chronotope.safety import verify as module
from chronotope.safety.deliver import deliver
from chronotope.safety.keys import keys_folder
from chronotope.safety.verify import Verification, verify
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


def copied(made: Path, name: str, folder: Path, beside: bool = True) -> Path:
    shutil.copy(made / name, folder / name)
    if beside:
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
    found = judge(copied(made, "one.mp4", tmp_path, beside=False))
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
