"""What a training shows: a bar where somebody watches, and one aligned line for each validation."""

from runtime.wording import number

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

COLUMNS = {  # key of the Trainer's log: heading
    "eval_loss": "validation loss", "eval_accuracy": "accuracy", "eval_balanced_accuracy": "balanced accuracy",
    "eval_embedding_r": "embedding r", "eval_score": "score"}
FIRST = {"epoch": 9, "step": 13, "training loss": 15}  # columns that each table has, and their widths
BETWEEN = 2  # blanks between columns


class Progress(TrainerCallback):
    """Takes the place of transformers' own, which print a dict for each log entry.

    The training loss of a line is the mean of those that were logged since the line before.
    """

    def __init__(self) -> None:
        self.bar, self.columns, self.losses = None, None, []

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: object) -> None:
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", desc="training", leave=False)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict,
               **kwargs: object) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: dict,
                    **kwargs: object) -> None:
        if self.columns is None:
            self.columns = [key for key in COLUMNS if key in metrics]
            self._say([*FIRST, *(COLUMNS[key] for key in self.columns)])
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        self.losses = []
        self._say([f"{state.epoch or 0:.3g}/{state.num_train_epochs:g}", f"{state.global_step}/{state.max_steps}",
                   number(loss), *(number(metrics.get(key)) for key in self.columns)])

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        self.bar.close()

    def _say(self, texts):
        widths = [*FIRST.values(), *(len(COLUMNS[key]) + BETWEEN for key in self.columns)]
        with tqdm.external_write_mode():  # the bar stays below
            print("".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True)))
