"""The name of a model, or a path -> the folder with its parts. It loads no network."""

from __future__ import annotations

import os
from pathlib import Path

from chronotope.arguments import described
from chronotope.checkpoint import weights_hash
from chronotope.errors import FileProblem, UsageError, nearest
from chronotope.media.generated import weights_in_words
from chronotope.storage import PARTS, STUDENT

__all__ = ["PICKLES", "WEIGHTS", "find_model", "transformers_of", "weights_of"]

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
PICKLES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}  # never opened: loading one runs the code in it


def find_model(name: str | Path) -> Path:
    """Return the folder of a model: a path, or the name of a model inside the package.

    A folder of that name comes first where it holds parts of a model, so that a folder of clips called `small` does not
    hide the shipped model. Raises `UsageError` for a file, `FileProblem` if there is no such model.
    """
    if not isinstance(name, str | os.PathLike) or not os.fspath(name):
        raise UsageError(f"a model is named by a folder, or by its name in the package, got {described(name)}")
    folder = Path(name)
    try:
        is_file, is_folder = folder.is_file(), folder.is_dir()
    except OSError as problem:  # a name that is too long, a folder that may not be searched
        raise FileProblem(f"there is no model {described(str(name))} ({problem.strerror})") from None
    if is_file:
        kind = (
            "a pickle, which is never loaded, since that runs the code in it" if folder.suffix in PICKLES else "a file"
        )
        raise UsageError(f"{folder} is {kind}, not a model; give the folder of a run, with autoencoder/ and dit/ in it")
    shipped = len(folder.parts) == 1 and (WEIGHTS / folder).is_dir()
    if is_folder and not (shipped and not any((folder / part).is_dir() for part in PARTS)):
        return folder
    if shipped:
        return WEIGHTS / folder
    inside = sorted(path.name for path in WEIGHTS.glob("*") if path.is_dir())
    missing = (
        f"there is no model {described(str(name))}: neither a folder nor a model inside the package "
        f"({', '.join(inside) or 'none yet'})"
    )
    if near := nearest(str(name), inside):
        raise FileProblem(f"{missing}. Did you mean '{near}'?")
    raise FileProblem(f"{missing}; train one with `bash runs/tiny.sh`, then name its folder, out/tiny")


def transformers_of(folder: Path) -> list[Path]:
    """Return the folders of the transformers that sample for a model: its own, and that of its student."""
    student = folder / STUDENT
    return [folder / "dit", *([student] if (student / "model.json").is_file() else [])]


def weights_of(folder: Path) -> str:
    """Return which weights a model has, as reports name them: `autoencoder 8657a625c5833a4c, dit 0bcb1cfe15ed5480`."""
    return weights_in_words(
        {part.name: weights_hash(part) for part in (folder / "autoencoder", *transformers_of(folder))}
    )
