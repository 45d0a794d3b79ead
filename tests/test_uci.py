"""prepare_data.py uci: the picture-evoked EEG of the UCI EEG Database into a data set folder."""

import zipfile

import numpy as np
import pytest

import prepare_data
from eegdata.splits import read_splits
from eegdata.trials import load_trials
from raw_material import template_montage

CONDITIONS = ["S1 obj", "S2 match", "S2 nomatch"]
CH = ["FP1", "AF1", "FPZ", "CPZ", "X", "nd", "Y", "O2"]


def arrays(n_subjects=4, each=9, seed=0):
    rng, n = np.random.default_rng(seed), n_subjects * each
    return {"X": rng.normal(0, 10, (n, len(CH), 256)).astype(np.float32), "ch": np.array(CH),
            "subject": np.array([f"co2a000{i % n_subjects}" for i in range(n)]),  # subjects take turns in the file
            "cond": np.array([CONDITIONS[(i // n_subjects) % 3] for i in range(n)])}


def prepare(file, output, *options):
    prepare_data.main(["uci", "--file", str(file), "--output", str(output), "--no_audit", *options])
    return load_trials(output)


def fails(capsys, file, output):
    with pytest.raises(SystemExit) as stop:
        prepare(file, output)
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and message.startswith(f"error: --file {file}") and not output.exists()
    return message


def test_trials_stand_by_subject_in_the_order_of_the_file(tmp_path):
    content = arrays()
    np.savez(tmp_path / "made.npz", **content)
    trials = prepare(tmp_path / "made.npz", tmp_path / "out", "--scale", "none")
    rows = np.concatenate([np.flatnonzero(content["subject"] == subject) for subject in np.unique(content["subject"])])
    np.testing.assert_array_equal(trials.eeg[:], content["X"][rows][:, [0, 1, 2, 3, 7]])
    assert trials.ch_names == ["Fp1", "AF1", "Fpz", "CPz", "O2"]
    assert trials.label.tolist() == [CONDITIONS.index(condition) for condition in content["cond"][rows]]
    assert trials.subject.tolist() == np.repeat([1, 2, 3, 4], 9).tolist() == (trials.recording + 1).tolist()
    assert [each["name"] for each in trials.record["recordings"]] == sorted(set(content["subject"]))
    assert trials.tmin == 0 and trials.sfreq == 256 and np.isnan(trials.onset).all() and trials.session.unique() == 1
    assert (trials.record["units"], trials.record["pictures_known"]) == ("uV", "no")
    assert any("X, Y, nd left out" in step for step in trials.record["about"]["steps"])
    assert trials.record["class_ids"] == ["first", "match", "nomatch"] and set(trials.images) == {
        "first_unknown", "match_unknown", "nomatch_unknown"}
    splits = read_splits(tmp_path / "out" / "splits.pth")
    assert [set(trials.subject[split["test"]].tolist()) for split in splits] == [{1}, {2}, {3}, {4}]


def spoiled(name, change):
    content = arrays()
    return content | {name: change(content[name])}


@pytest.mark.parametrize(("content", "expected"), [
    ({name: array for name, array in arrays().items() if name != "cond"}, "array cond is missing"),
    (spoiled("cond", lambda a: np.where(a == "S2 match", "S2 err", a)), "condition 'S2 err'"),
    (spoiled("cond", lambda a: a[:-1]), "`cond` has 35 entries, expected 36"),
    (spoiled("ch", lambda a: a[:-1]), "`ch` has 7 entries, expected 8"),
    (spoiled("ch", lambda a: np.where(a == "FPZ", "FP1", a)), "names Fp1 twice"),
    (spoiled("ch", lambda a: np.array(["X", "Y", "nd", "a", "b", "a", "c", "d"])), "names a twice"),
    (spoiled("X", lambda a: a.reshape(36, -1)), "expected floating-point numbers of 3 dimensions"),
    (spoiled("X", lambda a: (a * 100).astype(np.int16)), "`X` is int16"),
    (spoiled("X", lambda a: a.transpose(1, 0, 2)), "`subject` has 36 entries, expected 8"),
    (spoiled("X", lambda a: np.where(a > 35, np.nan, a).astype(np.float32)), "not finite"),
    (spoiled("subject", lambda a: np.array([object()] * 36)), "pickle"),
    (spoiled("X", lambda a: a[:0]), "`X` is float32 of shape (0, 8, 256)"),
])
def test_wrong_contents_are_named(tmp_path, capsys, content, expected):
    np.savez(tmp_path / "made.npz", **content)
    assert expected in fails(capsys, tmp_path / "made.npz", tmp_path / "out")


def test_an_npz_that_would_fill_the_memory_is_refused(tmp_path, capsys):
    """A file of some kB that unpacks to gigabytes, or an array that claims petabytes: out of memory, a smaller --batch_size
    was said to help."""
    for name, shape, zeros in (("packed", (1, 64, 1 << 20), 128), ("claimed", (480, 64, 10**12), 0)):
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("X.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
                for _ in range(zeros):
                    file.write(bytes(1 << 20))
            for other in ("ch", "subject", "cond"):
                with archive.open(f"{other}.npy", "w") as file:
                    np.save(file, arrays()[other])
    assert "X.npy is said to unpack to 134217" in fails(capsys, tmp_path / "packed.npz", tmp_path / "out")
    assert "damaged or cut short (Unable to allocate" in fails(capsys, tmp_path / "claimed.npz", tmp_path / "out")


def test_what_is_no_npz_is_named(tmp_path, capsys):
    np.save(tmp_path / "one.npy", arrays()["X"])
    (tmp_path / "text.npz").write_text("X\n")
    assert "not a readable .npz" in fails(capsys, tmp_path / "one.npy", tmp_path / "out")
    assert "not a readable .npz" in fails(capsys, tmp_path / "text.npz", tmp_path / "out")
    assert "no such file" in fails(capsys, tmp_path / "none.npz", tmp_path / "out")
    assert "is a folder" in fails(capsys, tmp_path, tmp_path / "out")


def test_the_real_file_cut_short_or_with_flipped_bytes(shared, tmp_path, capsys):
    whole = (shared / "uci" / "uci_picture_evoked.npz").read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[middle:], whole[:middle] + bytes(255 - b for b in whole[middle:middle + 8])
                    + whole[middle + 8:]):
        (tmp_path / "real.npz").write_bytes(damaged)
        assert "damaged or cut short" in fails(capsys, tmp_path / "real.npz", tmp_path / "out")


def test_a_bit_that_says_encrypted(tmp_path, capsys):
    """One flipped bit in the zip archive's directory, which zipfile answers by a RuntimeError."""
    np.savez(tmp_path / "a.npz", **arrays())
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    assert "encrypted" in fails(capsys, tmp_path / "a.npz", tmp_path / "out")


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    return prepare(shared / "uci" / "uci_picture_evoked.npz", tmp_path_factory.mktemp("uci") / "out")


def test_the_real_file(real, shared):
    import mne

    known = mne.channels.make_standard_montage(template_montage()).ch_names
    assert len(real.ch_names) == 61 and set(real.ch_names) <= set(known)
    assert real.eeg.shape == (480, 61, 256) and len(real.record["recordings"]) == 16
    assert real.label.bincount().tolist() == [160, 160, 160]
    with np.load(shared / "uci" / "uci_picture_evoked.npz", allow_pickle=False) as file:
        own = file["X"][file["subject"] == real.record["recordings"][2]["name"]]
        occipital = file["ch"].tolist().index("OZ")
    scale = real.record["recordings"][2]["scale"][real.ch_names.index("Oz")]
    assert scale == pytest.approx(own[:, occipital].std(), rel=1e-4)
    found = real.eeg[60:90][:, real.ch_names.index("Oz")] * scale
    np.testing.assert_allclose(found, own[:, occipital], rtol=1e-4, atol=1e-4)


def test_first_and_second_picture_are_told_apart_across_subjects_as_in_the_data_notes(real):
    """../shared/data/README.md: .77 balanced accuracy by logistic regression across subjects."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    means = real.eeg[:].numpy()[:, :, :240].reshape(480, 61, 12, 20).mean(3).reshape(480, -1)  # of 78 ms each
    model = make_pipeline(StandardScaler(), LogisticRegression(C=.01, max_iter=1000))
    scores = cross_val_score(model, means, real.label.numpy() > 0, groups=real.subject.numpy(), cv=GroupKFold(5),
                             scoring="balanced_accuracy")
    assert .7 < scores.mean() < .85
