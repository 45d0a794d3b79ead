"""What users of Thought2Text, PTM and DL_Proj_EEG-to-Text type: it runs, or one line says what to give instead."""

import json

from runtime.given_options import FORMER

import pytest

import finetune_llm
import inference
import inference_chance
import pretrain_data_processor
import test_eeg_classifier
import train_eeg_classifier
from caption_rows import rows
from documented import PAGES, options_of
from metrics.caption_files import read_captions
from tiny import data_arguments

SCRIPTS = {"train_eeg_classifier": train_eeg_classifier, "test_eeg_classifier": test_eeg_classifier,
           "finetune_llm": finetune_llm, "inference": inference, "inference_chance": inference_chance,
           "pretrain_data_processor": pretrain_data_processor}
DATA = "--eeg_dataset --image_dir --splits_path -sn --split_num -sub --subject -tl --time_low -th --time_high --device"
TRAINING = (f"{DATA} --output --clip_model --save_every --batch_size --save_steps --logging_steps --learning_rate --optim "
            "--weight_decay --max_grad_norm --max_steps --warmup_ratio --group_by_length --lr_scheduler_type")
CAPTIONS = (f"{DATA} --model_path --dest --prompt_type --results_dir --batch_size --max_new_tokens --max_prefix_length "
            "--max_suffix_length --do_sample --temperature --top_p --repetition_penalty --num_workers --debug --log_level "
            "--save_every --clip_model")
THEIRS = {  # all flags of their args.py, by the script that takes them
    "train_eeg_classifier": f"{TRAINING} --num_epochs",
    "test_eeg_classifier": f"{TRAINING} --num_epochs",
    "finetune_llm": f"{TRAINING} --llm_backbone_name_or_path --load_in_8bit --use_lora --no_stage2 --eeg_encoder_path "
                    "--saved_pretrained_model_path --num_epochs_image --num_epochs_eeg --gradient_accumulation_steps "
                    "--fp16 --bf16 --report_to",
    "inference": CAPTIONS,
    "inference_chance": CAPTIONS,
    "pretrain_data_processor": "--dir",
}
COMMANDS = [  # of their pages and shell scripts
    "train_eeg_classifier --eeg_dataset e.pth --splits_path s.pth --output enc --image_dir images/",
    "finetune_llm --eeg_dataset e.pth --splits_path s.pth --eeg_encoder_path enc --image_dir images/ --output m "
    "--llm_backbone_name_or_path a/b --subject 3 --no_stage2 --load_in_8bit --bf16",
    "inference --model_path m --eeg_dataset e.pth --image_dir images/ --dest r.csv --splits_path s.pth",
    "inference --model_path m --splits_path s.pth --eeg_dataset e.pth --image_dir images/ --prompt_type detailed "
    "--batch_size 1 --device cuda:0 --results_dir ./results",
    "inference_chance --model_path m --eeg_dataset e.pth --image_dir images/ --dest r.csv --splits_path s.pth",
    "train_eeg_classifier --eeg_dataset e.pth --output enc --optim adamw_hf -tl 20.0 -th 460.0 --save_every 5",
]


@pytest.mark.parametrize("script", THEIRS)
def test_their_flags_are_known(script):
    assert set(THEIRS[script].split()) <= options_of(script)


@pytest.mark.parametrize("command", COMMANDS)
def test_their_commands_are_taken(command):
    script, *words = command.split()
    SCRIPTS[script].parse(words)


@pytest.mark.parametrize("script, words, expected", [
    ("inference", "--model_path m --prompt_types basic detailed", "--prompt_types: is no option here: give --prompt"),
    ("inference", "--prompt_types=basic", "--prompt_type basic, detailed or creative"),
    ("test_eeg_classifier", "--eeg_dataset e.pth --splits_path s.pth --encoder_path enc", "--output of test_eeg"),
    ("test_eeg_classifier", "--output enc --eeg_dataset e.pth --epochs 10", "--embedding_baseline"),
    ("inference", "--output_dir here", "--results_dir"), ("inference", "--skip_existing", "leave it out"),
    ("finetune_llm", "--num_epochs 3", "--num_epochs_image or --num_epochs_eeg")])
def test_a_flag_with_another_name_is_answered(script, words, expected, capsys):
    with pytest.raises(SystemExit) as stop:
        SCRIPTS[script].main(words.split())
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert stop.value.code == 2 and expected in line and "docs/coming_from.md" in line


@pytest.mark.parametrize("script, words, expected", [
    ("train_eeg_classifier", "--output_dir enc", "--output_dir: there is no such option; did you mean --output?"),
    ("inference", "--epochs 3", "--epochs: there is no such option")])
def test_no_answer_names_options_of_other_scripts_only(script, words, expected, capsys):
    with pytest.raises(SystemExit):
        SCRIPTS[script].main(words.split())
    assert expected in capsys.readouterr().err


def test_answers_leave_no_trace_in_the_options():
    args = inference.parse(["--model_path", "m", "--dest", "r.csv", "--eeg_dataset", "e.pth"])
    assert not {flag.lstrip("-") for flag in FORMER} & set(vars(args)) and json.dumps(vars(args))
    with pytest.raises(SystemExit) as stop:
        inference.parse(["--model_path", "m", "--no_such_flag"])
    assert stop.value.code == 2


def test_the_page_names_what_they_type():
    (page,) = (page.read_text(encoding="utf-8") for page in PAGES if page.name == "coming_from.md")
    scripts = ("inference_only_eeg.py", "inference_chance.py", "inference_chance2.py", "baseline_with_encoder.py",
               "pretrain_data_processor.py", "run_all_")
    flags = {flag for script in THEIRS.values() for flag in script.split()} | {
        "--prompt_types", "--encoder_path", "--epochs", "--config_file", "--output_dir", "--max_parallel",
        "--skip_existing"}
    assert [name for name in (*scripts, *flags, "Prompt Style") if name not in page] == []


def test_their_caption_files_are_read(tmp_path):
    table = rows()
    table.assign(**{"Prompt Style": "basic"}).to_csv(tmp_path / "theirs.csv")  # with their column of row numbers
    read = read_captions(tmp_path / "theirs.csv")
    assert read.table["Generated Caption"].tolist() == table["Generated Caption"].tolist()
    assert list(read.table.columns) == [*table.columns, "Prompt Style"]


def test_baselines_of_the_embeddings(data, clip, encoder, tmp_path, capsys):
    """Against scikit-learn on embeddings that are computed one by one."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.preprocessing import StandardScaler

    from eegdata.trials import load_trials
    from encoders import load_encoder

    test_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(encoder), "--results_dir",
                              str(tmp_path), "--embedding_baseline", "--num_epochs", "100", "--device", "cpu"])
    scores = json.loads((tmp_path / "scores.json").read_text())
    said = capsys.readouterr().out
    assert set(scores["embedding_baseline"]) == {"logistic_regression", "mlp"}
    assert "balanced_accuracy, logistic regression of embeddings" in said and "mlp of embeddings" in said
    model, trials = load_encoder(encoder), load_trials(data / "eeg.pth")
    split = torch.load(data / "splits.pth")["splits"][0]
    with torch.no_grad():
        found = {part: np.concatenate([model.eval()(trials.eeg[i:i + 1])[0].numpy() for i in split[part]])
                 for part in ("train", "test")}
    scaler = StandardScaler().fit(found["train"])
    truth = trials.label.numpy()
    accuracies = []
    for strength in (0.001, 0.01, 0.1, 1.0):  # one of them was chosen by cross-validation
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(scaler.transform(found["train"]), truth[split["train"]])
        accuracies.append(balanced_accuracy_score(truth[split["test"]], fitted.predict(scaler.transform(found["test"]))))
    for name, baseline in scores["embedding_baseline"].items():
        assert baseline["n"] == 24 and baseline["balanced_accuracy"] > 0.6, name
    assert any(np.isclose(scores["embedding_baseline"]["logistic_regression"]["balanced_accuracy"], a) for a in accuracies)


def test_too_little_to_fit_a_baseline_on(data, clip, encoder, tmp_path, capsys):
    from eegdata.splits import write_splits

    write_splits(tmp_path / "splits.pth", {"train": [0, 1], "val": [2], "test": [3, 4]})
    with pytest.raises(SystemExit) as stop:
        test_eeg_classifier.main([*data_arguments(data), "--splits_path", str(tmp_path / "splits.pth"), "--clip_model",
                                  str(clip), "--output", str(encoder), "--results_dir", str(tmp_path),
                                  "--embedding_baseline", "--allow_overlap"])
    assert stop.value.code == 2 and "the training part has 2 trials of 1 class;" in capsys.readouterr().err
