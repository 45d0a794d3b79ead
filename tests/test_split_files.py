"""prepare_data.py split, and splits files: written, read and checked against the trials."""

from pathlib import Path

from runtime.errors import InputError

import pytest
import torch

import prepare_data
from eegdata.make_splits import make_splits
from eegdata.splits import check_split, describe, load_split, read_splits, write_splits
from eegdata.trials import load_trials
from split_material import PARTS, dataset, rows


def command(folder, *options):
    prepare_data.main(["split", str(folder), *map(str, options)])


def test_command(people, tmp_path, capsys):
    folder = Path(people.path)
    command(folder)
    out = capsys.readouterr().out
    assert "96/24/24" in out and "by picture, seed 0" in out and "note" not in out
    first = (folder / "splits.pth").read_bytes()
    content = torch.load(folder / "splits.pth", weights_only=True)
    made_from = content["made_from"]
    assert (made_from["by"], made_from["seed"], made_from["data"]) == ("picture", 0, people.fingerprint)
    assert all(type(i) is int for part in PARTS for i in content["splits"][0][part])  # as predecessors read them
    command(folder, "--split_by", "subject", "--splits_path", tmp_path / "subjects.pth")
    out = capsys.readouterr().out
    assert "note (4 of 4 splits): 18 pictures of the test part are in the training part too" in out
    assert "--unseen_pictures leaves them out" in out and "lacks 1 of the test part's subjects (1)" in out
    assert len(read_splits(tmp_path / "subjects.pth")) == 4
    command(folder, "--split_by", "subject", "--unseen_pictures", "--splits_path", tmp_path / "unseen.pth")
    assert "pictures of the test part" not in capsys.readouterr().out
    command(folder)
    assert (folder / "splits.pth").read_bytes() == first  # equal to the byte


@pytest.mark.parametrize(("options", "message"), [
    (("--split_by", "class"), "3 classes do not give 2"),
    (("--split_by", "time", "--split_gap", "100"), "lower --split_gap"),
    (("--split_by", "mood"), "invalid choice: 'mood'"),
    (("--split_by", "time", "--split_gap", "-1"), "out of range")])
def test_command_leaves_the_old_splits(people, tmp_path, capsys, options, message):
    folder = Path(people.path)
    command(folder)
    before = (folder / "splits.pth").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        command(folder, *options)
    assert message in capsys.readouterr().err and (folder / "splits.pth").read_bytes() == before


def test_command_replaces_no_file_of_another_kind(people, tmp_path, capsys):
    """--splits_path is written here and read elsewhere, so a publisher's splits or the EEG may be given by mistake."""
    published, own = tmp_path / "published.pth", tmp_path / "own.pth"
    write_splits(published, make_splits(people, "subject"))
    own.write_bytes(b"EEG")
    for file in (published, own):
        before = file.read_bytes()
        with pytest.raises(SystemExit):
            command(Path(people.path), "--splits_path", file)
        assert f"{file.name}: is there already and was not made by prepare_data.py split" in capsys.readouterr().err
        assert file.read_bytes() == before
    for by in ("subject", "picture"):
        command(Path(people.path), "--splits_path", tmp_path / "new.pth", "--split_by", by)
    assert read_splits(tmp_path / "new.pth")[0]["name"].startswith("by picture")


def test_command_on_a_file(data, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        command(data / "eeg.pth")
    assert "for a .pth file give --splits_path" in capsys.readouterr().err
    command(data / "eeg.pth", "--split_by", "subject", "--splits_path", tmp_path / "s.pth")
    split = load_split(tmp_path / "s.pth", load_trials(data / "eeg.pth"), 1)
    assert set(load_trials(data / "eeg.pth").subject[split["test"]].tolist()) == {2}


def test_every_source_splits_as_it_is_told(tmp_path, capsys):
    prepare_data.main(["simulated", "--output", str(tmp_path / "d"), "--n_subjects", "2", "--n_pictures", "12", "--classes",
                       "car", "fish", "--image_size", "16", "--split_by", "subject", "--no_audit"])
    assert "subject 2 left out, validation by picture within the other subject" in capsys.readouterr().out
    assert [len(split["test"]) for split in read_splits(tmp_path / "d" / "splits.pth")] == [12, 12]


def test_splits_of_another_data_set_are_refused(people, sessions, tmp_path, capsys):
    write_splits(tmp_path / "s.pth", make_splits(people, "picture"), made_from={"data": people.fingerprint})
    load_split(tmp_path / "s.pth", people)
    with pytest.raises(InputError, match=r"s\.pth: made from another data set \(fingerprint .*\) than .*sessions"):
        load_split(tmp_path / "s.pth", sessions)
    with pytest.raises(InputError, match=r"--splits_index subject: .* counts all records"):
        load_split(tmp_path / "s.pth", load_trials(people.path, subject=2), index="subject")
    write_splits(tmp_path / "published.pth", make_splits(people, "picture"))  # these do not say what they were made from
    capsys.readouterr()
    load_split(tmp_path / "published.pth", people)
    assert capsys.readouterr().out == ""


def test_splits_of_one_subject(people, tmp_path):
    """A split over recordings or time mixes pictures under either reading of its indices; ours say how they count."""
    write_splits(tmp_path / "s.pth", make_splits(people, "time", gap=1.), made_from={"data": people.fingerprint})
    second = load_trials(people.path, subject=2)
    split, whole = load_split(tmp_path / "s.pth", second), load_split(tmp_path / "s.pth", people)
    for part in PARTS:
        own = {people.trial[i].item() for i in whole[part] if people.subject[i] == 2}
        assert set(second.trial[split[part]].tolist()) == own and own
    given = [(n % 2, n // 6, part) for part in PARTS for n in range(12)]
    trials = dataset(tmp_path / "d", [(1, 1, given), (2, 1, rows(2, 2))], 2)  # the second subject is in no part
    write_splits(tmp_path / "given.pth", make_splits(trials, "given"), made_from={"data": trials.fingerprint})
    split = load_split(tmp_path / "given.pth", load_trials(trials.path, subject=1))
    assert [split[part].tolist() for part in PARTS] == [list(range(12)), list(range(12, 24)), list(range(24, 36))]


def test_what_a_split_lacks_is_said(people, tmp_path, capsys):
    """Test: class 2 of subjects 1 and 2; val: class 0 of subject 3; train: classes 0 and 1 of subjects 1 and 2."""
    label, subject = people.label, people.subject
    chosen = ((label < 2) & (subject < 3), (label == 0) & (subject == 3), (label == 2) & (subject < 3))
    split = {part: torch.nonzero(rows)[:, 0] for part, rows in zip(PARTS, chosen, strict=True)}
    found = {(f["check"], f["part"]): f for f in check_split(people, split)}
    assert {key: f["names"] for key, f in found.items()} == {
        ("class", "test"): ["class c2"], ("absent", "test"): ["class c0", "class c1"], ("absent", "val"): ["class c1"],
        ("subject", "val"): [3], ("pictures", "val"): [f"c0_{n}" for n in range(6)]}
    write_splits(tmp_path / "s.pth", split)
    load_split(tmp_path / "s.pth", people)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.startswith("note: ") for line in lines)
    for sentence in ("lacks 1 of the test part's classes (class c2); a classifier cannot predict these classes",
                     "lacks 1 of the val part's subjects (3); its scores are then scores on new people"):
        assert any(sentence in line for line in lines)
    nothing = check_split(people, split | {"val": split["val"][:0], "train": split["train"][:0]})
    assert {(f["check"], f["part"]) for f in nothing} == {("empty", "val"), ("empty", "train")}


def test_a_missing_splits_file(people, tmp_path):
    with pytest.raises(InputError, match=r"none\.pth: no such file; prepare_data.py split makes one"):
        load_split(tmp_path / "none.pth", people)


def test_table(people, tmp_path):
    table = describe(people, make_splits(people, "picture"))
    assert table.splitlines()[1].split() == ["split", "trials", "in", "no", "part", "pictures", "classes", "subjects"]
    assert table.splitlines()[2].split()[:6] == ["0", "96/24/24", "0", "12/3/3", "3/3/3", "4/4/4"]
    unknown = dataset(tmp_path / "d", [(1, 1, rows(2, 5, 3)), (2, 1, rows(2, 5, 3))], 2, known="no")
    assert describe(unknown, make_splits(unknown, "subject")).splitlines()[2].split()[3] == "unknown"
    left = describe(people, make_splits(people, "subject", .2, .4, unseen_pictures=True)).splitlines()[2].split()
    # subject 1 of 4: 36 trials, of them 2 of 6 pictures a class for the test, 3 for training, 1 for validation
    assert left[1] == "36/6/12" and left[2] == str(4 * 36 - 36 - 6 - 12)
