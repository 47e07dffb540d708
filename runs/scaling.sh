#!/usr/bin/env bash
# What compute buys: one small transformer trained with 1, 4 and 32 times the compute, from the same seed and on the same data, then asked
# for the same videos from the same noise. A quarter of an hour on two CPU cores after runs/tiny.sh, whose world and autoencoder it takes.
#
#     bash runs/scaling.sh [FOLDER [TINY]]     into out/scaling, with what runs/tiny.sh left in out/tiny; run again to go on
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/scaling}
tiny=${2:-out/tiny}
base=30 # steps
processes=$(python -c "import os, torch; print(torch.cuda.device_count() or min(8, os.cpu_count()))")

if [ ! -e "$tiny/latents/latents.json" ]; then
    echo "$tiny holds no latents yet; make them first: bash runs/tiny.sh $tiny" >&2
    exit 2
fi

# Compute is counted, not guessed: operations of a step times steps. Everything but the number of steps is the same.
export OMP_NUM_THREADS=1
for times in 1 4 32; do
    steps=$((base * times))
    torchrun --standalone --nproc-per-node "$processes" -m chronotope train dit --preset tiny --data "$tiny/latents" --autoencoder "$tiny" \
        --out "$out/x$times" --set train.steps="$steps" train.warmup=10
done

# The same held-out specs and seeds for each, checked against the spec; a curve through the three with its interval; a page.
python runs/scaling.py "$out/x1" "$out/x4" "$out/x32" --out "$out"
