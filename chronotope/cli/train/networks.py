"""What the commands of `chronotope train` do: settings and data -> trained models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chronotope import checkpoint
from chronotope.cli.language.captioners import load_captioner
from chronotope.cli.left_out import scan_and_say
from chronotope.cli.terminal import say
from chronotope.cli.train.latents import check_folders, check_names, prepare_heldout, prepare_sources
from chronotope.cli.train.limits import say_far_larger
from chronotope.cli.train.resume import train_or_resume, writing_run
from chronotope.cli.train.samples import progress_sampler, prompts_to_watch
from chronotope.cli.train.start import inferred_run, with_defaults_of_clips
from chronotope.cli.train.text import read_captions
from chronotope.cli.use import say_unsealed
from chronotope.config import names_of, override
from chronotope.data.encode import NO_LIMITS
from chronotope.data.latents import LatentDataset, fingerprint, read_header
from chronotope.data.limits import Limits
from chronotope.data.record import data_of_clips, data_of_latents, note_latents
from chronotope.data.rendered import find_worlds
from chronotope.errors import UsageError
from chronotope.flow.path import FlowConfig
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder, model_description
from chronotope.media.generated import generated_by, generated_in_words
from chronotope.parallel import join_ranks
from chronotope.presets import Preset, find_preset
from chronotope.train.autoencoder import AutoencoderRun, is_frozen, train_autoencoder
from chronotope.train.config import DiTRun
from chronotope.train.dit import check_compatible, train_dit
from chronotope.train.fit import check_latents
from chronotope.train.language.captioner import CaptionerRun, check_sizes, train_captioner
from chronotope.train.language.expander import ExpanderRun, train_expander
from chronotope.train.language.pairs import read_pairs

__all__ = [
    "Shown",
    "adapter_config",
    "autoencoder_config",
    "autoencoder_start",
    "captioner_config",
    "captioner_start",
    "check_shown",
    "check_sources",
    "check_videos",
    "dit_config",
    "expander_config",
    "run_autoencoder",
    "run_captioner",
    "run_dit",
    "run_expander",
]

ADAPTER_STEPS = 1000  # of an adapter without a preset

Run = TypeVar("Run", AutoencoderRun, CaptionerRun, DiTRun, ExpanderRun)


def autoencoder_config(preset: str, seed: int | None, settings: Sequence[str]) -> AutoencoderRun:
    """Return the autoencoder's run of a preset, changed by a seed and by `--set` settings."""
    return with_settings(preset_of(preset).autoencoder, seed, settings)


def dit_config(preset: str | None, seed: int | None, settings: Sequence[str], start: str | None = None) -> DiTRun:
    """Return the transformer's run of a preset, changed by a seed and by `--set` settings.

    Without a preset, the run is inferred from the model to start from, which is said.
    """
    if preset is not None:
        run = preset_of(preset).dit
    elif start is not None:
        run, said = inferred_run(find_model(start) / "dit")
        say(said)
    else:
        raise UsageError("name the sizes and the recipe with --preset, or a model to start from with --from")
    run = checked_dit(with_settings(run, seed, settings))
    for sentence in _without_effect(run, settings):
        say(f"note: not used: {sentence}")
    return run


def _without_effect(run: DiTRun, settings: Sequence[str]) -> Iterator[str]:
    """Say which settings change nothing of this training, because they are of an adapter, of a student, or of none."""
    for name in sorted(names_of(settings)):
        if run.adapter.rank and name in ("train.muon_rate", "train.adam_rate"):
            yield f"{name}; the rate of an adapter is train.adapter_rate"
        if not run.adapter.rank and name == "train.adapter_rate":
            yield f"{name}; this training is of no adapter"
        if not run.student.steps and name.startswith("student."):
            yield f"{name}; this training is of no student, which student.steps makes it"


def adapter_config(
    preset: str | None, start: str | None, rank: int, seed: int | None, settings: Sequence[str]
) -> DiTRun:
    """Return the run of an adapter of the model `start`: of a preset, or without one of the sizes of that model."""
    if start is None:
        raise UsageError("an adapter is trained on the weights of a model; name it, for example --from small")
    settled = preset or "train.steps" in names_of(settings)
    steps = [] if settled else [f"train.steps={ADAPTER_STEPS}"]
    return dit_config(preset, seed, [f"adapter.rank={rank}", *steps, *settings], start)


def checked_dit(run: DiTRun) -> DiTRun:
    """Return a run of the transformer; refuse and note what does not go together in its settings."""
    width, height, most = run.defaults.width, run.defaults.height, run.train.max_sample_tokens
    if run.flow.deviation != FlowConfig().deviation:
        raise UsageError("flow.deviation is measured on the latents when a training begins; leave it out")
    if (tokens := run.geometry.num_tokens(1, height, width)) > most:
        say(
            f"note: a slice of {width}x{height} has {tokens} tokens, more than train.max_sample_tokens={most}, so "
            "training shows one slice at a time of a clip of that size"
        )
    return run


def with_settings(run: Run, seed: int | None, settings: Sequence[str]) -> Run:
    """Change a run, by --seed as by a setting; say where its learning rates never reach their value."""
    run = override(run, [*settings, *([] if seed is None else [f"seed={seed}"])])
    if run.train.warmup >= run.train.steps:
        say(
            f"note: the warm-up of the learning rates (train.warmup={run.train.warmup}) takes the whole training "
            f"(train.steps={run.train.steps})"
        )
    return run


def preset_of(name: str) -> Preset:
    """Find a preset; warn of one that was never trained, or fits no device."""
    preset = find_preset(name)
    if not preset.is_trained:
        kept = "" if preset.gigabytes else "; --dry-run counts what it takes"
        say(f"note: preset {name}: {preset.about}{kept}")
    return preset


def autoencoder_start(config: AutoencoderRun, name: str, settings: Sequence[str] = ()) -> Path:
    """Return the folder of the autoencoder to train on; say where a setting has no effect on it.

    Raises UsageError for one of other sizes than the config.
    """
    start = find_model(name)
    start = start / "autoencoder" if (start / "autoencoder").is_dir() else start
    trained = load_autoencoder(start)
    say_unsealed(start)
    if trained.config != config.model:
        raise UsageError(
            f"{start} has other sizes than the preset: {trained.config} and not {config.model}; "
            "take the preset it was trained with"
        )
    if is_frozen(trained.state_dict()) and "train.freeze_encoder_from" in names_of(settings):
        say(f"note: not used: train.freeze_encoder_from; the encoder of {start} is frozen")
    return start


def check_videos(data: Sequence[Path], out: Path | None) -> None:
    """Refuse, before any work, folders that no autoencoder is trained on."""
    check_folders(data, out)
    for folder in data:
        if (folder / "latents.json").is_file():
            raise UsageError(f"{folder} holds latents; the autoencoder is trained on the videos they were made from")


def run_autoencoder(
    config: AutoencoderRun, data: Sequence[Path], out: Path, start: Path | None = None
) -> tuple[Path, int]:
    """Train `out`/autoencoder, or continue it; with `start`, train the decoder of that autoencoder further.

    Returns the run and how many clips were left out, because they cannot be read.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("the autoencoder is trained in one process; start `train autoencoder` without torchrun")
    run = out / "autoencoder"
    datasets = []
    check_videos(data, out)
    for folder in data:
        datasets.append(scan_and_say(folder).clips)
        for sentence in generated_in_words(folder, {clip.file: generated_by(clip.path) for clip in datasets[-1]}):
            say(f"note: {sentence}")
        find_worlds(folder, lambda sentence: say(f"note: {sentence}"))  # of a split that is meant for evaluation

    def train(stopping: Callable[[], bool]) -> dict[str, Any]:
        return train_autoencoder(config, data, run, start, stopping=stopping)

    with writing_run(run):
        numbers = train_or_resume(run, config, lambda: data_of_clips(datasets), train, anew=start is not None)
    return run, int(numbers.get("left_out", 0))


def check_sources(
    config: DiTRun, data: Sequence[Path], out: Path | None, source: str | None, start_from: str | None
) -> None:
    """Refuse, before any work, the weights, the autoencoder and the latents that do not fit the transformer."""
    if config.adapter.rank and not start_from:
        raise UsageError("an adapter is trained on the weights of a model; name it, for example --from small")
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


@dataclass(frozen=True)
class Shown:
    """Folders of clips or latents with their weights, the limits of clips, and folders that are not trained on."""

    folders: Sequence[Path]
    weights: Sequence[float] | None = None
    limits: Limits = NO_LIMITS
    heldout: Sequence[Path] = ()


def check_shown(shown: Shown, out: Path | None) -> None:
    """Refuse, before any work, folders that are missing, or named twice, and names that would mix them."""
    check_folders(shown.folders, out)
    check_folders(shown.heldout, out)
    if both := {folder.resolve() for folder in shown.folders} & {folder.resolve() for folder in shown.heldout}:
        raise UsageError(f"{min(both)} is named by --data and by --heldout; clips are trained on or held out")
    check_names(shown.folders, shown.heldout)


def run_dit(
    config: DiTRun,
    shown: Shown,
    out: Path,
    autoencoder_from: str | None,
    start_from: str | None,
    settings: Sequence[str] = (),
    watch: Callable[[], None] = lambda: None,
) -> tuple[Path, int]:
    """Train `out`/dit, or continue it; folders of clips are encoded into `out`/latents first.

    With `start_from`, training starts from that model's transformer and uses its autoencoder, and samples have the size
    of the user's clips, but for what `settings` say. `watch` is called after samples were made. Returns the run and how
    many clips were left out, because they cannot be read.
    """
    check_shown(shown, out)
    with writing_run(out / "dit"):
        return _run_dit(config, shown, out, autoencoder_from, start_from, settings, watch)


def _run_dit(
    config: DiTRun,
    shown: Shown,
    out: Path,
    autoencoder_from: str | None,
    start_from: str | None,
    settings: Sequence[str],
    watch: Callable[[], None],
) -> tuple[Path, int]:
    run = out / "dit"
    start = find_model(start_from) / "dit" if start_from else None

    def before(folder: Path) -> None:
        say_far_larger(folder, config, shown.limits)

    found = prepare_sources(shown.folders, out, autoencoder_from or start_from, shown.limits, before, shown.weights)
    if start:
        _check_same_start(run, start, lambda: Generator.load(start.parent).names["dit"])
        if join_ranks().first:
            say_unsealed(start)
    if start or config.actions.use:  # a game is played at the size and rate of its clips, whoever made them
        config, said = with_defaults_of_clips(config, found.dataset, settings, rendered=config.actions.use)
        if said and join_ranks().first:
            say(said)
    if join_ranks().first:
        note_latents(run, found.latents)
    heldout = prepare_heldout(shown.heldout, found, out, start, shown.limits)
    prompts = prompts_to_watch(found.dataset, LatentDataset(heldout) if heldout else None)
    read_captions(config, found.dataset, heldout, run, prompts, start)
    sampler = progress_sampler(found.autoencoder, prompts, watch)

    def train(stopping: Callable[[], bool]) -> dict[str, Any]:
        return train_dit(config, found.latents, run, sampler, start, False, stopping, shown.weights, heldout)

    train_or_resume(run, config, lambda: data_of_latents(found.dataset), train)
    return run, found.left_out


def _check_same_start(run: Path, start: Path, weights: Callable[[], str]) -> None:
    """Refuse weights to start from where the run began from others, or from none: they would not be used.

    `weights()` is the fingerprint of those in `start`.
    """
    begun = checkpoint.latest_checkpoint(run) or (run if (run / "model.json").is_file() else None)
    if begun is None:
        return
    before, now = checkpoint.read_description(begun).get("started_from"), weights()
    if before is None:
        raise UsageError(f"{run} was begun without weights to start from; leave --from out, or give another --out")
    if before != now:
        raise UsageError(f"{run} was begun from the weights {before}, and {start} are {now}; give another --out")


def captioner_config(preset: str, seed: int | None, settings: Sequence[str]) -> CaptionerRun:
    """Return the captioner's run of a preset, changed by a seed and by `--set` settings."""
    return with_settings(preset_of(preset).captioner, seed, settings)


def captioner_start(config: CaptionerRun, name: str, settings: Sequence[str] = ()) -> Path:
    """Return the folder of the captioner to train on; say where a setting has no effect on it.

    Raises UsageError for one of other sizes than the config.
    """
    start = find_model(name) / "captioner"
    load_captioner(start.parent)
    check_sizes(config.model, start)
    say_unsealed(start)
    if "model.vocabulary_size" in names_of(settings):
        say(f"note: not used: model.vocabulary_size; the vocabulary of {start} is kept")
    return start


def run_captioner(
    config: CaptionerRun,
    data: Sequence[Path],
    out: Path,
    autoencoder_from: str | None,
    start: Path | None = None,
) -> tuple[Path, int]:
    """Train `out`/captioner, or continue it; folders of clips are encoded into `out`/latents first.

    With `start`, training starts from that captioner and uses its autoencoder. Returns the run and how many clips were
    left out, because they cannot be read.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("the captioner is trained in one process; start `train captioner` without torchrun")
    check_folders(data, out)
    run = out / "captioner"
    with writing_run(run):
        if start:
            _check_same_start(run, start, lambda: fingerprint(load_captioner(start.parent).network))
        found = prepare_sources(data, out, autoencoder_from or (str(start.parent) if start else None))

        def train(stopping: Callable[[], bool]) -> dict[str, Any]:
            return train_captioner(config, found.latents, run, start, stopping=stopping)

        train_or_resume(run, config, lambda: data_of_latents(found.dataset), train)
    return run, found.left_out


def expander_config(preset: str, seed: int | None, settings: Sequence[str]) -> ExpanderRun:
    """Return the expander's run of a preset, changed by a seed and by `--set` settings."""
    return with_settings(preset_of(preset).expander, seed, settings)


def run_expander(config: ExpanderRun, data: Sequence[Path], out: Path) -> tuple[Path, int]:
    """Train `out`/expander on the captions in folders of clips or latents, or continue it.

    Returns the run and how many clips were left out, because their captions cannot be read.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("the expander is trained in one process; start `train expander` without torchrun")
    check_folders(data, out)
    run = out / "expander"
    with writing_run(run):
        pairs = read_pairs(data, lambda sentence: say(f"note: {sentence}"))
        for item in pairs.left_out:
            say(f"left out: {item.key}: {item.reason}")

        def train(stopping: Callable[[], bool]) -> dict[str, Any]:
            return train_expander(config, pairs, run, stopping=stopping)

        train_or_resume(run, config, lambda: list(pairs.data), train)
    return run, len(pairs.left_out)
