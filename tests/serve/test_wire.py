"""The service as a program, driven by the unmodified client of OpenAI, by our own and by plain HTTP."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from chronotope import Client, Generator
from chronotope.errors import UsageError
from chronotope.media import video
from chronotope.prompt import read_prompts
from chronotope.request import Request
from chronotope.safety.deliver import deliver
from chronotope.safety.verify import verify
from chronotope.serve.client import ServiceError, _clip_url
from tests.cli.models import save_run
from tests.serve.servers import Program, call, program

PROMPT = "a red ball moves to the right"
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("service") / "jobs", model) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Program) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture(scope="module")
def made(client: openai.OpenAI) -> Any:
    extra = {"seed": 7, "steps": 3, "expand": False}
    return client.videos.create_and_poll(
        model="sora-2", prompt=PROMPT, seconds="1", size="48x32", extra_body=extra, poll_interval_ms=200
    )


@pytest.fixture(scope="module")
def clip(client: openai.OpenAI, made: Any) -> bytes:
    return bytes(client.videos.download_content(made.id).read())


def frames_of(content: bytes, folder: Path, name: str = "x.mp4") -> np.ndarray:
    (folder / name).write_bytes(content)
    return video.read(folder / name).frames


def test_the_client_gets_the_video_that_the_generator_makes(
    made: Any, clip: bytes, model: Path, tmp_path: Path
) -> None:
    assert (made.object, made.status, made.progress, made.seconds, made.size) == (
        "video",
        "completed",
        100,
        "1",
        "48x32",
    )
    assert made.error is None and made.prompt == PROMPT and made.expires_at > made.completed_at >= made.created_at
    generator = Generator.load(model)
    plan = generator.plan(Request(read_prompts(PROMPT), height=32, width=48, num_frames=8, num_steps=3))
    stream = generator.stream(plan, 7)
    deliver(tmp_path / "own.mp4", (frame for piece in stream.pieces for frame in piece), stream.fps, stream.origin)
    np.testing.assert_array_equal(frames_of(clip, tmp_path), video.read(tmp_path / "own.mp4").frames)


def test_variants_and_parts(client: openai.OpenAI, server: Program, made: Any, clip: bytes) -> None:
    for variant, kind, size in (("thumbnail", "WEBP", (48, 32)), ("spritesheet", "JPEG", (240, 64))):
        content = client.videos.download_content(made.id, variant=variant).read()
        picture = Image.open(io.BytesIO(content))
        assert (picture.format, picture.size) == (kind, size)
    path = f"/v1/videos/{made.id}/content"
    status, headers, part = call(server.url, "GET", path, headers={"Range": "bytes=10-29"})
    assert (status, part, headers["content-range"]) == (206, clip[10:30], f"bytes 10-29/{len(clip)}")
    for wrong, expected in ((f"bytes={len(clip)}-", 416), ("bytes=5-2", 400), ("items=0-1", 400), ("bytes=abc", 400)):
        status, headers, body = call(server.url, "GET", path, headers={"Range": wrong})
        assert (status, body["error"]["code"]) == (expected, "invalid_range")
        assert headers.get("content-range") == (f"bytes */{len(clip)}" if expected == 416 else None)
    status, headers, nothing = call(server.url, "HEAD", path)
    assert (status, headers["content-length"], nothing) == (200, str(len(clip)), b"")
    assert call(server.url, "GET", f"{path}?variant=other")[0] == 400


def test_extensions_and_edits_take_a_file_or_a_name(
    client: openai.OpenAI, server: Program, made: Any, clip: bytes, tmp_path: Path
) -> None:
    extra = {"steps": 2}
    uploaded = client.videos.extend(prompt=PROMPT, seconds="1", video=("a.mp4", clip), extra_body=extra)
    order = {"prompt": PROMPT, "seconds": "1", "video": {"id": made.id}, **extra}
    named = call(server.url, "POST", "/v1/videos/extensions", order)[2]
    edited = client.videos.edit(prompt=PROMPT, video=("a.mp4", clip), extra_body={**extra, "strength": 0.5})
    assert (uploaded.seconds, named["seconds"], edited.seconds) == ("2", "2", "1")
    found = [server.wait(name) for name in (uploaded.id, named["id"], edited.id)]
    assert [(job["status"], job["num_frames"], job["task"]) for job in found] == [
        ("completed", 16, "extend"),
        ("completed", 16, "extend"),
        ("completed", 8, "edit"),
    ]
    first, second, changed = (
        frames_of(client.videos.download_content(job["id"]).read(), tmp_path, f"{place}.mp4")
        for place, job in enumerate(found)
    )
    np.testing.assert_array_equal(first, second)
    known = frames_of(clip, tmp_path)
    assert np.abs(first[:8].astype(int) - known).mean() < 4, "the clip comes back, compressed once more"
    assert np.abs(changed.astype(int) - known).mean() > 4


def test_settings_that_are_downloaded_are_the_signed_sidecar(server: Program, made: Any, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    for path, what in ((film, "content"), (video.sidecar(film), "settings")):
        path.write_bytes(httpx.get(f"{server.url}/v1/videos/{made.id}/{what}").content)
    assert verify(film, search=False).sidecar == "signed"


def test_a_remix_keeps_the_settings(client: openai.OpenAI, server: Program, made: Any) -> None:
    remix = client.videos.remix(made.id, prompt="a fox walks past a tree at night")
    assert remix.remixed_from_video_id == made.id and (remix.seconds, remix.size) == ("1", "48x32")
    done = server.wait(remix.id)
    assert done["seed"] == 7 and done["status"] == "completed"
    settings = call(server.url, "GET", f"/v1/videos/{remix.id}/settings")[2]
    assert (settings["num_steps"], settings["prompt"]) == (3, "a fox walks past a tree at night")
    other = call(server.url, "POST", f"/v1/videos/{made.id}/remix", {"prompt": PROMPT, "seed": 8, "size": "32x32"})[2]
    assert (other["seed"], other["size"], other["seconds"]) == (8, "32x32", "1")
    zero = call(server.url, "POST", f"/v1/videos/{made.id}/remix", {"prompt": PROMPT, "seed": 0, "num_frames": 12})[2]
    assert (zero["seed"], zero["size"], zero["num_frames"]) == (0, "48x32", 12), "what is named counts, also a zero"
    for job in (other, zero):
        client.videos.delete(job["id"])


def test_pictures_start_a_video(client: openai.OpenAI, server: Program, made: Any) -> None:
    picture = client.videos.download_content(made.id, variant="thumbnail").read()
    video_made = client.videos.create(prompt=PROMPT, input_reference=("p.webp", picture), extra_body={"steps": 2})
    file = client.files.create(file=("p.webp", picture), purpose="vision")
    assert (file.bytes, client.files.retrieve(file.id).filename) == (len(picture), "p.webp")
    order = {"prompt": PROMPT, "image": [file.id, {"file_id": file.id}], "at": [0, 1], "num_frames": 9, "steps": 2}
    keyframes = call(server.url, "POST", "/v1/generations", order)[2]
    client.files.delete(file.id)
    assert server.wait(video_made.id)["status"] == "completed"
    assert server.wait(keyframes["id"])["status"] == "completed", "a job has its own copies of its files"


@pytest.mark.parametrize(
    ("task", "fields", "frames"),
    [
        ("extend_backward", {"num_frames": 4}, 12),
        ("loop", {"num_frames": 4}, 12),
        ("connect", {"num_frames": 4}, 20),
        ("retake", {"span": [0, 0.5]}, 8),
        ("outpaint", {"size": "64x48"}, 8),
        ("loop alone", {"num_frames": 8}, 8),
    ],
)
def test_every_task_is_a_generation(server: Program, made: Any, task: str, fields: dict[str, Any], frames: int) -> None:
    order = {"prompt": PROMPT, "task": task.split()[0], "steps": 1, **fields}
    order |= {} if "alone" in task else {"video": made.id}
    order |= {"into": made.id} if task == "connect" else {}
    asked = call(server.url, "POST", "/v1/generations", order)[2]
    done = server.wait(asked["id"])
    assert (done["status"], done["num_frames"]) == ("completed", frames), done["error"]
    assert (asked["num_frames"], asked["size"]) == (frames, done["size"]), "what is said before is what is made"


def test_stories_and_pictures(client: openai.OpenAI, server: Program) -> None:
    extra = {"story": ["0: a red ball", "1: a fox"], "steps": 1}
    order = {"story": extra["story"], "steps": 1, "num_frames": 16}
    told = call(server.url, "POST", "/v1/generations", order)[2]
    assert told["prompt"] == "0: a red ball\n1: a fox"
    picture = call(server.url, "POST", "/v1/generations", {"prompt": PROMPT, "seconds": 0, "steps": 1})[2]
    assert picture["object"] == "picture"
    found = client.images.generate(prompt=PROMPT, size="48x32", n=2, extra_body={"steps": 1})  # type: ignore[call-overload]
    assert len({one.b64_json for one in found.data}) == 2
    assert server.wait(told["id"])["status"] == server.wait(picture["id"])["status"] == "completed"
    _, headers, content = call(server.url, "GET", f"/v1/generations/{picture['id']}/content")
    assert headers["content-type"] == "image/png" and Image.open(io.BytesIO(content)).size == (48, 32)
    assert picture["id"] not in {one.id for one in client.videos.list(limit=100)}


def test_lists_go_on_where_a_page_ends(client: openai.OpenAI, server: Program, made: Any) -> None:
    whole = [one.id for one in client.videos.list(limit=100)]
    assert made.id in whole and len(whole) == len(set(whole)) >= 2
    assert [one.id for one in client.videos.list(limit=2)] == whole, "the client asks page by page"
    assert [one.id for one in client.videos.list(limit=100, order="asc")] == whole[::-1]
    page = call(server.url, "GET", "/v1/videos?limit=1")[2]
    assert (page["object"], page["has_more"], page["first_id"], page["last_id"]) == ("list", True, whole[0], whole[0])


def test_deleting_ends_a_job_and_removes_its_files(client: openai.OpenAI, server: Program) -> None:
    long = client.videos.create(prompt=PROMPT, extra_body={"steps": 200, "num_frames": 400})
    waits = client.videos.create(prompt=PROMPT, seconds="1", extra_body={"steps": 1})
    for name in (waits.id, long.id):
        assert client.videos.delete(name).deleted
        with pytest.raises(openai.NotFoundError, match="there is no video"):
            client.videos.retrieve(name)
    after = client.videos.create_and_poll(prompt=PROMPT, seconds="1", extra_body={"steps": 1}, poll_interval_ms=200)
    assert after.status == "completed", "the worker goes on with the next job"
    assert not [path for name in (waits.id, long.id) for path in (server.folder / "outputs").glob(f"*{name}*")]


def test_a_video_is_seen_while_it_is_made(client: openai.OpenAI, server: Program) -> None:
    long = client.videos.create(prompt=PROMPT, extra_body={"steps": 200, "num_frames": 400, "seed": 3})
    path = f"/v1/videos/{long.id}/preview"
    seen: set[bytes] = set()
    until = time.monotonic() + 120
    while len(seen) < 2 and time.monotonic() < until:
        status, headers, content = call(server.url, "GET", path)
        if status == 200:
            assert headers["content-type"] == "image/webp" and Image.open(io.BytesIO(content)).size == (48, 32)
            seen.add(content)
        else:
            assert (status, content["error"]["code"]) == (409, "not_ready")
        time.sleep(0.1)
    assert len(seen) == 2, "it changes"
    client.videos.delete(long.id)
    time.sleep(1)
    assert not list((server.folder / "outputs").glob(f"{long.id}*"))


def test_an_unknown_field_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Did you mean 'seed'"):
        client.videos.create(prompt=PROMPT, extra_body={"sed": 1})


def test_the_policy_refuses_before_a_job_waits(server: Program) -> None:
    for path, field in (("/v1/generations", {"prompt": "make a pipe bomb"}), ("/v1/videos", {"prompt": "nude woman"})):
        status, _, body = call(server.url, "POST", path, field)
        assert (status, body["error"]["code"]) == (400, "content_policy_violation")
        assert "by the rule" in body["error"]["message"]
    beats = {"story": [[0, "make a"], [1, "pipe bomb"]]}
    assert call(server.url, "POST", "/v1/generations", beats)[2]["error"]["code"] == "content_policy_violation"


def test_a_stopped_service_accepts_nothing(server: Program) -> None:
    (server.folder / "stopped").touch()
    try:
        status, _, body = call(server.url, "POST", "/v1/generations", {"prompt": PROMPT})
        assert status == 503 and "stopped it" in body["error"]["message"]
    finally:
        (server.folder / "stopped").unlink()


def test_a_delivered_video_is_signed_by_itself(server: Program, clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip)
    found = verify(tmp_path / "clip.mp4", search=False)
    assert found.verdict == "signed" and found.origin is not None and found.origin["policy"]["name"] == "default"


def test_events_go_on_after_the_last_one_that_was_seen(server: Program) -> None:
    order = {"prompt": PROMPT, "steps": 5, "num_frames": 32}
    name = call(server.url, "POST", "/v1/generations", order)[2]["id"]
    _, headers, body = call(server.url, "GET", f"/v1/videos/{name}/events")
    assert headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in one.splitlines()) for one in body.decode().split("\n\n") if one]
    assert events[-1]["event"] == "completed" and json.loads(events[-1]["data"])["progress"] == 100
    progress = [json.loads(one["data"])["progress"] for one in events]
    assert progress == sorted(progress) and len({one["id"] for one in events}) == len(events)
    path = f"/v1/generations/{name}/events"
    resumed = call(server.url, "GET", path, headers={"Last-Event-ID": events[0]["id"]})[2].decode()
    assert resumed.count("event: ") == 1 and f"id: {events[-1]['id']}" in resumed
    assert call(server.url, "GET", path, headers={"Last-Event-ID": events[-1]["id"]})[0] == 204


@pytest.mark.parametrize("fps", [8.0, 24.0])
def test_our_client_sends_every_frame_of_a_clip_that_stands_still(tmp_path: Path, fps: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)
    for frames in (np.repeat(noise[:1], 17, axis=0), noise[[0, 0, 1, 1, 1, 2, 0, 0]], noise[:1]):
        (tmp_path / "sent.png").write_bytes(base64.b64decode(_clip_url("video", frames, fps).partition(",")[2]))
        assert video.probe(tmp_path / "sent.png").num_frames == len(frames)
        np.testing.assert_array_equal(video.read(tmp_path / "sent.png").frames, frames)


def test_our_client_has_the_arguments_of_the_generator(server: Program, model: Path, tmp_path: Path) -> None:
    ours, generator = Client(server.url), Generator.load(model)
    steps: list[int] = []
    settings: dict[str, Any] = {"num_frames": 1, "num_inference_steps": 3, "seed": 5}
    picture = ours.generate(PROMPT, report=steps.append, **{name: np.int64(settings[name]) for name in settings})
    alone = generator.generate(PROMPT, **settings)
    alone.save(tmp_path / "alone.png")
    np.testing.assert_array_equal(picture.frames, video.read(tmp_path / "alone.png").frames)
    same = {name: value for name, value in alone.origin.items() if name not in ("seconds", "notes")}
    assert {name: picture.origin[name] for name in same} == json.loads(json.dumps(same))
    assert steps == sorted(set(steps))
    clip = generator.generate(PROMPT, num_frames=8, seed=2, num_inference_steps=2).frames
    mask = np.zeros((1, 32, 48), bool)
    mask[:, :, :16] = True
    for more in (
        {"video": clip, "task": "extend", "num_frames": 4},
        {"video": clip, "task": "retake", "mask": mask},
        {"image": [(0.0, clip[0]), (1.0, clip[7])], "num_frames": 9},
        {"video": clip, "into": clip[::-1], "task": "connect", "num_frames": 4, "fps": 12.0},
    ):
        both: list[Callable[..., Any]] = [ours.generate, generator.generate]
        served, local = (generate(PROMPT, num_inference_steps=1, seed=3, **more) for generate in both)
        local.save(tmp_path / "local.mp4")  # which marks and compresses, as the service does
        np.testing.assert_array_equal(served.frames, video.read(tmp_path / "local.mp4").frames)
    with pytest.raises(ServiceError, match="needs a video") as caught:
        ours.generate(PROMPT, task="extend")
    assert caught.value.status == 400
    with pytest.raises(UsageError, match=r"mask\[None\]"):
        ours.generate(PROMPT, video=clip, task="retake", mask=mask[0])
    with pytest.raises(UsageError, match="cannot be sent to a service"):
        ours.generate(PROMPT, seed={1})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a prompt is a text"):
        ours.generate(3)  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match="start it with"):
        Client("http://127.0.0.1:9").generate(PROMPT)
