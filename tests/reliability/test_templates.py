"""Chat templates come with models: one that fails, drops the message or never ends is an error."""

import random
import shutil

from runtime import chat
from runtime.errors import InputError

import pytest
from transformers import AutoTokenizer

import evaluate
from language_model.prompts import choose_template, prompt_ids, render
from language_model.special_tokens import turn_end
from report_material import make_run

INST = "{{ bos_token }}{% for message in messages %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endfor %}"
ROLES = ("{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
         "<|{{ m.role }}|>{{ m.content | trim }}{{ eos_token }}{% endfor %}")


@pytest.fixture
def tokenizer(llm):
    return AutoTokenizer.from_pretrained(llm)


@pytest.mark.parametrize(("template", "said"), [
    ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "does not end"),
    ("Hello!", "leaves the user's message out"), (INST + INST, "several times"), ("{{ messages[7].content }}", "Undefined"),
    ("{% for m in messages %}{{ m.content | trimm }}{% endfor %}", "trimm"), ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ("{{ raise_exception('not today') }}", "not today"), ("{% for m in messages %}", "TemplateSyntaxError")])
def test_a_template_that_cannot_be_used(tokenizer, monkeypatch, template, said):
    monkeypatch.setattr(chat, "SECONDS", 1)
    tokenizer.chat_template = template
    with pytest.raises(InputError, match="chat template cannot be used") as error:
        render(tokenizer, "chat", "Describe it:", "cat")
    assert said in str(error.value) and "--prompt_template plain" in str(error.value)


@pytest.mark.parametrize("template", [INST, ROLES])
def test_short_and_spaced_instructions_are_fine(tokenizer, template):
    tokenizer.chat_template = template
    for instruction in ("a", " Describe it: \n", "INST"):
        assert instruction.strip() in render(tokenizer, "chat", instruction)


def test_a_mutated_template_gives_a_right_prompt_or_an_error(tokenizer, monkeypatch):
    monkeypatch.setattr(chat, "SECONDS", 2)
    draw, used = random.Random(0), 0
    for _ in range(300):
        text = list(draw.choice((INST, ROLES, tokenizer.chat_template or INST)))
        for _ in range(draw.choice((1, 1, 1, 3))):
            place = draw.randrange(len(text))
            text[place:place + draw.choice((0, 1, 4))] = draw.choice(("", "x", "{{", "}}", "{%", "'", "[", ".", "\n"))
        tokenizer.chat_template = "".join(text)
        turn_end(tokenizer)
        try:
            template = choose_template(tokenizer, draw.choice(("auto", "chat", "thought2text")))
            prompt_ids(tokenizer, template, "Describe this image:", "cat")
            prompt = render(tokenizer, template, "Describe this image:", "cat")
        except InputError:
            continue
        used += 1
        assert prompt.count("<image>") == 1 and "Describe this image:" in prompt
    assert used > 20


def test_the_judge_refuses_a_template_that_cannot_be_used(llm, tmp_path, capsys):
    folder = shutil.copytree(llm, tmp_path / "judge")
    (folder / "chat_template.jinja").write_text("5")
    files = sorted((make_run(tmp_path / "run", pictures=4, subjects=2) / "results").glob("*.csv"))
    with pytest.raises(SystemExit) as stop:
        evaluate.main([*map(str, files), "--metrics", "ROUGE-1", "--judge_model", str(folder), "--device", "cpu"])
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and said.startswith(f"error: --judge_model {folder}: its chat template"), said
