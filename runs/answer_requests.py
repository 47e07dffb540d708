"""Put a model behind a folder: answer the requests of a sealed kit, until as many are answered as are asked for.

    python runs/answer_requests.py shared --model small --count 24         # a model of this program, by name or folder
    python runs/answer_requests.py shared --model diffusers --count 24     # a tiny Wan pipeline with random weights
    chronotope evaluate --sealed kit --adapter shared --out theirs         # the holder, at the same time

To answer with your own model, call `answer` with your pipeline: a function of prompt, seed, frames, height and width
that returns frames. docs/evaluation/sealed.md describes the protocol.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from score_another import Pipeline, random_diffusers_pipeline

from chronotope import Generator
from chronotope.media import video

WAIT_SECONDS = 0.2


def answer(pipeline: Pipeline, folder: Path, count: int) -> None:
    """Answer requests as they appear, each with a file in outputs/, or a reason where the pipeline fails."""
    outputs = folder / "outputs"
    answered: set[str] = set()
    while len(answered) < count:
        new = [path for path in sorted(folder.glob("requests/*.json")) if path.stem not in answered]
        for path in new:
            request = json.loads(path.read_text(encoding="utf-8"))
            partial = folder / f"unfinished-{request['file']}"
            try:
                write_output(pipeline, request, partial)
                partial.rename(outputs / request["file"])
            except Exception as problem:  # whatever fails is a failure of the model, which the kit counts
                (outputs / f"{path.stem}.failed").write_text(str(problem), encoding="utf-8")
            answered.add(path.stem)
        if not new:
            time.sleep(WAIT_SECONDS)


def write_output(pipeline: Pipeline, request: dict[str, Any], path: Path) -> None:
    names = ("seed", "num_frames", "height", "width")
    frames = pipeline(request["prompt"], *(request[name] for name in names))
    if path.suffix == ".png":
        video.write_image(path, frames[0])
    else:
        video.write(path, frames, request["fps"])


def own_pipeline(name: str) -> Pipeline:
    """Return a model of this program as a pipeline, with its default settings."""
    generator = Generator.load(name)

    def pipeline(prompt: str, seed: int, frames: int, height: int, width: int) -> np.ndarray:
        made = generator.generate(prompt, seed=seed, num_frames=frames, height=height, width=width)
        return made.frames[:frames]

    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, help="the folder that is shared with the holder of the kit; empty at first"
    )
    parser.add_argument("--model", default="small", help="a name or folder of a model, or diffusers")
    parser.add_argument("--count", type=int, required=True, help="stop after so many requests: the items of the kit")
    options = parser.parse_args()
    own = options.model != "diffusers"
    answer(own_pipeline(options.model) if own else random_diffusers_pipeline(), options.folder, options.count)


if __name__ == "__main__":
    main()
