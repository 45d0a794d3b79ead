"""Splits by picture, subject, class, session, recording, time and as given; their properties are counted here by sets."""

from runtime.errors import InputError

import numpy as np
import pytest
from sklearn.model_selection import LeaveOneGroupOut

from eegdata.make_splits import make_splits
from eegdata.splits import describe
from eegdata.trials import load_trials
from split_material import PARTS, SAMPLES, SFREQ, dataset, disjoint, rows, values


@pytest.mark.parametrize("seed", range(5))
def test_by_picture(tmp_path, seed):
    """Classes of 1, 2, 3 and 11 pictures, of which two subjects saw different ones."""
    first = [(label, number, "") for label, count in enumerate((1, 2, 3, 11)) for number in range(count)] * 2
    trials = dataset(tmp_path / "d", [(1, 1, first), (2, 1, first[::2])], 4)
    (split,) = make_splits(trials, "picture", .2, .3, seed)
    assert disjoint(values(trials, split, "image"))
    assert sorted(i for part in PARTS for i in split[part]) == list(range(len(trials)))
    count = {part: [len({i for i in values(trials, split, "image")[part] if trials.images[i].startswith(f"c{label}_")})
                    for label in range(4)] for part in PARTS}
    assert count == {"train": [1, 1, 1, 6], "val": [0, 0, 1, 2], "test": [0, 1, 1, 3]}
    assert make_splits(trials, "picture", .2, .3, seed) == [split]
    assert make_splits(trials, "picture", .2, .3, seed + 1)[0]["test"] != split["test"]


def test_by_picture_needs_three_of_a_class(tmp_path):
    trials = dataset(tmp_path / "d", [(1, 1, rows(3, 2, 4)), (2, 1, rows(3, 2, 4))], 3)
    with pytest.raises(InputError, match=r"val part .* is empty; bring three pictures or more of a class, or choose "
                                         r"--split_by subject or time"):
        make_splits(trials, "picture")


@pytest.mark.parametrize("known", ["class", "no"])
def test_by_picture_needs_pictures(tmp_path, known):
    trials = dataset(tmp_path / "d", [(s, r, rows(2, 6)) for s in (1, 2) for r in (1, 2, 3)], 2, known)
    with pytest.raises(InputError, match="does not know which picture was seen, only its class; choose --split_by "
                                         "recording or session or subject or time"):
        make_splits(trials, "picture")
    with pytest.raises(InputError, match=r"--split_by subject: .*leave out --unseen_pictures"):
        make_splits(trials, "subject", unseen_pictures=True)
    table = describe(trials, make_splits(trials, "subject"), "subject")
    assert "--unseen_pictures" not in table and ("pictures of the test part" in table) == (known == "class")


@pytest.mark.parametrize("seed", range(5))
def test_by_subject_leaves_one_out(people, seed):
    made = make_splits(people, "subject", seed=seed)
    subject = people.subject.numpy()
    folds = LeaveOneGroupOut().split(subject, groups=subject)
    validating = []
    for split, (others, own) in zip(made, folds, strict=True):
        assert split["test"] == own.tolist()
        assert sorted(split["train"] + split["val"]) == others.tolist()
        (chosen,) = values(people, split, "subject")["val"]
        assert disjoint(values(people, split, "subject")) and f"validation on subject {chosen}" in split["name"]
        assert split["name"].startswith(f"subject {subject[own[0]]} left out")
        validating.append(chosen)
    assert sorted(validating) == [1, 2, 3, 4]  # each as often


def test_more_subjects_validate_at_a_larger_share(people):
    for split in make_splits(people, "subject", val_fraction=.6):
        assert len(values(people, split, "subject")["val"]) == 2
    for split in make_splits(people, "subject", val_fraction=1.):
        assert len(values(people, split, "subject")["train"]) == 1


@pytest.mark.parametrize("seed", range(3))
def test_by_subject_with_unseen_pictures(people, seed):
    pictures = values(people, make_splits(people, "picture", .2, .4, seed)[0], "image")
    for number, split in enumerate(make_splits(people, "subject", .2, .4, seed, unseen_pictures=True)):
        assert values(people, split, "image") == pictures  # so none in two parts
        assert values(people, split, "subject")["test"] == {number + 1} and disjoint(values(people, split, "subject"))
        assert values(people, split, "label")["test"] == {0, 1, 2}


@pytest.mark.parametrize("unseen", [False, True])
def test_two_subjects_validate_on_pictures_of_the_other(tmp_path, unseen):
    trials = dataset(tmp_path / "d", [(3, 1, rows(2, 10, 2)), (7, 1, rows(2, 10, 2))], 2)
    for split, (test, train) in zip(make_splits(trials, "subject", unseen_pictures=unseen), ((3, 7), (7, 3)), strict=True):
        assert values(trials, split, "subject") == {"train": {train}, "val": {train}, "test": {test}}
        pictures = values(trials, split, "image")
        assert len(pictures["val"]) == 4 and not pictures["val"] & pictures["train"]
        assert (len(pictures["test"]), disjoint(pictures)) == ((4, True) if unseen else (20, False))
        assert "by picture within the other subject" in split["name"]


def test_one_subject_cannot_be_left_out(tmp_path):
    trials = dataset(tmp_path / "d", [(1, 1, rows(2, 6))], 2)
    with pytest.raises(InputError, match="holds one subject; choose --split_by picture or time"):
        make_splits(trials, "subject")


@pytest.mark.parametrize("seed", range(5))
def test_by_class(tmp_path, seed):
    trials = dataset(tmp_path / "d", [(1, 1, rows(20, 2))], 20)
    (split,) = make_splits(trials, "class", .15, .25, seed)
    classes = values(trials, split, "label")
    assert disjoint(classes) and {part: len(c) for part, c in classes.items()} == {"train": 12, "val": 3, "test": 5}
    assert sum(len(split[part]) for part in PARTS) == len(trials)
    assert {part: len(c) for part, c in values(trials, make_splits(trials, "class", .01, .01)[0], "label").items()} == {
        "train": 16, "val": 2, "test": 2}


def test_by_class_needs_six(people):
    expected = "3 classes do not give 2 to validation, 2 to testing and two or more to training; choose --split_by"
    with pytest.raises(InputError, match=expected):  # no fraction would do
        make_splits(people, "class")


def test_by_class_with_large_fractions(tmp_path):
    with pytest.raises(InputError, match=r"do not give 4 to validation, 4 to testing .*; lower the fractions, or"):
        make_splits(dataset(tmp_path / "d", [(1, 1, rows(8, 1))], 8), "class", .5, .5)


def test_advice_names_what_can_be_done(tmp_path):
    sorted_by_class = sorted(rows(2, 5, 3))
    trials = dataset(tmp_path / "d", [(1, 1, sorted_by_class)], 2, known="no", onset=np.nan)
    with pytest.raises(InputError, match=r"holds one subject; choose --split_by time --split_gap 0$"):
        make_splits(trials, "subject")
    with pytest.raises(InputError, match=r"no trial of class c0; bring more trials$"):
        make_splits(trials, "time", gap=0)
    with pytest.raises(InputError, match=r"its class; leave out --unseen_pictures, or"):
        make_splits(trials, "time", unseen_pictures=True)


def test_by_session_in_order_of_time(sessions):
    (split,) = make_splits(sessions, "session")
    whose = {part: {(sessions.subject[i].item(), sessions.session[i].item()) for i in split[part]} for part in PARTS}
    assert whose == {"train": {(1, 1), (1, 2), (2, 1), (3, 1)}, "val": {(1, 3)}, "test": {(1, 4), (2, 2)}}


def test_by_recording_in_order_of_time(sessions):
    assert values(sessions, make_splits(sessions, "recording")[0], "recording") == {
        "train": {0, 1, 2, 3, 4, 5, 8, 10}, "val": {6}, "test": {7, 9}}
    assert values(sessions, make_splits(sessions, "recording", .3, .3)[0], "recording") == {
        "train": {0, 1, 2, 3, 8, 10}, "val": {4, 5}, "test": {6, 7, 9}}


def test_recordings_without_all_classes_are_trained_on(tmp_path):
    """As the N170 recordings are split: the last recordings that hold both classes are the test."""
    full, house = rows(2, 3), [(0, 0, "")] * 4
    trials = dataset(tmp_path / "d", [(1, 1, r) for r in (full, full, full, house)] + [(2, 1, r) for r in (house,) * 4], 2)
    assert values(trials, make_splits(trials, "recording")[0], "recording") == {"train": {0, 3, 4, 5, 6, 7}, "val": {1},
                                                                               "test": {2}}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", ["recording", "session"])
def test_across_subjects_where_none_has_three(people, by, seed):
    (split,) = make_splits(people, by, seed=seed)
    assert disjoint(values(people, split, "recording")) and sum(len(split[part]) for part in PARTS) == len(people)
    assert all(classes == {0, 1, 2} for classes in values(people, split, "label").values())
    assert "across subjects" in split["name"]


def test_across_subjects_looks_for_all_classes(tmp_path):
    """Of 12 subjects every second one saw one class only: most draws lack a class in a part, all seeds find one."""
    trials = dataset(tmp_path / "d", [(s, 1, rows(2, 4) if s % 2 else [(0, 0, "")] * 8) for s in range(12)], 2)
    for seed in range(8):
        assert all(c == {0, 1} for c in values(trials, make_splits(trials, "recording", seed=seed)[0], "label").values())


def test_missing_classes_are_named(tmp_path):
    """One class a recording, the design of EEGCVPR40: no recording can stand for all."""
    trials = dataset(tmp_path / "d", [(1, 1, [(label, n, "") for n in range(8)]) for label in range(4)], 4)
    with pytest.raises(InputError, match="--split_by recording: the train part would have no trial of class c2, class c3; "
                                         "choose --split_by picture or time"):
        make_splits(trials, "recording")
    blocks = dataset(tmp_path / "blocks", [(1, 1, [(label, n, "") for label in range(3) for n in range(20)])], 3)
    with pytest.raises(InputError, match="--split_by time: the train part would have no trial of class c2; lower "
                                         "--split_gap, or choose --split_by picture"):
        make_splits(blocks, "time")


def test_sessions_and_recordings_must_be_known(data):
    trials = load_trials(data / "eeg.pth")
    with pytest.raises(InputError, match=r"--split_by session: .*eeg\.pth names no sessions; choose --split_by picture or "
                                         "subject"):
        make_splits(trials, "session")
    for by in ("recording", "time"):
        with pytest.raises(InputError, match=f"--split_by {by}: .*does not say which recording a trial is from"):
            make_splits(trials, by)
    assert len(make_splits(trials, "subject")) == 2 and len(make_splits(trials, "picture")) == 1


@pytest.mark.parametrize("gap", [0., .8, .9, 1.5, 4.])
def test_by_time(sessions, gap):
    """Trials are 1 s from onset to onset and 0.2 s long; recordings hold 20 trials."""
    (split,) = make_splits(sessions, "time", .3, .3, gap=gap)
    onset, recording = sessions.onset, sessions.recording.numpy()
    assert split == make_splits(sessions, "time", .3, .3, seed=9, gap=gap)[0]  # no chance in it
    kept = {i for part in PARTS for i in split[part]}
    for number in range(11):
        own = {part: [onset[i] for i in split[part] if recording[i] == number] for part in PARTS}
        for before, after in (("train", "val"), ("val", "test")):
            assert min(own[after]) - (max(own[before]) + SAMPLES / SFREQ) >= gap - 1e-9
        # the borders lie at 8.5 and 14.5 s; nothing but what is near them is left out
        left = [onset[i] for i in np.flatnonzero(recording == number) if i not in kept]
        near = [t for t in range(1, 21) if min(abs(t - 8.5), abs(t - 14.5)) < (gap + .2) / 2]
        assert left == near
    assert all(classes == {0, 1, 2, 3} for classes in values(sessions, split, "label").values())


def test_by_time_without_onsets(tmp_path):
    trials = dataset(tmp_path / "d", [(1, 1, [(n % 2, n // 2, "") for n in range(20)])], 2, onset=np.nan)
    with pytest.raises(InputError, match=r"--split_gap 5: .*does not say when its trials began; give --split_gap 0"):
        make_splits(trials, "time")
    (split,) = make_splits(trials, "time", gap=0)
    assert [split[part] for part in PARTS] == [list(range(14)), [14, 15, 16], [17, 18, 19]]


def test_a_gap_longer_than_a_part(people):
    with pytest.raises(InputError, match=r"val part .* is empty; lower --split_gap"):
        make_splits(people, "time", gap=30)


def test_by_time_with_unseen_pictures(tmp_path):
    trials = dataset(tmp_path / "d", [(s, 1, rows(2, 6, 20, seed=s)) for s in (1, 2)], 2)
    (split,) = make_splits(trials, "time", .2, .2, unseen_pictures=True)
    assert disjoint(values(trials, split, "image"))
    assert {i for p in PARTS for i in split[p]} < {i for p in PARTS for i in make_splits(trials, "time", .2, .2)[0][p]}


def test_as_given(tmp_path):
    """Publishers' test pictures are of a class of their own; one trial is in no part."""
    given = [(0, n, "train") for n in range(6)] + [(1, n, "train") for n in range(6)] + [(2, 0, "test")] * 3 + [(2, 1, "")]
    trials = dataset(tmp_path / "d", [(1, 1, given), (2, 1, given)], 3)
    (split,) = make_splits(trials, "given")
    assert split["test"] == [12, 13, 14, 28, 29, 30] and "val taken by picture out of their training part" in split["name"]
    assert sorted(split["train"] + split["val"]) == [i for i in range(28) if i % 16 < 12]
    assert disjoint(values(trials, split, "image"))
    assert values(trials, split, "label") == {"train": {0, 1}, "val": {0, 1}, "test": {2}}
    with pytest.raises(InputError, match="--unseen_pictures: --split_by given keeps the publishers' parts"):
        make_splits(trials, "given", unseen_pictures=True)


def test_given_parts_stay_as_they_are(tmp_path):
    trials = dataset(tmp_path / "d", [(1, 1, rows(2, 4, part=part)) for part in ("test", "train", "val")], 2)
    (split,) = make_splits(trials, "given")
    assert values(trials, split, "recording") == {"train": {1}, "val": {2}, "test": {0}}
    assert "8 pictures of the test part" in describe(trials, [split], "given")
    assert "--unseen_pictures" not in describe(trials, [split], "given")


@pytest.mark.parametrize(("recordings", "how", "recording"), [
    (3, "by recording", {"train": {0, 1}, "val": {2}, "test": {3}}),
    (1, "by time", {"train": {0}, "val": {0}, "test": {1}})])
def test_validation_where_pictures_are_not_known(tmp_path, recordings, how, recording):
    plan = [(1, 1, rows(2, 10, 3, "train"))] * recordings + [(1, 1, rows(2, 10, part="test"))]
    trials = dataset(tmp_path / "d", plan, 2, "class")
    (split,) = make_splits(trials, "given", gap=1.)
    assert values(trials, split, "recording") == recording and f"val taken {how} out of" in split["name"]
    assert all(classes == {0, 1} for classes in values(trials, split, "label").values())


def test_validation_and_test_out_of_training(tmp_path):
    trials = dataset(tmp_path / "d", [(1, 1, rows(2, 10, part="train"))], 2)
    (split,) = make_splits(trials, "given", .1, .2)
    assert {part: len(split[part]) for part in PARTS} == {"train": 14, "val": 2, "test": 4}
    assert "val and test taken by picture" in split["name"] and disjoint(values(trials, split, "image"))


@pytest.mark.parametrize(("part", "message"), [
    ("", "names no trials as its publishers' training part; choose --split_by picture or time"),
    ("test", "names no trials as its publishers' training part"),
    ("dev", "has a part 'dev', expected train, val or test")])
def test_nothing_given(tmp_path, part, message):
    trials = dataset(tmp_path / "d", [(1, 1, rows(2, 4, part=part))], 2)
    with pytest.raises(InputError, match=message):
        make_splits(trials, "given")


@pytest.mark.parametrize("by", ["picture", "recording", "session", "time", "class"])
def test_fractions_that_leave_nothing_to_train_on(sessions, by):
    with pytest.raises(InputError, match=r"leave none of|do not give .* choose --split_by picture"):
        make_splits(sessions, by, .6, .6)
