"""The contract of each LLM family: loss, captions, size of the soft tokens, end of text, saving; all against plain code."""

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM

from captioning.captioner import Captioner
from datautils import CaptionDataset, collate
from families import FAMILIES, NO_LORA, NO_PREFIX, ROWS, SHORT_WINDOW, USUAL, WIDTH, WINDOW, make_family
from language_model.prefix_cache import PrefixCache
from model import EEGModelForCausalLM
from test_model import CAPTIONS, LORA, build

LABELS = ["cat", "dog or a very long name of a dog in the snow", "car", None]
SOFT = [True, True, False, True]
STEPS = 6


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """(name, captioner as built, the same saved and loaded, its four examples with the beginning that they share)."""
    folder = make_family(tmp_path_factory.mktemp(request.param), request.param)
    model = build(folder, lora=None if request.param in NO_LORA else LORA, prompt_template="chat").eval()
    model.save_pretrained(folder / "captioner")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / "captioner" / name).write_bytes((folder / name).read_bytes())
    (folder / "captioner" / "id2label.json").write_text("{}")
    loaded = Captioner(folder / "captioner", "cpu")
    data = CaptionDataset(loaded.tokenizer, loaded.template, "Describe this image in one sentence:",
                          torch.randn(4, 16, generator=torch.Generator().manual_seed(1)), LABELS, CAPTIONS)
    return request.param, model, loaded, [data.example(i, LABELS[i], SOFT[i]) for i in range(4)], data.prefix


@torch.no_grad()
def plain_logits(model, example, more=()):
    """Logits [n, V] at the last n = 1 + len(more) positions of one whole prompt, without padding, mask or cache."""
    embed = model.llm.get_input_embeddings()
    soft = model.projector(example["embedding"][None]) if example["soft"] else embed(torch.zeros(1, 0).long())
    parts = [embed(torch.tensor([example["before"]])), soft, embed(torch.tensor([[*example["after"], *more]]).long())]
    return model.llm(inputs_embeds=torch.cat(parts, 1), use_cache=False).logits[0, -1 - len(more):]


def plain_caption(model, example):
    ids = []
    for _ in range(STEPS):
        ids.append(int(plain_logits(model, example, ids)[-1].argmax()))
    return ids


def write(model, examples, prefix, **options):
    batch = collate([{**example, "caption": []} for example in examples], 3, 0, prefix)
    del batch["labels"]
    return model.generate(**batch, **{"max_new_tokens": STEPS, "do_sample": False, "pad_token_id": 0,
                                      "eos_token_id": [-1], **options}).tolist()


def test_the_loss_is_that_of_each_caption_alone(family):
    _, model, _, examples, prefix = family
    expected = sum(F.cross_entropy(plain_logits(model, example, example["caption"])[:-1],
                                   torch.tensor(example["caption"]), reduction="sum") for example in examples)
    expected = float(expected) / sum(len(example["caption"]) for example in examples)
    with torch.no_grad():
        assert float(model(**collate(examples, 3, 0, prefix))["loss"]) == pytest.approx(expected, rel=1e-5)
        assert float(model(**collate(examples, 3, 0))["loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_batch_writes_what_single_prompts_do(family):
    name, model, _, examples, prefix = family
    expected = [plain_caption(model, example) for example in examples]
    assert write(model, examples, prefix) == write(model, examples, ()) == expected
    assert [write(model, [example], prefix)[0] for example in examples] == expected
    assert (model.prefix.checked > 0) == (name not in NO_PREFIX + SHORT_WINDOW), "who goes on after the prompts' beginning"
    end = expected[0][2]
    for ids, whole in zip(write(model, examples, prefix, eos_token_id=[end]), expected, strict=True):
        length = whole.index(end) + 1 if end in whole else STEPS
        assert ids[:length] == whole[:length] and not any(ids[length:])


def test_a_family_is_checked_once(tmp_path, monkeypatch):
    """And admitted where its window is long enough, whatever that is called in its config."""
    model = build(make_family(tmp_path, "gpt_neo", window_size=400), lora=None).eval()
    checks, check = [], model.prefix._same_as_plain
    monkeypatch.setattr(model.prefix, "_same_as_plain", lambda *given: checks.append(given[2]) or check(*given))
    prefix = torch.arange(5, 15)
    for length in (20, 30, 15, 40):
        assert model.prefix.cache(prefix, torch.ones(2, length), new_tokens=10) is not None
    assert checks == [256]
    assert model.prefix.cache(prefix, torch.ones(2, 250), new_tokens=10) is None
    assert model.prefix.cache(prefix, torch.ones(2, 300), new_tokens=10) is None
    assert model.prefix.cache(prefix, torch.ones(2, 40), new_tokens=10) is not None and len(checks) == 2


def test_a_family_that_gives_no_cache_runs_whole_prompts():
    """RecurrentGemma takes a cache, but keeps its states in itself."""
    torch.manual_seed(0)
    llm = AutoModelForCausalLM.from_config(AutoConfig.for_model(
        "recurrent_gemma", **USUAL | {"num_hidden_layers": 3}, lru_width=WIDTH, attention_window_size=WINDOW,
        vocab_size=ROWS))
    prefix = PrefixCache(llm.requires_grad_(False).eval(), llm)
    assert prefix.suited and prefix.cache(torch.arange(5, 15), torch.ones(2, 20)) is None and not prefix.suited


def test_soft_tokens_are_as_large_as_tokens(family):
    _, model, _, examples, _ = family
    with torch.no_grad():
        tokens = model.llm.get_input_embeddings()(torch.arange(300)).pow(2).mean().sqrt()
        soft = model.projector(torch.stack([example["embedding"] for example in examples])).pow(2).mean().sqrt()
    assert float(soft) == pytest.approx(float(tokens), rel=.05)


def test_captions_end_as_turns_do(family):
    _, _, loaded, examples, _ = family
    turn_end = loaded.tokenizer.convert_tokens_to_ids("</turn>")
    assert all(example["caption"][-1] == turn_end != loaded.tokenizer.eos_token_id for example in examples)
    assert loaded.ends == sorted([turn_end, loaded.tokenizer.eos_token_id])


def test_what_is_saved_is_what_is_loaded(family):
    _, model, loaded, examples, prefix = family
    apart = EEGModelForCausalLM.from_pretrained(loaded.folder)  # a Captioner adds the adapter to the LLM
    with torch.no_grad():
        assert torch.equal(*(m(**collate(examples, 3, 0, prefix))["loss"] for m in (model, apart)))
    assert write(model, examples, prefix) == write(loaded.model, examples, prefix)
