"""Pictures that training and test share: by name, by their bytes, or nearly."""

from runtime.errors import InputError
from runtime.runs import file_hash
from runtime.wording import counted, listed

import numpy as np

from eegdata.picture_file import read_picture
from eegdata.pictures import picture_path

from .data import Material
from .findings import Finding

CHECK = "Pictures across parts"
MAX_COMPARED = 6000  # pictures that are compared by their pixels
# Two pictures look alike up to so many different bits of the hash, and up to this mean and 99% quantile of the differences
# between their thumbnails (of 255). Pictures that were scaled, brightened or compressed again stayed below 10, 8 and 28;
# drawings that differ in a detail are above 45.
MAX_BITS, MAX_MEAN_DIFFERENCE, MAX_QUANTILE_DIFFERENCE = 10, 10., 35.


def check_pictures(material: Material) -> Finding:
    """The same picture in the training and the test part."""
    if not material.picture_known:
        known = material.trials.record["pictures_known"]
        what = ("The trials do not say which picture of its class was seen" if known == "class" else
                "The trials say only the class of the picture that was seen")
        return Finding(CHECK, "note", f"{what}. Nothing beyond the class can be learned from them or tested on them, and "
                       "pictures shared by training and test cannot be found.",
                       {"pictures_known": known})
    parts = {part: np.unique(material.image[rows]) for part, rows in material.split.items()}
    shared = np.intersect1d(parts["train"], parts["test"])
    numbers = {"pictures": {part: len(images) for part, images in parts.items()}, "same_name": len(shared),
               "same_name_val": len(np.intersect1d(parts["train"], parts["val"]))}
    names = material.trials.images
    same, near, problems = [], [], {}
    compared = material.image_dir is not None and material.trials.has_pictures
    if compared:
        same, near, problems = _compare(material, parts, numbers)
    numbers.update(same_file=[list(pair) for pair in same[:50]], near=[list(pair) for pair in near[:50]], **problems)
    sentences = []
    if same:
        sentences.append(("severe", f"{counted(len(same), 'test picture')} {'is' if len(same) == 1 else 'are'} in the "
                          f"training part under another name, as the same file ({same[0][0]} and {same[0][1]}). The "
                          "split does not keep pictures apart, and scores on these are scores on known pictures."))
    if len(shared):
        sentences.append(("warning", f"{len(shared)} of {counted(len(parts['test']), 'test picture')} "
                          f"{'is' if len(shared) == 1 else 'are'} in the training part too "
                          f"({listed((names[i] for i in shared), 2)}). Scores on them are scores on known pictures and say "
                          "nothing about new ones."))
    if near:
        sentences.append(("warning", f"{counted(len(near), 'test picture')} {'looks' if len(near) == 1 else 'look'} almost "
                          f"like one of the training part ({near[0][0]} and {near[0][1]}). They may be the same picture."))
    for problem, what in (("missing", "has no file"), ("unreadable", "cannot be read")):
        if problems.get(problem):
            number = counted(len(problems[problem]), "picture")
            what = what.replace("has", "have") if len(problems[problem]) > 1 else what
            sentences.append(("warning", f"{number} {what} in the picture folder ({listed(problems[problem], 3)})."))
    if sentences:
        severity = "severe" if any(s == "severe" for s, _ in sentences) else "warning"
        return Finding(CHECK, severity, " ".join(text for _, text in sentences), numbers)
    how = "by name, by content of the file or by look" if compared else "by name (the files were not given)"
    number = counted(len(parts["test"]), "test picture")
    return Finding(CHECK, "passed", f"None of {number} is in the training part, {how}.", numbers)


def _compare(material, parts, numbers):
    """Pairs (test name, training name) of the same bytes and of almost the same look, and what could not be compared."""
    names = material.trials.images
    path = {i: picture_path(material.image_dir, names[i]) for i in np.union1d(parts["train"], parts["test"])}
    missing = [names[i] for i in path if not path[i].is_file()]
    train, test = ([i for i in parts[part] if path[i].is_file()] for part in ("train", "test"))
    hashes = {i: file_hash(path[i]) for i in {*train, *test}}
    owner = {}
    for i in train:
        owner.setdefault(hashes[i], []).append(i)
    same = [(names[i], names[j]) for i in test for j in owner.get(hashes[i], ()) if i != j]
    train, test = (material.drawn(np.array(rows, dtype=int), MAX_COMPARED // 2, 8) for rows in (train, test))
    looks, unreadable = {}, []
    for i in np.union1d(train, test):
        try:
            looks[i] = _look(path[i])
        except InputError:
            unreadable.append(names[i])
    train, test = ([i for i in rows if i in looks] for rows in (train, test))
    numbers["compared_by_look"] = {"train": len(train), "test": len(test)}
    near = []
    if train and test:
        bits = np.stack([looks[i][0] for i in train])
        pixels = np.stack([looks[i][1] for i in train])
        for i in test:
            for k in np.flatnonzero((bits != looks[i][0]).sum(1) <= MAX_BITS):
                different = i != train[k] and hashes[i] != hashes[train[k]]
                apart = np.abs(pixels[k] - looks[i][1])
                if different and apart.mean() <= MAX_MEAN_DIFFERENCE and np.quantile(apart, .99) <= MAX_QUANTILE_DIFFERENCE:
                    near.append((names[i], names[train[k]]))
    return same, near, {"missing": missing, "unreadable": unreadable}


def _look(path):
    """A picture's difference hash (64 bits: is a pixel of 9 x 8 clearly brighter than its left one), and a thumbnail.

    The hash stays when a picture is scaled or compressed anew (Krawetz 2013); the thumbnail tells colours apart.
    """
    from PIL import Image

    image = read_picture(path, about=(256, 256))
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    thumbnail = np.asarray(image.resize((32, 32), Image.Resampling.BOX), dtype=np.float32)
    return (np.diff(grey, axis=1) > 2).ravel(), thumbnail
