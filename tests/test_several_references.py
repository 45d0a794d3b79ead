"""Several true captions a picture: every score against the packages called directly, and `--protocol coco`."""

import json
import os
import subprocess
import sys
from pathlib import Path

from runtime.errors import InputError

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import evaluate
from metrics import coco
from metrics.caption_files import read_captions, with_whole_letters
from metrics.caption_retrieval import retrieval_columns
from metrics.clip_score import clip_scores
from metrics.corpus import corpus_scores
from metrics.overlap import rouge1_matrix
from metrics.text import bert_scores, by_row, caption_scores, joined_words
from report.examples import examples

rng = np.random.default_rng(0)
WORDS = ("a", "the", "red", "dog", "dogs", "running", "on", "grass,", "two", "small", "house.", "it's", "Flowers")


def captions(n):
    return [" ".join(rng.choice(WORDS, size=rng.integers(2, 12))) for _ in range(n)]


GENERATED = captions(30)
TRUE = [captions(int(count)) for count in rng.integers(1, 6, 30)]


def tokens(texts):
    from nltk.tokenize import NLTKWordTokenizer

    return [NLTKWordTokenizer().tokenize(text.strip().lower()) for text in texts]


def test_each_metric_takes_all_references():
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import CHRF

    ours = caption_scores(GENERATED, TRUE, metrics=["BLEU-2", "ROUGE-1", "ROUGE-L", "chrF"])
    bleu = [sentence_bleu(tokens(own), tokens([one])[0], (.5, .5), SmoothingFunction().method4)
            for one, own in zip(GENERATED, TRUE, strict=True)]
    assert ours["BLEU-2"] == pytest.approx(bleu)
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
    best = [scorer.score_multi(own, one) for one, own in zip(GENERATED, TRUE, strict=True)]
    assert ours["ROUGE-1"] == pytest.approx([one["rouge1"].fmeasure for one in best])
    assert ours["ROUGE-L"] == pytest.approx([one["rougeL"].fmeasure for one in best])
    mean = [np.mean([scorer.score(text, one)["rouge1"].fmeasure for text in own])
            for one, own in zip(GENERATED, TRUE, strict=True)]
    assert ours["ROUGE-1 (mean)"] == pytest.approx(mean) and (ours["ROUGE-1 (mean)"] < ours["ROUGE-1"]).any()
    chrf = [CHRF().sentence_score(one.lower(), [text.lower() for text in own]).score / 100
            for one, own in zip(GENERATED, TRUE, strict=True)]
    assert ours["chrF"] == pytest.approx(chrf)
    assert rouge1_matrix(GENERATED, TRUE).diagonal() == pytest.approx(ours["ROUGE-1"])


def test_meteor_is_of_the_best_reference():
    from nltk.translate.meteor_score import meteor_score

    theirs = [meteor_score(tokens(own), tokens([one])[0]) for one, own in zip(GENERATED, TRUE, strict=True)]
    assert caption_scores(GENERATED, TRUE, metrics=["METEOR"])["METEOR"] == pytest.approx(theirs)


def test_cider_equals_pycocoevalcaps():
    from pycocoevalcap.cider.cider import Cider

    true = dict(enumerate(by_row(joined_words, [[text.lower() for text in own] for own in TRUE])))
    generated = {row: [text] for row, text in enumerate(joined_words([text.lower() for text in GENERATED]))}
    theirs = Cider().compute_score(true, generated)[1]
    assert caption_scores(GENERATED, TRUE, metrics=["CIDEr"])["CIDEr"] == pytest.approx(theirs) and max(theirs) > .5


def test_measures_of_all_rows():
    from sacrebleu.metrics import BLEU

    scores = corpus_scores(GENERATED, TRUE)
    streams = [[" ".join(tokens([own[i]])[0]) if i < len(own) else None for own in TRUE] for i in range(5)]
    theirs = BLEU(tokenize="none", max_ngram_order=2, force=True).corpus_score(
        [" ".join(words) for words in tokens(GENERATED)], streams)
    assert scores["corpus BLEU-2"] == pytest.approx(theirs.score / 100)
    assert corpus_scores(["a b c"], [["a b", "a b c d"]])["length ratio"] == 1


def test_retrieval_is_by_the_most_similar_reference():
    columns = retrieval_columns(["x a", "y b"], [["q", "x a"], ["y b", "r"]], ways=(2,))
    assert columns["2-way (text)"].tolist() == [1, 1]
    columns = retrieval_columns(["x a", "x a"], [["q", "x a"], ["x a", "r"]], ways=(2,))
    assert columns["2-way (text)"].tolist() == [.5, .5]
    true = np.eye(4)  # of q, x, y, r
    columns = retrieval_columns(["one", "two"], [["q", "x"], ["y", "r"]], None, (true[[1, 0]], true), (2,))
    assert columns["2-way (embedding)"].tolist() == [1, 0]


def theirs(java):
    """pycocoevalcap as its own script calls it."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    true = {row: [{"caption": text} for text in own] for row, own in enumerate(TRUE)}
    generated = {row: [{"caption": text}] for row, text in enumerate(GENERATED)}
    if java:
        true, generated = PTBTokenizer().tokenize(true), PTBTokenizer().tokenize(generated)
    else:
        true, generated = (dict(enumerate(by_row(joined_words, own))) for own in (TRUE, [[text] for text in GENERATED]))
    bleu, rouge, cider = (scorer.compute_score(true, generated) for scorer in (Bleu(4), Rouge(), Cider()))
    return bleu, rouge, cider


def test_a_java_that_fails_ends_the_run(tmp_path):
    """pycocoevalcap's METEOR kept its lock, for which its own __del__ then waited for ever."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    code = "from metrics.coco import _in_java; _in_java('METEOR', {0: ['a dog']}, {0: ['a dog']})"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True,
                          timeout=60, env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert "InputError: METEOR: pycocoevalcap's program in Java failed" in done.stderr and "ignored" not in done.stderr


@pytest.mark.parametrize("java", [True, False])
def test_protocol_coco_equals_pycocoevalcap(java, monkeypatch):
    if java and not coco.has_java():
        pytest.skip("no Java on this machine")
    monkeypatch.setattr(coco, "has_java", lambda: java)
    rows, corpus, notes = coco.coco_scores(GENERATED, TRUE, (*coco.BLEU, "ROUGE-L", "CIDEr"))
    bleu, rouge, cider = theirs(java)
    for order in range(4):
        assert rows[f"BLEU-{order + 1}"] == pytest.approx(bleu[1][order])
        assert corpus[f"COCO BLEU-{order + 1}"] == pytest.approx(bleu[0][order])
    assert rows["ROUGE-L"] == pytest.approx(rouge[1]) and corpus["COCO ROUGE-L"] == pytest.approx(rouge[0])
    assert rows["CIDEr"] == pytest.approx(cider[1]) and corpus["COCO CIDEr"] == pytest.approx(cider[0])
    assert any("Java is not there" in note for note in notes) != java
    assert coco.table_of(corpus)["CIDEr"] == pytest.approx(100 * cider[0])


def rows_with_references(folder, references):
    path = folder / "captions.csv"
    names = [f"p{row}" for row in range(len(references))]
    pandas.DataFrame([{"Ground Truth Image": str(folder / f"{name}.JPEG"), "Expected object": "", "Predicted object": "",
                       "Expected Caption": own[0], "Generated Caption": text, "trial": row, "subject": 1, "image": name,
                       "condition": "eeg+label", "references": json.dumps(own)}
                      for row, (name, own, text) in enumerate(zip(names, references, GENERATED, strict=False))]).to_csv(
                          path, index=False)
    return path


def test_evaluate_prints_the_table_of_coco(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(coco, "has_java", lambda: False)
    captions = str(rows_with_references(tmp_path, TRUE))
    evaluate.main([captions, "--protocol", "coco", "--metrics", "BLEU-1", "ROUGE-L", "CIDEr", "--n_boot", "20", "--n_perm",
                   "50", "--json", str(tmp_path / "s.json")])
    out = capsys.readouterr().out
    entry = json.loads((tmp_path / "s.json").read_text())["captions.csv"]
    bleu, rouge, cider = theirs(java=False)
    assert entry["corpus"]["COCO CIDEr"] == pytest.approx(cider[0])
    line = next(line for line in out.splitlines() if line.startswith("captions.csv  ") and f"{100 * cider[0]:.2f}" in line)
    assert f"{100 * bleu[0][0]:.2f}" in line and f"{100 * rouge[0]:.2f}" in line
    assert "Java is not there" in out and "no objects and no words are known" in out


@pytest.mark.parametrize("cell", ["", "[]", '["other"]', '[""]', '{"a": 1}', "[" * 100_000])
def test_references_that_are_none(tmp_path, cell):
    path = rows_with_references(tmp_path, [["a dog"]])
    path.write_text(path.read_text().replace('"[""a dog""]"', '"' + cell.replace('"', '""') + '"'))
    with pytest.raises(InputError, match="row 0"):
        read_captions(path)


def test_examples_say_that_the_score_is_not_of_the_caption_shown_alone(tmp_path):
    for true, told in ((TRUE, True), ([own[:1] for own in TRUE], False)):
        file = read_captions(rows_with_references(tmp_path, true))
        file.headline = np.zeros(len(true))
        notes = examples(file, {"eeg+label": file}, [], {}, 3)["notes"]
        assert told == ("The first is shown, and the score is that of the best." in " ".join(notes))


def test_an_escape_for_half_a_surrogate_pair_is_read_as_the_letter_it_replaces(tmp_path, capsys):
    """Tokenizers and Java ended in a traceback. The text of the first reference is also that of its own column."""
    path = rows_with_references(tmp_path, [["a dog", "half \ud83d a pair"]])
    file = with_whole_letters(read_captions(path))
    assert file.all_references == [["a dog", "half \ufffd a pair"]] and "1 cells hold" in capsys.readouterr().out


def test_clip_score_by_hand():
    vectors = {"a": (1., 0.), "b": (.6, .8), "c": (0., 2.), "": (1., 0.)}

    def embed(texts):
        return np.array([vectors[text.removeprefix("A photo depicts ")] for text in texts])

    scores = clip_scores(["a", "b", "c", ""], [["b"], ["a", "c"], ["a"], ["a"]], [Path("p")] * 4,
                         lambda files: np.array([[2., 0.]] * len(files)), embed)
    assert scores["CLIP-S"] == pytest.approx([2.5, 1.5, 0, 0])
    assert scores["RefCLIP-S"] == pytest.approx([2 * 2.5 * .6 / 3.1, 2 * 1.5 * .8 / 2.3, 0, 0])


def test_clip_scores_of_a_model(tmp_path, capsys):
    """transformers' own CLIPModel, with both towers, gives the same cosines."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from tiny import make_tokenizer

    torch.manual_seed(0)
    tokenizer = make_tokenizer(list(WORDS), chat=False)
    tokenizer.pad_token = tokenizer.eos_token
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
             "projection_dim": 16}
    model = CLIPModel(CLIPConfig(
        projection_dim=16, vision_config={**tower, "image_size": 32, "patch_size": 8},
        text_config={**tower, "vocab_size": len(tokenizer), "max_position_embeddings": 40,
                     "eos_token_id": tokenizer.eos_token_id})).eval()
    model.save_pretrained(tmp_path / "clip")
    tokenizer.save_pretrained(tmp_path / "clip")
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path / "clip")
    path = rows_with_references(tmp_path, TRUE[:6])
    pictures = [Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(6)]
    for row, picture in enumerate(pictures):
        picture.save(tmp_path / f"p{row}.JPEG", quality=95)
    evaluate.main([str(path), "--clip_score_model", str(tmp_path / "clip"), "--metrics", "ROUGE-1", "--n_boot", "20",
                   "--n_perm", "50", "--device", "cpu", "--json", str(tmp_path / "s.json")])
    entry = json.loads((tmp_path / "s.json").read_text())["captions.csv"]
    expected = []
    for row in range(6):
        text = tokenizer(f"A photo depicts {GENERATED[row]}", return_tensors="pt")
        pixels = processor(images=[Image.open(tmp_path / f"p{row}.JPEG")], return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            out = model(input_ids=text.input_ids, attention_mask=text.attention_mask, pixel_values=pixels)
        expected.append(2.5 * max(0., float(out.text_embeds[0] @ out.image_embeds[0])))
    assert entry["CLIP-S"] == pytest.approx(np.mean(expected), abs=1e-5)
    (tmp_path / "p0.JPEG").unlink()
    with pytest.raises(SystemExit) as stop:
        evaluate.main([str(path), "--clip_score_model", str(tmp_path / "clip"), "--metrics", "ROUGE-1"])
    assert stop.value.code == 2 and "p0.JPEG, which a CSV names, is not there" in capsys.readouterr().err


def test_bertscore_takes_the_best_reference(monkeypatch):
    from metrics import text

    given = {}

    class Scorer:
        def score(self, predictions, references):
            given.update(predictions=predictions, references=references)
            return None, None, torch.ones(len(predictions))

    monkeypatch.setattr(text, "_bert_scorer", lambda *_: Scorer())
    assert bert_scores(["a", ""], [["b", "c"], ["d"]], "model").tolist() == [1, 0]
    assert given == {"predictions": ["a"], "references": [["b", "c"]]}
