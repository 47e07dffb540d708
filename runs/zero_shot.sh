#!/usr/bin/env bash
# Draw a digital world from words alone: one model is trained on captioned clips of Crafter and of the stage, without any action,
# and asked for deeds at places that no training clip shows together. Beside it the same training with the actions of the clips.
# About two hours on one CPU core. Needs the simulator: pip install 'chronotope[crafter]'.
#
#     bash runs/zero_shot.sh [FOLDER]     writes everything to FOLDER (default: out/zero-shot); run it again to continue
#
# Shorter: CLIPS=4 AE_STEPS=60 STEPS=60 bash runs/zero_shot.sh /tmp/zero-shot
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/zero-shot}
clips=${CLIPS:-700}
ae_steps=${AE_STEPS:-700}
steps=${STEPS:-5000}
wide=$((clips / 5 + 1))
frozen=$((ae_steps * 7 / 10))
mkdir -p "$out"
export OMP_NUM_THREADS=1

# 1. Clips with captions. The split `train` leaves out deeds at some places (NEW_COMBINATIONS in worlds/crafter/sample.py).
chronotope world crafter --count "$clips" --pictures 0 --size 64x64 --seed 12 --out "$out/clips/square"
chronotope world crafter --count "$wide" --pictures 0.1 --seed 31 --out "$out/clips/wide"
chronotope world stage --scope small --count "$clips" --pictures 0.3 --seed 32 --out "$out/clips/stage"
data=("$out/clips/wide=0.15" "$out/clips/square=0.5" "$out/clips/stage=0.35")

# 2. One autoencoder for both worlds, one slice a frame.
chronotope train autoencoder --preset world --data "$out"/clips/{wide,square,stage} --out "$out/words" \
    --set train.steps="$ae_steps" train.freeze_encoder_from="$frozen"

# 3. The transformer: a frame is generated from words and from the frames before it. Once without actions, once with them.
settings=(train.steps="$steps" train.batch_tokens=800 train.decay_from=0.5 train.warmup=30 train.average_decay=0.995
    model.width=160 model.depth=4 model.text_depth=2 captions.paragraph=0 captions.dropout=0.1 noise_levels.causal=0.8)
chronotope train dit --preset world --data "${data[@]}" --out "$out/words" --set actions.use=false "${settings[@]}"
chronotope train dit --preset world --data "${data[@]}" --autoencoder "$out/words" --out "$out/actions" \
    --set actions.dropout=0.5 "${settings[@]}"

# 4. Sixty prompts, half of them new combinations, judged by the checks of Crafter; what the autoencoder loses is measured first.
#    The guidance was chosen on twelve other prompts.
chronotope evaluate "$out/words" --suite crafter --first 20 --layer autoencoder --out "$out/evaluated/autoencoder"
chronotope evaluate "$out/words" --suite crafter --steps 8 --guidance 2.5 --out "$out/evaluated/words"
chronotope evaluate "$out/actions" --suite crafter --steps 8 --guidance 2.5 --out "$out/evaluated/actions"
