"""A real environment on the play page: what the player saw and did is what is recorded, by a real server, too."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from websockets.sync.client import connect

from chronotope.actions import SUFFIX, Actions, ActionSchema, read_actions
from chronotope.config import from_dict
from chronotope.errors import UsageError
from chronotope.manifest import read_manifest
from chronotope.media import video
from chronotope.record.environment import opened
from chronotope.record.recorder import Recording, recording
from chronotope.simulate.real import RealWorld
from chronotope.simulate.record import Start
from chronotope.simulate.session import Session, recorded_model

ENV = "tests.record.environments:Dot-discrete-v0"  # an episode has 10 steps
ROOT = Path(__file__).resolve().parents[2]


def clips(folder: Path) -> list[tuple[np.ndarray, Actions]]:
    schema = from_dict(ActionSchema, json.loads((folder / "dataset.json").read_text())["actions"])
    found = []
    for row in read_manifest(folder / "manifest.jsonl"):
        film = folder / f"{row['key']}.mp4"
        found.append((video.read(film).frames, read_actions(film.with_name(film.stem + SUFFIX), schema, row["frames"])))
    return found


def assert_same_as_again(folder: Path, episode: int = 0) -> None:
    """The environment is played again with the recorded actions; their frames must be the recorded ones."""
    with opened(ENV) as env:
        for frames, actions in clips(folder):
            for frame, values, known in zip(frames, actions.values, actions.known, strict=True):
                shown = env.step(values)[0] if known else env.reset(episode)
                episode += not known  # the seed of episode n of seed 0 is n
                assert np.abs(shown.astype(int) - frame).mean() < 6  # compression


def test_what_a_session_does_is_recorded(tmp_path: Path) -> None:
    request = Recording(ENV, 16, policy="play", clip_frames=8)
    with opened(ENV) as env, recording(tmp_path, request, env.schema, env.fps) as recorder:
        world = RealWorld(env, recorder)
        assert world.size == (48, 64) and world.fps == 10
        session = Session(world, Start())
        Session(world, Start(1))  # a page that is only opened
        with pytest.raises(UsageError, match="another session has begun"):
            session.advance()
        session = Session(world, Start())
        shown = [session.current.picture]
        for action in (2, 2, 1, 2, 0, 2, 2, 2, 2, 2, 0):  # 10 steps, and the first frame of the next episode
            session.act([action], session.frame)
            shown.append(session.advance().picture)
        assert not recorder.complete and recorder.held == 11
        with pytest.raises(UsageError, match="does not go back"):
            session.branch(3)
        for _ in range(4):
            session.act([2], session.frame)
            session.advance()
        assert recorder.complete
        with pytest.raises(UsageError, match="the recording has ended; it holds 16 frames"):
            session.advance()
    written = clips(tmp_path)
    assert [len(frames) for frames, _ in written] == [8, 3, 5]
    assert written[0][1].values[:, 0].tolist() == [0, 2, 2, 1, 2, 0, 2, 2]
    assert [actions.known[0].item() for _, actions in written] == [False, True, False]
    assert np.abs(np.concatenate([written[0][0], written[1][0]]).astype(int) - np.stack(shown[:11])).mean() < 6
    assert_same_as_again(tmp_path)


def test_words_and_records_are_not_for_an_environment(tmp_path: Path) -> None:
    request = Recording(ENV, 4, policy="play")
    with opened(ENV) as env, recording(tmp_path, request, env.schema, env.fps) as recorder:
        world = RealWorld(env, recorder)
        with pytest.raises(UsageError, match="leave words and pictures out"):
            Session(world, Start(0, "a cow"))
        with pytest.raises(UsageError, match="plays no record"):
            recorded_model(world, Start().line(world))
    assert not clips(tmp_path)


class Page:
    """One end of the socket, as the page is."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    def told(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(timeout=60))
        return message

    def frame(self) -> tuple[dict[str, Any], np.ndarray]:
        data = self.socket.recv(timeout=60)
        assert isinstance(data, bytes), data
        size = int.from_bytes(data[:4], "big")
        with Image.open(io.BytesIO(data[4 + size :])) as picture:
            return json.loads(data[4 : 4 + size]), np.asarray(picture.convert("RGB"))

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))


@contextlib.contextmanager
def recorded_by_hand(out: Path, steps: int) -> Iterator[subprocess.Popen[str]]:
    """The command of a recording that is played, in a process of its own."""
    command = [sys.executable, "-m", "chronotope", "record", ENV, "--policy", "play", "--steps", str(steps)]
    command += ["--port", "0", "--out", str(out), "--caption", "a dot"]
    surroundings, pipe = {**os.environ, "PYTHONPATH": str(ROOT)}, subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=ROOT, env=surroundings, text=True) as server:
        yield server


@pytest.mark.e2e
def test_a_server_ends_when_enough_is_recorded(tmp_path: Path) -> None:
    """Keys go in, frames come out, and the folder holds the same, until it is full; nothing comes before a key."""
    out = tmp_path / "played"
    with recorded_by_hand(out, 8) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        with connect(address.replace("http", "ws") + "/play") as socket:
            page = Page(socket)
            hello = page.told()
            assert (hello["width"], hello["height"], hello["goes_back"]) == (64, 48, False)
            assert hello["model"] == {"environment": ENV}
            page.send(type="start", seed=0)
            started = page.told()
            assert (started["type"], started["waits"]) == ("started", True)
            shown, told = [page.frame()[1]], []
            with pytest.raises(TimeoutError):
                socket.recv(timeout=1)  # ten frames would be made
            page.send(type="action", action=[2], frame=0, id=1, keep=True)
            for held in range(2, 9):
                header, picture = page.frame()
                assert header["recorded"] == {"held": held, "wanted": 8}
                shown.append(picture)
                told.append(header["action"])
                page.send(type="seen", frame=header["frame"])
            assert page.told() == {"type": "ended", "recorded": {"held": 8, "wanted": 8}}
        assert server.wait(timeout=60) == 0 and server.stderr is not None
        assert server.stdout.read() == f"{out}\n"
        assert f"the recording is complete: {out} holds 8 frames" in server.stderr.read()
    ((frames, actions),) = clips(out)
    assert actions.values[1:].tolist() == told == [[2]] * 7
    assert np.abs(frames.astype(int) - np.stack(shown)).mean() < 8  # both are compressed
    assert_same_as_again(out)
    assert json.loads((out / "dataset.json").read_text())["complete"] is True


@pytest.mark.e2e
def test_a_player_ends_a_recording(tmp_path: Path) -> None:
    """The button starts, another one ends; what was recorded is whole, and the terminal says how to go on."""
    out = tmp_path / "played"
    with recorded_by_hand(out, 1000) as server:
        assert server.stdout is not None and server.stderr is not None
        with connect(server.stdout.readline().strip().replace("http", "ws") + "/play") as socket:
            page = Page(socket)
            assert page.told()["recorded"] == {"held": 0, "wanted": 1000}
            page.send(type="start", seed=0)
            assert page.told()["waits"] is True and page.frame()[0]["frame"] == 0
            page.send(type="pause", on=False)
            assert page.frame()[0]["frame"] == 1
            page.send(type="end")
            while isinstance(message := socket.recv(timeout=60), bytes):
                continue
            held = json.loads(message)["recorded"]["held"]
        assert server.wait(timeout=60) == 0
        told = f"the recording was ended: {out} holds {held} of 1000 frames; the same command again goes on"
        assert told in server.stderr.read()
    assert sum(len(frames) for frames, _ in clips(out)) == held < 1000
    assert_same_as_again(out)
