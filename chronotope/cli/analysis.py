"""Add an analysis to a finished report: the attribution of failures to layers, or distances to training clips."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chronotope.cli.evaluate import refuse_strangers_in, save_report, say_selection
from chronotope.cli.left_out import refuse_twice, scan_and_compare, scan_and_say
from chronotope.cli.terminal import progress, say, visible
from chronotope.data.clips import find_clips
from chronotope.errors import FileProblem, UsageError
from chronotope.evaluate.attribution import attribution, check_comparable, named
from chronotope.evaluate.memorisation import NamedFrames, gather_all, memorisation, signatures_of
from chronotope.evaluate.report import read_report
from chronotope.media import video
from chronotope.sealed import unsealed
from chronotope.storage import locked
from chronotope.worlds.taxonomy import FAILURES

__all__ = ["attribute", "attribution_text", "folder_of_videos", "measure_memorisation", "memorisation_text"]


def attribute(
    model: Path, autoencoder: Path, truth: Path, switched: Sequence[Path], videos: Path | None = None
) -> dict[str, Any]:
    """Compare the reports of the layers; add the result to the first report, given as its folder or its report.json.

    `videos` is the folder of the videos of that report, where it does not lie below the report.
    """
    model = model.parent if model.name == "report.json" and model.is_file() else model
    if not model.is_dir():
        raise UsageError(f"{model} is no folder of a report, so the result cannot be added to it; give its folder")
    first, decoded, true, *others = (read_report(path) for path in (model, autoencoder, truth, *switched))
    refuse_strangers_in(model)
    check_comparable(first, decoded, true, others)
    found = attribution(first, decoded, true, named(first, others))
    _add(model, "layers", found, videos)
    return found


def measure_memorisation(
    folder: Path,
    data: Sequence[str],
    baseline: Sequence[str],
    videos: Path | None,
    refuse_others: Callable[[Path, Mapping[str, Any], Path], None],
) -> dict[str, Any]:
    """Measure a folder of videos, or that of a report, to which the result is added.

    `videos` is the folder of the videos of a report, where it does not lie below the report; of a report, the videos
    that it judged are measured and no others, after `refuse_others` has compared them with it.
    """
    has_report = (folder / "report.json").is_file()
    if videos is not None and not has_report:
        raise UsageError(f"--folder says where the videos of a report lie, and {folder} holds no report; leave it out")
    for option, sources in (("--data", data), ("--baseline", baseline)):
        refuse_twice(option, sources)
    measured = folder
    if has_report:
        report = read_report(folder)
        say_selection(folder)
        for sentence in unsealed(folder / "report.json"):
            say(f"note: {sentence}")
        refuse_strangers_in(folder)
        measured = videos or folder_of_videos(report, folder)
        if not measured.is_dir():
            raise FileProblem(
                f"the videos of {folder}/report.json should lie in {measured}, which is no folder; "
                "put them there, or evaluate again"
            )
        refuse_others(folder, report, measured)
    scan_and_say(measured)
    for source in dict.fromkeys(map(Path, (*data, *baseline))):
        if source.is_dir() and source != measured:  # others are scopes of worlds
            scan_and_compare(source)
    judged = {case["file"] for case in report["cases"]} if has_report else None
    found = memorisation(
        signatures_of(gather_all([str(measured)]) if judged is None else _judged(measured, judged)),
        signatures_of(_with_progress(gather_all(data), "training clips")),
        signatures_of(_with_progress(gather_all(baseline), "held-out clips")),
        lambda sentence: say(f"note: {sentence}"),
    )
    if has_report:
        _add(folder, "memorisation", found, videos)
    say("note: whether the model was trained on --data is not checked; a copy of a clip that is not there is not found")
    return found


def _judged(folder: Path, files: Collection[str]) -> Iterator[NamedFrames]:
    """Yield those videos of a folder that were judged."""
    yield from ((clip.key, video.read(clip.path).frames) for clip in find_clips(folder) if clip.file in files)


def folder_of_videos(report: Mapping[str, Any], folder: Path) -> Path:
    """The folder of a report's videos; FileProblem where it lies outside of the folder of the report.

    A report can come from anybody, and its page would carry whatever lies there.
    """
    named_folder = report["about"].get("folder", "videos")
    found = folder / named_folder
    if "\0" in named_folder or not found.resolve().is_relative_to(folder.resolve()):
        raise FileProblem(
            f"{folder}/report.json names the folder {named_folder} for its videos, outside of its own; "
            "if these are its videos, name the folder with --folder"
        )
    return found


def _with_progress(clips: Iterable[NamedFrames], what: str) -> Iterator[NamedFrames]:
    """The clips, while their number so far is shown."""
    with progress(f"reading {what}", "clips") as report:
        for number, clip in enumerate(clips, start=1):
            yield clip
            report(number, number)


def _add(folder: Path, name: str, found: dict[str, Any], videos: Path | None) -> None:
    """Add a section to report.json and write the page again."""
    with locked(folder):
        report = {**read_report(folder), name: found}
        sealed = not unsealed(folder / "report.json")  # one that may have been edited gets no seal of ours
        if videos is None:
            try:
                videos = folder_of_videos(report, folder)
            except FileProblem as problem:
                say(f"note: the page shows no videos: {problem}")
                videos = folder
        save_report(report, videos, folder, sealed)


# Text


def attribution_text(layers: Mapping[str, Any]) -> str:
    """Write the table of an attribution for the terminal, a line for each class."""
    return "\n".join(_attribution_lines(layers))


def _attribution_lines(layers: Mapping[str, Any]) -> Iterator[str]:
    failed = layers["failed"]
    yield (
        f"of {layers['cases']} cases fail: model {failed['model']}, autoencoder {failed['autoencoder']}, "
        f"truth {failed['truth']}"
    )
    yield f"decoder artefacts (DEC-ART) in {layers['decoder_artefacts']['right']}"
    yield "class    videos  transformer  decoder  checks"
    for code, row in layers["classes"].items():
        counts = f"{row['videos']:6} {row['transformer']:12} {row['decoder']:8} {row['checks']:7}"
        yield f"{code}  {counts}  {FAILURES[code].name}"
    for other in layers["switched"]:
        yield (
            f"{visible(other['name'])}: success {other['success']['share']:.1%}; cured {other['only_second']}, "
            f"broken {other['only_first']}, p {other['p_value']:.2g}"
        )
        for code, row in other["classes"].items():
            if row["model"] != row["switched"]:
                yield f"  {code}  {row['model']} -> {row['switched']}  {FAILURES[code].name}"


def memorisation_text(found: dict[str, Any]) -> str:
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
    lines += [
        f"  {row['distance']:5.1f}  {visible(row['video'])}  {visible(row['clip'])}" for row in found["nearest"][:5]
    ]
    return "\n".join(lines)
