"""No layer can fail and a file be delivered: every task and route of the code, every layer, every fault.

Each task and each route meets some of the faults, each layer and fault some of them; all of them together
are tried by `python -m benchmarks.safety closed`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from chronotope import Generator
from chronotope.errors import FileProblem
from chronotope.request import TASKS
from chronotope.serve import app as serve
from chronotope.serve import videos
from chronotope.serve.service import Service
from tests.cli.models import run, save_run
from tests.safety import closed
from tests.safety.closed import (
    BODIES,
    FAULTS,
    INPUTS,
    LAYERS,
    by_command,
    by_worker,
    failing,
    has_inputs,
    is_complete,
    order,
    refusals,
)
from tests.serve.asking import asked

PACKAGE = Path(__file__).resolve().parents[2] / "chronotope"
PAIRS = [(layer, fault) for layer in LAYERS for fault in FAULTS]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def generator(model: Path) -> Generator:
    return Generator.load(model)


@pytest.fixture(scope="module", autouse=True)
def layers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    pytest.importorskip("onnxruntime")
    with closed.every_layer(tmp_path_factory.mktemp("rules")):
        yield


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    closed.save_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "keys"))
    return tmp_path


def acts(layer: str, inputs: bool, route: bool = False) -> bool:
    """Whether a layer has something to do: files are given, or a mark was asked for on the command line."""
    return (layer != "uploads" or inputs) and (layer != "visible mark" or not route)


def deal(names: list[str], can: dict[str, bool], route: bool = False) -> list[tuple[str, str, str]]:
    """Give every pair of a layer and a fault to a name, and every name at least one pair."""
    found, turn = [], itertools.cycle(names)
    for layer, fault in PAIRS:
        if acts(layer, any(can.values()), route):
            found.append((next(name for name in turn if acts(layer, can[name], route)), layer, fault))
    rest = [(name, *PAIRS[number % 6]) for number, name in enumerate(names) if name not in {one[0] for one in found}]
    return found + rest


# Tasks


def test_every_task_is_tried() -> None:
    assert set(TASKS) <= set(INPUTS)


@pytest.mark.parametrize(("task", "layer", "fault"), deal(list(INPUTS), {task: has_inputs(task) for task in INPUTS}))
def test_a_task_delivers_nothing_where_a_layer_fails(
    task: str, layer: str, fault: str, model: Path, work: Path
) -> None:
    with failing(layer, fault):
        assert by_command(task, model, layer, work) == []
    assert refusals() and all(map(is_complete, refusals()))


def test_the_same_tasks_deliver_where_no_layer_fails(model: Path, work: Path) -> None:
    assert by_command("retake", model, "", work) and not refusals()


@pytest.mark.parametrize("layer", ["uploads", "output: events", "credentials"])
def test_a_reconstruction_needs_every_layer(layer: str, model: Path, work: Path) -> None:
    with failing(layer, "killed"):
        assert run("reconstruct", "inputs/clip.mp4", "--model", model, "-o", "made.mp4").exit_code != 0
    assert not list(work.glob("made*")) and all(map(is_complete, refusals()))


# Routes

MAKES_NONE = {  # routes that are posted to, and why nothing is made there
    "/v1/files": "it stores what a user sends",
    "/v1/videos/characters": "it is refused always",
    "/v1/generations/{name}/move": "it changes the order of jobs",
    "/v1/generations/{name}/cancel": "it ends a job",
}


def posted(service: Service) -> set[str]:
    app: Any = serve.make_app(service).app
    return {route.path for route in iter_route_contexts(app.routes) if "POST" in (route.methods or ())}


def test_every_route_that_is_posted_to_is_known(tmp_path: Path) -> None:
    assert posted(Service(tmp_path / "service", devices=())) == set(BODIES) | set(MAKES_NONE)


@pytest.mark.parametrize(
    ("path", "layer", "fault"), deal(list(BODIES), {path: "video" in body for path, body in BODIES.items()}, route=True)
)
def test_a_route_delivers_nothing_where_a_layer_fails(
    path: str, layer: str, fault: str, model: Path, generator: Generator, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service accepts before a layer fails waits as a job, and the job delivers nothing either."""
    monkeypatch.setattr(videos, "PICTURE_SECONDS", 0.0)
    for fails_at_once in (False, True):
        folder = work / f"service{fails_at_once}"
        with Service(folder, str(model), devices=()) as service:
            if fails_at_once:
                with failing(layer, fault):
                    _, jobs = order(service, path, work / "inputs" / "clip.mp4")
            else:
                _, jobs = order(service, path, work / "inputs" / "clip.mp4")
                assert jobs
            with failing(layer, fault):
                for job in jobs:
                    delivered, (answer,) = by_worker(service._task(job), generator=generator)
                    assert (delivered, answer.kind) == ([], "failed")
        assert not list((folder / "outputs").iterdir())
    assert refusals() and all(map(is_complete, refusals()))


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer not in ("uploads", "visible mark")])
def test_jobs_of_one_pass_leave_no_file_without_a_layer(
    layer: str, model: Path, generator: Generator, work: Path
) -> None:
    with Service(work / "service", str(model), devices=()) as service:
        for _ in range(2):
            _, jobs = order(service, "/v1/videos", work / "inputs" / "clip.mp4")
        tasks = [service._task(job) for job in jobs]
        with failing(layer, "killed"):
            delivered, answers = by_worker(*tasks, generator=generator)
        assert (delivered, [answer.kind for answer in answers]) == ([], ["failed", "failed"])
        assert {answer.code for answer in answers} <= {"content_policy_violation", "generation_failed"}
        delivered, answers = by_worker(*tasks, generator=generator)
        assert len(delivered) == 4 and [answer.kind for answer in answers] == ["done", "done"]


@pytest.mark.parametrize("path", BODIES)
def test_a_stopped_service_makes_no_job_and_does_none(path: str, model: Path, work: Path) -> None:
    with Service(work / "service", str(model), devices=()) as service:
        _, waiting = order(service, "/v1/videos", work / "inputs" / "clip.mp4")
        (service.folder / "stopped").touch()
        status, jobs = order(service, path, work / "inputs" / "clip.mp4")
        assert (status, len(jobs)) == (404 if "{name}" in path else 503, 1)
        with pytest.raises(FileProblem, match="was stopped"):
            service._task(waiting[0])
    assert len(refusals()) == 2 and all(map(is_complete, refusals()))


@pytest.mark.parametrize("variant", ["thumbnail", "spritesheet"])
@pytest.mark.parametrize("layer", ["output: classifier", "credentials"])
def test_a_preview_of_a_finished_video_needs_every_layer(
    variant: str, layer: str, model: Path, generator: Generator, work: Path
) -> None:
    with Service(work / "service", str(model), devices=()) as service:
        _, (job,) = order(service, "/v1/videos", work / "inputs" / "clip.mp4")
        _, (answer,) = by_worker(service._task(job), generator=generator)
        assert service.store.claim() and service.store.complete(job.id, answer.result)
        with failing(layer, "killed"):
            found = asked(service)("GET", f"/v1/videos/{job.id}/content?variant={variant}")
        assert found.status_code >= 400 and "error" in found.json()
        assert not list((work / "service" / "outputs").glob(f"*.{variant}.*"))


# Code


def test_every_delivery_in_the_code_names_its_policy() -> None:
    """A new line that delivers and forgets the policy of its user is found here."""
    found = 0
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "eliver" in text else ():
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Delivery", "deliver")
            ):
                found += 1
                named = {keyword.arg for keyword in node.keywords}
                assert "policy" in named, f"{path.relative_to(PACKAGE)}, line {node.lineno}"
    assert found >= 8
