"""What the shipped model knows, held against its vocabulary, its recipes and its world; and the notes on what it does not know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chronotope.cli.knowledge import TAUGHT
from chronotope.generate.pipeline import WEIGHTS, Generator
from chronotope.media import video
from chronotope.worlds.stage.scope import SCOPES
from tests.cli.models import answer, run, save_run

ROOT = Path(__file__).resolve().parents[2]


def test_info_lists_what_the_shipped_model_knows() -> None:
    known, scope = answer("info", "small")["taught"], SCOPES["small"]
    listed = {
        name: re.findall(r"[a-z]+(?= *[,(]| *$)", known[name]) for name in ("things", "colours", "places", "deeds")
    }
    assert set(listed["things"]) == {*scope.shapes, *scope.nouns, "ball"}
    assert set(scope.colours) <= set(listed["colours"]) and set(scope.backdrops) == set(listed["places"])
    assert set(scope.events) <= set(listed["deeds"])
    assert known["sizes"].split(", ") == [f"{width}x{height}" for width, height in scope.sizes]
    words = " ".join((*scope.shapes, *scope.nouns, *scope.colours, *scope.backdrops))
    assert Generator.load("small").tokenizer.spelt(words) == []
    assert "fox" in run("info", "small").stdout


@pytest.mark.parametrize("name", TAUGHT)
def test_the_scopes_are_those_of_the_recipes(name: str) -> None:
    text = "".join((ROOT / "runs" / script).read_text() for script in ("small.sh", "longer.sh"))
    staged = set(re.findall(r"(?:--scope|\bstage) ([a-z]+) (?=--count|\d)", text)) - {
        "full"
    }  # which only the autoencoder sees
    assert staged == set(TAUGHT[name]) and (WEIGHTS / name).is_dir()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a fox walks right and then leaves the view"], []),
        (["A red ball grows at night, 1.5!", "--negative", "a blue square"], []),
        (["a fox", "--seconds", "0"], []),
        (["a fox", "--size", "64x96", "--seconds", "0.5"], []),
        (["a fox", "--size", "160x96"], ["64x64, 96x64, 64x96 and not on 160x96"]),
        (["a fox", "--seconds", "6"], ["4 to 17 frames at 8 a second, and not on 48 at 8 frames"]),
        (["a fox", "--fps", "4"], ["not on 8 at 4 frames a second"]),
        (["a dragon and a fox near a dragon", "--negative", "quux"], ["no such word: dragon, quux; it knows"]),
        (["a fox", "--extend", "a.mp4", "--seconds", "1"], []),
        (["a fox", "--edit", "a.mp4"], ["not on 24 at 8"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_the_shipped_model_was_not_taught_is_said(
    words: list[str], said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    video.write("a.mp4", np.zeros((24, 64, 96, 3), np.uint8), 8)
    notes = answer("generate", *words, "--dry-run")["notes"]
    assert len(notes) == len(said), notes
    assert all(part in note for part, note in zip(said, notes, strict=True))


def test_notes_go_to_stderr_and_the_video_is_made(tmp_path: Path) -> None:
    """Of somebody's own model only the vocabulary is known."""
    model: Any = save_run(tmp_path / "model")
    result = run("generate", "a red dragon", "--size", "80x48", "--model", model, "-o", tmp_path / "x.mp4")
    assert result.exit_code == 0 and video.probe(tmp_path / "x.mp4").width == 80
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: the model")]
    assert notes == ["note: the model's captions had no such word: dragon"]
    assert "taught" not in answer("info", model)
