"""Transformers that read prompts with a frozen text encoder, through the command line, on real videos."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from chronotope.generate.pipeline import Generator
from chronotope.media import video
from chronotope.storage import read_json
from tests.caption.encoders import save_bert, save_llama
from tests.cli.models import SMALL_DIT, answer, refused, run, save_clips, save_run

pytest.importorskip("transformers")

TRAINING = {"train.steps": "4", "train.warmup": "0", "train.check_every": "2", "train.save_every": "2"}
SETTINGS = *SMALL_DIT[:3], "train.batch_tokens=60"
SAMPLES = "defaults.height=32", "defaults.width=48", "defaults.num_frames=8", "defaults.num_steps=2"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, a model with a vocabulary, clips, and a training of four steps with the encoder."""
    folder = tmp_path_factory.mktemp("data")
    save_bert(folder / "bert")
    save_run(folder / "words")
    save_clips(folder / "clips")
    (folder / "clips" / "0.txt").write_text("a red ball moves " * 20)
    result = train(folder, "run")
    assert result.exit_code == 0, result.output
    (folder / "run" / "said.txt").write_text(result.stderr)
    return folder


def train(folder: Path, out: str, *settings: str, encoder: Path | None = None, options: tuple[str, ...] = ()) -> Result:
    changed = TRAINING | dict(setting.split("=") for setting in settings)
    sources = "--data", folder / "clips", "--autoencoder", folder / "words"
    named = "--text-encoder", f"hf:{encoder or folder / 'bert'}"
    words = *named, *options, "--set", *SETTINGS, *SAMPLES, *map("=".join, changed.items())
    return run("train", "dit", "--preset", "tiny", *sources, "--out", folder / out, *words)


def files_of(run_folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run_folder)): path.read_bytes()
        for part in ("dit", "states")
        for path in sorted((run_folder / part).rglob("*"))
        if path.suffix in (".safetensors", ".mp4")
    }


def test_what_a_training_says_and_writes(data: Path) -> None:
    said = (data / "run" / "said.txt").read_text()
    about = read_json(data / "run" / "dit" / "model.json")
    encoder = about["text_encoder"]
    assert encoder["name"] == f"hf:{data / 'bert'}" and encoder["width"] == about["config"]["text_width"] == 32
    assert about["vocabulary"] == [] and about["config"]["max_text_tokens"] == 40  # all that the encoder reads
    assert f"text encoder hf:{data / 'bert'} ({encoder['hash']}" in said
    assert "states of 4 captions" in said and "which is not copied" in said
    assert "1 caption has more than the 40 tokens that the model reads" in said and "keeps 38 of 80 words" in said
    assert sorted(path.name for path in (data / "run" / "dit" / "samples").iterdir()) == ["0000002", "0000004"]


def test_it_generates_and_names_its_encoder(data: Path, tmp_path: Path) -> None:
    result = run("generate", "a blue fox", "--model", data / "run", "-o", tmp_path / "fox.mp4")
    assert result.exit_code == 0, result.output
    origin = video.read_origin(tmp_path / "fox.mp4")
    assert origin is not None
    assert origin["model"]["text_encoder"] == read_json(data / "run" / "dit" / "model.json")["text_encoder"]["hash"]
    words = refused("generate", "a fox " * 30, "--model", data / "run", "-o", tmp_path / "long.mp4", status=2)
    assert words == "the prompt has 62 tokens, this model reads at most 40; shorten it"
    plan = answer("generate", "a blue fox", "--model", data / "run", "-o", tmp_path / "other.mp4", "--dry-run")
    assert plan["largest_window"]["text_tokens"] == 5  # three words, the start and the end


def test_prompts_change_what_is_generated(data: Path) -> None:
    generator = Generator.load(data / "run")
    one, same, other = (generator.generate(text).frames for text in ("a red ball", "a red ball", "it stops at night"))
    assert (one == same).all() and (one != other).any()


def test_interrupted_and_uninterrupted_runs_are_equal(data: Path) -> None:
    assert train(data, "parts").exit_code == 0
    whole = files_of(data / "run")
    assert files_of(data / "parts") == whole
    shutil.rmtree(data / "parts" / "dit" / "checkpoints" / "0000004")
    for name in ("model.json", "model.safetensors"):
        (data / "parts" / "dit" / name).unlink()
    shutil.rmtree(data / "parts" / "states")  # computed again
    result = train(data, "parts", "train.workers=2")
    assert result.exit_code == 0, result.output
    assert files_of(data / "parts") == whole


def test_it_goes_on_where_the_states_are_at_hand_and_the_encoder_is_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data / "run", data / "moved")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "transformers", None)
        result = train(data, "moved", "train.steps=5", "train.check_every=5")
        assert result.exit_code == 0, result.output
        made = run("generate", "a fox walks past a tree at night", "--model", data / "moved", "-o", tmp_path / "a.mp4")
        assert made.exit_code == 0, made.output  # a caption of its training
        said = refused("generate", "a blue tree", "--model", data / "moved", "-o", tmp_path / "b.mp4", status=1)
        assert "is not at hand" in said or "needs transformers" in said


def test_what_is_refused(data: Path, tmp_path: Path) -> None:
    def last(result: Result) -> str:
        assert result.exit_code in (1, 2), result.output
        return result.stderr.strip().splitlines()[-1]

    assert "is a decoder (llama)" in last(train(data, "no", encoder=save_llama(tmp_path / "llama")))
    assert "there is no folder" in last(train(data, "no", encoder=tmp_path / "none"))
    assert "is that of" in last(train(data, "no", "model.text_width=32"))
    assert not (data / "no").exists()
    other = save_bert(tmp_path / "other", seed=1)
    said = last(train(data, "run", "train.steps=6", encoder=other))
    assert f"was trained with the text encoder hf:{data / 'bert'}" in said
    assert "reads prompts with a vocabulary of its own" in last(
        train(data, "no", options=("--from", str(data / "words")))
    )
    said = refused(
        *("train", "dit", "--preset", "tiny", "--data", data / "clips", "--from", data / "run", "--out", data / "no"),
        *("--set", *SETTINGS, "train.steps=1", "train.warmup=0"),
        status=2,
    )
    assert f"give --text-encoder hf:{data / 'bert'}" in said


def test_a_model_is_trained_on_with_its_encoder(data: Path, tmp_path: Path) -> None:
    steps = "--set", "train.steps=2", "train.warmup=0", "train.batch_tokens=60", *SAMPLES
    common = "--data", data / "clips", "--from", data / "run"
    result = run("train", "dit", *common, "--out", tmp_path / "on", *steps)
    assert result.exit_code == 0, result.output
    before, after = (read_json(folder / "dit" / "model.json") for folder in (data / "run", tmp_path / "on"))
    assert after["text_encoder"] == before["text_encoder"] and after["started_from"]
    result = run("train", "dit", *common, "--adapter", "--rank", "2", "--out", tmp_path / "adapter", *steps)
    assert result.exit_code == 0, result.output
    adapter = "--adapter", tmp_path / "adapter"
    made = run("generate", "a fox", "--model", data / "run", *adapter, "-o", tmp_path / "fox.mp4")
    assert made.exit_code == 0, made.output
    merged = run("merge", data / "run", *adapter, "--out", tmp_path / "merged")
    assert merged.exit_code == 0, merged.output
    assert read_json(tmp_path / "merged" / "dit" / "model.json")["text_encoder"] == before["text_encoder"]
    assert run("generate", "a fox", "--model", tmp_path / "merged", "-o", tmp_path / "m.mp4").exit_code == 0


@pytest.fixture
def copied(data: Path, tmp_path: Path) -> Iterator[Path]:
    """The run with a copy of its encoder beside it, whose first place is not there."""
    shutil.copytree(data / "run", tmp_path / "run")
    (data / "bert").rename(data / "away")
    yield tmp_path / "run"
    (data / "away").rename(data / "bert")


def test_check_and_info_tell_of_the_encoder(data: Path, copied: Path) -> None:
    result = run("check", copied)
    assert result.exit_code == 1 and "is not at hand" in result.stderr and str(copied / "text_encoder") in result.stderr
    assert "is not at hand" in refused("generate", "a fox", "--model", copied, "-o", copied / "a.mp4", status=1)
    shutil.copytree(data / "away", copied / "text_encoder")
    assert run("check", copied).exit_code == 0, run("check", copied).output
    assert run("generate", "a fox", "--model", copied, "-o", copied / "a.mp4").exit_code == 0
    (shard,) = copied.glob("states/*/*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-2] + b"\0\1")
    assert "is damaged" in run("check", copied).stderr
    facts = answer("info", copied / "dit")
    assert facts["text_encoder"]["width"] == 32 and "vocabulary" not in facts
    assert "up to 40 tokens" in answer("info", copied)["summary"]["reads prompts with"]


def test_training_on_with_a_copy_keeps_the_name_of_the_encoder(data: Path, copied: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "away", copied / "text_encoder")
    steps = "--set", "train.steps=1", "train.warmup=0", "train.batch_tokens=60", *SAMPLES
    words = "train", "dit", "--data", data / "clips", "--from", copied, "--out", tmp_path / "on", *steps
    assert run(*words).exit_code == 0, run(*words).output
    before, after = (read_json(folder / "dit" / "model.json") for folder in (copied, tmp_path / "on"))
    assert after["text_encoder"] == before["text_encoder"]
    assert f'text_encoder = "{before["text_encoder"]["name"]}"' in (tmp_path / "on" / "dit" / "config.toml").read_text()
