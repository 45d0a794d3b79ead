"""Where EEG comes from, {"name", "simulated"}, and how a text calls it. A claim names the source of its data."""

from collections.abc import Iterable

from runtime.wording import counted

from eegdata.eegcvpr40 import has_its_classes
from eegdata.pth_file import BLOCKS

UNKNOWN = {"name": "unknown", "simulated": None}
TITLES = {
    "unknown": "an unknown source", "raw": "raw recordings", "eegcvpr40": "EEGCVPR40", "things": "THINGS-EEG2",
    "mindbigdata": "MindBigData", "bdd": "Brain-Download-Datasets", "n170": "the N170 experiment of EEG-ExPy",
    "uci": "the UCI EEG Database", "alljoined1": "Alljoined1", "alljoined16m": "Alljoined-1.6M",
    "eegimagenet": "EEG-ImageNet", "seeddv": "SEED-DV",
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


def says_another_origin(source: dict) -> bool:
    """Whether a source rules out that the EEG is EEGCVPR40's. Raw recordings may be anybody's."""
    return source.get("name", "unknown") not in ("unknown", "raw", "eegcvpr40")


def source_text(source: dict, people: int | None = None) -> str:
    """"simulated EEG of 4 people", "EEG of 10 people from THINGS-EEG2". people: None where unknown."""
    of = f" of {counted(people, 'person')}" if people else ""
    if source.get("simulated"):
        return f"simulated EEG{of}"
    name = source.get("name") or UNKNOWN["name"]
    return f"EEG{of} from {TITLES.get(name, name)}"
