#!/usr/bin/env bash
# Train the shipped model further on new data: its decoder, then its transformer. The encoder does not change, so latents stay
# valid. Takes a quarter of an hour on one H200 with 16 cores. The weights in the package were made by this script from those of
# runs/small.sh.
#
#     bash runs/longer.sh [FOLDER [MODEL]]     writes to FOLDER (default: out/longer), starting from MODEL (default: the shipped
#                                              model); run it again to continue
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/longer}
model=${2:-small}
workers=$(nproc)
mkdir -p "$out"
export OMP_NUM_THREADS=1
batch_workers=$((workers > 4 ? workers - 4 : 0)) # processes that prepare batches while the GPU computes

# 1. Data and latents, in one process per core: each renders a share and encodes it. In scope `deeds`, actors also meet, hit,
#    eat, spin, bounce and stop; 5 % of the clips of `acts` are dissolves. Scope `full` is used for the decoder only.
stage() { chronotope world stage --scope "$1" --count "$2" --seed "$3" --out "$4" "${@:5}"; }
share_of() {
    local k=$1
    if [ "$k" -lt 4 ]; then stage full 100 $((13000 + k)) "$out/full/$k"; fi
    stage small 1300 $((111000 + k)) "$out/world/$k/small"
    stage deeds 900 $((151000 + k)) "$out/world/$k/deeds"
    stage acts 350 $((131000 + k)) "$out/world/$k/acts" --dissolves 0.05
    stage small 550 $((141000 + k)) "$out/world/$k/pictures" --pictures 1
    chronotope encode "$out/world/$k" --model "$model" --out "$out/latents/$k"
}
export -f stage share_of
export out model
seq 0 15 | xargs -P "$workers" -I{} bash -euo pipefail -c 'share_of "$1"' _ {}

# 2. Train the decoder, with extra weight on frame differences across slices, and the transformer, with large batches, which a
#    small model needs to use a GPU well. The shipped decoder is from an earlier run of this script and the shipped transformer
#    from two runs (docs/log.md, entries 28 and 44).
film=()
if python tests/real_clips.py bbb.mp4; then
    if [ ! -e "$out/film/done" ]; then
        python runs/film.py ~/.cache/chronotope/clips/bbb.mp4 --out "$out/film" --height 240 \
            --source "Big Buck Bunny, (c) Blender Foundation" --licence CC-BY-3.0
        touch "$out/film/done"
    fi
    film=("$out/film")
fi
chronotope train autoencoder --preset small --from "$model" --data "$out"/world/*/small "$out/full" "${film[@]}" --out "$out" \
    --set train.steps=18000 train.seams=1 train.average_decay=0.998 pool.batch_pixels=2500000 pool.megabytes=5000
chronotope train dit --preset small --from "$model" --data "$out"/latents/* --out "$out" \
    --set train.steps=4800 train.decay_from=0.61 train.batch_tokens=72000 train.workers="$batch_workers" \
    train.muon_rate=0.012 train.adam_rate=0.0012 train.average_decay=0.998
chronotope info "$out"
