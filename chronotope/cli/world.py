"""What `chronotope world` does: render the clips of a dataset."""

from __future__ import annotations

from pathlib import Path

from chronotope.cli.terminal import progress
from chronotope.errors import FileProblem
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.splits import split_rng
from chronotope.worlds.write import DatasetRequest, write_dataset

__all__ = ["render_dataset"]


def render_dataset(out: Path, workers: int, request: DatasetRequest) -> int:
    """Render a dataset, or the rest of it; return how many clips the folder holds."""
    split_rng(0, request.split)  # refuses an unknown split
    world = find_world(request.world)
    world.scope(request.scope)
    if why := world.unavailable():
        raise FileProblem(why)
    with progress("rendering", "clips") as report:
        return write_dataset(out, request, report, workers)
