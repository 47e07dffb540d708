"""The picture of tables in docs/worlds.md: the first eight seeds, three frames each, nothing picked.

python tools/picture_table.py               writes docs/table.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from chronotope.worlds.table.captions import captions
from chronotope.worlds.table.render import render
from chronotope.worlds.table.sample import TableScope, sample_table

ROOT = Path(__file__).resolve().parent.parent
WIDTH, HEIGHT, GAP, COUNT = 132, 88, 6, 8


def main() -> None:
    rows = []
    for seed in range(COUNT):
        spec, motion = sample_table(seed, TableScope(sizes=((2 * WIDTH, 2 * HEIGHT),), picture_share=0.0))
        frames = render(spec, motion).frames[[0, len(motion.position) // 2, -1]]
        # drawn at twice the size, then averaged
        small = frames.reshape(3, HEIGHT, 2, WIDTH, 2, 3).mean((2, 4))
        rows.append(np.pad(np.hstack(list(small)), ((0, GAP), (0, GAP), (0, 0)), constant_values=255))
        print(seed, captions(spec, motion)["sentence"][0])
    halves = [np.vstack(rows[: COUNT // 2]), np.vstack(rows[COUNT // 2 :])]
    sheet = Image.fromarray(np.hstack(halves)[:-GAP, :-GAP].round().astype(np.uint8))
    sheet.save(ROOT / "docs" / "table.png", optimize=True)


if __name__ == "__main__":
    main()
