"""What stands in the prompt under each condition: the EEG embedding and the predicted class, or a control instead."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from runtime.draws import seed_of
from runtime.errors import InputError
from runtime.wording import counted, joined

import numpy as np
import torch

from metrics.caption_files import ABSTAINED
from metrics.conditions import BY_NAME
from metrics.exchange import swap
from metrics.statistics import codes_of

FEW_TRIALS = 20  # below it noise like the trials' own embeddings would hold these embeddings
NOISE_ROWS = 1024  # trials whose noise is drawn at a time; N trials need N weights per trial


class PromptContent(NamedTuple):
    """The content of the prompts of N trials.

    embeddings [N, E]; labels: N class names or other words, or None without; with_embedding: whether the embedding
    stands in the prompt; modality: "eeg" or "image", the origin of the embedding; rows [N] long: the trial whose EEG is
    behind each caption, which is the trial itself unless EEG was exchanged.
    """

    embeddings: torch.Tensor
    labels: list[str] | None
    with_embedding: bool
    modality: str
    rows: torch.Tensor


def matched_noise(embeddings: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise [N, E] with the mean and covariance of the embeddings."""
    mean = embeddings.mean(0)
    centred = embeddings - mean
    noise = torch.empty_like(embeddings)
    for rows in noise.split(NOISE_ROWS):  # Gaussian weights on the centred rows: their covariance is the rows' own
        weights = torch.randn(len(rows), len(embeddings), generator=generator) / max(1, len(embeddings) - 1) ** 0.5
        rows[:] = mean + weights @ centred
    return noise


def _noise(embeddings, seed, learned, first):
    """Noise in place of embeddings [N, E], for `under_condition`."""
    if len(embeddings) >= FEW_TRIALS:
        return matched_noise(embeddings, torch.Generator().manual_seed(seed))
    mean, scale = learned
    return mean + scale * torch.stack([torch.randn(len(mean), generator=torch.Generator().manual_seed(seed_of(seed, row)))
                                       for row in range(first, first + len(embeddings))])


def noise_like_nothing(conditions: Iterable[str], trials: int,
                       learned: tuple[torch.Tensor, torch.Tensor] | None) -> list[str]:
    """Those of the conditions that show noise where nothing is known that it could be like. trials, learned: of
    `under_condition`."""
    known = trials >= FEW_TRIALS or learned is not None
    return [condition for condition in conditions if BY_NAME[condition].embedding == "noise" and not known]


def check_noise(conditions: Iterable[str], trials: int, learned: tuple[torch.Tensor, torch.Tensor] | None) -> None:
    """Raise InputError for `noise_like_nothing`."""
    noise = noise_like_nothing(conditions, trials, learned)
    if noise:
        raise InputError(f"{joined(noise)}: noise in place of {counted(trials, 'trial')} needs the mean and scale of the "
                         "embeddings in training, which a predecessor's or an early captioner does not keep; leave it out, "
                         f"or give {FEW_TRIALS} trials or more at a time, whose own mean and covariance do")


def captions_of(captioner: object, shown: PromptContent, answered: list[bool], instruction: str,
                **options: object) -> list[str]:
    """The LLM's caption for each trial that is answered, ABSTAINED for the others. options: those of Captioner.generate.

    Under greedy decoding equal prompts give equal captions, so each prompt is decoded once: for example all trials of a
    class without an embedding, or of a picture that several people saw.
    """
    labels = [None] * len(answered) if shown.labels is None else shown.labels
    prompts = range(len(labels)) if options["do_sample"] else list(zip(labels, (
        row.numpy().tobytes() if shown.with_embedding else b"" for row in shown.embeddings), strict=True))
    first = {}
    for row, prompt in enumerate(prompts):
        if answered[row]:
            first.setdefault(prompt, row)
    rows = list(first.values())
    texts = captioner.generate(shown.embeddings[rows], [labels[row] for row in rows], shown.with_embedding, instruction,
                               modality=shown.modality, **options)
    text_of = dict(zip(first, texts, strict=True))
    return [text_of[prompt] if answer else ABSTAINED for prompt, answer in zip(prompts, answered, strict=True)]


def under_condition(condition: str, embeddings: torch.Tensor, predicted: list[str], truth: list[str], images: torch.Tensor,
                    seed: int, image_rows: Callable[[], torch.Tensor] | None = None,
                    told: list[str | None] | None = None, learned: tuple[torch.Tensor, torch.Tensor] | None = None,
                    first: int = 0) -> PromptContent:
    """The PromptContent of a condition of metrics/conditions.py.

    embeddings [N, E] from EEG; predicted, truth: N class names or other words; images: [N] long; image_rows: function to
    picture embeddings [N, E]; told: N texts that stand in prompts for the predicted class, None for its name.

    Noise has the mean and covariance of many trials' embeddings; of few, the mean [E] and the overall scale `learned` of
    those that the captioner was trained on (None: not known, see check_noise). first: how many trials of a stream came
    before these, as each of few has noise of its own.
    """
    check_noise([condition], len(embeddings), learned)
    asked, generator = BY_NAME[condition], torch.Generator().manual_seed(seed)
    rows = torch.arange(len(embeddings))
    if asked.exchanged:
        within = asked.embedding == "shuffled_within_class"
        groups = codes_of(predicted) if within else np.zeros(len(predicted), int)
        rows, alone = swap(torch.from_numpy(groups), images, generator)
        if alone:
            print(f"note: {condition}: {alone} of {len(predicted)} trials have no partner and keep their own EEG")
    if asked.embedding == "image":
        shown = image_rows()
    elif asked.embedding == "noise":
        shown = _noise(embeddings, seed, learned, first)
    else:
        shown = embeddings[rows]
    told = predicted if told is None else told
    labels = {"predicted": [told[row] for row in rows.tolist()], "true": truth, None: None}[asked.label]
    return PromptContent(shown, labels, asked.embedding is not None, "image" if asked.embedding == "image" else "eeg", rows)
