"""Add an analysis to a finished report: the attribution of failures to layers, or distances to training clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chronotope.cli.terminal import progress
from chronotope.errors import FileProblem
from chronotope.evaluate.attribution import attribution, check_comparable, in_words, named
from chronotope.evaluate.memorisation import NamedFrames, gather_all, memorisation, signatures_of
from chronotope.evaluate.page.html import write_page
from chronotope.evaluate.report import read_report, write_report

__all__ = ["attribute", "in_words", "measure_memorisation", "memorisation_in_words"]


def attribute(model: Path, autoencoder: Path, truth: Path, switched: Sequence[Path]) -> dict[str, Any]:
    """Compare the reports of the layers; add the result to the first report if that is a folder."""
    first, decoded, true, *others = (read_report(path) for path in (model, autoencoder, truth, *switched))
    check_comparable(first, decoded, true, others)
    found = attribution(first, decoded, true, named(first, others))
    _add(model, "layers", found)
    return found


def measure_memorisation(videos: Path, data: Sequence[str], baseline: Sequence[str]) -> dict[str, Any]:
    """Measure a folder of videos; add the result to its report if it has one."""
    has_report = (videos / "report.json").is_file()
    folder = _videos_of(read_report(videos), videos) if has_report else videos
    found = memorisation(
        signatures_of(gather_all([str(folder)])),
        signatures_of(_with_progress(gather_all(data), "training clips")),
        signatures_of(_with_progress(gather_all(baseline), "held-out clips")),
    )
    if has_report:
        _add(videos, "memorisation", found)
    return found


def _videos_of(report: dict[str, Any], folder: Path) -> Path:
    """The folder of a report's videos; FileProblem if it is not there."""
    found = folder / report["about"].get("folder", "videos")
    if not found.is_dir():
        raise FileProblem(
            f"the videos of {folder}/report.json should lie in {found}, which is no folder; "
            "put them there, or evaluate again"
        )
    return found


def _with_progress(clips: Iterable[NamedFrames], what: str) -> Iterator[NamedFrames]:
    """The clips, while their number so far is shown."""
    with progress(f"reading {what}", "clips") as report:
        for number, clip in enumerate(clips, start=1):
            yield clip
            report(number, number)


def _add(folder: Path, name: str, found: dict[str, Any]) -> None:
    """Add a section to report.json and write the page again."""
    if folder.is_dir():
        report = {**read_report(folder), name: found}
        write_report(report, folder)
        write_page(report, folder / report["about"].get("folder", "videos"), folder / "index.html")


def memorisation_in_words(found: dict[str, Any]) -> str:
    """Write the share of near videos and the nearest ones for the terminal."""
    below, copies = found["below"], found["copies"]["right"]
    low, high = below["interval"]
    lines = [
        f"{below['right']} of {below['of']} videos ({below['share']:.1%} [{low:.1%}, {high:.1%}]) are nearer to a "
        f"training clip than {found['threshold']:.1f} levels; 1 % of held-out clips are",
        f"{copies} are nearer than half of that distance, as copies are",
        f"median distance to the nearest of {found['training_clips']} training clips: {found['distances'][50]:.1f}; "
        f"of {found['baseline_clips']} held-out clips: {found['baseline'][50]:.1f}",
    ]
    lines += [f"  {row['distance']:5.1f}  {row['video']}  {row['clip']}" for row in found["nearest"][:5]]
    return "\n".join(lines)
