"""Pictures with C2PA manifests as cameras and other programs write them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from chronotope.safety import credentials
from chronotope.safety.keys import load_signer

CAMERA, GENERATED = "digitalCapture", "trainedAlgorithmicMedia"


def picture_with_manifest(
    path: Path, uses: Mapping[str, str] | None = None, source: str = CAMERA, label: str = "c2pa", text: str = ""
) -> Path:
    """Write a JPEG, signed by this installation; `uses` are entries of its assertion about training and mining."""
    import c2pa

    plain = io.BytesIO()
    Image.fromarray(np.full((64, 96, 3), 120, np.uint8)).save(plain, "JPEG")
    action = {"action": "c2pa.created", "digitalSourceType": credentials.SOURCES + source}
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]
    if uses is not None:
        entries = {f"{label}.{name}": {"use": use} for name, use in uses.items()}
        assertions.append({"label": f"{label}.training-mining", "data": {"entries": entries}})
    if text:
        work = {"@context": "https://schema.org", "@type": "CreativeWork", "description": text}
        assertions.append({"label": "stds.schema-org.CreativeWork", "data": work})
    about = {"claim_generator_info": [{"name": "Camera", "version": "1"}], "format": "image/jpeg"}
    signer, signed = load_signer(), io.BytesIO()
    info = c2pa.C2paSignerInfo(b"ed25519", signer.chain, signer.key, None)
    definition = json.dumps({**about, "assertions": assertions})
    with c2pa.Signer.from_info(info) as by, c2pa.Builder(definition, credentials._context()) as builder:
        plain.seek(0)
        builder.sign(by, "image/jpeg", plain, signed)
    path.write_bytes(signed.getvalue())
    return path
