"""What model.json names as its training data: those of this training, and of all before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from chronotope.data.record import data_behind, merged_data, resumed_data, roots_of
from chronotope.storage import read_json
from tests.cli.models import run, save_clips, save_run
from tests.cli.test_train import AUTOENCODER_SETTINGS

SETTINGS = ("train.batch_tokens=60", "train.warmup=1", "train.save_every=2", "train.check_every=99")
A, B, C = ({"clips": count, "manifest": str(count) * 8, "curation": f"root{count}"} for count in (1, 2, 3))


def fit(model: Path, latents: Path, out: Path, steps: int) -> dict[str, Any]:
    words = ["train", "dit", "--from", model, "--data", latents, "--out", out]
    result = run(*words, "--set", f"train.steps={steps}", *SETTINGS)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = read_json(out / "dit" / "model.json")
    return found


def test_a_training_names_the_data_of_those_before_it(tmp_path: Path) -> None:
    model = save_run(tmp_path / "model")
    manifests = []
    for name in ("one", "two"):
        clips = save_clips(tmp_path / name, count=1 + len(manifests))
        assert run("encode", clips, "--model", model, "--out", tmp_path / f"{name}-latents").exit_code == 0
        manifests.append(read_json(tmp_path / f"{name}-latents" / "latents.json")["manifest"])
    first = fit(model, tmp_path / "one-latents", tmp_path / "first", 2)
    assert [about["manifest"] for about in first["data"]] == manifests[:1]
    assert first["data_before"] == [{"weights": first["started_from"]}]  # nobody recorded what trained `model`
    second = fit(tmp_path / "first", tmp_path / "two-latents", tmp_path / "second", 2)
    assert second["data"][0]["manifest"] == manifests[1]
    assert second["data_before"] == [*first["data"], *first["data_before"]]
    # going on with other clips forgets none of those that were shown
    changed = fit(model, tmp_path / "two-latents", tmp_path / "first", 4)
    assert changed["data"][0]["manifest"] == manifests[1]
    assert changed["data_before"] == [*first["data"], *first["data_before"]]


def test_the_other_networks_name_the_data_of_before_too(tmp_path: Path) -> None:
    model, folders = save_run(tmp_path / "model"), [tmp_path / "one", tmp_path / "two"]
    for number, clips in enumerate(folders):
        save_clips(clips, count=2 + number)
        for clip in clips.glob("*.mp4"):
            captions = {"sentence": [f"a ball {number}"], "paragraph": [f"a red ball {number} moves to the right"]}
            clip.with_suffix(".txt").unlink()
            clip.with_suffix(".json").write_text(json.dumps({"captions": captions}))
    small = ("model.width=32", "model.head_dim=16", "model.depth=1", "model.text_depth=1", "model.vocabulary_size=120")
    kinds = {
        "autoencoder": (*AUTOENCODER_SETTINGS, "train.check_every=99"),
        "captioner": (*small[:3], small[4], "train.batch_tokens=60"),
        "expander": (*small[:3], small[4]),
    }
    for what, settings in kinds.items():
        found = []
        for steps, clips in zip((2, 4, 6), (*folders, folders[0]), strict=True):
            words = ["train", what, "--preset", "tiny", "--data", clips, "--out", tmp_path / "run"]
            words += ["--autoencoder", model] if what == "captioner" else []
            done = run(*words, "--set", f"train.steps={steps}", "train.warmup=1", "train.save_every=2", *settings)
            assert done.exit_code == 0, done.output
            found.append(read_json(tmp_path / "run" / what / "model.json"))
        assert found[0]["data_before"] == [] and found[1]["data"] != found[0]["data"]
        assert found[1]["data_before"] == found[0]["data"]
        assert found[2]["data"] == found[0]["data"] and found[2]["data_before"] == found[1]["data"]
        shutil.rmtree(tmp_path / "run")


def test_data_are_named_once() -> None:
    trained = {"data": [A, B], "data_before": [B, C, {"weights": "w"}]}
    assert data_behind(trained) == [A, B, C, {"weights": "w"}]
    assert data_behind({"data": [A], "started_from": "w"}) == [A, {"weights": "w"}]  # of an older version
    assert data_behind({"data": [A]}) == [A] and data_behind({}, "w") == [{"weights": "w"}]
    assert resumed_data(trained, [{**B, "weight": 0.5}]) == [A, C, {"weights": "w"}]
    assert roots_of([A, {"weights": "w"}, C]) == {"curation": "root1 root3"} and roots_of([{"weights": "w"}]) == {}
    merged = merged_data([({}, "base"), ({"data": [A], "data_before": [{"weights": "base"}]}, "x"), (trained, "y")])
    assert merged == {"data": [A, B], "data_before": [{"weights": "base"}, C, {"weights": "w"}]}
