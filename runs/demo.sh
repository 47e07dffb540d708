#!/usr/bin/env bash
# What the shipped model can do: six videos and a picture from words, an animated drawing and an animated photo, on a page to open in a browser.
#
#     bash runs/demo.sh [FOLDER [MODEL]]  into out/demo, by the model inside the package
#
# Seed 0 everywhere, the first try: nothing is picked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/demo}
model=${2:-small}
mkdir -p "$out"

make_one() { # FILE PROMPT [OPTIONS...]
    local file=$1 prompt=$2
    shift 2
    chronotope generate "$prompt" --model "$model" -o "$out/$file" "$@"
}

# words -> video
make_one fox.mp4 "a fox walks right past a tree"
make_one ball.mp4 "a red ball moves to the left against the sky"
make_one butterfly.mp4 "a butterfly flies up on a black background" --size 64x96
make_one star.mp4 "a yellow star grows at night" --size 64x64
make_one penguin.mp4 "a penguin walks to the left in the hills"
make_one car.mp4 "a car moves right on a white background"

# words -> picture
make_one rocket.png "a rocket in the sky" --seconds 0 --size 64x96

# words and a picture -> video: a drawing of the stage that the model was never shown, with the caption that belongs to it
chronotope world stage --scope small --split heldout --count 1 --size 96x64 --out "$out/stage"
drawing=$(find "$out/stage" -name '*.mp4' | sort | head -n 1)
caption=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["captions"]["sentence"][0])' "${drawing%.mp4}.json")
make_one drawing.mp4 "$caption" --image "$drawing"

# words and a photo -> video: a frame of a real clip, where `make setup` could fetch it. No camera film taught the transformer
# anything, so what follows the first frame shows where the model ends.
photo=~/.cache/chronotope/clips/cockatoo.mp4
if [ -e "$photo" ]; then
    make_one photo.mp4 "a bird moves to the right" --image "$photo"
fi

# one page for all
python runs/gallery.py "$out"
