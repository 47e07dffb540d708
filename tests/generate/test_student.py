"""A student beside a model: it samples in its own steps, and everything else is left to the model."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from chronotope import Generator, checkpoint
from chronotope.errors import FileProblem
from chronotope.generate.stored.folders import transformers_of
from chronotope.generate.stored.student import find_student, plan_for
from chronotope.generate.training_clips import latents_of_models
from chronotope.models.dit import DiT
from chronotope.prompt import read_prompts
from chronotope.request import Request
from chronotope.serve.limits import model_identity
from tests.cli.models import answer, reseal, save_run
from tests.cli.models import run as run_program

STUDENT = {"steps": 3, "substeps": 2, "guidance": 3.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a student whose weights are others."""
    run = save_run(tmp_path_factory.mktemp("taught") / "run")
    generator = Generator.load(run)
    torch.manual_seed(5)
    student = DiT(generator.dit.config)
    torch.nn.init.normal_(student.patch_out.weight, std=0.1)
    description = checkpoint.read_description(run / "dit")
    about = {"started_from": generator.names["dit"], "student": STUDENT}
    about["defaults"] = {**description["defaults"], "num_steps": 3, "guidance_scale": 1.0}
    checkpoint.save_model(run / "dit-student", student, {**description, **about}, torch.float16)
    return run


@pytest.fixture(scope="module")
def generator(folder: Path) -> Generator:
    return Generator.load(folder)


def test_the_student_samples_in_its_steps(folder: Path, generator: Generator, tmp_path: Path) -> None:
    made = generator.generate("a red ball", num_inference_steps=3, num_frames=8, height=64, width=64)
    alone = Path(shutil.copytree(folder, tmp_path / "alone"))
    shutil.rmtree(alone / "dit")
    (alone / "dit-student").rename(alone / "dit")
    other = Generator.load(alone).generate("a red ball", num_frames=8, height=64, width=64)  # with its own defaults
    np.testing.assert_array_equal(made.frames, other.frames)
    assert made.origin["model"]["student"] == other.origin["model"]["dit"] != made.origin["model"]["dit"]
    assert made.origin["guidance_scale"] == 1 and "sampled by the student of 3 steps" in "".join(made.origin["notes"])
    again = generator.generate(
        "a red ball", num_inference_steps=3, guidance_scale=1.0, num_frames=8, height=64, width=64
    )
    np.testing.assert_array_equal(made.frames, again.frames)  # as the settings in the file say


@pytest.mark.parametrize(
    "settings",
    [
        {"num_inference_steps": 4},
        {"num_inference_steps": 3, "guidance_scale": 2.0},
        {"num_inference_steps": 3, "negative_prompt": "a tree"},
        {"num_inference_steps": 3, "solver": "heun"},
        {"num_inference_steps": 3, "num_frames": 33},
        {"num_inference_steps": 3, "task": "edit", "video": np.zeros((8, 32, 48, 3), np.uint8), "strength": 0.5},
        {},
    ],
)
def test_all_else_is_left_to_the_model(folder: Path, generator: Generator, settings, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(folder, tmp_path / "alone"))
    shutil.rmtree(alone / "dit-student")
    made = generator.generate("a red ball", fps=8.0, **settings)
    assert not any("sampled by the student" in note for note in made.origin["notes"])
    assert "student" not in made.origin["model"]
    kept_away = settings.get("num_inference_steps") == 3
    assert any("the model itself goes in these 3 steps" in note for note in made.origin["notes"]) == kept_away
    np.testing.assert_array_equal(made.frames, Generator.load(alone).generate("a red ball", fps=8.0, **settings).frames)


def test_a_student_alone_says_what_it_did_not_learn(folder: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(folder, tmp_path / "alone"))
    shutil.rmtree(alone / "dit")
    (alone / "dit-student").rename(alone / "dit")
    student = Generator.load(alone)

    def notes(**settings: Any) -> str:
        asked = Request(read_prompts("a red ball"), fps=8.0, **settings)
        return "".join(note for note in student.plan(asked).notes if "is a student" in note)

    assert notes() == notes(num_steps=3, guidance_scale=1.0) == ""
    said = notes(num_steps=5, guidance_scale=2.0)
    assert "its own 3 steps" in said and "5 steps were asked for; guidance was asked for" in said
    assert "another solver" in notes(solver="heun") and "several windows" in notes(num_frames=33)
    teacher = Generator.load(folder).names["dit"]
    assert f"of 3 steps without guidance, taught by transformer {teacher}" in run_program("info", alone).stdout


def test_an_adapter_says_that_the_student_is_not_used(folder: Path, generator: Generator) -> None:
    description = checkpoint.read_description(folder / "dit")
    student = find_student(folder, description, adapted=True)
    shape = generator.defaults, generator.geometry, generator.autoencoder.config.channels
    plan = plan_for(student, Request(read_prompts("a red ball"), num_steps=3), *shape)
    assert not plan.student and "the student was not changed by the adapter, so the model itself" in plan.notes[-1]


def test_a_student_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder, tmp_path / "run"))
    reseal(run / "dit-student", started_from="0123456789abcdef")
    generator = Generator.load(run)
    generator.generate("a red ball")
    said = r"was taught by transformer 0123456789abcdef, and the model is \w+; delete the folder"
    assert re.search(said, run_program("check", run).stderr)
    assert re.search(f"not used: .*{said}", answer("info", run)["summary"]["student"])
    with pytest.raises(FileProblem, match=said):
        generator.generate("a red ball", num_inference_steps=3)


def test_a_transformer_that_is_no_student_or_of_another_clock_is_refused(folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder, tmp_path / "run"))
    flow = checkpoint.read_description(run / "dit")["flow"]
    reseal(run / "dit-student", flow={**flow, "shift": 3.0})
    with pytest.raises(FileProblem, match="differ in flow"):
        Generator.load(run)
    shutil.rmtree(run / "dit-student")
    shutil.copytree(run / "dit", run / "dit-student")
    with pytest.raises(FileProblem, match="holds a transformer that is no student"):
        Generator.load(run)


def test_near_copies_are_looked_for_in_the_clips_of_the_student_too(folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(folder, tmp_path / "run"))
    reseal(run / "dit-student", data=[{"clips": 500, "manifest": "f" * 64}])
    assert latents_of_models(transformers_of(run)) == ([], 500)
    assert model_identity(run) != model_identity(folder)


def test_info_and_check_know_it(folder: Path) -> None:
    assert "nothing is wrong" in run_program("check", folder).stdout
    assert answer("info", folder)["dit-student"]["kind"] == "model: dit"
