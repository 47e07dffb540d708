"""What the service would ignore without a word: fields without effect, and outputs that were exchanged on its disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from chronotope.media import video
from chronotope.media.picture import sidecar
from chronotope.serve.jobs.worker import Answer, _Maker
from chronotope.serve.service import Service
from chronotope.storage import file_sha256
from tests.serve.asking import ORDER, Ask, picture, refused


def save_clip(path: Path) -> None:
    """Write a clip of 12 frames."""
    video.write(path, np.full((12, 32, 48, 3), 90, np.uint8), 8)


def test_an_output_that_is_changed_on_the_disk_is_not_used(ask: Ask, service: Service) -> None:
    """Else a video would be made of another one than its name says, or handed out under it."""
    name = ask("POST", "/v1/videos", json=ORDER).json()["id"]
    job = service.store.claim()
    assert job is not None and job.id == name
    path = service.output_path(job)
    save_clip(path)
    service.store.complete(name, {"width": 48, "height": 32, "num_frames": 12, "fps": 8, "sha256": file_sha256(path)})
    content = f"/v1/videos/{name}/content"
    extension = {**ORDER, "task": "extend", "video": name}
    assert ask("GET", content).status_code == 200
    assert ask("POST", "/v1/generations", json=extension).status_code == 200
    path.write_bytes(path.read_bytes() + b"x")
    for said in (ask("GET", content), ask("POST", "/v1/generations", json=extension)):
        assert refused(said, 400, "file_changed")["message"].endswith("after it was made; make it again")


@pytest.mark.parametrize("path", ["settings", "content"])
def test_what_is_changed_on_the_disk_is_not_handed_out(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A sidecar says with which prompt and seed a video was made; the worker tells its hash with the video's."""
    name = ask("POST", "/v1/generations", json=ORDER).json()["id"]
    job = service.store.claim()
    assert job is not None
    task, sent = service._task(job), list[Answer]()
    connection = Mock(send=sent.append)
    stream = Mock(fps=8, origin={"width": 48, "height": 32, "num_frames": 12, "seed": 1}, seconds={})
    stream.pieces, stream.found = [np.full((12, 32, 48, 3), 90, np.uint8)], dict
    generator = Mock(policy=service.rules, stream=Mock(return_value=stream))
    worker = Mock(_connection=connection, _generator=generator)
    _Maker._publish(worker, Mock(task=task, num_steps=1, typed={}, told=None, notes=()), Mock())
    service.store.complete(name, sent[-1].result or {})
    output = service.output_path(job)
    file = sidecar(output) if path == "settings" else output
    address = f"/v1/generations/{name}/{path}"
    assert ask("GET", address).status_code == 200
    file.write_bytes(file.read_bytes().replace(b'"seed": 1', b'"seed": 7') + b" ")
    assert "changed on the server's disk" in refused(ask("GET", address), 400, "file_changed")["message"]
    file.unlink()
    refused(ask("GET", address), 404, "not_found")


def test_an_upload_that_is_changed_on_the_disk_is_not_handed_out(ask: Ask, service: Service) -> None:
    name = ask("POST", "/v1/files", files={"file": ("a.png", picture())}).json()["id"]
    calls = [f"/v1/files/{name}/{what}" for what in ("content", "about")]
    assert [ask("GET", call).status_code for call in calls] == [200, 200]
    path = next((service.folder / "inputs").iterdir())
    path.write_bytes(path.read_bytes() + b"x")
    for call in calls:
        refused(ask("GET", call), 400, "file_changed")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"consent": "It shows me."}, "none is given"),
        ({"span": [0, 1]}, "a span of time goes with retake, not with a plain prompt"),
        ({"at": [0]}, "0 pictures and 1 times"),
        ({"task": "edit", "seconds": 9}, "keeps the"),
        ({"task": "edit", "span": [0, 1]}, "a span of time goes with retake, not with edit"),
        ({"task": "edit", "consent": "  "}, "got blanks"),
    ],
    ids=str,
)
def test_fields_without_effect_are_refused(ask: Ask, service: Service, fields: dict[str, Any], words: str) -> None:
    order = {"prompt": "a red ball", "seed": 1, **fields}
    if "task" in fields:
        path = service.folder / "clip.mp4"
        save_clip(path)
        file = ask("POST", "/v1/files", files={"file": ("a.mp4", path.read_bytes())}).json()["id"]
        order["video"] = {"file_id": file}
    said = ask("POST", "/v1/generations", json=order)
    assert said.status_code == 400 and words in said.text, said.text


@pytest.mark.parametrize(
    ("method", "path", "named", "known"),
    [
        ("POST", "/v1/generations?seed=5&size=96x64", "'seed', 'size'", "none; fields of a request go into its body"),
        ("POST", "/v1/files?purpose=vision", "'purpose'", "none; fields of a request"),
        ("GET", "/v1/videos?limit=1&status=failed", "'status'", "knows after, limit, order"),
        ("GET", "/v1/videos/x/content?varient=thumbnail", "'varient'", "knows variant"),
        ("HEAD", "/v1/videos/x/content?varient=thumbnail", "", ""),
        ("GET", "/v1/studio/prompt?text=a&seed=1", "'seed'", "knows text, num_frames, fps, prompt"),
        ("DELETE", "/v1/files/x?force=1", "'force'", "has none"),
    ],
)
def test_unknown_parameters_of_an_address_are_refused(
    ask: Ask, service: Service, method: str, path: str, named: str, known: str
) -> None:
    said = ask(method, path, **({"json": ORDER} if method == "POST" else {}))
    if method == "HEAD":
        assert said.status_code == 400
        return
    message = refused(said, 400, "unknown_parameter")["message"]
    assert f"unknown query parameter {named} " in message and known in message
    assert not service.store.jobs("local", None, None, 9, True), "nothing was made"


def test_a_parameter_of_an_address_is_given_once(ask: Ask) -> None:
    said = ask("GET", "/v1/videos?limit=1&limit=2")
    assert said.status_code == 400 and "'limit' is in the address 2 times; give it once" in said.text
    assert "give it once" not in ask("GET", "/v1/studio/prompt?text=a&prompt=b&prompt=c").text  # a list


def test_every_call_refuses_parameters_it_does_not_read(ask: Ask) -> None:
    """Only the files of the page are read with any address; its own calls are declared."""
    calls = {
        (method.upper(), path)
        for path, found in ask("GET", "/openapi.json").json()["paths"].items()
        for method in found
    }
    assert len(calls) > 20
    for method, path in sorted(calls):
        said = ask(method, f"{path.replace('{name}', 'x')}?text=a&id=a&name=a&unknown=1", json={})
        assert "'unknown'" in refused(said, 400, "unknown_parameter")["message"], (method, path)
    for path in ("/?unknown=1", "/studio/studio.js?v=1"):
        assert ask("GET", path).status_code == 200
    refused(ask("GET", "/v1/videos/x/preview?n=3"), 404, "not_found")


def test_fields_of_other_services_are_refused(ask: Ask) -> None:
    for field in ({"output_format": "jpeg"}, {"background": "transparent"}, {"quality": "high"}, {"style": "vivid"}):
        said = ask("POST", "/v1/images/generations", json={"prompt": "a red ball", **field})
        assert said.status_code == 400 and next(iter(field)) in said.text
    upload = {"file": ("a.png", b"x")}
    said = ask("POST", "/v1/files", data={"purpose": "vision", "expires_after": "60"}, files=upload)
    assert "expires_after" in refused(said, 400, "unknown_parameter")["message"]
