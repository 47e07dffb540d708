"""No file passes by the layers: not by a task, a route of the service, a call of Python, or a new line of code."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from chronotope import Generator
from chronotope.safety.deliver import NotDeliveredError
from chronotope.safety.verify import verify
from chronotope.serve import app as serve
from chronotope.serve.jobs.worker import Task
from chronotope.serve.order import Order
from chronotope.serve.service import Service
from chronotope.simulate import server as simulate
from tests.cli.models import run, save_run
from tests.safety.closed import INPUTS, by_worker, save_inputs, words

PACKAGE = Path(__file__).resolve().parents[2] / "chronotope"
# Functions of this program and of common libraries that encode a picture or a video
WRITERS = {
    *("VideoWriter", "write_image", "add_stream"),
    *("imwrite", "imwritemulti", "imencode", "imsave", "mimsave", "savefig"),
    *("write_video", "write_png", "write_jpeg", "encode_png", "encode_jpeg"),
}
# Code that encodes pictures or videos itself, and why what it makes is not delivered.
OWN_WRITERS = {
    "media/writer.py": "the writer of videos",
    "media/picture.py": "the writer of pictures",
    "media/video.py": "the module by which both are imported",
    "safety/deliver.py": "the one way out",
    "safety/output/classifier.py": "a frame stored as JPEG in memory and read back, as its classifier expects",
    "curate/write.py": "clips of a user's own films",
    "evaluate/exports/worldscore.py": "single frames of a video that was delivered, for a benchmark of others",
    "evaluate/make.py": "videos that are measured, in the folder of an evaluation",
    "evaluate/preference/study.py": "a still copy of a video as an attention check, inside the page of a study",
    "evaluate/tasks.py": "pictures that a case is made from",
    "train/autoencoder/run.py": "samples in the folder of a training",
    "cli/train/samples.py": "samples in the folder of a training",
    "cli/datasets/teach.py": "samples of a training, and a film of a user's own clips",
    "worlds/write.py": "clips of a simulator",
    "worlds/table/materials.py": "textures of a simulator",
    "simulate/server.py": "frames of a world that is played, sent one by one to the page that plays it",
    "simulate/record.py": "a picture of a user's own recording, in its page",
    "serve/client.py": "pictures that a user sends to a server",
    "caption/captioners/endpoint.py": "frames of a user's own clip, sent to a captioner",
    "cli/language/review.py": "a user's own clips, on the page of a review",
    "cli/datasets/inspection.py": "a user's own clips, on the page of an inspection",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_inputs(tmp_path)


@pytest.fixture
def no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text("no folder, so nothing can be signed")
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "keys"))


# Code


def writes_media(tree: ast.AST) -> bool:
    """Return whether code encodes pictures or videos; where Pillow is imported, every `save` counts as one of it."""
    pillow = False
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                pillow = pillow or module.split(".")[0] == "PIL"
                if module.startswith("chronotope.media") and "write" in {one.name for one in names}:
                    return True
            case ast.Import(names=names):
                pillow = pillow or any(one.name.split(".")[0] == "PIL" for one in names)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in WRITERS:
                return True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="video") | ast.Attribute(attr="video"), attr="write")):
                return True
    saves = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return pillow and any(isinstance(function, ast.Attribute) and function.attr == "save" for function in saves)


@pytest.mark.parametrize(
    "code",
    [
        "video.write(1)",
        "chronotope.media.video.write(1)",
        "from chronotope.media.video import write",
        "media.VideoWriter(1)",
        "cv2.imwrite(1)",
        "cv2.imencode('.png', 1)",
        "container.add_stream('h264')",
        "from PIL import Image; Image.fromarray(1).save(2)",
        "def f():\n  import PIL.Image\n  picture.save(path)",
    ],
)
def test_a_writer_is_recognised(code: str) -> None:
    assert writes_media(ast.parse(code))


@pytest.mark.parametrize(
    "code", ["file.write(1); video.read(1)", "state.save(1)", "from PIL import Image; file.write(1)"]
)
def test_other_code_is_no_writer(code: str) -> None:
    assert not writes_media(ast.parse(code))


def test_every_writer_of_media_is_listed_with_its_reason() -> None:
    found = {
        str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if writes_media(ast.parse(path.read_text()))
    }
    assert found == set(OWN_WRITERS)


# Routes


ANSWERS_WITH_FILES = {
    "/v1/generations/{name}/content": "the delivered file, and previews of it by `deliver`",
    "/v1/videos/{name}/content": "the same",
    "/v1/generations/{name}/preview": "a picture of an unfinished video, by `deliver`",
    "/v1/videos/{name}/preview": "the same",
    "/v1/images/generations": "delivered pictures, in Base64",
    "/v1/files/{name}/content": "a file that a user uploaded, as it came",
    "/v1/shown/media": "a clip of a dataset or a sample of a training, as it lies in a folder of the owner",
    "/studio/{name}": "the scripts and styles of the page",
    "/play": "frames of a world that is played, sent one by one",
}
ANSWERS_WITH_WORDS = {
    *("/v1/generations", "/v1/generations/{name}", "/v1/generations/{name}/settings", "/v1/generations/{name}/events"),
    *("/v1/generations/{name}/move", "/v1/generations/{name}/order", "/v1/generations/{name}/cancel"),
    *("/v1/videos", "/v1/videos/{name}", "/v1/videos/{name}/settings", "/v1/videos/{name}/events"),
    *("/v1/videos/{name}/remix", "/v1/videos/extensions", "/v1/videos/edits", "/v1/videos/characters"),
    *("/v1/files", "/v1/files/{name}", "/v1/files/{name}/about", "/v1/models", "/v1/models/{name}"),
    *("/v1/studio/model", "/v1/studio/prompt", "/v1/studio/estimate", "/v1/studio/queue"),
    *("/v1/shown", "/v1/shown/content"),
    *("/health", "/ready", "/metrics", "/", "/favicon.ico", "/openapi.json"),
}


def test_every_route_is_known(tmp_path: Path) -> None:
    """A new route of the service or of a played world has to be looked at, and put into one of the two lists."""
    service = serve.make_app(Service(tmp_path / "service", devices=())).app
    no_model: Any = None  # it is used when a player comes
    played = simulate.make_app(no_model, simulate.PlayOptions())
    assert isinstance(service, FastAPI)
    found = {route.path for app in (service, played) for route in iter_route_contexts(app.routes)}
    assert found == set(ANSWERS_WITH_FILES) | ANSWERS_WITH_WORDS


# Tasks


@pytest.mark.parametrize("task", INPUTS)
def test_no_task_delivers_without_keys(
    task: str, model: Path, clip: Path, no_keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*words(task), "--model", model)
    assert result.exit_code == 1 and "credentials failed" in result.stderr
    assert not list(tmp_path.glob("made*"))


@pytest.mark.parametrize("task", ["text to picture", "edit"])
def test_a_task_delivers_with_keys(
    task: str, model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words(task), "--model", model).exit_code == 0
    (made,) = (path for path in tmp_path.glob("made.*") if path.suffix != ".json")
    assert verify(made, search=False).verdict == "authentic"
    assert (b"composite" in made.read_bytes()) == (task == "edit")


def test_reconstructions_are_not_delivered_without_keys(model: Path, clip: Path, no_keys: None, tmp_path: Path) -> None:
    result = run("reconstruct", clip, "--model", model, "-o", tmp_path / "made.mp4")
    assert result.exit_code == 1 and "credentials failed" in result.stderr
    assert not list(tmp_path.glob("made*"))


ORDERS: dict[str, dict[str, Any]] = {
    "text": {},
    "picture": {"picture": True},
    "animate": {"images": ("still",)},
    "outpaint": {"task": "retake", "video": "clip", "size": (56, 40)},
    "connect": {"task": "connect", "video": "clip", "into": "clip"},
    **{name: {"task": name, "video": "clip"} for name in ("extend", "extend_backward", "loop", "edit")},
    "retake": {"task": "retake", "video": "clip", "start": 0.5},
}


@pytest.mark.parametrize("task", ORDERS)
def test_the_service_delivers_no_job_without_keys(task: str, model: Path, clip: Path, no_keys: None) -> None:
    folder = clip.parent
    asked = {"seconds": 0.5} if task not in ("edit", "retake", "outpaint", "picture") else {}
    order = Order(((0.0, "a red ball"),), steps=1, **asked, **ORDERS[task])
    paths = {"clip": clip, "still": folder / "still.png"}
    output = folder / f"made.{'png' if order.picture else 'mp4'}"
    task = Task("job", order, paths, output, folder / "made.preview.webp")
    _, (answer,) = by_worker(task, generator=Generator.load(model))
    assert answer.kind == "failed" and "failed" in answer.message and str(folder.parent) not in answer.message
    assert not list(folder.glob("made*"))


# Python


def test_a_generation_saves_itself_with_all_layers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Generator.load(model).generate("a red ball", num_inference_steps=1)
    made.save(tmp_path / "made.mp4")
    assert verify(tmp_path / "made.mp4", search=False).verdict == "authentic"
    monkeypatch.setenv("CHRONOTOPE_KEYS", str(tmp_path / "made.mp4"))
    with pytest.raises(NotDeliveredError):
        made.save(tmp_path / "again.mp4")
    assert not (tmp_path / "again.mp4").exists()
