"""Whole processes: the imports, `chronotope --help`, and one short clip from the command to the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from chronotope.bench.lines import OURS, Line, Section
from chronotope.bench.measure import cpu_seconds, ratios_to

__all__ = ["measure_startup"]

WAN = """
import torch
torch.set_num_threads(1)
from chronotope.bench.peers import PEERS, import_diffusers
from chronotope.bench.pipelines import pipeline_of, run_pipeline
network = import_diffusers().AutoencoderKLWan(base_dim=24).eval().requires_grad_(False)
run_pipeline(pipeline_of("WanPipeline", PEERS[0].make(192, 8, 16), network), 10, 17, (96, 64))
"""  # in the sizes that `measure_sampling` finds


def measure_startup(against: str, rounds: int) -> Section:
    """Measure the processor time of fresh processes, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        clip = str(Path(folder) / "clip.mp4")
        generate = (
            "-m",
            "chronotope",
            "--threads",
            "1",
            "generate",
            "a red ball",
            "--steps",
            "10",
            "--precision",
            "fp32",
        )
        commands = {
            "import torch": ("-c", "import torch"),
            "from chronotope import Generator": ("-c", "from chronotope import Generator; Generator"),
            "chronotope --help": ("-m", "chronotope", "--help"),
            "chronotope generate, 10 steps": (*generate, "--overwrite", "-o", clip),
        }
        if against:
            commands["a Wan pipeline, 10 steps"] = ("-c", WAN)
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, words in commands.items():
                taken = cpu_seconds(*words)
                if number:
                    seconds[name].append(taken)
    return Section(
        "startup", "processor time of whole processes; the ratio is to the process above it", tuple(_lines(seconds))
    )


def _lines(seconds: dict[str, list[float]]) -> list[Line]:
    """Return a line a process; two of them are compared with another one, as the aims are."""
    median = {name: sorted(times)[len(times) // 2] for name, times in seconds.items()}
    torch_alone, generator, _, clip, *wan = median
    compared = {generator: (torch_alone, "import torch", "<= 1.15")}
    if wan:
        compared[clip] = (wan[0], "the Wan pipeline", "<= 0.4")
    lines = []
    for name, taken in median.items():
        other, said, aim = compared.get(name, ("", "", ""))
        note = f"{ratios_to(seconds, other)[name]:.2f} x {said}" if other else ""
        lines.append(Line(name, OURS if "chronotope" in name else "", taken, "s", None, aim, note))
    return lines
