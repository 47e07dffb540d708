"""What the commands `world`, `encode` and `train` do: requests -> datasets, latents, trained models."""

from __future__ import annotations

import contextlib
import os
import signal
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click
import torch

from chronotope import checkpoint
from chronotope.cli.interrupt import stoppable
from chronotope.cli.terminal import SHUFFLED, progress, say
from chronotope.cli.use import device, say_unsealed
from chronotope.config import override
from chronotope.data.audit import audit_freshness, audit_header
from chronotope.data.clips import check_outside, find_clips
from chronotope.data.encode import Encoded, encode_dataset, find_worlds
from chronotope.data.latents import LatentDataset, fingerprint, read_header, read_index
from chronotope.data.record import changes_in_data, data_of_clips, data_of_latents
from chronotope.errors import FileProblem, UsageError
from chronotope.flow.path import FlowConfig
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder, model_description
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.models.dit import DiT
from chronotope.models.text import Tokenizer
from chronotope.parallel import join_ranks, wait_for_all
from chronotope.presets import Preset, find_preset
from chronotope.prompt import MAX_PROMPT_BYTES
from chronotope.sealed import unsealed
from chronotope.storage import locked, read_json, remove_partials
from chronotope.train.autoencoder import AutoencoderRun, train_autoencoder
from chronotope.train.config import DiTRun
from chronotope.train.dit import Sampler, check_compatible, check_latents, train_dit
from chronotope.train.same_run import changes_in_settings, check_same_run

RUN_FILES = ("config.toml", "log.jsonl", "quarantine.jsonl", "model.json", "model.safetensors")  # beside checkpoints
Run = TypeVar("Run", AutoencoderRun, DiTRun)
FEW_CAPTIONS = 0.9  # the share of captioned clips below which training says so


__all__ = [
    "autoencoder_config",
    "autoencoder_start",
    "check_sources",
    "dit_config",
    "encode_clips",
    "run_autoencoder",
    "run_dit",
]


# Data


def encode_clips(data: Path, out: Path, autoencoder: Autoencoder, shuffled: float, strict: bool = False) -> Encoded:
    """Bring the latents of a folder of clips up to date, and say what was found, left out and not captioned."""
    geometry = Geometry(stride=autoencoder.config.stride)
    with progress(f"encoding {data.name}", "clips") as report:
        encoded = encode_dataset(
            data, out, autoencoder, geometry, shuffled, report, lambda sentence: say(f"note: {sentence}"), strict
        )
    for item in encoded.left_out:
        say(f"left out: {item.key}: {item.reason}")
    say(f"{out}: {encoded.in_words()}")
    return encoded


# Train


def autoencoder_config(preset: str, seed: int | None, settings: Sequence[str]) -> AutoencoderRun:
    """Return the autoencoder's run of a preset, changed by a seed and by `--set` settings."""
    return _with_settings(_preset(preset).autoencoder, seed, settings)


def dit_config(preset: str, seed: int | None, settings: Sequence[str]) -> DiTRun:
    """Return the transformer's run of a preset, changed by a seed and by `--set` settings."""
    run = _with_settings(_preset(preset).dit, seed, settings)
    width, height, most = run.defaults.width, run.defaults.height, run.train.max_sample_tokens
    if run.flow.deviation != FlowConfig().deviation:
        raise UsageError("flow.deviation is measured on the latents when a training begins; leave it out")
    if (tokens := run.geometry.num_tokens(1, height, width)) > most:
        say(
            f"note: a slice of {width}x{height} has {tokens} tokens, more than train.max_sample_tokens={most}, so "
            "training shows one slice at a time of a clip of that size"
        )
    return run


def _with_settings(run: Run, seed: int | None, settings: Sequence[str]) -> Run:
    """Change a run, by --seed as by a setting; say where its learning rates never reach their value."""
    run = override(run, [*settings, *([] if seed is None else [f"seed={seed}"])])
    if run.train.warmup >= run.train.steps:
        say(
            f"note: the warm-up of the learning rates (train.warmup={run.train.warmup}) takes the whole training "
            f"(train.steps={run.train.steps})"
        )
    return run


def _preset(name: str) -> Preset:
    """Find a preset; warn of one that cannot be trained as it is."""
    preset = find_preset(name)
    if preset.shape_only:
        say(
            f"note: preset {name} is shape only, to be counted with --dry-run: a step of its transformer needs more "
            f"memory than its hardware has, and cuts clips to train.max_sample_tokens="
            f"{preset.dit.train.max_sample_tokens}"
        )
    return preset


def autoencoder_start(config: AutoencoderRun, name: str) -> Path:
    """Return the folder of the autoencoder to train on; raise UsageError for one of other sizes than the config."""
    start = find_model(name)
    start = start / "autoencoder" if (start / "autoencoder").is_dir() else start
    trained = load_autoencoder(start)
    say_unsealed(start)
    if trained.config != config.model:
        raise UsageError(
            f"{start} has other sizes than the preset: {trained.config} and not {config.model}; "
            "take the preset it was trained with"
        )
    return start


def run_autoencoder(
    config: AutoencoderRun, data: Sequence[Path], out: Path, start: Path | None = None
) -> tuple[Path, int]:
    """Train `out`/autoencoder, or continue it; with `start`, train the decoder of that autoencoder further.

    Returns the run and how many clips were left out, because they cannot be read.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("the autoencoder is trained in one process; start `train autoencoder` without torchrun")
    run = out / "autoencoder"
    _check_once(data)
    for folder in data:
        check_outside(out, folder)
        if (folder / "latents.json").is_file():
            raise UsageError(f"{folder} holds latents; the autoencoder is trained on the videos they were made from")
        find_worlds(folder, lambda sentence: say(f"note: {sentence}"))  # of a split that is meant for evaluation

    def train(stopping: Callable[[], bool]) -> dict[str, Any]:
        return train_autoencoder(config, data, run, start, stopping=stopping)

    with _writing(run):
        numbers = _train(
            run, config, lambda: data_of_clips([find_clips(folder) for folder in data]), train, anew=start is not None
        )
    return run, int(numbers.get("left_out", 0))


def _check_once(data: Sequence[Path]) -> None:
    """Refuse a folder that is named twice: its clips would count and be shown twice, without a word."""
    counts = Counter(folder.resolve() for folder in data)
    if twice := [folder for folder in data if counts[folder.resolve()] > 1]:
        raise UsageError(f"--data names {twice[0]} more than once; name each folder once")


def check_sources(
    config: DiTRun, data: Sequence[Path], out: Path | None, source: str | None, start_from: str | None
) -> None:
    """Refuse, before any work, the weights, the autoencoder and the latents that do not fit the transformer."""
    if start_from:
        start = find_model(start_from) / "dit"
        model_description(start, "dit")  # refuses what is no transformer
        check_compatible(config, start)
    named = source or start_from
    folder = find_model(named) if named else out
    if folder and (named or (folder / "autoencoder" / "model.json").is_file()):
        autoencoder = load_autoencoder(folder).config
        check_latents(config, autoencoder.channels, autoencoder.stride)
    for latents in data:
        if (latents / "latents.json").is_file():
            about = read_header(latents)
            check_latents(config, about["channels"], about["stride"])


def run_dit(
    config: DiTRun, data: Sequence[Path], out: Path, autoencoder_from: str | None, start_from: str | None
) -> tuple[Path, int]:
    """Train `out`/dit, or continue it; folders of clips are encoded into `out`/latents first.

    With `start_from`, training starts from that model's transformer and uses its autoencoder. Returns the run and how
    many clips were left out, because they cannot be read.
    """
    _check_once(data)
    for folder in data:
        if not folder.is_dir():
            raise FileProblem(f"{folder} is no folder; give folders of clips or of latents with --data")
        if not (folder / "latents.json").is_file():
            check_outside(out, folder)
    with _writing(out / "dit"):
        return _run_dit(config, data, out, autoencoder_from, start_from)


def _run_dit(
    config: DiTRun, data: Sequence[Path], out: Path, autoencoder_from: str | None, start_from: str | None
) -> tuple[Path, int]:
    run, ranks = out / "dit", join_ranks()
    start = find_model(start_from) / "dit" if start_from else None
    if ranks.first:
        _provide_autoencoder(out, autoencoder_from or start_from)
    wait_for_all(ranks)
    if start:
        _check_same_start(run, start)
    autoencoder = load_autoencoder(out).to(device())
    if ranks.first:
        say_unsealed(out, *([start] if start else []))
    latents, left_out = _latents_of(data, out, autoencoder)
    dataset = LatentDataset(latents)
    if ranks.first:
        _say_captions(dataset)
        _say_changes(latents, dataset)
    if dataset.about[0]["autoencoder"] != fingerprint(autoencoder):
        raise UsageError(
            f"{latents[0]} was encoded by autoencoder {dataset.about[0]['autoencoder']}, but {out / 'autoencoder'} is "
            f"{fingerprint(autoencoder)}; encode the clips again: "
            f"chronotope encode FOLDER --model {out} --out {latents[0]}"
        )
    sampler = progress_sampler(autoencoder, _two_prompts(dataset))

    def train(stopping: Callable[[], bool]) -> dict[str, Any]:
        return train_dit(config, latents, run, sampler, start, stopping=stopping)

    _train(run, config, lambda: data_of_latents(dataset), train)
    return run, left_out


def _check_same_start(run: Path, start: Path) -> None:
    """Refuse weights to start from where the run began from others, or from none: they would not be used."""
    begun = checkpoint.latest_checkpoint(run) or (run if (run / "model.json").is_file() else None)
    if begun is None:
        return
    before, now = checkpoint.read_description(begun).get("started_from"), fingerprint(Generator.load(start.parent).dit)
    if before is None:
        raise UsageError(f"{run} was begun without weights to start from; leave --from out, or give another --out")
    if before != now:
        raise UsageError(f"{run} was begun from the weights {before}, and {start} are {now}; give another --out")


@contextlib.contextmanager
def _writing(run: Path) -> Iterator[None]:
    """Lock a run folder, in the first process, and delete what a killed process left half-written in it."""
    if not join_ranks().first:
        yield
        return
    with locked(run):
        _refuse_strangers(run)
        remove_partials(run, *(path for path in run.rglob("*") if path.is_dir()))
        yield


def _refuse_strangers(run: Path) -> None:
    """Refuse a folder in which a run would replace files that this program did not write."""
    found = next((path for path in map(run.joinpath, RUN_FILES) if os.path.lexists(path)), None)
    if found is not None and not _is_run(run):
        raise UsageError(f"{found} exists and is of no training of this program; give another --out")


def _is_run(run: Path) -> bool:
    """Return whether a folder holds a checkpoint, a model or the settings of a training."""
    if checkpoint.checkpoints(run):
        return True
    with contextlib.suppress(FileProblem, TypeError):
        if {"kind", "config"} <= set(read_json(run / "model.json")):
            return True
    with contextlib.suppress(OSError, ValueError):
        return {"seed", "model", "train"} <= tomllib.loads((run / "config.toml").read_text(encoding="utf-8")).keys()
    return False


def _provide_autoencoder(out: Path, source: str | None) -> None:
    """Check that the run folder has an autoencoder; copy that of `source`, if given, so that the folder is complete."""
    folder = out / "autoencoder"
    there = all((folder / name).is_file() for name in ("model.json", "model.safetensors"))
    if source is None and not there:
        raise FileProblem(
            f"{folder} holds no trained autoencoder, which the transformer builds on; train it first: chronotope train "
            f"autoencoder --data FOLDER --out {out} (or take the shipped one with --autoencoder small)"
        )
    if source is None:
        return
    found = find_model(source)
    found = found / "autoencoder" if (found / "autoencoder").is_dir() else found
    autoencoder = load_autoencoder(found)
    if there and fingerprint(autoencoder) != fingerprint(load_autoencoder(folder)):
        raise UsageError(f"{folder} is another autoencoder than that of {source}; give another --out")
    if not there:
        with _writing(folder):
            checkpoint.copy_model(found, folder)
        say(f"{folder}: copied from {found}")


def _latents_of(data: Sequence[Path], out: Path, autoencoder: Autoencoder) -> tuple[list[Path], int]:
    """Return the folders of latents to train on, and how many clips were left out; folders of clips are encoded."""
    clips = [folder for folder in data if not (folder / "latents.json").is_file()]
    names = Counter(folder.resolve().name for folder in clips)
    if double := [name for name, count in names.items() if count > 1]:
        raise UsageError(
            f"two --data folders are called {double[0]}; rename one, or encode them with `chronotope encode`"
        )
    encoded = {folder: _encoded(folder, out, autoencoder) for folder in clips}
    left_out = sum(count for _, count in encoded.values())
    return [encoded[folder][0] if folder in encoded else folder for folder in data], left_out


def _encoded(data: Path, out: Path, autoencoder: Autoencoder) -> tuple[Path, int]:
    """Encode a folder of clips; return the folder of its latents and how many clips were left out."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            f"{data} holds clips, and one process has to encode them: "
            f"chronotope encode {data} --model {out} --out LATENTS"
        )
    target = out / "latents" / data.resolve().name
    say(f"{data} holds clips, not latents: they are encoded in {target} first")
    encoded = encode_clips(data, target, autoencoder, SHUFFLED)
    return target, len(encoded.left_out)


def _say_captions(dataset: LatentDataset) -> None:
    """Say where a model will learn little from text, because few clips have captions."""
    captioned = sum(any(clip.captions.values()) for clip in dataset.clips)
    if captioned == 0:
        say("note: no clip has a caption, so the model learns nothing from text and ignores prompts")
    elif captioned < FEW_CAPTIONS * len(dataset):
        say(f"note: only {captioned} of {len(dataset)} clips have captions; the model learns text from these alone")


def _say_changes(latents: Sequence[Path], dataset: LatentDataset) -> None:
    """Say where latents cannot be verified, and in a line a folder where they are not of the clips as they are now."""
    same = Counter(str(header.get("manifest")) for header in dataset.about)
    if copies := [
        folder for folder, header in zip(latents, dataset.about, strict=True) if same[header["manifest"]] > 1
    ]:
        say(f"note: {' and '.join(map(str, copies))} hold the same clips, which are shown that much more often")
    for folder, header in zip(latents, dataset.about, strict=True):
        for found in (*audit_header(folder, header), *islice(audit_freshness(folder, header, read_index(folder)), 1)):
            say(f"note: {found}" if str(folder) in found.what else f"note: {folder}: {found}")


def _two_prompts(dataset: LatentDataset) -> list[str]:
    """Return a caption, if possible a sentence, of the first and of the middle captioned clip."""
    captioned = [clip.captions for clip in dataset.clips if any(clip.captions.values())]
    if not captioned:
        return []
    return [_caption(captioned[0]), _caption(captioned[len(captioned) // 2])]


def _caption(captions: dict[str, list[str]]) -> str:
    return next(texts[0] for texts in (captions.get("sentence"), *captions.values()) if texts)


def progress_sampler(autoencoder: Autoencoder, prompts: Sequence[str]) -> Sampler:
    """Return what `train_dit` calls now and then: it generates the same prompts from the same seeds every time."""

    def sampler(config: DiTRun, model: DiT, tokenizer: Tokenizer, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        generator = Generator(autoencoder, model, tokenizer, config.flow, config.geometry, config.defaults)
        for seed, prompt in enumerate(prompts):
            words = tokenizer.shortened(prompt[:MAX_PROMPT_BYTES], config.model.max_text_tokens)
            if not words:  # one word of more tokens than the model reads
                continue
            made = generator.generate(words, seed=seed)
            suffix = ".mp4" if len(made.frames) > 1 else ".png"
            # without the seconds that it took, so that a resumed training writes the same bytes
            settings = {name: value for name, value in made.origin.items() if name != "seconds"}
            video.write(folder / f"{seed}{suffix}", made.frames, made.fps, metadata=settings)

    return sampler


def _train(
    run: Path,
    config: Any,
    data: Callable[[], list[dict[str, Any]]],
    train: Callable[[Callable[[], bool]], dict[str, Any]],
    anew: bool = False,
) -> dict[str, Any]:
    """Start training or continue it, and return what it returns; do nothing if it is finished.

    A finished model whose checkpoints are gone is not trained again from the start, unless `anew`.
    Settings and data that are not those of a finished training are said; `data` names those of now.
    After a signal, training saves its state after the current step; then the program exits with status 0 after SIGTERM
    and with 130 after Ctrl-C.
    """
    done, steps = _finished_steps(run), config.train.steps
    if done >= steps:
        if join_ranks().first:
            _say_finished(run, config, done, data())
        return {}
    step = _last_step(run)
    if done and not step and not anew:
        raise FileProblem(
            f"{run} holds a model of {done} steps and no checkpoint from which it could go on; restore "
            f"{run / 'checkpoints'}, or start from the model with --from {run.parent} and another --out"
        )
    check_same_run(run, config)
    if step and join_ranks().first:
        _say_resumed(run, config, step, done)
    try:
        with stoppable("lose the steps since the last checkpoint", begun=False) as stop:
            numbers = train(stop.poll)
            if stop.requested and _finished_steps(run) < steps:
                raise KeyboardInterrupt
            return numbers
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on after step {_last_step(run)}")
        if stop.signal == signal.SIGTERM:
            raise click.exceptions.Exit(0) from None
        raise
    except torch.OutOfMemoryError as problem:
        raise FileProblem("the GPU is out of memory; train with smaller steps, see --dry-run") from problem


def _say_finished(run: Path, config: Any, done: int, data: list[dict[str, Any]]) -> None:
    """Say that a training is finished, and which settings and data of now are not used."""
    say(f"{run} is trained already ({done} steps); to train on: --set train.steps={2 * done}")
    for change in changes_in_settings(run, config):
        say(f"note: not used: {change}")
    for sentence in changes_in_data(run, data, finished=True):
        say(sentence)


def _say_resumed(run: Path, config: Any, step: int, done: int) -> None:
    """Say where a training goes on, and what is not as it was."""
    say(f"going on with {run} after step {step} of {config.train.steps}")
    if done > step:
        say(f"note: {run / 'model.json'} is a model of {done} steps; this training, of {step}, will replace it")
    for sentence in unsealed(run / "checkpoints" / f"{step:07d}" / "state.json"):
        say(f"note: {sentence}")
    for change in changes_in_settings(run, config):
        say(f"note: {change}")


def _last_step(run: Path) -> int:
    """Return the step of the newest whole checkpoint, 0 if there is none."""
    latest = checkpoint.latest_checkpoint(run)
    return int(latest.name) if latest else 0


def _finished_steps(run: Path) -> int:
    """Return the steps of the finished model in a run folder, 0 if there is none or if it is damaged."""
    if not (run / "model.json").is_file():
        return 0
    try:
        training = checkpoint.verify_model(run).get("training", {})
    except FileProblem as problem:
        say(f"note: {problem}; it is made again from the last checkpoint")
        return 0
    return int(training.get("run", {}).get("train", {}).get("steps", 0))
