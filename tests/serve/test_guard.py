"""What the service refuses: hosts, origins, tokens, large and slow bodies, paths; and the shape of every refusal."""

from __future__ import annotations

import asyncio
import base64
import errno
import io
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import Request
from PIL import Image

from chronotope.serve.app import _logging, make_app
from chronotope.serve.guard import Security
from chronotope.serve.jobs.pool import Progress
from chronotope.serve.jobs.store import Store
from chronotope.serve.limits import Limits
from chronotope.serve.native import _event_id
from chronotope.serve.service import Service
from chronotope.simulate.listening import host_name
from tests.serve.asking import ORDER, Ask, asked, picture, refused

TOKENS = ("token-of-anna-1234", "token-of-bert-1234")


def test_only_allowed_hosts_are_answered(ask: Ask) -> None:
    """A page that lets its name point to this machine is stopped by the name that its requests carry."""
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        assert ask("GET", "/v1/models", headers={"host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "", "localhost@evil", "[::1"):
        refused(ask("GET", "/v1/models", headers={"host": host}), 403, "host_not_allowed")
    assert host_name("[fe80::1]:80") == "fe80::1"


def test_other_origins_change_nothing(ask: Ask, service: Service) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://localhost:9000"},
        {"origin": "http://localhost:8000", "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        refused(ask("POST", "/v1/videos", json=ORDER, headers=headers), 403, "origin_not_allowed")
    assert service.store.counts()["queued"] == 0
    headers = {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    assert ask("POST", "/v1/videos", json=ORDER, headers=headers).status_code == 200
    assert not [name for name in ask("GET", "/v1/videos").headers if name.startswith("access-control")]


def test_a_token_opens_what_was_made_with_it_alone(service: Service) -> None:
    ask = asked(service, Security.of(TOKENS))
    anna, bert = ({"authorization": f"Bearer {token}"} for token in TOKENS)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKENS[0]}, {"authorization": "Bearer "}):
        for method, path in (
            ("GET", "/v1/videos"),
            ("POST", "/v1/videos"),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
        ):
            assert refused(ask(method, path, headers=headers), 401, "invalid_api_key")["type"] == "authentication_error"
    assert ask("GET", "/health").status_code == 200
    made = ask("POST", "/v1/videos", json=ORDER, headers=anna).json()["id"]
    assert ask("GET", f"/v1/videos/{made}", headers=anna).status_code == 200
    for method, path in (
        ("GET", f"/v1/videos/{made}"),
        ("DELETE", f"/v1/videos/{made}"),
        ("GET", f"/v1/videos/{made}/content"),
        ("GET", f"/v1/videos/{made}/events"),
        ("GET", f"/v1/videos?after={made}"),
    ):
        refused(ask(method, path, headers=bert), 404, "not_found")
    refused(ask("POST", f"/v1/videos/{made}/remix", json=ORDER, headers=bert), 404, "not_found")
    assert ask("GET", "/v1/videos", headers=bert).json()["data"] == []
    order = {**ORDER, "video": made, "task": "extend"}
    refused(ask("POST", "/v1/generations", json=order, headers=bert), 404, "not_found")


def test_a_large_or_slow_body_is_refused(tmp_path: Path) -> None:
    limits = replace(Limits(), body_bytes=100_000, body_seconds=0.3)
    with Service(tmp_path / "service", devices=(), limits=limits) as service:
        ask = asked(service)
        refused(ask("POST", "/v1/videos", json={"prompt": "x" * 200_000}), 413, "body_too_large")
        form = {"files": {"input_reference": ("a.png", b"\0" * 200_000)}, "data": ORDER}
        refused(ask("POST", "/v1/videos", **form), 413, "body_too_large")

        async def unknown_length() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 10_000

        headers = {"content-type": "application/json"}
        refused(ask("POST", "/v1/videos", content=unknown_length(), headers=headers), 413, "body_too_large")

        async def slow() -> AsyncIterator[bytes]:
            yield b'{"prompt": '
            await asyncio.sleep(5)
            yield b'"x"}'

        refused(ask("POST", "/v1/videos", content=slow(), headers=headers), 408, "body_too_slow")
        assert service.store.counts()["queued"] == 0
        assert list((service.folder / "inputs").iterdir()) == []


@pytest.mark.parametrize(
    ("method", "path", "named", "status", "code"),
    [
        ("GET", "/nothing", {}, 404, "unknown_url"),
        ("PUT", "/v1/videos", {}, 405, "method_not_allowed"),
        (
            "POST",
            "/v1/videos",
            {"content": b"x", "headers": {"content-type": "text/plain"}},
            415,
            "unsupported_media_type",
        ),
        (
            "POST",
            "/v1/videos",
            {"content": b"[1", "headers": {"content-type": "application/json"}},
            400,
            "invalid_json",
        ),
        ("POST", "/v1/videos", {"json": [1]}, 400, "invalid_json"),
        ("POST", "/v1/videos", {"json": {}}, 400, "missing_required_parameter"),
        ("POST", "/v1/videos", {"json": {**ORDER, "model": "sora-3"}}, 400, "model_not_found"),
        ("POST", "/v1/videos", {"json": {**ORDER, "seconds": 10_000}}, 400, "invalid_value"),
        ("POST", "/v1/videos", {"json": {**ORDER, "size": "2000x2000", "num_frames": 960}}, 400, "invalid_value"),
        ("POST", "/v1/videos", {"json": {**ORDER, "task": "extend"}}, 400, "invalid_request"),
        ("POST", "/v1/videos", {"json": {**ORDER, "story": ["0: x"]}}, 400, "invalid_value"),
        (
            "POST",
            "/v1/videos",
            {"json": ORDER, "headers": {"idempotency-key": "k" * 201}},
            400,
            "invalid_idempotency_key",
        ),
        ("POST", "/v1/videos/extensions", {"json": ORDER}, 400, "missing_required_parameter"),
        ("POST", "/v1/videos/edits", {"json": {**ORDER, "video": "x", "seconds": 1}}, 400, "invalid_value"),
        ("POST", "/v1/videos/characters", {"json": {}}, 400, "unsupported"),
        ("POST", "/v1/images/generations", {"json": {**ORDER, "n": 5}}, 400, "invalid_value"),
        ("GET", "/v1/videos?limit=0", {}, 400, "invalid_value"),
        ("GET", "/v1/videos?order=up", {}, 400, "invalid_value"),
        ("GET", "/v1/videos/video_0", {}, 404, "not_found"),
        ("GET", "/v1/files/file_0", {}, 404, "not_found"),
        ("GET", "/v1/models/other", {}, 404, "model_not_found"),
        ("GET", "/ready", {}, 503, "not_ready"),
    ],
)
def test_refusals_have_one_shape(
    ask: Ask, method: str, path: str, named: dict[str, Any], status: int, code: str
) -> None:
    refused(ask(method, path, **named), status, code)


PATHS = [
    f"/v1/{place}/{payload}{end}"
    for place in ("videos", "files", "generations")
    for end in ("", "/content")
    for payload in (
        "..%2f..%2fjobs.sqlite3",
        "%2e%2e/%2e%2e/jobs.sqlite3",
        "....//jobs.sqlite3",
        "..%5cjobs.sqlite3",
        "..%252fjobs.sqlite3",
        "%00",
        "video_%00.mp4",
        "%2fetc%2fpasswd",
        "file:%2f%2f%2fetc%2fpasswd",
        "jobs.sqlite3",
        "%c0%ae%c0%ae%2f",
        "%ef%bc%8e%ef%bc%8e%2fjobs.sqlite3",
        "*",
        "a" * 3000,
    )
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leaves_the_folder(ask: Ask, path: str) -> None:
    answer = ask("GET", path)
    assert answer.status_code in (404, 405)
    assert b"SQLite" not in answer.content and b"root:" not in answer.content


def test_names_of_uploads_become_no_paths(ask: Ask, service: Service) -> None:
    for name in (
        "../../x.png",
        "/etc/x.png",
        "a\0b.png",
        ".png",
        "x" * 500 + ".png",
        "x.sqlite3",
        "x.png/../y",
        "\u202egnp.x",
    ):
        answer = ask("POST", "/v1/files", files={"file": (name, picture())})
        assert answer.status_code == 200, answer.text
    outside = {path for path in service.folder.parent.rglob("*") if path.is_file()}
    assert {path.parent.name for path in outside if path.suffix == ".png"} <= {"inputs"}
    assert all(path.name.startswith("file_") for path in (service.folder / "inputs").iterdir())


def test_uploads_are_looked_at_before_they_are_kept(ask: Ask, service: Service) -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0" + b"\0" * 30
    for content in (b"", b"hello", bomb, b"<svg/>", picture()[:40]):
        refused(ask("POST", "/v1/files", files={"file": ("a.png", content)}), 400, "invalid_file")
    order = {**ORDER, "image": "data:image/png;base64,AAAA"}
    assert str(service.folder) not in ask("POST", "/v1/videos", json=order).text
    assert list((service.folder / "inputs").iterdir()) == []
    assert service.store.counts()["queued"] == 0
    wide, moving = io.BytesIO(), io.BytesIO()
    Image.new("L", (5000, 8)).save(wide, "PNG")
    frames = [Image.new("L", (32, 32), level) for level in range(9)]
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    service.limits = replace(service.limits, animation_pixels=8 * 32 * 32)
    for content, words in ((wide, "at most 4096 a side"), (moving, "frames .* that have to be decoded, and at most")):
        answer = ask("POST", "/v1/files", files={"file": ("a.gif", content.getvalue())})
        assert re.search(words, refused(answer, 400, "invalid_file")["message"]), answer.text


def test_a_file_where_a_text_belongs_is_not_shown(ask: Ask) -> None:
    answer = ask("POST", "/v1/videos", files={"prompt": ("a.txt", b"secret")}, data={"size": "96x64"})
    assert refused(answer, 400, "invalid_type")["message"].endswith("got a file")


def test_a_value_that_would_be_lost_is_refused(ask: Ask) -> None:
    for body, code in (
        ('{"prompt": "a fox", "seed": 1, "seed": 2}', "invalid_json"),
        ('{"prompt": "a fox", "extra_params": "{\\"seed\\": 1, \\"seed\\": 2}"}', "invalid_value"),
    ):
        answer = ask("POST", "/v1/videos", content=body, headers={"content-type": "application/json"})
        assert 'the key "seed" stands twice' in refused(answer, 400, code)["message"]
    assert refused(ask("POST", "/v1/videos", json={**ORDER, "fps": 0}), 400, "invalid_value")["param"] == "fps"


def test_a_queue_and_a_folder_that_are_full_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Service(tmp_path / "service", devices=(), limits=replace(Limits(), queued=2)) as service:
        ask = asked(service)
        assert [ask("POST", "/v1/videos", json=ORDER).status_code for _ in range(2)] == [200, 200]
        answer = ask("POST", "/v1/videos", json=ORDER)
        refused(answer, 429, "rate_limit_exceeded")
        assert int(answer.headers["retry-after"]) > 0
        monkeypatch.setattr(Store, "stored_bytes", lambda _: service.limits.stored_bytes)
        service.limits = replace(service.limits, queued=9)
        refused(ask("POST", "/v1/videos", json=ORDER), 429, "insufficient_quota")
        monkeypatch.undo()
        service.limits = replace(service.limits, free_bytes=1 << 60)
        refused(ask("POST", "/v1/videos", json=ORDER), 503, "unavailable")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_during_an_upload_is_said(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    files = {"file": ("a.png", picture())}
    name = ask("POST", "/v1/files", files=files).json()["id"]
    for owner, method in ((Path, "write_bytes"), (SpooledTemporaryFile, "write")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, method, full)
            answer = ask("POST", "/v1/files", files=files)
        refused(answer, 503, "unavailable")
        assert answer.headers["retry-after"] and str(service.folder) not in answer.text
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", full)
        patched.setattr(shutil, "copyfile", full)
        refused(ask("POST", "/v1/videos", json={**ORDER, "image": name}), 503, "unavailable")
    assert [path.name for path in (service.folder / "inputs").iterdir()] == [f"{name}.png"]


def test_what_is_not_foreseen_is_an_error_without_words(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service.store, "get", lambda _: 1 / 0)
    answer = refused(ask("GET", "/v1/videos/video_0"), 500, "internal_error")
    assert "zero" not in answer["message"]


def test_the_bodies_of_all_requests_together_are_bounded(tmp_path: Path) -> None:
    limits = replace(Limits(), bodies_bytes=2000)
    body = json.dumps({**ORDER, "negative_prompt": " " * 1500}).encode()
    headers = {"content-type": "application/json"}

    async def both(app: Any) -> list[httpx.Response]:
        second_answered = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield body[:1500]
            await second_answered.wait()
            yield body[1500:]

        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            first = asyncio.create_task(client.post("/v1/videos", content=slow(), headers=headers))
            await asyncio.sleep(0.1)
            second = await client.post("/v1/videos", content=body, headers=headers)
            second_answered.set()
            return [await first, second, await client.post("/v1/videos", content=body, headers=headers)]

    with Service(tmp_path / "service", devices=(), limits=limits) as service:
        first, second, third = asyncio.run(both(make_app(service)))
    refused(second, 429, "rate_limit_exceeded")
    assert second.headers["retry-after"] == "1"
    assert (first.status_code, third.status_code) == (200, 200), "what was answered is not counted any more"


def test_half_characters_are_refused_and_old_ones_are_shown(ask: Ask, service: Service) -> None:
    half = b'{"prompt": "a \\ud83d ball"}'
    headers = {"content-type": "application/json"}
    for path in ("/v1/videos", "/v1/generations", "/v1/images/generations"):
        refused(ask("POST", path, content=half, headers=headers), 400, "invalid_characters")
    escaped = "multipart/form-data; boundary=x; charset=unicode_escape"
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="\\ud83d.png"\r\n\r\nx\r\n--x--\r\n'
    refused(ask("POST", "/v1/files", content=part, headers={"content-type": escaped}), 400, "invalid_characters")
    whole = "a \U0001f98a walks"
    assert ask("POST", "/v1/videos", json={"prompt": whole}).json()["prompt"] == whole
    job = service.store.jobs("local", "video")[0]
    old = {**job.asked, "story": [[0, "a \ud83d \U0001f98a"]]}
    service.store.add(replace(job, id="video_old", asked=old), [], None, "d")
    assert ask("GET", "/v1/videos").json()["data"][0]["prompt"] == "a ? \U0001f98a"
    assert ask("POST", "/v1/videos/video_old/remix", json=ORDER).status_code == 200


def test_a_text_of_a_form_may_be_as_large_as_a_body(ask: Ask) -> None:
    packed = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    Image.fromarray(noise).save(packed, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
    assert len(url) > 2 << 20
    answer = ask("POST", "/v1/videos", files={"prompt": (None, "a fox"), "image": (None, url)})
    assert answer.status_code == 200, answer.text


def test_an_event_has_its_own_name_at_every_change(ask: Ask, service: Service) -> None:
    job = service.store.get(ask("POST", "/v1/videos", json=ORDER).json()["id"])
    assert job is not None
    request = Request({"type": "http", "app": SimpleNamespace(state=SimpleNamespace(service=service))})
    names = []
    changes = (Progress(), Progress(told="a fox"), Progress(1, 4, "a fox"), Progress(1, 4, "a fox", 1), Progress(2, 4))
    for progress in changes:
        service.pool.progress[job.id] = progress
        names += [_event_id(request, job)] * 2
    assert len(set(names)) == len(changes)


def test_a_remix_is_checked_as_a_new_video_is(ask: Ask) -> None:
    order = {**ORDER, "at": "0,1", "num_frames": "9"}
    files = [("image", ("a.png", picture())), ("image", ("b.png", picture()))]
    made = ask("POST", "/v1/videos", data=order, files=files).json()["id"]
    path = f"/v1/videos/{made}/remix"
    assert ask("POST", path, data=ORDER).status_code == 200
    assert ask("POST", path, data=ORDER, files=files[:1]).status_code == 200, "the times went with the pictures"
    assert refused(ask("POST", path, json={**ORDER, "seconds": 0}), 400, "invalid_value")["param"] == "seconds"


def test_a_repeated_request_with_a_key_is_one_job(ask: Ask, service: Service) -> None:
    key = {"idempotency-key": "one"}
    order = {"files": {"input_reference": ("a.png", picture())}, "data": ORDER, "headers": key}
    first, second = ask("POST", "/v1/videos", **order), ask("POST", "/v1/videos", **order)
    assert first.json()["id"] == second.json()["id"]
    assert len(list((service.folder / "inputs").iterdir())) == 1
    refused(ask("POST", "/v1/videos", json=ORDER, headers=key), 409, "idempotency_conflict")
    assert service.store.counts()["queued"] == 1


def test_the_log_is_a_line_of_json_for_a_request_and_for_an_error(
    ask: Ask, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(service.store, "get", lambda _: 1 / 0)
    with _logging(tmp_path / "log.jsonl"):
        ask("GET", "/v1/videos/video_0")
    error, request = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert "ZeroDivisionError" in error["trace"] and error["level"] == "error"
    assert (request["status"], request["path"]) == (500, "/v1/videos/video_0")


def test_a_remix_with_the_prompt_of_a_story_keeps_the_story(ask: Ask, service: Service) -> None:
    made = ask("POST", "/v1/videos", json={"story": ["0: a fox walks right", "1: a fox walks left"]}).json()
    again = ask("POST", f"/v1/videos/{made['id']}/remix", data={"prompt": made["prompt"], "seed": 1}).json()
    jobs = [service.store.get(one["id"]) for one in (made, again)]
    assert [job.asked["story"] for job in jobs if job] == [[[0, "a fox walks right"], [1, "a fox walks left"]]] * 2


def test_the_schema_lists_every_field(ask: Ask) -> None:
    schema = ask("GET", "/openapi.json").json()
    body = schema["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    fields = body["application/json"]["schema"]["properties"]
    assert {"prompt", "seconds", "size", "input_reference", "seed", "story"} <= set(fields)
    assert all(field["description"] for field in fields.values())


def test_the_page_asks_no_other_host(ask: Ask) -> None:
    answer = ask("GET", "/")
    assert answer.status_code == 200 and "text/html" in answer.headers["content-type"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "//" not in answer.text.replace("// ", "")


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/health", 200), ("/ready", 503)])
def test_monitors_may_ask_without_a_body(ask: Ask, path: str, status: int) -> None:
    assert ask("HEAD", path).status_code == ask("GET", path).status_code == status


def test_numbers_for_operators(ask: Ask) -> None:
    ask("POST", "/v1/videos", json=ORDER)
    text = ask("GET", "/metrics").text
    assert 'chronotope_requests_total{method="POST",status="200"} 1\n' in text
    assert 'chronotope_jobs{state="queued"} 1\n' in text
    for line in text.splitlines():
        assert line.startswith("# TYPE chronotope_") or float(line.rpartition(" ")[2]) >= 0
