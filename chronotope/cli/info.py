"""What lies here: a video or picture, a dataset, latents, a model, a run, a report; nothing is changed, no weight is loaded."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chronotope import checkpoint
from chronotope.cli.knowledge import taught
from chronotope.data.clips import SUFFIXES, find_clips, read_captions
from chronotope.errors import FileProblem, UsageError, nearest
from chronotope.evaluate.report import read_report
from chronotope.generate.pipeline import PICKLES, WEIGHTS
from chronotope.geometry import Geometry
from chronotope.media import video

__all__ = ["describe", "in_words"]

LAST_LEG = "the last leg"  # a model that starts from another (--from) does not count what that one cost
OPENED = 100  # files of a dataset that are opened; the others are counted


def describe(path: Path) -> dict[str, Any]:
    """Everything worth knowing, as plain JSON values; a bare name may be a model inside the package."""
    if not path.exists() and len(path.parts) == 1 and (WEIGHTS / path).is_dir():
        path = WEIGHTS / path
    if path.is_dir():
        return _folder(path)
    if (
        not path.exists()
        and len(path.parts) == 1
        and (near := nearest(path.name, (folder.name for folder in WEIGHTS.glob("*"))))
    ):
        raise FileProblem(f"{path} does not exist, and is no model inside the package. Did you mean '{near}'?")
    if path.suffix in PICKLES:
        raise UsageError(
            f"{path} looks like a pickle, which is never opened, since that runs whatever is in it; safetensors and JSON are read"
        )
    if path.name in (
        "model.safetensors",
        "model.json",
        "state.safetensors",
        "state.json",
        "latents.json",
        "dataset.json",
        "report.json",
    ):
        return _folder(path.parent)
    return _lines(path) if path.suffix == ".jsonl" and path.is_file() else _media(path)


def _folder(folder: Path) -> dict[str, Any]:
    if (folder / "latents.json").is_file():
        return _latents(folder)
    if (folder / "model.json").is_file():
        return _model(folder)
    if (folder / "config.toml").is_file() or (folder / "checkpoints").is_dir():
        return {"kind": "training without a result yet", "path": str(folder), **_progress(folder)}
    parts = [folder / name for name in ("autoencoder", "dit") if (folder / name).is_dir()]
    if parts:
        facts = {"kind": "run", "path": str(folder), **{part.name: _part_of_run(part) for part in parts}}
        known = taught(folder)
        return facts if known is None else {**facts, "taught": known}
    if (folder / "report.json").is_file() and (folder / "index.html").is_file():
        return _report(folder)
    try:
        return _dataset(folder)
    except FileProblem as problem:
        raise FileProblem(
            f"{folder} is none of: a dataset, latents, a model, a checkpoint, a run, a report ({problem})"
        ) from problem


# Files


def _lines(path: Path) -> dict[str, Any]:
    """A plan or a ledger of an evaluation."""
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if rows and "spec" in rows[0]:
            return {
                "kind": "plan of videos to be made",
                "path": str(path),
                "videos": len(rows),
                "first prompt": rows[0]["prompt"],
            }
        counts = Counter(str(row["kind"]) for row in rows)
        return {"kind": "ledger of an evaluation", "path": str(path), "lines": dict(counts)}
    except (ValueError, KeyError, TypeError) as problem:
        raise FileProblem(f"{path} is neither a plan nor a ledger of an evaluation: {problem!r}") from problem


def _media(path: Path) -> dict[str, Any]:
    info = video.probe(path)
    geometry = Geometry()
    slices, tokens = geometry.slices(info.num_frames), geometry.num_tokens(info.num_frames, info.height, info.width)
    stills = sum(piece.still for piece in slices)
    facts: dict[str, Any] = {
        "kind": "picture" if info.num_frames == 1 else "video",
        "path": str(path),
        "bytes": path.stat().st_size,
        "container": info.container,
        "codec": info.codec,
        "pixel_format": info.pixel_format,
        "size": f"{info.width}x{info.height}",
        "num_frames": info.num_frames,
        "fps": round(info.fps, 3),
        "variable_frame_rate": info.variable_frame_rate,
        "seconds": round(info.seconds, 3),
        "rotation": info.rotation,
        "pixel_aspect": round(info.pixel_aspect, 4),
        "slices": f"{stills} still + {len(slices) - stills} moving, {tokens} tokens",
    }
    origin = video.read_origin(path)
    return {**facts, "origin": origin if origin and str(origin.get("program", "")).startswith("chronotope") else None}


def _report(folder: Path) -> dict[str, Any]:
    """Of what a report is, and its first number."""
    report = read_report(folder)
    try:
        about, success = report["about"], report["summary"]["success"]
        told = {
            name: about[name] for name in ("model", "suite", "layer", "videos", "weights", "program") if name in about
        }
        low, high = success["interval_over_specs"]
        rate = f"{success['share']:.1%} [{low:.1%}, {high:.1%}] of {success['of']}"
    except (KeyError, TypeError, ValueError) as problem:
        raise FileProblem(
            f"{folder / 'report.json'} is no report of this program: it lacks {problem}; evaluate again"
        ) from problem
    return {"kind": "report", "path": str(folder), **told, "success": rate, "page": str(folder / "index.html")}


# Datasets


def _dataset(folder: Path) -> dict[str, Any]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and ".part" not in path.name and path.name[0] != "."
    )
    if not files:
        find_clips([folder])  # says what is missing
    pictures = sum(path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp") for path in files)
    about = folder / "dataset.json"
    facts: dict[str, Any] = {
        "kind": "dataset",
        "path": str(folder),
        "clips": len(files),
        "pictures": pictures,
        "bytes": _bytes(files),
    }
    if about.is_file():
        facts["dataset"] = checkpoint.load_json(about)
    chosen = files[:: math.ceil(len(files) / OPENED)]
    facts["opened"] = len(chosen)
    probed: list[video.VideoInfo] = []
    unreadable: list[str] = []
    for path in chosen:  # one file that is cut short hides nothing about the others
        try:
            probed.append(video.probe(path))
        except FileProblem as problem:
            unreadable.append(str(problem))
    if unreadable:
        facts["unreadable"] = unreadable
    facts["sizes"] = _counted(f"{info.width}x{info.height}" for info in probed)
    facts["num_frames"] = _spread([info.num_frames for info in probed])
    facts["fps"] = _counted(f"{info.fps:g}" for info in probed if info.num_frames > 1)
    captions = [read_captions(path) for path in chosen]
    levels = Counter(level for said in captions for level, texts in said.items() if texts)
    facts["captions"] = {level: f"{count} of {len(captions)} clips" for level, count in levels.items()} or "none"
    facts["examples"] = [
        texts[0] for said in captions for level, texts in said.items() if texts and level == "sentence"
    ][:3]
    return facts


def _latents(folder: Path) -> dict[str, Any]:
    about = checkpoint.load_json(folder / "latents.json")
    geometry = Geometry(stride=tuple(about["stride"]))
    index = folder / "index.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()] if index.is_file() else []
    return {
        "kind": "latents",
        "path": str(folder),
        **about,
        "clips": len(rows),
        "tokens": sum(len(row["slices"]) * math.prod(geometry.token_grid(row["height"], row["width"])) for row in rows),
        "sizes": _counted(f"{row['width']}x{row['height']}" for row in rows),
        "num_frames": _spread([sum(row["slices"]) for row in rows]),
        "captioned": sum(bool(row["captions"]) for row in rows),
        "bytes": _bytes(folder.glob("latents-*.safetensors")),
    }


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common(12))


def _spread(numbers: Sequence[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}, mean {sum(numbers) / len(numbers):.1f}" if numbers else "none"


def _bytes(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


# Models and runs


def _model(folder: Path) -> dict[str, Any]:
    description = checkpoint.load_json(folder / "model.json")
    facts: dict[str, Any] = {
        "kind": f"model: {description.get('kind', 'unknown')}",
        "path": str(folder),
        **_weights(folder / "model.safetensors"),
        "hash": checkpoint.weights_hash(folder) if (folder / "model.safetensors").is_file() else None,
        "config": description.get("config"),
    }
    for name in ("flow", "geometry", "defaults", "autoencoder", "started_from"):
        if description.get(name):
            facts[name] = description[name]
    if "flow" in facts:  # the deviations are many, and only for the program
        facts["flow"] = {key: value for key, value in facts["flow"].items() if key != "deviation"}
    if "vocabulary" in description:
        facts["vocabulary"] = f"{len(description['vocabulary'])} pieces"
    if "training" in description:
        numbers = dict(description["training"])
        numbers["steps"] = numbers.pop("run", {}).get("train", {}).get("steps")
        facts["training"] = {"numbers_of": LAST_LEG, **numbers}
    return {**facts, **_progress(folder)}


def _weights(path: Path) -> dict[str, Any]:
    """Names and shapes from the header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            tensors = list(map(file.get_slice, file.keys()))
            shapes, kinds = [tensor.get_shape() for tensor in tensors], {tensor.get_dtype() for tensor in tensors}
    except (OSError, SafetensorError) as problem:
        raise FileProblem(
            f"{path} is not a whole safetensors file ({problem}); copy it again or train it again"
        ) from problem
    return {
        "parameters": sum(math.prod(shape) for shape in shapes),
        "precision": ", ".join(sorted(kinds)),
        "bytes": path.stat().st_size,
    }


def _progress(run: Path) -> dict[str, Any]:
    """How far a training has come: its checkpoints and the last line of its log."""
    facts: dict[str, Any] = {}
    latest = checkpoint.latest_checkpoint(run)
    if latest:
        facts["checkpoint"] = str(latest)
    if (run / "state.json").is_file():
        facts["state"] = checkpoint.load_json(run / "state.json")
    log = run / "log.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    if lines:
        facts["last_log"] = json.loads(lines[-1])
    samples = sorted(path.name for path in (run / "samples").glob("*"))
    if samples:
        facts["samples"] = f"{len(samples)} in {run / 'samples'}, the last {samples[-1]}"
    return facts


def _part_of_run(folder: Path) -> dict[str, Any]:
    facts = _folder(folder)
    wanted = ("kind", "parameters", "bytes", "hash", "training", "checkpoint", "last_log", "samples")
    return {name: facts[name] for name in wanted if name in facts}


# Words


def in_words(facts: dict[str, Any], indent: str = "", inside: str = "") -> str:
    """A line a fact; tables within are indented."""
    width = max((len(name) for name, value in facts.items() if not isinstance(value, dict)), default=0) + 2
    lines = []
    for name, value in facts.items():
        label = name.replace("_", " ")
        if isinstance(value, dict) and value:
            lines += [f"{indent}{label}", in_words(value, indent + "  ", name)]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], str):
            lines += [f"{indent}{label}", *(f"{indent}  {item}" for item in value)]
        elif value is not None and value != [] and value != {}:
            lines.append(f"{indent}{label:{width}}{_said(name, value, inside)}")
    return "\n".join(lines)


def _said(name: str, value: Any, inside: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and "seed" not in name:
        if name == "bytes" or "memory" in (name, inside):
            return _scaled(value, "B")
        return _scaled(value, "FLOP") if name.startswith("flops") else f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _scaled(value: int, unit: str) -> str:
    """Three digits and a prefix: 1.23 GB."""
    power = min(max(0, (len(str(value)) - 1) // 3), 8)
    return f"{value / 1000**power:.3g} {' kMGTPEZY'[power].strip()}{unit}"
