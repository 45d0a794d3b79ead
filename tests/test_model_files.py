"""What identifies an LLM or CLIP model: the content of its files wherever they lie; large ones are read in samples."""

import json
import shutil

from runtime import model_files
from runtime.model_files import differing_files, model_identity, model_key

import pytest
import torch
from safetensors.torch import load_file, save_file


def changed(folder, copy, change):
    """A copy of a model folder in which `change` was applied to the weights."""
    shutil.copytree(folder, copy)
    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    return copy


def flip(tensors):
    for name, tensor in tensors.items():
        tensors[name] = tensor.flip(0)


def test_a_copy_is_the_same_and_one_of_its_shape_is_not(llm, tmp_path):
    own, copy = model_identity(llm), model_identity(shutil.copytree(llm, tmp_path / "b" / "moved"))
    assert own["commit"] is None and copy["name"] == "moved" and str(tmp_path) not in json.dumps(copy)
    assert {"config.json", "tokenizer.json"} <= set(own["files"]) and set(own["weights"]) == {"model.safetensors"}
    assert model_key(own) == model_key(copy) and differing_files(own, copy) == []
    other = model_identity(changed(llm, tmp_path / "other", flip))
    assert differing_files(own, other) == ["model.safetensors"] and model_key(own) != model_key(other)
    (tmp_path / "b" / "moved" / "chat_template.jinja").write_text("{{ 'other' }}")
    retold = model_identity(tmp_path / "b" / "moved")
    assert differing_files(own, retold) == ["chat_template.jinja"] and model_key(own) != model_key(retold)


def test_how_a_copy_was_saved_is_no_difference(llm, tmp_path):
    copy = shutil.copytree(llm, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"transformers_version": "9", "_name_or_path": "/elsewhere"}))
    (copy / "README.md").write_text("a copy")
    assert differing_files(model_identity(llm), model_identity(copy)) == []
    assert model_key(model_identity(llm)) == model_key(model_identity(copy))
    (copy / "config.json").write_text(json.dumps(config | {"rope_theta": 1}))
    assert differing_files(model_identity(llm), model_identity(copy)) == ["config.json"]


@pytest.mark.parametrize("tensor", ["first", "small", "last"])
def test_a_large_file_is_told_by_each_of_its_tensors(tmp_path, monkeypatch, tensor):
    monkeypatch.setattr(model_files, "WHOLE", 1000)
    monkeypatch.setattr(model_files, "SPREAD", 2)
    monkeypatch.setattr(model_files, "SAMPLE", 64)
    weights = {"first": torch.randn(200, 50), "small": torch.randn(20), "last": torch.randn(100, 100)}
    (tmp_path / "a").mkdir()
    save_file(weights, tmp_path / "a" / "model.safetensors", {"format": "pt"})
    own = model_identity(tmp_path / "a")
    other = model_identity(changed(tmp_path / "a", tmp_path / "b", lambda tensors: tensors[tensor].mul_(1.001)))
    assert own["weights"] != other["weights"] and model_identity(tmp_path / "a") == own
    assert (tmp_path / "a" / "model.safetensors").stat().st_size == (tmp_path / "b" / "model.safetensors").stat().st_size


def test_large_files_are_not_read_whole(tmp_path, monkeypatch):
    file = tmp_path / "pytorch_model.bin"
    with open(file, "wb") as out:
        out.truncate(2 << 30)  # no blocks on the disk
    read, real = [], model_files.file_hash
    monkeypatch.setattr(model_files, "file_hash", lambda path: read.append(path) or real(path))
    own = model_identity(tmp_path)["weights"]
    with open(file, "r+b") as out:
        out.seek(-1, 2)
        out.write(b"x")
    assert not read and own != model_identity(tmp_path)["weights"]


def hub(cache, repository, commit, files):
    """A snapshot as huggingface_hub keeps it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    shutil.copytree(files, snapshot)
    return snapshot


def test_a_hub_model_is_told_by_commit_and_by_what_was_fetched(llm, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    unknown = model_identity("org/llm")
    assert (unknown["commit"], unknown["files"]) == (None, {})
    first = hub(tmp_path, "org/llm", "a" * 40, llm)
    own = model_identity("org/llm")
    assert own["name"] == "org/llm" and own["commit"] == "a" * 40
    assert differing_files(own, model_identity(llm)) == []  # a local copy of it
    (first / "model.safetensors").unlink()
    (first / "tokenizer.json").unlink()
    partly = model_identity("org/llm")
    assert not partly["weights"] and differing_files(own, partly) == [] and model_key(own) == model_key(partly)
    hub(tmp_path, "org/llm", "b" * 40, changed(llm, tmp_path / "other", flip))
    later = model_identity("org/llm")
    assert differing_files(own, later) == ["model.safetensors"] and model_key(own) != model_key(later)
    assert differing_files(partly, later) == ["the commit on the Hub"]


def test_what_is_not_known_is_no_difference(llm):
    own = model_identity(llm)
    assert differing_files(None, own) == differing_files(own, None) == differing_files(None, None) == []
    assert differing_files(own | {"weights": {}, "files": {}}, own) == []
    assert differing_files(own | {"weights": {"pytorch_model.bin": "0"}}, own) == ["model.safetensors", "pytorch_model.bin"]


def test_an_adapter_is_told_by_its_base_too(llm, tmp_path):
    (tmp_path / "llm").mkdir()
    base = shutil.copytree(llm, tmp_path / "base")
    (tmp_path / "llm" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    (tmp_path / "llm" / "adapter_model.safetensors").write_bytes(b"123")
    own = model_identity(tmp_path / "llm")
    shutil.rmtree(base)
    changed(llm, base, flip)
    assert differing_files(own, model_identity(tmp_path / "llm")) == ["base/model.safetensors"]
