"""Curation where the truth is known: cuts, planted near-copies, other events, text: python -m benchmarks.curation

    python tests/real_clips.py          # camera clips and a film, once
    python -m benchmarks.curation [--only copies --only text] [--out benchmarks/curation.json]

Films are joined from parts of real clips (no part twice), so the cuts are known to the frame. Copies are re-encoded,
halved, cropped by 5 %, begin 0.27 s later, are mirrored, or have black borders at two or at four sides. Text:
subtitles, titles and watermarks drawn on real frames, and the credits of the film, at two sizes of the frames that are
searched; left out where `chronotope[ocr]` is not installed. Speed: one pass of `curate`, and raw decoding, in turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.harness import say
from chronotope.curate.decide import Filters
from chronotope.curate.fingerprints import Fingerprinted, near_duplicates
from chronotope.curate.look import LOOK_SIDE, Looked, look
from chronotope.curate.text import TEXT_SIDE, check_installed, text_share
from chronotope.errors import ChronotopeError
from chronotope.media import video
from chronotope.media.picture import Frame
from chronotope.metrics.statistics import Rate
from chronotope.storage import read_json, write_json
from chronotope.worlds.write import DatasetRequest, write_dataset
from tests.real_clips import available

FILM = "bbb.mp4"
TWICE = ("bigbuckbunny.mp4",)  # a part of the film
SIDE, FPS = 320, 24.0
PART_SECONDS = (1.0, 4.0)
FILMS, PARTS, SHOTS, STAGE, ROUNDS = 6, 10, 60, 200, 3
MINUTE = 60.0
COPIES = ("re-encoded", "halved", "cropped", "later", "mirrored", "bordered", "mirrored, bordered")
STORY, CREDITS = (32.0, 488.0), (494.0, 572.0)  # seconds of the film, between the title and after the last shot
DRAWN_SIDE = 640  # pixels of the frames on which text is drawn
TEXT_EVERY, CLIP_EVERY, DRAWN_ON = 4.0, 2.0, 6  # seconds between frames; text is drawn on one of six
DRAWN = {  # words, height in % of that of the frame, place (x, y), anchor, opacity
    "subtitle, 4 %": ("I never said that it was mine.", 4, (0.5, 0.93), "mm", 255),
    "subtitle, 5 %": ("I never said that it was mine.", 5, (0.5, 0.93), "mm", 255),
    "subtitle, 7 %": ("I never said that it was mine.", 7, (0.5, 0.93), "mm", 255),
    "title, 12 %": ("The Long Road Home", 12, (0.5, 0.5), "mm", 255),
    "watermark, 4 %": ("@my_channel", 4, (0.97, 0.05), "rt", 150),
}


def parts(rng: np.random.Generator) -> list[np.ndarray]:
    """Return parts of real clips without a cut inside, each from another clip or another minute of the film."""
    found = []
    for name, path in sorted(available().items()):
        if name in TWICE:
            continue
        info = video.probe(path)
        starts = np.arange(5.0, info.seconds - 12, 9.0) if name == FILM else [0.0]
        for start in starts:
            seconds = float(rng.uniform(*PART_SECONDS))
            frames = video.read(path, fps=FPS, start=float(start), seconds=seconds, max_side=SIDE).frames
            if len(frames) >= 12 and not _has_jump(frames):
                found.append(np.stack([video.resize(frame, 180, 320) for frame in frames]))
    return found


def _has_jump(frames: np.ndarray) -> bool:
    """Return whether two frames that follow each other differ as those of two shots do, by their pixels alone."""
    small = frames[:, ::8, ::8].astype(np.float32)
    steps = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3))
    return bool(steps.max(initial=0) > 18 and steps.max(initial=0) > 4 * np.median(steps))


def cuts(found: Sequence[np.ndarray], folder: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Join parts to films; return precision and recall of the cuts, a frame early or late allowed."""
    hits = planted = told = 0
    for number in range(FILMS):
        chosen = [found[index] for index in rng.choice(len(found), PARTS, replace=False)]
        starts = list(itertools.accumulate([len(part) for part in chosen]))[:-1]
        path = folder / f"film{number}.mp4"
        video.write(path, np.concatenate(chosen), FPS, crf=20)
        shots = look(path, 3600.0).shots
        seen = [round(shot.start * FPS) for shot in shots[1:]]
        matched = sum(any(abs(start - cut) <= 1 for cut in seen) for start in starts)
        hits, planted, told = hits + matched, planted + len(starts), told + len(seen)
    return {"recall": str(Rate(hits, planted)), "precision": str(Rate(hits, told)), "films": FILMS}


def copies(found: Sequence[np.ndarray], folder: Path) -> dict[str, Any]:
    """Plant copies of each part; return which are found, and which parts are wrongly taken for copies."""
    originals = []
    caught = dict.fromkeys(COPIES, 0)
    for number, frames in enumerate(found[:SHOTS]):
        height, width = frames.shape[1:3]
        top, left = round(height * 0.025), round(width * 0.025)
        planted = {
            "re-encoded": (frames, 32),
            "halved": (video.resize(frames, height // 2, width // 2), 24),
            "cropped": (frames[:, top : height - top, left : width - left], 24),
            "later": (frames[round(0.27 * FPS) :], 24),
            "mirrored": (frames[:, :, ::-1], 24),
            "bordered": (_bordered(frames, number), 24),
            "mirrored, bordered": (_bordered(frames[:, :, ::-1], number + 1), 24),
        }
        original = _fingerprinted(f"{number}", frames, folder, 18, rank=0.0)
        originals.append(original)
        for kind, (pixels, crf) in planted.items():
            copy = _fingerprinted(f"{number} {kind}", pixels, folder, crf, rank=1.0)
            caught[kind] += copy.key in near_duplicates([original, copy])
    wrong = near_duplicates(originals)
    rates = {kind: str(Rate(count, len(originals))) for kind, count in caught.items()}
    return {
        "found": rates,
        "all": str(Rate(sum(caught.values()), len(caught) * len(originals))),
        "wrong": sorted(wrong.items()),
    }


def _bordered(frames: np.ndarray, number: int) -> np.ndarray:
    """Add black borders: those of a wide screen, of a narrow one, or all around."""
    high, wide = ((30, 0), (0, 54), (22, 38))[number % 3]
    return np.pad(frames, ((0, 0), (high, high), (wide, wide), (0, 0)))


def _fingerprinted(key: str, frames: np.ndarray, folder: Path, crf: int, rank: float) -> Fingerprinted:
    path = folder / f"{key}.mp4"
    video.write(path, np.ascontiguousarray(frames), FPS, crf=crf)
    return _of(key, look(path, MINUTE), rank)


def _of(key: str, looked: Looked, rank: float = 0.0) -> Fingerprinted:
    hashes = tuple(each for shot in looked.shots for each in shot.hashes)
    return Fingerprinted(key, hashes, (rank,), key, looked.shots[0].colour)


def events(folder: Path) -> str:
    """Return the share of clips of the stage, on few backgrounds, that are wrongly taken for copies."""
    write_dataset(folder / "stage", DatasetRequest(world="stage", scope="shapes", split="train", count=STAGE, seed=11))
    files = sorted(path for path in (folder / "stage").rglob("*") if path.suffix in (".mp4", ".png"))
    clips = [_of(path.stem, look(path, MINUTE)) for path in files if path.suffix == ".mp4"]
    return str(Rate(len(near_duplicates(clips)), len(clips)))


def text() -> dict[str, Any]:
    """Return the shares of frames that are told to show text, at both sizes, and milliseconds to search one frame."""
    film = available()[FILM]
    frames = {
        "the film, without text": _every(film, TEXT_EVERY, *STORY),
        "other clips, without overlaid text": [
            frame
            for name, path in sorted(available().items())
            if name not in (FILM, *TWICE)
            for frame in _every(path, CLIP_EVERY, 0.0, MINUTE)
        ],
        "credits": _every(film, TEXT_EVERY, *CREDITS),
    }
    plain = [*frames["the film, without text"], *frames["other clips, without overlaid text"]][::DRAWN_ON]
    frames |= {kind: [_with_text(frame, *how) for frame in plain] for kind, how in DRAWN.items()}
    found: dict[str, Any] = {}
    for side in (LOOK_SIDE, TEXT_SIDE):
        rates, seconds = {}, []
        for kind, many in frames.items():
            told = 0
            for frame in many:
                scale = min(1.0, side / max(frame.shape))
                small = video.resize(frame, *(round(scale * length) for length in frame.shape[:2]))
                began = time.process_time()
                told += text_share(small) > Filters().max_text
                seconds.append(time.process_time() - began)
            rates[kind] = str(Rate(told, len(many)))
        found[f"{side} pixels"] = {**rates, "milliseconds a frame": round(1000 * statistics.median(seconds), 1)}
    return found


def _every(path: Path, step: float, start: float, stop: float) -> list[Frame]:
    """Return a frame of each `step` seconds of a part of a file."""
    return list(video.stream(path, fps=1 / step, start=start, seconds=stop - start, max_side=DRAWN_SIDE))


def _with_text(frame: Frame, words: str, height: int, place: tuple[float, float], anchor: str, opacity: int) -> Frame:
    """Draw white words with a black outline."""
    size = frame.shape[0] * height / 100
    font, xy = ImageFont.load_default(size), (place[0] * frame.shape[1], place[1] * frame.shape[0])
    picture = Image.fromarray(frame).convert("RGBA")
    layer = Image.new("RGBA", picture.size)
    ImageDraw.Draw(layer).text(
        xy,
        words,
        font=font,
        anchor=anchor,
        fill=(255, 255, 255, opacity),
        stroke_width=round(size / 14),
        stroke_fill=(0, 0, 0, opacity),
    )
    return np.asarray(Image.alpha_composite(picture, layer).convert("RGB"))


def speed(path: Path, searched: bool) -> dict[str, float]:
    """Return the medians of seconds for one pass over a file, and the share of the speed of raw decoding.

    Where the detector is installed, they are measured with a search for text, too.
    """
    work: dict[str, Callable[[], object]] = {
        "decode": lambda: _decode(path),
        "curate": lambda: look(path, MINUTE),
    }
    if searched:
        work["curate --text"] = lambda: look(path, MINUTE, text=True)
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, each in work.items():
            began = time.perf_counter()
            each()
            times[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(each) for name, each in times.items()}
    shares = {f"share of {name}": medians["decode"] / seconds for name, seconds in medians.items() if name != "decode"}
    return {name: round(value, 3) for name, value in (medians | shares).items()}


def _decode(path: Path) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        _exhaust(container.decode(video=0))


def _exhaust(items: Iterable[Any]) -> None:
    for _ in items:
        pass


def _minute(folder: Path) -> Path:
    """Write 40 seconds of the film, 1280x720; return the file."""
    path = folder / "minute.mp4"
    with video.VideoWriter(path, FPS, crf=20) as writer:
        for frame in video.stream(available()[FILM], seconds=40.0):
            writer.add(frame)
    return path


SECTIONS = ("cuts", "copies", "events", "text", "speed")


def main(out: Path | None = None, only: Sequence[str] = SECTIONS) -> dict[str, Any]:
    """Measure some sections, print them and write them beside the others."""
    out = out or Path(__file__).with_suffix(".json")
    results: dict[str, Any] = read_json(out) if out.is_file() and set(only) != set(SECTIONS) else {}
    rng = np.random.default_rng(0)
    try:
        check_installed()
        searched = True
    except ChronotopeError as problem:
        say(f"text is not measured: {problem}")
        searched = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if {"cuts", "copies"} & set(only):
            found = parts(rng)
            results["parts"] = len(found)
        if "cuts" in only:
            results["cuts"] = cuts(found, folder, rng)
        if "copies" in only:
            results["copies"] = copies(found, folder)
        if "events" in only:
            results["other events taken for copies"] = events(folder)
        if "text" in only and searched:
            results["text"] = text()
        if "speed" in only:
            results["seconds of 40 seconds at 1280x720"] = speed(_minute(folder), searched)
    write_json(out, results)
    print(results)
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", action="append", choices=SECTIONS)
    arguments = parser.parse_args()
    main(arguments.out, arguments.only or SECTIONS)
