"""Measure prompt following: the right actors, colours and directions on held-out specs, one seed each."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Options, Row, say
from benchmarks.validation import ATTRIBUTES, pass_rates
from chronotope.data.latents import encode_frames
from chronotope.generate.pipeline import Generator
from chronotope.metrics.statistics import Rate
from chronotope.worlds.splits import Split
from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.attributes import Verdict, judge
from chronotope.worlds.stage.checks.detector import load_detector
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES
from chronotope.worlds.stage.spec import Spec

TITLE = "Words: actor, colour and direction as in the prompt"
THREADS = 2
AIMS = {"who": "90 %", "colour": "90 %", "direction": "90 %"}
SPLITS: tuple[tuple[Split, str], ...] = (("heldout", "held out"), ("combination", "new combinations"))


def measure(options: Options) -> dict[str, Any]:
    """Measure the rates of the model, and of rendered clips with the same checks."""
    generator, detector = Generator.load(options.model), load_detector()
    counts = {"heldout": options.specs, "combination": options.combination}
    results: dict[str, Any] = {}
    for split, _ in SPLITS:
        specs = [sample_spec(index, SCOPES[options.scope], split) for index in range(counts[split])]
        if not specs:
            continue
        ways: dict[str, Callable[[Spec, int], np.ndarray]] = {
            "rendered": lambda spec, index: render(spec).frames,
            "autoencoder": lambda spec, index: through(generator, render(spec).frames),
            "model": functools.partial(generate, generator, options, split),
        }
        results[split] = {way: _judged(way, make, specs, detector) for way, make in ways.items()}
    defaults = generator.defaults
    settings = {
        "model": options.model,
        "scope": options.scope,
        "seed": "the spec's index",
        "prompt": "first sentence caption",
    }
    return {
        "settings": {**settings, "steps": defaults.num_steps, "guidance": defaults.guidance_scale},
        "results": results,
    }


def through(generator: Generator, frames: np.ndarray) -> np.ndarray:
    """Encode and decode frames."""
    height, width = frames.shape[1:3]
    latents = encode_frames(generator.autoencoder, generator.geometry, frames)
    return (
        generator.autoencoder.decode(latents, generator.geometry.slices(len(frames)))[:, :height, :width].cpu().numpy()
    )


def prompt_of(spec: Spec) -> str:
    return captions(spec)["sentence"][0]


@torch.no_grad()
def generate(generator: Generator, options: Options, split: str, spec: Spec, index: int) -> np.ndarray:
    """Generate the video of a spec, with its index as the seed."""
    result = generator.generate(
        prompt_of(spec), height=spec.height, width=spec.width, num_frames=spec.num_frames, fps=spec.fps, seed=index
    )
    if options.keep:
        from chronotope.media import video

        options.keep.mkdir(parents=True, exist_ok=True)
        suffix = ".png" if spec.num_frames == 1 else ".mp4"
        video.write(
            options.keep / f"{split}-{index:04d}{suffix}",
            result.frames,
            result.fps,
            metadata={"prompt": prompt_of(spec)},
        )
    return result.frames


def _judged(way: str, make: Callable[[Spec, int], np.ndarray], specs: list[Spec], detector: Any) -> dict[str, Any]:
    verdicts, began = [], time.perf_counter()
    for index, spec in enumerate(specs):
        frames = make(spec, index)
        verdicts.append(judge(detector, spec, frames))
        if (index + 1) % 20 == 0:
            say(f"  {way}: {index + 1}/{len(specs)} in {time.perf_counter() - began:.0f} s")
    rates = pass_rates(verdicts)
    clips = Rate(sum(all(v.all_right for v in clip) for clip in verdicts), len(verdicts))
    table = {name: _plain(rate) for name, rate in {**rates, "whole clip": clips}.items()}
    return {
        "rates": table,
        "failures": list(_failures(specs, verdicts)),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _plain(rate: Rate) -> dict[str, Any]:
    return {"right": rate.successes, "of": rate.trials, "interval": [round(bound, 4) for bound in rate.interval]}


def _failures(specs: list[Spec], verdicts: list[tuple[Verdict, ...]]) -> Iterator[dict[str, Any]]:
    for index, (spec, clip) in enumerate(zip(specs, verdicts, strict=True)):
        wrong = {v.actor: [name for name in ATTRIBUTES if getattr(v, name) is False] for v in clip if not v.all_right}
        if wrong:
            yield {"seed": index, "prompt": prompt_of(spec), "wrong": wrong}


def rows(section: dict[str, Any]) -> list[Row]:
    """Return the rates of the model, then the upper bounds: rendered and reconstructed clips."""
    lines = []
    for way, label in (
        ("model", "generated"),
        ("rendered", "ceiling, rendered truth"),
        ("autoencoder", "ceiling, after the autoencoder"),
    ):
        for split, name in SPLITS:
            rates = section["results"].get(split, {}).get(way, {}).get("rates", {})
            for attribute in (*AIMS, "whole clip", "stays"):
                if attribute in rates:
                    rate = Rate(rates[attribute]["right"], rates[attribute]["of"])
                    aim = AIMS.get(attribute, "") if way == "model" else ""
                    lines.append(Row(f"{name}, {label}: {attribute}", str(rate), aim))
    return lines
