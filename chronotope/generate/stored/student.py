"""A student of few steps beside the transformer that taught it (`train/student`): when it samples in its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from chronotope import checkpoint
from chronotope.errors import FileProblem
from chronotope.flow.student import StudentConfig
from chronotope.generate.plan import Plan
from chronotope.generate.stored.load import model_description, part_of_description
from chronotope.models.dit import DiT, DiTConfig
from chronotope.request import Request

__all__ = ["Student", "find_student"]


@dataclass(frozen=True)
class Student:
    """The transformer in `folder`, which samples in `steps` steps without guidance and is loaded when it is used."""

    folder: Path
    steps: int
    teacher: str

    @property
    def note(self) -> str:
        """What is said of a video that the student samples."""
        return f"sampled by the student of {self.steps} steps; another number of --steps is the model's own"

    def suits(self, request: Request, plan: Plan) -> bool:
        """Whether the student samples a plan: in its own steps, guidance left to it, from noise alone.

        It knows only the noise levels of its steps, so an edit, which begins at another level, is the model's own.
        """
        asked = request.num_steps == self.steps and request.guidance_scale in (None, 1.0) and not request.draft
        plain = request.solver == "euler" and not request.negative_prompt
        level = plan.canvas.level[~plan.canvas.fixed.reshape(plan.canvas.level.shape)]
        return asked and plain and bool((level == 1).all())

    def load(self, teacher: str, device: torch.device) -> DiT:
        """Return the student; raise FileProblem unless the transformer with the fingerprint `teacher` taught it."""
        if teacher != self.teacher:
            raise FileProblem(
                f"{self.folder} was taught by transformer {self.teacher}, and the model is {teacher}; delete the "
                "folder, or train a student of this model: chronotope train dit --from MODEL --set student.steps=4"
            )
        description = model_description(self.folder, "dit")
        model = DiT(part_of_description(self.folder, description, "config", DiTConfig))
        checkpoint.load_model(self.folder, model)
        return model.eval().requires_grad_(False).to(device)


def find_student(folder: Path) -> Student | None:
    """Return the student in `folder`/student, or None."""
    part = folder / "student"
    if not part.is_dir():
        return None
    description = model_description(part, "dit")
    config = part_of_description(part, description, "student", StudentConfig)
    return Student(part, config.steps, str(description.get("started_from")))
