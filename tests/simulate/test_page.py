"""The script of the play page on a document of stubs: every action has a key, and a recording waits and ends well."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from chronotope.actions import ActionSchema
from chronotope.config import to_dict

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")
PAGE = resources.files("chronotope.simulate").joinpath("play.html")
CARTPOLE = ActionSchema("discrete", ("action",), (("0", "1"),))


def shown(schema: ActionSchema, *steps: dict[str, Any], recorded: dict[str, int] | None = None) -> dict[str, Any]:
    """What the page shows after a hello with these actions and further steps."""
    hello = {"type": "hello", "model": {"environment": "Toy"}, "actions": to_dict(schema), "recorded": recorded}
    hello |= {"fps": 10, "width": 8, "height": 8, "prompt": "", "goes_back": recorded is None}
    command = [str(NODE), str(Path(__file__).with_name("page.js")), str(PAGE), "close"]
    told = json.dumps([{"message": hello}, *steps])
    found: dict[str, Any] = json.loads(
        subprocess.run(command, input=told, capture_output=True, check=True, text=True).stdout
    )
    return found


def actions(found: dict[str, Any]) -> list[Any]:
    return [message["action"] for message in found["sent"] if message["type"] == "action"]


@pytest.mark.parametrize(
    ("schema", "rows", "keys"),
    [
        (CARTPOLE, ["0 \u2190 01 \u2192 1", "Without a key: 0"], {"ArrowLeft": [0], "Digit0": [0], "ArrowRight": [1]}),
        (
            ActionSchema("discrete", ("action",), (("-1", "0", "1"),), neutral=(1.0,)),
            ["-1 201 1", "Without a key: 0"],
            {"Digit2": [0], "Digit1": [2]},
        ),
        (
            ActionSchema("discrete", ("action",), (("noop", "move left", "fire", "dig", "wait"),), neutral=(0.0,)),
            ["noopmove left \u2190 Afire Spacedig 1wait 2", "Without a key: noop"],
            {"KeyA": [1], "Space": [2], "Digit2": [4]},
        ),
        (
            ActionSchema("multi-discrete", ("a", "b"), (("0", "1"), ("0", "1", "2"))),
            ["a0 11 2", "b0 31 42 5", "Without a key: 0, 0"],
            {"Digit2": [1, 0], "Digit5": [0, 2]},
        ),
        (
            ActionSchema("continuous", ("x", "y", "z"), low=(-2.0,) * 3, high=(2.0,) * 3, neutral=(0.0,) * 3),
            ["x \u2190 \u2192", "y \u2193 \u2191", "z 1 2", "Without a key: 0, 0, 0"],
            {"ArrowRight": [2, 0, 0], "ArrowDown": [0, -2, 0], "Digit2": [0, 0, 2]},
        ),
    ],
)
def test_every_action_has_a_key(schema: ActionSchema, rows: list[str], keys: dict[str, list[float]]) -> None:
    pressed = [step for key in keys for step in ({"key": key}, {"up": key})]
    found = shown(schema, *pressed)
    assert found["rows"] == rows and actions(found) == list(keys.values())
    assert found["sent"].count({"type": "release"}) == len(keys)


def test_a_recording_waits_and_its_end_is_a_success() -> None:
    started = {"message": {"type": "started", "record": {}, "waits": True}}
    held = {"held": 3, "wanted": 9}
    found = shown(CARTPOLE, started, recorded=held)
    assert {"ready", "go", "stop", "recording"} <= set(found["visible"]) and "ended" not in found["visible"]
    assert found["held"] == "3 of 9 frames are recorded" and found["state"].startswith("the server is not there")
    found = shown(CARTPOLE, started, {"click": "go"}, recorded=held)
    assert "ready" not in found["visible"] and found["sent"][-1] == {"type": "pause", "on": False}
    for count, verdict in ((9, "Complete: 9 frames are recorded"), (4, "Ended by you: 4 of 9 frames are recorded")):
        ended = {"message": {"type": "ended", "recorded": {"held": count, "wanted": 9}}}
        found = shown(CARTPOLE, started, {"click": "stop"}, ended, {"key": "ArrowLeft"}, recorded=held)
        assert (found["verdict"], found["message"]) == (verdict, "")
        assert "ended" in found["visible"] and not {"ready", "stop", "pause"} & set(found["visible"])
        assert {"type": "end"} in found["sent"] and not actions(found)
        assert found["state"] == "the recording has ended"  # though the server is gone


def test_a_played_model_has_no_recording() -> None:
    found = shown(CARTPOLE, {"message": {"type": "started", "record": {}, "waits": False}})
    assert not {"ready", "stop", "recording", "ended"} & set(found["visible"])
    assert {"back", "load", "words"} <= set(found["visible"])
