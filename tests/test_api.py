"""captioning.Captioner: trials as a notebook has them, and models on the Hub, for which a local folder stands."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import read_json

import mne
import numpy as np
import pytest
import yaml

import evaluate
import inference
import inference_chance
import prepare_data
from captioning import Captioner, push
from captioning.given_trials import fitted, of_array, of_epochs
from captioning.model_card import card, save_model
from captioning.requests import check_values
from eegdata.trials import load_trials
from encoders import load_encoder
from metrics.caption_files import ABSTAINED
from new_recordings import SHORT, older
from raw_material import CHANNELS, ONSETS, make_raw
from tiny import data_arguments

EEG = np.random.default_rng(0).normal(0, 10, (3, 8, 100))


@pytest.fixture(scope="module")
def reader(study):
    return Captioner.from_pretrained(study[2], device="cpu")


def by_hand(raw, tmin=-.2, baseline=(-.2, 0), **more):
    """The study's preprocessing as a user of MNE does it: no average reference (8 channels), 0.5 to 40 Hz, 100 Hz."""
    raw = raw.load_data(verbose="error").filter(.5, 40, verbose="error").resample(100, verbose="error")
    events = np.stack([np.round(ONSETS * 100), np.zeros(len(ONSETS)), np.ones(len(ONSETS))], 1).astype(int)
    return mne.Epochs(raw, events, {"picture": 1}, tmin, .79, baseline=baseline, preload=True, verbose="error", **more)


@pytest.fixture
def epochs(study):
    return by_hand(mne.io.read_raw_fif(study[0], verbose="error"))


def caption(reader, *given, **options):
    return reader.caption(*given, max_new_tokens=12, abstain_below=0, **options)


def assert_equal(table, expected):
    assert table["caption"].tolist() == expected["Generated Caption"].tolist()
    assert np.allclose(table["probability"], expected["probability"].astype(float), atol=1e-4)


def test_epochs_an_array_and_a_folder_give_the_pipelines_captions(reader, study, expected, epochs):
    assert_equal(caption(reader, epochs), expected)
    microvolts = epochs.get_data() * 1e6
    assert_equal(caption(reader, microvolts, sfreq=100, ch_names=CHANNELS), expected)
    assert_equal(caption(reader, microvolts / 1e6, sfreq=100, ch_names=CHANNELS, tmin=-.2, units="V"), expected)
    order = [3, 1, 0, 2, 7, 6, 5, 4]
    assert_equal(caption(reader, microvolts[:, order], sfreq=100, ch_names=[CHANNELS[i] for i in order]), expected)
    table = caption(reader, study[1])
    assert_equal(table, expected)
    assert list(table.columns) == ["trial", "subject", "time", "caption", "class", "probability", "words"]


def test_the_table(reader, epochs):
    table = reader.caption(epochs, controls=["noise", "nothing"], words=1, abstain_below=1, max_new_tokens=4)
    assert list(table.columns) == ["trial", "time", "event", "caption", "class", "probability", "words", "caption_noise",
                                   "caption_nothing"]
    assert np.allclose(table["time"], ONSETS, atol=.006) and set(table["event"]) == {"picture"}
    unsure = table["probability"] < 1
    assert unsure.any() and ((table["caption"] == ABSTAINED) == unsure).all() and table["caption_nothing"].nunique() == 1
    assert [words[0][0] for words in table["words"]] == table["class"].tolist() and {len(w) for w in table["words"]} == {1}


def test_baseline_subtracted_before_and_longer_trials(reader, expected, study):
    raw = mne.io.read_raw_fif(study[0], verbose="error")
    longer = by_hand(raw.copy(), tmin=-.5, baseline=None)
    assert_equal(caption(reader, longer), expected)
    cropped = by_hand(raw.copy()).crop(0, None, verbose="error")
    table = caption(reader, cropped)
    assert len(table) == len(expected)  # their scale is of shorter trials, so captions may differ
    config, kept = reader.model.encoder.config, reader.preprocessing
    for start, noted in ((-.2, []), (-.1, ["mean from -0.1 to 0 s subtracted, the model's data that from -0.2 to 0 s"])):
        given = of_epochs(by_hand(raw.copy(), baseline=(start, 0)).crop(0, None, verbose="error"), kept)
        fitted(given, config, kept, False)
        assert all(text in note for text, note in zip(noted, given.notes, strict=True))
    with pytest.raises(InputError, match="subtracted"):
        caption(reader, by_hand(raw.copy(), baseline=None).crop(0, None, verbose="error"))


def test_an_array_whose_baseline_is_subtracted_is_told_what_to_do(reader):
    """Whoever subtracted the baseline, as the message said, and gave the array again got the same message."""
    array = {"sfreq": 100, "ch_names": CHANNELS}
    with pytest.raises(InputError, match=r"give exactly the samples that the model takes, from 0 s on, and leave tmin out"):
        caption(reader, EEG[:, :, 20:], tmin=0., **array)
    with pytest.warns(UserWarning, match="with the baseline subtracted"):
        assert len(caption(reader, EEG[:, :, 20:], **array)) == len(EEG)


def test_times_of_epochs_that_were_resampled_or_decimated(study):
    """MNE leaves the events of such epochs in samples of the recording; at 200 Hz all times were twice the true ones."""
    raw = mne.io.read_raw_fif(study[0], verbose="error").load_data(verbose="error").filter(.5, 40, verbose="error")
    events = np.stack([np.round(ONSETS * 200), np.zeros(len(ONSETS)), np.ones(len(ONSETS))], 1).astype(int)
    made = mne.Epochs(raw, events, None, -.2, .795, preload=True, verbose="error")
    for epochs in (made, made.copy().resample(100, verbose="error"), made.copy().decimate(2, verbose="error")):
        assert np.allclose(of_epochs(epochs, None).rows["time"], ONSETS, atol=.003)


def test_a_bad_channel_is_interpolated_and_said(reader, epochs):
    epochs.info["bads"] = ["Oz"]
    with pytest.warns(UserWarning, match="Oz is marked bad in the epochs: interpolated"):
        caption(reader, epochs)


def test_a_folder_is_read_in_the_window_of_the_model(study, tmp_path):
    """Not in that from the onset on, which has the same length here; there a script without -tl and -th is refused."""
    from encoders import fit_to_encoder
    from encoders.preprocessing import window_in

    config = load_encoder(study[2] / "eeg_encoder").config
    assert window_in(config, study[1]) == (20, 100)
    config.preprocessing = {**config.preprocessing, "window": [0, 80]}
    assert window_in(config, study[1]) == (0, 80)
    fit_to_encoder(config, load_trials(study[1], 0, 80), "eeg")
    with pytest.raises(InputError, match=r"begin -0.2 s from the onset, those of .* begin 0 s from it"):
        fit_to_encoder(config, load_trials(study[1]), "eeg")
    config.preprocessing = {**config.preprocessing, "first": -40}
    assert window_in(config, study[1]) == (None, None)


def fitted_as(reader, units, eeg=EEG, **change):
    """What the encoder would get of an array if the model's data had been made with other settings."""
    kept = reader.preprocessing.model_copy(update=change)
    return fitted(of_array(eeg, 100, CHANNELS, -.2, units), reader.model.encoder.config, kept, False)


def test_standardised_trials_are_taken_as_they_are(reader):
    """Each channel has a scale of its own, so no channel may be subtracted from another or made from others."""
    eeg = EEG - EEG[:, :, :21].mean(2, keepdims=True)  # the baseline, 0 included
    for change in ({}, {"reference": "average"}, {"bads": ["Oz"]}, {"reference": CHANNELS[:2]}):
        assert np.allclose(fitted_as(reader, "standardised", eeg, **change), eeg[:, :, 20:], atol=1e-5)


def test_named_bad_channels_of_the_models_data_are_interpolated(reader):
    """As caption.py does with a recording."""
    other = EEG.copy()
    other[:, 3] = 7 * EEG[:, 0]
    assert np.array_equal(fitted_as(reader, "uV", bads=["Oz"]), fitted_as(reader, "uV", other, bads=["Oz"]))
    assert not np.array_equal(fitted_as(reader, "uV"), fitted_as(reader, "uV", other))


def test_other_filters_are_said(reader, study):
    raw = make_raw().filter(5, 30, verbose="error").resample(100, verbose="error")
    events = np.array([[300, 0, 1], [500, 0, 1]])
    with pytest.warns(UserWarning) as warned:
        caption(reader, mne.Epochs(raw, events, tmin=-.2, tmax=.79, verbose="error"))
    texts = [str(one.message) for one in warned]
    assert any("high-passed at 5 Hz, the model's data at 0.5 Hz" in text for text in texts)
    assert any("low-passed at 30 Hz" in text for text in texts) and any("2 trials" in text for text in texts)


@pytest.mark.parametrize("eeg, change, named", [
    (EEG, {"sfreq": 250}, "250 Hz, but the model takes 100 Hz"), (EEG, {"sfreq": None}, "sampling rate"),
    (EEG, {"ch_names": CHANNELS[:7]}, "7 names for 8 channels"), (EEG[0], {}, r"\[trials, channels, samples\]"),
    (EEG, {"ch_names": [*CHANNELS[:7], "Fpz"]}, "P4.*interpolate=True"), (EEG * 1e-6, {}, "units='uV' or 'V'"),
    (EEG * 1e6, {}, "standard deviation"), (EEG, {"units": "mV"}, "units"), (EEG[:, :, :90], {}, "tmin"),
    (EEG, {"tmin": .5}, "cut longer trials"), (EEG * np.nan, {}, "NaN"),
    ("absent", {"sfreq": None, "ch_names": None}, "absent"),
    ([["a"]], {}, "numbers"), (EEG, {"controls": ["shuffled"]}, "shuffled"), (EEG, {"controls": "noise"}, "noise"),
    (EEG, {"num_beams": 2}, "num_beams")])
def test_wrong_input_is_one_sentence(reader, eeg, change, named):
    with pytest.raises(InputError, match=named):
        caption(reader, eeg, **{"sfreq": 100, "ch_names": CHANNELS, **change})


@pytest.mark.parametrize("change", [{"sfreq": "fast"}, {"sfreq": float("nan")}, {"tmin": "now"}, {"tmin": float("inf")},
                                    {"ch_names": 8}, {"ch_names": "F3F4P3P4"}, {"units": ["uV"]}])
def test_what_an_array_is_of_has_its_type(change):
    """These ended in a TypeError or ValueError; of a text each letter was a channel."""
    (name, value), = change.items()
    with pytest.raises(InputError, match=f"^{name}: {re.escape(repr(value))}, expected"):
        of_array(EEG, **{"sfreq": 100, "ch_names": CHANNELS, "tmin": None, "units": "uV", **change})


@pytest.mark.parametrize("change", [{"sfreq": 250}, {"ch_names": CHANNELS[::-1]}, {"tmin": 0.}, {"units": "standardised"}])
def test_what_is_for_arrays_is_refused_beside_epochs(change):
    """It was taken without a word: standardised epochs were read as volts."""
    reader = Captioner.__new__(Captioner)  # the model is not asked
    for eeg in (mne.EpochsArray(EEG, mne.create_info(CHANNELS, 100, "eeg"), verbose="error"), "data"):
        with pytest.raises(InputError, match=f"{next(iter(change))}: has no effect with mne.Epochs"):
            caption(reader, eeg, **change)
    with pytest.raises(InputError, match="units: has no effect"):  # a data set folder is in microvolts
        reader.caption("data", units="V")


@pytest.mark.parametrize("change", [{"max_new_tokens": "12"}, {"words": "2"}, {"seed": "1"}, {"abstain_below": "0.3"},
                                    {"batch_size": "2"}, {"temperature": "1"}, {"do_sample": "yes"}, {"prompt": 3}])
def test_a_number_in_quotes_is_no_number(change):
    """It was converted to be checked, then used as it was, which ended in a TypeError from within torch."""
    (name, value), = change.items()
    with pytest.raises(InputError, match=f"^{name}: {value!r}, expected"):
        check_values(change)


@pytest.mark.parametrize("change, named", [({"loading": "8-bit"}, "loading: '8-bit', expected one of 'as trained', '8bit'"),
                                           ({"dtype": "bfloat16"}, "dtype: 'bfloat16', expected a type of torch")])
def test_how_the_llm_is_loaded_is_one_of_a_few(change, named):
    """A loading that is misspelt was none: the LLM was not quantised. A type by its name ended in a traceback."""
    with pytest.raises(InputError, match=named):
        Captioner.from_pretrained("absent", **change)


def test_missing_channels_are_interpolated_on_demand(reader):
    assert len(caption(reader, EEG, sfreq=100, ch_names=[*CHANNELS[:7], "Fpz"], interpolate=True)) == 3


def test_an_older_model_takes_the_very_window(study, tmp_path):
    reader = Captioner.from_pretrained(older(study[2], tmp_path / "older"), device="cpu")
    assert reader.preprocessing is None
    with pytest.warns(UserWarning, match="does not say how its data were made"):
        assert len(caption(reader, EEG[:, :, :80], sfreq=100, ch_names=CHANNELS)) == 3
    with pytest.raises(InputError, match="8 x 80"):
        caption(reader, EEG, sfreq=100, ch_names=CHANNELS)


@pytest.mark.slow
def test_the_import_is_light():
    code = ("import sys, captioning\nassert not {'torch', 'transformers'} & set(sys.modules)\n"
            "from captioning import Captioner")
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[1], check=True)
    with pytest.raises(AttributeError, match="Caption"):
        import captioning

        captioning.Caption  # noqa: B018


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A local folder that stands for the Hub: <kind>/<org>/<name>."""
    root = tmp_path / "hub"

    def create_repo(self, name, repo_type, private, exist_ok):
        (root / repo_type / name).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, repo_id, folder_path, repo_type, ignore_patterns):
        shutil.copytree(folder_path, root / repo_type / repo_id, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(*ignore_patterns))

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create_repo)
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload_folder)
    monkeypatch.setattr("huggingface_hub.snapshot_download",
                        lambda name, repo_type, allow_patterns: str(root / repo_type / name))
    return root


@pytest.fixture(scope="module")
def results(captioner, data, tmp_path_factory):
    """results.json of a report on the session's captioner."""
    folder = tmp_path_factory.mktemp("results")
    given = ["--model_path", str(captioner), *data_arguments(data), "--dest", str(folder / "captions.csv"), *SHORT]
    inference.main(given)
    inference_chance.main([*given, "--conditions", "noise", "shuffled_within_class", "constant"])
    evaluate.main([*map(str, sorted(folder.glob("*.csv"))), "--report", str(folder), "--n_boot", "50"])
    return folder / "results.json"


def test_a_captioner_on_the_hub_has_a_card(hub, captioner, llm, results, tmp_path):
    push.main([str(captioner), "org/reader", "--results", str(results), "--licence", "mit"])
    text = (hub / "model" / "org" / "reader" / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    study = json.loads(results.read_text())["studies"][0]
    assert head["license"] == "mit" and "eeg" in head["tags"] and "base_model" not in head  # the LLM is no Hub name
    assert study["claim"] in text and "What may not be claimed" in text and "lie detector" not in text
    for one in study["conditions"]:
        score = one["scores"]["ROUGE-1"]
        around = f"[{score['low']:.3f}, {score['high']:.3f}]"
        assert f"| {one['condition']} | {one['n']} | {score['mean']:.3f} {around} |" in text
    assert f"| source and people | {study['eeg']['text']} |" in text and f"| base language model | {llm.name} |" in text
    assert f'from_pretrained("org/reader", llm="the folder of {llm.name}")' in text and "intervals. ours" not in text
    assert not [path for path in (hub / "model").rglob("*.json") if str(llm.parent) in path.read_text()
                and path.name != "adapter_config.json"]
    loaded = Captioner.from_pretrained("org/reader", device="cpu", llm=str(llm))
    mine = Captioner.from_pretrained(captioner, device="cpu")
    assert loaded.key == mine.key and loaded.other_llm() == []
    eeg = np.random.default_rng(0).normal(size=(2, 6, 64))
    options = {"sfreq": 128, "ch_names": ["Fz", "Cz", "Pz", "Oz", "PO7", "PO8"]}
    assert caption(loaded, eeg, **options).equals(caption(mine, eeg, **options))
    assert not {path.name for path in (hub / "model").rglob("*")} & {"checkpoints", "profile", "model-00001.safetensors"}


def test_a_card_names_no_folder_as_a_model_of_the_hub(captioner, llm, tmp_path):
    """Once the folder of the LLM had moved, its path was taken for a name on the Hub."""
    folder = shutil.copytree(captioner, tmp_path / "captioner")
    for place in ("/gone/mine", "gone/mine"):
        (folder / "config.json").write_text(json.dumps(read_json(folder / "config.json") | {"llm": place}))
        text = card(folder)
        assert "base_model" not in yaml.safe_load(text.split("---")[1]) and "gone" not in text
        assert 'llm="the folder of mine"' in text and "| base language model | mine |" in text
    record = read_json(folder / "args.json")
    record["llm"] |= {"name": "gone/mine", "commit": "0" * 40}
    (folder / "args.json").write_text(json.dumps(record))
    assert yaml.safe_load(card(folder).split("---")[1])["base_model"] == "gone/mine"


def test_no_folder_of_this_machine_is_uploaded(captioner, tmp_path):
    """Of a path with a blank all but its first word stayed, such as 'Jane Doe/eeg.pth'."""
    folder, record = shutil.copytree(captioner, tmp_path / "captioner"), read_json(captioner / "args.json")
    record["made"] = {"command": "python finetune_llm.py --eeg_dataset '/home/Jane Doe/eeg.pth' --output=/home/jane/out "
                                 "--splits_path '/home/Jane Doe/my splits.pth' --image_dir data/images"}
    (folder / "args.json").write_text(json.dumps(record))
    saved = read_json(save_model(folder, tmp_path / "model") / "args.json")
    assert saved["made"]["command"] == ("python finetune_llm.py --eeg_dataset 'eeg.pth' --output=out --splits_path "
                                        "'my splits.pth' --image_dir data/images")


def test_a_card_counts_the_people_who_were_trained_on(captioner, tmp_path, monkeypatch):
    """--subject 2 of a data set of three people was "EEG of 3 people"."""
    folder, record = shutil.copytree(captioner, tmp_path / "captioner"), read_json(captioner / "args.json")
    monkeypatch.setattr("captioning.model_card.read_record", lambda place: {
        "source": "raw", "recordings": [{"subject": subject} for subject in (1, 2, 3, 3)]})
    monkeypatch.setattr("captioning.model_card.why_other_data", lambda place, fingerprint: None)
    for subject, said in ((0, "EEG of 3 people from"), (2, "EEG of 1 person from")):
        record["options"]["subject"], record["used"]["eeg_dataset"] = subject, str(tmp_path)
        (folder / "args.json").write_text(json.dumps(record))
        assert said in card(folder)


def test_a_card_does_not_choose_among_studies_of_a_model(captioner, results, tmp_path):
    """It showed the first, such as that of the validation part."""
    content = json.loads(results.read_text())
    content["studies"] = [content["studies"][0] | {"split": "val"}, *content["studies"]]
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"2 studies of this model \(val part, prompt basic; test part, prompt basic\)"):
        card(captioner, tmp_path / "results.json")


@pytest.mark.parametrize(("given", "said"), [
    ({"max_new_tokens": 0}, "max_new_tokens: 0 is out of range"), ({"max_new_tokens": 4.5}, "4.5, expected a whole number"),
    ({"temperature": -1, "do_sample": True}, "temperature: -1 is out"), ({"temperature": None}, "None, expected a number"),
    ({"top_p": 2}, "top_p: 2 is out of range, expected 0 to 1"), ({"do_sample": "no"}, "'no', expected True or False"),
    ({"batch_size": 0}, "batch_size: 0 is out"), ({"words": -1}, "words: -1 is out"), ({"prompt": ""}, "prompt: ''"),
    ({"abstain_below": float("nan")}, "abstain_below: nan is not"), ({"seed": 1.5}, "seed: 1.5, expected a whole")])
def test_values_are_those_that_the_command_line_takes(reader, epochs, given, said):
    """Some ended in a traceback, others, such as top_p=2, had another effect than asked for."""
    with pytest.raises(InputError, match=said):
        reader.caption(epochs, **given)


@pytest.mark.parametrize("controls", [None, 3, "noise", (name for name in ["noise"])])
def test_controls_are_a_list(controls):
    """None and 3 ended in a TypeError, and a generator gave no controls without a word."""
    reader = Captioner.__new__(Captioner)  # the model is not asked
    with pytest.raises(InputError, match=r"controls: .*, expected a list of .*noise.*, empty for none"):
        reader.caption(EEG, sfreq=100, ch_names=CHANNELS, controls=controls)


def test_the_small_llm_is_meant_by_its_word(captioner, llm, tmp_path, monkeypatch):
    """As on the command line. It was looked for on the Hub."""
    monkeypatch.setenv("EEG_TO_TEXT_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"llm small: .* is not made yet; make it"):
        Captioner.from_pretrained(captioner, llm="small")
    shutil.copytree(llm, tmp_path / "small_llm")
    assert Captioner.from_pretrained(captioner, llm="small", device="cpu").llm_name == str(tmp_path / "small_llm")


def test_push_to_hub_from_python(hub, reader, study, expected, epochs, llm):
    reader.push_to_hub("org/made")
    text = (hub / "model" / "org" / "made" / "README.md").read_text()
    assert "nothing may be claimed" in text and "band-pass 0.5 to 40 Hz" in text and "EEG of 1 person from raw" in text
    assert_equal(caption(Captioner.from_pretrained("org/made", device="cpu", llm=str(llm)), epochs), expected)


def test_an_encoder_on_the_hub(hub, study):
    encoder = study[2].parent / "encoder"
    push.main([str(encoder), "org/encoder"])
    loaded, own = load_encoder("org/encoder"), load_encoder(encoder)
    assert all((a == b).all() for a, b in zip(loaded.state_dict().values(), own.state_dict().values(), strict=True))
    assert loaded.config.preprocessing == own.config.preprocessing
    card = (hub / "model" / "org" / "encoder" / "README.md").read_text()
    assert "# EEG encoder" in card and "predicts the class and the embedding of the picture" in card
    assert 'from encoders import load_encoder\n\nencoder = load_encoder("org/encoder")' in card


def test_the_card_of_a_classifier_names_no_embedding(hub, study, tmp_path):
    encoder = shutil.copytree(study[2].parent / "encoder", tmp_path / "encoder")
    content = read_json(encoder / "args.json")
    content["options"]["loss_weight"] = 0.
    (encoder / "args.json").write_text(json.dumps(content))
    push.main([str(encoder), "org/classifier"])
    assert "predicts the class of the picture" in (hub / "model" / "org" / "classifier" / "README.md").read_text()


def test_scores_of_an_encoder_that_was_trained_anew_are_not_in_a_card(hub, study, tmp_path, capsys):
    encoder = shutil.copytree(study[2].parent / "encoder", tmp_path / "encoder")
    (encoder / "test").mkdir(exist_ok=True)
    (encoder / "test" / "scores.json").write_text(json.dumps({"top1": .9, "split": "test", "encoder": "0" * 16}))
    with pytest.raises(SystemExit) as stop:
        push.main([str(encoder), "org/encoder"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "scores of another encoder" in said and "test_eeg_classifier.py" in said
    assert not hub.exists()


def scored_card(study, tmp_path, scores):
    """The card of an encoder with such a scores.json."""
    encoder = shutil.copytree(study[2].parent / "encoder", tmp_path / "encoder")
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    return (save_model(encoder, tmp_path / "model", tmp_path / "scores.json") / "README.md").read_text()


@pytest.mark.parametrize(("scores", "rows"), [
    ({"n_classes": 8, "chance": .125, "top1": .5, "top1_95": [.4, .6], "balanced_accuracy": .5},
     ["| n_classes | 8 |", "| chance | 0.125 |", "| top1 | 0.500 [0.400, 0.600] |", "| balanced_accuracy | 0.500 |"]),
    ({"n_classes": 12, "chance": .2, "average_precision": .3, "average_precision_95": [.2, .4]},
     ["| n_classes | 12 |", "| chance | 0.200 |", "| average_precision | 0.300 [0.200, 0.400] |"]),
    ({"n_classes": 0, "chance": None}, [])])
def test_the_card_of_an_encoder_shows_what_it_was_scored_by(study, tmp_path, scores, rows):
    """Of an encoder without classes there was nothing but the number of trials, 1200.0."""
    retrieval = {"n": 40, "top1": .1, "top1_95": [.05, .2], "top1_chance": .025, "top5": .3, "top5_chance": .125}
    lines = scored_card(study, tmp_path, {"n": 1200, "split": "test", "retrieval": retrieval, **scores}).splitlines()
    first = lines.index("| score | value |")
    assert lines[first + 2:lines.index("", first)] == [
        "| n | 1,200 |", *rows, "| picture among 40, top 1 by chance | 0.025 |",
        "| picture among 40, top 1 | 0.100 [0.050, 0.200] |", "| picture among 40, top 5 by chance | 0.125 |",
        "| picture among 40, top 5 | 0.300 |"]


def test_the_card_of_an_encoder_takes_no_scores_of_captions(study, tmp_path):
    with pytest.raises(InputError, match=r"scores\.json: holds no scores of an encoder; give the scores\.json of"):
        scored_card(study, tmp_path, {"studies": []})


def test_a_model_is_not_saved_over_a_file(reader, tmp_path):
    (tmp_path / "mine").write_text("a file")
    with pytest.raises(InputError, match="mine: is there already; expected a new folder"):
        reader.save_pretrained(tmp_path / "mine")


def test_a_data_set_and_a_model_are_pushed_alike(hub, study, reader, expected):
    prepare_data.main(["push", str(study[1]), "org/data", "--private"])
    assert_equal(caption(reader, "datasets/org/data"), expected)


def test_an_encoder_that_is_only_pretrained_is_not_pushed(tmp_path):
    """The message was that a file of an earlier stage is not there."""
    (tmp_path / "args.json").write_text("{}")
    (tmp_path / "config.json").write_text('{"model_type": "eegencoder"}')
    with pytest.raises(InputError, match="only pretrained, which predicts nothing"):
        save_model(tmp_path, tmp_path / "model")


def test_what_is_no_model_or_has_other_results_is_not_pushed(hub, reader, results, study, tmp_path, capsys):
    for arguments, named in (([str(study[1]), "org/x"], "args.json"),
                             ([str(study[2]), "org/x", "--results", str(results)], "this one is"),
                             ([str(study[2]), "org/x", "--results", str(study[2] / "config.json")], "format")):
        with pytest.raises(SystemExit) as stop:
            push.main(arguments)
        assert stop.value.code == 2 and named in capsys.readouterr().err
    assert not hub.exists()
    with pytest.raises(InputError, match="expected a new folder"):
        reader.save_pretrained(study[2])
