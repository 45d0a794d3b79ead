"""What a claim says of its data: the source, the audit's findings, or that there is no audit."""

import json
import re
import shlex

from runtime.runs import file_hash, read_json

import numpy as np
import pandas
import pytest
import torch

import evaluate
import prepare_data
from audit.order import CHECK as ORDER_CHECK
from audit.page import audit_files
from bench.synthetic import write_pth
from captioning.captioner import Captioner
from config import CLASS_NAMES
from eegdata.eegcvpr40 import has_its_classes, synsets_of
from eegdata.source import source_of, source_text
from eegdata.splits import write_splits
from report_material import KINDS, make_run

FAST = ["--metrics", "ROUGE-1", "--n_boot", "100", "--n_perm", "99"]


@pytest.fixture
def own_run(tmp_path):
    return make_run(tmp_path / "run")


def scored(run, *more):
    """The study of a run's results.json."""
    files = sorted(map(str, (run / "results").glob("*.csv")))
    assert len(files) == len(KINDS)
    evaluate.main([*files, *FAST, *more, *(["--examples", "1"] if "--report" in more else [])])
    return json.loads((run / "report" / "results.json").read_text())["studies"][0] if more else None


def edit_json(path, **changes):
    content = read_json(path)
    path.write_text(json.dumps(content | changes))


def set_severity(run, severity):
    content = read_json(run / "data" / "audit.json")
    content["findings"][0]["severity"] = severity
    (run / "data" / "audit.json").write_text(json.dumps(content))


def test_severe_findings_begin_the_claim_with_and_without_a_report(own_run, capsys):
    set_severity(own_run, "severe")
    scored(own_run)
    said = capsys.readouterr().out
    assert "Not to be relied on, since the audit of the data has severe findings (Blocks). " in said
    study = scored(own_run, "--report", str(own_run / "report"))
    assert study["claim"].startswith("Not to be relied on, since the audit of the data has severe findings (Blocks). ")
    assert "Not to be relied on" in (own_run / "report" / "table.tex").read_text()
    assert "Each class was shown in one block." in (own_run / "report" / "report.html").read_text().split("</header>")[0]


def test_warnings_stand_beside_the_claim(own_run, capsys):
    scored(own_run)
    said = capsys.readouterr().out
    assert "Not to be relied on" not in said and "Audit of the data, Blocks: Each class was shown in one block." in said
    scored(own_run, "--report", str(own_run / "report"))
    assert "The audit of the data warns of: Blocks. N = 36 trials" in (own_run / "report" / "table.tex").read_text()


def test_a_missing_audit_is_said_and_a_report_makes_it(own_run, capsys):
    (own_run / "data" / "audit.json").unlink()
    scored(own_run)
    assert "The data were not audited. Give --report to have it done" in capsys.readouterr().out
    study = scored(own_run, "--report", str(own_run / "report"))
    assert study["audit"]["findings"] and (own_run / "report" / "audit.json").is_file()


def test_simulated_eeg_is_called_so_in_the_claim_itself(own_run, capsys):
    for record in (own_run / "results").glob("*.json"):
        edit_json(record, source={"name": "simulated", "simulated": True})
    study = scored(own_run, "--report", str(own_run / "report"), "--chart", str(own_run / "scores.svg"))
    assert study["claim"].startswith("Simulated EEG of 3 people (6 channels): the captions carry the class")
    assert study["eeg"] == {"source": "simulated", "simulated": True, "people": 3, "sessions": None, "channels": 6,
                            "recorded": None, "text": "simulated EEG of 3 people (6 channels)"}
    said = capsys.readouterr().out
    assert said.index("captions.csv: Simulated EEG of 3 people") < said.index("95% interval")  # the verdict first
    results = json.loads((own_run / "report" / "results.json").read_text())
    assert results["title"] == "EEG-to-Text: simulated EEG of 3 people (run/report)"
    page = (own_run / "report" / "report.html").read_text()
    assert f"<title>{results['title']}</title>" in page and "Nobody was recorded" in page
    assert "Simulated EEG of 3 people (6 channels)" in (own_run / "report" / "table.tex").read_text()
    assert results["made"]["date"] in page and "--report" in results["made"]["command"]
    assert results["made"]["date"] in (own_run / "report" / "table.tex").read_text()


def test_a_captioner_of_simulated_eeg_says_so(tmp_path):
    knows = type("Captioner", (), {"folder": tmp_path, "knows": Captioner.knows_simulated_eeg})
    assert not knows().knows  # a predecessor's has no record
    for simulated in (True, False):
        (tmp_path / "args.json").write_text(json.dumps({"source": {"name": "x", "simulated": simulated}}))
        assert knows().knows is simulated


def test_sessions_and_dates_are_named(own_run):
    for file in (own_run / "results").glob("*.csv"):
        table = pandas.read_csv(file, keep_default_na=False, dtype=str)
        table["session"] = [str(1 + int(trial) % 2) for trial in table["trial"]]
        table.to_csv(file, index=False)
        edit_json(file.with_name(f"{file.name}.json"), sha256=file_hash(file), source={
            "name": "raw", "simulated": False, "channels": 9, "recorded": ["2021-03-01", "2021-05-02"]})
    study = scored(own_run, "--report", str(own_run / "report"))
    assert study["claim"].startswith("EEG of 3 people from raw recordings (6 sessions, 9 channels, recorded 2021-03-01 to "
                                     "2021-05-02): ")


@pytest.mark.parametrize("file", ["dataset.json", "audit.json"])
@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"format": "eeg-to-text data set 1"})])
def test_damaged_data_do_not_keep_captions_from_being_judged(own_run, capsys, file, content):
    if file == "dataset.json":
        (own_run / "data" / "audit.json").unlink()
    elif content.startswith("{\""):
        content = json.dumps(read_json(own_run / "data" / file) | {"findings": [{"check": "Blocks"}]})
    (own_run / "data" / file).write_text(content)
    for more in ((), ("--report", str(own_run / "report"))):
        scored(own_run, *more)
        said = capsys.readouterr().out
        assert "claim" in said.lower() or "EEG" in said
        assert "udit" in said and str(own_run / "data" / file) in said


@pytest.mark.parametrize("option", [("--subject", 2), ("--split_num", 1)])
def test_the_audit_that_is_advised_is_found(own_run, capsys, option):
    """It is of the same person and split as the captions, and leaves the data set's own audit alone."""
    name, number = option[0].removeprefix("--"), option[1]
    splits = own_run / "data" / "splits.pth"
    for record in (own_run / "results").glob("*.json"):
        edit_json(record, **{name: number})
    scored(own_run)
    said = capsys.readouterr().out
    command = re.search(r"run python (prepare_data.py audit .*?) first\.", said)
    assert command and " ".join(map(str, option)) in command[1] and str(splits) in command[1]
    own = (own_run / "data" / "audit.json").read_bytes()
    try:
        prepare_data.main(shlex.split(command[1])[1:])
    except SystemExit as stop:
        assert name == "split_num" and stop.code == 2  # the file holds one split only
        return
    capsys.readouterr()
    scored(own_run)
    assert "not audited" not in capsys.readouterr().out and (own_run / "data" / "audit.json").read_bytes() == own


def test_eegcvpr40_is_known_by_picture_names_and_not_where_the_source_is_known(own_run, capsys):
    synsets = [f"n0210666{digit}" for digit in range(4)] + [f"n0395000{digit}" for digit in range(4)]
    assert not has_its_classes(synsets_of([f"{name}_1" for name in synsets]))
    pictures = [f"images/{name}_{number}.JPEG" for number, name in enumerate(list(CLASS_NAMES)[:12])]
    assert has_its_classes(synsets_of(pictures)) and synsets_of([*pictures, "cat_1"]) == set()
    for file in (own_run / "results").glob("*.csv"):
        table = pandas.read_csv(file, keep_default_na=False, dtype=str)
        kinds = sorted(set(table["image"]))
        table["image"] = [pictures[kinds.index(name)] for name in table["image"]]
        table.to_csv(file, index=False)
        edit_json(file.with_name(f"{file.name}.json"), sha256=file_hash(file))
    (own_run / "data" / "audit.json").unlink()
    said_of = {}
    for source in ("unknown", "raw", "things"):
        for record in (own_run / "results").glob("*.json"):
            edit_json(record, source={"name": source, "simulated": None if source == "unknown" else False})
        scored(own_run)
        said_of[source] = "its classes are those of EEGCVPR40" in capsys.readouterr().out
    assert said_of == {"unknown": True, "raw": True, "things": False}


@pytest.mark.parametrize(("command", "about", "classes", "text"), [
    ("demo", {"source": "simulated"}, (), "simulated EEG of 2 people"),
    ("eegcvpr40", {"source": "simulated"}, ("a",), "simulated EEG of 2 people"),
    ("things", {}, (), "EEG of 2 people from THINGS-EEG2"),
    ("eegcvpr40", {}, ("a", "b"), "EEG of 2 people from an unknown source"),  # any .pth file in its layout
    (None, {}, tuple(CLASS_NAMES), "EEG of 2 people from EEGCVPR40"),
    (None, None, ("a",), "EEG of 2 people from an unknown source"),
    (None, {"source": "our lab"}, tuple(CLASS_NAMES), "EEG of 2 people from our lab"),
])
def test_how_a_source_is_called(command, about, classes, text):
    assert source_text(source_of(command, about, classes), 2) == text
    assert source_text(source_of(command, about, classes)) == re.sub(" of 2 people", "", text)


def test_blocks_and_drift_without_times_are_severe(tmp_path):
    """A .pth file in file order: each class one block, and the amplitudes of the channels give the block away."""
    n, rng = 400, np.random.default_rng(0)
    label = np.repeat(np.arange(4), n // 4)
    gain = 1 + np.linspace(0, 2, n)[:, None] * np.array([1, .5, 0, -.4])
    eeg = (rng.standard_normal((n, 4, 64)) * gain[:, :, None]).astype(np.float32)
    part = np.array(["train", "train", "val", "test"])[np.arange(n) % 4]
    for drift, severe in ((eeg, True), (rng.standard_normal(eeg.shape).astype(np.float32), False)):
        folder = tmp_path / str(severe)
        folder.mkdir()
        write_pth(folder / "eeg.pth", eeg=drift, label=label.tolist(), image=range(n), subject=[1] * n,
                  images=[f"k{kind}_{i}" for i, kind in enumerate(label)], class_ids=[f"k{kind}" for kind in range(4)],
                  class_names=[f"k{kind}" for kind in range(4)], sfreq=128, ch_names=["Cz", "Pz", "Oz", "Fz"])
        write_splits(folder / "splits.pth", {p: np.flatnonzero(part == p).tolist() for p in ("train", "val", "test")})
        _, _, findings = audit_files(folder / "eeg.pth", folder / "splits.pth", permutations=199)
        found = {one.check: one.severity for one in findings}
        assert found[ORDER_CHECK] == "warning" and (found["Slow drift"] == "severe") is severe, found


def test_page_and_card_of_simulated_eeg_in_any_layout_say_so(tmp_path, data):
    content = torch.load(data / "eeg.pth", weights_only=True) | {"about": {"source": "simulated"}}
    torch.save(content, tmp_path / "eeg.pth")
    prepare_data.main(["eegcvpr40", "--eeg_dataset", str(tmp_path / "eeg.pth"), "--image_dir", str(data / "images"),
                       "--splits_path", str(data / "splits.pth"), "--output", str(tmp_path / "data"), "--permutations",
                       "99"])
    assert "# Simulated EEG of people" in (tmp_path / "data" / "README.md").read_text()
    assert "The EEG is simulated. " in (tmp_path / "data" / "audit.html").read_text()


@pytest.mark.slow
def test_eegcvpr40_is_known_by_its_class_names(shared, capsys):
    evaluate.main([str(shared / "captions" / "vtccc_deepseek_eeg_model_7B_base_results.csv"), *FAST])
    said = capsys.readouterr().out
    assert "Not to be relied on, since its classes are those of EEGCVPR40" in said and "from an unknown source" in said
