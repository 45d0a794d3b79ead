"""Captions of a new recording on the terminal and as a CSV, with a record of how they were made beside it."""

from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.runs import file_hash, write_json
from runtime.text_files import write_csv

RECORD_FORMAT = "eeg-to-text readings 1"


def words_text(words: list[tuple[str, float]]) -> str:
    """"dog .61, cat .20"."""
    return ", ".join(f"{name} {probability:.2f}" for name, probability in words)


def lines(time: list[float], columns: dict[str, list]) -> list[str]:
    """The captions with their times, classes and controls, as lines for the terminal. columns: of readings.readings."""
    controls = [name for name in columns if name.startswith("caption_")]
    width = max([len("caption"), *(len(name.removeprefix("caption_")) for name in controls)])
    text = []
    for row, seconds in enumerate(time):
        words = columns["words"][row]
        text.append(f"{seconds:9.3f} s  {columns['caption'][row]}" + (f"  ({words_text(words)})" if words else ""))
        text += [f"{'':11}  {name.removeprefix('caption_'):>{width}}: {columns[name][row]}" for name in controls]
    return text


def write_readings(path: Path, time: list[float], events: list[str], columns: dict[str, list], record: dict) -> None:
    """Write <path> with a row for each onset, and `record` with the hash of that file to <path>.json."""
    shown = {"time": [f"{seconds:.4f}" for seconds in time], "event": events, **columns,
             "words": list(map(words_text, columns["words"]))}
    with atomic_path(path) as temporary:
        write_csv(temporary, list(shown), zip(*shown.values(), strict=True))
        write_json(f"{path}.json", {"format": RECORD_FORMAT, **record, "sha256": file_hash(temporary)})
