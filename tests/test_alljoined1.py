"""Alljoined1 in every published layout: trials against NumPy, the chain of ids, parts, captions, objects."""

import json
import re
import shutil

from runtime.errors import InputError

import mne
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.io
from PIL import Image

import prepare_data
from eegdata.dataset_folder import open_folder
from eegdata.pictures import read_captions
from eegdata.splits import load_split
from eegdata.trials import load_trials
from raw_runs import AS_IT_IS
from sources import pandas_h5

NAMES = mne.channels.make_standard_montage("biosemi64").ch_names
SHOWN = 12  # pictures that the made sessions show
MADE = {"nsd_first": 100, "step": 3, "coco_first": 262145}  # numbers that nothing can be taken for


def nsd(event):
    return MADE["nsd_first"] + MADE["step"] * event


def coco(event):
    return MADE["coco_first"] + 7 * event


@pytest.fixture(scope="module")
def ids(tmp_path_factory):
    """The publishers' three files, with made-up numbers of the same form."""
    folder = tmp_path_factory.mktemp("ids")
    order = np.random.default_rng(0).permutation(np.arange(1, 961))
    rows = [{"nsdId": str(nsd(int(event))), "cocoId": str(coco(int(event))), "cocoSplit": "train2017",
             "caption": f"The only caption of {event}."} for event in order]
    (folder / "captions.json").write_text(json.dumps(rows))
    scipy.io.savemat(folder / "nsd_expdesign.mat", {"sharedix": np.array([[nsd(event) + 1 for event in range(1, 1001)]])})
    (folder / "test_indices.json").write_text(json.dumps([nsd(event) for event in range(3, 961, 4)]))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "nsd").mkdir()
    for event in range(1, SHOWN + 1):
        Image.new("RGB", (16, 16), (20 * event, 0, 90)).save(folder / "nsd" / f"{nsd(event)}.png")
    return folder


@pytest.fixture(scope="module")
def annotations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    texts = [{"id": number, "image_id": coco(event), "caption": f"Wording {wording} of {event}. \n"}
             for number, (event, wording) in enumerate((event, wording) for wording in range(5) for event in range(1, 961))]
    (folder / "captions_train2017.json").write_text(json.dumps({"annotations": texts}))
    kinds = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}]
    objects = [{"image_id": coco(event), "category_id": kind} for event in range(1, 961)
               for kind in ((1, 18, 18) if event % 2 else (90,) if event % 3 else ())]
    (folder / "instances_train2017.json").write_text(json.dumps({"categories": kinds, "annotations": objects}))
    return folder


def prepare(folder, *options):
    prepare_data.main(["alljoined1", "--output", str(folder), "--scale", "none", "--no_audit", *map(str, options)])
    record, blocks, columns = open_folder(folder)
    return record, np.concatenate(blocks), columns


def fails(capsys, folder, *options):
    with pytest.raises(SystemExit) as stop:
        prepare(folder, *options)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def raw_session(seed=0, seconds=40):
    """A continuous recording, events [trials] in the order of presentation, and their samples."""
    rng = np.random.default_rng(seed)
    raw = mne.io.RawArray(rng.normal(size=(64, 512 * seconds)) * 1e-5, mne.create_info(NAMES, 512, "eeg"), verbose="error")
    shown = np.concatenate([rng.permutation(np.arange(1, SHOWN + 1)), rng.permutation(np.arange(1, SHOWN + 1))])
    return raw, shown, (512 * (2 + 1.3 * np.arange(len(shown)))).astype(int)


def windows(raw, samples):
    """0.05 s before to 0.6 s after, in microvolts."""
    data = raw.get_data() * 1e6
    return np.stack([data[:, at - 26:at + 307] for at in samples])


def write_bids(root, raw, shown, samples, name="sub-01/ses-01", stim="nsd/{nsd}.png"):
    folder = root / name / "eeg"
    folder.mkdir(parents=True)
    stem = f"{name.replace('/', '_')}_task-images"
    mne.export.export_raw(folder / f"{stem}_eeg.edf", raw, overwrite=True, verbose="error", physical_range="channelwise")
    rows = [f"{at / 512}\t0.0\timage/{event}\t{event}\t{at}\t{stim.format(nsd=nsd(event), coco=coco(event))}\n"
            for event, at in zip(shown.tolist(), samples.tolist(), strict=True)]
    (folder / f"{stem}_events.tsv").write_text("onset\tduration\ttrial_type\tvalue\tsample\tstim_file\n" + "".join(rows))
    (folder / f"{stem}_channels.tsv").write_text("name\ttype\tunits\n" + "".join(f"{name}\tEEG\tuV\n" for name in NAMES))
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    return root


def check(record, columns, shown, times, ids_are=nsd):
    """Pictures, parts and times are those of the events."""
    assert [int(name.split("_")[2]) for name in columns["picture"]] == [ids_are(event) for event in shown.tolist()]
    assert [int(name.split("_")[1]) for name in columns["picture"]] == [coco(event) for event in shown.tolist()]
    assert columns["part"].tolist() == ["test" if event % 4 == 3 else "train" for event in shown.tolist()]
    assert columns["onset"] == pytest.approx(times) and (columns["label"] == -1).all()
    assert record["class_ids"] == [] and record["split_by"] == "given" and record["tmin"] == pytest.approx(-26 / 512)
    assert "CC BY-NC-ND" in record["about"]["licence"]


@pytest.mark.parametrize("stim", ["nsd/{nsd}.png", "stimuli/train2017/{coco:012d}.jpg"])
def test_bids_of_nemar(ids, pictures, annotations, tmp_path, stim):
    raw, shown, samples = raw_session()
    root = write_bids(tmp_path / "nm000133", raw, shown, samples, stim=stim)
    record, eeg, columns = prepare(tmp_path / "out", "--bids", root, "--pictures", pictures, "--ids", ids, "--annotations",
                                   annotations / "captions_train2017.json", *AS_IT_IS)
    check(record, columns, shown, samples / 512)
    assert np.abs(eeg - windows(raw, samples)).max() < .01  # EDF has 16 bits
    name = columns["picture"][0]
    assert read_captions(tmp_path / "out" / "images", name) == [f"Wording {i} of {shown[0]}." for i in range(5)]
    trials = load_trials(tmp_path / "out")
    split = load_split(tmp_path / "out" / "splits.pth", trials)
    assert {int(name.split("_")[2]) for name in trials.names(split["test"])} == {nsd(event) for event in (3, 7, 11)}
    assert len(split["val"]) and not set(trials.names(split["val"])) & set(trials.names(split["train"]))


def test_continuous_files_of_osf(ids, pictures, tmp_path, capsys):
    raw, shown, samples = raw_session(1)
    codes = np.zeros((1, raw.n_times))
    for event, at in zip(shown, samples, strict=True):
        codes[0, at:at + 20] = event
    status = mne.io.RawArray(codes, mne.create_info(["Status"], 512, "stim"), verbose="error")
    raw.add_channels([status], force_update_info=True)
    (tmp_path / "raw").mkdir()
    raw.save(tmp_path / "raw" / "subj05_session2_eeg.fif", verbose="error")
    record, eeg, columns = prepare(tmp_path / "out", "--recordings", tmp_path / "raw", "--pictures", pictures, "--ids", ids,
                                   *AS_IT_IS)
    check(record, columns, shown, samples / 512)
    assert eeg == pytest.approx(windows(raw.copy().pick("eeg"), samples), abs=1e-3)
    assert set(columns["subject"]) == {5} and set(columns["session"]) == {2}
    assert record["about"]["subjects"] == {"5": "5"} and record["about"]["sessions"] == {"2": "2"}
    assert "counts as a subject" not in capsys.readouterr().out


def test_epochs_of_osf_and_the_unusable_session(ids, pictures, annotations, tmp_path, capsys):
    (tmp_path / "osf").mkdir()
    for person, session in ((1, 1), (2, 2)):
        raw, shown, samples = raw_session(person)
        events = np.stack([samples, np.zeros_like(samples), shown], 1)
        epochs = mne.Epochs(raw, events, None, -26 / 512, 306 / 512, baseline=None, preload=True, verbose="error")
        epochs.save(tmp_path / "osf" / f"subj0{person}_session{session}_epo.fif", verbose="error")
    options = ("--epochs", tmp_path / "osf", "--pictures", pictures, "--ids", ids)
    record, eeg, columns = prepare(tmp_path / "out", *options, "--annotations", annotations / "instances_train2017.json")
    assert "left out, as the publishers call them unusable: subj02_session2_epo.fif" in capsys.readouterr().out
    others = json.loads((annotations / "instances_train2017.json").read_text())
    others["images"] = [{"id": 139}, {"id": 285}]
    (tmp_path / "instances_val2017.json").write_text(json.dumps(others))
    assert "are in no file of objects" in fails(capsys, tmp_path / "no", *options, "--annotations",
                                                tmp_path / "instances_val2017.json")  # no picture had any object
    assert "--reject: the trials of --epochs are cut" in fails(capsys, tmp_path / "no", *options, "--reject", "100")
    raw, shown, samples = raw_session(1)
    record["class_ids"] = []  # of objects, here
    check(record, columns, shown, samples / 512)
    assert eeg == pytest.approx(windows(raw, samples), abs=1e-3) and set(columns["subject"]) == {1}
    trials = load_trials(tmp_path / "out")
    assert trials.words(slice(None)) == [
        "person, dog" if event % 2 else "toothbrush" if event % 3 else "" for event in shown.tolist()]
    assert read_captions(tmp_path / "out" / "images", columns["picture"][0]) == [f"The only caption of {shown[0]}."]
    _, eeg, columns = prepare(tmp_path / "all", *options, "--keep_unusable", "--event_delay", "0.1")
    assert set(columns["subject"]) == {1, 2} and load_trials(tmp_path / "all", 0).tmin == pytest.approx(-26 / 512 - .1)


def table(person, session, first=0):
    """The columns of the publishers' tables, `first` added to 73k_id."""
    rng = np.random.default_rng(person)
    shown = rng.permutation(np.arange(1, SHOWN + 1))
    eeg = rng.normal(size=(SHOWN, 64, 334)) * 1e-5
    return shown, eeg, {
        "subject_id": [person] * SHOWN, "session": [session] * SHOWN, "block": [1] * SHOWN, "trial": list(range(SHOWN)),
        "73k_id": [nsd(event) + first for event in shown.tolist()], "coco_id": [coco(event) for event in shown.tolist()],
        "curr_time": [(1000 + 700 * row) / 512 for row in range(SHOWN)]}


@pytest.mark.parametrize("first", [0, 1])
def test_table_of_the_hub(ids, pictures, tmp_path, capsys, first):
    parts = [table(1, 1, first), table(3, 2, first)]
    rows = {name: parts[0][2][name] + parts[1][2][name] for name in parts[0][2]}
    eeg = np.concatenate([parts[0][1], parts[1][1]])
    order = np.random.default_rng(9).permutation(len(eeg))  # the Hub's rows are shuffled
    content = {name: [values[i] for i in order] for name, values in rows.items()}
    content["EEG"] = [eeg[i].tolist() for i in order]
    pyarrow.parquet.write_table(pyarrow.table(content), tmp_path / "train-00000.parquet")
    record, found, columns = prepare(tmp_path / "out", "--epochs", tmp_path / "train-00000.parquet", "--pictures", pictures,
                                     "--ids", ids)
    shown = np.concatenate([parts[0][0], parts[1][0]])
    record["tmin"] = -26 / 512  # 0.05 s by the table
    check(record, columns, shown, rows["curr_time"])
    assert found == pytest.approx(eeg * 1e6, abs=1e-3)
    assert ("counts from 1" in capsys.readouterr().out) == bool(first)


@pytest.mark.parametrize(("name", "value"), [("subject_id", "subj01"), ("session", None), ("coco_id", 1.5),
                                             ("curr_time", None)])
def test_table_of_the_hub_with_a_cell_that_is_no_number(ids, pictures, tmp_path, capsys, name, value):
    _, eeg, content = table(1, 1, 0)
    content[name] = [value] * len(eeg)
    content["EEG"] = [trial.tolist() for trial in eeg]
    pyarrow.parquet.write_table(pyarrow.table(content), tmp_path / "train-00000.parquet")
    message = fails(capsys, tmp_path / "out", "--epochs", tmp_path / "train-00000.parquet", "--pictures", pictures, "--ids",
                    ids)
    assert f"row 0 has {name} '{value}', expected a " in message


def test_h5_of_osf(ids, pictures, tmp_path):
    """A file as pandas 3.1 with PyTables writes it, made here with h5py: three blocks, one of them a pickle."""
    import pickle

    import h5py

    shown, eeg, columns = table(1, 1)
    objects = np.empty((1, SHOWN), object)
    for row in range(SHOWN):
        objects[0, row] = eeg[row]
    with h5py.File(tmp_path / "subj01_session1.h5", "w") as file:
        group = file.create_group("df")
        group.attrs.update({"pandas_type": np.bytes_(b"frame"), "nblocks": 3})
        group["axis1"] = np.arange(SHOWN)
        whole = ["subject_id", "session", "block", "trial", "73k_id", "coco_id"]
        group["block0_items"], group["block1_items"] = np.array(whole, "S10"), np.array(["eeg"], "S3")
        group["block0_values"] = np.array([columns[name] for name in whole]).T
        values = group.create_dataset("block1_values", (1,), h5py.vlen_dtype(np.uint8))
        values[0] = np.frombuffer(pickle.dumps(objects, 5), np.uint8)
        group["block2_items"], group["block2_values"] = np.array(["curr_time"], "S9"), np.array([columns["curr_time"]]).T
    record, found, got = prepare(tmp_path / "out", "--epochs", tmp_path / "subj01_session1.h5", "--pictures", pictures,
                                 "--ids", ids)
    record["tmin"] = -26 / 512
    check(record, got, shown, columns["curr_time"])
    assert found == pytest.approx(eeg * 1e6, abs=1e-3)


@pytest.mark.parametrize("hostile, named", [
    ("link", "/df leads to another place"), ("raw", "/df/block0_values leads to another place"),
    ("virtual", "/df/block0_values leads to another place"), ("size", "/df/axis1 claims 1073741824 bytes, but 0")])
def test_h5_holds_all_itself(tmp_path, hostile, named):
    """An HDF5 file may take its values from any other file, as EEG, or claim a terabyte in a few kB."""
    import h5py

    def write(name, rows=4, **options):
        with h5py.File(tmp_path / name, "w") as file:
            group = file.create_group("df")
            group.attrs["pandas_type"], group.attrs["nblocks"] = np.bytes_("frame"), 1
            group.create_dataset("axis1", (rows,), "i1", chunks=(4,), data=np.zeros(4, "i1") if rows == 4 else None)
            group["block0_items"] = np.array([b"session"])
            group.create_dataset("block0_values", (rows, 1), "f8", **options)

    (tmp_path / "secret").write_bytes(bytes(32))
    write("sound.h5", data=np.ones((4, 1)))
    assert pandas_h5.read_frame(tmp_path / "sound.h5", "df")["session"].tolist() == [1.] * 4
    if hostile == "link":
        with h5py.File(tmp_path / "hostile.h5", "w") as file:
            file["df"] = h5py.ExternalLink("sound.h5", "/df")
    elif hostile == "virtual":
        write("hostile.h5")
        with h5py.File(tmp_path / "hostile.h5", "r+") as file:
            del file["df/block0_values"]
            layout = h5py.VirtualLayout((4, 1), "f8")
            layout[:] = h5py.VirtualSource(tmp_path / "sound.h5", "df/block0_values", shape=(4, 1))
            file["df"].create_virtual_dataset("block0_values", layout)
    else:
        write("hostile.h5", **({"external": [(str(tmp_path / "secret"), 0, 32)]} if hostile == "raw" else
                               {"rows": 1 << 30, "chunks": (1 << 16, 1)}))
    with pytest.raises(InputError, match=re.escape(named)):
        pandas_h5.read_frame(tmp_path / "hostile.h5", "df")


def test_pickles_of_code_in_h5_are_refused(ids, pictures, tmp_path, capsys):
    import h5py

    with h5py.File(tmp_path / "subj01_session1.h5", "w") as file:
        group = file.create_group("df")
        group.attrs.update({"pandas_type": np.bytes_(b"frame"), "nblocks": 1})
        group["axis1"], group["block0_items"] = np.arange(1), np.array(["eeg"], "S3")
        values = group.create_dataset("block0_values", (1,), h5py.vlen_dtype(np.uint8))
        values[0] = np.frombuffer(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.", np.uint8)
    message = fails(capsys, tmp_path / "out", "--epochs", tmp_path / "subj01_session1.h5", "--pictures", pictures, "--ids",
                    ids)
    assert "which is never run" in message or "no pickled array" in message
    assert not (tmp_path / "ran").exists()


def test_ids_that_count_from_one_are_refused(ids, pictures, tmp_path, capsys):
    """The publishers' other file names the wrong picture for each event."""
    wrong = shutil.copytree(ids, tmp_path / "ids")
    rows = json.loads((ids / "captions.json").read_text())
    (wrong / "captions.json").write_text(json.dumps([{**row, "nsdId": int(row["nsdId"]) + 1} for row in rows]))
    message = fails(capsys, tmp_path / "out", "--bids", tmp_path, "--pictures", pictures, "--ids", wrong)
    assert "960 of the 960 pictures shown are not in it" in message and "counts from 1" in message


def test_a_table_of_other_pictures_is_refused(ids, pictures, tmp_path, capsys):
    raw, shown, samples = raw_session()
    root = write_bids(tmp_path / "b", raw, shown % SHOWN + 1, samples)
    text = next(root.rglob("*_events.tsv")).read_text()
    next(root.rglob("*_events.tsv")).write_text(text.replace(f"nsd/{nsd(5)}.png", f"nsd/{nsd(5) + 1}.png"))
    message = fails(capsys, tmp_path / "out", "--bids", root, "--pictures", pictures, "--ids", ids)
    assert f"shows {nsd(5)} of NSD" in message and "count from 1" in message
    message = fails(capsys, tmp_path / "out", "--bids", root, "--pictures", pictures, "--ids", tmp_path)
    assert "captions.json is missing" in message


def test_the_publishers_files(shared, cases, tmp_path):
    """The real ids on a folder in the layout of NEMAR: `nsd/2950.png` is shown by event 1."""
    root = cases.parent / "formats" / "nm000133"
    record, _, columns = prepare(tmp_path / "out", "--bids", root, "--ids", shared / "alljoined1", *AS_IT_IS)
    assert set(columns["picture"]) == set(record["pictures"]) and len(record["pictures"]) == 6
    assert "coco_000000262145_2950" in record["pictures"]
    assert read_captions(tmp_path / "out" / "images", "coco_000000262145_2950") == [
        "People shopping in an open market for vegetables."]
