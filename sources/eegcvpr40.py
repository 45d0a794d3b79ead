"""EEGCVPR40 `.pth` files (Spampinato et al. 2017; Palazzo et al. 2020) and splits files, and our own in the same layout.

A data set is a pickled dict: `dataset` (list of records `eeg` FloatTensor [channels, samples], `image` int into
`images`, `label` int, `subject` int), `labels` (class ids, for example synsets), `images` (names `<class id>_<...>`).
Files written here carry the keys of `EXTRAS` too, which the published files lack.
"""

import pickle
from pathlib import Path

import numpy as np
import torch

from errors import InputError
from runs import atomic_path

EXTRAS = ("sfreq", "ch_names", "class_names", "units", "about")
RECORD_KEYS = ("eeg", "image", "label", "subject")
SAFE_TYPES = [  # numpy values occur in the old pickles; everything else that would execute code is refused
    np.dtype, np.ndarray, np._core.multiarray.scalar, np._core.multiarray._reconstruct,
    *(type(np.dtype(kind)) for kind in (np.int64, np.int32, np.uint8, np.float32, np.float64)),
]


def load_pickle(path, flag):
    """Read a torch pickle without executing anything that it holds."""
    try:
        with torch.serialization.safe_globals(SAFE_TYPES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{flag} {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{flag} {path}: is a folder, expected a .pth file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
            OSError) as error:  # a damaged pickle can fail in any of these ways
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
    if not content["dataset"]:
        raise InputError(f"--eeg_dataset {path}: 'dataset' holds no records")
    for number, record in enumerate(content["dataset"]):
        missing = [key for key in RECORD_KEYS if key not in record]
        if missing:
            raise InputError(f"--eeg_dataset {path}: record {number} lacks {missing}; expected {list(RECORD_KEYS)}")
        if record["eeg"].ndim != 2:
            raise InputError(f"--eeg_dataset {path}: record {number} has EEG of shape {tuple(record['eeg'].shape)}, "
                             "expected [channels, samples]")
        for key, table in (("image", "images"), ("label", "labels")):
            if not 0 <= int(record[key]) < len(content[table]):
                raise InputError(f"--eeg_dataset {path}: record {number} has {key} {int(record[key])}, but '{table}' "
                                 f"has {len(content[table])} entries")
    return content


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
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def read_splits(path):
    """Read a splits file; returns its list of {"train": indices, "val": indices, "test": indices}."""
    content = load_pickle(path, "--splits_path")
    splits = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(splits, list) or not all(isinstance(s, dict) and {"train", "val", "test"} <= set(s)
                                               for s in splits):
        raise InputError(f"--splits_path {path}: expected {{'splits': [{{'train': .., 'val': .., 'test': ..}}, ..]}}")
    return splits


def write_splits(path, parts):
    """Write one split: {"train": indices, "val": indices, "test": indices} into the records of a data set file."""
    with atomic_path(path) as temporary:
        torch.save({"splits": [{name: [int(i) for i in indices] for name, indices in parts.items()}]}, temporary)


def write_captions(image_dir, captions):
    """Write `<image_dir>/<class id>/<name>_caption.txt` for each picture name -> caption."""
    for name, caption in captions.items():
        path = Path(image_dir) / name.split("_")[0] / f"{name}_caption.txt"
        with atomic_path(path) as temporary:
            temporary.write_text(caption + "\n", encoding="utf-8")
