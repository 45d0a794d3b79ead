"""Captioners as Thought2Text, PTM and DL_Proj_EEG-to-Text left them: whole LLMs, adapters, none; their token ids."""

import json
import shutil

from runtime.errors import InputError

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

import inference
import train_eeg_classifier
from captioning.captioner import Captioner
from captioning.conditions import check_noise
from captioning.readings import readings
from captioning.requests import Request
from config import ChannelNetConfig
from encoders import build_encoder
from finetuning import finetune
from language_model.prompts import prompt_ids
from model import EEGModelForCausalLM
from tiny import data_arguments, make_llm

INSTRUCTION = "Describe this image in one sentence:"
THEIR_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A captioner with a whole `llm/`, whose chat template holds the end token."""
    folder = tmp_path_factory.mktemp("whole")
    make_llm(folder / "llm")
    AutoTokenizer.from_pretrained(folder / "llm").save_pretrained(folder)
    build_encoder(ChannelNetConfig(temp_channels=2, out_channels=3, num_classes=3, embedding_size=16)).save_pretrained(
        folder / "eeg_encoder")
    torch.manual_seed(1)
    torch.save(nn.Linear(16, 48).state_dict(), folder / "projector.pth")
    (folder / "id2label.json").write_text('{"0": "cat", "1": "dog", "2": "car"}')
    return folder


@pytest.fixture
def adapter(whole, tmp_path):
    """The same with --use_lora: an adapter in `llm/`, its base in `base/`."""
    shutil.copytree(whole / "llm", tmp_path / "base")
    shutil.copytree(whole, tmp_path / "captioner", ignore=shutil.ignore_patterns("llm"))
    llm = get_peft_model(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), LoraConfig(
        r=16, lora_alpha=16, lora_dropout=0.05, task_type="CAUSAL_LM", target_modules=THEIR_TARGETS))
    torch.manual_seed(3)
    for name, weight in llm.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0, 0.3)
    llm.save_pretrained(tmp_path / "captioner" / "llm")
    return tmp_path / "captioner"


def logits(model):
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        return model(ids, torch.ones_like(ids), torch.tensor([[False, True, False]]), torch.ones(1, 16))["logits"]


def by_peft(folder, base):
    """The same by peft's own loading."""
    model = EEGModelForCausalLM.from_pretrained(folder, llm=str(base))
    model.llm = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder / "llm").eval()
    return logits(model)


def change_config(folder, **changes):
    file = folder / "llm" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def fails(match, folder, llm=None):
    with pytest.raises(InputError, match=match):
        EEGModelForCausalLM.from_pretrained(folder, llm=llm and str(llm))


def test_an_adapter_is_loaded_on_its_base(adapter, whole):
    base = adapter.parent / "base"
    truth = by_peft(adapter, base)
    assert not torch.allclose(truth, logits(EEGModelForCausalLM.from_pretrained(whole)), atol=1e-3)
    for llm in (None, str(base)):
        model = EEGModelForCausalLM.from_pretrained(adapter, llm=llm)
        assert torch.allclose(logits(model), truth, atol=1e-6)
        assert not any(weight.requires_grad for weight in model.llm.parameters())


def test_an_adapter_as_older_versions_of_peft_wrote_it(adapter):
    from safetensors.torch import load_file

    truth = by_peft(adapter, adapter.parent / "base")
    file = adapter / "llm" / "adapter_model.safetensors"
    torch.save(load_file(file), file.with_name("adapter_model.bin"))
    file.unlink()
    assert torch.allclose(logits(EEGModelForCausalLM.from_pretrained(adapter)), truth, atol=1e-6)


def test_the_base_has_moved(adapter, tmp_path):
    base = shutil.move(tmp_path / "base", tmp_path / "elsewhere")
    fails(r"base.*adapter.*--llm_backbone_name_or_path", adapter)
    assert torch.allclose(logits(EEGModelForCausalLM.from_pretrained(adapter, llm=base)), by_peft(adapter, base), atol=1e-6)
    change_config(adapter, base_model_name_or_path=None)
    fails(r"adapter_config\.json: names no base LLM \(base_model_name_or_path is None\)", adapter)
    assert torch.allclose(logits(EEGModelForCausalLM.from_pretrained(adapter, llm=base)), by_peft(adapter, base), atol=1e-6)


def test_captions_know_the_adapter_and_its_base(adapter, tmp_path):
    shutil.copytree(tmp_path / "base", tmp_path / "copy")
    keys = [Captioner(adapter, "cpu", llm=llm).key for llm in (None, str(tmp_path / "copy"))]
    assert keys[0] == keys[1]
    make_llm(tmp_path / "other", chat=False)
    assert Captioner(adapter, "cpu", llm=str(tmp_path / "other")).key != keys[0]
    files = Captioner(adapter, "cpu").llm["weights"]
    assert set(files) == {"adapter_model.safetensors", "base/model.safetensors"}


def test_what_does_not_fit_is_refused(adapter, whole, tmp_path):
    fails("would replace the whole LLM", whole, tmp_path / "base")
    fails(r"llm: holds an adapter \(adapter_config\.json\), expected a whole LLM", adapter, adapter / "llm")
    make_llm(tmp_path / "opt", kind="opt")
    fails("adapter", adapter, tmp_path / "opt")
    weights = adapter / "llm" / "adapter_model.safetensors"
    change_config(adapter, r=8)
    fails(r"adapter_model\.safetensors: does not fit the model", adapter)
    change_config(adapter, r=16, target_modules=["q_proj"])
    fails(r"adapter_model\.safetensors: does not fit the model; missing \[\], unexpected", adapter)
    change_config(adapter, target_modules=THEIR_TARGETS, peft_type="PROMPT_TUNING")
    fails("peft_type is 'PROMPT_TUNING', expected 'LORA'", adapter)
    change_config(adapter, peft_type="LORA")
    weights.write_bytes(weights.read_bytes()[:1000])
    fails("damaged or cut short", adapter)
    weights.unlink()
    fails(r"adapter_model\.safetensors: not found", adapter)


@pytest.mark.parametrize("content, said", [
    (7, "holds int '7'"), (torch.zeros(3), "holds Tensor"), ({"weight": [1, 2]}, "holds under 'weight' list")])
def test_pickles_that_hold_no_weights(adapter, content, said):
    torch.save(content, adapter / "projector.pth")
    fails(rf"projector\.pth: {said}.*expected a dict of tensors by name", adapter)
    (adapter / "llm" / "adapter_model.safetensors").unlink()
    torch.save(content, adapter / "llm" / "adapter_model.bin")
    fails(rf"adapter_model\.bin: {said}.*expected a dict of tensors by name", adapter)


def test_an_adapter_beside_a_config_or_whole_weights(adapter, whole):
    """transformers would take the base that adapter_config.json names, and leave whole weights beside it alone."""
    base = adapter.parent / "base"
    shutil.copy(base / "config.json", adapter / "llm")
    assert torch.allclose(logits(EEGModelForCausalLM.from_pretrained(adapter)), by_peft(adapter, base), atol=1e-6)
    shutil.copy(base / "model.safetensors", adapter / "llm")
    fails(r"llm: holds an adapter \(adapter_config\.json\), expected a whole LLM", adapter)


def test_a_checkpoint_without_its_llm(whole, tmp_path):
    """As where only the small files were copied."""
    shutil.copytree(whole, tmp_path / "captioner", ignore=shutil.ignore_patterns("llm"))
    fails(r"llm: no such folder.*--llm_backbone_name_or_path", tmp_path / "captioner")
    model = EEGModelForCausalLM.from_pretrained(tmp_path / "captioner", llm=str(whole / "llm"))
    assert torch.equal(logits(model), logits(EEGModelForCausalLM.from_pretrained(whole)))


@pytest.mark.parametrize("stage", ["encoder", "captioner"])
def test_a_predecessors_folder_is_not_written_to(data, clip, encoder, llm, adapter, capsys, stage):
    """Its encoder was overwritten, and its `llm/` recorded as the LLM of the new captioner, so nothing could be claimed."""
    before = {file: file.read_bytes() for file in adapter.rglob("*") if file.is_file()}
    with pytest.raises(SystemExit) as stop:
        if stage == "captioner":
            finetune(data, clip, encoder, llm, adapter, "--no_stage2", "--max_steps", "1")
        else:
            train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(adapter)])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "holds a predecessor's captioner (projector.pth)" in said
    assert before == {file: file.read_bytes() for file in adapter.rglob("*") if file.is_file()}


def test_one_message_from_the_command_line(adapter, tmp_path, capsys):
    (tmp_path / "eeg.csv").write_text("\n".join([",".join(["0.5"] * 440)] * 128))
    arguments = ["--model_path", str(adapter), "--eeg_file", str(tmp_path / "eeg.csv"), "--max_new_tokens", "3",
                 "--device", "cpu"]
    inference.main(arguments)
    assert "caption: " in capsys.readouterr().out
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(SystemExit) as stop:
        inference.main(arguments)
    assert stop.value.code == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert str(tmp_path / "base") in line and "--llm_backbone_name_or_path" in line


def test_what_needs_statistics_of_the_training_is_refused(whole):
    """Noise in place of few embeddings was standard normal, which theirs are not, and candidates were ranked as if the mean
    embedding were 0."""
    captioner = Captioner(whole, "cpu")
    with pytest.raises(InputError, match=r"noise and noise\+label: noise in place of 1 trial needs the mean and scale"):
        readings(captioner, torch.randn(1, 128, 440), Request(controls=("nothing", "noise", "noise+label")))
    check_noise(["noise", "constant"], 20, captioner.learned)
    with pytest.raises(InputError, match="--candidates 2: are ranked by what differs from the mean embedding"):
        captioner.generate(torch.randn(1, 16), ["cat"], True, INSTRUCTION, batch_size=1, max_new_tokens=2, do_sample=False,
                           candidates=2)


# --- token ids ---

WORDS = ["</s>", "<s>", "System:", "You", "are", "a", "helpful", "assistant.", "User:", "cat", "Describe", "this", "image",
         "in", "one", "sentence:", "<end>", "[unknown]"]
TURNS = "{% for m in messages %}<s> {{ 'System:' if m['role'] == 'system' else 'User:' }} {{ m['content'] }}END{% endfor %}"
BEFORE = [1, 2, 3, 4, 5, 6, 7, 0, 1, 8]  # <s> System: You are a helpful assistant. </s> <s> User:
AFTER = [9, 10, 11, 12, 13, 14, 15, 0]  # cat Describe this image in one sentence: </s>
TABLE = {  # what closes a turn, the LLM's end token -> ids before and after the embedding
    "no end token in the prompt": (" <end> ", 0, [1, 2, 3, 4, 5, 6, 7, 16, 1, 8], [9, 10, 11, 12, 13, 14, 15, 16]),
    "one in each part": (" </s> ", 0, [2, 3, 4, 5, 6, 7, 0, 1, 8], [10, 11, 12, 13, 14, 15, 0]),
    "two in each part": (" </s> </s> ", 0, [3, 4, 5, 6, 7, 0, 0, 1, 8], [11, 12, 13, 14, 15, 0, 0]),
    "the LLM ends with another token": (" </s> ", 16, BEFORE, AFTER),
    "the end token is also the first": (" </s> ", 1, [3, 4, 5, 6, 7, 0, 1, 8], AFTER),
    "none is known": (" </s> ", None, BEFORE, AFTER),
}


def words_tokenizer(end):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(dict(zip(WORDS, range(len(WORDS)), strict=True)), unk_token="[unknown]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", bos_token="<s>",
                                   chat_template=TURNS.replace("END", end))


@pytest.mark.parametrize("case", TABLE)
def test_token_ids_as_the_predecessors_counted_them(case):
    end, uncounted, before, after = TABLE[case]
    assert prompt_ids(words_tokenizer(end), "thought2text", INSTRUCTION, "cat", uncounted=uncounted) == (before, after)


def test_prompts_without_an_embedding_lose_nothing():
    """The predecessors gave them to the LLM as they are."""
    before, after = prompt_ids(words_tokenizer(" </s> "), "thought2text", INSTRUCTION, "cat", with_image=False, uncounted=0)
    assert (before, after) == ([*BEFORE, *AFTER], [])


def test_captions_equal_those_of_the_predecessors_way(whole):
    """Independent: count the other tokens of each part and keep as many from its end, one trial at a time."""
    captioner = Captioner(str(whole), "cpu")
    torch.manual_seed(0)
    embeddings, _, _ = captioner.read(torch.randn(6, 128, 440))
    labels = ["cat", "dog", "car"] * 2
    texts = captioner.generate(embeddings, labels, True, INSTRUCTION, batch_size=4, max_new_tokens=10, do_sample=False,
                               repetition_penalty=1.1)
    llm, tokenizer = AutoModelForCausalLM.from_pretrained(whole / "llm"), AutoTokenizer.from_pretrained(whole)
    linear = nn.Linear(16, 48)
    linear.load_state_dict(torch.load(whole / "projector.pth"))
    end = llm.config.eos_token_id
    for row, label in enumerate(labels):
        prefix = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        suffix = f" {label} {INSTRUCTION}<|im_end|>\n<|im_start|>assistant\n".strip()
        parts = []
        for text in (prefix, suffix):
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
            parts.append(llm.get_input_embeddings()(ids[:, -int((ids != end).sum()):]))
            assert parts[-1].shape[1] == ids.shape[1] - 1
        inputs = torch.cat([parts[0], linear(embeddings[row:row + 1])[:, None], parts[1]], 1)
        with torch.no_grad():
            ids = llm.generate(inputs_embeds=inputs, attention_mask=torch.ones(inputs.shape[:2]).long(), max_new_tokens=10,
                               do_sample=False, repetition_penalty=1.1, eos_token_id=end)
        assert texts[row] == tokenizer.decode(ids[0], skip_special_tokens=True).strip()


def test_our_own_captioners_lose_no_token(data, clip, encoder, llm, tmp_path):
    from finetuning import finetune

    folder = finetune(data, clip, encoder, llm, tmp_path / "own", "--prompt_template", "thought2text", "--max_steps", "1")
    captioner = Captioner(folder, "cpu")
    assert captioner.template == "thought2text" and captioner.model.config.uncounted_token is None
