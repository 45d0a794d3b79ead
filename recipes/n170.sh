#!/usr/bin/env bash
# The stages on real EEG of people who look at faces and houses: recipes/n170.sh [FOLDER [RUN_FOLDER]].
# FOLDER holds the recordings, at any depth, and stimuli/{faces,houses}. CLIP_MODEL and LLM name other models than the small
# ones that are made here.
set -euo pipefail
FOLDER=${1:-../shared/data/n170}
RUN=${2:-demo/n170}
CLIP_MODEL=${CLIP_MODEL:-$RUN/clip}
LLM=${LLM:-demo/smollm2}
DATA=(--eeg_dataset "$RUN/data")
PICTURES=(--clip_model "$CLIP_MODEL" --cache_dir "$RUN/cache")

echo "== prepare: recordings to trials, split by recording within subject"
python prepare_data.py n170 --recordings "$FOLDER" --stimuli "$FOLDER/stimuli" --output "$RUN/data" \
    --val_fraction 0.2 --test_fraction 0.2
if [ "$CLIP_MODEL" = "$RUN/clip" ]; then
    python -m recipes.make_small_clip "${DATA[@]}" --output "$CLIP_MODEL" --epochs 60 --seed 0
fi
if [ "$LLM" = demo/smollm2 ]; then python -m recipes.make_small_llm --output "$LLM"; fi
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-$([ -d "$LLM" ] && echo 1 || echo 0)} TOKENIZERS_PARALLELISM=false

echo "== stage 1, and the classical baseline on the same split"
python train_eeg_classifier.py "${DATA[@]}" "${PICTURES[@]}" --output "$RUN/eeg_encoder" --overwrite
python test_eeg_classifier.py "${DATA[@]}" "${PICTURES[@]}" --output "$RUN/eeg_encoder" --when_and_where --classical_baseline

EPOCHS_IMAGE=6 EPOCHS_EEG=1
source "$(dirname "$0")/after_stage1.sh"
