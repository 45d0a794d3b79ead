"""What a captioner reads from trials of unknown pictures: class probabilities, a caption, what it says of noise."""

from typing import TYPE_CHECKING

from runtime.draws import seed_of
from runtime.errors import InputError

import torch

from captioning.conditions import captions_of, check_noise, under_condition
from captioning.requests import Request
from encoders.confidence import confidence_text, threshold_of
from encoders.words import words_of
from metrics.conditions import MODEL_CONDITION

if TYPE_CHECKING:
    from captioning.captioner import Captioner


def threshold(captioner: "Captioner", request: Request) -> float:
    """The probability below which a trial gets no caption; infinite where none does."""
    return threshold_of(captioner.model.encoder.config) if request.abstain_below is None else request.abstain_below


def threshold_text(captioner: "Captioner", request: Request) -> str:
    """A sentence on this threshold."""
    return (confidence_text(captioner.model.encoder.config) if request.abstain_below is None else
            f"A probability below {request.abstain_below:g} was to give no caption.")


def readings(captioner: "Captioner", eeg: torch.Tensor, request: Request, first: int = 0) -> dict[str, list]:
    """Captions of trials [n, C, T] as columns of n entries: caption, class, probability, words [(name, probability), ...]
    and caption_<condition> for each of the request's controls.

    Below the threshold the caption is "no confident reading". Controls are written for all trials: they show how fluent
    the LLM is without the EEG. first: how many trials of a stream came before these, as each has noise and, where captions
    are sampled, draws of its own.
    """
    for control in request.controls:
        if lacking := captioner.lacks(control):
            raise InputError(f"--control {control}: needs {lacking}; leave it out, or give noise or nothing")
    check_noise(request.controls, len(eeg), captioner.learned)
    instruction = request.instruction or captioner.instruction()
    embeddings, probabilities = captioner.encode(eeg)
    predicted, probability = words_of(probabilities, captioner.model.encoder.config, captioner.class_names)
    told, answered = captioner.route.labels(embeddings, predicted), probability >= threshold(captioner, request)
    batch_size = request.batch_size or captioner.fitting_batch_size(instruction, **request.generation)
    names = captioner.class_names
    seed = seed_of(request.seed, first) if first and request.generation["do_sample"] else request.seed
    top = probabilities.topk(min(request.words, probabilities.shape[1]))
    columns = {
        "caption": [], "class": predicted, "probability": probability.tolist(),
        "words": [[(names[i], round(p, 4)) for i, p in zip(*row, strict=True)] for row in
                  zip(top.indices.tolist(), top.values.tolist(), strict=True)]}
    for condition in (MODEL_CONDITION, *request.controls):
        shown = under_condition(condition, embeddings, predicted, predicted, torch.arange(len(embeddings)), request.seed,
                                told=told, learned=captioner.learned, first=first)
        own = condition == MODEL_CONDITION
        texts = captions_of(captioner, shown, answered.tolist() if own else [True] * len(embeddings), instruction,
                            desc=condition, seed=seed, batch_size=batch_size, **request.generation)
        columns["caption" if own else f"caption_{condition}"] = texts
    return columns
