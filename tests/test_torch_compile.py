"""--torch_compile: the same weights as without, from compiled decoder layers."""

from runtime.errors import InputError

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.backends.registry import lookup_backend

from finetuning import finetune
from language_model import compiled
from tiny import make_llm


@pytest.fixture
def programs(monkeypatch):
    """The programs that are compiled. They run as torch traces them: making C++ of them takes half a minute."""
    made = []

    def backend(program, inputs):
        made.append(program)
        return lookup_backend("aot_eager")(program, inputs)

    torch._dynamo.reset()
    monkeypatch.setattr(compiled, "BACKEND", backend)
    yield made
    torch._dynamo.reset()


@pytest.mark.slow
def test_the_same_weights_from_compiled_layers(data, clip, encoder, tmp_path, programs):
    llm = make_llm(tmp_path)

    def trained(name, *more):
        output = finetune(data, clip, encoder, llm, tmp_path / name, "--no_stage2", "--max_steps", "4",
                          "--lora_dropout", "0", *more)
        return load_file(output / "adapter" / "adapter_model.safetensors")

    plain = trained("plain")
    assert not programs
    weights = trained("compiled", "--torch_compile")
    assert 1 <= len(programs) <= 4  # for all layers and lengths; evaluation is not compiled
    assert all(torch.allclose(weights[name], plain[name], atol=1e-5) for name in plain)


@pytest.mark.parametrize("more", [("--no-use_lora",), ("--load_in_4bit",)])
def test_what_is_not_compiled_is_refused(data, clip, encoder, llm, tmp_path, capsys, more):
    with pytest.raises(SystemExit) as ended:
        finetune(data, clip, encoder, llm, tmp_path / "captioner", "--no_stage2", "--torch_compile", *more)
    assert ended.value.code == 2 and "--torch_compile" in capsys.readouterr().err


def test_a_family_that_names_no_layers_is_refused():
    llm = torch.nn.Linear(1, 1)
    llm.config, llm._no_split_modules = None, None
    with pytest.raises(InputError, match="decoder layers"):
        compiled.compile_layers(llm)
