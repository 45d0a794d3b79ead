"""What a claim says of its EEG: where it is from, and whether it is simulated."""

from pathlib import Path

from runtime.errors import InputError

from eegdata.source import UNKNOWN, source_of_record, source_text
from metrics.caption_files import Captions

from .study import Study


def source_of_study(study: Study) -> dict:
    """source_of_record from the captions' record. What that does not say is taken from the data set folder that it names,
    if that is unchanged."""
    from eegdata.dataset_folder import read_record

    record = study.record
    folder, told = Path(record.get("eeg_dataset") or ""), record.get("source") or {}
    if "channels" in told or not record.get("eeg_dataset") or not (folder / "dataset.json").is_file():
        return UNKNOWN | told
    try:
        described = read_record(folder)
    except InputError:  # the note on the audit says what is wrong with the folder
        return UNKNOWN | told
    return (source_of_record(described) if described["fingerprint"] == record.get("data") else UNKNOWN) | told


def eeg_of(study: Study) -> dict:
    """{"source", "simulated", "people", "sessions", "channels", "recorded" (first and last date), "text"}; None where
    unknown."""
    source, file = source_of_study(study), study.model or next(iter(study.files.values()))
    people = None if file.people is None else len(set(file.people))
    sessions = sessions_of(file)
    return {"source": source["name"], "simulated": source["simulated"], "people": people, "sessions": sessions,
            "channels": source.get("channels"), "recorded": source.get("recorded"),
            "text": source_text(source, people, sessions)}


def sessions_of(file: Captions) -> int | None:
    """Number of the sessions of all people; None where a row names no person or no session."""
    if file.people is None or "session" not in file.table or (file.table["session"] == "").any():
        return None
    return len(set(zip(file.people, file.table["session"], strict=True)))
