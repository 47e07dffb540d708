"""A job that is made of the output of another one waits for it, without its client."""

from __future__ import annotations

import errno
import io
import os
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from chronotope.media import video
from chronotope.serve.jobs.store import Job, StoreProblem
from chronotope.serve.order import FieldError, Order
from chronotope.serve.service import MissingError, Service
from tests.serve.asking import ORDER, Ask, refused

LEAD = {"task": "extend_backward", "num_frames": 8}


@pytest.fixture
def pair(ask: Ask) -> tuple[str, str]:
    """Two jobs, of which the second is made of the first."""
    first = ask("POST", "/v1/generations", json={**ORDER, "num_frames": 12, "size": "48x32"}).json()["id"]
    answer = ask("POST", "/v1/generations", json={**ORDER, **LEAD, "video": first})
    assert answer.status_code == 200, answer.text
    return first, answer.json()["id"]


def end(service: Service, name: str) -> None:
    """Complete a job that is in progress, with a real file."""
    job = service.store.get(name)
    assert job is not None
    frames = np.full((12, 32, 48, 3), 90, np.uint8)
    video.write(service.output_path(job), frames, 8)
    assert service.store.complete(name, {"bytes": 1, "width": 48, "height": 32, "num_frames": 12, "fps": 8})


def claimed(service: Service) -> Job:
    job = service.store.claim()
    assert job is not None
    return job


def test_the_second_waits_for_the_first_and_has_its_output(ask: Ask, service: Service, pair: tuple[str, str]) -> None:
    first, second = pair
    shown = ask("GET", f"/v1/generations/{second}").json()
    assert shown["waits_for"] == [first] and (shown["num_frames"], shown["size"]) == (12 + 8, "48x32")
    assert ask("POST", f"/v1/generations/{second}/move", json={"place": 0}).status_code == 200
    assert claimed(service).id == first and service.store.claim() is None
    end(service, first)
    job = claimed(service)
    task = service._task(job)
    assert job.id == second and task.order.video is not None and task.order.video.startswith("file_")
    assert task.paths[task.order.video].read_bytes() == (service.folder / "outputs" / f"{first}.mp4").read_bytes()


def test_a_server_that_starts_again_keeps_who_waits(ask: Ask, service: Service, pair: tuple[str, str]) -> None:
    first, second = pair
    claimed(service)
    end(service, first)
    job = claimed(service)
    service._task(job)
    service.store.recover()
    again = claimed(service)
    assert again.id == second and service._task(again).order.video == again.asked["video"]
    assert len(list((service.folder / "inputs").iterdir())) == 1, "the output is linked once"
    order = ask("GET", f"/v1/generations/{second}/order").json()
    assert order["files"][order["video"]]["num_frames"] == 12
    assert ask("GET", f"/v1/generations/{second}").json()["waits_for"] == []


@pytest.mark.parametrize("ends", ["deleted", "failed"])
def test_a_job_whose_source_is_lost_fails(ask: Ask, service: Service, pair: tuple[str, str], ends: str) -> None:
    first, second = pair
    if ends == "deleted":
        assert ask("DELETE", f"/v1/generations/{first}").status_code == 200
    else:
        service.store.fail(claimed(service).id, {"code": "x", "message": "x"})
    job = claimed(service)
    assert job.id == second
    with pytest.raises(FieldError, match=f"{first}, of which it was to be made, (was deleted|has failed)") as problem:
        service._task(job)
    assert problem.value.code == "source_lost"


def test_only_clips_are_waited_for_and_only_of_the_same_owner(
    ask: Ask, service: Service, pair: tuple[str, str]
) -> None:
    first, _ = pair
    refused(ask("POST", "/v1/generations", json={**ORDER, "image": first}), 400, "not_completed")
    order = Order(((0.0, "a fox"),), task="extend", num_frames=8)
    with pytest.raises(MissingError, match="there is no file or video"):
        service.create("another", order, {"video": first})
    service.store.fail(claimed(service).id, {"code": "x", "message": "x"})
    said = refused(ask("POST", "/v1/generations", json={**ORDER, **LEAD, "video": first}), 400, "not_completed")
    assert "is failed; name a completed one" in said["message"]


@pytest.mark.parametrize("fault", ["the second is gone", "the disk is full"])
def test_inputs_that_cannot_all_be_had_leave_no_file(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    sized = {**ORDER, "num_frames": 12, "size": "48x32"}
    first, second = (ask("POST", "/v1/generations", json=sized).json()["id"] for _ in range(2))
    connect = {**ORDER, "task": "connect", "num_frames": 8, "video": first, "into": second}
    assert ask("POST", "/v1/generations", json=connect).status_code == 200
    for _ in range(2):
        end(service, claimed(service).id)
    job, before = claimed(service), sorted((service.folder / "inputs").iterdir())
    if fault == "the second is gone":
        service.delete("local", second)
        with pytest.raises(FieldError, match="was deleted"):
            service._task(job)
    else:
        other = OSError(errno.EXDEV, "other file system")
        monkeypatch.setattr(os, "link", Mock(side_effect=other))
        monkeypatch.setattr(shutil, "copyfile", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(StoreProblem, match="No space left on device"):
            service._task(job)
    assert sorted((service.folder / "inputs").iterdir()) == before


def test_a_file_that_is_changed_on_the_disk_is_not_used(ask: Ask, service: Service) -> None:
    """Else a job would be made of another picture than the one that was accepted."""
    pictures = [io.BytesIO(), io.BytesIO()]
    for level, packed in zip((10, 200), pictures, strict=True):
        Image.new("RGB", (48, 32), (level, 0, 0)).save(packed, "PNG")
    first, second = (packed.getvalue() for packed in pictures)
    upload = {"file": ("a.png", first)}
    file = ask("POST", "/v1/files", data={"purpose": "vision"}, files=upload).json()["id"]
    order = {**ORDER, "image": {"file_id": file}, "num_frames": 4}
    assert ask("POST", "/v1/generations", json=order).status_code == 200
    for path in (service.folder / "inputs").iterdir():
        path.write_bytes(second)
    with pytest.raises(FieldError, match=r"was changed on the server's disk .* send it again"):
        service._task(claimed(service))
    said = ask("POST", "/v1/generations", json=order)
    assert said.status_code == 400 and "was changed on the server's disk" in said.text
