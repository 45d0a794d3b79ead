import json

from runtime.errors import InputError

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from captioning.captioner import Captioner
from config import ChannelNetConfig, EEGEncoderConfig
from datautils import CaptionDataset, collate
from encoders import build_encoder
from encoders.targets import mean_and_scale
from language_model.prompts import prompt_ids, render
from model import IGNORE, EEGModelForCausalLM, Projector
from tiny import make_llm

LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": "all-linear"}
LABELS = ["cat", "dog or puppy", "car", "cat"]
CAPTIONS = ["A red cat in the snow.", "A blue dog.", "A car in the grass with a red dog.", "A cat."]


def build(folder, loading=None, lora=LORA, device="cpu", **config):
    torch.manual_seed(0)
    encoder = build_encoder(EEGEncoderConfig(n_chans=6, n_times=64, sfreq=128, num_classes=3, embedding_size=16, d_model=32,
                                             attn_heads=2, layers=1, spatial_filters=40))
    options = {"embedding_size": 16, "projector": "mlp", "soft_tokens": 3} | config
    model = EEGModelForCausalLM.build(encoder, str(folder), device=device, dtype=None, loading=loading, lora=lora,
                                      **options)
    for name, parameter in model.llm.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)  # zero at the start; a test of loading needs something to lose
    return model


def batch_of(folder, soft_tokens=3, captions=CAPTIONS, rows=range(4), with_embedding=True):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = "chat" if tokenizer.chat_template else "plain"
    torch.manual_seed(1)
    instruction = "Describe this image in one sentence:"
    dataset = CaptionDataset(tokenizer, template, instruction, torch.randn(4, 16), LABELS, captions)
    return collate([dataset.example(i, LABELS[i], with_embedding) for i in rows], soft_tokens, tokenizer.eos_token_id)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "opt"])
def test_batches_give_what_single_trials_give(tmp_path, kind):
    folder = make_llm(tmp_path, kind)
    model = build(folder).eval()

    def write(rows):
        batch = batch_of(folder, captions=None, rows=rows)
        batch.pop("labels")
        return model.generate(**batch, max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=[0],
                              repetition_penalty=1.1)

    together = write(range(4)).tolist()
    for row in range(4):
        alone = write([row])[0].tolist()
        assert together[row][:len(alone)] == alone and set(together[row][len(alone):]) <= {0}


@pytest.mark.parametrize("kind", ["llama", "opt"])
@pytest.mark.parametrize("with_embedding", [True, False])
def test_loss_is_that_of_caption_and_end_token(tmp_path, kind, with_embedding):
    """Against transformers' own loss, one unpadded example at a time."""
    folder = make_llm(tmp_path, kind)
    model = build(folder).eval()
    batch = batch_of(folder, with_embedding=with_embedding)
    with torch.no_grad():
        loss = model(**batch)["loss"]
        total, count = 0.0, 0
        for row in range(4):
            used = batch["attention_mask"][row].bool()
            ids, labels, soft = batch["input_ids"][row, used], batch["labels"][row, used], batch["soft_mask"][row, used]
            inputs = model.llm.get_input_embeddings()(ids)
            if with_embedding:
                inputs[soft] = model.projector(batch["embeddings"][row:row + 1])[0]
            tokens = int((labels != IGNORE).sum())
            total += float(model.llm(inputs_embeds=inputs[None], labels=labels[None]).loss) * tokens
            count += tokens
    assert count == (batch["labels"] != IGNORE).sum()
    assert float(loss) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("loading", [None, "8bit"])
def test_captioner_reloads_exactly(tmp_path, llm, loading):
    model = build(llm, loading).eval()
    model.save_pretrained(tmp_path / "captioner")
    assert not list((tmp_path / "captioner").glob("model*")), "the LLM's weights must not be copied"
    again = EEGModelForCausalLM.from_pretrained(str(tmp_path / "captioner"))
    batch = batch_of(llm)
    labels = batch.pop("labels")
    with torch.no_grad():
        assert torch.equal(model(**batch, labels=labels)["loss"], again(**batch, labels=labels)["loss"])
        assert torch.equal(model(**batch)["logits"], again(**batch)["logits"])
        eeg = torch.randn(2, 6, 64)
        assert torch.equal(model.encoder(eeg)[0], again.encoder(eeg)[0])


@pytest.mark.parametrize("loading", ["8bit", "4bit"])
def test_quantised_llm_trains_after_an_evaluation(llm, loading):
    model = build(llm, loading)
    batch = batch_of(llm)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
    losses = []
    for _ in range(20):
        with torch.no_grad():
            model.eval()(**batch)
        loss = model.train()(**batch)["loss"]
        loss.backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.2


def test_modes_are_those_of_a_module(llm):
    """As nn.Module's: eval() reaches what was put into training mode by itself; the frozen encoder stays as it is."""
    model = build(llm).eval()
    model.llm.train()
    assert model.eval() is model and not any(module.training for module in model.modules())
    model.projector.eval()
    model.train()
    assert all(part.training for part in (model, *model.projector.modules(), *model.llm.modules()))
    assert not any(module.training for module in model.encoder.modules())


def test_frozen_llm_trains_the_projector_only(llm):
    model = build(llm, lora=None)
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"projector"}
    model(**batch_of(llm))["loss"].backward()
    assert all(p.grad is not None for p in model.projector.parameters())


@pytest.mark.parametrize("damage", ["missing", "unexpected", "shape", "short"])
def test_strict_loading(tmp_path, llm, damage):
    build(llm).save_pretrained(tmp_path)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    state = load_file(file)
    name = sorted(state)[0]
    if damage == "missing":
        del state[name]
    elif damage == "unexpected":
        state["model.stranger"] = torch.zeros(1)
    elif damage == "shape":
        state[name] = torch.zeros(1, 2)
    if damage == "short":
        file.write_bytes(file.read_bytes()[:100])
    else:
        save_file(state, file)
    with pytest.raises(InputError, match=r"adapter_model\.safetensors"):
        EEGModelForCausalLM.from_pretrained(str(tmp_path))


def test_other_llm_is_refused(tmp_path, llm):
    build(llm).save_pretrained(tmp_path / "captioner")
    config = json.loads((tmp_path / "captioner" / "config.json").read_text())
    (tmp_path / "captioner" / "config.json").write_text(json.dumps(config | {"llm_hidden_size": 4096}))
    with pytest.raises(InputError, match="hidden size 48"):
        EEGModelForCausalLM.from_pretrained(str(tmp_path / "captioner"))
    with pytest.raises(InputError, match="cannot be loaded"):
        EEGModelForCausalLM.from_pretrained(str(tmp_path / "captioner"), llm=str(tmp_path / "nothing"))


def predecessor_folder(folder, chat):
    """A captioner exactly in the layout that Thought2Text's `save_pretrained` writes, with small models."""
    make_llm(folder / "llm", chat=chat)
    AutoTokenizer.from_pretrained(folder / "llm").save_pretrained(folder)
    encoder = build_encoder(ChannelNetConfig(temp_channels=2, out_channels=3, num_classes=3, embedding_size=16))
    encoder.save_pretrained(folder / "eeg_encoder")
    linear = nn.Linear(16, 48)
    torch.save(linear.state_dict(), folder / "projector.pth")
    (folder / "id2label.json").write_text('{"0": "cat", "2": "car"}')  # as published: only the classes of one split
    return linear, encoder


def test_predecessors_layout_gives_its_own_computation(tmp_path):
    """Independent: the predecessor's way step by step (one trial, embedding between prefix and stripped suffix)."""
    linear, encoder = predecessor_folder(tmp_path, chat=False)
    captioner = Captioner(str(tmp_path), "cpu")
    eeg = torch.randn(3, 128, 440)
    embeddings, predicted, _ = captioner.read(eeg)
    texts = captioner.generate(embeddings, ["cat"] * 3, True, "Describe this image in one sentence:", batch_size=3,
                               max_new_tokens=10, do_sample=False, repetition_penalty=1.1)

    llm, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path / "llm"), AutoTokenizer.from_pretrained(tmp_path)
    prefix = "<s>System: You are a helpful assistant.</s>\n<s>User: "
    suffix = "cat Describe this image in one sentence:</s>"
    for row in range(3):
        with torch.no_grad():
            embedding, logits = encoder.eval()(eeg[row:row + 1])
            assert captioner.class_names[int(logits.argmax())] == predicted[row]
            parts = [llm.get_input_embeddings()(tokenizer(part, add_special_tokens=False, return_tensors="pt").input_ids)
                     for part in (prefix, suffix)]
            inputs = torch.cat([parts[0], linear(embedding)[:, None], parts[1]], 1)
            ids = llm.generate(inputs_embeds=inputs, attention_mask=torch.ones(inputs.shape[:2]).long(), max_new_tokens=10,
                               do_sample=False, repetition_penalty=1.1, eos_token_id=tokenizer.eos_token_id)
        assert texts[row] == tokenizer.decode(ids[0], skip_special_tokens=True).strip()
    assert captioner.class_names[1] == "class 1"


def test_predecessors_8bit_weights_load(tmp_path):
    """The published `llm/` was saved after loading in 8 bit."""
    from transformers import BitsAndBytesConfig

    predecessor_folder(tmp_path, chat=True)
    quantised = AutoModelForCausalLM.from_pretrained(tmp_path / "llm", device_map={"": "cpu"},
                                                     quantization_config=BitsAndBytesConfig(load_in_8bit=True))
    quantised.save_pretrained(tmp_path / "llm")
    captioner = Captioner(str(tmp_path), "cpu")
    assert any(p.dtype == torch.int8 for p in captioner.model.llm.parameters())
    assert captioner.template == "thought2text"
    embeddings, _, _ = captioner.read(torch.randn(2, 128, 440))
    texts = captioner.generate(embeddings, ["cat"] * 2, True, "Describe this image in one sentence:", batch_size=1,
                               max_new_tokens=5, do_sample=False)
    assert len(texts) == 2


def test_prompts_to_the_letter(tmp_path):
    instruction = "Describe this image in one sentence:"
    plain = AutoTokenizer.from_pretrained(make_llm(tmp_path / "plain", chat=False))
    assert render(plain, "thought2text", instruction, "panda or pandas") == (
        "<s>System: You are a helpful assistant.</s>\n<s>User: <image> panda or pandas Describe this image in one "
        "sentence:</s>\n")
    assert render(plain, "plain", instruction, None) == "<bos><image> Describe this image in one sentence:"
    assert render(plain, "plain", instruction, "cat", with_image=False) == "<bos>cat Describe this image in one sentence:"
    chat = AutoTokenizer.from_pretrained(make_llm(tmp_path / "chat"))
    assert render(chat, "chat", instruction, "cat") == (
        "<|im_start|>user\n<image> cat Describe this image in one sentence:<|im_end|>\n<|im_start|>assistant\n")
    assert render(chat, "thought2text", instruction).startswith("<|im_start|>system\nYou are a helpful assistant.")
    before, after = prompt_ids(chat, "chat", instruction, "cat")
    assert chat.decode(before) == "<|im_start|>user\n" and chat.decode(after).startswith(" cat Describe")
    # Gemma's template raises on a system turn: then there is none
    chat.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + (
        "{{ messages[0]['content'] }}")
    assert render(chat, "thought2text", instruction, "cat").startswith("<image> cat")


def test_linear_projector_is_one_linear_layer():
    projector = Projector("linear", 16, 48, 2)
    x = torch.randn(5, 16)
    assert torch.equal(projector(x), nn.functional.linear(x, projector.linear.weight, projector.linear.bias).view(5, 2, 48))


def test_projector_statistics_are_kept_apart():
    projector = Projector("mlp", 16, 48, 2)
    image, eeg = torch.randn(50, 16) * 3 + 5, torch.randn(50, 16) * 0.1 - 1
    projector.set_statistics("image", *mean_and_scale(image))
    projector.set_statistics("eeg", *mean_and_scale(eeg))
    standard = (eeg - eeg.mean(0)) / (eeg - eeg.mean(0)).pow(2).mean().sqrt()
    plain = Projector("mlp", 16, 48, 2)
    plain.load_state_dict({**projector.state_dict(), **{k: v for k, v in plain.state_dict().items() if "mean" in k or
                                                        "scale" in k}})
    assert torch.allclose(projector(eeg, "eeg"), plain(standard), atol=1e-5)
    assert not torch.allclose(projector(eeg, "image"), plain(standard), atol=1e-2)
