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
clips() {
    chronotope world stage --scope "$2" --count "$3" --seed "$4" --out "$out/world/$1" "${@:5}"
    chronotope encode "$out/world/$1" --model small --out "$out/latents/$1"
}
clips small-1 small 1500 7001
clips small-2 small 2500 7002
clips deeds-1 deeds 1000 7101
clips deeds-2 deeds 1500 7102
clips acts acts 500 7201 --dissolves 0.05
clips pictures small 800 7301 --pictures 1

# 2. The captioner: short captions first, then all levels of detail.
chronotope train captioner --preset small --data "$out"/latents/* --autoencoder small --out "$out" --set train.steps="${STEPS:-1600}"

# 3. Copy the weights into the package, where --captioner builtin finds them, and measure them.
mkdir -p chronotope/weights/small/captioner
cp "$out/captioner/model.safetensors" "$out/captioner/model.json" chronotope/weights/small/captioner/
echo "measure it with: python -m benchmarks.captions"
