"""Captioned clips encoded once: latents of every slice on disk, so that the transformer never sees a pixel.

A folder holds `latents.json` (autoencoder, geometry, worlds), `index.jsonl` (a line a clip: size, slices, rate,
captions) and `latents-00000.safetensors`, ... (one half-precision tensor [s, c, h, w] a clip).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
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

from chronotope import checkpoint
from chronotope.data.clips import Clip, find_clips
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Geometry, Slice
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder

__all__ = ["LatentClip", "LatentDataset", "encode_dataset", "encode_frames", "fingerprint"]

SHARD_CLIPS = 1000


def fingerprint(model: torch.nn.Module) -> str:
    """Sixteen hex digits that name these weights; of an autoencoder, those that decide its latents.

    So a decoder that learns on does not make latents, or a transformer trained on them, stale.
    """
    digest = hashlib.sha256()
    decoder = "decoder." if isinstance(model, Autoencoder) else "(nothing)"
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(decoder):
            continue
        digest.update(name.encode())
        # + 0.0: minus zero equals zero, and must be named alike
        digest.update((tensor.detach().cpu().float() + 0.0).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class LatentClip:
    """What is known of an encoded clip without reading its latents; `slices` in frames, height and width in pixels."""

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
    """Latents of a video of any size: frames are extended to whole tokens by repeating their last rows and columns."""
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
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Encode every clip below `data` into `out`; run again to continue. Returns the number of clips.

    A share `shuffled` of them is cut into slices at random places, so that what learns from them knows stills anywhere.
    """
    if not 0 <= shuffled <= 1:
        raise UsageError(f"the share of clips that are cut at random places lies between 0 and 1, got {shuffled}")
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
        old = checkpoint.load_json(header)
        if {**old, "worlds": None} != {**about, "worlds": None}:
            other = (
                "latents of another autoencoder"
                if old["autoencoder"] != about["autoencoder"]
                else "clips that were cut otherwise"
            )
            raise UsageError(f"{out} holds {other}; give another --out or delete the folder")
    checkpoint.save_json({**about, "worlds": find_worlds(data)}, header)
    index = out / "index.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()] if index.exists() else []
    first = rows[-1]["shard"] + 1 if rows else 0
    for shard, start in enumerate(range(len(rows), len(clips), SHARD_CLIPS), first):
        tensors, lines = {}, []
        for clip in clips[start : start + SHARD_CLIPS]:
            content = video.read(clip.path)
            slices = _cut(clip, len(content.frames), geometry, shuffled)
            tensors[clip.key] = encode_frames(autoencoder, geometry, content.frames, slices).half()
            lines.append(json.dumps(_index_row(clip, content, shard, slices)))
            if progress:
                progress(start + len(lines), len(clips))
        beside = out / "shard.part"
        save_file(tensors, beside)
        beside.replace(out / f"latents-{shard:05d}.safetensors")
        with index.open("a") as file:
            file.write("".join(line + "\n" for line in lines))
    return len(clips)


def find_worlds(data: Path) -> list[str]:
    """Name the simulators and scopes that rendered the clips below `data`, such as "stage small"."""
    files = sorted(data.rglob("dataset.json")) or [data.resolve().parent / "dataset.json"]  # of one part of a dataset
    datasets = [checkpoint.load_json(file) for file in files if file.is_file()]
    return sorted({f"{about['world']} {about.get('scope', '')}".strip() for about in datasets if "world" in about})


def _cut(clip: Clip, num_frames: int, geometry: Geometry, shuffled: float) -> tuple[Slice, ...]:
    """How a clip is cut; a matter of its name alone."""
    rng = np.random.default_rng(zlib.crc32(clip.key.encode()))
    return geometry.shuffled_slices(num_frames, rng) if rng.random() < shuffled else geometry.slices(num_frames)


def _index_row(clip: Clip, content: video.Video, shard: int, slices: Sequence[Slice]) -> dict[str, object]:
    height, width = content.frames.shape[1:3]
    captions = {level: list(texts) for level, texts in clip.captions.items()}
    return {
        "key": clip.key,
        "shard": shard,
        "slices": [piece.num_frames for piece in slices],
        "height": height,
        "width": width,
        "fps": content.fps,
        "captions": captions,
    }


class LatentDataset:
    """Encoded clips of one or more folders, read on demand."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self.clips: list[LatentClip] = []
        self._folder_of: list[Path] = []
        self.about = [self._open(folder) for folder in folders]
        if len({(about["autoencoder"], tuple(about["stride"])) for about in self.about}) != 1:
            raise UsageError(
                f"{', '.join(map(str, folders))} were encoded by different autoencoders; encode them again with one"
            )

    def _open(self, folder: Path) -> dict[str, Any]:
        if not (folder / "latents.json").is_file():
            raise FileProblem(f"{folder} holds no latents; make them with: chronotope encode FOLDER --out {folder}")
        for line in (folder / "index.jsonl").read_text().splitlines():
            row = json.loads(line)
            if "slices" not in row:
                raise FileProblem(
                    f"{folder} was encoded by an older version; delete the folder and encode the clips again"
                )
            self.clips.append(LatentClip(**{**row, "slices": tuple(row["slices"])}))
            self._folder_of.append(folder)
        about: dict[str, Any] = checkpoint.load_json(folder / "latents.json")
        return about

    def __len__(self) -> int:
        return len(self.clips)

    def latents(self, index: int) -> Float[Tensor, "s c h w"]:
        """The latents of one clip, single precision."""
        clip = self.clips[index]
        return _shard(self._folder_of[index] / f"latents-{clip.shard:05d}.safetensors").get_tensor(clip.key).float()

    def deviation(self, clips: int = 500) -> tuple[float, ...]:
        """Root mean square of each channel, over clips spread evenly over the dataset."""
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
        """Every caption of every clip; stories say in beats what the other levels say at once."""
        for clip in self.clips:
            for level, texts in clip.captions.items():
                yield from texts if level != "story" or len(clip.captions) == 1 else ()


@cache
def _shard(path: Path) -> safe_open:  # type: ignore[valid-type]
    return safe_open(path, "pt")
