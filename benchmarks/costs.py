"""Compare what `train dit --dry-run` counts with training steps: FLOPs, and the bytes of live tensors at the peak.

`python -m benchmarks.costs` runs 20 small configurations and writes benchmarks/costs.json.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from chronotope.cli.costs import dit_costs, sample_of
from chronotope.config import override
from chronotope.models.dit import DiT
from chronotope.storage import write_json
from chronotope.train.config import DiTRun
from chronotope.train.optimizers import make_optimizers
from chronotope.train.samples import example_pack
from chronotope.train.state import TrainState

RESULTS = Path(__file__).with_suffix(".json")
BOUND = 0.15
STEPS = 2  # the first makes the states of the optimizers


@dataclass(frozen=True)
class Case:
    """Sizes of a model, of its samples (frames, height, width) and their number in a step."""

    width: int
    depth: int
    frames: int
    height: int
    width_px: int
    samples: int
    recompute: bool = False
    more: tuple[str, ...] = ()

    def run(self) -> DiTRun:
        """Return a run whose steps have these samples in one pass."""
        sizes = [f"defaults.num_frames={self.frames}", f"defaults.height={self.height}"]
        sizes += [f"defaults.width={self.width_px}", f"model.width={self.width}", f"model.depth={self.depth}"]
        run = override(DiTRun(), [*sizes, "model.head_dim=32", "train.precision=fp32", *self.more])
        tokens = self.samples * sample_of(run).visual
        return replace(run, train=replace(run.train, batch_tokens=tokens, recompute=self.recompute))


CASES = (
    Case(64, 2, 16, 64, 64, 4),
    Case(64, 2, 1, 64, 64, 16),
    Case(64, 8, 16, 64, 64, 2),
    Case(96, 4, 17, 64, 64, 4),
    Case(96, 4, 17, 64, 64, 4, recompute=True),
    Case(128, 4, 16, 64, 64, 4),
    Case(128, 4, 16, 64, 96, 8),
    Case(128, 4, 16, 64, 96, 8, recompute=True),
    Case(128, 8, 32, 96, 96, 1),
    Case(128, 4, 1, 128, 128, 4),
    Case(128, 4, 16, 64, 64, 2, more=("model.mlp_ratio=4.0",)),
    Case(128, 4, 16, 64, 64, 2, more=("model.text_width=96",)),
    Case(192, 8, 16, 64, 96, 4),
    Case(192, 8, 16, 64, 96, 4, recompute=True),
    Case(192, 8, 16, 64, 96, 1),
    Case(192, 2, 64, 96, 96, 1),
    Case(256, 4, 16, 64, 64, 2),
    Case(256, 4, 16, 64, 64, 8, recompute=True),
    Case(384, 6, 8, 64, 64, 1),
    Case(384, 6, 16, 64, 96, 4),
)


class LiveBytes(TorchDispatchMode):
    """Count the bytes of all storages that operations make, as long as they live, and the most at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self.known: set[int] = set()

    def add(self, tensor: Tensor) -> None:
        """Count the storage of a tensor, once."""
        storage = tensor.untyped_storage()
        if (key := storage._cdata) in self.known or not storage.nbytes():
            return
        self.known.add(key)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._remove, key, storage.nbytes())

    def _remove(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.add(tensor)
        return made


def measured_bytes(case: Case) -> int:
    """Return the most bytes of live tensors in a training step after the first."""
    state, batch = _state_of(case), _batch_of(case)
    with LiveBytes() as live:
        for parameter in (*state.model.parameters(), *state.average.parameters()):
            live.add(parameter)
        for _ in range(STEPS):
            live.most = live.now
            loss = state.model(batch).square().mean()
            loss.backward()
            state.optimizer_step(loss, 1.0, 1.0, "fp32")
            state.update_average(0.99)
            state.losses.clear()
            del loss
    return live.most


def measured_flops(case: Case) -> int:
    """Return the operations of a forward and a backward pass; attention is written out, so that all are counted."""
    model, batch = _state_of(case).model, _batch_of(case)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(batch).square().mean().backward()
    return counter.get_total_flops()


def _state_of(case: Case) -> TrainState:
    run = case.run()
    torch.manual_seed(0)
    model = DiT(run.model)
    model.recompute = run.train.recompute
    with torch.no_grad():
        for module in model.modules():  # outputs of zeros would hide gradients
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=0.02)
    return TrainState(model, make_optimizers(model, run.train))


def _batch_of(case: Case) -> Any:
    run = case.run()
    return example_pack(run, sample_of(run), case.samples)


def measure(cases: tuple[Case, ...] = CASES) -> list[dict[str, Any]]:
    """Return of each configuration what was counted, what was measured, and their ratios."""
    rows = []
    for case in cases:
        costs = dit_costs(case.run(), processes=1)
        flops, most = measured_flops(case), measured_bytes(case)
        measured = {"flops": flops, "bytes": most}
        counted = {"flops": costs["flops_per_step"], "bytes": costs["memory"]["at the peak"]}
        ratios = {what: counted[what] / measured[what] for what in measured}
        rows.append({"case": vars(case), "counted": counted, "measured": measured, "ratio": ratios})
        said = ", ".join(f"{what} x {ratio:.3f}" for what, ratio in ratios.items())
        print(f"{case}: {said} of {most / 1e6:.1f} MB", flush=True)
    return rows


def main() -> None:
    """Measure all configurations and write them."""
    torch.set_num_threads(1)
    rows = measure()
    worst = {what: max(abs(row["ratio"][what] - 1) for row in rows) for what in ("flops", "bytes")}
    write_json(RESULTS, {"torch": torch.__version__, "threads": 1, "bound": BOUND, "worst": worst, "rows": rows})
    print(f"worst: {worst}")


if __name__ == "__main__":
    main()
