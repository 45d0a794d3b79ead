"""Stages 2 and 3 and inference as a user runs them, for the tests."""

import pandas

import finetune_llm
import inference
import inference_chance
from tiny import data_arguments

COLUMNS = ["Ground Truth Image", "Expected object", "Predicted object", "Expected Caption", "Generated Caption", "trial",
           "subject", "session", "recording", "image", "split", "condition", "prompt", "probability", "model"]


def finetune(data, clip, encoder, llm, output, *more):
    finetune_llm.main([*data_arguments(data), "--clip_model", str(clip), "--eeg_encoder_path", str(encoder),
                       "--llm_backbone_name_or_path", str(llm), "--output", str(output), "--num_epochs_image", "1",
                       "--num_epochs_eeg", "1", "--logging_steps", "1", *more])
    return output


def write(captioner, data, destination, *more):
    inference.main(["--model_path", str(captioner), *data_arguments(data), "--dest", str(destination),
                    "--max_new_tokens", "12", "--device", "cpu", *more])
    return pandas.read_csv(destination, keep_default_na=False)


def write_controls(captioner, data, destination, *more):
    inference_chance.main(["--model_path", str(captioner), *data_arguments(data), "--dest", str(destination),
                           "--max_new_tokens", "4", "--device", "cpu", *more])
