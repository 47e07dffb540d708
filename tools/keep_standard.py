"""Keep what the standard suite said of the shipped model, for docs/results.md and the model card: numbers without the
rows of every video.

chronotope evaluate small --suite standard --workers 2 --out out/standard
chronotope evaluate small --suite standard --first 400 --layer autoencoder --workers 2 --out out/standard-autoencoder
chronotope evaluate small --suite standard --first 400 --layer truth --workers 2 --out out/standard-truth
python tools/keep_standard.py && python tools/generate_docs.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {"model": "standard", "autoencoder": "standard-autoencoder", "truth": "standard-truth"}


def main() -> None:
    target = ROOT / "benchmarks" / "standard.json"
    kept = json.loads(target.read_text()) if target.is_file() else {}
    for layer, folder in LAYERS.items():
        file = ROOT / "out" / folder / "report.json"
        if not file.is_file():
            print(f"{file} is not there; what was kept of the {layer} stays", file=sys.stderr)
            continue
        report = json.loads(file.read_text())
        about = report["about"]
        if about.get("layer") != layer or about.get("model") != "small" or "standard" not in about.get("suite", ""):
            sys.exit(
                f"{file} is of {about.get('model')}, {about.get('suite')}, layer {about.get('layer')}; expected small, standard, {layer}"
            )
        kept[layer] = {"about": about, "summary": report["summary"]}
    if "model" not in kept:
        sys.exit("there is no report of the model; make it with the first command above")
    target.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
