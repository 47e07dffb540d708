#!/usr/bin/env bash
# Measure the effect of training compute: train one small transformer with 1, 4 and 32 times the compute, with the same seed and
# data, and compare videos of the same prompts and noise. Takes a quarter of an hour on two CPU cores, after runs/tiny.sh, whose
# data and autoencoder it uses.
#
#     bash runs/scaling.sh [FOLDER [TINY]]     writes to FOLDER (default: out/scaling), reads the output of runs/tiny.sh in TINY
#                                              (default: out/tiny); run it again to continue
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/scaling}
tiny=${2:-out/tiny}
base=30 # steps
processes=$(python -c "import os, torch; print(torch.cuda.device_count() or min(8, os.cpu_count()))")

if [ ! -e "$tiny/latents/latents.json" ]; then
    echo "$tiny holds no latents; make them first: bash runs/tiny.sh $tiny" >&2
    exit 2
fi

# Compute is the number of operations of a step times the number of steps. Only the number of steps differs.
export OMP_NUM_THREADS=1
for times in 1 4 32; do
    steps=$((base * times))
    torchrun --standalone --nproc-per-node "$processes" -m chronotope train dit --preset tiny --data "$tiny/latents" \
        --autoencoder "$tiny" --out "$out/x$times" --set train.steps="$steps" train.warmup=10
done

# Generate the same held-out specs with each model, judge them, fit a curve with its confidence interval, and make a page.
python runs/scaling.py "$out/x1" "$out/x4" "$out/x32" --out "$out"
