"""Options that have no effect beside others: a table for each script.

Whoever gives an option expects that it changes something, so a note is printed. It is an error only where no run could use
the option, since one command may serve several runs, such as a loop over encoders.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.command_line import Options
from runtime.errors import InputError


@dataclass(frozen=True)
class Idle:
    """Options, separated by blanks, that have no effect where when(args) is true. because: what makes them so, as
    "with --no_stage3" or "without --report". refused: they are an error."""

    names: str
    because: str
    when: Callable[[argparse.Namespace], object]
    refused: bool = False


def say_idle(args: Options, table: Iterable[Idle], **settled: object) -> None:
    """Print a note on each option that is not at its default and has no effect, or raise InputError for those refused.
    settled: values that stand in place of those in args, of options for which the data decided."""
    given, known = args.given(), argparse.Namespace(**vars(args) | settled)
    for row in table:
        for name in row.names.split():
            if name not in given or not row.when(known):
                continue
            if row.refused:
                raise InputError(f"--{name}: has no effect {row.because}; also give that, or leave --{name} out")
            print(f"note: --{name}{_text(given[name])}: has no effect {row.because}")


def _text(value):
    """A value as it is typed; nothing for a switch."""
    if isinstance(value, bool):
        return ""
    values = value if isinstance(value, list | tuple) else [value]
    return "".join(f" {each:g}" if isinstance(each, float) else f" {each}" for each in values)


def _is(name, *values):
    return lambda args: getattr(args, name) in values


def _is_not(name, *values):
    return lambda args: getattr(args, name) not in values


def _lacks(name):
    return lambda args: getattr(args, name) in (None, False, 0)


def _one_trial(args):
    return args.trial is not None or args.eeg_file


def _asked(args):
    """The conditions that are named; those that inference_chance.py writes where none is named are of all kinds."""
    return set((args.conditions or ()) if "conditions" in args else (args.condition,))


# by metrics.conditions
WITHOUT_EMBEDDING, OF_PICTURES = {"label", "nothing"}, {"image", "nearest_picture"}
WITHOUT_LABEL = {"noise", "nothing"}  # whatever --label says: `eeg` is refused where it would repeat the model's captions
BASELINES = {"constant", "template", "class_medoid", "nearest_picture"}
_WARM_UP = Idle("warmup_ratio", "with this --lr_scheduler_type, which does not warm up",
                _is("lr_scheduler_type", "constant", "reduce_lr_on_plateau", "greedy"))
_WRITING = (  # of captions under conditions
    Idle("guidance candidates", "under conditions whose prompts hold no embedding",
         lambda args: _asked(args) & WITHOUT_EMBEDDING and _asked(args) <= WITHOUT_EMBEDDING | BASELINES),
    Idle("label", "under conditions whose prompts hold no class name",
         lambda args: _asked(args) and _asked(args) <= WITHOUT_LABEL | BASELINES),
    Idle("batch_size max_new_tokens min_new_tokens do_sample repetition_penalty guidance candidates",
         "under baselines, which no LLM writes", lambda args: _asked(args) and _asked(args) <= BASELINES),
    Idle("picture", "under conditions that need no embeddings of pictures",
         lambda args: _asked(args) and not _asked(args) & OF_PICTURES),
    Idle("clip_model", "without --candidates, under conditions that need no embeddings of pictures",
         lambda args: args.candidates == 1 and _asked(args) and not _asked(args) & OF_PICTURES),
    Idle("results_dir", "with --dest, which names the file", lambda args: args.dest),
    Idle("splits_index", "without --subject", _lacks("subject")))

TRAINING = (  # stage 1
    Idle("loss loss_weight class_head label_smoothing best_by keep_epochs target_layers target_mix target_tokens "
         "target_head target_blur soft_targets time_shift noise channel_dropout branches num_epochs clip_model picture "
         "time_low time_high split_num subject splits_index",
         "with --pretrain, which learns no pictures and reads no data set", lambda args: args.pretrain),
    Idle("mask_ratio pretrain_sfreq pretrain_epochs", "without --pretrained DIR", _lacks("pretrained")),
    Idle("mask_ratio pretrain_sfreq pretrain_epochs", "with an encoder as --pretrained, as they are of its pretraining",
         lambda args: args.pretrained and not args.pretrain and not (Path(args.pretrained) / "train.pt").is_file()),
    Idle("features", "without --encoder braindecode:NAME", lambda args: not args.encoder.startswith("braindecode:")),
    Idle("residual_blocks", "without --encoder channelnet", _is_not("encoder", "channelnet")),
    Idle("d_model attn_heads layers dropout spatial_filters patch_size", "without --encoder transformer",
         _is_not("encoder", "transformer")),
    Idle("loss soft_targets", "with --loss_weight 0, as no embedding is learned", _is("loss_weight", 0)),
    Idle("label_smoothing", "with --class_head off", _is("class_head", "off")),
    Idle("num_epochs pretrain_epochs", "with --max_steps, which says how long to train", _is_not("max_steps", -1)),
    _WARM_UP,
    Idle("splits_index", "without --subject", _lacks("subject")))


def of_trials(classes: str, of_best_epoch: bool) -> tuple[Idle, ...]:
    """What the trials of stage 1 make idle. classes: "one", "several" or "none" of a picture are learned; of_best_epoch:
    whether the best epoch is kept, not the mean of the weights."""
    return (Idle("best_by", "without --branches neural or --patience, as no epoch is picked", lambda _: not of_best_epoch),
            Idle("label_smoothing", "where no classes are learned", lambda _: classes == "none"))


SCORING = (  # test_eeg_classifier.py
    Idle("window_ms when_trials", "without --when_and_where", _lacks("when_and_where")),
    Idle("splits_index", "without --subject", _lacks("subject")))

FINETUNING = (  # stages 2 and 3
    Idle("lora_r lora_alpha lora_dropout lora_target", "with --no-use_lora", _lacks("use_lora")),
    Idle("projector projector_learning_rate", "with --soft_tokens 0, as there is no projector", _lacks("soft_tokens")),
    Idle("embedding_dropout", "with --soft_tokens 0 and without --exemplars, as prompts hold nothing of the embedding",
         lambda args: not args.soft_tokens and not args.exemplars),
    Idle("label_dropout", "with --label none", _is("label", "none")),
    Idle("train_label", "with --label none, as no prompt names a class (out_of_fold also chooses --exemplars)",
         lambda args: args.label == "none" and not (args.exemplars and args.train_label == "out_of_fold")),
    Idle("train_label num_epochs_eeg", "with --no_stage3", lambda args: args.no_stage3),
    Idle("num_epochs_image num_epochs_eeg", "with --max_steps, which says how long to train", _is_not("max_steps", -1)),
    Idle("num_epochs_image saved_pretrained_model_path", "with --no_stage2", lambda args: args.no_stage2),
    _WARM_UP,
    Idle("splits_index", "without --subject", _lacks("subject")))


def of_encoder(names_classes: bool) -> tuple[Idle, ...]:
    """What the encoder makes idle in stages 2 and 3. names_classes: whether it names a class or several."""
    def untold(args):
        return args.label == "class" and not names_classes

    because = "where the encoder names no class"
    return (Idle("label_dropout", because, untold),
            Idle("train_label", f"{because} (out_of_fold also chooses --exemplars)",
                 lambda args: untold(args) and not (args.exemplars and args.train_label == "out_of_fold")))


INFERENCE = (
    Idle("eeg_dataset splits_path image_dir split_num subject splits_index time_low time_high split",
         "with --eeg_file, which is all that is read", lambda args: args.eeg_file),
    Idle("split splits_path split_num", "with --trial, which is a number among all records",
         lambda args: args.trial is not None),
    Idle("batch_size allow_overlap", "where one trial is captioned, on the terminal", _one_trial),
    Idle("results_dir", "where one trial is captioned, on the terminal",
         lambda args: _one_trial(args) and not args.profile),
    *_WRITING)

CONTROLS = _WRITING  # inference_chance.py

EVALUATION = (
    Idle("beside title examples effects", "without --report", _lacks("report"), refused=True),
    Idle("bertscore_layers", "without --bertscore_model", _lacks("bertscore_model"), refused=True),
    Idle("splits_path image_dir split_num subject splits_index time_low time_high", "without --eeg_dataset",
         _lacks("eeg_dataset"), refused=True),
    Idle("judge_tokens", "without --judge_model", _lacks("judge_model")),
    Idle("judge_key_env judge_threads", "without --judge_url", _lacks("judge_url")))

CAPTION = STREAM = (Idle("event_delay", "with --every, as there are no events", lambda args: args.every),)

SPLITTING = (  # of `prepare_data.py split`, and of what that command does after each source
    Idle("split_gap", "without --split_by time", _is("split_by", "picture", "class", "session", "recording")),
    Idle("unseen_pictures", "with --split_by picture or class, which keep pictures apart anyway",
         _is("split_by", "picture", "class")),
    Idle("split_seed", "with --split_by time, which draws nothing",
         lambda args: args.split_by == "time" and not args.unseen_pictures),
    Idle("test_fraction", "with --split_by subject, whose test is one subject, and without --unseen_pictures",
         lambda args: args.split_by == "subject" and not args.unseen_pictures and args.command != "n170"))


def of_parts(named: Iterable[str], made_by: str = "") -> tuple[Idle, ...]:
    """What the parts that a data set itself names make idle. named: these; made_by: options by which its source made
    them."""
    given, told = _is("split_by", "given"), [part for part in ("val", "test") if part in named]
    rows = [Idle(f"{part}_fraction", f"with --split_by given, as the data set names its {part} part", given)
            for part in told if f"{part}_fraction" not in made_by.split()]
    if len(told) == 2:
        rows.append(Idle("split_seed split_gap", "with --split_by given, as the data set names all parts", given))
    return tuple(rows)


PREPARING = (*SPLITTING, Idle("permutations", "with --no_audit", lambda args: args.no_audit))
AUDIT = (Idle("splits_index", "without --subject", _lacks("subject")),)

SMALL_CLIP = (  # recipes.make_small_clip
    Idle("extra_scenes", "without --extra_drawings", _lacks("extra_drawings")),
    Idle("split_num", "without --eeg_dataset", _lacks("eeg_dataset")))
