"""The data of bench.speed and bench.scale: EEG in the EEGCVPR40 layout, pictures, and CLIP and LLMs with random weights.

Values and weights do not change the speed. Everything is made in a scratch folder within seconds, without a download.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from runtime import options

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from bench.synthetic import LLM_SHAPES, SMALL_CLIP, make_clip, make_llm
from config import CLASS_NAMES, EEGCVPR40_LABELS, INSTRUCTIONS
from eegdata.dataset_writer import write_folder
from eegdata.records import Block, DataSet, Recording
from eegdata.splits import write_splits
from language_model.prompts import IMAGE, render
from sources import SOURCES, drawings

SAMPLES = 500  # of a record; the stages use 440 of them
TRAIN_PICTURES, VAL_PICTURES, TEST_PICTURES = 160, 8, 64  # each has two trials; only one is in the test part
SYNSETS = [{name: synset for synset, name in CLASS_NAMES.items()}[name] for name in EEGCVPR40_LABELS]  # by label
INITIALIZER_RANGE = 0.1  # standard deviation of the LLM's weights; with the usual 0.02 it repeats one token
END_TOKEN_GAIN = 2.2  # scales the output weights of the end token in the LLM whose captions end by themselves


def sizes(tiny: bool, device: str) -> dict:
    """Sizes of data and LLM: a small proxy on a CPU, the shape of DeepSeek-7B on a GPU, or tiny ones for a test.

    "start": trials of the startup measurement; "scale": trials of each data set of bench.scale, "scale_eeg": their
    channels and samples.
    """
    if tiny:
        return {"channels": 8, "blocks": 0, "shape": "tiny Llama", "start": 80, "scale": (100, 300), "scale_eeg": (8, 60)}
    return {"channels": 128, "blocks": 4, "shape": "CPU proxy" if device == "cpu" else "DeepSeek-7B", "start": 12_000,
            "scale": (1_000, 10_000, 100_000), "scale_eeg": (64, 250)}


def captions(number: int) -> list[str]:
    """Sentences of 7 to 22 words. The tokenizer trained on them makes about 8 to 25 tokens of each, as in EEGCVPR40."""
    rng = np.random.default_rng(0)
    words = [drawings.caption(scene).rstrip(".").split() for scene in drawings.sample_scenes(2 * number)]
    lengths = rng.triangular(7, 11, 22, number).round().astype(int)
    return [" ".join((words[2 * i] + words[2 * i + 1])[:lengths[i]]) + "." for i in range(number)]


def write_records(path: Path, trials: int, channels: int, pictures: int) -> None:
    """Write a .pth like the published one. Trial i shows picture i % pictures. Classes repeat every 40 pictures."""
    pool = torch.from_numpy(np.random.default_rng(0).standard_normal((64, channels, SAMPLES), dtype=np.float32))
    records = [{"eeg": pool[i % len(pool)].clone(), "image": i % pictures, "label": i % pictures % len(SYNSETS),
                "subject": 1 + i // pictures % 6} for i in range(trials)]
    torch.save({"dataset": records, "labels": SYNSETS, "images": names(pictures)}, path)


def names(pictures: int) -> list[str]:
    return [f"{SYNSETS[i % len(SYNSETS)]}_{i}" for i in range(pictures)]


def write_sketches(folder: Path, pictures: int) -> list[str]:
    """Write drawn sketches of 224 pixels with captions; returns the captions."""
    texts = captions(pictures)
    for name, scene, text in zip(names(pictures), drawings.sample_scenes(pictures), texts, strict=True):
        path = Path(folder) / name.split("_")[0] / f"{name}_sketch.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawings.draw(scene).save(path, quality=92)
        path.with_name(f"{name}_caption.txt").write_text(f"{text}\n", encoding="utf-8")
    return texts


def make_ending(source: Path, folder: Path, token: int) -> None:
    """Save a copy of an LLM that sometimes writes the end token `token`, because its output weights are larger."""
    shutil.copytree(source, folder)
    llm = AutoModelForCausalLM.from_pretrained(source)
    llm.get_output_embeddings().weight.data[token] *= END_TOKEN_GAIN
    llm.save_pretrained(folder)


def make(scratch: Path, tiny: bool, device: str) -> None:
    """Write everything below `scratch`, and its paths and sizes to data.json (see `load`)."""
    size, done = sizes(tiny, device), scratch / "data.json"
    scratch.mkdir(parents=True, exist_ok=True)
    pictures = TRAIN_PICTURES + VAL_PICTURES + TEST_PICTURES
    texts = write_sketches(scratch / "images", pictures)
    write_records(scratch / "eeg.pth", 2 * pictures, size["channels"], pictures)
    first_test = TRAIN_PICTURES + VAL_PICTURES
    train, val = range(TRAIN_PICTURES), range(TRAIN_PICTURES, first_test)
    parts = {"train": [i + offset for offset in (0, pictures) for i in train],
             "val": [i + offset for offset in (0, pictures) for i in val], "test": list(range(first_test, pictures))}
    write_splits(scratch / "splits.pth", parts)
    make_clip(scratch / "clip", 224, **SMALL_CLIP if tiny else {})
    prompt = render(_NoTemplate, "thought2text", INSTRUCTIONS["basic"], "elephant").replace(IMAGE, "")
    make_llm(size["shape"], scratch / "llm", device, [*texts, *[f"{prompt}<s>Assistant: </s>"] * 3],
             initializer_range=INITIALIZER_RANGE)
    make_ending(scratch / "llm", scratch / "llm_ending", LLM_SHAPES[size["shape"]]["eos_token_id"])
    paths = {"eeg": "eeg.pth", "splits": "splits.pth", "images": "images", "clip": "clip", "llm": "llm",
             "ending": "llm_ending", "encoder": "eeg_encoder", "captioner": "captioner"}
    done.write_text(json.dumps({name: str(scratch / path) for name, path in paths.items()} | size | {
        "train": parts["train"], "test": parts["test"], "names": EEGCVPR40_LABELS,
        "scratch": str(scratch)}))


class _NoTemplate:  # a tokenizer, as far as `render` needs one
    chat_template, bos_token = None, ""


def load(scratch: Path) -> dict:
    """The content of data.json."""
    return json.loads((scratch / "data.json").read_text())


def write_noise(folder: Path, trials: int, n_chans: int, n_times: int) -> None:
    """Write a data set folder of noise without pictures. A tenth of the trials, at most 512, is for validation."""
    block = np.random.default_rng(0).standard_normal((1000, n_chans, n_times), dtype=np.float32)

    def read():
        for start in range(0, trials, len(block)):
            label = np.arange(start, min(start + len(block), trials)) % len(SYNSETS)
            yield Block(block[:len(label)], label, [f"{SYNSETS[i]}_unknown" for i in label], np.arange(len(label)) * 1.0)

    channels = [f"E{i + 1}" for i in range(n_chans)]
    data = DataSet([Recording("subject 1", 1, 1, trials, read)], sfreq=250.0, ch_names=channels, n_times=n_times, tmin=0.0,
                   units="standardised", class_ids=SYNSETS, class_names=list(EEGCVPR40_LABELS),
                   pictures={}, pictures_known="no")
    write_folder(data, folder, "bench", "none")
    val = min(512, trials // 10)
    write_splits(folder / "splits.pth", {"train": range(val, trials), "val": range(val), "test": []})


def make_startup_data(data: dict, folder: Path) -> None:
    """Write as many trials as EEGCVPR40 has, as .pth and as a data set folder.

    The pictures are hard links to the training pictures of `data`, the result of `load`.
    """
    folder, trials = Path(folder), data["start"]
    pictures, linked = trials // 6, names(TRAIN_PICTURES)
    for i, name in enumerate(names(pictures)):
        original = linked[i % len(linked)]
        path = folder / "images" / name.split("_")[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = Path(data["images"]) / original.split("_")[0] / original
        os.link(f"{source}_caption.txt", f"{path}_caption.txt")
        for kind in ("", "_sketch"):
            os.link(f"{source}_sketch.JPEG", f"{path}{kind}.JPEG")
    write_records(folder / "eeg.pth", trials, data["channels"], pictures)
    part = ["val", "test", "train", "train", "train", "train"]  # by picture
    parts = {name: [i for i in range(trials) if part[i % pictures % 6] == name] for name in ("train", "val", "test")}
    write_splits(folder / "splits.pth", parts)
    parser = options.make_parser("")
    SOURCES["eegcvpr40"].add_arguments(parser)
    args = options.parse(parser, ["--eeg_dataset", f"{folder}/eeg.pth", "--image_dir", f"{folder}/images"])
    write_folder(SOURCES["eegcvpr40"].find(args), folder / "data", "eegcvpr40", "none")
    write_splits(folder / "data" / "splits.pth", parts)
