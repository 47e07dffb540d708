"""Compare paths and predictions: one tiny transformer with the same data, seeds and steps for each, on a common scale.

    python -m benchmarks.predictions data/latents... --steps 300

Losses of different targets are not comparable. Every model is therefore measured by the squared error of the clean
latents that its prediction implies, on held-out clips at fixed t and noise, and by the Frechet distance between the
Gaussians fitted to sampled and to true tokens.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from chronotope import checkpoint
from chronotope.caption.encoder.tokenizer import read_tokenizer
from chronotope.config import from_dict, override
from chronotope.data.latents import LatentDataset
from chronotope.flow.guidance import Guidance
from chronotope.flow.path import FlowConfig, balance, interpolate, to_clean
from chronotope.generate.sampler import Sampling, sample
from chronotope.generate.tasks import Frame, text_to_video
from chronotope.models.dit import DiT, DiTConfig
from chronotope.models.packing import Sample, pack, row_signals
from chronotope.models.patches import patchify
from chronotope.models.refinement import Grid
from chronotope.models.text import TextTokenizer
from chronotope.presets import find_preset
from chronotope.prompt import Prompt
from chronotope.storage import read_json, write_json
from chronotope.train.config import DiTRun
from chronotope.train.dit import train_dit

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def clean_errors(
    run: DiTRun, model: DiT, tokenizer: TextTokenizer, dataset: LatentDataset, clips: list[int]
) -> list[float]:
    """Return the mean squared error of the implied clean latents at each of `LEVELS`."""
    errors = []
    for level in LEVELS:
        samples, truths = [], []
        for index in clips:
            clip, slices = dataset.clips[index], run.geometry.cut(dataset.clips[index].slices)
            clean = patchify(dataset.latents(index), run.geometry.patch_size)
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(index))
            t = torch.full((len(slices),), level)
            row = torch.arange(len(slices)).repeat_interleave(len(clean) // len(slices))
            noisy = interpolate(run.flow.path, clean, noise, t[row, None])
            positions = torch.from_numpy(run.geometry.positions(slices, clip.height, clip.width, clip.fps))
            signals = row_signals(run.geometry, slices, clip.height, clip.width, clip.fps)
            text = tokenizer.encode(next(iter(clip.captions.values()))[0], run.model.max_text_tokens)
            noisy = balance(run.flow, t[row, None]).scale_in * noisy
            grid = Grid(len(slices), *run.geometry.token_grid(clip.height, clip.width))
            samples.append(Sample(noisy, positions, row, t, signals, ((0.0, text),), grid))
            truths.append(clean)
        batch, arranged = pack(samples)
        scales = balance(run.flow, torch.full((1, 1), level))
        noisy = batch.noisy / scales.scale_in
        with torch.no_grad():
            prediction = scales.skip * noisy + scales.scale_out * model(batch)
        clean = to_clean(run.flow.path, run.flow.prediction, prediction, noisy, torch.tensor(level))
        truth = torch.cat([truths[i] for i in arranged])
        errors.append(float(((clean - truth) ** 2).mean()))
    return errors


def frechet(ours: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the Frechet distance between the Gaussians fitted to two sets of tokens [n, p]."""
    means = ours.mean(0), truth.mean(0)
    first, second = (x.double().T.cov() for x in (ours, truth))
    eigenvalues = torch.linalg.eigvals(first @ second).real.clamp(min=0)
    return float(((means[0] - means[1]) ** 2).sum() + first.trace() + second.trace() - 2 * eigenvalues.sqrt().sum())


def sampled_tokens(
    run: DiTRun, model: DiT, tokenizer: TextTokenizer, dataset: LatentDataset, clips: list[int]
) -> torch.Tensor:
    """Sample one video per clip, with its caption, size and length; return the tokens of all."""
    tokens = []
    for index in clips:
        clip = dataset.clips[index]
        prompt = (Prompt(next(iter(clip.captions.values()))[0]),)
        frame = Frame(run.geometry, run.model.channels, clip.height, clip.width, clip.fps, prompt)
        canvas = text_to_video(frame, sum(clip.slices))
        latents = sample(model, tokenizer, run.flow, run.geometry, canvas, Sampling(20, "euler", Guidance(2.0)), index)
        tokens.append(patchify(latents, run.geometry.patch_size))
    return torch.cat(tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data", type=Path, nargs="+", help="folders of latents; the last one is held out when there are several"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--clips", type=int, default=48)
    options = parser.parse_args()
    learn = options.data[:-1] or options.data
    held_out = LatentDataset(options.data[-1:])
    clips = list(range(min(options.clips, len(held_out))))
    truth = torch.cat([patchify(held_out.latents(i), (1, 2, 2)) for i in clips])
    rows = []
    for path in ("rectified", "variance_preserving"):
        for prediction in ("velocity", "clean", "noise"):
            settings = [
                f"flow.path={path}",
                f"flow.prediction={prediction}",
                f"train.steps={options.steps}",
                "train.log_every=100",
            ]
            run = override(find_preset("tiny").dit, settings)
            with tempfile.TemporaryDirectory() as folder:
                train_dit(run, learn, Path(folder), quiet=True)
                description = read_json(Path(folder) / "model.json")
                model = DiT(from_dict(DiTConfig, description["config"])).eval()
                checkpoint.load_model(Path(folder), model)
                tokenizer = read_tokenizer(description, model.config, Path(folder).parent)
            run = replace(run, model=model.config)
            run = replace(run, flow=from_dict(FlowConfig, description["flow"]))
            errors = clean_errors(run, model, tokenizer, held_out, clips)
            distance = frechet(sampled_tokens(run, model, tokenizer, held_out, clips), truth)
            rows.append(
                {
                    "path": path,
                    "prediction": prediction,
                    "clean_error": dict(zip(map(str, LEVELS), errors, strict=True)),
                    "frechet": distance,
                }
            )
            shown = "  ".join(f"{error:.3f}" for error in errors)
            print(
                f"{path:20s} {prediction:9s} clean error at t = {LEVELS}: {shown}   Frechet {distance:.2f}", flush=True
            )
    found = {"steps": options.steps, "clips": len(clips), "rows": rows, "flow": vars(FlowConfig())}
    write_json(Path(__file__).with_suffix(".json"), found)


if __name__ == "__main__":
    main()
