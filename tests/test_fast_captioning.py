"""The fast path of stages 2 and 3 against the plain one: the prompts' beginning once, logits at labels, like lengths."""

import bitsandbytes
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, TrainingArguments

from captioning.training import CaptionTrainer, SimilarLengths, without_casts
from config import EEGModelForCausalLMConfig
from datautils import CaptionDataset, collate
from language_model import static_decoding
from model import IGNORE, EEGModelForCausalLM, Projector
from test_model import CAPTIONS, LABELS, LORA, build
from tiny import make_llm

KINDS = ("llama", "mistral", "qwen2", "opt")
PROMPTS = [("cat", True), (None, True), ("car", False), (None, False)]  # class name and embedding, or without


def examples(folder, captions=CAPTIONS):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(1)
    dataset = CaptionDataset(tokenizer, "thought2text", "Describe it:", torch.randn(4, 16), LABELS, captions)
    return dataset.prefix, [dataset.example(i, *prompt) for i, prompt in enumerate(PROMPTS)]


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def plain_loss(model, example):
    """transformers' own loss of one whole prompt without padding, and the number of its tokens."""
    soft = model.config.soft_tokens if example["soft"] else 0
    ids = torch.tensor(example["before"] + [0] * soft + example["after"] + example["caption"])
    inputs = model.llm.get_input_embeddings()(ids)
    if soft:
        start = len(example["before"])
        inputs = torch.cat([inputs[:start], model.projector(example["embedding"][None])[0], inputs[start + soft:]])
    labels = ids.clone()
    labels[:-len(example["caption"])] = IGNORE
    return model.llm(inputs_embeds=inputs[None], labels=labels[None]).loss, len(example["caption"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [None, LORA], ids=["frozen", "lora"])
def test_loss_and_gradients_are_the_plain_ones(tmp_path, kind, lora):
    folder = make_llm(tmp_path, kind)
    model = build(folder, lora=lora).eval()
    prefix, rows = examples(folder)
    batch = collate(rows, 3, 0, prefix)
    assert len(prefix) > 10 and batch["prefix_ids"].tolist() == prefix
    loss = model(**batch)["loss"]
    loss.backward()
    fast = gradients(model)
    assert (model.prefix.kept is not None) == (lora is None), "kept where the LLM is frozen"
    parts = [plain_loss(model, row) for row in rows]
    expected = sum(part * count for part, count in parts) / sum(count for _, count in parts)
    expected.backward()
    plain = gradients(model)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert fast.keys() == plain.keys()
    assert all(torch.allclose(fast[name], plain[name], rtol=1e-4, atol=1e-6) for name in plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [None, LORA], ids=["frozen", "lora"])
def test_captions_are_those_of_whole_prompts(tmp_path, kind, lora):
    folder = make_llm(tmp_path, kind)
    model = build(folder, lora=lora).eval()
    prefix, rows = examples(folder, captions=None)

    def write(prefix):
        batch = collate(rows, 3, 0, prefix)
        batch.pop("labels")
        return model.generate(**batch, max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=[0],
                              repetition_penalty=1.3)

    assert torch.equal(write(prefix), write(())) and (model.prefix.kept is not None) == (lora is None)
    assert torch.equal(write(prefix), write(())), "the kept keys and values stay what they were"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [None, LORA], ids=["frozen", "lora"])
def test_rows_at_their_end_are_left_out_of_what_follows(tmp_path, monkeypatch, kind, lora):
    """The end tokens are what rows wrote at other steps, so that the rows end at different ones."""
    folder = make_llm(tmp_path, kind)
    model = build(folder, lora=lora).eval()
    prefix, rows = examples(folder, captions=None)
    batch = collate(rows, 3, 0, prefix)
    batch.pop("labels")
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "repetition_penalty": 1.5}
    endless = model.generate(**batch, **options, eos_token_id=[-1])
    ends = [endless[row, step].item() for row, step in enumerate((2, 5, 8))]
    lengths = [min([step + 1 for step, token in enumerate(row) if token in ends], default=12) for row in endless.tolist()]
    assert len(set(lengths)) > 1
    calls, generate = [], model.llm.generate
    monkeypatch.setattr(model.llm, "generate",
                        lambda **given: calls.append(len(given["inputs_embeds"])) or generate(**given))
    ids = model.generate(**batch, **options, eos_token_id=ends)
    assert [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)] == \
        [row[:length] for row, length in zip(endless.tolist(), lengths, strict=True)]
    assert not any(token for row, length in zip(ids.tolist(), lengths, strict=True) for token in row[length:])
    assert calls[0] == 4 and calls == sorted(calls, reverse=True) and len(set(calls)) == len(calls) > 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [None, LORA], ids=["frozen", "lora"])
@pytest.mark.parametrize(("penalty", "shared"), [(1.0, True), (1.5, False)])
def test_captions_from_fixed_places_are_the_plain_ones(tmp_path, monkeypatch, kind, lora, penalty, shared):
    """What a GPU replays as a graph, here step by step; also where rows end early and keys and values move."""
    folder = make_llm(tmp_path, kind)
    model = build(folder, lora=lora).eval()
    prefix, rows = examples(folder, captions=None)
    batch = collate(rows, 3, 0, prefix if shared else ())
    batch.pop("labels")
    options = {"max_new_tokens": 30, "do_sample": False, "pad_token_id": 0, "repetition_penalty": penalty}
    endless = model.generate(**batch, **options, eos_token_id=[-1])
    monkeypatch.setattr(static_decoding, "STEPS", 8)
    moves, step = [], static_decoding._Step.__init__
    monkeypatch.setattr(static_decoding._Step, "__init__",
                        lambda self, *given: moves.append((given[4], len(given[3]))) or step(self, *given))
    for ends in ([-1], [endless[row, step].item() for row, step in enumerate((2, 9, 17))], endless[:, 0].tolist()):
        plain = model.generate(**batch, **options, eos_token_id=ends)
        with monkeypatch.context() as patch:
            patch.setattr(model.static, "devices", ("cpu",))
            moves.clear()
            assert torch.equal(model.generate(**batch, **options, eos_token_id=ends), plain)
        rooms, sizes = zip(*moves[1:] if moves and moves[0] == (1, 2) else moves, strict=True) if moves else ((), ())
        assert rooms == (8, 8, 8, 5)[:len(rooms)] and list(sizes) == sorted(sizes, reverse=True)
    assert model.static.suited and endless.shape[1] == 30 and not moves


def test_an_llm_that_fixed_places_do_not_suit_writes_the_plain_way(llm, monkeypatch):
    model = build(llm).eval()
    prefix, rows = examples(llm, captions=None)
    batch = collate(rows, 3, 0, prefix)
    batch.pop("labels")
    options = {"max_new_tokens": 12, "pad_token_id": 0, "eos_token_id": [0]}
    plain = model.generate(**batch, **options)
    monkeypatch.setattr(model.static, "devices", ("cpu",))
    monkeypatch.setattr(static_decoding._Step, "_run", lambda self: torch.randn(len(self.token), 1))
    assert torch.equal(model.generate(**batch, **options), plain) and model.static.suited is False
    assert not model.static.suits(None, torch.device("cpu"))


@pytest.mark.parametrize("optimizer", [
    lambda weights: torch.optim.AdamW(weights, lr=1e-2), lambda weights: torch.optim.AdamW(weights, lr=1e-2, fused=True),
    lambda weights: bitsandbytes.optim.AdamW8bit(weights, lr=1e-2),
    lambda weights: bitsandbytes.optim.PagedAdamW8bit(weights, lr=1e-2)], ids=["torch", "fused", "8bit", "paged 8bit"])
def test_the_loss_is_that_of_the_present_weights_and_prefix(llm, optimizer):
    """Fused and bitsandbytes optimizers change weights without raising Parameter._version."""
    model = build(llm).eval()
    prefix, rows = examples(llm)
    optimizer = optimizer([p for p in model.parameters() if p.requires_grad])

    @torch.no_grad()
    def loss(prefix):
        return float(model(**collate(rows, 3, 0, prefix))["loss"])

    def evaluation():
        with model.prefix.evaluation():
            return [loss(prefix), loss(prefix), loss(prefix[:12])]

    before = loss(prefix)
    assert [before, *evaluation()] == pytest.approx([loss(())] * 4, rel=1e-5)
    for _ in range(10):
        model.train()(**collate(rows, 3, 0, prefix))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    assert [loss(prefix), *evaluation()] == pytest.approx([loss(())] * 4, rel=1e-5)
    assert abs(loss(()) - before) > 1e-2


def test_the_prefix_runs_once_in_an_evaluation(llm, monkeypatch):
    model = build(llm).eval()
    prefix, rows = examples(llm)
    runs, run = [], model.prefix._run
    monkeypatch.setattr(model.prefix, "_run", lambda ids: runs.append(len(ids)) or run(ids))
    with torch.no_grad(), model.prefix.evaluation():
        for _ in range(3):
            model(**collate(rows, 3, 0, prefix))
    assert runs == [len(prefix)] and model.prefix.kept is None


@pytest.mark.parametrize("why", ["checkpointing", "window", "family"])
def test_whole_prompts_where_the_beginning_cannot_be_shared(tmp_path, why, monkeypatch):
    folder = make_llm(tmp_path, "mistral" if why == "window" else "llama")
    model = build(folder, lora=None).eval()
    prefix, rows = examples(folder)
    expected = model(**collate(rows, 3, 0))["loss"].item()
    if why == "checkpointing":
        model.train().gradient_checkpointing_enable()
    elif why == "window":
        model.base_llm().config.sliding_window = 60
        expected = model(**collate(rows, 3, 0))["loss"].item()
    else:
        from transformers import cache_utils

        class Other(cache_utils.DynamicLayer):
            """A layer of a family that keeps something else than keys and values."""

        monkeypatch.setattr("language_model.prefix_cache.DynamicLayer", Other)
    loss = model(**collate(rows, 3, 0, prefix))["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert model.prefix.cache(torch.tensor(prefix), torch.ones(4, 30)) is None


@pytest.mark.parametrize("kind", ["gemma2", "cohere", "granite"])
def test_logits_at_labels_keep_the_familys_scale(kind):
    """Soft caps and scales of logits, before or after the head, are the family's own."""
    torch.manual_seed(0)
    own = {"gemma2": {"final_logit_softcapping": 0.02, "head_dim": 12}, "cohere": {"logit_scale": 3.0},
           "granite": {"logits_scaling": 0.3}}[kind]
    config = AutoConfig.for_model(kind, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                  intermediate_size=96, vocab_size=100, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                                  **own)
    llm = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    model = EEGModelForCausalLM(EEGModelForCausalLMConfig(llm_hidden_size=48), llm, Projector("linear", 16, 48, 1))
    ids, labels = torch.randint(3, 100, (2, 20)), torch.full((2, 20), IGNORE)
    labels[0, 9:], labels[1, 15:] = ids[0, 9:], ids[1, 15:]
    batch = {"attention_mask": torch.ones(2, 12).long(), "soft_mask": torch.zeros(2, 12).bool(),
             "embeddings": torch.zeros(2, 16)}
    ids[1, :8] = ids[0, :8]
    loss = model(ids[:, 8:], labels=labels[:, 8:], prefix_ids=ids[0, :8], **batch)["loss"]
    assert float(loss) == pytest.approx(float(llm(input_ids=ids, labels=labels).loss), rel=1e-5)


def test_rows_without_a_label_carry_no_loss(llm):
    model = build(llm).eval()
    prefix, rows = examples(llm)
    batch = collate(rows, 3, 0, prefix)
    batch["labels"][1] = IGNORE
    alone = collate([rows[0], rows[2], rows[3]], 3, 0)
    assert float(model(**batch)["loss"]) == pytest.approx(float(model(**alone)["loss"]), rel=1e-5)
    batch["labels"][:] = IGNORE
    loss = model(**batch, num_items_in_batch=7)["loss"]
    loss.backward()
    assert loss.item() == 0


def test_prefix_is_common_and_leaves_a_token(llm):
    tokenizer = AutoTokenizer.from_pretrained(llm)
    for template in ("chat", "plain", "thought2text"):
        dataset = CaptionDataset(tokenizer, template, "Describe it:", torch.zeros(4, 16), LABELS, CAPTIONS)
        prompts = [dataset.example(i, label, soft) for i in range(4) for label in (LABELS[i], None)
                   for soft in (True, False)]
        assert all(example["before"][:len(dataset.prefix)] == dataset.prefix for example in prompts)
        assert all(len(example["before"]) - len(dataset.prefix) + example["soft"] > 0 for example in prompts)
        assert dataset.lengths == [len(e["before"]) + len(e["after"]) + len(e["caption"]) for e in prompts[::4]]


def test_like_lengths_meet_and_the_order_is_anew_in_each_epoch():
    lengths = torch.randint(10, 60, (331,), generator=torch.Generator().manual_seed(0)).tolist()
    groups = SimilarLengths(lengths, 16, seed=0)
    first, again = list(groups), list(groups)
    groups.set_epoch(1)
    second = list(groups)
    assert sorted(first) == list(range(331)) and first == again != second and sorted(second) == sorted(first)
    spans = [max(part) - min(part) for part in ([lengths[i] for i in first[s:s + 16]] for s in range(0, 320, 16))]
    assert sum(spans) / len(spans) < 6
    longest = [max(lengths[i] for i in first[s:s + 16]) for s in range(0, 320, 16)]
    assert longest not in (sorted(longest), sorted(longest, reverse=True)), "no curriculum from short to long"


def test_accumulated_batches_are_one_batch(llm, tmp_path):
    """The same update from 64 captions at once and from 4 times 16; nor does the validation loss depend on the batch."""
    def train(batch, steps, evaluated):
        model, tokenizer = build(llm), AutoTokenizer.from_pretrained(llm)
        model.base_llm().lm_head.weight.data *= 20  # a random model's losses are all alike
        captions = [" and ".join([text] * (1 + i % 8)) for i, text in enumerate([*CAPTIONS] * 16)]
        dataset = CaptionDataset(tokenizer, "chat", "Describe it:", torch.ones(64, 16), LABELS * 16, captions, 200)
        arguments = TrainingArguments(
            str(tmp_path), per_device_train_batch_size=batch, per_device_eval_batch_size=evaluated, max_steps=1,
            optim="sgd", gradient_accumulation_steps=steps, max_grad_norm=0, lr_scheduler_type="constant",
            learning_rate=0.01, label_names=["labels"], remove_unused_columns=False, use_cpu=True, save_strategy="no",
            disable_tqdm=True)
        trainer = CaptionTrainer(model, arguments, train_dataset=dataset, eval_dataset=dataset,
                                 data_collator=lambda rows: collate(rows, 3, 0, dataset.prefix))
        trainer.by_length, trainer.projector_learning_rate = True, 0.01
        return model, trainer.train().training_loss, trainer.evaluate()["eval_loss"]

    (whole, loss, score), (parts, same_loss, same_score) = train(64, 1, 24), train(16, 4, 64)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    assert loss == pytest.approx(same_loss, rel=1e-5) and score == pytest.approx(same_score, rel=1e-5)


def test_bf16_adapters_take_their_input_as_it_is(llm):
    """Without peft's casts to float32 and autocast's back: the same loss and gradients, by fewer copies."""
    torch.manual_seed(0)
    model = EEGModelForCausalLM.build(None, str(llm), device="cpu", dtype=torch.bfloat16, lora=LORA, embedding_size=16,
                                      projector="mlp", soft_tokens=3)
    prefix, rows = examples(llm)
    found = []
    for active in (False, True):
        with without_casts(model.llm, active), torch.profiler.profile() as profile, torch.autocast("cpu", torch.bfloat16):
            loss = model(**collate(rows, 3, 0, prefix))["loss"]
        loss.backward()
        copies = sum(event.count for event in profile.key_averages() if event.key == "aten::_to_copy")
        found.append((loss.item(), gradients(model), copies))
    (loss, plain, copies), (same_loss, fast, fewer) = found
    assert loss == pytest.approx(same_loss, rel=1e-3) and fewer < copies
    assert all(torch.allclose(fast[name], plain[name], rtol=0.05, atol=1e-3) for name in plain)
