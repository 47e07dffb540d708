"""Runs whose files were lost, copied or named wrongly: no training goes on from something else without a word."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.models import refused, run, save_clips, save_run
from tests.cli.test_train import train, weights


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents of four clips, beside the model that made them."""
    folder = tmp_path_factory.mktemp("data")
    model, clips = save_run(folder / "model"), save_clips(folder / "clips")
    result = run("encode", clips, "--model", model, "--out", folder / "latents")
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def trained(data: Path) -> Path:
    """A finished training of four steps."""
    assert fit(data, data / "trained").exit_code == 0
    return data / "trained"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def fit(data: Path, out: Path, *more: str, source: tuple[str, Any] | None = None) -> Any:
    flag, model = source or ("--autoencoder", data / "model")
    return train("dit", data / "latents", str(out), *more, flag, str(model))


def test_a_model_without_its_checkpoints_is_not_trained_again_from_the_start(copied: Path, data: Path) -> None:
    shutil.rmtree(copied / "dit" / "checkpoints")
    before = weights(str(copied / "dit"))
    result = fit(data, copied, "train.steps=8")
    assert result.exit_code == 1 and "a model of 4 steps and no checkpoint from which it could go on" in result.stderr
    assert weights(str(copied / "dit")) == before
    again = fit(data, copied)  # what is finished stays so
    assert again.exit_code == 0 and "is trained already (4 steps)" in again.stderr


@pytest.mark.parametrize("steps", [4, 8])
def test_weights_to_start_from_are_never_ignored(copied: Path, data: Path, trained: Path, steps: int) -> None:
    result = fit(data, copied, f"train.steps={steps}", source=("--from", trained))
    assert result.exit_code == 2 and "was begun without weights to start from; leave --from out" in result.stderr


def test_other_weights_to_start_from_are_refused(data: Path, trained: Path, tmp_path: Path) -> None:
    more = ("train.steps=2",)
    assert fit(data, tmp_path / "b", *more, source=("--from", trained)).exit_code == 0
    assert fit(data, tmp_path / "b", "train.steps=3", source=("--from", trained)).exit_code == 0
    result = fit(data, tmp_path / "b", "train.steps=4", source=("--from", tmp_path / "b"))
    assert result.exit_code == 2 and "was begun from the weights" in result.stderr


@pytest.mark.parametrize("damage", ["missing", "edited"])
def test_settings_are_compared_with_those_of_the_checkpoint(copied: Path, data: Path, damage: str) -> None:
    """And not with config.toml, which anybody can edit."""
    config = copied / "dit" / "config.toml"
    if damage == "missing":
        config.unlink()
    else:
        config.write_text(re.sub("muon_rate = .*", "muon_rate = 0.017", config.read_text()))
    said = fit(data, copied, "train.steps=5", "train.muon_rate=0.017", "seed=9").stderr
    assert re.search(r"train.muon_rate was 0.0\d+ and is now 0.017", said) and "seed was 0 and is now 9" in said


def test_a_model_of_another_run_is_found(copied: Path, data: Path, trained: Path, tmp_path: Path) -> None:
    assert "nothing is wrong" in run("check", copied).stdout
    for steps, says in ((4, "both are of 4 steps"), (8, "a model of 8 steps, checkpoints up to 4")):
        other = tmp_path / f"other{steps}"
        assert fit(data, other, f"train.steps={steps}", "seed=5").exit_code == 0
        for name in ("model.json", "model.safetensors"):
            shutil.copy(other / "dit" / name, copied / "dit")
        result = run("check", copied)
        assert result.exit_code == 1 and says in result.stderr, result.stderr
    said = fit(data, copied, "train.steps=12").stderr
    assert "is a model of 8 steps; this training, of 4, will replace it" in said


def test_data_named_twice_are_refused_and_copies_are_said(data: Path, tmp_path: Path) -> None:
    words = ("--preset", "tiny", "--out", tmp_path / "x")
    latents = data / "latents"
    said = refused("train", "dit", *words, "--data", latents, latents / ".", "--autoencoder", data / "model", status=2)
    assert "more than once" in said
    said = refused("train", "autoencoder", *words, "--data", data / "clips", data / "clips", status=2)
    assert "more than once" in said
    shutil.copytree(latents, tmp_path / "copy")
    also = ("--autoencoder", str(data / "model"), "--data", str(tmp_path / "copy"))
    result = train("dit", latents, str(tmp_path / "y"), *also)
    assert result.exit_code == 0 and "hold the same clips, which are shown that much more often" in result.stderr
