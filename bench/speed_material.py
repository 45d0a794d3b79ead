"""What bench.speed and bench.scale measure on: EEG in EEGCVPR40's layout, pictures, a CLIP and LLMs with random weights.

Weights and values do not change the speed. Everything is made in a scratch folder, in seconds, with no download.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np

from bench.material import SMALL_CLIP, make_clip, make_llm
from config import CLASS_NAMES, EEGCVPR40_LABELS, INSTRUCTIONS
from eegdata.splits import write_splits
from language_model.prompts import IMAGE, render
from sources import drawings

SAMPLES = 500  # of a record, of which the stages keep 440
TRAIN, VAL, TEST = 160, 8, 64  # pictures; each has two trials, of which the test part counts one
SYNSETS = [{name: synset for synset, name in CLASS_NAMES.items()}[name] for name in EEGCVPR40_LABELS]  # by label
SPREAD = 0.1  # standard deviation of the LLM's weights: at the usual 0.02 it would repeat one token without end
END_FACTOR = 2.2  # how much larger the end token's row of the LLM is where captions are to end


def sizes(tiny, device):
    """What there is of everything: the issue's CPU proxy, DeepSeek-7B's shape on a GPU, or a tiny one for a test."""
    if tiny:
        return {"channels": 8, "blocks": 0, "shape": "tiny Llama", "start": 80, "scale": (100, 300), "scale_eeg": (8, 60)}
    return {"channels": 128, "blocks": 4, "shape": "CPU proxy" if device == "cpu" else "DeepSeek-7B", "start": 12_000,
            "scale": (1_000, 10_000, 100_000), "scale_eeg": (64, 250)}


def captions(number):
    """Sentences of 7 to 22 words; with the tokenizer made from them some 8 to 25 tokens, as in EEGCVPR40."""
    rng = np.random.default_rng(0)
    words = [drawings.caption(scene).rstrip(".").split() for scene in drawings.sample_scenes(2 * number)]
    lengths = rng.triangular(7, 11, 22, number).round().astype(int)
    return [" ".join((words[2 * i] + words[2 * i + 1])[:lengths[i]]) + "." for i in range(number)]


def write_records(path, trials, channels, pictures):
    """A .pth as the published one: trial i shows picture i % pictures, whose class is the picture's number modulo 40."""
    import torch

    pool = torch.from_numpy(np.random.default_rng(0).standard_normal((64, channels, SAMPLES), dtype=np.float32))
    records = [{"eeg": pool[i % len(pool)].clone(), "image": i % pictures, "label": i % pictures % len(SYNSETS),
                "subject": 1 + i // pictures % 6} for i in range(trials)]
    torch.save({"dataset": records, "labels": SYNSETS, "images": names(pictures)}, path)


def names(pictures):
    return [f"{SYNSETS[i % len(SYNSETS)]}_{i}" for i in range(pictures)]


def write_pictures(folder, pictures):
    """Drawn sketches of 224 pixels with their captions; returns the captions."""
    texts = captions(pictures)
    for name, scene, text in zip(names(pictures), drawings.sample_scenes(pictures), texts, strict=True):
        path = Path(folder) / name.split("_")[0] / f"{name}_sketch.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawings.draw(scene).save(path, quality=92)
        path.with_name(f"{name}_caption.txt").write_text(f"{text}\n", encoding="utf-8")
    return texts


def make_ending(source, folder, token):
    """A copy of an LLM that writes its end token `token` now and then, as its row is made larger."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(source, folder)
    llm = AutoModelForCausalLM.from_pretrained(source)
    llm.get_output_embeddings().weight.data[token] *= END_FACTOR
    llm.save_pretrained(folder)


def make(scratch, tiny, device):
    """Write it all below `scratch`; data.json there says where things lie (see `load`)."""
    from bench.material import SHAPES

    size, done = sizes(tiny, device), scratch / "data.json"
    scratch.mkdir(parents=True, exist_ok=True)
    pictures = TRAIN + VAL + TEST
    texts = write_pictures(scratch / "images", pictures)
    write_records(scratch / "eeg.pth", 2 * pictures, size["channels"], pictures)
    train, val = range(TRAIN), range(TRAIN, TRAIN + VAL)
    parts = {"train": [i + again for again in (0, pictures) for i in train],
             "val": [i + again for again in (0, pictures) for i in val], "test": list(range(TRAIN + VAL, pictures))}
    write_splits(scratch / "splits.pth", parts)
    make_clip(scratch / "clip", 224, **SMALL_CLIP if tiny else {})
    prompt = render(_NoTemplate, "thought2text", INSTRUCTIONS["basic"], "elephant").replace(IMAGE, "")
    make_llm(size["shape"], scratch / "llm", device, [*texts, *[f"{prompt}<s>Assistant: </s>"] * 3],
             initializer_range=SPREAD)
    make_ending(scratch / "llm", scratch / "llm_ending", SHAPES[size["shape"]]["eos_token_id"])
    paths = {"eeg": "eeg.pth", "splits": "splits.pth", "images": "images", "clip": "clip", "llm": "llm",
             "ending": "llm_ending", "encoder": "eeg_encoder", "captioner": "captioner"}
    done.write_text(json.dumps({name: str(scratch / path) for name, path in paths.items()} | size | {
        "train": parts["train"], "test": parts["test"], "names": EEGCVPR40_LABELS,
        "scratch": str(scratch)}))


class _NoTemplate:
    chat_template, bos_token = None, ""


def load(scratch):
    return json.loads((scratch / "data.json").read_text())


def write_simulated(folder, trials, n_chans, n_times):
    """A data set folder of noise without pictures, written shard by shard; a tenth, but at most 512, is for validation."""
    from eegdata.dataset_folder import write_folder
    from eegdata.records import Block, DataSet, Recording

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


def make_start(data, folder):
    """As many trials as EEGCVPR40 has, as .pth and as a data set folder; the pictures are links to those there are."""
    from runtime.options import make_parser

    from eegdata.dataset_folder import write_folder
    from sources import SOURCES

    folder, trials = Path(folder), data["start"]
    few, many = TRAIN, trials // 6
    for i, name in enumerate(names(many)):
        there = names(few)[i % few]
        path = folder / "images" / name.split("_")[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = Path(data["images"]) / there.split("_")[0] / there
        os.link(f"{source}_caption.txt", f"{path}_caption.txt")
        for kind in ("", "_sketch"):
            os.link(f"{source}_sketch.JPEG", f"{path}{kind}.JPEG")
    write_records(folder / "eeg.pth", trials, data["channels"], many)
    part = ["val", "test", "train", "train", "train", "train"]  # by picture
    parts = {name: [i for i in range(trials) if part[i % many % 6] == name] for name in ("train", "val", "test")}
    write_splits(folder / "splits.pth", parts)
    parser = make_parser("")
    SOURCES["eegcvpr40"].add_arguments(parser)
    args = parser.parse_args(["--eeg_dataset", f"{folder}/eeg.pth", "--image_dir", f"{folder}/images"])
    write_folder(SOURCES["eegcvpr40"].find(args), folder / "data", "eegcvpr40", "none")
    write_splits(folder / "data" / "splits.pth", parts)
