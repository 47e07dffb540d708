"""Files that a command does not use are named by it, and what is wrong with captions is said by the expander too."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from chronotope.data.recaptions import Recaptions
from chronotope.errors import LEFT_OUT
from chronotope.evaluate.suite import make_suite
from chronotope.storage import file_sha256
from tests.cli.models import refused, run, save_run

EXPANDER = (
    *("train", "expander", "--preset", "tiny", "--out", "run", "--set"),
    *("model.width=32", "model.head_dim=16", "model.depth=1", "model.text_depth=1", "model.vocabulary_size=120"),
    *("train.steps=1", "train.warmup=0", "train.batch_pairs=2", "--data"),
)
FOREIGN = "no video or picture by its ending: drawing.xyz"
LINKED = "a link to a folder: linked"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("model"))


def pictures(folder: str, count: int = 4) -> Path:
    """Pictures with a sentence and a paragraph each; no two are alike."""
    os.mkdir(folder)
    for number in range(count):
        noise = np.random.default_rng([*folder.encode(), number]).integers(0, 256, (32, 48, 3), np.uint8)
        Image.fromarray(noise).save(Path(folder, f"{number}.png"))
        captions = {"sentence": [f"a red ball {number}"], "paragraph": [f"A red ball. The ball of {number} is large."]}
        Path(folder, f"{number}.json").write_text(json.dumps({"captions": captions}))
    return Path(folder)


def with_strangers(folder: Path) -> Path:
    """Add a file of a foreign ending, a name that is not UTF-8, and a link to a folder."""
    (folder / "drawing.xyz").write_bytes(b"x")
    shutil.copy(folder / "0.png", os.fsencode(folder) + b"/\xff.png")
    os.makedirs("elsewhere", exist_ok=True)
    (folder / "linked").symlink_to(Path("elsewhere").resolve())
    return folder


def assert_named(result: Result) -> None:
    for sentence in (FOREIGN, LINKED, "its name is not UTF-8; rename it"):
        assert result.stderr.count(sentence) == 1, result.stderr


def test_commands_name_what_they_leave_out(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronotope.cli.evaluate.make_suite", lambda name: make_suite(name)[:1])  # for the ceiling
    data = with_strangers(pictures("data"))
    for words in (
        ("train", "autoencoder", "--preset", "tiny", "--data", data, "--out", "ae"),  # said before pictures are refused
        (*EXPANDER, data),
        ("memorisation", pictures("videos"), "--data", data, "--baseline", pictures("others")),
        ("memorisation", data, "--data", "videos", "--baseline", "others"),
        ("evaluate", "--reconstruction", model, "--data", data),
        ("score-captions", data),
        ("caption", with_strangers(pictures("few", 1)), "--captioner", "small"),
    ):
        assert_named(run(*words))


def test_a_dry_run_says_that_clips_are_meant_for_evaluation() -> None:
    os.mkdir("data")
    held_out, train = pictures("data/heldout", 1), pictures("data/train", 1)
    Path("data/imported.jsonl").touch()
    for network in ("dit", "autoencoder"):
        said = run("train", network, "--preset", "tiny", "--data", held_out, train, "--dry-run").stderr
        assert said.count("whose clips are meant for evaluation") == 1
        assert "note: data/heldout is of split heldout" in said


def test_a_broken_caption_file_leaves_its_clip_out() -> None:
    data = pictures("data")
    (data / "2.json").write_text('{"captions": ')
    result = run(*EXPANDER, data)
    assert result.exit_code == LEFT_OUT, result.output
    assert "left out: data/2: data/2.json is not readable JSON" in result.stderr
    assert "note: 1 clip was left out, as listed above" in result.stderr
    assert json.loads(Path("run/expander/model.json").read_text())["data"][0]["clips"] == 3
    for number in (0, 1, 3):
        (data / f"{number}.json").unlink()
    said = refused(*EXPANDER, data, status=2)
    assert "1 cannot be read, the first: data/2.json is not readable JSON" in said


def test_the_expander_says_what_encode_says() -> None:
    data = pictures("data")
    shutil.copy(data / "0.png", data / "again.png")
    (data / "1.json").write_text('{"text": "A ball.", "text": "A cat."}')
    (data / "2.json").unlink()
    (data / "2.txt").write_bytes("caf\u00e9".encode("cp1252"))
    shutil.copy(data / "3.png", data / "3.bmp")
    with (data / "reviews.jsonl").open("w") as file:
        file.write("{}\n")
    said = run(*EXPANDER, data).stderr
    for sentence in (
        "2 clips are in the data more than once, such as data/0.png and data/again.png",
        "the key 'text' is there more than once, of which the last is read",
        "read as Windows-1252, because it is not UTF-8",
        "1 caption file has the name of several clips each: 3.json",
        "reviews.jsonl, line 1, has no seal",
    ):
        assert sentence in said, said


def test_the_expander_says_that_a_world_rendered_otherwise() -> None:
    made = run("world", "stage", "--scope", "small", "--count", "3", "--out", "world")
    assert made.exit_code == 0, made.output
    first, second, *_ = sorted(Path("world").rglob("*.mp4"))
    record = json.loads(first.with_suffix(".json").read_text())
    record["captions"]["sentence"] = ["a cat"]
    first.with_suffix(".json").write_text(json.dumps(record))
    shutil.copy(second, second.with_name("foreign.mp4"))
    result = run(*EXPANDER, "world")
    assert result.exit_code == 0, result.output
    assert "is not as a world rendered it (clips from elsewhere: 1, changed captions: 1)" in result.stderr


def test_the_expander_knows_latents_that_are_cut_or_stale(model: Path) -> None:
    data = pictures("data")
    assert run("encode", data, "--model", model, "--out", "latents").exit_code == 0
    assert run(*EXPANDER, "latents").stderr.count("note: ") == 0
    assert "clips are in the data more than once" in run(*EXPANDER, "latents", data).stderr
    (data / "0.json").write_text('{"captions": {"sentence": ["a cat"], "paragraph": ["A cat."]}}')
    stale = "are not those that were encoded: 1 changed"
    assert stale in run(*EXPANDER, "latents").stderr
    assert stale in run("train", "expander", "--preset", "tiny", "--data", "latents", "--dry-run").stderr
    assert stale in run("train", "captioner", "--preset", "tiny", "--data", "latents", "--dry-run").stderr
    index = Path("latents/index.jsonl")
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:2]))
    assert "has 2 clips and is not the index of 4 clips" in refused(*EXPANDER, "latents", status=1)


@pytest.mark.parametrize("part", ["--data", "--heldout"])
def test_a_dry_run_refuses_an_index_that_the_run_refuses(model: Path, part: str) -> None:
    data = pictures("data")
    assert run("encode", data, "--model", model, "--out", "latents").exit_code == 0
    folders = ("--data", "latents") if part == "--data" else ("--data", data, "--heldout", "latents")
    dry = ("train", "dit", "--preset", "tiny", *folders, "--dry-run")
    plain = run(*dry)
    assert plain.exit_code == 0 and "those that were encoded" not in plain.stderr
    (data / "0.json").write_text('{"captions": {"sentence": ["a cat"]}}')
    assert "latents: the clips in" in (said := run(*dry).stderr)
    assert "are not those that were encoded: 1 changed" in said
    index = Path("latents/index.jsonl")
    whole = index.read_text()
    index.write_text("".join(whole.splitlines(keepends=True)[:2]))
    assert "has 2 clips and is not the index of 4 clips" in refused(*dry, status=1)
    index.write_text(whole.replace('"key"', '"kez"', 1))
    assert "index.jsonl, line 1, was changed or damaged" in refused(*dry, status=1)


def test_captions_of_a_clip_that_was_replaced_are_not_called_true() -> None:
    assert run("world", "stage", "--count", "3", "--pictures", "0", "--out", "w").exit_code == 0
    before = json.loads(run("score-captions", "w", "--json").stdout)
    first, second, _ = sorted(Path("w/0000").glob("*.mp4"))
    first.write_bytes(second.read_bytes())
    result = run("score-captions", "w", "--json")
    assert f"{first.relative_to('w')} is not as a world rendered it" in result.stderr and result.exit_code == 0
    after = json.loads(result.stdout)
    assert len(before) == len(after) > 0
    for more, fewer in zip(before, after, strict=True):
        assert fewer["captions"] < more["captions"]


def test_written_captions_of_a_renamed_clip_are_scored() -> None:
    assert run("world", "stage", "--count", "2", "--pictures", "0", "--out", "w").exit_code == 0
    clips = Path("w/0000").rename("clips")
    first, second = sorted(clips.glob("*.mp4"))
    written = Recaptions(clips)
    for clip in (first, second):
        written.add(clip.name, file_sha256(clip), "sentence", {"kind": "endpoint", "model": "m"}, "a dog walks")
        clip.with_suffix(".json").unlink()
    first.rename(clips / "renamed.mp4")
    found = json.loads(run("score-captions", clips, "--json").stdout)
    assert [(one["author"], one["captions"]) for one in found] == [("m", 2)]
