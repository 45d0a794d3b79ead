"""What a claim says of its EEG: where it is from, and whether it is simulated."""

from pathlib import Path

from .study import Study

SIMULATED = "simulated"  # the source of prepare_data.py simulated


def source_of(study: Study) -> str | None:
    """The kind of source that prepare_data.py read, from the captions' record or the data set that it names; None where it
    is not known, as for a published .pth file."""
    from eegdata.dataset_folder import read_record

    record = study.record
    folder = Path(record.get("eeg_dataset") or "")
    if "source" in record or not record.get("eeg_dataset") or not folder.is_dir():
        return record.get("source") or None
    described = read_record(folder)
    return described["source"] if described["fingerprint"] == record.get("data") else None


def eeg_of(study: Study) -> dict:
    """{"source", "simulated" (None where the source is unknown), "people" (None where unknown), "text"}."""
    source, people = source_of(study), study.model.people if study.model else None
    number = None if people is None else len(set(people))
    text = ("EEG of unknown source" if source is None else "simulated EEG" if source == SIMULATED else
            f"EEG read as {source}")
    return {"source": source, "simulated": None if source is None else source == SIMULATED, "people": number,
            "text": text + (f" of {number} {'person' if number == 1 else 'people'}" if number else "")}
