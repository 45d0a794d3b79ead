"""The EEG is read from disk a part at a time: equal to reading it whole, and within a bound on memory."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from runtime.pickles import load_hashed
from runtime.runs import file_hash

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from config import EEGEncoderConfig
from eegdata.dataset_folder import MappedEEG
from eegdata.trials import load_trials
from encoders import batches, build_encoder, encode
from encoders.classical import _shorten
from encoders.training import fit, gather, place, validation_scores
from encoders.transformer import mean_and_covariance

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(batches, "VALUES_PER_BATCH", 7 * 6 * 40)


def mapped(count=50, n_chans=6, samples=50):
    """Correlated channels far from zero, in blocks of unlike length: the MappedEEG of samples 5..45, the same as array."""
    rng = np.random.default_rng(0)
    eeg = np.einsum("cd,ndt->nct", rng.normal(size=(n_chans, n_chans)), rng.normal(size=(count, n_chans, samples)))
    eeg = (eeg + 100 * np.arange(n_chans)[:, None] + np.arange(count)[:, None, None]).astype(np.float32)
    return MappedEEG([eeg[:3], eeg[3:4], eeg[4:]], 5, 45), eeg[:, :, 5:45]


def test_whitening_in_parts_is_that_of_all_trials(small_parts):
    eeg, whole = mapped()
    rows = np.random.default_rng(1).permutation(50)[:33]
    mean, covariance = mean_and_covariance(eeg, torch.from_numpy(rows))
    flat = whole[rows].astype(np.float64).transpose(1, 0, 2).reshape(6, -1)
    np.testing.assert_allclose(mean, flat.mean(1), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(flat, bias=True), rtol=1e-5, atol=1e-6 * np.abs(flat).max())
    config = EEGEncoderConfig(n_chans=6, n_times=40, d_model=8, attn_heads=2, layers=1, spatial_filters=4, patch_size=10)
    first, second = build_encoder(config), build_encoder(config)
    first.fit_whitening(eeg, rows)
    second.fit_whitening(torch.from_numpy(whole[rows]))
    torch.testing.assert_close(first.patches.whitening, second.patches.whitening, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(first.patches.mean, second.patches.mean, rtol=1e-6, atol=0)


def test_encoding_rows_is_encoding_their_tensor():
    eeg, whole = mapped()
    encoder = build_encoder(EEGEncoderConfig(n_chans=6, n_times=40, d_model=8, attn_heads=2, layers=1, spatial_filters=4,
                                             patch_size=10))
    rows = torch.tensor([7, 3, 49, 3, 0])
    by_rows = encode(encoder, eeg, rows, batch_size=2)
    assert all(map(torch.equal, by_rows, encode(encoder, torch.from_numpy(whole[rows.numpy()]), batch_size=2)))
    assert all(map(torch.equal, encode(encoder, eeg), encode(encoder, torch.from_numpy(whole))))


def test_the_baselines_features_in_parts(small_parts, monkeypatch):
    monkeypatch.setattr("encoders.classical.MAX_SAMPLES", 13)
    eeg, whole = mapped()
    rows = np.random.default_rng(2).permutation(50)[:31]
    expected = whole[rows][:, :, :40].astype(float).reshape(31, 6, 10, 4).mean(3)
    np.testing.assert_allclose(_shorten(eeg, rows), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("old", [False, True])
def test_a_file_of_records_gathered_is_the_records_stacked(tmp_path, dtype, old):
    torch.manual_seed(0)
    records = [{"eeg": torch.randn(5, 450 + 10 * i).to(dtype), "image": 0, "label": 0, "subject": 1 + i % 2}
               for i in range(17)]
    records[3]["eeg"] = records[3]["eeg"].T.contiguous().T  # another layout in memory
    torch.save({"dataset": records, "labels": ["a"], "images": ["a_1"]}, tmp_path / "eeg.pth",
               _use_new_zipfile_serialization=not old)
    kept = [i for i in range(17) if 460 <= 450 + 10 * i <= 600]
    whole = torch.stack([records[i]["eeg"][:, 20:460].float() for i in kept])
    trials = load_trials(tmp_path / "eeg.pth")
    assert trials.trial.tolist() == kept and trials.eeg.shape == whole.shape and len(trials.eeg) == len(kept)
    for rows in (slice(None), torch.tensor([4, 0, 9]), [2], 5, torch.arange(len(kept)) % 2 == 0):
        assert torch.equal(trials.eeg[rows], whole[rows])
    assert torch.equal(trials.eeg.take(torch.tensor([8, 1, 3]))[1:], whole[[1, 3]])
    matrix = torch.randn(3, 5)
    torch.testing.assert_close(trials.eeg.with_channels(matrix)[[1, 2]], matrix @ whole[1:3])
    assert trials.fingerprint == file_hash(tmp_path / "eeg.pth")


@pytest.mark.parametrize("name", ["eeg.pth", "splits.pth"])
def test_one_pass_gives_content_and_hash(data, name):
    content, digest = load_hashed(data / name, "--x")
    assert digest == file_hash(data / name)
    expected = torch.load(data / name, weights_only=True)
    assert content.keys() == expected.keys()
    assert all(torch.equal(a["eeg"], b["eeg"]) for a, b in
               zip(content.get("dataset", ()), expected.get("dataset", ()), strict=True))


def test_writing_into_what_was_read_leaves_the_file(data, tmp_path):
    (tmp_path / "eeg.pth").write_bytes((data / "eeg.pth").read_bytes())
    load_hashed(tmp_path / "eeg.pth", "--x")[0]["dataset"][0]["eeg"].zero_()
    assert file_hash(tmp_path / "eeg.pth") == file_hash(data / "eeg.pth")


PEAK = """
import resource, sys
import numpy as np, torch
from eegdata import trials
import encoders
from config import EEGEncoderConfig
config = EEGEncoderConfig(n_chans=64, n_times=500, d_model=8, attn_heads=2, layers=1, spatial_filters=4, patch_size=50)
encoder = encoders.build_encoder(config)
encoder.fit_whitening(torch.randn(9, 64, 500))
encoders.encode(encoder, torch.randn(256, 64, 500))  # what libraries need for themselves
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    found = trials.load_trials(path, time_low=0)
    rows = torch.arange(0, len(found), 2)
    encoder.fit_whitening(found.eeg, torch.cat([rows, rows + 1]))
    encoders.encode(encoder, found.eeg)
    del found
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """2000 trials, 256 MB, as a .pth; and as a folder."""
    from eegdata.dataset_writer import write_folder
    from eegdata.records import Block, DataSet, Recording

    folder = tmp_path_factory.mktemp("large")
    eeg = torch.randn(2000, 64, 500)
    torch.save({"dataset": [{"eeg": trial.clone(), "image": 0, "label": 0, "subject": 1} for trial in eeg],
                "labels": ["a"], "images": ["a_1"], "sfreq": 1000.0, "ch_names": [f"E{i}" for i in range(64)]},
               folder / "eeg.pth")
    block = Block(eeg.numpy(), np.zeros(2000, int), ["a_unknown"] * 2000, np.arange(2000.))
    data = DataSet([Recording("one", 1, 1, 1, lambda: [block])], sfreq=1000.0, ch_names=[f"E{i}" for i in range(64)],
                   n_times=500, tmin=0.0, units="uV", class_ids=["a"], class_names=["a"], pictures={}, pictures_known="no")
    write_folder(data, folder / "folder", "test", "none")
    yield folder
    (folder / "eeg.pth").unlink()
    for shard in (folder / "folder" / "trials").glob("*.arrow"):
        shard.unlink()


@pytest.mark.slow
def test_no_second_copy_in_memory(large):
    """What lies on disk counts once, as pages of the file; a copy more would be 256 MB."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(large / "eeg.pth"), str(large / "folder")], cwd=ROOT,
                          capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 1.5 * 256e6


class Linear(torch.nn.Module):
    """The smallest model that trains on trials."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(240, 1)

    def forward(self, eeg, labels):
        return {"loss": (self.layer(eeg.flatten(1)).squeeze(1) / 1000 - labels).square().mean()}


def trained(tmp_path, choose):
    """(losses, weights) of a training on what `choose` makes of the trials and TrainingArguments."""
    from transformers import TrainingArguments

    arguments = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=8, num_train_epochs=2, use_cpu=True,
                                  logging_steps=1, report_to="none", eval_strategy="epoch", save_strategy="epoch",
                                  load_best_model_at_end=True, remove_unused_columns=False, label_names=["labels"])
    rows = torch.cat([torch.arange(30, 50), torch.arange(4, 20)])
    eeg, model = choose(mapped()[0], rows, arguments), Linear()
    log = fit(model, gather({"eeg": eeg, "labels": rows / 50}), {"train": torch.arange(20), "val": torch.arange(20, 36)},
              arguments, options_key="key", save_every=100)
    return [entry[name] for entry in log for name in ("loss", "eval_loss") if name in entry], model.layer.weight


def test_training_is_the_same_wherever_the_trials_lie(tmp_path, capsys):
    losses, weight = trained(tmp_path / "memory", lambda eeg, rows, arguments: eeg[rows])
    found = trained(tmp_path / "placed", place)
    assert found[0] == losses and len(losses) == 8 and torch.equal(found[1], weight)
    assert "36 trials of 6 channels x 40 samples are read from disk a batch at a time" in capsys.readouterr().out


def test_balanced_accuracy_of_a_validation_is_sklearns():
    rng = np.random.default_rng(0)
    labels, logits = np.array([0, 2, 2, 2, 5, 5, 0, 5]), rng.normal(size=(8, 7))
    embedding = rng.normal(size=(8, 3))
    found = validation_scores(SimpleNamespace(predictions=(embedding, logits), label_ids=(labels, embedding)))
    expected = recall_score(labels, logits.argmax(1), average="macro", labels=np.unique(labels), zero_division=0)
    assert found["balanced_accuracy"] == pytest.approx(expected, abs=1e-15) and found["embedding_r"] == pytest.approx(1)
