"""Scores as tables of COCO captions print them, among them BrainHub's: pycocoevalcap's own numbers (`--protocol coco`).

Its tokenizer, its METEOR 1.5 and SPICE run in Java. Without Java, words are plain_words (metrics/text.py), METEOR is
NLTK's, and there is no SPICE; a note says so. BLEU is counted over all rows, the others are means over rows. Each row is a
document of CIDEr, as if it were a picture of its own.
"""

import contextlib
import io
import shutil
from pathlib import Path

from runtime.errors import InputError

import numpy as np

BLEU = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
TABLE = (*BLEU, "METEOR", "ROUGE-L", "CIDEr", "SPICE", "CLIP-S", "RefCLIP-S")  # in the order of BrainHub
CORPUS = "COCO {}"  # name of a measure of all rows


def has_java() -> bool:
    """Whether programs in Java can be run."""
    return shutil.which("java") is not None


def coco_scores(predictions: list[str], references: list[list[str]],
                metrics: tuple[str, ...] = TABLE) -> tuple[dict[str, np.ndarray], dict[str, float], list[str]]:
    """({metric: [n] scores of rows}, {CORPUS name: score of all rows}, notes) of n captions and their lists of true ones.

    All are in 0..1, CIDEr in 0..10. InputError where a program in Java fails.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    java = has_java()
    generated, true = _tokenised(predictions, references, java)
    rows, corpus, notes = {}, {}, []
    if any(name in metrics for name in BLEU):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints lengths
            whole, single = Bleu(4).compute_score(true, generated)
        rows |= dict(zip(BLEU, map(np.array, single), strict=True))
        corpus |= {CORPUS.format(name): float(score) for name, score in zip(BLEU, whole, strict=True)}
    if "METEOR" in metrics:
        rows["METEOR"] = _in_java("METEOR", generated, true) if java else _nltk_meteor(predictions, references)
    if "ROUGE-L" in metrics:
        rows["ROUGE-L"] = np.asarray(Rouge().compute_score(true, generated)[1])
    if "CIDEr" in metrics:
        rows["CIDEr"] = np.asarray(Cider().compute_score(true, generated)[1])
    if not java:
        notes.append("Java is not there: words are those of --protocol ours without punctuation, METEOR is NLTK's, and "
                     "there is no SPICE")
    elif "SPICE" in metrics and has_spice():
        rows["SPICE"] = _in_java("SPICE", generated, true)
    elif "SPICE" in metrics:
        notes.append("no SPICE: pycocoevalcap has not got its Stanford CoreNLP yet (python -c \"from pycocoevalcap.spice."
                     "get_stanford_models import get_stanford_models; get_stanford_models()\" downloads it)")
    corpus |= {CORPUS.format(name): float(np.mean(values)) for name, values in rows.items() if name not in BLEU}
    return rows, corpus, notes


def _tokenised(predictions, references, java):
    """Both as pycocoevalcap takes them: {row: [texts of words]}."""
    if java:
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

        rows = [{row: [{"caption": " ".join(text.split())} for text in texts] for row, texts in enumerate(given)}
                for given in ([[text] for text in predictions], references)]
        with contextlib.redirect_stderr(io.StringIO()):
            return [PTBTokenizer().tokenize(each) for each in rows]
    from metrics.text import by_row, joined_words

    return [dict(enumerate(by_row(joined_words, given))) for given in ([[text] for text in predictions], references)]


def _nltk_meteor(predictions, references):
    from metrics.text import caption_scores

    return caption_scores(predictions, references, cleaning="none", metrics=("METEOR",))["METEOR"]


def has_spice() -> bool:
    """Whether the parser that SPICE needs was downloaded."""
    from importlib.util import find_spec

    folder = Path(find_spec("pycocoevalcap.spice.spice").origin).parent / "lib"
    return any(folder.glob("stanford-corenlp-*-models.jar"))


def _in_java(name, generated, true):
    """Scores of rows by one of pycocoevalcap's programs in Java."""
    import subprocess

    try:
        if name == "METEOR":
            return _java_meteor(generated, true)
        from pycocoevalcap.spice.spice import Spice

        return np.array([row["All"]["f"] for row in Spice().compute_score(true, generated)[1]], dtype=float)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise InputError(f"{name}: pycocoevalcap's program in Java failed ({str(error)[:200]}); leave it out with "
                         "--metrics, or give --protocol ours") from None


def _java_meteor(generated, true):
    from pycocoevalcap.meteor.meteor import Meteor

    meteor = Meteor()
    try:
        return np.asarray(meteor.compute_score(true, generated)[1], dtype=float)
    finally:
        if meteor.lock.locked():  # an error or Ctrl-C left it so, and its __del__ would wait for it for ever
            meteor.lock.release()
        with contextlib.suppress(OSError):  # what a dead program did not read
            meteor.meteor_p.stdin.close()


def table_of(corpus: dict[str, float]) -> dict[str, float]:
    """{metric: 100 times its score}, in the order of TABLE, from a file's measures of all rows."""
    return {name: 100 * corpus[CORPUS.format(name)] for name in TABLE if CORPUS.format(name) in corpus}
