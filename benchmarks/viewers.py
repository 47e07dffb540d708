"""Compare the checks with viewers: 200 random scenes of the suite `standard`, first tries, judged by both.

    python -m benchmarks.viewers                        the agreement of the verdicts in viewers.json
    python -m benchmarks.viewers --make out/viewers     make the videos again, and sheets for another viewer
    python -m benchmarks.viewers --judge out/viewers    judge them by the present checks, and compare again

A viewer sees eight frames of each video in the order of time, and its prompt, and says whether a person who wrote the
prompt would accept it. Viewers A and B knew neither the verdicts of the checks nor each other's; viewer C knew the
project, but no verdicts.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from chronotope.evaluate.make import check_file, maker, one_by_one
from chronotope.evaluate.suite import make_suite
from chronotope.generate.pipeline import Generator, find_model
from chronotope.media import picture, video
from chronotope.metrics.statistics import Rate, cohen_kappa
from chronotope.storage import read_json
from chronotope.worlds.case import Case

__all__ = ["agreement", "chosen_cases", "main", "sheet"]

VERDICTS = Path(__file__).with_name("viewers.json")
COUNT, SEED, A_SHEET, FRAMES = 200, 15, 8, 8
TILE = 150, 186  # pixels


def chosen_cases(count: int = COUNT, seed: int = SEED) -> list[Case]:
    """Choose scenes of the suite at random, with the first seed of each."""
    firsts: dict[str, Case] = {}
    for case in make_suite("standard"):
        firsts.setdefault(repr(case.spec), case)
    cases = list(firsts.values())
    return [cases[index] for index in np.random.default_rng(seed).permutation(len(cases))[:count]]


def sheet(cases: Sequence[Case], videos: Path, first: int) -> np.ndarray:
    """Draw a row of frames for each video below its number and prompt."""
    rows = []
    for number, case in enumerate(cases, start=first):
        frames = video.read(videos / case.file).frames
        tiles = [_tile(frames[t]) for t in np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
        strip = np.concatenate(tiles, axis=1)
        lines = textwrap.wrap(f"{number}: {case.prompt}", 190)
        head = np.full((6 + 18 * len(lines), strip.shape[1], 3), 255, np.uint8)
        for line, text in enumerate(lines, start=1):
            cv2.putText(head, text, (4, 18 * line - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        rows += [head, strip]
    return np.concatenate(rows)


def _tile(frame: np.ndarray) -> np.ndarray:
    """Enlarge a frame into a tile of one size, on grey."""
    factor = min(TILE[0] / frame.shape[0], TILE[1] / frame.shape[1])
    large = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    tile = np.full((TILE[0] + 4, TILE[1] + 4, 3), 40, np.uint8)
    tile[2 : 2 + large.shape[0], 2 : 2 + large.shape[1]] = large
    return tile


def make(model: str, out: Path) -> None:
    """Make the videos that are not there yet, and the sheets."""
    cases, videos = chosen_cases(), out / "videos"
    missing = [case for case in cases if not (videos / case.file).exists()]
    for _ in one_by_one(maker(Generator.load(find_model(model)), "model"), missing, videos):
        pass
    for start in range(0, len(cases), A_SHEET):
        drawn = sheet(cases[start : start + A_SHEET], videos, start + 1)
        picture.write_image(out / f"sheet{start // A_SHEET + 1:02d}.png", drawn)


def agreement(one: Sequence[bool], other: Sequence[bool]) -> tuple[Rate, float]:
    """Return how often two verdicts agree, and Cohen's kappa: the agreement beyond that expected by chance."""
    same = sum(a == b for a, b in zip(one, other, strict=True))
    return Rate(same, len(one)), cohen_kappa(one, other)


def report(rows: Sequence[dict[str, Any]], checks: Sequence[bool]) -> str:
    """Write who accepts how much, and how far each two agree."""
    verdicts = {"checks": list(checks)}
    verdicts |= {f"viewer {name}": [row[name]["good"] for row in rows] for name in ("A", "B")}
    lines = [f"{name} accept{'' if name == 'checks' else 's'} {Rate(sum(v), len(v))}" for name, v in verdicts.items()]
    names = list(verdicts)
    for one, other in ((names[1], names[2]), (names[0], names[1]), (names[0], names[2])):
        rate, kappa = agreement(verdicts[one], verdicts[other])
        lines.append(f"{one} and {other} agree on {rate}, kappa {kappa:.2f}")
    return "\n".join(lines)


def main() -> None:
    """Make the videos, or print the agreement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=Path, metavar="FOLDER")
    parser.add_argument("--judge", type=Path, metavar="FOLDER")
    parser.add_argument("--model", default="small")
    options = parser.parse_args()
    if options.make:
        make(options.model, options.make)
        return
    rows = read_json(VERDICTS)["videos"]
    checks = [row["checks"] for row in rows]
    if options.judge:
        cases = {case.id: case for case in chosen_cases()}
        files = [(cases[row["id"]], options.judge / "videos" / cases[row["id"]].file) for row in rows]
        checks = [all(check.holds for check in check_file(*file)) for file in files]
    print(report(rows, checks))


if __name__ == "__main__":
    main()
