"""From what an event is called to the picture that was shown: a folder of pictures, and tables that say more."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError
from runtime.text_files import read_lines

from eegdata.pictures import caption_of
from eegdata.records import Picture

from .events import NAME_COLUMNS, PICTURE_COLUMNS, Event
from .search import all_below
from .spelling import Names, loose, plain_letters, slug
from .tables import Captions, first_of, plain_text, read_table

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
PLACE = re.compile(r"\{(\d{1,2})(?::(\d{1,2}))?\}")  # {1} or {1:5}
OF_SKETCHES = "names that end in _sketch are kept for drawings of the picture beside them; rename pictures that people saw"
MARKER_KINDS = ("Comment", "Stimulus", "Event", "Trigger")  # of BrainVision markers, as MNE names them


def event_names(name: str) -> tuple[str, ...]:
    """What an event may be called: BrainVision files say Comment/cat for the comment cat."""
    kind, _, rest = name.partition("/")
    return (name, rest) if kind in MARKER_KINDS and rest else (name,)


def _even(name):
    """An event's name with single blanks, and whole numbers without decimals."""
    return re.sub(r"^(-?\d+)\.0+$", r"\1", " ".join(name.split()))


@dataclass
class ShownPicture:
    """What an event shows: kind, its class's readable name; file: its picture, None where only the class is known."""

    kind: str
    file: Path | None = None


@dataclass
class Stimuli:
    """The pictures that may have been shown.

    files: by path below the folder; kind_of: class by path, from folders and --picture_list; settled: class by path of what
    events showed; captions: by path; map: event's name -> row of --picture_map. pattern: from an event's name to its
    picture. without_classes: pictures have no class, kinds are "". objects: the names of the several things that pictures
    show, by path, None where they are not told.
    """

    folder: Path | None = None
    files: dict = field(default_factory=dict)
    kind_of: dict = field(default_factory=dict)
    captions: dict = field(default_factory=dict)
    map: dict = field(default_factory=dict)
    settled: dict = field(default_factory=dict)
    pattern: "NamePattern | None" = None
    without_classes: bool = False
    objects: dict | None = None

    def __post_init__(self):
        paths = [(name, key) for key in self.files for name in (key, f"{self.folder.name}/{key}")]
        self.by_path, self.by_name = Names(paths), Names((path.name, key) for key, path in self.files.items())
        self.by_stem = Names((path.stem, key) for key, path in self.files.items())
        self.kinds = Names((kind, kind) for kind in self.kind_of.values())
        self.kinds_of_events = set()  # classes that are what events are called, as nothing else tells
        self.even = None  # events of the map by their even names, when they are asked for
        self.taken_for = {}  # a name in a table or recording: the unlike spelling that it was taken for

    def find(self, text: str, place: str | None = None) -> str | None:
        """The picture's path below the folder, by that path, its file name or that without suffix.

        Another spelling counts where it is the only one. None where there is none; with `place`, an InputError instead. A
        name that fits several is an InputError.
        """
        name = plain_text(text).replace("\\", "/").removeprefix("./")
        if self.folder and self.folder.name != "stimuli":  # BIDS counts from its own folder of that name
            name = name.removeprefix("stimuli/")
        fits, loosely = [], False
        for names in (self.by_path,) if "/" in name else (self.by_path, self.by_name, self.by_stem):
            if not fits:
                fits, loosely = names.find(name)
        if len(fits) > 1:
            raise InputError(f"{place or 'event ' + text}: '{text}' matches {len(fits)} pictures, such as {fits[0]} and "
                             f"{fits[1]}; add its folder to the name, as it is written there")
        if not fits and place:
            where = f"the {len(self.files)} pictures of --pictures {self.folder}" if self.folder else "no --pictures given"
            if Path(name).stem.endswith("_sketch"):
                raise InputError(f"{place}: picture '{text}' is not among {where}: {OF_SKETCHES}")
            instead = "" if place.startswith("--picture_") else ", or choose other events with --event_names"
            raise InputError(f"{place}: picture '{text}' not found ({where}); correct the name, or add the file{instead}")
        if loosely:
            self.taken_for[text] = f"picture {fits[0]}"
        return fits[0] if fits else None

    def in_map(self, name: str) -> str | None:
        """The event of --picture_map that `name` is: the exact one, else the only one with other blanks, or without the
        decimals of 1.0, as tables write numbers."""
        if self.even is None:
            self.even = {}
            for each in self.map:
                self.even.setdefault(_even(each), []).append(each)
        for text in event_names(name):
            fits = [text] if text in self.map else self.even.get(_even(text), ())
            if len(fits) == 1:
                if fits[0] != text:
                    self.taken_for[name] = f"event {fits[0]}"
                return fits[0]
        return None

    def class_named(self, text: str, place: str | None = None) -> str | None:
        """The class that `text` names, also in another spelling where that is the only one; None where there is none."""
        fits, loosely = self.kinds.find(text)
        if len(fits) > 1:
            raise InputError(f"{place or 'event ' + text}: '{text}' may be class '{fits[0]}' or '{fits[1]}'; write the "
                             "name as the folder or list has it")
        if loosely:
            self.taken_for[text] = f"class {fits[0]}"
        return fits[0] if fits else None

    def are_apart(self, one: str, other: str) -> bool:
        """Whether two names are of two classes: they differ by more than spelling, or the pictures have both."""
        return one != other and (loose(one) != loose(other) or {one, other} <= set(self.kind_of.values()))

    def resolve(self, event: Event, named: bool) -> ShownPicture | None:
        """What an Event shows, as ShownPicture; None where it shows no picture.

        named: the user chose events by name, so that without pictures the name is the class.
        """
        place, names = event.place, event_names(event.name)
        row = self.map.get(self.in_map(event.name))
        picture, kind, captions = event.picture, event.kind, event.captions
        if row:
            picture, kind = picture or first_of(row, PICTURE_COLUMNS), kind or row.get("class", "")
            captions += row["captions"]
        elif not picture and not kind:
            if self.pattern:
                picture = self.pattern.picture(event.name)
            if not picture and (self.map or self.pattern):
                return None
            if picture:
                pass
            elif self.files:
                picture = next((found for name in names if (found := self.find(name))), "")
                kind = "" if picture else next((found for name in names if (found := self.class_named(name, place))), "")
            else:
                kind = event.name if named else ""
        if not picture and not kind:
            return None
        key = self.find(picture, place) if picture else None
        if self.without_classes:
            if not key:
                return None
            self.settled[key] = ""
            self.captions[key] = tuple(dict.fromkeys(self.captions.get(key, ()) + captions))
            return ShownPicture("", key)
        if kind and not key and self.files:
            kind = self._known(kind, place)
        if key:
            kind = kind or self.kind_of.get(key, "")
            if not kind and event.picture and event.name != event.picture:
                kind = event.name
                self.kinds_of_events.add(kind)
            if not kind:
                raise InputError(f"{place}: the class of picture {key} is not known; put the pictures into one folder "
                                 "per class below --pictures, give the column class, or --no_classes if they have none")
            other = self.settled.setdefault(key, kind)
            if self.are_apart(other, kind):
                raise InputError(f"{place}: picture {key} is of class '{kind}', elsewhere of class '{other}'; a picture "
                                 "has one class")
            kind = other
            self.captions[key] = tuple(dict.fromkeys(self.captions.get(key, ()) + captions))
        if not slug(kind):
            raise InputError(f"{place}: class '{kind}' holds no letter or digit; rename it")
        return ShownPicture(kind, key)

    def names_something(self, event: Event, named: bool) -> bool:
        """Whether the name of a recording's Event is one that shows something; nothing is settled by it."""
        names = event_names(event.name)
        if self.map or self.pattern:
            return self.in_map(event.name) is not None or bool(self.pattern and self.pattern.picture(event.name))
        if self.files:
            return any(things.find(name)[0] for name in names for things in
                       (self.by_path, self.by_name, self.by_stem, self.kinds))
        return bool(named)

    def _known(self, kind, place):
        known = self.class_named(kind, place)
        if known is None and self.kind_of:
            raise InputError(f"{place}: class '{kind}' is not one of the classes of the pictures "
                             f"({', '.join(sorted(set(self.kind_of.values())))[:200]}); correct the name or add a folder "
                             "of pictures")
        if known is None:
            raise InputError(f"{place}: only the class '{kind}' is known, and the pictures of --pictures {self.folder} "
                             "have no classes; put them into one folder per class, or name the picture of each event")
        return known


class NamePattern:
    """--event_picture REGEX NAME: from what an event is called to the picture that it shows.

    In NAME, {1} stands for the first group of the regular expression, {1:5} for it with zeros before it, 5 digits in all.
    """

    def __init__(self, expression: str, name: str):
        try:
            self.match = re.compile(plain_text(expression)).fullmatch
            groups = re.compile(expression).groups
        except re.error as error:
            raise InputError(f"--event_picture {expression}: not a regular expression ({error})") from None
        self.name, wanted = name, [int(found[1]) for found in PLACE.finditer(name)]
        if not wanted or max(wanted) > groups:
            raise InputError(f"--event_picture {expression} {name}: expected {{1}} or {{1:5}} in the name, for a group of "
                             f"the regular expression, which has {groups}")

    def picture(self, event: str) -> str:
        """The picture that an event of this name shows; "" for one that does not match."""
        found = next((found for text in event_names(event) if (found := self.match(text))), None)
        return PLACE.sub(lambda at: (found[int(at[1])] or "").zfill(int(at[2] or 0)), self.name) if found else ""


def find_stimuli(pictures: str | None = None, picture_list: str | None = None, picture_map: str | None = None,
                 captions: Captions | None = None, event_picture: list[str] | None = None,
                 without_classes: bool = False) -> Stimuli:
    """The Stimuli of --pictures FOLDER, --picture_list and --picture_map tables, and --event_picture; each may be None."""
    files, kind_of, captions = {}, {}, captions or Captions()
    folder = Path(pictures) if pictures else None
    if folder:
        if not folder.is_dir():
            raise InputError(f"--pictures {folder}: no such folder")
        found = [path for path in all_below(folder) if path.suffix.lower() in PICTURE_SUFFIXES
                 and not path.stem.endswith("_sketch")]
        for path in found:
            other = files.setdefault(plain_text(path.relative_to(folder).as_posix()), path)
            if other is not path:
                raise InputError(f"--pictures {path}: its name is that of another picture, but for the form of its Unicode "
                                 "letters; rename one of them")
        if not files:
            sketches = any(path.suffix.lower() in PICTURE_SUFFIXES for path in all_below(folder))
            raise InputError(f"--pictures {folder}: contains no pictures ({' '.join(PICTURE_SUFFIXES)})"
                             + f", only sketches: {OF_SKETCHES}" * sketches)
        kind_of = {key: plain_text(key.split("/")[-2]) for key in files if "/" in key}
        written = {}
        for key, kind in kind_of.items():
            other = written.setdefault(kind, key.split("/")[-2])
            if other != key.split("/")[-2]:
                raise InputError(f"--pictures {folder}: two folders are called '{kind}', but for blanks around it; "
                                 "rename or join them")
    elif picture_list:
        raise InputError("--picture_list describes the pictures in --pictures FOLDER; give --pictures as well")
    for flag, given in (("event_picture", event_picture), ("no_classes", without_classes)):
        if given and not files:
            raise InputError(f"--{flag}: needs the pictures; give --pictures FOLDER")
    stimuli = Stimuli(folder, files, {} if without_classes else kind_of, without_classes=without_classes,
                      pattern=NamePattern(*event_picture) if event_picture else None)
    if picture_list:
        _read_list(stimuli, picture_list, captions)
    if picture_map:
        stimuli.map = _read_map(stimuli, picture_map, captions)
    return stimuli


def _read_list(stimuli, path, captions):
    columns, rows = read_table(path, "--picture_list")
    captions_of = captions.of(columns, f"--picture_list {path}")
    if not set(columns) & {*PICTURE_COLUMNS, "file"}:
        raise InputError(f"--picture_list {path}, line 1: columns {', '.join(columns)[:200]}; expected picture, and class "
                         "or caption")
    listed = {}
    if "objects" in columns:
        stimuli.without_classes, stimuli.kind_of, stimuli.objects = True, {}, {}
    for line, row in rows:
        place = f"--picture_list {path}, line {line}"
        key = stimuli.find(first_of(row, (*PICTURE_COLUMNS, "file")) or "n/a", place)
        if stimuli.objects is not None:
            own = stimuli.objects.setdefault(key, [])
            own += [name for name in map(plain_text, row["objects"].split(",")) if name and name not in own]
        if row.get("class") and not stimuli.without_classes:
            if loose(listed.setdefault(key, row["class"])) != loose(row["class"]):
                raise InputError(f"{place}: picture {key} is of class '{row['class']}', in an earlier line of class "
                                 f"'{listed[key]}'")
            stimuli.kind_of[key] = row["class"]
        stimuli.captions[key] = (*stimuli.captions.get(key, ()), *captions_of(row))
    stimuli.__post_init__()


def _read_map(stimuli, path, captions):
    columns, rows = read_table(path, "--picture_map")
    captions_of = captions.of(columns, f"--picture_map {path}")
    names = [name for name in ("event", *NAME_COLUMNS) if name in columns]
    if not names or not set(columns) & {*PICTURE_COLUMNS, "class"}:
        raise InputError(f"--picture_map {path}, line 1: columns {', '.join(columns)[:200]}; expected event, and picture "
                         "or class")
    mapped = {}
    for line, row in rows:
        place, event = f"--picture_map {path}, line {line}", first_of(row, names)
        if not event or not first_of(row, (*PICTURE_COLUMNS, "class")):
            raise InputError(f"{place}: expected an event and its picture or class")
        earlier = mapped.get(event)
        if earlier and any(first_of(earlier, keys) != first_of(row, keys) for keys in (PICTURE_COLUMNS, ("class",))):
            raise InputError(f"{place}: event '{event}' has another picture or class in an earlier line; expected one "
                             "per event")
        if first_of(row, PICTURE_COLUMNS):
            stimuli.find(first_of(row, PICTURE_COLUMNS), place)
        elif stimuli.files:
            stimuli._known(row["class"], place)
        mapped[event] = {**row, "captions": (*(earlier["captions"] if earlier else ()), *captions_of(row))}
    return mapped


def name_pictures(stimuli: Stimuli, class_of: dict[str, str], keys: list[str]) -> tuple[dict[str, str], dict[str, Picture]]:
    """{path below the folder: picture's name} and {name: records.Picture} of the pictures `keys`; class_of: kind -> id."""
    names, pictures = {}, {}
    for key in keys:
        path, class_id = stimuli.files[key], class_of[stimuli.settled[key]]
        stem = plain_letters(path.stem, "_-").removeprefix(f"{class_id}_") or "picture"
        name = f"{class_id}_{stem}"
        if name in pictures:
            raise InputError(f"--pictures {path}: would get the name {name}, which {pictures[name].photo} has already; "
                             "rename one of them")
        endings = (path.suffix, ".JPEG", ".png", *PICTURE_SUFFIXES, *map(str.upper, PICTURE_SUFFIXES))
        sketch = next((p for p in (path.with_name(f"{path.stem}_sketch{s}") for s in endings) if p.is_file()), None)
        texts = stimuli.captions.get(key, ()) or _captions_beside(path)
        names[key], pictures[name] = name, Picture(path, tuple(dict.fromkeys(texts)), sketch)
    return names, pictures


def _captions_beside(path):
    for beside in (path.with_name(f"{path.stem}_caption.txt"), path.with_suffix(".txt")):
        if beside.is_file():
            return tuple(text for line in read_lines(beside) if (text := caption_of(line)))
    return ()


def assign_in_turn(shown: list[ShownPicture], stimuli: Stimuli) -> int:
    """Give each ShownPicture without a picture one of its class, in a fixed rotation; returns how many were given one."""
    of_kind, turns, given = {}, Counter(), 0
    for key in sorted(stimuli.files):
        kind = stimuli.settled.get(key) or stimuli.kind_of.get(key)
        of_kind.setdefault(kind, []).append(key)
    for each in shown:
        if each.file is None:
            own = of_kind[each.kind]
            each.file = own[turns[each.kind] % len(own)]
            stimuli.settled[each.file] = each.kind
            turns[each.kind] += 1
            given += 1
    return given
