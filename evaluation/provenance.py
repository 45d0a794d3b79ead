"""Which pictures a checkpoint was trained on, and whether pictures to be scored are among them.

Stage 1 and the captioner's training write `train_images.json`: {picture name: SHA-256 of its file, or null where the file
was not there}. `val_images.json` is the same for the validation part, which chose the best epoch. A captioner keeps the
files of its encoder in `eeg_encoder/`. The predecessors' checkpoints have neither.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.runs import file_hash, read_json, read_run, write_record
from runtime.schema import Sha256, Text, check

from eegdata.pictures import picture_hashes, picture_path

if TYPE_CHECKING:
    from eegdata.trials import Trials

FILES = {"train": "train_images.json", "val": "val_images.json"}
ENCODER = "eeg_encoder"  # folder of the encoder in a captioner's


class KnownPictures(list):
    """Names of pictures that a checkpoint was made with; a list otherwise, JSON included.

    by_name: those found by their name alone, as their files differ or are not there to compare. copies: those found by
    their bytes alone, as the checkpoint knows them by other names.
    """

    def __init__(self, names: Iterable[str] = (), by_name: Iterable[str] = (), copies: Iterable[str] = ()):
        super().__init__(names)
        self.by_name, self.copies = list(by_name), list(copies)


def trained_on(folder: str | Path, image_dir: str | Path | None, names: Iterable[str]) -> KnownPictures | None:
    """Those of the pictures `names`, sorted, that the checkpoint in `folder` was trained on; None where it has no record.

    folder: an encoder of stage 1, or a captioner: its own training pictures and those of its encoder count. image_dir: None
    where there are no files to compare. A picture counts if its photograph or sketch has the bytes of a training picture,
    under whatever name, or if it has the name of one (it may have been saved again). None also where a part of the
    checkpoint has no record and the other parts know none of the pictures. Raises InputError for a damaged record.
    """
    return _known(folder, image_dir, names, FILES["train"])


def selected_on(folder: str | Path, image_dir: str | Path | None, names: Iterable[str]) -> KnownPictures | None:
    """The same for the validation pictures. They chose the best epoch, so scores on them are somewhat too high.

    That deserves a note, not a refusal: no weight was fitted to them.
    """
    return _known(folder, image_dir, names, FILES["val"])


def same_split(folder: str | Path, data: str, splits_path: str | Path, split_num: int) -> bool | None:
    """Whether the checkpoint in `folder` was trained with this split of this splits file.

    None where it has no record, or was trained on another data set than that of fingerprint `data`. With another split the
    very trials to be scored, and their people, may have been in its training.
    """
    content, options = read_run(folder)
    if not content.get("splits") or content.get("data") != data:
        return None
    return content["splits"] == file_hash(splits_path) and options.get("split_num") == split_num


def check_window(folder: str | Path, trials: "Trials", flag: str) -> None:
    """Raise InputError where the checkpoint in `folder` was trained on another window of these very trials.

    A window of the same length elsewhere fits the encoder's input, and would be read as if it lay in time where that of the
    training did. flag: the option that named the checkpoint. Earlier versions kept the window only where it was given.
    """
    content, options = read_run(folder)
    then, now = (options.get("time_low"), options.get("time_high")), (trials.eeg.low, trials.eeg.high)
    if content.get("data") == trials.fingerprint and None not in then and then != now:
        raise InputError(f"{flag} {folder}: was trained on the samples {then[0]}..{then[1]} of these trials, found the "
                         f"window {now[0]}..{now[1]}; give --time_low {then[0]} --time_high {then[1]}")


def trained_with(folder: str | Path, name: str, data: str, splits_path: str | Path, split_num: int,
                 part: str) -> bool | None:
    """same_split, with a printed note where the checkpoint was trained with another split than the one used now.

    name: of the checkpoint in the note; part: of the split that is used now.
    """
    same = same_split(folder, data, splits_path, split_num)
    if same is False and part != "train":
        print(f"note: {name} was not trained with this split, so trials and people of "
              f"{'any' if part == 'all' else f'the {part}'} part may have been in its training")
    return same


def overlap_error(flag: str, folder: str | Path, known: KnownPictures, names: Iterable[str], repeated: int) -> InputError:
    """The InputError for pictures `names` to be scored, of which `known` (see trained_on) were trained on.

    flag: the option that named the checkpoint, such as --model_path. repeated: how many of `known` are also in the training
    and validation parts of the split at hand, as in a split by subject; 0 where the checkpoint was trained with another.
    """
    by_name, how = known.by_name, ""
    if by_name:
        which = "it was" if len(known) == 1 else "they were" if len(by_name) == len(known) else f"{len(by_name)} were"
        how = (f" ({which} found by name: the files differ or are not there, so they may be the same pictures saved again, "
               "or others with equal names)")
    what = "use the data set and the split that it was trained with"
    if known.copies:
        what = (f"{len(known.copies)} of them ({known.copies[0]}) were trained on under other names, as the files are the "
                "same: keep one name of each picture, prepare the data set and train again, or use the split that it was "
                "trained with")
    if repeated:
        what = (f"the training part of the split also shows {repeated} of them, as in every split by subject, session, "
                "recording or time; to test on new pictures as well, make the split with prepare_data.py split ... "
                "--unseen_pictures and train again")
    return InputError(
        f"{flag} {folder}: was trained on {len(known)} of the {len(set(names))} pictures, {known[0]} among them{how}, so a "
        f"score on them tells nothing about new pictures; {what}, or give --allow_overlap to go on"
        f"{' and claim new people or days, not new pictures' if repeated else ''}, and the report will say so")


def read_records(folder: str | Path) -> dict[str, dict]:
    """The records of a checkpoint, {"train": {name: hash}, "val": ..}, without those that it does not have.

    A training that will write them into its own checkpoint reads them first, so that a damaged record ends it early.
    """
    records = {part: _record(Path(folder) / file) for part, file in FILES.items()}
    return {part: record for part, record in records.items() if record is not None}


def write_records(folder: str | Path, records: dict[str, dict]) -> None:
    """Write the records of a checkpoint, and remove records there that are not among them."""
    for part, file in FILES.items():
        if part in records:
            write_record(Path(folder) / file, records[part])
        else:
            (Path(folder) / file).unlink(missing_ok=True)


def new_records(image_dir: str | Path | None, names: dict[str, list[str]], picture: str,
                before: dict[str, dict] | None = None) -> dict[str, dict]:
    """The records of a checkpoint from the names of its pictures, {"train": names, "val": names}.

    image_dir: None for a data set without pictures. picture: photo or sketch, whichever it learned from. before: records of
    the checkpoint whose weights it started from; those pictures count as well.
    """
    return {part: (before or {}).get(part, {}) | (picture_hashes(image_dir, names[part], picture) if image_dir else {})
            for part in FILES}


def _known(folder, image_dir, names, file):
    folder = Path(folder)
    places = [folder, folder / ENCODER] if (folder / ENCODER).is_dir() else [folder]
    records = [_record(place / file) for place in places]
    present = [record for record in records if record is not None]
    names = sorted(set(names))
    hashes = {digest for record in present for digest in record.values() if digest}
    same = _same_content(image_dir, names, hashes)
    trained = {name for record in present for name in record}
    by_name = [name for name in names if name in trained and name not in same]
    known = KnownPictures([name for name in names if name in trained or name in same], by_name,
                          [name for name in names if name in same and name not in trained])
    return known if known or len(present) == len(records) else None


def _same_content(image_dir, names, hashes):
    """Those of the pictures whose photograph or sketch has one of the SHA-256 `hashes`."""
    if image_dir is None or not hashes:
        return set()

    def is_same(name):
        files = (picture_path(image_dir, name, kind) for kind in ("photo", "sketch"))
        return any(file.is_file() and file_hash(file) in hashes for file in files)

    with ThreadPoolExecutor() as pool:  # hashing and reading release Python's lock
        return {name for name, found in zip(names, pool.map(is_same, names), strict=True) if found}


def _record(file):
    """A record, {name: hash or None}; None where there is none."""
    if not file.is_file():
        return None
    return check(dict[Text, Sha256 | None], read_json(file), file, "expected the SHA-256 of each picture's file in hex "
                 "digits, or null; the file is damaged or was changed by hand, so copy the checkpoint again")
