#!/usr/bin/env bash
# Train the small world inside the package, which answers the keyboard: Crafter at 64x64, about 80 minutes of one CPU core (clips
# 15, autoencoder 11, transformer 12 and 33, the rest for measurements). Needs the simulator:
# pip install 'chronotope[crafter,play]'.
#
#     bash runs/world.sh [FOLDER]         writes everything to FOLDER (default: out/world); run it again to continue
#     chronotope play out/world
#
# Shorter: CLIPS=4 MORE_CLIPS=4 HELDOUT=2 AE_STEPS=60 STEPS=60 MORE_STEPS=60 bash runs/world.sh /tmp/world
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/world}
clips=${CLIPS:-170}
heldout=${HELDOUT:-24}
ae_steps=${AE_STEPS:-400}
frozen=$((ae_steps * 7 / 10))
steps=${STEPS:-3500}
more_clips=${MORE_CLIPS:-700}
more_steps=${MORE_STEPS:-6000}
mkdir -p "$out"

# 1. Clips with the action that led to every frame. The forager walks with a purpose and shows much of the map. `heldout` has
#    other maps, for the measurements.
chronotope world crafter --count "$clips" --policy forager --pictures 0 --size 64x64 --seed 2 --out "$out/clips/forager"
chronotope world crafter --count "$more_clips" --policy forager --pictures 0 --size 64x64 --seed 12 --out "$out/clips/more"
chronotope world crafter --count "$heldout" --pictures 0 --size 64x64 --split heldout --seed 3 --out "$out/clips/heldout"

# 2. An autoencoder of one slice a frame: an action meets its frame. A latent is one cell of Crafter's grid.
chronotope train autoencoder --preset world --data "$out/clips/forager" --out "$out/first" \
    --set train.steps="$ae_steps" train.freeze_encoder_from="$frozen"

# 3. The transformer, with actions: nearly all samples train the next frame from a clean past, and most without a caption. The
#    learning rate decays late: a move of the map is learned at its full size (docs/log.md, entry 111). A second leg begins with
#    the averaged weights of the first, on more clips and with larger batches (entry 118).
settings=(model.depth=3 model.text_depth=1 captions.sentence=0 captions.paragraph=0 captions.dropout=0.95 train.decay_from=0.4)
chronotope train dit --preset world --data "$out/clips/forager" --out "$out/first" \
    --set train.steps="$steps" train.warmup=20 train.average_decay=0.99 "${settings[@]}"
chronotope train dit --preset world --from "$out/first" --data "$out/clips/more" --out "$out" \
    --set train.steps="$more_steps" train.batch_tokens=800 train.warmup=50 train.average_decay=0.995 "${settings[@]}"

# 4. Pictures from which sessions begin: first frames of held-out clips.
python runs/starts.py "$out"

# 5. How far it can be trusted, on held-out maps.
python -m benchmarks.worlds "$out" "$out/clips/heldout" --only steps places --json "$out/worlds.json"
echo "play it with: chronotope play $out"
