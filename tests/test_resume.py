"""A training that is interrupted at any step and resumed ends with the weights of one that was not, to the last bit."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

import train_eeg_classifier as training
from datautils import CaptionDataset
from eegdata.pictures import write_captions
from finetuning import finetune
from tiny import data_arguments


@pytest.fixture(scope="module")
def described(data, tmp_path_factory):
    """The tiny data set with several captions to each picture."""
    folder = shutil.copytree(data, tmp_path_factory.mktemp("described") / "data")
    names = [path.name.removesuffix("_sketch.JPEG") for path in (folder / "images").glob("*/*_sketch.JPEG")]
    write_captions(folder / "images", {name: [f"A picture of {name}.", f"It shows {name}, once more.", "Something."]
                                       for name in names})
    return folder


def stage1(data, clip, output, *more):
    training.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(output), "--device", "cpu",
                   "--batch_size", "16", "--num_epochs", "3", "--noise", "0.1", "--channel_dropout", "0.1",
                   "--residual_blocks", "0", "--save_steps", "1", *more])  # 4 steps in an epoch
    return output


def same(one, two):
    files = sorted(path.relative_to(one) for path in one.rglob("*.safetensors"))
    assert files and files == sorted(path.relative_to(two) for path in two.rglob("*.safetensors"))
    for file in files:
        torch.testing.assert_close(load_file(two / file), load_file(one / file), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "more"), [
    (4, []), (5, []), (8, ["--encoder", "channelnet"]), (11, ["--loss", "infonce", "--gradient_accumulation_steps", "2"])])
def test_stage1(data, clip, tmp_path, stopped, step, more):
    whole = stage1(data, clip, tmp_path / "whole", *more)
    stopped(step, stage1, data, clip, tmp_path / "part", *more)
    same(whole, stage1(data, clip, tmp_path / "part", *more, "--resume"))


def test_other_pictures_under_the_same_names_are_other_targets(data, clip, tmp_path, stopped, capsys):
    copy = shutil.copytree(data, tmp_path / "data")
    stopped(4, stage1, copy, clip, tmp_path / "part", "--branches", "neural")
    for path in (copy / "images").glob("cat/*_sketch.JPEG"):
        shutil.copy(copy / "images" / "dog" / path.name.replace("cat", "dog"), path)
    with pytest.raises(SystemExit):
        stage1(copy, clip, tmp_path / "part", "--branches", "neural", "--resume")
    assert "were made with other options or data" in capsys.readouterr().err


def test_another_person_with_the_same_pictures_is_other_data(data, clip, tmp_path, stopped, capsys):
    """Their trials lie at the same positions among their own, so the training went on with the second person."""
    stopped(4, stage1, data, clip, tmp_path / "part", "--subject", "1")
    with pytest.raises(SystemExit):
        stage1(data, clip, tmp_path / "part", "--subject", "2", "--resume")
    assert "were made with other options or data" in capsys.readouterr().err


def test_pretraining(tmp_path, stopped):
    for part, trials in (("train", 40), ("val", 8)):
        samples = torch.randn(trials, 5, 64, generator=torch.Generator().manual_seed(0))
        torch.save({"samples": samples}, tmp_path / f"{part}.pt")

    def pretrain(output, *more):
        training.main(["--pretrain", "--pretrained", str(tmp_path), "--output", str(tmp_path / output), "--device", "cpu",
                       "--batch_size", "8", "--pretrain_epochs", "2", "--save_steps", "1", *more])
        return tmp_path / output

    stopped(8, pretrain, "part")  # 5 steps in an epoch
    same(pretrain("whole"), pretrain("part", "--resume"))


@pytest.mark.slow
@pytest.mark.parametrize(("step", "more"), [
    (3, ["--no_stage3"]), (4, ["--no_stage2"]), (14, []), (9, ["--no_stage2", "--group_by_length"]),
    (6, ["--no_stage2", "--gradient_accumulation_steps", "2", "--projector", "linear"])])
def test_stages_2_and_3(described, clip, encoder, llm, tmp_path, stopped, step, more):
    """Captions, prompts, LoRA's dropout and mixed labels are all drawn."""
    def run(output, *further):
        return finetune(described, clip, encoder, llm, tmp_path / output, "--captions", "all", "--lora_dropout", "0.3",
                        "--label_dropout", "0.3", "--embedding_dropout", "0.3", "--train_label", "mixed", "--batch_size",
                        "4", "--save_steps", "1", "--num_epochs_image", "2", "--saved_pretrained_model_path",
                        str(tmp_path / f"kept_{output}"), *more, *further)  # 4 steps in an epoch of stage 2, 15 of stage 3

    stopped(step, run, "part")
    same(run("whole"), run("part", "--resume"))


def test_examples_draw_by_seed_epoch_and_number(llm):
    tokenizer = AutoTokenizer.from_pretrained(llm)

    def drawn(seed, epoch, order):
        texts = [[f"Caption {n}." for n in range(5)]] * 40
        dataset = CaptionDataset(tokenizer, "chat", "Describe it:", torch.zeros(40, 4), ["cat"] * 40, texts,
                                 label_dropout=0.5, embedding_dropout=0.5, seed=seed)
        dataset.epoch = epoch
        found = {i: dataset[i] for i in order}
        return [(found[i]["before"], found[i]["after"], found[i]["soft"], found[i]["caption"]) for i in range(40)]

    first = drawn(1, 0, range(40))
    assert first == drawn(1, 0, [*reversed(range(40)), 3, 7])
    assert first not in (drawn(1, 1, range(40)), drawn(2, 0, range(40)))
    assert len({str(example) for example in first}) > 10


@pytest.mark.slow
def test_a_folder_that_was_moved(data, clip, tmp_path, stopped):
    """The best epoch so far is found in the new place."""
    more = ["--learning_rate", "0.1", "--warmup_ratio", "0.9"]  # the first epoch is the best
    whole = stage1(data, clip, tmp_path / "whole", *more)
    stopped(11, stage1, data, clip, tmp_path / "part", *more)
    scores = [entry["eval_score"] for entry in json.loads((whole / "train_log.json").read_text())["stage1"]
              if "eval_score" in entry]
    assert max(scores) == scores[0]
    (tmp_path / "part").rename(tmp_path / "moved")
    same(whole, stage1(data, clip, tmp_path / "moved", *more, "--resume"))


@pytest.mark.slow
def test_patience_goes_on_counting(data, clip, tmp_path, stopped):
    def run(output, *more):
        return stage1(data, clip, tmp_path / output, "--num_epochs", "9", "--patience", "3", "--learning_rate", "0",
                      "--best_by", "loss", *more)

    def epochs(folder):
        return sum("eval_loss" in entry for entry in json.loads((folder / "train_log.json").read_text())["stage1"])

    stopped(11, run, "part")  # in the third epoch, after one without improvement
    assert epochs(run("whole")) == epochs(run("part", "--resume")) == 4
