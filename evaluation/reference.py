"""Every file's scores compared with those of a reference, metric by metric. By default that is the model of its study."""

from argparse import Namespace

from runtime.errors import InputError

from metrics.caption_files import Captions, find_reference, paired_rows

from .study import Study


def compare_files(studies: list[Study], files: list[Captions], args: Namespace) -> None:
    """Fill in each file's `against`: for every metric the mean paired difference, its p, and the p corrected for the number
    of files compared with the same reference.

    With --compare_to that file is the reference of all, and InputError is raised for a file that cannot be paired with it.
    Otherwise such a file gets a note.
    """
    import numpy as np

    from metrics.statistics import holm

    wanted = find_reference(files, args.compare_to) if args.compare_to else None
    for study in studies:
        for file in study.members:
            reference = wanted or study.model
            if reference is None or file is reference:
                continue
            try:
                compare(file, reference, paired_rows(file, reference), args)
            except InputError as error:
                if wanted:
                    raise
                file.notes.append(f"not compared: {error}")
    for key in {file.against["file"] for file in files if file.against}:
        compared = [file.against for file in files if file.against and file.against["file"] == key]
        for metric in {metric for against in compared for metric in against if metric != "file"}:
            found = [against[metric] for against in compared if metric in against]
            for one, p in zip(found, holm(np.array([one["p"] for one in found])), strict=True):
                one["p_holm"] = float(p)


def compare(file: Captions, reference: Captions, pairs: tuple[list[int], list[int]], args: Namespace) -> None:
    """Mean paired differences, the file minus the reference, on the rows that have the score in both, and their p.

    pairs: rows of the file and of the reference that belong together.
    """
    import numpy as np

    from metrics.means import weighted_mean
    from metrics.statistics import paired_permutation

    rows, others = map(np.asarray, pairs)
    metrics = [metric for metric in file.scores if metric in reference.scores]
    gains = file.scores[metrics].to_numpy()[rows] - reference.scores[metrics].to_numpy()[others]
    pictures = file.clusters[rows]
    file.against = {"file": reference.key}
    unknown = np.isnan(gains)
    for gaps in np.unique(unknown, axis=1).T:  # metrics that are missing in the same rows share their permutations
        places = np.flatnonzero((unknown == gaps[:, None]).all(axis=0))
        known = gains[~gaps][:, places]
        if not len(known):
            continue
        weights = file.weights([metrics[place] for place in places], rows[~gaps])
        p = paired_permutation(known * weights, np.zeros(known.shape), clusters=pictures[~gaps], n_perm=args.n_perm,
                               seed=args.seed)
        for place, mean, value in zip(places, weighted_mean(known, weights), p, strict=True):
            file.against[metrics[place]] = {"difference": float(mean), "p": float(value)}
    if len(rows) < max(len(file.table), len(reference.table)):
        file.notes.append(f"compared on the {len(rows)} trials that {reference.key} also holds")
