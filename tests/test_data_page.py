"""The page of a data set and its place in the report: numbers against MNE and NumPy, escaping, reuse, bad input."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import welch
from scipy.stats import sem

import audit.evoked as evoked
import prepare_data
from audit.findings import Finding
from audit.page import count_table, facts_of, finding_texts, headline, made_of, read_audit, write_page
from bench.synthetic import write_pth
from eegdata.splits import load_split
from eegdata.trials import load_trials
from raw_material import template_montage
from tiny import CHANNELS, CLASSES

VOID = {"meta", "img", "br", "path", "use", "image", "rect"}


class Elements(HTMLParser):
    """Every element with its attributes; tags that do not close are an error."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A simulated data set with its audit, as a user makes it."""
    output = tmp_path_factory.mktemp("simulated") / "data"
    prepare_data.main(["simulated", "--output", str(output), "--n_pictures", "27", "--n_subjects", "2", "--classes", "ball",
                       "car", "cup", "--image_size", "32", "--permutations", "99"])
    return output


@pytest.fixture(scope="module")
def trials(folder):
    return load_trials(folder, 0, 200)


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "audit.html").read_text(encoding="utf-8")


def epochs_of(trials):
    info = mne.create_info(trials.ch_names, trials.sfreq, "eeg", verbose="error")
    events = np.stack([np.arange(len(trials)), np.zeros(len(trials)), trials.label.numpy()], 1).astype(int)
    return mne.EpochsArray(trials.eeg[:].double().numpy(), info, events, trials.tmin, verbose="error")


def test_the_page_is_one_small_file_that_refers_to_nothing_outside(page):
    elements = Elements(page).found
    references = [value for _, attrs in elements for name, value in attrs.items() if name in ("src", "href", "xlink:href")]
    assert references and all(value.startswith(("data:", "#")) for value in references)
    rest = re.sub(r'xmlns(:xlink)?="[^"]*"', "", page)
    assert not re.search(r"https?:|@import", rest)
    assert len(page) < 1_500_000 and "prefers-color-scheme: dark" in page and "@media print" in page
    ids = [attrs["id"] for _, attrs in elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", page))
    assert used <= set(ids)


def test_every_picture_has_a_text(page):
    elements = Elements(page).found
    assert all(attrs.get("alt") for tag, attrs in elements if tag == "img")
    figures = [attrs for tag, attrs in elements if tag == "svg"]
    assert len(figures) >= 11 and all(attrs["role"] == "img" for attrs in figures)  # butterfly, 4 channels, 4 maps, 2
    assert page.count("<title>") == len(figures) + 1


def test_the_page_names_facts_findings_and_events(folder, page):
    record, content = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("dataset.json", "audit.json"))
    for text in (record["fingerprint"], "250 Hz", "27 pictures with 1 caption", "by picture, seed 0", "-200 to 600 ms",
                 "54 trials kept, 0 events dropped", "Scalp maps: all (54)", "ball (18)", *record["about"]["steps"]):
        assert text in page, text
    assert content["made_from"]["fingerprint"] == content["facts"]["fingerprint"] == record["fingerprint"]
    assert content["facts"]["classes"] == {"ball": 18, "car": 18, "cup": 18}
    assert all(finding["check"] in page for finding in content["findings"]) and len(content["findings"]) > 10


def test_responses_are_those_of_mne(trials, monkeypatch):
    monkeypatch.setattr(evoked, "CHUNK_VALUES", 7 * 64 * 200)  # 8 chunks, the last of 5 trials
    found, epochs = evoked.responses(trials), epochs_of(trials)
    assert np.allclose(found.mean, epochs.average().data) and np.allclose(found.times, 1000 * epochs.times)
    for place, label in enumerate(found.labels):
        own = epochs[epochs.events[:, 2] == label]
        assert np.allclose(found.class_mean[place], own.average().data)
        assert np.allclose(found.class_error[place], sem(own.get_data(), axis=0))
        assert found.counts[place] == len(own)
    assert np.allclose(found.error, sem(epochs.get_data(), axis=0))
    assert np.allclose(found.strength, epochs.average().data.std(0))


def test_the_eeg_is_read_in_chunks(trials, monkeypatch):
    class Watched:
        shape, sizes = trials.eeg.shape, []

        def __getitem__(self, rows):
            self.sizes.append(len(rows))
            return trials.eeg[rows]

    monkeypatch.setattr(evoked, "CHUNK_VALUES", 10 * 64 * 200)
    watched = dataclasses.replace(trials, eeg=Watched())
    evoked.responses(watched)
    evoked.spectrum(watched)
    assert max(Watched.sizes) == 10 and sum(Watched.sizes) == 2 * len(trials)


def test_the_largest_classes_are_shown_and_all_trials_count():
    labels = torch.tensor([k for k in range(12) for _ in range(3 + (k % 3 == 0))])  # 0, 3, 6, 9 are larger
    eeg = torch.randn(len(labels), 2, 20, generator=torch.Generator().manual_seed(0))
    trials = stand_in(eeg, labels)
    found = evoked.responses(trials)
    assert found.labels == [0, 1, 2, 3, 4, 5, 6, 9]
    assert np.allclose(found.mean, eeg.mean(0), atol=1e-6)


def test_the_spectrum_is_that_of_welch(trials):
    frequencies, power = evoked.spectrum(trials)
    expected = welch(trials.eeg[:].double().numpy(), 250., nperseg=200, noverlap=0)
    assert np.allclose(frequencies, expected[0][1:]) and np.allclose(power, expected[1].mean(0)[:, 1:])


def test_latencies_are_where_the_response_peaks(trials):
    times, samples = np.arange(-200, 800, 5.), [100, 170, 300]
    mean = np.stack([1., -1.])[:, None] * sum(h * np.exp(-.5 * ((times - t) / 15)**2) for h, t in zip(
        (1, 3, 2), samples, strict=True))
    found = evoked.Responses(times, mean, mean, [], None, None, None)
    assert times[evoked.latencies(found)].tolist() == samples
    flat = evoked.Responses(times, mean * 0, mean * 0, [], None, None, None)
    assert len(evoked.latencies(flat)) == 1


def stand_in(eeg, label, ch_names=None, **record):
    from eegdata.trials import Trials

    n = len(label)
    return Trials(eeg, label, torch.ones(n).long(), torch.zeros(n).long(), torch.arange(n), torch.full((n,), -1), ["a_0"],
                  {k: f"c{k}" for k in label.tolist()}, 100., ch_names, "f", "x", 0, [0] * n, [1] * n, *[None] * 4, record)


def test_places_on_the_scalp_come_from_the_record_or_the_name():
    eeg, label = torch.randn(4, 5, 50), torch.tensor([0, 0, 1, 1])
    info, rows = evoked.scalp(stand_in(eeg, label, ["EEG Oz", "FP1", "T3", "Cz", "nd"]))
    expected = mne.create_info(["Oz", "Fp1", "T7", "Cz"], 1., "eeg").set_montage(template_montage())
    assert rows == [0, 1, 2, 3]
    assert np.allclose([c["loc"][:3] for c in info["chs"]], [c["loc"][:3] for c in expected["chs"]])
    names = [f"E{i}" for i in range(5)]
    assert evoked.scalp(stand_in(eeg, label, names))[0] is None
    assert "E0, E1, E2" in evoked.scalp(stand_in(eeg, label, names))[1]
    places = {name: [.01 * i, .05 + .02 * (i % 2), .08] for i, name in enumerate(names[:4])}
    info, rows = evoked.scalp(stand_in(eeg, label, names, positions=places))
    assert rows == [0, 1, 2, 3] and np.allclose([c["loc"][:3] for c in info["chs"]], list(places.values()))


def test_counts_are_those_of_a_cross_table(trials, folder):
    split = load_split(folder / "splits.pth", trials)
    table = count_table(trials, split)
    frame = pd.DataFrame({"subject": trials.subject.numpy(), "label": trials.label.numpy(), "part": ""})
    for part, rows in split.items():
        frame.loc[rows.numpy(), "part"] = part
    expected = pd.crosstab([frame.subject], [frame.label, frame.part])
    for subject, cells, _ in table["rows"][:-1]:
        for label, (cell, lacks) in enumerate(cells):
            assert cell == [expected.loc[subject, (label, part)] for part in split] and not lacks
    assert table["rows"][-1][2] == [len(rows) for rows in split.values()]
    cup = trials.label[split["test"]] == 2
    table = count_table(trials, {**split, "test": split["test"][~cup]})
    assert [lacks for _, lacks in table["rows"][-1][1]] == [False, False, True]


def test_many_classes_unknown_places_and_dropped_events_are_told(trials, folder, tmp_path):
    label = torch.arange(len(trials)) % 18
    record = json.loads(json.dumps(trials.record))
    record["recordings"][0] |= {"dropped": {"amplitude above 100 uV": 7}, "notes": ["no trigger channel"]}
    many = dataclasses.replace(trials, label=label, class_names={k: f"kind {k}" for k in range(18)}, record=record,
                               ch_names=[f"E{i}" for i in range(64)], onset=None)
    split = load_split(folder / "splits.pth", trials)
    text = write_page(many, split, [], tmp_path, folder / "splits.pth").read_text(encoding="utf-8")
    Elements(text)
    for said in ("8 largest of 18 classes", "places on the scalp are known of 0 of 64", "amplitude above 100 uV 7",
                 "no trigger channel", "54 trials kept, 7 events dropped", "the order is that of the file", "the rainbow",
                 "Trials: test"):
        assert said in text, said
    assert "Scalp maps:" not in text


def test_names_are_escaped_and_dollars_are_no_formula(trials, folder, tmp_path):
    record = json.loads(json.dumps(trials.record))
    record["recordings"][0]["name"] = "<b>$\\bad{$"
    nasty = dataclasses.replace(trials, record=record, class_names={0: "<script>alert(1)</script>", 1: "$x_{$", 2: "a&b"},
                                ch_names=["$\\frac$<i>", *trials.ch_names[1:]])
    findings = [Finding("<u>", "severe", "a <i>b</i>", {"<s>": "<s>"})]
    split = load_split(folder / "splits.pth", trials)
    text = write_page(nasty, split, findings, tmp_path, folder / "splits.pth", image_dir=folder / "images").read_text()
    found = {tag for tag, _ in Elements(text).found}
    assert not found & {"script", "i", "u", "s"} and "&lt;script&gt;" in text


def test_captions_that_a_model_wrote_are_counted(trials, folder, tmp_path):
    from eegdata.pictures import write_machine_captions

    images = shutil.copytree(folder / "images", tmp_path / "images")
    name = trials.images[0]
    write_machine_captions(images, {name: "a ball"}, "org/captioner")
    (images / trials.images[1].split("_")[0] / f"{trials.images[1]}_caption.txt").write_text("one\ntwo\n")
    captions = facts_of(trials, {"train": [0]}, folder / "splits.pth", 0, images)["captions"]
    assert captions == {"pictures": {1: 26, 2: 1}, "machine_made": {"org/captioner": 1}}


def test_the_headline_is_the_worst_finding():
    passed, note, missing = Finding("a", "passed", "A."), Finding("b", "note", "B."), Finding("c", "not checked", "C.")
    severe = [Finding("d", "severe", "D is bad."), Finding("e", "severe", "E is bad.")]
    assert headline([passed, passed]) == "No severe finding in 2 checks."
    assert headline([Finding("w", "warning", "W."), note, missing, passed]) == (
        "No severe finding in 3 checks; 1 warning; 1 check could not be run.")
    assert headline([severe[0], passed]) == "1 severe finding: D is bad."
    assert headline(severe) == "2 severe findings, first: D is bad."


def test_numbers_of_findings_become_short_texts():
    numbers = {"p": np.float64(.00123456), "same_class": 3, "pairs": [[1, 2]], "names": ["a", "b"], "none": [],
               "unknown": None, "line": {"ratio": 32.61, "deep": {"x": 1}}, "sentences": ["s" * 61]}
    text = finding_texts([Finding("a", "note", "A.", numbers)])[0]["numbers"]
    assert text == [("p", "0.00123"), ("same class", "3"), ("names", "a, b"), ("line, ratio", "32.6")]


def test_a_kept_audit_holds_for_its_data_and_split_only(trials, folder):
    made = made_of(trials, folder / "splits.pth", 0)
    assert read_audit(folder / "audit.json", made)
    for other in ({"fingerprint": "other"}, {"subject": 1}, {"splits": "other"}, {"split_num": 1}):
        assert read_audit(folder / "audit.json", made | other) is None
    assert read_audit(folder / "none.json", made) is None


@pytest.fixture
def leaking(data, tmp_path):
    """A .pth file one of whose test trials is a training trial."""
    content = torch.load(data / "eeg.pth", weights_only=True)
    records, split = content["dataset"], torch.load(data / "splits.pth", weights_only=True)["splits"][0]
    for k in range(5):
        records[split["test"][k]]["eeg"] = records[split["train"][k]]["eeg"]
    write_pth(tmp_path / "eeg.pth", eeg=torch.stack([r["eeg"] for r in records]), label=[r["label"] for r in records],
              image=[r["image"] for r in records], subject=[r["subject"] for r in records], images=content["images"],
              class_ids=CLASSES, class_names=CLASSES, sfreq=128, ch_names=CHANNELS)
    return tmp_path / "eeg.pth"


def test_audit_of_a_file(leaking, data, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["audit", str(leaking), "--splits_path", str(data / "splits.pth"), "--output", str(output), "--permutations",
               "99"]
    assert not prepare_data.main(command)
    said = capsys.readouterr().out
    assert "without --image_dir" in said and "severe: Duplicate trials" in said and "audit.html" in said
    text = (output / "audit.html").read_text(encoding="utf-8")
    Elements(text)
    assert "severe" in text and "does not say which events" in text and "picture&#39;s onset is unknown" in text
    assert prepare_data.main([*command, "--image_dir", str(data / "images"), "--strict"]) == 1
    assert "24 pictures with 1 caption" in (output / "audit.html").read_text(encoding="utf-8")


def test_bad_input_exits_with_2_and_writes_nothing(data, folder, tmp_path, capsys, full_disk):
    for arguments, said in (([tmp_path / "none"], "no such file or folder"),
                            ([data / "eeg.pth"], "--splits_path is missing"),
                            ([folder, "--split_num", "9"], "numbered from 0"),
                            ([folder, "--splits_path", tmp_path / "none.pth"], "no such file"),
                            ([folder, "--permutations", "99", "--output", tmp_path / "full"], "cannot be written")):
        with pytest.raises(SystemExit) as stop, full_disk():
            prepare_data.main(["audit", *map(str, arguments)])
        assert stop.value.code == 2 and said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.html"))
