"""A small data set folder of pictures with several objects each, or with no class, and five captions each."""

import numpy as np
from PIL import Image

from eegdata.dataset_writer import write_folder
from eegdata.make_splits import make_splits
from eegdata.records import Block, DataSet, Picture, Recording
from eegdata.splits import write_splits
from eegdata.trials import load_trials
from tiny import CHANNELS

OBJECTS = ("cat", "dog", "car")
SETS = ((), (0,), (1,), (2,), (0, 1), (0, 2))  # of the objects of a picture


def wordings(shown, colour):
    """Five captions of a picture."""
    things = " and a ".join(OBJECTS[number] for number in shown) or "wall"
    return (f"A {things} on {colour} ground.", f"There is a {things}.", f"Somebody took a photo of a {things}.",
            f"A {colour} place with a {things}.", f"The {things}, seen from the front.")


def make_scenes(folder, classes="several"):
    """classes: "several" or "none". 6 kinds of pictures x 4 x 3 trials of 2 people; the objects and the colour are in the
    EEG."""
    rng, time = np.random.default_rng(0), np.arange(64) / 128
    pictures, objects, rows = {}, {}, []
    (folder / "photos").mkdir(parents=True)
    for kind, shown in enumerate(SETS):
        for number in range(4):
            name, red = f"scene_{kind}{number}", number % 2
            pixels = np.full((32, 32, 3), (200, 30, 30) if red else (30, 30, 200), np.uint8)
            for thing in shown:
                pixels[8 * thing:8 * thing + 8] = 255
            pixels = np.clip(pixels + rng.integers(0, 20, pixels.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / f"{name}.png")
            pictures[name] = Picture(folder / "photos" / f"{name}.png", wordings(shown, "red" if red else "blue"))
            objects[name] = list(shown)
            rows += [(name, shown, red)] * 3

    def reader(person):
        def read():
            noise = np.random.default_rng(person)
            eeg = noise.normal(size=(len(rows), len(CHANNELS), 64)).astype(np.float32)
            for row, (_, shown, red) in enumerate(rows):
                eeg[row, list(shown)] += (3 * np.sin(2 * np.pi * 10 * time)).astype(np.float32)
                eeg[row, 3 + red] += (3 * np.cos(2 * np.pi * 6 * time)).astype(np.float32)
            order = noise.permutation(len(rows))
            yield Block(eeg[order], np.full(len(rows), -1), [rows[i][0] for i in order], np.arange(len(rows)) * 1.5)
        return read

    known = list(OBJECTS) if classes == "several" else []
    data = DataSet([Recording(f"sub-{person}", person, 1, [person], reader(person)) for person in (1, 2)], sfreq=128,
                   ch_names=CHANNELS, n_times=64, tmin=0., units="standardised", class_ids=known, class_names=known,
                   pictures=pictures, objects=objects if known else None,
                   about={"steps": [], "licence": "CC BY 4.0", "published": "made for a test"})
    write_folder(data, folder / "data", "test", "none")
    trials = load_trials(folder / "data")
    write_splits(folder / "data" / "splits.pth", make_splits(trials, "picture", .2, .3), {"data": trials.fingerprint})
    return folder / "data"
