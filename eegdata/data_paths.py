"""Where the parts of a data set lie, as the options name them or as its folder brings them."""

from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError
from runtime.places import check_data, resolve_checkpoint

from eegdata.dataset_folder import read_record


@dataclass(frozen=True)
class DataPaths:
    """A data set folder or `.pth` file, its splits file, its folder of pictures and captions (None where there is none),
    and which of a picture's files is embedded: "sketch" or "photo"."""

    eeg_dataset: str
    splits_path: str | None
    image_dir: str | None
    picture: str


def find_data(eeg_dataset: str | None, splits_path: str | None = None, image_dir: str | None = None,
              picture: str | None = None, *, needed: tuple[str, ...] = ("splits_path", "image_dir")) -> DataPaths:
    """The paths of a data set: those given, else those that a data set folder brings.

    eeg_dataset: a folder of prepare_data.py, its Hub id (datasets/org/name), which is fetched, or a `.pth` file, which
    brings nothing else. Raises InputError where a name of `needed` stays open.
    """
    if eeg_dataset is None:
        raise InputError("--eeg_dataset is missing: expected a data set folder of prepare_data.py or a .pth file")
    check_data(eeg_dataset)
    folder = Path(eeg_dataset)
    if not folder.is_dir() and str(eeg_dataset).startswith("datasets/"):
        folder = resolve_checkpoint(eeg_dataset, "--eeg_dataset")
    own = "sketch"
    if folder.is_dir():
        own = read_record(folder)["picture"]
        splits_path = splits_path or str(folder / "splits.pth")
        image_dir = image_dir or str(folder / "images")
    for flag, path in (("splits_path", splits_path), ("image_dir", image_dir)):
        if flag in needed and not path:
            raise InputError(f"--{flag} is missing: --eeg_dataset {eeg_dataset} is a file, and only a data set folder of "
                             "prepare_data.py brings its own; a recording becomes such a folder by prepare_data.py raw")
    return DataPaths(str(folder), splits_path, image_dir, picture or own)
