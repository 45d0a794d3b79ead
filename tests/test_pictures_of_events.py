"""raw: pictures without classes, with several, and named inside event names; simulated pictures of several things."""

import mne
import numpy as np
import pytest

import caption
import prepare_data
from eegdata.dataset_folder import open_folder
from eegdata.pictures import read_captions
from eegdata.trials import load_trials
from new_recordings import SHORT, read, train
from raw_material import CHANNELS, ONSETS, SFREQ, make_pictures, save, write_table
from raw_runs import AS_IT_IS, fails, prepare
from sources import drawings, mixtures
from sources.simulated import scene_code
from sources.stimuli import find_stimuli, name_pictures

PICTURES = ("cat_0", "cat_1", "dog_0", "dog_1")


@pytest.fixture
def recorded(tmp_path):
    """A recording with annotations `stim_train,<number>,-1,<trial>`, and one of something else."""
    rng = np.random.default_rng(0)
    raw = mne.io.RawArray(rng.normal(0, 1e-5, (len(CHANNELS), round(40 * SFREQ))), mne.create_info(CHANNELS, SFREQ, "eeg"),
                          verbose="error")
    names = [f"stim_train,{i % 4},-1,{i}" for i in range(len(ONSETS))]
    raw.set_annotations(mne.Annotations([*ONSETS, 38.], .1, [*names, "oddball,7,-1,9"]))
    return save(raw, tmp_path / "rec_raw.fif"), [i % 4 for i in range(len(ONSETS))]


@pytest.fixture
def numbered(tmp_path):
    """Pictures 00000.png to 00003.png in one folder."""
    folder = tmp_path / "numbered"
    for number, path in enumerate(sorted(make_pictures(tmp_path / "flat", flat=True, count=2).glob("*.png"))):
        folder.mkdir(exist_ok=True)
        path.rename(folder / f"{number:05d}.png")
    return folder


def test_the_picture_in_the_name_of_an_event(recorded, numbered, tmp_path):
    path, shown = recorded
    options = ("--recordings", path, "--pictures", numbered, "--no_classes", *AS_IT_IS)
    record, eeg, columns = prepare(tmp_path / "out", *options, "--event_picture", r"stim_train,(\d+),.*", "{1:5}.png")
    assert columns["picture"].tolist() == [f"picture_{number:05d}" for number in shown] and (columns["label"] == -1).all()
    assert record["class_ids"] == [] and record["about"]["events"]["ignored"] == {"oddball,7,-1,9": 1}
    assert record["about"]["options"]["event_picture"] == [r"stim_train,(\d+),.*", "{1:5}.png"]
    assert load_trials(tmp_path / "out").classes == "none" and len(eeg) == len(shown)


def test_a_map_names_the_events_that_the_pattern_does_not(recorded, numbered, tmp_path):
    mapped = write_table(tmp_path / "map.tsv", ("event", "picture"), ("oddball,7,-1,9", "00002"))
    _, _, columns = prepare(tmp_path / "out", "--recordings", recorded[0], "--pictures", numbered, "--picture_map", mapped,
                            "--event_picture", r"stim_train,(\d+),.*", "{1:5}", "--no_classes", *AS_IT_IS)
    assert columns["picture"].tolist() == [f"picture_{number:05d}" for number in [*recorded[1], 2]]


@pytest.mark.parametrize("pattern, message", [
    (("stim_(", "{1}"), "not a regular expression"), (("stim_.*", "{1}"), "which has 0"),
    ((r"stim_(\d+)", "x"), "expected {1}"),
    ((r"stim_train,(\d+),.*", "{1:4}.png"), "picture '0000.png' not found")])
def test_patterns_that_do_not_fit(recorded, numbered, tmp_path, capsys, pattern, message):
    assert message in fails(capsys, tmp_path / "out", "--recordings", recorded[0], "--pictures", numbered, "--no_classes",
                            "--event_picture", *pattern)


def test_pictures_need_a_class_or_none(recorded, numbered, tmp_path, capsys):
    assert "or --no_classes if they have none" in fails(
        capsys, tmp_path / "out", "--recordings", recorded[0], "--pictures", numbered, "--event_picture",
        r"stim_train,(\d+),.*", "{1:5}.png")
    message = fails(capsys, tmp_path / "out", "--recordings", recorded[0], "--no_classes")
    assert "--no_classes: needs the pictures" in message


def test_objects_in_a_table(recorded, numbered, tmp_path):
    listed = write_table(tmp_path / "list.tsv", ("picture", "objects", "caption"), ("00000", "dog, person", "A dog."),
                         ("00000", "person", "A person with a dog."), ("00001", "", "Nothing."),
                         ("00002", "cat", "A cat."), ("00003", "person,cat", "Both."))
    record, _, columns = prepare(tmp_path / "out", "--recordings", recorded[0], "--pictures", numbered, "--picture_list",
                                 listed, "--event_picture", r"stim_train,(\d+),.*", "{1:5}", *AS_IT_IS)
    assert record["class_names"] == ["cat", "dog", "person"]
    numbers = {"00000": [1, 2], "00001": [], "00002": [0], "00003": [0, 2]}
    assert record["objects"] == {f"picture_{name}": own for name, own in numbers.items()}
    assert read_captions(tmp_path / "out" / "images", "picture_00000") == ["A dog.", "A person with a dog."]
    trials = load_trials(tmp_path / "out")
    assert trials.words(slice(0, 4)) == ["dog, person", "", "cat", "cat, person"] and (columns["label"] == -1).all()


def test_objects_that_are_not_told_or_told_in_two_ways(recorded, numbered, tmp_path, capsys):
    options = ("--recordings", recorded[0], "--pictures", numbered, "--event_picture", r"stim_train,(\d+),.*", "{1:5}")
    rows = [("00000", "dog"), ("00001", ""), ("00002", "cat"), ("00003", "Dog, cat")]
    short = write_table(tmp_path / "short.tsv", ("picture", "objects"), *rows[:3])
    message = fails(capsys, tmp_path / "out", *options, "--picture_list", short)
    assert "--picture_list: has no row for 1 of the 4 pictures shown, 00003.png" in message
    unlike = write_table(tmp_path / "unlike.tsv", ("picture", "objects"), *rows)
    assert "classes Dog, dog: differ by spelling" in fails(capsys, tmp_path / "out", *options, "--picture_list", unlike)


def test_simulated_pictures_of_several_things(tmp_path):
    prepare_data.main(["simulated", "--output", str(tmp_path / "out"), "--scenes", "objects", "--n_pictures", "24",
                       "--n_subjects", "1", "--image_size", "32", "--no_audit", "--classes", "cup", "car", "fish"])
    record, _, columns = open_folder(tmp_path / "out")
    kinds = ["cup", "car", "fish"]
    scenes = mixtures.sample_mixtures(24, record["about"]["seed"], kinds)
    for number, scene in enumerate(scenes):
        name = f"scene_{number:04d}"
        assert record["objects"][name] == sorted(map(kinds.index, scene.kinds))
        assert read_captions(tmp_path / "out" / "images", name) == list(mixtures.captions(scene))
    assert max(map(len, record["objects"].values())) > 1 and (columns["label"] == -1).all()


def test_captions_are_five_and_true():
    for scene in mixtures.sample_mixtures(200, 3):
        texts = mixtures.captions(scene)
        assert len(set(texts)) == 5 and len(set(scene.kinds)) == len(scene.kinds)
        assert len({part.place for part in scene.parts}) == len(scene.parts)
        for text in texts:
            named = [kind for kind, names in mixtures.NAMES.items() if any(name in text for name in names)]
            assert set(named) <= set(scene.kinds) and named


def test_the_code_of_several_things_is_made_of_the_things_own():
    """Linear but for the part that saturates: one thing has the code of its scene."""
    scene, = drawings.sample_scenes(1)
    other, = mixtures.sample_mixtures(1, 4)
    amplitude, delay = scene_code([mixtures.Mixture((scene,)), scene, other])
    assert np.array_equal(amplitude[0], amplitude[1]) and delay[0] == delay[1]
    assert not np.array_equal(amplitude[2], amplitude[1])


def test_a_new_recording_is_captioned_without_classes(recorded, numbered, clip, llm, tmp_path, capsys):
    for number in range(4):
        (numbered / f"{number:05d}.txt").write_text(f"A thing of kind {number}.\nAnother wording of {number}.\n")
    data = tmp_path / "data"
    prepare_data.main(["raw", "--output", str(data), "--no_audit", "--recordings", str(recorded[0]), "--pictures",
                       str(numbered), "--no_classes", "--event_picture", r"stim_train,(\d+),.*", "{1:5}", "--resample",
                       "100", "--split_by", "time", "--split_gap", "0"])
    model = train(data, tmp_path, clip, llm, epochs=1)
    capsys.readouterr()
    caption.main(["--model_path", str(model), "--recording", str(recorded[0]), "--every", "5", "--control", "--out",
                  str(tmp_path / "new.csv"), *SHORT])
    out, table = capsys.readouterr().out, read(tmp_path / "new.csv")
    assert "chance is" not in out and len(table) > 3 and set(table["class"]) == {""} and set(table["words"]) == {""}
    assert not table["caption"].eq("no confident reading").any() and "caption_noise" in table


@pytest.mark.parametrize("ending", [".jpg", ".PNG", ".webp"])
def test_a_sketch_may_be_of_another_kind_of_file(tmp_path, ending):
    """Only one of the photograph's own kind, .JPEG or .png was found; others were left out without a word."""
    photo = make_pictures(tmp_path / "pictures", count=1) / "cat" / "cat_0.png"
    sketch = photo.with_name(f"cat_0_sketch{ending}")
    sketch.write_bytes(photo.read_bytes())
    stimuli = find_stimuli(str(tmp_path / "pictures"))
    stimuli.settled = dict(stimuli.kind_of)
    assert name_pictures(stimuli, {"cat": "cat"}, ["cat/cat_0.png"])[1]["cat_0"].sketch == sketch
