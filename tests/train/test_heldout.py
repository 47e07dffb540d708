"""The loss on clips that are never trained on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.config import override
from chronotope.data.latents import LatentDataset
from chronotope.jsonl import read_jsonl
from chronotope.models.dit import DiT
from chronotope.models.refinement import Grid
from chronotope.parallel import Ranks
from chronotope.storage import read_json
from chronotope.train.batches import make_batch, window_sizes
from chronotope.train.dit import DiTRun, train_dit
from chronotope.train.loss import FIRST_STEP, SAMPLES, _changes, flow_loss, heldout_losses
from chronotope.train.order import BatchPlan
from tests.cli.models import refused, run, save_clips, save_run
from tests.cli.test_train import DIT_SETTINGS, STEPS
from tests.train.test_parallel import SETTINGS, write_latents

DIT = override(override(DiTRun(), SETTINGS), ["train.steps=8", "train.save_every=4", "train.check_every=3"])


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "latents"
    write_latents(folder)
    return folder


def test_it_is_the_loss_of_all_samples_whatever_the_batches_and_the_seed(latents: Path) -> None:
    dataset = LatentDataset([latents])
    vocabulary = learn_vocabulary(dataset.captions(), 60)
    tokenizer = Tokenizer(vocabulary)
    torch.manual_seed(1)
    model = DiT(replace(DIT.model, vocabulary_size=len(vocabulary) + 2)).eval()
    found = heldout_losses(DIT, [latents], tokenizer)(model)["heldout/latents"]

    clips = tuple(range(len(dataset))) * -(-SAMPLES // len(dataset))
    sizes, budget = window_sizes(DIT, dataset), DIT.train.batch_tokens
    total, tokens, place, step = 0.0, 0, 0, FIRST_STEP
    while place < len(clips):  # the same samples, each batch filled by hand
        count = 1
        while place + count < len(clips) and sum(sizes[clip] for clip in clips[place : place + count + 1]) <= budget:
            count += 1
        part = clips[place : place + count]
        plan = BatchPlan(step, 0, part, tuple(sizes[clip] for clip in part))
        batch = make_batch(replace(DIT, seed=0), dataset, tokenizer, plan, Ranks())
        with torch.no_grad():
            (packed,) = batch.packs
            error = flow_loss(model(packed.tokens), packed, torch.tensor(batch.num_noised))
        total, tokens = total + float(error) * batch.num_noised, tokens + batch.num_noised
        place, step = place + count, step + 1
    assert found == pytest.approx(total / tokens, rel=1e-6)
    assert heldout_losses(replace(DIT, seed=5), [latents], tokenizer)(model)["heldout/latents"] == found


def test_motion_is_the_change_within_a_clip_not_between_its_two_copies() -> None:
    ramp = torch.tensor([0.0, 1.0, 3.0, 6.0])[:, None].repeat(1, 2).flatten()[:, None]  # four slices of two tokens
    full, teacher, still = Grid(4, 1, 2), Grid(8, 1, 2, order="teacher"), Grid(2, 1, 2, order="teacher")
    clean = torch.cat([ramp, ramp, ramp, ramp[:2], ramp[:2]])
    found = _changes(clean, [full, teacher, still])
    change = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert found[:24].tolist() == 3 * change and found[24:].isnan().all() and len(found) == 28


def test_it_is_logged_and_changes_nothing(latents: Path, tmp_path: Path) -> None:
    train_dit(DIT, [latents], tmp_path / "with", quiet=True, heldout=[latents])
    train_dit(DIT, [latents], tmp_path / "without", quiet=True)
    files = [tmp_path / name / "model.safetensors" for name in ("with", "without")]
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = [row for row in read_jsonl(tmp_path / "with" / "log.jsonl") if "heldout/latents" in row]
    assert [row["step"] for row in rows] == [0, 3, 6, 8]
    assert rows[-1]["heldout/latents"] < rows[0]["heldout/latents"]  # the very clips that were trained on


def test_a_run_that_begins_anew_writes_its_first_row_once(latents: Path, tmp_path: Path) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # before the first checkpoint
        train_dit(DIT, [latents], tmp_path, sampler=killed, quiet=True, heldout=[latents])
    train_dit(DIT, [latents], tmp_path, quiet=True, heldout=[latents])
    rows = [row["step"] for row in read_jsonl(tmp_path / "log.jsonl") if "heldout/latents" in row]
    assert rows == [0, 3, 6, 8]


def test_the_command_encodes_and_logs_what_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = save_run(tmp_path / "model")
    save_clips(Path("mine"), size=(32, 32))
    save_clips(Path("unseen"), size=(48, 32))
    words = ("train", "dit", "--preset", "tiny", "--autoencoder", model, "--data", "mine", "--out")
    done = run(*words, "run", "--heldout", "unseen", "mine/..", "--set", *DIT_SETTINGS, *STEPS)
    assert done.exit_code != 0 and "lies in" in done.stderr  # a folder that holds the run
    done = run(*words, "run", "--heldout", "unseen", "--set", *DIT_SETTINGS, *STEPS)
    assert done.exit_code == 0, done.stderr
    assert "heldout/unseen" in read_jsonl(Path("run/dit/log.jsonl"))[0]
    assert [about["clips"] for about in read_json(Path("run/dit/model.json"))["data"]] == [4]  # of mine alone
    longer = [each.replace("train.steps=4", "train.steps=5") for each in STEPS]
    done = run(*words, "run", "--set", *DIT_SETTINGS, *longer)
    said = done.stderr.partition("the held-out clips have changed since the last checkpoint (then 4 clips ")[2]
    assert "now none); their losses in the log are of other clips from now on" in said, done.stderr
    same = refused(*words, "other", "--heldout", "mine", "--set", *DIT_SETTINGS, *STEPS, status=2)
    assert "is named by --data and by --heldout" in same
    Path("deep").mkdir()
    save_clips(Path("deep/mine"), size=(48, 32))
    mixed = refused(*words, "mixed", "--heldout", "deep/mine", "--set", *DIT_SETTINGS, *STEPS, status=2)
    assert "two folders of --data and --heldout are called mine" in mixed and not Path("mixed/latents").exists()
    seen = run(*words, "again", "--heldout", "run/latents/mine", "--set", *DIT_SETTINGS, *STEPS)
    assert "note: 4 of 4 clips in run/latents/mine are trained on as well; --heldout means others" in seen.stderr


def test_clips_that_trained_what_a_training_goes_on_with_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = save_run(tmp_path / "model")
    for name, size in (("old", (32, 32)), ("new", (48, 32))):
        save_clips(Path(name), size=size)
        assert run("encode", name, "--model", model, "--out", f"latents/{name}").exit_code == 0
    words = ("train", "dit", "--preset", "tiny", "--autoencoder", model, "--out")
    assert run(*words, "run", "--data", "latents/old", "--set", *DIT_SETTINGS, *STEPS).exit_code == 0

    def said(*last: object) -> str:
        done = run("train", "dit", "--preset", "tiny", *last, "--data", "latents/new", "--set", *DIT_SETTINGS, *longer)
        assert done.exit_code == 0, done.stderr
        return done.stderr

    longer = [each.replace("train.steps=4", "train.steps=5") for each in STEPS]
    before = "4 of 4 clips in latents/old were trained on before, by the weights that this training goes on with"
    assert before in said("--from", "run", "--out", "second", "--heldout", "latents/old")
    shutil.copytree("latents/old", "copy")
    shutil.rmtree("latents/old")  # the hash of its manifest is in model.json
    assert before.replace("latents/old", "copy") in said("--from", "run", "--out", "third", "--heldout", "copy")
    assert before.replace("latents/old", "copy") in said("--autoencoder", model, "--out", "run", "--heldout", "copy")
    assert run("encode", "old", "--model", model, "--out", "parts", "--max-seconds", "0.5").exit_code == 0
    unknown = "1 of 1 folders of latents are not at hand"
    assert unknown in said("--from", "run", "--out", "fifth", "--heldout", "parts")
    shutil.copytree("copy", "latents/old")
    assert "clips in parts were trained on before" in said("--from", "run", "--out", "fourth", "--heldout", "parts")
