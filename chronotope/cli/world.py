"""What `chronotope world` does: render the clips of a dataset."""

from __future__ import annotations

from pathlib import Path

from chronotope.cli.terminal import progress
from chronotope.data.clips import SUFFIXES
from chronotope.errors import FileProblem, UsageError
from chronotope.storage import read_json
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.splits import split_rng
from chronotope.worlds.write import DatasetRequest, write_dataset

__all__ = ["render_dataset"]


def render_dataset(out: Path, workers: int, request: DatasetRequest) -> None:
    """Render a dataset, or the rest of it; a folder that holds another one is refused."""
    split_rng(0, request.split)  # refuses an unknown split
    world = find_world(request.world)
    world.scope(request.scope)
    if why := world.unavailable():
        raise FileProblem(why)
    _check_folder(out, request)
    with progress("rendering", "clips") as report:
        write_dataset(out, request, report, workers)


def _check_folder(out: Path, request: DatasetRequest) -> None:
    """Raise UsageError where the folder holds another dataset, or files of somebody else."""
    about = out / "dataset.json"
    if about.is_file():
        found, wanted = read_json(about), request.described()
        names = ("world", "scope", "split", "seed", "size", "dissolves", "pictures")
        different = [f"{name} {found[name]}" for name in names if name in found and found[name] != wanted.get(name)]
        different += [f"no {name}" for name in names if name in wanted and name not in found and name != "scope"]
        if different:
            raise UsageError(f"{out} already holds a dataset of {', '.join(different)}; give another --out")
    elif out.is_dir() and any(path.suffix in SUFFIXES for path in out.iterdir()):
        raise UsageError(f"{out} already holds other videos or pictures; give another --out")
