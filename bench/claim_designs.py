"""Studies at the level of captions, for claim_size.py: who saw what, what the encoder predicted, what was written.

No EEG and no model. A captioner is a rule that says which of the picture's properties reach the caption, so it is known
what may be claimed.
"""

from dataclasses import dataclass

import numpy as np

COLOURS = ("red", "green", "blue", "yellow", "white", "orange", "purple", "black")
NUMBERS = ("a", "two", "three", "many")
PLACES = ("left", "right", "middle", "top", "bottom")
GROUNDS = ("a snowy field", "a green meadow", "a wooden table", "a night sky", "a sandy beach")
FRAMES = ("There is {n} {c} {k} at the {p} of {g}.", "{n} {c} {k} on the {p} of {g}.", "{g} with {n} {c} {k} at the {p}.",
          "A picture of {n} {k}, {c}, at the {p} of {g}.")
SIZES = (len(COLOURS), len(NUMBERS), len(PLACES), len(GROUNDS))  # of the properties, in the order of a row of properties
CONFUSION_ROWS, FIRST_COLOUR_ROW = 396, 200  # a row of three wrong names for each class, and from 200 on for each colour


@dataclass(frozen=True)
class Design:
    """A design of a study and a rule for its captions.

    repeats: trials of a picture for each person: "one", "uneven" (1 to 12) or "oddball" (40 for the first class, 5 for the
    others). classes may be "uneven" in size. people_see: "all" (the same pictures), "own" (pictures of their own) or "some"
    (a random 80% of all). distinct: number of different sets of properties; None: each picture has its own.
    accuracy: of the predicted class. confusion: "class" (wrong names depend on the class), "picture" (each picture is taken
    for names of its own, by its colour).
    captions: what the written properties depend on: "nothing", "constant", "prior" (of what was shown most often),
    "predicted", "predicted_and_true", "person", "misread" (each picture is read as another set of properties by all people)
    or "read" (each property of the picture itself is written with probability `reading`). named: the class in the caption:
    "predicted", "true", "random".
    true_of: the claims that would be true, of "anything", "class" and "beyond".
    """

    people: int = 4
    pictures: int = 48
    classes: int = 8
    uneven_classes: bool = False
    repeats: str = "one"
    people_see: str = "all"
    distinct: int | None = None
    accuracy: float = .5
    confusion: str = "picture"
    captions: str = "predicted"
    named: str = "predicted"
    reading: float = 0.
    true_of: frozenset = frozenset()


@dataclass
class Rows:
    """The trials of a study, [n] each: generated and true captions, picture, person, predicted and true class."""

    generated: list[str]
    true_captions: list[str]
    picture: np.ndarray
    person: np.ndarray
    predicted: np.ndarray
    true: np.ndarray


def caption(properties: np.ndarray, kind: int, frame: int) -> str:
    """A sentence of four properties (of SIZES), a class and a frame."""
    colour, number, place, ground = properties
    return FRAMES[frame].format(n=NUMBERS[number], c=COLOURS[colour], k=f"kind{kind}", p=PLACES[place], g=GROUNDS[ground])


def draw(design: Design, rng: np.random.Generator) -> Rows:
    """One study."""
    weights = 1 / (1 + np.arange(design.classes)) if design.uneven_classes else np.ones(design.classes)
    kind = (rng.choice(design.classes, design.pictures, p=weights / weights.sum()) if design.uneven_classes
            else np.arange(design.pictures) % design.classes)
    properties = np.stack([rng.integers(size, size=design.pictures) for size in SIZES], axis=1)
    frames = rng.integers(len(FRAMES), size=design.pictures)
    if design.distinct:
        properties, frames = properties[np.arange(design.pictures) % design.distinct], np.zeros(design.pictures, int)
    references = [caption(*row) for row in zip(properties, kind, frames, strict=True)]
    picture, person = presented(design, kind, rng)
    true, n = kind[picture], len(picture)
    predicted = np.where(rng.random(n) < design.accuracy, true, wrong_names(design, kind, properties, picture, rng))
    written = written_properties(design, properties, picture, person, predicted, true, rng)
    named = {"predicted": predicted, "true": true, "random": rng.integers(design.classes, size=n)}[design.named]
    frame = rng.integers(len(FRAMES), size=n)
    if design.captions == "constant":
        written, named, frame = np.zeros((n, 4), int), np.zeros(n, int), np.zeros(n, int)
    generated = [caption(*row) for row in zip(written, named, frame, strict=True)]
    return Rows(generated, [references[p] for p in picture], picture, person, predicted, true)


def presented(design: Design, kind: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Picture and person of each trial, [n] each."""
    times = {"one": lambda: np.ones(design.pictures, int), "uneven": lambda: rng.integers(1, 13, design.pictures),
             "oddball": lambda: np.where(kind == 0, 40, 5)}[design.repeats]()
    picture, person = [], []
    owner = rng.permutation(design.pictures) % design.people
    for one in range(design.people):
        seen = {"all": np.ones(design.pictures, bool), "own": owner == one,
                "some": rng.random(design.pictures) < .8}[design.people_see]
        shown = np.repeat(np.flatnonzero(seen), times[seen])
        picture.append(shown)
        person.append(np.full(len(shown), one))
    return np.concatenate(picture), np.concatenate(person)


def wrong_names(design: Design, kind: np.ndarray, properties: np.ndarray, picture: np.ndarray,
                rng: np.random.Generator) -> np.ndarray:
    """The class that each trial is taken for where the encoder is wrong: [n]."""
    n, other = len(picture), rng.integers(design.classes, size=(CONFUSION_ROWS, 3))
    if design.confusion == "class":
        return other[kind[picture], rng.integers(3, size=n)]
    by_colour = other[FIRST_COLOUR_ROW + properties[picture, 0], rng.integers(3, size=n)]
    by_picture = rng.integers(design.classes, size=design.pictures)[picture]
    return np.where(rng.random(n) < .5, by_colour, by_picture)


def written_properties(design: Design, properties: np.ndarray, picture: np.ndarray, person: np.ndarray,
                       predicted: np.ndarray, true: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The properties that each caption names: [n, 4]. In 7 of 10 cases they are what it depends on, else drawn."""
    n, what = len(picture), design.captions
    chance = np.stack([rng.integers(size, size=n) for size in SIZES], axis=1)

    def habits(code):
        table = np.stack([rng.integers(size, size=code.max() + 1) for size in SIZES], axis=1)
        return table[code]

    if what in ("nothing", "constant"):
        return chance
    source = {"prior": lambda: properties[rng.choice(picture, size=n)], "predicted": lambda: habits(predicted),
              "predicted_and_true": lambda: habits(predicted * design.classes + true),
              "person": lambda: habits(person),
              "misread": lambda: properties[rng.permutation(design.pictures)[picture]],
              "read": lambda: properties[picture]}[what]()
    share = design.reading if what == "read" else .7
    return np.where(rng.random((n, 4)) < share, source, chance)


_CLASS, _BEYOND = frozenset({"anything", "class"}), frozenset({"anything", "class", "beyond"})
_NONE = frozenset()


def named_designs() -> dict[str, Design]:
    """All designs by name. Those that end in `read` hold information of each picture: there the rate is power."""
    def of(**changes):
        return Design(**{"true_of": _CLASS, **changes})

    return {
        "predicted name": of(),
        "predicted x true": of(captions="predicted_and_true"),
        "predicted x true, 200 pictures": of(captions="predicted_and_true", pictures=200),
        "predicted x true, 1 person": of(captions="predicted_and_true", people=1, pictures=96),
        "predicted x true, accuracy .2": of(captions="predicted_and_true", accuracy=.2),
        "predicted x true, true name": of(captions="predicted_and_true", named="true"),
        "predicted x true, uneven repeats": of(captions="predicted_and_true", repeats="uneven", people=1),
        "predicted x true, some pictures": of(captions="predicted_and_true", people_see="some", people=8),
        "class only": of(captions="nothing", named="true"),
        "2 classes": of(captions="predicted_and_true", classes=2),
        "40 classes": of(captions="predicted_and_true", classes=40, pictures=160),
        "uneven classes": of(captions="predicted_and_true", uneven_classes=True),
        "equal captions": of(captions="predicted_and_true", distinct=12),
        "misread pictures": of(captions="misread"),
        "misread pictures, uneven repeats": of(captions="misread", repeats="uneven", people=1),
        "style of a person": of(captions="person"),
        "own pictures, style": of(captions="person", people_see="own", pictures=96),
        "own pictures, style, at chance": of(captions="person", people_see="own", pictures=96, accuracy=0., named="random",
                                             confusion="class", true_of=_NONE),
        "some pictures, style": of(captions="person", people_see="some", people=8),
        "nothing": of(captions="nothing", named="random", accuracy=0., true_of=_NONE),
        "nothing, uneven repeats": of(captions="prior", named="random", accuracy=0., repeats="uneven", true_of=_NONE),
        "oddball": of(captions="prior", named="random", accuracy=0., repeats="oddball", classes=2, pictures=20, people=1,
                      confusion="class", true_of=_NONE),
        "oddball, constant": of(captions="constant", accuracy=0., repeats="oddball", classes=2, pictures=20, people=1,
                                confusion="class", true_of=_NONE),
        "prior within the class": of(captions="prior", repeats="uneven", people=1, pictures=64),
        "misread, at chance": of(captions="misread", named="random", accuracy=0., confusion="class", true_of=_NONE),
        "read": of(captions="read", reading=.1, true_of=_BEYOND),
        "accuracy .2, read": of(captions="read", reading=.1, accuracy=.2, true_of=_BEYOND),
        "accuracy .9, read": of(captions="read", reading=.1, accuracy=.9, true_of=_BEYOND),
        "uneven repeats, read": of(captions="read", reading=.1, repeats="uneven", people=1, true_of=_BEYOND),
        "1 person, read": of(captions="read", reading=.15, people=1, pictures=96, true_of=_BEYOND),
        "40 classes, read": of(captions="read", reading=.08, classes=40, pictures=160, true_of=_BEYOND),
    }
