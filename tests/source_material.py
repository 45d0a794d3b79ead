"""Made-up recordings of the Muse and the Emotiv Insight, and how the tests of their sources call prepare_data.py."""

import numpy as np
import pandas
import pytest

import prepare_data
from eegdata.trials import load_trials

ORDER = ["AF3", "AF4", "Pz", "T7", "T8"]
HEADER = "COUNTER, AF3, T7, Pz, T8, AF4, MARKERS['Blank','Image'], TICK, ContactQuality"
SHOWN = (1, 1, 0, 1, 0, 0, 1, 0, 1, 0) * 2  # classes of a made-up recording's pictures
BDD_NAME = "Image-Blank/Image-Blank(50-50)_2.0sx20_201226-111105.csv"
MUSE_COLUMNS = ["timestamps", "TP9", "AF7", "AF8", "TP10", "Right AUX", "Marker0"]


def prepare(source, output, *options):
    prepare_data.main([source, "--output", str(output), "--no_audit", *map(str, options)])
    return load_trials(output, time_low=0)


def fails(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        prepare(*argv)
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and message.startswith("error: ")
    return message


def dropped(trials):
    counts = {}
    for recording in trials.record["recordings"]:
        for reason, count in recording["dropped"].items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


def write_bdd(path, signal=None, classes=SHOWN, counter=None, contact=None, header=HEADER, lag=5, seed=0):
    """A made-up recording: a new picture every 254 samples, the marker `lag` samples late where it changes."""
    count = 254 * len(classes)
    signal = np.random.default_rng(seed).normal(0, 10, (5, count)) if signal is None else signal
    marker = np.repeat(classes, 254)
    marker[lag:] = marker[:-lag].copy()
    table = np.column_stack([
        np.arange(count) % 128 if counter is None else counter, *(4200 + signal[[0, 3, 2, 4, 1]]), marker,
        np.arange(count) // 254 % 2, np.full(count, 100) if contact is None else contact])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, table, fmt="%.18e", delimiter=", ", header=header, comments="", newline="\r\n")
    return path


def bdd(folder, *options):
    return prepare("bdd", folder / "out", "--folder", folder, "--split_by", "time", "--split_gap", "0",
                   "--val_fraction", ".3", "--test_fraction", ".3", *options)


def write_muse(path, signal=None, every=200, seconds=20, seed=0):
    """A made-up Muse CSV: 10 microvolts of noise, or `signal` [4, samples]; house and face in turn."""
    rng = np.random.default_rng(seed)
    count = int(seconds * 256)
    signal = rng.normal(0, 10, (4, count)) if signal is None else signal
    marker = np.zeros(count, int)
    onsets = np.arange(100, count - 300, every)
    marker[onsets] = 1 + np.arange(len(onsets)) % 2
    table = np.column_stack([1000 + np.arange(count) / 256, *signal, np.zeros(count)])
    frame = pandas.DataFrame(table, columns=MUSE_COLUMNS[:-1]).round(4).assign(Marker0=marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def muse_name(subject, minute):
    return f"subject{subject:04d}_session001_data_2020-01-01-10.{minute:02d}.00.csv"
