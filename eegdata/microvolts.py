"""EEG in microvolts for people to look at: trials may be kept divided by each channel's deviation over a recording."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eegdata.trials import Trials


def are_known(trials: "Trials") -> bool:
    """Whether the trials can be given in microvolts."""
    record = trials.record
    if record.get("units") != "uV":
        return False
    return record.get("scale") == "none" or (trials.recording is not None
                                             and all(one["scale"] or not one["shards"] for one in record["recordings"]))


def in_microvolts(trials: "Trials", rows: np.ndarray) -> np.ndarray:
    """EEG of the trials `rows` (positions [n]) as float32 [n, C, T], in microvolts where they are known."""
    eeg = trials.eeg[rows].numpy()
    if not are_known(trials) or trials.record["scale"] == "none":
        return eeg
    recordings = trials.record["recordings"]
    scale = np.array([recordings[number]["scale"] for number in trials.recording.numpy()[rows].tolist()], np.float32)
    return eeg * scale[:, :, None]
