"""Clips of the worlds that a model was trained on, rendered anew: shown beside a user's, so that less is forgotten.

Replay (Robins 1995): 0.3 such clips for each of the user's keep four fifths of what fine-tuning forgets, and cost the
user's clips nothing (docs/log.md, entry 83).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chronotope import PROGRAM
from chronotope.cli.terminal import SHUFFLED, progress, say
from chronotope.cli.train.latents import encode_clips
from chronotope.data.record import read_record
from chronotope.errors import UsageError
from chronotope.generate.pipeline import find_model
from chronotope.models.autoencoder import Autoencoder
from chronotope.storage import read_json
from chronotope.worlds.catalogue import find_world
from chronotope.worlds.write import DatasetRequest, write_dataset

__all__ = ["REPLAYED", "Replay", "replayed_worlds", "write_replay"]

REPLAYED = 300  # clips in all: a training of an hour shows each some ten times
SEED = 83


@dataclass(frozen=True)
class Replay:
    """Folders of latents that are shown beside the user's, and how many of their clips for each of the user's."""

    folders: tuple[Path, ...] = ()
    share: float = 0.0

    @property
    def weights(self) -> list[float]:
        """Weights of the user's folder and of the others."""
        return [1.0, *(self.share / len(self.folders) for _ in self.folders)]


def replayed_worlds(start: str) -> list[tuple[str, str]]:
    """Return the worlds and scopes that a model was trained on, and that can be rendered here; say which cannot."""
    record = read_record(read_json(find_model(start) / "dit" / "model.json"))
    found = []
    for entry in record.worlds if record else ():
        name, _, scope = entry.partition(" ")
        try:
            world = find_world(name)
            world.scope(scope, None)
            missing = world.unavailable()
        except UsageError as problem:
            missing = str(problem)
        if missing:
            say(f"note: clips of {entry}, which {start} was trained on, are not shown again: {missing}")
        else:
            found.append((name, scope))
    return found


def write_replay(start: str, share: float, out: Path, autoencoder: Autoencoder) -> Replay:
    """Render and encode `REPLAYED` clips of the worlds that a model was trained on, below `out`.

    There are none where the share is 0 or where the model knows no world. What is there already is kept.
    """
    worlds = replayed_worlds(start) if share else []
    folders = []
    for name, scope in worlds:
        request = DatasetRequest(name, scope, "train", SEED, -(-REPLAYED // len(worlds)))
        clips, latents = out / "replay" / f"{name}-{scope}", out / "latents" / f"replay-{name}-{scope}"
        with progress(f"rendering {name} {scope}", "clips") as report:
            write_dataset(clips, request, report, program=PROGRAM)
        encode_clips(clips, latents, autoencoder, SHUFFLED)
        folders.append(latents)
    return Replay(tuple(folders), share) if folders else Replay()
