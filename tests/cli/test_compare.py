"""`generate` and clips that trained the model: what is compared, what is said, what the sidecar records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope import Generator
from chronotope.data.latents import read_folder
from chronotope.errors import UsageError
from chronotope.generate.copies import clips_at_hand
from chronotope.media import video
from chronotope.metrics.near_copies import Moments, moments_of, part_distances, reduced
from chronotope.safety.audit import audit_path
from chronotope.safety.policy.decide import RefusedError, read_policy
from tests.cli.models import refused, reseal, run, save_clips, save_run

PROMPT = "a red ball moves to the right"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(model: Path, tmp_path: Path) -> Path:
    """The run of a model, with the latents that it names as its data."""
    run_folder = tmp_path / "trained"
    shutil.copytree(model, run_folder)
    clips = save_clips(tmp_path / "clips", count=4)
    assert run("encode", clips, "--model", model, "--out", run_folder / "latents" / "clips").exit_code == 0
    header = read_folder(run_folder / "latents" / "clips")[0]
    reseal(run_folder / "dit", data=[{"clips": header["clips"], "manifest": header["manifest"]}])
    return run_folder


REFUSING = '[near_copies]\naction = "refuse"\n'


@pytest.fixture
def refusing(tmp_path: Path) -> Path:
    """A policy that refuses near copies at any distance, and so every video that was compared."""
    path = tmp_path / "refusing.toml"
    path.write_text(REFUSING + "distance = 255\n")
    return path


def made(out: str, *words: Any) -> tuple[dict[str, Any], str]:
    """The sidecar of a generated file, and what was said."""
    unmarked = ("--no-watermark", "--no-credentials")  # files of equal frames are then equal
    result = run("generate", PROMPT, "-o", out, "--overwrite", *unmarked, *words)
    assert result.exit_code == 0, result.output
    return json.loads(video.sidecar(Path(out)).read_text()), result.stderr


def test_the_sidecar_names_the_nearest_clip(model: Path, tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips", count=4)
    origin, said = made("ball.png", "--seconds", "0", "--model", model, "--compare", clips)
    found = origin["nearest"]
    frames = [video.read(path).frames for path in sorted(clips.glob("*.mp4"))] + [
        video.read_image(clips / "still.png")[None]
    ]
    rows = [moments_of(np.stack([reduced(frame) for frame in clip]), 8.0) for clip in frames]
    picture = reduced(video.read_image("ball.png"))[None]
    distances = part_distances([picture], 8.0, Moments(np.concatenate(rows), tuple(map(len, rows))))[0]
    assert found["distance"] == pytest.approx(distances.min(), abs=0.01)
    assert found["source"] == [*(f"{number}.mp4" for number in range(4)), "still.png"][int(distances.argmin())]
    assert (found["compared"], found["not_compared"], found["data"]) == (5, 0, str(clips))
    assert found["nearly_a_copy"] == (found["distance"] < found["threshold"]) == ("nearly a copy" in said)


def test_a_copy_is_said_and_recorded(model: Path, tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips", count=4)
    _, said = made("first.mp4", "--model", model, "--seed", "3", "--no-compare")
    shutil.copy("first.mp4", clips / "mine.mp4")
    origin, said = made("again.mp4", "--model", model, "--seed", "3", "--compare", clips)
    assert "note: again.mp4 is nearly a copy of the clip clips/mine (mine.mp4, from 0 s)" in said
    assert origin["nearest"]["nearly_a_copy"] and origin["nearest"]["distance"] < 5
    assert Path("again.mp4").read_bytes() == Path("first.mp4").read_bytes()  # a comparison changes no file
    assert video.read_origin("again.mp4") == origin and not video.has_other_sidecar("again.mp4")
    made("first.png", "--seconds", "0", "--model", model)
    made("again.png", "--seconds", "0", "--model", model, "--compare", clips)
    assert Path("again.png").read_bytes() == Path("first.png").read_bytes()


def test_every_video_of_a_count_is_compared(model: Path, tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips", count=4)
    result = run("generate", PROMPT, "-o", "a.mp4", "--model", model, "--count", "2", "--compare", clips, "--json")
    files = json.loads(result.stdout)["files"]
    assert [file["nearest"]["compared"] for file in files] == [5, 5]


def test_what_trained_the_model_is_compared_by_itself(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin, _ = made("a.mp4", "--model", trained)
    assert (origin["nearest"]["compared"], origin["nearest"]["not_compared"]) == (5, 0)
    assert "nearest" not in made("a.mp4", "--model", trained, "--no-compare")[0]
    (trained / "latents" / "clips" / "moments.safetensors").unlink()
    monkeypatch.setattr("chronotope.cli.use.MOST_DECODED", 5)
    origin, said = made("a.mp4", "--model", trained)
    latents = trained / "latents" / "clips"
    assert "nearest" not in origin
    assert f"not compared with the 5 training clips in {latents}, of which 37 frames would have" in said
    assert made("a.mp4", "--model", trained, "--compare", latents)[0]["nearest"]["compared"] == 5
    assert made("a.mp4", "--model", trained)[0]["nearest"]["compared"] == 5  # they are kept now


def test_clips_that_are_not_at_hand_are_counted(trained: Path, model: Path) -> None:
    header = read_folder(trained / "latents" / "clips")[0]
    mine = {"clips": header["clips"], "manifest": header["manifest"]}
    reseal(trained / "dit", data=[mine, {"clips": 30, "manifest": "f" * 64}])
    origin, said = made("a.mp4", "--model", trained)
    assert (origin["nearest"]["compared"], origin["nearest"]["not_compared"]) == (5, 30)
    assert "note: not compared with 30 of the clips that trained the model, because their latents are not at" in said
    origin, said = made("a.mp4", "--model", model)
    assert "nearest" not in origin and "not compared" not in said  # which trained on nothing that is known


def test_rendered_clips_beside_a_users_are_compared_where_they_are_named(trained: Path, tmp_path: Path) -> None:
    drawn, latents = tmp_path / "drawn", trained / "latents" / "drawn"
    assert run("world", "stage", "--count", "2", "--size", "32x32", "--out", drawn).exit_code == 0
    assert run("encode", drawn, "--model", trained, "--out", latents).exit_code == 0
    headers = [read_folder(trained / "latents" / name)[0] for name in ("clips", "drawn")]
    reseal(trained / "dit", data=[{name: header[name] for name in ("clips", "manifest")} for header in headers])
    origin, said = made("a.mp4", "--model", trained)
    assert (origin["nearest"]["compared"], origin["nearest"]["not_compared"]) == (5, 2) and "not compared" not in said
    assert made("a.mp4", "--model", trained, "--compare", latents)[0]["nearest"]["compared"] == 7
    reseal(trained / "dit", data=[{name: headers[1][name] for name in ("clips", "manifest")}])
    assert made("a.mp4", "--model", trained)[0]["nearest"]["compared"] == 2  # there is nothing else


def test_what_cannot_be_compared_is_refused(trained: Path, tmp_path: Path) -> None:
    words = ["generate", PROMPT, "-o", "a.mp4", "--model", trained]
    assert "exclude each other" in refused(*words, "--compare", "x", "--no-compare", status=2)
    assert "there is no such folder" in refused(*words, "--compare", "nothing", status=1)
    other = save_run(tmp_path / "other", seed=1)
    words[-1] = other
    said = refused(*words, "--compare", trained / "latents" / "clips", status=2)
    assert "holds latents of the autoencoder" in said and "--compare FOLDER" in said
    assert not Path("a.mp4").exists()


# The policy


def test_a_policy_refuses_a_near_copy_and_names_the_rule(trained: Path, refusing: Path, tmp_path: Path) -> None:
    said = refused("generate", PROMPT, "-o", "a.mp4", "--model", trained, "--policy", refusing, status=2)
    assert "the video is refused by the rule 'near-copies' of the policy 'changed' (1): it is nearly a copy" in said
    assert not list(tmp_path.glob("a.*"))
    line = json.loads(audit_path().read_text().splitlines()[-1])
    assert (line["event"], line["rule"], line["action"]) == ("refused", "near-copies", "refuse") and line["score"] > 0


def test_the_decision_stands_in_the_sidecar(trained: Path, tmp_path: Path) -> None:
    for distance, action, copied in ((255, "note", True), (0.001, "allow", False)):
        (tmp_path / "policy.toml").write_text(f'name = "lab"\n[near_copies]\naction = "note"\ndistance = {distance}\n')
        origin, said = made("a.mp4", "--model", trained, "--policy", tmp_path / "policy.toml")
        decision = origin["nearest"]["decision"]
        assert (decision["rule"], decision["action"], decision["name"]) == ("near-copies", action, "lab")
        assert decision["score"] == origin["nearest"]["distance"] and origin["nearest"]["threshold"] == distance
        assert ("nearly a copy" in said) == copied == origin["nearest"]["nearly_a_copy"]
    (tmp_path / "strict.toml").write_text(REFUSING + "distance = 0.001\n")
    assert made("b.mp4", "--model", trained, "--policy", tmp_path / "strict.toml")[0]["nearest"]["compared"] == 5


def test_clips_that_a_policy_demands_and_are_missing_refuse_before_sampling(
    trained: Path, model: Path, refusing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = read_folder(trained / "latents" / "clips")[0]
    data = [{"clips": header["clips"], "manifest": header["manifest"]}, {"clips": 30, "manifest": "f" * 64}]
    monkeypatch.setattr("chronotope.generate.pipeline.sample", lambda *_: pytest.fail("a network was used"))
    words = ("generate", PROMPT, "-o", "a.mp4", "--policy", refusing, "--model")
    assert "they are not at hand" in refused(*words, model, status=2)  # nothing is known of its data
    assert "they are not at hand" in refused(*words, model, "--no-compare", status=2)
    reseal(trained / "dit", data=data)
    said = refused(*words, trained, status=2)
    assert "'near-copies'" in said and "30 of them are not at hand; name the folders of their latents" in said
    assert not list(tmp_path.glob("a.*"))


def test_python_and_the_service_cannot_pass_the_rule(trained: Path, model: Path, refusing: Path) -> None:
    generator = Generator.load(trained)
    generator.policy = read_policy(refusing)
    with pytest.raises(RefusedError, match="nearly a copy"):
        generator.generate(PROMPT, num_frames=8, height=32, width=32, num_inference_steps=1)
    found = clips_at_hand(generator.folder, (), generator.autoencoder)
    assert found is not None and sum(len(one.keys) for one in found.folders) == 5
    lacking = Generator.load(model)
    lacking.policy = generator.policy
    with pytest.raises(RefusedError, match="not at hand"):
        lacking.generate(PROMPT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('near_copies = "refuse"', "must be a table"),
        ('[near_copies]\naction = "forbid"', "must be one of allow, note, refuse"),
        ("[near_copies]\ndistance = 0", "lies above 0 and is at most 255"),
        ("[near_copies]\ndistance = true", "lies above 0 and is at most 255"),
        ('[near_copies]\naction = "allow"\nrequired = true', "contradicts itself"),
        ("[near_copies]\nthreshold = 3", "unknown field 'threshold'"),
        ("[near_copies]\nrequired = 1", "must be true or false"),
    ],
)
def test_rules_that_cannot_hold_are_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_policy(tmp_path / "policy.toml")
