"""Photographs of COCO that the Natural Scenes Dataset (NSD) shared: numbers, files, captions, objects.

Alljoined1's event N is the N-th of NSD's shared pictures: `nsd_expdesign.mat` lists their numbers in `sharedix`, counted
from 1. `captions.json` names the COCO number of each, by NSD's number counted from 0. The publishers' other list,
`captions_and_categories.json`, counts from 1: read as if it counted from 0, it is right for none of the 960.
"""

from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import read_json

from .damage import check_mat
from .search import all_below
from .stimuli import PICTURE_SUFFIXES

EVENTS = 960
IDS = {"captions": "captions.json", "design": "nsd_expdesign.mat", "test": "test_indices.json"}


@dataclass(frozen=True)
class Photograph:
    """nsd: number in NSD, counted from 0; coco: number in COCO; both as text without zeros before. test: whether it is of
    the publishers' test part."""

    nsd: str
    coco: str
    caption: str
    test: bool

    @property
    def name(self) -> str:
        """The picture's name in the data set folder."""
        return f"coco_{int(self.coco):012d}_{self.nsd}"


@dataclass
class Description:
    """captions by NSD number; objects: numbers of `classes` by NSD number, None where no file tells; how: a sentence."""

    captions: dict
    objects: dict | None
    classes: list
    how: str


def read_ids(folder: Path | str) -> dict[int, Photograph]:
    """{event 1 to 960: Photograph} from the publishers' three files. InputError where they do not fit each other."""
    folder = Path(folder)
    files = {name: folder / file for name, file in IDS.items()}
    for path in files.values():
        if not path.is_file():
            raise InputError(f"--ids {folder}: {path.name} is missing; it is in Alljoined's repository or, for "
                             "nsd_expdesign.mat, among NSD's files")
    design, rows = _shared(files["design"]), read_json(files["captions"], list)
    by_nsd = {}
    for row in rows:
        missing = [key for key in ("nsdId", "cocoId", "caption") if not isinstance(row, dict) or key not in row]
        if missing:
            raise InputError(f"{files['captions']}: an entry lacks {missing[0]}; expected nsdId, cocoId and caption in "
                             "each")
        by_nsd[str(row["nsdId"])] = row
    numbers = [str(number - 1) for number in design[:EVENTS]]
    absent = [number for number in numbers if number not in by_nsd]
    if absent:
        shifted = sum(str(int(number) + 1) in by_nsd for number in numbers)
        hint = ("; it counts from 1, as captions_and_categories.json does, and so names the wrong picture for every event"
                if shifted == len(numbers) else "")
        raise InputError(f"{files['captions']}: {len(absent)} of the {len(numbers)} pictures shown are not in it, NSD's "
                         f"{absent[0]} (counted from 0) among them{hint}; give the publishers' captions.json")
    test = {str(number) for number in read_json(files["test"], list)}
    strange = sorted(test - set(numbers))
    if strange:
        raise InputError(f"{files['test']}: {len(strange)} of its {len(test)} pictures were not shown, {strange[0]} among "
                         "them; expected NSD's numbers, counted from 0, of the publishers' test pictures")
    return {event: Photograph(number, str(by_nsd[number]["cocoId"]), str(by_nsd[number]["caption"]), number in test)
            for event, number in enumerate(numbers, 1)}


def _shared(path):
    """NSD's numbers, counted from 1, of the pictures that all its people saw, in their order."""
    from scipy.io import loadmat

    check_mat(path)
    found = loadmat(path, variable_names=["sharedix"]).get("sharedix")
    if found is None or found.dtype.kind not in "iuf" or found.size < EVENTS:
        raise InputError(f"{path}: has no 'sharedix' of {EVENTS} numbers or more; expected NSD's nsd_expdesign.mat")
    return [int(number) for number in found.ravel()]


def find_pictures(folder: Path | str, shown: dict[int, Photograph]) -> dict[str, Path]:
    """{NSD number: file}: by NSD's number where such files are there, else by COCO's."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--pictures {folder}: no such folder")
    nsd, coco = {}, {}
    for path in all_below(folder):
        if path.suffix.lower() in PICTURE_SUFFIXES and path.stem.isdecimal():
            long = len(path.stem) == 12 or path.parent.name.startswith(("train", "val"))
            (coco if long else nsd).setdefault(path.stem.lstrip("0") or "0", path)
    files = {picture.nsd: nsd.get(picture.nsd) or coco.get(picture.coco) for picture in shown.values()}
    missing = [picture for picture in shown.values() if files[picture.nsd] is None]
    if len(missing) == len(files):
        raise InputError(f"--pictures {folder}: none of the {len(files)} pictures is there; expected "
                         f"nsd/{missing[0].nsd}.png or train2017/{int(missing[0].coco):012d}.jpg, and so on")
    return files


def describe(shown: dict[int, Photograph], annotations: list[str]) -> Description:
    """Captions and objects of the photographs from COCO's annotation files, as far as they are given."""
    wanted = {picture.coco: picture for picture in shown.values()}
    texts, objects, names, covered = {}, {}, {}, set()
    for path in annotations:
        content = read_json(path)
        entries = content.get("annotations")
        if not isinstance(entries, list) or not entries or not isinstance(entries[0], dict):
            raise InputError(f"--annotations {path}: has no list 'annotations'; expected COCO's captions or instances")
        captions = "caption" in entries[0]
        if not captions:
            try:
                names |= {int(one["id"]): str(one["name"]) for one in content["categories"]}
            except (KeyError, TypeError, ValueError):
                raise InputError(f"--annotations {path}: neither captions nor categories with id and name; expected COCO's "
                                 "captions_train2017.json or instances_train2017.json") from None
            listed, key = (content["images"], "id") if "images" in content else (entries, "image_id")
            covered |= {str(one.get(key)) for one in listed if isinstance(one, dict)}
        for entry in entries:
            picture = wanted.get(str(entry.get("image_id"))) if isinstance(entry, dict) else None
            if picture is None:
                continue
            if captions:
                texts.setdefault(picture.nsd, []).append(" ".join(str(entry.get("caption", "")).split()))
            elif entry.get("category_id") in names:
                objects.setdefault(picture.nsd, set()).add(entry["category_id"])
    if names:
        _check_covered(wanted, covered, annotations)
    order = sorted(names)
    told = {picture.nsd: tuple(filter(None, texts.get(picture.nsd, ()))) or (picture.caption,)
            for picture in wanted.values()}
    several = sum(len(own) > 1 for own in told.values())
    how = (f"by people: {several} of {len(told)} pictures have several, from COCO's annotations, the others the one of the "
           "publishers' captions.json")
    found = {picture.nsd: sorted(map(order.index, objects.get(picture.nsd, ()))) for picture in wanted.values()}
    return Description(told, found if names else None, [names[number] for number in order], how)


def _check_covered(wanted, covered, annotations):
    """Raise InputError where COCO's files of objects are not those of the photographs, which would seem to show none."""
    absent = [number for number in wanted if number not in covered]
    if len(absent) > len(wanted) / 2:
        raise InputError(f"--annotations {' '.join(map(str, annotations))}: {len(absent)} of the {len(wanted)} pictures "
                         f"are in no file of objects, {int(absent[0]):012d} of COCO among them; give "
                         "instances_train2017.json, of which they are")
