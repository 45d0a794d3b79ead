"""Stages 2 and 3 and inference, driven as a user does."""

import json
import time

import finetune_llm
import inference
import inference_chance
import pandas
import pytest
import torch
from tiny import CLASSES, data_arguments

import options
from conditions import matched_noise, swap
from encoders import encode, load_encoder
from generation import Captioner
from metrics.caption_files import ABSTAINED
from runs import content_key, file_hash
from splits import write_splits

COLUMNS = ["Ground Truth Image", "Expected object", "Predicted object", "Expected Caption", "Generated Caption", "trial",
           "subject", "image", "split", "condition", "prompt", "probability", "model"]


@pytest.fixture(scope="module")
def encoder(data, clip, tmp_path_factory):
    import train_eeg_classifier

    folder = tmp_path_factory.mktemp("encoder")
    train_eeg_classifier.main([*data_arguments(data), "--clip_model", str(clip), "--output", str(folder),
                               "--num_epochs", "12", "--batch_size", "16"])
    return folder


def finetune(data, clip, encoder, llm, output, *more):
    finetune_llm.main([*data_arguments(data), "--clip_model", str(clip), "--eeg_encoder_path", str(encoder),
                       "--llm_backbone_name_or_path", str(llm), "--output", str(output), "--num_epochs_image", "1",
                       "--num_epochs_eeg", "1", "--logging_steps", "1", *more])
    return output


@pytest.fixture(scope="module")
def captioner(data, clip, encoder, llm, tmp_path_factory):
    before = file_hash(encoder / "model.safetensors")
    folder = finetune(data, clip, encoder, llm, tmp_path_factory.mktemp("captioner"), "--num_epochs_image", "4",
                      "--num_epochs_eeg", "3", "--batch_size", "8")
    assert file_hash(encoder / "model.safetensors") == before == file_hash(folder / "eeg_encoder" / "model.safetensors")
    return folder


def test_training_learns_and_records_itself(captioner, data):
    log = json.loads((captioner / "train_log.json").read_text())
    for stage in ("stage2", "stage3"):
        losses = [entry["eval_loss"] for entry in log[stage] if "eval_loss" in entry]
        assert losses[-1] < losses[0]
    record = json.loads((captioner / "args.json").read_text())
    assert record["options"]["num_epochs_eeg"] == 3 and record["data"] == file_hash(data / "eeg.pth")
    pictures = json.loads((captioner / "train_images.json").read_text())
    assert len(pictures) == 15 and pictures["cat_0"] == file_hash(data / "images" / "cat" / "cat_0_sketch.JPEG")
    assert json.loads((captioner / "id2label.json").read_text()) == {str(i): n for i, n in enumerate(CLASSES)}
    assert json.loads((captioner / "config.json").read_text())["model_type"] == "eeg-encoder-decoder"


def write(captioner, data, destination, *more):
    inference.main(["--model_path", str(captioner), *data_arguments(data), "--dest", str(destination),
                    "--max_new_tokens", "12", "--device", "cpu", *more])
    return pandas.read_csv(destination, keep_default_na=False)


def test_captions_of_every_test_trial_once_in_order(captioner, data, tmp_path):
    table = write(captioner, data, tmp_path / "captions.csv")
    assert list(table.columns) == COLUMNS and len(table) == 24
    assert table["trial"].tolist() == sorted(table["trial"]) and table["split"].unique().tolist() == ["test"]
    assert table["Expected object"].tolist() == table["image"].str.split("_").str[0].tolist()
    assert table["Ground Truth Image"].tolist() == [str(data / "images" / name.split("_")[0] / f"{name}.JPEG")
                                                    for name in table["image"]]
    assert not (tmp_path / "captions.csv.partial").exists()


def test_same_twice_at_any_batch_size_and_other_when_sampled(captioner, data, tmp_path):
    first = write(captioner, data, tmp_path / "a.csv", "--batch_size", "24")
    assert first.equals(write(captioner, data, tmp_path / "b.csv", "--batch_size", "1"))
    sampled = [write(captioner, data, tmp_path / f"s{i}.csv", "--do_sample", "--seed", str(seed))
               for i, seed in enumerate((1, 1, 2))]
    assert sampled[0].equals(sampled[1]) and not sampled[0].equals(sampled[2])


def interrupt_at(call, monkeypatch):
    """Make the captioner's `call`-th batch fail as by Ctrl-C; returns the list that counts the batches."""
    from model import EEGModelForCausalLM

    real, calls = EEGModelForCausalLM.generate, []

    def stops(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(EEGModelForCausalLM, "generate", stops)
    return calls


def test_interrupted_run_goes_on(captioner, data, tmp_path, monkeypatch, capsys):
    whole = write(captioner, data, tmp_path / "whole.csv", "--batch_size", "8")
    calls = interrupt_at(3, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(captioner, data, tmp_path / "part.csv", "--batch_size", "8")
    assert not (tmp_path / "part.csv").exists()
    again = write(captioner, data, tmp_path / "part.csv", "--batch_size", "8")
    assert again.equals(whole) and len(calls) == 4
    assert "going on after 16 captions" in capsys.readouterr().out


def write_controls(captioner, data, destination, *more):
    inference_chance.main(["--model_path", str(captioner), *data_arguments(data), "--dest", str(destination),
                           "--max_new_tokens", "4", "--device", "cpu", *more])


@pytest.fixture(scope="module")
def controls(captioner, data, tmp_path_factory):
    """What inference_chance.py writes by default, beside the model's own captions: {condition: table}, and the folder."""
    folder = tmp_path_factory.mktemp("controls")
    write(captioner, data, folder / "c.csv", "--max_new_tokens", "4")
    write_controls(captioner, data, folder / "c.csv")
    tables = {c: pandas.read_csv(folder / (f"c_{c}.csv" if c != "eeg+label" else "c.csv"), keep_default_na=False, dtype=str)
              for c in options.CONDITIONS + options.BASELINES}
    return tables, folder


def test_controls_and_baselines_write_one_file_a_condition(controls):
    tables, folder = controls
    names = {"c.csv", *(f"c_{c}.csv" for c in (*options.CONDITIONS[1:], *options.BASELINES))}
    assert {p.name for p in folder.iterdir()} == names | {f"{name}.json" for name in names}
    for condition, table in tables.items():
        assert list(table.columns) == COLUMNS and len(table) == 24 and set(table["condition"]) == {condition}
        assert table["trial"].equals(tables["eeg+label"]["trial"])


def test_each_csv_has_its_record(controls, captioner, data):
    tables, folder = controls
    key = content_key(Captioner(str(captioner), "cpu").weights)
    for file in folder.glob("*.csv"):
        record = json.loads((folder / f"{file.name}.json").read_text())
        condition = file.stem.removeprefix("c").removeprefix("_") or "eeg+label"
        assert record["condition"] == condition and set(tables[condition]["model"]) == {record["model"]} == {key}
        assert record["sha256"] == file_hash(file) and record["format"] == "eeg-to-text captions 1"
        assert record["data"] == file_hash(data / "eeg.pth") and record["splits"] == file_hash(data / "splits.pth")
        assert record["options"]["max_new_tokens"] == 4 and record["versions"]["torch"] == torch.__version__
        facts = {"model_path": str(captioner), "eeg_dataset": str(data / "eeg.pth"), "image_dir": str(data / "images"),
                 "splits_path": str(data / "splits.pth"), "split": "test", "split_num": 0, "subject": 0,
                 "abstain_below": None, "trained_on": [], "machine_made": 0, "pictures": 6}
        assert {name: record[name] for name in facts} == facts


def test_probabilities_are_those_of_the_eeg_behind_the_caption(controls, captioner, data):
    from trials import load_trials

    tables, _ = controls
    own = tables["eeg+label"]
    trials = load_trials(data / "eeg.pth")
    _, logits = encode(load_encoder(str(captioner / "eeg_encoder")), trials.eeg[own["trial"].astype(int).tolist()])
    temperature = json.loads((captioner / "eeg_encoder" / "config.json").read_text())["class_temperature"]
    weights = torch.exp((logits.double() - logits.double().max(1, keepdim=True).values) / temperature)
    probability, predicted = (weights / weights.sum(1, keepdim=True)).max(1)
    assert own["probability"].tolist() == [f"{p:.4f}" for p in probability.tolist()]
    assert own["probability"].nunique() > 12 and temperature != 1
    assert own["Predicted object"].tolist() == [CLASSES[i] for i in predicted.tolist()]
    both = ["Predicted object", "probability"]
    for condition, table in tables.items():
        if not condition.startswith("shuffled"):
            assert table[both].equals(own[both])
        else:
            assert sorted(table[both].values.tolist()) == sorted(own[both].values.tolist()) and not table[both].equals(
                own[both])
    assert tables["shuffled_within_class"]["Predicted object"].equals(own["Predicted object"])


def test_nothing_is_the_llm_alone(controls, captioner):
    tables, _ = controls
    alone = Captioner(str(captioner), "cpu").generate(torch.zeros(1, 16), [None], False,
                                                      "Describe this image in one sentence:", batch_size=1,
                                                      max_new_tokens=4, do_sample=False, repetition_penalty=1.1)
    assert set(tables["nothing"]["Generated Caption"]) == set(alone)


def test_equal_prompts_are_written_once_and_as_if_each_were(controls, captioner):
    tables, _ = controls
    label = tables["label"]
    names = label["Predicted object"].tolist()
    each = Captioner(str(captioner), "cpu").generate(torch.zeros(24, 16), names, False,
                                                     "Describe this image in one sentence:", batch_size=24,
                                                     max_new_tokens=4, do_sample=False, repetition_penalty=1.1)
    assert label["Generated Caption"].tolist() == each and len(set(names)) == 3


def test_baselines_see_training_captions_only(controls, captioner, data, tmp_path):
    import shutil

    from pictures import read_caption

    tables, _ = controls
    training = {f"{name}_{i}": read_caption(data / "images", f"{name}_{i}") for name in CLASSES for i in range(5)}
    assert set(tables["constant"]["Generated Caption"]) <= set(training.values())
    assert tables["constant"]["Generated Caption"].nunique() == 1
    assert set(tables["nearest_picture"]["Generated Caption"]) <= set(training.values())
    for kind in ("template", "class_medoid"):
        of_class = tables[kind].groupby("Predicted object")["Generated Caption"]
        assert (of_class.nunique() == 1).all() and all(name in texts.iloc[0] for name, texts in of_class)
    shutil.copytree(data, tmp_path / "data")
    for name in CLASSES:
        for i in (5, 6, 7):  # validation and test
            (tmp_path / "data" / "images" / name / f"{name}_{i}_caption.txt").write_text("Something else entirely.")
    write_controls(captioner, tmp_path / "data", tmp_path / "c.csv", "--conditions", *options.BASELINES)
    for kind in options.BASELINES:
        again = pandas.read_csv(tmp_path / f"c_{kind}.csv", dtype=str)
        assert again["Generated Caption"].equals(tables[kind]["Generated Caption"])
        assert set(again["Expected Caption"]) == {"Something else entirely."}


def test_nearest_picture_is_found_by_the_embeddings(controls, captioner, data, clip):
    """By scipy's cosine distance, from the pictures' and the EEG's embeddings."""
    from scipy.spatial.distance import cdist

    from datautils import image_embeddings
    from pictures import read_caption
    from trials import load_trials

    table = controls[0]["nearest_picture"]
    names = sorted(f"{name}_{i}" for name in CLASSES for i in range(5))
    pictures = image_embeddings(names, data / "images", str(clip)).double().numpy()
    eeg = load_trials(data / "eeg.pth").eeg[table["trial"].astype(int).tolist()]
    embeddings = encode(load_encoder(str(captioner / "eeg_encoder")), eeg)[0].double().numpy()
    distance = cdist(embeddings - pictures.mean(0), pictures - pictures.mean(0), "cosine")
    expected = [read_caption(data / "images", names[i]) for i in distance.argmin(1)]
    assert table["Generated Caption"].tolist() == expected and len(set(expected)) > 1


def test_baselines_need_a_training_part(captioner, data, tmp_path, capsys):
    write_splits(tmp_path / "splits.pth", {"train": [], "val": [], "test": [24, 25]})
    more = ["--splits_path", str(tmp_path / "splits.pth"), "--conditions"]
    with pytest.raises(SystemExit) as stop:
        write_controls(captioner, data, tmp_path / "c.csv", *more, "label", "template")
    message = capsys.readouterr().err
    assert stop.value.code == 2 and "part 'train' is empty" in message and "baselines template" in message
    write_controls(captioner, data, tmp_path / "c.csv", *more, "label")
    assert (tmp_path / "c.csv").is_file()


def test_predecessors_file_names(captioner, data, tmp_path):
    common = ["--model_path", str(captioner), *data_arguments(data), "--max_new_tokens", "2", "--device", "cpu"]
    inference.main([*common, "--dest", str(tmp_path / "a.csv"), "--prompt_type", "detailed"])
    assert (tmp_path / "a_detailed.csv").is_file()
    inference.main([*common, "--results_dir", str(tmp_path / "r"), "--prompt_type", "creative", "--batch_size", "1"])
    file, record = sorted((tmp_path / "r").iterdir())
    assert file.name.startswith("inference_results_2") and file.name.endswith("_creative.csv")
    assert record.name == f"{file.name}.json"


def test_one_trial_and_one_file(captioner, data, tmp_path, capsys):
    import numpy as np

    from trials import load_trials

    table = write(captioner, data, tmp_path / "captions.csv")
    number = int(table["trial"][3])
    arguments = ["--model_path", str(captioner), "--max_new_tokens", "12", "--device", "cpu"]
    inference.main([*arguments, "--eeg_dataset", str(data / "eeg.pth"), "--trial", str(number)])
    np.save(tmp_path / "one.npy", load_trials(data / "eeg.pth").eeg[number].numpy())
    inference.main([*arguments, "--eeg_file", str(tmp_path / "one.npy")])
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("caption:")]
    assert said == [f"caption: {table['Generated Caption'][3]}".rstrip()] * 2 or said[0].strip() == said[1].strip()
    np.save(tmp_path / "bad.npy", np.zeros((5, 64)))
    with pytest.raises(SystemExit) as stop:
        inference.main([*arguments, "--eeg_file", str(tmp_path / "bad.npy")])
    assert stop.value.code == 2 and "expected [6 channels" in capsys.readouterr().err


def test_stage2_is_reused_only_when_everything_matches(data, clip, encoder, llm, tmp_path, capsys):
    kept = ["--saved_pretrained_model_path", str(tmp_path / "kept"), "--batch_size", "8"]
    first = finetune(data, clip, encoder, llm, tmp_path / "a", *kept)
    capsys.readouterr()
    second = finetune(data, clip, encoder, llm, tmp_path / "b", *kept)
    assert "made before with the same options" in capsys.readouterr().out
    assert file_hash(first / "projector.safetensors") == file_hash(second / "projector.safetensors")
    assert file_hash(first / "adapter") == file_hash(second / "adapter")
    finetune(data, clip, encoder, llm, tmp_path / "c", *kept, "--learning_rate", "1e-4")
    assert "made before" not in capsys.readouterr().out
    assert len(list((tmp_path / "kept").iterdir())) == 2


@pytest.mark.parametrize("more", [["--load_in_8bit", "--bf16", "--max_steps", "2"], ["--load_in_4bit", "--max_steps", "2"],
                                  ["--no_stage2", "--no-use_lora", "--projector", "linear", "--soft_tokens", "1"],
                                  ["--no_stage3", "--train_label", "mixed"]])
def test_variants_train_reload_and_write(data, clip, encoder, llm, tmp_path, more):
    folder = finetune(data, clip, encoder, llm, tmp_path / "captioner", *more)
    assert len(write(folder, data, tmp_path / "c.csv", "--max_new_tokens", "3")) == 24


@pytest.mark.parametrize("tracker", ["wandb", "tensorboard"])
def test_training_curves_are_reported(data, clip, encoder, llm, tmp_path, monkeypatch, tracker):
    pytest.importorskip(tracker)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    finetune(data, clip, encoder, llm, tmp_path / "out", "--no_stage2", "--max_steps", "2", "--report_to", tracker)
    if tracker == "wandb":
        import wandb

        wandb.finish()
    pattern = {"wandb": "wandb/offline-run-*/*.wandb", "tensorboard": "out/tensorboard/stage3/events.*"}[tracker]
    for _ in range(60):  # W&B writes in a process of its own, which a busy machine delays
        written = [p for p in tmp_path.glob(pattern) if p.stat().st_size > 100]
        if written:
            break
        time.sleep(.5)
    assert written


def test_stopped_training_resumes_to_the_same_weights(data, clip, encoder, llm, tmp_path, monkeypatch):
    common = ["--no_stage2", "--num_epochs_eeg", "3", "--batch_size", "16"]
    whole = finetune(data, clip, encoder, llm, tmp_path / "whole", *common)
    from captioner_training import CaptionTrainer

    real = CaptionTrainer.training_step
    steps = []

    def stops(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(CaptionTrainer, "training_step", stops)
    with pytest.raises(KeyboardInterrupt):
        finetune(data, clip, encoder, llm, tmp_path / "part", *common)
    monkeypatch.setattr(CaptionTrainer, "training_step", real)
    part = finetune(data, clip, encoder, llm, tmp_path / "part", *common, "--resume")
    assert file_hash(part / "adapter" / "adapter_model.safetensors") == file_hash(
        whole / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize(("more", "message"), [
    (["--fp16"], "--fp16 needs a CUDA device"),
    (["--bf16", "--fp16"], "exclude each other"),
    (["--device", "cuda:0"], "offers 0 CUDA devices"),
    (["--load_in_8bit", "--load_in_4bit"], "exclude each other"),
    (["--no_stage2", "--no_stage3"], "nothing to train"),
    (["--optim", "nonsense"], "nonsense"),
    (["--llm_backbone_name_or_path", "no/such-llm"], "no/such-llm"),
    (["--eeg_encoder_path", "nowhere"], "nowhere"),
    (["--subject", "9"], "holds subjects [1, 2]"),
])
def test_bad_flags(data, clip, encoder, llm, tmp_path, capsys, more, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SystemExit) as stop:
        finetune(data, clip, encoder, llm, tmp_path / "out", *more)
    assert stop.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out" / "config.json").exists()


def test_missing_caption_and_empty_test_part(data, clip, encoder, llm, captioner, tmp_path, capsys):
    import shutil

    broken = tmp_path / "data"
    shutil.copytree(data, broken)
    (broken / "images" / "cat" / "cat_0_caption.txt").unlink()
    with pytest.raises(SystemExit) as stop:
        finetune(broken, clip, encoder, llm, tmp_path / "out")
    assert stop.value.code == 2 and "cat_0_caption.txt" in capsys.readouterr().err
    write_splits(broken / "splits.pth", {"train": [0], "val": [20], "test": []})
    with pytest.raises(SystemExit) as stop:
        write(captioner, broken, tmp_path / "c.csv")
    assert stop.value.code == 2 and "part 'test' is empty" in capsys.readouterr().err


def test_known_pictures_are_refused(captioner, data, tmp_path, capsys):
    splits = {"train": [90], "val": [80], "test": [0, 1, 2]}
    write_splits(tmp_path / "splits.pth", splits)
    with pytest.raises(SystemExit) as stop:
        write(captioner, data, tmp_path / "c.csv", "--splits_path", str(tmp_path / "splits.pth"))
    assert stop.value.code == 2 and "trained on 1 of the 1 pictures, cat_0" in capsys.readouterr().err
    assert not list(tmp_path.glob("c.csv*"))
    assert len(write(captioner, data, tmp_path / "c.csv", "--splits_path", str(tmp_path / "splits.pth"),
                     "--allow_overlap")) == 3
    assert json.loads((tmp_path / "c.csv.json").read_text())["trained_on"] == ["cat_0"]
    assert "trained on 1 of the 1 pictures (--allow_overlap)" in capsys.readouterr().out
    write(captioner, data, tmp_path / "train.csv", "--split", "train", "--condition", "constant")
    assert json.loads((tmp_path / "train.csv.json").read_text())["trained_on"] == sorted(
        f"{name}_{i}" for name in CLASSES for i in range(5))


def test_resumed_sampling_draws_what_the_whole_run_would(captioner, data, tmp_path, monkeypatch):
    more = ["--do_sample", "--batch_size", "8"]
    whole = write(captioner, data, tmp_path / "whole.csv", *more)
    interrupt_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(captioner, data, tmp_path / "part.csv", *more)
    assert write(captioner, data, tmp_path / "part.csv", *more).equals(whole)


def test_a_csv_is_there_only_with_its_record(captioner, data, tmp_path, monkeypatch, capsys):
    import split_captions

    def stops(path, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(split_captions, "write_json", stops)
        write(captioner, data, tmp_path / "c.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["c.csv.partial"]
    write(captioner, data, tmp_path / "c.csv")
    assert "going on after 24 captions" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "c.csv.json"]


def test_abstention(captioner, data, tmp_path, monkeypatch, capsys):
    from model import EEGModelForCausalLM

    whole = write(captioner, data, tmp_path / "whole.csv")
    threshold = sorted(whole["probability"])[10]
    unsure = whole["probability"] < threshold
    assert 0 < unsure.sum() <= 10
    real, rows = EEGModelForCausalLM.generate, []
    monkeypatch.setattr(EEGModelForCausalLM, "generate",
                        lambda self, **batch: rows.append(len(batch["input_ids"])) or real(self, **batch))
    capsys.readouterr()
    some = write(captioner, data, tmp_path / "some.csv", "--abstain_below", str(threshold))
    assert sum(rows) == 24 - unsure.sum()  # the others are not sent to the LLM
    assert f"{unsure.sum()} of 24 trials have a class of probability below" in capsys.readouterr().out
    expected = whole.copy()
    expected.loc[unsure, "Generated Caption"] = ABSTAINED
    assert some.equals(expected)
    assert json.loads((tmp_path / "some.csv.json").read_text())["abstain_below"] == threshold
    for condition in ("label", "constant", "noise"):
        table = write(captioner, data, tmp_path / "c.csv", "--abstain_below", str(threshold), "--condition", condition)
        assert (table["Generated Caption"] == ABSTAINED).equals(unsure)
    rows.clear()
    none = write(captioner, data, tmp_path / "none.csv", "--abstain_below", "1")
    assert (none["Generated Caption"][none["probability"] < 1] == ABSTAINED).all()
    assert sum(rows) == (none["probability"] == 1).sum()


def test_abstention_for_one_trial_and_in_the_resume_key(captioner, data, tmp_path, monkeypatch, capsys):
    whole = write(captioner, data, tmp_path / "whole.csv")
    row = whole["probability"].idxmin()
    one = ["--model_path", str(captioner), "--eeg_dataset", str(data / "eeg.pth"), "--max_new_tokens", "12", "--device",
           "cpu", "--trial", str(whole["trial"][row]), "--abstain_below"]
    inference.main([*one, str(whole["probability"][row] + .0001)])
    assert f"caption: {ABSTAINED}" in capsys.readouterr().out
    inference.main([*one, str(whole["probability"][row])])
    assert ABSTAINED not in capsys.readouterr().out
    interrupt_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(captioner, data, tmp_path / "c.csv", "--batch_size", "4", "--abstain_below", ".01")
    write(captioner, data, tmp_path / "c.csv", "--batch_size", "4")
    assert "going on" not in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        inference.main([*one, "1.5"])
    assert stop.value.code == 2 and "--abstain_below: 1.5 is out of range" in capsys.readouterr().err


def test_shuffles_never_give_the_same_picture():
    groups = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2])
    images = torch.tensor([0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 7])
    seen = set()
    for seed in range(40):
        partner, alone = swap(groups, images, torch.Generator().manual_seed(seed))
        assert alone == 1 and partner[10] == 10 and sorted(partner.tolist()) == list(range(11))
        assert (groups[partner] == groups).all() and (images[partner] != images)[:10].all()
        seen.add(tuple(partner.tolist()))
    assert len(seen) > 20
    partner, alone = swap(torch.zeros(4).long(), torch.tensor([5, 5, 5, 6]), torch.Generator().manual_seed(0))
    assert alone == 2 and (partner != torch.arange(4)).sum() == 2  # three of one picture: only one of them finds another


def test_noise_has_the_embeddings_mean_and_covariance():
    torch.manual_seed(0)
    embeddings = torch.randn(40, 4) @ torch.randn(4, 4) + 3
    noise = torch.cat([matched_noise(embeddings, torch.Generator().manual_seed(s)) for s in range(500)])
    assert torch.allclose(noise.mean(0), embeddings.mean(0), atol=0.05)
    assert torch.allclose(noise.T.cov(), embeddings.T.cov(), rtol=0.05, atol=0.1)


def test_encoder_in_the_captioner_is_the_one_of_stage_1(captioner, encoder):
    a, b = load_encoder(str(encoder)), load_encoder(str(captioner / "eeg_encoder"))
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
