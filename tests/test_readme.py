"""Every `python` command of the README runs as it is written, on small files at the places that it names."""

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from config import CLASS_NAMES, EEGCVPR40_LABELS
from eegdata.pictures import write_captions
from eegdata.splits import write_splits
from metrics.conditions import NAMES
from raw_material import ONSETS, make_pictures, make_raw, save, write_table
from tiny import make_llm

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = re.findall(r"(?:^|`)(python [^`\n]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


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


def test_the_stages_commands_run_in_order(run, tmp_path):
    make_published_data(tmp_path / "data")
    stages = [c for c in COMMANDS if "data/block" in c or c.startswith("python evaluate.py results/*.csv")]
    assert [c.split()[1] for c in stages] == STAGES
    run(stages)
    assert len(list(Path("results").glob("*.csv"))) == len(NAMES) and Path("results/scores.json").is_file()


def own_recording(folder):
    """me.edf, events.tsv with the README's columns, and pictures/, of noise."""
    folder.mkdir(exist_ok=True)
    save(make_raw(), folder / "me.edf")
    pictures = sorted(make_pictures(folder / "pictures").rglob("*.png"))
    shown = [pictures[i % len(pictures)].relative_to(folder / "pictures").as_posix() for i in range(len(ONSETS))]
    write_table(folder / "events.tsv", ("onset", "picture", "caption"),
                *((f"{onset:.3f}", name, f"A picture of {name}.") for onset, name in zip(ONSETS, shown, strict=True)))


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


def test_no_command_is_left_out():
    """Commands outside the stages' block are run by other tests or by `make`; a new one must be added here."""
    elsewhere = {"metrics.wordnet", "pretrain_data_processor.py", "prepare_data.py", "bench.data_format",
                 "bench.null_studies", "bench.speed", "bench.scale"}
    for command in COMMANDS:
        script = command.split()[2] if command.split()[1] == "-m" else command.split()[1]
        assert script in elsewhere or "--plan" in command or "data/block" in command or "mine" in command or script in (
            "evaluate.py", "inference.py", "train_eeg_classifier.py"), command
