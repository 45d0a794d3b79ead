"""pretrain_data_processor.py: BDD, MindBigData-MNIST and MindBigData-ImageNet into normalised windows."""

import csv
import re
import shutil
from pathlib import Path

from runtime.errors import InputError

import numpy as np
import pytest
import torch

import pretrain_data_processor
from encoders.pretraining import read_pretraining_data
from sources import bdd, mindbigdata

REAL_BDD = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "bdd"
ORDER = ["AF3", "AF4", "Pz", "T7", "T8"]
MINDBIGDATA_ORDER = ["AF3", "AF4", "T7", "T8", "Pz"]
HEADER = "COUNTER, AF3, T7, Pz, T8, AF4, MARKERS['Blank','Image'], TICK, ContactQuality"


def write_bdd(path, signal, counter=None):
    """signal: {channel: samples}"""
    count = len(signal["AF3"])
    counter = np.arange(count) % 128 if counter is None else counter
    columns = [counter, *(signal[name] for name in ("AF3", "T7", "Pz", "T8", "AF4")), np.zeros(count), np.ones(count),
               np.full(count, 100.0)]
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [", ".join(f"{value:.18e}" for value in row) for row in np.stack(columns, axis=1)]
    path.write_text("\r\n".join([HEADER, *lines]) + "\r\n")


def signals(rng, count):
    return {name: rng.normal(4200 + 10 * number, 20 + number, count).round(3) for number, name in enumerate(ORDER)}


def write_mnist(folder, trials, first_event=1000):
    """trials: list of {channel: samples}"""
    path = folder / "MindBigData-IN-v1.06" / "IN.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{event * 5 + k}\t{event}\tIN\t{name.upper()}\t{event % 10}\t{len(trial[name])}\t"
            + ",".join(f"{value:.6f}" for value in trial[name])
            for event, trial in enumerate(trials, first_event) for k, name in enumerate(MINDBIGDATA_ORDER)]
    path.write_text("\n".join(rows) + "\n")
    return path


def write_imagenet(path, signal):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name},{','.join(map(str, signal[name]))}\n" for name in MINDBIGDATA_ORDER))


@pytest.fixture
def folder(tmp_path):
    """All three sources, made up: 6 BDD files of 2 windows, 10 trials of 256 (two of 200), 4 ImageNet files."""
    rng = np.random.default_rng(0)
    for number in range(6):
        name = ("Baseline", "Image-Blank", "Visual_Q&A")[number % 3]
        write_bdd(tmp_path / "BDD" / name / f"{number}.csv", signals(rng, 65 + 2 * 256 + 100))
    write_mnist(tmp_path, [signals(rng, 200 if number < 2 else 260) for number in range(10)])
    for number in range(4):
        write_imagenet(tmp_path / "MindBigData-Imagenet" / f"Insight_n0{number}.csv", signals(rng, 384))
    return tmp_path


def load(folder):
    return {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("train", "val", "test", "standard")}


def fails(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        pretrain_data_processor.main([str(each) for each in argv])
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    return message


def test_parts_are_normalised_with_training_statistics_and_share_no_recording(folder, capsys):
    pretrain_data_processor.main(["--dir", str(folder)])
    parts = load(folder)
    total = sum(len(parts[name]["samples"]) for name in ("train", "val", "test"))
    assert total == 6 * 2 + 8 + 4
    samples = parts["train"]["samples"]
    assert samples.dtype == torch.float32 and samples.shape[1:] == (5, 256)
    assert torch.equal(parts["train"]["labels"], torch.ones(len(samples)))
    torch.testing.assert_close(samples.mean(dim=(0, 2)), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(samples.transpose(0, 1).flatten(1).std(dim=1), torch.ones(5), atol=1e-4, rtol=0)
    assert abs(parts["test"]["samples"].mean()) > 1e-6  # normalised by the training part, not by its own
    assert parts["standard"]["mean_vals"].shape == parts["standard"]["stdev_vals"].shape == (1, 5, 1)
    recordings = [set(parts[name]["recordings"]) for name in ("train", "val", "test")]
    assert all(recordings) and sum(map(len, recordings)) == len(set.union(*recordings)) == 6 + 8 + 4
    for source in ("BDD/", "MindBigData-IN/", "MindBigData-Imagenet/"):
        assert all(any(name.startswith(source) for name in part) for part in recordings)
    assert "2 recordings shorter than 256 samples" in capsys.readouterr().out


def test_copies_of_a_recording_are_left_out(folder, capsys):
    """Of each source of files: a copy could be in two parts."""
    for path in (*(folder / "MindBigData-Imagenet").glob("*.csv"), *(folder / "BDD").rglob("*.csv")):
        shutil.copy(path, path.with_name(f"copy_{path.name}"))
    pretrain_data_processor.main(["--dir", str(folder)])
    printed = capsys.readouterr().out
    assert "MindBigData-ImageNet: 4 copies of other files left out" in printed and "BDD: 6 copies" in printed
    samples = torch.cat([load(folder)[part]["samples"] for part in ("train", "val", "test")])
    assert len(samples.flatten(1).unique(dim=0)) == len(samples)


def test_samples_times_deviation_plus_mean_are_the_recorded_microvolts(folder):
    """Against the files read with the csv module, by position."""
    pretrain_data_processor.main(["--dir", str(folder), "--output", str(folder / "out")])
    parts = load(folder / "out")
    seen = set()
    for name in ("train", "val", "test"):
        raw = parts[name]["samples"] * parts["standard"]["stdev_vals"] + parts["standard"]["mean_vals"]
        first = {}
        for window, recording in zip(raw, parts[name]["recordings"], strict=True):
            number = first[recording] = first.get(recording, -1) + 1
            expected = expected_window(folder, recording, number)
            np.testing.assert_allclose(window, expected, rtol=0, atol=2e-3)
            seen.add(recording.split("/")[0])
    assert seen == {"BDD", "MindBigData-IN", "MindBigData-Imagenet"}


def expected_window(folder, recording, number):
    source, rest = recording.split("/", 1)
    if source == "BDD":
        place = [1, 5, 3, 2, 4]  # of ORDER in a row
        rows = list(csv.reader((folder / recording).read_text().splitlines()))[1:][65 + 256 * number:][:256]
        return np.array([[float(row[k]) for row in rows] for k in place])
    if source == "MindBigData-IN":
        rows = [line.split("\t") for line in (folder / mindbigdata.MNIST_FILE).read_text().splitlines()]
        values = {row[3]: list(map(float, row[6].split(",")))[:256] for row in rows if row[1] == rest}
        return np.array([values[name.upper()] for name in ORDER])
    rows = csv.reader((folder / recording).read_text().splitlines())
    values = {row[0]: list(map(float, row[1:]))[65:65 + 256] for row in rows}
    return np.array([values[name] for name in ORDER])


def test_the_same_seed_gives_the_same_parts_and_another_seed_others(folder):
    for output, seed in (("a", 1), ("b", 1), ("c", 2)):
        pretrain_data_processor.main(["--dir", str(folder), "--output", str(folder / output), "--seed", str(seed)])
    a, b, c = (load(folder / output) for output in "abc")
    assert a["train"]["recordings"] == b["train"]["recordings"] != c["train"]["recordings"]
    assert torch.equal(a["train"]["samples"], b["train"]["samples"])


def test_min_samples_keeps_shorter_trials_filled_with_the_mean_and_counted_in_lengths(folder):
    pretrain_data_processor.main(["--dir", str(folder), "--min_samples", "200"])
    parts = load(folder)
    lengths = torch.cat([parts[name]["lengths"] for name in ("train", "val", "test")])
    assert sorted(lengths.tolist()) == [200] * 2 + [256] * (6 * 2 + 8 + 4)
    for name in ("train", "val", "test"):
        for window, length in zip(parts[name]["samples"], parts[name]["lengths"], strict=True):
            assert (window[:, length:] == 0).all() and (window[:, :length] != 0).any()


def test_absent_sources_are_named_and_bdd_folders_may_lie_directly_in_dir(folder, capsys):
    pretrain_data_processor.main(["--dir", str(folder / "BDD")])
    printed = capsys.readouterr().out
    assert "MindBigData-MNIST: absent" in printed and "MindBigData-ImageNet: absent" in printed
    assert len(load(folder / "BDD")["train"]["samples"]) == 4 * 2


def test_lost_packets_end_a_window(tmp_path):
    counter = np.arange(700)
    counter[400:] += 5
    write_bdd(tmp_path / "a.csv", signals(np.random.default_rng(0), 700), counter % 128)
    assert [stretch.shape for stretch in bdd.read_recording(tmp_path / "a.csv")] == [(5, 400 - 65), (5, 300)]


def test_header_with_commas_in_a_name():
    assert bdd.split_header(HEADER)[6:] == ["MARKERS['Blank','Image']", "TICK", "ContactQuality"]
    assert bdd.split_header("MARKERS['Left','Right'], TICK\r\n") == ["MARKERS['Left','Right']", "TICK"]


def edit(path, change):
    path.write_bytes(change(path.read_bytes()))


BDD_FILE = "BDD/Baseline/0.csv"
IMAGENET_FILE = "MindBigData-Imagenet/Insight_n01.csv"


@pytest.mark.parametrize(("file", "change", "expected"), [
    (BDD_FILE, lambda text: text[: len(text) // 2 - 40], "cut short"),
    (BDD_FILE, lambda text: text[:3000] + b"\xff" + text[3001:], "damaged"),
    (BDD_FILE, lambda text: text.replace(b"e+03", b"x+03", 5), "could not convert"),
    (BDD_FILE, lambda text: text.replace(b"e+03", b"e+73", 5), "expected finite microvolts"),
    (BDD_FILE, lambda text: re.sub(rb"4\.\d+e\+03", b"nan", text, count=1), "sample 1 is nan"),
    (BDD_FILE, lambda text: text.replace(b" T8,", b" X8,", 1), "column T8 is missing"),
    (BDD_FILE, lambda text: text.split(b"\n")[0], "not followed by any sample"),
    (BDD_FILE, lambda text: b"", "is missing"),
    ("MindBigData-IN-v1.06/IN.txt", lambda text: text[:-500], "the row is damaged"),
    ("MindBigData-IN-v1.06/IN.txt", lambda text: text[: text.rindex(b"\n", 0, -1) + 1], "channel Pz is missing"),
    ("MindBigData-IN-v1.06/IN.txt", lambda text: text.replace(b".", b"\x00", 1), "expected a number"),
    ("MindBigData-IN-v1.06/IN.txt", lambda text: text.replace(b"\tIN\t", b"\tEP\t", 1), "device 'EP'"),
    ("MindBigData-IN-v1.06/IN.txt", lambda text: text.replace(b"\t", b" "), "tab-separated cells"),
    (IMAGENET_FILE, lambda text: text[:-200], "different lengths"),
    (IMAGENET_FILE, lambda text: text.replace(b"Pz", b"Oz"), "channel Pz is missing"),
    (IMAGENET_FILE, lambda text: text.replace(b"T8,", b"T8,inf,", 1), "expected finite"),
    (IMAGENET_FILE, lambda text: text.replace(b"T8,", b"T8,nan,", 1), "expected finite"),
    (IMAGENET_FILE, lambda text: text.replace(b"T8,", b"T8,,", 1), "expected a number"),
    (IMAGENET_FILE, lambda text: b"", "is missing"),
])
def test_damage_is_one_clear_message_and_can_be_left_out(folder, capsys, file, change, expected):
    edit(folder / file, change)
    message = fails(capsys, "--dir", folder)
    assert Path(file).name in message and expected in message and "--skip_damaged" in message
    assert not list(folder.glob("*.pt"))
    pretrain_data_processor.main(["--dir", str(folder), "--skip_damaged"])
    assert " damaged\n  " in capsys.readouterr().out
    assert load(folder)["train"]["samples"].isfinite().all()


def test_nothing_to_read_and_too_few_recordings(tmp_path, folder, capsys):
    (tmp_path / "empty").mkdir()
    assert "none of the sources is there" in fails(capsys, "--dir", tmp_path / "empty")
    assert "no such folder" in fails(capsys, "--dir", tmp_path / "nowhere")
    shutil.copytree(folder / "BDD" / "Baseline", tmp_path / "few" / "Baseline")
    assert "too few recordings" in fails(capsys, "--dir", tmp_path / "few")
    assert "--val_fraction" in fails(capsys, "--dir", folder, "--val_fraction", "0.6", "--test_fraction", "0.5")
    message = fails(capsys, "--dir", folder, "--val_fraction", "0.4", "--test_fraction", "0.5")
    assert "leave none of 4 for training" in message
    assert "--min_samples" in fails(capsys, "--dir", folder, "--min_samples", "0")


def test_a_constant_channel_cannot_be_normalised(tmp_path, capsys):
    for number in range(3):
        flat = signals(np.random.default_rng(number), 400) | {"T7": np.full(400, 4200.0)}
        write_imagenet(tmp_path / "MindBigData-Imagenet" / f"{number}.csv", flat)
    assert "channel T7 is constant" in fails(capsys, "--dir", tmp_path)


def test_a_full_disk_leaves_the_earlier_files_whole(folder, capsys, full_disk):
    pretrain_data_processor.main(["--dir", str(folder)])
    before = {name: (folder / f"{name}.pt").read_bytes() for name in load(folder)}

    with full_disk():
        assert "cannot be written" in fails(capsys, "--dir", folder, "--seed", "5")
    assert {name: (folder / f"{name}.pt").read_bytes() for name in before} == before and not list(folder.glob(".*.pt"))


def test_files_of_two_runs_are_not_trained_on(folder, tmp_path):
    """As a kill leaves them between two renames: recordings of one run's training part are in the other's validation."""
    pretrain_data_processor.main(["--dir", str(folder), "--output", str(tmp_path / "one")])
    pretrain_data_processor.main(["--dir", str(folder), "--output", str(tmp_path / "other"), "--seed", "5"])
    read_pretraining_data(tmp_path / "one")
    shutil.copy(tmp_path / "other" / "val.pt", tmp_path / "one")
    with pytest.raises(InputError, match="are of two runs of pretrain_data_processor"):
        read_pretraining_data(tmp_path / "one")


@pytest.mark.skipif(not REAL_BDD.is_dir(), reason=f"{REAL_BDD} is absent")
def test_real_bdd_windows_equal_the_files_cells(tmp_path):
    pretrain_data_processor.main(["--dir", str(REAL_BDD), "--output", str(tmp_path)])
    parts = load(tmp_path)
    assert parts["train"]["channels"] == ORDER and parts["train"]["sfreq"] == 128
    lengths = {path: len(path.read_text().splitlines()) - 1 for path in REAL_BDD.rglob("*.csv")}
    assert sum(len(parts[name]["labels"]) for name in ("train", "val", "test")) == sum(
        (count - 65) // 256 for count in lengths.values())
    recording = parts["test"]["recordings"][0]
    window = parts["test"]["samples"][0] * parts["standard"]["stdev_vals"][0] + parts["standard"]["mean_vals"][0]
    lines = (REAL_BDD / recording.removeprefix("BDD/")).read_text().splitlines()[1:]
    cells = np.array([line.split(",") for line in lines])
    np.testing.assert_allclose(window, cells[65:65 + 256, [1, 5, 3, 2, 4]].astype(float).T, atol=1e-2, rtol=0)
