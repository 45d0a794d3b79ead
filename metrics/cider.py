"""CIDEr-D whose documents are pictures, so that trials of one picture do not make its words look common."""

from collections.abc import Hashable, Iterable

import numpy as np


def cider(predictions: list[str], references: list[list[str]], pictures: Iterable[Hashable] | None = None) -> np.ndarray:
    """CIDEr-D of each prediction against its own references, 0..10: [n]. All 0 where there is one picture only.

    predictions: n texts, references: n lists of them; their words stand between blanks. pictures: the picture of each row;
    None: each row shows one of its own. An n-gram weighs log(pictures / pictures with a reference that holds it), so a
    picture counts once, however many rows and different references it has. The rest is `pycocoevalcap`'s. ValueError where
    the lengths differ.
    """
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    documents = {}
    for picture, reference in zip(range(len(references)) if pictures is None else pictures, references, strict=True):
        documents.setdefault(picture, set()).update(reference)
    of_pictures = CiderScorer()
    for texts in documents.values():
        of_pictures += ("", texts)
    of_pictures.compute_doc_freq()

    class OfRows(CiderScorer):
        # The base class takes each row that it scores for a document, and sets this to the log of their number.
        ref_len = property(lambda self: np.log(len(documents)), lambda self, log_rows: None)

    of_rows = OfRows()
    for prediction, reference in zip(predictions, references, strict=True):
        of_rows += (prediction, reference)
    of_rows.document_frequency = of_pictures.document_frequency
    return np.array(of_rows.compute_cider(), dtype=float)
