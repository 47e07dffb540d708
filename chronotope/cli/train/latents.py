"""The latents that a training needs: folders of clips are encoded, and what is worth knowing of them is said."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.cli.terminal import SHUFFLED, progress, say
from chronotope.cli.train.resume import writing_run
from chronotope.cli.use import device, say_unsealed
from chronotope.data.audit import audit_header, changes_since_encoding
from chronotope.data.clips import check_outside
from chronotope.data.encode import NO_LIMITS, Encoded, encode_dataset
from chronotope.data.latents import LatentDataset, fingerprint, read_folder, read_header, read_index
from chronotope.data.limits import Limits
from chronotope.data.rendered import FOR_EVALUATION, find_splits, meant_for_evaluation
from chronotope.errors import FileProblem, UsageError
from chronotope.generate.pipeline import WEIGHTS, find_model, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media.generated import generated_in_words, generated_of_rows
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.precision import Precision
from chronotope.parallel import join_ranks, wait_for_all
from chronotope.train.overlap import overlaps, repeated_rows, trained_before

__all__ = [
    "Sources",
    "check_folders",
    "check_latents",
    "check_names",
    "encode_clips",
    "prepare_heldout",
    "prepare_sources",
    "say_evaluation",
    "say_of_latents",
]

FEW_CAPTIONS = 0.9  # the share of captioned clips below which training says so


def encode_clips(
    data: Path,
    out: Path,
    autoencoder: Autoencoder,
    shuffled: float,
    strict: bool = False,
    limits: Limits = NO_LIMITS,
    workers: int | None = None,
    heldout: bool = False,
    precision: Precision = "auto",
) -> Encoded:
    """Bring the latents of a folder of clips up to date, and say what was found, left out and not captioned.

    That clips are of a split for evaluation is not said of those that are meant to be `heldout`.
    """

    def note(sentence: str) -> None:
        if not (heldout and FOR_EVALUATION in sentence):
            say(f"note: {sentence}")

    geometry = Geometry(stride=autoencoder.config.stride)
    with progress(f"encoding {data.name}", "clips") as report:
        encoded = encode_dataset(
            data,
            out,
            autoencoder,
            geometry,
            shuffled,
            report,
            note,
            strict,
            limits,
            workers,
            precision,
        )
    for item in encoded.left_out:
        say(f"left out: {item.key}: {item.reason}")
    say(f"{out}: {encoded.in_words()}")
    return encoded


def say_evaluation(data: Sequence[Path]) -> None:
    """Say which folders of clips or latents are of a split that is meant for evaluation."""
    for folder in data:
        if (folder / "latents.json").is_file():
            found = [str(finding) for finding in audit_header(folder, read_header(folder))]
        else:
            found = meant_for_evaluation(folder, find_splits(folder))
        for sentence in found:
            if FOR_EVALUATION in sentence:
                say(f"note: {sentence}")


def check_latents(folders: Sequence[Path]) -> None:
    """Refuse latents whose index is damaged or not whole; folders of clips are not read."""
    for folder in folders:
        if (folder / "latents.json").is_file():
            read_folder(folder)


def say_of_latents(data: Sequence[Path], heldout: Sequence[Path] = ()) -> None:
    """Say of folders of latents what their training would, and refuse damaged ones; folders of clips are not read."""
    check_latents((*data, *heldout))
    shown, kept = ([each for each in those if (each / "latents.json").is_file()] for those in (data, heldout))
    _say_changes(shown, [read_header(folder) for folder in shown])
    for folder in kept:
        _say_changes_of(folder, read_header(folder), read_index(folder), heldout=True)


def check_once(data: Sequence[Path]) -> None:
    """Refuse a folder that is named twice: its clips would count and be shown twice, without a word."""
    counts = Counter(folder.resolve() for folder in data)
    if twice := [folder for folder in data if counts[folder.resolve()] > 1]:
        raise UsageError(f"--data names {twice[0]} more than once; name each folder once")


def check_names(data: Sequence[Path], heldout: Sequence[Path]) -> None:
    """Refuse folders whose equal names would mix them: latents lie in RUN/latents/NAME, losses under their names."""
    clips = [folder.resolve().name for folder in (*data, *heldout) if not (folder / "latents.json").is_file()]
    names = [folder.resolve().name for folder in heldout]
    for name in (*clips, *names):
        if clips.count(name) > 1 or names.count(name) > 1:
            raise UsageError(
                f"two folders of --data and --heldout are called {name}; rename one, or encode them with `chronotope "
                "encode` into folders of different names"
            )


def check_folders(data: Sequence[Path], out: Path | None) -> None:
    """Refuse, before any work, folders that are missing, named twice, or that the run folder lies in."""
    check_once(data)
    for folder in data:
        if not folder.is_dir():
            raise FileProblem(f"{folder} is no folder; give folders of clips or of latents with --data")
        if out is not None and not (folder / "latents.json").is_file():
            check_outside(out, folder)


@dataclass(frozen=True)
class Sources:
    """What a network is trained on: latents of all folders and their autoencoder; `left_out` clips cannot be read."""

    autoencoder: Autoencoder
    latents: list[Path]
    dataset: LatentDataset
    left_out: int


def prepare_sources(
    data: Sequence[Path],
    out: Path,
    autoencoder_from: str | None,
    limits: Limits = NO_LIMITS,
    before: Callable[[Path], None] = lambda _: None,
    weights: Sequence[float] | None = None,
) -> Sources:
    """Return the latents of folders of latents or clips, which are encoded with `out`/autoencoder into `out`/latents.

    Clips are encoded within the `limits`; `before` is called with each folder of clips that is encoded for the first
    time. `autoencoder_from` names the model whose autoencoder is copied into `out` where there is none.
    """
    ranks = join_ranks()
    if ranks.first:
        _provide_autoencoder(out, autoencoder_from)
    wait_for_all(ranks)
    autoencoder = load_autoencoder(out).to(device())
    if ranks.first:
        say_unsealed(out)
    latents, left_out = _latents_of(data, out, autoencoder, limits, before)
    dataset = LatentDataset(latents, weights)
    if ranks.first:
        _say_captions(dataset)
        _say_changes(latents, dataset.about)
    _check_encoder(latents[0], dataset.about[0]["autoencoder"], out, autoencoder)
    return Sources(autoencoder, latents, dataset, left_out)


def prepare_heldout(
    folders: Sequence[Path], found: Sources, out: Path, start: Path | None = None, limits: Limits = NO_LIMITS
) -> list[Path]:
    """Return the latents of clips that are not trained on; folders of clips are encoded into `out`/latents first.

    Says how many of them are trained on all the same, or were, by the weights in `start` or an earlier part of the run.
    """
    if not folders:
        return []
    latents, _ = _latents_of(folders, out, found.autoencoder, limits, lambda _: None, heldout=True)
    for folder in latents:
        header = read_header(folder)
        _check_encoder(folder, header["autoencoder"], out, found.autoencoder)
        _say_changes_of(folder, header, read_index(folder), heldout=True)
    for sentence in overlaps(latents, found.latents, *trained_before(out / "dit", start)):
        say(sentence)
    return latents


def _check_encoder(latents: Path, encoder: str, out: Path, autoencoder: Autoencoder) -> None:
    """Refuse latents of another autoencoder than that of the run."""
    if encoder != (own := fingerprint(autoencoder)):
        raise UsageError(
            f"{latents} was encoded by autoencoder {encoder}, but {out / 'autoencoder'} is {own}; encode the clips "
            f"again: chronotope encode FOLDER --model {out} --out {latents}"
        )


def _shipped_autoencoders() -> str:
    """Name the autoencoders of the package, and the frames of a slice by which a preset tells which one it needs."""
    strides = {
        folder.name: checkpoint.read_description(folder / "autoencoder")["config"]["stride"][0]
        for folder in sorted(WEIGHTS.glob("*"))
        if (folder / "autoencoder").is_dir()
    }
    return ", or ".join(
        f"--autoencoder {name} with slices of {frames} frame{'s' if frames > 1 else ''}"
        for name, frames in strides.items()
    )


def _provide_autoencoder(out: Path, source: str | None) -> None:
    """Check that the run folder has an autoencoder; copy that of `source`, if given, so that the folder is complete."""
    folder = out / "autoencoder"
    there = all((folder / name).is_file() for name in ("model.json", "model.safetensors"))
    if source is None and not there:
        raise FileProblem(
            f"{folder} holds no trained autoencoder, whose latents are needed; train it first: chronotope train "
            f"autoencoder --preset NAME --data FOLDER --out {out} (or take a shipped one: {_shipped_autoencoders()})"
        )
    if source is None:
        return
    found = find_model(source)
    found = found / "autoencoder" if (found / "autoencoder").is_dir() else found
    autoencoder = load_autoencoder(found)
    if there and fingerprint(autoencoder) != fingerprint(load_autoencoder(folder)):
        raise UsageError(f"{folder} is another autoencoder than that of {source}; give another --out")
    if not there:
        with writing_run(folder):
            checkpoint.copy_model(found, folder)
        say(f"{folder}: copied from {found}")


def _latents_of(
    data: Sequence[Path],
    out: Path,
    autoencoder: Autoencoder,
    limits: Limits,
    before: Callable[[Path], None],
    heldout: bool = False,
) -> tuple[list[Path], int]:
    """Return the folders of latents to train on, and how many clips were left out; folders of clips are encoded."""
    clips = [folder for folder in data if not (folder / "latents.json").is_file()]
    check_names(clips, ())
    for folder in data:
        if limits and folder not in clips:
            say(f"note: not used for {folder}, which holds latents: {limits}")
    encoded = {folder: _encoded(folder, out, autoencoder, limits, before, heldout) for folder in clips}
    left_out = sum(count for _, count in encoded.values())
    return [encoded[folder][0] if folder in encoded else folder for folder in data], left_out


def _encoded(
    data: Path, out: Path, autoencoder: Autoencoder, limits: Limits, before: Callable[[Path], None], heldout: bool
) -> tuple[Path, int]:
    """Encode a folder of clips; return the folder of its latents and how many clips were left out."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            f"{data} holds clips, and one process has to encode them: "
            f"chronotope encode {data} --model {out} --out LATENTS{f' {limits}' if limits else ''}"
        )
    target = out / "latents" / data.resolve().name
    say(f"{data} holds clips, not latents: they are encoded in {target} first")
    if not (target / "index.jsonl").is_file():
        before(data)
    encoded = encode_clips(data, target, autoencoder, SHUFFLED, limits=limits, heldout=heldout)
    return target, len(encoded.left_out)


def _say_captions(dataset: LatentDataset) -> None:
    """Say where a model will learn little from text, because few clips have captions."""
    captioned = sum(any(clip.captions.values()) for clip in dataset.clips)
    if captioned == 0:
        say("note: no clip has a caption, so the model learns nothing from text and ignores prompts")
    elif captioned < FEW_CAPTIONS * len(dataset):
        say(f"note: only {captioned} of {len(dataset)} clips have captions; the model learns text from these alone")


def _say_changes(latents: Sequence[Path], headers: Sequence[Mapping[str, Any]]) -> None:
    """Say where latents cannot be verified, and in a line a folder where they are not of the clips as they are now."""
    indexes = [read_index(folder) for folder in latents]
    for sentence in repeated_rows(
        (f"{folder}: {row['key']}", row) for folder, rows in zip(latents, indexes, strict=True) for row in rows
    ):
        say(sentence)
    for folder, header, rows in zip(latents, headers, indexes, strict=True):
        _say_changes_of(folder, header, rows)


def _say_changes_of(
    folder: Path, header: Mapping[str, Any], rows: Sequence[dict[str, Any]], heldout: bool = False
) -> None:
    changes = [*changes_since_encoding(folder, header, rows), *generated_in_words(folder, generated_of_rows(rows))]
    for sentence in changes:
        if not (heldout and FOR_EVALUATION in sentence):
            say(f"note: {sentence}")
