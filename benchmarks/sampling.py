"""Measure the time to generate one default clip, and the share of it outside the networks."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from benchmarks.harness import Options, Row, say
from chronotope.generate.pipeline import Generator
from chronotope.models.autoencoder import Decoder, Encoder
from chronotope.models.dit import DiT
from chronotope.models.text import TextEncoder

TITLE = "Sampling: one default clip"
THREADS = 2
PROMPT = "a fox walks to the right in green hills"


class Clock:
    """Sums the seconds inside network calls; a network called by another is counted once."""

    def __init__(self) -> None:
        self.seconds, self.calls, self._depth = 0.0, 0, 0

    def around(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            self._depth += 1
            try:
                return forward(*arguments, **named)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.seconds += time.perf_counter() - began
                    self.calls += 1

        return timed

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        with contextlib.ExitStack() as patches:
            for network in (DiT, TextEncoder, Encoder, Decoder):
                patches.enter_context(mock.patch.object(network, "forward", self.around(network.forward)))
            yield


def measure(options: Options) -> dict[str, Any]:
    """Generate the same clip several times; the first run, which also loads code, is left out."""
    generator = Generator.load(options.model)
    runs = []
    for number in range(options.rounds + 1):
        clock = Clock()
        began = time.perf_counter()
        with clock.watching():
            result = generator.generate(PROMPT, seed=0)
        whole = time.perf_counter() - began
        runs.append(
            {
                "seconds": whole,
                "inside": clock.seconds,
                "calls": clock.calls,
                "outside_share": 1 - clock.seconds / whole,
            }
        )
        say(f"  run {number}: {whole:.2f} s, {runs[-1]['outside_share']:.1%} outside the networks")
    frames = result.frames
    settings = {
        "model": options.model,
        "clip": f"{len(frames)} frames of {frames.shape[2]}x{frames.shape[1]} at {result.fps:g} fps",
        "steps": generator.defaults.num_steps,
        "seed": 0,
        "runs": f"{options.rounds} after a first",
    }
    return {"settings": settings, "results": runs[1:]}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return medians."""
    found = section["results"]
    seconds, share = (statistics.median(run[key] for run in found) for key in ("seconds", "outside_share"))
    return [
        Row("seconds for one default clip", f"{seconds:.2f} s"),
        Row("share outside the networks", f"{share:.1%}", "< 5 %"),
    ]
