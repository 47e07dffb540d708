"""The play server over its socket: frames for actions, errors that end nothing, many players, closed tabs."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.websockets import WebSocketDisconnect

from chronotope.errors import UsageError
from chronotope.jsonl import read_jsonl
from chronotope.simulate.model import WorldModel
from chronotope.simulate.record import Start, decode_picture, encode_picture, read_record
from chronotope.simulate.server import PlayOptions, _Connection, _Players, make_app
from chronotope.simulate.session import Session, replay

PICTURE = np.random.default_rng(2).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.fixture
def client(world: WorldModel, tmp_path: Path) -> Iterator[TestClient]:
    options = PlayOptions(picture=PICTURE, record=tmp_path / "session.jsonl")
    with TestClient(make_app(world, options), base_url="http://localhost") as client:
        yield client


class Player:
    """One end of the socket, as the page is."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.frame = socket, 0
        self.hello = socket.receive_json()

    def receive(self) -> dict[str, Any] | tuple[dict[str, Any], np.ndarray]:
        message = self.socket.receive()
        if message.get("text"):
            return json.loads(message["text"])
        data = message["bytes"]
        size = int.from_bytes(data[:4], "big")
        with Image.open(io.BytesIO(data[4 + size :])) as picture:
            assert picture.format == "WEBP"
            header = json.loads(data[4 : 4 + size])
            self.frame = header["frame"]
            return header, np.asarray(picture)

    def until(self, **wanted: Any) -> Any:
        """Return the first message or frame whose fields are as wanted; frames on the way are seen."""
        for _ in range(200):
            found = self.receive()
            about = found[0] if isinstance(found, tuple) else found
            if all(about.get(name) == value for name, value in wanted.items()):
                return found
            if isinstance(found, tuple):
                self.send(type="seen", frame=self.frame)
        raise AssertionError(f"nothing has {wanted}")

    def send(self, **message: Any) -> None:
        self.socket.send_json(message)


def test_a_page_and_a_session(client: TestClient, world: WorldModel, tmp_path: Path) -> None:
    page = client.get("/")
    assert page.status_code == 200 and "/play" in page.text and client.get("/health").json() == {"players": 0}
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        assert player.hello["actions"]["choices"] == [["noop", "left", "right"]] and player.hello["fps"] == 8
        player.send(type="start", seed=3)
        assert player.receive()["type"] == "started"
        header, picture = player.receive()
        assert header["frame"] == 0 and picture.shape == (32, 48, 3)
        player.send(type="action", id=5, action="left", frame=0)
        header, _ = player.until(action=[1.0])
        (applied,) = header["applied"]
        assert header["hash"] in [line["hash"] for line in read_record(tmp_path / "session.jsonl") if "hash" in line]
        assert applied["id"] == 5 and applied["seen"] == 0 and applied["applied_at_frame"] == header["frame"] >= 1
        player.send(type="branch", frame=0)
        assert player.until(type="branched") == {"type": "branched", "frame": 0}
    record = read_record(tmp_path / "session.jsonl")
    played = list(replay(world, record))
    assert len(played) >= 2 and all(equal for *_, equal in played[1:])


def test_the_server_waits_for_a_player_who_sees_nothing(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        player.send(type="start")
        player.until(frame=4)  # the most by which it goes ahead
        player.send(type="pause", on=True)
        player.send(type="none")
        assert player.receive()["type"] == "error"  # and no frame before it
        assert player.frame == 4


def test_what_makes_no_sense_is_said_and_the_session_goes_on(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        player.send(type="action", action=1, frame=0, id=1)
        assert "no session has begun" in player.receive()["message"]
        player.send(type="start")
        player.until(frame=1)
        for text, said in (
            ("no JSON", "Expecting"),
            ("[1]", "one of the types"),
            ("[" * 100_000, ""),
            ('{"type": []}', "one of the types"),
            ('{"type": {}, "id": NaN}', "one of the types"),
            ('{"type": "\\ud800", "id": "\\ud800"}', "one of the types"),
            ('{"type": "action", "action": "fly", "frame": 0, "id": 2}', "unknown action 'fly'"),
            ('{"type": "action", "action": [9], "frame": 0}', "action"),
            ('{"type": "action", "action": 1, "frame": 999}', "was not made"),
            ('{"type": "action", "action": 1, "frame": 0, "id": "x"}', "whole number"),
            ('{"type": "branch", "frame": -1}', "is not kept"),
            ('{"type": "start", "seed": "x"}', "seed"),
            ('{"type": "start", "picture": "x"}', "start picture"),
            ('{"type": "replay", "record": "x"}', "line 1 is no JSON"),
        ):
            socket.send_text(text)
            assert said in player.until(type="error")["message"]
        socket.send_bytes(b"\x00")
        assert "a message is a JSON text, got a binary message" in player.until(type="error")["message"]
        player.send(type="action", action="right", frame=player.frame, id=9)
        assert player.until(action=[2.0])[0]["applied"][0]["id"] == 9


def test_a_record_that_does_not_fit_pauses_the_session(client: TestClient, world: WorldModel) -> None:
    first = json.dumps(Start(3).line(world))
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        player.send(type="replay", record=f'{first}\n{{"frame": 1, "action": [7]}}\n')
        assert "paused, because no frame could be made: action" in player.until(type="error")["message"]
        player.send(type="pause", on=False)
        assert player.until(frame=2)[0]["action"] == [0.0]


def test_going_back_ends_a_replay_while_its_next_line_is_read(world: WorldModel) -> None:
    looking = threading.Event()

    class Slow(dict[str, Any]):
        """A way back that the thread of the frames finds, and takes a while later."""

        def __contains__(self, name: object) -> bool:
            looking.set()
            time.sleep(0.2)
            return super().__contains__(name)

    async def play() -> tuple[int, list[dict[str, Any]]]:
        connection = _Connection(_Players(world, PlayOptions(picture=PICTURE)), AsyncMock())
        await connection._start({})
        session = connection._running()
        connection.replayed = [Slow(branch=0), {"frame": 1, "action": [1]}]
        made = asyncio.create_task(connection.players.compute(partial(connection._next, session)))
        await asyncio.to_thread(looking.wait)
        await connection._branch({"frame": 0})
        await made
        return session.frame, connection.replayed

    assert asyncio.run(play()) == (0, [])


def test_a_defect_while_a_frame_is_made_is_said_and_logged(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        with monkeypatch.context() as broken:
            broken.setattr(Session, "advance", lambda session: {}["missing"])
            player.send(type="start")
            assert "no frame could be made: 'missing'" in player.until(type="error")["message"]
        assert "KeyError: 'missing'" in caplog.text
        player.send(type="pause", on=False)
        assert player.until(frame=1)


def test_ten_players_and_a_closed_tab(client: TestClient) -> None:
    sockets = [client.websocket_connect("ws://localhost/play") for _ in range(10)]
    players = [Player(socket.__enter__()) for socket in sockets]
    for number, player in enumerate(players):
        player.send(type="start", seed=number, picture=encode_picture(np.full((32, 48, 3), 20 * number, np.uint8)))
    firsts = [player.until(frame=0)[1] for player in players]
    assert len({first.tobytes() for first in firsts}) == 10  # everybody sees their own session
    assert client.get("/health").json() == {"players": 10}
    sockets[0].__exit__(None, None, None)
    for player in players[1:]:
        player.send(type="action", action=1, frame=player.frame, id=1)
    for player in players[1:]:
        assert player.until(action=[1.0])[0]["applied"][0]["id"] == 1
    for socket in sockets[1:]:
        socket.__exit__(None, None, None)
    for _ in range(100):
        if client.get("/health").json() == {"players": 0}:
            break
        time.sleep(0.02)
    assert client.get("/health").json() == {"players": 0}


def test_servers_that_share_a_name_write_no_common_file(world: WorldModel, tmp_path: Path) -> None:
    options = PlayOptions(record=tmp_path / "k.jsonl")
    servers = [_Players(world, options), _Players(world, options)]
    writers = [player.writer() for player in (*servers, servers[0])]  # two sessions of the first
    assert not list(tmp_path.iterdir())  # none of them has begun
    for line in range(2):
        for number, write in enumerate(writers):
            write({"session": number, "line": line})
    for number, name in enumerate(("k", "k-2", "k-3")):
        assert read_jsonl(tmp_path / f"{name}.jsonl") == [{"session": number, "line": line} for line in range(2)]


def test_a_record_is_played_again_in_the_page(client: TestClient, tmp_path: Path) -> None:
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        player.send(type="start", seed=8)
        player.send(type="action", action=1, frame=0)
        player.until(action=[1.0])
        player.until(frame=player.frame + 1)
    record = (tmp_path / "session.jsonl").read_text()
    actions = [line["action"] for line in map(json.loads, record.splitlines()[1:])]
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        player.send(type="replay", record=record)
        for number, action in enumerate(actions, start=1):
            assert player.until(frame=number)[0]["action"] == action
            player.send(type="seen", frame=number)
    assert (tmp_path / "session-2.jsonl").exists()


def test_pages_of_other_sites_are_refused(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://localhost/play", headers=headers):
            raise AssertionError("it was accepted")


def test_a_statement_of_consent_is_of_one_picture(world: WorldModel) -> None:
    players = _Players(world, PlayOptions(picture=PICTURE, consent="It shows me."))
    assert players.start({"seed": 1}).consent == "It shows me."
    own = {"picture": encode_picture(PICTURE[:8])}
    assert players.start(own).consent == ""
    assert players.start({**own, "consent": "Nobody is shown."}).consent == "Nobody is shown."
    words = PlayOptions(prompt="a cow", consent="It shows me.")
    assert _Players(world, words).start({"seed": 1}).consent == ""


def test_a_start_has_known_fields(client: TestClient) -> None:
    with client.websocket_connect("ws://localhost/play") as socket:
        player = Player(socket)
        player.send(type="start", sed=3)
        assert "got 'sed'" in player.until(type="error")["message"]


def test_a_start_picture_is_upright_and_over_white() -> None:
    def sent(kind: str, pictures: list[Image.Image], **settings: Any) -> str:
        packed = io.BytesIO()
        pictures[0].save(packed, kind, append_images=pictures[1:], **settings)
        return base64.b64encode(packed.getvalue()).decode()

    turned = Image.Exif()
    turned[274] = 6  # to be turned by 90 degrees
    wide = Image.fromarray(PICTURE)
    assert decode_picture(sent("PNG", [wide], exif=turned)).shape == (48, 32, 3)
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert (decode_picture(sent("PNG", [clear])) == 255).all()
    with pytest.raises(UsageError, match="one picture, got an animation of 2"):
        decode_picture(sent("PNG", [wide, wide.rotate(180)], save_all=True))
