"""Which pictures a checkpoint was trained on, and whether pictures to be scored are among them.

Stage 1 and the captioner's training leave `train_images.json`, {picture name: SHA-256 of its file, or null where the file
was not there}, and `val_images.json`, the same of the validation part, which chose the best epoch. A captioner keeps its
encoder's in `eeg_encoder/`. The predecessors' checkpoints have neither.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash, read_json, write_json

from eegdata.pictures import picture_hashes, picture_path

FILES = {"train": "train_images.json", "val": "val_images.json"}
ENCODER = "eeg_encoder"  # the encoder's place in a captioner's folder


class Known(list):
    """Names of pictures that a checkpoint knows; `by_name`: those of which only the name is the same, as their files
    differ, or are not there to compare. A list otherwise, JSON included."""

    def __init__(self, names=(), by_name=()):
        super().__init__(names)
        self.by_name = list(by_name)


def trained_on(folder, image_dir, names):
    """Those of the pictures `names`, sorted, that the checkpoint in `folder` was trained on: Known, or None if it does not
    tell.

    folder: an encoder of stage 1 or a captioner, whose own training pictures and those of its encoder count. A picture
    counts if its photograph or its sketch in image_dir (None: no files to compare) has the bytes of a training picture,
    under whatever name, or if it has the name of one (it may have been saved anew). None where a part of the checkpoint
    has no record and the other parts know none of the pictures. Raises InputError for a damaged record.
    """
    return _known(folder, image_dir, names, FILES["train"])


def selected_on(folder, image_dir, names):
    """As trained_on, of the validation pictures: they chose the best epoch, so scores on them are somewhat too high.

    That is worth a note, not a refusal: no weight was fitted to them.
    """
    return _known(folder, image_dir, names, FILES["val"])


def same_split(folder, data, splits_path, split_num):
    """Whether the checkpoint in `folder` was trained with this split of this splits file; None where it does not tell or
    was trained on another data set than that of fingerprint `data`.

    With another split the very trials to be scored, and the people, may have been in its training.
    """
    file = Path(folder) / "args.json"
    content = read_json(file) if file.is_file() else {}
    if not content.get("splits") or content.get("data") != data:
        return None
    return content["splits"] == file_hash(splits_path) and content.get("options", {}).get("split_num") == split_num


def trained_with(folder, name, data, splits_path, split_num, part):
    """same_split, with a printed note where the checkpoint, which messages call `name`, was trained with another split than
    the one whose `part` is used now."""
    same = same_split(folder, data, splits_path, split_num)
    if same is False and part != "train":
        print(f"note: {name} was not trained with this split, so trials and people of the {part} part may have been in its "
              "training")
    return same


def overlap_error(flag, folder, known, names, repeated):
    """The InputError for pictures `names` to be scored of which `known`, of trained_on, were trained on.

    flag: the option that named the checkpoint, such as --model_path; repeated: how many of `known` the training part of the
    split at hand shows, too, as that of a split by subject does; 0 where the checkpoint was trained with another split.
    """
    by_name, how = known.by_name, ""
    if by_name:
        which = "it was" if len(known) == 1 else "they were" if len(by_name) == len(known) else f"{len(by_name)} were"
        how = (f" ({which} found by name: the files differ or are not there, so they may be the same pictures saved anew, "
               "or others with equal names)")
    what = "use the data set and the split that it was trained with"
    if repeated:
        what = (f"the split shows {repeated} of them in its training part, too, as one by subject, session, recording or "
                "time does: make it with prepare_data.py split ... --unseen_pictures and train on that to test both")
    return InputError(
        f"{flag} {folder}: was trained on {len(known)} of the {len(set(names))} pictures, {known[0]} among them{how}, so a "
        f"score on them tells nothing about new pictures; {what}, or give --allow_overlap to go on"
        f"{' and claim new people or days, not new pictures' if repeated else ''}, and the report will say so")


def read_records(folder):
    """The records of a checkpoint, {"train": {name: hash}, "val": ..}, without those that it does not have.

    Read before a training that will write them into its own checkpoint, so that a damaged one ends it in time.
    """
    found = {part: _record(Path(folder) / file) for part, file in FILES.items()}
    return {part: record for part, record in found.items() if record is not None}


def write_records(folder, records):
    """Write the records of a checkpoint; those that lay there of another one go."""
    for part, file in FILES.items():
        if part in records:
            write_json(Path(folder) / file, records[part])
        else:
            (Path(folder) / file).unlink(missing_ok=True)


def new_records(image_dir, names, picture, before=None):
    """The records of a checkpoint by the names of its pictures, {"train": names, "val": names}.

    image_dir: None for a data set without pictures; picture: photo or sketch, whichever it learned from; before: records of
    the checkpoint whose weights it started from, so that those pictures count, too.
    """
    return {part: (before or {}).get(part, {}) | (picture_hashes(image_dir, names[part], picture) if image_dir else {})
            for part in FILES}


def _known(folder, image_dir, names, file):
    folder = Path(folder)
    places = [folder, folder / ENCODER] if (folder / ENCODER).is_dir() else [folder]
    records = [_record(place / file) for place in places]
    told = [record for record in records if record is not None]
    names = sorted(set(names))
    hashes = {digest for record in told for digest in record.values() if digest}
    same = _same_content(image_dir, names, hashes)
    trained = {name for record in told for name in record}
    by_name = [name for name in names if name in trained and name not in same]
    known = Known([name for name in names if name in trained or name in same], by_name)
    return known if known or len(told) == len(records) else None


def _same_content(image_dir, names, hashes):
    """Those of the pictures of which a file, photograph or sketch, has one of the SHA-256 `hashes`."""
    if image_dir is None or not hashes:
        return set()

    def known(name):
        files = (picture_path(image_dir, name, kind) for kind in ("photo", "sketch"))
        return any(file.is_file() and file_hash(file) in hashes for file in files)

    with ThreadPoolExecutor() as pool:  # hashing and reading leave Python's lock
        return {name for name, found in zip(names, pool.map(known, names), strict=True) if found}


def _record(file):
    """A record, {name: hash or None}; None where there is none."""
    if not file.is_file():
        return None
    content = read_json(file)
    for name, digest in content.items():
        if digest is not None and not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            raise InputError(f"{file}: picture {name!r} has {str(digest)[:40]!r}, expected the SHA-256 of its file in hex "
                             "digits, or null; it was changed by hand or is damaged, so copy the checkpoint again")
    return content
