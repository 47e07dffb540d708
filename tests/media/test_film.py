"""`runs/film.py` cuts a film into shots that show what a player shows, and says what it leaves out."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from chronotope.media import video

ROOT = Path(__file__).parents[2]


def write(path: Path, colours: list[int], aspect: Fraction | None = None, times: list[int] | None = None) -> Path:
    """Write a film whose frames have these levels of grey; `times` are in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        if aspect:
            stream.sample_aspect_ratio = aspect
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, level in enumerate(colours):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), level, np.uint8), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(film: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, str(ROOT / "runs" / "film.py"), str(film), "--out", str(out), "--height", "64"]
    return subprocess.run(
        [*words, "--source", "mine", "--licence", "CC0-1.0"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip


def test_shots_are_cut_and_short_ones_are_counted(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mp4", [20] * 16 + [200] * 5 + [90] * 14)
    done = cut(film, tmp_path / "shots")
    assert (done.returncode, done.stdout) == (0, f"2 shots in {tmp_path / 'shots'}\n")
    assert "1 shots of fewer than 12 frames were left out" in done.stderr
    shots = [video.read(path) for path in sorted((tmp_path / "shots").glob("*.mp4"))]
    assert [shot.num_frames for shot in shots] == [16, 14]
    assert [round(float(shot.frames.mean()), -1) for shot in shots] == [20, 90]


def test_pixels_are_made_square(tmp_path: Path) -> None:
    assert cut(write(tmp_path / "wide.mp4", [50] * 16, Fraction(2, 1)), tmp_path / "shots").returncode == 0
    info = video.probe(tmp_path / "shots" / "shot-0000.mp4")
    assert (info.width, info.height, info.pixel_aspect) == (192, 64, 1.0)


def test_a_varying_rate_keeps_its_times(tmp_path: Path) -> None:
    """24 frames in the first second and 24 in the next six: the shot lasts as long as the film."""
    times = [number * 1000 // 24 for number in range(24)] + [1000 + number * 250 for number in range(24)]
    film = write(tmp_path / "film.mkv", [100] * 24 + [110] * 24, times=times)
    done = cut(film, tmp_path / "shots")
    assert done.returncode == 0 and "its rate varies; it was resampled to" in done.stderr
    shot = video.read(tmp_path / "shots" / "shot-0000.mp4")
    bright = float((shot.frames.mean(axis=(1, 2, 3)) < 105).sum()) / shot.fps
    assert abs(bright - 1.0) < 0.2  # the first second lasts a second


def test_films_without_shots_and_damaged_ones_are_said(tmp_path: Path) -> None:
    short = cut(write(tmp_path / "short.mp4", [60] * 11), tmp_path / "none")
    assert short.returncode == 1 and "holds no shot of 12 frames or more" in short.stderr
    film = write(tmp_path / "film.mp4", list(range(20, 68)))
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 6 // 10])
    damaged = cut(film, tmp_path / "damaged")
    assert damaged.returncode == 1 and damaged.stderr.startswith("film.py: ") and "Traceback" not in damaged.stderr
