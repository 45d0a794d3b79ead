"""What stage 1 said of a training that failed is repeated by all that comes after it, up to the report."""

import html
import json
import shutil

from runtime.runs import read_json

import pytest

import evaluate
from finetuning import finetune, write

SAID = "The EEG encoder tells the classes of its own training trials no better than chance <b>."


def test_a_failed_training_is_told_up_to_the_report(data, clip, encoder, llm, tmp_path, capsys):
    failed = shutil.copytree(encoder, tmp_path / "encoder")
    content = read_json(failed / "args.json")
    assert content["warnings"] == []
    (failed / "args.json").write_text(json.dumps(content | {"warnings": [SAID]}))
    captioner = finetune(data, clip, failed, llm, tmp_path / "captioner", "--no_stage2", "--max_steps", "1")
    assert f"warning: {SAID}" in capsys.readouterr().out.strip().splitlines()[-2:]
    write(captioner, data, tmp_path / "results" / "captions.csv")
    assert json.loads((tmp_path / "results" / "captions.csv.json").read_text())["training_warnings"] == [SAID]
    evaluate.main([str(tmp_path / "results" / "captions.csv"), "--report",
                   str(tmp_path), "--n_perm", "99", "--n_boot", "99", "--metrics", "ROUGE-1"])
    doubts = json.loads((tmp_path / "results.json").read_text())["studies"][0]["doubts"]
    assert {"severity": "warning", "text": SAID} in doubts
    assert (tmp_path / "report.html").read_text().count(html.escape(SAID)) >= 2  # with the claim, and at the encoder


@pytest.mark.parametrize("warnings", ["text", [1]])
def test_warnings_that_are_no_sentences(data, clip, encoder, llm, tmp_path, capsys, warnings):
    changed = shutil.copytree(encoder, tmp_path / "encoder")
    content = read_json(changed / "args.json")
    (changed / "args.json").write_text(json.dumps(content | {"warnings": warnings}))
    with pytest.raises(SystemExit):
        finetune(data, clip, changed, llm, tmp_path / "captioner")
    assert "args.json: warnings" in capsys.readouterr().err


def test_a_classifier_only_gives_no_captioner(data, clip, encoder, llm, tmp_path, capsys):
    only = shutil.copytree(encoder, tmp_path / "encoder")
    content = read_json(only / "args.json")
    content["options"]["loss_weight"] = 0.0
    (only / "args.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        finetune(data, clip, only, llm, tmp_path / "captioner")
    assert "was trained with --loss_weight 0" in capsys.readouterr().err
