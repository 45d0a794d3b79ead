"""The mean of an encoder's weights over the last third of its training, in place of the one best epoch.

Which epoch is best on a small validation part is mostly chance; the mean needs no such choice (Izmailov et al., UAI 2018).
"""

from torch import nn
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

BEGIN = 2 / 3  # of the steps


def averaged(encoder: nn.Module) -> AveragedModel:
    """An average of the encoder's weights, which at first is the encoder itself; nothing in it is trained."""
    return AveragedModel(encoder).requires_grad_(False)


class AverageWeights(TrainerCallback):
    """Keeps `average` at the encoder's weights, and from BEGIN on at their mean over the steps. Its state is part of the
    model that the Trainer saves, so that a resumed training goes on with it."""

    def __init__(self, average: AveragedModel, encoder: nn.Module) -> None:
        self.average, self.encoder = average, encoder

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: object) -> None:
        self.average.to(args.device)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        if state.global_step <= BEGIN * state.max_steps + 1:
            self.average.n_averaged.zero_()
        self.average.update_parameters(self.encoder)
