"""The sections of `chronotope bench`, one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import torch

from chronotope.bench import autoencoder, gpu, memory, ranks, sampling, startup, training
from chronotope.bench.lines import Section
from chronotope.bench.peers import import_diffusers

__all__ = ["ROWS", "run_bench"]

ROWS = (
    "training",
    "optimiser",
    "memory",
    "sampling",
    "matched",
    "student",
    "autoencoder",
    "startup",
    "ranks",
    "gpu",
    "compiled",  # by its name or --compiled alone, because compiling takes minutes
)


def run_bench(
    rows: Sequence[str],
    against: str = "",
    rounds: int = 5,
    full: bool = False,
    model: str = "small",
    report: Callable[[str], None] = lambda name: None,
) -> Iterator[Section]:
    """Yield the sections of these names, measured on one thread of the CPU, and `gpu` where there is one.

    `model` is the one whose student is measured. `report` is called with each name before it is measured. Raises
    UsageError where `against` is not installed.
    """
    if against:
        import_diffusers()
    cpu, few = torch.device("cpu"), max(1, rounds // 2)
    sections: dict[str, Callable[[], Section]] = {
        "training": lambda: training.measure_training(against, rounds, cpu),
        "optimiser": lambda: training.measure_optimiser(rounds, cpu),
        "memory": lambda: memory.measure_memory(against),
        "sampling": lambda: sampling.measure_sampling(against, rounds),
        "matched": lambda: sampling.measure_matched(against, few, full),
        "student": lambda: sampling.measure_student(model, rounds, full),
        "autoencoder": lambda: autoencoder.measure_autoencoder(against, few, full),
        "startup": lambda: startup.measure_startup(against, few),
        "ranks": lambda: ranks.measure_ranks(),
        "gpu": lambda: gpu.measure_gpu(against, rounds),
        "compiled": lambda: training.measure_compiled(against, rounds, cpu),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in rows:
            report(name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of other people's models under autocast
                section = sections[name]()
            yield section
    finally:
        torch.set_num_threads(threads)
