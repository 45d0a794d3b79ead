"""Names that people write twice, in a table and as a folder: the exact one first, a looser one where it is the only one."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

from .tables import plain_text

LETTERS = ("Mn", "Mc", "Me", "So")  # categories of Unicode, besides letters and digits: marks, emoji
SEPARATORS = re.compile(r"[\s_/.-]+")


def loose(text: str) -> str:
    """A name without regard to case, to what separates its words and to forms of its letters: "Air_Conditioner" is "air
    conditioner", full-width digits are digits; "C+" is not "C-", and marks on letters stay."""
    return SEPARATORS.sub(" ", unicodedata.normalize("NFKC", plain_text(text)).casefold()).strip()


def natural(path: PurePath) -> tuple:
    """What paths are sorted by so that their numbers count as numbers: run-2 comes before run-10."""
    parts = [re.split(r"(\d+)", name) for name in path.parts]
    return [[int(each) if each.isdecimal() else each for each in name] for name in parts], path


def slug(text: object) -> str:
    """A class id of a class's name: "air conditioner" -> "air-conditioner"; letters with their marks, digits, emoji, no
    "_"."""
    return re.sub("-+", "-", plain_letters(text)).strip("-")


def plain_letters(text: object, also: str = "") -> str:
    """A text whose stretches of anything but letters with their marks, digits, emoji and `also` are one "-" each."""
    letters = (c if c.isalnum() or c in also or unicodedata.category(c) in LETTERS else "\0" for c in plain_text(text))
    return re.sub("\0+", "-", "".join(letters))


def unique_slugs(names: Iterable[str]) -> dict[str, str]:
    """{name: slug}, with a number where two would be equal for a file system without regard to case: C+, C- -> C, C-2."""
    ids, taken = {}, set()
    for name in names:
        number, plain = 1, slug(name)
        while (each := plain if number == 1 else f"{plain}-{number}").casefold() in taken:
            number += 1
        taken.add(each.casefold())
        ids[name] = each
    return ids


class Names:
    """Things by name."""

    def __init__(self, pairs: Iterable[tuple[str, object]]):
        """pairs: (name, thing); a thing may have several names, and a name several things."""
        self.levels = [(key, {}) for key in (plain_text, lambda text: plain_text(text).casefold(), loose)]
        for name, thing in pairs:
            for key, things in self.levels:
                things.setdefault(key(name), {})[thing] = None

    def find(self, text: str) -> tuple[list, bool]:
        """The things of that very name, else those of a name that differs in case, else also in separators; whether the
        name is another one."""
        for number, (key, things) in enumerate(self.levels):
            if key(text) in things:
                return list(things[key(text)]), number > 0
        return [], False
