"""Which trials are looked at together, so that no more of the EEG is in memory than that."""

import torch

VALUES = 2**22  # EEG values at a time where nothing else sets the number of trials


def row_batches(eeg, rows=None, size=None):
    """Positions of the trials `rows` ([n], None: all) of eeg [N, C, T], `size` at a time (None: about VALUES values)."""
    rows = torch.arange(len(eeg)) if rows is None else torch.as_tensor(rows)
    return rows.split(size or max(1, VALUES // (eeg.shape[1] * eeg.shape[2])))
