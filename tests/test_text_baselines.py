"""The baselines without LLM, against brute force with `rouge-score` and independently measured numbers."""

import numpy as np
import pandas
import pytest
from rouge_score.rouge_scorer import RougeScorer

from metrics import wordnet
from metrics.text import caption_scores
from metrics.text_baselines import baseline_captions, nearest_pictures, spoken_name

PUBLISHED = "captions/vtccc_deepseek_eeg_model_7B_base_results.csv"
WORDS = ["a", "the", "red", "blue", "cat", "dog", "car", "sits", "on", "in", "snow", "grass", "big", "two", "tree", "near",
         "with", "of", "old", "left", "house"]


def mean_rouge(text, others):
    scorer = RougeScorer(["rouge1"], use_stemmer=False)
    return np.mean([scorer.score(other, text)["rouge1"].fmeasure for other in others])


@pytest.fixture
def training():
    """40 different captions of random words, of 4 classes."""
    rng = np.random.default_rng(0)
    captions = [" ".join(rng.choice(WORDS, rng.integers(4, 12))) for _ in range(40)]
    return captions, [["cat", "dog", "car", "tree"][i] for i in rng.integers(0, 4, 40)]


def test_constant_is_the_caption_most_like_the_others(training):
    captions, classes = training
    means = [mean_rouge(text, captions[:i] + captions[i + 1:]) for i, text in enumerate(captions)]
    assert baseline_captions("constant", captions, classes, ["cat", "bus"]) == [captions[np.argmax(means)]] * 2


def test_class_medoid_is_the_caption_most_like_its_class(training, capsys):
    captions, classes = training
    for name in set(classes):
        own = [c for c, k in zip(captions, classes, strict=True) if k == name]
        means = [mean_rouge(text, own[:i] + own[i + 1:]) for i, text in enumerate(own)]
        assert baseline_captions("class_medoid", captions, classes, [name]) == [own[np.argmax(means)]]
    assert "note" not in capsys.readouterr().out


def test_class_medoid_of_one_caption_and_of_none(capsys):
    captions, classes = ["A red cat.", "A red cat sits.", "A cat sits.", "Blue."], ["cat", "cat", "cat", "sky"]
    assert baseline_captions("class_medoid", captions, classes, ["sky", "bus", "cat", "bus", "van"]) == [
        "Blue.", "A red cat sits.", "A red cat sits.", "A red cat sits.", "A red cat sits."]
    assert "3 trials get the constant caption" in (said := capsys.readouterr().out) and "(bus, van)" in said
    assert said.count("\n") == 1


def test_template_is_the_best_of_all(training):
    """Against every candidate, filled and scored one by one."""
    captions, classes = training
    candidates = ["A picture of a {}."]
    for caption, name in zip(captions, classes, strict=True):
        words = caption.split()
        if name in words:
            candidates.append(" ".join("{}" if word == name else word for word in words))
    assert len(candidates) > 5
    scorer = RougeScorer(["rouge1"], use_stemmer=False)
    means = [np.mean([scorer.score(caption, candidate.replace("{}", name))["rouge1"].fmeasure
                      for caption, name in zip(captions, classes, strict=True)]) for candidate in candidates]
    best = candidates[np.argmax(means)]
    assert baseline_captions("template", captions, classes, ["cat", "tree"]) == [
        best.replace("{}", "cat"), best.replace("{}", "tree")]


@pytest.mark.parametrize(("captions", "classes", "predicted", "expected"), [
    # The name with blanks for underscores, in any case, every time that it stands there.
    (["A CELL  phone lies in snow."] * 2, ["cell_phone"] * 2, ["cell_phone", "hot_dog"],
     ["A cell phone lies in snow.", "A hot dog lies in snow."]),
    # Whole words only: neither "scarf" nor "cars" names a car.
    (["The scarf and cars here."] * 3, ["car"] * 3, ["car"], ["A picture of a car."]),
    # A caption that names another class is no template.
    (["My dog sleeps."] * 3, ["car"] * 3, ["car"], ["A picture of a car."]),
    # The article goes with the name, and the caption may hold braces and signs of its own.
    (["An elephant (old) in {} snow.", "An elephant (old) in snow.", "An elephant (old) in snow."], ["elephant"] * 3,
     ["dog", "elephant"], ["A dog (old) in snow.", "An elephant (old) in snow."]),
    # A name of alternatives is spoken of as most of its captions do.
    (["Fish swim in the sea.", "Many fish in the sea.", "Clownfish at home."], ["clownfish or fish"] * 3,
     ["clownfish or fish", "dog"], ["Fish swim in the sea.", "Dog swim in the sea."]),
    (["A dog sees a dog.", "A dog sees."], ["dog"] * 2, ["cat"], ["A cat sees a cat."]),
])
def test_templates_by_hand(captions, classes, predicted, expected):
    assert baseline_captions("template", captions, classes, predicted) == expected


def test_how_a_class_is_spoken_of():
    assert spoken_name("panda or pandas", ["Two pandas.", "A panda.", "Pandas eat."]) == "pandas"
    assert spoken_name("panda or pandas", []) == "panda"
    assert spoken_name("orchard", ["An orchard."]) == "orchard"
    assert spoken_name("fruits and vegetables", []) == "fruits and vegetables"


def test_nearest_picture_without_the_common_part():
    """All pictures lie far out on one axis. The EEG's embedding is shrunk towards their mean, but leans to the second."""
    pictures = np.array([[10., 1., 0.], [10., -1., .1], [10., 0., -1.]])
    shrunk = pictures.mean(0) + .05 * (pictures[1] - pictures.mean(0))
    plain = pictures @ shrunk / np.linalg.norm(pictures, axis=1)
    assert plain.argmax() != 1  # why the mean is taken out
    assert nearest_pictures(np.stack([shrunk, pictures[2]]), pictures).tolist() == [[1], [2]]
    assert nearest_pictures(np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)).tolist() == [[0], [0]]


@pytest.mark.skipif(not wordnet.is_available(), reason="no WordNet: run `python -m metrics.wordnet`")
def test_class_medoid_on_published_captions(shared):
    """Measured apart from this project with other code: BLEU .077, BLEU-1 .280, ROUGE-1 .338, ROUGE-L .312, METEOR .288."""
    table = pandas.read_csv(shared / PUBLISHED, keep_default_na=False)
    pictures = dict(zip(table["Ground Truth Image"],
                        zip(table["Expected Caption"], table["Expected object"], strict=True), strict=True))
    known = {}
    for picture, guess in set(zip(table["Ground Truth Image"], table["Predicted object"], strict=True)):
        others = [text for name, (text, kind) in pictures.items() if name != picture and kind == guess]
        known[picture, guess] = baseline_captions("class_medoid", others, [guess] * len(others), [guess])[0]
    texts = [known[pair] for pair in zip(table["Ground Truth Image"], table["Predicted object"], strict=True)]
    measured = {"BLEU": .077, "BLEU-1": .280, "ROUGE-1": .338, "ROUGE-L": .312, "METEOR": .288}
    scores = caption_scores(texts, table["Expected Caption"].tolist(), "thought2text", "none", metrics=tuple(measured))
    assert {name: scores[name].mean() for name in measured} == pytest.approx(measured, abs=.01)
