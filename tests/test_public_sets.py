"""Readers of public data sets on files in the publishers' layouts, values against NumPy."""

import json

from runtime.errors import InputError

import mne
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import prepare_data
from eegdata.dataset_folder import open_folder
from eegdata.pictures import machine_made, read_captions
from eegdata.splits import load_split
from eegdata.trials import load_trials
from raw_runs import AS_IT_IS
from sources import seeddv
from sources.alljoined16m import PICTURES
from sources.seed62 import CHANNELS
from sources.things import POSTERIOR17


def prepare(source, folder, *options, audit=False):
    prepare_data.main([source, "--output", str(folder), "--scale", "none", *(() if audit else ("--no_audit",)),
                       *map(str, options)])
    record, blocks, columns = open_folder(folder)
    return record, np.concatenate(blocks), columns


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        prepare(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def picture(path, colour=(90, 0, 90)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), colour).save(path)


@pytest.fixture
def formats(cases):
    return cases.parent / "formats"


@pytest.fixture
def things_pictures(tmp_path):
    """10 training concepts of 2 pictures and 2 test concepts of 2, as the whitened file of the cases names them."""
    for part, concepts in (("training", 10), ("test", 2)):
        for concept in range(concepts):
            for number in range(2):
                own = concept if part == "training" else concept + 10
                picture(tmp_path / "images" / f"{part}_images" / f"{concept + 1:05d}_c{own}" / f"c{own}_{number:02d}b.jpg")
    return tmp_path / "images"


def whitened(folder, things_pictures, sessions=2):
    """sub-01/train.pt and test.pt as UBP's code shares them; returns what train.pt holds."""
    rng, folder, made = np.random.default_rng(0), folder / "sub-01", {}
    folder.mkdir(parents=True)
    for part, repetitions in (("training", 4), ("test", 6)):
        files = sorted((things_pictures / f"{part}_images").rglob("*.jpg"))
        order = rng.permutation(len(files))
        paths = np.array(["/".join(files[i].parts[-3:]) for i in order])
        made[part] = {
            "eeg": rng.normal(size=(len(files), repetitions, 17, 250)).astype(np.float16),
            "label": np.zeros((len(files), repetitions), int), "img": np.tile(paths[:, None], (1, repetitions)),
            "text": np.tile(paths[:, None], (1, repetitions)),
            "session": np.tile(np.arange(repetitions) % sessions, (len(files), 1)).astype(float),
            "ch_names": list(POSTERIOR17), "times": np.linspace(0, .996, 250)}
        torch.save(made[part], folder / f"{'train' if part == 'training' else 'test'}.pt")
    return made


def test_whitened_things(things_pictures, tmp_path):
    made = whitened(tmp_path / "w", things_pictures)
    record, eeg, columns = prepare("things", tmp_path / "out", "--folder", tmp_path / "w", "--images", things_pictures,
                                   "--channels", "Oz", "p7")
    assert record["ch_names"] == ["Oz", "P7"] and record["sfreq"] == 250 and "CC BY 4.0" in record["about"]["licence"]
    channels = [POSTERIOR17.index("Oz"), POSTERIOR17.index("P7")]
    means = made["test"]["eeg"].astype(float).mean(1).astype(np.float32)[:, channels]
    assert [entry["session"] for entry in record["recordings"]] == [-1, 0, 1]
    assert np.array_equal(eeg[:4], means) and set(columns["part"][:4]) == {"test"}
    for session in (0, 1):
        rows = columns["session"] == session
        own = made["training"]["session"] == session
        assert np.array_equal(eeg[rows], made["training"]["eeg"][own].astype(np.float32)[:, channels])
        names = [path.split("/")[2].removesuffix(".jpg") for path in made["training"]["img"][own]]
        assert columns["picture"][rows].tolist() == names


def test_the_whitened_file_of_the_cases(formats, tmp_path, capsys):
    folder = formats / "Preprocessed_data_250Hz_whiten"
    for part, concepts in (("training", 10), ("test", 2)):
        for concept in range(concepts):
            for number in range(2 * concept, 2 * concept + 2):
                picture(tmp_path / f"{part}_images" / f"{concept + 1:05d}_c{concept}" / f"c{concept}_{number % 2:02d}b.jpg")
    message = fails(capsys, "things", tmp_path / "out", "--folder", folder, "--images", tmp_path)
    assert "in training_images and in test_images" in message  # the cases use the same concepts for both


def test_whitened_files_of_other_pictures_are_refused(things_pictures, tmp_path, capsys):
    made = whitened(tmp_path / "w", things_pictures)
    content = {**made["test"], "img": made["training"]["img"][:4, :1].repeat(6, 1)}
    torch.save(content, tmp_path / "w" / "sub-01" / "test.pt")
    assert "not among the pictures of test_images" in fails(
        capsys, "things", tmp_path / "out", "--folder", tmp_path / "w", "--images", things_pictures)


@pytest.mark.parametrize(("key", "change", "said"), [
    ("times", lambda times: times * 1000, "'times' rises by 4 from sample to sample"),
    ("times", lambda times: times * 0, "'times' does not rise in even steps"),
    ("times", lambda times: times[:100], "'times' has shape (100,)"),
    ("ch_names", lambda names: ["Oz"] * len(names), "'ch_names' has 1 different names"),
    ("ch_names", lambda names: len(names), "'ch_names' has 0 different names"),
    ("img", lambda img: [*img.tolist(), ["one"]], "'img' is no array"),
    ("session", lambda session: session.astype(str), "'session' holds 0.0 and others of type <U"),
    ("session", lambda session: session - 1, "'session' holds -1.0"),
])
def test_whitened_files_that_are_not_as_they_should_be(things_pictures, tmp_path, capsys, key, change, said):
    """Times in ms gave trials of 1000 s, and a session of -1 passed for averages."""
    made = whitened(tmp_path / "w", things_pictures)
    for part, name in (("training", "train.pt"), ("test", "test.pt")):
        torch.save({**made[part], key: change(made[part][key])}, tmp_path / "w" / "sub-01" / name)
    message = fails(capsys, "things", tmp_path / "out", "--folder", tmp_path / "w", "--images", things_pictures)
    assert "sub-01/train.pt: " + said in message


def test_more_repetitions_than_a_whitened_file_has_are_refused(things_pictures, tmp_path, capsys):
    """It was a traceback, unlike with the preprocessed files."""
    whitened(tmp_path / "w", things_pictures)
    message = fails(capsys, "things", tmp_path / "out", "--folder", tmp_path / "w", "--images", things_pictures,
                    "--average_test", "8")
    assert "--average_test 8: " in message and "test.pt holds 6 repetitions" in message


def test_whitened_files_of_tensors(things_pictures, tmp_path):
    """Also of bfloat16, which NumPy has not, and with a gradient."""
    made = whitened(tmp_path / "w", things_pictures)
    for part, name in (("training", "train.pt"), ("test", "test.pt")):
        eeg = torch.from_numpy(made[part]["eeg"]).bfloat16()
        made[part] |= {"eeg": eeg if part == "test" else eeg.float().requires_grad_(),
                       "session": torch.from_numpy(made[part]["session"]), "times": torch.from_numpy(made[part]["times"])}
        torch.save(made[part], tmp_path / "w" / "sub-01" / name)
    record, eeg, _ = prepare("things", tmp_path / "out", "--folder", tmp_path / "w", "--images", things_pictures,
                             "--average_test", "none")
    expected = [made[part]["eeg"].detach().float().numpy()[made[part]["session"].numpy() == session]
                for session in (0, 1) for part in ("training", "test")]
    assert record["sfreq"] == 250 and np.array_equal(eeg, np.concatenate(expected))


def test_raw_things_in_the_order_of_presentation(things_pictures, tmp_path, capsys):
    rng, names, kept = np.random.default_rng(0), ["Oz", "P7", "Cz"], {}
    sessions = ((1, "training", (5, 99999, 20, 1)), (1, "test", (4, 4)), (2, "training", (7, 7, 99999, 2)))
    for session, part, codes in sessions:
        data = rng.normal(size=(4, 12_000)) * 1e-5
        data[3] = 0
        samples = 1500 + 2000 * np.arange(len(codes))
        data[3, samples] = codes
        path = tmp_path / "raw" / "sub-03" / f"ses-{session:02d}" / f"raw_eeg_{part}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, {"raw_eeg_data": data, "ch_names": [*names, "stim"], "ch_types": ["eeg"] * 3 + ["stim"],
                       "sfreq": 1000, "highpass": .01, "lowpass": 100}, allow_pickle=True)
        kept[session, part] = [(code, data[:3, at - 200:at + 800] * 1e6) for code, at in zip(codes, samples, strict=True)
                               if code != 99999]
    record, eeg, columns = prepare("things", tmp_path / "out", "--folder", tmp_path / "raw", "--images", things_pictures,
                                   "--l_freq", "0", "--h_freq", "0", "--resample", "0", "--baseline", "none")
    options = ("--folder", tmp_path / "raw", "--images", things_pictures, "--average_test", "none")
    assert "--average_test: of raw files nothing is averaged" in fails(capsys, "things", tmp_path / "no", *options)
    order = [(1, "test"), (1, "training"), (2, "training")]
    assert eeg == pytest.approx(np.stack([trial for which in order for _, trial in kept[which]]), abs=1e-3)
    files = {part: sorted((things_pictures / f"{part}_images").rglob("*.jpg")) for part in ("training", "test")}
    expected = [files[part][code - 1].stem for session, part in order for code, _ in kept[session, part]]
    assert columns["picture"].tolist() == expected and columns["session"].tolist() == [1] * 5 + [2] * 3
    assert columns["onset"].tolist() == [1.5, 3.5, 1.5, 5.5, 7.5, 1.5, 3.5, 7.5]
    assert [sum(entry["dropped"].values()) for entry in record["recordings"]] == [0, 1, 1] and record["units"] == "uV"


@pytest.mark.parametrize(("row", "kinds", "said"), [
    (np.zeros(12_000), "eeg", "its stim channel holds no picture"), (np.full(12_000, np.nan), "eeg", "holds NaN"),
    (np.eye(1, 12_000, 3000)[0], "eog", "channel Cz is of type eog")])
def test_raw_things_that_are_not_as_published(things_pictures, tmp_path, capsys, row, kinds, said):
    """A file without codes gave no trial and no word, and an EOG channel was taken for EEG."""
    path = tmp_path / "raw" / "sub-01" / "ses-01" / "raw_eeg_training.npy"
    path.parent.mkdir(parents=True)
    data = np.vstack([np.random.default_rng(0).normal(0, 1e-5, (3, 12_000)), row])
    np.save(path, {"raw_eeg_data": data, "ch_names": ["Oz", "P7", "Cz", "stim"], "sfreq": 1000,
                   "ch_types": ["eeg", "eeg", kinds, "stim"]}, allow_pickle=True)
    message = fails(capsys, "things", tmp_path / "no", "--folder", tmp_path / "raw", "--images", things_pictures)
    assert "raw_eeg_training.npy" in message and said in message


def test_things_eeg1_through_bids(tmp_path):
    """ds003825: onsets in ms, pictures in the column stim with backslashes."""
    rng, root = np.random.default_rng(0), tmp_path / "ds003825"
    raw = mne.io.RawArray(rng.normal(size=(8, 12_000)) * 1e-5, mne.create_info(
        ["O1", "O2", "Oz", "P3", "P4", "Pz", "P7", "P8"], 1000, "eeg"), verbose="error")
    folder = root / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    mne.export.export_raw(folder / "sub-01_task-rsvp_eeg.edf", raw, overwrite=True, verbose="error",
                          physical_range="channelwise")
    shown = [("aardvark", 1), ("abacus", 2), ("aardvark", 2), ("abacus", 1)] * 6
    onsets = 1500 + 400 * np.arange(len(shown))
    rows = [f"{at}\t50\t{at}\t{number}\tstimuli\\{kind}\\{kind}_{number:02d}s.jpg\n"
            for at, (kind, number) in zip(onsets, shown, strict=True)]
    (folder / "sub-01_task-rsvp_events.tsv").write_text("onset\tduration\tsample\teventnumber\tstim\n" + "".join(rows))
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    for kind, number in set(shown):
        picture(tmp_path / "object_images" / kind / f"{kind}_{number:02d}s.jpg", (90 * number, 0, 60))
    record, eeg, columns = prepare("raw", tmp_path / "out", "--bids", root, "--pictures", tmp_path / "object_images",
                                   "--picture_column", "stim", "--onset_unit", "ms", "--split_by", "time", "--split_gap",
                                   "0", *AS_IT_IS, "--tmin", "-0.1", "--tmax", "0.3")
    assert columns["onset"] == pytest.approx(onsets / 1000) and record["class_names"] == ["aardvark", "abacus"]
    assert columns["picture"].tolist() == [f"{kind}_{number:02d}s" for kind, number in shown]
    data = raw.get_data() * 1e6
    assert np.abs(eeg - np.stack([data[:, at - 100:at + 300] for at in onsets])).max() < .01


def test_alljoined_1_6m_raw(formats, tmp_path):
    """The cases' EDF: five markers at one time are left out, the others cut at their time."""
    record, eeg, columns = prepare("alljoined16m", tmp_path / "out", "--recordings", formats / "raw_eeg", "--pictures",
                                   formats / "stimuli" / "images", *AS_IT_IS, "--tmin", "0", "--tmax", "0.2")
    path = next((formats / "raw_eeg").rglob("*.edf"))
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    marks = [(onset, int(text.split(",")[1])) for onset, text in zip(raw.annotations.onset, raw.annotations.description,
                                                                      strict=True) if text.startswith("stim_")]
    times = np.array([onset for onset, _ in marks])
    single = [i for i, at in enumerate(times) if np.sum(np.round(times * 256) == np.round(at * 256)) == 1]
    assert len(marks) - len(single) == 5 and len(eeg) == len(single)
    assert columns["picture"].tolist() == [f"things_{marks[i][1]:05d}" for i in single]
    assert columns["session"].tolist() == [1] * len(single) and record["class_ids"] == []
    data, first = raw.get_data() * 1e6, np.round(times * 256).astype(int)
    assert eeg[7] == pytest.approx(data[:, first[single[7]]:first[single[7]] + 51], abs=1e-3)
    assert record["recordings"][0]["dropped"]["at the time of another event"] == 5


def test_alljoined_1_6m_preprocessed(tmp_path, capsys):
    rng, folder = np.random.default_rng(0), tmp_path / "pre" / "sub-02"
    folder.mkdir(parents=True)
    shown = {"train": [3, 0, 5, 3], "test": [16540, 16541, 16540]}
    rows, eeg = [], {}
    for part, numbers in shown.items():
        kept = []
        for i, number in enumerate(numbers):
            rows.append({"subject": 2, "session": 1 + i % 2, "block_id": 1, "partition": f"stim_{part}", "dropped": i == 1,
                         "image_path": f"/somewhere/images/{number:05d}.jpg", "dataset": "x"})
            kept += [] if i == 1 else [(number, 1 + i % 2)]
        eeg[part] = kept, rng.normal(size=(len(kept), 4, 50)).astype(np.float32)
        name = "training" if part == "train" else "test"
        np.save(folder / f"preprocessed_eeg_{name}_flat.npy", {
            "preprocessed_eeg_data": eeg[part][1], "ch_names": ["Cz", "O1", "Oz", "O2"], "times": np.arange(50) / 100 - .1,
            "configs": "none"}, allow_pickle=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "experiment_metadata.parquet")
    for number in {one for numbers in shown.values() for one in numbers}:
        picture(tmp_path / "images" / f"{number:05d}.jpg", (number % 200, 0, 9))
    concepts = [f"{i // 10 + 1:05d}_thing_{i // 10}" for i in range(PICTURES)]
    metadata = {"train_img_concepts": concepts[:16540], "test_img_concepts": concepts[16540:]}
    np.save(tmp_path / "image_metadata.npy", metadata, allow_pickle=True)
    options = ("--preprocessed", tmp_path / "pre", "--pictures", tmp_path / "images", "--val_fraction", ".3")
    record, found, columns = prepare("alljoined16m", tmp_path / "out", *options)
    expected = [(part, number, session, trial) for part in ("train", "test") for session in (1, 2)
                for (number, own), trial in zip(*eeg[part], strict=True) if own == session]
    assert np.array_equal(found, np.stack([trial for *_, trial in expected]))
    assert columns["picture"].tolist() == [f"things_{number:05d}" for _, number, *_ in expected]
    assert columns["part"].tolist() == [part for part, *_ in expected] and set(columns["subject"]) == {2}
    assert columns["session"].tolist() == [session for *_, session, _ in expected]
    for flag, value in (("--l_freq", "5"), ("--event_delay", ".1"), ("--exclude", "Cz"), ("--picture_list", "none.tsv")):
        assert f"{flag}: the " in fails(capsys, "alljoined16m", tmp_path / "no", *options, flag, value)
    test_file = folder / "preprocessed_eeg_test_flat.npy"
    content = np.load(test_file, allow_pickle=True).item()
    for change, said in (({"times": content["times"] * 1000}, "'times' rises by 10 "),
                         ({"times": content["times"] * 0}, "'times' does not rise"),
                         ({"preprocessed_eeg_data": [1, 2]}, "'preprocessed_eeg_data' is of shape (2,)")):
        np.save(test_file, content | change, allow_pickle=True)
        assert said in fails(capsys, "alljoined16m", tmp_path / "no", *options)
    np.save(test_file, content, allow_pickle=True)
    record, _, columns = prepare("alljoined16m", tmp_path / "named", *options, "--concepts",
                                 tmp_path / "image_metadata.npy")
    assert record["class_names"][columns["label"][0]] == "thing 0" and "thing-1654" in record["class_ids"]


def eegimagenet(folder, people=2, size=50):
    """A file as EEG-ImageNet shares it: blocks of `size` pictures of a class; returns its records."""
    rng, synsets, records = np.random.default_rng(0), ("n02106662", "n02124075", "n02281787"), []
    for person in range(people):
        for granularity, own in (("coarse", synsets), ("fine", synsets[:1])):
            for synset in own:
                records += [{"eeg_data": torch.from_numpy(rng.normal(size=(62, 501 + person))).float(), "label": synset,
                             "granularity": granularity, "subject": person, "image": f"{synset}_{number}.JPEG"}
                            for number in range(size)]
    for name in {record["image"] for record in records}:
        picture(folder / "imageNet_images" / name.split("_")[0] / name, tuple(rng.integers(0, 255, 3).tolist()))
    torch.save({"dataset": records, "labels": list(synsets), "images": sorted({r["image"] for r in records})},
               folder / "EEG-ImageNet_1.pth")
    return records


def test_eeg_imagenet_and_its_blocks(tmp_path):
    records = eegimagenet(tmp_path)
    record, eeg, columns = prepare("eegimagenet", tmp_path / "out", "--files", tmp_path / "EEG-ImageNet_1.pth", "--images",
                                   tmp_path / "imageNet_images", "--granularity", "coarse", "--permutations", "200",
                                   audit=True)
    own = [one for one in records if one["granularity"] == "coarse"]
    assert np.array_equal(eeg, np.stack([one["eeg_data"][:, 40:440].numpy() for one in own]))
    assert columns["picture"].tolist() == [one["image"].removesuffix(".JPEG") for one in own]
    assert record["ch_names"] == list(CHANNELS) and record["class_names"] == ["dog", "cat", "butterfly"]
    assert record["tmin"] == .04 and record["sfreq"] == 1000
    assert columns["part"].tolist() == ["train" if i % 50 < 30 else "test" for i in range(len(own))]
    audit = json.loads((tmp_path / "out" / "audit.json").read_text())
    order = next(one for one in audit["findings"] if "pure" in one["numbers"])
    assert order["severity"] == "severe" and order["numbers"]["pure"] == 1  # each class was one block


def test_eeg_imagenet_with_equal_file_names_in_several_classes(tmp_path):
    """All of them were called by the class of the last one."""
    records = [one for one in eegimagenet(tmp_path, people=1, size=6) if one["granularity"] == "coarse"]
    for one in records:
        one["image"] = one["image"].split("_")[1]
    torch.save({"dataset": records}, tmp_path / "other.pth")
    _, _, columns = prepare("eegimagenet", tmp_path / "out", "--files", tmp_path / "other.pth", "--split_by",
                            "picture")
    assert columns["picture"].tolist() == [f"{one['label']}_{one['image'].removesuffix('.JPEG')}" for one in records]


def test_eeg_imagenet_of_another_granularity(tmp_path, capsys):
    """--granularity coarse left a record of "Coarse" out without a word."""
    records = eegimagenet(tmp_path, people=1)
    records[3]["granularity"] = "Coarse"
    torch.save({"dataset": records}, tmp_path / "other.pth")
    message = fails(capsys, "eegimagenet", tmp_path / "no", "--files", tmp_path / "other.pth", "--granularity", "coarse")
    assert "record 3 has granularity" in message and "Coarse" in message and "expected coarse or fine" in message


def test_a_file_of_eeg_imagenet_that_is_given_twice_is_refused(tmp_path, capsys):
    """Each trial was there twice."""
    eegimagenet(tmp_path)
    (tmp_path / "copy.pth").write_bytes((tmp_path / "EEG-ImageNet_1.pth").read_bytes())
    files = (tmp_path / "EEG-ImageNet_1.pth", tmp_path / "copy.pth")
    message = fails(capsys, "eegimagenet", tmp_path / "out", "--files", *files)
    assert f"--files {files[1]}: holds the same as {files[0]}" in message


@pytest.mark.parametrize("subject", ["sub0", None, -1, 1.5])
def test_eeg_imagenet_of_people_without_a_number(tmp_path, capsys, subject):
    records = eegimagenet(tmp_path)
    records[3]["subject"] = subject
    torch.save({"dataset": records}, tmp_path / "EEG-ImageNet_1.pth")
    message = fails(capsys, "eegimagenet", tmp_path / "out", "--files", tmp_path / "EEG-ImageNet_1.pth")
    assert "record 3 has subject " in message and "expected its number" in message


def test_seed_dv(tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "SEED-DV"
    for name in ("EEG", "Video/BLIP-caption", "meta-info"):
        (folder / name).mkdir(parents=True)
    data = rng.integers(-9, 9, (7, 62, 104_000), dtype=np.int8)
    np.save(folder / "EEG" / "sub1.npy", data)
    labels = np.stack([rng.permutation(np.arange(1, 41)) for _ in range(7)])
    np.save(folder / "meta-info" / "All_video_label.npy", labels)
    for block, ordinal in enumerate(seeddv.BLOCKS):
        (folder / "Video" / "BLIP-caption" / f"{ordinal}_10min.txt").write_text(
            "".join(f"clip {clip} of block {block}\n" for clip in range(200)))
        for clip in range(200):
            picture(tmp_path / "frames" / f"{ordinal}_10min" / f"{clip:03d}.png", (clip, block, 0))
    record, eeg, columns = prepare("seeddv", tmp_path / "out", "--folder", folder, "--frames", tmp_path / "frames")
    assert len(eeg) == 1400 and record["n_times"] == 400 and record["ch_names"] == list(CHANNELS)
    for trial in (0, 4, 5, 733):
        block, clip = divmod(trial, 200)
        start = 200 * (clip // 5 * 13 + 3 + clip % 5 * 2)
        assert np.array_equal(eeg[trial], data[block, :, start:start + 400]) and columns["onset"][trial] == start / 200
        assert record["class_names"][columns["label"][trial]] == f"concept {labels[block, clip // 5]}"
        name = columns["picture"][trial]
        assert read_captions(tmp_path / "out" / "images", name) == [f"clip {clip} of block {block}"]
    assert set(columns["part"][:1200]) == {"train"} and set(columns["part"][1200:]) == {"test"}
    assert "announced first" in record["about"]["presentation"]
    assert len(machine_made(tmp_path / "out" / "images")) == 1400  # BLIP's words are no person's
    trials = load_trials(tmp_path / "out")
    assert len(load_split(tmp_path / "out" / "splits.pth", trials)["val"])


@pytest.mark.parametrize(("first", "digits"), [(0, 1), (1, 1), (1, 3)])
def test_frames_of_seed_dv_follow_the_numbers_in_their_names(tmp_path, first, digits):
    """10.jpg came before 2.jpg, so that clips had the pictures of others."""
    for number in range(first, first + 12):
        picture(tmp_path / f"{number:0{digits}d}.jpg")
    assert [int(file.stem) for file in seeddv._in_order(tmp_path)] == list(range(first, first + 12))


@pytest.mark.parametrize("name", ["cover.jpg", "14.jpg", "3.png"])
def test_frames_of_seed_dv_that_number_no_clip_are_refused(tmp_path, name):
    for number in range(11):
        picture(tmp_path / f"{number}.jpg")
    picture(tmp_path / name)
    with pytest.raises(InputError, match="comes as picture"):
        seeddv._in_order(tmp_path)
