"""Latents on disk -> a dataset for training the transformer, which reads no pixels.

A folder holds `latents.json` (autoencoder, geometry, worlds, hash of the index), `index.jsonl` (a sealed line a clip:
source, size, slices, rate, captions, hash of its latents) and `latents-00000.safetensors`, ... (one half-precision
tensor [s, c, h, w] a clip). `data/encode.py` writes it. Every tensor is compared with its hash when it is read.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import os
import weakref
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from chronotope.actions import ActionSchema
from chronotope.config import from_dict
from chronotope.errors import FileProblem, UsageError
from chronotope.geometry import Geometry, Slice
from chronotope.manifest import manifest_hash, stream_manifest
from chronotope.models.autoencoder import Autoencoder
from chronotope.sealed import read_sealed
from chronotope.storage import write_atomically

__all__ = [
    "ClipActions",
    "LatentClip",
    "LatentDataset",
    "clips_of_latents",
    "encode_frames",
    "encode_in_passes",
    "fingerprint",
    "keys_of_shard",
    "latents_hash",
    "next_shard",
    "read_folder",
    "read_header",
    "read_index",
    "read_latents",
    "shard_path",
    "usable_rows",
    "write_shard",
]


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
class ClipActions:
    """The actions of a clip as its index entry holds them, see `chronotope.actions.Actions`."""

    values: list[list[int | float]]
    known: list[bool]


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
    sha256: str
    actions: ClipActions | None = None


def encode_frames(
    autoencoder: Autoencoder, geometry: Geometry, frames: np.ndarray, slices: Sequence[Slice] | None = None
) -> Float[Tensor, "s c h w"]:
    """Encode uint8 frames [t, h, w, 3] of any size; the last rows and columns are repeated to fill whole tokens.

    `slices` default to those of `geometry`. Several go through the network in one pass, which takes less time: on a CPU
    where frames are large enough that each has the same bits as alone, on other devices always, see `encode_in_passes`.
    """
    height, width = frames.shape[1:3]
    full_height, full_width = geometry.covered_size(height, width)
    if (full_height, full_width) != (height, width):
        frames = np.pad(frames, ((0, 0), (0, full_height - height), (0, full_width - width), (0, 0)), mode="edge")
    pixels = torch.from_numpy(np.require(frames, requirements=["C", "W"]))
    pieces = [pixels[piece.start : piece.stop] for piece in slices or geometry.slices(len(frames))]
    area, on_cpu = full_height * full_width, autoencoder.latent_mean.device.type == "cpu"
    if on_cpu:
        together = PASS_PIXELS // area if area >= LEAST_PIXELS else 1
    else:
        together = min(DEVICE_PASS_SLICES, DEVICE_PASS_PIXELS // area)
    return encode_in_passes(autoencoder, pieces, max(1, together), filled=not on_cpu)


def encode_in_passes(
    autoencoder: Autoencoder, pieces: Sequence[Tensor], together: int, filled: bool
) -> Float[Tensor, "s c h w"]:
    """Encode slices of one size, uint8 [t, h, w, 3], `together` in a pass.

    Where passes are `filled`, the last one repeats its last slice, so all passes of a size have one shape and the
    library chooses the same kernels for all: a slice has the same latents whatever stands beside it and follows.
    """
    passes = [list(pieces[first : first + together]) for first in range(0, len(pieces), together)]
    if filled:
        passes[-1] += [passes[-1][-1]] * (together - len(passes[-1]))
    return torch.cat([autoencoder.encode_slices(each) for each in passes])[: len(pieces)]


# pixels of one frame each, of the slices of a pass; and the least of a frame, below which oneDNN chooses other kernels
PASS_PIXELS, LEAST_PIXELS = 50_000, 6_144
# the same of a pass on another device, and its slices: filling up short clips costs up to the difference
DEVICE_PASS_PIXELS, DEVICE_PASS_SLICES = 2**21, 8


def latents_hash(latents: Tensor) -> str:
    """Return the SHA-256 of a tensor's type, shape and values, in hex."""
    return _hash(f"{latents.dtype} {list(latents.shape)}", latents.contiguous().view(torch.uint8).numpy())


def _hash(about: str, values: np.ndarray) -> str:
    digest = hashlib.sha256(about.encode())
    digest.update(values.data)
    return digest.hexdigest()


def shard_path(folder: Path, number: int) -> Path:
    """Return the file that holds the latents of a shard."""
    return folder / _shard_name(number)


def _shard_name(number: int) -> str:
    return f"latents-{number:05d}.safetensors"


@lru_cache(maxsize=256)  # each holds an open file
def _open_shard(path: str, inode: int) -> safe_open:  # type: ignore[valid-type]
    del inode  # a file that was replaced is opened again
    return safe_open(path, "np")


def read_latents(folder: Path, shard: int, key: str, sha256: str) -> Float[Tensor, "s c h w"]:
    """Read the latents of a clip; raise FileProblem unless they are whole and have the hash of the index."""
    path = f"{folder}/{_shard_name(shard)}"
    try:
        latents: np.ndarray = _open_shard(path, os.stat(path).st_ino).get_tensor(key)
    except FileNotFoundError as problem:
        raise FileProblem(f"{path} is missing; {_MEND}") from problem
    except (OSError, SafetensorError) as problem:
        raise FileProblem(f"{path} is damaged or lacks {key} ({problem}); {_MEND}") from problem
    if _hash(f"torch.{latents.dtype} {list(latents.shape)}", latents) != sha256:
        raise FileProblem(f"{path} is damaged: the latents of {key} are not those that were written; {_MEND}")
    return torch.from_numpy(latents)


_MEND = "run the `chronotope encode` command again"


def write_shard(folder: Path, number: int, tensors: dict[str, Tensor]) -> None:
    """Write the latents of clips, by key, into the file of a shard."""
    write_atomically(shard_path(folder, number), save(tensors))


def keys_of_shard(folder: Path, number: int) -> set[str]:
    """Return the keys of the clips in a shard; none where the file is missing or damaged."""
    try:
        with safe_open(shard_path(folder, number), "pt") as file:
            return set(file.keys())
    except (OSError, SafetensorError):
        return set()


def next_shard(folder: Path) -> int:
    """Return a number above those of all files of latents, so that none is overwritten."""
    return max((int(path.stem.split("-")[1]) for path in folder.glob("latents-*.safetensors")), default=-1) + 1


def read_index(folder: Path, on_damage: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Read the sealed rows of an index, see `stream_manifest`."""
    return [row for _, row in _stream_index(folder, on_damage)]


def _stream_index(
    folder: Path, on_damage: Callable[[str], None] | None = None
) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    try:
        yield from stream_manifest(folder / "index.jsonl", on_damage)
    except FileProblem as problem:
        raise FileProblem(f"{problem}; {_MEND}") from problem


def read_header(folder: Path) -> dict[str, Any]:
    """Read what `latents.json` says of a folder; raise FileProblem unless it describes complete latents."""
    file = folder / "latents.json"
    if not file.is_file():
        raise FileProblem(f"{folder} holds no latents; make them with: chronotope encode FOLDER --out {folder}")
    about = read_sealed(file, "delete the folder and run the `chronotope encode` command again")
    try:
        header = from_dict(_Header, {name: about[name] for name in _HEADER if name in about})
    except (TypeError, UsageError) as problem:
        raise FileProblem(f"{file} does not describe latents: {problem}; encode the clips again") from problem
    if header.manifest is not None:
        return about
    if (folder / "index.jsonl").is_file():
        read_index(folder)  # raises the error that says what is wrong with it
    raise FileProblem(
        f"{folder} is not complete: its encoding was interrupted; run the `chronotope encode` command again"
    )


def clips_of_latents(folder: Path, header: Mapping[str, Any]) -> Path | None:
    """Return the folder of clips from which latents were made; None where it is not there.

    Where both were copied or moved together, it is the one beside these latents, and not that of the original.
    """
    beside, original = header.get("data_from_here"), header.get("data")
    places = [folder.resolve() / str(beside)] if beside else []
    places += [Path(str(original))] if original else []
    return next((Path(os.path.normpath(place)) for place in places if place.is_dir()), None)


def read_folder(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read header and index of complete latents; raise FileProblem unless they are of each other."""
    about = read_header(folder)
    rows = read_index(folder)
    _check_index(folder, about, len(rows), manifest_hash(rows))
    return about, rows


def _check_index(folder: Path, about: Mapping[str, Any], clips: int, manifest: str) -> None:
    if manifest != about["manifest"]:
        raise FileProblem(
            f"{folder / 'index.jsonl'} has {clips} clips and is not the index of {about['clips']} clips that "
            f"latents.json describes; {_MEND}"
        )


@dataclass(frozen=True)
class _Header:
    """The fields of `latents.json` that reading relies on; `clips` and `manifest` stand in a complete folder only."""

    autoencoder: str
    stride: tuple[int, int, int]
    channels: int
    clips: int | None = None
    manifest: str | None = None
    actions: ActionSchema | None = None


_HEADER = tuple(field.name for field in fields(_Header))


def clip_of(row: Mapping[str, Any], folder: Path) -> LatentClip:
    """Build the entry of a clip from its row of the index; raise FileProblem where a field is missing or mistyped."""
    try:
        return from_dict(LatentClip, {name: row[name] for name in _CLIP if name in row})
    except UsageError as problem:
        raise FileProblem(
            f"{folder / 'index.jsonl'}: {problem}; delete the folder and encode the clips again"
        ) from problem


_CLIP = tuple(field.name for field in fields(LatentClip))


class ClipIndex(Sequence[LatentClip]):
    """The clips of complete folders of latents, of which only sizes and the places of their lines are in memory.

    Every line is verified once. A clip is read again from its line when it is asked for; the files stay open, so they
    are those of the beginning, whatever replaces them. `slices`, `heights` and `widths` are those of all clips, `about`
    the headers of the folders and `counts` their clips.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders, self.about, self._files, counts = tuple(folders), [], array("i"), list[int]()
        places, sizes = array("q"), array("i")  # first byte and length of a line; slices, height and width of a clip
        for folder in folders:
            self.about.append(read_header(folder))
            self._files.append(_open_index(folder))
            weakref.finalize(self, os.close, self._files[-1])
            seals, before = hashlib.sha256(), len(places)
            for place, row in _stream_index(folder):
                clip = clip_of(row, folder)
                places.extend(place)
                sizes.extend((len(clip.slices), clip.height, clip.width))
                seals.update(row["seal"].encode())
            counts.append((len(places) - before) // 2)
            _check_index(folder, self.about[-1], counts[-1], seals.hexdigest())
            if not os.path.samestat(os.fstat(self._files[-1]), (folder / "index.jsonl").stat()):
                raise FileProblem(f"{folder / 'index.jsonl'} was replaced while it was read; run the command again")
        self.counts, self._ends = tuple(counts), list(itertools.accumulate(counts))
        self._places = np.array(places, np.int64).reshape(-1, 2)
        self.slices, self.heights, self.widths = np.array(sizes, np.int32).reshape(-1, 3).T
        self._read = lru_cache(maxsize=KEPT_CLIPS)(self._clip)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> LatentClip: ...
    @overload
    def __getitem__(self, index: slice) -> list[LatentClip]: ...
    def __getitem__(self, index: int | slice) -> LatentClip | list[LatentClip]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        return self._read(index % len(self))

    def folder_of(self, index: int) -> Path:
        """Return the folder of a clip."""
        return self.folders[bisect.bisect_right(self._ends, index)]

    def _clip(self, index: int) -> LatentClip:
        start, length = self._places[index].tolist()
        row = json.loads(os.pread(self._files[bisect.bisect_right(self._ends, index)], length, start))
        found = {name: row[name] for name in _CLIP if name in row}  # which were verified
        actions = ClipActions(**row["actions"]) if row.get("actions") else None
        return LatentClip(**{**found, "slices": tuple(row["slices"]), "fps": float(row["fps"]), "actions": actions})


KEPT_CLIPS = 20_000  # clips whose entries an index keeps, about 50 MB where they have a dozen captions


def _open_index(folder: Path) -> int:
    try:
        return os.open(folder / "index.jsonl", os.O_RDONLY)
    except OSError as problem:
        raise FileProblem(f"{folder / 'index.jsonl'} cannot be read: {problem.strerror}; {_MEND}") from problem


class LatentDataset:
    """Encoded clips of one or more latents folders; latents are read on demand.

    `counts` are the clips of each folder. `weights` are the shares of the folders in the clips that training shows;
    None where all clips are shown equally often.
    """

    def __init__(self, folders: Sequence[Path], weights: Sequence[float] | None = None) -> None:
        self.folders = tuple(folders)
        self.weights = tuple(weights) if weights else None
        self.index = ClipIndex(folders)
        self.clips: Sequence[LatentClip] = self.index
        self.about, self.counts = self.index.about, self.index.counts
        if self.weights and 0 in self.counts:
            raise UsageError(f"{folders[self.counts.index(0)]} holds no clips, so it can have no weight; leave it out")
        if len({(about["autoencoder"], tuple(about["stride"])) for about in self.about}) != 1:
            raise UsageError(
                f"{', '.join(map(str, folders))} were encoded by different autoencoders; "
                "encode them again with one autoencoder"
            )

    @cached_property
    def action_schema(self) -> ActionSchema | None:
        """What the actions of the clips mean; None without actions. Raises UsageError where folders differ in it."""
        schemas = [from_dict(ActionSchema, about["actions"]) for about in self.about if about.get("actions")]
        if len(set(schemas)) > 1:
            raise UsageError(
                f"{', '.join(map(str, self.folders))} hold clips whose actions differ in number or meaning; train on "
                "the folders of one environment, or set actions.use=false"
            )
        return schemas[0] if schemas else None

    def __len__(self) -> int:
        return len(self.clips)

    def latents(self, index: int) -> Float[Tensor, "s c h w"]:
        """Read the latents of one clip, in single precision; raise FileProblem where they are damaged or not finite."""
        clip = self.clips[index]
        latents = self.stored(index, clip)
        if not torch.isfinite(latents).all():
            raise FileProblem(
                f"the latents of {clip.key} in {self.index.folder_of(index)} are not finite; encode them again"
            )
        return latents.float()

    def stored(self, index: int, clip: LatentClip) -> Float[Tensor, "s c h w"]:
        """Read the latents of one clip as they are stored, in half precision; raise FileProblem for damaged ones."""
        return read_latents(self.index.folder_of(index), clip.shard, clip.key, clip.sha256)

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


def usable_rows(out: Path, note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the undamaged rows of an index whose latents are there; say to `note` which are to be encoded again."""
    rows = [row for row in read_index(out, note) if _fits(row, out, note)]
    usable = [row for row in rows if _is_whole(row, out)]
    if lost := len(rows) - len(usable):
        clips = "1 clip" if lost == 1 else f"{lost} clips"
        note(f"{out}: the latents of {clips} are missing or damaged; they are encoded again")
    return usable


def _is_whole(row: Mapping[str, Any], out: Path) -> bool:
    """Return whether the latents of a row are there and have its hash."""
    try:
        read_latents(out, row["shard"], row["key"], row["sha256"])
    except FileProblem:
        return False
    return True


def _fits(row: Mapping[str, Any], out: Path, note: Callable[[str], None]) -> bool:
    """Return whether a row has all fields in their types; say where it has not."""
    try:
        clip_of(row, out)
    except FileProblem as problem:
        note(str(problem))
        return False
    return True
