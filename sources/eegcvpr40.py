"""EEGCVPR40 `.pth` files (Spampinato et al. 2017; Palazzo et al. 2020) and splits files, and our own in the same layout.

A data set is a pickled dict: `dataset` (list of records `eeg` FloatTensor [channels, samples], `image` int into
`images`, `label` int, `subject` int), `labels` (class ids, for example synsets), `images` (names `<class id>_<...>`).
Files written here carry `sfreq`, `ch_names`, `class_names`, `units` and `about` too, which the published files lack.
"""

import math
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch

from errors import InputError
from runs import atomic_path, save_torch

RECORD_KEYS = ("eeg", "image", "label", "subject")
SAFE_TYPES = [  # numpy values occur in the old pickles; everything else that would execute code is refused
    np.dtype, np.ndarray, np._core.multiarray.scalar, np._core.multiarray._reconstruct,
    *(type(np.dtype(kind)) for kind in (np.int64, np.int32, np.uint8, np.float32, np.float64)),
]


def load_pickle(path, flag):
    """Read a torch pickle without executing anything that it holds."""
    try:
        damaged = zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip()
        if damaged:
            raise ValueError(f"checksum of {damaged} is wrong")
        with torch.serialization.safe_globals(SAFE_TYPES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{flag} {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{flag} {path}: is a folder, expected a .pth file") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, LookupError, TypeError,
            AttributeError, OSError) as error:  # a damaged pickle can fail in any of these ways
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(f"{flag} {path}: not a readable .pth file, cut short or not made by torch.save ({reason}); "
                         "compare its size with the source's and copy it again") from None


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
            raise InputError(f"--eeg_dataset {path}: '{key}' is {_brief(content[key])}, expected a list that is not empty")
    for key in ("labels", "images", *(key for key in ("class_names", "ch_names") if content.get(key))):
        if not isinstance(content[key], list) or not all(isinstance(name, str) for name in content[key]):
            raise InputError(f"--eeg_dataset {path}: '{key}' is {_brief(content[key])}, expected a list of names")
    sfreq = content.get("sfreq", 1000.0)
    if not isinstance(sfreq, int | float) or not math.isfinite(sfreq) or sfreq <= 0:
        raise InputError(f"--eeg_dataset {path}: 'sfreq' is {sfreq!r}, expected a sampling rate in Hz")
    for number, record in enumerate(content["dataset"]):
        _check_record(f"--eeg_dataset {path}: record {number}", record, content)
    return content


def _brief(value):
    return f"{type(value).__name__} {str(value)[:40]!r}"


def _check_record(name, record, content):
    missing = [key for key in RECORD_KEYS if not isinstance(record, dict) or key not in record]
    if missing:
        raise InputError(f"{name} lacks {missing}; expected {list(RECORD_KEYS)}")
    eeg = record["eeg"]
    if not isinstance(eeg, torch.Tensor) or eeg.ndim != 2 or not eeg.is_floating_point() or not eeg.shape[0]:
        found = f"of shape {tuple(eeg.shape)} and {eeg.dtype}" if isinstance(eeg, torch.Tensor) else _brief(eeg)
        raise InputError(f"{name} has EEG {found}, expected a float tensor [channels, samples]")
    if content.get("ch_names") and len(content["ch_names"]) != eeg.shape[0]:
        raise InputError(f"{name} has {eeg.shape[0]} channels, 'ch_names' names {len(content['ch_names'])}")
    for key in ("image", "label", "subject"):
        if not _is_whole(record[key]):
            raise InputError(f"{name} has {key} {_brief(record[key])}, expected a whole number")
    for key, table in (("image", "images"), ("label", "labels")):
        if not 0 <= int(record[key]) < len(content[table]):
            raise InputError(f"{name} has {key} {int(record[key])}, but '{table}' has {len(content[table])} entries")


def _is_whole(value):
    """A whole number: int, numpy integer or a tensor of one."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_floating_point()
    return isinstance(value, int | np.integer)


def write_pth(path, *, eeg, label, image, subject, images, class_ids, class_names, sfreq, ch_names, session=None,
              units="standardised", about=None):
    """Write trials in the EEGCVPR40 layout with sampling rate, channel and class names.

    eeg: [trials, channels, samples] float32; label, image, subject, session: [trials] ints; images: picture names
    `<class id>_<...>`; class_ids, class_names: by label; sfreq in Hz; about: how the file was made.
    """
    eeg = torch.as_tensor(np.asarray(eeg), dtype=torch.float32)
    records = [{"eeg": eeg[i].clone(), "image": int(image[i]), "label": int(label[i]), "subject": int(subject[i])}
               for i in range(len(eeg))]
    for i, record in enumerate(records if session is not None else ()):
        record["session"] = int(session[i])
    content = {"dataset": records, "labels": list(class_ids), "images": list(images), "sfreq": float(sfreq),
               "ch_names": list(ch_names), "class_names": list(class_names), "units": units, "about": about or {}}
    save_torch(path, content)


def read_splits(path):
    """Read a splits file; returns its list of {"train": indices, "val": indices, "test": indices}."""
    content = load_pickle(path, "--splits_path")
    splits = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(splits, list) or not all(isinstance(s, dict) and {"train", "val", "test"} <= set(s)
                                               for s in splits):
        raise InputError(f"--splits_path {path}: expected {{'splits': [{{'train': .., 'val': .., 'test': ..}}, ..]}}")
    for number, split in enumerate(splits):
        for part in ("train", "val", "test"):
            if not hasattr(split[part], "__len__") or not all(_is_whole(i) for i in split[part]):
                raise InputError(f"--splits_path {path}: split {number}, part '{part}' is {_brief(split[part])}, expected "
                                 "a list of record numbers")
    return splits


def write_splits(path, parts):
    """Write one split: {"train": indices, "val": indices, "test": indices} into the records of a data set file."""
    save_torch(path, {"splits": [{name: [int(i) for i in indices] for name, indices in parts.items()}]})


def write_captions(image_dir, captions):
    """Write `<image_dir>/<class id>/<name>_caption.txt` for each picture name -> caption."""
    for name, caption in captions.items():
        path = Path(image_dir) / name.split("_")[0] / f"{name}_caption.txt"
        with atomic_path(path) as temporary:
            temporary.write_text(caption + "\n", encoding="utf-8")
