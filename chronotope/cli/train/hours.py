"""Hours of this machine -> the size, the tokens and the steps of a transformer that it can train in that time.

The speed is measured: one step of each size, from the smallest on. The size is the largest one that sees enough tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from chronotope.cli.costs import dit_costs, memory_problem, sample_of
from chronotope.config import names_of, override
from chronotope.errors import UsageError
from chronotope.models.dit import DiT
from chronotope.models.precision import autocast
from chronotope.parallel import from_first, join_ranks
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import make_optimizers
from chronotope.train.same_run import settings_of_run
from chronotope.train.samples import example_pack
from chronotope.train.state import TrainState

__all__ = ["SIZES", "chosen_for_hours", "chosen_for_run", "seconds_per_step"]

SIZES = ((128, 4), (192, 8), (256, 12), (384, 12), (512, 16), (768, 20), (1024, 24), (1792, 32))  # width, depth
TOKENS_PER_PARAMETER = 9  # that `small` saw in its training, the largest one that was measured here
SHARE = 0.9  # of the time for steps; the rest for samples, checkpoints and held-out losses
FEWEST_STEPS = 100
MEASURED_TOKENS = 1024  # visual tokens of the forward and backward pass that is timed, or one sample
CHOSEN = ("model.width", "model.depth", "train.steps")


def chosen_for_hours(
    run: DiTRun, hours: float, settings: Sequence[str], seconds_of: Callable[[DiTRun], float] | None = None
) -> tuple[DiTRun, str]:
    """Return a run that this machine trains in so many hours, and a sentence on why it has this size.

    `seconds_of` a run are those of one of its steps, measured here by default. Raises UsageError where a setting fixes
    what is chosen, or the time is too short for the smallest size.
    """
    fixed = names_of(settings) & {*CHOSEN, "model.head_dim"}
    if fixed:
        raise UsageError(f"--hours chooses {', '.join(CHOSEN)}; leave out --hours, or --set {min(fixed)}")
    best, ended = None, "it is the largest size of the list"
    for width, depth in SIZES:
        candidate = override(run, [f"model.width={width}", f"model.depth={depth}", "model.head_dim=64"])
        if memory_problem(dit_costs(candidate)):
            ended = f"width {width}, depth {depth} does not fit the memory"
            break
        seconds = (seconds_of or seconds_per_step)(candidate)
        costs, steps = dit_costs(candidate), int(SHARE * 3600 * hours / seconds)
        seen = steps * run.train.batch_tokens / costs["parameters"]
        if seen < TOKENS_PER_PARAMETER and best:
            ended = f"width {width}, depth {depth} would see {seen:.2g} tokens a parameter"
            break
        if steps < FEWEST_STEPS:
            raise UsageError(
                f"a step of the smallest size takes {seconds:.2g} s here, so {hours:g} hours are {steps} steps, and a "
                f"training needs {FEWEST_STEPS} or more; give more hours, or a smaller train.batch_tokens"
            )
        chosen = replace(
            candidate, train=replace(candidate.train, steps=steps, warmup=min(run.train.warmup, steps // 10))
        )
        best = chosen, seconds, seen, costs["parameters"]
        if seen < TOKENS_PER_PARAMETER:
            ended = "it is the smallest size of the list"
            break
    assert best is not None
    chosen, seconds, seen, parameters = best
    return chosen, (
        f"--hours {hours:g}: width {chosen.model.width}, depth {chosen.model.depth} ({parameters / 1e6:.1f} M "
        f"parameters), {chosen.train.steps:,} steps of {run.train.batch_tokens:,} tokens at {seconds:.3g} s, measured "
        f"here; that is {seen:.2g} tokens a parameter, of which the preset small saw {TOKENS_PER_PARAMETER}; {ended}"
    )


def chosen_for_run(run: DiTRun, hours: float, settings: Sequence[str], out: Path | None) -> tuple[DiTRun, str]:
    """Do as `chosen_for_hours`, alike in all processes; a training in `out` that goes on keeps what it began with."""
    before = settings_of_run(out / "dit") if out else None
    if before:
        kept = {name: before[name] for name in (*CHOSEN, "model.head_dim", "train.warmup") if name in before}
        said = ", ".join(f"{name}={value}" for name, value in kept.items())
        return override(run, [f"{name}={value}" for name, value in kept.items()]), (
            f"note: not used: --hours {hours:g}; this training has begun and goes on as it began: {said}"
        )
    return from_first(join_ranks(), lambda: chosen_for_hours(run, hours, settings))


def seconds_per_step(run: DiTRun) -> float:
    """Measure a training step on made-up samples: part of the passes, then the optimizers and the average, twice."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = DiT(run.model).to(device)
    model.recompute = run.train.recompute
    state = TrainState(model, make_optimizers(model, run.train))
    size = sample_of(run)
    samples = max(1, min(MEASURED_TOKENS, run.train.batch_tokens) // size.visual)
    batch, found = example_pack(run, size, samples), list[float]()
    batch = batch.to(device)
    for _ in range(2):
        times = [_now(device)]
        with autocast(device, run.train.precision):
            loss = model(batch).float().square().mean()
        loss.backward()
        times.append(_now(device))
        state.optimizer_step(loss, 1.0, run.train.clip_norm, run.train.precision)
        state.update_average(run.train.average_decay)
        times.append(_now(device))
        passes = run.train.batch_tokens / (samples * size.visual)
        found.append(passes * (times[1] - times[0]) + times[2] - times[1])
    return min(found)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
