"""`chronotope play`: what it refuses, the replay of a record, and a real server with a real socket."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from websockets.sync.client import connect

from chronotope import checkpoint
from chronotope.config import to_dict
from chronotope.data.captions import read_captions
from chronotope.data.latents import fingerprint
from chronotope.generate.pipeline import load_autoencoder
from chronotope.jsonl import append_jsonl
from chronotope.media import video
from chronotope.media.generated import generated_by, weights_in_words
from chronotope.safety.verify import verify
from chronotope.simulate.model import StepSettings, WorldModel
from chronotope.simulate.record import Start
from chronotope.simulate.session import Session
from chronotope.simulate.starts import start_picture
from tests.cli.models import refused, run
from tests.simulate.conftest import WALK, make_generator

PICTURE = np.random.default_rng(3).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of random weights that answers to actions."""
    folder, made = tmp_path_factory.mktemp("world"), make_generator(WALK)
    about = {"kind": "autoencoder", "config": to_dict(made.autoencoder.config)}
    checkpoint.save_model(folder / "autoencoder", made.autoencoder, about, torch.float16)
    description = {
        "kind": "dit",
        "config": to_dict(made.dit.config),
        "flow": to_dict(made.flow),
        "geometry": to_dict(made.geometry),
        "autoencoder": fingerprint(load_autoencoder(folder)),
        "vocabulary": [],
        "actions": to_dict(WALK),
        "defaults": to_dict(made.defaults),
    }
    checkpoint.save_model(folder / "dit", made.dit, description, torch.float16)
    return folder


def test_the_shipped_world_answers_the_keys() -> None:
    """A step to a side shifts the map by a cell of 8 pixels, where nothing stands in the way, and no key leaves it."""
    model = WorldModel.load("small-crafter")
    names = model.schema.choices[0]
    shifts = {"noop": (0, 0), "move left": (0, 8), "move right": (0, -8), "move up": (8, 0), "move down": (-8, 0)}
    right = dict.fromkeys(shifts, 0)
    for number in range(7):
        first = start_picture(model.generator.folder, number)
        assert first is not None
        state = model.begin(3, "", first)[0]
        for name, shift in shifts.items():
            made = model.step(state, np.array([[names.index(name)]]))[1][-1]
            errors = {each: _error(first, made, each) for each in shifts.values()}
            right[name] += min(errors, key=errors.__getitem__) == shift
    assert right.pop("noop") == 7 and sum(right.values()) >= 10, right  # none of a model that knows no keys


def _error(first: np.ndarray, made: np.ndarray, shift: tuple[int, int]) -> float:
    """Return the mean difference of a picture and the first one, shifted, in the map without its edge."""
    moved = np.roll(first.astype(int), shift, axis=(0, 1))
    return float(np.abs(moved - made)[8:40, 8:56].mean())


def test_what_cannot_be_played_is_said(world: Path, tmp_path: Path) -> None:
    assert "small was trained without actions" in refused("play", "small", status=2)
    for host in ("0.0.0.0", "::", "192.168.0.7", "lab.example"):
        assert "play knows no tokens" in refused("play", str(world), "--host", host, status=2)
    assert "--replay FILE and --out FILE go together" in refused("play", str(world), "--replay", "a.jsonl", status=2)
    assert "--consent is stated of the picture" in refused("play", str(world), "--consent", "I agree.", status=2)
    record = tmp_path / "session.jsonl"
    record.write_text("")
    assert "name a new file" in refused("play", str(world), "--record", str(record), status=1)
    assert "does not exist" in refused("play", str(world), "--record", str(tmp_path / "none" / "a.jsonl"), status=1)
    assert "first line" in refused("play", str(world), "--replay", str(record), "--out", "a.mp4", status=1)


def test_a_record_becomes_a_video(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, out = tmp_path / "session.jsonl", tmp_path / "session.mp4"
    model = WorldModel(WorldModel.load(world).generator, StepSettings(3, 1.5, 0.2))  # not those of the model
    start = Start(2, "", PICTURE, "It shows me.")
    session = Session(model, start, lambda line: append_jsonl(record, dict(line)))
    for action in (1, 1, 2):
        session.act(action, session.frame)
        session.advance()
    session.branch(2)
    session.advance()
    played = run("play", str(world), "--replay", str(record), "--out", str(out))
    assert played.exit_code == 0 and played.stdout == f"{out}\n" and "differ" not in played.stderr
    assert "4 frames were compared" in played.stderr
    for more in (("--steps", "4"), ("--history", "0"), ("--port", "8001"), ("--allow-host", "a.example")):
        words = "play", str(world), "--replay", str(record), "--out", "a", *more
        assert f"leave out {more[0]}" in refused(*words, status=2)
    frames = video.read(out).frames
    assert frames.shape == (4, 32, 48, 3)  # 0, 1, 2, and 3 as it was after the way back
    found = verify(out, search=False)
    assert found.verdict == "authentic" and found.origin is not None and found.origin["seed"] == 2
    assert (found.origin["num_steps"], found.origin["guidance_scale"], found.origin["consent"]) == (
        3,
        1.5,
        "It shows me.",
    )
    assert b"/compositeWithTrainedAlgorithmicMedia" in out.read_bytes()  # its start was given
    record.write_text(record.read_text().replace('"hash": "', '"hash": "x'))
    differing = run("play", str(world), "--replay", str(record), "--out", str(out))
    assert differing.exit_code == 1 and "4 frames differ" in differing.stderr
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(record))
    words = "play", str(world), "--replay", str(record), "--out", str(tmp_path / "none.mp4")
    assert "credentials failed" in refused(*words, status=1) and not list(tmp_path.glob("none*"))


def test_a_model_that_was_edited_is_named(world: Path, tmp_path: Path) -> None:
    """A description without a seal may have been edited; whoever plays its model, or measures it, is told."""
    copy = tmp_path / "copy"
    shutil.copytree(world, copy)
    about = json.loads((copy / "dit/model.json").read_text())
    del about["checksum"]
    (copy / "dit/model.json").write_text(json.dumps(about))
    record = tmp_path / "session.jsonl"
    Session(WorldModel.load(copy), Start(2, "", PICTURE), lambda line: append_jsonl(record, dict(line)))
    played = run("play", str(copy), "--replay", str(record), "--out", str(tmp_path / "a.mp4"))
    assert f"{copy}/dit/model.json has no seal" in played.stderr, played.output


def test_a_recorded_model_leaves_generated_clips(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each clip is signed, says what generated it, and comes again from what it says."""
    model, out = shutil.copytree(world, tmp_path / "model"), tmp_path / "dreamt"
    (model / "starts").mkdir()
    Image.fromarray(PICTURE).save(model / "starts" / "0.png")
    words = "record", str(model), "--steps", "7", "--clip-frames", "4", "--episode-steps", "5", "--out", str(out)
    recorded = run(*words)
    assert recorded.exit_code == 0 and "holds 7 frames" in recorded.stderr, recorded.stderr
    films = sorted(out.glob("0000/*.mp4")) + sorted(out.glob("0000/*.png"))
    assert [len(video.read(film).frames) for film in films] == [4, 2, 1]  # 6 frames are 5 steps; a picture begins
    loaded = WorldModel.load(model)
    assert generated_by(films[0]) == weights_in_words(loaded.names)
    for film, given in zip(films, (True, False, True), strict=True):
        found = verify(film, search=False)
        assert found.verdict == "authentic" and found.origin is not None
        assert (b"/compositeWithTrainedAlgorithmicMedia" in film.read_bytes()) == given
        assert found.origin["environment"] == str(model) and found.origin["model"] == loaded.names
    origin, actions = video.read_origin(films[0]), np.load(films[0].with_suffix(".actions.npz"))
    assert origin is not None and not actions["rewards"].any()
    state, frame = loaded.begin(origin["seed"], "", PICTURE)
    for shown, action, known in zip(video.read(films[0]).frames, actions["values"], actions["known"], strict=True):
        if known:
            state, (frame,) = loaded.step(state, action[None])
        same = np.corrcoef(shown.ravel(), frame.ravel())[0, 1]
        assert same > 0.4  # noise that is compressed and marked; of another seed it is below 0.1
    assert "were generated by a model (" in run("check", str(out)).stderr
    assert refused("record", str(model), *words[2:], "--prompt", "a cow", status=2).count("another dataset") == 1
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(films[0]))
    words = "record", str(world), "--steps", "2", "--out", str(tmp_path / "none")
    assert "credentials failed" in refused(*words, status=1) and not list(tmp_path.glob("none/*/*.mp4*"))


def test_what_is_recorded_of_a_model_is_checked(world: Path, tmp_path: Path) -> None:
    words = "--steps", "4", "--out", str(tmp_path / "out")
    assert "was trained without actions" in refused("record", "small", *words, status=2)
    both = "--prompt", "a cow", "--caption", "a dog"
    assert "the caption of what a model makes is its prompt" in refused("record", str(world), *words, *both, status=2)
    assert "is no model, so it takes no --prompt" in refused("record", "Dot-v0", *words, *both[:2], status=2)
    told = run("record", str(world), *words, *both[:2])
    assert told.exit_code == 0, told.stderr
    (film,) = tmp_path.glob("out/0000/*.mp4")
    origin = video.read_origin(film)
    assert origin is not None and origin["prompt"] == "a cow" and read_captions(film) == {"sentence": ("a cow",)}


@pytest.mark.e2e
def test_a_server_is_played_and_stopped(world: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chronotope", "play", str(world), "--port", "0"]
    command += ["--record", str(tmp_path / "session.jsonl"), "--allow-host", "World.example"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        for name, status in (("world.example", 200), ("other.example", 403)):
            assert httpx.get(address, headers={"host": name}).status_code == status
        with connect(address.replace("http", "ws") + "/play") as socket:
            assert json.loads(socket.recv())["type"] == "hello"
            socket.send(json.dumps({"type": "start", "seed": 1, "prompt": "a cow"}))
            assert json.loads(socket.recv())["type"] == "started"
            assert isinstance(socket.recv(), bytes)
            socket.send(json.dumps({"type": "action", "action": "right", "frame": 0, "id": 4}))
            headers = []
            while not (headers and headers[-1]["applied"]):
                data = socket.recv(timeout=60)
                assert isinstance(data, bytes)
                headers.append(json.loads(data[4 : 4 + int.from_bytes(data[:4], "big")]))
                socket.send(json.dumps({"type": "seen", "frame": headers[-1]["frame"]}))
            assert headers[-1]["applied"][0]["id"] == 4
        again = "play", str(world), "--port", "0", "--record", str(tmp_path / "session.jsonl")
        assert f"is being written by process {server.pid}" in refused(*again, status=2)
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
    assert len((tmp_path / "session.jsonl").read_text().splitlines()) >= 2
