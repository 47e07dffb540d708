"""Keep what the standard suite said of the shipped model, for the README and the model card: numbers without the rows of every video.

chronotope evaluate small --suite standard --workers 2 --out out/standard
chronotope evaluate small --suite standard --first 800 --layer autoencoder --workers 2 --out out/standard-autoencoder
chronotope evaluate small --suite standard --first 800 --layer truth --workers 2 --out out/standard-truth
python docs/standard.py && python docs/generate.py
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {"model": "standard", "autoencoder": "standard-autoencoder", "truth": "standard-truth"}


def main() -> None:
    kept = {}
    for layer, folder in LAYERS.items():
        file = ROOT / "out" / folder / "report.json"
        if file.is_file():
            report = json.loads(file.read_text())
            kept[layer] = {"about": report["about"], "summary": report["summary"]}
    (ROOT / "benchmarks" / "standard.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
