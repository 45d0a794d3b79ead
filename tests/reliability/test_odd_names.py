"""Paths that are not UTF-8, names of 300 characters and half surrogate pairs, in every script: one message, or used."""

import csv
import os
import shutil

import pytest

import evaluate
import finetune_llm
import inference
import inference_chance
import prepare_data
import pretrain_data_processor
import test_eeg_classifier as scoring
import train_eeg_classifier
from metrics.caption_files import COLUMNS
from raw_material import make_raw, save
from report_material import make_run, write

BYTES = os.fsdecode(b"n\xff\xe9me")  # no UTF-8
LONG = "x" * 300
HALF = "a\ud800b"
QUICK = ["--metrics", "ROUGE-1", "--n_boot", "10", "--n_perm", "10", "--device", "cpu"]
SIMULATED = ["--n_subjects", "1", "--n_pictures", "9", "--classes", "ball", "cup", "car", "--image_size", "32"]
COMMANDS = {  # each flag that takes a path, with its script
    "train": (train_eeg_classifier.main, "--eeg_dataset DATA --splits_path SPLITS --image_dir IMAGES --clip_model CLIP "
              "--output OUT --cache_dir CACHE --pretrained ENCODER"),
    "test": (scoring.main, "--eeg_dataset DATA --splits_path SPLITS --image_dir IMAGES --clip_model CLIP --output ENCODER"),
    "finetune": (finetune_llm.main, "--eeg_dataset DATA --splits_path SPLITS --image_dir IMAGES --clip_model CLIP --output "
                 "OUT --eeg_encoder_path ENCODER --llm_backbone_name_or_path LLM --saved_pretrained_model_path CACHE"),
    "inference": (inference.main, "--model_path CAPTIONER --eeg_dataset DATA --splits_path SPLITS --image_dir IMAGES "
                  "--dest OUT --llm_backbone_name_or_path LLM"),
    "chance": (inference_chance.main, "--model_path CAPTIONER --eeg_dataset DATA --splits_path SPLITS --image_dir IMAGES "
               "--dest OUT"),
    "audit": (prepare_data.main, "audit --splits_path SPLITS --image_dir IMAGES --output OUT DATA"),
    "split": (prepare_data.main, "split --splits_path SPLITS DATA"),
    "caption": (prepare_data.main, "caption --model none DATA"),
    "raw": (prepare_data.main, "raw --recordings DATA --events SPLITS --pictures IMAGES --picture_map SPLITS --output OUT"),
    "pretraining data": (pretrain_data_processor.main, "--dir DATA --output OUT"),
}
CASES = [(name, place, word) for name, (_, flags) in COMMANDS.items()
         for place in dict.fromkeys(each for each in flags.split() if each.isupper()) for word in (BYTES, LONG)
         if not (word == BYTES and place == "OUT" and "--dest" in flags)]  # a CSV may have any name


@pytest.fixture(scope="module")
def right(data, clip, encoder, llm, captioner, tmp_path_factory):
    """A path for each word of COMMANDS that is as it should be."""
    folder = tmp_path_factory.mktemp("right")
    run = make_run(folder / "run", pictures=4, subjects=2)
    return {"DATA": run / "data", "SPLITS": data / "splits.pth", "IMAGES": data / "images", "CLIP": clip, "LLM": llm,
            "ENCODER": encoder, "CAPTIONER": captioner, "OUT": folder / "out", "CACHE": folder / "cache"}


def refusal(capsys, main, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and said.startswith("error: "), said
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place", "word"), CASES, ids=[f"{one[0]}-{one[1]}-{len(one[2])}" for one in CASES])
def test_every_path_of_every_script(right, tmp_path, capsys, name, place, word):
    main, flags = COMMANDS[name]
    given = {**right, place: tmp_path / word}
    said = refusal(capsys, main, *[given.get(each, each) for each in flags.split()])
    if word == BYTES:
        assert "is not UTF-8 text; rename the file or folder" in said
    assert not right["OUT"].exists() and not list(tmp_path.iterdir())


def test_the_current_folder(right, tmp_path, capsys, monkeypatch):
    (tmp_path / BYTES).mkdir()
    monkeypatch.chdir(tmp_path / BYTES)
    assert "the current folder" in refusal(capsys, prepare_data.main, "simulated", "--output", "out", *SIMULATED)


def test_files_that_python_alone_opens(tmp_path, capsys):
    folder = tmp_path / BYTES
    files = sorted((make_run(tmp_path / "run", pictures=4, subjects=2) / "results").glob("*"))
    folder.mkdir()
    given = [copy for copy in (shutil.copy(file, folder) for file in map(str, files)) if copy.endswith(".csv")]
    evaluate.main([*given, *QUICK, "--report", str(folder / "report"), "--json", str(folder / "scores.json"), "--csv",
                   str(folder / "scores.csv"), "--chart", str(folder / "chart.png")])
    assert (folder / "report" / "report.html").is_file() and (folder / "chart.png").stat().st_size
    evaluate.main([*given, *QUICK, "--report", str(folder / "report"), "--beside", str(folder / "report" / "results.json")])
    for flag in ("--report", "--json", "--csv", "--chart"):
        refusal(capsys, evaluate.main, *given, *QUICK, flag, tmp_path / f"{LONG}.png")


def test_half_a_surrogate_pair_in_any_column(tmp_path, capsys):
    run = make_run(tmp_path / "run", pictures=4, subjects=2)
    files = sorted((run / "results").glob("*.csv"))
    with open(files[0], newline="", encoding="utf-8") as text:
        header, *rows = csv.reader(text)
    for column in (*COLUMNS, "subject", "image", "model"):
        place = header.index(column)
        changed = [header, *([*row[:place], HALF, *row[place + 1:]] for row in rows)]
        with open(files[0], "w", newline="", encoding="utf-8", errors="surrogatepass") as text:
            csv.writer(text).writerows(changed)
        evaluate.main([*map(str, files), *QUICK])
        assert f"{len(rows)} cells hold what is not UTF-8 text" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["class_names", "class_ids", "ch_names", "pictures"])
def test_half_a_surrogate_pair_in_dataset_json(tmp_path, capsys, key):
    from eegdata.dataset_folder import read_record

    folder = make_run(tmp_path / "run", pictures=4, subjects=2) / "data"
    record = read_record(folder)
    write(folder / "dataset.json", record | {key: [HALF, *record[key][1:]]})
    assert f"{key}.0 is 'a\\ud800b', which is not UTF-8 text" in refusal(capsys, prepare_data.main, "audit", folder)


def test_a_recording_whose_name_is_not_utf8(tmp_path, capsys):
    folder = tmp_path / "recordings"
    save(make_raw(), folder / "one_raw.fif").rename(folder / f"{BYTES}_raw.fif")
    said = refusal(capsys, prepare_data.main, "raw", "--recordings", folder, "--event_names", "cat|dog", "--output",
                   tmp_path / "out", "--no_audit")
    assert "recording 'n\\udcff\\udce9me_raw.fif': expected a name of 1 to 1000 letters in UTF-8" in said
    assert not (tmp_path / "out").exists()
