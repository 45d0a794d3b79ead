"""The README and docs/: their commands, options, links and file names are real, and the stages run in order.

The commands of the stages and of an own recording are run as the README has them, on small files at the places that it
names. All other commands are parsed by the parsers of their scripts.
"""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from config import CLASS_NAMES, EEGCVPR40_LABELS
from documented import FENCE, PAGES, README, ROOT, broken_links, commands_of, options_of, parse, problems, spans
from eegdata.pictures import write_captions
from eegdata.splits import write_splits
from metrics.conditions import NAMES
from raw_material import ONSETS, make_pictures, make_raw, save, write_table
from tiny import make_llm

COMMANDS = [command for command in commands_of(README.read_text(encoding="utf-8")) if command.startswith("python ")]


def make_published_data(folder):
    """EEGCVPR40's files exactly as published, with 3 pictures of each of 40 classes, noise for EEG, and no extra keys."""
    rng = np.random.default_rng(0)
    synsets = [next(s for s, name in CLASS_NAMES.items() if name == label) for label in EEGCVPR40_LABELS]
    images = [f"{synset}_{number}" for synset in synsets for number in range(3)]
    records = [{"eeg": torch.randn(128, 500), "image": image, "label": image // 3, "subject": 1} for image in range(120)]
    (folder / "block").mkdir(parents=True)
    torch.save({"dataset": records, "labels": synsets, "images": images}, folder / "block" / "eeg_55_95_std.pth")
    write_splits(folder / "block" / "block_splits_by_image_all.pth",
                 {part: [i for i in range(120) if i % 3 == k] for k, part in enumerate(("train", "val", "test"))})
    for name in images:
        (folder / "images" / name.split("_")[0]).mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        for suffix in ("", "_sketch"):
            picture.save(folder / "images" / name.split("_")[0] / f"{name}{suffix}.JPEG")
    write_captions(folder / "images", {name: f"A picture of a {CLASS_NAMES[name.split('_')[0]]}." for name in images})


def shortened(command):
    """The command's arguments, with fewer epochs: the only change."""
    arguments = shlex.split(command)[1:]
    few = {"train_eeg_classifier.py": ["--num_epochs", "1"],
           "finetune_llm.py": ["--num_epochs_image", "0.3", "--num_epochs_eeg", "0.3"],
           "inference.py": ["--max_new_tokens", "3"], "inference_chance.py": ["--max_new_tokens", "3"]}
    return arguments + few.get(arguments[0], [])


@pytest.fixture
def run(tmp_path, clip, monkeypatch):
    """A function that runs commands in a folder where the default CLIP model and LLM are tiny ones."""
    shutil.copytree(clip, tmp_path / "openai" / "clip-vit-base-patch32")
    make_llm(tmp_path / "deepseek-ai" / "deepseek-llm-7b-base", chat=False)
    monkeypatch.chdir(tmp_path)

    def run(commands):
        for command in commands:
            arguments = shortened(command)
            arguments[1:] = [str(p) for a in arguments[1:] for p in (sorted(Path().glob(a)) if "*" in a else [a])]
            script, *rest = arguments[1:] if arguments[0] == "-m" else arguments
            monkeypatch.setattr(sys, "argv", [script, *rest])
            with pytest.raises(SystemExit) as stop:
                runpy.run_path(str(ROOT / f"{script.removesuffix('.py').replace('.', '/')}.py"), run_name="__main__")
            assert not stop.value.code, command

    return run


STAGES = ["train_eeg_classifier.py", "test_eeg_classifier.py", "finetune_llm.py", "inference.py", "inference_chance.py",
          "evaluate.py"]


@pytest.mark.slow
def test_the_stages_commands_run_in_order(run, tmp_path):
    make_published_data(tmp_path / "data")
    stages = [c for c in COMMANDS if "data/block" in c or c.startswith("python evaluate.py results/*.csv")]
    assert [c.split()[1] for c in stages] == STAGES
    run(stages)
    assert len(list(Path("results").glob("*.csv"))) == len(NAMES) and Path("results/results.json").is_file()


def own_recording(folder):
    """me.edf, events.tsv with the README's columns, and pictures/, of noise."""
    folder.mkdir(exist_ok=True)
    save(make_raw(), folder / "me.edf")
    pictures = sorted(make_pictures(folder / "pictures").rglob("*.png"))
    shown = [pictures[i % len(pictures)].relative_to(folder / "pictures").as_posix() for i in range(len(ONSETS))]
    write_table(folder / "events.tsv", ("onset", "picture", "caption"),
                *((f"{onset:.3f}", name, f"A picture of {name}.") for onset, name in zip(ONSETS, shown, strict=True)))


@pytest.mark.slow
def test_the_own_recordings_commands_run_in_order(run, tmp_path, capsys):
    pytest.importorskip("edfio")
    own_recording(tmp_path)
    commands = [c for c in COMMANDS if "data/mine" in c or "runs/mine" in c]
    commands = commands[:next(i for i, c in enumerate(commands) if "--report" in c) + 1]
    assert [c.split()[1] for c in commands] == ["prepare_data.py", *STAGES]
    run(commands)
    assert "data set written" in capsys.readouterr().out and (tmp_path / "data/mine/audit.html").is_file()
    assert len(list(Path("runs/mine/results").glob("*.csv"))) == len(NAMES)
    page = Path("runs/mine/report.html").read_text(encoding="utf-8")
    assert "A picture of cat/cat_" in page and "audit" in page.lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_is_real(page):
    assert problems(page.read_text(encoding="utf-8")) == []


WRONG = [
    "python evaluate.py results/*.csv --no_such_option",
    "python evaluate.py --no_such_option",
    "python evaluate.py",
    "python finetune_llm.py --eeg_dataset data/mine --output captioner",
    "python train_eeg_classifier.py --output encoder",
    "python inference.py --model_path captioner --condition no_such_condition",
    "python prepare_data.py no_such_source --output data/mine",
    "python prepare_data.py split data/mine --split_by no_such_split",
    "python no_such_script.py --output data/mine",
    "python -m bench.no_such_bench",
    "python -m bench.speed --no_such_option",
    "python -m pytest tests/test_no_such_file.py",
    "HF_HUB_OFFLINE=1 python evaluate.py results/*.csv --no_such_option",
    'python evaluate.py results/*.csv --sentence_model "$(python -m metrics.sentences --no_such_option)"',
    "torchrun --no_such_option 2 train_eeg_classifier.py --eeg_dataset data/mine --output encoder",
    "torchrun --nproc_per_node 2 train_eeg_classifier.py --eeg_dataset data/mine --output encoder --no_such_option",
    "torchrun --nproc_per_node 2 no_such_script.py",
    "accelerate launch --no_such_option 2 train_eeg_classifier.py --eeg_dataset data/mine --output encoder",
    "accelerate launch --num_processes 2 train_eeg_classifier.py --eeg_dataset data/mine --no_such_option",
    "accelerate launch --config_file recipes/no_such_file.yaml train_eeg_classifier.py --eeg_dataset d --output encoder",
    "bash recipes/no_such_recipe.sh",
    "bash recipes/demo.sh demo/simulated 0 one_too_many",
    "bash bench/gpu_check.sh --no_such_option",
    "make no_such_target",
    "pip install -r no_such_requirements.txt",
    "pip install --no_such_option",
    "rm -rf runs",
]


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_command_is_found(command, capfd):
    text = README.read_text(encoding="utf-8")
    assert len(problems(f"{text}\n```bash\n{command}\n```\n")) == 1
    if not command.startswith("rm"):  # in a sentence only a command that is known tells itself from other code
        assert problems(f"{text}\nAlso `{command}`.\n")


@pytest.mark.parametrize("addition", [
    "Also `evaluate.py --no_such_option`.", "Also `--no_such_option`.", "Also --report without backticks.",
    "```\npython evaluate.py results/scores.csv\n```", "Also `train_eeg_classifier.py --judge_model NAME`."])
def test_a_wrong_option_is_found(addition):
    assert len(problems(f"{README.read_text(encoding='utf-8')}\n{addition}\n")) == 1


def test_commands_are_parsed_whole():
    """The checks above see what the script would see."""
    assert commands_of("```bash\n# first\npython a.py \\\n    --b 1  # why\n```\n and `make c`, `d`") == [
        "python a.py      --b 1  # why", "make c"]
    assert vars(parse("evaluate", ["a.csv", "b.csv", "--n_boot", "7"]))["n_boot"] == 7
    assert {"--when_and_where", "--results_dir"} <= options_of("test_eeg_classifier")
    assert {"--split_by", "--bids", "--private"} <= options_of("prepare_data")  # of its subcommands


def test_options_stand_under_their_script():
    """docs/options.md: an option in a section whose heading names scripts is one of each of them, or of one that its row
    names."""
    text = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    checked = 0
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, body = section.split("\n", 1)
        scripts = [span.removesuffix(".py") for span in spans(heading)]
        for row in [line for line in body.splitlines() if scripts and line.startswith("| `--")]:
            known = set().union(*map(options_of, scripts))
            wanted = re.findall(r"--[\w-]+", row.split("|")[1])
            assert wanted and set(wanted) <= known, (heading, row)
            checked += len(wanted)
    assert checked > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_file_is_there(page):
    assert broken_links(page) == []
    text = page.read_text(encoding="utf-8")
    files = [span for span in spans(text) if re.fullmatch(r"[a-z_]+/([\w.-]+/)*[\w.-]+\.(py|sh|ipynb|yaml|md)", span)]
    assert [name for name in files if not (ROOT / name).is_file() and "/my_" not in name] == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](page.md#one-two) [b](absent.md) [c](#three) [d](https://example.org/absent)\n")
    assert broken_links(page) == ["absent.md", "#three"]


def test_the_readme_is_short_and_names_every_page():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert all(f"](docs/{page.name})" in text for page in PAGES if page.parent.name == "docs")
    for page in PAGES[1:]:
        assert re.search(r"^After reading this page you ", page.read_text(encoding="utf-8"), re.MULTILINE), page.name


def test_the_tree_is_the_folder():
    tree = next(match[2] for match in FENCE.finditer(README.read_text(encoding="utf-8")) if "model.py" in match[2])
    named = [line.split()[0] for line in tree.splitlines()]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {name.split("/")[0] + "/" for name in tracked if "/" in name and not name.startswith(".")}
    assert sorted(named) == sorted(folders | {name for name in tracked if "/" not in name and name.endswith(".py")})


def test_the_table_of_conditions_is_the_code():
    section = README.read_text(encoding="utf-8").split("## Conditions")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([^`]+)`", section, re.MULTILINE) == list(NAMES)


def test_the_workflow_names_real_files():
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    files = re.findall(r"--ignore=(\S+)|-r (\S+)", text)
    assert files and all((ROOT / "".join(pair)).is_file() for pair in files)
