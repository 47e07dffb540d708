"""Cut a film into shots: one clip per shot, scaled to a height, with source and licence in a JSON file beside it.

python runs/film.py bbb.mp4 --out data/film --height 360 --source "Big Buck Bunny" --licence CC-BY-3.0
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from chronotope.media import video
from chronotope.storage import write_atomically

# a cut is a mean absolute difference of consecutive thumbnails (0..255) above CUT and above RATIO times its recent mean
CUT = 22.0
RATIO = 4.0
MIN_FRAMES = 12  # shorter shots are dropped
MAX_FRAMES = 240  # longer shots are divided, so that one fits in memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--source", required=True)
    parser.add_argument("--licence", required=True, help="SPDX identifier")
    parser.add_argument("--seconds", type=float, help="stop after this many seconds, for example before the credits")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if any(options.out.iterdir()):
        parser.error(f"{options.out} holds files already, which shots could replace; give another --out")

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
            write_atomically(path.with_suffix(".json"), json.dumps(about) + "\n")
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
        if len(shot) == MAX_FRAMES:
            finish()
    finish()
    print(f"{number} shots in {options.out}")


if __name__ == "__main__":
    main()
