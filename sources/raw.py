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
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from runtime import options
from runtime.config_schema import EncoderConfig
from runtime.errors import InputError
from runtime.runs import content_key, read_json
from runtime.schema import check

from eegdata.records import Block, DataSet, Recording

from . import bids, channel_kinds, epochs, preprocessing, raw_files
from .clock import clock_of
from .events import at_one_moment, mark_boundaries, marks_of, read_events, recorded_events, share_table
from .reader_losses import left_out
from .shown_events import OpenRecording, judge_of_names, keep_shown, leave_out
from .spelling import slug, unique_slugs
from .stimuli import assign_in_turn, find_stimuli, name_pictures
from .tables import Captions

MIN_AVERAGE_CHANNELS = 16  # channels, for --reference auto
MAX_DELAY = 10.  # s
MAX_CHANNELS = 64  # in a note
DEFAULT_RATE, KEPT_RATE = 250., 256.  # Hz, for --resample unset
PROCESSING_OPTIONS = ("exclude", "l_freq", "h_freq", "notch", "unit_scale", "bads", "reference", "resample", "tmin", "tmax",
              "baseline", "reject", "flat", "event_names", "event_delay", "skip_ambiguous", "stim_channel", "stim_mask",
              "stream", "task", "cut_short", "allow_other_files")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recordings")
    group.add_argument("--recordings", nargs="+", metavar="PATH", help="files, or folders to search for recordings "
                                                                       "(EDF, BDF, GDF, BrainVision, EEGLAB, FIF, ANT, "
                                                                       "Neuroscan, EGI, Nicolet, Curry, XDF, ...)")
    group.add_argument("--bids", metavar="ROOT", help="a BIDS folder, in place of --recordings")
    group.add_argument("--task", help="task in the BIDS folder (unset: all)")
    group.add_argument("--participants", metavar="TSV", help="table with the columns file, subject and, if wanted, session "
                                                             "(unset: sub- and ses- in the paths, else each file is a "
                                                             "subject)")
    group.add_argument("--stream", help="name of the EEG stream in XDF files that hold several")
    group.add_argument("--cut_short", action="store_true", help="accept files that end before their header says")
    group.add_argument("--allow_other_files", action="store_true", help="accept headers that name the data or markers of "
                                                                        "another recording")
    group = parser.add_argument_group("events and pictures")
    group.add_argument("--events", metavar="TSV", help="table of events (unset: <recording>_events.tsv beside a recording, "
                                                       "else its annotations or stim channel)")
    group.add_argument("--event_names", metavar="REGEX", help="use only events whose trial_type, value or annotation "
                                                              "matches this regular expression as a whole")
    group.add_argument("--stim_channel", help="channel to read event codes from, in place of annotations")
    group.add_argument("--stim_mask", type=options.bounded(int, 1), help="bits of the event codes to look at, as a number: "
                       "255 for the lowest 8 (unset: all but those of lines that hang)")
    group.add_argument("--event_delay", type=options.bounded(float, -MAX_DELAY, MAX_DELAY), default=0., metavar="SECONDS",
                       help="time from each event to the picture on the screen, added to all onsets: 0.1 for triggers "
                            "that come 100 ms before the display")
    group.add_argument("--skip_ambiguous", action="store_true", help="leave out events that show pictures at the same "
                                                                     "time, in place of an error")
    group.add_argument("--picture_map", metavar="TSV", help="table with the columns event, and picture or class, that "
                                                            "says what event names mean")
    group.add_argument("--pictures", metavar="FOLDER", help="pictures as <class>/<file>, or all in one folder with their "
                                                            "classes in a table (unset: the data set has classes only; in "
                                                            "BIDS, ROOT/stimuli if it is there)")
    group.add_argument("--picture_list", metavar="TSV", help="table of columns picture, class, caption; a picture may have "
                                                             "several rows")
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
                       "interpolated; auto: those marked in the file, flat ones and outliers")
    group.add_argument("--reference", default="auto", metavar="auto|keep|average|NAME,...", help="reference; auto: "
                       f"average for {MIN_AVERAGE_CHANNELS} channels or more, else as recorded")
    group.add_argument("--match_encoder", metavar="FOLDER", help="trained encoder whose channels and sampling rate the "
                                                                 "trials get; missing channels are interpolated")
    epochs.window_options(group, -.2, .8, "from --tmin to 0 if --tmin is below 0",
                          f"{DEFAULT_RATE:g} for recordings above {KEPT_RATE:g} Hz")
    epochs.rejection_options(group, 500., .1, "The default drops electrode pops and movement and keeps blinks; ERP studies "
                                              "use 100 to 150")


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet of --recordings or --bids: headers and events are read now, the EEG later."""
    from tqdm import tqdm

    _check(args)
    files = bids.find_files(args.bids, args.task, args.cut_short, args.allow_other_files) if args.bids else (
        raw_files.find_files(args.recordings, args.stream, args.cut_short, args.allow_other_files))
    captions = Captions(_names(args.caption_columns or ""))
    tables = _tables(args, files, captions)
    stimuli = find_stimuli(_folder_of_pictures(args), args.picture_list, args.picture_map, captions)
    captions.check()
    exclude = _names(args.exclude or "")
    shows = judge_of_names(args, stimuli)
    found = [_open(file, tables.get(file.name), exclude, args, shows)
             for file in tqdm(files, desc="headers", unit="recording", disable=len(files) < 4)]
    for note in dict.fromkeys(note for each in found for note in each.notes if "channels left out" in note):
        print(note)
    kept = raw_files.drop_copies([each.file for each in found])
    found = [each for each in found if any(each.file is file for file in kept)]
    people = raw_files.set_people(kept, args.participants)
    _check_names(exclude, found, "--exclude")
    ignored = keep_shown(args, found, stimuli)
    silent = [each.file.name for each in found if not each.events]
    if silent:
        print(f"{len(silent)} recordings left out, as no event of theirs shows a picture: {', '.join(silent)[:300]}")
        found = [each for each in found if each.events]
    settings = _settle(args, found)
    for each in found:
        double = at_one_moment(each.events, settings.sfreq, args.skip_ambiguous)
        leave_out(each, double, "at the time of another event")
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
        if not _names(getattr(args, flag)):
            raise InputError(f"--{flag} '{getattr(args, flag)}': names nothing; expected auto or channels, see --help")
    epochs.check_arguments(args)


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_names(names, found, flag):
    for name in names:
        if not any(name in each.all_names for each in found):
            raise InputError(f"{flag} {name}: no channel of that name in {found[0].file.name} or the others (channels "
                             f"{', '.join(found[0].all_names)[:300]})")


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
        raise InputError(f"{without.path}: no events table beside it ({name}), but {len(beside)} of {len(files)} "
                         "recordings have one; write it, or leave the recording out")
    print(f"events: {beside[0].events.name}{f' and {len(beside) - 1} more tables' if len(beside) > 1 else ''}, beside the "
          "recordings")
    return {file.name: [event for _, event in read_events(file.events, "--bids" if args.bids else "events table",
                                                           captions)]
            for file in beside}


def _open(file, events, exclude, args, shows):
    raw, notes = file.open()
    sfreq = float(raw.info["sfreq"])
    names, left = channel_kinds.eeg_channels(raw, exclude, file.path)
    if not names:
        raise InputError(f"{file.path}: no EEG channel among its {len(raw.ch_names)} "
                         f"({ {why: each[:8] for why, each in left.items()} }); expected channels of type EEG")
    places, more = preprocessing.places_of(raw, names)
    file.hashes = raw_files.hash_files(file, raw)
    lost, marks = Counter(), Counter()
    if events is None:
        lost, marks = left_out(notes), marks_of(raw)
        events, told = recorded_events(file, raw, args.stim_channel, args.stim_mask, shows)
        for note in told:
            print(f"{file.name}: {note}")
        notes = [*notes, *told]
    notes = [*notes, *more]
    notes += [f"{len(each)} channels left out ({why}): {', '.join(each[:MAX_CHANNELS])}" for why, each in left.items()]
    return OpenRecording(file, sfreq, clock_of(raw), names, places, list(raw.info["bads"]), list(raw.ch_names),
                         notes, events, lost, marks)


def _settle(args, found):
    """The Settings, checked against every recording's header."""
    from eegdata.montage import match_channels

    wanted, rate = _encoder(args.match_encoder, args.resample) if args.match_encoder else (_common(found), args.resample)
    rates = sorted({each.sfreq for each in found})
    if rate is None:
        rates = sorted({DEFAULT_RATE if each > KEPT_RATE else each for each in rates})
    rates = [rate] if rate else rates
    if len(rates) > 1:
        odd = next(each for each in found if each.sfreq != found[0].sfreq)
        raise InputError(f"{odd.file.path}: {odd.sfreq:g} samples a second, {found[0].file.name} has {found[0].sfreq:g}; "
                         "give --resample")
    sfreq = float(rates[0])
    first, last = epochs.window_samples(args, sfreq)
    reference = {"auto": "average" if len(wanted) >= MIN_AVERAGE_CHANNELS else "keep"}.get(args.reference, args.reference)
    reference = reference if reference in ("keep", "average") else _names(reference)
    if isinstance(reference, list):
        wanted = preprocessing.without_reference(wanted, reference, args.match_encoder)
    bads = args.bads if args.bads in ("auto", "none") else _names(args.bads)
    settings = preprocessing.Settings(
        args.l_freq, args.h_freq, args.notch, sfreq, first, last, epochs.settle_baseline(args, first, last, sfreq),
        args.reject, args.flat, bads, reference, args.unit_scale, wanted)
    _check_names(bads if isinstance(bads, list) else [], found, "--bads")
    for each in found:
        _check_names(reference if isinstance(reference, list) else [], [each], "--reference")
        epochs.check_filters(settings, each.file.path, each.sfreq, each.duration)
        named = preprocessing.find_bads(None, each.names, [], settings)[0] if isinstance(bads, list) else {}
        recorded = preprocessing.with_references(each.names, settings)
        try:
            preprocessing.channel_matrix(recorded, each.names, named, each.places, settings)
        except InputError as error:
            raise InputError(f"{each.file.path}: {error}") from None
    if args.match_encoder:
        notes = (note for each in found for note in match_channels(each.names, wanted, each.places or None)[1])
        for note in dict.fromkeys(notes):
            print(f"--match_encoder: {note}")
    return settings


def _common(found):
    """The channels that every recording has, by name, as the first recording orders and spells them."""
    from eegdata.montage import plain_name

    have = [{plain_name(name) for name in each.names} for each in found]
    common = [name for name in found[0].names if all(plain_name(name) in names for names in have)]
    others = sorted({name for each in found for name in each.names if plain_name(name) not in map(plain_name, common)})
    if not common:
        raise InputError(f"{found[0].file.path} and {found[-1].file.name} have no EEG channel in common (by name); prepare "
                         "them apart, or give --match_encoder")
    if others:
        print(f"{len(others)} channels left out, as not every recording has them: {', '.join(others)[:300]}")
    return common


def _encoder(folder, rate):
    """Channel names and sampling rate of an encoder folder's config.json."""
    file = Path(folder) / "config.json"
    config = check(EncoderConfig, read_json(file), file, "give the folder of an encoder")
    if not config.get("ch_names") or not config.get("sfreq"):
        raise InputError(f"--match_encoder {file}: names no channels (ch_names) or sampling rate (sfreq), so nothing can "
                         "be matched to it; give an encoder that train_eeg_classifier.py made from a data set folder")
    if rate not in (None, config["sfreq"]):
        raise InputError(f"--resample {rate:g}: --match_encoder {folder} takes {config['sfreq']:g} Hz; leave --resample "
                         "out")
    return list(config["ch_names"]), float(config["sfreq"])


def _data_set(args, found, stimuli, ignored, settings, people):
    shown = [what for each in found for what in each.shown]
    kinds = sorted({what.kind for what in shown}, key=lambda kind: (slug(kind), kind))
    for i, kind in enumerate(kinds):
        alike = [other for other in kinds[:i] if not stimuli.are_apart(other, kind)]
        if alike:
            raise InputError(f"classes {', '.join([*alike, kind])}: differ by spelling only; write one name for each class")
    class_of = unique_slugs(kinds)
    class_ids = list(class_of.values())
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
        label = [ids[what.kind] for what in each.shown]
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
        "options": {name: getattr(args, name) for name in PROCESSING_OPTIONS} | {"baseline": settings.baseline,
                                                                        "reference": settings.reference},
        "files": [{"name": each.file.name, "sha256": each.file.hashes, "sfreq": each.sfreq, "channels": len(each.names),
                   "seconds": round(each.duration, 3), "events": len(each.events),
                   "seconds_in_gaps": round(each.clock.lost, 3)}
                  for each in found],
        "events": {"shown": dict(counts), "ignored": dict(ignored.most_common()),
                   **({"left_out": dict(lost)} if lost else {}), **({"no_events": dict(marks)} if marks else {})}, **people}
    if in_turn:
        about["pictures"] = (f"{in_turn} of {len(shown)} events name the class only: the picture within the class is NOT "
                             "known, each of them has one of its class in a fixed rotation")
    return DataSet(recordings, settings.sfreq, settings.ch_names, settings.n_times, settings.tmin, "uV", class_ids, kinds,
                   pictures, known, positions, _split_by(shown, known, len(found)), about)


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
    """Trials of one recording."""
    import numpy as np

    from eegdata.montage import match_channels

    raw, _ = found.file.open()
    marks = mark_boundaries(raw)
    notes = [*found.notes, *match_channels(found.names, settings.ch_names, found.places or None)[1]]
    if marks:
        notes.append(f"{marks} pauses in the recording: neither filters nor trials reach across them")
    onset, label = np.array([event.onset for event in found.events]), np.array(label)
    trials, dropped, more = preprocessing.process(found.file.path, raw, found.names, found.places, found.bads, onset,
                                                  settings)
    time = np.array([found.clock.to_time(each) for each in onset])
    for eeg, rows in trials:
        yield Block(eeg, label[rows], [picture[row] for row in rows], time[rows])
    nothing = np.zeros((0, len(settings.ch_names), settings.n_times), np.float32)
    yield Block(nothing, label[:0], [], onset[:0], dropped=Counter(dropped) + found.lost, notes=[*notes, *more])
