"""THINGS-EEG2, made here in the published layout and in NICE-EEG's, to data set folders."""

import contextlib
import json
import pickle
import tracemalloc

from runtime.errors import InputError

import numpy as np
import pytest
from PIL import Image

import prepare_data
import test_eeg_classifier as scoring
import train_eeg_classifier as training
from eegdata.splits import load_split
from eegdata.trials import load_trials
from sources import safe_npy, things
from sources.safe_npy import read_object_npy

TRAINING = ["aardvark", "abacus", "air_conditioner", "bat1", "bat2", "t-shirt"]
TEST = ["aircraft_carrier", "antelope", "basil"]
CHANNELS = ["Pz", "P3", "O1", "Oz", "O2"]
TIMES = np.arange(-20, 40) / 100  # the last 50 are the EEG's: from -0.1 s on
PER_CONCEPT = 3


class Evil:
    def __reduce__(self):
        import pathlib

        return pathlib.Path.touch, (pathlib.Path("executed"),)


def content(eeg, **other):
    return {"preprocessed_eeg_data": eeg, "ch_names": CHANNELS, "times": TIMES} | other


def write(path, eeg=None, whole=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, content(eeg) if whole is None else whole, allow_pickle=True)


def signals(subject, seed):
    rows, repetitions = (len(TRAINING) * PER_CONCEPT, 4) if seed == 0 else (len(TEST), 8)
    return np.random.default_rng([subject, seed]).normal(size=(rows, repetitions, len(CHANNELS), 50))


def build(folder):
    for part, concepts, numbers in (("training", TRAINING, ("01b", "02s", "10s")), ("test", TEST, ("06s",))):
        for i, concept in enumerate(concepts):
            place = folder / f"{part}_images" / f"{i + 1:05d}_{concept}"
            place.mkdir(parents=True)
            for j, number in enumerate(numbers):
                Image.new("RGB", (32, 32), (40 * i, 80 * j, 255 * (part == "test"))).save(place / f"{concept}_{number}.jpg")
    for subject in (1, 10):
        write(folder / f"sub-{subject:02d}" / "preprocessed_eeg_training.npy", signals(subject, 0))
        write(folder / f"sub-{subject:02d}" / "preprocessed_eeg_test.npy", signals(subject, 1))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """People 1 and 10, 6 concepts of 3 pictures with 4 repetitions for training, 3 test concepts with 8."""
    return build(tmp_path_factory.mktemp("things"))


@pytest.fixture
def own(tmp_path):
    """A folder to spoil."""
    return build(tmp_path / "own")


def prepare(folder, output, *more):
    prepare_data.main(["things", "--folder", str(folder), "--output", str(output), "--no_audit", *more])
    return output


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        prepare(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def prepared(folder, tmp_path_factory):
    return prepare(folder, tmp_path_factory.mktemp("out") / "data")


def test_trials_are_single_repetitions_in_training_and_averages_in_the_test(prepared):
    trials = load_trials(prepared, time_low=0)
    expected = np.concatenate([each for subject in (1, 10) for each in (
        signals(subject, 0).reshape(-1, 5, 50), signals(subject, 1).mean(1))])
    np.testing.assert_allclose(trials.eeg[:].numpy(), expected, atol=1e-6)
    names = [f"{c.replace('_', '-')}_{n}" for c in TRAINING for n in ("01b", "02s", "10s") for _ in range(4)]
    names += [f"{c.replace('_', '-')}_06s" for c in TEST]
    assert trials.names(range(len(trials))) == names * 2
    assert trials.class_names == dict(enumerate(["aardvark", "abacus", "air conditioner", "bat1", "bat2", "t-shirt",
                                                 "aircraft carrier", "antelope", "basil"]))
    assert [trials.class_names[i].replace(" ", "-") for i in trials.label.tolist()] == [n.split("_")[0] for n in names] * 2
    assert trials.subject.tolist() == [1] * 75 + [10] * 75 and np.isnan(trials.onset).all()
    assert trials.sfreq == 100 and trials.ch_names == CHANNELS and trials.record["units"] == "standardised"
    assert trials.record["tmin"] == -0.1 and load_trials(prepared).eeg.shape[2] == 40  # from the onset on


def test_parts_are_zero_shot(prepared):
    trials = load_trials(prepared)
    split = load_split(prepared / "splits.pth", trials)
    classes = {part: {trials.class_names[i] for i in trials.label[split[part]].tolist()} for part in split}
    assert classes["val"] == {"bat1"} and classes["test"] == {"aircraft carrier", "antelope", "basil"}
    assert classes["train"] == {"aardvark", "abacus", "air conditioner", "bat2", "t-shirt"}
    assert trials.record["about"]["validation"].startswith("1 of") and trials.record["about"]["presentation"] > "random"


@pytest.mark.parametrize("options, train, test, dropped", [
    (["--average_test", "none", "--average_train", "all"], lambda e: e.mean(1, keepdims=True), lambda e: e, {}),
    (["--average_test", "3", "--average_train", "2"], lambda e: e.reshape(-1, 2, 2, 5, 50).mean(2),
     lambda e: e[:, :6].reshape(-1, 2, 3, 5, 50).mean(2), {"test repetitions left over by averaging 3": 6})])
def test_averaging(folder, tmp_path, options, train, test, dropped):
    trials = load_trials(prepare(folder, tmp_path / "out", "--subjects", "10", *options), time_low=0)
    expected = np.concatenate([each.reshape(-1, 5, 50) for each in (train(signals(10, 0)), test(signals(10, 1)))])
    np.testing.assert_allclose(trials.eeg[:].numpy(), expected, atol=1e-6)
    assert trials.record["recordings"][0]["dropped"] == dropped and set(trials.subject.tolist()) == {10}


def test_a_moved_folder_is_the_same_data_set(own, tmp_path, capsys):
    out = prepare(own, tmp_path / "out")
    own.rename(tmp_path / "moved")
    assert "nothing to do" not in capsys.readouterr().out
    prepare(tmp_path / "moved", out)
    assert "nothing to do" in capsys.readouterr().out
    assert "other options" in refused(capsys, tmp_path / "moved", out, "--average_test", "2")
    assert "other options" in refused(capsys, tmp_path / "moved", out, "--val_fraction", ".5")


def test_share_of_the_validation(folder, tmp_path):
    trials = load_trials(prepare(folder, tmp_path / "out", "--val_fraction", ".5"))
    assert {trials.images[i].split("_")[0] for i in trials.image[trials.part == "val"].tolist()} == {"abacus", "bat1",
                                                                                                   "t-shirt"}


def test_files_of_nice_are_bare_pickles(own, prepared):
    for subject in (1, 10):
        for seed, name in enumerate(("training", "test")):
            with open(own / f"sub-{subject:02d}" / f"preprocessed_eeg_{name}.npy", "wb") as file:
                pickle.dump(content(signals(subject, seed)), file, protocol=4)
    assert np.array_equal(load_trials(prepare(own, own / "out")).eeg[:], load_trials(prepared).eeg[:])


def test_the_published_list_of_pictures_is_held_against_the_folders(own, capsys):
    files = [f"{c}_{n}.jpg" for c in TRAINING for n in ("01b", "02s", "10s")]
    metadata = {"train_img_files": files, "test_img_files": [f"{c}_06s.jpg" for c in TEST]}
    np.save(own / "image_metadata.npy", metadata, allow_pickle=True)
    prepare(own, own / "out")
    np.save(own / "image_metadata.npy", metadata | {"train_img_files": [*files[:3], files[4], files[3], *files[5:]]},
            allow_pickle=True)
    assert "lists abacus_02s.jpg as picture 3, here is abacus_01b.jpg" in refused(capsys, own, own / "other")
    np.save(own / "image_metadata.npy", metadata | {"train_img_files": files[:-1]}, allow_pickle=True)
    assert "lists 17 pictures, here are 18" in refused(capsys, own, own / "other")


def test_pictures_elsewhere(own, tmp_path, prepared):
    (tmp_path / "pictures").mkdir()
    for part in ("training_images", "test_images"):
        (own / part).rename(tmp_path / "pictures" / part)
    out = prepare(own, tmp_path / "out", "--images", str(tmp_path / "pictures"))
    photo = "images/air-conditioner/air-conditioner_10s.JPEG"
    assert (out / photo).read_bytes() == (prepared / photo).read_bytes() == (
        tmp_path / "pictures/training_images/00003_air_conditioner/air_conditioner_10s.jpg").read_bytes()


def test_an_encoder_trains_on_it(prepared, clip, tmp_path):
    training.main(["--eeg_dataset", str(prepared), "--output", str(tmp_path), "--clip_model", str(clip), "--device", "cpu",
                   "--d_model", "32", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "4", "--num_epochs", "1"])
    scoring.main(["--eeg_dataset", str(prepared), "--output", str(tmp_path), "--clip_model", str(clip), "--device", "cpu"])
    assert json.loads((tmp_path / "test" / "scores.json").read_text())["n"] == 6


def test_between_people_the_concepts_stay_apart(prepared, clip, tmp_path):
    """A split a person: trained and validated on the other's training concepts, scored on the person's test concepts."""
    path = str(tmp_path / "splits.pth")
    prepare_data.main(["split", str(prepared), "--split_by", "subject", "--unseen_pictures", "--splits_path", path])
    trials = load_trials(prepared)
    for number, (person, other) in enumerate(((1, 10), (10, 1))):
        split = load_split(path, trials, number)
        found = {part: {(trials.subject[i].item(), trials.class_names[trials.label[i].item()]) for i in rows.tolist()}
                 for part, rows in split.items()}
        assert found["test"] == {(person, concept.replace("_", " ")) for concept in TEST}
        assert found["val"] == {(other, "bat1")} and {who for who, _ in found["train"]} == {other}
        assert {concept for _, concept in found["train"]} == {"aardvark", "abacus", "air conditioner", "bat2", "t-shirt"}
        assert len(split["test"]) == len(TEST)
    common = ["--eeg_dataset", str(prepared), "--splits_path", path, "-sn", "1", "--output", str(tmp_path / "encoder"),
              "--clip_model", str(clip), "--device", "cpu"]
    training.main([*common, "--d_model", "32", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "4",
                   "--num_epochs", "1"])
    scoring.main(common)
    rows = json.loads((tmp_path / "encoder" / "test" / "scores.json").read_text())["retrieval_table"]
    assert {(row["n"], row["candidates"], row["people"], row["repetitions"]) for row in rows} == {(3, 3, 1, 1)}


def test_large_files_stay_on_disk(tmp_path, monkeypatch):
    """10.9 MB of EEG: reading it in blocks of 80 repetitions takes less than 2 MB."""
    eeg = np.random.default_rng(0).normal(size=(200, 4, 17, 100))
    write(tmp_path / "preprocessed_eeg_training.npy", whole=content(eeg, ch_names=[f"P{i}" for i in range(17)],
                                                                   times=np.arange(100) / 100))
    write(tmp_path / "preprocessed_eeg_test.npy", whole=content(eeg[:2], ch_names=[f"P{i}" for i in range(17)],
                                                                times=np.arange(100) / 100))
    monkeypatch.setattr(things, "BLOCK_REPETITIONS", 80)
    pictures = {part: [things.ConceptPicture(f"a_{i}", "a", "a", None) for i in range(n)] for part, n in (("training", 200),
                                                                                                 ("test", 2))}
    tracemalloc.start()
    sizes, total = [], 0.
    for block in things.read(tmp_path, pictures, {"a": 0}, set(), {"training": "none", "test": "all"}):
        sizes.append(len(block.eeg))
        total += float(block.eeg.sum(dtype=np.float64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [80] * 10 + [2] and peak < 2e6
    assert total == pytest.approx(eeg.sum() + eeg[:2].mean(1).sum(), abs=.1)


@pytest.mark.parametrize("values", [
    {"a": np.arange(12.).reshape(3, 4)}, {"a": np.asfortranarray(np.arange(400000.).reshape(400, 1000))},
    {"a": np.arange(5, dtype=">i4"), "b": ["x", "ü"], "c": (1, 2.5, None, True)}, {"a": np.array(["ab", "c"])},
    {"a": [np.float64(1.5), np.int64(3)], "b": {"c": -2**40}}, {"a": np.ones((0, 3)), "b": b"bytes"}])
def test_object_files_read_as_numpy_reads_them(tmp_path, values):
    for write_file in (lambda path: np.save(path, values, allow_pickle=True),
                       lambda path: path.write_bytes(pickle.dumps(values, protocol=3)),
                       lambda path: path.write_bytes(pickle.dumps(values, protocol=4)),
                       lambda path: path.write_bytes(pickle.dumps(values, protocol=5))):
        write_file(tmp_path / "x.npy")
        expected, found = np.load(tmp_path / "x.npy", allow_pickle=True), read_object_npy(tmp_path / "x.npy")
        expected = expected.item() if isinstance(expected, np.ndarray) else expected
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert np.array_equal(found[key], value) and type(found[key]) in (type(value), np.memmap)
            assert np.asarray(found[key]).dtype.newbyteorder("=") == np.asarray(value).dtype.newbyteorder("=")
    assert isinstance(read_object_npy(tmp_path / "x.npy")["a"], np.memmap) == (np.size(values["a"]) > 1000)


@pytest.mark.parametrize("evil", [
    lambda: {"preprocessed_eeg_data": Evil()}, lambda: Evil(), lambda: {"times": np.array([Evil()], object)}])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_nothing_is_executed(tmp_path, monkeypatch, evil, protocol):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.npy").write_bytes(pickle.dumps(evil(), protocol=protocol))
    with pytest.raises(InputError, match=r"x\.npy: not a readable .npy file"):
        read_object_npy("x.npy")
    np.save("y.npy", evil(), allow_pickle=True)
    with pytest.raises(InputError, match=r"y\.npy: .*never run"):
        read_object_npy("y.npy")
    assert not (tmp_path / "executed").exists()


def test_flipped_bytes_of_the_pickle_give_another_dict_or_one_sentence(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, content(np.ones((2, 2, 5, 3))), allow_pickle=True)
    whole, readable = path.read_bytes(), 0
    for place in range(len(whole)):
        for value in (0, whole[place] ^ 0x10, 0xFF):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1:])
            with contextlib.suppress(InputError):
                readable += isinstance(read_object_npy(path), dict)
    assert readable > 2 * 480  # a byte of the EEG is as good as another


@pytest.mark.parametrize("size", [1 << 33, 1 << 50])
def test_a_size_is_not_believed_before_the_file_is_looked_at(tmp_path, size):
    """A bytearray of a pickle names its own size: gigabytes were set aside for it, and a terabyte was no memory."""
    (tmp_path / "x.npy").write_bytes(b"\x80\x05\x96" + size.to_bytes(8, "little") + b"ab.")
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"ends .* bytes too early"):
            read_object_npy(tmp_path / "x.npy")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def spoil_bytes(path, place, value):
    raw = bytearray(path.read_bytes())
    raw[place] = value
    path.write_bytes(raw)


def change(path, **other):
    new = np.load(path, allow_pickle=True).item() | other
    np.save(path, {key: value for key, value in new.items() if value is not None}, allow_pickle=True)


def cut(path, share):
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * share)])


def huge(path, value):
    eeg = signals(1, 0)
    eeg[7, 2, 1, 30] = value
    change(path, preprocessed_eeg_data=eeg)


FILE, ABACUS = "sub-01/preprocessed_eeg_training.npy", "training_images/00002_abacus"


@pytest.mark.parametrize("spoil, said", [
    (lambda f: cut(f / FILE, .7), f"{FILE}: not a readable .npy file"),
    (lambda f: spoil_bytes(f / FILE, 40, 7), f"{FILE}: not a readable .npy file"),
    (lambda f: spoil_bytes(f / FILE, 160, 0xFF), f"{FILE}: not a readable .npy file"),
    (lambda f: huge(f / FILE, 1e300), "channel P3 holds NaN or infinite values"),
    (lambda f: huge(f / FILE, np.nan), "channel P3 holds NaN or infinite values"),
    (lambda f: huge(f / FILE, 1e20), f"{FILE}: holds values above 1e+06 among those of pictures 0 to 17"),
    (lambda f: np.save(f / FILE, signals(1, 0)), "it holds an array of float64"),
    (lambda f: np.save(f / FILE, {"preprocessed_eeg_data": Evil()}, allow_pickle=True), "never run"),
    (lambda f: change(f / FILE, times=None), "key 'times' is missing (found ['ch_names', 'preprocessed_eeg_data'])"),
    (lambda f: change(f / FILE, times=TIMES[:40]), "'times' has shape (40,)"),
    (lambda f: change(f / FILE, times=TIMES ** 3), "'times' does not rise in even steps"),
    (lambda f: change(f / FILE, ch_names=CHANNELS[:4]), "'ch_names' has 4 different names, the EEG 5 channels"),
    (lambda f: change(f / FILE, ch_names=["Oz"] * 5), "'ch_names' has 1 different names, the EEG 5 channels"),
    (lambda f: change(f / FILE, ch_names=CHANNELS[::-1]), "expected files of one preprocessing"),
    (lambda f: change(f / FILE, preprocessed_eeg_data=signals(1, 0)[:, 0]), "is of shape (18, 5, 50) and float64"),
    (lambda f: change(f / FILE, preprocessed_eeg_data=signals(1, 0).astype(int)), "int64, expected floats"),
    (lambda f: change(f / FILE, preprocessed_eeg_data=[1, 2]), "'preprocessed_eeg_data' is a list"),
    (lambda f: change(f / FILE, preprocessed_eeg_data=signals(1, 0)[:-1]), "EEG of 17 pictures, but training_images"),
    (lambda f: (f / FILE).unlink(), f"{FILE}: no such file"),
    (lambda f: remove(f / "training_images/00003_air_conditioner"), "no concept folder 00003_..., of 6 that are numbered"),
    (lambda f: remove(f / "test_images/00003_basil"), "EEG of 3 pictures, but test_images holds 2"),
    (lambda f: (f / ABACUS / "abacus_02s.jpg").unlink(), "00002_abacus: holds 2 pictures, expected 3"),
    (lambda f: (f / ABACUS / "abacus_02s.jpg").rename(f / ABACUS / "bat1_04s.jpg"),
     "bat1_04s.jpg: is a picture of bat1 in the folder of abacus"),
    (lambda f: (f / "test_images/00003_basil").rename(f / "test_images/00003_abacus"), "1 concepts are in training_images"),
    (lambda f: remove(f / "training_images"), "training_images: holds no concept folders"),
    (lambda f: (f / ABACUS / "abacus_02s.jpg").write_bytes(b"x"), "abacus_02s.jpg: not a readable picture")])
def test_bad_files(own, tmp_path, capsys, monkeypatch, spoil, said):
    monkeypatch.chdir(tmp_path)
    spoil(own)
    assert said in refused(capsys, own, tmp_path / "out")
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out" / "dataset.json").exists()


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()


@pytest.mark.parametrize("options, said", [
    (["--subjects", "1", "3"], "--subjects 3: "), (["--average_test", "9"], "--average_test 9: "),
    (["--average_train", "5"], "--average_train 5: "), (["--average_train", "0"], "--average_train"),
    (["--tmin", "0"], "--tmin: the trials of these files are cut"), (["--baseline", "none"], "--baseline: the trials"),
    (["--val_fraction", "1"], "--val_fraction 1"), (["--folder", "nowhere"], "nowhere")])
def test_bad_options(folder, tmp_path, capsys, options, said):
    assert said in refused(capsys, folder, tmp_path, *options)


def test_mapping_does_not_depend_on_the_size(folder, monkeypatch):
    for size in (1 << 14, 1 << 16, 1 << 30):
        monkeypatch.setattr(safe_npy, "MAX_READ_BYTES", size)
        assert np.array_equal(things.open_eeg(folder / FILE)[0], signals(1, 0))
