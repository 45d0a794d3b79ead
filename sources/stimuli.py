"""From what an event is called to the picture that was shown: a folder of pictures, and tables that say more."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError
from runtime.text_files import read_lines

from eegdata.pictures import caption_of
from eegdata.records import Picture

from .events import NAME_COLUMNS, PICTURE_COLUMNS, Event, captions_of
from .tables import first_of, read_table

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def slug(text: object) -> str:
    """A class id of a class's name: "air conditioner" -> "air-conditioner"; letters and digits only, no "_"."""
    return re.sub(r"[\W_]+", "-", str(text)).strip("-")


@dataclass
class ShownPicture:
    """What an event shows: kind, its class's readable name; file: its picture, None where only the class is known."""

    kind: str
    file: Path | None = None


@dataclass
class Stimuli:
    """The pictures that may have been shown.

    files: by path below the folder; kind_of: class by path, from folders and --picture_list; settled: class by path of what
    events showed; captions: by path; map: event's name -> row of --picture_map.
    """

    folder: Path | None = None
    files: dict = field(default_factory=dict)
    kind_of: dict = field(default_factory=dict)
    captions: dict = field(default_factory=dict)
    map: dict = field(default_factory=dict)
    settled: dict = field(default_factory=dict)

    def __post_init__(self):
        self.by_name, self.by_stem = {}, {}
        for key, path in self.files.items():
            self.by_name.setdefault(path.name.lower(), []).append(key)
            self.by_stem.setdefault(path.stem.lower(), []).append(key)
        self.kinds = {slug(kind).lower(): kind for kind in sorted(set(self.kind_of.values()), reverse=True)}

    def find(self, text: str, place: str | None = None) -> str | None:
        """The picture's path below the folder, by that path, its file name or that without suffix.

        None where there is none; with `place`, an InputError instead. A name that fits several is an InputError.
        """
        key = text.replace("\\", "/").removeprefix("./")
        for prefix in ("", f"{self.folder.name}/" if self.folder else ""):
            if key.removeprefix(prefix) in self.files:
                return key.removeprefix(prefix)
        fits = [] if "/" in key else self.by_name.get(key.lower()) or self.by_stem.get(key.lower(), [])
        if len(fits) > 1:
            raise InputError(f"{place or 'event ' + text}: '{text}' matches {len(fits)} pictures, such as {fits[0]} and "
                             f"{fits[1]}; add its folder to the name")
        if not fits and place:
            where = f"the {len(self.files)} pictures of --pictures {self.folder}" if self.folder else "no --pictures given"
            raise InputError(f"{place}: picture '{text}' not found ({where}); correct the name or add the file")
        return fits[0] if fits else None

    def class_named(self, text: str) -> str | None:
        """The class that `text` names, also by its slug or in other case; None where there is none."""
        return self.kinds.get(slug(text).lower())

    def resolve(self, event: Event, named: bool) -> ShownPicture | None:
        """What an Event shows, as ShownPicture; None where it shows no picture.

        named: the user chose events by name, so that without pictures the name is the class.
        """
        row, place = self.map.get(event.name), event.place
        picture, kind, captions = event.picture, event.kind, event.captions
        if row:
            picture, kind = picture or first_of(row, PICTURE_COLUMNS), kind or row.get("class", "")
            captions += row["captions"]
        elif not picture and not kind:
            if self.map:
                return None
            picture = self.find(event.name) or "" if self.files else ""
            kind = "" if picture else self.class_named(event.name) or "" if self.files else event.name if named else ""
        if not picture and not kind:
            return None
        key = self.find(picture, place) if picture else None
        if kind and not key and self.files:
            kind = self._known(kind, place)
        if key:
            kind = kind or self.kind_of.get(key) or (event.name if event.picture and event.name != event.picture else "")
            if not kind:
                raise InputError(f"{place}: the class of picture {key} is not known; put the pictures into one folder "
                                 "per class below --pictures, or give the column class")
            other = self.settled.setdefault(key, kind)
            if slug(other) != slug(kind):
                raise InputError(f"{place}: picture {key} is of class '{kind}', elsewhere of class '{other}'; a picture "
                                 "has one class")
            kind = other
            self.captions[key] = tuple(dict.fromkeys(self.captions.get(key, ()) + captions))
        if not slug(kind):
            raise InputError(f"{place}: class '{kind}' holds no letter or digit; rename it")
        return ShownPicture(kind, key)

    def _known(self, kind, place):
        known = self.class_named(kind)
        if known is None and self.kinds:
            raise InputError(f"{place}: class '{kind}' is not one of the classes of the pictures "
                             f"({', '.join(sorted(self.kinds.values()))[:200]}); correct the name or add a folder of "
                             "pictures")
        if known is None:
            raise InputError(f"{place}: only the class '{kind}' is known, and the pictures of --pictures {self.folder} "
                             "have no classes; put them into one folder per class, or name the picture of each event")
        return known


def find_stimuli(pictures: str | None = None, picture_list: str | None = None, picture_map: str | None = None) -> Stimuli:
    """The Stimuli of --pictures FOLDER, --picture_list and --picture_map tables; each may be None."""
    files, kind_of, captions = {}, {}, {}
    folder = Path(pictures) if pictures else None
    if folder:
        if not folder.is_dir():
            raise InputError(f"--pictures {folder}: no such folder")
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))
                 if path.suffix.lower() in PICTURE_SUFFIXES and not path.stem.endswith("_sketch")
                 and not any(part.startswith(".") for part in path.relative_to(folder).parts)}
        if not files:
            raise InputError(f"--pictures {folder}: contains no pictures ({' '.join(PICTURE_SUFFIXES)})")
        kind_of = {key: path.parent.name for key, path in files.items() if path.parent != folder}
    elif picture_list:
        raise InputError("--picture_list describes the pictures in --pictures FOLDER; give --pictures as well")
    stimuli = Stimuli(folder, files, kind_of, captions)
    if picture_list:
        _read_list(stimuli, picture_list)
    if picture_map:
        stimuli.map = _read_map(stimuli, picture_map)
    return stimuli


def _read_list(stimuli, path):
    columns, rows = read_table(path, "--picture_list")
    if not set(columns) & {*PICTURE_COLUMNS, "file"}:
        raise InputError(f"--picture_list {path}, line 1: columns {', '.join(columns)[:200]}; expected picture, and class "
                         "or caption")
    listed = {}
    for line, row in rows:
        place = f"--picture_list {path}, line {line}"
        key = stimuli.find(first_of(row, (*PICTURE_COLUMNS, "file")) or "n/a", place)
        if row.get("class"):
            if slug(listed.setdefault(key, row["class"])) != slug(row["class"]):
                raise InputError(f"{place}: picture {key} is of class '{row['class']}', in an earlier line of class "
                                 f"'{listed[key]}'")
            stimuli.kind_of[key] = row["class"]
        stimuli.captions[key] = (*stimuli.captions.get(key, ()), *captions_of(row))
    stimuli.__post_init__()


def _read_map(stimuli, path):
    columns, rows = read_table(path, "--picture_map")
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
        stem = re.sub(r"[^\w-]+", "-", path.stem).removeprefix(f"{class_id}_") or "picture"
        name = f"{class_id}_{stem}"
        if name in pictures:
            raise InputError(f"--pictures {path}: would get the name {name}, which {pictures[name].photo} has already; "
                             "rename one of them")
        sketch = next((p for p in (path.with_name(f"{path.stem}_sketch{s}") for s in (path.suffix, ".JPEG", ".png"))
                       if p.is_file()), None)
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
