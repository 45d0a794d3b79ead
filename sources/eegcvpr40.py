"""EEGCVPR40: photographs of 40 ImageNet classes, seen by 6 people (Spampinato et al. 2017; Palazzo et al. 2020).

    python prepare_data.py eegcvpr40 --eeg_dataset eeg_55_95_std.pth --splits_path block_splits_by_image_all.pth \\
        --image_dir data/images --output data/eegcvpr40
    python prepare_data.py eegcvpr40 --table luigi-s/EEG_Image_CVPR_ALL_subj --output data/eegcvpr40_table

A `.pth` data set is a pickled dict: `dataset` (list of records `eeg` FloatTensor [channels, samples], `image` int into
`images`, `label` int, `subject` int), `labels` (class ids, for example synsets), `images` (names `<class id>_<...>`). Files
written by this project also hold `sfreq`, `ch_names`, `class_names`, `units` and `about`. Nothing in a pickle is executed.
Of the published files, records of 450 to 600 samples are kept, and of these samples 20 to 460, as is usual. Without
--image_dir the data set has no pictures: an encoder can still learn the classes (train_eeg_classifier.py --loss_weight 0),
and the splits are by subject unless --splits_path or --split_by says otherwise.

--table reads a Hub data set, or its parquet files in a folder, with a row for each trial (see eegcvpr40_table.py).

Each class was shown in one block, so slow drifts give it away (Li et al. 2021, arXiv 1812.07697). The audit checks this.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from runtime.errors import InputError
from runtime.options import bounded, samples
from runtime.runs import content_key

import numpy as np

from eegdata.pth_file import BLOCK, BLOCKS, CHANNELS, LENGTHS, SFREQ, WINDOW, class_ids, names_of, read_pth
from eegdata.records import Block, DataSet, Picture, Recording

from .unused import refuse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--eeg_dataset", help="the .pth file, for example eeg_55_95_std.pth")
    parser.add_argument("--table", help="in place of --eeg_dataset: a Hub data set, luigi-s/EEG_Image_CVPR_ALL_subj, "
                                        "a folder of its parquet files, or one of them")
    parser.add_argument("--splits_path", help="published splits file, such as block_splits_by_image_all.pth (unset: "
                                              "splits are made by --split_by)")
    parser.add_argument("--split_num", type=bounded(int, 0), default=0, help="which of the file's splits to use")
    parser.add_argument("--splits_index", choices=("auto", "all", "subject"), default="auto",
                        help="with --subject: whether the splits file counts all records or that subject's only")
    parser.add_argument("--image_dir", help="folder of pictures and captions: <class>/<name>.JPEG, <name>_sketch.JPEG, "
                                            "<name>_caption.txt (unset: none)")
    parser.add_argument("-sub", "--subject", type=bounded(int, 0), default=0, help="use this subject only; 0 uses all")
    parser.add_argument("-tl", "--time_low", type=samples, help="first sample to keep (unset: 20, or 0 if the file names "
                                                                "its sampling rate)")
    parser.add_argument("-th", "--time_high", type=samples, help="end of the samples to keep, exclusive (unset: 460, or "
                                                                 "the longest record's end)")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet of a .pth file or a table: a recording a subject (and session, of files that name it)."""
    if (args.eeg_dataset is None) == (args.table is None):
        raise InputError("--eeg_dataset, --table: give one of them, the .pth file or the table of the Hub")
    if args.table is not None:
        from . import eegcvpr40_table

        refuse(args, ("splits_path", "image_dir", "time_low", "time_high", "split_num", "splits_index"),
               "not with --table, which brings its own pictures, parts and window")
        return eegcvpr40_table.find(args.table, args.subject)
    if args.splits_path is None:
        refuse(args, ("split_num", "splits_index"), "is of a splits file, and --splits_path names none")
    path = args.eeg_dataset
    content, fingerprint = read_pth(path)
    records, published = content["dataset"], "sfreq" not in content
    low, high, lengths = window(args, records, published)
    chosen = [i for i, record in enumerate(records) if args.subject in (0, int(record["subject"]))]
    kept = [i for i in chosen if max(high, lengths[0]) <= records[i]["eeg"].shape[1] <= lengths[1]]
    if not kept:
        raise InputError(f"--eeg_dataset {path}: no record{f' of subject {args.subject}' if args.subject else ''} has "
                         f"{max(high, lengths[0])} to {lengths[1]} samples; check --subject, -tl and -th")
    n_chans = records[kept[0]]["eeg"].shape[0]
    other = next((i for i in kept if records[i]["eeg"].shape[0] != n_chans), None)
    if other is not None:
        raise InputError(f"--eeg_dataset {path}: record {other} has {records[other]['eeg'].shape[0]} channels, others have "
                         f"{n_chans}")
    classes = class_ids(content, path)
    if len(content.get("class_names") or classes) != len(classes):
        raise InputError(f"--eeg_dataset {path}: 'class_names' has {len(content['class_names'])} entries, 'labels' has "
                         f"{len(classes)}; expected one name a label")
    names = sorted({content["images"][int(records[i]["image"])] for i in kept})
    part = given_parts(args, content, kept, fingerprint) if args.splits_path else None
    ch_names, places = (content.get("ch_names"), {}) if content.get("ch_names") else channel_names(n_chans, published)
    return DataSet(
        [recording(*who, [i for i in chosen if _who(records[i]) == who], set(kept), content, (low, high), lengths, part,
                   fingerprint) for who in sorted({_who(records[i]) for i in chosen})],
        sfreq=float(content.get("sfreq", SFREQ)), ch_names=list(ch_names), n_times=high - low,
        tmin=low / SFREQ if published else None, units="uV" if content.get("units") == "uV" else "standardised",
        class_ids=classes, class_names=list(content.get("class_names") or names_of(classes)),
        pictures=pictures(names, args.image_dir) if args.image_dir else {},
        pictures_known="yes" if args.image_dir else "no",
        split_by="given" if part else "picture" if args.image_dir else "subject", **places,
        about=about(path, content, published, low, high))


def window(args: argparse.Namespace, records: list[dict], published: bool) -> tuple[int, int, tuple[int, int]]:
    """First and end sample to keep, and the shortest and longest record to keep."""
    longest = max(record["eeg"].shape[1] for record in records)
    low = args.time_low if args.time_low is not None else (WINDOW[0] if published else 0)
    high = args.time_high if args.time_high is not None else (WINDOW[1] if published else longest)
    if not 0 <= low < high:
        raise InputError(f"--time_low {low} --time_high {high}: expected 0 <= time_low < time_high, in samples")
    return low, high, LENGTHS if published else (0, longest)


def channel_names(n_chans: int, published: bool) -> tuple[Sequence[str], dict]:
    """Names of EEG rows that the file does not name, and what a DataSet says of their places."""
    if published and n_chans == len(CHANNELS):
        return CHANNELS, {}
    return [f"E{i + 1}" for i in range(n_chans)], {"positions": {}}  # no scalp map, no interpolation: places are unknown


def about(path: Path | str, content: dict, published: bool, low: int, high: int) -> dict:
    if not published:
        return {"steps": ["as the file came"], **(content["about"] if isinstance(content.get("about"), dict) else {})}
    band = re.search(r"_(\d+)_(\d+)_std", Path(path).name)
    known = len(content["dataset"][0]["eeg"]) == len(CHANNELS)
    return {**BLOCKS, "steps": ["filtered and standardised by the publishers" if not band else
                                f"band-pass {band[1]} to {band[2]} Hz, as the file's name says, and standardised by the "
                                "publishers", f"samples {low} to {high} after the picture's onset kept"],
            "channels": "order published by the data set's authors (github.com/perceivelab/eeg_visual_classification, "
                        "issue 4)" if known else "names and places unknown",
            "order": "the file holds neither the order of presentation nor the sessions"}


def given_parts(args: argparse.Namespace, content: dict, kept: list[int], fingerprint: str) -> dict[int, str]:
    """{record: part} of the published split, checked as the stages do."""
    from eegdata.splits_file import split_records

    records = content["dataset"]
    parts = split_records(args.splits_path, args.eeg_dataset, [int(record["image"]) for record in records],
                          [int(record["subject"]) for record in records], fingerprint, args.subject, args.split_num,
                          args.splits_index)
    part = {number: name for name, numbers in parts.items() for number in numbers}
    for name, numbers in parts.items():
        if not set(numbers) & set(kept):
            raise InputError(f"--splits_path {args.splits_path}: part '{name}' is empty for these trials ({len(numbers)} "
                             "indices in the file, none of them among the trials kept); check --subject and the window")
    return part


def pictures(names: list[str], image_dir: Path | str) -> dict[str, Picture]:
    """The pictures by name, with captions and, where every one has one, sketches."""
    from eegdata.pictures import caption_path, picture_path, read_captions

    photos = {name: picture_path(image_dir, name) for name in names}
    sketches = {name: picture_path(image_dir, name, "sketch") for name in names}
    absent = [path for path in photos.values() if not path.is_file()]
    if absent:
        raise InputError(f"--image_dir {image_dir}: {len(absent)} of {len(names)} pictures are missing, {absent[0]} among "
                         "them; get them, or leave --image_dir out: an encoder can learn the classes without")
    unlike = [path for path in sketches.values() if not path.is_file()]
    if 0 < len(unlike) < len(names):
        raise InputError(f"--image_dir {image_dir}: {len(unlike)} of {len(names)} pictures have no sketch, {unlike[0]} "
                         "among them; make these, or take all _sketch.JPEG away to use the photographs")
    silent = [caption_path(image_dir, name) for name in names if not caption_path(image_dir, name).is_file()]
    if 0 < len(silent) < len(names):
        raise InputError(f"--image_dir {image_dir}: {len(silent)} of {len(names)} pictures have no caption, {silent[0]} "
                         "among them; write one sentence into each such file")
    if silent:
        print(f"--image_dir {image_dir}: no captions; prepare_data.py caption has a model write them")
    return {name: Picture(photos[name], () if silent else tuple(read_captions(image_dir, name)),
                          None if unlike else sketches[name]) for name in names}


def _who(record):
    """Subject and session (-1: unknown) of a record."""
    return int(record["subject"]), int(record.get("session", -1))


def recording(subject: int, session: int, records: list[int], kept: set[int], content: dict, window: tuple[int, int],
              lengths: tuple[int, int], part: dict | None, fingerprint: str) -> Recording:
    """The Recording of some records: those in `kept` become trials."""
    parts = None if part is None else [part.get(i, "") for i in records]
    name = f"subject {subject}" + (f", session {session}" if session >= 0 else "")
    return Recording(name, subject, session, [fingerprint, subject, session, window, lengths, content_key(parts)],
                     partial(read, records, kept, content, window, lengths, part))


def read(records: list[int], kept: set[int], content: dict, window: tuple[int, int], lengths: tuple[int, int],
         part: dict | None) -> Iterator[Block]:
    """Blocks: an empty one with what was dropped, then BLOCK trials each."""
    shortest, dropped = max(window[1], lengths[0]), {}
    for i in sorted(set(records) - kept):
        short = content["dataset"][i]["eeg"].shape[1] < shortest
        reason = f"fewer than {shortest} samples" if short else f"more than {lengths[1]} samples"
        dropped[reason] = dropped.get(reason, 0) + 1
    rows = [i for i in records if i in kept]
    yield Block(np.empty((0, 0, 0)), [], [], [], dropped=dropped)
    for start in range(0, len(rows), BLOCK):
        chosen = [content["dataset"][i] for i in rows[start:start + BLOCK]]
        yield Block(np.stack([record["eeg"][:, slice(*window)].float().numpy() for record in chosen]),
                    np.array([int(record["label"]) for record in chosen]),
                    [content["images"][int(record["image"])] for record in chosen], np.full(len(chosen), np.nan),
                    None if part is None else [part.get(i, "") for i in rows[start:start + BLOCK]])
