"""MindBigData (Vivancos): one man's EEG from an Emotiv Insight while he sees a digit (MNIST) or a photograph (ImageNet).

    python prepare_data.py mindbigdata --folder data/pretrain --set mnist --output runs/digits/data
    python prepare_data.py mindbigdata --folder data/pretrain --set imagenet --pictures imagenet/train \\
        --output runs/imagenet/data

mnist: `MindBigData-IN-v1.06/IN.txt` has a tab-separated row for each channel, `id, event, device, channel, code, size,
data`. `code` is the digit, or -1 for a random signal; `data` are `size` comma-separated samples, 2 s at about 128 Hz. The
five rows of a trial share the event. The picture of the digit is unknown.

imagenet: `MindBigData-Imagenet/MindBigData_Imagenet_Insight_n00007846_6247_1_785.csv` is one trial, without a header, with
rows `channel,v1,v2,...`, 3 s at about 128 Hz. Its name holds the ImageNet synset, the number of the picture
(n00007846_6247.JPEG in ImageNet), how often the picture had been recorded, and the session. The order within a session is
unknown. --pictures is a folder of the pictures, <synset>/<synset>_<number>.JPEG; without it only the class can be learned.

The time of the picture within these seconds is unknown: a trial is the first --n_times samples.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash

import numpy as np
from tqdm import tqdm

from eegdata.records import Block, DataSet, Picture, Recording

from . import epochs
from .copies import without_copies
from .emotiv_insight import CHANNELS, SFREQ, SKIPPED, WINDOW, Windows, join_channels, read_numbers
from .search import all_below

MNIST_FILE = Path("MindBigData-IN-v1.06") / "IN.txt"
IMAGENET_FOLDER = Path("MindBigData-Imagenet")
MNIST_COLUMNS = ("id", "event", "device", "channel", "code", "size", "data")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
IMAGENET_NAME = re.compile(r"_(n\d{8})_(\d+)_(\d+)_(\d+)\.csv$")  # synset, picture, its count of recordings, session
MAX_BLOCK_TRIALS = 500  # events of IN.txt in a recording, and trials in a block


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", required=True, help="folder that holds MindBigData-IN-v1.06/IN.txt or "
                        "MindBigData-Imagenet/*.csv, or that directly holds IN.txt or the CSVs")
    parser.add_argument("--set", required=True, choices=("mnist", "imagenet"), help="digits or photographs")
    parser.add_argument("--pictures", help="with --set imagenet: folder of ImageNet's training pictures")
    parser.add_argument("--n_times", type=int, default=WINDOW, help="samples of a trial, at 128 Hz; shorter trials are "
                        "left out with a count")
    epochs.filter_options(parser, 0., 0., "applied to each trial")
    parser.add_argument("--min_trials", type=int, default=1, help="with --set imagenet: leave out classes of fewer trials")
    parser.add_argument("--skip_damaged", action="store_true", help="leave damaged trials out with a count, instead of "
                        "stopping at the first")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet: digits in recordings of `MAX_BLOCK_TRIALS` consecutive events, photographs in recordings by session."""
    epochs.check_band(args, SFREQ)
    if args.n_times < 1 or args.min_trials < 1:
        raise InputError(f"--n_times {args.n_times} --min_trials {args.min_trials}: expected 1 or more")
    if args.set == "mnist" and (args.pictures or args.min_trials > 1):
        raise InputError("--pictures and --min_trials: only with --set imagenet; which picture of a digit was seen is not "
                         "known")
    data = find_digits(args) if args.set == "mnist" else find_photographs(args)
    steps = [f"samples counted at {SFREQ:g} Hz, the headset's nominal rate", f"the first {args.n_times} samples of a trial",
             "each channel's mean over the trial subtracted (the headset's zero is about 4200 uV)"]
    if args.l_freq or args.h_freq:
        steps.append(f"{epochs.band_text(args)} within each trial (MNE's IIR: Butterworth of order 4, forward and "
                     "backward)")
    return DataSet(**data, sfreq=SFREQ, ch_names=list(CHANNELS), n_times=args.n_times, tmin=None, units="uV",
                   about={"experiment": f"MindBigData, {args.set} (Vivancos)", "n_times": args.n_times, "band": _band(args),
                          "steps": steps})


def _band(args):
    """The edges of the band-pass in Hz, None where neither is given."""
    return [args.l_freq, args.h_freq] if args.l_freq or args.h_freq else None


def _options(args):
    return {"n_times": args.n_times, "band": _band(args), "skip_damaged": args.skip_damaged}


@dataclass
class Photograph:
    """A CSV of MindBigData-ImageNet, by what its name says; digest: hash of its bytes."""

    session: int
    digest: str
    path: Path
    synset: str
    picture: str


class TrialBuffer:
    """The trials of a recording since the last block, and what became of the others."""

    def __init__(self, args):
        self.args = args
        self.clear()

    def clear(self) -> None:
        self.eeg, self.label, self.picture, self.dropped = [], [], [], Counter()

    def __len__(self):
        return len(self.eeg)

    def add(self, signal: np.ndarray, label: int, picture: str) -> None:
        """signal [5, samples] in the headset's microvolts."""
        if signal.shape[1] < self.args.n_times:
            self.dropped[f"fewer than {self.args.n_times} samples"] += 1
            return
        signal = signal[:, :self.args.n_times]
        self.eeg.append(signal - signal.mean(1, keepdims=True))
        self.label.append(label)
        self.picture.append(picture)

    def damaged(self, error: Exception) -> None:
        if not self.args.skip_damaged:
            raise InputError(f"{error}; get the file again, or leave damaged trials out with --skip_damaged")
        self.dropped["damaged"] += 1

    def block(self) -> Block:
        """The trials as a Block; none of them stays here."""
        eeg = np.stack(self.eeg) if self.eeg else np.empty((0, len(CHANNELS), self.args.n_times))
        if _band(self.args) and len(eeg):
            import mne

            eeg = mne.filter.filter_data(eeg, SFREQ, self.args.l_freq or None, self.args.h_freq or None, method="iir",
                                         verbose="error")
        block = Block(eeg, np.array(self.label, int), self.picture, np.full(len(eeg), np.nan), None, dict(self.dropped))
        self.clear()
        return block


def find_digits(args: argparse.Namespace) -> dict:
    folder = Path(args.folder)
    path = next((path for path in (folder / MNIST_FILE, folder / MNIST_FILE.name) if path.is_file()), None)
    if path is None:
        raise InputError(f"--folder {folder}: neither {MNIST_FILE} nor {MNIST_FILE.name} is there")
    events, key = index_rows(path, args), file_hash(path)
    if not events:
        raise InputError(f"{path}: holds no event; expected tab-separated rows {', '.join(MNIST_COLUMNS)}")
    stretches = [events[start:start + MAX_BLOCK_TRIALS] for start in range(0, len(events), MAX_BLOCK_TRIALS)]
    recordings = [
        Recording(f"events {start + 1} to {start + len(own)}", 1, -1, [key, start, MAX_BLOCK_TRIALS, _options(args)],
                  partial(_read_digits, path, own, args))
        for own, start in zip(stretches, range(0, len(events), MAX_BLOCK_TRIALS), strict=True)]
    return {"recordings": recordings, "class_ids": [str(digit) for digit in range(10)], "class_names": list(DIGITS),
            "pictures": {}, "pictures_known": "no", "split_by": "recording"}


def index_rows(path: Path | str, args: argparse.Namespace) -> list[tuple[bytes, list[tuple[int, int]]]]:
    """[(event, [(line number, its first byte), ...])] of IN.txt, in the order of the events' middle rows."""
    events, place, unreadable = {}, 0, 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            cells = line.split(b"\t", 2)
            if len(cells) == 3:
                events.setdefault(cells[1].strip(), []).append((number, place))
            elif not line.isspace():
                unreadable += 1
                if not args.skip_damaged:
                    raise InputError(f"{path}, line {number}: {len(cells)} tab-separated cells, expected "
                                     f"{len(MNIST_COLUMNS)} ({', '.join(MNIST_COLUMNS)}); get the file again, or leave "
                                     "damaged trials out with --skip_damaged")
            place += len(line)
    if unreadable:
        print(f"{path}: {unreadable} rows that name no event left out")
    return sorted(events.items(), key=lambda each: each[1][len(each[1]) // 2])


def _read_digits(path, events, args):
    trials = TrialBuffer(args)
    with open(path, "rb") as file:
        for event, places in events:
            rows, codes = {}, set()
            try:
                for number, place in places:
                    file.seek(place)
                    where = f"{path}, line {number}"
                    _, channel, code, samples = parse_mnist_row(file.readline().decode("ascii", "replace"), where)
                    if channel in rows:
                        raise InputError(f"{where}: channel {channel} of event {event.decode('ascii', 'replace')} is there "
                                         "twice")
                    rows[channel] = samples
                    codes.add(code)
                signal = join_channels(rows, f"{path}, event {event.decode('ascii', 'replace')}")
                if len(codes) > 1 or not codes <= {"-1", *"0123456789"}:
                    raise InputError(f"{where}: code {', '.join(sorted(codes))} in the rows of one event, expected one of "
                                     "-1 and 0 to 9")
            except InputError as error:
                trials.damaged(error)
                continue
            code = int(codes.pop())
            if code < 0:
                trials.dropped["code -1, a random signal"] += 1
            else:
                trials.add(signal, code, f"{code}_unknown")
    yield trials.block()


def find_photographs(args: argparse.Namespace) -> dict:
    from config import CLASS_NAMES

    photographs = find_files(args.folder)
    counts = Counter(each.synset for each in photographs)
    kept = [each for each in photographs if counts[each.synset] >= args.min_trials]
    synsets = sorted({each.synset for each in kept})
    if len(synsets) < 2:
        raise InputError(f"--min_trials {args.min_trials}: leaves {len(synsets)} of {len(counts)} classes, expected two or "
                         f"more; the classes have {min(counts.values())} to {max(counts.values())} trials")
    if len(kept) < len(photographs):
        print(f"--min_trials {args.min_trials}: {len(photographs) - len(kept)} trials of {len(counts) - len(synsets)} "
              "classes left out")
    pictures = find_imagenet_pictures(args.pictures, {each.picture for each in kept}) if args.pictures else {}
    recordings = []
    for session, own in groupby(kept, lambda each: each.session):
        own = list(own)
        key = [[(each.picture, each.digest) for each in own], synsets, bool(pictures), _options(args)]
        recordings.append(Recording(f"session {session}", 1, session, key,
                                    partial(_read_photographs, own, synsets, bool(pictures), args)))
    return {"recordings": recordings, "class_ids": synsets, "class_names": [CLASS_NAMES.get(s, s) for s in synsets],
            "pictures": pictures, "pictures_known": "yes" if pictures else "no",
            "split_by": "picture" if pictures else "session"}


def find_files(folder: Path | str) -> list[Photograph]:
    """The `Photograph`s of a folder, by session. The order within a session is not known; by name it would be by class."""
    root = Path(folder) / IMAGENET_FOLDER if (Path(folder) / IMAGENET_FOLDER).is_dir() else Path(folder)
    paths = csv_files(root)
    if not paths:
        raise InputError(f"--folder {folder}: no {IMAGENET_FOLDER}/*.csv and no *.csv")
    found = []
    for path in paths:
        match = IMAGENET_NAME.search(path.name)
        if match is None:
            raise InputError(f"{path}: synset, picture and session cannot be read from the name; expected "
                             "MindBigData_Imagenet_Insight_<synset>_<picture>_<count>_<session>.csv")
        found.append((path, match))
    unlike = without_copies(tqdm(found, desc="files", unit="file"), lambda each: each[0], f"--folder {folder}", "files")
    photographs = [Photograph(int(match[4]), digest, path, match[1], f"{match[1]}_{match[2]}")
                   for digest, (path, match) in unlike.items()]
    return sorted(photographs, key=lambda each: (each.session, each.digest))


def find_imagenet_pictures(folder: Path | str, names: Iterable[str]) -> dict[str, Picture]:
    """{name: Picture} from ImageNet's folder layout."""
    paths = {name: Path(folder) / name.split("_")[0] / f"{name}.JPEG" for name in sorted(names)}
    missing = [path for path in paths.values() if not path.is_file()]
    if missing:
        raise InputError(f"--pictures {folder}: {len(missing)} of {len(paths)} pictures are missing, {missing[0]} among "
                         "them; expected <synset>/<synset>_<number>.JPEG, or leave --pictures out")
    return {name: Picture(path) for name, path in paths.items()}


def _read_photographs(photographs, synsets, known, args):
    trials = TrialBuffer(args)
    for each in photographs:
        try:
            signal = join_channels(read_imagenet_rows(each.path), each.path)
        except InputError as error:
            trials.damaged(error)
        else:
            trials.add(signal, synsets.index(each.synset), each.picture if known else f"{each.synset}_unknown")
        if len(trials) == MAX_BLOCK_TRIALS:
            yield trials.block()
    yield trials.block()


def parse_mnist_row(line: str, where: str) -> tuple[str, str, str, np.ndarray]:
    """One row of IN.txt -> (event, channel, code, samples [size])."""
    cells = line.strip("\r\n").split("\t")
    if len(cells) != len(MNIST_COLUMNS):
        raise InputError(f"{where}: {len(cells)} tab-separated cells, expected {len(MNIST_COLUMNS)} "
                         f"({', '.join(MNIST_COLUMNS)})")
    event, device, channel, code, size = (cell.strip() for cell in cells[1:6])
    if device != "IN":
        raise InputError(f"{where}: device {device[:20]!r}, expected IN (Emotiv Insight)")
    data = cells[6].split(",")
    if not size.isdecimal() or len(data) != int(size):
        raise InputError(f"{where}: {len(data)} samples, but the column size says {size[:20]!r}; the row is damaged")
    return event, channel, code, read_numbers(data, where)


def read_mnist(folder: Path | str, min_samples: int, skip_damaged: bool = False) -> Windows:
    """The windows of `folder`/MindBigData-IN-v1.06/IN.txt: a trial's first 256 samples; a recording is an event."""
    path = Path(folder) / MNIST_FILE
    windows = Windows(min_samples, skip_damaged)
    waiting = {}  # event -> rows of a trial whose channels have not all been seen

    def finish(event):
        try:
            trial = join_channels(waiting.pop(event), f"{path}, event {event}")
        except InputError as error:
            windows.report_damage(error)
        else:
            windows.add(f"MindBigData-IN/{event}", [trial[:, :WINDOW]])

    with open(path, "rb") as file, tqdm(desc="MindBigData-MNIST", unit="B", unit_scale=True,
                                        total=path.stat().st_size) as progress:
        for number, raw in enumerate(file, 1):
            progress.update(len(raw))
            if raw.isspace():
                continue
            try:
                event, channel, _, samples = parse_mnist_row(raw.decode("ascii", "replace"), f"{path}, line {number}")
            except InputError as error:
                windows.report_damage(error)
                continue
            waiting.setdefault(event, {})[channel] = samples
            if len(waiting[event]) == len(CHANNELS):
                finish(event)
    for event in list(waiting):
        finish(event)
    return windows


def csv_files(folder: Path | str) -> list[Path]:
    return [path for path in all_below(folder) if path.is_file() and path.suffix == ".csv"] if Path(folder).is_dir() else []


def find_imagenet(folder: Path | str) -> list[Path]:
    return csv_files(Path(folder) / IMAGENET_FOLDER)


def read_imagenet_rows(path: Path) -> dict[str, np.ndarray]:
    """One CSV -> {channel: samples} in microvolts."""
    rows = {}
    for number, line in enumerate(path.read_bytes().decode("ascii", "replace").splitlines(), 1):
        channel, *cells = line.split(",")
        if channel.strip() in rows:
            raise InputError(f"{path}, line {number}: channel {channel.strip()} is there twice")
        rows[channel.strip()] = read_numbers(cells, f"{path}, line {number}")
    return rows


def read_imagenet(folder: Path | str, min_samples: int, skip_damaged: bool = False) -> Windows:
    """The windows of `folder`/MindBigData-Imagenet, the first `SKIPPED` samples left out; a recording is a file."""
    windows = Windows(min_samples, skip_damaged)
    unlike = without_copies(find_imagenet(folder), lambda path: path, "MindBigData-ImageNet", "files")
    for path in tqdm(unlike.values(), desc="MindBigData-ImageNet", unit="file"):
        try:
            signal = join_channels(read_imagenet_rows(path), path)
        except InputError as error:
            windows.report_damage(error)
        else:
            windows.add(f"MindBigData-Imagenet/{path.name}", [signal[:, SKIPPED:]])
    return windows
