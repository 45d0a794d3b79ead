"""Events and pictures of prepare_data.py raw: tables, names, folders, captions, and what is wrong with them."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

import prepare_data
from eegdata.dataset_folder import open_folder
from eegdata.pictures import read_captions
from raw_material import ONSETS, make_pictures, make_raw, save, write_table
from sources import spelling

pytest.importorskip("mne")
EXPLICIT = ("onset", "picture")


@pytest.fixture
def recording(tmp_path):
    return save(make_raw(), tmp_path / "one_raw.fif")


@pytest.fixture
def prepare(tmp_path, recording):
    def run(*options, output="out", recordings=(recording,)):
        prepare_data.main(["raw", "--recordings", *map(str, recordings), "--output", str(tmp_path / output), "--no_audit",
                           "--split_gap", "0", *map(str, options)])
        record, _, columns = open_folder(tmp_path / output)
        return record, columns

    return run


@pytest.fixture
def fails(prepare, capsys):
    def run(*options, **more):
        with pytest.raises(SystemExit) as stop:
            prepare(*options, **more)
        assert stop.value.code == 2
        return capsys.readouterr().err.strip().splitlines()[-1].removeprefix("error: ")

    return run


def shown(count=12, kinds=("cat", "dog")):
    """Rows (onset, picture): the classes in turn, their four pictures in turn."""
    return [(f"{ONSETS[i]:.3f}", f"{kinds[i % 2]}_{i // 2 % 4}.png") for i in range(count)]


def test_a_table_of_pictures(prepare, tmp_path):
    """Names by path, file or stem; captions from the table and beside the picture; classes by folder."""
    pictures = make_pictures(tmp_path / "pictures", ("cat", "air conditioner"))
    (pictures / "cat" / "cat_0_caption.txt").write_text("<s>A cat.</s>\nA second caption.\n", encoding="utf-8")
    (pictures / "cat" / "cat_1.txt").write_text("A grey cat.\n", encoding="utf-8")
    rows = [(*row[:2], "") for row in shown(16, ("cat", "air conditioner"))]
    rows[0] = (rows[0][0], "cat/cat_0.png", "n/a")
    rows[1] = (rows[1][0], "air conditioner_0", "A white box.")
    rows[9] = (*rows[9][:2], "A box on a wall.")
    table = write_table(tmp_path / "events.tsv", (*EXPLICIT, "caption"), *rows)
    record, columns = prepare("--events", table, "--pictures", pictures)
    assert record["class_ids"] == ["air-conditioner", "cat"] and record["class_names"] == ["air conditioner", "cat"]
    assert record["pictures_known"] == "yes" and record["split_by"] == "picture" and len(record["pictures"]) == 8
    wanted = [f"{'air-conditioner' if i % 2 else 'cat'}_{i // 2 % 4}" for i in range(16)]
    assert columns["picture"].tolist() == wanted and columns["label"].tolist() == [1 - i % 2 for i in range(16)]
    images = tmp_path / "out" / "images"
    assert read_captions(images, "cat_0") == ["A cat.", "A second caption."]
    assert read_captions(images, "cat_1") == ["A grey cat."]
    assert read_captions(images, wanted[1]) == ["A white box.", "A box on a wall."]  # picture 0 is shown twice
    assert not (images / "cat" / "cat_2_caption.txt").exists()
    with Image.open(images / "cat" / "cat_3.JPEG") as picture:
        assert picture.size == (12, 10) and abs(picture.getpixel((5, 5))[1] - 120) < 6


def test_annotations_that_name_pictures_or_classes(prepare, tmp_path, capsys):
    pictures = make_pictures(tmp_path / "pictures")
    names = save(make_raw(texts=("cat_0.png", "dog/dog_1.png", "fixation", "cat_2", "dog_0", "cat_1.png", "dog_2.png")),
                 tmp_path / "names_raw.fif")
    record, columns = prepare("--pictures", pictures, recordings=(names,))
    assert record["pictures_known"] == "yes" and record["about"]["events"]["ignored"] == {"fixation": 4}
    assert Counter(columns["picture"]) == dict.fromkeys(["cat_0", "cat_1", "cat_2", "dog_0", "dog_1", "dog_2"], 4)
    record, columns = prepare("--pictures", pictures, output="class")
    assert "WHICH one was seen is not known" in capsys.readouterr().out
    assert record["pictures_known"] == "class" and "NOT known" in record["about"]["pictures"]
    assert columns["picture"].tolist() == [f"{'dog' if i % 2 else 'cat'}_{i // 2 % 4}" for i in range(len(ONSETS))]
    assert record["split_by"] == "time"


def test_a_map_of_codes(prepare, tmp_path):
    """Trigger codes to pictures and classes; other codes are counted."""
    pictures = make_pictures(tmp_path / "pictures", flat=True)
    codes = save(make_raw(texts=("S 11", "S 12", "S 21", "S 22", "S 13", "S 23", "S 99")), tmp_path / "codes_raw.fif")
    rows = [(f"S {10 * (k + 1) + i + 1}", f"{kind}_{i}.png", kind, f"Caption {kind} {i}.")
            for k, kind in enumerate(("cat", "dog")) for i in range(3)]
    table = write_table(tmp_path / "map.tsv", ("event", "picture", "class", "caption"), *rows, (*rows[0][:3], "Once more."))
    record, columns = prepare("--picture_map", table, "--pictures", pictures, recordings=(codes,))
    assert record["about"]["events"] == {"shown": {"cat": 12, "dog": 12}, "ignored": {"S 99": 4}}
    assert columns["picture"][:6].tolist() == ["cat_0", "cat_1", "dog_0", "dog_1", "cat_2", "dog_2"]
    assert read_captions(tmp_path / "out" / "images", "cat_0") == ["Caption cat 0.", "Once more."]
    classes = write_table(tmp_path / "classes.tsv", ("event", "class"), *((row[0], row[2]) for row in rows))
    record, columns = prepare("--picture_map", classes, recordings=(codes,), output="classes")
    assert record["pictures_known"] == "no" and record["class_names"] == ["cat", "dog"] and len(columns["label"]) == 24


def test_a_picture_list_for_a_flat_folder(prepare, tmp_path):
    pictures = make_pictures(tmp_path / "pictures", flat=True)
    listed = write_table(tmp_path / "list.tsv", ("picture", "class", "caption", "caption2"), *(
        (f"{kind}_{i}.png", f"{kind} animal", f"{kind} {i}", f"more {i}") for kind in ("cat", "dog") for i in range(4)),
        ("cat_0.png", "cat animal", "third", ""))
    table = write_table(tmp_path / "events.tsv", EXPLICIT, *shown())
    record, columns = prepare("--events", table, "--pictures", pictures, "--picture_list", listed)
    assert record["class_ids"] == ["cat-animal", "dog-animal"] and columns["picture"][0] == "cat-animal_cat_0"
    assert read_captions(tmp_path / "out" / "images", "cat-animal_cat_0") == ["cat 0", "more 0", "third"]


def test_the_captions_of_the_shared_photographs(prepare, shared, tmp_path):
    """40 photographs with their own list, shown once each by number of sample."""
    folder, lines = shared / "images40", (shared / "images40" / "captions.tsv").read_text(encoding="utf-8").splitlines()[1:]
    listed = write_table(tmp_path / "list.tsv", ("picture", "class", "caption"), *(line.split("\t") for line in lines))
    names = [line.split("\t")[0] for line in lines]
    rows = [(800 + 160 * i, name) for i, name in enumerate(names)]
    table = write_table(tmp_path / "events.tsv", ("sample", "picture"), *rows)
    record, columns = prepare("--events", table, "--pictures", folder, "--picture_list", listed, "--tmax", "0.5")
    assert len(record["pictures"]) == len(record["class_ids"]) == 40 and record["split_by"] == "class"
    np.testing.assert_allclose(columns["onset"], 4 + .8 * np.arange(40))
    first = record["pictures"][0]
    assert read_captions(tmp_path / "out" / "images", first) == [lines[names.index(first + ".JPEG")].split("\t")[2]]


def test_tables_beside_recordings_and_for_several(prepare, tmp_path, capsys):
    paths = [save(make_raw(seed=i), tmp_path / f"sub-{i}_task-x_eeg_raw.fif") for i in (1, 2)]
    for number, path in enumerate(paths):
        write_table(path.with_name(f"{path.name.removesuffix('.fif')}_events.tsv"), ("onset", "duration", "class"),
                    *((onset, .5, "cat" if (i + number) % 2 else "dog") for i, onset in enumerate(ONSETS[:12])))
    record, columns = prepare(recordings=paths)
    assert "beside" in capsys.readouterr().out
    assert columns["label"].tolist() == [1, 0] * 6 + [0, 1] * 6
    table = write_table(tmp_path / "all.tsv", ("file", "onset", "class"), *(
        (path.name if i % 2 else path.name.removesuffix(".fif"), onset, "cat" if i % 2 else "dog")
        for path in paths for i, onset in enumerate(ONSETS[:10])))
    record, columns = prepare("--events", table, recordings=paths, output="all")
    assert columns["label"].tolist() == [1, 0] * 10 and len(record["recordings"]) == 2


WRONG = {  # what is wrong: header, rows, words of the message
    "no onset": (("time", "picture"), [(1, "cat_0.png")], ["line 1", "time, picture", "expected onset"]),
    "nothing shown": (("onset", "duration"), [(1, 2)], ["line 1", "picture", "trial_type"]),
    "no header": ((3.0, "cat_0.png"), [(4.0, "cat_1.png")], ["line 1", "expected onset"]),
    "onset in words": (EXPLICIT, [(3, "cat_0.png"), ("4,5", "cat_1.png")], ["line 3", "'4,5'", "decimal point"]),
    "onset missing": (EXPLICIT, [("n/a", "cat_0.png")], ["line 2", "onset"]),
    "half a sample": (("sample", "picture"), [(300.5, "cat_0.png")], ["line 2", "whole number"]),
    "after the end": (EXPLICIT, [(3, "cat_0.png"), (41, "cat_1.png")], ["line 3", "41", "40.000 s", "milliseconds"]),
    "before the start": (EXPLICIT, [(-1, "cat_0.png")], ["line 2", "-1"]),
    "swapped rows": (EXPLICIT, [(3, "cat_0.png"), (5, "dog_0.png"), (4, "cat_1.png")], ["line 4", "line 3", "sort"]),
    "twice at once": (EXPLICIT, [(3, "cat_0.png"), (3.001, "dog_0.png")], ["line 3", "line 2", "one picture at a time"]),
    "no such picture": (EXPLICIT, [(3, "cat_0.png"), (4, "cat_77.png")], ["line 3", "cat_77.png", "8 pictures"]),
    "no such class": (("onset", "class"), [(3, "cat"), (4, "fish")], ["line 3", "fish", "cat, dog"]),
    "a cell too few": (EXPLICIT, [(3, "cat_0.png"), (4,)], ["line 3", "1 cells, expected 2"]),
    "two classes": (("onset", "picture", "class"), [(3, "cat_0.png", "cat"), (4, "cat_0.png", "dog")],
                    ["line 3", "one class"]),
    "column twice": (("onset", "picture", "picture"), [(3, "cat_0.png", "")], ["line 1", "each once"]),
    "spelling": (("onset", "picture", "class"), [(3, "cat_0.png", "cat"), (4, "cat_1.png", "Cat")],
                 ["spelling", "Cat, cat"]),
    "no letters": (("onset", "picture", "class"), [(3, "cat_0.png", "_")], ["line 2", "no letter"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_in_an_events_table(fails, tmp_path, what):
    pictures = make_pictures(tmp_path / "pictures")
    header, rows, words = WRONG[what]
    table = write_table(tmp_path / "events.tsv", header, *rows)
    message = fails("--events", table, "--pictures", pictures)
    assert (str(table) in message or what == "spelling") and "\n" not in message
    for word in words:
        assert word in message, message


def test_tables_that_are_no_tables(fails, prepare, tmp_path):
    pictures, table = make_pictures(tmp_path / "pictures"), tmp_path / "events.tsv"
    for content, word in ((b"", "line 1"), (b"\xff\xfe\x00picture", "UTF-8"), (b"onset,picture\n3,cat_0.png\n", "tabs"),
                          (b"\n\n", "line 1")):
        table.write_bytes(content)
        message = fails("--events", table, "--pictures", pictures)
        assert str(table) in message and word in message
    assert "no such file" in fails("--events", tmp_path / "none.tsv")
    assert "is a folder" in fails("--events", pictures)
    csv = tmp_path / "events.csv"
    csv.write_text("onset,picture\n" + "".join(f"{onset},{name}\n" for onset, name in shown()), encoding="utf-8")
    assert len(prepare("--events", csv, "--pictures", pictures)[1]["label"]) == 12


def test_cells_as_spreadsheets_and_web_pages_give_them(prepare, tmp_path):
    """Quotes around a cell and doubled ones in it; characters that Python, but no editor, takes for ends of lines."""
    pictures = make_pictures(tmp_path / "pictures")
    rows = [(onset, name, "") for onset, name in shown()]
    rows[0], rows[1] = (*rows[0][:2], '"A ""big"" cat, grey."'), (*rows[1][:2], "A dog\u2028on\x0b a\x85 rug.")
    rows[2] = (*rows[2][:2], '"Cat" is written on the "cat"')
    prepare("--events", write_table(tmp_path / "events.tsv", (*EXPLICIT, "caption"), *rows), "--pictures", pictures)
    captions = [read_captions(tmp_path / "out" / "images", name) for name in ("cat_0", "dog_0", "cat_1")]
    assert captions == [['A "big" cat, grey.'], ["A dog on a rug."], ['"Cat" is written on the "cat"']]
    table = tmp_path / "events.csv"
    table.write_text("onset,picture,caption\n" + "".join(f'{onset},{name},"{"A cat. " * 30000}"\n' for onset, name, _ in
                                                         rows[:1]) + f"{rows[1][0]},{rows[1][1]},x\n", encoding="utf-8")
    with pytest.raises(SystemExit):  # of two trials no splits are made
        prepare("--events", table, "--pictures", pictures, output="long")
    assert len(read_captions(tmp_path / "long" / "images", "cat_0")[0]) == 210000 - 1


def test_a_unit_of_onsets_that_are_not_there(fails, tmp_path):
    """It was ignored where the table counts samples."""
    table = write_table(tmp_path / "events.tsv", ("sample", "picture"), (600, "cat_0.png"))
    message = fails("--events", table, "--pictures", make_pictures(tmp_path / "pictures"), "--onset_unit", "ms")
    assert "has no column onset, so --onset_unit has no effect" in message


def test_nothing_in_the_table_or_in_the_recording(fails, tmp_path):
    table = write_table(tmp_path / "events.tsv", EXPLICIT)
    assert f"{table}: has no events" in fails("--events", table)
    table.write_bytes("onset\tpicture\n".encode("utf-16-le"))
    assert "zero bytes" in fails("--events", table)
    for option in (("--picture_column", "stim"), ("--onset_unit", "ms")):  # of a table, which is not there
        assert " ".join(option) in fails("--event_names", ".*", *option)
    silent = make_raw().set_annotations(None)
    message = fails("--event_names", ".*", recordings=[save(silent, tmp_path / "silent_raw.fif")])
    assert "none at all; expected --events TSV" in message and "--stim_channel" in message


def test_mistakes_in_maps_lists_and_folders(fails, tmp_path, recording):
    pictures, events = make_pictures(tmp_path / "pictures"), ("--event_names", ".*")
    assert "no such folder" in fails("--pictures", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "contains no pictures" in fails("--pictures", tmp_path / "empty")
    assert "--event_names [" in fails("--event_names", "[")
    assert "--pictures FOLDER" in fails("--picture_list", write_table(tmp_path / "l.tsv", ("picture",), ("a",)))
    wrong = write_table(tmp_path / "m.tsv", ("event", "picture"), ("cat", "cat_0.png"), ("dog", "none.png"))
    assert "line 3" in (message := fails("--picture_map", wrong, "--pictures", pictures)) and "none.png" in message
    wrong = write_table(tmp_path / "m.tsv", ("event", "class"), ("cat", "fish"))
    assert "fish" in fails("--picture_map", wrong, "--pictures", pictures)
    wrong = write_table(tmp_path / "m.tsv", ("name", "class"), ("cat", "fish"))
    assert "expected event" in fails("--picture_map", wrong)
    wrong = write_table(tmp_path / "m.tsv", ("event", "class"), ("cat", "a"), ("cat", "b"))
    assert "line 3" in fails("--picture_map", wrong)
    unused = write_table(tmp_path / "m.tsv", ("event", "class"), ("S 1", "a"))
    assert "cat (14), dog (14)" in fails("--picture_map", unused)
    wrong = write_table(tmp_path / "l.tsv", ("picture", "class"), ("cat_0.png", "cat"), ("cat_9.png", "cat"))
    assert "line 3" in fails("--picture_list", wrong, "--pictures", pictures, *events)
    wrong = write_table(tmp_path / "l.tsv", ("picture", "class"), ("cat_0.png", "cat"), ("cat_0.png", "dog"))
    assert "line 3" in fails("--picture_list", wrong, "--pictures", pictures, *events)
    flat = make_pictures(tmp_path / "flat", flat=True)
    table = write_table(tmp_path / "events.tsv", EXPLICIT, *shown())
    assert "column class" in fails("--events", table, "--pictures", flat)
    assert "--pictures" in fails("--events", table)
    same = make_pictures(tmp_path / "same")
    Image.new("RGB", (4, 4)).save(same / "cat" / "cat_0.bmp")
    both = write_table(tmp_path / "both.tsv", EXPLICIT, (3, "cat_0.png"), (4, "cat_0.bmp"))
    assert "rename" in fails("--events", both, "--pictures", same)
    unclear = write_table(tmp_path / "b.tsv", EXPLICIT, (3, "cat_0"))
    assert "matches 2 pictures" in fails("--events", unclear, "--pictures", same)
    (same / "cat" / "cat_1.png").write_bytes((same / "cat" / "cat_1.png").read_bytes()[:40])
    broken = write_table(tmp_path / "c.tsv", EXPLICIT, (3, "cat_1.png"), (4, "dog_1.png"))
    assert "cat_1.png" in fails("--events", broken, "--pictures", same)


def test_pictures_that_are_called_sketches_are_told(fails, tmp_path):
    """They lie there, and the message said that none does, or to add the file."""
    folder = make_pictures(tmp_path / "drawn")
    for path in list(folder.rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}_sketch.png"))
    table = write_table(tmp_path / "drawn.tsv", ("onset", "picture"), (3, "cat_0_sketch.png"), (5, "dog_0_sketch.png"))
    options = ("--pictures", folder, "--events", table)
    assert "only sketches: names that end in _sketch are kept" in fails(*options)
    make_pictures(folder, count=1)
    message = fails(*options)
    assert f"{table}, line 2: picture 'cat_0_sketch.png' is not among" in message and "names that end in _sketch" in message


def test_mistakes_between_tables_and_recordings(fails, tmp_path):
    paths = [save(make_raw(seed=i), tmp_path / f"sub-{i}_raw.fif") for i in (1, 2)]
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), (3, "cat"))
    assert "column file" in fails("--events", table, recordings=paths)
    table = write_table(tmp_path / "events.tsv", ("file", "onset", "class"), ("sub-9_raw.fif", 3, "cat"))
    assert "line 2" in (message := fails("--events", table, recordings=paths)) and "sub-9_raw.fif" in message
    write_table(tmp_path / "sub-1_raw_events.tsv", ("onset", "class"), (3, "cat"))
    assert "sub-2_raw_events.tsv" in fails(recordings=paths)
    (tmp_path / "sub-1_raw_events.tsv").unlink()
    people = write_table(tmp_path / "people.tsv", ("file", "subject"), ("sub-1_raw.fif", "a"))
    assert "no row for sub-2_raw.fif" in fails("--participants", people, "--event_names", ".*", recordings=paths)
    people = write_table(tmp_path / "people.tsv", ("file", "name"), ("sub-1_raw.fif", "a"))
    assert "column subject is missing" in fails("--participants", people, "--event_names", ".*", recordings=paths)
    twins = [save(make_raw(seed=i), tmp_path / f"sub-{i}" / "run_raw.fif") for i in (1, 2)]
    table = write_table(tmp_path / "events.tsv", ("file", "onset", "class"), ("run_raw.fif", 3, "cat"))
    assert "matches 2 recordings" in fails("--events", table, recordings=twins)
    people = write_table(tmp_path / "people.tsv", ("file", "subject"), *[("sub-1/run_raw.fif", "a")] * 2)
    assert "line 3" in fails("--participants", people, "--event_names", ".*", recordings=twins)
    other = save(make_raw(seed=3), tmp_path / "other_raw.fif")
    assert "other_raw.fif has no subject" in fails("--event_names", ".*", recordings=[*paths, other])


def test_class_ids():
    for name, slug in (("air conditioner", "air-conditioner"), ("n02106662", "n02106662"), ("a_b", "a-b"), ("_", ""),
                       ("  Katze/Hund ", "Katze-Hund"), ("Käse", "Käse")):
        assert spelling.slug(name) == slug
