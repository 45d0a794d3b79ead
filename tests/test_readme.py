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
from tiny import make_llm

from config import CLASS_NAMES, EEGCVPR40_LABELS
from pictures import write_captions
from splits import write_splits

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


def test_the_stages_commands_run_in_order(tmp_path, clip, monkeypatch):
    make_published_data(tmp_path / "data")
    shutil.copytree(clip, tmp_path / "openai" / "clip-vit-base-patch32")
    make_llm(tmp_path / "deepseek-ai" / "deepseek-llm-7b-base", chat=False)
    monkeypatch.chdir(tmp_path)
    stages = [c for c in COMMANDS if "data/block" in c or c.startswith("python evaluate.py results/*.csv")]
    assert [c.split()[1] for c in stages] == ["train_eeg_classifier.py", "test_eeg_classifier.py", "finetune_llm.py",
                                              "inference.py", "inference_chance.py", "evaluate.py"]
    for command in stages:
        arguments = shortened(command)
        arguments[1:] = [str(p) for a in arguments[1:] for p in (sorted(Path().glob(a)) if "*" in a else [a])]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
        assert not stop.value.code, command
    assert len(list(Path("results").glob("*.csv"))) == 9 and Path("results/scores.json").is_file()


def test_no_command_is_left_out():
    """Commands outside the stages' block are run by other tests or by `make`; a new one must be added here."""
    elsewhere = {"metrics.wordnet", "pretrain_data_processor.py", "prepare_data.py", "apps.report"}
    for command in COMMANDS:
        script = command.split()[2] if command.split()[1] == "-m" else command.split()[1]
        assert script in elsewhere or "data/block" in command or script in (
            "evaluate.py", "inference.py", "train_eeg_classifier.py"), command
