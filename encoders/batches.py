"""Batches of trials that are small enough in memory, whatever the size of the data set."""

from collections.abc import Sequence

import torch

VALUES_PER_BATCH = 2**22  # EEG values in a batch where nothing else sets the number of trials


def row_batches(eeg: torch.Tensor, rows: Sequence[int] | None = None, size: int | None = None) -> tuple[torch.Tensor, ...]:
    """Positions of the trials `rows` ([n], None: all) of eeg [N, C, T] in batches of `size` trials.

    Without a size, a batch has about VALUES_PER_BATCH values.
    """
    rows = torch.arange(len(eeg)) if rows is None else torch.as_tensor(rows)
    return rows.split(size or max(1, VALUES_PER_BATCH // (eeg.shape[1] * eeg.shape[2])))
