#!/usr/bin/env bash
# The whole pipeline on simulated EEG: recipes/demo.sh [RUN_FOLDER [SNR]]. SNR 0 switches the signal off.
set -euo pipefail
RUN=${1:-demo/simulated}
SNR=${2:-1.0}
LLM=demo/smollm2
DATA=(--eeg_dataset "$RUN/data")
PICTURES=(--clip_model "$RUN/clip" --cache_dir "$RUN/cache")
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

echo "== prepare: pictures, captions and EEG at SNR $SNR"
python prepare_data.py simulated --output "$RUN/data" --snr "$SNR" --val_fraction 0.1 --test_fraction 0.1 --seed 0
python -m recipes.make_small_clip "${DATA[@]}" --output "$RUN/clip" --extra_drawings 2000 --seed 0
python -m recipes.make_small_llm --output "$LLM"

echo "== stage 1: EEG encoder"
python train_eeg_classifier.py "${DATA[@]}" "${PICTURES[@]}" --output "$RUN/eeg_encoder" --overwrite
python test_eeg_classifier.py "${DATA[@]}" "${PICTURES[@]}" --output "$RUN/eeg_encoder" --when_and_where

EPOCHS_IMAGE=2 EPOCHS_EEG=0.6
source "$(dirname "$0")/after_stage1.sh"
