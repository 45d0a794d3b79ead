"""EEGCVPR40 as a table of the Hub: luigi-s/EEG_Image_CVPR_ALL_subj, or its parquet files.

Columns: `image`, `conditioning_image` (the EEG), `caption`, `label_folder` (the synset), `label`, `subject`. What its
maker's script (github.com/LuigiSigillo/GWIT, create_HF_EEG_Imagenet.py) does to the data, and what follows:

- Each trial is (x - m/2) / (m/2) with m its largest value: unlike the .pth files, not standardised.
- Trials are written as 440 samples of 128 channels into a column that is declared as 128 x 440, so rows read the usual way
  come out with channels and samples mixed up. Here the nested lists themselves say which way round a trial is.
- Captions are "image of a <class>": they hold the class and nothing else of the picture.
- Pictures have no names; equal bytes are one picture, `<synset>_<hash>`.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError

import numpy as np

from eegdata.picture_file import read_picture
from eegdata.pth_file import BLOCK, BLOCKS, CHANNELS, SFREQ, WINDOW, names_of
from eegdata.records import Block, DataSet, Picture, Recording

from .search import all_below

if TYPE_CHECKING:
    import datasets
    import pyarrow
    from PIL.Image import Image

COLUMNS = ("image", "conditioning_image", "caption", "label_folder", "label", "subject")
PARTS = {"train": "train", "validation": "val", "test": "test"}  # by the table's splits
ROWS = 256  # looked at a time
N_TIMES = WINDOW[1] - WINDOW[0]


def find(name: str, subject: int = 0) -> DataSet:
    """The DataSet of a Hub data set, a folder of parquet files or one such file: a recording a subject."""
    tables = load(name)
    rows, photos, captions, classes, digest = [], {}, {}, {}, hashlib.sha256()
    for split, table in tables.items():
        check_columns(name, table)
        for number, row, eeg in row_by_row(f"--table {name}: '{split}'", table):
            picture = check_row(f"--table {name}: row {number} of '{split}'", row, classes)
            if subject in (0, row["subject"]):
                digest.update(f"{split} {picture} {row['label']} {row['subject']} ".encode() + eeg.tobytes())
                rows.append((row["subject"], split, number, row["label"], picture))
                photos.setdefault(picture, partial(draw, f"--table {name}: row {number} of '{split}'", table, number))
                captions.setdefault(picture, {})[row["caption"]] = None
    if not rows:
        raise InputError(f"--subject {subject}: not in --table {name}")
    order = sorted(classes)
    label = {number: i for i, number in enumerate(order)}
    named = {split for _, split, *_ in rows} & set(PARTS)
    return DataSet(
        [Recording(f"subject {person}", person, -1, [digest.hexdigest(), person, classes],
                   partial(read, name, tables, [row for row in rows if row[0] == person], label))
         for person in sorted({person for person, *_ in rows})],
        sfreq=SFREQ, ch_names=list(CHANNELS), n_times=N_TIMES, tmin=WINDOW[0] / SFREQ, units="standardised",
        class_ids=[classes[i] for i in order], class_names=names_of([classes[i] for i in order]),
        pictures={picture: Picture(photos[picture], tuple(captions[picture])) for picture in sorted(photos)},
        split_by="given" if named else "picture",
        about={**BLOCKS, "steps": [f"samples {WINDOW[0]} to {WINDOW[1]} after the picture's onset, as the table has them",
                                   "each trial scaled to (x - m/2) / (m/2), m its largest value, by the table's maker"],
               "channels": "order published by the data set's authors (github.com/perceivelab/eeg_visual_classification, "
                           "issue 4)",
               "captions": "the table's captions name the class only",
               "order": "the table holds neither the order of presentation nor the sessions"})


def load(name: str) -> dict[str, "datasets.Dataset"]:
    """{split: datasets.Dataset} of a Hub name, a folder or a file, in the order of PARTS."""
    import datasets

    path, order = Path(name), [*PARTS]
    try:
        if path.exists():
            files = [file for file in all_below(path) if file.suffix == ".parquet"] if path.is_dir() else [path]
            by_split = {}
            for file in files:
                match = re.match(r"(train|validation|test)\b", file.stem)
                by_split.setdefault(match[1] if match else "unnamed", []).append(str(file))
            if not files:
                raise InputError(f"--table {name}: holds no .parquet files; expected the table's data folder")
            found = datasets.load_dataset("parquet", data_files=by_split)
        else:
            found = datasets.load_dataset(name)
        return dict(sorted(found.items(), key=lambda each: order.index(each[0]) if each[0] in order else len(order)))
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        reason = str(error.__cause__ or error).splitlines()[0][:200]
        raise InputError(f"--table {name}: cannot be read ({reason}); expected a data set of the Hub, for which a "
                         "connection is needed, or a folder of its parquet files: check the name, or copy the files again"
                         ) from None


def check_columns(name: str, table: "datasets.Dataset") -> None:
    import datasets

    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing:
        raise InputError(f"--table {name}: column '{missing[0]}' is missing (found {', '.join(table.column_names)}); "
                         f"expected {', '.join(COLUMNS)}")
    kinds = {"label": "int", "subject": "int", "caption": "string", "label_folder": "string"}
    for column, kind in kinds.items():
        found = getattr(table.features[column], "dtype", str(table.features[column]))
        if kind not in found:
            raise InputError(f"--table {name}: column '{column}' holds {found}, expected {kind}")
    if not isinstance(table.features["image"], datasets.Image):
        raise InputError(f"--table {name}: column 'image' holds {table.features['image']}, expected pictures")


def check_row(where: str, row: dict, classes: dict[int, str]) -> str:
    """The name of a row's picture; label -> synset is collected in `classes`."""
    empty = [column for column in ("image", "caption", "label_folder", "label", "subject") if row[column] in (None, "")]
    content = (row["image"] or {}).get("bytes")
    if empty or not content:
        raise InputError(f"{where}: column '{empty[0] if empty else 'image'}' is empty")
    if "_" in row["label_folder"] or "/" in row["label_folder"]:
        raise InputError(f"{where}: label_folder is {row['label_folder']!r}, expected a synset such as n02106662")
    if classes.setdefault(row["label"], row["label_folder"]) != row["label_folder"]:
        raise InputError(f"{where}: label {row['label']} is {row['label_folder']}, in earlier rows "
                         f"{classes[row['label']]}; expected one class a label")
    return f"{row['label_folder']}_{hashlib.sha256(content).hexdigest()[:16]}"


def row_by_row(where: str, table: "datasets.Dataset") -> Iterator[tuple[int, dict, np.ndarray]]:
    """(number, row without EEG and with the picture's bytes, EEG [channels, samples]) of each row."""
    from tqdm import tqdm

    number = 0
    with tqdm(total=len(table), desc=where, unit="row") as progress:
        for batch in table.with_format("arrow").iter(batch_size=ROWS):
            eeg = signals(where, batch["conditioning_image"])
            for row, trial in zip(batch.drop_columns(["conditioning_image"]).to_pylist(), eeg, strict=True):
                yield number, row, trial
                number += 1
            progress.update(len(eeg))


def draw(where: str, table: "datasets.Dataset", number: int) -> "Image":
    """A row's picture."""
    content = table.with_format("arrow")[number:number + 1]["image"][0].as_py()["bytes"]
    return read_picture(io.BytesIO(content), where)


def read(name: str, tables: dict, rows: list[tuple], label: dict[int, int]) -> Iterator[Block]:
    """One subject's Blocks of BLOCK trials, in the table's order."""
    for split, table in tables.items():
        own = [row for row in rows if row[1] == split]
        for start in range(0, len(own), BLOCK):
            chosen = own[start:start + BLOCK]
            column = table.with_format("arrow").select([row[2] for row in chosen])[:]["conditioning_image"]
            yield Block(signals(f"--table {name}: '{split}'", column), np.array([label[row[3]] for row in chosen]),
                        [row[4] for row in chosen], np.full(len(chosen), np.nan), [PARTS.get(split, "")] * len(chosen))


def signals(where: str, column: "pyarrow.ChunkedArray") -> np.ndarray:
    """EEG [trials, channels, samples] float32 of the nested lists in a column."""
    import pyarrow
    import pyarrow.compute

    trials = []
    for chunk in column.chunks:
        lists = chunk.storage if isinstance(chunk, pyarrow.ExtensionArray) else chunk  # the type's own shape may be wrong
        try:
            shape = [set(pyarrow.compute.list_value_length(each).to_pylist()) for each in (lists, lists.flatten())]
            values = lists.flatten().flatten().to_numpy(zero_copy_only=False)
        except (pyarrow.ArrowException, AttributeError):
            shape, values = lists.type, None
        if shape == [{len(CHANNELS)}, {N_TIMES}]:
            trials.append(values.reshape(-1, len(CHANNELS), N_TIMES))
        elif shape == [{N_TIMES}, {len(CHANNELS)}]:
            trials.append(values.reshape(-1, N_TIMES, len(CHANNELS)).swapaxes(1, 2))
        else:
            raise InputError(f"{where}: column 'conditioning_image' holds lists of {shape}, expected {N_TIMES} samples of "
                             f"{len(CHANNELS)} channels, or the other way round")
    return np.concatenate(trials).astype(np.float32)
