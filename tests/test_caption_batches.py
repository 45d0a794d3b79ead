"""Captions written in batches: the same as one by one, in any order, from where a run was cut off, by several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from captioning.captioner import Captioner
from datautils import CaptionDataset, collate
from finetuning import write
from language_model.prompts import pad_id
from model import EEGModelForCausalLM
from tiny import data_arguments

ROOT = Path(__file__).resolve().parents[1]
INSTRUCTION = "Describe this image in one sentence:"
GREEDY = {"max_new_tokens": 12, "do_sample": False, "repetition_penalty": 1.1}
LABELS = ["cat in the red snow " * (i * 5 % 7) + "dog" for i in range(11)]  # prompts of very different lengths


@pytest.fixture(scope="module")
def loaded(captioner):
    return Captioner(captioner, "cpu")


def embeddings():
    return torch.randn(len(LABELS), 16, generator=torch.Generator().manual_seed(0))


def plainly(loaded, labels, with_embedding, modality="eeg"):
    """One caption at a time, whole prompts."""
    dataset = CaptionDataset(loaded.tokenizer, loaded.template, INSTRUCTION, embeddings(), labels)
    texts = []
    for i, label in enumerate(labels):
        batch = collate([dataset.example(i, label, with_embedding)], loaded.model.config.soft_tokens, 0)
        batch.pop("labels")
        ids = loaded.model.generate(**batch, modality=modality, pad_token_id=pad_id(loaded.tokenizer),
                                    eos_token_id=loaded.tokenizer.eos_token_id, **GREEDY)
        texts.append(loaded.tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    return texts


@pytest.fixture
def batches(monkeypatch):
    """The batches that the captioner's model is given, as they are."""
    real, given = EEGModelForCausalLM.generate, []
    monkeypatch.setattr(EEGModelForCausalLM, "generate",
                        lambda self, **batch: given.append(batch) or real(self, **batch))
    return given


@pytest.mark.parametrize("template", ["chat", "thought2text", "plain"])
@pytest.mark.parametrize(("labels", "with_embedding", "modality"), [
    (LABELS, True, "eeg"), (LABELS, False, "eeg"), ([None] * len(LABELS), True, "eeg"), (LABELS, True, "image")])
def test_batches_write_what_is_written_one_by_one(loaded, monkeypatch, batches, template, labels, with_embedding, modality):
    monkeypatch.setattr(loaded, "template", template)
    expected = plainly(loaded, labels, with_embedding, modality)
    assert len(set(expected)) > 1
    for batch_size in (1, 4, len(labels)):
        del batches[:]
        assert loaded.generate(embeddings(), labels, with_embedding, INSTRUCTION, batch_size=batch_size, modality=modality,
                               **GREEDY) == expected
        lengths = [int(batch["attention_mask"].sum(1)[i]) for batch in batches for i in range(len(batch["input_ids"]))]
        assert lengths == sorted(lengths) and len(lengths) == len(labels)
        assert template == "plain" or all(len(batch["prefix_ids"]) > 1 for batch in batches)


def test_what_is_there_is_not_written_again(loaded, batches):
    """From any batches of an interrupted run, and from a part of one, in any order; sampled too."""
    sampled = {**GREEDY, "do_sample": True, "temperature": 1.5}
    kept = []
    whole = loaded.generate(embeddings(), LABELS, True, INSTRUCTION, batch_size=3, seed=5, on_batch=kept.append, **sampled)
    assert [len(pairs) for pairs in kept] == [3, 3, 3, 2] and sum(map(len, kept)) == len(LABELS)
    for lines, missing in (((2, 0), 2), ((0, 1, 2, 3), 0), ((), 4)):
        del batches[:]
        done = dict(pair for line in lines for pair in kept[line])
        assert loaded.generate(embeddings(), LABELS, True, INSTRUCTION, batch_size=3, seed=5, done=done, **sampled) == whole
        assert len(batches) == missing
    assert loaded.generate(embeddings(), LABELS, True, INSTRUCTION, batch_size=3, seed=5, done=dict(kept[1][:2]),
                           **sampled) == whole


def test_neighbouring_seeds_draw_apart(loaded):
    """One prompt many times: a batch of the next seed must not draw what another batch of this seed drew."""
    sampled = {**GREEDY, "do_sample": True, "temperature": 1.5, "batch_size": 1}
    this, following = (loaded.generate(embeddings()[:1].expand(6, -1), ["dog"] * 6, True, INSTRUCTION, seed=seed, **sampled)
                       for seed in (5, 6))
    assert len({*this, *following}) == 12


def test_what_is_there_stays_whatever_the_batch_size(loaded):
    """In other batches a caption of an LLM in 8 bit, or a sampled one, would be another."""
    done = {0: "kept", 7: "kept, too"}
    more = []
    texts = loaded.generate(embeddings(), LABELS, True, INSTRUCTION, batch_size=4, done=done, on_batch=more.extend,
                            **GREEDY)
    whole = loaded.generate(embeddings(), LABELS, True, INSTRUCTION, batch_size=3, **GREEDY)
    assert texts == [done.get(i, text) for i, text in enumerate(whole)]
    assert sorted(dict(more)) == sorted(set(range(len(LABELS))) - set(done)) and len(more) == len(LABELS) - 2


def test_trials_are_read_by_rows(loaded, data):
    from eegdata.trials import load_trials

    eeg, rows = load_trials(data / "eeg.pth").eeg, torch.tensor([5, 90, 7, 8, 2])
    whole, some = loaded.read(eeg[:]), loaded.read(eeg, rows, batch_size=2)
    assert all(torch.allclose(whole[i][rows], some[i], atol=1e-6) for i in (0, 2))
    assert [whole[1][row] for row in rows.tolist()] == some[1]


def test_the_batch_fits_where_none_is_asked_for(captioner, data, tmp_path, capsys, monkeypatch):
    write(captioner, data, tmp_path / "c.csv")
    assert "64 captions are written at a time (--batch_size)" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.csv.json").read_text())["used"] == {"batch_size": 64}

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(EEGModelForCausalLM, "generate", full)
    with pytest.raises(SystemExit) as stop:
        write(captioner, data, tmp_path / "d.csv", "--batch_size", "7")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "--batch_size 7: the memory of cpu does not take so many captions at a time" in said


def test_a_picture_that_many_saw_is_captioned_once(captioner, data, tmp_path, batches):
    table = write(captioner, data, tmp_path / "c.csv", "--condition", "image")
    assert sum(len(batch["input_ids"]) for batch in batches) == table["image"].nunique() == 6 and len(table) == 24
    assert (table.groupby("image")["Generated Caption"].nunique() == 1).all()
    del batches[:]
    write(captioner, data, tmp_path / "s.csv", "--condition", "image", "--do_sample")
    assert sum(len(batch["input_ids"]) for batch in batches) == 24  # each draws its own


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(captioner, data, tmp_path, monkeypatch):
    """Also where they go on after one that was stopped in the middle, and where tokens are drawn at random."""
    one, two = tmp_path / "one", tmp_path / "two"
    more = ["--batch_size", "4", "--cache_dir", str(tmp_path / "cache")]
    write(captioner, data, one / "c.csv", *more)
    write(captioner, data, one / "image.csv", *more, "--condition", "image", "--do_sample")
    real, calls = EEGModelForCausalLM.generate, []

    def stops(self, **batch):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return real(self, **batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EEGModelForCausalLM, "generate", stops)
        write(captioner, data, two / "resumed.csv", *more)
    given = ["--model_path", str(captioner), *data_arguments(data), "--max_new_tokens", "12", "--device", "cpu", *more]
    scripts = [("inference", [*given, "--dest", str(two / "c.csv")]),
               ("inference", [*given, "--dest", str(two / "image.csv"), "--condition", "image", "--do_sample"]),
               ("inference", [*given, "--dest", str(two / "resumed.csv")])]
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
                           str(ROOT / "tests" / "launched.py"), json.dumps(scripts)], cwd=ROOT, capture_output=True,
                          text=True, timeout=150, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.name for path in two.iterdir()) == ["c.csv", "c.csv.json", "image.csv", "image.csv.json",
                                                           "resumed.csv", "resumed.csv.json"]
    for name in ("c", "image"):
        assert (two / f"{name}.csv").read_bytes() == (one / f"{name}.csv").read_bytes()
    assert (two / "resumed.csv").read_bytes() == (one / "c.csv").read_bytes()
    assert done.stdout.count("going on after 12 captions") == 1
