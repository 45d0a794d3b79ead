"""Options that have no effect beside others: each was taken without a word."""

import re

from runtime import idle_options
from runtime.errors import InputError

import pytest

import caption
import evaluate
import finetune_llm
import inference
import inference_chance
import prepare_data
import stream
import test_eeg_classifier
import train_eeg_classifier
from evaluation.caveats import without_effect
from metrics.conditions import TABLE
from recipes import make_small_clip
from split_material import dataset, rows
from test_options import parsers
from tiny import data_arguments

TRAIN = ["--eeg_dataset", "a", "--output", "b"]
SCORE = ["--eeg_dataset", "a", "--output", "docs"]
FINETUNE = [*TRAIN, "--eeg_encoder_path", "c"]
READ = ["--model_path", "m", "--eeg_file", "one.npy"]
WHOLE = ["--model_path", "m", "--eeg_dataset", "d"]
SIMULATED = ["simulated", "--output", "o"]
TABLES = {"train_eeg_classifier": "TRAINING", "test_eeg_classifier": "SCORING", "finetune_llm": "FINETUNING",
          "inference": "INFERENCE", "inference_chance": "CONTROLS", "evaluate": "EVALUATION", "caption": "CAPTION",
          "stream": "STREAM", "prepare_data": "PREPARING", "recipes.make_small_clip": "SMALL_CLIP"}


@pytest.mark.parametrize(("script", "argv", "said"), [
    (train_eeg_classifier, [*TRAIN, "--mask_ratio", "0.3"],
     "note: --mask_ratio 0.3: has no effect without --pretrained DIR\n"),
    (train_eeg_classifier, [*TRAIN, "--pretrained", "docs", "--mask_ratio", "0.3"],
     "note: --mask_ratio 0.3: has no effect with an encoder as --pretrained"),
    (train_eeg_classifier, ["--pretrain", "--pretrained", "d", "--output", "b", "--noise", "1"], "--noise 1: .* --pre"),
    (train_eeg_classifier, [*TRAIN, "--features", "64"], "--features 64: .* without --encoder braindecode:NAME"),
    (train_eeg_classifier, [*TRAIN, "--residual_blocks", "0"], "--residual_blocks 0: .* without --encoder channelnet"),
    (train_eeg_classifier, [*TRAIN, "--encoder", "nice", "--layers", "3"], "--layers 3: .* without --encoder transformer"),
    (train_eeg_classifier, [*TRAIN, "--loss_weight", "0", "--loss", "infonce"], "--loss infonce: .* with --loss_weight 0"),
    (train_eeg_classifier, [*TRAIN, "--class_head", "off", "--label_smoothing", "0.1"], "with --class_head off"),
    (train_eeg_classifier, [*TRAIN, "--splits_index", "subject"], "--splits_index subject: .* without --subject"),
    (test_eeg_classifier, [*SCORE, "--window_ms", "20"], "--window_ms 20: .* without --when_and_where"),
    (finetune_llm, [*FINETUNE, "--no-use_lora", "--lora_r", "8"],
     "note: --lora_r 8: has no effect with --no-use_lora\n"),
    (finetune_llm, [*FINETUNE, "--label", "none", "--train_label", "out_of_fold"], "--train_label out_of_fold: .* --label"),
    (finetune_llm, [*FINETUNE, "--label", "none", "--exemplars", "2", "--train_label", "true"], "--train_label true: "),
    (finetune_llm, [*FINETUNE, "--label", "none", "--label_dropout", "0.3"], "--label_dropout 0.3: .* with --label none"),
    (finetune_llm, [*FINETUNE, "--soft_tokens", "0", "--projector", "linear"], "--projector linear: .* --soft_tokens 0"),
    (finetune_llm, [*FINETUNE, "--soft_tokens", "0", "--embedding_dropout", "0"], "--embedding_dropout 0: "),
    (finetune_llm, [*FINETUNE, "--no_stage3", "--num_epochs_eeg", "2"], "--num_epochs_eeg 2: .* with --no_stage3"),
    (inference, [*READ, "--subject", "3"], "--subject 3: .* with --eeg_file"),
    (finetune_llm, [*FINETUNE, "--lr_scheduler_type", "constant", "--warmup_ratio", "0.2"], "0.2: .* does not warm up"),
    (inference, [*WHOLE, "--trial", "3", "--split", "val"], "--split val: .* --trial"),
    (inference, [*WHOLE, "--trial", "3", "--split_num", "2"], "--split_num 2: .* --trial"),
    (inference, [*WHOLE, "--trial", "3", "--batch_size", "2"], "--batch_size 2: .* where one trial is captioned"),
    (inference, [*READ, "--results_dir", "r"], "--results_dir r: .* where one trial is captioned"),
    (inference, [*WHOLE, "--dest", "a.csv", "--results_dir", "r"], "--results_dir r: .* with --dest"),
    (inference, [*WHOLE, "--picture", "photo"], "--picture photo: .* need no embeddings of pictures"),
    (inference, [*WHOLE, "--picture", "photo", "--condition", "image"], None),
    (inference, [*WHOLE, "--clip_model", "c"], "--clip_model c: .* without --candidates"),
    (inference, [*WHOLE, "--clip_model", "c", "--candidates", "3"], None),
    (inference, [*WHOLE, "--condition", "constant", "--guidance", "2"], "--guidance 2: .* under baselines"),
    (inference, [*WHOLE, "--condition", "class_medoid", "--do_sample"], "--do_sample: .* under baselines"),
    (inference_chance, [*WHOLE, "--conditions", "label", "constant", "--guidance", "2"], "hold no embedding\n$"),
    (inference_chance, [*WHOLE, "--conditions", "label", "eeg", "--guidance", "2", "--clip_model", "c"], "--clip_model"),
    (inference_chance, [*WHOLE, "--conditions", "noise", "constant", "--label", "none"], "--label none: .* no class name"),
    (inference_chance, [*WHOLE, "--conditions", "noise", "eeg", "--label", "none"], None),
    (inference_chance, [*WHOLE, "--guidance", "2", "--clip_model", "c", "--picture", "photo"], None),
    (evaluate, ["a.csv", "--judge_tokens", "9"], "--judge_tokens 9: .* without --judge_model"),
    (evaluate, ["a.csv", "--judge_model", "m", "--judge_threads", "9"], "--judge_threads 9: .* without --judge_url"),
    (caption, ["--model_path", "m", "--recording", "r", "--every", "1", "--event_delay", "0.1"], "0.1: .* no events"),
    (stream, ["--model_path", "m", "--lsl", "a", "--every", "1", "--event_delay", "0.1"], "--event_delay 0.1: .* --every"),
    (prepare_data, [*SIMULATED, "--no_audit", "--permutations", "99"], "--permutations 99: .* with --no_audit"),
    (prepare_data, [*SIMULATED, "--split_by", "picture", "--unseen_pictures"], "--unseen_pictures: .* --split_by picture"),
    (prepare_data, ["split", "f", "--split_by", "subject", "--split_gap", "9", "--split_seed", "1"], None),
    (prepare_data, ["split", "f", "--split_by", "class", "--split_gap", "9"], "--split_gap 9: .* without --split_by time"),
    (prepare_data, ["split", "f", "--split_by", "time", "--split_seed", "9"], "--split_seed 9: .* with --split_by time"),
    (prepare_data, ["split", "f", "--split_by", "subject", "--test_fraction", "0.3"], "--test_fraction 0.3: .* one"),
    (prepare_data, ["split", "f", "--split_by", "subject", "--unseen_pictures", "--test_fraction", "0.3"], None),
    (prepare_data, ["audit", "f", "--splits_index", "all"], "--splits_index all: .* without --subject"),
    (make_small_clip, ["--image_dir", "i", "--extra_scenes", "objects"], "--extra_scenes objects: .* --extra_drawings")])
def test_an_option_without_effect_is_said(script, argv, said, capsys):
    assert script.parse(argv)
    printed = capsys.readouterr().out
    assert re.search(said, printed) if said else not printed


def test_shares_of_parts_that_a_data_set_names_are_said_to_have_no_effect(tmp_path, capsys):
    """`prepare_data.py split --val_fraction 0.3` on THINGS-EEG2 made the same splits, without a word."""
    dataset(tmp_path / "all", [(1, 1, rows(2, 4, part=part)) for part in ("test", "train", "val")], 2, by="given")
    dataset(tmp_path / "two", [(1, 1, rows(2, 4, part=part)) for part in ("test", "train")], 2, by="given")
    options = ["--val_fraction", "0.3", "--test_fraction", "0.4", "--split_seed", "3"]
    prepare_data.main(["split", str(tmp_path / "all"), *options])
    printed = capsys.readouterr().out
    assert "note: --val_fraction 0.3: has no effect with --split_by given, as the data set names its val part" in printed
    assert "--test_fraction 0.4: has no effect" in printed and "--split_seed 3: has no effect" in printed
    prepare_data.main(["split", str(tmp_path / "two"), *options])
    printed = capsys.readouterr().out
    assert "--test_fraction 0.4: has no effect" in printed
    assert "--val_fraction" not in printed and "--split_seed" not in printed


def test_what_no_run_would_use_is_refused():
    with pytest.raises(InputError, match="--title: has no effect without --report; also give that, or leave --title out"):
        evaluate.parse(["a.csv", "--title", "Ours"])


@pytest.mark.parametrize("argv", [
    ["--label", "none", "--exemplars", "2", "--train_label", "out_of_fold"], ["--no-use_lora", "--lora_r", "16"],
    ["--soft_tokens", "0", "--exemplars", "1", "--embedding_dropout", "0"]])
def test_what_has_an_effect_or_is_the_default_is_taken(argv):
    assert finetune_llm.parse([*FINETUNE, *argv])


def test_what_predecessors_give_is_said(capsys):
    assert finetune_llm.parse([*FINETUNE, "--no_stage2", "--num_epochs_image", "6"])
    assert capsys.readouterr().out == "note: --num_epochs_image 6: has no effect with --no_stage2\n"
    assert train_eeg_classifier.parse([*TRAIN, "--num_epochs", "2", "--max_steps", "100"])  # trained for 100 steps
    assert capsys.readouterr().out.startswith("note: --num_epochs 2: has no effect with --max_steps, which says how long")


def test_the_kinds_of_conditions_are_those_of_their_table():
    assert {one.name for one in TABLE if one.needs_clip} == idle_options.OF_PICTURES
    assert {one.name for one in TABLE if one.kind == "baseline"} == idle_options.BASELINES
    assert {one.name for one in TABLE if one.kind != "baseline" and one.embedding is None} == idle_options.WITHOUT_EMBEDDING
    assert {one.name for one in TABLE if one.kind != "baseline" and not (one.label or one.by_told)
            } == idle_options.WITHOUT_LABEL
    # What the caveats of a report take for no difference is what these sets say.
    greedy = {"do_sample": False, "candidates": 1}
    for name, idle in (("guidance", idle_options.WITHOUT_EMBEDDING), ("candidates", idle_options.WITHOUT_EMBEDDING),
                       ("label", idle_options.WITHOUT_LABEL | {"eeg"})):
        written = [one.name for one in TABLE if one.kind != "baseline"]
        assert {condition for condition in written if name in without_effect(condition, greedy)} == idle, name


@pytest.mark.parametrize("script", TABLES)
def test_tables_name_options_of_their_script(script):
    known = {action.dest for parser in parsers(script) for action in parser._actions}
    named = {name for row in getattr(idle_options, TABLES[script]) for name in row.names.split()}
    assert named and named <= known


def test_what_the_trials_make_idle(data, clip, tmp_path, capsys):
    given = [*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path / "e"), "--device", "cpu"]
    train_eeg_classifier.main([*given, "--best_by", "loss", "--num_epochs", "1"])
    assert "--best_by loss: has no effect without --branches neural or --patience" in capsys.readouterr().out
    folder = tmp_path / "data"
    prepare_data.main(["simulated", "--output", str(folder), "--n_subjects", "2", "--n_pictures", "30", "--image_size",
                       "32", "--no_audit", "--classes", "cup", "car"])
    prepare_data.main(["split", str(folder), "--split_gap", "30"])  # the record says by picture
    assert "--split_gap 30: has no effect without --split_by time" in capsys.readouterr().out
