"""Training steps: forward, backward and AdamW at equal parameters; and what our own optimizers take of a step."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from chronotope.bench.lines import AGAIN, OURS, Line, Section, lines_of
from chronotope.bench.measure import clock, in_turns
from chronotope.bench.peers import CHANNELS, FACTORISED, FRAMES, PEERS, TEXT, parameters_of
from chronotope.config import override
from chronotope.models.costs import SampleSize, dit_flops, orthogonal_flops, text_flops
from chronotope.models.dit import DiT
from chronotope.models.precision import Precision, UsedPrecision, autocast, multiplies_bfloat16
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import Muon, make_optimizers
from chronotope.train.samples import example_pack
from chronotope.train.state import TrainState

__all__ = ["measure_optimiser", "measure_training", "our_step", "peer_step"]

WIDTH, DEPTH = 192, 8  # of the preset small
CASES = ((256, 1, ">= 1.15"), (1024, 1, ">= 1.05"), (256, 4, ">= 1.1"))  # tokens of a sample, samples, the aim
STEP_TOKENS = ((3_800, "<= 8 %"), (16_000, "<= 4 %"))

Step = Callable[[], object]


def run_of(tokens: int) -> DiTRun:
    """Return a run of our transformer on square samples of `FRAMES` slices with so many tokens."""
    side = 16 * round((tokens / FRAMES) ** 0.5)
    settings = [f"model.width={WIDTH}", f"model.depth={DEPTH}", f"defaults.height={side}", f"defaults.width={side}"]
    return override(DiTRun(), settings)


def our_model(run: DiTRun, device: torch.device) -> DiT:
    """Return a transformer whose outputs are no zeros, which would hide the time of gradients."""
    model = DiT(run.model)
    for weights in model.parameters():
        if weights.ndim > 1:
            nn.init.normal_(weights, std=0.02)
    return model.to(device)


def our_step(tokens: int, samples: int, precision: Precision, device: torch.device, compiled: bool = False) -> Step:
    """Return a training step of our transformer."""
    run = run_of(tokens)
    model = our_model(run, device)
    if compiled:
        for block in (*model.text.blocks, *model.blocks):
            block.compile(dynamic=True)
    batch = example_pack(run, SampleSize(tokens, TEXT, FRAMES), samples).to(device)
    return partial(_step, lambda: model(batch), _adamw(model), precision, device)


def peer_step(name: str, tokens: int, samples: int, precision: Precision, device: torch.device) -> tuple[Step, int]:
    """Return a training step of a model of diffusers, and its number of parameters."""
    peer = next(peer for peer in PEERS if peer.name == name)
    side = 2 * round((tokens / FRAMES) ** 0.5)
    model = peer.of_size(WIDTH, parameters_of(DiT(run_of(tokens).model)), side).to(device).train()
    latents = torch.randn(samples, CHANNELS, FRAMES, side, side, device=device)
    states = torch.randn(samples, TEXT, WIDTH, device=device)
    call = partial(peer.run, model, latents, states)
    return partial(_step, call, _adamw(model), precision, device), parameters_of(model)


def _adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)


def _step(
    forward: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    device: torch.device,
) -> None:
    with autocast(device, precision):
        output = forward()
    output.float().square().mean().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def precisions(device: torch.device) -> tuple[UsedPrecision, ...]:
    """Return the precisions worth measuring here."""
    return ("fp32", "bf16") if multiplies_bfloat16(device) else ("fp32",)


def measure_training(against: str, rounds: int, compiled: bool, device: torch.device) -> Section:
    """Measure a step of every model in turns, for each size and precision."""
    lines = list[Line]()
    for tokens, samples, aim in CASES:
        for precision in precisions(device):
            steps = {name: our_step(tokens, samples, precision, device) for name in (OURS, AGAIN)}
            notes = {OURS: f"{parameters_of(DiT(run_of(tokens).model)) / 1e6:.2f} M parameters"}
            if compiled:
                steps[f"{OURS} compiled"] = our_step(tokens, samples, precision, device, compiled=True)
            for name in (peer.name for peer in PEERS if against):
                steps[name], parameters = peer_step(name, tokens, samples, precision, device)
                notes[name] = f"{parameters / 1e6:.2f} M"
            case = f"{samples} x {tokens} tokens, {precision}" if samples > 1 else f"{tokens:,} tokens, {precision}"
            lines += lines_of(case, in_turns(steps, rounds, device), notes, aim, FACTORISED)
    about = f"a step (forward, backward, fused AdamW) with {TEXT} text tokens, random weights"
    return Section("training", about, tuple(lines))


def measure_optimiser(rounds: int, device: torch.device) -> Section:
    """Measure what optimizers, clipping and the running average take of a step of the preset small."""
    return Section(
        "optimiser", "our optimizers, clip and average, as a share of a step", tuple(_shares(rounds, device))
    )


def _shares(rounds: int, device: torch.device) -> Iterator[Line]:
    run = override(DiTRun(), [f"model.width={WIDTH}", f"model.depth={DEPTH}"])
    size = SampleSize(120, TEXT, 5)  # 17 frames of 96x64
    run = override(run, ["defaults.height=64", "defaults.width=96"])
    for precision in precisions(device):
        model = our_model(run, device)
        state = TrainState(model, make_optimizers(model, run.train))
        batch, loss = example_pack(run, size, STEP_TOKENS[0][0] // size.visual).to(device), torch.zeros(())

        times = dict[str, list[float]](passes=[], update=[])
        for number in range(rounds + 1):
            began = clock(device)
            with autocast(device, precision):
                model(batch).float().square().mean().backward()
            passed = clock(device)
            state.optimizer_step(loss, 1.0, run.train.clip_norm, precision)
            state.update_average(run.train.average_decay)
            if number:  # the first one prepares kernels and makes the states
                times["passes"].append(passed - began)
                times["update"].append(clock(device) - passed)
        taken = {name: statistics.median(each) for name, each in times.items()}
        texts = STEP_TOKENS[0][0] // size.visual
        flops = {
            "passes": 3 * texts * (dit_flops(run.model, size) + text_flops(run.model, size.text)),
            "update": update_flops(make_optimizers(model, run.train)[0]),
        }
        yield from _arithmetic(precision, flops, taken)
        for tokens, aim in STEP_TOKENS:
            whole = taken["passes"] * tokens / STEP_TOKENS[0][0] + taken["update"]
            note = f"{taken['update'] * 1e3:.0f} ms of {whole:.2f} s"
            yield Line(f"{tokens:,} tokens, {precision}", OURS, 100 * taken["update"] / whole, "%", None, aim, note)


def update_flops(optimizer: Muon) -> int:
    """Count the FLOPs with which Muon orthogonalises the matrices of a step; all else is a few a parameter."""
    found = 0
    for group in optimizer.param_groups:
        for weights in group["params"]:
            found += orthogonal_flops(group["split"], weights.shape[0] // group["split"], weights.shape[1])
    return found


def _arithmetic(precision: str, flops: dict[str, int], taken: dict[str, float]) -> Iterator[Line]:
    """Return what the share would be if both parts computed equally fast, which shows what arithmetic alone allows."""
    share = 100 * flops["update"] / (flops["passes"] + flops["update"])
    rates = ", ".join(f"{name} {flops[name] / seconds / 1e9:.0f} GFLOP/s" for name, seconds in taken.items())
    yield Line(f"of the FLOPs, {STEP_TOKENS[0][0]:,} tokens, {precision}", OURS, share, "%", None, "", rates)
