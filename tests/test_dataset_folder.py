"""Data set folders: written, interrupted, opened, read by the stages and by `datasets`, refused when damaged."""

import dataclasses
import json
import shutil

from runtime.errors import InputError
from runtime.runs import LEDGER, read_json

import numpy as np
import pytest
import torch
from PIL import Image

import finetune_llm
import prepare_data
import test_eeg_classifier as scoring
import train_eeg_classifier as training
from eegdata import dataset_writer
from eegdata.dataset_folder import MappedEEG, open_folder, read_record
from eegdata.dataset_writer import write_folder
from eegdata.pictures import (
    machine_made,
    picture_path,
    read_captions,
    shows_another,
    write_captions,
    write_machine_captions,
    write_picture,
)
from eegdata.records import Block, DataSet, Picture, Recording
from eegdata.trials import load_trials

NAMES = ["cat_0", "cat_1", "dog_0", "dog_1"]
CHANNELS = ["Fz", "Cz", "Oz"]


def signals(subject, n=8):
    return np.random.default_rng(subject).normal(size=(n, 3, 50)).astype(np.float32) * 10


def data_set(folder, *, spoil=None, calls=None, pictures_known="yes", units="uV", blocks=2):
    """Two subjects with 8 trials each; `spoil` is applied to a block; `calls` collects which recordings were read."""
    photographs = {}
    for i, name in enumerate(NAMES):
        photographs[name] = folder / f"{name}.png"
        Image.new("RGB", (8, 8), (60 * i, 0, 90)).save(photographs[name])

    def reader(subject):
        def read():
            if calls is not None:
                calls.append(subject)
            for half in np.array_split(np.arange(8), blocks):
                block = Block(signals(subject)[half], half % 4 // 2, [NAMES[i % 4] for i in half], half * 1.5,
                              dropped={"amplitude above 100 uV": 1}, notes=[f"subject {subject}"])
                yield spoil(block) if spoil else block
        return read

    known = pictures_known != "no"
    return DataSet(
        [Recording(f"sub-{s}", s, 1, [s], reader(s)) for s in (1, 2)], sfreq=100, ch_names=CHANNELS, n_times=50, tmin=-.1,
        units=units, class_ids=["cat", "dog"], class_names=["cat", "dog"], pictures_known=pictures_known,
        pictures={name: Picture(path, (f"A {name[:3]}.", "Another wording.")) for name, path in photographs.items()
                  } if known else {}, about={"steps": []})


@pytest.fixture
def written(tmp_path):
    write_folder(data_set(tmp_path), tmp_path / "out", "test", "none")
    return tmp_path / "out"


def test_trials_come_back_as_they_were(written):
    trials = load_trials(written, time_low=0)
    everything = np.concatenate([signals(1), signals(2)])
    assert isinstance(trials.eeg, MappedEEG) and trials.eeg.shape == (16, 3, 50) and len(trials) == 16
    rows = torch.tensor([3, 15, 0, 8])
    assert np.array_equal(trials.eeg[rows].numpy(), everything[rows]) and trials.eeg[rows].dtype == torch.float32
    assert np.array_equal(trials.eeg[5].numpy(), everything[5]) and np.array_equal(trials.eeg[2:4].numpy(), everything[2:4])
    assert trials.subject.tolist() == [1] * 8 + [2] * 8 and trials.label.tolist() == [0, 0, 1, 1] * 4
    assert trials.names(torch.tensor([1, 2])) == ["cat_1", "dog_0"] and trials.onset[9] == 1.5
    assert trials.ch_names == CHANNELS and trials.class_names == {0: "cat", 1: "dog"} and trials.sfreq == 100
    entries = read_record(written)["recordings"]
    assert entries[0]["dropped"] == {"amplitude above 100 uV": 2} and entries[1]["notes"] == ["subject 2"] * 2
    assert (written / "images" / "dog" / "dog_1_caption.txt").read_text() == "A dog.\nAnother wording.\n"


def test_the_stages_read_from_the_picture_on_and_one_subject_where_asked(written):
    assert load_trials(written).eeg.shape == (16, 3, 40) and load_trials(written).tmin == pytest.approx(0)
    second = load_trials(written, 5, 25, subject=2)
    assert np.array_equal(second.eeg[[7, 0]].numpy(), signals(2)[[7, 0], :, 5:25])
    assert second.trial.tolist() == list(range(8, 16)) and second.tmin == pytest.approx(-.05)
    for window in ((0, 51), (10, 10)):
        with pytest.raises(InputError, match="time_low"):
            load_trials(written, *window)
    with pytest.raises(InputError, match="--subject 9"):
        load_trials(written, subject=9)


def test_recordings_are_scaled_each_by_its_own_deviation(tmp_path):
    write_folder(data_set(tmp_path, blocks=1), tmp_path / "out", "test", "recording")
    trials = load_trials(tmp_path / "out", time_low=0)
    for subject in (1, 2):
        own = signals(subject)
        deviation = own.std((0, 2), keepdims=True)
        np.testing.assert_allclose(trials.eeg[trials.subject == subject].numpy(), own / deviation, rtol=1e-5)
        np.testing.assert_allclose(read_record(tmp_path / "out")["recordings"][subject - 1]["scale"], deviation.ravel(),
                                   rtol=1e-6)


def test_hugging_face_datasets_reads_and_streams_it(written):
    from datasets import load_dataset

    table = load_dataset(str(written), split="train", streaming=True)
    rows = list(table)
    np.testing.assert_array_equal(np.array(rows[9]["eeg"], np.float32), signals(2)[1])
    assert rows[9]["picture"] == "cat_1" and table.features["label"].names == ["cat", "dog"]


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path, capsys):
    def stop(block):
        if block.notes == ["subject 2"]:
            raise KeyboardInterrupt
        return block

    with pytest.raises(KeyboardInterrupt):
        write_folder(data_set(tmp_path, spoil=stop), tmp_path / "out", "test", "none")
    with pytest.raises(InputError, match="not finished"):
        load_trials(tmp_path / "out")
    calls = []
    write_folder(data_set(tmp_path, calls=calls), tmp_path / "out", "test", "none")
    assert calls == [2]
    write_folder(data_set(tmp_path), tmp_path / "whole", "test", "none")
    for path in (tmp_path / "whole").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "whole")).read_bytes(), path.name
    calls.clear()
    capsys.readouterr()
    write_folder(data_set(tmp_path, calls=calls), tmp_path / "out", "test", "none")
    assert not calls and "already" in capsys.readouterr().out


def test_what_an_interrupted_run_with_other_options_left_is_gone(tmp_path):
    def stop(block):
        if block.notes == ["subject 2"]:
            raise KeyboardInterrupt
        return block

    with pytest.raises(KeyboardInterrupt):
        write_folder(data_set(tmp_path, spoil=stop, blocks=4), tmp_path / "out", "test", "none")
    (tmp_path / "out" / "trials" / ".00001-000.arrow.killed.arrow").write_bytes(b"half")
    write_folder(data_set(tmp_path, blocks=1), tmp_path / "out", "test", "recording")
    names = sorted(path.name for path in (tmp_path / "out" / "trials").iterdir())
    assert names == ["00000-000.arrow", "00000.json", "00001-000.arrow", "00001.json"]
    assert len(load_trials(tmp_path / "out")) == 16


def test_another_data_set_is_replaced_only_when_asked(written, tmp_path):
    before = read_record(written)["fingerprint"]
    other = data_set(tmp_path)
    other.sfreq = 200
    with pytest.raises(InputError, match="--overwrite"):
        write_folder(other, written, "test", "none")
    assert read_record(written)["fingerprint"] == before
    write_folder(other, written, "test", "none", overwrite=True)
    assert read_record(written)["sfreq"] == 200 and read_record(written)["fingerprint"] != before


def test_a_removal_that_was_interrupted_is_gone_on_with(written, tmp_path, monkeypatch):
    """Where the trials went before the pictures, the folder was taken for one of other things and refused ever after."""
    remove = dataset_writer.shutil.rmtree

    def stop(path):
        remove(path)
        raise KeyboardInterrupt

    (written / "splits.pth").write_bytes(b"")
    monkeypatch.setattr(dataset_writer.shutil, "rmtree", stop)
    with pytest.raises(KeyboardInterrupt):
        write_folder(data_set(tmp_path), written, "test", "recording", overwrite=True)
    monkeypatch.undo()
    assert not (written / "dataset.json").exists() and (written / "trials").is_dir()
    write_folder(data_set(tmp_path), written, "test", "recording", overwrite=True)
    assert len(load_trials(written)) == 16


def test_the_ledger_beside_the_data_stays(written, tmp_path):
    """It is no part of the data: their fingerprint stays, other data may come, and an unfinished folder goes on."""
    before, ledger = read_record(written)["fingerprint"], written / LEDGER
    ledger.write_text("mine\n")
    write_folder(data_set(tmp_path), written, "test", "none", overwrite=True)
    assert read_record(written)["fingerprint"] == before and len(load_trials(written)) and ledger.read_text() == "mine\n"
    (written / "dataset.json").unlink()  # as a stop leaves it
    write_folder(data_set(tmp_path), written, "test", "none")
    assert read_record(written)["fingerprint"] == before and ledger.read_text() == "mine\n"


def test_pictures_of_another_data_set_are_left_alone(tmp_path):
    stranger = tmp_path / "out" / "images" / "cow" / "cow_1.JPEG"
    stranger.parent.mkdir(parents=True)
    stranger.write_bytes(b"mine")
    with pytest.raises(InputError, match="cow_1"):
        write_folder(data_set(tmp_path), tmp_path / "out", "test", "none")
    assert stranger.read_bytes() == b"mine"


def test_a_folder_of_other_things_is_not_written_to(tmp_path):
    """Even with --overwrite: its README.md or images may be somebody's."""
    for name in ("me.edf", "README.md"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_bytes(b"mine")
        for overwrite in (False, True):
            with pytest.raises(InputError, match=f"holds {name} and no data set"):
                write_folder(data_set(tmp_path), folder, "test", "none", overwrite)
        assert [path.name for path in folder.iterdir()] == [name] and (folder / name).read_bytes() == b"mine"


def test_pictures_are_not_read_from_where_they_are_written(written):
    data = data_set(written / "images")
    with pytest.raises(InputError, match="lies in its folder images"):
        write_folder(data, written, "test", "none", overwrite=True)
    assert (written / "images" / "cat_0.png").is_file()


def test_captions_that_come_later_are_taken(tmp_path, capsys):
    """Where there are none yet, or a model's; a person's in the folder stay, and it says so."""
    data, images = data_set(tmp_path), tmp_path / "out" / "images"
    captions = {name: picture.captions for name, picture in data.pictures.items()}
    for picture in data.pictures.values():
        picture.captions = ()
    write_folder(data, tmp_path / "out", "test", "none")
    write_captions(images, {"cat_0": "Mine."})
    write_machine_captions(images, {"cat_1": "A model's."}, "blip")
    for name, picture in data.pictures.items():
        picture.captions = captions[name]
    capsys.readouterr()
    write_folder(data, tmp_path / "out", "test", "none")
    assert "1 pictures, cat_0 among them, keep captions" in capsys.readouterr().out and machine_made(images) == {}
    found = {name: tuple(read_captions(images, name)) for name in NAMES}
    assert found == captions | {"cat_0": ("Mine.",)}


def test_a_persons_caption_stays_where_the_source_brings_those_of_a_model(tmp_path, capsys):
    """A second run replaced it, and said that it is kept."""
    data, images = data_set(tmp_path), tmp_path / "out" / "images"
    data.captions_by = "BLIP"
    write_folder(data, tmp_path / "out", "test", "none")
    write_captions(images, {"cat_0": "Mine."})
    write_folder(data, tmp_path / "out", "test", "none")
    assert "1 pictures, cat_0 among them, keep captions" in capsys.readouterr().out
    assert read_captions(images, "cat_0") == ["Mine."] and set(machine_made(images)) == set(NAMES) - {"cat_0"}


def test_a_second_run_tells_of_pictures_that_changed_and_takes_sketches_that_came(tmp_path, capsys):
    """It kept the old ones without a word, and went on embedding photographs where a new folder's sketches were."""
    data, out = data_set(tmp_path), tmp_path / "out"
    write_folder(data, out, "test", "none")
    for name, picture in data.pictures.items():
        picture.sketch = tmp_path / f"{name}_sketch.png"
        Image.new("RGB", (8, 8), (9, 9, 9)).save(picture.sketch)
    write_folder(data, out, "test", "none")
    printed = capsys.readouterr().out
    assert "have sketches now" in printed and read_record(out)["picture"] == "sketch" and "stay as they are" not in printed
    assert all(picture_path(out / "images", name, "sketch").is_file() for name in NAMES)
    Image.new("RGB", (8, 8), (0, 200, 0)).save(data.pictures["dog_0"].photo)
    before = picture_path(out / "images", "dog_0").read_bytes()
    write_folder(data, out, "test", "none")
    assert "1 pictures, dog_0 among them, stay as they are" in capsys.readouterr().out
    assert picture_path(out / "images", "dog_0").read_bytes() == before
    write_folder(data, out, "test", "none", overwrite=True)
    assert picture_path(out / "images", "dog_0").read_bytes() != before


@pytest.mark.parametrize("kind", ["photo.jpg", "turned.jpg", "noise.png", "clear.png", "grey.gif"])
def test_a_picture_that_did_not_change_is_known(tmp_path, kind):
    """Be it copied or made anew from a file of another kind."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    image = Image.fromarray(pixels) if kind == "clear.png" else Image.fromarray(pixels[:, :, :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    (image.convert("L") if kind == "grey.gif" else image).save(
        tmp_path / kind, **({"exif": exif} if kind == "turned.jpg" else {}))
    picture = Picture(tmp_path / kind)
    write_picture(tmp_path / "images", "cat_0", picture)
    assert not shows_another(tmp_path / "images", "cat_0", picture)
    image.resize((30, 20)).convert("RGB").save(tmp_path / "other.png")
    assert shows_another(tmp_path / "images", "cat_0", Picture(tmp_path / "other.png"))


def with_nan(block):
    block.eeg[1, 2, 3] = np.nan
    return block


def of_other_length(block):
    block.eeg = block.eeg[:, :, :-1]
    return block


def of_unknown_picture(block):
    block.picture[0] = "cow_1"
    return block


def empty(block):
    return Block(block.eeg[:0], block.label[:0], [], block.onset[:0], dropped={"amplitude above 100 uV": 4})


@pytest.mark.parametrize(("spoil", "message"), [(with_nan, "sub-1: trial 1, channel Oz holds NaN"),
                                                (of_other_length, "shape"), (of_unknown_picture, "cow_1"),
                                                (empty, "amplitude above 100 uV")])
def test_bad_trials_are_refused_and_leave_no_data_set(tmp_path, spoil, message):
    with pytest.raises(InputError, match=message):
        write_folder(data_set(tmp_path, spoil=spoil), tmp_path / "out", "test", "none")
    assert not (tmp_path / "out" / "dataset.json").exists()


def cut(folder):
    shard = folder / "trials" / "00001-000.arrow"
    shard.write_bytes(shard.read_bytes()[:-100])


def flip_header(folder):
    shard = folder / "trials" / "00000-000.arrow"
    content = bytearray(shard.read_bytes())
    content[0:64] = b"\xff" * 64
    shard.write_bytes(content)


def lose(folder):
    (folder / "trials" / "00000-001.arrow").unlink()


def other_format(folder):
    change(folder, format="something")


def change(folder, **fields):
    record = read_json(folder / "dataset.json")
    (folder / "dataset.json").write_text(json.dumps(record | fields))


def lose_key(folder):
    record = read_json(folder / "dataset.json")
    del record["sfreq"]
    (folder / "dataset.json").write_text(json.dumps(record))


def spoil_json(folder):
    (folder / "dataset.json").write_text("{")


@pytest.mark.parametrize(("damage", "message"), [
    (cut, "00001-000.arrow.*expected"), (flip_header, "00000-000.arrow.*damaged"), (lose, "00000-001.arrow.*absent"),
    (other_format, "format 'something'"), (spoil_json, "not readable as JSON"), (lose_key, "sfreq missing"),
    (lambda f: change(f, recordings=[]), "recordings"), (lambda f: change(f, pictures=NAMES[:3]), "dog_1"),
    (lambda f: change(f, n_times=49), "damaged"), (lambda f: change(f, class_names=["cat"]), "class that dataset.json")])
def test_damaged_folders_are_refused(written, damage, message):
    damage(written)
    with pytest.raises(InputError, match=message):
        load_trials(written)


def test_a_channel_matrix_is_applied_on_reading(written):
    trials = load_trials(written, time_low=0)
    matrix = torch.tensor([[0., 0., 1.], [.5, .5, 0.]])
    eeg = trials.eeg.with_channels(matrix)
    assert eeg.shape == (16, 2, 50)
    np.testing.assert_allclose(eeg[[2]][0, 1], signals(1)[2, :2].mean(0), rtol=1e-5)
    np.testing.assert_allclose(eeg.with_channels(torch.tensor([[2., 0.]]))[2], 2 * signals(1)[2, 2:], rtol=1e-5)


def test_folder_and_file_give_the_same_encoder(data, clip, tmp_path):
    """Stage 1 on a folder, without further paths, is stage 1 on the .pth of the same trials."""
    from eegdata.splits import read_splits, write_splits
    from tiny import data_arguments

    whole = load_trials(data / "eeg.pth")
    parts = [np.flatnonzero(whole.subject == s) for s in (1, 2)]
    pictures = {name: Picture(picture_path(data / "images", name), ("A picture.",)) for name in whole.images}
    made = DataSet(
        [Recording(f"sub-{i}", i + 1, 1, i, lambda rows=rows: iter([Block(
            whole.eeg[rows].numpy(), whole.label[rows].numpy(), whole.names(torch.from_numpy(rows)), rows * 1.)]))
         for i, rows in enumerate(parts)], sfreq=128, ch_names=whole.ch_names, n_times=64, tmin=0., units="standardised",
        class_ids=list(whole.class_names.values()), class_names=list(whole.class_names.values()), pictures=pictures)
    write_folder(made, tmp_path / "folder", "test", "none")
    place = {record: i for i, record in enumerate(np.concatenate(parts).tolist())}
    split = read_splits(data / "splits.pth")[0]
    write_splits(tmp_path / "folder" / "splits.pth", {part: [place[i] for i in split[part]] for part in split})
    scores = []
    for name, where in (("folder", ["--eeg_dataset", str(tmp_path / "folder")]),
                        ("file", [*data_arguments(data), "--picture", "photo"])):
        common = [*where, "--clip_model", str(clip), "--output", str(tmp_path / name)]
        training.main([*common, "--num_epochs", "2", "--batch_size", "256"])
        scoring.main(common)
        scores.append(json.loads((tmp_path / name / "test" / "scores.json").read_text()))
    assert scores[0]["top1"] == scores[1]["top1"] and scores[0]["retrieval"]["top5"] == scores[1]["retrieval"]["top5"]


def test_a_data_set_without_pictures_trains_a_classifier_only(tmp_path, capsys):
    from eegdata.splits import write_splits

    def unnamed(block):
        block.picture = [f"{('cat', 'dog')[label]}_unknown" for label in block.label]
        return block

    write_folder(data_set(tmp_path, pictures_known="no", spoil=unnamed), tmp_path / "out", "test", "recording")
    write_splits(tmp_path / "out" / "splits.pth", {"train": range(8), "val": range(8, 12), "test": range(12, 16)})
    common = ["--eeg_dataset", str(tmp_path / "out"), "--output", str(tmp_path / "encoder")]
    with pytest.raises(SystemExit) as stop:
        training.main([*common, "--num_epochs", "1"])
    assert stop.value.code == 2 and "--loss_weight 0" in capsys.readouterr().err
    training.main([*common, "--num_epochs", "1", "--loss_weight", "0"])
    scoring.main(common)
    scores = json.loads((tmp_path / "encoder" / "test" / "scores.json").read_text())
    assert scores["n"] == 4 and "retrieval" not in scores
    with pytest.raises(SystemExit) as stop:
        finetune_llm.main(["--eeg_dataset", str(tmp_path / "out"), "--eeg_encoder_path", str(tmp_path / "encoder"),
                           "--output", str(tmp_path / "captioner")])
    assert stop.value.code == 2 and "no pictures" in capsys.readouterr().err


def test_opening_reads_no_trial(written):
    """The arrays lie on disk: nothing is copied into memory before trials are asked for."""
    _, blocks, columns = open_folder(written)
    assert all(not block.flags.owndata and not block.flags.writeable for block in blocks)
    assert len(columns["label"]) == 16
    shutil.rmtree(written)


def test_a_missing_package_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(prepare_data, "find_spec", lambda name: None if name == "mne" else True)
    for command in (["simulated", "--output", str(tmp_path / "out")], ["audit", str(tmp_path)]):
        with pytest.raises(SystemExit) as stop:
            prepare_data.main(command)
        assert stop.value.code == 2 and "mne" in capsys.readouterr().err


DRAWN = ["--n_subjects", "1", "--n_pictures", "12", "--classes", "car", "cup", "--image_size", "32", "--no_audit"]


def test_pictures_of_an_interrupted_run_with_another_seed_are_replaced(tmp_path, monkeypatch):
    """Names are the same (car_0000), what is drawn is not."""
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dataset_writer, "_write_trials", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_data.main(["simulated", *DRAWN, "--seed", "0", "--output", str(tmp_path / "a")])
    for name in "ab":
        prepare_data.main(["simulated", *DRAWN, "--seed", "1", "--output", str(tmp_path / name)])
    files = sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b" / "images").rglob("*") if p.is_file())
    assert files and all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_two_classes_of_one_name_are_refused_before_anything_is_written(tmp_path):
    data = dataclasses.replace(data_set(tmp_path), class_names=["cat", "cat"])
    with pytest.raises(InputError, match="class name 'cat': 2 classes have 1 names"):
        write_folder(data, tmp_path / "other", "test", "none")
    assert not (tmp_path / "other").exists()
