"""Drawn pictures of several things at once, as photographs of COCO are, each with five captions in words of their own.

A `Mixture` holds one to three drawings.Scene, of different kinds and at different places, on one background. Its captions
are worded like those that people wrote for COCO's pictures (1,000 of them, those of NSD's shared pictures, were counted):
10 words on average, three of four begin with "A", and many leave things out. What a caption says is true of the picture.
"""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sources import drawings
from sources.drawings import Scene

if TYPE_CHECKING:
    from PIL.Image import Image

CAPTIONS = 5  # of a picture, as in COCO
SHARES = {1: .35, 2: .45, 3: .2}  # of pictures with so many things
NAMES = {"ball": ("ball", "toy ball"), "car": ("car", "vehicle"), "cup": ("cup", "mug"), "fish": ("fish",),
         "flower": ("flower", "blossom"), "house": ("house", "building"), "star": ("star",), "tree": ("tree", "fir tree")}
GROUNDS = {"grass": ("a green meadow", "grass"), "night": ("a night sky", "a dark sky"),
           "sand": ("a sandy beach", "sand"), "snow": ("a snowy field", "snow")}
AT = {"left": ("on the left", "on the left side"), "right": ("on the right", "on the right side"),
      "top": ("at the top", "up high"), "bottom": ("at the bottom", "down below"),
      "centre": ("in the middle", "in the centre")}
PATTERNS = (  # {0}: all things, {1}: the first of them, {2}: its place, {3}: the ground
    "{0} on {3}", "{1} {2} of {3}", "{0} in front of {3}", "{1} {2} and {3}", "a drawing of {0} and {3}", "a view of {0}",
    "{1} {2} with more around it", "the picture shows {0}")


@dataclass(frozen=True)
class Mixture:
    """What a picture shows: `parts`, of different kinds, with the same background."""

    parts: tuple[Scene, ...]
    variant: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(part.kind for part in self.parts)


def sample_mixtures(number: int, seed: int = 0, classes: Sequence[str] = drawings.CLASSES,
                    exclude: Iterable[Mixture] = ()) -> list[Mixture]:
    """Draw `number` mixtures of which no two show the same; `exclude` holds those that are left out."""
    chooser, taken, found = random.Random(seed), {frozenset(one.parts) for one in exclude}, []
    most = min(max(SHARES), len(classes))
    while len(found) < number:
        count = min(most, chooser.choices(list(SHARES), list(SHARES.values()))[0])
        background, places = chooser.choice(list(drawings.BACKGROUNDS)), chooser.sample(list(drawings.PLACES), count)
        parts = tuple(Scene(kind, chooser.choice(list(drawings.COLOURS)), 1, place, background)
                      for kind, place in zip(chooser.sample(list(classes), count), places, strict=True))
        if frozenset(parts) not in taken:
            taken.add(frozenset(parts))
            found.append(Mixture(parts, chooser.randrange(1 << 30)))
    return found


def captions(mixture: Mixture) -> tuple[str, ...]:
    """Five different sentences about the picture, the same for mixtures that show the same."""
    chooser = random.Random(repr(sorted(map(repr, mixture.parts))))
    patterns = chooser.sample(PATTERNS, len(PATTERNS))
    tried = itertools.islice(itertools.cycle(patterns), 40)
    made = dict.fromkeys(_sentence(mixture, pattern, chooser) for pattern in tried)
    return tuple(itertools.islice(made, CAPTIONS))


def _sentence(mixture, pattern, chooser):
    parts = chooser.sample(mixture.parts, len(mixture.parts))
    if len(parts) > 1 and chooser.random() < .25:
        parts = parts[:-1]  # people leave things out
    things = [_thing(part, chooser) for part in parts]
    ground = chooser.choice(GROUNDS[parts[0].background])
    text = pattern.format(_listed(things), things[0], chooser.choice(AT[parts[0].place]), ground)
    return f"{text[0].upper()}{text[1:]}."


def _thing(part, chooser):
    name = chooser.choice(NAMES[part.kind])
    words = f"{part.colour} {name}" if chooser.random() < .8 else name
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _listed(things):
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def draw(mixture: Mixture, size: int = 224) -> "Image":
    """Draw the mixture as a `PIL.Image` of `size` x `size` pixels, as drawings.draw does a scene."""
    return drawings.draw_all(mixture.parts, mixture.variant, size, .75)
