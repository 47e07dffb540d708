"""The picture of the scope `returns` in docs/worlds.md: of each level of identity the first seed that has it, eight
frames each.

python tools/picture_returns.py             writes docs/returns.png
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from chronotope.worlds.stage.captions import captions
from chronotope.worlds.stage.checks.identity import identity_stratum
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES

ROOT = Path(__file__).resolve().parent.parent
WIDEST, GAP, COUNT, LEVELS = 128, 2, 8, 6


def main() -> None:
    rows: dict[str, np.ndarray] = {}
    for seed in itertools.count():
        spec = sample_spec(seed, SCOPES["returns"])
        level = identity_stratum(spec)
        if level not in rows:
            frames = render(spec).frames[np.linspace(0, spec.num_frames - 1, COUNT).round().astype(int)]
            wide = WIDEST + GAP - spec.width
            rows[level] = np.hstack(
                [np.pad(frame, ((0, GAP), (0, wide), (0, 0)), constant_values=255) for frame in frames]
            )
            print(level, seed, captions(spec)["sentence"][0])
        if len(rows) == LEVELS:
            break
    sheet = Image.fromarray(np.vstack([rows[level] for level in sorted(rows)])[:-GAP, :-GAP])
    sheet.save(ROOT / "docs" / "returns.png", optimize=True)


if __name__ == "__main__":
    main()
