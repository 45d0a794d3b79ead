"""EEGCVPR40 (Spampinato et al. 2017), recognised by its 40 ImageNet classes, without reading EEG."""

import re
from collections.abc import Iterable
from pathlib import Path

MIN_CLASSES = 10  # fewer may be anybody's: a dog, a cat and a car


def has_its_classes(names: Iterable[str]) -> bool:
    """Whether names are classes of EEGCVPR40, MIN_CLASSES of them or more and no other; synset ids or readable names."""
    names = {name.strip() for name in names}
    if len(names) < MIN_CLASSES:
        return False
    from config import CLASS_NAMES  # imports transformers

    return names <= set(CLASS_NAMES) or names <= set(CLASS_NAMES.values())


def synsets_of(pictures: Iterable[str]) -> set[str]:
    """The ids of ImageNet classes that picture names begin with, as in n02106662_1234; empty where one has none."""
    found = {re.match(r"n\d{8}(?=_)", Path(name).name) for name in pictures}
    return set() if None in found else {match.group() for match in found}
