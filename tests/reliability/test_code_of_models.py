"""Python code that a model folder brings never runs unasked, whoever loads the model and whatever is typed."""

import ast
import io
import json
import shutil
from pathlib import Path

from runtime import pretrained
from runtime.errors import InputError

import pytest

import evaluate
import finetune_llm
import prepare_data
from encoders.clip import load_clip_text
from encoders.picture_models import load_picture_model
from finetuning import finetune
from report_material import make_run
from tiny import data_arguments

EVIL = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path(__file__).with_name("ran").touch(); Path({mark!r}).touch()

class EvilConfig(LlamaConfig):
    model_type = "evilmodel"

class EvilLM(LlamaForCausalLM):
    config_class = EvilConfig
"""


@pytest.fixture
def evil(llm, tmp_path, monkeypatch):
    """A tiny LLM whose config asks for code of its own, and the file that the code would write."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    folder, mark = shutil.copytree(llm, tmp_path / "evil"), tmp_path / "ran"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "evilmodel", "auto_map": {
        "AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilLM"}}))
    (folder / "evil.py").write_text(EVIL.format(mark=str(mark)))
    return folder, mark


def refusal(capsys, main, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_no_script_runs_it(evil, data, clip, encoder, tmp_path, capsys):
    folder, mark = evil
    files = sorted((make_run(tmp_path / "run", pictures=4, subjects=2) / "results").glob("*.csv"))
    shutil.copytree(data / "images", tmp_path / "images", ignore=shutil.ignore_patterns("*.txt", "*.json"))
    for main, arguments in (
            (finetune_llm.main, [*data_arguments(data), "--clip_model", clip, "--eeg_encoder_path", encoder,
                                 "--llm_backbone_name_or_path", folder, "--output", tmp_path / "out", "--device", "cpu"]),
            (finetune_llm.main, ["--plan", "--llm_backbone_name_or_path", folder]),
            (evaluate.main, [*files, "--metrics", "ROUGE-1", "--judge_model", folder, "--device", "cpu"]),
            (evaluate.main, [*files, "--metrics", "ROUGE-1", "--bertscore_model", folder, "--bertscore_layers", "1"]),
            (evaluate.main, [*files, "--metrics", "ROUGE-1", "--sentence_model", folder]),
            (prepare_data.main, ["caption", tmp_path / "images", "--model", folder])):
        said = refusal(capsys, main, *arguments)
        assert "evil" in said and not mark.exists(), said
    assert "--trust_remote_code" in said


def test_the_text_tower_of_an_open_clip_model_does_not_run_it(evil, tmp_path):
    pytest.importorskip("open_clip")
    folder, mark = evil
    clip = tmp_path / "clip"
    clip.mkdir()
    (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": {
        "embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_proj_type": "mlp"}},
        "preprocess_cfg": {}}))
    for load in (load_clip_text, load_picture_model):
        with pytest.raises(InputError, match=r"--clip_model .*code of its own"):
            load(str(clip), "cpu")
    assert not mark.exists()


def test_the_flag_allows_it_and_the_record_says_so(evil, data, clip, encoder, tmp_path):
    folder, mark = evil
    out = finetune(data, clip, encoder, folder, tmp_path / "out", "--no_stage2", "--trust_remote_code")
    assert mark.exists()
    assert json.loads((out / "args.json").read_text())["options"]["trust_remote_code"] is True
    with pytest.raises(InputError, match="code of its own"):  # of another model in the same process, or of this one
        pretrained.check_code(folder)


def test_nothing_loads_models_elsewhere():
    """Each from_pretrained of a Hugging Face class stands in runtime/pretrained.py, or is one of a class without code."""
    root = Path(__file__).parents[2]
    plain = {"LoraConfig", "CLIPImageProcessorPil", "CLIPTextModelWithProjection", "CLIPVisionModelWithProjection",
             "EEGModelForCausalLM", "SiglipModel"}
    for file in [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in ("tests", "bench", "recipes",
                                                                                                  ".venv")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("from_pretrained", "from_config"):
                owner = getattr(node.value, "id", "")
                assert owner in plain or file.name == "pretrained.py" or owner in ("cls", "pretrained"), f"{file}: {owner}"
