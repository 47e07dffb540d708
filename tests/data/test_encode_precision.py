"""Latents say the precision of the network that made them; a folder holds latents of one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from chronotope.data.encode import Encoded, encode_dataset
from chronotope.errors import UsageError
from chronotope.models import precision
from chronotope.models.autoencoder import Autoencoder
from chronotope.sealed import write_sealed
from tests.data.test_encode import GEOMETRY, autoencoder, clips, content, counts, encode, save_clip

__all__ = ["clips"]


def header_of(clips: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((clips.parent / "lat" / "latents.json").read_text())
    return told


def trained() -> Autoencoder:
    """One in whose latents its network, which is zero at first, has a share beside the linear path."""
    model = autoencoder()
    torch.nn.init.normal_(list(model.encoder.layers.parameters())[-2], std=0.3)
    return model


@pytest.mark.parametrize("fast", [False, True])
def test_a_folder_says_its_precision_and_goes_on_in_it(
    clips: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    """Also on a machine on which the other one would be faster."""

    def encode(clips: Path, **options: Any) -> Encoded:
        return encode_dataset(clips, clips.parent / "lat", trained(), GEOMETRY, **options)

    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: fast)
    own, other = ("bf16", "fp32") if fast else ("fp32", "bf16")
    encode(clips)
    before, manifest = content(clips), header_of(clips)["manifest"]
    assert header_of(clips)["precision"] == own
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: not fast)
    save_clip(clips / "d.mp4")
    assert counts(encode(clips)) == (4, 1, 0, 0, 0) and header_of(clips)["precision"] == own
    with pytest.raises(UsageError, match=f"latents of precision {own}, not {other}; give another --out"):
        encode(clips, precision=other)
    (clips / "d.mp4").unlink()
    encode(clips, precision=own)
    assert content(clips) == before and header_of(clips)["manifest"] == manifest

    shutil.rmtree(clips.parent / "lat")
    encode(clips, precision=other)
    assert header_of(clips)["precision"] == other
    assert content(clips) != before and header_of(clips)["manifest"] != manifest  # no mixture goes unnoticed


def test_latents_of_earlier_versions_are_of_single_precision(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda device: True)
    encode(clips, precision="fp32")
    header, before = header_of(clips), content(clips)
    path = clips.parent / "lat" / "latents.json"
    write_sealed(path, {name: value for name, value in header.items() if name not in ("precision", "seal")})
    with pytest.raises(UsageError, match="latents of precision fp32, not bf16"):
        encode(clips, precision="bf16")
    assert counts(encode(clips)) == (3, 0, 0, 0, 0)
    assert content(clips) == before and header_of(clips) == header
