"""Which layout a folder of captioned videos has, and what it names."""

from __future__ import annotations

from pathlib import Path

from chronotope.data.layouts.pairs import unpaired_list
from chronotope.data.layouts.reading import Layout, Reading
from chronotope.data.layouts.settings import FINETRAINERS, KOHYA, PLAIN
from chronotope.errors import UsageError

__all__ = ["LAYOUTS", "read_layout"]

LAYOUTS: tuple[Layout, ...] = (KOHYA, FINETRAINERS, *PLAIN)  # the first that fits is read


def read_layout(folder: Path, name: str | None = None, follow: bool = False) -> tuple[Layout, Reading]:
    """Read all rows of a folder in the layout of this name, or in the first that fits.

    `follow` allows paths that lead out of the folder. Raises UsageError where no layout fits.
    """
    if folder.is_file():
        raise UsageError(f"{folder} is a file; give the folder that it lies in")
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    if (folder / "curation.json").is_file() and not (folder / "shards.json").is_file():
        raise UsageError(
            f"{folder} is a dataset that `chronotope curate` made: encode it and train on it as it is, or hand it on "
            "with `chronotope export`"
        )
    reading = Reading(folder, follow)
    matching = [(layout, found) for layout in LAYOUTS if (found := layout.find(reading, folder))]
    chosen = [(layout, found) for layout, found in matching if name in (None, layout.name)]
    if not chosen:
        raise UsageError(_no_layout(reading, folder, name, [layout.name for layout, _ in matching]))
    layout, found = chosen[0]
    if others := [other.name for other, _ in matching if other is not layout]:
        options = " or ".join(f"--layout {other}" for other in others)
        reading.note(str(folder), f"it is read as {layout.name}, and {options} would fit, too")
    layout.read(reading, folder, found)
    reading.finish()
    return layout, reading


def _no_layout(reading: Reading, folder: Path, name: str | None, matching: list[str]) -> str:
    if name is not None:
        needs = next((layout.needs for layout in LAYOUTS if layout.name == name), "")
        also = f"; it has the layout {', '.join(matching)}" if matching else ""
        return f"{folder} has not the layout {name} ({needs}){also}"
    if texts := unpaired_list(reading, folder):
        return (
            f"{folder} holds {texts} and no videos.txt, so nothing says which line belongs to which clip; write "
            "videos.txt with the path of a clip in each line"
        )
    known = "; ".join(f"{layout.name}: {layout.needs}" for layout in LAYOUTS)
    return f"{folder} holds no captions in a known layout ({known})"
