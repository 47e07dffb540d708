"""What `generate` and `reconstruct` may replace, under which names they write, and what they leave behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronotope.errors import UsageError
from chronotope.evaluate.tasks import write_inputs
from chronotope.media import video
from chronotope.request import Inputs
from chronotope.storage import is_partial
from chronotope.worlds.case import TaskInputs
from tests.cli.models import files_in, refused, run, save_clips, save_run

PROMPT = "a red ball"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


def generate(model: Path, name: str, *more: Any) -> tuple[Any, ...]:
    return ("generate", PROMPT, "--model", model, "--steps", 1, "-o", name, *more)


def camera_video(name: str) -> bytes:
    """A video with the comment of another program."""
    video.write(name, np.zeros((3, 32, 32, 3), np.uint8), 8, metadata={"maker": "a camera"})
    Path(name + ".json").unlink(missing_ok=True)
    return Path(name).read_bytes()


def strangers(name: str) -> dict[str, bytes]:
    """Files that this program did not make, by the name of the output that would replace them."""
    Image.new("RGB", (32, 32)).save("photo.png")
    Path("notes.mp4").write_text("not a video at all")
    Path("mine.mp4.json").write_text('{"to do": ["buy bread"]}')
    Path("list.mp4.json").write_text("[1, 2]")
    Path("other.mp4.json").write_text("no JSON")
    Path("claims.mp4.json").write_text('{"program": 3}')
    camera_video("camera.mp4")
    del name
    return {path.name: path.read_bytes() for path in Path().iterdir()}


def test_what_others_made_is_replaced_only_when_told_to(model: Path) -> None:
    before = strangers("")
    for name in ("photo.png", "notes.mp4", "mine.mp4", "list.mp4", "other.mp4", "claims.mp4", "camera.mp4"):
        more = ("--seconds", 0) if name.endswith("png") else ()
        sentence = refused(*generate(model, name, *more), status=2)
        assert f"{name}" in sentence and "was not made by this program" in sentence and "--overwrite" in sentence
        assert {path.name: path.read_bytes() for path in Path().iterdir()} == before
        done = run(*generate(model, name, *more, "--overwrite"))
        assert done.exit_code == 0, done.stderr
        assert video.read_origin(name)["prompt"] == PROMPT  # type: ignore[index]
        assert run(*generate(model, name, *more)).exit_code == 0  # its own file needs no permission
        before = {path.name: path.read_bytes() for path in Path().iterdir()}


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".png", ".jpg"])
def test_a_sidecar_of_another_file_makes_a_video_no_file_of_ours(model: Path, suffix: str) -> None:
    more = () if suffix in (".mp4", ".gif") else ("--seconds", 0)
    assert run(*generate(model, f"ours{suffix}", *more)).exit_code == 0
    video.write(f"theirs{suffix}", np.zeros((1, 32, 32, 3), np.uint8), 8)
    shutil.copy(f"ours{suffix}.json", f"theirs{suffix}.json")
    whole = Path(f"theirs{suffix}").read_bytes()
    assert "was not made by this program" in refused(*generate(model, f"theirs{suffix}", *more), status=2)
    assert Path(f"theirs{suffix}").read_bytes() == whole
    Path(f"ours{suffix}.json").unlink()
    assert run(*generate(model, f"ours{suffix}", *more)).exit_code == 0  # the tags alone say whose it is


def test_every_output_of_several_is_checked_before_the_work(model: Path) -> None:
    whole = camera_video("fox-1.mp4")
    assert "fox-1.mp4 exists" in refused(*generate(model, "fox.mp4", "--count", 2), status=2)
    assert files_in(Path()) == {"fox-1.mp4"} and Path("fox-1.mp4").read_bytes() == whole


def test_an_empty_file_may_be_replaced(model: Path) -> None:
    Path("x.mp4").touch()
    assert run(*generate(model, "x.mp4")).exit_code == 0


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_a_link_is_replaced_only_when_told_to_and_never_followed(model: Path, suffix: str) -> None:
    """Also one whose target is a file of ours, or is missing."""
    assert run(*generate(model, "ours.mp4")).exit_code == 0
    content = {name: Path(name).read_bytes() for name in ("ours.mp4", "ours.mp4.json")}
    for target in ("ours.mp4" + suffix, "missing"):
        link = Path("link.mp4" + suffix)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert "is a link" in refused(*generate(model, "link.mp4"), status=2)
        assert run(*generate(model, "link.mp4", "--overwrite")).exit_code == 0
        assert not link.is_symlink() and not Path("missing").exists()
        assert {name: Path(name).read_bytes() for name in content} == content


def test_reconstruct_follows_the_same_rules(model: Path) -> None:
    camera_video("in.mp4")
    whole = camera_video("out.mp4")
    assert "was not made by this program" in refused(
        "reconstruct", "in.mp4", "--model", model, "-o", "out.mp4", status=2
    )
    assert Path("out.mp4").read_bytes() == whole
    assert run("reconstruct", "in.mp4", "--model", model, "-o", "out.mp4", "--overwrite").exit_code == 0
    assert run("reconstruct", "in.mp4", "--model", model, "-o", "out.mp4").exit_code == 0
    assert json.loads(Path("out.mp4.json").read_text())["task"] == "reconstruct"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif", ".png", ".webp"])
def test_names_are_written_or_refused_before_the_work(
    model: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings lie beside the file under a name that is 5 bytes longer."""
    more = ("--seconds", 0) if suffix in (".png", ".webp") else ()
    longest = "a" * (250 - len(suffix)) + suffix
    assert run(*generate(model, longest, *more)).exit_code == 0
    assert files_in(Path()) == {longest, longest + ".json"}
    monkeypatch.setattr("chronotope.generate.pipeline.Generator.load", lambda *_: pytest.fail("work began"))
    for name in ("a" + longest, "a" * 252 + suffix, "\u96ea" * 83 + suffix):
        assert "a name has at most 255" in refused(*generate(model, name, *more), status=1)
    assert "a name has at most 255" in refused(*generate(model, longest, *more, "--count", 2), status=1)
    assert files_in(Path()) == {longest, longest + ".json"}


def test_a_file_that_waits_at_the_former_partial_name_is_untouched(model: Path) -> None:
    """Names of partial files cannot be predicted, so nobody can put a link there."""
    Path("precious").write_text("precious")
    for name in ("x.part.mp4", "x.mp4.part.json"):
        Path(name).symlink_to("precious")
    assert run(*generate(model, "x.mp4")).exit_code == 0
    assert Path("precious").read_text() == "precious"
    assert not any(map(is_partial, files_in(Path())))


EVALUATE = ("evaluate", "small", "--suite", "smoke", "--first", 1, "--layer", "truth")


def test_pages_reports_and_videos_of_others_are_kept() -> None:
    for name in ("report.json", "index.html"):
        folder = Path(name).with_suffix("")
        folder.mkdir()
        (folder / name).write_text('{"version": 1}')
        assert f"{name} exists and was not made" in refused(*EVALUATE, "--out", folder, status=2)
        assert files_in(folder) == {name} and (folder / name).read_text() == '{"version": 1}'
    assert run(*EVALUATE, "--out", "out").exit_code == 0
    Path("out/index.html").write_text("my page")
    for words in (
        (*EVALUATE, "--out", "out"),
        ("layers", "out", "out", "out"),
        ("memorisation", "out", "--data", "small:1:1", "--baseline", "small:1:2:heldout"),
    ):
        refused(*words, status=2)
        assert Path("out/index.html").read_text() == "my page"
    Path("out/index.html").unlink()
    Path("out/report.json").write_text('{"cut of')  # of ours, as the ledger beside it says
    assert run(*EVALUATE, "--out", "out").exit_code == 0 and "ledger" in Path("out/report.json").read_text()
    Path("other/videos").mkdir(parents=True)
    (made,) = Path("out/videos").glob("*.mp4")
    stranger = camera_video(str(Path("other/videos") / made.name))
    assert "give another --out" in refused(*EVALUATE, "--out", "other", status=2)
    assert Path("other/videos", made.name).read_bytes() == stranger


def test_plans_and_inputs_of_others_are_kept() -> None:
    words = ("evaluate", "--suite", "smoke", "--first", 1, "--plan", "plan.jsonl")
    Path("plan.jsonl").write_text("my notes")
    assert "plan.jsonl exists and was not made" in refused(*words, status=2)
    assert Path("plan.jsonl").read_text() == "my notes"
    Path("plan.jsonl").unlink()
    assert run(*words).exit_code == 0 and run(*words).exit_code == 0
    task = TaskInputs(Inputs(images=((0.0, np.full((8, 8, 3), 7, np.uint8)),)), 4)
    for _ in range(2):
        write_inputs(task, "one", Path())
    picture = Path("inputs/one-image-0.png")
    Image.new("RGB", (8, 8)).save(picture)
    whole = picture.read_bytes()
    with pytest.raises(UsageError, match="is another picture"):
        write_inputs(task, "one", Path())
    assert picture.read_bytes() == whole


@pytest.mark.parametrize("name", ["config.toml", "model.json", "log.jsonl", "model.safetensors"])
def test_a_folder_named_dit_of_another_project_is_kept(name: str, model: Path) -> None:
    save_clips(Path("clips"))
    Path("dit").mkdir()
    Path("dit", name).write_text('{"model_type": "DiT-XL"}')
    words = ("train", "dit", "--preset", "tiny", "--data", "clips", "--out", ".", "--autoencoder", model)
    assert f"{name} exists and is of no training of this program" in refused(*words, status=2)
    assert Path("dit", name).read_text() == '{"model_type": "DiT-XL"}'
    assert files_in(Path("dit")) == {name}
