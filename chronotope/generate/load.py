"""A name -> the folder of a model; a folder -> its description and its autoencoder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from chronotope import checkpoint
from chronotope.arguments import described
from chronotope.config import from_dict
from chronotope.errors import FileProblem, UsageError, nearest
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.storage import PARTS

__all__ = [
    "PICKLES",
    "WEIGHTS",
    "find_model",
    "load_autoencoder",
    "model_description",
    "own_settings",
    "part_of_description",
]

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
PICKLES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}  # never opened: loading one runs the code in it

T = TypeVar("T")
_DESCRIBED = {
    "autoencoder": ("config",),
    "dit": ("config", "flow", "geometry", "autoencoder", "vocabulary", "defaults"),
}


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


@contextlib.contextmanager
def own_settings(device: str = "cpu") -> Iterator[None]:
    """Compute in single precision, on the CPU unless a device is named, whatever the caller's defaults in torch say.

    They are as they were afterwards.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with contextlib.ExitStack() as stack:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
            if torch.get_default_device().type != "cpu":  # else it would only cost time
                stack.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)


@own_settings()
def load_autoencoder(folder: Path) -> Autoencoder:
    """Load the autoencoder in `folder` or in its subfolder `autoencoder`."""
    folder = folder / "autoencoder" if (folder / "autoencoder").is_dir() else folder
    description = model_description(folder, "autoencoder")
    model = Autoencoder(part_of_description(folder, description, "config", AutoencoderConfig))
    checkpoint.load_model(folder, model)
    return model.eval().requires_grad_(False)


def model_description(folder: Path, kind: str) -> dict[str, Any]:
    """Return the `model.json` of a model of this kind, "autoencoder" or "dit"; an incomplete one is refused."""
    if not (folder / "model.json").is_file():
        raise FileProblem(
            f"{folder} holds no trained model (no model.json); "
            f"see: chronotope train {kind} --help; or bash runs/tiny.sh"
        )
    description = checkpoint.read_description(folder)
    if not isinstance(description, dict) or description.get("kind") != kind:
        found = description.get("kind") if isinstance(description, dict) else None
        if found == "adapter":
            base, run = description.get("base_name"), folder.parent
            raise FileProblem(f"{folder} holds an adapter, not a whole model; give --model {base} --adapter {run}")
        raise FileProblem(f"{folder} holds a model of kind '{found}', expected '{kind}'")
    missing = [name for name in _DESCRIBED[kind] if name not in description]
    if not missing and kind == "dit" and "deviation" not in description["flow"]:
        missing = ["flow.deviation (it was trained by an older version)"]
    if missing:
        raise FileProblem(f"{folder / 'model.json'} lacks {', '.join(missing)}; copy it again or train it again")
    return description


def part_of_description(folder: Path, description: Mapping[str, Any], name: str, cls: type[T]) -> T:
    """Read one table of a description as the dataclass that it was written from."""
    try:
        return from_dict(cls, description[name])
    except UsageError as problem:
        raise FileProblem(f"{folder / 'model.json'} does not fit this version of the program: {problem}") from problem
