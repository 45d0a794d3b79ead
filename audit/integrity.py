"""Whether the files are still what was written."""

from pathlib import Path

from runs import file_hash
from splits.making import listed

from . import Finding


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
