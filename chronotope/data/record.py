"""Latents -> a record of what a model was trained on: words, sizes, lengths, frame rates, worlds.

Training writes it into `model.json` as `trained_on`. It describes the weights and decides nothing: no hash counts it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.config import from_dict
from chronotope.data.clips import Clip
from chronotope.data.latents import LatentClip, LatentDataset, read_header
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Geometry
from chronotope.storage import file_sha256, read_json, write_json

__all__ = [
    "TrainingRecord",
    "changes_in_data",
    "changes_in_heldout",
    "content_of_row",
    "data_and_before",
    "data_and_repetitions",
    "data_before",
    "data_behind",
    "data_of_clips",
    "data_of_latents",
    "find_latents",
    "frames_shown",
    "latents_of_run",
    "merged_data",
    "more_than_once",
    "note_latents",
    "noted_latents",
    "read_record",
    "record_of",
    "repeated_clips",
    "resumed_data",
    "roots_of",
    "words_of",
]

_WORD = re.compile(r"[^\W_]+")


SHOWN = "shown.json"  # in the folder of a training: where its latents lie


@dataclass(frozen=True)
class TrainingRecord:
    """What one or more training runs showed a model; every tuple is sorted.

    `words` are all words of all captions, in lower case, without numbers. `num_frames` are the fewest and the most
    frames of a video as the model saw it, None if it saw only pictures. `worlds` name the simulators and scopes that
    rendered clips; `others` tells whether a dataset held clips that none of them rendered, and `generated_by` names the
    weights of models that generated clips.
    """

    words: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]  # width, height
    pictures: bool
    num_frames: tuple[int, int] | None
    fps: tuple[float, ...]
    worlds: tuple[str, ...] = ()
    others: bool = False
    generated_by: tuple[str, ...] = ()

    def __or__(self, other: TrainingRecord) -> TrainingRecord:
        lengths = [length for record in (self, other) if record.num_frames for length in record.num_frames]
        return TrainingRecord(
            _sorted(self.words + other.words),
            _sorted(self.sizes + other.sizes),
            self.pictures or other.pictures,
            (min(lengths), max(lengths)) if lengths else None,
            _sorted(self.fps + other.fps),
            _sorted(self.worlds + other.worlds),
            self.others or other.others,
            _sorted(self.generated_by + other.generated_by),
        )

    @property
    def only_worlds(self) -> bool:
        """Whether simulators rendered every clip."""
        return bool(self.worlds) and not self.others

    def knows_length(self, num_frames: int, fps: float) -> bool:
        """Tell whether a picture, or a video of this length and rate, lies within what was shown."""
        if num_frames == 1:
            return self.pictures
        return (
            self.num_frames is not None and self.num_frames[0] <= num_frames <= self.num_frames[1] and fps in self.fps
        )

    def unknown_words(self, text: str) -> list[str]:
        """Return the words of a text that no caption had, each once."""
        known = set(self.words)
        return [word for word in words_of(text) if word not in known]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, each once; numbers are no words."""
    return list(dict.fromkeys(word for word in _WORD.findall(text.lower()) if word.isalpha()))


def record_of(dataset: LatentDataset, geometry: Geometry, max_sample_tokens: int) -> TrainingRecord:
    """Describe the clips of a dataset as training shows them: cut to at most `max_sample_tokens` tokens."""
    words = {
        word for clip in dataset.clips for texts in clip.captions.values() for text in texts for word in words_of(text)
    }
    videos = [clip for clip in dataset.clips if len(clip.slices) > 1 or clip.slices[0] > 1]
    lengths = [frames_shown(clip, geometry, max_sample_tokens) for clip in videos]
    return TrainingRecord(
        _sorted(words),
        _sorted((clip.width, clip.height) for clip in dataset.clips),
        len(videos) < len(dataset.clips),
        (min(lengths), max(lengths)) if lengths else None,
        _sorted(clip.fps for clip in videos),
        _sorted(world for about in dataset.about for world in about.get("worlds", ())),
        not all(about.get("worlds") for about in dataset.about),
        _sorted(weights for about in dataset.about for weights in about.get("generated_by", ())),
    )


def data_of_latents(dataset: LatentDataset) -> list[dict[str, Any]]:
    """Name the training data of a transformer: clips, manifest hash and weight, if any, of each folder of latents.

    Those of a curated dataset name its Merkle root, too.
    """
    fields = ("clips", "manifest", "curation")
    named: list[dict[str, Any]] = [{name: about[name] for name in fields if name in about} for about in dataset.about]
    if dataset.weights:
        return [{**about, "weight": weight} for about, weight in zip(named, dataset.weights, strict=True)]
    return named


def data_behind(description: Mapping[str, Any], weights: str | None = None) -> list[dict[str, Any]]:
    """Name all data that trained the weights of a `model.json`, those of its last training first, each once.

    Weights of which nobody recorded the data, such as those of older versions, are named as {"weights": FINGERPRINT};
    `weights` is the fingerprint of the model itself.
    """
    own = description.get("data")
    if not isinstance(own, list):
        return [{"weights": weights}]
    return _each_once([*own, *data_before(description)])


def data_before(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name the data that trained the weights which the last training of a `model.json` began with."""
    before = description.get("data_before")
    if isinstance(before, list):
        return list(before)
    start = description.get("started_from")  # of a version that did not record what lies behind it
    return [{"weights": start}] if start else []


def resumed_data(description: Mapping[str, Any], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Name the data that a checkpoint has seen, without those of the training as it goes on `now`."""
    known = {_identity(about) for about in now}
    return [about for about in data_behind(description) if _identity(about) not in known]


def data_and_before(
    run: Path, now: Sequence[Mapping[str, Any]], start: Path | None = None, weights: str | None = None
) -> dict[str, Any]:
    """Return the fields `data` and `data_before` of a model whose training in `run` goes on, or begins, with `now`.

    `start` is the folder of the model that it begins with, of the fingerprint `weights`.
    """
    before: list[dict[str, Any]] = []
    if latest := checkpoint.latest_checkpoint(run):
        before = resumed_data(checkpoint.read_description(latest), now)
    elif start:
        before = data_behind(checkpoint.read_description(start), weights)
    return {"data": list(now), "data_before": before}


def merged_data(descriptions: Sequence[tuple[Mapping[str, Any], str]]) -> dict[str, Any]:
    """Return the fields `data` and `data_before` of weights merged of several models with their fingerprints."""
    own = [about for description, _ in descriptions for about in description.get("data") or ()]
    all_of_them = [about for description, weights in descriptions for about in data_behind(description, weights)]
    own = _each_once(own)
    return {"data": own, "data_before": _each_once([*own, *all_of_them])[len(own) :]}


def roots_of(data: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the Merkle roots of the curated datasets among training data, as the origin of a video names them."""
    roots = dict.fromkeys(str(about["curation"]) for about in data if "curation" in about)
    return {"curation": " ".join(roots)} if roots else {}


def find_latents(data: Iterable[Mapping[str, Any]], folders: Iterable[Path]) -> tuple[list[Path], list[dict[str, Any]]]:
    """Return the folders of latents that are the training data, and the data that are none of them.

    Raises FileProblem for a folder that holds no complete latents.
    """
    by_manifest = {str(read_header(folder).get("manifest")): folder for folder in folders}
    found, missing = [], []
    for about in data:
        folder = by_manifest.get(str(about.get("manifest")))
        if folder is None:
            missing.append(dict(about))
        else:
            found.append(folder)
    return found, missing


def note_latents(run: Path, latents: Sequence[Path]) -> None:
    """Write into the folder of a training where its latents lie, beside those of its earlier parts.

    Paths are relative to it, and no part of the weights: `model.json`, which is handed on, names contents alone.
    """
    places = [os.path.relpath(folder, run) for folder in latents]
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / SHOWN, {"latents": list(dict.fromkeys([*_noted(run), *places]))})


def noted_latents(run: Path) -> list[Path]:
    """Return the folders where the latents of a training lay, by what `note_latents` wrote; they may be gone."""
    return [Path(os.path.normpath(run / place)) for place in _noted(run)]


def _noted(run: Path) -> list[str]:
    with contextlib.suppress(FileProblem, TypeError, KeyError):
        return [str(place) for place in read_json(run / SHOWN)["latents"]]
    return []


def latents_of_run(run: Path, description: Mapping[str, Any]) -> list[Path]:
    """Return the folders of complete latents that a run names, and those in its folder; of its base and of adapters
    merged into it, too.

    `run` is the folder of a run, or its `dit` folder.
    """
    named = [description.get("base_name"), *(one.get("adapter") for one in description.get("merged") or ())]
    runs = [run, run.parent, *(Path(str(name)) for name in named if name)]
    found: dict[Path, None] = {}
    noted = [place for one in runs for part in (one, one / "dit") for place in noted_latents(part)]
    within = [path.parent for one in runs for path in sorted((one / "latents").glob("*/latents.json"))]
    for folder in dict.fromkeys([*within, *noted]):
        with contextlib.suppress(FileProblem):
            read_header(folder)
            found[folder] = None
    return list(found)


def _each_once(data: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for about in data:
        found.setdefault(_identity(about), dict(about))
    return list(found.values())


def _identity(about: Mapping[str, Any]) -> str:
    return str(about.get("manifest") or about.get("listing") or about.get("weights"))


def data_of_clips(datasets: Sequence[Sequence[Clip]]) -> list[dict[str, Any]]:
    """Name the training data of an autoencoder: the clips of each folder, by a hash of their paths and contents."""
    return [_named_by_content(zip(clips, map(_content_hash, clips), strict=True)) for clips in datasets]


def data_and_repetitions(datasets: Sequence[Sequence[Clip]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return `data_of_clips` and what `repeated_clips` says of them, after reading each clip once."""
    contents = [[(clip, _content_hash(clip)) for clip in clips] for clips in datasets]
    named = ((str(clip.path), content) for clips in contents for clip, content in clips)
    return [_named_by_content(clips) for clips in contents], repeated_clips(named)


def _named_by_content(clips: Iterable[tuple[Clip, str | None]]) -> dict[str, Any]:
    listing = [[clip.file, content] for clip, content in clips]
    return {"clips": len(listing), "listing": hashlib.sha256(json.dumps(listing).encode()).hexdigest()}


def repeated_clips(contents: Iterable[tuple[str, str | None]]) -> list[str]:
    """Say in a sentence how many clips are in the data more than once; `contents` are names and hashes of files."""
    places: dict[str, list[str]] = {}
    for name, content in contents:
        if content:
            places.setdefault(content, []).append(name)
    repeated = [names for names in places.values() if len(names) > 1]
    return more_than_once(len(repeated), *repeated[0][:2]) if repeated else []


def more_than_once(count: int, first: str, second: str) -> list[str]:
    """Say in a sentence that `count` clips are in the data more than once, the one as `first` and as `second`."""
    clips = "1 clip is" if count == 1 else f"{count} clips are"
    return [f"note: {clips} in the data more than once, such as {first} and {second}; they are shown as often"]


def content_of_row(row: Mapping[str, Any]) -> str | None:
    """Return the hash of the file of a row of latents, and where its part begins: parts of a clip are other content."""
    sha256 = (row.get("source") or {}).get("sha256")
    return f"{sha256} {row.get('start', 0)}" if sha256 else None


def _content_hash(clip: Clip) -> str | None:
    """Return the hash of a clip's file; None where it cannot be read, so that training leaves it out."""
    try:
        return file_sha256(clip.path)
    except FileProblem:
        return None


def changes_in_data(run: Path, now: Sequence[Mapping[str, Any]], finished: bool = False) -> list[str]:
    """Say in a sentence where the training data differ from those of the newest checkpoint, or the `finished` model."""
    source = run if finished else checkpoint.latest_checkpoint(run)
    before = checkpoint.read_description(source).get("data") if source else None
    if not isinstance(before, list) or list(before) == list(now):
        return []
    then, new = (" and ".join(_named(about) for about in data if isinstance(about, Mapping)) for data in (before, now))
    if finished:
        return [f"note: {run} was trained on {then}, and not on the data named now, {new}"]
    return [
        f"note: the training data have changed since the last checkpoint (then {then}, now {new}); "
        "the rest of the training uses the new data"
    ]


def changes_in_heldout(run: Path, now: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in a sentence where the held-out clips differ from those of the newest checkpoint."""
    latest = checkpoint.latest_checkpoint(run)
    before = checkpoint.read_description(latest).get("heldout") if latest else None
    if not isinstance(before, list) or before == list(now):  # earlier versions named none
        return []
    then, new = (" and ".join(map(_named, data)) or "none" for data in (before, now))
    return [
        f"note: the held-out clips have changed since the last checkpoint (then {then}, now {new}); their losses "
        "in the log are of other clips from now on, and cannot be compared"
    ]


def _named(about: Mapping[str, Any]) -> str:
    """Name one folder of training data in a few words: data of as many clips may still be others."""
    weight = f" of weight {about['weight']:g}" if "weight" in about else ""
    return f"{about.get('clips')} clips (sha256 {str(about.get('manifest', about.get('listing')))[:8]}){weight}"


def read_record(description: Mapping[str, Any]) -> TrainingRecord | None:
    """Read the record of a `model.json`; None if the model was trained by a version that wrote none."""
    if description.get("trained_on") is None:
        return None
    try:
        return from_dict(TrainingRecord, description["trained_on"])
    except UsageError as problem:
        raise FileProblem(f"trained_on in model.json does not fit this version of the program: {problem}") from problem


def frames_shown(clip: LatentClip, geometry: Geometry, max_sample_tokens: int) -> int:
    """Return the most frames of a clip that one training sample holds."""
    rows, columns = geometry.token_grid(clip.height, clip.width)
    shown = max(1, max_sample_tokens // (rows * columns))
    starts = range(max(1, len(clip.slices) - shown + 1))
    return max(sum(clip.slices[start : start + shown]) for start in starts)


def _sorted(values: Any) -> tuple[Any, ...]:
    return tuple(sorted(set(values)))
