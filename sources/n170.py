"""Real recordings of people who look at photographs of faces and houses (N170 experiment of NeuroTechX EEG-ExPy).

`--recordings`: Muse CSVs anywhere below that folder, one a recording, with `subject<n>`, `session<n>` and the time
`YYYY-MM-DD-HH.MM.SS` in the path; columns `timestamps` (s), `TP9 AF7 AF8 TP10` (microvolts, 256 Hz) and, last, the
marker: 0 none, 1 house, 2 face. `--stimuli`: the photographs in `houses` and `faces`.

A marker names the class and not the photograph, so the picture within the class is NOT known: each trial gets a
photograph of its class in a fixed rotation, and only the class in pictures and captions can be decoded from the EEG.
Each part (train, val, test) rotates through photographs of its own, so no picture is in two parts.

The split is by recording within subject: of a subject's recordings that hold both classes, in order of time, the last
ones are the test, those before them validation; with two, the later is the test; a single one is for training, and
so are recordings with one class only. The EEG of all parts is scaled by the training trials' mean and standard
deviation of each channel.
"""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from errors import InputError
from runs import file_hash

CHANNELS = ("TP9", "AF7", "AF8", "TP10")
SFREQ = 256.0
CLASSES = ("house", "face")  # by label; the marker is label + 1
FOLDERS = {"house": "houses", "face": "faces"}
PARTS = ("train", "val", "test")
JITTER = 0.1  # s; radio packets are stamped on arrival, up to 0.06 s off an even clock; more than this is lost data
WORDINGS = {
    "house": ("A photograph of a house.", "A black and white photograph of a house.",
              "A picture of a house on a grey background.", "The outside of a single house."),
    "face": ("A photograph of a face.", "A black and white photograph of a face.",
             "A picture of a face on a grey background.", "The face of a single person."),
}
NAME = re.compile(r"subject(\d+)[/_]session(\d+)[/_].*?(\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d)")


@dataclass
class Recording:
    """One CSV cut into epochs: eeg [kept, 4, samples] in microvolts, label [kept], and what happened to the markers."""

    name: str
    subject: int
    time: str
    markers: int
    eeg: object
    label: object
    rejected: int
    cut_off: int
    gaps: int
    backward: int
    part: str = "train"


def add_arguments(parser):
    parser.add_argument("--recordings", required=True, help="folder of the Muse CSVs, for example n170/muse2016")
    parser.add_argument("--stimuli", required=True, help="folder with the photographs' folders `houses` and `faces`")
    parser.add_argument("--band_low", type=float, default=1.0, help="lower edge of the band-pass filter in Hz")
    parser.add_argument("--band_high", type=float, default=30.0, help="upper edge of the band-pass filter in Hz")
    parser.add_argument("--tmin", type=float, default=-0.1, help="start of a trial in s from the picture's onset")
    parser.add_argument("--tmax", type=float, default=0.8, help="end of a trial in s from the picture's onset")
    parser.add_argument("--reject", type=float, default=100.0,
                        help="leave out trials with a channel whose peak-to-peak amplitude in microvolts is above "
                             "this; 0 keeps all")
    parser.add_argument("--val_fraction", type=float, default=0.2,
                        help="part of each subject's recordings and of the photographs for validation, at least one")
    parser.add_argument("--test_fraction", type=float, default=0.2,
                        help="part of each subject's recordings and of the photographs for testing, at least one")


def prepare(args):
    """Write eeg.pth, splits.pth and images/ (pictures and captions) to the folder `args.output`."""
    check_options(args)
    output = Path(args.output)
    recordings = [read_recording(*found, args) for found in find_recordings(args.recordings)]
    split_recordings(recordings, args.val_fraction, args.test_fraction)
    print_table(recordings)
    check_parts(recordings)
    pictures = find_pictures(args.stimuli)
    write_pictures(output / "images", pictures)
    write_data_set(output, recordings, share_out(pictures, args.val_fraction, args.test_fraction), args)
    print(f"written to {output}: eeg.pth, splits.pth, images/")


def check_options(args):
    if not 0 < args.band_low < args.band_high < SFREQ / 2:
        raise InputError(f"--band_low {args.band_low} --band_high {args.band_high}: expected 0 < low < high < "
                         f"{SFREQ / 2:g} Hz")
    if not args.tmin < args.tmax:
        raise InputError(f"--tmin {args.tmin} --tmax {args.tmax}: the trial's end must be after its start")
    if not args.reject >= 0:
        raise InputError(f"--reject {args.reject}: expected microvolts above 0, or 0 to keep all")
    if not 0 < args.val_fraction < 1 or not 0 < args.test_fraction < 1 or args.val_fraction + args.test_fraction >= 1:
        raise InputError(f"--val_fraction {args.val_fraction} --test_fraction {args.test_fraction}: both must be above "
                         "0 and their sum below 1")


def find_recordings(folder):
    """[(path, name, subject, time)] in order of subject and time."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--recordings {folder}: no such folder")
    found = []
    for path in folder.rglob("*.csv"):
        name = path.relative_to(folder).as_posix()
        match = NAME.search(name)
        if match is None:
            raise InputError(f"--recordings {path}: subject, session and time cannot be read from the name; expected "
                             "subject<n>_session<n>_..._YYYY-MM-DD-HH.MM.SS.csv")
        found.append((path, name, int(match[1]), match[3]))
    hashes = {}
    for recording in sorted(found, key=lambda each: (each[1].count("/"), each[1])):
        hashes.setdefault(file_hash(recording[0]), recording)
    if len(hashes) < len(found):  # a copy would be in two parts of the split
        print(f"--recordings {folder}: {len(found) - len(hashes)} copies of other recordings left out")
        found = list(hashes.values())
    if not found:
        raise InputError(f"--recordings {folder}: holds no .csv; expected Muse recordings as in n170/muse2016")
    return sorted(found, key=lambda each: (each[2], each[3], each[1]))


def read_csv(path):
    """One Muse CSV -> timestamps [samples] in s, signal [4, samples] in microvolts, marker [samples] of 0, 1, 2."""
    import numpy as np
    import pandas

    try:
        table = pandas.read_csv(path, index_col=False)
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as CSV ({error}); get the file again") from None
    missing = [name for name in ("timestamps", *CHANNELS) if name not in table]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} is missing (found {', '.join(table.columns)})")
    marker_column = table.columns[-1]
    if marker_column in ("timestamps", "Right AUX", *CHANNELS):
        raise InputError(f"{path}: the last column is {marker_column}, expected the marker (0 none, 1 house, 2 face)")
    numbers = table[["timestamps", *CHANNELS, marker_column]].apply(pandas.to_numeric, errors="coerce").to_numpy(float)
    wrong = np.argwhere(~np.isfinite(numbers))
    if wrong.size:
        row, column = wrong[0]
        name = ("timestamps", *CHANNELS, marker_column)[column]
        raise InputError(f"{path}, line {row + 2}: {name} is '{table[name].iloc[row]}', expected a finite number; the "
                         "file is damaged or cut short")
    marker = numbers[:, -1]
    unknown = sorted(set(marker) - {0, 1, 2})
    if unknown:
        raise InputError(f"{path}: marker {unknown[0]:g} in column {marker_column}, expected 0 none, 1 house, 2 face")
    if not marker.any():
        raise InputError(f"{path}: no markers in column {marker_column}, so it holds no trial; take the file out")
    return numbers[:, 0], numbers[:, 1:-1].T, marker.astype(int)


def check_clock(times, path):
    """Positions after which samples are missing, and how many timestamps step back within the packets' jitter.

    The rows are taken as evenly sampled between gaps. Raises InputError where time runs back further than `JITTER`
    or the rate is not that of a Muse 2016.
    """
    import numpy as np

    steps = np.diff(times)
    behind = np.maximum.accumulate(times) - times
    if (behind > JITTER).any():
        row = int(np.argmax(behind > JITTER))
        raise InputError(f"{path}, line {row + 2}: the timestamp is {behind[row]:.3f} s before an earlier one; "
                         "expected the rows of one recording in order of time")
    even = steps[steps <= JITTER]
    rate = len(even) / even.sum() if even.sum() > 0 else 0.0
    if abs(rate - SFREQ) > 0.02 * SFREQ:
        raise InputError(f"{path}: the timestamps say {rate:.1f} samples/s, expected {SFREQ:g} (Muse 2016)")
    return np.flatnonzero(steps > JITTER), int((steps < 0).sum())


def cut_epochs(signal, marker, gaps, args):
    """Filter a recording and cut it at its markers, with MNE.

    signal: [4, samples] microvolts; marker: [samples]; gaps: positions of the last samples before missing ones, across
    which neither the filter nor a trial reaches. Returns mne.Epochs in volts, with the reasons of `drop_log`.
    """
    import mne
    import numpy as np

    info = mne.create_info(list(CHANNELS), SFREQ, "eeg")
    raw = mne.io.RawArray(signal * 1e-6, info, verbose="error")
    raw.set_annotations(mne.Annotations(gaps / SFREQ, 1 / SFREQ, "BAD_ACQ_SKIP"))
    raw.filter(args.band_low, args.band_high, verbose="error")
    onsets = np.flatnonzero(marker)
    events = np.stack([onsets, np.zeros_like(onsets), marker[onsets]], axis=1)
    return mne.Epochs(raw, events, {name: label + 1 for label, name in enumerate(CLASSES)}, args.tmin, args.tmax,
                      baseline=None, reject={"eeg": args.reject * 1e-6} if args.reject else None, preload=True,
                      on_missing="ignore", verbose="error")


def read_recording(path, name, subject, time, args):
    times, signal, marker = read_csv(path)
    shortest = 3.3 / args.band_low  # s, the length of MNE's filter for that edge
    if len(times) < shortest * SFREQ:
        raise InputError(f"{path}: {len(times) / SFREQ:.1f} s long, but the filter from {args.band_low:g} Hz needs "
                         f"{shortest:.1f} s; the file is cut short, or take it out")
    gaps, backward = check_clock(times, path)
    epochs = cut_epochs(signal, marker, gaps, args)
    rejected = sum(any(reason in CHANNELS for reason in reasons) for reasons in epochs.drop_log)
    return Recording(name, subject, time, markers=len(epochs.drop_log), eeg=epochs.get_data(verbose="error") * 1e6,
                     label=epochs.events[:, 2] - 1, rejected=rejected, gaps=len(gaps), backward=backward,
                     cut_off=len(epochs.drop_log) - len(epochs) - rejected)


def part_sizes(count, val_fraction, test_fraction):
    """How many of `count` things in order are for validation and testing: at least one each, if there are three."""
    if count < 3:
        return 0, int(count == 2)
    n_val, n_test = max(1, round(count * val_fraction)), max(1, round(count * test_fraction))
    if n_val + n_test >= count:
        raise InputError(f"--val_fraction {val_fraction} --test_fraction {test_fraction} leave none of {count} for "
                         "training; lower them")
    return n_val, n_test


def split_recordings(recordings, val_fraction, test_fraction):
    """Set each recording's `part` by the rule of the module's docstring; `recordings` are in order of time."""
    for subject in {recording.subject for recording in recordings}:
        whole = [r for r in recordings if r.subject == subject and len(set(r.label)) == len(CLASSES)]
        n_val, n_test = part_sizes(len(whole), val_fraction, test_fraction)
        n_train = len(whole) - n_val - n_test
        for position, recording in enumerate(whole[n_train:]):
            recording.part = "val" if position < n_val else "test"


def check_parts(recordings):
    for part in PARTS:
        labels = {int(label) for recording in recordings if recording.part == part for label in recording.label}
        missing = [name for label, name in enumerate(CLASSES) if label not in labels]
        if missing:
            raise InputError(f"the part {part} has no trial of {' and '.join(missing)}: at least one subject needs "
                             "three recordings with trials of both classes; give more recordings or a higher --reject")


def print_table(recordings):
    width = max(len(recording.name) for recording in recordings)
    print(f"{'recording':<{width}} part  markers kept house face rejected cut_off gaps backward_timestamps")
    for r in recordings:
        print(f"{r.name:<{width}} {r.part:<5} {r.markers:>7} {len(r.label):>4} {(r.label == 0).sum():>5} "
              f"{(r.label == 1).sum():>4} {r.rejected:>8} {r.cut_off:>7} {r.gaps:>4} {r.backward:>8}")
    for part in PARTS:
        own = [recording for recording in recordings if recording.part == part]
        print(f"{part}: {len(own)} recordings of subjects {sorted({r.subject for r in own})}, "
              f"{sum(len(r.label) for r in own)} trials")


def find_pictures(folder):
    """{class: {picture name: path}} of the photographs, sorted."""
    pictures = {}
    for class_id, subfolder in FOLDERS.items():
        paths = sorted(path for path in (Path(folder) / subfolder).glob("*")
                       if path.suffix.lower() in (".jpg", ".jpeg", ".png") and not path.name.startswith("."))
        if len(paths) < len(PARTS):
            raise InputError(f"--stimuli {Path(folder) / subfolder}: {len(paths)} photographs (.jpg, .png), expected "
                             f"at least {len(PARTS)}")
        pictures[class_id] = {f"{class_id}_{path.stem.replace('.', '-')}": path for path in paths}
    return pictures


def share_out(pictures, val_fraction, test_fraction):
    """{class: {part: picture names}} in sorted order, so that views of one face or house mostly stay together."""
    shares = {}
    for class_id, by_name in pictures.items():
        names = list(by_name)
        n_val, n_test = part_sizes(len(names), val_fraction, test_fraction)
        n_train = len(names) - n_val - n_test
        shares[class_id] = {"train": names[:n_train], "val": names[n_train:-n_test], "test": names[-n_test:]}
    return shares


def write_data_set(output, recordings, shares, args):
    """Scale the trials, give each a picture, write eeg.pth and splits.pth."""
    import numpy as np

    from bench.material import write_pth
    from splits import write_splits

    eeg = np.concatenate([recording.eeg for recording in recordings])
    label = np.concatenate([recording.label for recording in recordings])
    session = np.repeat(np.arange(len(recordings)), [len(recording.label) for recording in recordings])
    part = np.array([recordings[number].part for number in session])
    training = eeg[part == "train"]
    mean, deviation = (f(training, axis=(0, 2), keepdims=True) for f in (np.mean, np.std))
    if not (deviation > 0).all():
        raise InputError(f"channel {CHANNELS[int(np.argmin(deviation))]} is constant in all training trials")
    images = [name for by_part in shares.values() for names in by_part.values() for name in names]
    number_of, turns, image = {name: number for number, name in enumerate(images)}, {}, []
    for trial_label, trial_part in zip(label, part, strict=True):
        names = shares[CLASSES[trial_label]][trial_part]
        turn = turns[trial_label, trial_part] = turns.get((trial_label, trial_part), -1) + 1
        image.append(number_of[names[turn % len(names)]])
    about = {
        "experiment": "N170 (NeuroTechX EEG-ExPy): photographs of faces and houses",
        "pictures": "the markers name the class only; the picture within class is NOT known: each trial has one of its "
                    "class in a fixed rotation, from photographs that belong to its part",
        "recordings": [recording.name for recording in recordings],  # by session number
        "parts": [recording.part for recording in recordings],
        "band_Hz": [args.band_low, args.band_high], "epoch_s": [args.tmin, args.tmax], "reject_uV": args.reject,
        "scale": "(microvolts - mean) / standard deviation, each channel's over the training trials",
        "mean_uV": mean.ravel().tolist(), "standard_deviation_uV": deviation.ravel().tolist(),
    }
    write_pth(output / "eeg.pth", eeg=(eeg - mean) / deviation, label=label, image=image, session=session,
              subject=[recordings[number].subject for number in session], images=images, class_ids=CLASSES,
              class_names=CLASSES, sfreq=SFREQ, ch_names=CHANNELS, about=about)
    write_splits(output / "splits.pth", {name: np.flatnonzero(part == name) for name in PARTS})


def caption(class_id, name):
    """One of the class's wordings, chosen by a checksum of the picture's name."""
    wordings = WORDINGS[class_id]
    return wordings[zlib.crc32(name.encode()) % len(wordings)]


def write_pictures(image_dir, pictures):
    """Write each photograph as RGB JPEG and its caption beside it."""
    from PIL import Image, UnidentifiedImageError

    from runs import atomic_path
    from pictures import write_captions

    for class_id, by_name in pictures.items():
        for name, path in by_name.items():
            try:
                with Image.open(path) as image:
                    photograph = image.convert("RGB")
            except (UnidentifiedImageError, OSError) as error:
                raise InputError(f"--stimuli {path}: not a readable picture ({error}); get it again") from None
            with atomic_path(image_dir / class_id / f"{name}.JPEG") as temporary:
                photograph.save(temporary, "JPEG", quality=95)
        write_captions(image_dir, {name: caption(class_id, name) for name in by_name})
