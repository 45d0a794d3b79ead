"""Whether the files are still what was written, and the trials numbers that EEG can hold."""

from pathlib import Path

from runtime.runs import file_hash
from runtime.wording import counted, listed

import numpy as np

from .data import FAR
from .findings import Finding

CHECK = "Integrity of the files"


def check_integrity(material):
    """Each shard's SHA-256 against the one that dataset.json holds since it was written."""
    recordings = material.trials.record.get("recordings")
    if not recordings:
        return Finding(CHECK, "not "
                              "checked", "A .pth file holds no checksums, so damage that keeps it readable would not show.")
    folder = Path(material.trials.path) / "trials"
    shards = [shard for recording in recordings for shard in recording["shards"]]
    damaged = [shard["file"] for shard in shards if file_hash(folder / shard["file"]) != shard["sha256"]]
    numbers = {"shards": len(shards), "damaged": damaged}
    if damaged:
        return Finding(CHECK, "severe", f"{len(damaged)} of {len(shards)} files of trials are not what was written (their "
                       f"SHA-256 differs from dataset.json: {listed(damaged)}): copy the data set again before using it.",
                       numbers)
    return Finding(CHECK, "passed", f"The SHA-256 of all {len(shards)} files of trials is what dataset.json "
                                    "holds.", numbers)


def check_values(material):
    """Trials that hold damaged numbers, or none that changes; the other checks leave them out."""
    told, numbers = [], {"trials": len(material.label)}
    for name, what in (("broken", f"values that are no numbers or more than {FAR:,.0f} times those of their recording"),
                       ("still", "one value from first to last sample in all channels")):
        rows = np.flatnonzero(getattr(material, name))
        where = [f"{material.trials.trial[row]} of {material.recording_name(material.recording[row])}" for row in rows]
        numbers[name] = where[:50]
        if where:
            told.append(f"{counted(len(rows), 'trial')} {'holds' if len(rows) == 1 else 'hold'} {what} (trial "
                        f"{listed(where, 3)})")
    if not told:
        return Finding("Values", "passed", f"All {counted(len(material.label), 'trial')} hold numbers that EEG can have.",
                       numbers)
    return Finding("Values", "severe" if numbers["broken"] else "warning", f"{'; '.join(told)}: that is no EEG, so mend "
                   "the recording or leave these trials out; the other checks did not look at them.", numbers)
