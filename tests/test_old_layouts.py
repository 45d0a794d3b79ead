"""Data, checkpoints and captions that earlier versions wrote are still read, and give the numbers and captions of then.

Each earlier_layouts/<number>_<what was new>.zip holds what the scripts of a commit wrote: encoder/ with its scores,
captioner/, captions.csv, and data/ where its layout was new. The commits are in COMMITS. models.zip holds their tiny LLM
and CLIP. The predecessors' layouts are in test_predecessors.py and test_channelnet.py.
"""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluate
import inference
import test_eeg_classifier
from eegdata.trials import load_trials
from metrics.caption_files import read_captions

FOLDER = Path(__file__).parent / "earlier_layouts"
COMMITS = {"1_pth_data": "d7af45e", "2_data_folder": "45d9424", "3_options_used": "f1652f6", "4_identities": "3b37815",
           "5_hashes": "40b0a1b"}
SAID_OTHERWISE = ("ledger", "training_warnings", "calibration", "overlap", "same_split")  # in the first version or since


@pytest.fixture(params=COMMITS)
def layout(request, tmp_path, monkeypatch):
    """The layout's name; the current folder is one with all that it needs."""
    name = request.param
    data = [] if name == "1_pth_data" else ["2_data_folder"]
    for each in ("models", *data, name):
        with zipfile.ZipFile(FOLDER / f"{each}.zip") as archive:
            archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return name


def data_of(name):
    if name != "1_pth_data":
        return ["--eeg_dataset", "data"]
    return ["--eeg_dataset", "data/eeg.pth", "--splits_path", "data/splits.pth", "--image_dir", "data/images"]


def columns(file):
    with open(file, newline="", encoding="utf-8") as text:
        header, *rows = csv.reader(text)
    return {name: [row[place] for row in rows] for place, name in enumerate(header) if name != "model"}


def test_the_captioner_writes_the_captions_of_then(layout):
    inference.main(["--model_path", "captioner", *data_of(layout), "--dest", "new.csv", "--device", "cpu",
                    "--max_new_tokens", "8", "--repetition_penalty", "1"])
    old, new = columns("captions.csv"), columns("new.csv")
    assert len(set(old["Generated Caption"])) > 1 and old.keys() <= new.keys()
    assert {name: new[name] for name in old} == old


def test_the_encoder_has_the_scores_of_then(layout):
    more = ["--clip_model", "clip", "--picture", "photo"] if layout == "1_pth_data" else []
    test_eeg_classifier.main(["--output", "encoder", *data_of(layout), "--device", "cpu", "--results_dir", "new", *more])
    old, new = (json.loads(Path(file).read_text()) for file in ("encoder/test/scores.json", "new/scores.json"))
    old = {name: value for name, value in old.items() if name not in SAID_OTHERWISE}
    assert {"top1", "balanced_accuracy", "retrieval"} <= old.keys()
    for name, value in old.items():
        parts = value.items() if isinstance(value, dict) else [(name, value)]
        for part, number in parts:
            found = new[name][part] if isinstance(value, dict) else new[name]
            assert found == (pytest.approx(number, rel=1e-4) if isinstance(number, float | list) else number), (name, part)


def test_captions_are_evaluated(layout, capsys):
    captions = read_captions("captions.csv")
    assert (captions.record is None) == (layout == "1_pth_data") and len(captions.table) == 6
    evaluate.main(["captions.csv", "--metrics", "ROUGE-1", "--n_boot", "20", "--n_perm", "20", "--device", "cpu"])
    assert "eeg+label" in capsys.readouterr().out


def test_data_are_those_in_the_files(layout):
    import pyarrow

    trials = load_trials("data/eeg.pth" if layout == "1_pth_data" else "data")
    if layout == "1_pth_data":
        records = torch.load("data/eeg.pth")["dataset"]
        eeg, labels = np.stack([one["eeg"].numpy() for one in records]), [one["label"] for one in records]
    else:
        files = sorted(Path("data/trials").glob("*.arrow"))
        table = pyarrow.concat_tables([pyarrow.ipc.open_stream(file.read_bytes()).read_all() for file in files])
        eeg, labels = np.array(table["eeg"].to_pylist(), np.float32), table["label"].to_pylist()
    np.testing.assert_array_equal(trials.eeg[torch.arange(len(trials))].numpy(), eeg)
    assert trials.label.tolist() == labels and trials.sfreq == 128 and eeg.shape[:2] == (18, 64)
    assert set(trials.class_names.values()) == {"ball", "cup", "car"} and len(set(trials.names(slice(None)))) == 9
