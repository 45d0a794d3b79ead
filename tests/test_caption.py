"""caption.py: captions of a recording whose pictures are unknown equal those of the offline pipeline."""

import json
import shutil

from runtime.caption_options import csv_file
from runtime.errors import InputError
from runtime.runs import file_hash

import mne
import numpy as np
import pytest
import torch

import caption
from captioning.captioner import Captioner
from captioning.conditions import under_condition
from metrics.caption_files import ABSTAINED
from new_recordings import SHORT, offline, older, pictures_with_captions, prepare, read, train
from raw_material import CHANNELS, ONSETS, make_raw, save, write_table
from tiny import forget_hashes


@pytest.fixture
def run(study, tmp_path):
    """A function that captions a recording with the study's model; returns the CSV."""
    def run(*options, recording=study[0], model=study[2]):
        caption.main(["--model_path", str(model), "--recording", str(recording), "--out", str(tmp_path / "captions.csv"),
                      *SHORT, *map(str, options)])
        return read(tmp_path / "captions.csv")

    return run


@pytest.fixture
def fails(run, capsys):
    def fails(*options, **named):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run(*options, **named)
        assert stop.value.code == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    return fails


def test_no_input_is_overwritten(study, tmp_path, capsys):
    """--out with the recording's own name put captions in place of the recording."""
    recording, table = tmp_path / "new_raw.fif", tmp_path / "events.csv"
    shutil.copy(study[0], recording)
    table.write_text("onset,trial_type\n1.0,a\n")
    before = file_hash(recording), file_hash(table)
    for out in (recording, table):
        with pytest.raises(SystemExit) as stop:
            caption.main(["--model_path", str(study[2]), "--recording", str(recording), "--events", str(table), "--out",
                          str(tmp_path / "elsewhere" / ".." / out.name), *SHORT])
        assert stop.value.code == 2
        assert f"{out.name}: is also an input, which would be overwritten" in capsys.readouterr().err
    assert (file_hash(recording), file_hash(table)) == before
    with pytest.raises(InputError, match="is also an input"):
        csv_file(str(recording), "--out", inputs=[None, str(recording)])


def assert_equal(table, expected):
    assert table["caption"].tolist() == expected["Generated Caption"].tolist()
    assert [float(p) for p in table["probability"]] == [float(p) for p in expected["probability"]]
    assert table["class"].tolist() == expected["Predicted object"].tolist()
    assert expected["probability"].nunique() > 5 and expected["Generated Caption"].nunique() > 1


def test_equals_the_offline_pipeline(run, study, expected, capsys, tmp_path):
    table = run("--abstain_below", "0")
    assert_equal(table, expected)
    assert np.allclose(table["time"].astype(float), ONSETS, atol=1e-3) and set(table["event"]) == {"cat", "dog"}
    printed = capsys.readouterr().out
    assert "band-pass 0.5 to 40 Hz" in printed and "resampled from 200 to 100 Hz" in printed and "Fz, Cz" in printed
    record = json.loads((tmp_path / "captions.csv.json").read_text())
    assert record["sha256"] == file_hash(tmp_path / "captions.csv") and record["recording"] == [file_hash(study[0])]
    assert record["preprocessing"]["window"] == [20, 100] and record["preprocessing"]["scale"] == "recording"


def test_captions_of_all_trials_are_no_test(study, tmp_path, capsys):
    import evaluate

    offline(study[2], study[1], tmp_path / "all.csv")
    with pytest.raises(SystemExit) as stop:
        evaluate.main([str(tmp_path / "all.csv")])
    assert stop.value.code == 2 and "was trained on" in capsys.readouterr().err
    evaluate.main([str(tmp_path / "all.csv"), "--allow_overlap", "--n_boot", "20", "--metrics", "ROUGE-1"])
    assert "the captions are of all trials of the data set" in capsys.readouterr().out


def test_onsets_alone_suffice(run, expected, tmp_path):
    bare = save(make_raw(texts=("BAD_",)), tmp_path / "bare_raw.fif")
    raw = mne.io.read_raw_fif(bare, verbose="error")
    raw.set_annotations(None)
    bare = save(raw.load_data(verbose="error"), tmp_path / "without_raw.fif")
    for options in (["--onsets", *ONSETS], ["--every", 1.25], ["--every", 1.25, "--event_delay", .1],
                    ["--events", write_table(tmp_path / "ev.tsv", ("onset",), *((f"{t:.3f}",) for t in ONSETS))]):
        table = run("--abstain_below", "0", *options, recording=bare)
        if options[0] == "--every":
            assert np.allclose(np.diff(table["time"].astype(float)), 1.25) and float(table["time"][0]) == .2
        else:
            assert_equal(table, expected)


def test_onsets_at_one_moment_are_one_trial(run, study, tmp_path, capsys):
    """They were said to be a damaged file. Events that coincide, as a picture and its section do, are no rarity."""
    table = run("--abstain_below", "0", "--onsets", 3, 9, 3, 3.001)
    assert table["time"].astype(float).tolist() == [3, 9]
    assert "2 onsets gave no trial: at the time of another onset" in capsys.readouterr().out
    file = write_table(tmp_path / "ev.tsv", ("onset", "trial_type"), (3, "cat"), (3, "section"), (9, "dog"))
    assert run("--abstain_below", "0", "--events", file)["event"].tolist() == ["cat", "dog"]


@pytest.mark.slow
def test_a_real_recording(shared, tmp_path, clip, llm, run):
    recording = shared / "raw_formats" / "eeglab_data.set"
    pictures = pictures_with_captions(tmp_path / "pictures", ("square", "rt"))
    data = prepare("raw", tmp_path / "data", "--recordings", recording, "--pictures", pictures, "--event_names",
                   "square|rt")
    model = train(data, tmp_path, clip, llm)
    table = run("--event_names", "square|rt", "--abstain_below", "0", recording=recording, model=model)
    assert len(table) == 154
    assert_equal(table, offline(model, data, tmp_path / "offline.csv"))


@pytest.mark.slow
def test_a_recording_of_n170(shared, tmp_path, clip, llm, run):
    """The Muse's own CSV, markers and gaps included."""
    files = sorted((shared / "n170" / "muse2016").glob("subject0001*.csv"))[:3]
    (tmp_path / "muse").mkdir()
    for file in files:
        shutil.copy(file, tmp_path / "muse")
    data = prepare("n170", tmp_path / "data", "--recordings", tmp_path / "muse", "--stimuli", shared / "n170" / "stimuli")
    model = train(data, tmp_path, clip, llm)
    table = run("--abstain_below", "0", recording=files[0], model=model)
    expected = offline(model, data, tmp_path / "offline.csv")
    own = expected[expected["recording"] == "0"].reset_index(drop=True)
    assert 50 < len(own) < len(expected) and set(table["event"]) == {"1", "2"}
    assert_equal(table, own)


def test_simulated_people_are_standardised_alike(tmp_path, clip, llm, run):
    from sources import drawings, simulated

    data = prepare("simulated", tmp_path / "data", "--n_pictures", 24, "--n_subjects", 2, "--image_size", 32)
    model = train(data, tmp_path, clip, llm)
    options = {"n_pictures": 24, "seed": 42}
    args = json.loads((data / "dataset.json").read_text())["about"]
    assert {name: args[name] for name in options} == options
    scenes = drawings.sample_scenes(24, 42, args["classes"])
    made = simulated.simulate_recording(scenes, args["trials_per_picture"], args["snr"], args["sfreq"], (42, 1),
                                        args["order"], args["drift"])
    raw = mne.io.RawArray(made["data"].astype(float) * 1e-6, mne.create_info(made["ch_names"], made["sfreq"], "eeg"),
                          verbose="error")
    raw.set_annotations(mne.Annotations(made["onset"] / made["sfreq"], 0, "picture"))
    raw.save(tmp_path / "person_raw.fif", fmt="double", verbose="error")
    table = run("--abstain_below", "0", recording=tmp_path / "person_raw.fif", model=model)
    expected = offline(model, data, tmp_path / "offline.csv")
    own = expected[expected["subject"] == "1"].reset_index(drop=True)
    assert table["caption"].tolist() == own["Generated Caption"].tolist()
    assert np.allclose(table["probability"].astype(float), own["probability"].astype(float), atol=2e-4)


def confident_from(above, model, folder):
    """The model with another threshold."""
    shutil.copytree(model, folder)
    file = folder / "eeg_encoder" / "config.json"
    kept = {"above": above, "rate": .75, "trials": 100, "answered": .6, "noise": .3}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"confidence": kept}))
    forget_hashes(folder)
    return folder


def test_what_counts_as_confident_is_told(run, study, tmp_path, capsys):
    assert set(run(model=confident_from(None, study[2], tmp_path / "never"))["caption"]) == {ABSTAINED}
    assert "No reading counts as confident: in the 100 validation trials" in capsys.readouterr().out
    run(model=confident_from(.6, study[2], tmp_path / "some"))
    assert "probability of 0.60 or more. 60% of the 100 validation trials reach it" in capsys.readouterr().out
    run("--abstain_below", ".3")
    assert "A probability below 0.3 was to give no caption" in capsys.readouterr().out


def test_no_confident_reading_and_noise(run, study, tmp_path):
    table = run("--control", "--abstain_below", "1")
    unsure = table["probability"].astype(float) < 1
    assert unsure.any() and ((table["caption"] == ABSTAINED) == unsure).all()
    assert ABSTAINED not in set(table["caption_noise"])
    model = confident_from(.6, study[2], tmp_path / "model")
    table = run("--control", "noise", "nothing", model=model)
    low = table["probability"].astype(float) < .6
    assert 0 < low.sum() < len(low)
    assert ((table["caption"] == ABSTAINED) == low).all()
    assert table["caption_nothing"].nunique() == 1
    words = table["words"].str.split(", ", expand=True)[0].str.rsplit(" ", n=1, expand=True)
    assert (words[0] == table["class"]).all() and np.allclose(words[1].astype(float), table["probability"].astype(float),
                                                              atol=.006)


def test_noise_is_that_of_inference_chance(run, study, tmp_path):
    import inference_chance

    table = run("--control", "noise", "noise+label")
    inference_chance.main(["--model_path", str(study[2]), "--eeg_dataset", str(study[1]), "--split", "all", "--dest",
                           str(tmp_path / "c.csv"), "--conditions", "noise", "noise+label", *SHORT])
    for condition in ("noise", "noise+label"):
        assert table[f"caption_{condition}"].tolist() == read(tmp_path / f"c_{condition}.csv")["Generated Caption"].tolist()


def test_few_trials_are_not_their_own_noise(run, study, monkeypatch):
    """The mean and covariance of one embedding would be that embedding itself."""
    from captioning import readings

    seen = []
    real = readings.under_condition
    monkeypatch.setattr(readings, "under_condition", lambda *given, **more: seen.append(real(*given, **more)) or seen[-1])
    run("--control", "noise", "--onsets", 3)
    own, noise = (each.embeddings for each in seen)
    assert own.shape == noise.shape and not torch.allclose(own, noise)


def test_each_trial_of_a_stream_has_noise_of_its_own(study):
    """They come one by one; with the seed alone all would get the same, so that their controls would be one caption."""
    captioner = Captioner(study[2], "cpu")
    projector, rows = captioner.model.projector, torch.ones(5, captioner.model.config.embedding_size)

    def noise(first, count):
        shown = under_condition("noise", rows[:count], ["cat"] * count, ["cat"] * count, torch.arange(count), 42,
                                learned=captioner.learned, first=first)
        return (shown.embeddings - projector.eeg_mean) / projector.eeg_scale

    together = noise(0, 5)
    assert torch.equal(together, torch.cat([noise(number, 1) for number in range(5)]))
    assert not torch.allclose(together[0], together[1]) and together.std().item() == pytest.approx(1, abs=.25)


def test_channels_by_name(run, fails, expected, tmp_path):
    raw = make_raw()
    renamed = raw.copy().rename_channels({name: f"EEG {name.upper()}-REF" for name in CHANNELS})
    table = run("--abstain_below", "0", recording=save(renamed.reorder_channels(renamed.ch_names[::-1]),
                                                       tmp_path / "renamed_raw.fif"))
    assert_equal(table, expected)
    fewer = save(raw.copy().drop_channels(["Oz"]), tmp_path / "fewer_raw.fif")
    message = fails(recording=fewer)
    assert "lacks 1 channel of the 8" in message and "Oz" in message and "--interpolate" in message
    assert not (tmp_path / "captions.csv").exists() or len(run("--interpolate", recording=fewer)) == len(ONSETS)


def test_another_sampling_rate_is_resampled(run, tmp_path):
    table = run(recording=save(make_raw(sfreq=250.), tmp_path / "fast_raw.fif"))
    assert len(table) == len(ONSETS)


def test_an_older_model_needs_a_data_set_like_its_own(run, fails, study, expected, tmp_path):
    model = older(study[2], tmp_path / "older")
    assert "--like DATA" in fails(model=model)
    assert_equal(run("--abstain_below", "0", "--like", study[1], model=model), expected)
    assert "leave --like out" in fails("--like", study[1])


@pytest.mark.parametrize("change, named", [({"reference": 3}, "reference"), ({"window": [90, 10]}, "window"),
                                           ({"l_freq": "a"}, "l_freq"), ({"sfreq": 128.}, "128 Hz")])
def test_damaged_preprocessing(change, named, study, fails, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(study[2], model)
    file = model / "eeg_encoder" / "config.json"
    content = json.loads(file.read_text())
    content["preprocessing"] |= change
    file.write_text(json.dumps(content))
    forget_hashes(model)
    assert named in fails(model=model)


def test_settings_of_the_model_that_do_not_fit_are_no_options_here(study, fails, tmp_path):
    """Messages told users to choose another --reference or a lower --notch, which caption.py does not have."""
    flat = make_raw()
    flat._data[-1] = 0
    short, slow = make_raw().crop(0, 5), make_raw(sfreq=100.)
    for name, raw, change, named in (("flat", flat, {"reference": ["P4"]}, "P4 was flat"),
                                     ("absent", make_raw(), {"reference": ["M1"]}, "no channel of that name"),
                                     ("short", short, {}, "are 6.60 s long"), ("slow", slow, {"notch": 60.}, "--notch 60")):
        model = shutil.copytree(study[2], tmp_path / f"model_{name}")
        file = model / "eeg_encoder" / "config.json"
        content = json.loads(file.read_text())
        content["preprocessing"] |= change
        file.write_text(json.dumps(content))
        forget_hashes(model)
        message = fails("--onsets", 2, model=model, recording=save(raw, tmp_path / f"{name}_raw.fif"))
        assert f"{name}_raw.fif: cannot be treated as the model's data were" in message and named in message


def test_refused(fails, study, tmp_path):
    assert "--exclude Fq: no channel of that name in made_raw.fif (channels Fz" in fails("--exclude", "Fq,Fz")
    assert "--control label: needs a class name or words in the prompt" in fails("--label", "none", "--control", "label")
    assert "no such file" in fails(recording=tmp_path / "absent.edf")
    assert "is a folder" in fails(recording=tmp_path)
    assert "no event there is named" in fails("--event_names", "bird")
    for ignored in (("--event_names", "cat", "--onsets", 3), ("--stim_channel", "S", "--every", 1), ("--stim_mask", 255,
                    "--events", "e.tsv")):
        assert f"{ignored[0]} {ignored[1]}: has no effect with {ignored[2]}" in fails(*ignored)
    assert "outside the recording" in fails("--onsets", 99)
    assert "no onset gave a trial" in fails("--onsets", 39.9)
    assert "--out" in fails("--out", tmp_path)
    assert not list(tmp_path.iterdir())
