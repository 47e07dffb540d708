"""The record of what a model was trained on: how `info` shows it, and which notes `generate` takes from it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope import Generator, checkpoint
from chronotope.cli import info
from chronotope.config import to_dict
from chronotope.data.record import TrainingRecord, read_record, words_of
from chronotope.generate.pipeline import WEIGHTS
from chronotope.generate.stored.folders import find_model
from chronotope.generate.stored.knowledge import vocabulary_of_model
from chronotope.media import video
from chronotope.prompt import read_prompts
from chronotope.request import Inputs, Request
from chronotope.storage import read_json, write_json
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from tests.cli.models import answer, reseal, run, save_run

SCOPES_OF_SMALL = ("small", "acts", "deeds")  # runs/small.sh, then runs/longer.sh
RECORD = TrainingRecord(("a", "ball", "red"), ((48, 32),), False, (4, 8), (8.0,), ())


def save_recorded_run(folder: Path, record: TrainingRecord = RECORD) -> Path:
    """A run folder whose model says what it was trained on."""
    dit = save_run(folder) / "dit"
    reseal(dit, trained_on=to_dict(record))
    return folder


def record_of_small() -> TrainingRecord:
    record = read_record(read_json(WEIGHTS / "small" / "dit" / "model.json"))
    assert record is not None
    return record


def test_the_record_of_the_shipped_model_is_that_of_its_scopes() -> None:
    record, scopes = record_of_small(), [SCOPES[name] for name in SCOPES_OF_SMALL]
    assert record.worlds == tuple(sorted(f"stage {name}" for name in SCOPES_OF_SMALL))
    assert set(record.sizes) == {size for scope in scopes for size in scope.sizes}
    assert record.num_frames == (min(s.min_frames for s in scopes), max(s.max_frames for s in scopes))
    assert record.pictures and record.fps == (8.0,)
    texts = [
        text
        for scope in scopes
        for seed in range(30)
        for level in captions(sample_spec(seed, scope)).values()
        for text in level
    ]
    assert record.unknown_words(" ".join(texts)) == []
    assert record.unknown_words("a fox dissolves into a diamond") == ["diamond"]
    assert record.words == tuple(sorted(set(record.words))) == tuple(sorted(words_of(" ".join(record.words))))


def test_info_says_what_the_shipped_model_makes_and_knows() -> None:
    facts, text = answer("info", "small"), run("info", "small").stdout
    assert read_record(facts) == record_of_small()
    assert "rocket, balloon" in facts["summary"]["nouns"] and "circle or ball" in facts["summary"]["shapes"]
    assert "164" in facts["summary"]["words"] and "5 shapes, 12 nouns, 6 colours" in facts["summary"]["words"]
    assert "videos of 4 to 17 frames at 8 a second; 64x64, 64x96, 96x64" in text
    assert "Apache-2.0" in text and "small/README.md" in text and "clips/s" not in text
    assert {"parameters", "hash", "training"} <= facts["dit"].keys()


def test_info_names_the_actions_of_a_world() -> None:
    told = answer("info", "small-crafter")["summary"]["takes actions"]
    assert told.startswith("0 noop, 1 move left, ") and told.endswith(
        "16 make iron sword (chronotope play small-crafter)"
    )
    assert "takes actions" not in answer("info", "small")["summary"]


def test_info_of_other_models(tmp_path: Path) -> None:
    """Of a world that the program does not know, words are listed; without a record nothing is claimed."""
    text = run("info", save_recorded_run(tmp_path / "recorded")).stdout
    assert "videos of 4 to 8 frames at 8 a second; 48x32" in text and "3: a, ball, red" in text
    text = run("info", save_run(tmp_path / "model")).stdout
    assert "not recorded" in text and "7 steps" in text and "words" not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a fox walks right and then leaves the view"], []),
        (["A red ball grows at night, 1.5!", "--negative", "a blue square"], []),
        (["a fox", "--seconds", "0"], []),
        (["a fox", "--size", "64x96", "--seconds", "0.5"], []),
        (["a fox", "--size", "160x96"], ["64x64, 64x96, 96x64 and not on 160x96"]),
        (["a fox", "--seconds", "6"], ["4 to 17 frames at 8 a second, and not on 48 frames at 8 frames a second"]),
        (["a fox", "--fps", "4"], ["not on 8 frames at 4 frames a second"]),
        (
            ["a dragon and a fox near a dragon", "--negative", "quux"],
            ["no caption had 'dragon'; what is alike", "these words: quux; `chronotope info small`"],
        ),
        (
            ["a player walks to a cow"],
            ["'player'", "'cow'", "captions of the model small-crafter had player, cow: try `--model small-crafter`"],
        ),
        (["a fox", "--extend", "a.mp4", "--seconds", "1"], []),
        (["a fox", "--edit", "a.mp4"], ["not on 24 frames at 8"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_notes_on_what_the_shipped_model_was_not_trained_on(
    words: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    video.write("a.mp4", np.zeros((24, 64, 96, 3), np.uint8), 8, metadata={"prompt": "a fox"})
    notes = answer("generate", *words, "--dry-run")["notes"]
    assert len(notes) == len(expected), notes
    assert all(part in note for part, note in zip(expected, notes, strict=True))


def test_a_model_of_another_world_is_told_its_prompts_as_they_are(tmp_path: Path) -> None:
    """The table of the package writes captions of the stage, which a model of Crafter never had."""
    words = vocabulary_of_model(find_model("small-crafter"))
    assert words is not None
    for prompt in ("a player walks left on the beach", "the player walks up, on grassland"):
        assert words.expand(prompt).prompt == prompt
    stage = vocabulary_of_model(find_model("small"))
    assert stage is not None and stage.expand("a fox by the shore").prompt == "a fox by the sea"


def test_notes_go_to_stderr_and_the_video_is_made(tmp_path: Path) -> None:
    model = save_recorded_run(tmp_path / "model")
    result = run("generate", "a red dragon", "--size", "80x48", "--model", model, "-o", tmp_path / "x.mp4")
    assert result.exit_code == 0 and video.probe(tmp_path / "x.mp4").width == 80
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert [note for note in notes if "not on 80x48" in note or "dragon" in note] == notes and len(notes) == 2
    assert f"`chronotope info {model}`" in notes[1]


def test_python_says_what_the_command_line_says(tmp_path: Path) -> None:
    """The notes of one request are the same in `generate`, in `plan` and on the command line, and are saved."""
    model = save_recorded_run(tmp_path / "model")
    generator = Generator.load(model)
    words = ("a red dragon", "--no-expand", "--size", "80x48", "--seconds", "1", "--model", model)
    typed: Any = answer("generate", *words, "--dry-run")["notes"]
    assert len(typed) == 2 and "not on 80x48" in typed[0] and "dragon" in typed[1]
    made = generator.generate("a red dragon", width=80, height=48, num_frames=8, num_inference_steps=1)
    assert made.origin["notes"] == typed
    made.save(tmp_path / "x.mp4")
    assert read_json(video.sidecar(tmp_path / "x.mp4"))["notes"] == typed
    asked = Request(read_prompts("a red dragon"), Inputs(), 48, 80, 8, word_notes=("no caption had 'dragon'",))
    assert generator.plan(asked).notes == ("no caption had 'dragon'", typed[0])
    shutil.rmtree(model)  # a loaded model needs its folder no more
    said = generator.generate("a red ball", num_inference_steps=1).origin["notes"]
    assert len(said) == 1 and "no note says which words" in said[0] and "model.json" in said[0]


def test_a_model_without_a_record_says_so_once(tmp_path: Path) -> None:
    model: Any = save_run(tmp_path / "model")
    notes = answer("generate", "a red dragon", "--size", "80x48", "--model", model, "--dry-run")["notes"]
    assert notes == ["the model has no record of its training, so no note says which words, sizes and lengths it knows"]


def test_photos_and_camera_clips_are_nothing_that_a_model_of_a_simulated_world_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 96, 3), np.uint8)
    video.write("camera.mp4", pixels, 8)
    video.write_image("photo.jpg", pixels[0])
    video.write("made.mp4", pixels, 8, metadata={"program": "chronotope", "prompt": "a fox"})
    video.write("world.mp4", pixels, 8)
    write_json(Path("world.json"), {"captions": {}, "spec": {}})
    video.write("other.mp4", pixels, 8)
    write_json(Path("other.json"), {"caption": "a fox"})

    def noted(*words: str, model: Any = "small") -> list[str]:
        notes = answer("generate", "a fox", *words, "--model", model, "--dry-run")["notes"]
        return [note for note in notes if "photos and camera clips" in note]

    (note,) = noted("--image", "photo.jpg")
    assert note.startswith("photo.jpg: not made by this program") and "simulated stage;" in note
    assert noted("--edit", "made.mp4") == noted("--extend", "world.mp4", "--seconds", "1") == noted() == []
    (note,) = noted("--connect", "made.mp4", "camera.mp4", "--seconds", "1")
    assert note.startswith("camera.mp4: ")
    (note,) = noted("--edit", "other.mp4")
    assert noted("--retake", "made.mp4", "--mask", "photo.jpg") == []  # a mask is shown to nobody
    both = save_recorded_run(tmp_path / "both", replace(RECORD, worlds=("stage small",), others=True))
    assert noted("--image", "photo.jpg", model=both) == []  # it has seen camera clips as well
    only = save_recorded_run(tmp_path / "only", replace(RECORD, worlds=("stage small", "table table")))
    assert "simulated stage and table;" in noted("--image", "photo.jpg", model=only)[0]


def test_characters_without_a_token_are_named(tmp_path: Path) -> None:
    for words in (["a fox \U0001f98a, \u72d0", "--no-expand"], ["a fox", "--negative", "\u72d0\U0001f98a\U0001f98a"]):
        (note,) = [note for note in answer("generate", *words, "--dry-run")["notes"] if "cannot read" in note]
        assert "U+1F98A FOX FACE" in note and "U+72D0 CJK UNIFIED IDEOGRAPH-72D0" in note and note.isascii()
    many = "".join(map(chr, range(0x1F600, 0x1F610)))
    (note,) = [
        note
        for note in answer("generate", f"a fox {many}", "--no-expand", "--dry-run")["notes"]
        if "cannot read" in note
    ]
    assert note.count("U+") == 8 and note.endswith(" and 8 more")
    assert not [note for note in answer("generate", "A Fox; 2 balls_", "--dry-run")["notes"] if "cannot read" in note]


def test_records_of_two_runs_are_joined() -> None:
    pictures = TrainingRecord(("dragon",), ((64, 64),), True, None, (), ("table",))
    both = RECORD | pictures
    assert both == TrainingRecord(
        ("a", "ball", "dragon", "red"), ((48, 32), (64, 64)), True, (4, 8), (8.0,), ("table",)
    )
    assert both.knows_length(1, 30.0) and both.knows_length(8, 8.0) and not both.knows_length(9, 8.0)
    assert (RECORD | replace(pictures, others=True)).others and not both.others
    assert not RECORD.knows_length(1, 8.0) and not pictures.knows_length(8, 8.0)


def test_a_record_changes_no_hash(tmp_path: Path) -> None:
    model = save_run(tmp_path / "model") / "dit"
    assert checkpoint.weights_hash(WEIGHTS / "small/dit") in (WEIGHTS / "small/README.md").read_text()
    before = checkpoint.weights_hash(model)
    save_recorded_run(tmp_path / "model")
    assert checkpoint.weights_hash(model) == before
    file = model / "model.json"
    write_json(file, {**read_json(file), "started_from": "another"})
    assert checkpoint.weights_hash(model) != before


def test_only_what_captions_named_is_listed_as_known() -> None:
    """A small training set of a scope shows some of its nouns; the others were never seen."""
    words = tuple("a the ball balls bounces flies red rabbit runs walking leaving hot air balloon".split())
    record = TrainingRecord(words, ((64, 64),), False, (9, 17), (8.0,), ("stage small",))
    facts = info._vocabulary(record)
    assert (facts["shapes"], facts["nouns"], facts["colours"]) == ("circle or ball", "rabbit, balloon", "red")
    assert facts["actions"] == "walk, fly" and "among them 1 shapes, 2 nouns" in facts["words"]
