"""The base LLM is no part of a captioner: another one of the same shape is noticed in training, captions and claims."""

import json
import shutil

from runtime.runs import read_json, read_run

import pytest
from safetensors.torch import load_file, save_file

import evaluate
from finetuning import finetune, write, write_controls


@pytest.fixture(scope="module")
def other(llm, tmp_path_factory):
    """Another LLM of the same shape, in a folder of the same name."""
    folder = shutil.copytree(llm, tmp_path_factory.mktemp("other") / llm.name)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor.flip(0) for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def claim_of(files, folder):
    evaluate.main([*map(str, files), "--report", str(folder), "--metrics", "ROUGE-1"])
    return json.loads((folder / "results.json").read_text())["studies"][0]["claim"]


@pytest.mark.slow
def test_controls_by_another_base_llm_are_said(captioner, data, llm, other, tmp_path, capsys):
    write(captioner, data, tmp_path / "c.csv")
    capsys.readouterr()
    controls = ("--conditions", "label", "constant", "--max_new_tokens", "12", "--llm_backbone_name_or_path")
    moved = shutil.copytree(llm, tmp_path / "moved")
    write_controls(captioner, data, tmp_path / "c.csv", *controls, str(moved))
    assert "base LLM" not in capsys.readouterr().out
    assert "base LLM" not in claim_of(sorted(tmp_path.glob("*.csv")), tmp_path / "report")
    write_controls(captioner, data, tmp_path / "c.csv", *controls, str(other))
    said = capsys.readouterr().out
    assert "is not the one that the captioner was trained with (they differ in model.safetensors)" in said
    claim = claim_of(sorted(tmp_path.glob("*.csv")), tmp_path / "report")
    assert claim.startswith("Not to be relied on, since label was written by another base LLM than the captioner was "
                            "trained with (they differ in model.safetensors)")
    record = read_json(tmp_path / "c_label.csv.json")
    assert record["other_llm"] == ["model.safetensors"] and record["llm"]["name"] == llm.name
    assert "llm" not in json.loads((tmp_path / "c_constant.csv.json").read_text())  # no LLM writes it

    (tmp_path / "c_label.csv.json").write_text(json.dumps(record | {"other_llm": []}))  # of an older captioner
    claim = claim_of(sorted(tmp_path.glob("*.csv")), tmp_path / "report")
    assert claim.startswith("Not to be relied on, since label was made with another base LLM than the model's captions "
                            "(they differ in model.safetensors)")
    for file in tmp_path.glob("*.csv.json"):  # as an older version wrote them
        content = {key: value for key, value in read_json(file).items() if key not in ("llm", "other_llm")}
        file.write_text(json.dumps(content))
    assert "base LLM" not in claim_of(sorted(tmp_path.glob("*.csv")), tmp_path / "report")


def test_half_written_captions_of_another_base_llm_are_set_aside(captioner, data, other, tmp_path, capsys, monkeypatch):
    from model import EEGModelForCausalLM

    whole = write(captioner, data, tmp_path / "whole.csv")
    real, calls = EEGModelForCausalLM.generate, []

    def stops(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(EEGModelForCausalLM, "generate", stops)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            write(captioner, data, tmp_path / "c.csv", "--batch_size", "4", "--llm_backbone_name_or_path", str(other))
    assert len((tmp_path / "c.csv.partial").read_text().splitlines()) > 1
    capsys.readouterr()
    assert whole.equals(write(captioner, data, tmp_path / "c.csv"))
    assert "were asked for with other options, model or data" in capsys.readouterr().out


def test_training_goes_on_with_the_same_base_llm_only(data, clip, encoder, llm, other, tmp_path, capsys):
    arguments = (data, clip, encoder)
    kept = ("--no_stage3", "--saved_pretrained_model_path", str(tmp_path / "stage2"))
    finetune(*arguments, llm, tmp_path / "a", *kept)
    assert read_run(tmp_path / "a")[0]["llm"]["weights"].keys() == {"model.safetensors"}
    moved = shutil.copytree(llm, tmp_path / llm.name)
    capsys.readouterr()
    finetune(*arguments, moved, tmp_path / "b", *kept)
    assert "stage 2: made before" in capsys.readouterr().out
    finetune(*arguments, other, tmp_path / "c", *kept)
    assert "stage 2: made before" not in capsys.readouterr().out
