"""--guidance and --min_new_tokens against the plain computation: whole prompts at each token, no batch and no cache."""

from runtime.runs import read_json

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from captioning.captioner import Captioner
from datautils import collate
from finetuning import write
from model import EEGModelForCausalLM
from test_fast_captioning import PROMPTS, examples
from test_model import LORA, build
from tiny import make_llm

PENALTY = 1.3


def plain(model, given, without, scale, ends, length, least=0):
    """The tokens of one caption: log p = log p(without) + scale (log p(with) - log p(without)), the largest each time, and
    no end among the first `least`."""
    ids = []

    def log_probabilities(example):
        batch = collate([{**example, "caption": ids}], 3, 0)
        batch.pop("labels")
        return model(**batch)["logits"][:, -1].log_softmax(-1)

    while len(ids) < length and not (ids and ids[-1] in ends):
        first, second = (log_probabilities(example) for example in (given, without))
        scores = second + scale * (first - second)
        if len(ids) < least:
            scores[:, ends] = -torch.inf
        scores = RepetitionPenaltyLogitsProcessor(PENALTY)(torch.tensor([ids], dtype=torch.long), scores)
        ids.append(scores.argmax().item())
    return ids


@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "qwen2", "opt"])
@pytest.mark.parametrize("scale", [0.0, 1.5, 4.0])
def test_tokens_are_those_of_both_prompts_in_full(tmp_path, kind, scale):
    folder = make_llm(tmp_path, kind)
    model = build(folder, lora=LORA).eval()
    for weight in model.projector.parameters():
        weight.mul_(20)  # so that an untrained model heeds the embedding
    prefix, rows = examples(folder, captions=None)
    guided = [rows[0], rows[1]]  # those with an embedding
    without = [{**row, **dict(zip(("before", "after", "soft"), (row["before"] + row["after"], [], False), strict=True))}
               for row in guided]
    assert [PROMPTS[i][1] for i in (0, 1)] == [True, True]
    batch = collate(guided + without, 3, 0, prefix)
    batch.pop("labels")

    def both(ends, **more):
        ids = model.generate(**batch, max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=ends,
                             repetition_penalty=PENALTY, guidance=scale, **more)
        assert len(ids) == 2
        return ids.tolist()

    expected = [plain(model, *pair, scale, [-1], 12) for pair in zip(guided, without, strict=True)]
    assert both([-1]) == expected
    ends = [expected[0][3]]  # one caption ends before the other
    shorter = [plain(model, *pair, scale, ends, 12) for pair in zip(guided, without, strict=True)]
    assert [row[:len(text)] for row, text in zip(both(ends), shorter, strict=True)] == shorter
    longer = [plain(model, *pair, scale, ends, 12, least=7) for pair in zip(guided, without, strict=True)]
    assert len(shorter[0]) == 4 and min(map(len, longer)) >= 7
    assert [row[:len(text)] for row, text in zip(both(ends, min_new_tokens=7), longer, strict=True)] == longer


def test_captions_change_with_the_embedding_only(captioner, data, tmp_path):
    def texts(condition, *more):
        file = tmp_path / f"{condition}{len(more)}.csv"
        table = write(captioner, data, file, "--condition", condition, *more)
        return table["Generated Caption"].tolist(), read_json(f"{file}.json")["generation"]

    (plain_eeg, _), (guided_eeg, said) = texts("eeg"), texts("eeg", "--guidance", "8")
    assert plain_eeg != guided_eeg and said["guidance"] == 8
    assert texts("label")[0] == texts("label", "--guidance", "8")[0]


def test_guidance_and_sampling_exclude_each_other(captioner, data, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        write(captioner, data, tmp_path / "captions.csv", "--guidance", "2", "--do_sample")
    assert ended.value.code == 2 and "--guidance 2 with --do_sample" in capsys.readouterr().err


def test_guidance_without_anything_to_lean_on_is_said(captioner, data, tmp_path, capsys, monkeypatch):
    """It took twice the time, and leaned on nothing but the blank before the class name."""
    monkeypatch.setattr(Captioner, "shows", False)  # as after --soft_tokens 0
    rows, real = [], EEGModelForCausalLM.generate
    monkeypatch.setattr(EEGModelForCausalLM, "generate", lambda self, input_ids, *given, **more: (
        rows.append(len(input_ids)) or real(self, input_ids, *given, **more)))
    write(captioner, data, tmp_path / "a.csv", "--guidance", "2")
    assert "note: --guidance 2: without effect, as the prompts of" in capsys.readouterr().out and sum(rows) <= 24
    write(captioner, data, tmp_path / "b.csv", "--guidance", "2", "--candidates", "3", "--condition", "label")
    said = capsys.readouterr().out
    for option in ("--guidance 2", "--candidates 3"):
        assert f"note: {option}: has no effect under conditions whose prompts hold no embedding" in said


def test_the_batch_size_is_the_one_that_was_given(captioner, data, tmp_path, capsys, monkeypatch):
    """With guidance each caption takes two rows, and twice the number was named."""
    def full(self, *given, **more):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(EEGModelForCausalLM, "generate", full)
    with pytest.raises(SystemExit):
        write(captioner, data, tmp_path / "a.csv", "--guidance", "2", "--batch_size", "4")
    assert "error: --batch_size 4: the memory of cpu" in capsys.readouterr().err
