"""The picture of docs/prompts.md: prompts as typed and expanded, with one seed, first tries, nothing picked.

python tools/picture_prompts.py            writes docs/prompts.png: the middle frame of each
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chronotope.caption.expand import expand
from chronotope.data.record import read_record
from chronotope.generate.pipeline import Generator, find_model
from chronotope.media import video
from chronotope.storage import read_json

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = (
    "kitten strolls by the shore",
    "a bunny hops across the feild",
    "a spaceship takes off at midnight",
    "crimson sphere bounces on black background",
    "a house in a meadow, no trees",
    "three emerald stars on a white background",
)
GAP = 4


def main() -> None:
    """Write two rows of pictures: as typed above, expanded below."""
    generator = Generator.load("small")
    record = read_record(read_json(find_model("small") / "dit" / "model.json"))
    assert record is not None
    rows = []
    for expanded in (False, True):
        pictures = []
        for prompt in PROMPTS:
            found = expand(prompt, record.words)
            text, negative = (found.prompt, found.negative) if expanded else (prompt, "")
            print(text, f"(not: {negative})" if negative else "")
            made = generator.generate(text, negative_prompt=negative, seed=0)
            middle = made.frames[len(made.frames) // 2]
            pictures.append(np.pad(middle, ((0, GAP), (0, GAP), (0, 0)), constant_values=255))
        rows.append(np.concatenate(pictures, axis=1))
    video.write_image(ROOT / "docs" / "prompts.png", np.concatenate(rows)[:-GAP, :-GAP])


if __name__ == "__main__":
    main()
