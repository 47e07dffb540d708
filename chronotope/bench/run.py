"""The sections of `chronotope bench`, one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import torch

from chronotope.bench import autoencoder, gpu, memory, sampling, startup, training
from chronotope.bench.lines import Section
from chronotope.bench.peers import import_diffusers

__all__ = ["ROWS", "run_bench"]

ROWS = ("training", "optimiser", "memory", "sampling", "autoencoder", "startup", "gpu")


def run_bench(
    rows: Sequence[str],
    against: str = "",
    rounds: int = 5,
    compiled: bool = False,
    full: bool = False,
    report: Callable[[str], None] = lambda name: None,
) -> Iterator[Section]:
    """Yield the sections of these names, measured on one thread of the CPU, and `gpu` where there is one.

    `report` is called with each name before it is measured. Raises UsageError where `against` is not installed.
    """
    if against:
        import_diffusers()
    cpu, few = torch.device("cpu"), max(1, rounds // 2)
    sections: dict[str, Callable[[], Section]] = {
        "training": lambda: training.measure_training(against, rounds, compiled, cpu),
        "optimiser": lambda: training.measure_optimiser(rounds, cpu),
        "memory": lambda: memory.measure_memory(against),
        "sampling": lambda: sampling.measure_sampling(against, rounds),
        "autoencoder": lambda: autoencoder.measure_autoencoder(against, few, full),
        "startup": lambda: startup.measure_startup(against, few),
        "gpu": lambda: gpu.measure_gpu(rounds),
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
