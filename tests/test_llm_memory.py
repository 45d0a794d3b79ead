"""llm_memory's arithmetic against what torch, peft and bitsandbytes hold, and what is chosen by it."""

import argparse
import contextlib
import itertools

from runtime.errors import InputError
from runtime.runs import read_json

import pytest
import torch
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import weakref
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.integrations import replace_with_bnb_linear

import finetune_llm
from bench.synthetic import llm_config
from config import EEGModelForCausalLMConfig
from families import make_family
from finetuning import finetune
from language_model import memory, training_plan
from language_model.memory import GB, Precision, Shape, in_16_bit
from model import EEGModelForCausalLM, Projector, load_llm
from tiny import make_llm

LORA = {"r": 16, "target_modules": "all-linear", "lora_dropout": 0.05}
FLOAT32 = Precision(None, 4, False)


# --- weights ---

@pytest.mark.parametrize("kind", ["llama", "opt"])
@pytest.mark.parametrize(("precision", "dtype"), [(FLOAT32, None), (Precision(), torch.bfloat16),
                                                  *((precision, torch.bfloat16) for precision in in_16_bit("bf16")[1:])])
def test_weights_to_the_byte(tmp_path, kind, precision, dtype):
    llm = make_llm(tmp_path, kind)
    model = load_llm(llm, "cpu", dtype, precision.loading)
    held = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        held += parameter.nbytes + (state.absmax.nbytes + state.code.nbytes if state else 0)
    states = [module.state for module in model.modules() if hasattr(module, "state")]  # of layers in 8 bit that have read
    held += sum(state.SCB.nbytes for state in states if state.SCB is not None)
    assert memory.weight_bytes(memory.shape_of(llm), precision) == held


@pytest.mark.parametrize("target", ["all-linear", r".*\.(q_proj|down_proj)"])
@pytest.mark.parametrize("projector", ["mlp", "linear"])
def test_trained_parameters_to_the_last(llm, target, projector):
    lora = LORA | {"target_modules": target}
    model = EEGModelForCausalLM.build(None, llm, device="cpu", dtype=None, lora=lora, projector=projector, soft_tokens=3,
                                      embedding_size=16, prompt_template="plain")
    held = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert memory.trained_parameters(memory.shape_of(llm), lora, projector, 16, 3) == held


def test_layers_whose_heads_differ_count_as_the_widest(tmp_path):
    """Gemma 4's layers of full attention have larger heads than those with a window."""
    config = AutoConfig.from_pretrained(make_family(tmp_path, "gemma4_text"))
    shape = memory.shape_of(tmp_path)
    assert (shape.queries, shape.keys) == (4 * 24, 2 * 24)
    assert memory.cache_bytes(config, 4) == 2 * 2 * 48 * 4


# --- activations: one step of any size without its memory ---

class Held(TorchDispatchMode):
    """Counts the bytes of the storages that operations make and that are still there: `now`, and at the most `peak`."""

    def __init__(self, known):
        super().__init__()
        self.known, self.references, self.now, self.peak = {t.untyped_storage()._cdata for t in known}, {}, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **kwargs or {})
        for storage in (t.untyped_storage() for t in tree_leaves(results) if isinstance(t, torch.Tensor)):
            key, size = storage._cdata, storage.nbytes()
            if key not in self.references and key not in self.known:
                self.references[key] = weakref.ref(storage, lambda _, key=key, size=size: self._gone(key, size))
                self.now += size
                self.peak = max(self.peak, self.now)
        return results

    def _gone(self, key, size):
        del self.references[key]
        self.now -= size


def like_cuda(monkeypatch):
    """Let CPU tensors be treated as CUDA's are: dropped out by a mask of bytes, multiplied by LLM.int8 (without outliers,
    whose number depends on values), not cast by peft in autocast, of which it knows CUDA's only."""
    import bitsandbytes
    from bitsandbytes.autograd._functions import MatMul8bitLt

    def matmul(a, b, out=None, state=None, threshold=0.0, bias=None):
        state.threshold = 0.0
        return MatMul8bitLt.apply(a, b, out, bias, state)

    enabled = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device="cpu": enabled(device))
    monkeypatch.setattr(bitsandbytes, "matmul", matmul)
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, p=0.5, training=True, inplace=False:
                        torch.native_dropout(x, p, training)[0] if p else x)


def fake_captioner(config, precision, lora):
    """EEGModelForCausalLM on tensors without content, quantised as bitsandbytes does; call it in a FakeTensorMode."""
    import bitsandbytes
    from bitsandbytes.functional import QuantState
    from peft import LoraConfig, get_peft_model
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    dtype = torch.float32 if precision.element == 4 else torch.bfloat16
    with unset_fake_temporarily(), torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if precision.loading:
            options = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
            llm = replace_with_bnb_linear(llm, modules_to_not_convert=["lm_head"], quantization_config=BitsAndBytesConfig(
                load_in_8bit=precision.loading == "8bit", load_in_4bit=precision.loading == "4bit", **options))
            llm.is_loaded_in_8bit = precision.loading == "8bit"
        llm.requires_grad_(False)
        llm = get_peft_model(llm, LoraConfig(task_type="CAUSAL_LM", **lora)) if lora else llm
        model = EEGModelForCausalLM(EEGModelForCausalLMConfig(lora=lora is not None), llm,
                                    Projector("mlp", 512, config.hidden_size, 4))
    for module in model.modules():
        for name, old in [*module._parameters.items()]:
            if old is None:
                continue
            eight = isinstance(module, bitsandbytes.nn.Linear8bitLt) and name == "weight"
            four = isinstance(module, bitsandbytes.nn.Linear4bit) and name == "weight"
            shape, kind = ((old.numel() // 2, 1), torch.uint8) if four else (old.shape, torch.int8 if eight else old.dtype)
            new = module._parameters[name] = torch.nn.Parameter(torch.empty(shape, dtype=kind), old.requires_grad)
            if eight:
                new.CB = new.SCB = None
                module.state.CB, module.state.SCB, module.state.has_fp16_weights = new, torch.empty(old.shape[0]), False
            if four:
                module.quant_state = new.quant_state = QuantState(
                    torch.empty(old.numel() // 64), old.shape, torch.empty(16), 64, "nf4", dtype)
        for name, old in [*module._buffers.items()]:
            module._buffers[name] = torch.empty(old.shape, dtype=old.dtype)
    return model.train()


def held_tensors(model):
    for module in model.modules():
        yield from (t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None)
        state = getattr(module, "quant_state", None) or getattr(module, "state", None)
        yield from (t for t in vars(state).values() if isinstance(t, torch.Tensor)) if state else ()


def measured(config, precision, lora, checkpointing, batch, tokens, labels):
    """Peak of what one forward and backward pass holds beside weights and gradients, in bytes."""
    with FakeTensorMode():
        model = fake_captioner(config, precision, lora)
        if checkpointing:
            model.gradient_checkpointing_enable()
        ids, mask = torch.zeros(batch, tokens, dtype=torch.long), torch.ones(batch, tokens, dtype=torch.long)
        embeddings = torch.zeros(batch, 512)
        with Held(held_tensors(model)) as held:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision.autocast):
                soft = model.projector(embeddings)  # splice() and the loss as in model.py, whose indices depend on values
                inputs = model.llm.get_input_embeddings()(ids)
                inputs = torch.cat([inputs[:, :8], soft.to(inputs.dtype), inputs[:, 12:]], 1)
                head = model.llm.get_output_embeddings()
                head.register_forward_pre_hook(lambda _, given: given[0][:, -labels - 1:-1].flatten(0, 1))
                logits = model.llm(inputs_embeds=inputs, attention_mask=mask, position_ids=mask.cumsum(1) - 1,
                                   use_cache=False).logits
                loss = torch.nn.functional.cross_entropy(logits.float(), ids.new_zeros(batch * labels), reduction="sum")
            del logits
            loss.backward()
        return held.peak


def estimated(shape, precision, lora, checkpointing, batch, tokens, labels):
    """The same by llm_memory."""
    trained = memory.trained_parameters(shape, lora, "mlp", 512, 4)
    terms = memory.training_memory(shape, precision, batch=batch, tokens=tokens, labels=labels, trained=trained,
                                       checkpointing=checkpointing, lora=lora)
    return (terms["activations kept"] + terms["loss, or a layer's backward pass"]
            + 2 * precision.autocast * trained)  # the adapter's copies in 16 bit


@pytest.fixture(scope="module")
def deepseek(tmp_path_factory):
    """DeepSeek-7B's config.json alone."""
    folder = tmp_path_factory.mktemp("deepseek")
    config = llm_config("DeepSeek-7B")
    config.dtype = torch.bfloat16
    config.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "precision", "checkpointing"), [
    (30, Precision("8bit"), True), (4, Precision("8bit"), False),
    *itertools.product([4], (Precision(), Precision("4bit"), Precision("8bit", 2, False)), (False, True))])
def test_activations_of_deepseek_7b(deepseek, tmp_path, layers, precision, checkpointing, monkeypatch):
    like_cuda(monkeypatch)
    config = AutoConfig.from_pretrained(deepseek, num_hidden_layers=layers)
    config.save_pretrained(tmp_path)
    case = precision, LORA, checkpointing, 16, 64, 32
    assert estimated(memory.shape_of(tmp_path), *case) == pytest.approx(measured(config, *case), rel=.15)


SMALL = AutoConfig.for_model("llama", vocab_size=512, hidden_size=256, intermediate_size=704, num_hidden_layers=6,
                             num_attention_heads=8, num_key_value_heads=2)


@pytest.mark.parametrize(("batch", "tokens"), [(4, 48), (16, 48), (4, 192)])
@pytest.mark.parametrize(("lora", "precision"), [(LORA, FLOAT32), (LORA, Precision()), (None, Precision()),
                                                 (LORA | {"lora_dropout": 0.0}, Precision("8bit"))])
def test_activations_grow_with_batch_and_length(tmp_path, monkeypatch, lora, precision, batch, tokens):
    like_cuda(monkeypatch)
    SMALL.save_pretrained(tmp_path)
    shape = memory.shape_of(tmp_path)
    assert shape.keys == 64 and shape.queries == 256 and shape.gated and shape.inner == 704
    case = precision, lora, False, batch, tokens, 16
    assert estimated(shape, *case) == pytest.approx(measured(SMALL, *case), rel=.15)


def test_a_cpu_keeps_wide_dropout_masks(tmp_path):
    SMALL.save_pretrained(tmp_path)
    shape, model = memory.shape_of(tmp_path), AutoModelForCausalLM.from_config(SMALL, dtype=torch.float32)
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model.requires_grad_(False), LoraConfig(task_type="CAUSAL_LM", **LORA)).train()
    weights, kept = {p.untyped_storage()._cdata for p in model.parameters()}, {}

    def note(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    inputs = torch.randn(4, 48, 256, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.base_model.model.model(inputs_embeds=inputs, attention_mask=torch.ones(4, 48).long(), use_cache=False)
    held = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in weights)
    estimate = 6 * 4 * 48 * sum(memory.kept_of_a_layer(shape, FLOAT32, LORA, cuda=False).values())
    assert estimate == pytest.approx(held, rel=.15)


# --- what is chosen ---

def arguments(**given):
    usual = {"batch_size": 16, "gradient_accumulation_steps": 1, "load_in_8bit": False, "load_in_4bit": False,
             "bf16": False, "fp16": False, "gradient_checkpointing": "auto", "micro_batch_size": None,
             "eval_batch_size": None}
    return argparse.Namespace(**usual | given)


def choose(deepseek, gigabytes, cuda=True, **given):
    args = arguments(**given)
    shape = memory.shape_of(deepseek)
    before = dict(vars(args))
    plan = training_plan.plan_training(args, shape, free=gigabytes * GB, cuda=cuda, lora=LORA, trained=106_704_897)
    assert vars(args) == before
    chosen = plan.loading or plan.half or "float32"
    return (chosen, plan.checkpointing, plan.batch_size, plan.accumulation), plan.line


@pytest.mark.parametrize(("gigabytes", "chosen"), [
    (79.5, ("bf16", False, 16, 1)), (23.5, ("bf16", True, 16, 1)), (15.5, ("8bit", True, 16, 1)),
    (11.2, ("8bit", True, 4, 4)), (9, ("4bit", True, 16, 1)), (8, ("4bit", True, 4, 4))])
def test_the_best_precision_that_fits(deepseek, gigabytes, chosen):
    found, line = choose(deepseek, gigabytes)
    assert found == chosen
    assert "6.9 billion parameters" in line and f"of {gigabytes:.1f} GB free" in line
    assert ("in place of one of 16" in line) == (chosen[2] < 16)


def test_flags_win(deepseek):
    assert choose(deepseek, 80, load_in_4bit=True)[0] == ("4bit", False, 16, 1)
    assert choose(deepseek, 80, gradient_checkpointing="on")[0] == ("bf16", True, 16, 1)
    assert choose(deepseek, 24, gradient_checkpointing="off")[0] == ("bf16", False, 8, 2)
    assert choose(deepseek, 80, cuda=False)[0][0] == "float32"
    assert choose(deepseek, 17.05, batch_size=6, gradient_accumulation_steps=2)[0][2:] == (3, 4)


@pytest.mark.parametrize(("gigabytes", "cuda", "given", "parts"), [
    (5.5, True, {}, ["bf16 needs 16", "8 bit needs 10", "4 bit needs 7", "a larger card"]),
    (11.2, True, {"bf16": True}, ["bf16 needs", "--load_in_8bit --bf16 (", "--load_in_4bit --bf16 (", "would fit"]),
    (20, False, {}, ["float32 needs", "--bf16 (", "would fit"]),
    (3, False, {}, ["float32 needs", "a machine with more memory"])])
def test_nothing_fits(deepseek, gigabytes, cuda, given, parts):
    with pytest.raises(InputError) as error:
        choose(deepseek, gigabytes, cuda, **given)
    assert all(part in str(error.value) for part in ["6.9 billion", f"{gigabytes:.1f} GB that are free", *parts])


def test_a_family_without_gradient_checkpointing(tmp_path):
    """The training ended in a traceback of transformers, also where memory was short and nothing was asked for."""
    AutoConfig.for_model("gpt_neox_japanese", hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
                         vocab_size=320).save_pretrained(tmp_path)
    plans = []
    for gigabytes in (40., *(1.79 + .001 * step for step in range(30))):
        with contextlib.suppress(InputError):  # too little for batches of one
            plans.append(choose(tmp_path, gigabytes, cuda=False)[0])
    assert len({batch for _, _, batch, _ in plans}) > 1 and not any(checkpointing for _, checkpointing, _, _ in plans)
    with pytest.raises(InputError, match="--gradient_checkpointing on: transformers has none for LLMs of this type"):
        choose(tmp_path, 40., cuda=False, gradient_checkpointing="on")


def test_plan_reads_the_config_alone(deepseek, capsys):
    asks = ["--llm_backbone_name_or_path", str(deepseek), "--plan"]
    finetune_llm.main([*asks, "16"])
    out = capsys.readouterr().out
    assert "8 bit, gradient checkpointing on, batches of 16" in out and "GB  weights of the LLM" in out
    finetune_llm.main([*asks, "80"])
    assert "bf16, gradient checkpointing off" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        finetune_llm.main([*asks, "6"])
    assert stop.value.code == 2 and "do not fit into the 5.5 GB" in capsys.readouterr().err


def test_a_run_says_and_records_what_was_chosen(data, clip, encoder, llm, tmp_path, capsys, monkeypatch):
    real, batches = memory.training_memory, []

    def tight(*args, batch, checkpointing, **more):
        terms = real(*args, batch=batch, checkpointing=checkpointing, **more)
        return terms | {"else": 0 if batch <= 4 and checkpointing else 1e15}

    monkeypatch.setattr(training_plan, "training_memory", tight)
    from captioning import training

    step = training.CaptionTrainer.training_step
    monkeypatch.setattr(training.CaptionTrainer, "training_step", lambda self, model, inputs, *more: (
        batches.append((len(inputs["input_ids"]), model.base_llm().is_gradient_checkpointing)),
        step(self, model, inputs, *more))[1])
    folder = finetune(data, clip, encoder, llm, tmp_path / "out", "--no_stage2", "--max_steps", "2", "--batch_size", "8")
    assert "gradient checkpointing on, batches of 4, 2 of them in place of one of 8" in capsys.readouterr().out
    assert batches == [(4, True)] * 4
    names = ("batch_size", "gradient_accumulation_steps", "gradient_checkpointing")
    record = read_json(folder / "args.json")
    assert [record["options"][name] for name in names] == [8, 1, "auto"]
    assert [record["used"][name] for name in names] == [4, 2, True]


def test_stage_2_is_reused_whatever_memory_is_free(data, clip, encoder, llm, tmp_path, capsys, monkeypatch):
    real = memory.training_memory
    for name, most in (("plenty", 8), ("little", 4)):
        monkeypatch.setattr(training_plan, "training_memory", lambda *args, most=most, batch, **more: real(
            *args, batch=batch, **more) | {"else": 0 if batch <= most else 1e15})
        finetune(data, clip, encoder, llm, tmp_path / name, "--no_stage3", "--max_steps", "2", "--batch_size", "8",
                 "--saved_pretrained_model_path", str(tmp_path / "stage2"))
        out = capsys.readouterr().out
        assert f"batches of {most}" in out and ("stage 2: made before" in out) == (name == "little")
    assert len(list((tmp_path / "stage2").iterdir())) == 1


def test_a_stopped_training_resumes_though_less_memory_is_free(data, clip, encoder, llm, tmp_path, capsys, monkeypatch):
    """The batches are smaller then, and more of them make a step, so the rest is learned from the same examples."""
    from captioning import training

    real, common = memory.training_memory, ["--no_stage2", "--max_steps", "4", "--batch_size", "8", "--save_steps", "1",
                                            "--lora_dropout", "0", "--label_dropout", "0", "--embedding_dropout", "0"]

    def free_for(most):
        monkeypatch.setattr(training_plan, "training_memory", lambda *args, batch, **more: real(
            *args, batch=batch, **more) | {"else": 0 if batch <= most else 1e15})

    free_for(8)
    whole = finetune(data, clip, encoder, llm, tmp_path / "whole", *common)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        step, calls = training.CaptionTrainer.training_step, []

        def stop(self, *given):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return step(self, *given)

        patch.setattr(training.CaptionTrainer, "training_step", stop)
        finetune(data, clip, encoder, llm, tmp_path / "part", *common)
    free_for(4)
    part = finetune(data, clip, encoder, llm, tmp_path / "part", *common, "--resume")
    assert "batches of 4, 2 of them in place of one of 8" in capsys.readouterr().out
    found, expected = (load_file(folder / "projector.safetensors") for folder in (part, whole))
    assert all(torch.allclose(found[name], expected[name], rtol=0, atol=1e-4) for name in expected)


def test_weights_that_do_not_fit_are_not_loaded(llm, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 100_000)
    with pytest.raises(InputError, match="for its weights alone"):
        load_llm(llm, "cpu", None, None)


@pytest.mark.parametrize("kind, said", [("bart", "bart is an encoder-decoder"), ("t5", "t5 is an encoder-decoder"),
                                        ("bert", "bert is a masked language model"), ("roberta", "roberta is a masked")])
def test_a_model_that_is_no_causal_llm_is_refused(kind, said, tmp_path):
    """A BERT was taken, in which each token sees those that it is to predict. A whole BART was called incomplete."""
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    for call in (memory.shape_of, lambda llm: load_llm(llm, "cpu", None, None)):
        with pytest.raises(InputError, match=said):
            call(tmp_path)


def test_a_decoder_of_the_bert_family_is_an_llm(tmp_path):
    AutoConfig.for_model("bert", is_decoder=True).save_pretrained(tmp_path)
    assert memory.shape_of(tmp_path).parameters > 1e8


def test_captions_at_a_time(llm, deepseek, monkeypatch):
    model = load_llm(llm, "cpu", None, None)
    assert memory.batch_that_fits(model, "cpu", 100) == 64
    config = AutoConfig.from_pretrained(deepseek)
    assert memory.caption_memory(config, 2, 1000) - memory.caption_memory(config, 2, 0) > 1000 * 30 * 2 * 4096 * 2
    one = memory.caption_memory(model.config, 4, 100)
    for free, batch in ((9 * one, 8), (0, 1)):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        assert memory.batch_that_fits(model, "cpu", 100) == batch


def test_shape_is_a_plain_record(deepseek):
    shape = memory.shape_of(deepseek)
    assert isinstance(shape, Shape) and shape.size == "6.9 billion" and shape.own == Precision(None, 2, False)
