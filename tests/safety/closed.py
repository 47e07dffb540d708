"""Every layer made to fail, and every way by which a file is made: what fail-closed means, for tests and benchmarks."""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope import Generator
from chronotope.media import video
from chronotope.safety.audit import audit_path
from chronotope.safety.policy import decide
from chronotope.serve.jobs.worker import Answer, Task, _BrokenError, _Maker
from chronotope.serve.service import Service
from tests.cli.models import run
from tests.safety.onnx_models import brightness_model
from tests.serve.asking import asked

SAFETY = "chronotope.safety."
LAYERS: dict[str, tuple[str, str]] = {  # the module and the part of it that fails
    "policy: rules": ("policy.decide", "plain_forms"),
    "policy: classifier": ("policy.classifier", "scores"),
    "uploads": ("uploads", "read_credentials"),
    "output: classifier": ("output.check", "load_classifier"),
    "output: events": ("output.check", "in_order"),
    "watermark": ("deliver", "Marker"),
    "credentials": ("deliver", "sign_file"),
    "visible mark": ("deliver", "add_visible_mark"),
}
SLOW_SECONDS, LIMIT_SECONDS = 1.0, 0.3

# What each task is asked with on the command line; `test_every_task_is_tried` compares it with the code.
INPUTS: dict[str, list[str]] = {
    "text to video": [],
    "text to picture": ["--seconds", "0"],
    "story": [],
    "animate": ["--image", "inputs/still.png"],
    "extend": ["--extend", "inputs/clip.mp4", "--seconds", "0.5"],
    "extend_backward": ["--extend", "inputs/clip.mp4", "--backward", "--seconds", "0.5"],
    "connect": ["--connect", "inputs/clip.mp4", "inputs/clip.mp4", "--seconds", "0.5"],
    "loop": ["--loop", "--seconds", "1"],
    "edit": ["--edit", "inputs/clip.mp4"],
    "retake": ["--retake", "inputs/clip.mp4", "--from", "0.5"],
    "outpaint": ["--retake", "inputs/clip.mp4", "--size", "56x40"],
}


def words(task: str) -> list[str]:
    """The command that makes a file of a task."""
    asked = ["--story", "0: a red ball", "0.5: a fox"] if task == "story" else ["a red ball"]
    suffix = "png" if task == "text to picture" else "mp4"
    return ["generate", *asked, *INPUTS[task], "-o", f"made.{suffix}", "--steps", "1"]


def has_inputs(task: str) -> bool:
    return any(word.startswith("inputs/") for word in INPUTS[task])


def save_inputs(folder: Path) -> Path:
    """Write inputs/clip.mp4 and inputs/still.png; return the clip."""
    (folder / "inputs").mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (8, 32, 48, 3), np.uint8)
    video.write(folder / "inputs" / "clip.mp4", frames, 8)
    video.write_image(folder / "inputs" / "still.png", frames[0])
    return folder / "inputs" / "clip.mp4"


# Faults


def killed(*_: Any, **__: Any) -> Any:
    raise RuntimeError("it crashed")


def slow(*_: Any, **__: Any) -> Any:
    time.sleep(SLOW_SECONDS)
    raise RuntimeError("it came too late")


def missing(*_: Any, **__: Any) -> Any:
    raise ModuleNotFoundError("No module named 'part'")


FAULTS: dict[str, Callable[..., Any]] = {"killed": killed, "slow": slow, "missing": missing}


@contextlib.contextmanager
def every_layer(folder: Path) -> Iterator[Path]:
    """Give the default policy rules of frames that allow all test clips, so that every layer acts on every file."""
    rules = folder / "rules.toml"
    brightness_model(folder / "bright.onnx")
    classifier = '[[output.classifier]]\nmodel = "bright.onnx"\ninput = "unit-rgb"\nthreshold = 1.0\n'
    event = '[[output.forbid]]\nevent = "an elephant is there, then a bus appears"\n'
    rules.write_text(f"{decide.RULES.read_text()}\n{classifier}{event}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decide, "RULES", rules)
        decide.default_policy.cache_clear()
        yield rules
    decide.default_policy.cache_clear()


@contextlib.contextmanager
def failing(layer: str, fault: str) -> Iterator[None]:
    """Make a layer fail."""
    where, name = LAYERS[layer]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module(SAFETY + where), name, FAULTS[fault])
        if fault == "slow":
            for module in ("policy.decide", "uploads", "deliver"):
                patch.setattr(importlib.import_module(SAFETY + module), "LAYER_SECONDS", LIMIT_SECONDS)
        yield


def refusals(before: int = 0) -> list[dict[str, Any]]:
    """The lines of the log after the first `before`."""
    path = audit_path()
    lines = path.read_text().splitlines()[before:] if path.exists() else []
    return [row for row in map(json.loads, lines) if row["event"] in ("refused", "not delivered")]


def is_complete(row: dict[str, Any]) -> bool:
    """Whether a line of the log says by which rule of which version, with which score and when."""
    return bool(row["rule"] and row["version"] and row["time"] > 0 and 0 <= row["score"] <= 1)


# Ways


def by_command(task: str, model: Path, layer: str, folder: Path) -> list[Path]:
    """Make a file of a task in `folder`, the working folder; return what was delivered."""
    marked = ["--visible-mark"] if layer == "visible mark" else []
    result = run(*words(task), *marked, "--model", model)
    assert result.exit_code in (0, 1, 2), result.output
    return sorted(folder.glob("made*"))


class Connection:
    """The end of a worker: what it tells is kept."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def poll(self) -> bool:
        return False

    def send(self, answer: Answer) -> None:
        self.answers.append(answer)


def by_worker(*tasks: Task, generator: Generator) -> tuple[list[Path], list[Answer]]:
    """Do jobs of the service together in this process; return what was delivered, and the last answer of each."""
    connection = Connection()
    with contextlib.suppress(_BrokenError):  # the process would end
        _Maker(generator, connection).make(tasks)  # type: ignore[arg-type]
    delivered = [path for task in tasks for path in task.output.parent.glob(f"{task.output.stem}*")]
    last = {answer.job: answer for answer in connection.answers}
    return sorted(delivered), [last[task.id] for task in tasks if task.id in last]


# Routes

MADE = {"prompt": "a red ball", "steps": 1, "seconds": 0.5}
BODIES: dict[str, dict[str, Any]] = {  # of every route that makes a file
    "/v1/generations": MADE | {"task": "extend", "video": "CLIP"},
    "/v1/videos": MADE,
    "/v1/videos/extensions": MADE | {"video": "CLIP"},
    "/v1/videos/edits": {"prompt": "a red ball", "steps": 1, "video": "CLIP"},
    "/v1/videos/{name}/remix": {"prompt": "a blue ball"},
    "/v1/images/generations": {"prompt": "a red ball", "steps": 1},
}


def order(service: Service, path: str, clip: Path) -> tuple[int, list[Any]]:
    """Send the body of a route; return the status of its answer and the jobs that wait."""
    ask, body = asked(service), dict(BODIES[path])
    if "video" in body:
        body["video"] = "data:video/mp4;base64," + base64.b64encode(clip.read_bytes()).decode()
    if "{name}" in path:
        path = path.replace("{name}", ask("POST", "/v1/videos", json=MADE).json().get("id", "none"))
    status = ask("POST", path, json=body).status_code
    return status, service.store.jobs("local", None, None, 10, False)
