#!/usr/bin/env bash
# Generate six videos and a picture from prompts, animate a drawing and a photo, and make a page to open in a browser.
#
#     bash runs/demo.sh [FOLDER [MODEL]]     writes to FOLDER (default: out/demo) with MODEL (default: the shipped model)
#
# Every file uses seed 0; none was selected.
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

# text to video
make_one fox.mp4 "a fox walks right past a tree"
make_one ball.mp4 "a red ball moves to the left against the sky"
make_one butterfly.mp4 "a butterfly flies up on a black background" --size 64x96
make_one star.mp4 "a yellow star grows at night" --size 64x64
make_one penguin.mp4 "a penguin walks to the left in the hills"
make_one car.mp4 "a car moves right on a white background"

# text to picture
make_one rocket.png "a rocket in the sky" --seconds 0 --size 64x96

# text and picture to video: a rendered drawing from the held-out split, with its caption
chronotope world stage --scope small --split heldout --count 1 --size 96x64 --out "$out/stage"
drawing=$(find "$out/stage" -name '*.mp4' | sort | head -n 1)
caption=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["captions"]["sentence"][0])' "${drawing%.mp4}.json")
make_one drawing.mp4 "$caption" --image "$drawing"

# text and photo to video: a frame of a camera clip, if `make setup` could fetch it. The transformer was not trained on camera
# clips, so this video shows a limit of the model.
photo=~/.cache/chronotope/clips/cockatoo.mp4
if [ -e "$photo" ]; then
    make_one photo.mp4 "a bird moves to the right" --image "$photo"
fi

# one page of all files
python runs/gallery.py "$out"
