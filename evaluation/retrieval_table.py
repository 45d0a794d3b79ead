"""Retrieval of the picture under the protocols that papers report: repetitions, people, similarities.

The published number of one encoder changes severalfold with the protocol, so each row says which it is. EEG is averaged
over the repetitions of one picture by one person before it is encoded, as in THINGS-EEG2's 200-way test. Over people,
whose EEG cannot be averaged, the mean of the embeddings is taken.
"""

from collections.abc import Callable, Iterator

import numpy as np

from eegdata.averages import groups_of
from metrics.retrieval import SIMILARITIES, TRANSDUCTIVE, ranks_of
from metrics.statistics import known_or_none, standard_error

COLUMNS = ("repetitions", "people", "similarity", "transductive", "n", "candidates", "top1", "top1_se", "top1_se_people",
           "top1_chance", "top5", "top5_se", "top5_se_people", "top5_chance")
KEYS = COLUMNS[:3]  # of a row


def repetition_counts(picture: np.ndarray, person: np.ndarray) -> list[int]:
    """1, 2, 4, ... and the most repetitions by one person that every picture has."""
    pairs, counts = np.unique(np.stack([picture, person]), axis=1, return_counts=True)
    most = min(counts[pairs[0] == each].max() for each in np.unique(picture))
    return [*(2**i for i in range(int(most).bit_length()) if 2**i < most), int(most)]


def retrieval_table(encode_groups: Callable[[np.ndarray], np.ndarray], gallery: np.ndarray, picture: np.ndarray,
                    person: np.ndarray, order: np.ndarray) -> list[dict]:
    """Rows of COLUMNS.

    encode_groups: positions of trials to average [Q, k] -> embeddings [Q, E]. gallery [M, E]; picture [N] of each trial
    into it, person [N], order [N] of the trials. `people` is 1, or of how many people the embeddings were averaged at
    most: a picture that fewer saw has the mean of these. top1_se and top5_se are standard errors over pictures, the
    ..._people ones over people; None where there is only one.
    """
    rows, counts = [], repetition_counts(picture, person)
    for count in counts:
        groups = groups_of(picture, person, order, count)
        own, who = picture[groups[:, 0]], person[groups[:, 0]]
        embeddings = encode_groups(groups)
        queries = [(1, embeddings, own, who)]
        if count in (counts[0], counts[-1]):
            queries += list(_over_people(embeddings, own, who))
        for people, decoded, target, of in queries:
            rows += [_row(count, people, name, decoded, gallery, target, of) for name in SIMILARITIES]
    return rows


def _over_people(embeddings: np.ndarray, picture: np.ndarray, person: np.ndarray) -> Iterator[tuple]:
    """The means of the embeddings of all people who saw a picture: n-th query of each with n-th of the others."""
    pairs, inverse, sizes = np.unique(np.stack([picture, person]), axis=1, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    number = np.arange(len(inverse)) - np.searchsorted(inverse, inverse)  # groups_of sorts by picture and person
    people = np.bincount(pairs[0])
    if people[people > 0].max() < 2:
        return
    fewest = np.full(len(people), np.iinfo(int).max)
    np.minimum.at(fewest, pairs[0], sizes)
    kept = number < fewest[picture]
    cells, cell = np.unique(np.stack([picture, number])[:, kept], axis=1, return_inverse=True)
    means = np.zeros((cells.shape[1], embeddings.shape[1]))
    np.add.at(means, cell.reshape(-1), embeddings[kept])
    yield int(people[people > 0].max()), means / people[cells[0]][:, None], cells[0], None


def _row(count, people, name, decoded, gallery, target, who):
    ranks = ranks_of(SIMILARITIES[name](decoded, gallery), target)
    row = {"repetitions": count, "people": people, "similarity": name, "transductive": name in TRANSDUCTIVE,
           "n": len(ranks), "candidates": len(gallery)}
    for k in (1, 5):
        hits = ranks < k
        row |= {f"top{k}": float(hits.mean()), f"top{k}_se": known_or_none(standard_error(hits, target)),
                f"top{k}_se_people": None if who is None else known_or_none(standard_error(hits, who)),
                f"top{k}_chance": min(k / len(gallery), 1.0)}
    return row


def picked_on_test(saved: list[dict], epochs: dict[str, list[dict]]) -> list[dict]:
    """The rows of the encoder that validation picked, each with what picking the epoch on the test part would give.

    saved: its table; epochs: {name: table} of every epoch, with the same rows. Adds top1_test_picked, top5_test_picked and
    test_picked_epoch, those of the epoch with the best top1 of that row.
    """
    rows = []
    for number, row in enumerate(saved):
        best = max(epochs, key=lambda name: (epochs[name][number]["top1"], epochs[name][number]["top5"]))
        picked = epochs[best][number]
        rows.append(row | {f"top{k}_test_picked": picked[f"top{k}"] for k in (1, 5)} | {"test_picked_epoch": best})
    return rows


def table_text(rows: list[dict]) -> str:
    """The table for people."""
    compared = "top1_test_picked" in rows[0]
    lines = [f"picture among {rows[0]['candidates']} (chance: top 1 {rows[0]['top1_chance']:.3f}, top 5 "
             f"{rows[0]['top5_chance']:.3f}); +- standard error over pictures"]
    if compared:
        lines.append("epoch picked on validation; in brackets: picked on the test pictures, as many published numbers are")
    head = ("repetitions", "people", "similarity", "n", "top 1", "top 5")
    body = [(str(row["repetitions"]), str(row["people"]),
             row["similarity"] + (" (transductive)" if row["transductive"] else ""), str(row["n"]),
             *(_figure(row, k) for k in (1, 5))) for row in rows]
    width = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    return "\n".join([*lines, *("  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip()
                                for row in (head, *body))])


def _figure(row, k):
    error = row[f"top{k}_se"]
    picked = f" ({row[f'top{k}_test_picked']:.3f})" if f"top{k}_test_picked" in row else ""
    return f"{row[f'top{k}']:.3f}{'' if error is None else f' +- {error:.3f}'}{picked}"
