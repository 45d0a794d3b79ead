"""The EEGCVPR40 layout of a `.pth` data set, as published (Spampinato et al. 2017; Palazzo et al. 2020) and as this project
writes it.

A pickled dict: `dataset` (list of records `eeg` FloatTensor [channels, samples], `image` int into `images`, `label` int,
`subject` int), `labels` (class ids, for example synsets), `images` (names `<class id>_<...>`). Files written by this
project carry `sfreq`, `ch_names`, `class_names`, `units` and `about` too, which the published files lack. Nothing in a
pickle is executed.
"""

import math
from collections import Counter
from pathlib import Path

from runtime.errors import InputError

RECORD_KEYS = ("eeg", "image", "label", "subject")
SFREQ = 1000.
WINDOW = (20, 460)  # samples of the published records that the field keeps
LENGTHS = (450, 600)  # shortest and longest published record that the field keeps, in samples
BLOCK = 1000  # trials that are read at a time
# Brain Products' actiCAP with 128 channels, index 0 first, as I. Kavasidis, an author of the data set, published it:
# github.com/perceivelab/eeg_visual_classification, issue 4.
_ORDER = """
    Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 TP9 CP5 CP1 CP2 CP6 TP10 P7 P3 Pz P4 P8 PO9 O1 Oz O2 PO10
    AF7 AF3 AF4 AF8 F5 F1 F2 F6 FT9 FT7 FC3 FC4 FT8 FT10 C5 C1 C2 C6 TP7 CP3 CPz CP4 TP8 P5 P1 P2 P6 PO7 PO3 POz PO4 PO8
    Fpz F9 AFF5h AFF1h AFF2h AFF6h F10 FTT9h FTT7h FCC5h FCC3h FCC1h FCC2h FCC4h FCC6h FTT8h FTT10h TPP9h TPP7h CPP5h
    CPP3h CPP1h CPP2h CPP4h CPP6h TPP8h TPP10h POO9h POO1 POO2 POO10h Iz AFp1 AFp2 FFT9h FFT7h FFC5h FFC3h FFC1h FFC2h
    FFC4h FFC6h FFT8h FFT10h TTP7h CCP5h CCP3h CCP1h CCP2h CCP4h CCP6h TTP8h P9 PPO9h PPO5h PPO1h PPO2h PPO6h PPO10h P10
    I1 OI1h OI2h I2"""
CHANNELS = tuple(_ORDER.split())
BLOCKS = {"presentation": "blocks: each class was shown in one block (Li et al. 2021, arXiv 1812.07697)"}


def read_pth(path: Path | str) -> tuple[dict, str]:
    """Read and check a data set file; returns its dict, whose EEG lies on disk (pickles.load_hashed), and its SHA-256."""
    from runtime.pickles import brief, load_hashed

    content, fingerprint = load_hashed(path, "--eeg_dataset")
    for key in ("dataset", "labels", "images"):
        if not isinstance(content, dict) or key not in content:
            found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise InputError(f"--eeg_dataset {path}: key '{key}' is missing (found {found}); expected the EEGCVPR40 "
                             "layout with 'dataset', 'labels' and 'images'")
    for key in ("dataset", "labels", "images"):
        if not isinstance(content[key], list) or not content[key]:
            raise InputError(f"--eeg_dataset {path}: '{key}' is {brief(content[key])}, expected a list that is not empty")
    for key in ("labels", "images", *(key for key in ("class_names", "ch_names") if content.get(key) is not None)):
        if not isinstance(content[key], list) or not all(isinstance(name, str) for name in content[key]):
            raise InputError(f"--eeg_dataset {path}: '{key}' is {brief(content[key])}, expected a list of names")
    twice = sorted(name for name, count in Counter(content.get("ch_names") or ()).items() if count > 1)
    if twice:
        raise InputError(f"--eeg_dataset {path}: 'ch_names' names {twice[0]} twice, expected a name of its own for each "
                         "channel")
    units = content.get("units")
    if units is not None and (not isinstance(units, str) or units not in ("uV", "standardised")):
        raise InputError(f"--eeg_dataset {path}: 'units' is {brief(units)}, expected 'uV' (microvolts) or "
                         "'standardised'")
    sfreq = content.get("sfreq", SFREQ)
    if not isinstance(sfreq, int | float) or not math.isfinite(sfreq) or sfreq <= 0:
        raise InputError(f"--eeg_dataset {path}: 'sfreq' is {sfreq!r}, expected a sampling rate in Hz")
    for number, record in enumerate(content["dataset"]):
        _check_record(f"--eeg_dataset {path}: record {number}", record, content)
    return content, fingerprint


def _check_record(name, record, content):
    from runtime.pickles import brief, is_whole

    import torch

    missing = [key for key in RECORD_KEYS if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputError(f"{name} lacks {missing}; expected {list(RECORD_KEYS)}")
    eeg = record["eeg"]
    whole = isinstance(eeg, torch.Tensor) and eeg.layout is torch.strided and eeg.device.type == "cpu"
    if not whole or eeg.ndim != 2 or not eeg.is_floating_point() or not eeg.shape[0]:
        found = f"of shape {tuple(eeg.shape)} and {eeg.dtype}" if whole else brief(eeg)
        raise InputError(f"{name} has EEG {found}, expected a float tensor [channels, samples]")
    if content.get("ch_names") and len(content["ch_names"]) != eeg.shape[0]:
        raise InputError(f"{name} has {eeg.shape[0]} channels, 'ch_names' names {len(content['ch_names'])}")
    for key in ("image", "label", "subject", *(["session"] if "session" in record else [])):
        if not is_whole(record[key]):
            raise InputError(f"{name} has {key} {brief(record[key])}, expected a whole number")
    for key, table in (("image", "images"), ("label", "labels")):
        if not 0 <= int(record[key]) < len(content[table]):
            raise InputError(f"{name} has {key} {int(record[key])}, but '{table}' has {len(content[table])} entries")


def class_ids(content: dict, path: Path | str) -> list[str]:
    """Class id by label: what the names of the label's pictures begin with; of labels without records, from `labels`."""
    found = {}
    for record in content["dataset"]:
        class_id = content["images"][int(record["image"])].split("_")[0]
        if found.setdefault(int(record["label"]), class_id) != class_id:
            raise InputError(f"--eeg_dataset {path}: label {int(record['label'])} has pictures of "
                             f"{found[int(record['label'])][:40]} and of {class_id[:40]}; expected one class a label")
    rest = iter([name for name in content["labels"] if name not in found.values()])
    classes = [found[label] if label in found else next(rest, "") for label in range(len(content["labels"]))]
    if len(set(classes)) < len(classes) or not all(classes):
        raise InputError(f"--eeg_dataset {path}: 'labels' names {len(set(content['labels']))} classes for "
                         f"{len(content['labels'])} labels and pictures of {len(set(found.values()))}; expected one class "
                         "a label, by which the pictures' names begin")
    return classes


def names_of(classes: list[str]) -> list[str]:
    """Readable class names of ImageNet synsets."""
    from config import CLASS_NAMES

    return [CLASS_NAMES.get(class_id, class_id) for class_id in classes]
