#!/usr/bin/env bash
# Shorter slices (two frames) with more channels (32), so that what moves keeps its shape: the shipped weights are grown and
# trained further (docs/log.md, entry 68). One leg takes an hour and a half on two CPU cores with bfloat16. Every further leg
# starts from the averaged weights of the one before, with new clips; the second one deepens the refinement. Half of what
# later legs compute are pictures, from which forms are learned at a ninth of the cost of a clip (entries 135 and 138).
#
#     bash runs/motion.sh FOLDER [MODEL]      writes everything to FOLDER; run it again to continue.
#                                             MODEL: the folder of the leg before [default: the shipped model is grown]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:?the folder of this leg is missing}
before=${2:-}
mkdir -p "$out"
if [ ! -e "$out/seed" ]; then echo $((RANDOM % 9000 + 1000)) >"$out/seed"; fi
seed=$(<"$out/seed") # of the clips: another one for each leg
export OMP_NUM_THREADS=1

# 1. Clips of all scopes of the model. Scope `full` and the film are for the autoencoder only.
chronotope world stage --scope small --count 3500 --seed "1$seed" --out "$out/world/small"
chronotope world stage --scope deeds --count 3200 --seed "2$seed" --out "$out/world/deeds"
chronotope world stage --scope acts --count 600 --dissolves 0.05 --seed "3$seed" --out "$out/world/acts"
chronotope world stage --scope small --count 6000 --pictures 1 --seed "4$seed" --out "$out/world/pictures"
if [ -n "$before" ]; then chronotope world stage --scope close --count 60000 --seed "6$seed" --out "$out/world/close"; fi

# 2. The first leg trains the autoencoder: encoder and decoder, then the decoder alone. Later legs take it as it is.
if [ -z "$before" ]; then
    chronotope world stage --scope full --count 300 --seed "5$seed" --out "$out/full"
    film=()
    if python tests/real_clips.py bbb.mp4; then
        if [ ! -e "$out/film/done" ]; then
            python runs/film.py ~/.cache/chronotope/clips/bbb.mp4 --out "$out/film" --height 240 \
                --source "Big Buck Bunny, (c) Blender Foundation" --licence CC-BY-3.0
            touch "$out/film/done"
        fi
        film=("$out/film")
    fi
    before="$out/grown"
    if [ ! -e "$before/autoencoder/model.json" ]; then
        python runs/grow.py autoencoder --frames 2 --channels 32 --data "$out/world/small" "$out/world/deeds" --out "$before"
    fi
    chronotope train autoencoder --preset small --from "$before" --out "$out" \
        --data "$out/world/small" "$out/world/deeds" "$out/full" "${film[@]}" \
        --set "model.stride=[2,8,8]" model.channels=32 train.steps=2000 train.freeze_encoder_from=1300 train.seams=0.5 \
        train.muon_rate=0.002 train.adam_rate=0.0001
    coder="$out"
else
    coder="$before"
fi

# 3. Latents of all clips, and the grown transformer of the first leg.
for clips in "$out"/world/*; do
    chronotope encode "$clips" --model "$coder" --out "$out/latents/$(basename "$clips")"
done
if [ "$before" = "$out/grown" ] && [ ! -e "$out/start/dit/model.json" ]; then
    python runs/grow.py dit --autoencoder "$out" --data "$out"/latents/{small,deeds} --out "$out/start"
fi
[ "$before" = "$out/grown" ] && before="$out/start"

# 4. The transformer, on all clips equally often. Later legs see pictures more often, have a deeper refinement, and see lower
#    noise levels, at which details are decided. Compiled steps take less time (`chronotope bench --rows compiled`).
settings=()
data=("$out"/latents/*)
if command -v g++ >/dev/null; then settings+=(train.compile=true); fi
if [ "$before" = "$out/start" ]; then
    settings+=(noise_levels.mean=0.8)
else
    settings+=(noise_levels.mean=0.3 model.seam_width=96 model.seam_depth=4)
    data=("$out"/latents/{close=0.53,pictures=0.33,deeds=0.07,small=0.05,acts=0.02})
    if ! grep -q '"seam_depth": 4' "$before/dit/model.json"; then
        if [ ! -e "$out/deeper/dit/model.json" ]; then
            python runs/grow.py refinement --model "$before" --seam-width 96 --seam-depth 4 --out "$out/deeper"
        fi
        before="$out/deeper"
    fi
fi
chronotope train dit --preset small --from "$before" --data "${data[@]}" --out "$out" \
    --set "geometry.stride=[2,8,8]" model.channels=32 "${settings[@]}" flow.shift=2 train.steps="${STEPS:-3000}" \
    train.decay_from=0.5 train.muon_rate=0.006 train.adam_rate=0.0006 train.average_decay=0.995
chronotope info "$out"
