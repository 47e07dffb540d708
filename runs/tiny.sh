#!/usr/bin/env bash
# The whole of Chronotope, from nothing to videos, on two CPU cores in a quarter of an hour.
#
#     bash runs/tiny.sh [FOLDER]          everything goes into out/tiny, or into FOLDER
#
# Read it top to bottom and you have followed a video from the world to the screen. Every step can be interrupted: run the
# script again and it goes on where it stopped. What comes out knows coloured shapes that move, grow and bounce; no more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/tiny}
mkdir -p "$out"

# 1. A world. No camera film is needed to learn what a red circle is: a simulator draws clips of coloured shapes on simple
#    backdrops, and writes captions from the same plan that it draws from, so every caption is true. Some clips are pictures.
#    They come in five small sizes and 2 to 24 frames, at 8 frames a second.
chronotope world stage --scope shapes --count 3000 --seed 1 --workers 2 --out "$out/world"

# 2. The autoencoder: the video compression network. It learns to squeeze four frames of 8x8 pixels, 768 numbers, into 16,
#    and to draw them again. It sees no words.
chronotope train autoencoder --preset tiny --data "$out/world" --out "$out"

# 3. Latents: every clip is compressed once, so that the transformer never sees a pixel.
chronotope encode "$out/world" --model "$out" --out "$out/latents"

# 4. The transformer. It is shown latents with noise on them and the caption, and learns in which direction the clean video
#    lies. Clips of all sizes and lengths are packed end to end into one sequence. Every so often it draws two samples.
chronotope train dit --preset tiny --data "$out/latents" --out "$out"

# 5. Videos. Start from noise alone and follow those directions: a video that nobody drew.
mkdir -p "$out/samples"
chronotope generate "a red circle moves to the right on a white background" --model "$out" -o "$out/samples/circle.mp4"
chronotope generate "a yellow star grows at night" --model "$out" -o "$out/samples/star.mp4"
chronotope generate "a green square bounces against the sky" --model "$out" -o "$out/samples/square.mp4"
chronotope generate "a blue heart moves up on a black background" --model "$out" -o "$out/samples/heart.mp4"

#    A picture is a video of one frame.
chronotope generate "a purple triangle on a white background" --seconds 0 --model "$out" -o "$out/samples/triangle.png"

# 6. What came of it, and what each part was: numbers of both trainings, and where one of the videos came from.
chronotope info "$out"
chronotope info "$out/samples/circle.mp4"
