"""ROUGE-1 of every generated caption against every true one at once."""

import numpy as np


def rouge1_matrix(predictions: list[str], references: list[str | list[str]]) -> np.ndarray:
    """ROUGE-1 F of each of n predictions against each of m references: [n, m]; of several texts in one place, the largest.

    The same numbers as `rouge-score` without stemmer gives pair by pair (Lin 2004), from sparse products of word counts:
    the clipped overlap of two counts is the number of thresholds t = 1, 2, ... that both reach.
    """
    from rouge_score.tokenize import tokenize
    from scipy.sparse import csr_array

    words, rows, columns = {}, [], []
    given = [[own] if isinstance(own, str) else own for own in references]
    references = [text for own in given for text in own]
    texts = [*predictions, *references]
    for row, text in enumerate(texts):
        for token in tokenize(text, None):
            rows.append(row)
            columns.append(words.setdefault(token, len(words)))
    counts = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(texts), max(len(words), 1)))
    counts.sum_duplicates()
    n = len(predictions)
    overlap = np.zeros((n, len(references)))
    for threshold in range(1, int(counts.data.max(initial=0)) + 1):
        reached = csr_array((counts.data >= threshold, counts.indices, counts.indptr), shape=counts.shape).astype(float)
        overlap += (reached[:n] @ reached[n:].T).toarray()
    lengths = counts.sum(axis=1)
    total = lengths[:n, None] + lengths[None, n:]
    scores = np.divide(2 * overlap, total, out=np.zeros_like(overlap), where=total > 0)
    starts = np.cumsum([0, *map(len, given)])[:-1]
    return np.maximum.reduceat(scores, starts, axis=1) if len(starts) else scores
