"""Numbers as the report writes them, and what the conditions mean."""

import math

CONDITION_MEANINGS = {
    "eeg+label": "The trial's EEG embedding and the class that the encoder predicts from it: the model as it is used.",
    "eeg": "The EEG embedding alone, without a class name.",
    "label": "The predicted class name alone, without an EEG embedding.",
    "noise+label": "The predicted class name with Gaussian noise in the embedding's place, of the embeddings' own mean and "
                   "covariance.",
    "noise": "That noise alone, without a class name.",
    "nothing": "The LLM with neither embedding nor class name: what it writes of no trial at all.",
    "shuffled": "Embedding and predicted class of another trial, of another picture of any class.",
    "shuffled_within_class": "The embedding of another trial with the same predicted class, of another picture. What is "
                             "lost against eeg+label is what the EEG tells beyond the class name.",
    "constant": "One training caption for every trial, the one that fits the training captions best. No LLM and no EEG.",
    "template": "One sentence fitted on the training captions, with the predicted class name put in. No LLM.",
    "class_medoid": "The training caption of the predicted class that is nearest to the others of its class. No LLM.",
    "nearest_picture": "The caption of the training picture whose embedding is nearest to the trial's EEG embedding. No "
                       "LLM.",
    "oracle_label": "The EEG embedding with the true class name; it knows part of the answer.",
    "image": "The picture's own embedding with the true class name: the ceiling for this LLM.",
}
KIND_NAMES = {"model": "Model", "variant": "Variants of the model", "control": "Controls",
              "baseline": "Baselines, fitted on the training captions", "knows": "Know the answer"}
LONGEST_TEXT = 500


def is_number(value):
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)


def number(value, sign=False):
    """Three decimals, one from 10 on; "-" where it is unknown."""
    if not is_number(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{3 if abs(value) < 10 else 1}f}"
    return text[1:] if text in ("-0.000", "+0.000") else text


def interval(low, high):
    return f"{number(low)} to {number(high)}" if is_number(low) and is_number(high) else ""


def p_text(p):
    if not is_number(p):
        return "-"
    return f"{p:.4f}" if p >= 0.00005 else "< 0.0001"


def shortened(text):
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text)} characters)"


def counted(count, noun):
    """"1 picture", "2 pictures"; "?" where the number is unknown."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}" if is_number(count) else f"? {noun}s"
