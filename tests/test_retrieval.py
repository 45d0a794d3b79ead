"""Retrieval under the protocols that papers report, against independent computations."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

import test_eeg_classifier as scoring
import train_eeg_classifier as training
from eegdata.averages import AveragedEEG, groups_of
from eegdata.pth_file import read_pth
from encoders import load_encoder
from encoders.kept_epochs import kept_epochs, publish_epochs
from evaluation.retrieval_table import picked_on_test, repetition_counts, retrieval_table
from metrics.retrieval import csls, ranks_of, whitened
from metrics.statistics import standard_error
from tiny import data_arguments

SMALL = ["--d_model", "32", "--attn_heads", "4", "--layers", "1", "--spatial_filters", "8", "--device", "cpu",
         "--batch_size", "16", "--learning_rate", "3e-3"]


def test_csls_as_in_its_paper():
    """2 cos(x, y) - r(x) - r(y), with loops over the definition."""
    rng = np.random.default_rng(0)
    decoded, gallery = rng.normal(size=(7, 5)), rng.normal(size=(9, 5))

    def cos(a, b):
        return a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)

    for i, x in enumerate(decoded):
        for j, y in enumerate(gallery):
            near_x = sorted((cos(x, other) for other in gallery), reverse=True)[:3]
            near_y = sorted((cos(other, y) for other in decoded), reverse=True)[:3]
            assert csls(decoded, gallery, 3)[i, j] == pytest.approx(2 * cos(x, y) - np.mean(near_x) - np.mean(near_y))


def test_csls_lowers_a_hub():
    """One picture near to all trials: by cosine it wins everywhere."""
    gallery = np.eye(4) + 0.01
    decoded = gallery + 1.2 * gallery[0]
    assert (ranks_of(decoded @ gallery.T, range(4)) > 0).any()
    assert (ranks_of(csls(decoded, gallery, 2), range(4)) == 0).all()


def test_whitening_by_the_candidates_agrees_with_a_mahalanobis_cosine():
    from sklearn.covariance import LedoitWolf

    rng = np.random.default_rng(1)
    gallery = rng.normal(size=(30, 6)) @ rng.normal(size=(6, 6)) + 3
    decoded = gallery[:10] + rng.normal(size=(10, 6))
    inverse = np.linalg.inv(LedoitWolf().fit(gallery).covariance_)
    a, b = decoded - gallery.mean(0), gallery - gallery.mean(0)
    expected = (a @ inverse @ b.T) / np.sqrt(np.einsum("ij,jk,ik->i", a, inverse, a))[:, None] / np.sqrt(
        np.einsum("ij,jk,ik->i", b, inverse, b))
    np.testing.assert_allclose(whitened(decoded, gallery), expected, atol=1e-8)


def test_the_standard_error_is_that_of_the_mean():
    rng = np.random.default_rng(2)
    hits = rng.random(200) < 0.2
    assert standard_error(hits) == pytest.approx(hits.std(ddof=1) / np.sqrt(200))
    assert 100 * standard_error(np.arange(200) < 40) == pytest.approx(2.8, abs=0.05)  # of a top-1 of 20% with 200 pictures
    pictures = np.repeat(np.arange(40), 5)
    assert standard_error(hits, pictures) == pytest.approx(hits.reshape(40, 5).mean(1).std(ddof=1) / np.sqrt(40))
    assert np.isnan(standard_error([1, 0], [3, 3]))


def test_the_standard_error_of_clusters_of_unlike_size_is_the_spread_over_samples():
    rng = np.random.default_rng(3)

    def sample():
        sizes = rng.integers(1, 8, size=60)
        rate = np.repeat(rng.random(60), sizes)
        return rng.random(len(rate)) < rate, np.repeat(np.arange(60), sizes)

    drawn = [sample() for _ in range(400)]
    spread = np.std([hits.mean() for hits, _ in drawn], ddof=1)
    assert np.mean([standard_error(*one) for one in drawn]) == pytest.approx(spread, rel=0.1)


def test_repetitions_are_averaged_within_picture_and_person():
    rng = np.random.default_rng(4)
    picture, person, order = np.repeat([0, 0, 1, 1], 5), np.repeat([1, 2, 1, 2], 5), rng.permutation(20)
    groups = groups_of(picture, person, order, 2)
    assert groups.shape == (8, 2)
    for group in groups:
        assert len(set(picture[group])) == len(set(person[group])) == 1
    first = np.flatnonzero((picture == 0) & (person == 1))
    assert groups[0].tolist() == first[np.argsort(order[first])][:2].tolist()
    eeg = torch.from_numpy(rng.normal(size=(20, 3, 4))).float()
    mean = AveragedEEG(eeg, groups)
    assert mean.shape == (8, 3, 4)
    torch.testing.assert_close(mean[torch.tensor([0, 7])], torch.stack([eeg[groups[0]].mean(0), eeg[groups[7]].mean(0)]))
    assert repetition_counts(picture, person) == [1, 2, 4, 5]
    assert repetition_counts(np.repeat(np.arange(3), 80), np.ones(240)) == [1, 2, 4, 8, 16, 32, 64, 80]


def test_each_row_by_hand():
    """3 pictures, 2 people, 2 repetitions: every row of the table with loops."""
    rng = np.random.default_rng(5)
    gallery = rng.normal(size=(3, 4))
    picture, person = (each.ravel() for each in np.meshgrid(range(3), (7, 9), indexing="ij"))
    picture, person = np.repeat(picture, 2), np.repeat(person, 2)
    trials = gallery[picture] + 1.5 * rng.normal(size=(12, 4))
    rows = retrieval_table(lambda groups: trials[groups].mean(1), gallery, picture, person, np.arange(12))
    assert [(row["repetitions"], row["people"], row["n"]) for row in rows if row["similarity"] == "cosine"] == [
        (1, 1, 12), (1, 2, 6), (2, 1, 6), (2, 2, 3)]
    assert {row["similarity"] for row in rows if row["transductive"]} == {"csls"}

    def top1(queries):
        hits = []
        for wanted, query in queries:
            cosines = [query @ other / np.linalg.norm(query) / np.linalg.norm(other) for other in gallery]
            hits.append(int(np.argmax(cosines)) == wanted)
        return np.mean(hits)

    def trial(p, who, n):
        return trials[(picture == p) & (person == who)][n]

    expected = [
        top1(zip(picture, trials, strict=True)),
        top1((p, (trial(p, 7, n) + trial(p, 9, n)) / 2) for p in range(3) for n in (0, 1)),
        top1((p, (trial(p, who, 0) + trial(p, who, 1)) / 2) for p in range(3) for who in (7, 9)),
        top1((p, trials[picture == p].mean(0)) for p in range(3))]
    assert [row["top1"] for row in rows if row["similarity"] == "cosine"] == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_a_single_picture_is_whitened_without_a_warning():
    assert ranks_of(whitened(np.ones((3, 4)), np.ones((1, 4))), [0, 0, 0]).tolist() == [0, 0, 0]


def test_what_selection_does():
    rows = [{"top1": 0.3, "top5": 0.5}, {"top1": 0.4, "top5": 0.6}]
    epochs = {"a": [{"top1": 0.5, "top5": 0.6}, {"top1": 0.1, "top5": 0.9}],
              "b": [{"top1": 0.2, "top5": 0.9}, {"top1": 0.4, "top5": 0.7}]}
    picked = picked_on_test(rows, epochs)
    assert [(row["top1_test_picked"], row["top5_test_picked"], row["test_picked_epoch"]) for row in picked] == [
        (0.5, 0.6, "a"), (0.4, 0.7, "b")]
    assert [row["top1"] for row in picked] == [0.3, 0.4]


@pytest.fixture(scope="module")
def kept(data, clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "encoder"
    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(folder), *SMALL, "--num_epochs", "4",
                   "--branches", "neural", "--keep_epochs"])
    return folder


def test_a_run_that_was_killed_after_its_epochs_were_published_has_them_when_it_is_resumed(tmp_path):
    checkpoints, folder = tmp_path / "checkpoints", tmp_path / "encoder"
    for place in (checkpoints, folder):  # the second: of an earlier training
        (place / "epochs").mkdir(parents=True)
        (place / "epochs" / f"step-{len(place.name):07d}.safetensors").write_bytes(b"weights")
    for _ in range(2):
        publish_epochs(checkpoints, folder)
        assert [file.name for file in kept_epochs(folder)] == [file.name for file in kept_epochs(checkpoints)] == [
            "step-0000011.safetensors"]


def score(data, folder, *more):
    scoring.main([*data_arguments(data), "--output", str(folder), "--device", "cpu", *more])


def test_scores_of_a_trained_encoder_agree_with_sklearn(data, clip, kept, tmp_path, capsys):
    """Repetitions averaged in the EEG, people in the embedding; each epoch with its own weights."""
    from safetensors.torch import load_file
    from sklearn.metrics.pairwise import cosine_similarity

    from datautils import image_embeddings

    score(data, kept, "--results_dir", str(tmp_path), "--all_epochs")
    said = capsys.readouterr().out
    assert "picked on the test pictures" in said and "csls (transductive)" in said
    table = json.loads((tmp_path / "scores.json").read_text())["retrieval_table"]
    with open(tmp_path / "retrieval.csv") as file:
        assert [float(row["top1"]) for row in csv.DictReader(file)] == pytest.approx([row["top1"] for row in table])
    content = read_pth(data / "eeg.pth")[0]
    records = [content["dataset"][i] for i in torch.load(data / "splits.pth")["splits"][0]["test"]]
    names = sorted({record["image"] for record in records})
    gallery = image_embeddings([content["images"][i] for i in names], data / "images", str(clip)).numpy()

    def top1(model, repetitions):
        """Of the mean over repetitions, then over the two people."""
        hits = []
        for number, image in enumerate(names):
            each = []
            for subject in (1, 2):
                own = [r["eeg"] for r in records if (r["image"], r["subject"]) == (image, subject)][:repetitions]
                each.append(model(torch.stack([torch.as_tensor(eeg) for eeg in own]).float().mean(0)[None])[0])
            hits.append(cosine_similarity(sum(each).numpy(), gallery).argmax() == number)
        return np.mean(hits)

    def row(repetitions, people):
        return next(row for row in table if (row["repetitions"], row["people"], row["similarity"]) == (
            repetitions, people, "cosine"))

    with torch.no_grad():
        model = load_encoder(kept)
        assert row(2, 2)["top1"] == pytest.approx(top1(model, 2))
        found = []
        for path in sorted((kept / "epochs").iterdir()):
            model.load_state_dict(load_file(path))
            found.append(top1(model, 2))
    assert len(found) == 4 and row(2, 2)["top1"] <= max(found)
    assert row(2, 2)["top1_test_picked"] == pytest.approx(max(found))


def test_the_kept_epochs_hold_the_saved_encoder(kept):
    """Validation picked one of them."""
    from safetensors.torch import load_file

    saved = load_file(kept / "model.safetensors")
    epochs = [load_file(path) for path in sorted((kept / "epochs").iterdir())]
    assert [all(torch.equal(saved[name], each[name]) for name in saved) for each in epochs].count(True) == 1


def test_a_training_that_is_stopped_leaves_the_epochs_of_the_encoder_that_is_there(data, clip, kept, stopped):
    """They were removed at its begin, and its own lay beside the encoder of the training before."""
    from runtime.runs import file_hash

    def train(*more):
        training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(kept), *SMALL, "--num_epochs", "3",
                       "--branches", "neural", "--keep_epochs", *more])

    before = file_hash(kept / "epochs")
    stopped(6, train)  # in the second epoch
    assert file_hash(kept / "epochs") == before
    train("--resume")
    assert len(list((kept / "epochs").iterdir())) == 3 and file_hash(kept / "epochs") != before
    test_the_kept_epochs_hold_the_saved_encoder(kept)


def test_epochs_of_a_classifier_have_nothing_to_compare(data, tmp_path, capsys):
    """None was scored, but each was counted in the ledger as a scoring of the test part."""
    data = shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns("test_ledger.jsonl"))
    training.main([*data_arguments(data), "--output", str(tmp_path / "encoder"), *SMALL, "--num_epochs", "2", "--branches",
                   "neural", "--keep_epochs", "--loss_weight", "0"])
    with pytest.raises(SystemExit) as stop:
        score(data, tmp_path / "encoder", "--all_epochs")
    assert stop.value.code == 2 and not (data / "test_ledger.jsonl").exists()
    assert "--all_epochs: compares the retrieval of pictures, but --output" in capsys.readouterr().err


def test_epochs_that_were_not_kept(data, encoder, capsys):
    with pytest.raises(SystemExit) as stop:
        score(data, encoder, "--all_epochs")
    assert stop.value.code == 2
    assert "--keep_epochs" in capsys.readouterr().err
