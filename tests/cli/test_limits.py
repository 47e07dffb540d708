"""The options that limit what is encoded, for `encode` and for `train dit` on folders of clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chronotope.media import video
from chronotope.storage import read_json
from tests.cli.models import answer, refused, run, save_clips, save_run
from tests.cli.test_train import DIT_SETTINGS, STEPS


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Clips of 32x32 and one of 160x80, 3 s at 24 fps."""
    folder = save_clips(tmp_path / "mine")
    frames = np.random.default_rng(0).integers(0, 255, (72, 80, 160, 3), np.uint8)
    video.write(folder / "large.mp4", frames, 24.0)
    (folder / "large.txt").write_text("noise")
    return Path("mine")


LIMITS = ("--max-side", "64", "--fps", "8", "--max-seconds", "1.5")


def test_clips_are_encoded_within_limits(clips: Path, model: Path) -> None:
    words = ("encode", clips, "--model", model, "--out", "latents")
    result = run(*words, *LIMITS)
    assert result.exit_code == 0, result.stderr
    done = "1 clip scaled to at most 64 pixels, 1 resampled to 8 fps, 1 cut into 2 parts of at most 1.5 s"
    assert done in result.stderr and "5 clips in 6 items: 5 new" in result.stderr
    facts = answer("info", "latents")
    assert facts["limits"] == {"max_side": 64, "fps": 8.0, "max_seconds": 1.5} and facts["sizes"] == {
        "32x32": 4,
        "64x32": 2,
    }
    assert "limits then: --max-side 64 --fps 8 --max-seconds 1.5; now: none" in refused(*words, status=2)
    assert "nothing has changed" in run(*words, *LIMITS).stderr
    checked = run("check", "latents")
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(
    "wrong", ["--max-side=0", "--fps=0", "--fps=nan", "--fps=fast", "--max-seconds=0", "--fps=1e9"]
)
def test_limits_that_are_none_are_refused(model: Path, wrong: str) -> None:
    refused("encode", model, "--model", model, "--out", "x", wrong, status=2)
    assert not Path("x").exists()


def test_a_side_is_at_least_16_pixels_and_a_rate_may_stay(clips: Path, model: Path) -> None:
    assert "at least 16 pixels" in refused("encode", clips, "--model", model, "--out", "x", "--max-side", 8, status=2)
    assert run("encode", clips, "--model", model, "--out", "x", "--fps", "native").exit_code == 0


def test_a_training_takes_limits_for_clips(clips: Path, model: Path) -> None:
    words = ("train", "dit", "--preset", "tiny", "--data", clips, "--out", "run", "--autoencoder", model)
    settings = ("--set", *DIT_SETTINGS, *STEPS)
    result = run(*words, *LIMITS, *settings)
    assert result.exit_code == 0, result.stderr
    assert "5 clips in 6 items: 5 new" in result.stderr and "more than once" not in result.stderr
    assert read_json(Path("run/latents/mine/latents.json"))["limits"]["max_side"] == 64
    assert "times the tokens" not in result.stderr
    assert "cut otherwise" in refused(*words, *settings, status=2)
    assert "nothing has changed" in run(*words, *LIMITS, *settings).stderr
    again = ("train", "dit", "--preset", "tiny", "--data", "run/latents/mine", "--out", "run", *LIMITS, *settings)
    assert "is for folders of clips, and run/latents/mine holds latents" in refused(*again, status=2)


def test_clips_far_above_the_preset_are_said_before_the_work(clips: Path, model: Path) -> None:
    words = ("train", "dit", "--preset", "tiny", "--data", clips, "--out", "run", "--autoencoder", model)
    settings = ("--set", *DIT_SETTINGS, *STEPS, "train.max_sample_tokens=8")
    result = run(*words, *settings)
    assert result.exit_code == 0, result.stderr
    said = "note: mine/large.mp4 is 160x80, 3 s at 24 fps, 112 times the tokens that a step shows of a clip"
    assert said in result.stderr and "to take less of it: --max-side 32 --fps 8 --max-seconds 1" in result.stderr
    assert result.stderr.index(said) < result.stderr.index("5 clips: 5 new")
    assert said not in run(*words, *settings).stderr  # they are encoded now
