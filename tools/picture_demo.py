"""The strip of results at the top of the README: the demo's videos side by side, nothing picked.

python tools/picture_demo.py            reads out/demo (make demo), writes docs/demo.gif
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chronotope.media import video

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("fox", "ball", "butterfly", "star", "penguin", "car")
HEIGHT, GAP = 128, 8


def main() -> None:
    clips = []
    for name in NAMES:
        frames = video.read(ROOT / "out" / "demo" / f"{name}.mp4").frames
        clips.append(video.resize(frames, HEIGHT, round(frames.shape[2] * HEIGHT / frames.shape[1])))
    longest = max(map(len, clips))
    padded = [
        np.pad(
            clip[np.minimum(np.arange(longest), len(clip) - 1)], ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255
        )
        for clip in clips
    ]
    video.write(ROOT / "docs" / "demo.gif", np.concatenate(padded, axis=2)[:, :, :-GAP], 8.0)


if __name__ == "__main__":
    main()
