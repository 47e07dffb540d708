"""The folder of a model -> its description and its autoencoder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from chronotope import checkpoint
from chronotope.config import from_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig

__all__ = [
    "computed_with",
    "load_autoencoder",
    "model_description",
    "own_settings",
    "part_of_description",
]

T = TypeVar("T")
_DESCRIBED = {
    "autoencoder": ("config",),
    "dit": ("config", "flow", "geometry", "autoencoder", "vocabulary", "defaults"),
}


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
    with checkpoint.Uninitialised():
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


def computed_with(device: torch.device) -> str:
    """Name what the bytes of a sample depend on beside the model, the settings and the seed."""
    if device.type == "cuda":
        return f"torch {torch.__version__} on {torch.cuda.get_device_name(device)}"
    return f"torch {torch.__version__} on {device.type} {torch.backends.cpu.get_cpu_capability()}"
