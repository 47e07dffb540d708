"""Measure the reconstruction of the autoencoder: PSNR and SSIM on held-out stage clips and camera clips."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Options, Row, say
from chronotope.evaluate.reconstruction import Reconstruction, measure_reconstruction
from chronotope.generate.pipeline import WEIGHTS, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.metrics.similarity import decibels
from chronotope.models.autoencoder import Autoencoder
from chronotope.worlds.stage.render import StageClip, render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES

TITLE = "Autoencoder: reconstruction"
THREADS = 2
CLIPS = Path.home() / ".cache/chronotope/clips"
EXCLUDED = ("bbb", "bigbuckbunny")  # the film of its training, and another cut of it
AIMS = {"stage": "36 dB", "camera": "30 dB"}
SPEEDS = {"under 2": (0.25, 2.0), "2 to 4": (2.0, 4.0), "4 to 7": (4.0, 7.0)}  # pixels from a frame to the next


def find_autoencoder(model: str) -> Autoencoder:
    """Load the autoencoder of a run folder or of a model inside the package."""
    folder = Path(model)
    return load_autoencoder(folder if folder.exists() else WEIGHTS / model)


def measure(options: Options) -> dict[str, Any]:
    """Measure every clip, in the order of seeds and file names."""
    autoencoder = find_autoencoder(options.model)
    geometry = Geometry(stride=autoencoder.config.stride)
    results: dict[str, list[dict[str, Any]]] = {}
    for scope in ("small", "deeds", "full"):
        say(f"  stage, {scope}")
        specs = [sample_spec(seed, SCOPES[scope], "heldout") for seed in range(options.clips // 2)]
        results[f"stage, {scope}"] = [
            _stage_scores(autoencoder, geometry, str(seed), render(spec)) for seed, spec in enumerate(specs)
        ]
    results["camera"] = []
    for path in sorted(CLIPS.glob("*.*")):
        if path.stem in EXCLUDED or path.suffix not in (".mp4", ".mpg", ".avi", ".webm", ".mkv", ".mov"):
            continue
        frames = np.stack(list(video.stream(path, seconds=2)))
        results["camera"].append(_scores(autoencoder, geometry, path.name, frames))
        say(f"  {path.name}: {results['camera'][-1]['psnr']} dB")
    stride = "x".join(map(str, autoencoder.config.stride))
    settings = {
        "model": options.model,
        "stride": stride,
        "channels": autoencoder.config.channels,
        "camera clips": "first 2 s, native size",
    }
    return {"settings": settings, "results": results}


def _stage_scores(autoencoder: Autoencoder, geometry: Geometry, name: str, clip: StageClip) -> dict[str, Any]:
    """Return the scores of a rendered clip, and the errors in the boxes of its moving actors by their speed."""
    decoded: list[np.ndarray] = []
    scores = _scores(autoencoder, geometry, name, clip.frames, lambda _, seen: decoded.append(seen))
    return {**scores, "actors": _actor_errors(clip, np.concatenate(decoded))}


def _actor_errors(clip: StageClip, decoded: np.ndarray) -> dict[str, tuple[float, int]]:
    """Return for each range of speeds the sum of squared errors and the number of values in the actors' boxes."""
    truth, squares = clip.truth, (decoded.astype(np.int64) - clip.frames) ** 2
    speed = np.hypot(np.diff(truth.x, axis=0), np.diff(truth.y, axis=0))
    found = dict.fromkeys(SPEEDS, (0.0, 0))
    for frame, actor in np.argwhere(truth.present[1:] & truth.present[:-1]):
        name = next((name for name, (low, high) in SPEEDS.items() if low <= speed[frame, actor] < high), None)
        x, y, width, height = (getattr(truth, side)[frame + 1, actor] for side in ("x", "y", "width", "height"))
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
        box = squares[frame + 1, max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))]
        if name:
            found[name] = (found[name][0] + float(box.sum()), found[name][1] + box.size)
    return found


def _scores(
    autoencoder: Autoencoder,
    geometry: Geometry,
    name: str,
    frames: np.ndarray,
    watch: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> dict[str, Any]:
    found: Reconstruction = measure_reconstruction(autoencoder, geometry, frames, len(frames), watch)
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    scores = {"psnr": round(found.psnr, 2), "ssim": round(found.ssim, 4)}
    for kind in ("temporal_psnr", "moving_psnr"):
        value = getattr(found, kind)
        scores[kind] = None if value is None or math.isinf(value) else round(value, 2)
    return {
        "name": name,
        "size": size,
        "frames": found.num_frames,
        **scores,
        "values_ratio": round(found.values_ratio, 2),
    }


def _mean(clips: Iterable[dict[str, Any]], key: str) -> float:
    return statistics.fmean(clip[key] for clip in clips if clip[key] is not None)


def _actor_row(clips: Sequence[dict[str, Any]]) -> str:
    parts = []
    for speed in SPEEDS:
        squares, values = (sum(clip["actors"][speed][part] for clip in clips) for part in (0, 1))
        parts.append(f"{speed}: {decibels(squares / values):.2f} dB" if values else f"{speed}: none")
    return ", ".join(parts)


def rows(section: dict[str, Any]) -> list[Row]:
    """Return means over clips, the worst clip, and each camera clip."""
    lines = []
    for name, clips in section["results"].items():
        if not clips:
            lines.append(Row(name, "no clips on this machine: `make setup` fetches them"))
            continue
        aim = AIMS[name.partition(",")[0]]
        worst = min(clips, key=lambda clip: clip["psnr"])
        mean = f"{_mean(clips, 'psnr'):.2f} dB, SSIM {_mean(clips, 'ssim'):.3f}, "
        mean += f"motion {_mean(clips, 'temporal_psnr'):.2f} dB"
        if "moving_psnr" in worst:  # results on record from before have none
            mean += f", moving pixels {_mean(clips, 'moving_psnr'):.2f} dB"
        lines.append(
            Row(f"{name}: mean of {len(clips)} clips", f"{mean}; worst {worst['psnr']:.2f} dB ({worst['name']})", aim)
        )
        lines.append(
            Row(f"{name}: pixel values per latent value", f"{_mean(clips, 'values_ratio'):.1f} (half of that in bits)")
        )
        if "actors" in worst:
            lines.append(
                Row(f"{name}: boxes of moving actors, by pixels a frame", _actor_row(clips), "28 dB at 2 to 7")
            )
        if name == "camera":
            lines += [
                Row(f"{c['name']}, {c['size']}, {c['frames']} frames", f"{c['psnr']:.2f} dB, SSIM {c['ssim']:.3f}")
                for c in clips
            ]
    return lines
