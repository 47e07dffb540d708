"""From a prompt to pixels: our shipped model, beside Wan's pipeline at equal size, parameters and number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from chronotope.bench.autoencoder import equal_wan
from chronotope.bench.lines import AGAIN, OURS, Line, Section, lines_of
from chronotope.bench.measure import in_turns
from chronotope.bench.peers import PEERS, TEXT, import_diffusers, parameters_of
from chronotope.bench.training import WIDTH
from chronotope.generate.pipeline import Generator
from chronotope.models.precision import multiplies_bfloat16

__all__ = ["measure_sampling", "wan_pipeline"]

PROMPT = "a fox walks to the right in green hills"
STEPS, FRAMES, SIZE = 10, 17, (96, 64)  # 120 tokens in both
NOT_MEASURED = (Line("matched success", "Wan, LTX", None, "", None, ">= 4", "needs peers trained on the same clips"),)


def measure_sampling(against: str, rounds: int) -> Section:
    """Measure whole calls, of the text encoder and the autoencoder too where ours has them."""
    ours = Generator.load("small", precision="fp32")

    def generate(generator: Generator = ours) -> Any:
        return generator.generate(
            PROMPT, width=SIZE[0], height=SIZE[1], num_frames=FRAMES, num_inference_steps=STEPS, seed=0
        )

    calls: dict[str, Callable[[], Any]] = {OURS: generate, AGAIN: generate}
    notes = {OURS: f"{sum(map(parameters_of, ours.networks)) / 1e6:.1f} M parameters"}
    if multiplies_bfloat16(torch.device("cpu")):
        half = Generator.load("small", precision="bf16")
        calls[f"{OURS} bf16"] = lambda: generate(half)
    if against:
        sizes = [parameters_of(network) for network in ours.networks]
        pipeline = wan_pipeline(PEERS[0].of_size(WIDTH, sizes[1]), equal_wan(sizes[0]))
        calls["Wan"] = lambda: run_wan(pipeline)
        notes["Wan"] = (
            f"{(parameters_of(pipeline.transformer) + parameters_of(pipeline.vae)) / 1e6:.1f} M, given vectors"
        )
    lines = lines_of(f"{FRAMES} frames of {SIZE[0]}x{SIZE[1]}, {STEPS} steps", in_turns(calls, rounds), notes, ">= 2")
    return Section("sampling", "prompt to pixels with guidance, fp32", (*lines, *NOT_MEASURED))


def wan_pipeline(transformer: nn.Module, autoencoder: nn.Module) -> Any:
    """Return Wan's pipeline of these networks; it is given vectors instead of text."""
    diffusers = import_diffusers()
    pipeline = diffusers.WanPipeline(
        tokenizer=None,
        text_encoder=None,
        transformer=transformer.eval().requires_grad_(False),
        vae=autoencoder,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run_wan(pipeline: Any) -> Any:
    """Make one clip."""
    states = torch.randn(2, 1, TEXT, WIDTH)
    return pipeline(
        prompt_embeds=states[0],
        negative_prompt_embeds=states[1],
        width=SIZE[0],
        height=SIZE[1],
        num_frames=FRAMES,
        num_inference_steps=STEPS,
    )
