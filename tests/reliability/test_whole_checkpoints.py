"""A checkpoint is loaded only as it was written: no bit flipped, no file of another training, none missing."""

import json
import random
import shutil

from runtime.errors import InputError

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.mutations import flipped
from captioning.captioner import Captioner
from encoders import load_encoder
from finetuning import finetune
from tiny import forget_hashes

LOADED = ("projector.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json", "config.json",
          "tokenizer.json", "tokenizer_config.json", "eeg_encoder/model.safetensors", "eeg_encoder/config.json")


def load(folder):
    return Captioner(folder, "cpu")


@pytest.mark.parametrize("name", LOADED)
def test_no_flipped_bit_of_a_captioner_is_used(captioner, tmp_path, name):
    folder, draw = shutil.copytree(captioner, tmp_path / "captioner"), random.Random(0)
    content = (folder / name).read_bytes()
    for _ in range(6):
        (folder / name).write_bytes(flipped(content, draw))
        with pytest.raises(InputError):
            load(folder)
    (folder / name).write_bytes(content)
    assert load(folder).key == Captioner(captioner, "cpu").key


def test_a_captioner_of_two_trainings_is_refused(captioner, data, clip, encoder, llm, tmp_path):
    other = finetune(data, clip, encoder, llm, tmp_path / "other", "--no_stage2", "--seed", "1")
    folder = shutil.copytree(captioner, tmp_path / "captioner")
    shutil.copy(other / "adapter" / "adapter_model.safetensors", folder / "adapter")
    with pytest.raises(InputError, match="differs from the file that was written with the others"):
        load(folder)
    (folder / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"adapter_model\.safetensors"):
        load(folder)


@pytest.mark.parametrize("place", ["model.save_encoder", "evaluation.provenance.write_records"])
def test_a_captioner_that_a_killed_run_left_half_new_is_refused(captioner, data, clip, encoder, llm, tmp_path, monkeypatch,
                                                                place):
    class Killed(BaseException):
        pass

    def killed(*_args, **_more):
        raise Killed

    folder = shutil.copytree(captioner, tmp_path / "captioner")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(place, killed)
        finetune(data, clip, encoder, llm, folder, "--no_stage2", "--seed", "1")
    with pytest.raises(InputError, match="is not whole, since the run that wrote it was stopped"):
        load(folder)
    finetune(data, clip, encoder, llm, folder, "--no_stage2", "--seed", "1", "--resume")
    load(folder)


def test_weights_that_are_no_numbers_are_refused(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "encoder")
    state = load_file(folder / "model.safetensors")
    name = next(name for name, tensor in state.items() if tensor.is_floating_point())
    state[name].view(-1)[0] = torch.nan
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    forget_hashes(folder)  # which are looked at first
    with pytest.raises(InputError, match=f"{name} holds NaN"):
        load_encoder(folder)


def test_what_is_not_of_the_model_does_not_change_it(captioner, tmp_path):
    """Records, captions and what a file manager leaves; nor where the base LLM lay."""
    folder, own = shutil.copytree(captioner, tmp_path / "captioner"), Captioner(captioner, "cpu").key
    for name in (".DS_Store", "notes.txt", "results/captions.csv", "eeg_encoder/test/scores.json", "train_log.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("[]")
    llm = shutil.copytree(json.loads((folder / "config.json").read_text())["llm"], tmp_path / "moved")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"llm": str(llm)}))
    assert load(folder).key == own
