"""Cut a film into shots: a folder of clips at a given height, one per shot, with its source and licence beside it.

python runs/film.py bbb.mp4 --out data/film --height 360 --source "Big Buck Bunny" --licence CC-BY-3.0
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from chronotope.media import video

CUT = 22.0  # mean absolute difference of neighbouring thumbnails, 0..255, that counts as a cut ...
RATIO = 4.0  # ... when it is also this many times the recent mean
MIN_FRAMES = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--source", required=True)
    parser.add_argument("--licence", required=True, help="SPDX identifier")
    parser.add_argument("--seconds", type=float, help="stop after this much of the film (credits are no film)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    info = video.probe(options.film)
    width = round(info.width * options.height / info.height / 2) * 2
    shot: list[np.ndarray] = []
    thumbnail: np.ndarray | None = None
    recent, number, frame_index = 0.0, 0, 0

    def finish() -> None:
        nonlocal number
        if len(shot) >= MIN_FRAMES:
            path = options.out / f"shot-{number:04d}.mp4"
            video.write(path, np.stack(shot), info.fps, crf=12)
            about = {
                "source": options.source,
                "licence": options.licence,
                "first_frame": frame_index - len(shot),
                "captions": {},
            }
            path.with_suffix(".json").write_text(json.dumps(about) + "\n")
            number += 1
        shot.clear()

    for frame in video.stream(options.film, seconds=options.seconds):
        small = video.resize(frame[None], 36, 64)[0].astype(np.float32)
        if thumbnail is not None:
            change = float(np.abs(small - thumbnail).mean())
            if change > CUT and change > RATIO * recent:
                finish()
            recent = 0.9 * recent + 0.1 * min(change, CUT)
        thumbnail = small
        shot.append(video.resize(frame[None], options.height, width)[0])
        frame_index += 1
        if len(shot) == 240:  # long shots in pieces, so that a piece always fits memory
            finish()
    finish()
    print(f"{number} shots in {options.out}")


if __name__ == "__main__":
    main()
