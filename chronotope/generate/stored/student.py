"""A student of few steps (`train/student`): when it samples in its teacher's place, and what it lacks on its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from chronotope import checkpoint
from chronotope.errors import FileProblem
from chronotope.flow.student import StudentConfig
from chronotope.generate.plan import Plan, make_plan
from chronotope.generate.stored.load import model_description, part_of_description
from chronotope.geometry import Geometry
from chronotope.models.dit import DiT, DiTConfig
from chronotope.request import Defaults, Request
from chronotope.storage import STUDENT

__all__ = ["Student", "find_student", "plan_for"]


@dataclass(frozen=True)
class Student:
    """The transformer in `folder`, which samples in `steps` steps without guidance and is loaded when it is used.

    It lies "beside" its teacher; or it is the "model" itself; or it is "unused", since adapters change its teacher.
    """

    folder: Path
    steps: int
    teacher: str
    description: Mapping[str, Any]
    role: Literal["beside", "model", "unused"] = "beside"

    @property
    def note(self) -> str:
        """What is said of a video that the student samples."""
        return f"sampled by the student of {self.steps} steps; another number of --steps is the model's own"

    def unsuited(self, request: Request, plan: Plan) -> str:
        """Return why a plan in the student's number of steps is not for the student; the empty text where it is.

        It knows the noise levels of its own steps alone, and has guidance in its weights.
        """
        if self.role == "unused":
            return "the student was not changed by the adapter"
        if request.guidance_scale not in (None, 1.0):
            return "guidance was asked for"
        if request.negative_prompt:
            return "a negative prompt needs guidance"
        if request.draft or request.solver != "euler":
            return "a draft or another solver was asked for"
        if len(plan.windows) != 1:
            return "the video is made in several windows"
        level = plan.canvas.level[~plan.canvas.fixed.reshape(plan.canvas.level.shape)]
        return "" if bool((level == 1).all()) else "an edit begins between the student's noise levels"

    def lacking(self, request: Request, plan: Plan) -> list[str]:
        """Return a note on what a plan asks of this student, which is the model itself, that it did not learn."""
        num_steps = plan.sampling.num_steps
        asked = [f"{num_steps} steps were asked for"] if num_steps != self.steps else []
        asked += [reason] if (reason := self.unsuited(request, plan)) else []
        if not asked:
            return []
        return [
            f"this model is a student: it learned the noise levels of its own {self.steps} steps alone, with guidance "
            f"in its weights, and {'; '.join(asked)}: expect worse videos, or use its teacher, {self.teacher}"
        ]

    def check(self, teacher: str) -> None:
        """Raise FileProblem unless the transformer `teacher`, beside which this student lies, taught it."""
        if self.role != "model" and teacher != self.teacher:
            raise FileProblem(
                f"{self.folder} was taught by transformer {self.teacher}, and the model is {teacher}; delete the "
                "folder, or train a student of this model: chronotope train dit --from MODEL --set student.steps=8 "
                "noise_levels.forcing=0"
            )

    def load(self, teacher: str, device: torch.device) -> DiT:
        """Return the student; see `check`."""
        self.check(teacher)
        model = DiT(part_of_description(self.folder, self.description, "config", DiTConfig))
        checkpoint.load_model(self.folder, model)
        return model.eval().requires_grad_(False).to(device)


def find_student(folder: Path, model: Mapping[str, Any], adapted: bool = False) -> Student | None:
    """Return the student in `folder`/dit-student, or the model itself where it is one, or None.

    `model` is the description of the transformer, `adapted` whether adapters change it. Raises FileProblem for a
    student that does not fit the transformer.
    """
    part = folder / STUDENT
    if not (part / "model.json").is_file():
        return _student(folder / "dit", model, "model") if "student" in model else None
    about = model_description(part, "dit")
    if "student" not in about:
        raise FileProblem(f"{part} holds a transformer that is no student; delete the folder, or move it")
    for name in ("flow", "geometry", "vocabulary", "autoencoder"):
        if about[name] != model[name]:
            raise FileProblem(f"{part} and {folder / 'dit'} differ in {name}; delete the student, or train it again")
    return _student(part, about, "unused" if adapted else "beside")


def _student(part: Path, about: Mapping[str, Any], role: Literal["beside", "model", "unused"]) -> Student:
    steps = part_of_description(part, about, "student", StudentConfig).steps
    return Student(part, steps, str(about.get("started_from")), about, role)


def plan_for(student: Student | None, request: Request, defaults: Defaults, geometry: Geometry, channels: int) -> Plan:
    """Return the plan of a request, see `make_plan`, with the student of a model as its sampler where that suits."""
    plan = make_plan(request, defaults, geometry, channels)
    if student is not None and student.role == "model":
        return replace(plan, notes=(*plan.notes, *student.lacking(request, plan)))
    if student is None or request.num_steps != student.steps:
        return plan
    if reason := student.unsuited(request, plan):
        note = f"{reason}, so the model itself goes in these {request.num_steps} steps and not its student"
        return replace(plan, notes=(*plan.notes, note))
    plan = make_plan(replace(request, guidance_scale=1.0), defaults, geometry, channels)
    return replace(plan, student=True, notes=(*plan.notes, student.note))
