#!/usr/bin/env bash
# Train a small world in first person, which answers the keyboard: Doom at 64x48, about 50 minutes of one CPU core (clips 5,
# autoencoder 5, transformer 9 and 25, the rest for measurements). After so little it draws no room yet (docs/play.md). Needs the
# simulator: pip install 'chronotope[doom,play]'.
#
#     bash runs/doom.sh [FOLDER]         writes everything to FOLDER (default: out/doom); run it again to continue
#     chronotope play out/doom
#
# Shorter: CLIPS=8 HELDOUT=16 AE_STEPS=60 STEPS=60 MORE_STEPS=60 bash runs/doom.sh /tmp/doom
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/doom}
clips=${CLIPS:-480}
heldout=${HELDOUT:-40}
ae_steps=${AE_STEPS:-5000}
frozen=$((ae_steps * 7 / 10))
steps=${STEPS:-2800}
more_steps=${MORE_STEPS:-8000}
mkdir -p "$out"

# 1. Clips of the explorer with the action that led to every frame. `heldout` has other maps, for the measurements.
chronotope world doom --count "$clips" --pictures 0 --size 64x48 --seed 2 --out "$out/clips/explorer"
chronotope world doom --count "$heldout" --pictures 0 --size 64x48 --split heldout --seed 3 --out "$out/clips/heldout"

# 2. An autoencoder of one slice a frame: an action meets its frame.
chronotope train autoencoder --preset world --data "$out/clips/explorer" --out "$out/first" \
    --set train.steps="$ae_steps" train.freeze_encoder_from="$frozen" \
    pool.batch_pixels=60000 'pool.shapes=[[4,48,64],[1,48,64]]'

# 3. The transformer, with actions, as in runs/world.sh. A turn moves the picture by a latent in the middle and by two at the
#    sides, which are farther from the eye: hence the reach.
#    A second leg begins with the averaged weights of the first.
settings=(train.batch_tokens=600 train.warmup=50 train.average_decay=0.995 train.decay_from=0.4
    model.depth=3 model.text_depth=1 model.reach=2 captions.sentence=0 captions.paragraph=0 captions.dropout=0.95
    defaults.width=64 defaults.height=48 defaults.fps=8.75)
chronotope train dit --preset world --data "$out/clips/explorer" --out "$out/first" --set train.steps="$steps" "${settings[@]}"
chronotope train dit --preset world --from "$out/first" --data "$out/clips/explorer" --out "$out" \
    --set train.steps="$more_steps" "${settings[@]}"

# 4. Pictures from which sessions begin: first frames of held-out clips.
python runs/starts.py "$out"

# 5. Whether a static room explains what it shows, on held-out maps.
python -m benchmarks.worlds "$out" "$out/clips/heldout" --only consistency --json "$out/doom.json"
echo "play it with: chronotope play $out"
