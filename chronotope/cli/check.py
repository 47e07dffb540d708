"""What `chronotope check` does: a dataset, latents, a model, a run or a report -> what is wrong, and how to mend it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.caption.encoder.tokenizer import StateTokenizer
from chronotope.cli.analysis import folder_of_videos
from chronotope.cli.datasets.samples import PLAN, changes_in_samples
from chronotope.cli.language.captioners import load_captioner
from chronotope.cli.language.expanders import load_expander
from chronotope.cli.terminal import echo, progress, say, visible
from chronotope.data.audit import Finding, audit_dataset, audit_latents
from chronotope.data.clips import SUFFIXES, first_names
from chronotope.data.exports.shards import AGAIN
from chronotope.data.exports.verify import PAGE, is_shards, lost_shards, stale_descriptions
from chronotope.data.latents import fingerprint, read_header
from chronotope.data.record import noted_latents
from chronotope.errors import ChronotopeError, FileProblem
from chronotope.evaluate.judge import content_of
from chronotope.evaluate.ledger import Ledger
from chronotope.evaluate.page.html import is_page, is_page_of
from chronotope.evaluate.report import read_report
from chronotope.evaluate.unfinished import describe_evaluation, describe_export, is_export, lost_in_export
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder
from chronotope.jsonl import read_sealed_rows
from chronotope.media import video
from chronotope.models.text import TextTokenizer
from chronotope.sealed import unsealed
from chronotope.storage import PARTS, file_sha256
from chronotope.train.log import LOG, QUARANTINE, changes_in_log
from chronotope.train.same_run import settings_of_run, strange_checkpoints, strange_model

__all__ = ["check", "refuse_other_videos", "say_problems_of_report"]


def check(path: Path, as_json: bool) -> int:
    """Print all that is wrong with a folder; return the exit status, 1 if anything is."""
    kind, findings = find_problems(path)
    serious = [finding for finding in findings if finding.serious]
    if as_json:
        rows = [{"serious": finding.serious, "what": finding.what, "mend": finding.mend} for finding in findings]
        echo(json.dumps({"kind": kind, "path": str(path), "findings": rows}, indent=1))
    else:
        for finding in findings:
            say(f"{'wrong' if finding.serious else 'note'}: {finding}")
        verdict = f"{len(serious)} wrong" if serious else "nothing is wrong"
        echo(f"{visible(str(path))}: {kind}, {verdict}")
    return 1 if serious else 0


def say_problems_of_report(path: Path) -> None:
    """Say, before its numbers are used, what is wrong with a report, and that it has no seal."""
    folder, file = (path, path / "report.json") if path.is_dir() else (path.parent, path)
    for sentence in unsealed(file):
        say(f"note: {sentence}")
    if file.name != "report.json":
        return
    serious = [finding for finding in _audit_report(folder) if finding.serious]
    if serious:
        what = "1 thing is wrong" if len(serious) == 1 else f"{len(serious)} things are wrong"
        say(f"note: {what} with the report {path}, see `chronotope check {folder}`; first: {serious[0]}")


def refuse_other_videos(folder: Path, report: Mapping[str, Any], videos: Path) -> None:
    """Raise FileProblem where the videos of a report in the folder `videos` are not those that were judged."""
    about, files = report["about"], [case["file"] for case in report["cases"]]
    problems: list[str] = []
    if "content" in about:  # made elsewhere; the ledger of a sealed kit is that of its run
        if content_of(videos, files) != about["content"]:
            problems = [f"the videos in {videos} are not those that were judged"]
    elif "ledger" in about:
        ledger = Ledger(folder / "ledger.jsonl", about["ledger"])
        problems = [finding.what for finding in _audit_videos(ledger, videos) if finding.serious]
    if problems:
        raise FileProblem(f"{problems[0]}; restore the folder, or evaluate again (`chronotope check {folder}`)")


def find_problems(path: Path) -> tuple[str, list[Finding]]:
    """Return the kind of a folder and all that is wrong with it."""
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        folder = find_model(path)  # the name of a model inside the package, or the error that says what is missing
    with progress(f"checking {folder.name}", "clips") as report:
        if (folder / "latents.json").is_file() or any(folder.glob("latents-*.safetensors")):
            return "latents", list(audit_latents(folder, report))
        if (folder / "report.json").is_file():
            return "report", list(_audit_report(folder))
        if (folder / "ledger.jsonl").is_file():
            kind = "run of a sealed kit" if (folder / "reveal.json").is_file() else "evaluation without a report yet"
            return kind, list(_audit_ledger(folder))
        if is_export(folder):
            return "export for another benchmark", list(_audit_export(folder))
        if is_shards(folder):
            return "shards of a dataset", [
                Finding(f"{name} is missing or changed, or is of another export", AGAIN) for name in lost_shards(folder)
            ]
        if any((folder / name).is_dir() for name in PARTS):
            return "run", list(_audit_run(folder))
        if any((folder / name).exists() for name in ("model.json", "config.toml", "checkpoints")):
            return "model", list(_audit_part(folder))
        return "dataset", [*audit_dataset(folder, report), *_audit_descriptions(folder)]


def _audit_descriptions(folder: Path) -> Iterator[Finding]:
    """Say which descriptions in a dataset are not of it as it is now."""
    for name, wrong in stale_descriptions(folder).items():
        command = "inspect" if name == PAGE else "export"
        yield Finding(f"{folder / name} {wrong}", f"run `chronotope {command}` again", False)


def _audit_report(folder: Path) -> Iterator[Finding]:
    """Check a report, its ledger and the videos that the ledger names."""
    try:
        report = read_report(folder)
        yield from (Finding(note, serious=False) for note in unsealed(folder / "report.json"))
        if "ledger" not in report["about"] or "content" in report["about"]:
            yield from _audit_submitted(folder, report)
            return
        ledger = Ledger(folder / "ledger.jsonl", report["about"]["ledger"])
        ledger.check_whole()
        videos = folder_of_videos(report, folder)
    except ChronotopeError as problem:
        yield Finding(str(problem))
        return
    yield from _audit_videos(ledger, videos)
    yield from _audit_page(folder / "index.html", report)


def _audit_submitted(folder: Path, report: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare the videos of others with those that were judged, where they still are where they were."""
    about = report["about"]
    files = [case["file"] for case in report["cases"] if Path(case["file"]).name == case["file"]]
    videos = folder / str(about.get("folder", "videos"))
    if "content" not in about or "\0" in str(videos) or not videos.is_dir():
        yield Finding(
            f"the videos of {folder} are not at hand, so nothing tells whether they were changed", serious=False
        )
    elif content_of(videos, files) != about["content"]:
        yield Finding(f"the videos in {videos} are not those that were judged", "evaluate them again")
    yield from _audit_page(folder / "index.html", report)


def _audit_page(page: Path, report: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that the page of a report is there, and is one that this program wrote."""
    if not page.is_file():
        yield Finding(
            f"{page} is missing", "run the `chronotope evaluate` command again, which keeps the videos", False
        )
    elif not is_page(page):
        yield Finding(f"{page} was not written by this program, so it is not the page of this report", "move it away")
    elif not is_page_of(page, report):
        yield Finding(
            f"{page} is the page of another report, or older than this one",
            "run the `chronotope evaluate` command again, which keeps the videos",
        )


def _audit_ledger(folder: Path) -> Iterator[Finding]:
    """Check an evaluation without its report: it was interrupted, or the report was lost."""
    try:
        found = describe_evaluation(folder)
    except ChronotopeError as problem:
        yield Finding(f"{folder / 'report.json'} is missing, and its ledger is damaged: {problem}")
        return
    if "compare_with_kit" in found:
        told = f"whether {folder} fits its kit, `{found['compare_with_kit']}` tells"
        yield Finding(told, "give it the hashes that were published, with --expect", False)
    else:
        yield Finding(
            f"{folder / 'report.json'} is missing, and so are {found['missing']} of {found['planned']} planned videos",
            f"the same command goes on: {found['go_on']}",
        )
    yield from _audit_videos(Ledger(folder / "ledger.jsonl"), folder / ("outputs" if "kit" in found else "videos"))


def _audit_videos(ledger: Ledger, videos: Path) -> Iterator[Finding]:
    """Compare the videos of an evaluation with the ledger, and the files beside them with the videos."""
    again = "restore the folder from a copy, or run the `chronotope evaluate` command with another --out"
    for row in ledger.of("done").values():
        path = videos / row["file"]
        try:
            if file_sha256(path) != row["sha256"]:
                yield Finding(f"{path} is not the video that the ledger names", again)
            elif video.has_other_sidecar(path):
                yield Finding(f"{video.sidecar(path)} tells of another video than {path}", again)
        except FileProblem as problem:
            yield Finding(str(problem), again)
    named = {row["file"] for row in ledger.of("done").values()}
    others = sorted(
        path.name for path in videos.glob("*") if path.suffix.lower() in SUFFIXES and path.name not in named
    )
    if others:
        yield Finding(f"{videos} holds files of no case: {first_names(others)}", "move them away", False)


def _audit_export(folder: Path) -> Iterator[Finding]:
    """Check the videos that an export lists; which others it lacks, its prompts tell."""
    go_on = str(describe_export(folder)["go_on"])
    for file in lost_in_export(folder):
        yield Finding(f"{folder / file} is missing, or is not as it was made", f"run {go_on}")
    yield Finding(f"whether {folder} holds every video of its benchmark, its prompts tell", f"run {go_on}", False)


def _audit_run(folder: Path) -> Iterator[Finding]:
    """Check the parts of a run on their own, then whether they fit together and to the latents."""
    parts = [folder / name for name in PARTS if (folder / name).is_dir()]
    found = [finding for part in parts for finding in _audit_part(part)]
    yield from found
    adapter = _is_adapter(folder / "dit")
    if folder / "autoencoder" not in parts and (folder / "dit" / "model.json").is_file() and not adapter:
        yield Finding(f"{folder} holds no autoencoder, without which its transformer makes nothing", "copy it there")
    finished = all((part / "model.json").is_file() for part in parts)
    whole = finished and not any(finding.serious for finding in found)
    if whole and {folder / "autoencoder", folder / "dit"} <= set(parts) and not adapter:
        try:
            generator = Generator.load(folder)
            if generator.student is not None:
                generator.student.check(generator.names["dit"])
            yield from _audit_text_encoder(generator.tokenizer)
        except ChronotopeError as problem:
            yield Finding(str(problem))
    for name, load in (("captioner", load_captioner), ("expander", load_expander)):
        if whole and folder / name in parts:
            try:
                load(folder)
            except ChronotopeError as problem:
                yield Finding(str(problem))
    yield from _audit_encodings(folder)
    yield from _audit_samples(folder)
    yield from _audit_rates(folder / "rates.json")
    for latents in noted_latents(folder / "dit"):
        if not (latents / "latents.json").is_file():
            what = (
                f"{latents}, on which {folder / 'dit'} was trained, is gone: training cannot go on with the same data"
            )
            yield Finding(what, "restore the folder from a copy", not (folder / "dit" / "model.json").is_file())
    for latents in sorted(folder.glob("latents/*/latents.json")):
        yield from audit_latents(latents.parent)


def _audit_rates(file: Path) -> Iterator[Finding]:
    """Say where the rates that the page of the service would show are not of the model beside them."""
    from chronotope.serve.studio.model import rates_of

    if file.is_file() and not rates_of(file.parent):
        yield Finding(f"{file} is of other weights, or was edited, so its rates are not shown", "take it from a copy")


def _audit_samples(folder: Path) -> Iterator[Finding]:
    """Compare the samples on the page of a taught model with those that were recorded."""
    if not (folder / PLAN).is_file():
        return
    try:
        yield from changes_in_samples(folder)
        yield from (Finding(sentence, serious=False) for sentence in unsealed(folder / PLAN))
    except (ChronotopeError, OSError) as problem:
        yield Finding(f"the samples cannot be compared with their record: {problem}")


def _audit_text_encoder(tokenizer: TextTokenizer) -> Iterator[Finding]:
    """Check that the frozen text encoder of a model is at hand, and the states of captions that its run stored."""
    if not isinstance(tokenizer, StateTokenizer):
        return
    try:
        tokenizer.encoder()
    except ChronotopeError as problem:
        yield Finding(str(problem))
    if tokenizer.store is not None:
        yield from map(Finding, tokenizer.store.problems())


def _is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter, which makes something only with its base."""
    with contextlib.suppress(ChronotopeError):  # said of each file on its own
        return checkpoint.read_description(folder).get("kind") == "adapter"
    return False


def _audit_encodings(folder: Path) -> Iterator[Finding]:
    """Compare the autoencoder of a run with that of its latents and of its transformer's checkpoints."""
    with contextlib.suppress(ChronotopeError):  # said of each file on its own
        present = fingerprint(load_autoencoder(folder))
        for path in sorted(folder.glob("latents/*/latents.json")):
            if (found := read_header(path.parent)["autoencoder"]) != present:
                what = f"{path.parent} was encoded by autoencoder {found}, and {folder / 'autoencoder'} is {present}"
                yield Finding(what, f"delete {path.parent}; training encodes the clips again")
        for saved in (*checkpoint.checkpoints(folder / "dit"), *checkpoint.checkpoints(folder / "captioner")):
            if (found := checkpoint.read_description(saved).get("autoencoder")) != present:
                what = f"{saved} was trained on autoencoder {found}, and {folder / 'autoencoder'} is {present}"
                yield Finding(what, "restore the autoencoder, or train again with another --out")


def _audit_part(folder: Path) -> Iterator[Finding]:
    """Check the weights, the checkpoints, the settings and the log of one model."""
    again = "run the `chronotope train` command again"
    if (folder / "model.json").is_file():
        yield from _audit_weights(folder)
    elif not (folder / "checkpoints").is_dir():
        yield Finding(f"{folder} holds neither a model nor a checkpoint", again)
    elif _reached_its_end(folder):
        yield Finding(f"{folder} holds no model, and its training has reached the last step: the model is gone", again)
    else:
        yield Finding(f"{folder} has not finished training", again, serious=False)
    if strange := strange_model(folder):
        yield Finding(strange, "restore the files of one run")
    for sentence in strange_checkpoints(folder):
        yield Finding(sentence, "delete the files that were copied here from another run, or restore those of this one")
    for saved in checkpoint.checkpoints(folder):
        try:
            for name in checkpoint.states_of(checkpoint.verify_checkpoint(saved)):
                checkpoint.load_tensors(saved / name)
            yield from (Finding(note, serious=False) for note in unsealed(saved / "state.json"))
        except FileProblem as problem:
            what = str(problem).partition(f"; {checkpoint.MEND}")[0]
            yield Finding(what, f"delete {saved}; training goes on from an older checkpoint: {again}")
    yield from _audit_logs(folder)


def _audit_logs(folder: Path) -> Iterator[Finding]:
    """Check the lines of a training's log, and of its skipped steps, by their seals."""
    notes, mend = list[str](), "restore the file, or delete it: only curves are lost, but training refuses it"
    for log in (folder / LOG, folder / QUARANTINE):
        try:
            if log.is_file() and not read_sealed_rows(log, notes.append).sealed:
                notes.append(f"{log} has lines without a seal, so nothing tells whether they were changed")
        except FileProblem as problem:
            yield Finding(str(problem), mend)
    with contextlib.suppress(FileProblem):  # said above, or of each checkpoint
        if latest := checkpoint.latest_checkpoint(folder):
            for sentence in changes_in_log(folder, checkpoint.read_counters(latest)):
                yield Finding(sentence, "restore the file from a copy")
    yield from (Finding(sentence, serious=False) for sentence in notes)


def _reached_its_end(folder: Path) -> bool:
    """Return whether the newest checkpoint of a training is that of its last step."""
    with contextlib.suppress(ChronotopeError):  # said of each file on its own
        latest, settings = checkpoint.latest_checkpoint(folder), settings_of_run(folder) or {}
        return latest is not None and int(latest.name) >= settings.get("train.steps", math.inf)
    return False


def _audit_weights(folder: Path) -> Iterator[Finding]:
    try:
        checkpoint.verify_model(folder)
        yield from (Finding(note, serious=False) for note in unsealed(folder / "model.json"))
    except ChronotopeError as problem:
        yield Finding(str(problem))
