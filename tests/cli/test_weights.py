"""FOLDER=WEIGHT in the data of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronotope.cli.train.weights import read_weights
from chronotope.errors import UsageError
from chronotope.storage import read_json
from tests.cli.models import refused, run, save_clips, save_run
from tests.cli.test_train import DIT_SETTINGS, STEPS


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_numbers_after_folders_are_weights(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c=2", "d=e"):
        Path(name).mkdir()
    assert read_weights([Path("a"), Path("b")]) == ((Path("a"), Path("b")), None)
    assert read_weights([Path("a"), Path("b=0.3")]) == ((Path("a"), Path("b")), (1.0, 0.3))
    assert read_weights([Path("c=2"), Path("d=e")]) == ((Path("c=2"), Path("d=e")), None)
    assert capsys.readouterr().err == "note: c=2 is a folder of this name, so =2 is not taken for a weight\n"
    assert read_weights([Path("c=2=3"), Path("b/=1e-3")]) == ((Path("c=2"), Path("b")), (3.0, 0.001))
    assert read_weights([Path("missing=x")]) == ((Path("missing=x"),), None)  # said as a folder that is missing


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "1e99", "much", "", "1e-9"])
def test_weights_that_are_no_share_are_refused(weight: str) -> None:
    Path("a").mkdir()
    with pytest.raises(UsageError, match=f"the weight of a must be a number from 1e-06 to .*, got '{weight}'"):
        read_weights([Path(f"a={weight}")])


@pytest.mark.parametrize("what", ["autoencoder", "captioner", "expander"])
def test_trainings_without_weights_refuse_them(what: str) -> None:
    Path("a").mkdir()
    said = refused("train", what, "--preset", "tiny", "--data", "a=2", "--out", "run", status=2)
    assert said.startswith(f"`train {what}` shows all clips equally often, so --data takes no weights")


def test_a_training_with_weights_says_and_keeps_them(tmp_path: Path) -> None:
    model = save_run(tmp_path / "model")
    for name in ("a", "b"):
        save_clips(Path(name), size=(32, 32) if name == "a" else (48, 32))
    words = ("train", "dit", "--preset", "tiny", "--out", "run", "--autoencoder", model, "--data")
    settings = ("--set", *DIT_SETTINGS, *STEPS)
    result = run(*words, "a", "b=0.25", *settings)
    assert result.exit_code == 0, result.stderr
    said = "of the clips shown: run/latents/a 80.0% (4 clips), run/latents/b 20.0% (4 clips)"
    assert said in result.stderr
    data = read_json(Path("run/dit/model.json"))["data"]
    assert [about["weight"] for about in data] == [1.0, 0.25]
    longer = [setting.replace("train.steps=4", "train.steps=6") for setting in settings]
    again = run(*words, "a", "b=0.5", *longer)
    assert again.exit_code == 0 and "the training data have changed since the last checkpoint" in again.stderr
    assert "of weight 0.25, now" in again.stderr
    finished = run(*words, "a", "b", *longer)
    assert "was trained on" in finished.stderr and "of weight 0.5" in finished.stderr
    assert "names b more than once" in refused(*words, "b", "b=0.5", *settings, status=2)
