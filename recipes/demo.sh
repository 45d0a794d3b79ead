#!/usr/bin/env bash
# The whole pipeline on simulated EEG: recipes/demo.sh [RUN_FOLDER [SNR]]. SNR 0 switches the signal off.
set -euo pipefail
RUN=${1:-runs/demo}
SNR=${2:-1.0}
DATA="--eeg_dataset $RUN/data/eeg.pth --splits_path $RUN/data/splits.pth --image_dir $RUN/data/images"
PICTURES="--clip_model $RUN/data/clip --picture photo --cache_dir $RUN/cache"
LLM=runs/smollm2
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

echo "== prepare: pictures, captions and EEG at SNR $SNR"
python prepare_data.py simulated --output "$RUN/data" --snr "$SNR" --val_part 0.1 --test_part 0.1
python -m recipes.make_small_clip --image_dir "$RUN/data/images" --output "$RUN/data/clip" \
    --eeg_dataset "$RUN/data/eeg.pth" --splits_path "$RUN/data/splits.pth" --extra_drawings 2000
python -m recipes.make_small_llm --output "$LLM"

echo "== stage 1: EEG encoder"
python train_eeg_classifier.py $DATA $PICTURES --output "$RUN/eeg_encoder"
python test_eeg_classifier.py $DATA $PICTURES --output "$RUN/eeg_encoder"

echo "== stages 2 and 3: projector and LoRA"
python finetune_llm.py $DATA $PICTURES --eeg_encoder_path "$RUN/eeg_encoder" --llm_backbone_name_or_path "$LLM" \
    --output "$RUN/captioner" --saved_pretrained_model_path "$RUN/stage2" --prompt_template plain \
    --num_epochs_image 2 --num_epochs_eeg 0.6 \
    --lora_target '.*\.(q_proj|v_proj)' --logging_steps 5

echo "== inference under every condition"
WRITE="--model_path $RUN/captioner --batch_size 64 --max_new_tokens 24 --repetition_penalty 1.0"
python inference.py $DATA $WRITE --cache_dir "$RUN/cache" --dest "$RUN/results/captions.csv"
python inference_chance.py $DATA $WRITE --cache_dir "$RUN/cache" --dest "$RUN/results/captions.csv"

echo "== scores and report"
python evaluate.py "$RUN"/results/*.csv --json "$RUN/scores.json" --chart "$RUN/scores.png"
python -m apps.report "$RUN"
echo "captions: $RUN/results/   scores: $RUN/scores.json   page: $RUN/report.html"
