"""teach, curate, inspect and audit as a user types them, on small films and a small model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chronotope.cli.datasets import replay, teach
from chronotope.cli.datasets.replay import write_replay
from chronotope.cli.datasets.samples import changes_in_samples
from chronotope.cli.datasets.teach import words_of_name
from chronotope.config import to_dict
from chronotope.data.latents import LatentDataset, read_folder, read_header
from chronotope.data.record import TrainingRecord, note_latents
from chronotope.generate.pipeline import load_autoencoder
from chronotope.generate.training_clips import read_training_clips
from chronotope.jsonl import read_jsonl
from chronotope.manifest import read_curation
from chronotope.media import video
from chronotope.media.picture import write_image
from chronotope.sealed import read_sealed, write_sealed
from chronotope.storage import read_json, write_json
from tests.cli.models import refused, reseal, run, save_run
from tests.curate.films import film, scene

AS_RECORDED = "no, as far as is recorded"  # the model that is taught further was not trained on a recorded dataset
SHORT = ("--hours", "0.01", "--max-side", "32", "--set", "train.steps=24")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of three shots, two clips with captions, one of a camera's name, a wreck."""
    folder = tmp_path_factory.mktemp("footage")
    rng = np.random.default_rng(0)
    video.write(folder / "street_film.mp4", np.stack(film(0, 3)[0]), 12)
    for name in ("dog", "cat", "IMG_0042"):
        video.write(folder / f"{name}.mp4", np.stack(scene(rng, 24)), 12)
    (folder / "dog.txt").write_text("a dog crosses the yard")
    (folder / "cat.txt").write_text("a cat sleeps")
    (folder / "wreck.mp4").write_bytes((folder / "dog.mp4").read_bytes()[:500])
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def taught(footage: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("taught") / "mine"
    result = run("teach", footage, "--out", out, "--holder", "My Lab", "--from", model, *SHORT,
                 "--heldout", "0.2")  # fmt: skip
    assert result.exit_code == 3, result.output  # the wreck
    assert "left out: wreck.mp4" in result.stderr and result.stdout.strip() == str(out / "index.html")
    assert "3 clips have no caption, and the words of their files' names are taken" in result.stderr
    return out


def test_a_folder_becomes_a_model_samples_and_a_page(taught: Path) -> None:
    assert (taught / "dit" / "model.safetensors").is_file()
    samples = sorted(path.name for path in (taught / "samples").iterdir() if path.suffix in (".mp4", ".png"))
    page = (taught / "index.html").read_text()
    assert samples and all(f'src="samples/{name}"' in page for name in samples)
    assert "a dog crosses the yard" in page and "1 unreadable" in page
    assert "http" not in page.replace("https://www.w3.org", "")
    root = read_sealed(taught / "data" / "curation.json", "")["merkle_root"]
    assert read_header(taught / "latents" / "data")["curation"] == root
    assert read_json(taught / "dit" / "model.json")["data"][0]["curation"] == root
    clips = [name for name in samples if "-clip" in name]  # small copies of the clips beside them
    assert len(clips) == len(samples) / 2 and 'src="data/' not in page
    made = video.read_origin(taught / "samples" / next(name for name in samples if name not in clips))
    assert made is not None and made["model"]["curation"] == root


def test_the_page_shows_what_is_held_out_and_the_way(taught: Path) -> None:
    rows = [row for row in read_jsonl(taught / "dit" / "log.jsonl") if "heldout/heldout" in row]
    page = (taught / "index.html").read_text()
    best = min(rows, key=lambda row: row["heldout/heldout"])["step"]
    assert rows[0]["step"] == 0 and f"lowest at step {best}" in page
    on_the_way = sorted((taught / "dit" / "samples").glob("0*/*.mp4"))
    assert on_the_way and all(f'src="{path.relative_to(taught)}"' in page for path in on_the_way)


@pytest.mark.slow  # curate/test_run.py has the kinds, cli/test_train.py the settings
def test_settings_and_kinds_of_shots_can_be_chosen(footage: Path, model: Path, tmp_path: Path) -> None:
    words = ("teach", footage, "--out", tmp_path / "mine", "--holder", "My Lab", "--from", model, "--max-side", "32")
    result = run(*words, "--keep", "still", "--set", "train.steps=3", "defaults.num_frames=5")
    assert result.exit_code == 3 and "training 3 steps, about" in result.stderr, result.output
    about = read_json(tmp_path / "mine" / "dit" / "model.json")
    assert about["training"]["run"]["train"]["steps"] == 3 and about["defaults"]["num_frames"] == 5
    assert read_sealed(tmp_path / "mine" / "data" / "curation.json", "")["filters"]["keep"] == ["still"]


def test_what_the_model_knew_is_shown_again(
    footage: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips of its worlds are rendered and mixed in by the share asked for; samples still follow the user's clips."""
    monkeypatch.setattr(replay, "REPLAYED", 5)
    start = tmp_path / "start"
    shutil.copytree(model, start)
    record = TrainingRecord(("a", "red", "fox"), ((64, 64),), False, (4, 17), (8.0,), ("nowhere all", "stage small"))
    reseal(start / "dit", trained_on=to_dict(record))
    mine = tmp_path / "mine"
    words = ("teach", footage, "--out", mine, "--holder", "My Lab", "--from", start, "--max-side", "32",
             "--set", "train.steps=4")  # fmt: skip
    result = run(*words, "--replay", "0.5")
    assert result.exit_code == 3, result.output
    assert "clips of nowhere all, which" in result.stderr and "are not shown again: unknown world" in result.stderr
    shares = result.stderr.partition("of the clips shown: ")[2]
    assert "/data 66.7% (" in shares and "/replay-stage-small 33.3% (5 clips)" in shares
    about = read_json(mine / "dit" / "model.json")
    assert about["defaults"]["width"] == 32 and len(about["data"]) == 2
    assert "0.5 of the drawn clips" in (mine / "index.html").read_text()
    audit = json.loads(run("audit", mine, "--json").stdout)
    assert audit["clips"] == len(LatentDataset([mine / "latents" / "data"])) + 5
    assert {Path(one).parent.name for one in (mine / "samples").iterdir()} == {"samples"}
    again = run(*words, "--replay", "0")
    assert "note: not used: --replay 0; the training has begun with 0.5" in again.stderr
    none = write_replay(str(start), 0.0, tmp_path / "none", load_autoencoder(start))
    assert not none.folders and not (tmp_path / "none").exists()


def test_taught_again_it_stays_as_it_is(taught: Path, footage: Path, model: Path, tmp_path: Path) -> None:
    """Also where files were changed since: the page would show clips that the model has never seen."""
    kept = {
        name: (taught / name).read_bytes() for name in ("dit/model.safetensors", "index.html", "data/curation.json")
    }
    words = ("--out", taught, "--holder", "My Lab", "--from", model, *SHORT)
    result = run("teach", footage, *words, "--heldout", "0.2")
    assert result.exit_code == 3 and "is trained already" in result.stderr and "have changed" not in result.stderr
    assert [name for name, content in kept.items() if (taught / name).read_bytes() != content] == []
    other = tmp_path / footage.name
    shutil.copytree(footage, other)
    (other / "cat.mp4").unlink()
    (other / "dog.mp4").write_bytes((footage / "IMG_0042.mp4").read_bytes())
    video.write(other / "gnu.mp4", np.stack(scene(np.random.default_rng(5), 24)), 12)
    result = run("teach", other, *words, "--heldout", "0.2", "--words", "a yard")
    assert "since the training began, files have changed (1 new, 1 changed, 1 gone)" in result.stderr
    assert "note: not used: --words a yard; the training has begun with none" in result.stderr
    assert "of 1 files have changed" not in result.stderr
    (other / "IMG_0042.txt").write_text("a yard at night")
    result = run("teach", other, *words[:2], "--holder", "Other Lab", *words[4:], "--heldout", "0.2")
    for what in ("rights of 3 files", "captions of 1 files"):
        assert f"since the training began, the {what} have changed, such as " in result.stderr, result.output
    (other / "ai.txt").write_text("User-agent: *\nDisallow: /IMG*")
    result = run("teach", other, *words, "--heldout", "0.2")
    assert result.exit_code == 2 and "IMG_0042.mp4 may not be used: its owner asks not to train" in result.stderr
    assert [name for name, content in kept.items() if (taught / name).read_bytes() != content] == []


def test_samples_on_the_page_are_those_that_were_made(
    taught: Path, footage: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Path(shutil.copytree(taught, tmp_path / "mine"))
    samples = mine / "samples"
    assert changes_in_samples(mine) == []
    (samples / "0.mp4").rename(tmp_path / "0.mp4")
    (samples / "1.mp4").rename(samples / "0.mp4")
    (tmp_path / "0.mp4").rename(samples / "1.mp4")  # exchanged
    (samples / "2-clip.mp4").write_bytes((footage / "dog.mp4").read_bytes())
    (samples / "2.mp4").unlink()
    said = run("check", mine).stderr
    for name in ("0.mp4", "1.mp4", "2-clip.mp4"):
        assert f"wrong: {samples / name} is not the file that was made as a sample" in said
    assert f"wrong: {samples / '2.mp4'} is missing" in said and "`chronotope teach` command again" in said
    monkeypatch.setattr(teach, "SAMPLED", 1)
    again = run("teach", footage, "--out", mine, "--holder", "My Lab", "--from", model, *SHORT, "--heldout", "0.2")
    assert f"note: {samples / '0.mp4'} is not the file that was made" in again.stderr
    assert (samples / "0.mp4").read_bytes() == (taught / "samples" / "0.mp4").read_bytes()
    page = (mine / "index.html").read_text()
    assert 'src="samples/0.mp4"' in page and 'src="samples/1.mp4"' not in page and changes_in_samples(mine) == []
    plan = read_json(mine / "teach.json")
    write_sealed(mine / "teach.json", {**plan, "samples_of": "0" * 16})  # a longer training was killed before them
    assert "were made by other weights" in changes_in_samples(mine)[0].what
    write_sealed(mine / "teach.json", {name: value for name, value in plan.items() if name != "samples_of"})
    assert (
        "does not record which samples" in changes_in_samples(mine)[0].what and not changes_in_samples(mine)[0].serious
    )


def test_a_plan_that_was_edited_is_refused_and_one_folder_is_taught_once_at_a_time(
    taught: Path, footage: Path, model: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(taught, tmp_path / "mine"))
    words = ("teach", footage, "--out", mine, "--holder", "My Lab", "--from", model, *SHORT, "--heldout", "0.2")
    plan = read_json(mine / "teach.json")
    write_json(mine / "teach.json", {**plan, "steps": 10 * plan["steps"]})
    edited = f"{mine / 'teach.json'} is damaged or was edited: its content does not fit its seal"
    assert edited in run(*words).stderr and edited in run("check", mine).stderr
    write_json(mine / "teach.json", {name: value for name, value in plan.items() if name != "seal"})
    assert f"note: {mine / 'teach.json'} has no seal" in run("check", mine).stderr
    hold = """
import pathlib, sys
from chronotope.storage import locked
with locked(pathlib.Path(sys.argv[1])):
    print(flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", hold, mine], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline()
        assert f"{mine} is being written by process {other.pid}" in refused(*words, status=2)
        other.communicate(b"\n")


def test_latents_that_were_exchanged_are_refused(taught: Path, footage: Path, model: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(taught, tmp_path / "mine"))
    words = ("teach", footage, "--out", mine, "--holder", "My Lab", "--from", model, *SHORT[:-1], "train.steps=26",
             "--heldout", "0.2")  # fmt: skip
    (mine / "latents" / "data").rename(tmp_path / "data")
    (mine / "latents" / "heldout").rename(mine / "latents" / "data")
    again = run(*words)
    assert again.exit_code == 2 and "other latents than those with which the training" in again.stderr, again.output
    shutil.rmtree(mine / "latents" / "data")
    (tmp_path / "data").rename(mine / "latents" / "data")
    plan = read_json(mine / "teach.json")
    assert "latents/heldout is gone, so no loss" in run(*words[:-3], "train.steps=24", *words[-2:]).stderr
    assert read_json(mine / "teach.json") == plan


def test_another_share_held_out_is_refused(taught: Path, footage: Path, model: Path) -> None:
    """Clips that the model was trained on would be shown as held-out ones."""
    result = run("teach", footage, "--out", taught, "--holder", "My Lab", "--from", model, "--heldout", "0.5")
    assert result.exit_code == 2 and "was begun with --heldout 0.2" in result.stderr


def test_audit_names_clips_and_rights(taught: Path, footage: Path, tmp_path: Path) -> None:
    facts = json.loads(run("audit", taught, "--json").stdout)
    assert facts["rights"] == {"LicenseRef-own, My Lab": facts["clips"]}
    assert facts["Merkle roots"] == [read_sealed(taught / "data" / "curation.json", "")["merkle_root"]]
    trained = {row["from"] for row in facts["list"]}
    held = {path.stem for path in (taught / "data" / "heldout").rglob("*.mp4")}
    assert trained and not {Path(name).stem for name in trained} & held
    name = next(name for name in sorted(trained) if name != "street_film.mp4")
    found = json.loads(run("audit", taught, "--find", footage / name, "--json").stdout)
    assert found["trained on it"] == [f"train/{name}"]
    small = video.read(footage / name).frames[2:-2, 1:-1, 2:-2]
    video.write(tmp_path / "copy.mp4", np.stack([video.resize(frame, 56, 100) for frame in small]), 12)
    found = json.loads(run("audit", taught, "--find", tmp_path / "copy.mp4", "--json").stdout)
    assert (found["trained on it"], found["nearly the same"]) == (AS_RECORDED, [f"train/{name}"])
    video.write(tmp_path / "other.mp4", np.stack(scene(np.random.default_rng(9), 24)), 12)
    found = json.loads(run("audit", taught, "--find", tmp_path / "other.mp4", "--json").stdout)
    assert (found["trained on it"], found["nearly the same"]) == (AS_RECORDED, "none")
    assert "nearly a frame of" not in found  # which is asked of pictures
    content = video.read(footage / name)
    for frame, nearly in (
        (content.frames[12], [f"train/{name}"]),  # one of the frames that are compared
        (scene(np.random.default_rng(9), 1)[0], "none, of one frame each 0.25 s"),
        (np.full((60, 100, 3), 90, np.uint8), "not known"),
    ):
        write_image(tmp_path / "frame.png", frame)
        found = json.loads(run("audit", taught, "--find", tmp_path / "frame.png", "--json").stdout)
        assert found["nearly a frame of"] == nearly and ("not compared" in found) == (nearly == "not known")
    assert found["not recorded"] == [
        f"what trained the weights {read_json(taught / 'dit' / 'model.json')['started_from']}"
    ]


def test_adapters_and_merged_models_name_what_trained_them(taught: Path, model: Path, tmp_path: Path) -> None:
    root = read_sealed(taught / "data" / "curation.json", "")["merkle_root"]
    latents, mine, merged = taught / "latents" / "data", tmp_path / "mine", tmp_path / "merged"
    settings = ("train.steps=2", "train.save_every=2", "train.check_every=9", "train.warmup=1", "train.batch_tokens=60")
    result = run("train", "dit", "--from", model, "--adapter", "--rank", "2", "--data", latents, "--out", mine,
                 "--set", *settings)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert run("merge", model, "--adapter", mine, "--out", merged).exit_code == 0
    whole = json.loads(run("audit", taught, "--json").stdout)
    for folder in (mine, merged):
        about = read_json(folder / "dit" / "model.json")
        assert about["data"][0]["curation"] == root
        (base,) = about["data_before"]  # an older version trained it, and no folder says what it was shown
        facts = json.loads(run("audit", folder, "--data", latents, "--json").stdout)
        assert facts["Merkle roots"] == [root] and facts["clips"] == whole["clips"]
        assert facts["not recorded"] == [f"what trained the weights {base['weights']}"]
        assert ("merged of" in facts) == (folder == merged)
        alone = run("audit", folder, "--json")  # the adapter's folder says where its latents lie
        assert alone.exit_code == 0 and json.loads(alone.stdout)["clips"] == whole["clips"]
        shown = json.loads(run("info", folder / "dit", "--json").stdout)
        assert (shown["data"], shown["data_before"]) == (about["data"], about["data_before"])
    words = ("generate", "a dog crosses the yard", "--seconds", "0", "--compare", latents)
    assert run(*words, "--model", model, "--adapter", mine, "-o", tmp_path / "a.png").exit_code == 0
    origin = read_json(tmp_path / "a.png.json")
    assert origin["adapters"][0]["curation"] == root and "curation" not in origin["model"]
    assert origin["nearest"]["compared"] == len(read_folder(latents)[1]) and origin["nearest"]["not_compared"] == 0
    assert run(*words, "--model", merged, "-o", tmp_path / "b.png").exit_code == 0
    assert read_json(tmp_path / "b.png.json")["model"]["curation"] == root


def test_the_films_of_clips_are_those_that_they_were_cut_from(taught: Path, tmp_path: Path) -> None:
    clips = read_training_clips(taught / "latents" / "data", load_autoencoder(taught))
    curated = [row for row in read_curation(taught / "data")[1] if row["state"] == "kept" and row["split"] == "train"]
    expected = {row["clip"]: (row["file"], row["start"]) for row in curated}
    rows = {row["key"]: row for row in read_folder(taught / "latents" / "data")[1]}
    for key, cut_from, start in zip(clips.keys, clips.films, clips.starts, strict=True):
        file, begins = expected[rows[key]["source"]["file"]]
        assert (cut_from, start) == (file, begins + rows[key].get("start", 0))


def test_latents_that_lie_elsewhere_are_found(taught: Path, tmp_path: Path) -> None:
    """The run remembers where its latents are; its weights, which are handed on, name their contents alone."""
    here = tmp_path / "here"
    shutil.copytree(taught / "dit", here / "runs" / "mine" / "dit")
    shutil.copytree(taught / "latents" / "data", here / "data-latents")
    run_folder = here / "runs" / "mine"
    (run_folder / "dit" / "shown.json").unlink()
    assert "not found" in json.loads(run("audit", run_folder, "--json").stdout)
    note_latents(run_folder / "dit", [here / "nothing"])
    note_latents(run_folder / "dit", [here / "data-latents"])  # of a later part
    assert json.loads(run("audit", run_folder, "--json").stdout)["clips"] == 5
    shutil.move(here, tmp_path / "there")
    found = run("audit", tmp_path / "there" / "runs" / "mine", "--json")
    assert found.exit_code == 0 and json.loads(found.stdout)["clips"] == 5
    assert str(taught) not in (taught / "dit" / "model.json").read_text()
    (tmp_path / "there" / "runs" / "mine" / "dit" / "shown.json").write_text('{"latents": 7}')
    assert run("audit", tmp_path / "there" / "runs" / "mine").exit_code == 3


def test_latents_and_shards_lie_beside_their_clips(taught: Path, model: Path, tmp_path: Path) -> None:
    shutil.copytree(taught / "data", tmp_path / "mine")
    made = run("encode", tmp_path / "mine", "--model", model, "--max-side", "32")
    assert made.stdout.strip() == str(tmp_path / "mine-latents") and read_header(tmp_path / "mine-latents")["clips"]
    made = run("export", tmp_path / "mine", "--format", "webdataset")
    assert made.stdout.strip() == str(tmp_path / "mine-shards") and (tmp_path / "mine-shards" / "shards.json").is_file()


def test_a_clip_is_taken_out_for_good(taught: Path, footage: Path, model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    shutil.copytree(taught, copy)
    root = read_sealed(copy / "data" / "curation.json", "")["merkle_root"]
    told = json.loads(run("audit", copy, "--remove", "street_film.mp4", "--json").stdout)
    assert len(told["removed"]) == 3 and str(copy / "dit") in told["weights that have seen it"]
    assert read_sealed(copy / "data" / "curation.json", "")["merkle_root"] != root
    assert not list((copy / "data").rglob("street_film*.mp4"))
    words = ("teach", footage, "--out", copy, "--holder", "My Lab", "--from", model, *SHORT[:-1], "train.steps=26")
    assert "has begun with" in refused(*words, "--heldout", "0.2", status=2)  # its latents are still there
    again = run("curate", footage, "--out", copy / "data", "--holder", "My Lab", "--heldout", "0.2")
    assert "3 removed" in again.stderr and not list((copy / "data").rglob("street_film*.mp4"))


def test_latents_of_other_clips_than_those_of_the_list_name_no_root(taught: Path, model: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(taught / "data", tmp_path / "data"))
    words = ("encode", data, "--model", model, "--max-side", "32", "--out")
    assert run(*words, tmp_path / "a").exit_code == 0 and "curation" in read_header(tmp_path / "a")
    (clip,) = sorted((data / "train").glob("*.mp4"))[:1]
    video.write(clip, np.stack(scene(np.random.default_rng(7), 24)), 12)  # exchanged
    assert "name no Merkle root" in run(*words, tmp_path / "b").stderr
    assert "curation" not in read_header(tmp_path / "b")


def test_what_a_run_has_seen_is_known_whatever_becomes_of_its_dataset(
    footage: Path, model: Path, tmp_path: Path
) -> None:
    films, data, mine = tmp_path / "films", tmp_path / "data", tmp_path / "mine"
    films.mkdir()
    for name in ("dog.mp4", "cat.mp4", "IMG_0042.mp4"):
        shutil.copy(footage / name, films)
    words = ("curate", films, "--out", data, "--heldout", "0")
    assert run(*words, "--holder", "My Lab").exit_code == 0
    settings = ("--set", "train.steps=1", "train.batch_tokens=60", "defaults.num_steps=1")
    assert run("train", "dit", "--from", model, "--data", data, "--out", mine, *settings).exit_code == 0
    facts = json.loads(run("audit", mine, "--json").stdout)
    assert facts["rights"] == {"LicenseRef-own, My Lab": 3} and "changed since" not in facts

    # another film under a known name, and a new one
    for number, name in enumerate(("cat.mp4", "gnu.mp4")):
        (films / name).unlink(missing_ok=True)
        video.write(films / name, np.stack(scene(np.random.default_rng(50 + number), 24)), 12)
    assert run(*words, "--holder", "Another").exit_code == 0
    facts = json.loads(run("audit", mine, "--json").stdout)
    assert facts["rights"] == {"LicenseRef-own, Another": 2, "licence unknown, holder not named": 1}
    (changed,) = facts["changed since"]  # these rights are not those of the training
    assert f"Merkle root {facts['Merkle roots'][0][:12]} then" in changed
    told = json.loads(run("audit", mine, "--remove", "gnu.mp4", "--json").stdout)
    assert told["removed"] == ["train/gnu.mp4"] and told["weights that have seen it"] == f"none of {mine}"
    told = json.loads(run("audit", mine, "--remove", "dog.mp4", "--json").stdout)
    assert told["removed"] == ["train/dog.mp4"] and str(mine / "dit") in told["weights that have seen it"]
    assert run(*words, "--holder", "Another").exit_code == 0
    facts = json.loads(run("audit", mine, "--json").stdout)
    assert facts["rights"] == {"LicenseRef-own, Another": 2, "licence unknown, holder not named": 1}
    assert {"dog.mp4", "IMG_0042.mp4"} <= {row.get("from") for row in facts["list"]}

    # of what was taken out the weights know as before, and it is found, too
    assert facts["taken out of the dataset since"] == ["train/dog.mp4"]
    small = video.read(footage / "dog.mp4").frames[2:-2, 1:-1, 2:-2]
    video.write(tmp_path / "copy.mp4", np.stack([video.resize(frame, 56, 100) for frame in small]), 12)
    found = json.loads(run("audit", mine, "--find", tmp_path / "copy.mp4", "--json").stdout)
    assert found["nearly the same"] == found["taken out of the dataset since"] == ["train/dog.mp4"]
    found = json.loads(run("audit", mine, "--find", footage / "cat.mp4", "--json").stdout)
    assert found["trained on it"] == ["train/cat.mp4"] and "taken out of the dataset since" not in found
    video.write(tmp_path / "other.mp4", np.stack(scene(np.random.default_rng(9), 24)), 12)
    found = json.loads(run("audit", mine, "--find", tmp_path / "other.mp4", "--json").stdout)
    assert found["nearly the same"] == "not known"  # the cat that it was trained on is no longer there to compare


def test_inspect_accounts_for_every_file(taught: Path) -> None:
    result = run("inspect", taught / "data")
    page = Path(result.stdout.strip()).read_text()
    assert result.exit_code == 0 and page.count("data:image/jpeg;base64,") >= 3
    assert "unreadable: 1" in page and "wreck.mp4" in page and "LicenseRef-own" in page and "My Lab" in page
    assert "--max-side 96 --fps 8 --max-seconds 4" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("curate", "{footage}", "--out", "{out}"), "Say --holder NAME for your own footage"),
        (("curate", "{footage}", "{footage}", "--out", "{out}"), "is named twice; name each folder once"),
        (("curate", "{footage}", "--out", "{footage}/out", "--holder", "x"), "lies in"),
        (("curate", "{footage}/none", "--out", "{out}", "--holder", "x"), "is no folder"),
        (("curate", "{footage}", "--out", "{out}", "--holder", "x", "--keep", "stil"), "Did you mean 'still'"),
        (("curate", "{footage}", "--out", "{out}", "--holder", "x", "--min-seconds", "70"), "no shot would fit"),
        (("curate", "{footage}", "--out", "{out}", "--rights", "{footage}/dog.txt"), "is no TOML file"),
        (("teach", "{footage}", "--out", "{out}"), "Say --holder NAME"),
        (("teach", "{footage}", "--out", "{out}", "--holder", "x", "--from", "nothing"), "nothing"),
        (("inspect", "{footage}"), "is no curated dataset"),
        (("audit", "{footage}"), "holds no trained transformer"),
        (("audit", "{taught}", "--find", "nothing.mp4"), "is no file"),
        (("audit", "{taught}", "--remove", "nothing"), "no clip or source file"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(
    words: tuple[str, ...], sentence: str, footage: Path, taught: Path, tmp_path: Path
) -> None:
    filled = [word.format(footage=footage, out=tmp_path / "out", taught=taught) for word in words]
    result = run(*filled)
    assert result.exit_code in (1, 2) and sentence in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("a/red_car-turns.mp4", "red car turns"),
        ("IMG_0042.MOV", ""),
        ("VID20240101_120000.mp4", ""),
        ("2024-05-01 12.30.mp4", ""),
        ("dog.mp4", ""),
        ("cockatoo.mp4", "cockatoo"),
        ("PXL_2023.mp4", ""),
    ],
)
def test_names_that_say_something(file: str, words: str) -> None:
    assert words_of_name(file) == words
