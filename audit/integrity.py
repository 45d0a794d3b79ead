"""Whether the files are unchanged since they were written, and whether the trials hold plausible values."""

from pathlib import Path

from runtime.names import below
from runtime.runs import file_hash
from runtime.wording import counted, listed

import numpy as np

from .data import MAX_PEAK_RATIO, Material
from .findings import Finding

CHECK = "Integrity of the files"


def check_integrity(material: Material) -> Finding:
    """Compare each shard's SHA-256 with the one in dataset.json."""
    recordings = material.trials.record.get("recordings")
    if not recordings:
        return Finding(CHECK, "not checked", "A .pth file holds no checksums, so damage that leaves it readable is not "
                                             "detected.")
    data = Path(material.trials.path)
    shards = [shard for recording in recordings for shard in recording["shards"]]
    damaged = [shard["file"] for shard in shards
               if file_hash(below(data / "trials", shard["file"], data / "dataset.json")) != shard["sha256"]]
    numbers = {"shards": len(shards), "damaged": damaged}
    if damaged:
        return Finding(CHECK, "severe", f"{len(damaged)} of {len(shards)} files of trials have changed since they were "
                       f"written (their SHA-256 differs from dataset.json: {listed(damaged)}). Copy the data set again "
                       "before you use it.", numbers)
    return Finding(CHECK, "passed", f"All {len(shards)} files of trials have the SHA-256 given in dataset.json.", numbers)


def check_values(material: Material) -> Finding:
    """Trials that hold damaged values or are constant; the other checks leave them out."""
    told, numbers = [], {"trials": len(material.label)}
    for name, what in (("broken", f"NaN, infinite values, or values more than {MAX_PEAK_RATIO:,.0f} times those of their "
                                  "recording"),
                       ("still", "the same value from first to last sample in every channel")):
        rows = np.flatnonzero(getattr(material, name))
        where = [f"{material.trials.trial[row]} of {material.recording_name(material.recording[row])}" for row in rows]
        numbers[name] = where[:50]
        if where:
            told.append(f"{counted(len(rows), 'trial')} {'holds' if len(rows) == 1 else 'hold'} {what} (trial "
                        f"{listed(where, 3)})")
    if not told:
        return Finding("Values", "passed", f"All {counted(len(material.label), 'trial')} hold plausible values.", numbers)
    return Finding("Values", "severe" if numbers["broken"] else "warning", f"{'; '.join(told)}. This is not EEG: repair "
                   "the recording or leave these trials out. The other checks ignored them.", numbers)
