"""Scores of one caption file: for every metric a number for each row, measures of all captions together, intervals."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from runtime.errors import InputError
from runtime.wording import counted

from metrics.caption_files import COLUMNS, Captions
from metrics.judge import Judge

ACCURACY = "Object accuracy"
OBJECT_WORD = "Object-word recall"
N_WAY = "n-way"  # retrieval of the true caption among n


def score(file: Captions, args: Namespace, embed: Callable | None = None, judge: Judge | None = None,
          clip: Callable | None = None) -> None:
    """Fill in the file's scores by row, the measures of all its captions together, and the intervals.

    embed: texts -> unit rows [n, E] by --sentence_model; clip: captions, true captions, picture files -> scores by row, by
    --clip_score_model. All three are optional.
    """
    import numpy as np
    import pandas as pd

    from metrics.caption_retrieval import retrieval_columns, retrieval_units
    from metrics.coco import CORPUS, coco_scores
    from metrics.corpus import corpus_scores
    from metrics.grounding import METRIC
    from metrics.objects import object_named
    from metrics.text import METRICS, bert_scores, caption_scores, clean_captions, default_cleaning

    generated, true = file.texts("Generated Caption"), file.all_references
    cleaning = args.cleaning or default_cleaning(generated, args.protocol)
    if cleaning != "none":
        file.notes.append(f"captions cleaned: {cleaning}")
    empty = sum(not caption.strip() for caption in generated)
    if empty:
        by_chance = " and chance in n-way (text)" if N_WAY in args.metrics else ""  # all true captions fit them alike
        scored_as = f"score 0 by their words{by_chance}" if cleaning == "none" else "are scored as the text 'No response.'"
        file.notes.append(f"{empty} of {len(generated)} generated captions are empty and {scored_as}")
    chosen = (METRIC,) if args.protocol == "coco" else (*args.metrics, METRIC)  # claims rest on METRIC
    text_metrics = [metric for metric in METRICS if metric in chosen]
    try:
        scores = caption_scores(generated, true, args.protocol, cleaning, text_metrics, file.clusters)
    except InputError as error:
        raise InputError(f"{file.path}: {error}") from None
    file.corpus = corpus_scores(generated, true, args.protocol, cleaning)
    file.cleaning, file.clean = cleaning, clean_captions(generated, cleaning)
    file.headline = scores[METRIC]
    if args.protocol == "coco":
        rows, corpus, notes = coco_scores(file.clean, true, (*args.metrics, *(["SPICE"] if args.spice else [])))
        scores |= rows
        file.corpus |= corpus
        file.notes += notes
    if clip:
        found = clip(file.clean, true, [Path(path) for path in file.texts(COLUMNS[0])])
        scores |= found
        file.corpus |= {CORPUS.format(name): float(values.mean()) for name, values in found.items()}
    if args.bertscore_model:
        scores["BERTScore"] = bert_scores(file.clean, true, args.bertscore_model, args.bertscore_layers, device=args.device)
    expected, predicted = file.classes(COLUMNS[1]), file.classes(COLUMNS[2])
    vectors = (embed(file.clean), embed([text for own in true for text in own])) if embed else None
    if vectors:
        ends = np.cumsum([len(own) for own in true])
        scores["Sentence similarity"] = np.array([(others @ one).max() for one, others in zip(
            vectors[0], np.split(vectors[1], ends[:-1]), strict=True)])
    if N_WAY in args.metrics:
        retrieval = retrieval_columns(file.clean, true, expected, vectors)
        scores |= retrieval
        file.units |= retrieval_units(retrieval, true, expected)
    unknown = expected.count("")
    if OBJECT_WORD in args.metrics and not unknown:
        try:
            scores[OBJECT_WORD] = object_named(file.clean, file.texts(COLUMNS[1]))
        except InputError as error:
            raise InputError(f"{file.path}: {error}, or name --metrics without {OBJECT_WORD}") from None
    if any(predicted) and not unknown:
        scores[ACCURACY] = [float(one == other) for one, other in zip(expected, predicted, strict=True)]
    elif 0 < unknown < len(expected):
        file.notes.append(f"{unknown} of {counted(len(expected), 'row')} lack the expected object, so it is not scored how "
                          "often the object is right")
    else:
        file.notes.append(f"no {'expected' if any(predicted) else 'predicted'} objects, so no object accuracy")
    if judge:
        file.judged = judge.rate(file.clean, file.references, file.clusters, desc=f"judging {file.key}")
        scores |= file.judged.scores
    if args.protocol == "thought2text":  # the predecessors' ROUGE differs, and claims rest on one only
        file.headline = caption_scores(generated, true, "ours", cleaning, (METRIC,))[METRIC]
    file.scores = pd.DataFrame(scores, dtype=float)
    add_intervals(file, args)


def add_intervals(file: Captions, args: Namespace) -> None:
    """The 95% interval of each score's mean.

    A row has the same weight in each resample as in the file: a picture drawn twice brings its candidate caption twice.
    """
    from metrics.means import mean_of_parts, parts
    from metrics.statistics import bootstrap_interval

    low, high = bootstrap_interval(mean_of_parts, *parts(file.scores, file.weights(file.scores)), clusters=file.factors,
                                   n_boot=args.n_boot, seed=args.seed)
    file.interval = {metric: (float(a), float(b)) for metric, a, b in zip(file.scores, low, high, strict=True)}


def known_corpus(file: Captions) -> dict[str, float | None]:
    """The measures of all captions together for JSON: None where one is not defined, such as the length ratio to true
    captions without words."""
    from metrics.statistics import known_or_none

    return {name: known_or_none(value) for name, value in file.corpus.items()}


def summary(file: Captions) -> dict:
    """The file's entry in the JSON."""
    from metrics.statistics import known_ends, known_or_none

    known = {metric: known_ends(ends) for metric, ends in file.interval.items()}
    means = {metric: known_or_none(mean) for metric, mean in file.means().items()}
    entry = {"n": len(file.table), **means, "95%": known, "condition": file.condition, "corpus": known_corpus(file)}
    entry |= {"source": file.source} if file.source else {}
    return entry | ({"against": file.against} if file.against else {})
