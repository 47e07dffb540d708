"""What the layers of provenance and policy are worth, measured: python -m benchmarks.safety [SECTION...]

    python tests/real_clips.py                    # camera clips, once
    python -m benchmarks.safety watermark tamper kit time policy

Sections: `watermark` marks parts of camera clips and videos of the shipped model, changes them and looks for the mark
(crops in every second part);
`tamper` changes delivered files at random and judges them; `kit` tampers with sealed kits and runs;
`time` compares generating with and without the layers;
`policy` judges the red-team set and the prompts of our suites;
`output`, `closed` and `added` are those of benchmarks/frames_check.py.
Each replaces its own results in benchmarks/safety.json.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import frames_check, sealed_kit
from benchmarks.harness import say
from chronotope import Generator
from chronotope.evaluate.suite import make_suite, suite_names
from chronotope.media import video
from chronotope.metrics.similarity import psnr
from chronotope.metrics.statistics import Rate
from chronotope.safety import verify as verification
from chronotope.safety.deliver import Layers, deliver
from chronotope.safety.policy.decide import default_policy
from chronotope.safety.red_team.measure import measure
from chronotope.safety.watermark import Detection, Detector, Marker, detect
from chronotope.storage import write_json
from tests.real_clips import CLIPS, available

OUT = Path(__file__).with_name("safety.json")
PART_FRAMES, MOST_PARTS = 32, 8  # of one clip
FPS = 16.0
SIDES = {128: 1, 256: 8}  # pixels of the shorter side: every so many-th part
DECOY_KEYS = 40  # for each part: files without the mark, at the cost of one correlation
PROMPTS = ("a fox walks right past a tree", "a red ball rolls left", "a boat sails at night", "a blue star grows")

Change = Callable[[np.ndarray, Path], np.ndarray]


def coded(frames: np.ndarray, crf: int, folder: Path) -> np.ndarray:
    video.write(folder / "coded.mp4", frames, FPS, crf=crf)
    return video.read(folder / "coded.mp4").frames


def cropped(frames: np.ndarray, share: float) -> np.ndarray:
    """Cut a share of the width and of the height away, not evenly on both sides; keep even sizes."""
    height, width = frames.shape[1:3]
    rows, columns = (round(side * (1 - share)) // 2 * 2 for side in (height, width))
    top, left = (height - rows) // 3, 2 * (width - columns) // 3
    return frames[:, top : top + rows, left : left + columns]


def scaled(frames: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(side * factor / 2) * 2 for side in frames.shape[1:3])
    return video.resize(np.ascontiguousarray(frames), height, width)


CHANGES: dict[str, Change] = {
    "as delivered": lambda frames, folder: frames,
    "crf 23": lambda frames, folder: coded(frames, 23, folder),
    "crf 28": lambda frames, folder: coded(frames, 28, folder),
    "crf 33": lambda frames, folder: coded(frames, 33, folder),
    "two encodes, crf 23 and 26": lambda frames, folder: coded(coded(frames, 23, folder), 26, folder),
    "scaled to 0.5, crf 23": lambda frames, folder: coded(scaled(frames, 0.5), 23, folder),
    "scaled to 1.5, crf 23": lambda frames, folder: coded(scaled(frames, 1.5), 23, folder),
    "5 % cropped, crf 23": lambda frames, folder: coded(cropped(frames, 0.05), 23, folder),
    "15 % cropped, crf 23": lambda frames, folder: coded(cropped(frames, 0.15), 23, folder),
    "25 % cropped, crf 23": lambda frames, folder: coded(cropped(frames, 0.25), 23, folder),
    "half of the frames": lambda frames, folder: coded(frames[::2], 23, folder),
    "trimmed to 8 frames": lambda frames, folder: coded(frames[11:19], 23, folder),
    "mirrored": lambda frames, folder: coded(frames[:, :, ::-1], 23, folder),
    "one frame": lambda frames, folder: frames[7:8],
}


# Watermark


def camera_parts(side: int, every: int) -> Iterator[np.ndarray]:
    """Yield every so many-th part of the camera clips, reduced to a shorter side."""
    clips = available()
    if missing := CLIPS.keys() - clips.keys():
        say(f"not there: {', '.join(sorted(missing))}; run python tests/real_clips.py")
    for path in clips.values():
        kept: list[np.ndarray] = []
        for frame in video.stream(path):
            factor = side / min(frame.shape[:2])
            height, width = (round(length * factor / 2) * 2 for length in frame.shape[:2])
            kept.append(video.resize(frame, height, width))
            if len(kept) == PART_FRAMES * MOST_PARTS:
                break
        parts = [kept[start : start + PART_FRAMES] for start in range(0, len(kept) - PART_FRAMES + 1, PART_FRAMES)]
        yield from map(np.stack, parts[::every])


def model_parts(count: int) -> Iterator[np.ndarray]:
    """Yield videos of the shipped model, at its own size."""
    generator = Generator.load("small")
    for seed in range(count):
        yield generator.generate(PROMPTS[seed % len(PROMPTS)], seed=seed, num_inference_steps=12).frames


def watermark(every: int, folder: Path) -> dict[str, Any]:
    """Measure the rates of detection by change, those of files without the mark, and what the mark costs."""
    sources = {f"camera, {side} pixels": camera_parts(side, step * every) for side, step in SIDES.items()}
    sources["shipped model, 64 pixels"] = model_parts(40 // every)
    results: dict[str, Any] = {}
    for name, parts in sources.items():
        found: dict[str, list[Detection]] = {change: [] for change in ("not marked", *CHANGES)}
        costs, decoys, seconds = [], [], {"marking a frame": 0.0, "looking": 0.0}
        for number, part in enumerate(parts):
            changes = {change: apply for change, apply in CHANGES.items() if number % 2 == 0 or "cropped" not in change}
            started = time.perf_counter()
            marker = Marker(*part.shape[1:3])
            marked = np.stack([marker(frame) for frame in part])
            seconds["marking a frame"] += (time.perf_counter() - started) / len(part)
            costs.append(psnr(part, marked))
            delivered = coded(marked, 16, folder)
            if number % 4 == 0:
                found["not marked"].append(detect(coded(part, 16, folder)))
            decoys += not_marked(part)
            started = time.perf_counter()
            for change, apply in changes.items():
                found[change].append(detect(apply(delivered, folder)))
            seconds["looking"] += (time.perf_counter() - started) / len(changes)
        count = len(costs)
        results[name] = {
            "parts": count,
            "psnr of the mark": {"least": min(costs), "mean": float(np.mean(costs))},
            "found": {change: rate(sum(one.found for one in them), len(them)) for change, them in found.items()},
            "least score": {change: min(one.score for one in them) for change, them in found.items()},
            "false positives with other keys, not cropped": rate(sum(decoys), len(decoys)),
            "seconds": {what: value / count for what, value in seconds.items()},
        }
        say(json.dumps({name: results[name]}, indent=1))
    return results


def not_marked(part: np.ndarray) -> list[bool]:
    """Return whether keys that marked nothing are found, where no crop is searched."""
    detector = Detector()
    for frame in part[::8]:
        detector.add(frame)
    return [detector.find(b"decoy %d" % number, search=False).found for number in range(DECOY_KEYS)]


def rate(successes: int, trials: int) -> dict[str, Any]:
    found = Rate(int(successes), trials)
    return {"of": trials, "share": found.share, "interval": list(found.interval)}


# Tampering


def tamper(count: int, folder: Path) -> dict[str, Any]:
    """Change delivered files at random; nothing that was changed may be called authentic."""
    verification._find_mark = lambda path, search: (None, [])  # it plays no part in calling a file authentic
    noise = np.random.default_rng(0)
    names = [f"{which}{suffix}" for suffix in (".mp4", ".webm", ".png", ".gif") for which in ("one", "two")]
    for name in names:
        frames = noise.integers(0, 256, (6, 48, 64, 3), np.uint8)
        origin = {"program": "chronotope 0", "prompt": name, "seed": 1}
        deliver(folder / name, frames[:1] if name.endswith(".png") else frames, 8, origin, Layers(watermark=False))
        assert verification.verify(folder / name).verdict == "authentic"
    rng, verdicts = random.Random(0), dict[str, dict[str, int]]()
    for number in range(count):
        name = names[2 * rng.randrange(len(names) // 2)]
        kind = TAMPERINGS[number % len(TAMPERINGS)]
        path = folder / f"changed{Path(name).suffix}"
        other = folder / name.replace("one", "two")
        original = (folder / name).read_bytes(), beside_of(folder / name)
        content, beside = original
        while (content, beside) == original:  # a splice may give the same bytes
            content, beside = kind(rng, *original, other)
        path.write_bytes(content)
        Path(f"{path}.json").write_text(beside)
        verdict = verification.verify(path).verdict
        of_kind = verdicts.setdefault(str(kind.__name__), {})
        of_kind[verdict] = of_kind.get(verdict, 0) + 1
    wrong = sum(of_kind.get("authentic", 0) for of_kind in verdicts.values())
    return {"files": count, "called authentic": rate(wrong, count), "verdicts": verdicts}


def beside_of(path: Path) -> str:
    return Path(f"{path}.json").read_text()


def flip(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    changed = bytearray(content)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed), beside


def cut(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    return content[: rng.randrange(len(content))], beside


def append(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    return content + rng.randbytes(rng.randrange(1, 100)), beside


def pad(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    return content + b"\0\0\0\x10free" + rng.randbytes(8), beside


def splice(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    start = rng.randrange(len(content))
    return content[:start] + other.read_bytes()[start:], beside


def swap(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    return (other.read_bytes(), beside) if rng.random() < 0.5 else (content, beside_of(other))


def rewrite(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    document = json.loads(beside)
    name = rng.choice([name for name in document if name != "signed"])
    document[name] = f"changed {rng.random()}"
    return content, json.dumps(document) + "\n"


def resign(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    """Change a byte, and make the hash of the sidecar right again, but not its signature."""
    import hashlib

    changed, _ = flip(rng, content, beside, other)
    document = json.loads(beside)
    document["signed"]["sha256"] = hashlib.sha256(changed).hexdigest()
    return changed, json.dumps(document) + "\n"


def edit_text(rng: random.Random, content: bytes, beside: str, other: Path) -> tuple[bytes, str]:
    place = rng.randrange(len(beside) - 1)
    return content, beside[:place] + chr(ord(beside[place]) ^ 1) + beside[place + 1 :]


TAMPERINGS = (flip, cut, append, pad, splice, swap, rewrite, resign, edit_text)


# Time


def added_time(rounds: int, folder: Path) -> dict[str, Any]:
    """Compare a default video with all layers and without any, in turns in one process, models loaded."""
    generator = Generator.load("small")
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(rounds + 1):
        for name, layers in (("with", Layers()), ("without", Layers(watermark=False, credentials=False))):
            started = time.perf_counter()
            generator.generate(PROMPTS[0], seed=number).save(folder / "made.mp4", layers)
            if number:  # the first round loads libraries
                seconds[name].append(time.perf_counter() - started)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return {"rounds": rounds, **medians, "added": medians["with"] - medians["without"], "of": medians["with"]}


# Policy


def policy() -> dict[str, Any]:
    """Measure the default policy on the red-team set, and on the prompts of our suites but the largest."""
    chosen = default_policy()
    prompts = {case.prompt for name in suite_names() if name != "full" for case in make_suite(name)}
    refused = sorted(text for text in prompts if chosen.decide(text).action == "refuse")
    started = time.perf_counter()
    for text in sorted(prompts)[:200]:
        chosen.decide(text)
    milliseconds = 1000 * (time.perf_counter() - started) / 200
    suites = {"refused": rate(len(refused), len(prompts)), "examples": refused[:5]}
    return {"red team": measure(chosen), "prompts of our suites": suites, "milliseconds a prompt": milliseconds}


SECTIONS: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "watermark": lambda options, folder: watermark(options.every, folder),
    "tamper": lambda options, folder: tamper(options.tampered, folder),
    "kit": lambda options, folder: sealed_kit.refused(options.kits, folder),
    "policy": lambda options, folder: policy(),
    "output": lambda options, folder: frames_check.output(options.trials, folder),
    "closed": lambda options, folder: frames_check.fails_closed(folder),
    "added": lambda options, folder: frames_check.added(options.rounds, folder),
    "time": lambda options, folder: added_time(options.rounds, folder),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[], help="all without any")
    parser.add_argument("--every", type=int, default=1, help="use every so many-th part of a clip")
    parser.add_argument("--tampered", type=int, default=10_000, help="files that are changed")
    parser.add_argument("--kits", type=int, default=1000, help="sealed kits and runs that are tampered with")
    parser.add_argument("--rounds", type=int, default=5, help="videos that are timed in each way")
    parser.add_argument("--trials", type=int, default=100, help="rendered clips of each kind for the check of frames")
    options = parser.parse_args()
    for name in options.sections or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            found = SECTIONS[name](options, Path(folder))
        results = json.loads(OUT.read_text()) if OUT.exists() else {}
        write_json(OUT, {**results, name: found})
        say(json.dumps({name: found}, indent=1))


if __name__ == "__main__":
    main()
