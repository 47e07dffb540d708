"""The clips that trained a model -> which of them a video is nearest to, and whether it is nearly a copy of it.

Every clip of a folder of latents is decoded once, and what is compared of it (`metrics.near_copies`) is kept beside the
latents, in `moments.safetensors`. A copy is told by the clips themselves: it is nearer to one of them than half of the
distance that clips of different films keep from each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from safetensors import SafetensorError
from safetensors.numpy import load, save

from chronotope.checkpoint import read_description
from chronotope.data.clips import Clip, find_clips
from chronotope.data.latents import LatentClip, clip_of, clips_of_latents, fingerprint, read_folder, read_latents
from chronotope.data.record import data_behind, find_latents, latents_of_run
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Slice
from chronotope.manifest import LeftOut, read_curation
from chronotope.media import video
from chronotope.metrics.near_copies import (
    MOMENTS,
    RATE,
    SAME,
    SIDE,
    Moments,
    Rows,
    best_alignment,
    moments_of,
    num_moments,
    part_distances,
    reduced,
)
from chronotope.models.autoencoder import Autoencoder
from chronotope.progress import Progress
from chronotope.storage import write_atomically

__all__ = [
    "Comparison",
    "Nearest",
    "TrainingClips",
    "dataset_of",
    "frames_to_decode",
    "latents_of_models",
    "read_training_clips",
]

FILE = "moments.safetensors"
SEAL = "seal"  # the name of its hash in it
SAMPLED = 100  # clips of a folder, whose distances to the others are measured
QUANTILE, SHARE = 0.05, 2 / 3  # see benchmarks/near_copies.py
FARTHEST = 30.0  # levels; the threshold of clips that are far from each other
ONE_FILM = 12.0  # ... of clips that are all of one film, of which nothing tells how far others are


@dataclass(frozen=True)
class TrainingClips:
    """The clips of a folder, as videos are compared with them.

    `films` name the file that each clip was cut from: clips of one film are alike without being copies. `starts` are
    the seconds at which a clip begins in it. `left_out` are the clips that cannot be compared.
    """

    folder: Path
    keys: tuple[str, ...]
    films: tuple[str, ...]
    starts: tuple[float, ...]
    moments: Moments
    left_out: tuple[LeftOut, ...] = ()

    def threshold(self, most: int, quantile: float = QUANTILE, share: float = SHARE) -> float:
        """Return below which distance of parts of `most` moments a video counts as a copy of a clip.

        It is a `share` of the distance that all but a `quantile` of the clips keep from those of other films.
        """
        chosen = np.arange(0, len(self.keys), math.ceil(len(self.keys) / SAMPLED))
        clips = [self.moments.clip(int(at)) for at in chosen]
        if most < MOMENTS:  # a video that is shorter than a part has no choice of parts
            clips = [rows[max(0, (len(rows) - most) // 2) :][:most] for rows in clips]
        distances = part_distances(clips, RATE, self.moments, most)
        films = np.array(self.films)
        distances[(films[chosen][:, None] == films) | (distances < SAME)] = np.inf
        nearest = distances.min(axis=1)
        nearest = nearest[np.isfinite(nearest)]
        return min(FARTHEST, share * float(np.quantile(nearest, quantile))) if len(nearest) else ONE_FILM


# Read


def read_training_clips(
    folder: Path, autoencoder: Autoencoder, progress: Progress | None = None, note: Callable[[str], None] | None = None
) -> TrainingClips:
    """Read a folder of latents, or of clips, which are decoded each time.

    `note` receives a sentence where the folder cannot keep what was decoded. Raises UsageError for latents of another
    autoencoder, FileProblem where no clip can be compared.
    """
    if not (folder / "latents.json").is_file():
        return _read_clips(folder, progress)
    about, index = read_folder(folder)
    if about["autoencoder"] != fingerprint(autoencoder):
        raise UsageError(
            f"{folder} holds latents of the autoencoder {about['autoencoder']}, and that of the model is "
            f"{fingerprint(autoencoder)}; compare with the clips themselves: --compare FOLDER"
        )
    rows = _kept(folder)
    new = 0
    left_out = []
    try:
        for number, row in enumerate(index, start=1):
            clip = clip_of(row, folder)
            if clip.sha256 in rows:
                continue
            try:
                rows[clip.sha256] = _decoded(folder, clip, autoencoder)
                new += 1
            except FileProblem as problem:
                left_out.append(LeftOut(clip.key, str(problem)))
            if progress:
                progress(number, len(index))
    finally:  # of an interruption too
        if new:
            _keep(folder, {row["sha256"]: rows[row["sha256"]] for row in index if row["sha256"] in rows}, note)
    films = _films_of_dataset(dataset_of(folder.parent.parent, folder, about))
    found = [(row["key"], *_cut_from(row, films), rows[row["sha256"]]) for row in index if row["sha256"] in rows]
    return _clips_of(folder, found, left_out)


def latents_of_models(models: Sequence[Path], named: Sequence[Path] = ()) -> tuple[list[Path], int]:
    """Return the folders of latents that trained some models, as far as they are known, and how many clips lack them.

    They are looked for among those `named` and in the folders of the runs; `models` are folders with a model.json.
    """
    behind: dict[str, dict[str, Any]] = {}
    places = [folder for folder in named if (folder / "latents.json").is_file()]
    for model in models:
        description = read_description(model)
        behind |= {about["manifest"]: about for about in data_behind(description) if "manifest" in about}
        places += latents_of_run(model, description)
    found, missing = find_latents(behind.values(), dict.fromkeys(reversed(places)))
    return found, sum(int(about["clips"]) for about in missing)


def frames_to_decode(folder: Path) -> int:
    """Return how many frames of a folder of latents have to be decoded before videos are compared with it."""
    kept = _kept(folder)
    return sum(sum(row["slices"]) for row in read_folder(folder)[1] if row["sha256"] not in kept)


def _clips_of(
    folder: Path, found: Sequence[tuple[str, str, float, Rows]], left_out: Sequence[LeftOut]
) -> TrainingClips:
    if not found:
        raise FileProblem(f"no clip of {folder} can be compared; the first: {left_out[0].reason}")
    keys, films, starts, rows = zip(*found, strict=True)
    return TrainingClips(
        folder, keys, films, starts, Moments(np.concatenate(rows), tuple(map(len, rows))), tuple(left_out)
    )


def _read_clips(folder: Path, progress: Progress | None) -> TrainingClips:
    clips, films = find_clips(folder), _films_of_dataset(folder)
    found, left_out = [], []
    for number, clip in enumerate(clips, start=1):
        try:
            found.append((clip.key, *films.get(clip.file, (clip.file, 0.0)), _streamed(clip)))
        except FileProblem as problem:
            left_out.append(LeftOut(clip.key, str(problem)))
        if progress:
            progress(number, len(clips))
    return _clips_of(folder, found, left_out)


def _streamed(clip: Clip) -> Rows:
    return np.stack([reduced(frame) for frame in video.stream(clip.path, fps=RATE)])


def _decoded(folder: Path, clip: LatentClip, autoencoder: Autoencoder) -> Rows:
    """Decode a clip and return what is compared of it."""
    latents = read_latents(folder, clip.shard, clip.key, clip.sha256).float().to(autoencoder.latent_mean.device)
    ends = np.cumsum(clip.slices).tolist()
    slices = [Slice(end - length, length) for end, length in zip(ends, clip.slices, strict=True)]
    pieces = [piece.cpu().numpy() for piece in autoencoder.stream_decode(latents, slices)]
    frames = (frame[: clip.height, : clip.width] for piece in pieces for frame in piece)
    return moments_of(np.stack([reduced(frame) for frame in frames]), clip.fps)


def _kept(folder: Path) -> dict[str, Rows]:
    """Return what is kept of clips, by the hash of their latents; nothing where the file is damaged or was edited."""
    try:
        rows = load((folder / FILE).read_bytes())
    except (OSError, SafetensorError):
        return {}
    if SEAL not in rows or not np.array_equal(rows.pop(SEAL), _seal_of(rows)):
        return {}
    width = SIDE * SIDE * 3
    return {name: each for name, each in rows.items() if each.dtype == np.uint8 and each.shape == (len(each), width)}


def _seal_of(rows: Mapping[str, Rows]) -> np.ndarray:
    """Return the SHA-256 of what is kept, and of how clips are reduced to it."""
    digest = hashlib.sha256(f"{SIDE} {RATE}".encode())
    for name, each in sorted(rows.items()):
        digest.update(f"{name} {each.dtype} {each.shape}".encode() + each.tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _keep(folder: Path, rows: dict[str, Rows], note: Callable[[str], None] | None) -> None:
    try:
        write_atomically(folder / FILE, save({**rows, SEAL: _seal_of(rows)}))
    except FileProblem as problem:
        if note:
            note(f"{problem}; the clips of {folder} are decoded again the next time")


# Films


def dataset_of(run: Path, latents: Path, header: Mapping[str, Any]) -> Path:
    """Return the folder of clips that latents were made from: that of the run, which may have moved, or another."""
    own = run / "data"
    if (own / "curation.json").is_file() and read_curation(own)[0]["merkle_root"] == header.get("curation"):
        return own
    return clips_of_latents(latents, header) or Path(str(header.get("data", "")))


def _films_of_dataset(dataset: Path) -> dict[str, tuple[str, float]]:
    """Return the film of each clip of a curated dataset, and where in it the clip begins; nothing for any other."""
    with contextlib.suppress(FileProblem):
        rows = [row for row in read_curation(dataset)[1] if row.get("clip")]
        return {row["clip"]: (row["file"], float(row.get("start") or 0)) for row in rows}
    return {}


def _cut_from(row: Mapping[str, Any], films: Mapping[str, tuple[str, float]]) -> tuple[str, float]:
    """Return the film of a row of latents, and where in it the row's part begins."""
    file = str((row.get("source") or {}).get("file", row["key"]))
    film, start = films.get(file, (file, 0.0))
    return film, start + float(row.get("start", 0))


# Compare


@dataclass(frozen=True)
class Nearest:
    """The clip that a video is nearest to.

    The parts that are nearest begin at `seconds` of the video and at `source_seconds` of the file of the clip.
    """

    clip: str
    source: str
    data: str
    distance: float
    threshold: float
    seconds: float
    source_seconds: float
    compared: int
    not_compared: int

    @property
    def is_copy(self) -> bool:
        return self.distance < self.threshold

    def described(self) -> dict[str, Any]:
        """Return what the sidecar of the video says."""
        return {**asdict(self), "nearly_a_copy": self.is_copy, "unit": "levels of 255, root mean square"}


@dataclass(frozen=True)
class Comparison:
    """Folders of clips that videos are compared with; `missing` counts the clips that are known and not at hand."""

    folders: tuple[TrainingClips, ...]
    missing: int = 0
    _thresholds: dict[tuple[int, int], float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def not_compared(self) -> int:
        """How many of the known clips are missing or cannot be compared."""
        return self.missing + sum(len(each.left_out) for each in self.folders)

    def nearest(self, rows: Rows, fps: float, new: Bool[np.ndarray, " t"]) -> Nearest | None:
        """Return the clip that is nearest to the `new` frames of a video, measured by the threshold of its folder.

        `rows` are all frames, reduced. None where none of them is new.
        """
        changes = np.flatnonzero(np.diff(new[: len(rows)])) + 1
        bounds = [0, *changes.tolist(), len(rows)]
        found = [
            self._nearest_in(number, rows[start:stop], fps, start / fps)
            for number in range(len(self.folders))
            for start, stop in itertools.pairwise(bounds)
            if new[start]
        ]
        return min(found, key=lambda one: one.distance / one.threshold, default=None)

    def _nearest_in(self, number: int, rows: Rows, fps: float, start: float) -> Nearest:
        """Return the nearest clip of one folder to a run of frames that begins at `start` seconds."""
        clips, window = self.folders[number], min(MOMENTS, num_moments(len(rows), fps))
        if (number, window) not in self._thresholds:
            self._thresholds[number, window] = clips.threshold(window)
        distances = part_distances([rows], fps, clips.moments)[0]
        at = int(distances.argmin())
        begins = best_alignment(rows, fps, clips.moments.clip(at))
        return Nearest(
            clip=clips.keys[at],
            source=clips.films[at],
            data=str(clips.folder),
            distance=round(float(distances[at]), 2),
            threshold=round(self._thresholds[number, window], 2),
            seconds=round(start + begins[0], 3),
            source_seconds=round(clips.starts[at] + begins[1], 3),
            compared=sum(len(each.keys) for each in self.folders),
            not_compared=self.not_compared,
        )
