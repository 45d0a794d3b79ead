"""Measures of a whole set of generated captions: BLEU and chrF over all rows, diversity, length, repetition.

A model that writes one sentence for every trial can score well row by row. Diversity and repetition reveal it.
"""

import itertools

import numpy as np

from metrics.text import References, bleu_tokens, by_row, plain_words, protocol_texts


def corpus_scores(predictions: list[str], references: References, protocol: str = "ours",
                  cleaning: str | None = None) -> dict[str, float]:
    """{name: float} of n generated captions and their true captions, one or several each; metrics.text.DESCRIPTIONS
    explains each.

    Corpus BLEU is sacrebleu's (Post 2018) on the tokens of the protocol's sentence BLEU, with its default smoothing "exp":
    an order of n-grams without any match counts as half a match, the next as a quarter. It is what others report. Over
    hundreds of captions each order has matches, and nothing is smoothed. NLTK's unsmoothed corpus BLEU is then the same,
    except that it counts an n-gram in captions of fewer than n words. BLEU and chrF are in 0..1.

    distinct-n is the number of different n-grams divided by that of all n-grams of all captions (after Li et al. 2016,
    arXiv 1510.03055, who divide by the number of words; divided by n-grams, as usual since, it can reach 1). repetition is
    seq-rep-2 of Welleck et al. (2020, arXiv 1908.04319): 1 - different pairs / pairs of neighbouring words of a caption, 0
    for one without pairs, averaged. Words are in lower case and without punctuation under every protocol. A share of
    nothing (all captions are empty) is 0; the length ratio is NaN where the true captions hold no words. Arguments and
    errors are those of metrics.text.caption_scores.
    """
    from sacrebleu.metrics import BLEU, CHRF

    predictions, references = protocol_texts(predictions, references, protocol, cleaning)
    scores = {}

    def tokenised(texts):
        return [" ".join(tokens) for tokens in bleu_tokens(texts, protocol)]

    generated, true = tokenised(predictions), _streams(by_row(tokenised, references))
    for order in (1, 2, 3, 4):
        metric = BLEU(tokenize="none", smooth_method="exp", max_ngram_order=order, force=True)  # force: no tokenizer advice
        scores[f"corpus BLEU-{order}"] = metric.corpus_score(generated, true).score / 100
    scores["corpus chrF"] = CHRF().corpus_score(predictions, _streams(references)).score / 100
    words = plain_words(predictions)
    for n in (1, 2):
        ngrams = [ngram for caption in words for ngram in _ngrams(caption, n)]
        scores[f"distinct-{n}"] = _distinct_share(ngrams)
    scores["distinct captions"] = _distinct_share(predictions)
    length = sum(map(len, words))
    true_length = sum(np.mean([len(one) for one in own]) for own in by_row(plain_words, references))
    scores["mean length"] = length / len(words)
    scores["length ratio"] = length / true_length if true_length else float("nan")
    pairs = [_ngrams(caption, 2) for caption in words]
    scores["repetition"] = float(np.mean([1 - _distinct_share(own) if own else 0.0 for own in pairs]))
    return scores


def _streams(references):
    """References as sacrebleu takes them: a list for the first of each row, one for the second, ..., None where one
    lacks."""
    return [list(stream) for stream in itertools.zip_longest(*references)] if references else []


def _ngrams(words, n):
    return list(zip(*(words[start:] for start in range(n)), strict=False))


def _distinct_share(items):
    return len(set(items)) / len(items) if items else 0.0
