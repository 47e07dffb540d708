"""The captioner that is trained here: it learns clips by heart, resumes to the bit, captions folders, and is scored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from chronotope.caption.captioners.builtin import sentences
from chronotope.caption.subwords import Tokenizer, learn_vocabulary
from chronotope.caption.tokens import shown_slices
from chronotope.checkpoint import load_tensors, read_description
from chronotope.cli.language.captioners import load_captioner, load_doubting
from chronotope.cli.language.review import open_page
from chronotope.config import override
from chronotope.data.captions import captions_of
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.data.recaptions import Recaptions
from chronotope.errors import UsageError
from chronotope.manifest import identify
from chronotope.media import video
from chronotope.models.captioner import END, CaptionerConfig
from chronotope.train.language import captioner as training
from chronotope.train.language.captioner import CaptionerRun, CaptionerTraining, shown_at, train_captioner
from chronotope.train.language.texts import IGNORED, detail_of
from chronotope.train.language.texts import padded as texts_padded
from tests.cli.models import answer, refused, run, save_clips, save_run

SETTINGS = (
    *("model.width=32", "model.head_dim=16", "model.depth=1", "model.text_depth=1", "model.vocabulary_size=160"),
    *("train.steps=220", "train.warmup=20", "train.batch_tokens=200", "train.average_decay=0.9"),
    *("train.muon_rate=0.03", "train.adam_rate=0.003"),
)
COLOURS = {"red": (250, 30, 30), "green": (30, 200, 30)}
RUN = CaptionerRun(
    model=CaptionerConfig(width=32, head_dim=16, depth=1, text_depth=1, vocabulary_size=160),
    train=CaptionerTraining(steps=8, warmup=2, save_every=4, batch_tokens=40),
)


def save_squares(folder: Path) -> Path:
    """Four clips: a square of two colours that moves to the left or to the right, with two levels of captions."""
    folder.mkdir(parents=True)
    for colour, value in COLOURS.items():
        for direction in ("left", "right"):
            frames = np.full((8, 32, 48, 3), 240, np.uint8)
            for time, frame in enumerate(frames):
                x = 4 * time if direction == "right" else 28 - 4 * time
                frame[8:24, x : x + 16] = value
            name = f"{colour}-{direction}"
            video.write(folder / f"{name}.mp4", frames, 8.0)
            captions = {
                "tags": f"{colour} square, moving {direction}",
                "sentence": f"a {colour} square moves {direction}",
                "paragraph": f"A {colour} square on white. It moves to the {direction}, and then it stops.",
            }
            (folder / f"{name}.json").write_text(json.dumps({"captions": captions}))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A captioner that was shown four clips often, and the clips."""
    base = tmp_path_factory.mktemp("captioner")
    clips, model = save_squares(base / "clips"), save_run(base / "model")
    result = run("train", "captioner", "--preset", "tiny", "--data", clips, "--autoencoder", model,
                 "--out", base / "run", "--set", *SETTINGS)  # fmt: skip
    assert result.exit_code == 0, result.output
    return base / "run", clips


@pytest.mark.parametrize("detail", ["tags", "sentence", "paragraph"])
def test_it_learns_four_clips_by_heart(trained: tuple[Path, Path], tmp_path: Path, detail: str) -> None:
    model, clips = trained
    data = Path(shutil.copytree(clips, tmp_path / "clips"))
    result = run("caption", data, "--captioner", model, "--detail", detail)
    assert result.exit_code == 0, result.output
    assert "4 clips: 4 captioned" in result.stderr
    rows = Recaptions(data).rows
    for colour in COLOURS:
        for direction in ("left", "right"):
            row = rows[f"{colour}-{direction}.mp4", detail]
            truth = captions_of(json.loads((data / f"{colour}-{direction}.json").read_text()), "")[detail][0]
            assert row["text"].lower() == truth.lower()
            assert row["author"]["kind"] == "builtin" and len(row["author"]["weights"]) >= 16
    assert "4 clips: 0 captioned, 4 kept" in run("caption", data, "--captioner", model, "--detail", detail).stderr
    written = answer("info", data)["written by"]
    assert written == {f"builtin captioner, weights {row['author']['weights']}": 4 * len(written_details(rows))}


def written_details(rows: dict[tuple[str, str], object]) -> set[str]:
    return {detail for _, detail in rows}


def test_captions_do_not_depend_on_company_or_workers(trained: tuple[Path, Path], tmp_path: Path) -> None:
    model, clips = trained
    texts = []
    for workers in (1, 3):
        data = Path(shutil.copytree(clips, tmp_path / str(workers)))
        assert run("caption", data, "--captioner", model, "--workers", workers).exit_code == 0
        texts.append({key: row["text"] for key, row in Recaptions(data).rows.items()})
    assert texts[0] == texts[1]


def test_other_sizes_rates_and_lengths_are_shown_as_it_was_trained(trained: tuple[Path, Path]) -> None:
    model, clips = trained
    captioner = load_captioner(model)
    content = video.read(clips / "red-left.mp4")
    large = content.frames.repeat(2, axis=1).repeat(2, axis=2)
    slow = content.frames.repeat(3, axis=0)
    for frames, fps in ((content.frames, 8.0), (large, 8.0), (slow, 24.0)):
        assert captioner.ask(frames, fps).text == "A red square moves left"
    captioner.ask(content.frames[:1], 8.0)  # a picture
    captioner.ask(np.zeros((40, 9, 130, 3), np.uint8), 30.0)


def test_an_interrupted_training_gives_the_same_weights(trained: tuple[Path, Path], tmp_path: Path) -> None:
    latents = trained[0] / "latents" / "clips"
    train_captioner(RUN, [latents], tmp_path / "whole", quiet=True)
    asked = iter([False, False, True])
    train_captioner(RUN, [latents], tmp_path / "parts", quiet=True, stopping=lambda: next(asked))
    assert not (tmp_path / "parts" / "model.json").exists()
    train_captioner(RUN, [latents], tmp_path / "parts", quiet=True)
    one, two = (load_tensors(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_short_captions_come_first() -> None:
    train = CaptionerTraining(steps=10, short_share=0.3)
    assert [shown_at(train, step, ("tags", "sentence", "paragraph")) for step in (0, 2, 3)] == [
        ("tags", "sentence"), ("tags", "sentence"), ("tags", "sentence", "paragraph"),
    ]  # fmt: skip
    assert shown_at(train, 0, ("paragraph",)) == ("paragraph",)  # there are no short ones


def test_batches_hold_each_text_and_its_end(trained: tuple[Path, Path]) -> None:
    dataset = LatentDataset([trained[0] / "latents" / "clips"])
    tokenizer = Tokenizer(learn_vocabulary(dataset.captions(), 160))
    prepared = training.prepare_run(RUN, dataset, Path("none"))
    config = override(prepared.config, ["train.batch_tokens=400"])
    state = type("State", (), {"step": 5, "clips": 0})()
    batch = next(training.batches_of(config, dataset, tokenizer, prepared.deviation, state))
    moved = batch.to(torch.device("meta"))
    tensors = (
        moved.clips.values,
        moved.clips.still,
        moved.clips.positions,
        *moved.ids.values(),
        *moved.targets.values(),
    )
    assert all(tensor.is_meta for tensor in tensors)
    assert sum(batch.clips.lengths) == len(batch.clips.values) == len(batch.clips.positions)
    for detail, targets in batch.targets.items():
        for row, key in enumerate(batch.keys):
            ids = targets[row][targets[row] != IGNORED].tolist()
            assert ids[-1] == END and END not in ids[:-1]
            assert batch.ids[detail][row, : len(ids) - 1].tolist() == ids[:-1]
            clip = next(clip for clip in dataset.clips if clip.key == key)
            assert tokenizer.decode(ids[:-1]) in [text.lower() for text in clip.captions[detail]]


def test_a_training_goes_on_from_another_captioner(trained: tuple[Path, Path], tmp_path: Path) -> None:
    model, clips = trained
    few = ("train", "captioner", "--preset", "tiny", "--data", clips, "--set", *SETTINGS[:5], "train.steps=1")
    started = (*few, "train.muon_rate=1e-9", "train.adam_rate=1e-9", "--from", model)
    result = run(*started, "--out", tmp_path / "on")
    assert result.exit_code == 0, result.output
    before, now = (load_captioner(folder) for folder in (model, tmp_path / "on"))
    frames = video.read(clips / "green-right.mp4").frames
    assert before.ask(frames, 8.0) == now.ask(frames, 8.0)
    assert read_description(tmp_path / "on" / "captioner")["started_from"] == fingerprint(before.network)
    # what began from other weights, or from none, does not go on
    other = tmp_path / "other"
    assert run(*few, "--autoencoder", model, "--out", other).exit_code == 0
    assert "was begun without weights to start from" in refused(*few, "--from", model, "--out", other, status=2)
    assert "was begun from the weights" in refused(*few, "--from", other, "--out", tmp_path / "on", status=2)
    sizes = ("--preset", "tiny", "--data", clips, "--from", model)
    assert "has width 32, the preset" in refused("train", "captioner", *sizes, "--out", tmp_path / "no", status=2)
    assert "holds no captioner" in refused(
        *few, "--from", save_run(tmp_path / "bare"), "--out", tmp_path / "no", status=1
    )


def test_a_text_that_is_cut_does_not_end_there() -> None:
    ids, targets = texts_padded([[5, 6, 7, 8], [5], None], 3)
    assert ids.tolist() == [[5, 6, 7], [5, 0, 0], [0, 0, 0]]
    cut, whole, none = targets.tolist()
    assert (cut, whole) == ([5, 6, 7, IGNORED], [5, END, IGNORED, IGNORED]) and set(none) == {IGNORED}


def test_latents_of_another_autoencoder_do_not_continue_a_run(trained: tuple[Path, Path], tmp_path: Path) -> None:
    train_captioner(RUN, [trained[0] / "latents" / "clips"], tmp_path / "run", quiet=True)
    other = save_run(tmp_path / "seed", seed=1)
    assert run("encode", trained[1], "--model", other, "--out", tmp_path / "lat").exit_code == 0
    longer = override(RUN, ["train.steps=12"])
    with pytest.raises(UsageError, match="was trained on latents of autoencoder"):
        train_captioner(longer, [tmp_path / "lat"], tmp_path / "run", quiet=True)
    with pytest.raises(UsageError, match="seed 0 and not 1"):
        train_captioner(override(longer, ["seed=1"]), [tmp_path / "lat"], tmp_path / "run", quiet=True)


def test_levels_and_slices() -> None:
    levels = ("tags", "sentence", "paragraph", "descriptive", "mine", "story")
    assert [detail_of(level) for level in levels] == [
        "tags", "sentence", "paragraph", "paragraph", "sentence", None,
    ]  # fmt: skip
    assert shown_slices(3, 5) == [0, 1, 2]
    assert shown_slices(9, 3) == [0, 4, 8]
    assert sentences("a fox. it runs. ") == "A fox. It runs. "


@pytest.mark.parametrize(
    "text",
    [
        "a fox walks past a tree.",
        "the fox, which is red; it isn't there: yes!",
        "don't stop",
        "x-ray at 3.5 km",
        "the fox is medium-sized. after 0.6 seconds, it stops. 3 cars pass",
        "a well-to-do cat",
    ],
)
def test_texts_come_back_from_their_ids(text: str) -> None:
    tokenizer = Tokenizer(learn_vocabulary([text], 200))
    assert tokenizer.decode(tokenizer.encode(text)) == text


# Wrong inputs


def test_what_is_no_captioner_is_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips")
    model = save_run(tmp_path / "model")
    assert "holds no captioner; train one" in refused("caption", clips, "--captioner", model, status=1)
    other = Path(shutil.copytree(trained[0], tmp_path / "other"))
    shutil.rmtree(other / "autoencoder")
    shutil.copytree(save_run(tmp_path / "seed", seed=1) / "autoencoder", other / "autoencoder")
    assert "was trained on latents of autoencoder" in refused("caption", clips, "--captioner", other, status=1)
    assert "was trained on latents of autoencoder" in run("check", other).stderr
    weights = other / "captioner" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    assert "captioner" in run("check", other).stderr
    refused("caption", clips, "--captioner", other, status=1)


def test_a_training_without_captions_or_with_other_latents_is_refused(tmp_path: Path) -> None:
    clips, model = save_clips(tmp_path / "clips"), save_run(tmp_path / "model")
    for text in clips.glob("*.txt"):
        text.unlink()
    train = ("train", "captioner", "--preset", "tiny", "--data", clips, "--autoencoder", model, "--out")
    assert "no clip has a caption" in refused(*train, tmp_path / "run", status=2)
    said = refused(*train, tmp_path / "run", "--set", "model.channels=32", status=2)
    assert "have 16 channels" in said


def test_the_review_page_says_which_word_the_captioner_doubts(trained: tuple[Path, Path], tmp_path: Path) -> None:
    model, clips = trained
    data = Path(shutil.copytree(clips, tmp_path / "clips"))
    written = Recaptions(data)
    for name, text in (("red-left", "a green square moves left"), ("green-right", "a green square moves right")):
        sha256 = identify(data / f"{name}.mp4", f"{name}.mp4").sha256
        written.add(f"{name}.mp4", sha256, "sentence", {"kind": "endpoint"}, text)
    with open_page(data, "ada", lambda: load_doubting(str(model))) as page:
        found = {item["file"]: page.doubt(number) for number, item in enumerate(page.items)}
    knows = "it knows only what it was trained on"
    assert found == {
        "red-left.mp4": f"the captioner doubts 'green' and expected 'red'; {knows}",
        "green-right.mp4": f"the captioner doubts no word; {knows}",
    }


def test_a_finished_captioner_is_said_to_be_finished(trained: tuple[Path, Path]) -> None:
    model, clips = trained
    again = run("train", "captioner", "--preset", "tiny", "--data", clips, "--out", model, "--set", *SETTINGS)
    assert again.exit_code == 0 and "is trained already (220 steps)" in again.stderr
    assert read_description(model / "captioner")["kind"] == "captioner"
    assert "nothing is wrong" in run("check", model).stdout
    assert "captioner" in run("info", model).stdout


# Scores


def test_captions_of_rendered_clips_are_scored(tmp_path: Path) -> None:
    data = tmp_path / "stage"
    assert run("world", "stage", "--scope", "small", "--count", 2, "--seed", 3, "--out", data).exit_code == 0
    found = json.loads(run("score-captions", data, "--json").stdout)
    assert {row["level"] for row in found} == {"tags", "sentence", "paragraph"}
    assert all(row["without a false claim"] == f"{row['captions']} of {row['captions']}" for row in found)
    file = sorted(data.rglob("*.json"))[0]
    record = json.loads(file.read_text())
    if "captions" in record:
        record["captions"]["sentence"] = ["a kitten and a purple fish spin in the snow"]
        file.write_text(json.dumps(record))
    found = json.loads(run("score-captions", data, "--json").stdout)
    row = next(row for row in found if row["level"] == "sentence")
    assert row["without a false claim"] == f"{row['captions'] - 1} of {row['captions']}"
    assert "snow" in row["not true"][0] and "cat" in row["not true"][0]  # a kitten is a cat


def test_a_captioner_doubts_what_a_clip_does_not_show(trained: tuple[Path, Path], tmp_path: Path) -> None:
    model, clips = trained
    data = Path(shutil.copytree(clips, tmp_path / "clips"))
    for file in data.glob("*.json"):
        text = json.loads(file.read_text())["captions"]["sentence"][0]
        file.write_text(json.dumps({"captions": {"sentence": [text]}}))
    asked = ("score-captions", data, "--captioner", model, "--json")
    row = json.loads(run(*asked).stdout)[0]
    assert row["captions"] == 4 and row["doubted"] == []
    (data / "red-left.json").write_text('["a green square moves left"]')
    (data / "green-right.json").write_text('["a green square moves left"]')
    row = json.loads(run(*asked).stdout)[0]
    assert sorted(row["doubted"]) == [
        "green-right.mp4: 'left', expected 'right': a green square moves left",
        "red-left.mp4: 'green', expected 'red': a green square moves left",
    ]
    for file in data.glob("*.json"):
        file.unlink()
    assert "holds no captions to score" in refused(*asked, status=2)
