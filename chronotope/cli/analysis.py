"""What is added to a report once it is there: which layer is at fault, and how near its videos are to training clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chronotope.cli.terminal import progress
from chronotope.errors import FileProblem
from chronotope.evaluate.attribution import attribution, check_comparable, in_words, named
from chronotope.evaluate.memorisation import Named, memorisation, signed, sources
from chronotope.evaluate.page.html import write_page
from chronotope.evaluate.report import read_report, write_report

__all__ = ["attribute", "in_words", "measure_memorisation", "memorisation_in_words"]


def attribute(model: Path, autoencoder: Path, truth: Path, switched: Sequence[Path]) -> dict[str, Any]:
    """Compare the layers' reports, and keep the table in the first, if that is a folder."""
    first, back, true, *further = (read_report(path) for path in (model, autoencoder, truth, *switched))
    check_comparable(first, back, true, further)
    found = attribution(first, back, true, named(first, further))
    _add(model, "layers", found)
    return found


def measure_memorisation(videos: Path, data: Sequence[str], baseline: Sequence[str]) -> dict[str, Any]:
    """Measure a folder of videos, and keep the result in its report, if it has one."""
    of_report = (videos / "report.json").is_file()
    ours = signed(sources([str(_videos_of(read_report(videos), videos) if of_report else videos)]))
    training, usual = (
        signed(_told(sources(names), what)) for names, what in ((data, "training clips"), (baseline, "held-out clips"))
    )
    found = memorisation(ours, training, usual)
    if of_report:
        _add(videos, "memorisation", found)
    return found


def _videos_of(report: dict[str, Any], folder: Path) -> Path:
    """Where the videos of a report in this folder lie."""
    found = folder / report["about"].get("folder", "videos")
    if not found.is_dir():
        raise FileProblem(
            f"the videos of {folder}/report.json should lie in {found}, which is no folder; put them there, or evaluate again"
        )
    return found


def _told(clips: Iterable[Named], what: str) -> Iterator[Named]:
    """The clips, with a word on how many there were so far."""
    with progress(f"looking at {what}", "clips") as report:
        for number, clip in enumerate(clips, start=1):
            yield clip
            report(number, number)


def _add(folder: Path, name: str, found: dict[str, Any]) -> None:
    """A section more in report.json, and the page again."""
    if folder.is_dir():
        report = {**read_report(folder), name: found}
        write_report(report, folder)
        write_page(report, folder / report["about"].get("folder", "videos"), folder / "index.html")


def memorisation_in_words(found: dict[str, Any]) -> str:
    """The share of suspicious videos, and the nearest ones."""
    below, usual, ours = found["below"], found["baseline"][50], found["distances"][50]
    low, high = below["interval"]
    lines = [
        f"{below['right']} of {below['of']} videos ({below['share']:.1%} [{low:.1%}, {high:.1%}]) are nearer to a training clip than "
        f"{found['threshold']:.1f} levels; of held-out clips 1 % are",
        f"{found['copies']['right']} are nearer than half of that, where copies lie",
        f"median distance to the nearest of {found['training_clips']} training clips: {ours:.1f}, of {found['baseline_clips']} "
        f"held-out clips {usual:.1f}",
    ]
    lines += [f"  {row['distance']:5.1f}  {row['video']}  {row['clip']}" for row in found["nearest"][:5]]
    return "\n".join(lines)
