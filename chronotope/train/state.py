"""The resumable state of a training run in one object, with saving and loading.

Noise is a function of (seed, step), and the clips of a step are one of the seed, `clips` and `waiting`, so these are
both the position in the data and the random state.
A step whose loss or gradient is not finite changes nothing but the counters. Where several processes hold the rows of
the tensors, they call the same methods together, and a checkpoint of any number of processes is read by any other.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from chronotope import checkpoint
from chronotope.errors import ChronotopeError, FileProblem, UsageError
from chronotope.generate.stored.load import computed_with
from chronotope.models.precision import Precision, autocast
from chronotope.parallel import (
    Ranks,
    StorageProblem,
    from_all,
    from_first,
    gathered,
    in_all,
    local,
    read_shards,
    stored_shapes,
    sum_over_ranks,
    whole,
    write_shards,
    write_together,
)
from chronotope.storage import free_space_for, remove_folder
from chronotope.train.log import changes_in_log, seal_of_log

__all__ = ["LEAST_RATE", "TrainState", "check_rates", "random_generator"]

COUNTERS = (
    "step",
    "clips",
    "waiting",
    "tokens",
    "flops",
    "seconds",
    "skipped",
    "norms",
    "numbers",
)  # fields of TrainState in state.json
LEAST_RATE = torch.finfo(torch.float32).tiny  # of learning
MAX_SKIPPED = 3  # steps in a row without a finite gradient end a run
KEPT = 2  # checkpoints of a run
NORMS = 64  # steps whose gradient norms a spike is compared with


def check_rates(muon: float, adam: float) -> None:
    """Raise UsageError for learning rates that move no weight; one of them may be 0, which freezes its weights."""
    if max(muon, adam) < LEAST_RATE:
        raise UsageError(
            f"train.muon_rate = {muon:g} and train.adam_rate = {adam:g} change no weight in single precision, so "
            "nothing would be learned; give at least one that does, such as the preset's"
        )


def random_generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a random generator that depends only on the seed and the step."""
    # mixed as in splitmix64, so that neighbouring seeds and steps give unrelated numbers
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
    return torch.Generator(device).manual_seed(mixed)


@dataclass
class TrainState:
    """Weights, their running average, optimizers, and the counters of a run.

    Learning rates at construction are the base rates, which `optimizer_step` scales. `waiting` are the places in the
    order of the clips that were passed over (see `train.order`), `clips` counts those that were shown. `skipped` counts
    the last steps in a row that were skipped, `norms` are the gradient norms with which a spike is compared, `losses`
    are those since the last line of the log, `numbers` are the last logged ones. `beside` are networks that the
    training needs and the model does not, by name; they are stored where one process trains. The average begins as
    `copied`, or as a copy of the model: one that is divided over `ranks` cannot be copied.
    """

    model: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    step: int = 0
    clips: int = 0
    waiting: Sequence[int] = ()
    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    skipped: int = 0
    norms: list[float] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    ranks: Ranks = field(default_factory=Ranks)
    beside: Mapping[str, nn.Module] = field(default_factory=dict)
    copied: InitVar[nn.Module | None] = None
    average: nn.Module = field(init=False)

    def __post_init__(self, copied: nn.Module | None) -> None:
        self.average = (copied or copy.deepcopy(self.model)).requires_grad_(False).eval()
        self.gradient_norm, self.update_norm = 0.0, 0.0  # of the last step, and of the last one that was measured
        self._damaged: list[Path] = []  # checkpoints that were found damaged when the run was resumed
        self._base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    # What an adapter does in another way, because most of its weights are frozen and are those of its base

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights of the model, or of the average, that a checkpoint holds."""
        return model.state_dict()

    def save_average(self, folder: Path, description: Mapping[str, Any], dtype: torch.dtype | None = None) -> None:
        """Write the averaged weights as a model; `dtype` converts them."""
        tensors = gathered(self.weights(self.average), self.ranks)
        in_all(self.ranks, lambda: self.write_average(folder, tensors, description, dtype) if tensors else None)

    def write_average(
        self, folder: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any], dtype: torch.dtype | None
    ) -> None:
        """Write what `weights` returned of the average, in whole tensors."""
        checkpoint.save_weights(folder, tensors, description, dtype)

    def load_average(self, folder: Path) -> None:
        """Fill the average with the weights of a checkpoint."""
        checkpoint.load_model(folder, self.average)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Fill the model with what `weights` returned."""
        self.model.load_state_dict(weights)

    # One step

    def optimizer_step(
        self,
        loss: Tensor,
        factor: float,
        clip_norm: float,
        precision: Precision,
        spike_factor: float = 0.0,
        measured: bool = False,
    ) -> bool:
        """Clip the gradients, scale every learning rate by `factor`, update the weights, and clear the gradients.

        Returns False, and leaves weights and optimizers as they are, where the loss or a gradient is not finite, or
        where the gradient norm is more than `spike_factor` times the median of the last `NORMS` (0: never). A step
        that is `measured` sets `update_norm` as well as `gradient_norm`.
        """
        self.step += 1
        parameters = list(self.model.parameters())
        norm = whole(torch.nn.utils.clip_grad_norm_(parameters, clip_norm))
        self.gradient_norm = float(norm + 0 * loss.detach())  # one number, so that a GPU is asked once
        if not math.isfinite(self.gradient_norm) or self._is_spike(spike_factor):
            self.skipped += 1
            for optimizer in self.optimizers:
                optimizer.zero_grad(set_to_none=True)
            return False
        self.skipped = 0
        self.losses.append(loss.detach())
        trained = [parameter for parameter in parameters if parameter.requires_grad] if measured else []
        before = [local(parameter.detach()).to("cpu", copy=True) for parameter in trained]
        for optimizer, rates in zip(self.optimizers, self._base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            with autocast(parameters[0].device, precision):
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if measured:
            self.update_norm = self._distance(before, trained)
        return True

    def _is_spike(self, spike_factor: float) -> bool:
        """Return whether the gradient norm is far above the last ones, among which it is from now on."""
        if not spike_factor:
            return False
        median = statistics.median(self.norms) if len(self.norms) == NORMS else math.inf
        self.norms = [*self.norms, self.gradient_norm][-NORMS:]
        return self.gradient_norm > spike_factor * median

    @torch.no_grad()
    def _distance(self, before: Sequence[Tensor], parameters: Sequence[Tensor]) -> float:
        """Return how far all weights together are from what they were."""
        squares = [(local(p).cpu() - earlier).square().sum() for p, earlier in zip(parameters, before, strict=True)]
        total = torch.stack(squares).sum().to(parameters[0].device)
        return math.sqrt(float(sum_over_ranks(total, self.ranks)))

    def check_skipped(self) -> None:
        """Raise ChronotopeError after `MAX_SKIPPED` skipped steps in a row."""
        if self.skipped >= MAX_SKIPPED:
            what = "far too large" if math.isfinite(self.gradient_norm) else "not finite"
            raise ChronotopeError(
                f"the loss or its gradient was {what} in {self.skipped} steps in a row, up to step {self.step}; "
                "their clips are in quarantine.jsonl and earlier checkpoints are intact: train again with lower "
                "learning rates, or without these clips"
            )

    def mean_loss(self) -> dict[str, float]:
        """Return the mean of the losses since the last call, under the name "loss"; nothing if there were none."""
        loss = {"loss": float(torch.stack(self.losses).mean())} if self.losses else {}
        self.losses.clear()
        return loss

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Update the averaged weights; the decay starts at 0.2, so that the initial weights are forgotten quickly."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        # parameters are matched by order, because a compiled model has other names
        both = zip(self.average.parameters(), self.model.parameters(), strict=True)
        # frozen parameters are left out, because interpolation could change their last bit
        trained = [(local(average), local(current.detach())) for average, current in both if current.requires_grad]
        torch._foreach_lerp_([average for average, _ in trained], [current for _, current in trained], 1 - decay)
        for average, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
            average.copy_(current)

    # Checkpoints

    def save(self, run: Path, description: dict[str, Any]) -> None:
        """Write a checkpoint folder named by the step, and delete damaged ones and all but the two newest.

        Raises NotFiniteError and FileProblem, and deletes nothing, where it cannot be written.
        """
        tensors, counters = self._tensors(), {name: getattr(self, name) for name in COUNTERS}
        counters["log"] = from_first(self.ranks, lambda: seal_of_log(run))
        counters["computed_with"] = self._computed_with()
        average = self.weights(self.average).values()
        needed = sum(tensor.nbytes for tensor in (*tensors.values(), *average))
        from_first(self.ranks, lambda: free_space_for(run, needed))

        def write(folder: Path) -> None:
            self.save_average(folder, description)
            if self.ranks.size == 1:
                checkpoint.save_state(folder, tensors, counters)
            else:
                self._save_shards(folder, tensors, {**counters, "processes": self.ranks.size})

        target = run / "checkpoints" / f"{self.step:07d}"
        write_together(target, write, self.ranks)
        from_first(self.ranks, lambda: self._remove_old(run, target))

    def _save_shards(self, folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
        """Write the state of all processes, each its rows, and what says how large the files are and their hashes."""
        own = {name: local(tensor) for name, tensor in tensors.items()}
        in_all(self.ranks, lambda: checkpoint.check_finite("training state", own))
        write_shards(folder / checkpoint.SHARDS, tensors, self.ranks)
        facts = in_all(self.ranks, lambda: checkpoint.shard_facts(folder, self.ranks.rank, self.ranks.size))
        every = {name: about for part in from_all(self.ranks, facts) for name, about in part.items()}
        from_first(self.ranks, lambda: checkpoint.seal_state(folder, counters, every))

    def _remove_old(self, run: Path, target: Path) -> None:
        """Delete the checkpoints that were found damaged, and all others but the newest."""
        for damaged in self._damaged:
            if damaged != target and not _is_whole(damaged):  # it may only have been out of reach for a moment
                remove_folder(damaged)
        self._damaged.clear()
        _remove_old(run)

    def resume(self, run: Path) -> list[str]:
        """Load the newest whole checkpoint of the run folder, if there is one.

        Returns a sentence for each newer one that is damaged; it is deleted when the next one is saved. Another one
        says where the checkpoint was written by another number of processes or threads, or on another kind of machine.
        """
        folder, damaged = from_first(self.ranks, lambda: _newest(run))
        self._damaged = [each for each, _ in damaged]
        notes = [f"note: checkpoint {each.name} is left out: {problem}" for each, problem in damaged]
        if folder is None:
            return notes
        counters = checkpoint.read_counters(folder)
        before = counters.get("processes", 1)
        try:
            if before == self.ranks.size == 1:
                self._load_whole(folder)
            else:
                self._load_shards(folder, counters)
        except (RuntimeError, KeyError, ValueError, IndexError, UsageError, StorageProblem) as problem:
            raise FileProblem(
                f"{folder} was written by a model of other shapes; use the same preset or another --out"
            ) from problem
        for name in COUNTERS:
            setattr(self, name, counters.get(name, getattr(self, name)))  # earlier versions saved fewer
        if not self._damaged:
            from_first(self.ranks, lambda: _remove_old(run))  # which a run that was stopped at its last save left
        changes = from_first(self.ranks, lambda: changes_in_log(run, counters))
        notes += [f"note: {change}" for change in changes]
        if before != self.ranks.size:
            here = self.ranks.size
            notes.append(
                f"note: checkpoint {folder.name} is of {before} process{'es' if before > 1 else ''}, and this run has "
                f"{here}: it goes on within rounding, not to the bit"
            )
        with_before, with_now = counters.get("computed_with"), self._computed_with()
        if with_before not in (None, with_now):  # earlier versions did not save it
            notes.append(
                f"note: checkpoint {folder.name} was computed with {with_before}, and this run computes with "
                f"{with_now}: it goes on within rounding, not to the bit"
            )
        return notes

    def _computed_with(self) -> str:
        """Name what the last bits of a step depend on beside the settings and the number of processes."""
        threads = torch.get_num_threads()
        return f"{computed_with(next(self.model.parameters()).device)}, {threads} thread{'s' if threads > 1 else ''}"

    def _load_whole(self, folder: Path) -> None:
        """Load the checkpoint of one process into one."""
        tensors, _ = checkpoint.load_state(folder)
        self.load_average(folder)
        weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        self.load_weights(weights)
        for name, network in self.beside.items():
            prefix = f"beside.{name}."
            # a run that did not need a network before has none stored
            if stored := {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}:
                network.load_state_dict(stored)
        self._load_optimizers(tensors)
        self._load_losses(tensors)

    def _load_losses(self, tensors: Mapping[str, Tensor]) -> None:
        self.losses = list(tensors.get("losses", torch.zeros(0)).to(next(self.model.parameters()).device))

    def _load_shards(self, folder: Path, counters: Mapping[str, Any]) -> None:
        """Load the checkpoint of any number of processes: each reads the rows that it holds now."""
        states = (folder / checkpoint.states_of(counters)[0]).parent
        shapes = stored_shapes(states)
        tensors = {f"model.{name}": tensor for name, tensor in self.weights(self.model).items()}
        if "losses" in shapes:  # which earlier versions did not save
            tensors["losses"] = torch.zeros(shapes["losses"])
        parameters = [[p for group in each.param_groups for p in group["params"]] for each in self.optimizers]
        for name, shape in shapes.items():
            if name.startswith("optimizer."):
                _, number, index, _ = name.split(".", 3)
                like = parameters[int(number)][int(index)]
                tensors[name] = torch.zeros_like(like) if shape == like.shape else torch.zeros(shape)
        with torch.no_grad():
            read_shards(states, tensors, self.ranks)
            read_shards(folder, self.weights(self.average), self.ranks)
        self._load_optimizers(tensors)
        self._load_losses(tensors)

    def _tensors(self) -> dict[str, Tensor]:
        pairs = [(f"model.{name}", tensor) for name, tensor in self.weights(self.model).items()]
        for name, network in self.beside.items():
            pairs += [(f"beside.{name}.{key}", tensor) for key, tensor in network.state_dict().items()]
        pairs.append(("losses", torch.stack(self.losses) if self.losses else torch.zeros(0)))
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                pairs += [(f"optimizer.{number}.{index}.{key}", torch.as_tensor(value)) for key, value in state.items()]
        return dict(pairs)

    def _load_optimizers(self, tensors: dict[str, Tensor]) -> None:
        for number, optimizer in enumerate(self.optimizers):
            groups = optimizer.state_dict()["param_groups"]
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            prefix = f"optimizer.{number}."
            for name, tensor in tensors.items():
                if name.startswith(prefix):
                    index, key = name.removeprefix(prefix).split(".", 1)
                    like = parameters[int(index)]
                    # in the memory layout of the parameter, because fused kernels read both by address
                    kept = tensor.shape != like.shape or hasattr(tensor, "device_mesh")
                    state.setdefault(int(index), {})[key] = tensor if kept else torch.empty_like(like).copy_(tensor)
            optimizer.load_state_dict({"state": state, "param_groups": groups})


def _newest(run: Path) -> tuple[Path | None, list[tuple[Path, str]]]:
    """Return the newest whole checkpoint of a run, and newer ones that are damaged, each with a sentence."""
    damaged: list[tuple[Path, str]] = []
    return checkpoint.latest_checkpoint(run, lambda folder, problem: damaged.append((folder, problem))), damaged


def _is_whole(folder: Path) -> bool:
    try:
        checkpoint.verify_checkpoint(folder)
    except FileProblem:
        return False
    return True


def _remove_old(run: Path) -> None:
    """Delete all checkpoints but the two newest."""
    for old in checkpoint.checkpoints(run)[:-KEPT]:
        remove_folder(old)
