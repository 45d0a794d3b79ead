"""Free text comes back from every text file as it was written, and files of other programs are read as they save them."""

import json
import re
import shutil
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import read_json, write_json
from runtime.text_files import guarded, read_csv, read_lines, unguarded, write_csv

import pandas
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import evaluate
import inference
from eegdata.pictures import caption_path, has_caption, read_captions, same_captions, write_captions
from finetuning import COLUMNS
from metrics import caption_files
from metrics.text import caption_scores
from sources.tables import read_table
from tiny import data_arguments

SAVED_AS = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}  # encoding -> its mark
ANY_TEXT = st.text(st.characters())  # with half surrogate pairs
NASTY = ["a\rb", "\r", "a\r\nb\n", '"', 'a"b', '"a,b"', "\0", "a\0b", "\x0b\x0c\x1c\x85\u2028", "\ufeffa", " a ", "",
         "\ud800", "=1+1", "NA", "None", "1e5", "\U0001f431", "'", "\\", "\t", "#", "a;b"]
TEXT_CASE = settings(derandomize=True, database=None, deadline=None,
                     suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_notepad(text, encoding):
    return SAVED_AS[encoding] + text.replace("\n", "\r\n").encode(encoding)


@TEXT_CASE
@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), max_size=5))
@example(rows=[(text, text, text) for text in NASTY])
def test_any_text_in_a_csv(tmp_path, rows):
    write_csv(tmp_path / "t.csv", ("a", "b", "c"), rows)
    columns, read = read_csv(tmp_path / "t.csv")
    assert (columns, [[unguarded(cell) for cell in row] for row in read]) == (["a", "b", "c"], [list(row) for row in rows])


@TEXT_CASE
@given(rows=st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
def test_pandas_reads_the_same(tmp_path, rows):
    rows = [[text.replace("\0", "") for text in row] for row in rows]  # its reader cuts a cell there
    write_csv(tmp_path / "t.csv", ("a", "b"), rows)
    table = pandas.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False, skip_blank_lines=False)
    assert [[unguarded(cell) for cell in row] for row in table.to_numpy().tolist()] == rows


def test_common_cells_have_no_quotes(tmp_path):
    write_csv(tmp_path / "t.csv", ("text", "n", "x"), [("A cat.", 3, 0.5), (None, None, float("nan"))])
    assert (tmp_path / "t.csv").read_bytes() == b"text,n,x\nA cat.,3,0.5\n,,\n"


@pytest.mark.parametrize("content, rows", [
    (b"a,b\nx\ry,1\n", [["x\ry", "1"]]), (b"a,b\r\nx\ry,\"1\r\n2\"\r\n", [["x\ry", "1\r\n2"]]),
    (b"a,b\rx,1\r", [["x", "1"]]), (b",a,b\n0,x,1\n", [["x", "1"]]), (b"a,b\n\n\nx,1", [["x", "1"]]),
    *((as_notepad("a,b\nKatze \u732b,1\n", encoding), [["Katze \u732b", "1"]]) for encoding in SAVED_AS)])
def test_a_csv_of_another_program(tmp_path, content, rows):
    (tmp_path / "t.csv").write_bytes(content)
    assert read_csv(tmp_path / "t.csv") == (["a", "b"], rows)


@pytest.mark.parametrize("content, message", [
    (b"", "no header line"), (b"a,b\n1\n", "line 2: not readable as CSV .1 cells, expected 2"),
    (b'a,b\n"1\n2",3\n4,5,6\n', "line 4: not readable as CSV .3 cells"), (b'a,b\n"1,2\n', "not readable as CSV"),
    (b"a,a\n1,2\n", "column a is there twice"), (b"a,b\nK\xe4se,2\n", "not readable as CSV")])
def test_a_damaged_csv(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_csv(tmp_path / "t.csv")


@TEXT_CASE
@given(content=st.dictionaries(st.text(), st.text() | st.sampled_from(NASTY)))
def test_any_text_in_json(tmp_path, content):
    write_json(tmp_path / "t.json", content)
    assert read_json(tmp_path / "t.json") == content


@TEXT_CASE
@given(texts=st.lists(ANY_TEXT | st.sampled_from(NASTY), min_size=1, max_size=4))
def test_any_text_in_a_caption_file(tmp_path, texts):
    """A line each: blanks of any kind become one, and what reading takes away is not missed when written again."""
    write_captions(tmp_path, {"cat_1": ["A cat.", *texts]})
    held = read_captions(tmp_path, "cat_1")
    assert held[0] == "A cat." and len(held) <= 1 + len(texts)
    assert same_captions(tmp_path, "cat_1", ["A cat.", *texts])
    write_captions(tmp_path, {"cat_1": held})
    assert read_captions(tmp_path, "cat_1") == held


@pytest.mark.parametrize("encoding", SAVED_AS)
def test_a_caption_that_notepad_saved(tmp_path, encoding):
    path = caption_path(tmp_path, "cat_1")
    path.parent.mkdir()
    path.write_bytes(as_notepad("Ein K\u00e4tzchen im Gras.\n\u732b\x85\u3067\u3059\n", encoding))
    captions = read_captions(tmp_path, "cat_1")
    assert captions == ["Ein K\u00e4tzchen im Gras.", "\u732b\x85\u3067\u3059"]
    assert same_captions(tmp_path, "cat_1", captions)
    assert caption_scores(["Ein K\u00e4tzchen im Gras."], captions[:1], metrics=("BLEU-1",))["BLEU-1"] == [1]
    path.write_bytes(as_notepad("", encoding))
    assert not has_caption(tmp_path, "cat_1")
    path.write_bytes(as_notepad("One.\n", encoding)[:-1] if encoding != "utf-8" else b"K\xe4se")
    with pytest.raises(InputError, match=r"cat_1_caption\.txt: not UTF-8 text \(byte \d+"):
        read_captions(tmp_path, "cat_1")


def test_text_without_a_mark_in_another_encoding(tmp_path):
    (tmp_path / "t.txt").write_bytes("A cat.".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"--list: not UTF-8 text \(contains zero bytes"):
        read_lines(tmp_path / "t.txt", "--list")


@pytest.mark.parametrize("encoding", SAVED_AS)
def test_tables_and_json_that_notepad_saved(tmp_path, encoding):
    (tmp_path / "t.json").write_bytes(as_notepad('{\n"0": "K\u00e4se"}\n', encoding))
    assert read_json(tmp_path / "t.json") == {"0": "K\u00e4se"}
    (tmp_path / "t.tsv").write_bytes(as_notepad("picture\tcaption\ncat_1\tK\u00e4se, ja\n", encoding))
    (tmp_path / "t.csv").write_bytes(as_notepad('picture,caption\ncat_1,"K\u00e4se,\nja"\n', encoding))
    assert read_table(tmp_path / "t.tsv", "--list")[1] == [(2, {"picture": "cat_1", "caption": "K\u00e4se, ja"})]
    assert read_table(tmp_path / "t.csv", "--list")[1] == [(2, {"picture": "cat_1", "caption": "K\u00e4se,\nja"})]


@pytest.mark.parametrize("encoding", SAVED_AS)
def test_one_trial_that_notepad_saved(captioner, tmp_path, encoding, capsys):
    rows = "\n".join(",".join(f"{channel + sample / 64:.3f}" for sample in range(64)) for channel in range(6))
    said = []
    for name, content in (("plain.csv", rows.encode()), ("marked.csv", as_notepad(rows, encoding))):
        (tmp_path / name).write_bytes(content)
        inference.main(["--model_path", str(captioner), "--eeg_file", str(tmp_path / name), "--max_new_tokens", "3",
                        "--device", "cpu"])
        said.append(capsys.readouterr().out.split("predicted class")[1])
    assert said[0] == said[1]


def captions_of(texts, monkeypatch, stop_after=None):
    """Have the LLM write `texts`, one after the other, again from the first where they end; stop_after: Ctrl-C."""
    from captioning.captioner import Captioner

    def generate(self, embeddings, labels, *args, done=None, on_batch=None, **options):
        found = dict(done or {})
        for row in range(len(labels)):
            if row not in found:
                if row == stop_after:
                    raise KeyboardInterrupt
                found[row] = texts[row % len(texts)]
                on_batch([(row, found[row])])
        return [found[row] for row in range(len(labels))]

    monkeypatch.setattr(Captioner, "generate", generate)


def write(captioner, data, file):
    inference.main(["--model_path", str(captioner), *data_arguments(data), "--dest", str(file), "--batch_size", "8",
                    "--device", "cpu"])
    return caption_files.read_captions(file)


@settings(TEXT_CASE, max_examples=8)
@given(texts=st.lists(st.text(min_size=1), min_size=24, max_size=24, unique=True))
@example(texts=NASTY[:24])
def test_any_caption_from_inference_to_evaluate(captioner, data, tmp_path, texts):
    file = tmp_path / "c.csv"
    with pytest.MonkeyPatch.context() as patch:
        captions_of(texts, patch)
        table = write(captioner, data, file).table
    assert table["Generated Caption"].tolist() == [texts[i % len(texts)] for i in range(24)]
    assert list(table.columns) == COLUMNS


@settings(TEXT_CASE, max_examples=8)
@given(texts=st.lists(st.text(min_size=1), min_size=24, max_size=24, unique=True), cut=st.integers(1, 40))
@example(texts=NASTY[:24], cut=1)
def test_any_caption_in_a_half_written_file(captioner, data, tmp_path, texts, cut):
    file, partial = tmp_path / "c.csv", tmp_path / "c.csv.partial"
    with pytest.MonkeyPatch.context() as patch:
        captions_of(texts, patch, stop_after=12)
        with pytest.raises(KeyboardInterrupt):
            write(captioner, data, file)
        partial.write_bytes(partial.read_bytes()[:-cut])
        captions_of(texts, patch)
        assert write(captioner, data, file).texts("Generated Caption") == [texts[i % len(texts)] for i in range(24)]
    assert not partial.exists() and not (tmp_path / "c.csv.partial.old").exists()


def test_class_names_and_paths_with_half_a_surrogate_pair(captioner, data, tmp_path, monkeypatch, capsys):
    """A file name in another encoding, and a class name as JSON may hold it."""
    shutil.copytree(captioner, tmp_path / "captioner")
    (tmp_path / "captioner" / "id2label.json").write_text(json.dumps(dict(enumerate(("cat\ud800", "dog\r", "car\n\"")))))
    with pytest.raises(SystemExit):
        write(tmp_path / "captioner", data, tmp_path / "none.csv")
    assert "cat\\ud800 Describe" in (said := capsys.readouterr().err) and "correct the class name" in said
    captions_of(["A cat.", "A dog\ron a rug."], monkeypatch)
    file = tmp_path / "c\udce4.csv"
    table = write(tmp_path / "captioner", data, file).table
    assert set(table["Predicted object"]) <= {"cat\ud800", "dog\r", "car\n\""}
    evaluate.main([str(file), "--metrics", "BLEU-1", "--n_boot", "50", "--n_perm", "99", "--json", str(tmp_path / "s.json"),
                   "--csv", str(tmp_path / "s.csv")])
    assert read_csv(tmp_path / "s.csv")[1][0][0] == "c\udce4.csv"
    assert "c\\udce4.csv" in capsys.readouterr().out


def test_one_place_reads_and_writes_csv():
    root = Path(__file__).parents[1]
    folders = ("", "audit", "captioning", "eegdata", "encoders", "evaluation", "interpretability", "language_model",
               "metrics", "report", "runtime", "sources")
    found = {str(path.relative_to(root)) for folder in folders for path in (root / folder).glob("*.py")
             if re.search(r"\.to_csv\(|csv\.(reader|writer|DictReader|DictWriter)\(|pandas\.read_csv\(|pd\.read_csv\(",
                          path.read_text(encoding="utf-8"))}
    assert found == {"runtime/text_files.py", "sources/muse.py"}  # the latter: numbers of a recording


@given(st.text())
@example("=HYPERLINK(\"http://x\")")
@example("'=1")
@example("''-x")
@example("-3")
@example("-3 cats")
def test_no_cell_is_a_formula_and_each_comes_back(cell):
    written = guarded(cell)
    assert unguarded(written) == cell
    assert not re.match(r"[=+@\t\r-]", written) or re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", written, re.IGNORECASE)
