"""Chat templates that write today's date: it is fixed when training starts and kept with the captioner."""

import json
from datetime import datetime

import pytest
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

from captioning.training import CaptionTrainer
from finetuning import finetune, write
from language_model.prompt_date import holds_date, start_date, today, with_date
from language_model.prompts import render
from tiny import CHAT_TEMPLATE, make_llm

LLAMA = ("{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}<|im_start|>"
         "system\nToday Date: {{ date_string }}<|im_end|>\n" + CHAT_TEMPLATE)
SMOLLM3 = "{%- set today = strftime_now(\"%d %B %Y\") -%}\n  Today Date: {{ today }}\n" + CHAT_TEMPLATE
GRANITE = ("  {%- if messages[0]['role'] == 'user' %}\n  Today's Date: {{ strftime_now('%B %-d, %Y') }}.\n  {%- endif %}\n"
           "\n {{ strftime_now('%H:%M') ~ '|' ~ strftime_now('%A')[:3] }}" + CHAT_TEMPLATE)
IN_MACRO = ("{% macro head() %}{% set form = '%Y' ~ '-%m-%d' %}{{ strftime_now(form) }}{% endmacro %}{{ head() }}"
            + CHAT_TEMPLATE)
FIRST, LATER = datetime(2026, 3, 5), datetime(2027, 9, 19)


@pytest.fixture
def on(monkeypatch):
    """A function that changes today's date, as chat templates see it."""
    def change(day):
        class Day(datetime):
            @classmethod
            def now(cls, tz=None):
                return day

        monkeypatch.setattr(chat_template_utils, "datetime", Day)

    return change


@pytest.fixture(scope="module")
def dated_llm(tmp_path_factory):
    folder = make_llm(tmp_path_factory.mktemp("dated_llm"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = LLAMA
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("template", [LLAMA, SMOLLM3, GRANITE, IN_MACRO, "\n" + LLAMA, {"default": LLAMA, "tools": "x"}])
def test_a_fixed_date_is_what_transformers_writes_on_that_day(llm, template, on):
    tokenizer = AutoTokenizer.from_pretrained(llm)
    tokenizer.chat_template = template
    on(FIRST)
    expected = render(tokenizer, "chat", "Describe it:", "cat")
    on(LATER)
    assert today(tokenizer) == "2027-09-19"
    fixed = with_date(tokenizer, "2026-03-05")
    assert render(fixed, "chat", "Describe it:", "cat") == expected != render(tokenizer, "chat", "Describe it:", "cat")
    assert tokenizer.chat_template == template, "the tokenizer itself stays as it is"
    assert holds_date(tokenizer, "chat") and not holds_date(fixed, "chat") and not holds_date(tokenizer, "plain")


def test_a_template_without_a_date_has_none(llm, capsys):
    tokenizer = AutoTokenizer.from_pretrained(llm)
    assert not holds_date(tokenizer, "chat") and start_date(tokenizer, "chat", None, "2026-01-31") is None
    assert "note: --prompt_date 2026-01-31: has no effect, as the prompts of this LLM hold no" in capsys.readouterr().out


def test_captions_do_not_change_overnight(data, clip, encoder, dated_llm, tmp_path, on, capsys):
    on(FIRST)
    folder = finetune(data, clip, encoder, dated_llm, tmp_path / "captioner", "--no_stage2", "--max_steps", "2")
    assert "hold a date, which stays 2026-03-05" in capsys.readouterr().out
    assert json.loads((folder / "prompt_date.json").read_text()) == {"date": "2026-03-05"}
    first = write(folder, data, tmp_path / "first.csv")
    on(LATER)
    later = write(folder, data, tmp_path / "later.csv")
    assert later.equals(first)
    records = [json.loads((tmp_path / f"{name}.csv.json").read_text())["rendered_prompt"] for name in ("first", "later")]
    assert records[0] == records[1] and "Today Date: 05 Mar 2026" in records[0]
    assert "<image> <class name> Describe this image in one sentence:" in records[0]

    capsys.readouterr()
    (folder / "prompt_date.json").unlink()  # as an earlier version saved it
    other = write(folder, data, tmp_path / "other.csv")
    assert "the prompts hold today's date, since the captioner keeps none" in capsys.readouterr().out
    assert "19 Sep 2027" in json.loads((tmp_path / "other.csv.json").read_text())["rendered_prompt"]
    (folder / "prompt_date.json").write_text('{"date": "2026-03-05"}')  # as the note advises
    assert not other.equals(first) and write(folder, data, tmp_path / "again.csv")["Generated Caption"].equals(
        first["Generated Caption"])
    (folder / "prompt_date.json").write_text('{"date": "yesterday"}')
    with pytest.raises(SystemExit) as stop:
        write(folder, data, tmp_path / "broken.csv")
    assert stop.value.code == 2 and "date 'yesterday', expected one as 2026-01-31" in capsys.readouterr().err


def test_a_resumed_training_keeps_its_date(data, clip, encoder, dated_llm, tmp_path, on, monkeypatch, capsys):
    common = ("--no_stage2", "--num_epochs_eeg", "2", "--batch_size", "16")
    on(FIRST)
    whole = finetune(data, clip, encoder, dated_llm, tmp_path / "whole", *common)
    steps, real = [], CaptionTrainer.training_step

    def stops(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, SystemExit)):
        patch.setattr(CaptionTrainer, "training_step", stops)
        finetune(data, clip, encoder, dated_llm, tmp_path / "part", *common)
    on(LATER)
    with pytest.raises(SystemExit):
        finetune(data, clip, encoder, dated_llm, tmp_path / "part", *common, "--resume", "--prompt_date", "2027-09-19")
    assert "the interrupted training began with the date 2026-03-05" in capsys.readouterr().err
    part = finetune(data, clip, encoder, dated_llm, tmp_path / "part", *common, "--resume")
    for name in ("projector.safetensors", "prompt_date.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes()
    assert not (part / "checkpoints" / "prompt_date.json").exists()


def test_stage2_of_another_day_is_reused_on_request_only(data, clip, encoder, dated_llm, tmp_path, on, capsys):
    kept = ("--no_stage3", "--max_steps", "1", "--saved_pretrained_model_path", str(tmp_path / "kept"))
    on(FIRST)
    finetune(data, clip, encoder, dated_llm, tmp_path / "a", *kept)
    on(LATER)
    finetune(data, clip, encoder, dated_llm, tmp_path / "b", *kept)
    assert "stage 2: made before" not in capsys.readouterr().out
    folder = finetune(data, clip, encoder, dated_llm, tmp_path / "c", *kept, "--prompt_date", "2026-03-05")
    assert "stage 2: made before" in capsys.readouterr().out
    assert json.loads((folder / "prompt_date.json").read_text()) == {"date": "2026-03-05"}
    with pytest.raises(SystemExit):
        finetune(data, clip, encoder, dated_llm, tmp_path / "d", *kept, "--prompt_date", "5 March")
    assert "expected a date as 2026-01-31" in capsys.readouterr().err
