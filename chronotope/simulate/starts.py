"""Pictures from which sessions begin: those in the folder `starts` of a model, which its training leaves there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from chronotope.errors import FileProblem
from chronotope.geometry import Picture

__all__ = ["FOLDER", "start_picture"]

FOLDER = "starts"


def start_picture(model: Path | None, number: int) -> Picture | None:
    """Return one of the stored pictures of a model, chosen by a number; None where it has none."""
    files = sorted((model / FOLDER).glob("*.png")) if model else []
    if not files:
        return None
    file = files[number % len(files)]
    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError as problem:
        raise FileProblem(f"{file} is no readable picture ({problem}); delete it or replace it") from problem
