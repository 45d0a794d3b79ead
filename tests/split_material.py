"""Small data set folders for the tests of splits."""

import numpy as np
import torch
from PIL import Image

from eegdata.dataset_writer import write_folder
from eegdata.records import Block, DataSet, Picture, Recording
from eegdata.trials import load_trials

PARTS = ("train", "val", "test")
SFREQ, SAMPLES = 100., 20  # trials of 0.2 s


def picture(n):
    return Picture(lambda: Image.new("RGB", (16, 16), (n % 256, 0, 0)))


def dataset(folder, recordings, classes, known="yes", onset=None, by="picture"):
    """A data set folder of `recordings`: (subject, session, rows of (label, picture of its class, part)), 1 s a trial."""
    ids = [f"c{label}" for label in range(classes)]
    shown = sorted({(label, number) for _, _, rows in recordings for label, number, _ in rows})
    pictures = {f"c{label}_{number}": picture(number) for label, number in shown} if known != "no" else {}

    def read(rows):
        times = np.arange(len(rows)) + 1. if onset is None else np.full(len(rows), onset)
        names = [f"c{label}_{number if known != 'no' else 'unknown'}" for label, number, _ in rows]
        eeg = np.random.default_rng(0).normal(size=(len(rows), 2, SAMPLES))
        yield Block(eeg, np.array([row[0] for row in rows]), names, times, [row[2] for row in rows])

    recordings = [Recording(f"r{i}", subject, session, [i, rows], lambda rows=rows: read(rows))
                  for i, (subject, session, rows) in enumerate(recordings)]
    write_folder(DataSet(recordings, SFREQ, ["Cz", "Pz"], SAMPLES, 0., "standardised", ids, [f"class {c}" for c in ids],
                         pictures, known, split_by=by), folder, "test", "none")
    return load_trials(folder)


def rows(classes, pictures, repeats=1, part="", seed=0):
    """Each picture of each class, `repeats` times, shuffled."""
    every = [(label, number, part) for label in range(classes) for number in range(pictures)] * repeats
    return [every[i] for i in np.random.default_rng(seed).permutation(len(every))]


def values(trials, split, name):
    """part -> the set of a column's values in it."""
    return {part: set(getattr(trials, name)[torch.tensor(split[part], dtype=torch.long)].tolist()) for part in PARTS}


def disjoint(sets):
    return sum(map(len, sets.values())) == len(set.union(*sets.values()))


def make_people(folder):
    """4 subjects who saw the same 6 pictures of 3 classes twice, a recording each."""
    return dataset(folder, [(subject, 1, rows(3, 6, 2, seed=subject)) for subject in range(1, 5)], 3)


def make_sessions(folder):
    """Subject 1: sessions 1 to 4 of two recordings each, subject 2: sessions 1 and 2, subject 3: one. 4 classes."""
    plan = [(1, session) for session in (1, 1, 2, 2, 3, 3, 4, 4)] + [(2, 1), (2, 2), (3, 1)]
    return dataset(folder, [(*who, rows(4, 5, seed=i)) for i, who in enumerate(plan)], 4)
