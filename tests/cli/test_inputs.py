"""Every sampling task from the command line, on a synthetic clip and on a film; and options that exclude each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chronotope.cli import inputs
from chronotope.data.latents import encode_frames
from chronotope.errors import UsageError
from chronotope.generate import files as file_requests
from chronotope.generate import pipeline, plan
from chronotope.generate.layout import lay_out_inputs
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.prompt import Prompt
from chronotope.request import Defaults
from tests.cli.models import answer, refused, run, save_run
from tests.real_clips import cache_dir

PROMPT = "a red ball"
BIKES = cache_dir() / "bikes.mp4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))  # 48x32, 8 frames at 8


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """a.mp4 of 12 frames and b.mp4 of 9 in the model's own size; two pictures and a mask."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, count in (("a", 12), ("b", 9)):
        video.write(f"{name}.mp4", rng.integers(0, 256, (count, 32, 48, 3), np.uint8), 8.0)
        video.write_image(f"{name}.png", rng.integers(0, 256, (32, 48, 3), np.uint8))
    mask = np.zeros((32, 48, 3), np.uint8)
    mask[:, :16] = 255
    video.write_image("mask.png", mask)


CALLS = {
    "keyframes": ([PROMPT, "--image", "a.png", "--at", "0", "--image", "b.png", "--at", "1"], 9, "keyframes"),
    "extend": ([PROMPT, "--extend", "a.mp4", "--seconds", "1"], 20, "extend"),
    "backward": ([PROMPT, "--extend", "a.mp4", "--backward", "--context", "0.5"], 20, "extend backward"),
    "connect": ([PROMPT, "--connect", "a.mp4", "b.mp4", "--seconds", "0.5"], 25, "connect"),
    "loop of words": ([PROMPT, "--loop"], 8, "loop"),
    "loop of a picture": ([PROMPT, "--loop", "--image", "a.png"], 9, "loop"),
    "loop of a clip": ([PROMPT, "--loop", "--extend", "a.mp4", "--context", "0.5"], 20, "loop"),
    "edit": ([PROMPT, "--edit", "a.mp4", "--strength", "0.3"], 12, "edit"),
    "retake": ([PROMPT, "--retake", "a.mp4", "--from", "0.5", "--to", "1"], 12, "retake"),
    "inpaint": ([PROMPT, "--retake", "a.mp4", "--mask", "mask.png"], 12, "inpaint"),
    "outpaint": ([PROMPT, "--retake", "a.mp4", "--size", "80x64"], 12, "outpaint"),
    "story": (["--story", "0: a red ball", "0.5: a fox walks"], 12, "text to video"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_task_makes_a_video(model: Path, name: str) -> None:
    words, count, task = CALLS[name]
    dry = answer("generate", *words, "--model", model, "--dry-run")
    assert dry["task"] == task and dry["whole_video"]["memory"] > 0
    (made,) = answer("generate", *words, "--model", model, "-o", "made.mp4")["files"]
    assert (made["task"], made["num_frames"]) == (task, count)
    assert video.probe("made.mp4").num_frames == count
    named = [word for word in words if word.endswith((".mp4", ".png"))]
    assert made.get("given", []) == named


def test_a_long_video_is_generated_window_by_window(model: Path) -> None:
    """Ten seconds are twenty slices in windows of two with one of context; the cost of a second stays the same."""
    short, long = (answer("generate", PROMPT, "--seconds", s, "--model", model, "--dry-run") for s in (4, 10))
    assert (short["whole_video"]["windows"], long["whole_video"]["windows"]) == (7, 19)
    alone = answer("generate", PROMPT, "--seconds", 4, "--guidance", "1", "--model", model, "--dry-run")["whole_video"]
    flops, flops_short, flops_alone = (
        plan["flops_sampling"] for plan in (long["whole_video"], short["whole_video"], alone)
    )
    assert flops - flops_short == pytest.approx(
        12 * flops_alone / 7
    )  # later windows with the same prompt are not guided
    assert long["largest_window"] == short["largest_window"]
    (made,) = answer("generate", PROMPT, "--seconds", 10, "--model", model, "-o", "made.mp4")["files"]
    assert (
        made["num_frames"] == video.probe("made.mp4").num_frames == 80
        and made["windows"] == long["whole_video"]["windows"]
    )


@pytest.mark.skipif(not BIKES.exists(), reason="the film could not be fetched")
@pytest.mark.parametrize(
    "words", [["--extend", BIKES], ["--retake", BIKES, "--from", "1", "--to", "2"], ["--connect", BIKES, "a.mp4"],
              ["--image", BIKES, "--at", "0.5"], *(pytest.param(words, marks=pytest.mark.slow) for words in (
              ["--extend", BIKES, "--backward"], ["--edit", BIKES], ["--loop", "--extend", BIKES]))],
    ids=lambda words: " ".join(str(word) for word in words if not isinstance(word, Path)),
)  # fmt: skip
def test_a_film_goes_through_every_task(model: Path, words: list[Any]) -> None:
    """640x272, 25 fps, 10 s: read at the model's frame rate, at its own shape in about the model's number of pixels."""
    (made,) = answer("generate", PROMPT, *words, "--model", model, "-o", "made.mp4")["files"]
    info = video.probe("made.mp4")
    assert (info.width, info.height) == ((48, 32) if "--image" in words else (64, 32)) and info.fps == 8
    length = {"--edit": 80, "--retake": 80, "--connect": 80 + 8 + 12, "--image": 9}.get(words[0], 88)
    assert abs(info.num_frames - length) <= 4
    assert made["notes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--extend", "a.mp4", "--edit", "a.mp4"], "--extend and --edit are different tasks"),
        (["--image", "a.png", "--extend", "a.mp4"], "leave it out with --extend"),
        (["--loop", "--edit", "a.mp4"], "does not go with --edit"),
        (["--loop", "--image", "a.png", "--image", "b.png"], "begins and ends at one --image"),
        (["--image", "a.png", "--image", "b.png"], "several pictures need their seconds"),
        (["--image", "a.png", "--image", "b.png", "--at", "1"], "2 --image and 1 --at"),
        (["--image", "a.png", "--at", "0", "--image", "b.png", "--at", "0"], "share frame 0, at 0 s"),
        (
            ["--image", "a.png", "--at", "7", "--seconds", "2"],
            "stands at 7 s (frame 56), but the video has 2 s (16 frames)",
        ),
        (["--backward"], "--backward goes with --extend"),
        (["--context", "1"], "--context goes with"),
        (["--strength", "0.5"], "--strength goes with"),
        (["--edit", "a.mp4", "--strength", "2"], "between 0 (keep everything) and 1"),
        (["--edit", "a.mp4", "--strength", "nan"], "finite"),
        (["--edit", "a.mp4", "--seconds", "2"], "keep the length of the clip"),
        (["--retake", "a.mp4"], "or a --size larger than 48x32"),
        (["--retake", "a.mp4", "--from", "5"], "nothing of it lies after 5 s"),
        (["--retake", "a.mp4", "--from", "1", "--to", "0.5"], "ends after it begins"),
        (["--mask", "mask.png"], "--mask goes with --retake"),
        (["--connect", "a.mp4", "a.png"], "is a picture"),
        (["--extend", "a.mp4", "--context", "0"], "give more --context"),
        (["--story", "0: a fox"], "exclude each other"),
        (["--extend", "a.mp4", "-o", "a.mp4"], "a.mp4 is the file to read"),
        (["--extend", "a.mp4", "--seconds", "0"], "needs --seconds above 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_exclude_each_other_are_refused(model: Path, words: list[str], message: str) -> None:
    output = [] if "-o" in words else ["-o", "made.mp4"]
    assert message in refused("generate", PROMPT, "--model", model, *words, *output, status=2)
    assert not Path("made.mp4").exists()


def test_missing_files_and_files_that_are_not_videos(model: Path) -> None:
    Path("noise.mp4").write_bytes(b"noise")
    for name, message in (("missing.mp4", "missing.mp4"), ("noise.mp4", "noise.mp4")):
        assert message in refused("generate", PROMPT, "--model", model, "--extend", name, "-o", "made.mp4", status=1)
    for beats, message in (
        (["a fox"], "beats such as"),
        (["1: a fox", "0: a ball"], "rising times"),
        (["0: "], "beats such as"),
    ):
        assert message in refused("generate", "--story", *beats, "--model", model, "-o", "made.mp4", status=2)
    assert (
        run("generate", "--story", "0: a fox", "--story", "1: a ball", "--model", model, "-o", "made.mp4").exit_code
        == 0
    )


def test_a_clip_that_does_not_fit_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.mp4"
    video.write(clip, np.zeros((16, 64, 96, 3), np.uint8), 8.0)
    needed = 3 * 16 * 64 * 96 * file_requests.COPIES
    monkeypatch.setattr(file_requests, "available_bytes", lambda: needed)
    file_requests.check_memory([clip], 8.0)
    monkeypatch.setattr(file_requests, "available_bytes", lambda: needed // 2)
    monkeypatch.setattr(video, "read", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(UsageError, match="2 s of 96x64: at 8 frames a second"):
        inputs.Options(extend=clip).request((Prompt("x"),), Defaults(), Geometry())


@pytest.mark.parametrize(
    "words",
    [
        ["--extend", "a.mp4", "--context", "0.5"],
        pytest.param(["--retake", "a.mp4", "--mask", "mask.png"], marks=pytest.mark.slow),
        ["--loop"],
    ],
)
def test_a_clip_is_encoded_once_for_many_seeds(model: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    """And each seed gives the same file as alone."""
    seen: list[int] = []

    def counted(autoencoder: Any, geometry: Any, frames: np.ndarray, slices: Any) -> Any:
        seen.append(len(frames))
        return encode_frames(autoencoder, geometry, frames, slices)

    monkeypatch.setattr(pipeline, "encode_frames", counted)
    layouts: list[Any] = []

    def laid_out(*arguments: Any) -> Any:
        layouts.append(arguments)
        return lay_out_inputs(*arguments)

    monkeypatch.setattr(plan, "lay_out_inputs", laid_out)
    words = [PROMPT, *words, "--model", str(model)]
    alone = [run("generate", *words, "--seed", seed, "-o", f"alone-{seed}.mp4") for seed in (3, 4)]
    once = len(seen) // len(alone)
    seen.clear()
    assert {made.exit_code for made in (*alone, run("generate", *words, "--seed", 3, "--count", 2, "-o", "x.mp4"))} == {
        0
    }
    assert len(seen) == once == ("--loop" not in words)
    for seed in (3, 4):
        assert np.array_equal(video.read(f"x-{seed}.mp4").frames, video.read(f"alone-{seed}.mp4").frames)
    assert len(layouts) == len(alone) + 1  # and laid out once


def test_deviations_from_the_request_are_noted(model: Path) -> None:
    """The first prompt of a story holds from the beginning; a span beyond the end reaches to the end."""
    late, soon = (["--story", f"{at}: a red ball", "0.75: a fox walks"] for at in ("0.5", "0"))
    assert run("generate", *soon, "--model", model, "-o", "soon.mp4").exit_code == 0
    message = run("generate", *late, "--model", model, "-o", "late.mp4").stderr
    assert "note: the story has no prompt before 0.5 s, so its first prompt holds from the beginning" in message
    assert np.array_equal(video.read("soon.mp4").frames, video.read("late.mp4").frames)
    (no_record,) = answer("generate", *soon, "--model", model, "--dry-run")["notes"]
    assert "no record of its training" in no_record
    assert len(answer("generate", *late, "--model", model, "--dry-run")["notes"]) == 2
    stretch = [PROMPT, "--retake", "a.mp4", "--from", "1", "--model", model, "--dry-run", "--to"]
    note, _ = answer("generate", *stretch, "9")["notes"]
    assert note == "the clip ends at 1.5 s, before 9 s: remade to its end, and not made longer"
    assert answer("generate", *stretch, "1.5")["notes"] == [no_record]


def test_a_story_is_as_long_as_its_last_beat(model: Path) -> None:
    """Without --seconds the last beat has the model's own length; with too few the request is refused."""
    beats = ["--story", "0: a red ball", "2: a red ball", "4: a red ball"]
    assert answer("generate", *beats, "--model", model, "--dry-run")["num_frames"] == 32 + 8
    assert answer("generate", *beats, "--seconds", 5, "--model", model, "--dry-run")["num_frames"] == 40
    message = refused("generate", *beats, "--seconds", 3, "--model", model, "-o", "x.mp4", status=2)
    assert "goes on at 4 s" in message and "more --seconds" in message


@pytest.mark.parametrize(("mode", "said"), [("RGBA", True), ("LA", True), ("P", True), ("L", False), ("1", False)])
def test_a_mask_that_can_be_transparent_says_what_that_means(model: Path, mode: str, said: bool) -> None:
    """Transparent parts are shown over white, as everywhere, and white is remade."""
    painted = Image.new("RGBA", (48, 32), (0, 0, 0, 0 if said else 255))
    painted.paste((255, 255, 255, 255), (0, 0, 16, 32))
    painted.convert(mode).save(f"{mode}.png", **({"transparency": 0} if mode == "P" else {}))
    result = run("generate", PROMPT, "--model", model, "--retake", "a.mp4", "--mask", f"{mode}.png", "--dry-run")
    assert result.exit_code == 0, result.output
    note = f"note: {mode}.png can be transparent; what is transparent in it counts as white, and is remade"
    assert (note in result.stderr) == said


def test_frames_of_a_clip_that_are_not_used_are_said(model: Path) -> None:
    """The model makes 8 frames a second: of a clip of 24 it sees every third."""
    video.write("fast.mp4", np.zeros((24, 32, 48, 3), np.uint8), 24.0)
    words = ("generate", PROMPT, "--model", model, "--retake", "fast.mp4", "--from", "0.5", "--to", "1", "--dry-run")
    assert "note: fast.mp4: its 24 frames are read as 8, at 8 a second" in run(*words).stderr
    slow = [word if word != "fast.mp4" else "a.mp4" for word in words]
    assert "frames are read as" not in run(*slow).stderr
