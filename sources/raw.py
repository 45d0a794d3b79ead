"""Recordings of any amplifier that MNE reads, or a BIDS folder, with events that say which picture was shown.

    python prepare_data.py raw --recordings s1.edf --events events.tsv --pictures pictures --output data/mine
    python prepare_data.py raw --bids ROOT --task images --pictures ROOT/stimuli --output data/mine

Events come from --events, else from <recording>_events.tsv beside a recording, else from the annotations or the stim
channel in the file. A table of events has the columns onset (s from the start of the recording) or sample, and at least one
of picture (or stim_file, image), class, trial_type and value. A table for several recordings also has the column file.
--picture_map translates other event names: its columns are event, and picture or class.

A picture is named by its path below --pictures, its file name, or its file name without suffix. Its class is the folder
that it lies in, unless a table has the column class. Captions come from the columns caption, caption1, caption2, ... of any
table, or from <name>_caption.txt or <name>.txt beside the picture.

Where events name a class only, each gets a picture of that class in a fixed rotation, and the record says so. Without
--pictures the data set has classes only, chosen by --event_names or a column class.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from runtime import options
from runtime.errors import InputError
from runtime.quiet import watched
from runtime.runs import content_key

from eegdata.records import Block, DataSet, Recording

from . import bids, epochs, preprocessing, raw_files
from .events import at_one_moment, read_events, share_table
from .raw_recording import open_recording, read_trials
from .settled import DEFAULT_RATE, KEPT_RATE, MIN_AVERAGE_CHANNELS, check_names, names_in, settle
from .shown_events import judge_of_names, keep_shown, leave_out
from .spelling import loose, slug, unique_slugs
from .stimuli import Stimuli, assign_in_turn, find_stimuli, name_pictures
from .tables import Captions

MAX_DELAY = 10.  # s
UNITS = {"s": 1., "ms": .001}  # of onsets, in s
SAID = ("gaps", "read as cp1252", "read as Latin-1", "beside the header",
        "electrode places are ignored", "missing in the raw data", "skipping channel metadata",
        "names are not unique")  # notes to print
PROCESSING_OPTIONS = ("exclude", "l_freq", "h_freq", "notch", "unit_scale", "bads", "reference", "resample", "tmin", "tmax",
              "baseline", "reject", "flat", "event_names", "event_delay", "skip_ambiguous", "stim_channel", "stim_mask",
              "stream", "task", "cut_short", "allow_other_files")
OF_RECORDINGS = (*PROCESSING_OPTIONS, "participants", "match_encoder", "events", "picture_map", "picture_list",
                 "picture_column", "onset_unit", "event_picture", "caption_columns")  # no options of trials that others cut


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recordings")
    group.add_argument("--recordings", nargs="+", metavar="PATH", help="files, or folders to search for recordings "
                                                                       "(EDF, BDF, GDF, BrainVision, EEGLAB, FIF, ANT, "
                                                                       "Neuroscan, EGI, Nicolet, Curry, XDF, ...)")
    group.add_argument("--bids", metavar="ROOT", help="a BIDS folder, in place of --recordings")
    group.add_argument("--task", help="task in the BIDS folder (unset: all)")
    group.add_argument("--participants", metavar="TSV", help="table with the columns file, subject and, if wanted, session "
                                                             "(unset: sub- and ses- in the paths, else each file is a "
                                                             "subject; without that column, ses- in the paths)")
    file_options(group)
    group = parser.add_argument_group("events and pictures")
    group.add_argument("--events", metavar="TSV", help="table of events (unset: <recording>_events.tsv beside a recording, "
                                                       "else its annotations or stim channel)")
    event_options(group)
    group.add_argument("--skip_ambiguous", action="store_true", help="leave out events that show pictures at the same "
                                                                     "time, in place of an error")
    group.add_argument("--picture_map", metavar="TSV", help="table with the columns event, and picture or class, that "
                                                            "says what event names mean")
    group.add_argument("--picture_column", metavar="NAME", help="column of the events tables that names pictures (unset: "
                                                                "picture, stim_file or image)")
    group.add_argument("--onset_unit", choices=UNITS, default="s", help="unit of the column onset of the events tables, "
                       "where it is not the seconds that BIDS asks for")
    group.add_argument("--event_picture", nargs=2, metavar=("REGEX", "NAME"), help="what events are called, and the "
                       "picture that each shows: {1} is the first group of the regular expression, {1:5} the same with "
                       "zeros to 5 digits, as in 'stim_train,(\\d+),.*' '{1:5}.jpg'")
    group.add_argument("--no_classes", action="store_true", help="the pictures have no classes, whatever folders they lie "
                                                                 "in")
    group.add_argument("--pictures", metavar="FOLDER", help="pictures as <class>/<file>, or all in one folder with their "
                                                            "classes in a table (unset: the data set has classes only; in "
                                                            "BIDS, ROOT/stimuli if it is there)")
    group.add_argument("--picture_list", metavar="TSV", help="table of columns picture, class, caption; a picture may have "
                                                             "several rows. A column objects, in place of class, names "
                                                             "all that a picture shows, with commas between")
    group.add_argument("--caption_columns", metavar="NAME,...", help="columns of the tables that hold captions (unset: "
                                                                     "caption, caption1, caption2, ...)")
    group = parser.add_argument_group("processing, in this order")
    group.add_argument("--exclude", metavar="NAME,...", help="channels to leave out, besides those that are not EEG by "
                                                             "type or name")
    group.add_argument("--unit_scale", type=options.bounded(float, 1e-12), default=1., help="factor for files whose header "
                       "names the wrong unit")
    group.add_argument("--notch", type=options.bounded(float, 0), default=0., help="line frequency to filter out with its "
                                                                                   "multiples, in Hz; 0 is off")
    epochs.filter_options(group, .5, 40.)
    group.add_argument("--bads", default="auto", metavar="auto|none|NAME,...", help="bad channels, which are "
                       "interpolated; auto: those marked in the file, flat ones and, from 32 channels and 30 s on, "
                       "outliers")
    group.add_argument("--reference", default="auto", metavar="auto|keep|average|NAME,...", help="reference; auto: "
                       f"average for {MIN_AVERAGE_CHANNELS} channels or more, else as recorded")
    group.add_argument("--match_encoder", metavar="FOLDER", help="trained encoder whose channels and sampling rate the "
                                                                 "trials get; missing channels are interpolated")
    epochs.window_options(group, -.2, .8, "from --tmin to 0 if --tmin is below 0",
                          f"{DEFAULT_RATE:g} for recordings above {KEPT_RATE:g} Hz")
    epochs.rejection_options(group, 500., .1, "The default drops electrode pops and movement and keeps blinks; ERP studies "
                                              "use 100 to 150")


def file_options(group: argparse._ActionsContainer) -> None:
    """How the files of recordings are read."""
    group.add_argument("--stream", help="name of the EEG stream in XDF files that hold several")
    group.add_argument("--cut_short", action="store_true", help="accept files that end before their header says")
    group.add_argument("--allow_other_files", action="store_true", help="accept headers that name the data or markers of "
                                                                        "another recording")


def event_options(group: argparse._ActionsContainer) -> None:
    """Which events of a recording count, and when."""
    group.add_argument("--event_names", metavar="REGEX", help="use only events whose trial_type, value or annotation "
                                                              "matches this regular expression as a whole")
    group.add_argument("--stim_channel", help="channel to read event codes from, in place of annotations")
    group.add_argument("--stim_mask", type=options.bounded(int, 1), help="bits of the event codes to look at, as a number: "
                       "255 for the lowest 8 (unset: all but those of lines that hang)")
    group.add_argument("--event_delay", type=options.bounded(float, -MAX_DELAY, MAX_DELAY), default=0., metavar="SECONDS",
                       help="time from each event to the picture on the screen, added to all onsets: 0.1 for triggers "
                            "that come 100 ms before the display")


def find(args: argparse.Namespace, stimuli: Stimuli | None = None,
         labels_of: Callable[[raw_files.RecordingFile], tuple[str | None, str]] | None = None) -> DataSet:
    """The DataSet of --recordings or --bids: headers and events are read now, the EEG later.

    stimuli: what may have been shown, for sources that know it; None: as the options say. labels_of: a recording's subject
    and session, for sources that name them in their own way; None: as the paths say.
    """
    from tqdm import tqdm

    _check(args)
    files = bids.find_files(args.bids, args.task, args.cut_short, args.allow_other_files) if args.bids else (
        raw_files.find_files(args.recordings, args.stream, args.cut_short, args.allow_other_files))
    captions = Captions(names_in(args.caption_columns or ""), args.picture_column, UNITS[args.onset_unit])
    tables = _tables(args, files, captions)
    for flag, given in (("picture_column", args.picture_column), ("onset_unit", args.onset_unit != "s")):
        if given and not tables:
            raise InputError(f"--{flag} {getattr(args, flag)}: is of events tables, and the events are those that the "
                             "recordings hold; give --events, put <recording>_events.tsv beside each recording, or leave "
                             "the option out")
    if stimuli is None:
        stimuli = find_stimuli(_folder_of_pictures(args), args.picture_list, args.picture_map, captions, args.event_picture,
                               args.no_classes)
    captions.check()
    exclude = names_in(args.exclude or "")
    shows = judge_of_names(args, stimuli)
    found = [open_recording(file, tables.get(file.name), exclude, args, shows)
             for file in tqdm(files, desc="headers", unit="recording", disable=len(files) < 4 or not watched())]
    for note in dict.fromkeys(note for each in found for note in each.notes if "channels left out" in note):
        print(note)
    for each in found:
        for note in each.notes:
            if any(words in note for words in SAID):
                print(f"{each.file.name}: {note}")
    kept = raw_files.drop_copies([each.file for each in found])
    found = [each for each in found if any(each.file is file for file in kept)]
    for file in kept if labels_of else ():
        file.subject, file.session = labels_of(file)
    people = raw_files.set_people(kept, args.participants)
    check_names(exclude, found, "--exclude")
    ignored = keep_shown(args, found, stimuli)
    silent = [each.file.name for each in found if not each.events]
    if silent:
        print(f"{len(silent)} recordings left out, as no event of theirs shows a picture: {', '.join(silent)[:300]}")
        found = [each for each in found if each.events]
    settings = settle(args, found)
    for each in found:
        double = at_one_moment(each.events, settings.sfreq, args.skip_ambiguous)
        leave_out(each, double, "at the time of another event")
    if not any(each.events for each in found):
        raise InputError(f"{found[0].file.path}{' and others' if len(found) > 1 else ''}: each event that shows a picture "
                         "is at the time of another one, so that none is left; correct their times, or choose events "
                         "with --event_names")
    return _data_set(args, found, stimuli, ignored, settings, people)


def _check(args):
    if not find_spec("mne"):
        raise InputError("the source raw needs the package mne; pip install mne")
    if bool(args.recordings) == bool(args.bids):
        raise InputError("expected either --recordings or --bids, to say where the recordings are")
    if args.task and not args.bids:
        raise InputError("--task chooses among the tasks of a --bids folder; leave it out")
    if args.events and args.bids:
        raise InputError("--events: in a --bids folder each recording brings its own events.tsv; leave it out, or give "
                         "--recordings")
    for flag in ("stim_channel", "stim_mask"):
        if args.events and getattr(args, flag):
            raise InputError(f"--events and --{flag} both say where events are; give one of them")
    for flag in ("bads", "reference"):
        if not names_in(getattr(args, flag)):
            raise InputError(f"--{flag} '{getattr(args, flag)}': names nothing; expected auto or channels, see --help")
    epochs.check_arguments(args)


def _folder_of_pictures(args):
    if args.pictures is None and args.bids and (Path(args.bids) / "stimuli").is_dir():
        folder = str(Path(args.bids) / "stimuli")
        print(f"pictures: {folder}")
        return folder
    return args.pictures


def _tables(args, files, captions):
    """{name of a File: its Events} as far as tables give them."""
    if args.events:
        return share_table(args.events, files, captions)
    beside = [file for file in files if file.events]
    if args.stim_channel or args.stim_mask or not beside:
        return {}
    if len(beside) < len(files):
        without = next(file for file in files if not file.events)
        name = f"{raw_files.recording_stem(without.path)}_events.tsv"
        instead = "leave the recording out"
        if args.bids and not args.task:  # BIDS asks for no events of a rest
            task, others = bids.tasks_of([without]), bids.tasks_of(beside)
            if task and not set(task) & set(others):
                instead = f"choose --task {' or '.join(others)}"
        raise InputError(f"{without.path}: no events table beside it ({name}), but {len(beside)} of {len(files)} "
                         f"recordings have one; write it, or {instead}")
    print(f"events: {beside[0].events.name}{f' and {len(beside) - 1} more tables' if len(beside) > 1 else ''}, beside the "
          "recordings")
    return {file.name: [event for _, event in read_events(file.events, "--bids" if args.bids else "events table",
                                                           captions)]
            for file in beside}


def _data_set(args, found, stimuli, ignored, settings, people):
    shown = [what for each in found for what in each.shown]
    kinds = sorted({what.kind for what in shown}, key=lambda kind: (slug(kind), kind))
    for i, kind in enumerate(kinds):
        _check_spelling([*(other for other in kinds[:i] if not stimuli.are_apart(other, kind)), kind])
    class_of = {"": "picture"} if stimuli.without_classes else unique_slugs(kinds)
    class_ids = [] if stimuli.without_classes else list(class_of.values())
    known = "no" if not stimuli.files else "yes"
    in_turn = assign_in_turn(shown, stimuli) if stimuli.files else 0
    if in_turn:
        known = "class"
        print(f"NOTE: {in_turn} of {len(shown)} events name a class and no picture; each gets a picture of the class in a "
              "fixed rotation, WHICH one was seen is not known: only the class in pictures and captions can be decoded")
    names, pictures = name_pictures(stimuli, class_of, sorted({what.file for what in shown if what.file}))
    places, whole = found[0].places, all(name in found[0].places for name in settings.ch_names)
    positions = {name: places[name] for name in settings.ch_names} if whole else None
    ids, recordings = {kind: label for label, kind in enumerate(kinds)}, []
    for each in found:
        label = [-1 if stimuli.without_classes else ids[what.kind] for what in each.shown]
        picture = [names[what.file] if what.file else f"{class_of[what.kind]}_unknown" for what in each.shown]
        onset = [event.onset for event in each.events]
        key = [each.file.hashes, settings.key(), each.names, each.bads, each.places, onset, label, picture, dict(each.lost)]
        recordings.append(Recording(each.file.name, each.file.subject, each.file.session, content_key(key),
                                    partial(_read, each, settings, label, picture)))
    counts = Counter(what.kind for what in shown)
    lost, marks = (sum((getattr(each, name) for each in found), Counter()) for name in ("lost", "marks"))
    steps = preprocessing.steps(settings, sorted({each.sfreq for each in found}))
    if args.event_delay:
        steps.insert(0, f"{args.event_delay:g} s added to the onset of each event")
    if args.match_encoder:
        steps.append(f"channels brought by name to the {len(settings.ch_names)} of the encoder "
                     f"{Path(args.match_encoder).name}, missing ones interpolated")
    about = {
        "steps": steps,
        "options": {name: getattr(args, name) for name in PROCESSING_OPTIONS} | {
            "baseline": settings.baseline, "reference": settings.reference,
            **{name: given for name in ("event_picture", "no_classes", "picture_column") if (given := getattr(args, name))},
            **({"onset_unit": args.onset_unit} if args.onset_unit != "s" else {})},
        "files": [{"name": each.file.name, "sha256": each.file.hashes, "sfreq": each.sfreq, "channels": len(each.names),
                   "seconds": round(each.duration, 3), "events": len(each.events),
                   "seconds_in_gaps": round(each.clock.lost, 3)}
                  for each in found],
        "events": {"shown": dict(counts), "ignored": dict(ignored.most_common()),
                   **({"left_out": dict(lost)} if lost else {}), **({"no_events": dict(marks)} if marks else {})}, **people}
    dates = sorted(each.date for each in found if each.date)
    if len(dates) == len(found):
        about["recorded"] = [dates[0], dates[-1]]
    if in_turn:
        about["pictures"] = (f"{in_turn} of {len(shown)} events name the class only: the picture within the class is NOT "
                             "known, each of them has one of its class in a fixed rotation")
    objects = None
    if stimuli.without_classes:
        class_ids, kinds, objects = _objects(stimuli, names)
    return DataSet(recordings, settings.sfreq, settings.ch_names, settings.n_times, settings.tmin, "uV", class_ids, kinds,
                   pictures, known, positions, _split_by(shown, known, len(found)),
                   preprocessing.kept(settings, settings.ch_names), about, objects)


def _check_spelling(alike):
    """Raise InputError for several names of one class."""
    if len(alike) > 1:
        raise InputError(f"classes {', '.join(alike)}: differ by spelling only; write one name for each class")


def _objects(stimuli, names):
    """(class ids, their names, {picture: their numbers}) of the objects that --picture_list tells; names: of pictures by
    path."""
    if stimuli.objects is None:
        return [], [], None
    untold = [key for key in names if key not in stimuli.objects]
    if untold:
        raise InputError(f"--picture_list: has no row for {len(untold)} of the {len(names)} pictures shown, {untold[0]} "
                         "among them, so that their objects are not known; add these rows, with an empty cell where a "
                         "picture shows none")
    known = sorted({name for key in names for name in stimuli.objects[key]})
    for name in known:
        _check_spelling([other for other in known if loose(other) == loose(name)])
    number = {name: i for i, name in enumerate(known)}
    return list(unique_slugs(known).values()), known, {
        name: sorted(number[one] for one in stimuli.objects[key]) for key, name in names.items()}


def _split_by(shown, known, recordings):
    """What splits are made by unless the user says: pictures, where each class has enough of them."""
    trials = min(Counter(what.kind for what in shown).values())
    pictures = min(Counter(kind for kind, _ in {(what.kind, what.file) for what in shown}).values())
    if known == "yes" and pictures >= 3:
        return "picture"
    if trials < 3 and len({what.kind for what in shown}) >= 6:
        return "class"  # no class has trials for three parts
    return "recording" if recordings >= 3 else "time"


def _read(found, settings, label, picture):
    import numpy as np

    label, time = np.array(label), np.array([found.clock.to_time(event.onset) for event in found.events])
    trials, dropped, notes = read_trials(found, settings)
    for eeg, rows in trials:
        yield Block(eeg, label[rows], [picture[row] for row in rows], time[rows])
    nothing = np.zeros((0, len(settings.ch_names), settings.n_times), np.float32)
    yield Block(nothing, label[:0], [], time[:0], dropped=Counter(dropped) + found.lost, notes=notes)
