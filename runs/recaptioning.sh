#!/usr/bin/env bash
# Measure what descriptive captions do for the model that is trained on them (docs/log.md, entry 72): five equal trainings that
# differ in their captions alone - tags; 50, 95 and 100 % descriptive ones of the captioner in the package; and, as the ceiling,
# 95 % true descriptive ones. Takes about an hour on one CPU core.
#
#     bash runs/recaptioning.sh [FOLDER]     writes to FOLDER (default: out/recaptioning); run it again to continue
#
# The tables are of SPECS=40, and SEED=1 in another folder is the second seed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"
out=${1:-out/recaptioning}
mkdir -p "$out"
export OMP_NUM_THREADS=1

# 1. Clips with true captions, and beside them what the captioner says of each.
chronotope world stage --scope shapes --count 1500 --seed 81 --out "$out/world"
set +e
chronotope caption "$out/world" --detail paragraph
status=$?
set -e
if [ $status -ne 0 ] && [ $status -ne 3 ]; then exit $status; fi # 3: some got no caption; they are named, and trained on without
chronotope encode "$out/world" --model small --out "$out/latents"

# 2. The same clips, steps and seed; only the shares of the captions differ.
none="captions.sentence=0 captions.story=0"
for share in 0 50 95 100; do
    rest=$((100 - share))
    chronotope train dit --preset tiny --data "$out/latents" --autoencoder small --out "$out/descriptive-$share" \
        --set seed="${SEED:-0}" train.steps="${STEPS:-960}" $none captions.paragraph=0 captions.tags=$rest captions.descriptive=$share
done
chronotope train dit --preset tiny --data "$out/latents" --autoencoder small --out "$out/true-95" \
    --set seed="${SEED:-0}" train.steps="${STEPS:-960}" $none captions.descriptive=0 captions.tags=5 captions.paragraph=95

# 3. The same held-out specs and seeds for all, from short and from descriptive prompts.
python runs/recaptioning.py "$out"/descriptive-* "$out/true-95" --count "${SPECS:-120}" --out "$out"
