"""Cut a film into shots: one clip per shot, scaled to a height, with source and licence in a JSON file beside it.

python runs/film.py bbb.mp4 --out data/film --height 360 --source "Big Buck Bunny" --licence CC-BY-3.0
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chronotope.errors import ChronotopeError
from chronotope.media import video
from chronotope.storage import write_atomically

# a cut is a mean absolute difference of consecutive thumbnails (0..255) above CUT and above RATIO times its recent mean
CUT = 22.0
RATIO = 4.0
MIN_FRAMES = 12  # shorter shots are left out, and counted
MAX_FRAMES = 240  # longer shots are divided, so that one fits in memory


@dataclass
class Cutter:
    """Writes the shots of a film, and counts those that are too short."""

    out: Path
    about: dict[str, str]
    fps: float
    number: int = 0
    dropped: int = 0
    seen: int = 0  # frames of the film so far

    def finish(self, shot: list[np.ndarray]) -> None:
        """Write the frames of a shot as a clip, and empty the list."""
        if len(shot) >= MIN_FRAMES:
            path = self.out / f"shot-{self.number:04d}.mp4"
            video.write(path, np.stack(shot), self.fps, crf=12)
            about = {**self.about, "first_frame": self.seen - len(shot), "captions": {}}
            write_atomically(path.with_suffix(".json"), json.dumps(about) + "\n")
            self.number += 1
        elif shot:
            self.dropped += 1
        shot.clear()


def cut(film: Path, cutter: Cutter, size: tuple[int, int], seconds: float | None, fps: float | None) -> str:
    """Cut a film where consecutive frames differ much; return what damage its decoder reported."""
    shot: list[np.ndarray] = []
    thumbnail: np.ndarray | None = None
    recent = 0.0
    frames = video.stream(film, seconds=seconds, fps=fps)
    for frame in frames:
        small = video.resize(frame[None], 36, 64)[0].astype(np.float32)
        if thumbnail is not None:
            change = float(np.abs(small - thumbnail).mean())
            if change > CUT and change > RATIO * recent:
                cutter.finish(shot)
            recent = 0.9 * recent + 0.1 * min(change, CUT)
        thumbnail = small
        shot.append(video.resize(frame[None], *size)[0])
        cutter.seen += 1
        if len(shot) == MAX_FRAMES:
            cutter.finish(shot)
    cutter.finish(shot)
    return frames.damage


def main() -> None:
    """Read the command line, cut the film, and say what the shots lack that the film has."""
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
    try:
        info = video.probe(options.film)
        # as players show it: with square pixels, and every frame at its time
        wide, tall = info.square_size
        size = options.height, max(1, round(wide * options.height / tall / 2)) * 2
        fps = info.constant_fps if info.variable_frame_rate else None
        about = {"source": options.source, "licence": options.licence}
        cutter = Cutter(options.out, about, fps or info.fps)
        damage = cut(options.film, cutter, size, options.seconds, fps)
    except ChronotopeError as problem:
        sys.exit(f"film.py: {problem}")
    notes = [*info.remarks, damage, info.skipped]
    notes += [f"its rate varies; it was resampled to {fps:g} frames a second"] if fps else []
    notes += [f"{cutter.dropped} shots of fewer than {MIN_FRAMES} frames were left out"] if cutter.dropped else []
    for note in filter(None, notes):
        print(f"note: {options.film}: {note}", file=sys.stderr)
    print(f"{cutter.number} shots in {options.out}")
    if not cutter.number:
        sys.exit(f"film.py: {options.film} holds no shot of {MIN_FRAMES} frames or more")


if __name__ == "__main__":
    main()
