"""Caption CSVs and their records: what is in them, what an interruption leaves, what is refused, when nothing is said."""

import json
import shlex
import shutil

from runtime.runs import file_hash, read_json

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import evaluate
import inference
import inference_chance
from caption_rows import rows
from captioning import Captioner
from captioning.readings import readings
from captioning.requests import Request
from config import INSTRUCTIONS
from eegdata.pictures import picture_path, write_captions
from eegdata.splits import write_splits
from eegdata.trials import load_trials
from encoders import encode, load_encoder
from finetuning import COLUMNS, write
from metrics.caption_files import ABSTAINED, read_captions
from metrics.conditions import NAMES
from tiny import CLASSES, data_arguments


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


def test_resumed_in_other_batches_as_less_memory_was_free(captioner, data, tmp_path, monkeypatch, capsys):
    whole = write(captioner, data, tmp_path / "whole.csv")
    monkeypatch.setattr("captioning.captioner.batch_that_fits", lambda *given: 8)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(2, patch)
        write(captioner, data, tmp_path / "part.csv")
    monkeypatch.setattr("captioning.captioner.batch_that_fits", lambda *given: 5)
    assert write(captioner, data, tmp_path / "part.csv").equals(whole)
    said = capsys.readouterr().out
    assert "5 captions are written at a time" in said and "going on after 8 captions" in said
    assert sorted(path.name for path in tmp_path.glob("part*")) == ["part.csv", "part.csv.json"]


def test_captions_that_were_asked_for_otherwise_are_set_aside(captioner, data, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(2, patch)
        write(captioner, data, tmp_path / "part.csv", "--batch_size", "8")
    held = (tmp_path / "part.csv.partial").read_bytes()
    write(captioner, data, tmp_path / "part.csv", "--repetition_penalty", "1.5")
    assert "asked for with other options" in capsys.readouterr().out
    assert (tmp_path / "part.csv.partial.old").read_bytes() == held


def test_captions_of_other_pictures_or_other_draws_are_set_aside(captioner, data, tmp_path, monkeypatch, capsys):
    def stop(*more):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt_at(2, patch)
            write(captioner, copy, tmp_path / "part.csv", *more)

    copy = shutil.copytree(data, tmp_path / "data")
    image = ["--condition", "image", "--batch_size", "2"]
    stop(*image)
    for path in (copy / "images").glob("cat/*_sketch.JPEG"):
        shutil.copy(copy / "images" / "dog" / path.name.replace("cat", "dog"), path)
    write(captioner, copy, tmp_path / "part.csv", *image)
    assert "asked for with other options" in capsys.readouterr().out
    (tmp_path / "part.csv").unlink()
    stop("--do_sample", "--batch_size", "8")
    write(captioner, copy, tmp_path / "part.csv", "--do_sample", "--batch_size", "5")
    assert "asked for with other options" in capsys.readouterr().out


def test_captions_of_another_window_of_time_are_set_aside(captioner, data, tmp_path, monkeypatch, capsys):
    """They were gone on with, so that one file held captions of two windows."""
    content = torch.load(data / "eeg.pth", weights_only=False)
    for record in content["dataset"]:
        record["eeg"] = torch.nn.functional.pad(record["eeg"], (0, 10))
    torch.save(content, tmp_path / "longer.pth")
    window = ["--batch_size", "8", "--eeg_dataset", str(tmp_path / "longer.pth"), "-tl"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(2, patch)
        write(captioner, data, tmp_path / "part.csv", *window, "0", "-th", "64")
    write(captioner, data, tmp_path / "part.csv", *window, "10", "-th", "74")
    assert "asked for with other options" in capsys.readouterr().out


def test_resumed_sampling_draws_what_the_whole_run_would(captioner, data, tmp_path, monkeypatch):
    more = ["--do_sample", "--batch_size", "8"]
    whole = write(captioner, data, tmp_path / "whole.csv", *more)
    interrupt_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(captioner, data, tmp_path / "part.csv", *more)
    assert write(captioner, data, tmp_path / "part.csv", *more).equals(whole)


def test_a_csv_is_there_only_with_its_record(captioner, data, tmp_path, monkeypatch, capsys):
    from captioning import captions_csv

    def stops(path, content):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(captions_csv, "write_record", stops)
        write(captioner, data, tmp_path / "c.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["c.csv.partial"]
    write(captioner, data, tmp_path / "c.csv")
    assert "going on after 24 captions" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.csv", "c.csv.json"]


def test_predecessors_file_names(captioner, data, tmp_path, capsys):
    common = ["--model_path", str(captioner), *data_arguments(data), "--max_new_tokens", "2", "--device", "cpu"]
    inference.main([*common, "--dest", str(tmp_path / "a.csv"), "--prompt_type", "detailed"])
    assert (tmp_path / "a_detailed.csv").is_file()
    inference.main([*common, "--results_dir", str(tmp_path / "r"), "--prompt_type", "creative", "--batch_size", "1"])
    file, record = sorted((tmp_path / "r").iterdir())
    assert file.name.startswith("inference_results_2") and file.name.endswith("_creative.csv")
    assert record.name == f"{file.name}.json"
    told = capsys.readouterr().out.rsplit(" --dest ", 1)[1].split()[0]  # the controls add the prompt type, once
    assert told == str(file).replace("_creative.csv", ".csv")


def test_the_instruction_is_that_of_the_training(captioner, data, tmp_path, monkeypatch):
    """It was the basic one, whatever the LLM was trained to follow."""
    folder, asked = shutil.copytree(captioner, tmp_path / "captioner"), []
    content = read_json(folder / "args.json")
    content["options"]["prompt_type"] = "detailed"
    (folder / "args.json").write_text(json.dumps(content))
    monkeypatch.setattr("captioning.captioner.Captioner.generate", lambda self, embeddings, labels, with_embedding,
                        instruction, **more: asked.append(instruction) or ["A cat."] * len(labels))
    common = ["--model_path", str(folder), *data_arguments(data), "--device", "cpu", "--max_new_tokens", "2"]
    inference.main([*common, "--results_dir", str(tmp_path / "r")])
    inference.main([*common, "--trial", "3"])
    file, record = sorted((tmp_path / "r").iterdir())
    assert file.name.endswith("_detailed.csv") and set(pandas.read_csv(file)["prompt"]) == {"detailed"}
    assert INSTRUCTIONS["detailed"] in read_json(record)["rendered_prompt"]
    reader = Captioner.from_pretrained(folder, device="cpu")
    readings(reader, load_trials(data / "eeg.pth").eeg[:2], Request())
    readings(reader, load_trials(data / "eeg.pth").eeg[:2], Request(instruction="Say it:"))
    inference.main([*common, "--dest", str(tmp_path / "c.csv"), "--prompt_type", "basic"])
    assert asked == [INSTRUCTIONS["detailed"]] * 3 + ["Say it:", INSTRUCTIONS["basic"]]


def test_one_trial_and_one_file(captioner, data, tmp_path, capsys):
    from eegdata.trials import load_trials

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


@pytest.mark.parametrize("content, said", [(b"", "not readable as .npy"), (b"PK\3\4 an archive", "not readable as .npy"),
                                           (np.zeros((6, 64), complex), "complex128, expected real numbers"),
                                           (np.full((6, 64), "1.0"), "expected real numbers")])
def test_a_file_that_is_no_trial(captioner, tmp_path, capsys, content, said):
    """The first two ended in a traceback, and of complex numbers the imaginary part was dropped."""
    file = tmp_path / "one.npy"
    file.write_bytes(content) if isinstance(content, bytes) else np.save(file, content)
    with pytest.raises(SystemExit) as stop:
        inference.main(["--model_path", str(captioner), "--eeg_file", str(file), "--device", "cpu"])
    assert stop.value.code == 2 and f"--eeg_file {file}: " in (error := capsys.readouterr().err) and said in error


def test_a_file_of_another_byte_order(captioner, tmp_path, capsys):
    arguments = ["--model_path", str(captioner), "--max_new_tokens", "3", "--device", "cpu", "--eeg_file"]
    eeg = np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32)
    for name, kind in (("a", "<f4"), ("b", ">f4"), ("c", "<f8")):
        np.save(tmp_path / f"{name}.npy", eeg.astype(kind))
        inference.main([*arguments, str(tmp_path / f"{name}.npy")])
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("caption:")]
    assert len(said) == 3 and len(set(said)) == 1


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
    assert "note: the captioner was trained on 1 of the 1 pictures; scores say nothing" in capsys.readouterr().out
    write_splits(tmp_path / "val.pth", {"train": [94], "val": [0, 1, 88], "test": [92]})
    write(captioner, data, tmp_path / "val.csv", "--split", "val", "--condition", "constant", "--splits_path",
          str(tmp_path / "val.pth"))
    assert "note: the captioner was trained on 1 of the 2 pictures; scores say nothing" in capsys.readouterr().out
    write(captioner, data, tmp_path / "train.csv", "--split", "train", "--condition", "constant")
    assert json.loads((tmp_path / "train.csv.json").read_text())["trained_on"] == sorted(
        f"{name}_{i}" for name in CLASSES for i in range(5))


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
    assert f"{unsure.sum()} of 24 trials the class has a probability below" in capsys.readouterr().out
    expected = whole.copy()
    expected.loc[unsure, "Generated Caption"] = ABSTAINED
    assert some.equals(expected)
    assert json.loads((tmp_path / "some.csv.json").read_text())["abstain_below"] == threshold
    for condition in ("label", "constant", "noise", "shuffled"):  # all are silent on the same trials, or scores lie
        table = write(captioner, data, tmp_path / f"{condition}.csv", "--abstain_below", str(threshold), "--condition",
                      condition)
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


def test_a_split_by_subject_repeats_its_pictures(captioner, data, tmp_path, capsys):
    """New people see the pictures of training: what to do is said, and what such a score would mean."""
    write_splits(tmp_path / "splits.pth", {"train": [0, 4], "val": [80], "test": [1, 5, 88]})
    more = ["--splits_path", str(tmp_path / "splits.pth")]
    with pytest.raises(SystemExit) as stop:
        write(captioner, data, tmp_path / "c.csv", *more)
    assert "use the data set and the split that it was trained with" in capsys.readouterr().err  # it was not with this one
    write(captioner, data, tmp_path / "c.csv", *more, "--allow_overlap", "--condition", "constant")
    assert "was not trained with this split, so trials and people of the test part may have been" in capsys.readouterr().out
    record = read_json(tmp_path / "c.csv.json")
    assert record["same_split"] is False and record["repeated"] == 0

    captioner = shutil.copytree(captioner, tmp_path / "captioner")
    saved = read_json(captioner / "args.json") | {"splits": file_hash(tmp_path / "splits.pth")}
    (captioner / "args.json").write_text(json.dumps(saved))
    with pytest.raises(SystemExit) as stop:
        write(captioner, data, tmp_path / "d.csv", *more)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "trained on 2 of the 3 pictures" in said
    assert "the training part of the split also shows 2 of them" in said and "--unseen_pictures" in said
    assert "--allow_overlap to go on and claim new people or days, not new pictures" in said
    write(captioner, data, tmp_path / "d.csv", *more, "--allow_overlap", "--condition", "constant")
    assert "not trained with this split" not in capsys.readouterr().out
    record = read_json(tmp_path / "d.csv.json")
    assert record["trained_on"] == ["cat_0", "cat_1"] and record["repeated"] == 2 and record["selected_on"] == []
    assert record["same_split"] is True


def test_the_printed_commands_work_for_pictures_of_training(captioner, data, tmp_path, capsys):
    """--allow_overlap was left out of them, so the controls and the scores were refused; and scores lost their protocol."""
    write_splits(tmp_path / "splits.pth", {"train": [0, 4], "val": [80], "test": [1, 5, 88]})
    write(captioner, data, tmp_path / "r" / "c.csv", "--splits_path", str(tmp_path / "splits.pth"), "--allow_overlap",
          "--seed", "3")
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[:3] == ["next:", "python", "inference_chance.py"] and words[words.index("--seed") + 1] == "3"
    inference_chance.main([*words[3:], "--conditions", "label", "constant"])
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert words[:4] == ["next:", "python", "evaluate.py", f"{tmp_path}/r/*.csv"]
    files = sorted(map(str, (tmp_path / "r").glob("*.csv")))
    more = ["--n_boot", "20", "--n_perm", "20", "--metrics", "ROUGE-1", "BLEU"]
    evaluate.main([*files, "--allow_overlap", "--protocol", "thought2text", *more])
    again = shlex.split(capsys.readouterr().out.splitlines()[-1])[3:]
    assert set(more) <= set(again)
    evaluate.main(again)
    assert read_json(tmp_path / "results.json")["protocol"] == "thought2text"
    evaluate.main([*files, *words[4:], *more])


def test_what_a_kill_or_a_second_run_left_is_sorted_out(captioner, data, tmp_path, monkeypatch, capsys):
    """Whole lines count, and what is written after them can be read again."""
    whole = write(captioner, data, tmp_path / "whole.csv", "--batch_size", "4", "--do_sample")
    partial = tmp_path / "part.csv.partial"
    for count, spoilt in enumerate((lambda lines: [*lines, lines[-1][:9]], lambda lines: [*lines, lines[-1], lines[-1]],
                                    lambda lines: [*lines, "[20, 5]", "7"], lambda lines: lines)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt_at(2, patch)
            write(captioner, data, tmp_path / "part.csv", "--batch_size", "4", "--do_sample")
        said = capsys.readouterr().out
        assert (f"going on after {4 * count} captions" in said) == (count > 0)
        partial.write_text("\n".join(spoilt(partial.read_text().splitlines())))
    assert write(captioner, data, tmp_path / "part.csv", "--batch_size", "4", "--do_sample").equals(whole)
    assert "going on after 16 captions" in capsys.readouterr().out and not partial.exists()


def test_captions_of_another_condition_are_not_replaced(captioner, data, tmp_path, capsys):
    write(captioner, data, tmp_path / "c.csv", "--condition", "constant")
    before = (tmp_path / "c.csv").read_bytes()
    with pytest.raises(SystemExit) as stop:
        write(captioner, data, tmp_path / "c.csv", "--condition", "label")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "holds captions of the condition constant" in said and "another --dest" in said
    assert (tmp_path / "c.csv").read_bytes() == before
    (tmp_path / "c.csv").unlink()  # a record alone is no captions
    assert set(write(captioner, data, tmp_path / "c.csv", "--condition", "label")["condition"]) == {"label"}


@pytest.mark.parametrize(("more", "message"), [
    (["--trial", "3", "--eeg_file", "x.npy"], "--trial 3 and --eeg_file x.npy: only one trial can be captioned"),
    (["--trial", "3", "--dest", "c.csv"], "--trial 3 is captioned on the terminal and no CSV is written"),
    (["--eeg_file", "x.npy", "--dest", "c.csv"], "--eeg_file x.npy is captioned on the terminal"),
    (["--prompt", "Describe it:", "--prompt_type", "detailed"], "--prompt_type: not allowed with argument --prompt"),
    (["--trial", "0", "--condition", "shuffled"], "--condition shuffled: needs a whole split; --trial 0 takes eeg+label"),
])
def test_flags_of_one_trial(capsys, more, message):
    with pytest.raises(SystemExit) as stop:
        inference.main(["--model_path", "nowhere", *more])
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_one_trial_of_training_is_said_to_be_one(captioner, data, capsys):
    arguments = ["--model_path", str(captioner), "--max_new_tokens", "2", "--device", "cpu", "--eeg_dataset",
                 str(data / "eeg.pth"), "--trial"]
    inference.main([*arguments, "0"])
    assert "note: the captioner was trained on the picture of this trial, cat_0" in capsys.readouterr().out
    inference.main([*arguments, "24"])  # cat_6, of the test part
    assert "trained on" not in capsys.readouterr().out


def test_a_predecessors_checkpoint(clip, tmp_path, capsys):
    """In their layout, on data in theirs: it tells nothing of its training, and the record says so."""
    from test_model import predecessor_folder

    predecessor_folder(tmp_path / "published", chat=False)
    names = [f"{kind}_{i}" for kind in ("n1", "n2", "n3") for i in range(4)]
    for name in names:
        (tmp_path / "images" / name.split("_")[0]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (9 * int(name[1]), 20, 30)).save(picture_path(tmp_path / "images", name, "sketch"))
    write_captions(tmp_path / "images", {name: f"A thing of kind {name[1]}." for name in names})
    records = [{"eeg": torch.randn(128, 500), "image": i, "label": i // 4, "subject": 1} for i in range(12)]
    torch.save({"dataset": records, "labels": ["n1", "n2", "n3"], "images": names, "class_names": ["cat", "dog", "car"]},
               tmp_path / "eeg.pth")
    write_splits(tmp_path / "splits.pth", {part: [i for i in range(12) if i % 4 in kept]
                                           for part, kept in (("train", (0, 1)), ("val", (2,)), ("test", (3,)))})
    arguments = ["--model_path", str(tmp_path / "published"), "--max_new_tokens", "3", "--device", "cpu", "--clip_model",
                 str(clip), *data_arguments(tmp_path), "--dest", str(tmp_path / "c.csv")]
    inference.main(arguments)
    inference_chance.main(arguments)
    said = capsys.readouterr().out
    assert said.count("does not say which pictures it was trained on; make sure that the test pictures are not among") == 2
    table = pandas.read_csv(tmp_path / "c.csv", keep_default_na=False)
    assert list(table.columns) == COLUMNS and table["image"].tolist() == ["n1_3", "n2_3", "n3_3"]
    record = read_json(tmp_path / "c.csv.json")
    unknown = ("trained_on", "selected_on", "same_split")
    assert [record[name] for name in unknown] == [None] * 3 and record["pictures"] == 3
    trials = load_trials(tmp_path / "eeg.pth")
    logits = encode(load_encoder(str(tmp_path / "published" / "eeg_encoder")), trials.eeg[[3, 7, 11]])[1].double()
    assert table["probability"].tolist() == pytest.approx(logits.softmax(1).max(1).values.tolist(), abs=6e-5)
    assert "noise+label, noise are left out, as there are few trials" in said
    assert len(list(tmp_path.glob("c_*.csv"))) == len(NAMES) - 3


def test_a_dot_in_the_name_of_a_picture_begins_no_suffix(tmp_path):
    """A picture `my.photo` was taken for the training picture `my`, and itself not found in the training part."""
    table = rows("eeg+label").assign(image="my.photo")
    table.to_csv(tmp_path / "a.csv", index=False)
    assert read_captions(tmp_path / "a.csv").pictures == {"my.photo"}
    table.drop(columns="image").assign(**{"Ground Truth Image": "c/my.photo.JPEG"}).to_csv(tmp_path / "b.csv", index=False)
    assert read_captions(tmp_path / "b.csv").pictures == {"my.photo"}
