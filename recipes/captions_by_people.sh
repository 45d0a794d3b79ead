#!/usr/bin/env bash
# The whole pipeline on pictures without one class: up to three things in each, five differently worded captions, simulated EEG:
# recipes/captions_by_people.sh [RUN_FOLDER [SNR [SCENES]]]. SNR 0 switches the signal off; SCENES is objects, or unnamed for
# pictures of which nobody says what they show.
set -euo pipefail
RUN=${1:-demo/captions_by_people}
SNR=${2:-1.0}
SCENES=${3:-objects}
LLM=demo/smollm2
DATA=(--eeg_dataset "$RUN/data")
PICTURES=(--clip_model "$RUN/clip" --cache_dir "$RUN/cache")
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

echo "== prepare: pictures of several things, five captions each, and EEG at SNR $SNR"
python prepare_data.py simulated --scenes "$SCENES" --classes ball car cup fish flower --output "$RUN/data" --snr "$SNR" \
    --val_fraction 0.1 --test_fraction 0.15 --seed 0
python -m recipes.make_small_clip "${DATA[@]}" --output "$RUN/clip" --extra_drawings 2000 \
    --extra_scenes objects --seed 0
python -m recipes.make_small_llm --output "$LLM"

echo "== stage 1: EEG encoder, of several classes a picture or of none"
python train_eeg_classifier.py "${DATA[@]}" "${PICTURES[@]}" --output "$RUN/eeg_encoder" --overwrite
python test_eeg_classifier.py "${DATA[@]}" "${PICTURES[@]}" --output "$RUN/eeg_encoder"

EPOCHS_IMAGE=2 EPOCHS_EEG=0.6 CAPTIONS=all
source "$(dirname "$0")/after_stage1.sh"
