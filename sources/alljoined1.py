"""Alljoined1: 960 photographs of COCO that people described, seen by 8 people (Xu et al. 2024), BioSemi with 64 channels.

    python prepare_data.py alljoined1 --bids nm000133 --ids ids --annotations captions_train2017.json --output data/aj1
    python prepare_data.py alljoined1 --epochs osf/05_125 --pictures nsd --ids ids --output data/aj1

The EEG is read from NEMAR's BIDS folder (--bids), from OSF's continuous files (--recordings `raw`), or, with --epochs, from
OSF's `subj01_session1_epo.fif` or `subj01_session1.h5`, or from the parquet files of the Hub's table. `--ids` is the folder
of the publishers' `captions.json`, `nsd_expdesign.mat` and `test_indices.json`. They lead from the event N, 1 to 960, to
the number of the picture in NSD, counted from 0, and to COCO's number. Pictures are found by either: `nsd/2950.png`,
`train2017/000000262145.jpg`.

A picture has COCO's five captions if --annotations gives COCO's `captions_train2017.json`, else the one in `captions.json`.
It has no class; with --annotations `instances_train2017.json` it has the classes of the objects in it. The test part is the
publishers' 194 pictures. Sessions that the publishers call unusable are left out unless --keep_unusable is given.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from runtime.errors import InputError

import numpy as np

from eegdata.records import Block, DataSet, Picture, Recording

from . import coco_pictures, raw
from .alljoined1_epochs import find_epochs, who_of
from .events import Event
from .stimuli import ShownPicture, Stimuli
from .unused import refuse

UNUSABLE = {(2, 2), (3, 1), (7, 2), (8, 2)}  # (subject, session), by the publishers' notes
DELAY_NOTE = ("the publishers note that triggers come about 100 ms before the display; their public code does not shift, "
              "and --event_delay 0.1 does")
LICENCE = "CC BY-NC-ND on NEMAR (nm000133); OSF (kqgs8) names none; COCO's captions CC BY 4.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Alljoined1")
    group.add_argument("--epochs", nargs="+", metavar="PATH", help="files of epochs (_epo.fif, .h5, .parquet), or folders "
                                                                   "of them, in place of --bids and --recordings")
    group.add_argument("--ids", required=True, metavar="FOLDER", help="folder of captions.json, nsd_expdesign.mat and "
                                                                      "test_indices.json")
    group.add_argument("--annotations", nargs="+", default=[], metavar="JSON", help="COCO's captions_train2017.json (five "
                       "captions a picture), instances_train2017.json (objects), or both; also those of val2017")
    group.add_argument("--keep_unusable", action="store_true", help="keep the sessions that the publishers call unusable: "
                       + ", ".join(f"subject {person} session {session}" for person, session in sorted(UNUSABLE)))
    raw.add_arguments(parser)
    parser.set_defaults(tmin=-.05, tmax=.6)


def find(args: argparse.Namespace) -> DataSet:
    """The DataSet: a recording a session, in the order of presentation."""
    if sum(map(bool, (args.bids, args.recordings, args.epochs))) != 1:
        raise InputError("--bids, --recordings, --epochs: give one of them, NEMAR's folder, continuous files or files of "
                         "epochs")
    refused = [flag for flag in ("events", "picture_list", "picture_map", "event_picture", "event_names", "no_classes",
                                "participants")
               if getattr(args, flag)]
    if refused:
        raise InputError(f"--{refused[0]}: alljoined1 knows its recordings and what was shown; leave it out, or use the "
                         "source raw")
    shown = coco_pictures.read_ids(args.ids)
    folder = args.pictures or (str(Path(args.bids) / "stimuli") if args.bids else None)
    if folder is None:
        raise InputError("--pictures: missing; give the folder of NSD's or COCO's pictures")
    found = coco_pictures.find_pictures(folder, shown)
    described = coco_pictures.describe(shown, args.annotations)
    if args.epochs:
        refuse(args, (name for name in raw.OF_RECORDINGS if name != "event_delay"), "the trials of --epochs "
               "are cut and filtered already")
        data = find_epochs(args.epochs, shown, args.event_delay)
        nsd_of = {name: name.removeprefix("nsd_") for name in data.pictures}
    else:
        there = {nsd: path for nsd, path in found.items() if path}
        labels = (lambda file: tuple(map(str, who_of(file.name)))) if args.recordings else None
        data = raw.find(args, Alljoined1Stimuli(Path(folder), there, shown), labels)
        number = {path: nsd for nsd, path in there.items()}
        nsd_of = {name: number[picture.photo] for name, picture in data.pictures.items()}
    return _published(args, data, {picture.nsd: picture for picture in shown.values()}, nsd_of, found, described)


class Alljoined1Stimuli(Stimuli):
    """The pictures by their number in NSD; events are called `image/N`, `N`, or name the file."""

    def __init__(self, folder: Path, files: dict[str, Path], shown: dict[int, coco_pictures.Photograph]) -> None:
        super().__init__(folder, files, {}, without_classes=True)
        self.shown = shown

    def names_something(self, event: Event, named: bool) -> bool:
        """Whether the event's name holds a number of a picture."""
        return _number(event.name) in self.shown

    def resolve(self, event: Event, named: bool) -> ShownPicture | None:
        """The photograph of the event's number. InputError where the file that it names is another one."""
        picture = self.shown.get(_number(event.name))
        if picture is None:
            return None
        if event.picture and Path(event.picture).stem.lstrip("0") not in (picture.nsd, picture.coco):
            raise InputError(f"{event.place}: event {event.name} shows {picture.nsd} of NSD (counted from 0), the table "
                             f"says {event.picture}; ids that count from 1 lead to the next picture: give "
                             "the publishers' captions.json and nsd_expdesign.mat as --ids")
        if picture.nsd not in self.files:
            raise InputError(f"{event.place}: shows picture {picture.nsd} of NSD, {int(picture.coco):012d} of COCO, which "
                             f"is not below --pictures {self.folder}; add it")
        self.settled[picture.nsd] = ""
        return ShownPicture("", picture.nsd)


def _number(name):
    found = re.fullmatch(r"(?:.*/)?(\d{1,4})(?:\.0+)?", name)
    return int(found[1]) if found else None


def _published(args, data, by_nsd, nsd_of, found, described):
    """The data set with names, captions, objects and parts of the photographs, without the unusable sessions. nsd_of: NSD
    number by the names of `data`."""
    missing = [nsd for nsd in nsd_of.values() if found[nsd] is None]
    if missing:
        raise InputError(f"--pictures: {len(missing)} of the {len(nsd_of)} pictures shown are not there, "
                         f"{missing[0]} of NSD, {int(by_nsd[missing[0]].coco):012d} of COCO, among them; add them")
    recordings, left = [], []
    for recording in data.recordings:
        if (recording.subject, recording.session) in UNUSABLE and not args.keep_unusable:
            left.append(recording.name)
            continue
        key = [recording.key, sorted(nsd for nsd, picture in by_nsd.items() if picture.test)]
        recordings.append(replace(recording, key=key, read=partial(_named, recording, by_nsd, nsd_of)))
    if left:
        print(f"left out, as the publishers call them unusable: {', '.join(left)} (--keep_unusable keeps them)")
    if not recordings:
        raise InputError("all sessions found are among those that the publishers call unusable; give others, or "
                         "--keep_unusable")
    pictures = {by_nsd[nsd].name: Picture(found[nsd], described.captions[nsd]) for nsd in nsd_of.values()}
    classes = described.classes if described.objects is not None else []
    about = {**data.about, "published": "OSF kqgs8, NEMAR nm000133 (Xu et al. 2024, arXiv 2404.05553)", "licence": LICENCE,
             "left_out": left, "captions": described.how, "trigger": DELAY_NOTE,
             "pictures": "NSD's crops where its files were given, else COCO's whole photographs, of which NSD cut a square"}
    return replace(data, recordings=recordings, pictures=pictures, class_ids=[f"object{i}" for i in range(len(classes))],
                   class_names=classes, split_by="given", about=about,
                   objects={by_nsd[nsd].name: described.objects[nsd] for nsd in nsd_of.values()} if classes else None)


def _named(recording: Recording, by_nsd: dict[str, coco_pictures.Photograph], nsd_of: dict[str, str]) -> Iterator[Block]:
    """The recording's blocks with the photographs' names and the publishers' parts."""
    for block in recording.read():
        shown = [by_nsd[nsd_of[name]] for name in block.picture]
        yield replace(block, picture=[picture.name for picture in shown], label=np.full(len(shown), -1),
                      part=["test" if picture.test else "train" for picture in shown])
