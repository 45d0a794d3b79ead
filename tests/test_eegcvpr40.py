"""EEGCVPR40, made here in the published layouts (old pickle, splits files, the Hub table), to data set folders."""

import io
import json
import re
import shutil

from runtime.errors import InputError

import numpy as np
import pytest
import torch
from PIL import Image

import prepare_data
import train_eeg_classifier as training
from eegdata.splits import load_split
from eegdata.trials import load_trials
from encoders import load_encoder
from raw_material import template_montage
from sources import eegcvpr40

SYNSETS = ["n02389026", "n03888257", "n02106662"]  # horse, parachutes, dog: by label
NAMES = [f"{synset}_{10 * i}" for synset in SYNSETS for i in range(4)]
LENGTHS = {3: 449, 17: 601, 20: 455}  # records too short, too long, and long enough for the field but not for its window
SUBJECTS = (1, 4, 6)
IMAGES = f"images/{SYNSETS[0]}"


class Evil:
    def __reduce__(self):
        import pathlib

        return pathlib.Path.touch, (pathlib.Path("executed"),)


def write_old(path, content):
    """As torch wrote pickles when the data set was published."""
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """3 subjects x 12 pictures, records in random order; the split of single.pth is subject 4's. Returns the folder."""
    folder = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(0)
    records = []
    for number in rng.permutation(36).tolist():
        eeg = rng.normal(size=(128, LENGTHS.get(len(records), 500)))
        records.append({"eeg": torch.tensor(eeg, dtype=torch.float32), "image": number % 12, "label": number % 12 // 4,
                        "subject": SUBJECTS[number // 12]})
    write_old(folder / "eeg_55_95_std.pth", {"dataset": records, "labels": sorted(SYNSETS), "images": NAMES})
    part = ["test" if i % 4 == 3 else "val" if i % 4 == 2 else "train" for i in range(12)]
    everything = {p: [i for i, r in enumerate(records) if part[r["image"]] == p] for p in ("train", "val", "test")}
    write_old(folder / "all.pth", {"splits": [everything]})
    own = [r["image"] for r in records if r["subject"] == 4]
    write_old(folder / "single.pth", {"splits": [{p: [i for i, image in enumerate(own) if part[image] == p]
                                                  for p in ("train", "val", "test")}]})
    for i, name in enumerate(NAMES):
        (folder / "images" / name.split("_")[0]).mkdir(parents=True, exist_ok=True)
        for suffix in ("", "_sketch"):
            Image.new("RGB", (16, 16), (20 * i, 99 if suffix else 0, 0)).save(
                folder / "images" / name.split("_")[0] / f"{name}{suffix}.JPEG")
        (folder / "images" / name.split("_")[0] / f"{name}_caption.txt").write_text(f"<s>Sentence {i}.</s>\nOther words.\n")
    return folder


def prepare(published, output, *more, images=True):
    prepare_data.main(["eegcvpr40", "--eeg_dataset", str(published / "eeg_55_95_std.pth"), "--output", str(output),
                       "--no_audit", *(["--image_dir", str(published / "images")] if images else []), *more])
    return output


def refused(capsys, *arguments, **more):
    with pytest.raises(SystemExit) as stop:
        prepare(*arguments, **more)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def folder(published, tmp_path_factory):
    return prepare(published, tmp_path_factory.mktemp("out") / "data", "--splits_path", str(published / "all.pth"))


def test_trials_are_the_records_that_the_field_keeps(published, folder):
    records = torch.load(published / "eeg_55_95_std.pth", weights_only=True)["dataset"]
    kept = sorted((record for i, record in enumerate(records) if i not in LENGTHS), key=lambda r: r["subject"])
    trials = load_trials(folder)
    assert np.array_equal(trials.eeg[:].numpy(), np.stack([record["eeg"][:, 20:460].numpy() for record in kept]))
    assert trials.label.tolist() == [record["label"] for record in kept]
    assert trials.subject.tolist() == [record["subject"] for record in kept]
    assert trials.names(range(len(trials))) == [NAMES[record["image"]] for record in kept]
    assert trials.class_names == {0: "horse", 1: "parachutes", 2: "dog"} and trials.sfreq == 1000
    assert trials.tmin == 0.02 and np.isnan(trials.onset).all() and set(trials.session.tolist()) == {-1}


def test_the_record_says_what_was_dropped_and_how_it_was_shown(published, folder):
    record = json.loads((folder / "dataset.json").read_text())
    records = torch.load(published / "eeg_55_95_std.pth", weights_only=True)["dataset"]
    expected = {f"subject {subject}": {} for subject in SUBJECTS}
    for number, length in LENGTHS.items():
        reasons = expected[f"subject {records[number]['subject']}"]
        reason = "fewer than 460 samples" if length < 460 else "more than 600 samples"
        reasons[reason] = reasons.get(reason, 0) + 1
    assert {r["name"]: r["dropped"] for r in record["recordings"]} == expected
    assert record["class_ids"] == SYNSETS and record["units"] == "standardised" and record["picture"] == "sketch"
    assert record["about"]["presentation"].startswith("blocks") and "55 to 95 Hz" in record["about"]["steps"][0]


def test_channels_are_the_authors_order_with_standard_places(folder):
    import mne

    record = json.loads((folder / "dataset.json").read_text())
    names = record["ch_names"]
    assert record["positions"] is None and len(set(names)) == 128
    assert (names[0], names[32], names[127]) == ("Fp1", "AF7", "I2")
    assert set(names) <= set(mne.channels.make_standard_montage(template_montage()).ch_names)


def test_the_published_split_becomes_the_folders(published, folder):
    trials = load_trials(folder)
    split = load_split(folder / "splits.pth", trials)
    for part, last in (("train", (0, 1)), ("val", (2,)), ("test", (3,))):
        assert trials.names(split[part]) and all(NAMES.index(n) % 4 in last for n in trials.names(split[part]))
    assert sum(map(len, split.values())) == len(trials) == 33


def test_pictures_and_captions_come_along(published, folder):
    for name in NAMES:
        for file in (f"{name}.JPEG", f"{name}_sketch.JPEG"):
            path = f"images/{name.split('_')[0]}/{file}"
            assert (folder / path).read_bytes() == (published / path).read_bytes()
    assert (folder / f"images/{SYNSETS[1]}/{NAMES[5]}_caption.txt").read_text() == "Sentence 5.\nOther words.\n"


def test_a_class_is_learned_without_the_pictures(published, tmp_path):
    out = prepare(published, tmp_path / "data", "--splits_path", str(published / "all.pth"), images=False)
    trials = load_trials(out)
    assert not trials.has_pictures and set(trials.images) == set(NAMES)
    small = ["--d_model", "32", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "4", "--num_epochs", "1"]
    training.main(["--eeg_dataset", str(out), "--output", str(tmp_path / "encoder"), *small, "--device", "cpu",
                   "--loss_weight", "0"])
    assert load_encoder(tmp_path / "encoder").config.ch_names == list(eegcvpr40.CHANNELS)


def test_the_split_of_one_subject(published, tmp_path, capsys):
    single = ["--splits_path", str(published / "single.pth")]
    assert "looks made for the records of one subject" in refused(capsys, published, tmp_path / "a", *single)
    trials = load_trials(prepare(published, tmp_path / "b", *single, "--subject", "4"))
    assert set(trials.subject.tolist()) == {4}
    assert trials.part.tolist() == [{3: "test", 2: "val"}.get(NAMES.index(n) % 4, "train")
                                    for n in trials.names(range(len(trials)))]
    everything = load_trials(prepare(published, tmp_path / "c", "--splits_path", str(published / "all.pth"), "-sub", "4"))
    assert everything.part.tolist() == trials.part.tolist()


def test_moved_files_are_the_same_data_set(published, folder, tmp_path, capsys):
    shutil.copytree(published, tmp_path / "moved")
    prepare(tmp_path / "moved", folder, "--splits_path", str(tmp_path / "moved" / "all.pth"))
    assert "nothing to do" in capsys.readouterr().out
    assert "other options" in refused(capsys, published, folder)  # other parts
    assert "other options" in refused(capsys, published, folder, "--splits_path", str(published / "all.pth"), "-th", "459")


def test_files_of_this_project(data, tmp_path):
    """With sampling rate, channel and class names; pictures without sketches and captions."""
    images = tmp_path / "images"
    for path in (data / "images").rglob("*.JPEG"):
        if "_sketch" not in path.name:
            (images / path.parent.name).mkdir(parents=True, exist_ok=True)
            (images / path.parent.name / path.name).write_bytes(path.read_bytes())
    prepare_data.main(["eegcvpr40", "--eeg_dataset", str(data / "eeg.pth"), "--image_dir", str(images), "--output",
                       str(tmp_path / "out"), "--no_audit", "-tl", "4"])
    trials, records = load_trials(tmp_path / "out"), torch.load(data / "eeg.pth", weights_only=True)["dataset"]
    order = sorted(range(len(records)), key=lambda i: records[i]["subject"])
    assert np.array_equal(trials.eeg[:].numpy(), np.stack([records[i]["eeg"][:, 4:].numpy() for i in order]))
    assert trials.sfreq == 128 and trials.record["picture"] == "photo" and trials.tmin is None


def test_rows_without_known_names_get_no_places(tmp_path):
    records = [{"eeg": torch.randn(5, 500), "image": i, "label": i // 3, "subject": 1} for i in range(6)]
    names = ["a_0", "a_1", "a_2", "b_0", "b_1", "b_2"]
    write_old(tmp_path / "five.pth", {"dataset": records, "labels": ["a", "b"], "images": names})
    write_old(tmp_path / "splits.pth", {"splits": [{"train": [0, 3], "val": [1, 4], "test": [2, 5]}]})
    prepare_data.main(["eegcvpr40", "--eeg_dataset", str(tmp_path / "five.pth"), "--output", str(tmp_path / "out"),
                       "--splits_path", str(tmp_path / "splits.pth"), "--no_audit"])
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert record["ch_names"] == ["E1", "E2", "E3", "E4", "E5"] and record["positions"] == {}


@pytest.mark.parametrize("spoil, said", [
    (lambda f: (f / IMAGES / f"{NAMES[2]}.JPEG").unlink(), f"1 of 12 pictures are missing, .*{NAMES[2]}.JPEG"),
    (lambda f: (f / IMAGES / f"{NAMES[2]}_sketch.JPEG").unlink(), f"1 of 12 pictures have no sketch, .*{NAMES[2]}_sketch"),
    (lambda f: (f / IMAGES / f"{NAMES[2]}_caption.txt").unlink(), f"1 of 12 pictures have no caption, .*{NAMES[2]}_cap"),
    (lambda f: cut(f / "eeg_55_95_std.pth", .6), "eeg_55_95_std.pth: not a readable .pth"),
    (lambda f: flip(f / "eeg_55_95_std.pth", 20), "eeg_55_95_std.pth: not a readable .pth"),
    (lambda f: change(f, lambda c: c.pop("images")), "key 'images' is missing"),
    (lambda f: change(f, lambda c: c["dataset"][5].pop("subject")), r"record 5 lacks \['subject'\]"),
    (lambda f: change(f, lambda c: c["dataset"][5].update(eeg=torch.ones(100, 500))), "record 5 has 100 channels"),
    (lambda f: change(f, lambda c: c["dataset"][5].update(eeg=torch.ones(128, 500, dtype=int))), "record 5 has EEG"),
    (lambda f: change(f, lambda c: c["images"].insert(0, c["images"].pop())), "has pictures of n0.* and of n0"),
    (lambda f: change(f, lambda c: c["dataset"][7].update(eeg=torch.full((128, 500), np.nan))), "channel Fp1 holds NaN"),
    (lambda f: change(f, lambda c: c["dataset"][5].update(eeg=torch.ones(128, 500).to_sparse())), "record 5 has EEG"),
    (lambda f: change(f, lambda c: c["dataset"][5].update(session="a")), "record 5 has session str 'a'"),
    (lambda f: change(f, lambda c: c["dataset"][5].update(subject=20240115093)), "subject 20240115093, expected a"),
    (lambda f: change(f, lambda c: c.update(sfreq=1000, ch_names=["Cz"] * 128)), "'ch_names' names Cz twice"),
    (lambda f: change(f, lambda c: c.update(sfreq=1000, units="V")), "'units' is str 'V', expected 'uV'"),
    (lambda f: change(f, lambda c: c.update(dataset=c["dataset"][:20])), "index 35 is out of range"),
    (lambda f: write_old(f / "eeg_55_95_std.pth", {"dataset": Evil()}), "not a readable .pth"),
    (lambda f: cut(f / "all.pth", .5), "all.pth: not a readable .pth")])
def test_bad_files(published, tmp_path, capsys, monkeypatch, spoil, said):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(published, tmp_path / "spoilt")
    spoil(tmp_path / "spoilt")
    line = refused(capsys, tmp_path / "spoilt", tmp_path / "out", "--splits_path", str(tmp_path / "spoilt" / "all.pth"))
    assert re.search(said, line), line
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize("options, said", [
    (["--table", "x"], "--eeg_dataset, --table: give one"), (["--subject", "2"], "--subject"),
    (["-tl", "480"], "--time_low 480"), (["-th", "700"], "no record has"),
    (["--splits_path", "nowhere"], "--splits_path nowhere: no such file"),
    (["--split_num", "2"], "--split_num: is of a splits file, and --splits_path names none")])
def test_bad_options(published, tmp_path, capsys, options, said):
    assert said in refused(capsys, published, tmp_path, *options)


def test_pictures_that_are_named_but_not_there_are_kept_apart(published, tmp_path, capsys):
    """Without --image_dir the records still say which picture was seen: it can be split by, and the audit looks at it."""
    out = prepare(published, tmp_path / "out", "--split_by", "picture", images=False)
    trials = load_trials(out)
    assert trials.knows_pictures and not trials.has_pictures
    split = load_split(out / "splits.pth", trials)
    seen = {part: set(trials.names(rows)) for part, rows in split.items()}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["val"] and len(set.union(*seen.values())) == 12
    prepare_data.main(["split", str(out), "--split_by", "subject"])
    assert "pictures of the test part are in the training part too" in capsys.readouterr().out
    prepare_data.main(["audit", str(out), "--permutations", "99"])
    found = {f["check"]: f for f in json.loads((out / "audit.json").read_text())["findings"]}["Pictures across parts"]
    assert found["severity"] == "warning" and " test pictures are in the training part too" in found["sentence"]


def test_a_file_without_sampling_rate_that_is_not_eegcvpr40(published, tmp_path):
    shutil.copytree(published, tmp_path / "spoilt")
    change(tmp_path / "spoilt", lambda c: [record.update(eeg=record["eeg"][:, :200]) for record in c["dataset"]])
    with pytest.raises(InputError, match=r"no record has 460 to 600 samples, .* 'sfreq'"):
        load_trials(tmp_path / "spoilt" / "eeg_55_95_std.pth")


def cut(path, share):
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * share)])


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


def change(folder, what):
    content = torch.load(folder / "eeg_55_95_std.pth", weights_only=True)
    what(content)
    write_old(folder / "eeg_55_95_std.pth", content)


def table_rows(seed):
    """The rows of a split as the table's maker gives them to `datasets`: EEG of 440 samples of 128 channels."""
    rng = np.random.default_rng(seed)
    for picture in range(3):
        for label, synset in enumerate(SYNSETS):
            pixels = np.full((12, 12, 3), 80 * seed + 20 * picture + label, np.uint8)
            for subject in SUBJECTS:
                eeg = rng.normal(size=(128, 440)).astype(np.float32)
                scale = eeg.max() / 2
                yield {"image": Image.fromarray(pixels), "conditioning_image": torch.tensor((eeg.T - scale) / scale),
                       "caption": f"image of a {synset}", "label_folder": synset, "label": label + 5, "subject": subject}


@pytest.fixture
def own_tables(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write_table(folder, edit=None, edit_row=None):
    """The Hub's layout: data/<split>-00000-of-00001.parquet, with the declared 128 x 440. Returns the rows by split."""
    from datasets import Array2D, Dataset, Features, Value
    from datasets import Image as Picture

    features = Features({"image": Picture(), "conditioning_image": Array2D((128, 440), "float32"),
                         "caption": Value("string"), "label_folder": Value("string"), "label": Value("int32"),
                         "subject": Value("int32")})
    rows = {}
    for seed, split in enumerate(("train", "validation", "test")):
        rows[split] = list(table_rows(seed))
        table = Dataset.from_list([edit_row(row) if edit_row else row for row in rows[split]], features=features)
        table = edit(table) if edit else table
        table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return rows


def other(table, column, value):
    """The table with one value all down a column."""
    return table.remove_columns(column).add_column(column, [value] * len(table))


def prepare_table(folder, output, *more):
    prepare_data.main(["eegcvpr40", "--table", str(folder), "--output", str(output), "--no_audit", *more])
    return output


def test_the_table_gives_each_trial_the_right_way_round(tmp_path, own_tables, capsys):
    rows = write_table(tmp_path / "table")
    out = prepare_table(tmp_path / "table", tmp_path / "out")
    trials = load_trials(out)
    flat = [(split, row) for subject in SUBJECTS for split in rows for row in rows[split] if row["subject"] == subject]
    assert np.array_equal(trials.eeg[:].numpy(), np.stack([row["conditioning_image"].numpy().T for _, row in flat]))
    assert trials.label.tolist() == [SYNSETS.index(row["label_folder"]) for _, row in flat]
    assert trials.part.tolist() == [{"validation": "val"}.get(split, split) for split, _ in flat]
    assert trials.class_names == {0: "horse", 1: "parachutes", 2: "dog"} and len(trials.images) == 27
    for (_, row), name in zip(flat, trials.names(range(len(trials))), strict=True):
        here = Image.open(out / "images" / row["label_folder"] / f"{name}.JPEG")
        assert abs(np.asarray(here, int) - np.asarray(row["image"], int)).max() <= 2  # JPEG of one colour
        assert (out / "images" / row["label_folder"] / f"{name}_caption.txt").read_text() == row["caption"] + "\n"
    split = load_split(out / "splits.pth", trials)
    assert [len(split[part]) for part in ("train", "val", "test")] == [27, 27, 27]
    capsys.readouterr()
    (tmp_path / "table").rename(tmp_path / "moved")
    prepare_table(tmp_path / "moved", out)
    assert "nothing to do" in capsys.readouterr().out


def test_one_subject_of_a_file_that_names_no_part_and_has_channels_first(tmp_path, own_tables):
    rows = write_table(tmp_path / "table", edit_row=lambda row: row | {"conditioning_image": row["conditioning_image"].T})
    (tmp_path / "table" / "data" / "test-00000-of-00001.parquet").rename(tmp_path / "some.parquet")
    trials = load_trials(prepare_table(tmp_path / "some.parquet", tmp_path / "out", "--subject", "4"))
    own = [row for row in rows["test"] if row["subject"] == 4]
    assert np.array_equal(trials.eeg[:].numpy(), np.stack([row["conditioning_image"].numpy().T for row in own]))
    assert set(trials.part.tolist()) == {""} and set(trials.subject.tolist()) == {4}


@pytest.mark.parametrize("edit, said", [
    (lambda t: t.remove_columns("label_folder"), "column 'label_folder' is missing (found image, conditioning_image, cap"),
    (lambda t: t.rename_column("subject", "person"), "column 'subject' is missing"),
    (lambda t: other(t, "label", "x"), "column 'label' holds string, expected int"),
    (lambda t: other(t, "image", "x"), "column 'image' holds Value('string')"),
    (lambda t: other(t, "conditioning_image", np.zeros((128, 30)).tolist()), "holds lists of [{128}, {30}]"),
    (lambda t: other(t, "conditioning_image", 1.5), "holds lists of double"),
    (lambda t: other(t, "label", 0), "row 3 of 'train': label 0 is n03888257, in earlier rows n02389026"),
    (lambda t: other(t, "label_folder", "a_b"), "row 0 of 'train': label_folder is 'a_b'"),
    (lambda t: other(t, "caption", ""), "row 0 of 'train': column 'caption' is empty")])
def test_tables_of_another_kind(tmp_path, own_tables, capsys, edit, said):
    write_table(tmp_path / "table", edit)
    with pytest.raises(SystemExit):
        prepare_table(tmp_path / "table", tmp_path / "out")
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("spoil, said", [
    (lambda f: cut(f / "data" / "test-00000-of-00001.parquet", .7), "cannot be read"),
    (lambda f: [path.unlink() for path in (f / "data").iterdir()], "holds no .parquet files")])
def test_damaged_tables(tmp_path, own_tables, capsys, spoil, said):
    write_table(tmp_path / "table")
    spoil(tmp_path / "table")
    with pytest.raises(SystemExit):
        prepare_table(tmp_path / "table", tmp_path / "out")
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_damaged_picture_of_the_table(tmp_path, own_tables, capsys):
    def damage(table):
        bad = io.BytesIO()
        Image.new("RGB", (64, 64)).save(bad, "PNG")
        return table.cast_column("image", table.features["image"]).map(
            lambda row: {"image": {"bytes": bad.getvalue()[:40], "path": None}})

    write_table(tmp_path / "table", damage)
    with pytest.raises(SystemExit):
        prepare_table(tmp_path / "table", tmp_path / "out")
    assert "of 'train': not a readable picture" in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_name_of_the_hub_without_connection(tmp_path, own_tables, capsys):
    with pytest.raises(SystemExit):
        prepare_table("nobody/nothing", tmp_path / "out")
    assert "--table nobody/nothing: cannot be read" in capsys.readouterr().err
