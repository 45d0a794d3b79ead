"""How the tests of sources/raw.py call prepare_data.py, and what they compare with."""

import numpy as np
import pytest

import prepare_data
from eegdata.dataset_folder import open_folder

UNFILTERED = ("--l_freq", "0", "--h_freq", "0", "--resample", "0", "--baseline", "none")
AS_IT_IS = (*UNFILTERED, "--bads", "none", "--reference", "keep", "--reject", "0", "--flat", "0")


def prepare(output, *options):
    """The record, EEG in microvolts [trials, channels, samples] and other columns of the data set that the options give."""
    prepare_data.main(["raw", "--output", str(output), "--scale", "none", "--no_audit", "--split_gap", "0",
                       *map(str, options)])
    record, blocks, columns = open_folder(output)
    return record, np.concatenate(blocks), columns


def fails(capsys, output, *options):
    with pytest.raises(SystemExit) as stop:
        prepare(output, *options)
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ") and "Traceback" not in message
    return message


def by_hand(raw, samples, first, last):
    """Windows of EEG in microvolts around samples, by slicing."""
    data = raw.get_data(picks="eeg") * 1e6
    return np.stack([data[:, at + first:at + last] for at in samples])
