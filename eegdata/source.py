"""Where EEG comes from, {"name", "simulated", ...}, and how a text calls it. A claim begins with the source of its data."""

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
    """source_of a data set folder, with "channels", their number, and "recorded", the first and the last date of its
    recordings, where they are known. record: its dataset.json."""
    about = record.get("about") or {}
    known = {"channels": len(record.get("ch_names") or ()) or None, "recorded": about.get("recorded")}
    return source_of(record.get("source"), about, record.get("class_ids", ())) | {
        name: value for name, value in known.items() if value}


def says_another_origin(source: dict) -> bool:
    """Whether a source rules out that the EEG is EEGCVPR40's. Raw recordings may be anybody's."""
    return source.get("name", "unknown") not in ("unknown", "raw", "eegcvpr40")


def source_text(source: dict, people: int | None = None, sessions: int | None = None) -> str:
    """"simulated EEG of 4 people (32 channels)", "EEG of 10 people from THINGS-EEG2 (40 sessions, 17 channels)".

    people, sessions: None where unknown.
    """
    of = f" of {counted(people, 'person')}" if people else ""
    name = source.get("name") or UNKNOWN["name"]
    text = f"{eeg_text(source)}{of}" + ("" if source.get("simulated") else f" from {TITLES.get(name, name)}")
    more = [counted(number, noun) for number, noun in
            ((sessions, "session"), (source.get("channels"), "channel")) if number]
    if source.get("recorded"):
        more.append("recorded " + " to ".join(dict.fromkeys(source["recorded"])))
    return text + (f" ({', '.join(more)})" if more else "")


def eeg_text(source: dict) -> str:
    """"simulated EEG" or "EEG", where a sentence names the kind of the data only."""
    return "simulated EEG" if source.get("simulated") else "EEG"
