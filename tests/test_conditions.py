"""The controls and baselines: what the LLM is shown, and that each differs from the model in nothing else."""

import json
import shutil

from runtime.runs import content_key, file_hash

import pandas
import pytest
import torch
from safetensors.torch import load_file, save_file

from captioning import captions_csv
from captioning.captioner import Captioner
from captioning.conditions import matched_noise
from eegdata.splits import write_splits
from encoders import encode, load_encoder
from finetuning import COLUMNS, write, write_controls
from metrics import conditions
from metrics.exchange import swap
from tiny import CLASSES


@pytest.fixture(scope="module")
def controls(captioner, data, tmp_path_factory):
    """What inference_chance.py writes by default, beside the model's own captions: {condition: table}, and the folder."""
    folder = tmp_path_factory.mktemp("controls")
    write(captioner, data, folder / "c.csv", "--max_new_tokens", "4")
    write_controls(captioner, data, folder / "c.csv")
    tables = {c: pandas.read_csv(folder / (f"c_{c}.csv" if c != "eeg+label" else "c.csv"), keep_default_na=False, dtype=str)
              for c in conditions.NAMES}
    return tables, folder


def test_controls_and_baselines_write_one_file_a_condition(controls):
    tables, folder = controls
    names = {"c.csv", *(f"c_{c}.csv" for c in conditions.NAMES[1:])}
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
    from eegdata.trials import load_trials

    tables, _ = controls
    own = tables["eeg+label"]
    trials = load_trials(data / "eeg.pth")
    _, logits = encode(load_encoder(str(captioner / "eeg_encoder")), trials.eeg[own["trial"].astype(int).tolist()])
    temperature = json.loads((captioner / "eeg_encoder" / "config.json").read_text())["class_temperature"]
    weights = torch.exp((logits.double() - logits.double().max(1, keepdim=True).values) / temperature)
    probability, predicted = (weights / weights.sum(1, keepdim=True)).max(1)
    assert own["probability"].tolist() == [f"{p:.4f}" for p in probability.tolist()]
    assert own["probability"].nunique() > 3
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
    from eegdata.pictures import read_caption

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
    write_controls(captioner, tmp_path / "data", tmp_path / "c.csv", "--conditions", *conditions.BASELINES)
    for kind in conditions.BASELINES:
        again = pandas.read_csv(tmp_path / f"c_{kind}.csv", dtype=str)
        assert again["Generated Caption"].equals(tables[kind]["Generated Caption"])
        assert set(again["Expected Caption"]) == {"Something else entirely."}


def test_nearest_picture_is_found_by_the_embeddings(controls, captioner, data, clip):
    """By scipy's cosine distance, from the pictures' and the EEG's embeddings."""
    from scipy.spatial.distance import cdist

    from datautils import image_embeddings
    from eegdata.pictures import read_caption
    from eegdata.trials import load_trials

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
    assert [path.name for path in tmp_path.glob("*.csv")] == ["c_label.csv"]  # never in place of the model's own
    write_splits(tmp_path / "splits.pth", {"train": [0], "val": [20], "test": [24, 25]})
    capsys.readouterr()
    write_controls(captioner, data, tmp_path / "d.csv", *more, "label", "template")
    assert "note: template: fitted on the 1 training pictures of these trials; the captioner was trained on 14 more" in (
        capsys.readouterr().out)


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


def test_noise_in_place_of_few_trials_does_not_hold_them(captioner, data, tmp_path, monkeypatch):
    """The mean and covariance of one embedding are that embedding itself."""
    made = {}
    monkeypatch.setattr(captions_csv, "captions_of", lambda captioner, shown, answered, *given, desc, **more: (
        made.update({desc: shown.embeddings}) or ["A cat."] * len(answered)))
    write_splits(tmp_path / "splits.pth", {"train": [0], "val": [20], "test": [24]})
    one = (captioner, data, tmp_path / "c.csv", "--splits_path", str(tmp_path / "splits.pth"))
    write(*one)
    write_controls(*one, "--conditions", "noise", "noise+label")
    assert torch.equal(made["noise"], made["noise+label"])
    scale = load_file(captioner / "projector.safetensors")["eeg_scale"]
    assert (made["noise"] - made["eeg+label"]).square().mean().sqrt() > scale / 2


def test_noise_is_the_same_in_blocks(monkeypatch):
    embeddings = torch.randn(40, 4)
    whole = matched_noise(embeddings, torch.Generator().manual_seed(1))
    monkeypatch.setattr("captioning.conditions.NOISE_ROWS", 16)
    assert torch.equal(matched_noise(embeddings, torch.Generator().manual_seed(1)), whole)


def test_another_clip_model_of_the_same_size_is_refused(captioner, data, clip, tmp_path, capsys):
    """Its embeddings mean nothing to the captioner: the ceiling would be a floor, and nobody would see why."""
    other = shutil.copytree(clip, tmp_path / "clip")
    weights = load_file(other / "model.safetensors")
    save_file({name: tensor.flip(0) for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"})
    for condition in ("image", "nearest_picture"):
        with pytest.raises(SystemExit) as stop:
            write_controls(captioner, data, tmp_path / "c.csv", "--conditions", condition, "--clip_model", str(other))
        said = capsys.readouterr().err
        assert stop.value.code == 2 and "other weights than those that the captioner was trained with" in said
    moved = shutil.copytree(clip, tmp_path / "moved")
    write_controls(captioner, data, tmp_path / "c.csv", "--conditions", "image", "--clip_model", str(moved))
    assert (tmp_path / "c_image.csv").is_file()


def test_the_key_tells_predecessors_llms_apart(tmp_path):
    captioners = []
    for name, llm in (("a", b"123"), ("b", b"124"), ("c", b"123")):
        (tmp_path / name / "llm").mkdir(parents=True)
        (tmp_path / name / "projector.pth").write_bytes(b"same")
        (tmp_path / name / "llm" / "model.safetensors").write_bytes(llm)
        captioner = Captioner.__new__(Captioner)  # the files alone make the key
        captioner.folder = tmp_path / name
        captioners.append(captioner)
    a, b, c = (captioner.key for captioner in captioners)
    assert a == c != b
