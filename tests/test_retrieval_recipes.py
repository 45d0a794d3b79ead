"""recipes/make_things_like.py writes what prepare_data.py things reads; recipes/compare_targets.py tells means and SDs."""

import numpy as np
import pytest
from PIL import Image

import prepare_data
from bench.synthetic import write_pth
from eegdata.pictures import write_captions
from eegdata.trials import load_trials
from recipes import compare_targets, make_things_like

NAMES = [f"ball_{i}" for i in range(6)]


def repeated(folder, times):
    """6 pictures, each seen `times` times by person 1; the first sample of each trial is its number."""
    label, image, subject = [0] * 6 * times, [i for i in range(6) for _ in range(times)], [1] * 6 * times
    eeg = np.random.default_rng(0).normal(size=(6 * times, 4, 50))
    eeg[:, :, 0] = np.arange(6 * times)[:, None]
    write_pth(folder / "eeg.pth", eeg=eeg, label=label, image=image, subject=subject, images=NAMES, class_ids=["ball"],
              class_names=["ball"], sfreq=100, ch_names=["Pz", "O1", "Oz", "O2"])
    (folder / "images" / "ball").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        Image.new("RGB", (16, 16), (40 * number, 0, 0)).save(folder / "images" / "ball" / f"{name}.JPEG")
    write_captions(folder / "images", dict.fromkeys(NAMES, "A ball."))
    return folder / "eeg.pth"


def test_each_repetition_is_of_its_picture(tmp_path, capsys):
    file = repeated(tmp_path, 6)
    make_things_like.main(["--eeg_dataset", str(file), "--image_dir", str(tmp_path / "images"), "--test_pictures", "2",
                           "--output", str(tmp_path / "things")])
    prepare_data.main(["things", "--folder", str(tmp_path / "things"), "--average_test", "none", "--val_fraction", "0.2",
                       "--output", str(tmp_path / "data"), "--no_audit"])
    trials = load_trials(tmp_path / "data", 0)
    assert len(trials) == 4 * 4 + 2 * 6 and trials.sfreq == 100
    for name, first in zip(trials.names(slice(None)), trials.eeg[:][:, 0, 0].tolist(), strict=True):
        assert int(first) // 6 == NAMES.index(name.replace("-", "_").removesuffix("_01"))
    with pytest.raises(SystemExit) as stop:  # with other test pictures, those of before would be training pictures, too
        make_things_like.main(["--eeg_dataset", str(file), "--image_dir", str(tmp_path / "images"), "--test_pictures", "3",
                               "--output", str(tmp_path / "things")])
    assert stop.value.code == 2 and "is there already" in capsys.readouterr().err


def test_too_few_repetitions_are_refused(tmp_path, capsys):
    file = repeated(tmp_path, 3)
    with pytest.raises(SystemExit) as stop:
        make_things_like.main(["--eeg_dataset", str(file), "--image_dir", str(tmp_path / "images"), "--output",
                               str(tmp_path / "things")])
    assert stop.value.code == 2 and "seen 3 to 3 times by each person" in capsys.readouterr().err
    assert not (tmp_path / "things").exists()


def test_a_table_of_targets_and_losses(tmp_path, monkeypatch, capsys):
    asked, file = [], repeated(tmp_path / "data", 1)

    def scored(args, folder, seed, more):
        asked.append((folder, seed, more))
        return {(1, 1, "cosine"): .2 + .1 * seed, (4, 2, "csls"): .5}

    monkeypatch.setattr(compare_targets, "scored", scored)
    given = ["--eeg_dataset", str(file), "--clip_model", str(tmp_path), "--output", str(tmp_path), "--seeds", "0", "2"]
    compare_targets.main([*given, "--layers", "1", "final"])
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == "| target and losses | 1 x 1, cosine | 4 x 2, csls (transductive) |" and len(lines) == 2 + 9
    assert lines[2] == "| final embedding, mse | 0.300 ± 0.141 | 0.500 ± 0.000 |"
    folder, *options = asked[-1]
    assert folder.name == "learned_mix_mse_infonce_2"
    assert options == [2, ["--target_layers", "1", "final", "--target_mix", "learned", "--loss", "mse", "infonce"]]
    made = {folder.parent}
    for more in ("", "--layers 1 final", "--layers 2 final", "--num_epochs 3", "--subject 1"):
        compare_targets.main([*given, *more.split()])  # encoders of other options were taken for these
        made.add(asked[-1][0].parent)
    assert len(made) == 5


def test_a_stage_that_refuses_its_input_ends_the_recipe_without_a_traceback(tmp_path, capfd):
    with pytest.raises(SystemExit) as stop:
        compare_targets.main(["--eeg_dataset", str(repeated(tmp_path / "data", 1)), "--clip_model", str(tmp_path / "no"),
                              "--output", str(tmp_path)])
    said = capfd.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(said) == 2 and "--clip_model" in said[0]
    assert said[1].startswith("error: train_eeg_classifier.py ended with exit code 2")


@pytest.mark.parametrize("text", ["repetitions,people,similarity,top1\n1,1,cosine\n", "repetitions,people\n1,1\n",
                                  "repetitions,people,similarity,top1\n1,1,cosine,x\n", ""])
def test_a_damaged_table_of_an_encoder_is_named(tmp_path, capsys, text, monkeypatch):
    file = repeated(tmp_path / "data", 1)
    monkeypatch.setattr(compare_targets, "made_from", lambda args: "key")
    for seed in range(3):
        kept = tmp_path / "key" / f"final_embedding_mse_{seed}" / "test" / "retrieval.csv"
        kept.parent.mkdir(parents=True)
        kept.write_text(text)
    with pytest.raises(SystemExit) as stop:
        compare_targets.main(["--eeg_dataset", str(file), "--clip_model", str(tmp_path), "--output", str(tmp_path)])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "retrieval.csv" in said and said.startswith("error: ") and len(said.splitlines()) == 1
