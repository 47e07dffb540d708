#!/usr/bin/env bash
# Train the expander whose weights are inside the package, which writes short captions as descriptive ones: a minute for the
# captions and about ten minutes for the training, on one CPU core.
#
#     bash runs/expander.sh [FOLDER]     writes everything to FOLDER (default: out/expander); run it again to continue
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/expander}
mkdir -p "$out"
export OMP_NUM_THREADS=1

# 1. Clips of the scopes that the shipped model knows; only their captions are read.
chronotope world stage --scope small --count 3500 --seed 17386 --out "$out/world/small"
chronotope world stage --scope deeds --count 3200 --seed 27386 --out "$out/world/deeds"
chronotope world stage --scope acts --count 600 --dissolves 0.05 --seed 37386 --out "$out/world/acts"
chronotope world stage --scope small --count 1500 --pictures 1 --seed 47386 --out "$out/world/pictures"

# 2. The expander, and the weights into the package, where --with small finds them.
chronotope train expander --preset small --data "$out/world/small" "$out/world/deeds" "$out/world/acts" "$out/world/pictures" \
    --out "$out" --set train.steps="${STEPS:-1000}"
mkdir -p chronotope/weights/small/expander
cp "$out/expander/model.safetensors" "$out/expander/model.json" chronotope/weights/small/expander/
chronotope expand "a fox walks left" --with "$out"
