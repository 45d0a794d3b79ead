"""What a claim says of its EEG: where it is from, and whether it is simulated."""

from pathlib import Path

from runtime.errors import InputError

from eegdata.source import UNKNOWN, source_of_record, source_text

from .study import Study


def source_of_study(study: Study) -> dict:
    """{"name", "simulated"} from the captions' record, or from the data set folder that it names, if that is unchanged."""
    from eegdata.dataset_folder import read_record

    record = study.record
    folder = Path(record.get("eeg_dataset") or "")
    if record.get("source") or not record.get("eeg_dataset") or not (folder / "dataset.json").is_file():
        return record.get("source") or UNKNOWN
    try:
        described = read_record(folder)
    except InputError:  # the note on the audit says what is wrong with the folder
        return UNKNOWN
    return source_of_record(described) if described["fingerprint"] == record.get("data") else UNKNOWN


def eeg_of(study: Study) -> dict:
    """{"source", "simulated" (None where the source is unknown), "people" (None where unknown), "text"}."""
    source, people = source_of_study(study), (study.model or next(iter(study.files.values()))).people
    number = None if people is None else len(set(people))
    return {"source": source["name"], "simulated": source["simulated"], "people": number,
            "text": source_text(source, number)}
