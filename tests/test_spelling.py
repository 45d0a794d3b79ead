"""Names of classes and pictures: exact first, then a looser one where it is unique; Unicode in its composed form."""
# ruff: noqa: RUF001 (letters that look alike are what is tested)

import unicodedata

import numpy as np
import pytest

from raw_material import ONSETS, make_pictures, make_raw, save, write_table
from raw_runs import AS_IT_IS, fails, prepare
from sources.spelling import Names, slug, unique_slugs

pytest.importorskip("mne")


def unlike(one, other):
    return unicodedata.normalize("NFD", one), unicodedata.normalize("NFC", other)


@pytest.fixture
def recording(tmp_path):
    return save(make_raw(), tmp_path / "one_raw.fif")


APART = {"case": ("A", "a", "tree"), "symbols": ("C+", "C-"), "vowel signs": ("बैल", "बाल", "बिल"),
         "tones": ("bà", "bá", "ba"), "rings": ("Ångström", "angstrom"), "Thai": ("แมว", "แม่ว", "หมา"),
         "Arabic forms": ("سلام", "ﺳﻼﻡ"), "sharp s": ("Straße", "Strasse"), "Turkish i": ("ılık", "ilik", "İlik"),
         "widths": ("cat１", "cat1"), "final sigma": ("σς", "σσ"), "emoji": ("👩‍🚀", "👨‍🚀", "🚀"), "dots": ("cat.", "cat"),
         "zeros": ("1", "01"), "no names": ("None", "nan")}


@pytest.mark.parametrize("kinds", APART.values(), ids=APART)
@pytest.mark.parametrize("by", ["class", "trial_type", "annotation"])
def test_classes_that_differ_by_little_stay_apart(tmp_path, kinds, by):
    """The folders are as a Mac writes them (NFD), the tables as other systems do (NFC)."""
    for number, kind in enumerate(kinds):
        made = make_pictures(tmp_path / "made", (f"x{number}",))
        (made / f"x{number}").rename(made / unicodedata.normalize("NFD", kind))
    given = [unicodedata.normalize("NFC", kinds[i % len(kinds)]) for i in range(len(ONSETS))]
    path = save(make_raw(texts=given if by == "annotation" else ("x",)), tmp_path / "one_raw.fif")
    options = ["--recordings", path, "--pictures", tmp_path / "made", *AS_IT_IS]
    if by != "annotation":
        table = write_table(tmp_path / "events.tsv", ("onset", by), *zip(ONSETS, given, strict=True))
        options += ["--events", table]
    record, _, columns = prepare(tmp_path / "out", *options)
    assert [record["class_names"][label] for label in columns["label"]] == given
    assert len({each.casefold() for each in record["class_ids"]}) == len(kinds)
    for picture, label in zip(columns["picture"], columns["label"], strict=True):
        number = kinds.index(unicodedata.normalize("NFC", record["class_names"][label]))
        assert f"x{number}_" in picture and picture.startswith(f"{record['class_ids'][label]}_")


def test_pictures_by_names_in_either_form(tmp_path, recording):
    pictures = make_pictures(tmp_path / "pictures", ("x", "y"), count=2)
    folder, file = unicodedata.normalize("NFD", "café"), unicodedata.normalize("NFD", "thé_0.png")
    (pictures / "x" / "x_0.png").rename(pictures / "x" / file)
    (pictures / "x").rename(pictures / folder)
    names = [unicodedata.normalize("NFC", name) for name in ("café/thé_0.png", "thé_0", "THÉ_0.PNG", "CAFÉ/x_1.png")]
    table = write_table(tmp_path / "events.tsv", ("onset", "picture"), *(
        (onset, [*names, "y_0.png", "y/y_1.png"][i % 6]) for i, onset in enumerate(ONSETS[:24])))
    record, _, columns = prepare(tmp_path / "out", "--recordings", recording, "--events", table, "--pictures", pictures,
                                 *AS_IT_IS)
    assert record["class_names"] == ["café", "y"]
    assert columns["picture"][:6].tolist() == ["café_thé_0"] * 3 + ["café_x_1", "y_0", "y_1"]


def test_a_looser_match_is_said_and_must_be_unique(tmp_path, recording, capsys):
    pictures = make_pictures(tmp_path / "pictures", ("air conditioner", "dog"))

    def table(*kinds):
        return write_table(tmp_path / "events.tsv", ("onset", "class"), *(
            (onset, kinds[i % len(kinds)]) for i, onset in enumerate(ONSETS)))

    options = ("--recordings", recording, "--pictures", pictures, *AS_IT_IS)
    record, _, columns = prepare(tmp_path / "out", "--events", table("Air_Conditioner", "dog"), *options)
    assert record["class_names"] == ["air conditioner", "dog"] and np.bincount(columns["label"]).tolist() == [14, 14]
    assert "'Air_Conditioner' is taken for class air conditioner" in capsys.readouterr().out
    assert "'dog+' is not one" in fails(capsys, tmp_path / "no", "--events", table("dog+", "dog"), *options)
    (pictures / "Dog").mkdir()
    (pictures / "dog" / "dog_3.png").rename(pictures / "Dog" / "dog_3.png")
    prepare(tmp_path / "exact", "--events", table("Dog", "dog"), *options)
    message = fails(capsys, tmp_path / "no", "--events", table("dog", "DOG"), *options)
    assert "'DOG' may be class" in message and "line 3" in message


def test_looser_still(tmp_path, recording, capsys):
    """Other forms of the same letters, and blanks that a system hides at the end of a folder's name."""
    pictures = make_pictures(tmp_path / "pictures", ("cat1", "dog", "Straße"))
    (pictures / "dog").rename(pictures / "dog ")
    table = write_table(tmp_path / "events.tsv", ("onset", "class"), *(
        (onset, ("cat１", "dog", "STRASSE")[i % 3]) for i, onset in enumerate(ONSETS)))
    options = ("--recordings", recording, "--events", table, "--pictures", pictures, *AS_IT_IS)
    record, _, columns = prepare(tmp_path / "out", *options)
    assert [record["class_names"][label] for label in columns["label"]] == ["cat1", "dog", "Straße"] * 9 + ["cat1"]
    printed = capsys.readouterr().out
    assert "'cat１' is taken for class cat1" in printed and "'STRASSE' is taken for class Straße" in printed
    make_pictures(pictures, ("dog",))
    assert "two folders are called 'dog'" in fails(capsys, tmp_path / "no", *options)


def test_events_beside_those_of_the_exact_name(tmp_path, capsys):
    """`a` and `b`, perhaps keys that were pressed, are no pictures of class A and B."""
    pictures = make_pictures(tmp_path / "pictures", ("A", "B"))
    path = save(make_raw(texts=("A", "a", "B", "b")), tmp_path / "one_raw.fif")
    record, _, columns = prepare(tmp_path / "out", "--recordings", path, "--pictures", pictures, *AS_IT_IS)
    np.testing.assert_allclose(columns["onset"], ONSETS[::2])
    assert columns["label"].tolist() == [0, 1] * 7 and record["about"]["events"]["ignored"] == {"a": 7, "b": 7}
    assert "'a' is ignored, not taken for class A" in capsys.readouterr().out


def test_classes_without_pictures(tmp_path, recording, capsys):
    def table(*kinds):
        return write_table(tmp_path / "events.tsv", ("onset", "class"), *(
            (onset, kinds[i % len(kinds)]) for i, onset in enumerate(ONSETS)))

    options = ("--recordings", recording, *AS_IT_IS)
    record, _, columns = prepare(tmp_path / "out", "--events", table("C+", "C-"), *options)
    assert record["class_names"] == ["C+", "C-"] and record["class_ids"] == ["C", "C-2"]
    assert columns["label"].tolist() == [i % 2 for i in range(len(ONSETS))]
    record, _, columns = prepare(tmp_path / "forms", "--events", table(*unlike("café", "café"), "thé"), *options)
    assert record["class_names"] == ["café", "thé"]  # two forms of one name
    assert "differ by spelling" in fails(capsys, tmp_path / "no", "--events", table("A", "a"), *options)


def test_the_cases_of_the_issue(cases, tmp_path):
    for name, number in (("three", 32), ("letters", 15), ("plus", 15), ("hindi2", 15), ("nfc", 15), ("nfc_class", 15)):
        table = cases / f"events_{name}.tsv"
        pictures = cases / f"pictures_{'nfd' if 'nfc' in name else name}"
        recording = cases / ("rec90.edf" if name == "three" else "rec.edf")
        record, _, columns = prepare(tmp_path / name, "--recordings", recording, "--events", table, "--pictures", pictures,
                                     "--tmax", ".5", *AS_IT_IS)
        told = [line.split("\t")[1].split("/")[0] for line in table.read_text(encoding="utf-8").splitlines()[1:]]
        shown = [record["class_names"][label] for label in columns["label"]]
        assert shown == [unicodedata.normalize("NFC", each) for each in told]
        assert set(np.bincount(columns["label"])) == {number}


def test_recordings_by_names_in_either_form(tmp_path):
    folder = tmp_path / "in"
    paths = [save(make_raw(seed=i), folder / f"{unicodedata.normalize('NFD', name)}_raw.fif") for i, name in
             enumerate(("Müller", "Noël"))]
    events = write_table(tmp_path / "events.tsv", ("file", "onset", "class"), *(
        (f"{name}_raw.fif", onset, name) for name in ("Müller", "Noël") for onset in ONSETS))
    people = write_table(tmp_path / "people.tsv", ("file", "subject"), ("Müller_raw.fif", "1"), ("Noël_raw.fif", "2"))
    record, _, columns = prepare(tmp_path / "out", "--recordings", *paths, "--events", events, "--participants", people,
                                 *AS_IT_IS)
    assert record["class_names"] == ["Müller", "Noël"] and (columns["label"] == columns["subject"] - 1).all()


def test_names():
    names = Names([("A b", 1), ("a b", 2), ("C_d", 3)])
    assert names.find("A b") == ([1], False) and names.find("c d") == ([3], True) and names.find("x") == ([], False)
    assert names.find("A B") == ([1, 2], True)
    assert unique_slugs(["C+", "C-", "c", "बैल", "x_y"]) == {"C+": "C", "C-": "C-2", "c": "c-3", "बैल": "बैल", "x_y": "x-y"}
    assert slug("Ångström 2") == "Ångström-2"
