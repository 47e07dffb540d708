"""A training that starts from a model takes its settings from it, and the default size from the clips."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.cli.train.hours import chosen_for_run
from chronotope.cli.train.latents import _latents_of
from chronotope.cli.train.networks import dit_config
from chronotope.cli.train.start import inferred_run, with_defaults_of_clips
from chronotope.config import override, to_dict
from chronotope.data.encode import encode_dataset
from chronotope.data.latents import LatentDataset
from chronotope.data.limits import Limits
from chronotope.generate.pipeline import find_model, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.presets import PRESETS
from chronotope.storage import read_json
from chronotope.train.config import DiTRun
from chronotope.train.log import write_toml
from tests.cli.models import answer, refused, reseal, run, save_run


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


def save_noise(folder: str, *clips: tuple[int, int, int, float]) -> Path:
    """Save clips of noise, each of a number of frames, width, height and rate."""
    Path(folder).mkdir()
    rng = np.random.default_rng(0)
    for number, (frames, width, height, fps) in enumerate(clips):
        pixels = rng.integers(0, 255, (frames, height, width, 3), np.uint8)
        path = Path(folder) / f"{number}.mkv"
        video.write(path, pixels, fps)
        path.with_suffix(".txt").write_text("a red ball")
    return Path(folder)


def test_the_settings_of_the_shipped_model_are_those_of_its_preset(capsys: pytest.CaptureFixture[str]) -> None:
    config = dit_config(None, None, [], "small")
    small = PRESETS["small"].dit
    assert config == replace(small, defaults=config.defaults)
    said = capsys.readouterr().err
    assert "width 192, depth 8, 16 channels at stride 4x8x8, rectified path, velocity prediction; the recipe is" in said
    assert said.count("\n") == 1 and "that of preset small" in said
    assert dit_config(None, 7, ["train.steps=60"], "small").train.steps == 60


def test_a_student_is_no_start(model: Path) -> None:
    """Trained further it would be sampled with guidance, which it has in its weights, in any number of steps."""
    shutil.copytree(model, "student")
    reseal(Path("student/dit"), student={"steps": 4, "substeps": 4, "guidance": 3.0}, started_from="abc")
    said = refused("train", "dit", "--from", "student", "--dry-run", status=2)
    assert "student/dit is a student of few steps" in said and "start from its teacher, abc" in said


@pytest.mark.parametrize("what", ["autoencoder", "dit", "captioner", "expander"])
def test_a_dry_run_refuses_the_folders_that_the_training_refuses(what: str) -> None:
    Path("a").mkdir()
    words = ("train", what, "--preset", "tiny", "--out", "run", "--dry-run", "--data", "a")
    assert "nowhere is no folder" in refused(*words, "nowhere", status=1)
    assert "names a more than once" in refused(*words, "./a", status=2)
    assert "the folder of the clips; give another --out" in refused(*words[:4], "--out", "a/b", *words[6:], status=2)
    if what == "dit":
        assert "is named by --data and by --heldout" in refused(*words, "--heldout", "a", status=2)


def test_limits_and_hours_that_have_no_effect_are_said(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mixed").mkdir()
    Path("mixed/latents.json").write_text("{}")
    autoencoder = load_autoencoder(model)
    assert _latents_of([Path("mixed")], Path("run"), autoencoder, Limits(64), lambda _: None) == ([Path("mixed")], 0)
    assert "note: not used for mixed, which holds latents: --max-side 64" in capsys.readouterr().err
    begun = override(DiTRun(), ["model.width=128", "train.steps=700"])
    Path("run/dit").mkdir(parents=True)
    write_toml(Path("run/dit/config.toml"), begun)
    chosen, said = chosen_for_run(DiTRun(), 8.0, (), Path("run"))
    assert said.startswith(
        "note: not used: --hours 8; this training has begun and goes on as it began: model.width=128"
    )
    assert (chosen.model.width, chosen.train.steps) == (128, 700)


def test_a_model_of_no_preset_has_its_own_recipe(model: Path) -> None:
    config, said = inferred_run(model / "dit")
    assert (config.model.width, config.model.depth, config.train.steps) == (64, 1, 7)
    assert (config.defaults.width, config.defaults.num_frames) == (48, 8) and "that of its own training" in said
    shutil.copytree(model, "other")
    own = to_dict(override(DiTRun(), ["train.workers=3", "train.compile=true", "train.muon_rate=0.02"]))
    reseal(Path("other/dit"), training={"run": {**own, "levels": own.pop("noise_levels")}})
    config, _ = inferred_run(Path("other/dit"))
    assert (config.train.workers, config.train.compile, config.train.muon_rate) == (0, False, 0.02)
    for damaged in ({"run": {"train": {"unknown": 3}}}, {}, None, [1]):
        reseal(Path("other/dit"), training=damaged)
        assert "the recipe is the default one" in inferred_run(Path("other/dit"))[1]


def test_a_training_without_a_preset_starts_from_the_model(model: Path) -> None:
    clips = save_noise("mine", *[(9, 48, 32, 8.0)] * 3, (6, 32, 32, 4.0))
    words = ("train", "dit", "--from", model, "--data", clips, "--out", "run")
    settings = ("--set", "train.steps=2", "train.batch_tokens=60", "train.warmup=0", "defaults.num_steps=2")
    result = run(*words, *settings)
    assert result.exit_code == 0, result.stderr
    assert f"from {model}/dit: width 64, depth 1, 16 channels" in result.stderr
    assert "samples follow the clips: 48x32, 9 frames at 8 fps" in result.stderr
    defaults = read_json(Path("run/dit/model.json"))["defaults"]
    assert [defaults[name] for name in ("width", "height", "num_frames", "fps")] == [48, 32, 9, 8.0]
    planned = answer("generate", "a red ball", "--model", "run", "--dry-run")
    assert [planned[name] for name in ("width", "height", "num_frames", "fps")] == [48, 32, 9, 8.0]
    again = run(*words, *settings)
    assert "is trained already (2 steps)" in again.stderr and "not used" not in again.stderr
    assert "has width 64, the preset 128" in refused(*words, "--preset", "tiny", *settings, status=2)
    neither = refused("train", "dit", "--data", clips, "--out", "x", status=2)
    assert "name the sizes and the recipe with --preset, or a model to start from with --from" in neither
    assert answer("train", "dit", "--from", model, "--dry-run")["settings"]["model"]["width"] == 64


@pytest.fixture
def dataset(model: Path) -> Any:
    def make(name: str, *clips: tuple[int, int, int, float], worlds: str = "") -> LatentDataset:
        folder = save_noise(name, *clips)
        if worlds:
            (folder / "dataset.json").write_text(f'{{"world": "{worlds}"}}')
        latents = Path(f"{name}-latents")
        encode_dataset(folder, latents, load_autoencoder(find_model(model)), Geometry())
        return LatentDataset([latents])

    return make


def followed(config: DiTRun, data: LatentDataset, *settings: str) -> tuple[tuple[int, int, int, float], str]:
    config, said = with_defaults_of_clips(override(config, settings), data, settings)
    defaults = config.defaults
    return (defaults.width, defaults.height, defaults.num_frames, defaults.fps), said


def test_defaults_follow_the_most_frequent_size_and_rate(dataset: Any) -> None:
    config = override(DiTRun(), ["train.max_sample_tokens=12"])
    clips = [(9, 48, 32, 12.0), (5, 48, 32, 12.0), (12, 48, 32, 12.0), (40, 48, 32, 5.0), (4, 64, 64, 8.0)]
    data = dataset("mine", *clips)
    assert followed(config, data)[0] == (48, 32, 8, 12.0)  # of the 9 frames a step shows two slices of 6 tokens
    assert followed(DiTRun(), data)[0] == (48, 32, 9, 12.0)
    assert followed(DiTRun(), data, "defaults.width=64", "defaults.fps=6")[0] == (64, 64, 9, 6.0)
    assert followed(DiTRun(), data, "defaults.num_frames=3")[0] == (48, 32, 3, 12.0)
    fitting = override(
        DiTRun(), ["defaults.width=48", "defaults.height=32", "defaults.num_frames=9", "defaults.fps=12"]
    )
    assert with_defaults_of_clips(fitting, data, []) == (fitting, "")


def test_pictures_clips_of_worlds_and_clips_too_large_to_sample(dataset: Any) -> None:
    pictures = dataset("pictures", (1, 48, 32, 1.0), (1, 48, 32, 1.0))
    assert followed(DiTRun(), pictures)[0] == (48, 32, 1, 8.0)
    rendered = dataset("rendered", *[(4, 32, 32, 8.0)] * 3, worlds="stage")
    assert followed(DiTRun(), rendered) == ((96, 64, 17, 8.0), "")
    assert followed(DiTRun(), LatentDataset([*pictures.folders, *rendered.folders]))[0] == (48, 32, 1, 8.0)
    kept, said = followed(override(DiTRun(), ["train.max_sample_tokens=5"]), pictures)
    assert kept == (96, 64, 17, 8.0) and "48x32, 6 tokens a slice, more than train.max_sample_tokens=5" in said
