"""Captions by an endpoint: a real local server that answers, fails, refuses and talks nonsense."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronotope.caption.captioners import chat
from chronotope.caption.captioners.answers import caption_of
from chronotope.caption.captioners.captioner import CaptionerError, NoCaptionError
from chronotope.caption.captioners.chat import KEY
from chronotope.caption.captioners.endpoint import Endpoint
from chronotope.data.captions import LEVELS
from chronotope.data.latents import LatentDataset
from chronotope.data.recaptions import RECAPTIONS, WRITTEN, Recaptions
from chronotope.data.reviews import REVIEWS
from chronotope.errors import UsageError
from chronotope.jsonl import write_jsonl
from chronotope.manifest import read_manifest, seal
from chronotope.train.config import CaptionConfig
from tests.cli.models import answer, refused, run, save_clips, save_run

FRAMES = np.zeros((9, 32, 48, 3), np.uint8)
Reply = Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]


class Server:
    """An OpenAI-compatible server; `replies` are what it answers in turn, the last one again and again."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.replies: list[Reply] = [says("A red ball rolls to the right.")]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                outer.headers.append(dict(self.headers))
                reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                status, headers, body = reply(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:  # the client has hung up
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


def says(text: str | None, tokens: int = 7) -> Reply:
    message = {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"total_tokens": tokens}}
    return lambda request: (200, {}, json.dumps(message).encode())


def status(number: int, body: str = "", **headers: str) -> Reply:
    return lambda request: (number, headers, body.encode())


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def ask(server: Server, frames: np.ndarray = FRAMES, pauses: list[float] | None = None) -> str:
    asked = Endpoint(f"{server.address}#m", "sentence", pause=(pauses if pauses is not None else []).append)
    return asked.ask(frames, 8.0).text


# The protocol


def test_a_request_holds_the_question_and_pictures_in_order(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret-1")
    frames = np.zeros((24, 600, 1200, 3), np.uint8)
    frames[:] = np.arange(24, dtype=np.uint8)[:, None, None, None] * 10
    asked = Endpoint(f"{server.address}/#m", "paragraph")
    assert asked.ask(frames, 12.0).tokens == 7
    (request,) = server.requests
    assert (request["model"], request["temperature"]) == ("m", 0)
    text, *pictures = request["messages"][0]["content"]
    assert "8 pictures of one clip of 2 seconds" in text["text"] and "three to six plain sentences" in text["text"]
    levels = []
    for picture in pictures:
        kind, _, data = picture["image_url"]["url"].partition(",")
        assert kind == "data:image/jpeg;base64"
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.size == (512, 256)
        levels.append(int(np.asarray(image).mean()))
    assert levels == sorted(levels) and levels[0] < 5 and levels[-1] > 225 and len(levels) == 8
    assert server.headers[0]["Authorization"] == "Bearer secret-1"
    assert "secret-1" not in json.dumps(dict(asked.author))


def test_failures_that_pass_are_tried_again_later_and_later(server: Server) -> None:
    server.replies = [status(500), status(429, "busy", **{"Retry-After": "9"}), status(503), says("A fox.")]
    pauses: list[float] = []
    assert ask(server, pauses=pauses) == "A fox." and pauses == [1.0, 9.0, 4.0]
    server.replies = [status(502, "down")]
    with pytest.raises(CaptionerError, match="did not answer after 5 tries: status 502: down"):
        ask(server)


def test_a_slow_or_absent_server_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Endpoint("http://127.0.0.1:9/v1#m", pause=lambda seconds: None)
    with pytest.raises(CaptionerError, match=r"127\.0\.0\.1:9/v1 did not answer after 5 tries: it cannot be reached"):
        gone.ask(FRAMES, 8.0)
    monkeypatch.setattr(chat, "SECONDS", 0.2)
    event = threading.Event()

    def sleeps(request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        event.wait(10)
        return 200, {}, b""

    server.replies = [sleeps]
    with pytest.raises(CaptionerError, match=r"no answer within 0\.2 s"):
        ask(server)
    event.set()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (status(401, "bad key"), rf"refused no key \({KEY} is not set\): status 401"),
        (status(404, "no model m"), "answered with status 404: no model m"),
        (
            status(200, "<html><body>Welcome</body></html>"),
            "is no OpenAI-compatible endpoint.*begins: <html>",
        ),
        (status(200, '{"error": "x"}'), "is no OpenAI-compatible endpoint"),
        (status(200, "[1]"), "is no OpenAI-compatible endpoint"),
        (status(200, " " * (2**20 + 1)), "has more than 1048576 bytes"),
        (status(302, "", Location="http://127.0.0.1:9/"), "answered with status 302"),
    ],
)
def test_what_is_no_captioner_is_said_at_once(server: Server, reply: Reply, message: str) -> None:
    server.replies = [reply]
    with pytest.raises(CaptionerError, match=message):
        ask(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_an_answer_that_was_cut_off_is_none(server: Server, reason: str) -> None:
    choice = {"message": {"content": "A red square moves towards the"}, "finish_reason": reason}
    server.replies = [status(200, json.dumps({"choices": [choice]}))]
    with pytest.raises(NoCaptionError, match=f"did not come to its end .{reason}."):
        ask(server)
    choice["finish_reason"] = "stop"
    server.replies = [status(200, json.dumps({"choices": [choice]}))]
    assert ask(server) == "A red square moves towards the"


def test_the_key_is_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret-2")
    server.replies = [status(400, "your key secret-2 is odd")]
    with pytest.raises(CaptionerError, match="your key KEY is odd"):
        ask(server)
    server.replies = [status(403)]
    with pytest.raises(CaptionerError, match=f"refused the key in {KEY}"):
        ask(server)


def test_requests_a_minute_are_limited(server: Server) -> None:
    pauses: list[float] = []
    asked = Endpoint(f"{server.address}#m", per_minute=60, pause=pauses.append)
    for _ in range(3):
        asked.ask(FRAMES, 8.0)
    assert len(pauses) == 2 and all(0.5 < pause <= 1 for pause in pauses)


@pytest.mark.parametrize("address", ["", "m", "ftp://x/v1#m", "http://x/v1", "http:///v1#m", "http://a:b@x/v1#m"])
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"localhost:8000/v1#MODEL|holds no password"):
        Endpoint(address)


# What is a caption


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("  A red ball\nrolls. ", "A red ball rolls."),
        ("The video shows a red ball.", "A red ball."),
        ("Sure! Here is the caption: In this video, a fox runs.", "A fox runs."),
        ('"A fox."', "A fox."),
        ("**fox**, tree", "fox , tree"),
        ("this image depicts a cat", "a cat"),
        ("<think>The user wants a caption.</think> A square moves.", "A square moves."),
        ("A square moves. Let me know if you need anything else!", "A square moves."),
        ("A fox runs. I hope this helps.", "A fox runs."),
        ("A frame hangs on a wall beside one picture", "A frame hangs on a wall beside one picture"),
        ("A sign says 1. Then 3 cars pass", "A sign says 1. Then 3 cars pass"),
    ],
)
def test_openings_are_left_out(answer: str, caption: str) -> None:
    assert caption_of(answer, "sentence") == caption


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n",
        "The video shows",
        "I'm sorry, I cannot see it.",
        "As an AI, I ...",
        "no image was provided",
        "a " * 90,
        "the fox runs and " * 8,
        "I don't see any image attached. Please upload it.",
        "None",
        "null.",
        '{"caption": "a square moves"}',
        '```json\n{"caption": "a square"}\n```',
        "<|im_start|>assistant A square<|im_end|>",
        "<think>The user wants",
        "Here are three options: 1. A square. 2. A box. 3. A cube.",
        "1. A square moves. 2. A red box moves.",
        "Frame 1: a square. Frame 2: a square. Frame 3: a square.",
    ],
)
def test_what_is_no_caption_is_refused(answer: str) -> None:
    with pytest.raises(NoCaptionError):
        caption_of(answer, "sentence")


# A folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return save_clips(tmp_path / "clips")


def caption(server: Server, folder: Path, *more: object, status: int = 0) -> str:
    result = run("caption", folder, "--captioner", f"{server.address}#m", "--workers", 1, *more)
    assert result.exit_code == status, result.output
    return result.stderr


def test_a_folder_is_captioned_and_encoded_and_gone_on_with(server: Server, clips: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in clips.iterdir()}
    server.replies = [says("A red square."), says("I'm sorry, no."), says("A blue square.")]
    said = caption(server, clips, status=3)
    assert (
        "4 clips: 3 captioned, 0 kept, 1 without a caption; 28 tokens" in said and "1.mp4: the answer refuses" in said
    )
    assert {path.name: path.read_bytes() for path in clips.iterdir() if path.name in before} == before
    again = caption(server, clips)
    assert "4 clips: 1 captioned, 3 kept" in again and len(server.requests) == 5
    rows = Recaptions(clips).rows
    author = rows["0.mp4", "sentence"]["author"]
    assert rows["0.mp4", "sentence"]["measured"]["motion"] > 0 and "measured" not in rows["still.png", "sentence"]
    assert author["model"] == "m" and author["url"] == server.address and "one plain sentence" in author["asked"]
    assert "nothing is wrong" in run("check", clips).stdout

    model = save_run(tmp_path / "model")
    encode = ("encode", clips, "--model", model, "--out", tmp_path / "lat")
    run(*encode)
    levels = {clip.key: clip.captions for clip in LatentDataset([tmp_path / "lat"]).clips}
    assert levels["clips/0"] == {"sentence": ["a red ball moves to the right"], WRITTEN: ["A red square."]}
    assert levels["clips/still"] == {WRITTEN: ["A blue square."]}
    assert "nothing is wrong" in run("check", tmp_path / "lat").stdout

    renamed = (clips / "1.mp4").rename(clips / "renamed.mp4")  # it keeps its captions
    run(*encode)
    assert WRITTEN in {clip.key: clip.captions for clip in LatentDataset([tmp_path / "lat"]).clips}["clips/renamed"]
    renamed.rename(clips / "1.mp4")

    # another content: what was written is not of it
    (clips / "0.mp4").write_bytes((clips / "1.mp4").read_bytes() + b"\0\0\0\x08free")
    noted = "1 caption is of a clip that was changed or removed, and not used; changed ones wait for `chronotope cap"
    assert noted in run("check", clips).stderr
    encoded = run(*encode).stderr
    assert "1 changed" in encoded and noted in encoded
    assert WRITTEN not in LatentDataset([tmp_path / "lat"]).clips[0].captions
    assert "1 captioned, 3 kept" in caption(server, clips)
    assert "1 with new captions" in run(*encode).stderr


def test_another_author_or_detail_writes_anew(server: Server, clips: Path) -> None:
    caption(server, clips)
    assert "4 captioned, 0 kept" in caption(server, clips, "--detail", "paragraph")
    assert "0 captioned, 4 kept" in caption(server, clips)
    assert {key[1] for key in Recaptions(clips).rows} == {"sentence", "paragraph"}
    facts = json.loads(run("info", clips, "--json").stdout)
    assert facts["written captions"] == 8 and facts["written by"] == {"m": 8}


def test_a_captioner_that_fails_loses_nothing(server: Server, clips: Path) -> None:
    server.replies = [says("A fox."), says("A cat."), status(401)]
    said = refused("caption", clips, "--captioner", f"{server.address}#m", "--workers", 1, status=1)
    assert "status 401" in said and len(Recaptions(clips).rows) == 2
    server.replies = [says("A house.")]
    assert "2 captioned, 2 kept" in caption(server, clips)


def test_damaged_lines_are_named_and_written_again(server: Server, clips: Path) -> None:
    caption(server, clips)
    path = clips / RECAPTIONS
    path.write_text(path.read_text().replace("red ball", "red bell", 1))
    assert "was changed or damaged" in run("check", clips).stderr
    said = caption(server, clips)
    assert "was changed or damaged" in said and "1 captioned, 3 kept" in said
    copy = path.with_name("recaptions.jsonl.damaged")
    assert f"damaged lines were removed; the file as it was is {copy}" in said and "red bell" in copy.read_text()
    assert "was changed or damaged" not in run("check", clips).stderr  # what `check` advised has mended it


def test_unreadable_clips_are_counted(server: Server, clips: Path) -> None:
    (clips / "2.mp4").write_bytes(b"no video")
    said = caption(server, clips, status=3)
    assert "no caption: 2.mp4: " in said and "3 captioned, 0 kept, 1 without" in said


def test_trainings_know_the_level() -> None:
    assert WRITTEN in LEVELS
    shares = CaptionConfig()
    others = shares.tags + shares.sentence + shares.paragraph
    assert shares.descriptive / (shares.descriptive + others) == pytest.approx(0.95)


def test_captions_of_that_level_beside_a_clip_stay(server: Server, tmp_path: Path) -> None:
    """A user may have descriptive captions already: what a captioner writes is added."""
    clips, model = save_clips(tmp_path / "clips"), save_run(tmp_path / "run")
    own = {"captions": {"descriptive": ["my own words"]}}
    (clips / "0.json").write_text(json.dumps(own))
    assert run("caption", clips, "--captioner", f"{server.address}#m").exit_code == 0
    made = run("encode", clips, "--model", model, "--out", tmp_path / "latents")
    assert made.exit_code == 0, made.output
    texts = [list(clip.captions.get(WRITTEN, ())) for clip in LatentDataset([tmp_path / "latents"]).clips]
    written = "A red ball rolls to the right."
    assert sorted(texts) == [[written], [written], [written], ["my own words", written]]
    facts = answer("info", clips)
    assert facts["written by"] == {"m": 4}
    (clips / "1.json").unlink(missing_ok=True)
    (clips / "1.txt").unlink(missing_ok=True)
    assert "have no caption" not in run("check", clips).stderr  # the written one is its caption


def test_the_first_choice_is_the_one_of_index_0(server: Server) -> None:
    choices = [{"index": number, "message": {"content": f"Caption {number}"}} for number in (1, 0)]
    server.replies = [status(200, json.dumps({"choices": choices}))]
    assert ask(server) == "Caption 0"
    for choice in choices:
        del choice["index"]
    server.replies = [status(200, json.dumps({"choices": choices}))]
    assert ask(server) == "Caption 1"


def test_unseen_characters_of_answers_are_left_out(server: Server, clips: Path, tmp_path: Path) -> None:
    server.replies = [says("A red\0 square \u202emoves\u200b right."), says("A caf\ufffd."), says("42"), says("A fox.")]
    said = caption(server, clips, status=3)
    assert "0.mp4" in said and "the answer holds control characters" in said and "U+FFFD" in said
    assert "3 captioned, 0 kept, 1 without" in said and "the answer holds no words: 42" in said
    assert Recaptions(clips).rows["0.mp4", "sentence"]["text"] == "A red square moves right."
    checked = run("check", clips).stderr
    assert "U+FFFD" in checked and "control characters" not in checked


def test_unseen_characters_of_older_lines_are_left_out(server: Server, clips: Path, tmp_path: Path) -> None:
    """Lines of older versions, of which a person has judged two, as they are and with a mended text."""
    caption(server, clips)
    model, out = save_run(tmp_path / "model"), tmp_path / "lat"
    rows = list(Recaptions(clips).rows.values())
    raw = "A red\0 square \u202emoves\ud800."
    older = [seal({**{name: row[name] for name in row if name != "seal"}, "text": raw}) for row in rows]
    write_jsonl(clips / RECAPTIONS, older)
    (clips / "recaptions.head.json").unlink()
    verdicts = (("1.mp4", "reject", ""), ("2.mp4", "mend", "A \u202ebox."))
    facts = {row["file"]: {name: row[name] for name in ("file", "sha256", "detail", "text")} for row in older}
    judged = [{**facts[file], "verdict": word, "mended": text, "reviewer": "ada"} for file, word, text in verdicts]
    write_jsonl(clips / REVIEWS, map(seal, judged))
    assert "recaptions.jsonl: 3 captions (0.mp4, 2.mp4, still.png): holds control" in run("check", clips).stderr
    made = run("encode", clips, "--model", model, "--out", out)
    assert "3 captions" in made.stderr and "which are left out" in made.stderr
    texts = {clip.key: clip.captions.get(WRITTEN) for clip in LatentDataset([out]).clips}
    good = ["A red square moves."]
    assert texts == {"clips/0": good, "clips/1": None, "clips/2": ["A box."], "clips/still": good}
    assert "0 captioned, 4 kept" in caption(server, clips)

    index = read_manifest(out / "index.jsonl")  # as older versions wrote it
    write_jsonl(out / "index.jsonl", [seal({**row, "captions": {WRITTEN: [raw]}}) for row in index])
    found = run("check", out)
    assert found.exit_code == 1 and "captions of 4 of 4 clips hold control characters" in found.stderr
    run("encode", clips, "--model", model, "--out", out)
    assert "hold control characters" not in run("check", out).stderr
