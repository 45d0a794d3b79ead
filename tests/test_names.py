"""Names that files hold are never used as paths: nothing is read or written outside the folder that they belong to."""

import json
import shutil

from runtime.errors import InputError
from runtime.names import below
from runtime.runs import read_json

import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import evaluate
import prepare_data
import train_eeg_classifier
from eegdata.pictures import caption_path, picture_path, write_captions, write_machine_captions
from report_material import make_run

OUTSIDE = ("../../outside/x_1", "/outside/x_1", "..", ".._1", "a/../../x_1", "a\\..\\x_1", "", "x\0_1")


@pytest.mark.parametrize("name", OUTSIDE)
def test_pictures_and_captions_stay_in_their_folder(tmp_path, name):
    for refused in (lambda: picture_path(tmp_path / "images", name), lambda: caption_path(tmp_path / "images", name),
                    lambda: write_captions(tmp_path / "images", {name: "A cat."}),
                    lambda: write_machine_captions(tmp_path / "images", {name: "A cat."}, "model")):
        with pytest.raises(InputError, match="expected the plain name"):
            refused()
    assert not list(tmp_path.rglob("*_caption.txt"))


@given(st.text())
def test_any_name_stays_below_or_is_refused(name):
    try:
        path = below("/folder", name, "file")
    except InputError:
        return
    assert path.parent.as_posix() == "/folder" and path.name == name


@pytest.mark.parametrize("name", ["x" * 256, "\u00e4" * 128, "a_" + "1" * 250])
def test_a_name_too_long_for_a_file_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="too long"):
        picture_path(tmp_path / "images", name)
    with pytest.raises(InputError, match="too long"):
        caption_path(tmp_path / "images", name)


def refusal(capsys, main, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("name", ["/etc/passwd", "../../away.arrow"])
def test_shards_lie_in_their_folder(tmp_path, capsys, name):
    run = make_run(tmp_path / "run")
    record = read_json(run / "data" / "dataset.json")
    shutil.copy(run / "data" / "trials" / record["recordings"][0]["shards"][0]["file"], tmp_path / "away.arrow")
    record["recordings"][0]["shards"][0]["file"] = name
    (run / "data" / "dataset.json").write_text(json.dumps(record))
    assert f"dataset.json: names {name!r}" in refusal(capsys, prepare_data.main, "audit", run / "data")


def test_picture_names_of_a_file_lie_in_their_folder(data, clip, tmp_path, capsys):
    content = torch.load(data / "eeg.pth", weights_only=True)
    content["images"] = [f"{name.split('_')[0]}_/../../{name}" for name in content["images"]]
    torch.save(content, tmp_path / "eeg.pth")
    said = refusal(capsys, train_eeg_classifier.main, "--eeg_dataset", tmp_path / "eeg.pth", "--splits_path",
                   data / "splits.pth", "--image_dir", data / "images", "--clip_model", clip, "--output", tmp_path / "out",
                   "--num_epochs", "1", "--device", "cpu")
    assert "expected the plain name" in said


def test_a_report_shows_no_picture_from_elsewhere(tmp_path):
    run = make_run(tmp_path / "run")
    shutil.rmtree(run / "data" / "images")
    for place, shown in ((tmp_path / "secret.JPEG", False), (run / "results" / "mine.JPEG", True)):
        Image.new("RGB", (8, 8), "red").save(place)
        for file in (run / "results").glob("*.csv"):
            table = pandas.read_csv(file, dtype=str, keep_default_na=False)
            table["Ground Truth Image"] = str(place)
            table.to_csv(file, index=False)
        evaluate.main([*map(str, sorted((run / "results").glob("*.csv"))), "--metrics", "ROUGE-1", "--n_boot", "100",
                       "--n_perm", "99", "--report", str(run / "report"), "--examples", "6"])
        page = (run / "report" / "report.html").read_text()
        assert ("data:image/jpeg" in page) is shown
        assert ("lie outside the folder of the captions" in page) is not shown
