import pickle

from runtime.errors import InputError

import pytest
import torch

from datautils import collate, image_embeddings
from eegdata.pictures import read_caption
from eegdata.splits import load_split, write_splits
from eegdata.trials import load_trials
from tiny import CHANNELS


def published(path, n_pictures=4, n_subjects=2, lengths=(500, 455, 440, 600)):
    """A small file exactly in the published layout: no sampling rate, records of unequal length."""
    images = [f"n0{i % 2}_{i}" for i in range(n_pictures)]
    records = [{"eeg": torch.randn(3, lengths[(s + i) % len(lengths)]), "image": i, "label": i % 2, "subject": s}
               for s in range(1, n_subjects + 1) for i in range(n_pictures)]
    torch.save({"dataset": records, "labels": ["n00", "n01"], "images": images}, path)
    return records


def test_published_window_and_dropped_lengths(tmp_path, capsys):
    records = published(tmp_path / "eeg.pth")
    trials = load_trials(tmp_path / "eeg.pth")
    kept = [i for i, record in enumerate(records) if 460 <= record["eeg"].shape[1] <= 600]
    assert trials.trial.tolist() == kept and trials.eeg.shape[1:] == (3, 440)
    assert torch.equal(trials.eeg[0], records[kept[0]]["eeg"][:, 20:460])
    assert f"{len(records) - len(kept)} of {len(records)} trials dropped" in capsys.readouterr().out
    assert trials.class_names == {0: "n00", 1: "n01"}


def test_own_files_carry_rate_and_channels(data):
    trials = load_trials(data / "eeg.pth")
    assert (trials.sfreq, trials.ch_names, tuple(trials.eeg.shape)) == (128.0, CHANNELS, (96, 6, 64))
    assert set(load_trials(data / "eeg.pth", subject=2).subject.tolist()) == {2}


def test_pickles_that_execute_are_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    with open(tmp_path / "eeg.pth", "wb") as file:
        pickle.dump({"dataset": Bomb()}, file, protocol=2)
    with pytest.raises(InputError, match=r"holds code, which is never run"):
        load_trials(tmp_path / "eeg.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("damage", ["short", "flipped", "text"])
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "eeg.pth"
    published(path)
    content = bytearray(path.read_bytes())
    if damage == "short":
        content = content[:len(content) // 2]
    elif damage == "flipped":
        content[200:260] = bytes(60)
    else:
        content = b"subject,eeg\n1,2\n"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"eeg\.pth"):
        load_trials(path)


def test_nan_and_channel_mismatch(tmp_path):
    records = [{"eeg": torch.zeros(3, 500), "image": 0, "label": 0, "subject": 1} for _ in range(3)]
    records[2]["eeg"][1, 100] = float("nan")
    torch.save({"dataset": records, "labels": ["a"], "images": ["a_1"]}, tmp_path / "nan.pth")
    with pytest.raises(InputError, match="record 2 holds NaN"):
        load_trials(tmp_path / "nan.pth")
    records[2]["eeg"] = torch.zeros(4, 500)
    torch.save({"dataset": records, "labels": ["a"], "images": ["a_1"]}, tmp_path / "chans.pth")
    with pytest.raises(InputError, match="record 2 has 4 channels, others have 3"):
        load_trials(tmp_path / "chans.pth")


def test_single_subject_splits_are_told_apart(tmp_path):
    records = published(tmp_path / "eeg.pth", n_pictures=6, lengths=(500,))
    single = {"train": [0, 1, 2, 3], "val": [4], "test": [5]}
    write_splits(tmp_path / "single.pth", single)
    second = load_trials(tmp_path / "eeg.pth", subject=2)
    split = load_split(tmp_path / "single.pth", second, index="subject")
    assert second.trial[split["test"]].tolist() == [11]
    whole = {"train": [0, 1, 2, 3, 6, 7, 8, 9], "val": [4, 10], "test": [5, 11]}
    write_splits(tmp_path / "all.pth", whole)
    split = load_split(tmp_path / "all.pth", second)
    assert second.trial[split["train"]].tolist() == [6, 7, 8, 9]
    assert len(records) == 12
    with pytest.raises(InputError, match="alike"):
        load_split(tmp_path / "single.pth", second)


def test_single_splits_without_subject_are_refused(tmp_path):
    """Read over all records such a file mixes pictures between parts; read over a subject's it does not."""
    images = [f"a_{i}" for i in range(4)]
    records = [{"eeg": torch.zeros(2, 500), "image": i // 2, "label": 0, "subject": s}
               for i in range(8) for s in ((1, 2)[i % 2],)]
    torch.save({"dataset": records, "labels": ["a"], "images": images}, tmp_path / "eeg.pth")
    write_splits(tmp_path / "single.pth", {"train": [0, 1], "val": [2], "test": [3]})
    with pytest.raises(InputError, match="one subject"):
        load_split(tmp_path / "single.pth", load_trials(tmp_path / "eeg.pth"))


@pytest.mark.parametrize(("parts", "message"), [
    ({"train": [0, 1], "val": [1], "test": [2]}, "record 1 is in 'train' and in 'val'"),
    ({"train": [0, 1], "val": [2], "test": [999]}, "index 999 is out of range"),
    ({"train": [0, 1], "val": [], "test": [2]}, "part 'val' is empty"),
])
def test_bad_splits(tmp_path, data, parts, message):
    write_splits(tmp_path / "splits.pth", parts)
    with pytest.raises(InputError, match=message):
        load_split(tmp_path / "splits.pth", load_trials(data / "eeg.pth"))


def test_captions(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "a_1_caption.txt"
    path.write_text("<s> A cat. </s>\nsecond line\n")
    assert read_caption(tmp_path, "a_1") == "A cat."
    path.write_text("\n")
    with pytest.raises(InputError, match="first line is empty"):
        read_caption(tmp_path, "a_1")
    with pytest.raises(InputError, match="no caption for picture a_2"):
        read_caption(tmp_path, "a_2")


def test_embeddings_are_made_once_and_equal_transformers(data, clip, tmp_path, monkeypatch):
    from PIL import Image
    from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

    import datautils

    names = ["cat_0", "dog_1", "cat_0"]
    rows = image_embeddings(names, data / "images", str(clip), "photo", cache=tmp_path)
    model = CLIPVisionModelWithProjection.from_pretrained(clip).eval()
    pixels = CLIPImageProcessorPil.from_pretrained(clip)(
        images=Image.open(data / "images" / "dog" / "dog_1.JPEG"), return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(rows[1], model(**pixels).image_embeds[0], atol=1e-5)
    assert torch.equal(rows[0], rows[2])
    monkeypatch.setattr(datautils, "embed_layers", lambda *a: pytest.fail("embedded again"))
    assert torch.equal(image_embeddings(names, data / "images", str(clip), "photo", cache=tmp_path), rows)


def test_missing_picture_names_the_other_kind(data, clip):
    with pytest.raises(InputError, match=r"cat_99_sketch\.JPEG: picture not found.*--picture photo"):
        image_embeddings(["cat_99"], data / "images", str(clip), "sketch")


def test_collate_masks_by_length_not_by_token():
    """Padding id 0 is also a real token of the prompt here: it must not be masked."""
    rows = [{"before": [0, 7], "after": [0], "caption": [5, 0], "soft": True, "embedding": torch.zeros(2)},
            {"before": [7], "after": [], "caption": [0], "soft": False, "embedding": torch.zeros(2)}]
    batch = collate(rows, soft_tokens=2, pad_id=0)
    assert batch["attention_mask"].tolist() == [[1] * 7, [0, 0, 0, 0, 0, 1, 1]]
    assert batch["labels"].tolist() == [[-100] * 5 + [5, 0], [-100] * 6 + [0]]
    assert batch["soft_mask"].tolist() == [[False, False, True, True, False, False, False], [False] * 7]
