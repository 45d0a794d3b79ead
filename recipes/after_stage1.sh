# Stages 2 and 3, captions under every condition, scores and report. demo.sh and n170.sh source this file; they set RUN, LLM,
# EPOCHS_IMAGE, EPOCHS_EEG, if wanted CAPTIONS, and the arrays DATA and PICTURES.
echo "== stages 2 and 3: projector and LoRA"
python finetune_llm.py "${DATA[@]}" "${PICTURES[@]}" --eeg_encoder_path "$RUN/eeg_encoder" \
    --llm_backbone_name_or_path "$LLM" --output "$RUN/captioner" --saved_pretrained_model_path "$RUN/stage2" \
    --prompt_template plain --num_epochs_image "$EPOCHS_IMAGE" --num_epochs_eeg "$EPOCHS_EEG" \
    --captions "${CAPTIONS:-first}" --lora_target '.*\.(q_proj|v_proj)' --overwrite

echo "== captions under every condition"
WRITE=(--model_path "$RUN/captioner" --batch_size 64 --max_new_tokens 24 --repetition_penalty 1.0 --cache_dir "$RUN/cache")
python inference.py "${DATA[@]}" "${WRITE[@]}" --dest "$RUN/results/captions.csv"
python inference_chance.py "${DATA[@]}" "${WRITE[@]}" --dest "$RUN/results/captions.csv"

echo "== scores and report"
python evaluate.py "$RUN"/results/*.csv --chart "$RUN/scores.png" --report "$RUN" --seed 0 \
    --sentence_model "$(python -m metrics.sentences)"
echo "$RUN/index.md says what each file is"
