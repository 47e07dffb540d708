"""Training steps: forward, backward and AdamW at equal parameters; and what our own optimizers take of a step."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from chronotope.bench.lines import AGAIN, OURS, Line, Section, lines_of
from chronotope.bench.measure import clock, in_turns
from chronotope.bench.peers import CHANNELS, FACTORISED, FRAMES, PEERS, TEXT, parameters_of
from chronotope.bench.work import seconds_and_flops
from chronotope.config import override
from chronotope.models.costs import SampleSize, dit_flops, orthogonal_flops, text_flops
from chronotope.models.dit import DiT
from chronotope.models.precision import Precision, UsedPrecision, autocast, multiplies_bfloat16
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import Muon, make_optimizers
from chronotope.train.samples import example_pack
from chronotope.train.state import TrainState

__all__ = [
    "Step",
    "compile_blocks",
    "measure_compiled",
    "measure_optimiser",
    "measure_training",
    "our_step",
    "peer_step",
]

WIDTH, DEPTH = 192, 8  # of the preset small
CASES = ((256, 1, ">= 1.15"), (1024, 1, ">= 1.05"), (256, 4, ">= 1.1"))  # tokens of a sample, samples, the aim
EAGER = f"{OURS} eager"
STEP_TOKENS = ((3_800, "<= 8 %"), (16_000, "<= 4 %"))


@dataclass(frozen=True)
class Step:
    """A training step: forward and backward pass of `model`, and AdamW."""

    model: nn.Module
    forward: Callable[[], Tensor]
    optimizer: torch.optim.Optimizer
    precision: Precision
    device: torch.device

    def __call__(self) -> None:
        with autocast(self.device, self.precision):
            output = self.forward()
        output.float().square().mean().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


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


def our_step(tokens: int, samples: int, precision: Precision, device: torch.device) -> Step:
    """Return a training step of our transformer."""
    run = run_of(tokens)
    model = our_model(run, device)
    batch = example_pack(run, SampleSize(tokens, TEXT, FRAMES), samples).to(device)
    return Step(model, lambda: model(batch), _adamw(model), precision, device)


def peer_step(name: str, tokens: int, samples: int, precision: Precision, device: torch.device) -> Step:
    """Return a training step of a model of diffusers."""
    peer = next(peer for peer in PEERS if peer.name == name)
    side = 2 * round((tokens / FRAMES) ** 0.5)
    model = peer.of_size(WIDTH, parameters_of(DiT(run_of(tokens).model)), side).to(device).train()
    latents = torch.randn(samples, CHANNELS, FRAMES, side, side, device=device)
    states = torch.randn(samples, TEXT, WIDTH, device=device)
    return Step(model, partial(peer.run, model, latents, states), _adamw(model), precision, device)


def compile_blocks(model: nn.Module) -> None:
    """Compile the blocks of a model, those of its text encoder too, one graph for all of a kind."""
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList):
            for block in module:
                block.compile(dynamic=True)


def _adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)


def precisions(device: torch.device) -> tuple[UsedPrecision, ...]:
    """Return the precisions worth measuring here."""
    return ("fp32", "bf16") if multiplies_bfloat16(device) else ("fp32",)


def measure_training(against: str, rounds: int, device: torch.device) -> Section:
    """Measure a step of every model in turns, for each size and precision."""
    lines = list[Line]()
    for tokens, samples, aim in CASES:
        for precision in precisions(device):
            steps = {name: our_step(tokens, samples, precision, device) for name in (OURS, AGAIN)}
            for name in (peer.name for peer in PEERS if against):
                steps[name] = peer_step(name, tokens, samples, precision, device)
            seconds, counts = seconds_and_flops(steps, rounds, device)
            lines += lines_of(
                _case(tokens, samples, precision),
                seconds,
                {name: f"{parameters_of(step.model) / 1e6:.2f} M" for name, step in steps.items() if name != AGAIN},
                aim,
                FACTORISED,
                counts,
            )
    about = f"a step (forward, backward, fused AdamW) with {TEXT} text tokens, random weights"
    return Section("training", about, tuple(lines))


def _case(tokens: int, samples: int, precision: str) -> str:
    return f"{samples} x {tokens} tokens, {precision}" if samples > 1 else f"{tokens:,} tokens, {precision}"


def measure_compiled(against: str, rounds: int, device: torch.device) -> Section:
    """Measure steps whose blocks are compiled, ours eagerly too, where there is a compiler for the device."""
    about = "the steps of the table training with compiled blocks; the ratio is to ours, compiled"
    if reason := no_compiler(device):
        note = f"not measured here: {reason}"
        cases = [(_case(tokens, samples, precision), aim) for tokens, samples, aim in CASES for precision in ("fp32",)]
        return Section("compiled", about, tuple(Line(case, OURS, None, "s", None, aim, note) for case, aim in cases))
    lines = list[Line]()
    for tokens, samples, aim in CASES:
        for precision in precisions(device):
            steps = {name: our_step(tokens, samples, precision, device) for name in (OURS, AGAIN, EAGER)}
            for name in (peer.name for peer in PEERS if against):
                steps[name] = peer_step(name, tokens, samples, precision, device)
            for name, step in steps.items():
                if name != EAGER:
                    compile_blocks(step.model)
            seconds = in_turns(steps, rounds, device)
            lines += lines_of(_case(tokens, samples, precision), seconds, None, aim, FACTORISED)
    return Section("compiled", about, tuple(lines))


def no_compiler(device: torch.device) -> str:
    """Return why torch cannot compile for this device; the empty text where it can."""
    if device.type != "cpu":
        return ""  # Triton comes with torch
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    return "" if any(map(shutil.which, names)) else f"torch.compile needs a C++ compiler, and there is no {names[0]}"


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
        yield from _arithmetic(precision, flops, taken, rate_of_product(rounds, precision, device))
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


def rate_of_product(rounds: int, precision: Precision, device: torch.device, side: int = 1024) -> float:
    """Measure the FLOPs a second of the product of two square matrices, about the most that this machine reaches."""
    matrices = torch.randn(2, side, side, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    seconds = in_turns({OURS: lambda: matrices[0] @ matrices[1]}, 3 * rounds, device)[OURS]
    return float(2 * side**3 / statistics.median(seconds))


def _arithmetic(precision: str, flops: dict[str, int], taken: dict[str, float], peak: float) -> Iterator[Line]:
    """Return two shares that arithmetic allows: if both parts computed equally fast, and if the update did its best."""
    case = f"{STEP_TOKENS[0][0]:,} tokens, {precision}"
    rates = ", ".join(f"{name} {flops[name] / seconds / 1e9:.0f} GFLOP/s" for name, seconds in taken.items())
    share = 100 * flops["update"] / (flops["passes"] + flops["update"])
    yield Line(f"of the FLOPs, {case}", OURS, share, "%", None, "", rates)
    least = flops["update"] / peak
    note = f"products of 1,024x1,024 matrices: {peak / 1e9:.0f} GFLOP/s"
    yield Line(
        f"with the update at the rate of large products, {case}",
        OURS,
        100 * least / (taken["passes"] + least),
        "%",
        note=note,
    )
