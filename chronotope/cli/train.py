"""The commands that make data and models: world, encode, train."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import torch

from chronotope import checkpoint
from chronotope.cli.terminal import SHUFFLED, progress, say
from chronotope.cli.use import device
from chronotope.config import override, to_dict
from chronotope.data.clips import SUFFIXES
from chronotope.data.latents import LatentDataset, encode_dataset, fingerprint
from chronotope.errors import FileProblem, UsageError, suggest
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder, model_description
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.dit import DiT
from chronotope.models.text import Tokenizer
from chronotope.parallel import join_ranks, wait_for_all
from chronotope.presets import find_preset
from chronotope.train.autoencoder import AutoencoderRun, train_autoencoder
from chronotope.train.dit import DiTRun, Sampler, check_alike, train_dit
from chronotope.worlds.splits import Split
from chronotope.worlds.write import write_dataset

__all__ = ["StageRequest", "TableRequest", "autoencoder_config", "dit_config", "encode_clips", "run_autoencoder", "run_dit",
           "write_stage", "write_table"]  # fmt: skip


# Data


@dataclass(frozen=True)
class StageRequest:
    """Which clips of the stage are asked for."""

    scope: str
    split: str
    seed: int
    size: tuple[int, int] | None
    pictures: float | None
    dissolves: float

    def differences(self, about: dict[str, Any]) -> list[str]:
        """In what a dataset that is already there is another one."""
        asked = {
            **vars(self),
            "size": list(self.size) if self.size else None,
            "dissolves": self.dissolves or None,
            "world": "stage",
        }
        return [f"{name} {about.get(name)}" for name, value in asked.items() if about.get(name) != value]


@dataclass(frozen=True)
class TableRequest:
    """Which clips of tables are asked for."""

    split: str
    seed: int
    size: tuple[int, int] | None
    pictures: float | None

    def differences(self, about: dict[str, Any]) -> list[str]:
        """In what a dataset that is already there is another one."""
        asked = {**vars(self), "size": list(self.size) if self.size else None, "world": "table"}
        return [f"{name} {about.get(name)}" for name, value in asked.items() if about.get(name) != value]


def write_stage(out: Path, count: int, workers: int, request: StageRequest) -> None:
    """Render a dataset; a folder that holds another one is refused."""
    split = _room_for(out, request)
    with progress("rendering", "clips") as report:
        write_dataset(
            out,
            count,
            request.seed,
            request.scope,
            split,
            request.size,
            report,
            workers,
            request.dissolves,
            request.pictures,
        )


def write_table(out: Path, count: int, workers: int, request: TableRequest) -> None:
    """Render a dataset of tables; a folder that holds another one is refused."""
    from chronotope.worlds.table.write import write_tables

    split = _room_for(out, request)
    with progress("rendering", "clips") as report:
        write_tables(out, count, request.seed, split, request.size, report, workers, request.pictures)


def _room_for(out: Path, request: StageRequest | TableRequest) -> Split:
    """The split asked for, once it is sure that the folder holds nothing else."""
    if request.split not in get_args(Split):
        raise UsageError(f"unknown split '{request.split}'. {suggest(request.split, get_args(Split))}")
    about = out / "dataset.json"
    if about.is_file():
        if other := request.differences(checkpoint.load_json(about)):
            raise UsageError(f"{out} already holds a dataset of {', '.join(other)}; give another --out")
    elif out.is_dir() and any(path.suffix in SUFFIXES for path in out.iterdir()):
        raise UsageError(f"{out} already holds other videos or pictures; give another --out")
    return cast(Split, request.split)


def encode_clips(data: Path, out: Path, autoencoder: Autoencoder, shuffled: float) -> int:
    """Encode a folder of clips, or go on with it; returns how many clips there are."""
    with progress(f"encoding {data.name}", "clips") as report:
        return encode_dataset(data, out, autoencoder, Geometry(stride=autoencoder.config.stride), shuffled, report)


# Train


def autoencoder_config(preset: str, seed: int | None, settings: Sequence[str]) -> AutoencoderRun:
    """The preset with what was set on the command line."""
    config = override(find_preset(preset).autoencoder, settings)
    return config if seed is None else replace(config, seed=seed)


def dit_config(preset: str, seed: int | None, settings: Sequence[str]) -> DiTRun:
    """The preset with what was set on the command line."""
    config = override(find_preset(preset).dit, settings)
    return config if seed is None else replace(config, seed=seed)


def run_autoencoder(config: AutoencoderRun, data: Sequence[Path], out: Path, start_from: str | None = None) -> Path:
    """Train `out`/autoencoder, or go on with it; with `start_from`, the decoder of that model's."""
    run, start = out / "autoencoder", None
    if start_from is not None:
        start = find_model(start_from)
        start = start / "autoencoder" if (start / "autoencoder").is_dir() else start
        trained = load_autoencoder(start)  # is it one?
        if trained.config != config.model:
            raise UsageError(
                f"{start} has other sizes than the preset: {trained.config} and not {config.model}; take the preset it was trained with"
            )
    for folder in data:
        if (folder / "latents.json").is_file():
            raise UsageError(f"{folder} holds latents; the autoencoder is trained on the videos they were made from")
    _train(run, config, config.train.steps, lambda: train_autoencoder(config, data, run, start))
    return run


def run_dit(
    config: DiTRun, data: Sequence[Path], out: Path, autoencoder_from: str | None, start_from: str | None
) -> Path:
    """Train `out`/dit, or go on with it; folders of raw clips are encoded into `out`/latents first.

    With `start_from` the transformer begins as that model's, on its autoencoder.
    """
    run, ranks = out / "dit", join_ranks()
    start = find_model(start_from) / "dit" if start_from else None
    if start is not None:
        model_description(start, "dit")  # is it one?
        check_alike(config, start)
    for folder in data:
        if not folder.is_dir():
            raise FileProblem(f"{folder} is no folder; give folders of clips or of latents with --data")
    if ranks.first:
        _own_autoencoder(out, autoencoder_from or start_from)
    wait_for_all(ranks)
    autoencoder = load_autoencoder(out).to(device())
    latents = [folder if (folder / "latents.json").is_file() else _encoded(folder, out, autoencoder) for folder in data]
    if len(set(latents)) != len(latents):
        raise UsageError(
            f"two --data folders are called {latents[-1].name}; rename one, or encode them with `chronotope encode`"
        )
    dataset = LatentDataset(latents)
    if dataset.about[0]["autoencoder"] != fingerprint(autoencoder):
        raise UsageError(
            f"{latents[0]} was encoded by autoencoder {dataset.about[0]['autoencoder']}, but {out / 'autoencoder'} is "
            f"{fingerprint(autoencoder)}; encode the clips again: chronotope encode FOLDER --model {out} --out {latents[0]}"
        )
    sampler = draw_samples(run, autoencoder, _two_prompts(dataset))
    _train(run, config, config.train.steps, lambda: train_dit(config, latents, run, sampler, start))
    return run


def _own_autoencoder(out: Path, source: str | None) -> None:
    """See that this run has its autoencoder; one from elsewhere is copied in, so that the run folder is whole."""
    folder = out / "autoencoder"
    if source is not None and not (folder / "model.json").is_file():
        found = find_model(source)
        found = found / "autoencoder" if (found / "autoencoder").is_dir() else found
        load_autoencoder(found)  # is it one?

        def copy(target: Path) -> None:
            for name in ("model.json", "model.safetensors"):
                shutil.copyfile(found / name, target / name)

        checkpoint.write_folder(folder, copy)
        say(f"{folder}: copied from {found}")
    elif source is not None and fingerprint(load_autoencoder(find_model(source))) != fingerprint(
        load_autoencoder(folder)
    ):
        raise UsageError(f"{folder} is another autoencoder than that of {source}; give another --out")
    if not (folder / "model.json").is_file():
        raise FileProblem(
            f"{folder} holds no trained autoencoder, which the transformer builds on; train it first: "
            f"chronotope train autoencoder --data FOLDER --out {out} (or take the shipped one with --autoencoder small)"
        )


def _encoded(data: Path, out: Path, autoencoder: Autoencoder) -> Path:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            f"{data} holds clips, and one process has to encode them: chronotope encode {data} --model {out} --out LATENTS"
        )
    target = out / "latents" / data.resolve().name
    count = encode_clips(data, target, autoencoder, SHUFFLED)
    say(f"{data} holds clips, not latents: {count} of them are now encoded in {target}")
    return target


def _two_prompts(dataset: LatentDataset) -> list[str]:
    """A sentence each from the first and the middle captioned clip."""
    captioned = [clip.captions for clip in dataset.clips if any(clip.captions.values())]
    chosen = [captioned[0], captioned[len(captioned) // 2]] if captioned else []
    return [
        captions["sentence"][0] if captions.get("sentence") else next(texts[0] for texts in captions.values() if texts)
        for captions in chosen
    ]


def draw_samples(run: Path, autoencoder: Autoencoder, prompts: Sequence[str]) -> Sampler:
    """What `train_dit` calls now and then: the same prompts and seeds every time, so that progress can be seen."""

    def sampler(config: DiTRun, model: DiT, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = Tokenizer(checkpoint.load_json(run / "vocabulary.json"))
        generator = Generator(autoencoder, model, tokenizer, config.flow, config.geometry, config.defaults)
        for seed, prompt in enumerate(prompts):
            words = prompt.split()
            while len(tokenizer.encode(" ".join(words))) > config.model.max_text_tokens:
                words.pop()
            made = generator.generate(" ".join(words), seed=seed)
            suffix = ".mp4" if len(made.frames) > 1 else ".png"
            video.write(folder / f"{seed}{suffix}", made.frames, made.fps, metadata=made.origin)

    return sampler


def _train(run: Path, config: Any, steps: int, train: Callable[[], Any]) -> None:
    """Start, go on, or find that nothing is left to do."""
    done = _steps_of_result(run)
    if done >= steps:
        say(f"{run} is trained already ({done} steps); to train on: --set train.steps={2 * done}")
        return
    latest = checkpoint.latest_checkpoint(run)
    step = int(latest.name) if latest else 0
    if step and join_ranks().first:
        say(f"going on with {run} after step {step} of {steps}")
        for change in _changes(run, config):
            say(f"note: {change}")
    try:
        train()
    except KeyboardInterrupt:
        latest = checkpoint.latest_checkpoint(run)
        say(f"stopped; the same command goes on after step {int(latest.name) if latest else 0}")
        raise
    except torch.OutOfMemoryError as problem:
        raise FileProblem("the GPU is out of memory; train with smaller steps, see --dry-run") from problem


def _steps_of_result(run: Path) -> int:
    """After how many steps the model in a run folder was finished; 0 where there is none yet."""
    file = run / "model.json"
    training = checkpoint.load_json(file).get("training", {}) if file.is_file() else {}
    return int(training.get("run", {}).get("train", {}).get("steps", 0))


def _changes(run: Path, config: Any) -> list[str]:
    """Settings that differ from those the run began with."""
    file = run / "config.toml"
    old = _flat(tomllib.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    new = _flat(to_dict(config))
    learnt = {"model.vocabulary_size", "flow.deviation"}  # from the captions and latents, when the run began
    return [
        f"{name} was {old[name]} and is now {new[name]}"
        for name in new
        if name not in learnt and old.get(name, new[name]) != new[name]
    ]


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
