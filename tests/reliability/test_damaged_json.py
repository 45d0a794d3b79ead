"""Any value in any place of our JSON files: each file is used, or refused with one message."""

import contextlib
import json
import random
import shutil

from runtime.checkpoint_files import check_whole
from runtime.errors import InputError
from runtime.runs import LEDGER, read_json, training_warnings

import pytest
import torch

import evaluate
from audit.page import finding_texts, read_audit
from bench.mutations import mutated
from captioning.captioner import Captioner
from captioning.captions_csv import _resume_partial
from captioning.model_card import card
from config import ChannelNetConfig, NICEConfig
from eegdata.pictures import machine_made
from encoders import build_encoder, encode, load_encoder, save_encoder
from encoders.clip import check_clip
from encoders.picture_models import load_picture_model
from evaluation.ledger import count_scorings
from evaluation.provenance import same_split, trained_on
from language_model.prompt_date import kept_date
from language_model.tokenizer import load_tokenizer
from report import read_beside, sections, tables
from report.run import Run, read_captioner, read_encoder
from report_material import make_results, make_run, write
from tiny import forget_hashes

CHECKPOINT_FILES = ("args.json", "train_images.json", "id2label.json", "prompt_date.json", "config.json")


def refusals(file, use, count=60):
    """How many of `count` damaged versions of a JSON file `use` refuses; the file is then as it was."""
    text, whole, draw, found = file.read_text(), read_json(file), random.Random(0), 0  # whole: without its checksum
    for number in range(count):
        file.write_text(json.dumps(mutated(whole, draw)))
        try:
            use()
        except InputError as error:
            said = str(error)
            assert said.strip() and "\n" not in said, (number, said[:3000])
            assert file.parent.name in said or "name is too long" in said, (number, said[:3000])  # which it names
            found += 1
        except Exception as error:
            raise AssertionError(f"{number}: {file.read_text()[:3000]}") from error
    file.write_text(text)
    use()
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "demo", pictures=4, subjects=2)


@pytest.mark.parametrize("kind", ["transformer", "channelnet", "nice"])
def test_configs_of_encoders(encoder, tmp_path, kind):
    folder = tmp_path / "encoder"
    if kind == "transformer":
        shutil.copytree(encoder, folder)
        forget_hashes(folder)
    else:
        config = (NICEConfig(n_times=100, filters=4, num_classes=3, embedding_size=16, sfreq=250) if kind == "nice" else
                  ChannelNetConfig(temp_channels=2, out_channels=3, num_classes=3, embedding_size=16))
        save_encoder(build_encoder(config), folder)
    shape = (1, load_encoder(folder).config.n_chans, load_encoder(folder).config.n_times)

    def use():
        model = load_encoder(folder)
        if (model.config.n_chans, model.config.n_times) == shape[1:]:
            assert all(torch.isfinite(part).all() for part in encode(model, torch.ones(shape)))

    assert refusals(folder / "config.json", use, 100) > 20


def test_records_of_checkpoints(captioner, data, clip, tmp_path):
    folder = shutil.copytree(captioner, tmp_path / "captioner")
    (folder / "prompt_date.json").write_text('{"date": "2026-01-31"}')
    forget_hashes(folder)

    def use():
        check_whole(folder, "--model_path")
        training_warnings(folder)
        same_split(folder, "data", data / "splits.pth", 0)
        check_clip(folder, str(clip), "sketch")
        trained_on(folder, data / "images", ["cat_1"])
        kept_date(folder)

    for name in ("args.json", "train_images.json", "prompt_date.json"):
        assert refusals(folder / name, use) > 5, name


@pytest.mark.parametrize("name", ["config.json", "id2label.json"])
def test_files_that_a_captioner_is_loaded_from(captioner, tmp_path, name):
    folder = shutil.copytree(captioner, tmp_path / "captioner")
    forget_hashes(folder)

    def use():
        captioner = Captioner(folder, "cpu")
        captioner.generate(torch.ones(1, 16), [captioner.class_names[0]], True, "Describe it:", batch_size=1,
                           max_new_tokens=1, do_sample=False)

    assert refusals(folder / name, use, 40) > 5


def test_records_of_a_run(run):
    def use():
        found = Run(captioner=run / "captioner", encoder=run / "eeg_encoder")
        read_captioner(found)
        read_encoder(found, {})
        sections.encoder_lines(found.scores)
        sections.encoder_sentence(found.scores)

    for name in ("captioner/args.json", "captioner/train_log.json", "eeg_encoder/test/scores.json",
                 "eeg_encoder/test/when_where.json"):
        assert refusals(run / name, use) > 5, name


def test_audits(run):
    file = run / "data" / "audit.json"
    made_from = json.loads(file.read_text())["made_from"]
    assert refusals(file, lambda: finding_texts(read_audit(file, made_from) or [])) > 5


@pytest.mark.slow
def test_results_beside(run, tmp_path):
    write(tmp_path / "results.json", make_results(run))

    def use():
        for study in read_beside(tmp_path / "results.json")[1]["studies"]:
            tables.beside_table(study, study, tables.metrics_of(study))
            tables.score_charts(study, study, "METEOR")

    assert refusals(tmp_path / "results.json", use, 15) > 1


@pytest.mark.parametrize("place, value", [("doubts", [{}]), ("eeg", 5), ("n", "many"), ("retrieval", "x"),
                                          ("top1_95", [1.0]), ("n", [3])])
def test_scores_that_a_card_shows(run, encoder, captioner, tmp_path, place, value):
    file = tmp_path / "scores.json"
    if place in ("doubts", "eeg"):
        results = read_json(write_results(run, file))
        results["studies"][0][place] = value
    else:
        results = {"n": 3, "split": "test"} | {place: value}
    file.write_text(json.dumps(results))
    with pytest.raises(InputError, match=place):
        card(captioner if place in ("doubts", "eeg") else encoder, file)


def write_results(run, file):
    write(file, make_results(run))
    return file


def test_marks_of_machine_captions(run):
    file = run / "data" / "images" / "machine_captions.json"
    file.write_text(json.dumps({"ball_0": {"model": "blip", "sha256": "0" * 64}, "ball_1": {"model": "x", "sha256": ""}}))
    assert refusals(file, lambda: machine_made(run / "data" / "images")) > 5
    file.unlink()


def test_records_of_captions(run, capsys):
    file = run / "results" / "captions.csv.json"

    def use():
        try:
            evaluate.main([*map(str, sorted(file.parent.glob("*.csv"))), "--metrics", "ROUGE-1", "--n_boot", "10",
                           "--n_perm", "10", "--device", "cpu"])
        except SystemExit as stop:
            assert stop.code == 2
            raise InputError(capsys.readouterr().err.strip().removeprefix("error: ")) from None

    assert refusals(file, use, 40) > 5


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 5000 + "1" + "}" * 5000, f'{{"a": {"[" * 400}{"]" * 400}}}',
                                  f'{{"a": {"9" * 5000}}}'])
def test_json_that_is_too_deep_or_has_too_long_numbers(captioner, llm, clip, tmp_path, text):
    for name in ("args.json", "config.json", "id2label.json", "adapter/adapter_config.json", "eeg_encoder/config.json"):
        folder = shutil.copytree(captioner, tmp_path / name.replace("/", "_"))
        (folder / name).write_text(text)
        with pytest.raises(InputError, match=name):
            Captioner(folder, "cpu")
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        folder = shutil.copytree(llm, tmp_path / f"llm_{name}")
        (folder / name).write_text(text)
        with refused_or_used(folder.name):
            Captioner(captioner, "cpu", llm=str(folder))
            load_tokenizer(folder)
    folder = shutil.copytree(clip, tmp_path / "clip")
    (folder / "config.json").write_text(text)
    with refused_or_used("--clip_model"):
        load_picture_model(str(folder), "cpu")


@contextlib.contextmanager
def refused_or_used(name):
    """Others' libraries read these files; where they take what is in them, it is right."""
    try:
        yield
    except InputError as error:
        assert name in str(error)


def test_lines_of_json_that_is_too_deep_count_as_damaged(tmp_path):
    (tmp_path / LEDGER).write_text("[" * 100_000 + "\n")
    assert "of the ledgers cannot be read" in count_scorings([tmp_path], "x")["text"]
    (tmp_path / "captions.csv.partial").write_text('"key"\n' + "[" * 100_000 + "\n")
    assert _resume_partial(tmp_path / "captions.csv.partial", "key") == {}
