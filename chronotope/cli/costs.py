"""Training runs and requests -> the costs that --dry-run prints, counted by `models/costs.py`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from chronotope.cli.terminal import say
from chronotope.errors import UsageError
from chronotope.generate.memory import available_bytes
from chronotope.models.adapter import add_adapter
from chronotope.models.autoencoder import Autoencoder, AutoencoderConfig
from chronotope.models.captioner import DETAILS, LatentCaptioner
from chronotope.models.costs import (
    FLOAT,
    SampleSize,
    autoencoder_flops,
    block_flops,
    captioner_activations,
    captioner_flops,
    count_parameters,
    dit_activations,
    dit_flops,
    expander_activations,
    expander_flops,
    gathered_bytes,
    kept_bytes,
    orthogonal_bytes,
    refinement_bytes,
    shapes_only,
    text_flops,
    velocity_flops,
)
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.expander import PromptExpander
from chronotope.models.precision import Precision, multiplies_bfloat16
from chronotope.train import autoencoder
from chronotope.train.autoencoder import AutoencoderRun, reconstruct_windows
from chronotope.train.config import DiTRun
from chronotope.train.language.captioner import CaptionerRun
from chronotope.train.language.expander import ExpanderRun
from chronotope.train.optimizers import Muon, make_adapter_optimizers, make_optimizers

__all__ = [
    "autoencoder_costs",
    "check_memory",
    "dit_costs",
    "matrices_of",
    "memory_here",
    "memory_problem",
    "sample_of",
    "sampling_costs",
    "say_slow_precision",
]

TEXT_TOKENS = 32  # of a typical caption
SHORT_TOKENS = 16  # of a typical sentence
CLIP_TOKENS = 100  # of a typical clip that the captioner sees
BYTES_PER_PARAMETER = 12  # the weight, its gradient and its running average, in single precision
BYTES_FROZEN = 4  # the weight alone, which the model and its running average share
MUON_BYTES, ADAM_BYTES = 4, 8  # a parameter: the momentum; both moments
BACKWARD = 3  # a training step takes three times the FLOPs of its forward pass; that of an adapter fewer


def sample_of(run: DiTRun) -> SampleSize:
    """Return the size of a sample of a step: a clip of the size that the run generates by default, as far as shown."""
    defaults, geometry = run.defaults, run.geometry
    rows, columns = geometry.token_grid(defaults.height, defaults.width)
    shown = max(1, run.train.max_sample_tokens // (rows * columns))
    slices = min(len(geometry.slices(defaults.num_frames)), shown)
    return SampleSize(slices * rows * columns, TEXT_TOKENS, slices)


def dit_costs(run: DiTRun, processes: int | None = None) -> dict[str, Any]:
    """Count one training step of the transformer, on clips of the size that the run generates by default.

    The memory is that of one of the `processes`, by default those of torchrun, which share the clips of a step.
    """
    defaults, size = run.defaults, sample_of(run)
    slices, shown = len(run.geometry.slices(defaults.num_frames)), size.slices
    rows, columns = run.geometry.token_grid(defaults.height, defaults.width)
    samples = max(1, run.train.batch_tokens // size.visual)
    processes = processes or int(os.environ.get("WORLD_SIZE", "1"))
    share = -(-samples // processes)
    at_once = min(share, max(1, (run.train.pass_tokens or run.train.batch_tokens) // size.visual))
    causal, twice = run.noise_levels.causal, SampleSize(2 * size.visual, size.text, 2 * size.slices)
    largest = twice if causal else size  # slices of a causal sample come twice
    activations = at_once * dit_activations(run.model, largest, run.train.recompute)
    moment = at_once * refinement_bytes(run.model, largest.visual)
    tokens = size.visual + size.text
    flops = round((1 - causal) * dit_flops(run.model, size) + causal * dit_flops(run.model, twice))
    flops += text_flops(run.model, size.text)
    blocks = round((1 - causal) * block_flops(run.model, size) + causal * block_flops(run.model, twice))
    step = BACKWARD * flops + (blocks if run.train.recompute else 0)
    step += 2 * run.student.substeps * flops if run.student.steps else 0  # its teacher passes with and without text
    parameters = count_parameters(run.model)
    with shapes_only():
        model = DiT(run.model)
        if run.adapter.rank:
            optimizers: Sequence[torch.optim.Optimizer] = make_adapter_optimizers(add_adapter(model, run.adapter), 1.0)
        else:
            optimizers = make_optimizers(model, run.train)
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    frozen = sum(each.numel() for each in model.parameters() if not each.requires_grad)
    block = sum(each.numel() for each in model.blocks[0].parameters())
    gathered = gathered_bytes(parameters, block, run.model.depth, _is_half(run)) if processes > 1 else 0
    clip = f"{defaults.num_frames} frames of {defaults.width}x{defaults.height}: "
    clip += f"{slices} slices of {rows}x{columns} tokens"
    if shown < slices:
        clip += f", of which training shows {shown} at a time (train.max_sample_tokens)"
    return {
        "parameters": parameters,
        **({"trained_parameters": trained} if run.adapter.rank else {}),
        "a clip": clip,
        "samples_per_step": samples,
        "tokens_per_step": samples * tokens,
        "flops_per_token": flops // tokens,
        "samples_at_once": at_once,
        "flops_per_step": step * samples,
        "flops_in_all": step * samples * run.train.steps,
        "memory": _memory(
            trained, optimizers, activations, {"gathered": gathered} if gathered else None, frozen, moment, processes
        ),
    }


def _is_half(run: DiTRun) -> bool:
    """Return whether a run on GPUs computes in bfloat16."""
    return run.train.precision != "fp32"


def captioner_costs(run: CaptionerRun) -> dict[str, Any]:
    """Count one training step of the captioner, on typical clips with a typical caption of every level of detail."""
    train, model, details = run.train, run.model, len(DETAILS)
    clips = max(1, train.batch_tokens // CLIP_TOKENS)
    with torch.device("meta"):
        optimizers = make_optimizers(LatentCaptioner(model), train)
    parameters = count_parameters(model)
    activations = clips * captioner_activations(model, CLIP_TOKENS, details, TEXT_TOKENS)
    once, twice = (captioner_flops(model, CLIP_TOKENS, TEXT_TOKENS * texts) for texts in (1, 2))
    flops = BACKWARD * clips * (once + (details - 1) * (twice - once))
    return {
        "parameters": parameters,
        "samples_per_step": clips,
        "flops_per_step": flops,
        "flops_in_all": flops * train.steps,
        "memory": _memory(parameters, optimizers, activations),
    }


def expander_costs(run: ExpanderRun) -> dict[str, Any]:
    """Count one training step of the expander, on pairs of a typical sentence and a typical descriptive caption."""
    train, model, pairs = run.train, run.model, run.train.batch_pairs
    with torch.device("meta"):
        optimizers = make_optimizers(PromptExpander(model), train)
    flops = BACKWARD * pairs * expander_flops(model, SHORT_TOKENS, TEXT_TOKENS)
    parameters = count_parameters(model)
    return {
        "parameters": parameters,
        "samples_per_step": pairs,
        "flops_per_step": flops,
        "flops_in_all": flops * train.steps,
        "memory": _memory(parameters, optimizers, pairs * expander_activations(model, SHORT_TOKENS, TEXT_TOKENS)),
    }


def autoencoder_costs(run: AutoencoderRun) -> dict[str, Any]:
    """Count one training step of the autoencoder."""
    with torch.device("meta"):
        model = Autoencoder(run.model)
        windows = torch.empty(1, 2 * run.model.stride[0], 8 * run.model.stride[1], 8 * run.model.stride[2], 3)
    pixels, parameters = run.pool.batch_pixels, count_parameters(run.model)
    activations = kept_bytes(model, lambda: reconstruct_windows(model, windows, None)) * pixels * 3 // windows.numel()
    optimizers = autoencoder.make_optimizers(model, run.train)
    flops_per_pixel = sum(autoencoder_flops(run.model))
    flops = round(BACKWARD * flops_per_pixel * pixels)
    return {
        "parameters": parameters,
        "pixels_per_step": pixels,
        "flops_per_pixel": round(flops_per_pixel),
        "flops_per_step": flops,
        "flops_in_all": flops * run.train.steps,
        "memory": _memory(parameters, optimizers, activations, {"clips in memory": run.pool.megabytes * 1_000_000}),
    }


def _memory(
    parameters: int,
    optimizers: Sequence[torch.optim.Optimizer],
    activations: int,
    more: dict[str, int] | None = None,
    frozen: int = 0,
    moment: int = 0,
    processes: int = 1,
) -> dict[str, int]:
    """Bytes of a training step in one process by what holds them, and the most that they are together.

    Gradients take the places of activations, so the largest sum is that at the end of the forward pass, which takes
    `moment` more bytes, or that of the optimizer. Some parameters may be frozen.
    """
    state, update = 0, 0
    for optimizer in optimizers:
        numbers = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
        state += numbers * (MUON_BYTES if isinstance(optimizer, Muon) else ADAM_BYTES)
        if isinstance(optimizer, Muon):
            update = max(orthogonal_bytes(-(-count // processes), *shape) for shape, count in matrices_of(optimizer))
    held = (parameters * (BYTES_PER_PARAMETER - FLOAT) + frozen * BYTES_FROZEN + state) // processes
    gradients = parameters * FLOAT // processes
    memory = {
        "weights, gradients, average": (parameters * BYTES_PER_PARAMETER + frozen * BYTES_FROZEN) // processes,
        "optimizer": state // processes,
        "activations": activations,
        **(more or {}),
    }
    most = held + sum((more or {}).values()) + max(activations + moment, gradients + update)
    return {**memory, "at the peak": most}


def matrices_of(optimizer: Muon) -> list[tuple[tuple[int, int], int]]:
    """Return the shapes of the matrices that Muon orthogonalises together, and their numbers."""
    found: Counter[tuple[int, int, int]] = Counter()
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            rows, columns = len(parameter) // group["split"], parameter[0].numel()
            found[group["split"], rows, columns] += group["split"]
    return [((rows, columns), count) for (_, rows, columns), count in found.items()]


def memory_here() -> tuple[int, str]:
    """Return the bytes that a training can take, and whose they are, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory, "this GPU has"
    # processes of one machine share what it has
    return available_bytes() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), "this machine has free"


def memory_problem(costs: dict[str, Any]) -> str | None:
    """Return why a training does not fit this machine, or None.

    Of the activations of a step half are counted: bfloat16 and clips with less text need less than `dit_costs` says,
    and no training that fits may be refused.
    """
    memory, (has, owner) = costs["memory"], memory_here()
    needed = memory["weights, gradients, average"] + memory["optimizer"]
    step = memory["activations"] / 2
    if needed + step <= has:
        return None
    if needed > has:
        what, smaller = "weights, gradients and optimizer", "model.width or model.depth"
    else:
        needed += step
        what = "weights, gradients, optimizer and the activations of a step"
        smaller = "pool.batch_pixels"
        if samples := costs.get("samples_at_once", costs.get("samples_per_step")):
            smaller = "train.batch_tokens" if samples > 1 else "train.max_sample_tokens"
    return (
        f"{costs['parameters']:,} parameters need {needed / 1e9:,.1f} GB for {what}, and "
        f"{owner} {has / 1e9:,.1f} GB; make {smaller} smaller"
    )


def check_memory(costs: dict[str, Any]) -> None:
    """Raise UsageError, before any work, where a training does not fit this machine."""
    if problem := memory_problem(costs):
        raise UsageError(problem)


def say_slow_precision(asked: Precision, device: torch.device) -> None:
    """Say in a note where bfloat16 was asked for and takes longer than single precision."""
    if asked == "bf16" and not multiplies_bfloat16(device):
        say(
            f"note: this {'GPU' if device.type == 'cuda' else 'processor'} has no instructions for bfloat16, so "
            "--precision bf16 takes several times longer than fp32 here"
        )


def sampling_costs(
    configs: tuple[DiTConfig, AutoencoderConfig],
    size: SampleSize,
    pixels: int,
    num_steps: int,
    heun: bool,
    negative_tokens: int,
    guided: Sequence[bool],
) -> dict[str, Any]:
    """Count generating one video in windows of `size`, of which some are guided, and decoding its `pixels`.

    `flops_per_velocity` is that of the first window.
    """
    transformer, decoder = configs
    evaluations = 2 * num_steps - 1 if heun else num_steps
    velocities = [velocity_flops(transformer, size, negative_tokens if twice else None) for twice in guided]
    return {
        "parameters": {"transformer": count_parameters(transformer), "autoencoder": count_parameters(decoder)},
        "flops_per_velocity": velocities[0] if velocities else 0,
        "flops_sampling": sum(velocities) * evaluations,
        "flops_decoding": round(autoencoder_flops(decoder)[1] * pixels),
    }
