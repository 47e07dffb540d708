"""Runs whose files were lost, copied or named wrongly: no training goes on from something else without a word."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from chronotope.data.record import note_latents
from chronotope.storage import read_json, write_json
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
    said = fit(data, copied, "train.steps=5", "train.muon_rate=0.017", "captions.tags=3").stderr
    assert re.search(r"train.muon_rate was 0.0\d+ and is now 0.017", said), said
    assert "captions.tags was 0.25 and is now 3.0" in said


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("seed=9", "seed 0 and not 9"),
        ("model.vocabulary_size=90", "model.vocabulary_size 120 and not 90"),
        ("model.vocabulary_size=300", "model.vocabulary_size 120 and not 300"),  # more than the captions have
        ("model.head_dim=32", "model.head_dim 64 and not 32"),  # the same shapes, another computation
        ("flow.path=variance_preserving", "flow.path rectified and not variance_preserving"),
        ("train.steps=3", "is after the last step"),
    ],
)
def test_a_run_goes_on_only_with_the_seed_and_the_model_that_it_began_with(
    copied: Path, data: Path, setting: str, says: str
) -> None:
    (copied / "dit" / "model.json").unlink()  # so that it is not finished
    before = (copied / "dit" / "config.toml").read_bytes()
    changed = ["train.steps=5", setting] if "steps" not in setting else [setting]
    result = fit(data, copied, *changed)
    assert result.exit_code == 2 and says in result.stderr, result.stderr
    assert (copied / "dit" / "config.toml").read_bytes() == before
    assert "is now" not in result.stderr and "going on" not in result.stderr


def test_a_finished_run_says_which_vocabulary_is_not_used(copied: Path, data: Path) -> None:
    said = fit(data, copied, "model.vocabulary_size=90")
    assert said.exit_code == 0 and "note: not used: model.vocabulary_size was 120 and is now 90" in said.stderr
    assert "not used" not in fit(data, copied).stderr


def test_the_vocabulary_of_the_start_is_kept_and_said(data: Path, trained: Path, tmp_path: Path) -> None:
    size = read_json(trained / "dit" / "model.json")["config"]["vocabulary_size"]
    for setting, says in (("model.vocabulary_size=77", True), (f"model.vocabulary_size={size}", False)):
        result = fit(data, tmp_path / setting, "train.steps=1", setting, source=("--from", trained))
        assert result.exit_code == 0, result.stderr
        assert ("not used: model.vocabulary_size = 77; the vocabulary of" in result.stderr) == says
        made = read_json(tmp_path / setting / "dit" / "model.json")
        assert made["config"]["vocabulary_size"] == size == len(made["vocabulary"]) + 2


def test_a_measured_setting_is_refused(data: Path, tmp_path: Path) -> None:
    result = fit(data, tmp_path / "run", "flow.deviation=[2.0]")
    assert result.exit_code == 2 and "flow.deviation is measured on the latents" in result.stderr
    assert not (tmp_path / "run").exists()


def test_checkpoints_of_earlier_versions_have_a_measured_vocabulary_which_is_not_compared(
    copied: Path, data: Path
) -> None:
    saved = copied / "dit" / "checkpoints" / "0000004"
    about = read_json(saved / "model.json")
    assert about["settings"]["model"]["vocabulary_size"] == 120 != about["config"]["vocabulary_size"]
    model = {**about["settings"]["model"], "vocabulary_size": about["config"]["vocabulary_size"]}
    flow = {**about["settings"]["flow"], "deviation": about["flow"]["deviation"]}
    for name, old in (
        ("model.json", {**about, "settings": {**about["settings"], "model": model, "flow": flow}}),
        ("state.json", read_json(saved / "state.json")),
    ):
        write_json(saved / name, {key: value for key, value in old.items() if key not in ("files", "checksum")})
    result = fit(data, copied, "train.steps=5")
    assert result.exit_code == 0 and "after step 4 of 5" in result.stderr, result.stderr
    assert "vocabulary" not in result.stderr and "deviation" not in result.stderr


def test_a_checkpoint_of_another_run_is_found(copied: Path, data: Path, tmp_path: Path) -> None:
    other, run_folder = tmp_path / "other", copied / "dit"
    assert fit(data, other, "seed=1", "train.steps=6").exit_code == 0
    shutil.copytree(other / "dit" / "checkpoints" / "0000006", run_folder / "checkpoints" / "0000006")
    for name in ("model.json", "model.safetensors"):
        (run_folder / name).unlink()
    found = run("check", copied)
    assert found.exit_code == 1 and "0000006 is of another run than" in found.stderr, found.stderr
    assert "seed is 1 and not 0" in found.stderr
    result = fit(data, copied, "train.steps=8")
    assert result.exit_code == 2 and "0000006 is of a run with seed 1 and not 0" in result.stderr
    for own in ("0000002", "0000004"):  # and with no other checkpoint, against config.toml
        shutil.rmtree(run_folder / "checkpoints" / own)
    found = run("check", copied)
    assert found.exit_code == 1 and "config.toml is of another run than" in found.stderr


def test_a_checkpoint_on_another_autoencoder_is_refused_and_found(copied: Path, data: Path, tmp_path: Path) -> None:
    model = save_run(tmp_path / "model", seed=1)
    for name in ("model.json", "model.safetensors"):
        shutil.copy(model / "autoencoder" / name, copied / "autoencoder" / name)
        (copied / "dit" / name).unlink()
    found = run("check", copied)
    assert found.exit_code == 1 and "0000004 was trained on autoencoder" in found.stderr
    latents = tmp_path / "latents"
    assert run("encode", data / "clips", "--model", copied, "--out", latents).exit_code == 0
    result = train("dit", latents, str(copied), "train.steps=5", "--autoencoder", str(model))
    assert result.exit_code == 2 and "0000004 was trained on latents of autoencoder" in result.stderr
    (copied / "latents").mkdir()
    shutil.copytree(data / "latents", copied / "latents" / "clips")
    assert "clips was encoded by autoencoder" in run("check", copied).stderr


def test_a_model_and_latents_that_are_gone_are_found(copied: Path, data: Path, tmp_path: Path) -> None:
    for name in ("model.json", "model.safetensors"):
        (copied / "dit" / name).rename(tmp_path / name)
    found = run("check", copied)
    assert found.exit_code == 1 and "reached the last step: the model is gone" in found.stderr
    assert fit(data, copied).exit_code == 0  # as it says
    assert (copied / "dit" / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    note_latents(copied / "dit", [copied / "latents" / "none"])
    found = run("check", copied)
    assert found.exit_code == 0 and f"note: {copied / 'latents' / 'none'}, on which" in found.stderr


def test_a_model_of_another_run_is_found(copied: Path, data: Path, trained: Path, tmp_path: Path) -> None:
    assert "nothing is wrong" in run("check", copied).stdout
    for steps, says in ((4, "both are of 4 steps"), (8, "a model of 8 steps, checkpoints up to 4")):
        other = tmp_path / f"other{steps}"
        assert fit(data, other, f"train.steps={steps}", "seed=5").exit_code == 0
        for name in ("model.json", "model.safetensors"):
            shutil.copy(other / "dit" / name, copied / "dit")
        result = run("check", copied)
        assert result.exit_code == 1 and says in result.stderr, result.stderr
        if steps == 4:
            said = fit(data, copied).stderr
            assert "is trained already" in said and "is not the model of the checkpoints beside it" in said
    said = fit(data, copied, "train.steps=12").stderr
    assert "is a model of 8 steps; this training, of 4, will replace it" in said


def test_a_shorter_model_of_other_data_is_found(copied: Path, data: Path, tmp_path: Path) -> None:
    clips, other = save_clips(tmp_path / "other" / "clips", size=(48, 32)), tmp_path / "other"
    assert run("encode", clips, "--model", data / "model", "--out", other / "latents").exit_code == 0
    made = fit(other, other / "run", "train.steps=3", source=("--autoencoder", data / "model"))
    assert made.exit_code == 0, made.stderr
    for name in ("model.json", "model.safetensors"):
        shutil.copy(other / "run" / "dit" / name, copied / "dit")
    found = run("check", copied)
    assert found.exit_code == 1 and "0000004 was not trained on its data" in found.stderr, found.stderr


def test_a_run_whose_parts_do_not_belong_together_makes_nothing(copied: Path, tmp_path: Path) -> None:
    assert "videos and pictures" in run("info", copied).stdout
    shutil.rmtree(copied / "autoencoder")
    shutil.copytree(save_run(tmp_path / "other", seed=1) / "autoencoder", copied / "autoencoder")
    said = run("info", copied).stdout
    assert "nothing: its transformer was trained with autoencoder" in said and "videos and pictures" not in said


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
    assert result.exit_code == 0 and "4 clips are in the data more than once" in result.stderr
    some = tmp_path / "some"  # a folder that shares a clip with another one
    some.mkdir()
    first = sorted((data / "clips").rglob("*.mp4"))[0]
    shutil.copy(first, some / "renamed.mp4")
    shutil.copytree(data / "clips", tmp_path / "clips")
    result = train("autoencoder", tmp_path / "clips", str(tmp_path / "z"), "--data", str(some))
    assert result.exit_code == 0, result.output
    assert "1 clip is in the data more than once" in result.stderr and "renamed.mp4" in result.stderr
