#!/usr/bin/env bash
# The whole pipeline, from no data to videos, on two CPU cores in a quarter of an hour.
#
#     bash runs/tiny.sh [FOLDER]          writes everything to FOLDER (default: out/tiny)
#
# The steps follow the path of the data. If a step is interrupted, run the script again and it continues. The trained model
# knows coloured shapes that move, grow and bounce, and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/tiny}
mkdir -p "$out"

# 1. Data. A simulator renders clips of coloured shapes on simple backdrops and writes captions from the same spec, so every
#    caption is true. Clips have five small sizes and 2 to 24 frames at 8 frames per second; some are pictures of one frame.
chronotope world stage --scope shapes --count 3000 --seed 1 --workers 2 --out "$out/world"

# 2. Train the autoencoder, which compresses four frames of 8x8 pixels (768 numbers) into 16 numbers and reconstructs them.
#    It is trained without captions.
chronotope train autoencoder --preset tiny --data "$out/world" --out "$out"

# 3. Encode every clip to latents once, so that training the transformer reads no pixels.
chronotope encode "$out/world" --model "$out" --out "$out/latents"

# 4. Train the transformer: from noisy latents and a caption it learns to predict the direction to the clean latents. Clips of
#    all sizes and lengths are packed into one sequence. It writes two samples every 500 steps.
chronotope train dit --preset tiny --data "$out/latents" --out "$out"

# 5. Generate videos: start from noise and follow the predicted directions.
mkdir -p "$out/samples"
chronotope generate "a red circle moves to the right on a white background" --model "$out" -o "$out/samples/circle.mp4"
chronotope generate "a yellow star grows at night" --model "$out" -o "$out/samples/star.mp4"
chronotope generate "a green square bounces against the sky" --model "$out" -o "$out/samples/square.mp4"
chronotope generate "a blue heart moves up on a black background" --model "$out" -o "$out/samples/heart.mp4"

#    A picture is a video of one frame.
chronotope generate "a purple triangle on a white background" --seconds 0 --model "$out" -o "$out/samples/triangle.png"

# 6. Show the numbers of both trainings, and the settings stored in one of the videos.
chronotope info "$out"
chronotope info "$out/samples/circle.mp4"
