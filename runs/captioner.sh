#!/usr/bin/env bash
# Train the captioner whose weights are inside the package: half an hour for the data and about an hour for the training, on
# one CPU core. The shipped weights come from these data; their training was shortened while it ran (train.steps 2800, 1900
# from step 595, 1600 from step 1360), so this script gives similar and not the same weights.
#
#     bash runs/captioner.sh [FOLDER]     writes everything to FOLDER (default: out/captioner); run it again to continue
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/captioner}
mkdir -p "$out"
export OMP_NUM_THREADS=1

# 1. Clips of the scopes that the shipped model knows, and their latents.
chronotope world stage --scope small --count 1500 --seed 7001 --out "$out/world/small-1"
chronotope world stage --scope small --count 2500 --seed 7002 --out "$out/world/small-2"
chronotope world stage --scope deeds --count 1000 --seed 7101 --out "$out/world/deeds-1"
chronotope world stage --scope deeds --count 1500 --seed 7102 --out "$out/world/deeds-2"
chronotope world stage --scope acts --count 500 --dissolves 0.05 --seed 7201 --out "$out/world/acts"
chronotope world stage --scope small --count 800 --pictures 1 --seed 7301 --out "$out/world/pictures"
for clips in "$out"/world/*; do
    chronotope encode "$clips" --model small --out "$out/latents/$(basename "$clips")"
done

# 2. The captioner: short captions first, then all levels of detail.
chronotope train captioner --preset small --data "$out"/latents/* --autoencoder small --out "$out" --set train.steps="${STEPS:-1600}"

# 3. Copy the weights into the package, where --captioner builtin finds them, and measure them.
mkdir -p chronotope/weights/small/captioner
cp "$out/captioner/model.safetensors" "$out/captioner/model.json" chronotope/weights/small/captioner/
echo "measure it with: python -m benchmarks.captions"
