"""What the app shows: trials of a data set or of a dropped recording, read by a captioner."""

import re
import shutil
import tempfile
from argparse import Namespace
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError
from runtime.figures import unique_ids

import numpy as np
import torch

from audit.page import data_uri, render
from captioning.captioner import Captioner
from captioning.conditions import noise_like_nothing
from captioning.reading_files import words_text
from captioning.readings import readings, threshold, threshold_text
from captioning.requests import Request
from eegdata.dataset_folder import read_record
from eegdata.parts import PARTS
from eegdata.pictures import picture_path, read_caption
from eegdata.splits import load_split
from eegdata.trials import Trials, load_trials
from encoders import fit_to_encoder
from encoders.centre import centre_recording
from encoders.preprocessing import preprocessing_of, window_in
from metrics.conditions import BY_NAME
from report.traces import UNITS
from report.trial_figures import curves, scalp_maps
from sources import new_recording, raw_files

RECORDINGS = (*raw_files.SUFFIXES, ".csv")  # what the recording itself may end in
SHOWN = ("eeg", "label", "noise+label", "noise", "nothing")  # conditions beside the model's own
MAX_EVOKED = 200  # trials of a mean
PICTURE_SIZE = 480  # pixels
WORDS = 8
DEVIATIONS = "standard deviations of the channel"


@dataclass
class Source:
    """Trials to choose from.

    eeg: as the encoder takes it, indexed by row; figures: [C, T] of a row as it is drawn, of channels ch_names, which
    begins at tmin s; unit of it; what [n]: a sentence on each; alike(row): rows whose mean is shown, and a word for them.
    """

    eeg: object
    figures: object
    ch_names: list[str] | None
    sfreq: float
    tmin: float | None
    unit: str
    positions: dict | None
    what: list[str]
    alike: object
    picture: object = None  # row -> (path of the picture, name, true caption), or None
    rows: list = field(default_factory=list)  # of the table of all trials
    notes: list = field(default_factory=list)


def of_data_set(captioner: Captioner, folder: str | Path) -> Source:
    """The trials of a data set folder."""
    config, record = captioner.model.encoder.config, read_record(folder)
    trials = load_trials(folder, *window_in(config, folder))
    fit_to_encoder(config, trials, "--model_path")
    whole = load_trials(folder, 0, record["n_times"])
    part_of, images = _parts(folder, trials), Path(folder) / "images"
    label, shown = trials.groups.numpy(), trials.words(slice(None))

    def alike(row):
        rows = np.flatnonzero(label == label[row])
        return rows[np.linspace(0, len(rows) - 1, min(MAX_EVOKED, len(rows))).astype(int)], (
            f"mean of {min(MAX_EVOKED, len(rows))} trials of {'the class ' * (trials.classes == 'one')}"
            f"{trials.group_names[label[row]]}")

    def picture(row):
        name = trials.names([row])[0]
        path = picture_path(images, name)
        return (path, name, read_caption(images, name)) if trials.has_pictures and trials.knows_pictures else None

    described = zip(trials.trial.tolist(), trials.subject.tolist(), shown, strict=True)
    what = [f"Trial {number} of subject {subject}{words and f', class {words}'}; {part_of.get(row, 'in no part')}."
            for row, (number, subject, words) in enumerate(described)]
    unit = DEVIATIONS if record["scale"] == "recording" else record["units"]
    return Source(trials.eeg, whole.eeg, whole.ch_names, trials.sfreq, record["tmin"], unit, record["positions"], what,
                  alike, picture)


def _parts(folder, trials: Trials):
    """{row: words on its part of the split}; {} without a splits file."""
    file = Path(folder) / "splits.pth"
    if not file.is_file():
        return {}
    told = {"train": "of the training part, so the model knows it", "val": "of the validation part, by which the model was "
            "chosen", "test": "of the test part"}
    split = load_split(file, trials, needed=())
    return {row: told[part] for part in PARTS for row in split[part].tolist()}


def first_test_trial(source: Source) -> int:
    """The row that is shown first."""
    return next((row for row, text in enumerate(source.what) if "of the test part" in text), 0)


def of_recording(captioner: Captioner, files: list[str], onsets: str) -> Source:
    """The trials of a dropped recording with all its files; onsets: "every 1.0", seconds, or "" for its own events."""
    kept = preprocessing_of(captioner.model.encoder.config, captioner.folder)
    every, at = _onsets(onsets)
    with tempfile.TemporaryDirectory() as folder:  # files of one recording lie side by side, as its header expects
        main = _recording_among([Path(file).name for file in files])
        for file in files:
            shutil.copy(file, Path(folder) / Path(file).name)
        main = Path(folder) / main
        options = Namespace(recording=str(main), stream=None, cut_short=False, allow_other_files=False, exclude="",
                            unit_scale=None, interpolate=False, events=None, every=every, onsets=at, event_names=None,
                            stim_channel=None, stim_mask=None, event_delay=0.)
        try:
            new = new_recording.read_new(options, kept)
        except InputError as error:
            raise InputError(str(error).replace(f"{folder}/", "")) from None
    what = [f"{event} at {time:.3f} s of {main.name}." for event, time in zip(new.events, new.time.tolist(), strict=True)]
    tmin = kept.start / kept.sfreq
    unit = "uV" if kept.scale == "none" and not kept.standardised else DEVIATIONS
    eeg = centre_recording(new.eeg, captioner.model.encoder.config, main.name)
    source = Source(torch.from_numpy(eeg), new.eeg, kept.ch_names, kept.sfreq, tmin, unit, None, what,
                    lambda row: (np.arange(len(new.eeg))[:MAX_EVOKED], f"mean of {min(len(new.eeg), MAX_EVOKED)} trials"))
    columns = readings(captioner, source.eeg, Request(controls=("noise",)))
    source.rows = [(row, f"{time:.3f} s", columns["caption"][row], columns["caption_noise"][row],
                    words_text(columns["words"][row])) for row, time in enumerate(new.time.tolist())]
    source.notes = [*new.steps, *new.notes, *(f"{count} onsets gave no trial: {reason}" for reason, count in
                                              new.dropped.items())]
    return source


def _recording_among(names):
    """The name of the recording among files that were dropped; InputError where another one would not be read."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{twice[0]}: was dropped {names.count(twice[0])} times, and only one file of a name can be read; "
                         "remove the others")

    def is_later_part(name):
        return raw_files.is_no_recording(name, names.__contains__)

    recordings = [name for suffix in RECORDINGS for name in names if name.lower().endswith(suffix)]
    main, *others = sorted(recordings, key=is_later_part) or [None]
    if main is None:
        raise InputError(f"{', '.join(names) or 'no file'}: none is a recording; expected one that ends in "
                         f"{' '.join(RECORDINGS)}, with the files that belong to it")
    table = f"{raw_files.recording_stem(Path(main))}_events.tsv"
    unread = [name for name in others if not is_later_part(name)] + [
        name for name in names if name.lower().endswith(".tsv") and name != table]
    if unread:
        raise InputError(f"{unread[0]}: would not be read beside {main}; drop one recording at a time, alone or with its "
                         f"other files, and name its table of events {table}")
    return main


def _onsets(text):
    """(seconds between onsets or None, onsets or None) of what was typed."""
    typed = re.fullmatch(r"(every)?([\d.,\s]*)(?:s|seconds)?", (text or "").strip(), re.I)
    # taken apart first: one pattern for all of them tries each digit as the beginning of a number
    words = re.split(r"[\s,]+", typed[2]) if typed else []
    values = [float(word) for word in words if re.fullmatch(r"\d+(?:\.\d+)?", word)]
    if typed is None or len(values) < sum(map(bool, words)) or (typed[1] and (len(values) != 1 or not values[0])):
        raise InputError(f"onsets {text!r}: expected seconds such as 3.0 4.5, every 1.0, or nothing for the recording's "
                         "own events")
    return (values[0], None) if typed[1] else (None, values or None)


def view(captioner: Captioner, source: Source, row: int) -> str:
    """A trial as HTML."""
    if not 0 <= row < len(source.what):
        raise InputError(f"trial {row}: there are trials 0 to {len(source.what) - 1}")
    unlike = noise_like_nothing(SHOWN, 1, captioner.learned)
    shown = [condition for condition in SHOWN if not captioner.lacks(condition) and condition not in unlike]
    request = Request(controls=tuple(shown), words=WORDS)
    columns = readings(captioner, torch.as_tensor(source.eeg[[row]]), request, row)
    signal, (rows, evoked_of) = np.asarray(source.figures[row], float), source.alike(row)
    evoked = np.asarray(source.figures[rows], float).mean(0)
    described = (source.ch_names, source.sfreq, source.tmin)
    path, name, true_caption = (source.picture and source.picture(row)) or (None, "", "")
    own = columns["caption"][0]
    confident = columns["probability"][0] >= threshold(captioner, request)
    return unique_ids(render("app_view.html", {
        "what": source.what[row], "caption": own,
        "predicted": columns["class"][0], "probability": columns["probability"][0],
        "confidence": f"{'This is confident' if confident else 'This is not confident, so there is no caption'}. "
                      f"{threshold_text(captioner, request)}",
        "chance": 1 / max(1, captioner.model.encoder.config.num_classes),
        "picture": path and data_uri(path, PICTURE_SIZE), "picture_name": name, "true_caption": true_caption,
        "words": columns["words"][0],
        "conditions": [("eeg+label", own, BY_NAME["eeg+label"].meaning),
                       *((each, columns[f"caption_{each}"][0], BY_NAME[each].meaning) for each in shown)],
        "trace": curves(signal, *described, source.unit, "EEG of the trial"),
        "maps": scalp_maps(signal, *described, source.positions, "Scalp maps of the trial"), "evoked_of": evoked_of,
        "evoked": curves(evoked, *described, source.unit, "Evoked response"),
        "evoked_maps": scalp_maps(evoked, *described, source.positions, "Scalp maps of the evoked response"),
        "unit": (UNITS | {"standardised": DEVIATIONS}).get(source.unit, source.unit), "all": source.rows,
        "notes": source.notes}, Path(__file__).parent))
