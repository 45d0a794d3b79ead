"""The data audit: copies, overlaps and pictures across parts are found and named."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from audit import duplicates, same_pictures
from audit.data import Material
from audit_material import audited, made_trials, material_of, noise, opened, simulate


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("honest"), "--snr", "1", "--order", "random")


@pytest.mark.parametrize("copy", ("exact", "scaled", "noisy", "shifted"))
def test_a_leaked_copy_is_found_and_named(honest, copy):
    trials, split = opened(honest)
    eeg = trials.eeg[np.arange(len(trials))]
    source, target = int(split["test"][4]), int(split["train"][9])
    white = torch.randn(eeg.shape[1:], generator=torch.Generator().manual_seed(0))
    made = {"exact": lambda x: x, "scaled": lambda x: 2.5 * x, "noisy": lambda x: x + .1 * x.std(1, keepdim=True) * white,
            "shifted": lambda x: torch.cat([x[:, 5:], x[:, :5].flip(1)], 1)}[copy]
    eeg[target] = made(eeg[source])
    finding = duplicates.check_duplicates(Material(dataclasses.replace(trials, eeg=eeg), split))
    assert finding.severity == "severe"
    assert finding.numbers["exact" if copy == "exact" else "near"] == {"train-test": 1}
    assert set(finding.numbers["pairs"][0]["trials"]) == {source, target}
    assert f"trials {target} and {source}" in finding.sentence or f"trials {source} and {target}" in finding.sentence


def test_no_copies_no_finding_not_even_with_hum(honest):
    trials, split = opened(honest)
    time = np.arange(trials.eeg.shape[2]) / trials.sfreq
    hum = np.random.default_rng(0).uniform(0, 6.3, (len(trials), 1, 1)) + 2 * np.pi * 50 * time
    eeg = trials.eeg[np.arange(len(trials))] + 20 * torch.from_numpy(np.sin(hum)).float()
    for each in (trials, dataclasses.replace(trials, eeg=eeg)):
        assert duplicates.check_duplicates(Material(each, split)).severity == "passed"


def test_shifted_correlation_is_numpys():
    a, b = noise(2, 3, 80)
    r = [abs(np.corrcoef(_flat(a[:, max(0, -s):80 - max(0, s)]), _flat(b[:, max(0, s):80 + min(0, s)]))[0, 1])
         for s in range(-20, 21)]
    assert duplicates._shifted_correlation(a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)) == pytest.approx(
        max(r), abs=.05)
    shifted = np.concatenate([np.zeros((3, 7)), a[:, :-7]], axis=1)
    assert duplicates._shifted_correlation(a, shifted) == pytest.approx(1)


def _flat(x):
    return (x - x.mean(1, keepdims=True)).ravel()


def test_overlap_by_hand():
    label, parts = [0, 1, 0, 1, 0, 1], ["train", "test", "val", "train", "test", "train"]
    trials = made_trials(noise(6), label, onset=np.array([0., .75, 3., 3.5, 9., 10.]))  # windows of 1 s
    finding = duplicates.check_overlap(material_of(trials, parts))
    assert finding.numbers["pairs"] == {"train-test": 1, "train-val": 1}
    assert finding.numbers["largest_share"] == pytest.approx(.25) and finding.severity == "warning"
    trials.onset[1] = .3
    finding = duplicates.check_overlap(material_of(trials, parts))
    assert finding.numbers["largest_share"] == pytest.approx(.7) and finding.severity == "severe"


def test_pictures_shared_by_name_bytes_and_look(honest, tmp_path):
    trials, split = opened(honest)
    images = tmp_path / "images"
    shutil.copytree(honest / "images", images)
    check = lambda: same_pictures.check_pictures(Material(trials, split, images))  # noqa: E731
    assert check().severity == "passed"
    test, other = (trials.images[int(trials.image[split["test"][k]])] for k in (0, 1))
    one, two = (trials.images[int(trials.image[split["train"][k]])] for k in (0, 1))
    path = {name: images / name.split("_")[0] / f"{name}.JPEG" for name in (test, other, one, two)}
    Image.open(path[other]).resize((96, 96)).save(path[two], quality=85)
    finding = check()
    assert finding.severity == "warning" and [other, two] in finding.numbers["near"]
    shutil.copy(path[test], path[one])
    finding = check()
    assert finding.severity == "severe" and finding.numbers["same_file"] == [[test, one]] and test in finding.sentence
    path[one].unlink()
    assert check().numbers["missing"] == [one]
    both = {**split, "train": torch.cat([split["train"], split["test"][:1]])}
    assert same_pictures.check_pictures(Material(trials, both)).numbers["same_name"] == 1
    known = dataclasses.replace(trials, record={**trials.record, "pictures_known": "class"})
    assert same_pictures.check_pictures(Material(known, split)).severity == "note"


def test_damaged_shard_is_named(honest, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(honest, folder)
    shard = folder / "trials" / "00001-000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    found = audited(folder, permutations=99)["Integrity of the files"]
    assert found.severity == "severe" and found.numbers == {"shards": 2, "damaged": ["00001-000.arrow"]}
