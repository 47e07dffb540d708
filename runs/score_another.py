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
    """Build a tiny WanPipeline of diffusers with random weights; put your own pipeline of diffusers in its place."""
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    letters = {letter: number for number, letter in enumerate(["<pad>", *pre_tokenizers.ByteLevel.alphabet()])}
    tokenizer = Tokenizer(models.BPE(letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    width, heads = 32, 2
    sizes = {"d_model": width, "d_kv": width // heads, "d_ff": 64, "num_layers": 1, "num_heads": heads}
    transformer = {"num_attention_heads": heads, "attention_head_dim": 24, "ffn_dim": 64, "num_layers": 1}
    pipe = WanPipeline(
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>"),
        UMT5EncoderModel(UMT5Config(vocab_size=len(letters), **sizes)).eval(),
        AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval(),
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        WanTransformer3DModel(**transformer, text_dim=width, freq_dim=32).eval(),
    )
    pipe.set_progress_bar_config(disable=True)

    def pipeline(prompt: str, seed: int, frames: int, height: int, width: int) -> np.ndarray:
        made = pipe(
            prompt,
            height=-(-height // 16) * 16,
            width=-(-width // 16) * 16,
            num_frames=-(-(frames - 1) // 4) * 4 + 1,  # lengths of Wan are 4n + 1
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(seed),
            max_sequence_length=128,
            output_type="np",
        )
        return (made.frames[0][:frames, :height, :width] * 255).round().astype(np.uint8)

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
