#!/usr/bin/env bash
# The shipped model, trained on: fresh worlds, then the decoder (its encoder stays, so latents stay valid) and the transformer. On one
# H200 with 16 cores, a quarter of an hour; the weights inside the package come from it, begun from those of runs/small.sh.
#
#     bash runs/longer.sh [FOLDER [MODEL]]     into out/longer, beginning with the model inside the package; run again to go on
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/longer}
model=${2:-small}
workers=$(nproc)
mkdir -p "$out"
export OMP_NUM_THREADS=1
ahead=$((workers > 4 ? workers - 4 : 0)) # processes that make batches while the GPU works

# 1. Worlds and their latents, a process a core: each makes its share and encodes it. In `deeds` actors meet, hit, eat, spin, bounce
#    and stop as well; one clip of `acts` in twenty dissolves into another. `full` is for the decoder alone.
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

# 2. The decoder, with the steps from slice to slice weighted up, and the transformer: big batches, which small models need to keep a
#    GPU busy, made ahead by processes of their own. The shipped decoder is of an earlier leg, the shipped transformer of two
#    (docs/log.md, entries 28 and 44).
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
    --set train.steps=4800 train.decay_from=0.61 train.batch_tokens=72000 train.workers="$ahead" \
    train.muon_rate=0.012 train.adam_rate=0.0012 train.average_decay=0.998
chronotope info "$out"
