"""Small data sets with known leaks and flaws for the tests of the audit."""

import numpy as np
import torch

import prepare_data
from audit import run_audit
from audit.data import Material
from eegdata.dataset_folder import read_record
from eegdata.splits import load_split
from eegdata.trials import Trials, load_trials


def simulate(folder, *options):
    prepare_data.main(["simulated", "--output", str(folder), "--n_subjects", "2", "--n_pictures", "160", "--image_size",
                       "64", "--no_audit", *options])
    return folder


def opened(folder):
    """Trials over the whole epoch, and the folder's split."""
    trials = load_trials(folder, 0, read_record(folder)["n_times"], damaged=True)
    return trials, load_split(folder / "splits.pth", trials)


def audited(folder, **options):
    return {finding.check: finding for finding in run_audit(*opened(folder), folder / "images", **options)}


def made_trials(eeg, label, **fields):
    """Trials in memory, in the order of presentation: a trial a second, every picture shown once, unless told otherwise."""
    n = len(label)
    eeg = torch.as_tensor(np.asarray(eeg), dtype=torch.float32)
    given = {"subject": np.ones(n), "image": np.arange(n), "recording": np.zeros(n), **fields}
    number = {name: torch.as_tensor(np.asarray(given.pop(name)).astype(np.int64))
              for name in ("subject", "image", "recording")}
    return Trials(**{"eeg": eeg, "label": torch.as_tensor(np.asarray(label)).long(), **number, "trial": torch.arange(n),
                     "session": torch.ones(n).long(), "images": [f"c_{i}" for i in range(n)],
                     "class_names": {k: f"class {k}" for k in range(int(max(label)) + 1)}, "sfreq": 100.,
                     "ch_names": [f"E{c}" for c in range(eeg.shape[1])], "fingerprint": "", "path": "made",
                     "chosen_subject": 0, "record_images": number["image"].tolist(),
                     "record_subjects": number["subject"].tolist(), "tmin": 0., "onset": np.arange(n, dtype=float),
                     "part": None, "record": {}, **given})


def split_of(parts):
    """{"train": [...], ...} of a list of part names."""
    return {part: torch.from_numpy(np.flatnonzero(np.asarray(parts) == part)) for part in ("train", "val", "test")}


def material_of(trials, parts, **options):
    return Material(trials, split_of(parts), **options)


def noise(n, n_chans=8, n_times=100, seed=0):
    """Noise with a memory of some samples, as EEG has it."""
    white = np.random.default_rng(seed).normal(size=(n, n_chans, n_times + 4)).astype(np.float32)
    return sum(white[:, :, k:k + n_times] for k in range(5))


def thirds(n):
    return np.array(["train", "train", "test"])[np.arange(n) % 3]
