#!/usr/bin/env bash
# A robot task: learn what a stick does to solids on a table from clips with continuous actions, as LeRobot keeps them, and
# measure where the learned model puts them. About 15 minutes of one CPU core, most of them for the transformer. Needs the simulator:
# pip install 'chronotope[table,parquet,play]'.
#
#     bash runs/pusher.sh [FOLDER]         writes everything to FOLDER (default: out/pusher); run it again to continue
#     chronotope play out/pusher
#
# Shorter: CLIPS=4 HELDOUT=2 AE_STEPS=60 STEPS=60 bash runs/pusher.sh /tmp/pusher
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/pusher}
clips=${CLIPS:-300}
heldout=${HELDOUT:-40}
ae_steps=${AE_STEPS:-400}
frozen=$((ae_steps * 7 / 10))
steps=${STEPS:-3500}
mkdir -p "$out"

# 1. Clips of a stick that goes behind a solid and pushes it, with its velocity in every frame. `heldout` are other scenes.
chronotope world table --policy pusher --count "$clips" --seed 2 --out "$out/clips/pusher"
chronotope world table --policy pusher --count "$heldout" --split heldout --seed 3 --out "$out/clips/heldout"

# 2. The same clips in the layout of LeRobot and back, as somebody with robot data begins. Nothing is lost on the way.
chronotope export "$out/clips/pusher" --format lerobot --out "$out/lerobot"
chronotope import "$out/lerobot" --layout lerobot --out "$out/robot"

# 3. An autoencoder of one slice a frame, and the transformer with actions, as in runs/world.sh.
chronotope train autoencoder --preset world --data "$out/robot" --out "$out" \
    --set train.steps="$ae_steps" train.freeze_encoder_from="$frozen"
chronotope train dit --preset world --data "$out/robot" --out "$out" --set train.steps="$steps" \
    model.depth=3 model.text_depth=1 captions.sentence=0 captions.paragraph=0 captions.dropout=0.95 \
    train.decay_from=0.4 train.warmup=20 train.average_decay=0.99

# 4. Pictures from which sessions begin: first frames of held-out clips.
python runs/starts.py "$out"

# 5. Where stick and solids are after 8 and 16 frames, in predicted and in real frames of held-out scenes.
python -m benchmarks.robot "$out" "$out/clips/heldout" --json "$out/robot.json"
echo "play it with: chronotope play $out"
