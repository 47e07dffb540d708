"""Encode captioned clips once and keep their latents on disk, so that training the transformer reads no pixels.

A folder holds `latents.json` (autoencoder, geometry, worlds), `index.jsonl` (a line a clip: size, slices, rate,
captions) and `latents-00000.safetensors`, ... (one half-precision tensor [s, c, h, w] a clip).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from chronotope.data.clips import Clip, find_clips
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Geometry, Slice
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.progress import Progress
from chronotope.storage import append_jsonl, atomic_file, read_json, read_jsonl, write_json

__all__ = ["LatentClip", "LatentDataset", "encode_dataset", "encode_frames", "fingerprint"]

SHARD_CLIPS = 1000  # clips in one safetensors file


def fingerprint(model: torch.nn.Module) -> str:
    """Hash the weights of a model to 16 hex digits; of an autoencoder only those that determine latents.

    The decoder is left out, so that latents, and transformers trained on them, stay valid when it is trained further.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(model, Autoencoder) and name.startswith("decoder."):
            continue
        digest.update(name.encode())
        # adding 0.0 turns -0.0 into 0.0: equal weights must have equal hashes
        digest.update((tensor.detach().cpu().float() + 0.0).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class LatentClip:
    """The index entry of an encoded clip; `slices` are lengths in frames, height and width are in pixels."""

    key: str
    shard: int
    slices: tuple[int, ...]
    height: int
    width: int
    fps: float
    captions: dict[str, list[str]]


def encode_frames(
    autoencoder: Autoencoder, geometry: Geometry, frames: np.ndarray, slices: Sequence[Slice] | None = None
) -> Float[Tensor, "s c h w"]:
    """Encode uint8 frames [t, h, w, 3] of any size; the last rows and columns are repeated to fill whole tokens.

    `slices` default to those of `geometry`.
    """
    height, width = frames.shape[1:3]
    full_height, full_width = geometry.covered_size(height, width)
    padded = np.pad(frames, ((0, 0), (0, full_height - height), (0, full_width - width), (0, 0)), mode="edge")
    return autoencoder.encode(torch.from_numpy(padded), slices or geometry.slices(len(frames)))


def encode_dataset(
    data: Path,
    out: Path,
    autoencoder: Autoencoder,
    geometry: Geometry,
    shuffled: float = 0.0,
    progress: Progress | None = None,
) -> int:
    """Encode every clip below `data` into `out`; continue a run that was interrupted. Returns the number of clips.

    In a share `shuffled` of the clips, still slices are at random places, so that a model learns them at any place.
    Raises UsageError where `out` holds latents of another autoencoder or of another share.
    """
    if not 0 <= shuffled <= 1:
        raise UsageError(f"the share of clips that are cut at random places must lie between 0 and 1, got {shuffled}")
    clips = find_clips([data])
    out.mkdir(parents=True, exist_ok=True)
    about = {
        "autoencoder": fingerprint(autoencoder),
        "stride": list(geometry.stride),
        "channels": autoencoder.config.channels,
        "shuffled": shuffled,
    }
    header = out / "latents.json"
    if header.exists():
        old = read_json(header)
        if {**old, "worlds": None} != {**about, "worlds": None}:
            other = (
                "latents of another autoencoder"
                if old["autoencoder"] != about["autoencoder"]
                else "clips that were cut otherwise"
            )
            raise UsageError(f"{out} holds {other}; give another --out or delete the folder")
    write_json(header, {**about, "worlds": find_worlds(data)})
    index = out / "index.jsonl"
    rows = read_jsonl(index) if index.exists() else []
    first = rows[-1]["shard"] + 1 if rows else 0
    for shard, start in enumerate(range(len(rows), len(clips), SHARD_CLIPS), first):
        tensors, new_rows = {}, []
        for clip in clips[start : start + SHARD_CLIPS]:
            content = video.read(clip.path)
            slices = _cut(clip, len(content.frames), geometry, shuffled)
            tensors[clip.key] = encode_frames(autoencoder, geometry, content.frames, slices).half()
            new_rows.append(_index_row(clip, content, shard, slices))
            if progress:
                progress(start + len(new_rows), len(clips))
        with atomic_file(out / f"latents-{shard:05d}.safetensors") as partial:
            save_file(tensors, partial)
        append_jsonl(index, *new_rows)
    return len(clips)


def find_worlds(data: Path) -> list[str]:
    """Name the simulators and scopes that rendered the clips below `data`, such as "stage small"."""
    files = sorted(data.rglob("dataset.json")) or [data.resolve().parent / "dataset.json"]  # of one part of a dataset
    datasets = [read_json(file) for file in files if file.is_file()]
    return sorted({f"{about['world']} {about.get('scope', '')}".strip() for about in datasets if "world" in about})


def _cut(clip: Clip, num_frames: int, geometry: Geometry, shuffled: float) -> tuple[Slice, ...]:
    """Cut a clip into slices; the random choice depends on the key of the clip only."""
    rng = np.random.default_rng(zlib.crc32(clip.key.encode()))
    return geometry.shuffled_slices(num_frames, rng) if rng.random() < shuffled else geometry.slices(num_frames)


def _index_row(clip: Clip, content: video.Video, shard: int, slices: Sequence[Slice]) -> dict[str, object]:
    return {
        "key": clip.key,
        "shard": shard,
        "slices": [piece.num_frames for piece in slices],
        "height": content.height,
        "width": content.width,
        "fps": content.fps,
        "captions": clip.captions,
    }


class LatentDataset:
    """Encoded clips of one or more latents folders; latents are read on demand."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self.clips: list[LatentClip] = []
        self._folder_of: list[Path] = []
        self.about = [self._open(folder) for folder in folders]
        if len({(about["autoencoder"], tuple(about["stride"])) for about in self.about}) != 1:
            raise UsageError(
                f"{', '.join(map(str, folders))} were encoded by different autoencoders; "
                "encode them again with one autoencoder"
            )

    def _open(self, folder: Path) -> dict[str, Any]:
        if not (folder / "latents.json").is_file():
            raise FileProblem(f"{folder} holds no latents; make them with: chronotope encode FOLDER --out {folder}")
        for row in read_jsonl(folder / "index.jsonl"):
            if "slices" not in row:
                raise FileProblem(
                    f"{folder} was encoded by an older version; delete the folder and encode the clips again"
                )
            self.clips.append(LatentClip(**{**row, "slices": tuple(row["slices"])}))
            self._folder_of.append(folder)
        about: dict[str, Any] = read_json(folder / "latents.json")
        return about

    def __len__(self) -> int:
        return len(self.clips)

    def latents(self, index: int) -> Float[Tensor, "s c h w"]:
        """Read the latents of one clip, in single precision."""
        clip = self.clips[index]
        return _shard(self._folder_of[index] / f"latents-{clip.shard:05d}.safetensors").get_tensor(clip.key).float()

    def deviation(self, clips: int = 500) -> tuple[float, ...]:
        """Measure the root mean square of each channel over at most `clips` clips, evenly spaced in the dataset."""
        if not self.clips:
            raise FileProblem(
                f"{', '.join(map(str, self.folders))} holds no clips; encode some first: "
                "chronotope encode FOLDER --out LATENTS"
            )
        squares, count = torch.zeros(()), 0
        for index in range(0, len(self), -(-len(self) // clips)):
            latents = self.latents(index)
            squares = squares + latents.double().square().sum(dim=(0, 2, 3))
            count += latents[:, 0].numel()
        return tuple(round(float(value), 4) for value in (squares / count).sqrt().clamp(min=1e-3))

    def captions(self) -> Iterator[str]:
        """Yield every caption of every clip; a story, which repeats the other levels, only where it is the only one."""
        for clip in self.clips:
            for level, texts in clip.captions.items():
                if level != "story" or len(clip.captions) == 1:
                    yield from texts


@cache
def _shard(path: Path) -> safe_open:  # type: ignore[valid-type]
    return safe_open(path, "pt")
