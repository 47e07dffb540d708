"""The options that limit the size, rate and length of the clips that are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chronotope.cli.terminal import Number, option, say
from chronotope.config import MOST
from chronotope.errors import ChronotopeError, UsageError

if TYPE_CHECKING:
    from chronotope.data.limits import Limits
    from chronotope.train.config import DiTRun

__all__ = ["check_limits", "limit_options", "limits_of", "say_far_larger"]

LOOKED_AT = 20  # files, the largest ones, whose sizes are compared with what a preset samples
FAR = 8  # times the visual tokens that a step shows of a clip


class Rate(Number):
    """A number of frames a second, or "native" for that of each video."""

    name = "R"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value == "native" else super().convert(value, param, ctx)


def limit_options(command: Any) -> Any:
    """Add --max-side, --fps and --max-seconds."""
    options = (
        option(
            "--max-side",
            type=click.IntRange(min=1),
            metavar="N",
            help="Scale clips of a longer side down to N pixels; smaller ones stay.  [default: no limit]",
        ),
        option(
            "--fps",
            type=Rate(min=0.01, max=240),
            metavar="R",
            help="Read videos of a higher rate at R frames a second, or `native`.  [default: native]",
        ),
        option(
            "--max-seconds",
            type=Number(min=0.5, max=MOST),
            metavar="S",
            help="Cut longer clips into equal parts of at most S seconds.  [default: no limit]",
        ),
    )
    for decorate in reversed(options):
        command = decorate(command)
    return command


def limits_of(max_side: int | None, fps: float | None, max_seconds: float | None) -> Limits:
    """Return the limits that the options set."""
    from chronotope.data.limits import Limits

    return Limits(max_side, fps, max_seconds)


def check_limits(limits: Limits, data: Sequence[Path]) -> None:
    """Refuse limits where every folder holds latents, which were encoded already."""
    if limits and all((folder / "latents.json").is_file() for folder in data):
        raise UsageError(
            f"{limits} is for folders of clips, and {data[0]} holds latents; give it to `chronotope encode`"
        )


def say_far_larger(folder: Path, config: DiTRun, limits: Limits) -> None:
    """Say before the work that clips are far above what the model samples, and the options that limit them."""
    from chronotope.data.clips import scan_folder
    from chronotope.media import video

    geometry, defaults, most = config.geometry, config.defaults, config.train.max_sample_tokens
    largest = sorted(scan_folder(folder).clips, key=lambda clip: -_bytes(clip.path))[:LOOKED_AT]
    found: list[tuple[int, str]] = []
    for clip in largest:
        try:
            info = video.probe(clip.path)
            width, height = limits.size(*info.square_size, geometry.cell)
            fps = limits.rate(info.fps) if info.num_frames > 1 else info.fps
            frames = max(1, round(info.num_frames * fps / info.fps))
            tokens = geometry.num_tokens(max(limits.parts(frames, fps)), height, width)
        except ChronotopeError:  # said where the clip is encoded
            continue
        length = f", {info.seconds:.3g} s at {info.fps:.3g} fps" if info.num_frames > 1 else ""
        found.append((tokens, f"{clip.path} is {info.width}x{info.height}{length}"))
    if not found or max(found)[0] <= FAR * most:
        return
    tokens, clip_is = max(found)
    seconds = max(1, round(2 * defaults.num_frames / defaults.fps))
    side = max(max(geometry.cell), max(defaults.width, defaults.height))
    say(
        f"note: {clip_is}, {tokens / most:,.0f} times the tokens that a step shows of a clip, and the model samples "
        f"{defaults.width}x{defaults.height}, {defaults.num_frames} frames at {defaults.fps:g} fps; encoding takes "
        f"long; to take less of it: --max-side {side} --fps {defaults.fps:g} --max-seconds {seconds}"
    )


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
