"""Score a model of another implementation: generate the videos of a suite with a diffusers pipeline.

    chronotope evaluate --suite smoke --plan specs.jsonl
    python runs/score_another.py specs.jsonl --out theirs
    chronotope evaluate --videos theirs --specs specs.jsonl --out out/theirs

The weights here are random, so no video can succeed; the script shows the procedure. To score your own model, call
`make_videos` with your pipeline: a function of prompt, seed, frames, height and width that returns frames. Requires pip
install 'chronotope[bench]'.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from chronotope.jsonl import read_jsonl
from chronotope.media import video

# (prompt, seed, frames, height, width) -> uint8 [frames, height, width, 3]
Pipeline = Callable[[str, int, int, int, int], np.ndarray]


def make_videos(pipeline: Pipeline, specs: Path, out: Path) -> int:
    """Generate the video of every row of a plan, except for existing files; returns the number of rows."""
    rows = read_jsonl(specs)
    for row in rows:
        path = out / row["file"]
        if not path.exists():
            frames = pipeline(row["prompt"], row["seed"], row["num_frames"], row["height"], row["width"])
            if row["num_frames"] > 1:
                video.write(path, frames, row["fps"])
            else:
                video.write_image(path, frames[0])
    return len(rows)


def random_diffusers_pipeline(steps: int = 4) -> Pipeline:
    """Build a tiny pipeline from diffusers with random weights: Wan transformer and autoencoder, flow matching."""
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanTransformer3DModel

    torch.manual_seed(0)
    width = 32
    transformer = WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=16,
        out_channels=16,
        text_dim=width,
        freq_dim=32,
        ffn_dim=64,
        num_layers=1,
    ).eval()
    autoencoder = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval()

    @torch.no_grad()
    def pipeline(prompt: str, seed: int, frames: int, height: int, width_: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        # a random vector for each word, derived from its hash, in place of a text encoder
        words = [int.from_bytes(sha256(word.encode()).digest()[:4], "big") for word in prompt.split()[:64]]
        text = torch.stack([torch.randn(width, generator=torch.Generator().manual_seed(word)) for word in words])[None]
        slices, rows, columns = (frames - 1 + 3) // 4 + 1, -(-height // 16) * 2, -(-width_ // 16) * 2
        latents = torch.randn(1, 16, slices, rows, columns, generator=generator)
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        scheduler.set_timesteps(steps)
        for moment in scheduler.timesteps:
            velocity = transformer(latents, moment.expand(1), text, return_dict=False)[0]
            latents = scheduler.step(velocity, moment, latents, return_dict=False)[0]
        pixels = autoencoder.decode(latents, return_dict=False)[0][0].permute(1, 2, 3, 0)
        return ((pixels[:frames, :height, :width_].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()

    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", type=Path, help="the plan that `chronotope evaluate --plan` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for the videos")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{make_videos(random_diffusers_pipeline(), options.specs, options.out)} videos in {options.out}")


if __name__ == "__main__":
    main()
