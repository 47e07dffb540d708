"""Fine-tuning on real footage: rates, steps, replay and adapters, by the loss on clips that are never trained on.

    python tests/real_clips.py          # camera clips and a film, once
    python -m benchmarks.teaching --work FOLDER [--out benchmarks/teaching.json] [RUN...]

Three sets, each with clips that are held out: `film` (shots of Big Buck Bunny; every fifth minute held out), `camera`
(clips of thirteen cameras; three of them held out), `table` (200 clips of a simulated bench; 40 more held out). What
is forgotten is the loss on 64 clips of the stage, on which the shipped model was trained. A run is called
SET/RATE[/replay|/adapter][/STEPS]: the rates of the recipe times RATE; finished ones are read from FOLDER.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.harness import say
from chronotope.cli.train.networks import adapter_config, dit_config
from chronotope.cli.train.start import with_defaults_of_clips
from chronotope.data.encode import encode_dataset
from chronotope.data.latents import LatentDataset
from chronotope.data.limits import Limits
from chronotope.generate.pipeline import find_model, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.jsonl import read_sealed_rows
from chronotope.media import video
from chronotope.storage import read_json, write_json
from chronotope.train.dit import train_dit
from chronotope.worlds.write import DatasetRequest, write_dataset
from tests.real_clips import available

MODEL, STEPS, CHECK = "small", 240, 40
LIMITS = Limits(max_side=96, fps=8.0, max_seconds=4.0)
REPLAY = 0.3  # clips of the stage for one of the set
FILM, FILM_SECONDS, BLOCK = "bbb.mp4", 500.0, 60.0  # without the credits
CAPTIONS = {
    "bikes.mp4": "cyclists ride along a street",
    "box.mp4": "a hand moves a box on a table",
    "carphone_pristine.mp4": "a man in a tie talks in a moving car",
    "cityCC0.mpg": "skyscrapers, seen from below",
    "cockatoo.mp4": "a white cockatoo on a branch",
    "cup.mp4": "a hand moves a cup",
    "jwpIntro.mp4": "a man talks to the camera",
    "oa4_launch.webm": "a rocket is launched",
    "realshort.mp4": "a plant in a pot",
    "testMovie.mp4": "a man drives a train",
    "tree.avi": "a tree and a hand before it",
    "vtest.avi": "people walk across a square",
}
CAMERA_HELDOUT = ("cockatoo.mp4", "cup.mp4", "jwpIntro.mp4")
RUNS = (*(f"{name}/{rate}" for name in ("table", "camera", "film") for rate in (1, 0.3)), "table/1/replay")


# The sets


def prepare(work: Path) -> None:
    """Write the clips of all sets, once, and encode them."""
    autoencoder = load_autoencoder(find_model(MODEL))
    for name, write in (("film", _film), ("camera", _camera), ("table", _table), ("stage", _stage)):
        for part in ("train", "heldout"):
            clips, latents = work / "clips" / name / part, work / "latents" / name / part
            if not (done := clips.with_suffix(".done")).is_file():
                write(clips, part == "heldout")
                done.write_text("")
            geometry = Geometry(stride=autoencoder.config.stride)
            encode_dataset(clips, latents, autoencoder, geometry, note=say, limits=LIMITS)
            say(f"{latents}: {len(LatentDataset([latents]))} clips")


def _film(folder: Path, heldout: bool) -> None:
    """Write the shots of a film: those that begin in every fifth minute are held out."""
    from chronotope.curate.look import look

    path = available()[FILM]
    shots = [shot for shot in look(path, 60.0).shots if shot.start < FILM_SECONDS and shot.seconds >= 1.0]
    folder.mkdir(parents=True, exist_ok=True)
    for shot in shots:
        if (int(shot.start / BLOCK) % 5 == 4) == heldout:
            _part(path, folder / f"{shot.start:07.2f}.mp4", shot.start, shot.seconds)
            (folder / f"{shot.start:07.2f}.txt").write_text("an animated film about a large grey rabbit")


def _part(path: Path, target: Path, start: float, seconds: float) -> None:
    clip = video.read(path, start=start, seconds=seconds, max_side=192)
    video.write(target, clip.frames, clip.fps)


def _camera(folder: Path, heldout: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in CAPTIONS.items():
        if (name in CAMERA_HELDOUT) == heldout:
            os.link(available()[name], folder / name)
            (folder / f"{Path(name).stem}.txt").write_text(text)


def _table(folder: Path, heldout: bool) -> None:
    count, seed = (40, 901) if heldout else (200, 900)
    write_dataset(folder, DatasetRequest("table", "table", "train", seed, count))


def _stage(folder: Path, heldout: bool) -> None:
    count, seed = (64, 911) if heldout else (600, 910)
    write_dataset(folder, DatasetRequest("stage", "small", "train", seed, count))


# The runs


@dataclass(frozen=True)
class Settings:
    """What the name of a run says: a set, a factor of the learning rates, its kind and its steps."""

    data: str
    rate: float
    kind: str = ""
    steps: int = STEPS

    @classmethod
    def read(cls, name: str) -> Settings:
        """Read a name such as film/0.3/replay/500."""
        data, rate, *rest = name.split("/")
        steps = [int(word) for word in rest if word.isdecimal()]
        return cls(data, float(rate), "".join(word for word in rest if not word.isdecimal()), *steps)


def teach(name: str, work: Path) -> dict[str, Any]:
    """Train one run and return its losses by step; a finished one is read."""
    settings, out = Settings.read(name), work / "runs" / name.replace("/", "-")
    own = work / "latents" / settings.data
    if not (out / "result.json").is_file():
        common = [f"train.steps={settings.steps}", f"train.check_every={CHECK}", f"train.save_every={settings.steps}"]
        common += [f"train.average_decay={max(0.9, 1 - 10 / settings.steps):.4f}", "train.warmup=25"]
        config = adapter_config(None, MODEL, 16, None, common) if settings.kind == "adapter" else None
        config = config or dit_config(None, None, common, MODEL)
        train = config.train
        rates = {rate: getattr(train, rate) * settings.rate for rate in ("muon_rate", "adam_rate", "adapter_rate")}
        config = replace(config, train=replace(train, **rates))  # type: ignore[arg-type]
        data, weights = [own / "train"], None
        if settings.kind == "replay":
            data, weights = [*data, work / "latents" / "stage" / "train"], [1.0, REPLAY]
        config, _ = with_defaults_of_clips(config, LatentDataset([own / "train"]), ())
        heldout = [own / "heldout", own / "train", work / "latents" / "stage" / "heldout"]
        numbers = train_dit(
            config,
            data,
            out,
            start=find_model(MODEL) / "dit",
            quiet=True,
            weights=weights,
            heldout=_named(heldout, work),
        )
        write_json(out / "result.json", numbers)
    return _result(name, out)


def _named(folders: Sequence[Path], work: Path) -> list[Path]:
    """Return links to latents whose names tell what they are: the log names the loss of a folder by it."""
    links = []
    for name, folder in zip(("unseen", "seen", "stage"), folders, strict=True):
        link = work / "runs" / "links" / folder.parent.name / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(folder.resolve())
        links.append(link)
    return links


def _result(name: str, out: Path) -> dict[str, Any]:
    rows = [row for row in read_sealed_rows(out / "log.jsonl").rows if "heldout/unseen" in row]
    curves = {key: [row[f"heldout/{key}"] for row in rows] for key in ("unseen", "seen", "stage")}
    numbers = read_json(out / "result.json")
    return {"run": name, "steps": [row["step"] for row in rows], **curves, "seconds": round(numbers["seconds"], 1)}


def main() -> None:
    """Prepare the sets, train the runs, write their losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("runs", nargs="*", default=RUNS)
    arguments = parser.parse_args()
    prepare(arguments.work)
    results = {one["run"]: one for one in (read_json(arguments.out)["runs"] if arguments.out.is_file() else [])}
    for name in arguments.runs:
        results[name] = one = teach(name, arguments.work)
        losses = ", ".join(
            f"{key} {one[key][0]:.4f} -> {min(one[key]):.4f} .. {one[key][-1]:.4f}"
            for key in ("unseen", "seen", "stage")
        )
        say(f"{name}: {losses}; {one['seconds']:.0f} s")
        write_json(arguments.out, {"model": MODEL, "replay": REPLAY, "runs": list(results.values())})


if __name__ == "__main__":
    main()
