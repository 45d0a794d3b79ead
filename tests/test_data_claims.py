"""What a claim says of its data: the source, the audit's findings, or that there is no audit."""

import json

import pytest

import evaluate
from report_material import KINDS, make_run

FAST = ["--metrics", "ROUGE-1", "--n_boot", "100", "--n_perm", "99"]


@pytest.fixture
def own_run(tmp_path):
    return make_run(tmp_path / "run")


def scored(run, *more):
    """The study of a run's results.json."""
    files = sorted(map(str, (run / "results").glob("*.csv")))
    assert len(files) == len(KINDS)
    evaluate.main([*files, *FAST, *more])
    return json.loads((run / "report" / "results.json").read_text())["studies"][0] if more else None


def edit_json(path, **changes):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def set_severity(run, severity):
    content = json.loads((run / "data" / "audit.json").read_text())
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


def test_a_missing_audit_is_said_and_a_report_makes_it(own_run, capsys):
    (own_run / "data" / "audit.json").unlink()
    scored(own_run)
    assert "The data were not audited. Give --report to have it done" in capsys.readouterr().out
    study = scored(own_run, "--report", str(own_run / "report"))
    assert study["audit"]["findings"] and (own_run / "report" / "audit.json").is_file()


def test_simulated_eeg_is_called_simulated_everywhere(own_run, capsys):
    for record in (own_run / "results").glob("*.json"):
        edit_json(record, source={"name": "simulated", "simulated": True})
    study = scored(own_run, "--report", str(own_run / "report"))
    assert "(simulated EEG of 3 people, N = 36 trials of 12 pictures)" in study["claim"]
    assert study["eeg"] == {"source": "simulated", "simulated": True, "people": 3, "text": "simulated EEG of 3 people"}
    assert "simulated EEG of 3 people" in capsys.readouterr().out
    for name in ("report.html", "table.tex"):
        assert "simulated EEG of 3 people" in (own_run / "report" / name).read_text()


def test_eegcvpr40_is_known_by_its_class_names(shared, capsys):
    evaluate.main([str(shared / "captions" / "vtccc_deepseek_eeg_model_7B_base_results.csv"), *FAST])
    said = capsys.readouterr().out
    assert "Not to be relied on, since its classes are those of EEGCVPR40" in said and "EEG of unknown source" in said
