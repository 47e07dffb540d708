"""Measure the reconstruction of the autoencoder: PSNR and SSIM on held-out stage clips and camera clips."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Options, Row, say
from chronotope.evaluate.reconstruction import Reconstruction, measure_reconstruction
from chronotope.generate.pipeline import WEIGHTS, load_autoencoder
from chronotope.geometry import Geometry
from chronotope.media import video
from chronotope.models.autoencoder import Autoencoder
from chronotope.worlds.stage.render import render
from chronotope.worlds.stage.sample import sample_spec
from chronotope.worlds.stage.scope import SCOPES

TITLE = "Autoencoder: reconstruction"
THREADS = 2
CLIPS = Path.home() / ".cache/chronotope/clips"
EXCLUDED = ("bbb", "bigbuckbunny")  # the film of its training, and another cut of it
AIMS = {"stage": "36 dB", "camera": "30 dB"}


def find_autoencoder(model: str) -> Autoencoder:
    """Load the autoencoder of a run folder or of a model inside the package."""
    folder = Path(model)
    return load_autoencoder(folder if folder.exists() else WEIGHTS / model)


def measure(options: Options) -> dict[str, Any]:
    """Measure every clip, in the order of seeds and file names."""
    autoencoder = find_autoencoder(options.model)
    geometry = Geometry(stride=autoencoder.config.stride)
    results: dict[str, list[dict[str, Any]]] = {}
    for scope in ("small", "full"):
        say(f"  stage, {scope}")
        specs = [sample_spec(seed, SCOPES[scope], "heldout") for seed in range(options.clips // 2)]
        results[f"stage, {scope}"] = [
            _scores(autoencoder, geometry, str(seed), render(spec).frames) for seed, spec in enumerate(specs)
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


def _scores(autoencoder: Autoencoder, geometry: Geometry, name: str, frames: np.ndarray) -> dict[str, Any]:
    found: Reconstruction = measure_reconstruction(autoencoder, geometry, frames, len(frames))
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    temporal = None if found.temporal_psnr is None or math.isinf(found.temporal_psnr) else round(found.temporal_psnr, 2)
    scores = {"psnr": round(found.psnr, 2), "ssim": round(found.ssim, 4), "temporal_psnr": temporal}
    return {
        "name": name,
        "size": size,
        "frames": found.num_frames,
        **scores,
        "values_ratio": round(found.values_ratio, 2),
    }


def _mean(clips: Iterable[dict[str, Any]], key: str) -> float:
    return statistics.fmean(clip[key] for clip in clips if clip[key] is not None)


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
        lines.append(
            Row(f"{name}: mean of {len(clips)} clips", f"{mean}; worst {worst['psnr']:.2f} dB ({worst['name']})", aim)
        )
        lines.append(
            Row(f"{name}: pixel values per latent value", f"{_mean(clips, 'values_ratio'):.1f} (half of that in bits)")
        )
        if name == "camera":
            lines += [
                Row(f"{c['name']}, {c['size']}, {c['frames']} frames", f"{c['psnr']:.2f} dB, SSIM {c['ssim']:.3f}")
                for c in clips
            ]
    return lines
