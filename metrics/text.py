"""Scores of generated captions against the true ones, a number for each row.

There are two protocols. `ours`: captions are stripped and lowercased. BLEU and METEOR use the tokens of NLTK's
Treebank-style word tokenizer (punctuation is a token of its own, but a full stop only at the end), ROUGE those of
`rouge-score` (runs of letters and digits, no stemmer). `thought2text` is that of the evaluation notebooks of Thought2Text
(Mishra et al. 2025, arXiv 2410.07507) and DL_Proj_EEG-to-Text, for comparison with their published numbers. What the model
wrote after its caption is removed. BLEU splits words at whitespace and keeps their case. METEOR splits sentences before
words, so that a full stop within the caption is a token of its own. ROUGE comes from the package `rouge`, which counts a
space after the last full stop as a word. The true captions are left as they are.

BLEU is BLEU-4 of the single sentence with NLTK's smoothing method 4 (Chen and Cherry 2014); ROUGE is the F measure;
METEOR is NLTK's: exact, stemmed and WordNet matches (Banerjee and Lavie 2005). NLTK looks up synonyms by the stem of a
word, so that `auto` matches `car` but `automobile`, stem `automobil`, does not. This is kept for comparable numbers.

CIDEr is `pycocoevalcap`'s variant CIDEr-D (Vedantam et al. 2015, arXiv 1411.5726), on its own scale of 0 to 10. It weights
an n-gram by how few pictures have a true caption that contains it. A picture counts once, however many rows show it. So a
row's CIDEr depends on the other pictures: compare files of the same pictures. COCO's tokenizer needs Java. Here words are
the Treebank-style tokens in lower case without punctuation, which COCO's also drops. chrF is `sacrebleu`'s chrF2 of the
single sentence (Popovic 2015), scaled to 0..1.
"""

import functools
import re
from collections.abc import Callable, Hashable, Iterable

from runtime.errors import InputError
from runtime.options import resolve_device
from runtime.pretrained import check_code, no_code

import numpy as np

from metrics.cider import cider
from metrics.wordnet import require_wordnet

PROTOCOLS = ("ours", "thought2text", "coco")  # coco: metrics/coco.py
CLEANINGS = ("deepseek", "first_sentence", "none")
MEAN_OF = "{} (mean)"  # over several references, where the metric itself takes the best
METRICS = ("BLEU", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "METEOR", "CIDEr",
           "chrF")
# What each metric is, smoothing included, for reports; also those of the other files of metrics/.
DESCRIPTIONS = {
    "BLEU": "the same as BLEU-4",
    **{f"BLEU-{order}": f"BLEU of n-grams up to {order} words of the single sentence, with NLTK's smoothing method 4 (Chen "
                        "and Cherry 2014), averaged over the rows" for order in (1, 2, 3, 4)},
    "ROUGE-1": "F measure of the single words in common with the true caption (rouge-score, no stemmer)",
    "ROUGE-2": "F measure of the pairs of words in common with the true caption (rouge-score, no stemmer)",
    "ROUGE-L": "F measure of the longest sequence of words in common with the true caption (rouge-score)",
    **{f"ROUGE-{kind} (mean)": f"mean of ROUGE-{kind} over the true captions of a picture; ROUGE-{kind} itself is that of "
                               "the best" for kind in ("1", "2", "L")},
    "METEOR": "words in common (same word, same stem or WordNet synonyms) with a penalty for their order (NLTK)",
    "CIDEr": "CIDEr-D (pycocoevalcap): n-grams up to 4 words in common, weighted by how rare they are in the true captions "
             "of the pictures; from 0 to 10",
    "chrF": "chrF2 (sacrebleu): F measure of character n-grams up to 6, recall counting twice; from 0 to 1",
    "SPICE": "F measure of objects, attributes and relations in common (Anderson et al. 2016; pycocoevalcap, in Java)",
    "CLIP-S": "2.5 times the cosine of picture and caption by the CLIP that was named (Hessel et al. 2021)",
    "RefCLIP-S": "harmonic mean of CLIP-S and the caption's largest cosine to a true caption",
    "BERTScore": "F1 of words matched by their contextual embeddings (bert-score), without rescaling",
    "Sentence similarity": "cosine of the embeddings of generated and true caption by the sentence model that was named",
    "Object-word recall": "share of captions that name the object shown, by its name, a WordNet synonym or a hyponym",
    "Object accuracy": "share of rows whose predicted class is the one that was shown",
    **{f"corpus BLEU-{order}": f"BLEU of n-grams up to {order} words, counted over all rows (sacrebleu, smoothing \"exp\", "
                               "which only touches orders without any match)" for order in (1, 2, 3, 4)},
    "corpus chrF": "chrF2 counted over all rows (sacrebleu); from 0 to 1",
    "distinct-1": "different words over all words of the generated captions (after Li et al. 2016); falls with more rows",
    "distinct-2": "different pairs of neighbouring words over all pairs (after Li et al. 2016); falls with more rows",
    "distinct captions": "different generated captions over all of them",
    "mean length": "words a generated caption",
    "length ratio": "words of the generated captions over words of the true ones",
    "repetition": "share of a caption's pairs of words that stood in it before (seq-rep-2, Welleck et al. 2020)",
}
for _kind, _by in (("text", "ROUGE-1"), ("embedding", "sentence embedding")):
    for _n in (2, 50, 200):
        DESCRIPTIONS[f"{_n}-way ({_kind})"] = (f"how often a caption is most similar, by {_by}, to its own true "
                                               f"caption among {_n} different ones, the others drawn at random; each true "
                                               f"caption counts once, so chance is 1/{_n}")
    DESCRIPTIONS[f"2-way in class ({_kind})"] = (f"how often a caption is more similar, by {_by}, to its own true "
                                                 "caption than to another one of the same class; each true caption counts "
                                                 "once, so chance is 1/2, also for captions that carry only the class")
SYSTEM_TURN = "<s>System:"
NO_RESPONSE = "No response."


def default_cleaning(predictions: list[str], protocol: str) -> str:
    """`none`; for `thought2text` `deepseek` where a caption holds a system turn, else `first_sentence`."""
    if protocol != "thought2text":
        return "none"
    return "deepseek" if any(SYSTEM_TURN in caption for caption in predictions) else "first_sentence"


def _system_turn(caption):
    """The text between `<s>System:` and the next `</s>` on its line; else the first line without the markers."""
    found = re.search(re.escape(SYSTEM_TURN) + r"(.*?)</s>", caption)
    if found:
        return found[1].strip()
    first_line = caption.split("\n")[0]
    return re.sub(r"</?s>|System:\s*", "", first_line).strip()


def _first_sentence(caption):
    """The text up to the first `.`, `!` or `?` before a space, without characters that are rare in captions."""
    plain = re.sub(r"[^a-zA-Z0-9.,!?;:'\"()\[\]{}\-\s]", "", caption)
    return " ".join(re.split(r"(?<=[.!?]) +", plain)[0].split())


def clean_captions(captions: list[str], cleaning: str) -> list[str]:
    """Generated captions without what the model wrote around them.

    `deepseek` and `first_sentence` are the predecessors' and write "No response." for an empty caption, as they did. `none`
    only strips whitespace. Raises InputError where `cleaning` is none of these.
    """
    if cleaning == "none":
        return [caption.strip() for caption in captions]
    if cleaning not in CLEANINGS:
        raise InputError(f"cleaning {cleaning!r}; expected one of {', '.join(CLEANINGS)}")
    clean = _system_turn if cleaning == "deepseek" else _first_sentence
    cleaned = [clean(caption) if caption.strip() else "" for caption in captions]
    return [text if len(text) > 1 else "No response" if text else NO_RESPONSE for text in cleaned]


def _bleu(predictions, references):
    """BLEU-1..4 of token lists against lists of them: [n, 4]."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    weights = [(1 / order,) * order for order in (1, 2, 3, 4)]
    smoothing = SmoothingFunction().method4
    return np.array([sentence_bleu(reference, prediction, weights=weights, smoothing_function=smoothing)
                     for prediction, reference in zip(predictions, references, strict=True)], dtype=float)


def _rouge(predictions, references, join=np.max):
    """ROUGE-1, -2, -L of strings by the package `rouge-score`: [n, 3]; join: over the references of a row."""
    from rouge_score.rouge_scorer import RougeScorer

    names = ("rouge1", "rouge2", "rougeL")
    scorer = RougeScorer(names, use_stemmer=False)

    def row(prediction, reference):
        scores = scorer.score(reference, prediction)
        return [scores[name].fmeasure for name in names]

    return _over_references(row, predictions, references, join)


def _over_references(row, predictions, references, join):
    """join over a row's references of what row(prediction, reference) gives: [n, ...]."""
    return np.array([join([row(prediction, reference) for reference in own], axis=0)
                     for prediction, own in zip(predictions, references, strict=True)], dtype=float)


def _legacy_rouge(predictions, references, join=np.max):
    """ROUGE-1, -2, -L of strings by the package `rouge`: [n, 3]; 0 where it refuses a text of nothing but dots; join: as
    for _rouge."""
    from rouge import Rouge

    names, scorer = ("rouge-1", "rouge-2", "rouge-l"), Rouge()

    def row(prediction, reference):
        if not prediction.strip(".") or not reference.strip("."):
            return [0.0] * 3
        scores = scorer.get_scores(prediction, reference)[0]
        return [scores[name]["f"] for name in names]

    return _over_references(row, predictions, references, join)


def _meteor(predictions, references):
    """METEOR of token lists against lists of them, of which the best counts: [n]."""
    require_wordnet()
    from nltk.translate.meteor_score import meteor_score

    return np.array([meteor_score(reference, prediction)
                     for prediction, reference in zip(predictions, references, strict=True)], dtype=float)


def _words(texts, by_sentence=False):
    """Treebank-style tokens of each text. Only the full stop at its end is a token of its own.

    by_sentence: of each sentence, as NLTK's word_tokenize does by default, so that each sentence's full stop is one. NLTK
    splits with data that would have to be downloaded. Without these its splitter does the same, but knows no abbreviations.
    """
    from nltk.tokenize import word_tokenize
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    split = PunktSentenceTokenizer().tokenize if by_sentence else lambda text: [text]
    return [[word for sentence in split(text) for word in word_tokenize(sentence, preserve_line=True)] for text in texts]


def plain_words(texts: list[str]) -> list[list[str]]:
    """The words of each text in lower case: Treebank-style tokens that hold a letter or digit, without a full stop."""
    return [[token.rstrip(".") for token in tokens if any(map(str.isalnum, token))]
            for tokens in _words([text.lower() for text in texts])]


def joined_words(texts: list[str]) -> list[str]:
    """plain_words with a blank between words."""
    return [" ".join(words) for words in plain_words(texts)]


def bleu_tokens(texts: list[str], protocol: str) -> list[list[str]]:
    """What BLEU counts as words: Treebank-style tokens; for `thought2text` what whitespace separates."""
    return [text.split() for text in texts] if protocol == "thought2text" else _words(texts)


def _chrf(predictions, references):
    """chrF2 of strings, 0..1: [n]."""
    from sacrebleu.metrics import CHRF

    metric = CHRF()
    return np.array([metric.sentence_score(prediction, reference).score / 100
                     for prediction, reference in zip(predictions, references, strict=True)])


References = list[str] | list[list[str]]  # a true caption for each row, or several


def protocol_texts(predictions: list[str], references: References, protocol: str = "ours",
                   cleaning: str | None = None) -> tuple[list[str], list[list[str]]]:
    """Both lists as the protocol scores them: predictions cleaned, and for `ours` both stripped and in lower case. Each row
    has a list of references then.

    Arguments and errors are those of caption_scores.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol!r}; expected one of {', '.join(PROTOCOLS)}")
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    references = [[own] if isinstance(own, str) else list(own) for own in references]
    empty = [i for i, own in enumerate(references) if not own or not all(text.strip() for text in own)]
    if empty:
        raise InputError(f"{len(empty)} true captions are empty, the first in row {empty[0]}; expected a text in each")
    predictions = clean_captions(predictions, cleaning or default_cleaning(predictions, protocol))
    if protocol != "thought2text":
        predictions = [caption.lower() for caption in predictions]
        references = [[caption.strip().lower() for caption in own] for own in references]
    return predictions, references


def by_row(function: Callable[[list], list], references: list[list]) -> list[list]:
    """What `function` makes of all references at once, again as a list for each row."""
    made = iter(function([text for own in references for text in own]))
    return [[next(made) for _ in own] for own in references]


def caption_scores(predictions: list[str], references: References, protocol: str = "ours", cleaning: str | None = None,
                   metrics: Iterable[str] = METRICS,
                   pictures: Iterable[Hashable] | None = None) -> dict[str, np.ndarray]:
    """Scores of each generated caption against its true caption: {metric: float array [n]}, in 0..1, CIDEr in 0..10.

    predictions: n strings; references: n strings, or n lists of them. Of several, BLEU, CIDEr and chrF count matches with
    any; ROUGE and METEOR are those of the best, and "ROUGE-1 (mean)" and so on the mean over them. cleaning: one of
    CLEANINGS; None: `default_cleaning`. metrics: which of METRICS. pictures: the picture of each row, which CIDEr counts
    once; None: each row shows one of its own. An empty prediction scores 0 (with a predecessors' cleaning it is "No
    response." and scores as such).
    Raises InputError for an unknown protocol, cleaning or metric, an empty reference, or METEOR without WordNet;
    ValueError where the lengths differ.
    """
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise InputError(f"metrics {', '.join(unknown)}; expected some of {', '.join(METRICS)}")
    predictions, references = protocol_texts(predictions, references, protocol, cleaning)
    scores = {}
    if any(metric.startswith("BLEU") for metric in metrics):
        bleu = _bleu(bleu_tokens(predictions, protocol), by_row(lambda texts: bleu_tokens(texts, protocol), references))
        scores |= {f"BLEU-{order}": bleu[:, order - 1] for order in (1, 2, 3, 4)} | {"BLEU": bleu[:, 3]}
    if any(metric.startswith("ROUGE") for metric in metrics):
        rouge = (_legacy_rouge if protocol == "thought2text" else _rouge)(predictions, references)
        names = ("ROUGE-1", "ROUGE-2", "ROUGE-L")
        scores |= dict(zip(names, rouge.T, strict=True))
        if any(len(own) > 1 for own in references):
            mean = (_legacy_rouge if protocol == "thought2text" else _rouge)(predictions, references, np.mean)
            scores |= dict(zip(map(MEAN_OF.format, names), mean.T, strict=True))
    if "METEOR" in metrics:
        by_sentence = protocol == "thought2text"
        scores["METEOR"] = _meteor(_words(predictions, by_sentence),
                                   by_row(lambda texts: _words(texts, by_sentence), references))
    if "CIDEr" in metrics:
        scores["CIDEr"] = cider(joined_words(predictions), by_row(joined_words, references), pictures)
    if "chrF" in metrics:
        scores["chrF"] = _chrf(predictions, references)
    chosen = [metric for metric in METRICS if metric in metrics]
    return {name: scores[name] for metric in chosen for name in (metric, MEAN_OF.format(metric)) if name in scores}


def bert_scores(predictions: list[str], references: References, model: str, layers: int | None = None, batch_size: int = 64,
                device: str = "cpu") -> np.ndarray:
    """BERTScore F1 of each caption (Zhang et al. 2020, arXiv 1904.09675), without baseline rescaling: [n]. Of several
    references the best counts.

    model: a Hub name or a local folder. layers: which layer's states are compared; None: the one that `bert-score`
    lists for the name. An empty prediction scores 0. Raises InputError where the package, the model or the device is
    missing.
    """
    scorer = _bert_scorer(str(model), layers, batch_size, resolve_device(device))
    scores = np.zeros(len(predictions))
    full = [i for i, prediction in enumerate(predictions) if prediction.strip()]
    if full:
        scores[full] = scorer.score([predictions[i] for i in full], [references[i] for i in full])[2].numpy()
    return scores


@functools.lru_cache(maxsize=1)
def _bert_scorer(model, layers, batch_size, device):

    try:
        from bert_score import BERTScorer
        from bert_score.utils import model2layers
    except ImportError:
        raise InputError("BERTScore needs the package bert-score; `pip install -r requirements-metrics.txt`, or "
                         "leave --bertscore_model out") from None
    if layers is None and model not in model2layers:
        raise InputError(f"--bertscore_model {model}: bert-score lists no layer for it; "
                         "give --bertscore_layers, from 1 to the model's number of layers")
    try:
        check_code(model)
        with no_code("--bertscore_model", model):
            scorer = BERTScorer(model_type=str(model), num_layers=layers, batch_size=batch_size, device=device)
    except (OSError, ValueError, AssertionError) as error:
        raise InputError(f"--bertscore_model {model}: cannot be used ({str(error).splitlines()[0]}); expected a "
                         "Hugging Face encoder (folder or Hub name) and --bertscore_layers within its layers") from None
    limit = getattr(scorer._model.config, "max_position_embeddings", None)  # T5 and XLNet know no limit
    if limit:
        # Many tokenizers name no length, and bert-score would not cut. RoBERTa's first two positions hold no token.
        scorer._tokenizer.model_max_length = min(scorer._tokenizer.model_max_length, limit - 2)
    return scorer
