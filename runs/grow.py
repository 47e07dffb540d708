"""Make weights of a larger model out of a trained one, to be trained further: shorter slices, channels, a refinement.

python runs/grow.py autoencoder --model small --frames 2 --channels 32 --data out/world/small --out out/grown
chronotope train autoencoder --from out/grown --set "model.stride=[2,8,8]" model.channels=32 ... --out out
chronotope encode out/world/small --model out --out out/latents/small
python runs/grow.py dit --model small --data out/latents/small --out out/grown
chronotope train dit --from out/grown --set "geometry.stride=[2,8,8]" model.channels=32 ... --out out
python runs/grow.py captioner --model small --autoencoder out --data out/latents/small --out out/grown
chronotope train captioner --from out/grown --set "geometry.stride=[2,8,8]" model.channels=32 ... --out out
python runs/grow.py refinement --model small --seam-width 96 --seam-depth 4 --out out/grown
chronotope train dit --from out/grown --set model.seam_width=96 model.seam_depth=4 ... --out out
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from torch import nn

from chronotope import checkpoint
from chronotope.cli.language.captioners import load_captioner
from chronotope.config import to_dict
from chronotope.data.clips import find_clips
from chronotope.data.latents import LatentDataset, fingerprint
from chronotope.data.pixels import PoolConfig, load_pool
from chronotope.data.record import data_behind
from chronotope.errors import ChronotopeError
from chronotope.generate.pipeline import Generator, find_model, load_autoencoder
from chronotope.models.captioner import LatentCaptioner
from chronotope.models.dit import DiT
from chronotope.train.grow import fit_new_channels, grow_autoencoder, grow_captioner, grow_dit, grow_refinement


def grow_an_autoencoder(model: str, frames: int, channels: int, data: list[Path], out: Path) -> None:
    """Write the grown autoencoder to `out`/autoencoder; `data` are the clips that its new channels are fitted to."""
    folder = _part_of(model, "autoencoder")
    old = load_autoencoder(folder)
    new = grow_autoencoder(old, frames, channels)
    if channels > old.config.channels:
        shapes = ((frames, 32, 32),)
        pool = load_pool([find_clips(folder)[:200] for folder in data], PoolConfig(shapes=shapes), 0, print)
        fit_new_channels(new, pool.batch(0, 0).float() / 127.5 - 1, old.config.channels)
    about = {"kind": "autoencoder", "config": to_dict(new.config), **_data_of(folder, fingerprint(old))}
    checkpoint.save_model(_new(out / "autoencoder"), new, about)


def _part_of(model: str, part: str) -> Path:
    """Return the folder of a part of a model, or the model itself where it is a folder of that part alone."""
    folder = find_model(model)
    return folder / part if (folder / part).is_dir() else folder


def _new(folder: Path) -> Path:
    """Return a folder that holds no model; one that was trained there would be lost."""
    if (folder / "model.json").exists():
        sys.exit(f"grow.py: {folder} holds a model; give another --out")
    return folder


def _data_of(folder: Path, weights: str) -> dict[str, Any]:
    """Return the fields that name the training data of a grown model: those of the one that it was grown from."""
    return {"data": [], "data_before": data_behind(checkpoint.read_description(folder), weights)}


def grow_on_latents(part: str, model: str, autoencoder: Path, data: list[Path], out: Path) -> None:
    """Write the grown transformer or captioner to `out`, beside the trained autoencoder that it will work with.

    `data` are latents of that autoencoder.
    """
    folder, dataset = find_model(model) / part, LatentDataset(data)
    about, description = dataset.about[0], checkpoint.read_description(folder)
    if about["autoencoder"] != (found := fingerprint(load_autoencoder(autoencoder))):
        sys.exit(f"grow.py: {data[0]} was encoded by autoencoder {about['autoencoder']}, and {autoencoder} is {found}")
    old: DiT | LatentCaptioner
    new: DiT | LatentCaptioner
    if part == "dit":
        old = Generator.load(model).dit
        new = grow_dit(old, about["channels"])
    else:
        old = load_captioner(find_model(model)).network
        new = grow_captioner(old, about["channels"])
    deviation = list(dataset.deviation() * math.prod(new.config.patch_size))
    description |= (
        {"flow": description["flow"] | {"deviation": deviation}} if part == "dit" else {"deviation": deviation}
    )
    description |= {
        "config": to_dict(new.config),
        "geometry": description["geometry"] | {"stride": list(about["stride"])},
        "autoencoder": about["autoencoder"],
        **_data_of(folder, fingerprint(old)),
    }
    _save(out, part, new, description, autoencoder)


def grow_the_refinement(model: str, hidden: int, depth: int, out: Path) -> None:
    """Write the transformer of a model with a wider and deeper refinement to `out`, with the model's autoencoder."""
    folder, old = find_model(model), Generator.load(model).dit
    new, description = grow_refinement(old, hidden, depth), checkpoint.read_description(folder / "dit")
    description |= {"config": to_dict(new.config), **_data_of(folder / "dit", fingerprint(old))}
    _save(out, "dit", new, description, folder)


def _save(out: Path, part: str, new: nn.Module, description: dict[str, Any], autoencoder: Path) -> None:
    """Write a grown part of a model to `out`, beside a copy of the autoencoder of the model in the other folder."""
    for name in ("heldout", "training", "started_from"):  # of the weights that it was grown from
        description.pop(name, None)
    checkpoint.save_model(_new(out / part), new, description)
    checkpoint.copy_model(autoencoder / "autoencoder", out / "autoencoder")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("autoencoder", "dit", "captioner", "refinement"))
    parser.add_argument("--model", default="small", help="the trained model")
    parser.add_argument(
        "--autoencoder", type=Path, help="dit and captioner: the model whose autoencoder made the latents"
    )
    parser.add_argument("--frames", type=int, default=2, help="frames of a slice")
    parser.add_argument("--channels", type=int, default=32, help="channels of the latents")
    parser.add_argument("--seam-width", type=int, default=96, help="refinement: its channels")
    parser.add_argument("--seam-depth", type=int, default=4, help="refinement: its residual blocks")
    parser.add_argument("--data", type=Path, nargs="+", help="clips or latents; the refinement needs none")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.part == "refinement":
        return grow_the_refinement(asked.model, asked.seam_width, asked.seam_depth, asked.out)
    if not asked.data:
        parser.error(f"{asked.part} needs --data")
    if asked.part == "autoencoder":
        grow_an_autoencoder(asked.model, asked.frames, asked.channels, asked.data, asked.out)
    elif asked.autoencoder is None:
        parser.error(f"{asked.part} needs --autoencoder: the model whose autoencoder made the latents")
    else:
        grow_on_latents(asked.part, asked.model, asked.autoencoder, asked.data, asked.out)


if __name__ == "__main__":
    try:
        main()
    except ChronotopeError as problem:
        sys.exit(f"grow.py: {problem}")
