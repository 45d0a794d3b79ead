"""The command line of every script: misspelt names, --config, --seeds, places that are not there, the next command."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

from runtime import options, seeds
from runtime.command_line import parse
from runtime.errors import InputError
from runtime.next_command import report_folder, say_next

import pytest

import evaluate
import finetune_llm
import inference
import prepare_data
import stream
import train_eeg_classifier
from documented import ROOT
from tiny import data_arguments


def refused(capsys, run, *argv):
    with pytest.raises(SystemExit) as stop:
        run(list(argv))
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_no_option_is_hidden_by_an_attribute():
    """As --words was, by a method of that name: it had no default."""
    parser = options.make_parser("x")
    parser.add_argument("--asked", default=3)
    with pytest.raises(ValueError, match="--asked"):
        parse(parser, [])


@pytest.mark.parametrize(("script", "argv", "said"), [
    (train_eeg_classifier, ["--eeg_datset", "data", "--output", "out"],
     "--eeg_datset: there is no such option; did you mean --eeg_dataset? All options: python "),
    (prepare_data, ["simulated", "--outptu", "out"], "--outptu: there is no such option; did you mean --output?"),
    (finetune_llm, ["--qqqqqqqq", "1"], "--qqqqqqqq: there is no such option. All options:"),
    (train_eeg_classifier, ["--save_ever", "1"], "--save_ever: there is no such option. All"),  # --save_every is hidden
])
def test_a_misspelt_name_is_answered_with_the_nearest(capsys, script, argv, said):
    message = refused(capsys, script.main, *argv)
    assert said in message and message.count("\n") == 1


def test_an_option_that_help_hides_is_not_blamed_for_another_mistake(capsys):
    """The predecessors' options without effect, such as --num_workers, were called unknown in place of the mistake."""
    argv = ["--model_path", "x", "--eeg_dataset", "y", "--num_workers", "4", "--save_every=5"]
    assert "error: argument --batch_size: invalid int value: 'x'. All" in refused(capsys, inference.main, *argv,
                                                                                  "--batch_size", "x")
    assert "error: --batch_siz: there is no such option; did you mean --batch_size? All" in refused(
        capsys, inference.main, *argv, "--batch_siz", "3")


@pytest.mark.parametrize(("script", "argv", "flag"), [
    (inference, ["--model_path", "x", "--prompt", ""], "--prompt"),  # was --prompt_type basic
    (inference, ["--model_path", "x", "--eeg_file="], "--eeg_file"),  # captioned a whole split
    (inference, ["--model_path", "x", "--dest", " "], "--dest"),
    (inference, ["--model_path", ""], "--model_path"),  # was the current folder
    (finetune_llm, ["--output", "x", "--eeg_dataset", "x", "--eeg_encoder_path", "x", "--vocabulary", ""], "--vocabulary"),
    (evaluate, ["a.csv", ""], "CSV")])
def test_an_empty_value_is_not_taken_for_none(capsys, script, argv, flag):
    assert refused(capsys, script.main, *argv).startswith(f"error: {flag} '")


def test_an_option_that_is_empty_by_default_may_be_given_so():
    assert stream.parse(["--model_path", "x", "--lsl", "a", "--every", "1", "--bads", ""]).bads == ""


@pytest.mark.parametrize(("script", "argv", "said"), [
    ("train_eeg_classifier", ["--eeg_dataset", "nowhere", "--output", "x"],
     "--eeg_dataset nowhere: no such file or folder"),
    ("train_eeg_classifier", ["--eeg_dataset", "README.md", "--splits_path", "no.pth", "--output", "x"],
     "--splits_path no.pth: no such file"),
    ("finetune_llm", ["--eeg_dataset", "README.md", "--eeg_encoder_path", "nowhere", "--output", "x"],
     "--eeg_encoder_path nowhere: no such folder"),
    ("finetune_llm", ["--eeg_dataset", "README.md", "--eeg_encoder_path", "docs", "--output", "x", "--llm", "./nowhere"],
     "--llm_backbone_name_or_path ./nowhere: no such folder"),
    ("inference", ["--model_path", "./nowhere"], "--model_path ./nowhere: no such folder"),
    ("caption", ["--model_path", "nowhere", "--recording", "x.edf"], "--model_path nowhere: no such folder")])
def test_places_are_looked_at_before_heavy_imports(script, argv, said):
    """In a process of its own, which must not have imported torch when it ends."""
    code = (f"import sys, {script}\ntry:\n    {script}.main({argv!r})\nfinally:\n"
            "    print([name for name in ('torch', 'transformers', 'mne', 'matplotlib') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr and done.stdout == "[]\n"


@pytest.mark.parametrize(("kind", "said"), [
    ("llm", "--llm_backbone_name_or_path small: "), ("clip_model", "--clip_model small: ")])
def test_small_names_what_is_made_without_a_network(capsys, tmp_path, monkeypatch, kind, said):
    monkeypatch.setenv("EEG_TO_TEXT_CACHE", str(tmp_path))
    argv = ["--eeg_dataset", "README.md", "--eeg_encoder_path", "docs", "--output", "x", f"--{kind}", "small"]
    message = refused(capsys, finetune_llm.main, *argv)
    assert said in message and f"python -m recipes.make_small_{kind.removesuffix('_model')}" in message
    (tmp_path / f"small_{kind}").mkdir()
    args = finetune_llm.parse(argv)
    options.check_places(args)
    assert str(tmp_path / f"small_{kind}") in vars(args).values()


def config(tmp_path, text):
    file = tmp_path / "options.yaml"
    file.write_text(text)
    return ["--config", str(file)]


def test_a_config_file_gives_options_and_the_command_line_wins(tmp_path):
    given = config(tmp_path, "eeg_dataset: data\noutput: out\nlearning_rate: 1e-4\nloss: [mse, infonce]\nresume: true\n"
                             "num_epochs: 7\npicture: null\nseeds: [3, 4]\n")
    args = train_eeg_classifier.parse([*given, "--num_epochs", "2"])
    assert (args.eeg_dataset, args.output, args.learning_rate, args.loss) == ("data", "out", 1e-4, ["mse", "infonce"])
    assert args.resume is True and args.num_epochs == 2 and args.picture is None and args.seeds == [3, 4]
    assert train_eeg_classifier.parse([*given, "--overwrite"]).resume is False  # they exclude each other
    as_typed = train_eeg_classifier.parse(["--eeg_dataset", "data", "--output", "out", "--learning_rate", "1e-4", "--loss",
                                           "mse", "infonce", "--resume", "--num_epochs", "2", "--seeds", "3", "4"])
    assert vars(args) == vars(as_typed) and args.asked() == as_typed.asked()


def test_a_config_file_for_a_command_and_for_a_switch_with_no(tmp_path):
    args = prepare_data.parse(["simulated", *config(tmp_path, "output: out\nsnr: 0.5\n"), "--snr", "2"])
    assert args.output == "out" and args.snr == 2
    text = "eeg_dataset: a\noutput: b\neeg_encoder_path: c\nuse_lora: false\ngradient_checkpointing: off\n"
    args = finetune_llm.parse(config(tmp_path, text))
    assert args.use_lora is False and args.gradient_checkpointing == "off"  # which YAML would read as false


def test_a_config_file_names_places_below_home_as_a_shell_does(tmp_path, monkeypatch):
    """`output: ~/runs` was written to a folder named ~ in the current one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    given = config(tmp_path, "eeg_dataset: ~/data\noutput: ~/runs/e\ncache_dir: ~\nloss: [mse]\n")
    args = train_eeg_classifier.parse(given)
    assert (args.eeg_dataset, args.output) == (f"{tmp_path}/data", f"{tmp_path}/runs/e")
    assert args.cache_dir is None and args.loss == ["mse"]  # ~ alone is null to YAML


@pytest.mark.parametrize(("place", "more"), [(0, ""), (2, "seed: 7\n"), (4, "n_boot: 5\n")])
def test_a_list_in_a_config_file_does_not_take_files_for_its_values(tmp_path, place, more):
    """evaluate.py with `metrics: [BLEU]` called the first CSV an unknown metric."""
    given = config(tmp_path, "metrics: [BLEU, chrF]\n" + more)
    argv = ["a.csv", "b.csv", "--n_boot", "9"]
    args = evaluate.parse([*argv[:place], *given, *argv[place:]])
    assert (args.csv_files, args.metrics, args.n_boot) == (["a.csv", "b.csv"], ["BLEU", "chrF"], 9)
    argv = ["--n_boot", "9", "a.csv", "b.csv"]
    args = evaluate.parse([*argv[:place], *given, *argv[place:]])
    assert (args.csv_files, args.metrics, args.n_boot) == (["a.csv", "b.csv"], ["BLEU", "chrF"], 9)


@pytest.mark.parametrize(("text", "said"), [
    ("learning_rat: 3", "learning_rat: there is no such option; did you mean learning_rate?"),
    ("sub: 3", "sub: there is no such option; did you mean subject?"),  # was: did you mean -sub?
    ("config: other.yaml", "config: there is no such option"), ("num_epochs: [1, 2]", "num_epochs: 2 values, expected one"),
    ("resume: maybe", "resume: maybe, expected true or false"), ("noise: {a: 1}", "noise: holds more than a value"),
    ("seed: 1\nseed: 2", "seed stands there 2 times"), ("a", "holds a str; expected lines such as"),
    ("[1", "is no YAML"), ("? [seed]\n: 1", "is no YAML"), ("num_epochs: x", "invalid float value: 'x'"),
    ("a: !!python/object/apply:os.system [echo]", "a: there is no such option")])
def test_a_wrong_config_file_is_one_sentence(tmp_path, capsys, text, said):
    message = refused(capsys, train_eeg_classifier.main, *config(tmp_path, text), "--output", "x", "--eeg_dataset", "y")
    assert said in message and message.count("\n") == 1


def test_a_second_config_file_is_refused(tmp_path, capsys):
    """The options of the first one were ignored without a word."""
    given = config(tmp_path, "num_epochs: 5\n")
    message = refused(capsys, train_eeg_classifier.main, *given, "--config=b.yaml", "--output", "x", "--eeg_dataset", "y")
    assert f"{given[1]} and --config b.yaml: only one file is read" in message


def test_a_config_file_that_is_not_there(capsys):
    assert "nowhere.yaml: no such file" in refused(capsys, train_eeg_classifier.main, "--config", "nowhere.yaml")


def test_each_seed_has_folders_of_its_own(tmp_path, capsys):
    parser = options.make_parser("")
    for name in ("output", "eeg_encoder_path", "pretrained", "dest"):
        parser.add_argument(f"--{name}")
    options.run_options(parser, seeds=True)
    (tmp_path / "encoder" / "seed1").mkdir(parents=True)
    argv = ["--output", "out", "--seeds", "0", "1", "0", "--dest", "r/c.csv"]
    argv += ["--eeg_encoder_path", str(tmp_path / "encoder"), "--pretrained", str(tmp_path / "encoder")]
    runs = []
    seeds.run_each(lambda words: runs.append(parse(parser, words)), parse(parser, argv))
    assert [(one.seed, one.output, one.dest, one.seeds) for one in runs] == [
        (0, "out/seed0", "r/seed0/c.csv", None), (1, "out/seed1", "r/seed1/c.csv", None)]
    for name in ("eeg_encoder_path", "pretrained"):
        assert [getattr(one, name) for one in runs] == [str(tmp_path / "encoder"), str(tmp_path / "encoder" / "seed1")]
    assert "--seeds 0 1" in capsys.readouterr().out


def test_a_csv_named_without_its_ending_goes_into_the_folder_of_the_seed(capsys):
    """--dest results/captions was written to results/captions/seed0.csv, where nothing looks for it."""
    args = inference.parse(["--model_path", "m", "--eeg_dataset", "d", "--dest", "results/captions", "--seeds", "0", "1"])
    runs = []
    seeds.run_each(lambda words: runs.append(inference.parse(words)), args)
    assert [one.dest for one in runs] == ["results/seed0/captions", "results/seed1/captions"]


@pytest.mark.parametrize("seeds_given", [["--seeds", "0", "1"], ["--seeds=0"], ["--seed", "3", "-tl", "5", "--seeds", "0"]])
def test_a_short_option_behind_seeds_is_kept(seeds_given):
    """-sub after --seeds was left out with the seeds, so that the trials of all subjects were used."""
    args = train_eeg_classifier.parse(["--eeg_dataset", "d", "--output", "o", *seeds_given, "-sub", "2", "-th=9"])
    runs = []
    seeds.run_each(lambda words: runs.append(train_eeg_classifier.parse(words)), args)
    for one in runs:
        assert (one.subject, one.time_low, one.time_high) == (2, args.time_low, 9) and one.seed in args.seeds


def test_a_plan_over_seeds_has_no_folder_to_resume_in():
    """It ended in a traceback."""
    args = finetune_llm.parse(["--plan", "--resume", "--seeds", "0", "1", "--llm_backbone_name_or_path", "llm"])
    runs = []
    seeds.run_each(lambda words: runs.append(finetune_llm.parse(words)), args)
    assert [(one.seed, one.output, one.resume) for one in runs] == [(0, None, True), (1, None, True)]


def test_seeds_are_not_dealt_to_processes(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    parser = options.make_parser("")
    options.run_options(parser, seeds=True)
    with pytest.raises(InputError, match="one --seed at a time"):
        seeds.run_each(print, parse(parser, ["--seeds", "0", "1"]))


@pytest.mark.parametrize(("captions", "report"), [
    ("runs/mine/results", "runs/mine"), ("results", "results"), ("/tmp", "/tmp"), (".", ".")])
def test_a_report_goes_to_the_folder_above_the_captions_if_it_is_a_runs(captions, report):
    assert report_folder(Path(captions)) == Path(report)


def test_a_notebook_gives_paths_and_numbers():
    """Each of them ended in a traceback of argparse's."""
    args = inference.parse(["--model_path", Path("a model"), "--eeg_dataset", "d", "--max_new_tokens", 4,
                            "--temperature", .5])
    assert (args.model_path, args.max_new_tokens, args.temperature) == ("a model", 4, .5)
    assert args.command_line.endswith("--model_path 'a model' --eeg_dataset d --max_new_tokens 4 --temperature 0.5")
    assert evaluate.parse([Path("a.csv")]).csv_files == ["a.csv"]


@pytest.mark.parametrize(("argv", "said"), [
    ("--model_path m --eeg_dataset d", "is one text, expected a list of words; give shlex.split of it"),
    (["--model_path", "m", "--seed", None], "None is no word of it, expected texts, paths and numbers"),
    (["--model_path", "m", "--do_sample", True], "True is no word of it")])
def test_a_command_line_of_python_that_is_none(capsys, argv, said):
    with pytest.raises(SystemExit) as stop:
        inference.main(argv)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and said in message and message.count("\n") == 1


def test_the_next_command_carries_what_was_given(capsys):
    args = train_eeg_classifier.parse(["--eeg_dataset", "my data", "-sub", "2", "--output", "o", "--batch_size", "8"])
    say_next("test_eeg_classifier.py", args, "results/*.csv", output="o")
    assert capsys.readouterr().out == (
        "next: python test_eeg_classifier.py results/*.csv --eeg_dataset 'my data' --subject 2 --output o\n")


def test_a_training_is_quiet_and_says_what_comes_next(data, clip, tmp_path, capsys):
    """One line for each epoch, none of the Trainer's dicts, no bars in a pipe; about 50 losses, the first step's too."""
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(tmp_path / "e"),
                               "--num_epochs", "3", "--batch_size", "1", "--max_steps", "150"])
    said = capsys.readouterr()
    assert "{'" not in said.out and "%|" not in said.err
    table = [line.split() for line in said.out.splitlines() if "/" in line and line.startswith("  ")]
    assert [row[1] for row in table] == ["60/150", "120/150", "150/150"] and len({len(row) for row in table}) == 1
    losses = [entry for entry in json.loads((tmp_path / "e" / "train_log.json").read_text())["stage1"] if "loss" in entry]
    assert [entry["step"] for entry in losses] == [1, *range(3, 151, 3)]
    command = next(line for line in said.out.splitlines() if line.startswith("next: "))
    words = shlex.split(command)[1:]
    assert words[:4] == ["python", "test_eeg_classifier.py", "--eeg_dataset", str(data / "eeg.pth")]
    made = json.loads((tmp_path / "e" / "args.json").read_text())["made"]
    assert made["command"].split()[2:4] == ["--eeg_dataset", str(data / "eeg.pth")] and set(made) == {
        "date", "command", "commit"}
