"""The one way out: every layer is there, and where one fails there is no file."""

from __future__ import annotations

import datetime
import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from chronotope.errors import ChronotopeError
from chronotope.media import video
from chronotope.media.picture import PICTURE_FORMATS
from chronotope.media.writer import VIDEO_FORMATS
from chronotope.safety import credentials as manifests
from chronotope.safety import deliver as module
from chronotope.safety.audit import audit_path, check_audit, record
from chronotope.safety.credentials import read_credentials
from chronotope.safety.deliver import Delivery, Layers, NotDeliveredError, deliver
from chronotope.safety.keys import keys_folder, load_signer, trusted_certificates
from chronotope.safety.verify import verify
from chronotope.safety.watermark import detect

ORIGIN = {"program": "chronotope 0.1.0", "task": "text to video", "prompt": "a fox", "seed": 3, "generated_by_ai": True}
SUFFIXES = (*VIDEO_FORMATS, *PICTURE_FORMATS)


@pytest.fixture(autouse=True)
def keys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path_factory.mktemp("keys")))


def frames(count: int = 6, height: int = 64, width: int = 96) -> np.ndarray:
    found = np.full((count, height, width, 3), (200, 180, 90), np.uint8)
    for number, frame in enumerate(found):
        frame[20:40, 4 * number : 4 * number + 20] = (40, 60, 200)
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_authentic_where_it_was_delivered(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"made{suffix}"
    deliver(path, frames(1 if suffix in PICTURE_FORMATS else 6), 8, ORIGIN)
    found = verify(path, search=False)
    assert found.verdict == "authentic", found
    assert found.mark is not None and found.mark.found
    assert found.credentials.origin is not None and found.credentials.origin["prompt"] == "a fox"
    origin = video.read_origin(path)
    assert origin is not None and origin["provenance"]["credentials"] == "C2PA, self-signed"
    assert {one.name for one in tmp_path.iterdir()} == {path.name, f"{path.name}.json"}


def test_the_frames_are_those_of_the_marker(tmp_path: Path) -> None:
    (frame,) = frames(1, 128, 128)
    deliver(tmp_path / "plain.png", [frame], 1, ORIGIN, Layers(watermark=False))
    deliver(tmp_path / "made.png", [frame], 1, ORIGIN)
    assert np.array_equal(video.read_image(tmp_path / "plain.png"), frame)
    assert 0 < np.abs(video.read_image(tmp_path / "made.png") - frame.astype(int)).mean() < 3


def test_what_is_switched_off_is_said_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    deliver(path, frames(), 8, ORIGIN, Layers(watermark=False, credentials=False))
    tags = video.read_tags(path)
    assert tags is not None and tags["provenance"] == {"watermark": "off", "credentials": "off", "visible_mark": "off"}
    assert not detect(video.read(path).frames, search=False).found
    assert read_credentials(path).state == "none"
    assert verify(path, search=False).verdict == "claimed"


def test_a_composite_is_said_to_be_one(tmp_path: Path) -> None:
    for composite, word in ((False, b"/trainedAlgorithmicMedia"), (True, b"/compositeWithTrainedAlgorithmicMedia")):
        deliver(tmp_path / "made.mp4", frames(), 8, ORIGIN, composite=composite)
        assert word in (tmp_path / "made.mp4").read_bytes()


@pytest.mark.parametrize(("height", "width"), [(40, 48), (64, 96), (360, 640)])
def test_the_visible_mark_is_in_its_corner(height: int, width: int, tmp_path: Path) -> None:
    layers = Layers(watermark=False, visible_mark=True)
    still = frames(1, height, width)
    deliver(tmp_path / "made.png", still, 1, ORIGIN, layers)
    changed = np.any(video.read_image(tmp_path / "made.png") != still[0], axis=-1)
    rows, columns = np.nonzero(changed)
    assert rows.max() == height - 1 and columns.max() == width - 1
    assert changed.mean() < 0.15 and rows.min() > height / 2
    origin = video.read_origin(tmp_path / "made.png")
    assert origin is not None and origin["provenance"]["visible_mark"] == "on"


# Failures

LAYERS = {
    "credentials": ("load_signer", "sign_file"),
    "watermark": ("Marker", "watermark_keys"),
    "visible mark": ("add_visible_mark",),
}
PLACES = [(layer, name) for layer, names in LAYERS.items() for name in names]


def killed(*_: Any, **__: Any) -> Any:
    raise RuntimeError("it crashed")


def slow(*_: Any, **__: Any) -> Any:
    time.sleep(1)


def missing(*_: Any, **__: Any) -> Any:
    raise ModuleNotFoundError("No module named 'c2pa'")


def give_little_time_to(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit the time of this layer alone: on a busy machine the others may take as long."""
    guarded = module.Delivery._guarded

    def limited(delivery: module.Delivery, name: str, work: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            if name == layer:
                patch.setattr(module, "LAYER_SECONDS", 0.05)
            return guarded(delivery, name, work)

    monkeypatch.setattr(module.Delivery, "_guarded", limited)


@pytest.mark.parametrize(("layer", "name"), PLACES)
@pytest.mark.parametrize("fault", [killed, slow, missing])
@pytest.mark.parametrize("suffix", [".mp4", ".png"])
def test_no_file_is_left_where_a_layer_fails(
    layer: str, name: str, fault: Callable[..., Any], suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault)
    if fault is slow:
        give_little_time_to(layer, monkeypatch)
    with pytest.raises(NotDeliveredError, match="was not written") as refused:
        deliver(tmp_path / f"made{suffix}", frames(1), 8, ORIGIN, Layers(visible_mark=True))
    assert refused.value.layer == layer
    assert not list(tmp_path.iterdir())
    (row,) = map(json.loads, audit_path().read_text().splitlines())
    assert (row["event"], row["layer"], row["file"]) == ("not delivered", layer, f"made{suffix}")


def test_a_manifest_that_is_not_valid_on_the_bytes_is_not_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read back from the disk: a signature for other bytes is no signature."""
    overwrite = manifests._overwrite

    def damaged(file: BinaryIO, content: bytes) -> None:
        overwrite(file, content[:-1] + bytes([content[-1] ^ 1]))

    monkeypatch.setattr(manifests, "_overwrite", damaged)
    with pytest.raises(NotDeliveredError, match="not valid"):
        deliver(tmp_path / "made.mp4", frames(), 8, ORIGIN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".png"])
def test_a_signature_that_comes_too_late_makes_no_file(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of a layer that hangs lives on: it must not make again what was deleted."""
    overwrite, gone, written = manifests._overwrite, threading.Event(), threading.Event()

    def late(file: BinaryIO, content: bytes) -> None:
        assert gone.wait(60)
        overwrite(file, content)
        file.flush()
        written.set()

    monkeypatch.setattr(manifests, "_overwrite", late)
    monkeypatch.setattr(module, "LAYER_SECONDS", 1.0)
    with pytest.raises(NotDeliveredError, match="it took more than"):
        deliver(tmp_path / f"made{suffix}", frames(1), 8, ORIGIN, Layers(watermark=False))
    gone.set()
    assert written.wait(60)
    assert not list(tmp_path.iterdir())


def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path / "made.mp4", frames(), 8, ORIGIN)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(NotDeliveredError), Delivery(tmp_path / "made.mp4", 8, ORIGIN) as delivery:
        delivery.add(frames(1)[0])
        monkeypatch.setattr(delivery, "_marker", killed)
        delivery.add(frames(1)[0])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_picture_has_one_frame(tmp_path: Path) -> None:
    for count in (0, 2):
        with pytest.raises(ChronotopeError, match="frame"):
            deliver(tmp_path / "made.png", frames(2)[:count], 1, ORIGIN)
    assert not list(tmp_path.iterdir())


# The log


def test_the_log_notices_what_is_changed_or_deleted() -> None:
    for number in range(5):
        assert record({"event": "not delivered", "number": number})
    path = audit_path()
    assert check_audit(path) == 5
    lines = path.read_text().splitlines(keepends=True)
    for kept in (lines[:2] + lines[3:], [*lines[:2], lines[2].replace('"number": 2', '"number": 7'), *lines[3:]]):
        path.write_text("".join(kept))
        with pytest.raises(ChronotopeError, match="line"):
            check_audit(path)


def broken_signer() -> None:
    load_signer()
    (keys_folder() / "signer" / "signer.key").write_text("no key")


def open_watermark_key() -> None:
    keys_folder().chmod(0o755)
    (keys_folder() / "watermark.key").write_text("secret")
    (keys_folder() / "watermark.key").chmod(0o644)


@pytest.mark.parametrize("damage", [broken_signer, open_watermark_key])
def test_the_log_holds_no_path_of_the_keys(damage: Callable[[], None], tmp_path: Path) -> None:
    damage()
    with pytest.raises(NotDeliveredError):
        deliver(tmp_path / "made.png", frames(1), 8, ORIGIN)
    (line,) = audit_path().read_text().splitlines()
    assert "signer.key" in line or "PEM" in line or "watermark.key" in line
    assert str(keys_folder()) not in line


def test_the_log_holds_no_path_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, problem in enumerate((OSError(28, "No space left", str(tmp_path / "x")), ValueError(f"{tmp_path}/x"))):

        def full(*_: Any, found: Exception = problem) -> Any:
            raise found

        monkeypatch.setattr(module, "sign_file", full)
        with pytest.raises(NotDeliveredError):
            deliver(tmp_path / "made.png", frames(1), 8, ORIGIN)
        line = audit_path().read_text().splitlines()[number]
        assert str(tmp_path) not in line and ("No space left" in line or "/x" in line)


def test_a_clock_that_was_set_back_is_said_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    record({"event": "not delivered"})
    now = time.time()
    for at, said in ((now - 3600, "set back by 3600 s"), (now, ""), (now - 1, "")):
        monkeypatch.setattr("chronotope.safety.audit.time.time", lambda at=at: at)
        record({"event": "not delivered"})
        row = json.loads(audit_path().read_text().splitlines()[-1])
        assert row.get("clock", "").startswith(said) and bool(row.get("clock")) == bool(said)
    assert check_audit(audit_path()) == 4


def test_a_wrong_clock_delivers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.datetime.now(datetime.UTC)
    load_signer(now)
    monkeypatch.setattr(module, "load_signer", lambda: load_signer(now - datetime.timedelta(days=400)))
    with pytest.raises(NotDeliveredError, match="set the clock"):
        deliver(tmp_path / "made.png", frames(1), 8, ORIGIN)
    assert not list(tmp_path.iterdir())


def test_an_expired_certificate_that_cannot_be_renewed_delivers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=900)
    load_signer()

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("chronotope.safety.keys._make_signer", full)
    monkeypatch.setattr(module, "load_signer", lambda: load_signer(later))
    with pytest.raises(NotDeliveredError, match="cannot be made or read"):
        deliver(tmp_path / "made.png", frames(1), 8, ORIGIN)
    assert not list(tmp_path.iterdir())


def test_the_log_goes_on_after_a_torn_line() -> None:
    for number in range(2):
        record({"event": "not delivered", "number": number})
    with audit_path().open("a") as file:
        file.write('{"event": "not del')
    record({"event": "not delivered", "number": 2})
    assert check_audit(audit_path()) == 3


def test_refusing_needs_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("no folder")
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "keys"))
    assert not record({"event": "not delivered"})
    with pytest.raises(NotDeliveredError, match="CHRONOTOPE_KEYS"):
        deliver(tmp_path / "made.mp4", frames(), 8, ORIGIN)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_switches_combine(tmp_path: Path) -> None:
    for watermark, credentials, visible in itertools.product((False, True), repeat=3):
        deliver(tmp_path / "made.png", frames(1), 8, ORIGIN, Layers(watermark, credentials, visible))
        tags = video.read_tags(tmp_path / "made.png")
        assert tags is not None
        said = [tags["provenance"][name] != "off" for name in ("watermark", "credentials", "visible_mark")]
        assert said == [watermark, credentials, visible]
        state = read_credentials(tmp_path / "made.png", "", trusted_certificates()).state
        assert state == ("trusted" if credentials else "none")
