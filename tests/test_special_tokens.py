"""The tokens that end and pad texts: which they are, that captions end there, and that the LLM has them."""

import json
import shutil

from runtime.errors import InputError

import pytest
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

from captioning.captioner import Captioner
from finetuning import finetune, write
from language_model.prompts import caption_ids, pad_id
from language_model.special_tokens import turn_end
from model import EEGModelForCausalLM
from tiny import make_llm, make_tokenizer

TEXTS = ["A red cat in the snow."] * 3
GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in "
         "messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
         "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}")
PHI3 = ("{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}{% if add_generation_prompt %}"
        "<|assistant|>\n{% else %}{{ eos_token }}{% endif %}")
MISTRAL = ("{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %} "
           "{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}")
THINKING = ("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n"
            "{% endif %}{{ m['content'] }}  <|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
            "{% endif %}")
OPEN = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
PROMPT_ONLY = "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ messages[0]['content'] }}"


@pytest.mark.parametrize(("template", "end"), [
    (GEMMA, "<end_of_turn>"), (PHI3, "<|end|>"), (MISTRAL, "<eos>"), (THINKING, "<|im_end|>"), (OPEN, None),
    (PROMPT_ONLY, None), (None, None)])
@pytest.mark.parametrize("special", [True, False], ids=["special", "added"])
def test_captions_end_as_the_template_ends_turns(template, end, special):
    tokenizer = make_tokenizer(TEXTS, chat=False)
    tokenizer.add_tokens([AddedToken(name, special=special, normalized=False) for name in (
        "  ", "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|end|>", "<|im_start|>", "<|im_end|>",
        "<think>", "</think>")])
    tokenizer.chat_template = template
    expected = None if end is None else tokenizer.convert_tokens_to_ids(end)
    assert turn_end(tokenizer) == expected
    taught = tokenizer.eos_token_id if end is None else expected
    ends = [caption_ids(tokenizer, kind, "A cat.", 50)[-1] for kind in ("chat", "thought2text", "plain")]
    assert ends == [taught, taught, tokenizer.eos_token_id]


@pytest.fixture(scope="module")
def gemma_like(tmp_path_factory):
    """An LLM whose turns end in a token, added but not called special, that is not the tokenizer's end token."""
    folder = make_llm(tmp_path_factory.mktemp("gemma_like"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in ("<start_of_turn>", "<end_of_turn>")])
    tokenizer.chat_template = GEMMA
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    return folder


def test_captions_stop_at_each_end(data, clip, encoder, gemma_like, tmp_path, monkeypatch):
    """At the turn's end, the tokenizer's, and each that the generation config names; as text up to there, without it."""
    folder = finetune(data, clip, encoder, gemma_like, tmp_path / "captioner", "--no_stage2", "--max_steps", "1")
    loaded = Captioner(folder, "cpu")
    tokenizer = loaded.tokenizer
    assert loaded.ends == sorted({tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")})
    options = ("--max_new_tokens", "12", "--repetition_penalty", "1.5")
    written, generate = [], EEGModelForCausalLM.generate
    monkeypatch.setattr(EEGModelForCausalLM, "generate",
                        lambda *given, **more: written.append(generate(*given, **more)) or written[-1])
    whole = write(folder, data, tmp_path / "whole.csv", *options)["Generated Caption"].tolist()
    record = json.loads((tmp_path / "whole.csv.json").read_text())
    assert record["rendered_prompt"] == (
        "<|im_start|><start_of_turn>user\n<image> <class name> Describe this image in one sentence:<end_of_turn>\n"
        "<start_of_turn>model\n")
    assert record["generation"] == {"max_new_tokens": 12, "do_sample": False, "repetition_penalty": 1.5,
                                    "eos_token_id": loaded.ends, "pad_token_id": tokenizer.eos_token_id}
    rows = {tuple(row) for ids in written for row in ids.tolist()}
    end = next(row[5] for row in rows if row[5] not in loaded.ends)
    expected = {tokenizer.decode(row[:row.index(end)] if end in row else row, skip_special_tokens=True).strip()
                for row in rows}
    named = shutil.copytree(gemma_like, tmp_path / "named")
    content = json.loads((named / "generation_config.json").read_text())
    (named / "generation_config.json").write_text(json.dumps(content | {"eos_token_id": [end, 99999]}))
    cut = write(folder, data, tmp_path / "cut.csv", *options, "--llm_backbone_name_or_path", str(named))
    cut = cut["Generated Caption"].tolist()
    assert cut != whole and set(cut) == expected


def test_a_pad_token_that_the_llm_lacks_is_not_used(data, clip, encoder, llm, captioner, tmp_path):
    """The same training and captions as with the tokenizer that names none."""
    broken = shutil.copytree(llm, tmp_path / "llm")
    tokenizer = AutoTokenizer.from_pretrained(broken)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(broken)
    assert pad_id(tokenizer) == len(tokenizer) - 1 and pad_id(tokenizer, len(tokenizer) - 1) == tokenizer.eos_token_id
    short = ("--no_stage2", "--max_steps", "2")
    a, b = (finetune(data, clip, encoder, name, tmp_path / name.name.replace("llm", out), *short)
            for name, out in ((llm, "a"), (broken, "b")))
    assert (a / "projector.safetensors").read_bytes() == (b / "projector.safetensors").read_bytes()
    texts = [write(folder, data, folder / "c.csv")["Generated Caption"].tolist() for folder in (a, b)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("what", ["eos", "turn", "caption", "class name"])
def test_a_token_that_the_llm_lacks_is_named(data, clip, encoder, llm, tmp_path, capsys, what):
    broken = shutil.copytree(llm, tmp_path / "llm")
    tokenizer = AutoTokenizer.from_pretrained(broken)
    stranger = {"eos": "<stranger>", "turn": "<stranger>", "caption": "snow", "class name": "dog"}[what]
    tokenizer.add_tokens([AddedToken(stranger, special=what in ("eos", "turn"), normalized=False, single_word=False)])
    if what == "eos":
        tokenizer.eos_token = stranger
    if what == "turn":
        tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", stranger)
    tokenizer.save_pretrained(broken)
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, broken, tmp_path / "out", "--no_stage2", "--max_steps", "1")
    said = capsys.readouterr().err
    number = AutoTokenizer.from_pretrained(broken).convert_tokens_to_ids(stranger)
    assert stop.value.code == 2 and f"{stranger} (id {number})" in said and "the model has embeddings for ids 0.." in said


@pytest.mark.parametrize(("caption", "limit", "kept"), [
    ("A cat 🐈 on a mat", 5, "A cat"), ("一只黑猫在雪地里", 7, "一只"), ("Un café noir", 3, None),
    ("A cat.", 50, "A cat.")])
def test_a_long_caption_is_cut_at_a_character_and_does_not_end_there(caption, limit, kept):
    tokenizer = make_tokenizer(["A cat on a mat."] * 3, chat=True)
    whole = tokenizer(caption, add_special_tokens=False).input_ids
    ids = caption_ids(tokenizer, "chat", caption, limit)
    text = tokenizer.decode([token for token in ids if token != tokenizer.eos_token_id])
    assert caption.startswith(text) and "\ufffd" not in text and (kept is None or text.strip() == kept)
    assert (ids[-1] == tokenizer.eos_token_id) == (len(whole) <= limit)
    if len(whole) > limit:
        longer = len(ids) + 1
        assert ids == whole[:len(ids)] and (longer > limit or "\ufffd" in tokenizer.decode(whole[:longer]))


def test_a_limit_below_the_first_character_is_an_error():
    with pytest.raises(InputError, match=r"--max_caption_tokens 2: the first character of the caption '🐈'"):
        caption_ids(make_tokenizer(TEXTS, chat=True), "chat", "🐈", 2)


def test_cut_captions_are_counted(data, clip, encoder, llm, tmp_path, capsys):
    tokenizer = AutoTokenizer.from_pretrained(llm)
    captions = {path: path.read_text().strip() for path in (data / "images").rglob("*_caption.txt")}
    lengths = {path.name.removesuffix("_caption.txt"): len(tokenizer(text).input_ids) for path, text in captions.items()}
    limit = sorted(lengths.values())[len(lengths) // 2] - 1
    train = {captions[path] for path in captions if int(path.name.split("_")[1]) < 5 and
             lengths[path.name.removesuffix("_caption.txt")] > limit}
    assert train
    finetune(data, clip, encoder, llm, tmp_path / "out", "--no_stage2", "--max_steps", "1", "--max_caption_tokens",
             str(limit))
    assert f"--max_caption_tokens {limit}: {len(train)} of the training captions are longer" in capsys.readouterr().out
