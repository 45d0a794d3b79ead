"""Where EEG comes from, {"name", "simulated"}, and how a text calls it. A claim names the source of its data."""

from collections.abc import Iterable

from eegdata.eegcvpr40 import has_its_classes
from eegdata.pth_file import BLOCKS

UNKNOWN = {"name": "unknown", "simulated": None}
TEXTS = {
    "simulated": "simulated EEG", "unknown": "EEG of unknown source", "raw": "EEG of recordings read as they are",
    "eegcvpr40": "EEG of EEGCVPR40", "things": "EEG of THINGS-EEG2", "mindbigdata": "EEG of MindBigData",
    "bdd": "EEG of Brain-Download-Datasets", "n170": "EEG of the N170 experiment of EEG-ExPy",
    "uci": "EEG of the UCI EEG Database",
}


def source_of(command: str | None, about: object, classes: Iterable[str]) -> dict:
    """{"name", "simulated"} of a data set; simulated is None where nothing is known.

    command: of prepare_data.py, None for a `.pth` file. about: what the data set says of itself; its "source" counts more
    than the command, as `prepare_data.py eegcvpr40` reads any `.pth` file. classes: class ids or names.
    """
    about = about if isinstance(about, dict) else {}
    if isinstance(about.get("source"), str) and about["source"].strip():
        name = about["source"].strip()
    elif command not in (None, "eegcvpr40"):
        name = command
    elif about.get("presentation") == BLOCKS["presentation"] or has_its_classes(classes):
        name = "eegcvpr40"
    else:
        return dict(UNKNOWN)
    return {"name": name, "simulated": name == "simulated"}


def source_of_record(record: dict) -> dict:
    """source_of a data set folder. record: its dataset.json."""
    return source_of(record.get("source"), record.get("about"), record.get("class_ids", ()))


def source_text(source: dict) -> str:
    """"simulated EEG", "EEG of THINGS-EEG2", "EEG of unknown source"."""
    name = source.get("name") or UNKNOWN["name"]
    return "simulated EEG" if source.get("simulated") else TEXTS.get(name, f"EEG of {name}")
