"""EEGCVPR40 `.pth` files (Spampinato et al. 2017; Palazzo et al. 2020) and splits files, and our own in the same layout.

A data set is a pickled dict: `dataset` (list of records `eeg` FloatTensor [channels, samples], `image` int into
`images`, `label` int, `subject` int), `labels` (class ids, for example synsets), `images` (names `<class id>_<...>`).
Files written here carry `sfreq`, `ch_names`, `class_names`, `units` and `about` too, which the published files lack.
"""

import math

import torch

from errors import InputError
from pickles import brief, is_whole, load_pickle

RECORD_KEYS = ("eeg", "image", "label", "subject")


def read_pth(path):
    """Read and check a data set file; returns its dict."""
    content = load_pickle(path, "--eeg_dataset")
    for key in ("dataset", "labels", "images"):
        if not isinstance(content, dict) or key not in content:
            found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise InputError(f"--eeg_dataset {path}: key '{key}' is missing (found {found}); expected the EEGCVPR40 "
                             "layout with 'dataset', 'labels' and 'images'")
    for key in ("dataset", "labels", "images"):
        if not isinstance(content[key], list) or not content[key]:
            raise InputError(f"--eeg_dataset {path}: '{key}' is {brief(content[key])}, expected a list that is not empty")
    for key in ("labels", "images", *(key for key in ("class_names", "ch_names") if content.get(key))):
        if not isinstance(content[key], list) or not all(isinstance(name, str) for name in content[key]):
            raise InputError(f"--eeg_dataset {path}: '{key}' is {brief(content[key])}, expected a list of names")
    sfreq = content.get("sfreq", 1000.0)
    if not isinstance(sfreq, int | float) or not math.isfinite(sfreq) or sfreq <= 0:
        raise InputError(f"--eeg_dataset {path}: 'sfreq' is {sfreq!r}, expected a sampling rate in Hz")
    for number, record in enumerate(content["dataset"]):
        _check_record(f"--eeg_dataset {path}: record {number}", record, content)
    return content


def _check_record(name, record, content):
    missing = [key for key in RECORD_KEYS if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputError(f"{name} lacks {missing}; expected {list(RECORD_KEYS)}")
    eeg = record["eeg"]
    if not isinstance(eeg, torch.Tensor) or eeg.ndim != 2 or not eeg.is_floating_point() or not eeg.shape[0]:
        found = f"of shape {tuple(eeg.shape)} and {eeg.dtype}" if isinstance(eeg, torch.Tensor) else brief(eeg)
        raise InputError(f"{name} has EEG {found}, expected a float tensor [channels, samples]")
    if content.get("ch_names") and len(content["ch_names"]) != eeg.shape[0]:
        raise InputError(f"{name} has {eeg.shape[0]} channels, 'ch_names' names {len(content['ch_names'])}")
    for key in ("image", "label", "subject"):
        if not is_whole(record[key]):
            raise InputError(f"{name} has {key} {brief(record[key])}, expected a whole number")
    for key, table in (("image", "images"), ("label", "labels")):
        if not 0 <= int(record[key]) < len(content[table]):
            raise InputError(f"{name} has {key} {int(record[key])}, but '{table}' has {len(content[table])} entries")
