"""From which class probability on a reading is confident. It is measured on the validation part and kept in an encoder's
config.json."""

import math

from runtime.wording import counted, percent

import torch
from torch import nn
from transformers import PretrainedConfig

from eegdata.dataset_folder import MappedEEG

from . import encode
from .temperature import class_probabilities

DELTA = .05  # probability that the rate of right classes is below the one stated
MOST_NOISE = 500  # trials of it


def halfway(classes: int) -> float:
    """Halfway between chance and certainty: .75 of two classes, .51 of forty."""
    return (1 + 1 / classes) / 2


def lowest_threshold(probability: torch.Tensor, correct: torch.Tensor, rate: float, floor: float,
                     delta: float = DELTA) -> float | None:
    """The lowest threshold, `floor` or above, from which on a share `rate` of the classes is right; None where there is
    none.

    probability [N] of the predicted class; correct [N]: whether it is the true one. With a probability of 1 - delta the
    rate holds for other trials of the same kind: selection with guaranteed risk (Geifman and El-Yaniv, Selective
    Classification for Deep Neural Networks, NeurIPS 2017), a binary search with an exact binomial bound at each of its
    steps. The trials count as independent, though several of one picture are not quite.
    """
    from scipy.stats import beta

    candidates = torch.cat([torch.tensor([floor], dtype=probability.dtype), probability[probability >= floor]]).unique()
    low, high, found = 0, len(candidates) - 1, None
    steps = math.ceil(math.log2(len(candidates) + 1))
    while low <= high:
        middle = (low + high) // 2
        answered = correct[probability >= candidates[middle]]
        right, n = int(answered.sum()), len(answered)
        if right and beta.ppf(delta / steps, right, n - right + 1) >= rate:
            found, high = float(candidates[middle]), middle - 1
        else:
            low = middle + 1
    return found


def phase_randomised(eeg: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Noise [N, C, T] with each trial's spectra and cross-spectra: a random phase is added to each frequency, the same in
    all channels (Prichard and Theiler, Physical Review Letters 1994)."""
    spectrum = torch.fft.rfft(eeg)
    drawn = torch.rand(len(eeg), 1, spectrum.shape[-1], generator=torch.Generator().manual_seed(seed))
    drawn[..., [0, -1] if eeg.shape[-1] % 2 == 0 else [0]] = 0  # the mean and the last frequency are real numbers
    return torch.fft.irfft(spectrum * torch.exp(2j * math.pi * drawn).to(eeg.device), n=eeg.shape[-1])


def measure_confidence(encoder: nn.Module, eeg: torch.Tensor | MappedEEG, rows: torch.Tensor, logits: torch.Tensor,
                       labels: torch.Tensor, device: str) -> dict:
    """What is kept as `confidence` in the encoder's config, of the validation trials `rows` of eeg [N, C, T] with their
    logits [n, K] and labels [n]; the temperature is set before.

    {"above": the threshold, None where no probability is high enough; "rate": the share of right classes that is asked of
    readings from there on, halfway between chance and certainty; "trials": n; "answered": share of them that reach it;
    "noise": share of noise with their spectra that reaches it}.
    """
    best = class_probabilities(logits.double(), encoder.config).max(1)
    probability, rate = best.values.round(decimals=4), halfway(logits.shape[1])
    above = lowest_threshold(probability, best.indices == labels, rate, rate)
    kept = {"above": above, "rate": rate, "trials": len(labels), "answered": 0., "noise": 0.}
    if above is None:
        return kept
    some = rows[torch.linspace(0, len(rows) - 1, min(len(rows), MOST_NOISE)).long()]
    noise = encode(encoder, phase_randomised(eeg[some]), device=device)[1]
    reached = class_probabilities(noise.double(), encoder.config).max(1).values.round(decimals=4) >= above
    return kept | {"answered": float((probability >= above).double().mean()), "noise": float(reached.double().mean())}


def threshold_of(config: PretrainedConfig) -> float:
    """The probability from which on an encoder's readings are confident; infinite where none is. Encoders that do not say
    have the one halfway between chance and certainty. Without one class a picture there is none to doubt: 0."""
    if not config.num_classes or config.several_classes:
        return 0.
    if not config.confidence:
        return halfway(config.num_classes)
    return math.inf if config.confidence["above"] is None else config.confidence["above"]


def confidence_text(config: PretrainedConfig) -> str:
    """A sentence on the threshold of an encoder."""
    kept = config.confidence
    if not config.num_classes or config.several_classes:
        return "Every trial gets a caption, as there is no one class to be confident of."
    if not kept:
        return (f"Confident is a probability of {halfway(config.num_classes):.2f} or more, halfway between chance and "
                "certainty. The model does not say how often such readings are right.")
    trials, rate, sure = counted(kept["trials"], "validation trial"), percent(kept["rate"]), percent(1 - DELTA)
    if kept["above"] is None:
        return (f"No reading counts as confident: in the {trials} no probability was high enough for {rate} of the "
                f"readings to be right ({sure} confidence).")
    return (f"Confident is a probability of {kept['above']:.2f} or more. {percent(kept['answered'])} of the {trials} "
            f"reach it, and at least {rate} of such readings are right ({sure} confidence, if trials of one picture "
            f"are independent). But {percent(kept['noise'])} "
            "of noise with the same spectra reaches it, too: it does not tell EEG from noise.")
