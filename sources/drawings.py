"""Drawn pictures of things whose class, colour, number, place and background are known, and a caption for each.

A `Scene` is what a picture shows; `draw(scene)` and `caption(scene)` depend on nothing else, so equal scenes give equal
pictures and sentences. The words of a caption come from the scene's attributes by a small grammar of three sentence
patterns; which pattern is used follows from the place, as it does in speech.
"""

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES = ("ball", "car", "cup", "fish", "flower", "house", "star", "tree")
COLOURS = {"red": (214, 40, 40), "orange": (247, 140, 20), "yellow": (250, 222, 50), "green": (40, 160, 70),
           "blue": (45, 105, 220), "purple": (140, 65, 180)}
NUMBERS = {1: "one", 2: "two", 3: "three"}
PLACES = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
          "centre": "in the middle"}
BACKGROUNDS = {"grass": "a green meadow", "night": "a night sky", "sand": "a sandy beach", "snow": "a snowy field"}
SCENES_PER_CLASS = len(COLOURS) * len(NUMBERS) * len(PLACES) * len(BACKGROUNDS)
CENTRES = {"left": (.24, .5), "right": (.76, .5), "top": (.5, .24), "bottom": (.5, .76), "centre": (.5, .5)}
SIZES = {1: .36, 2: .32, 3: .28}  # of one thing, as a part of the picture's width
INK, WHITE, GLASS = (30, 30, 40), (255, 255, 255), (190, 225, 245)


@dataclass(frozen=True)
class Scene:
    """What a picture shows; `variant` moves and resizes the things a little and changes no word of the caption."""

    kind: str
    colour: str
    number: int
    place: str
    background: str
    variant: int = 0

    @property
    def parts(self) -> tuple["Scene", ...]:
        """The scene itself, the only one of its picture."""
        return (self,)


def sample_scenes(number: int, seed: int = 0, classes: Sequence[str] = CLASSES, exclude: Iterable[str] = ()) -> list[Scene]:
    """Draw `number` scenes without repetition, the classes in turn; `exclude` holds captions whose scenes are left out.

    Two scenes are the same when class, colour, number, place and background agree; there are `SCENES_PER_CLASS` a class.
    """
    chooser, exclude, queues = random.Random(seed), set(exclude), []
    for kind in classes:
        scenes = [Scene(*values) for values in itertools.product([kind], COLOURS, NUMBERS, PLACES, BACKGROUNDS)]
        scenes = [scene for scene in scenes if caption(scene) not in exclude]
        chooser.shuffle(scenes)
        queues.append(scenes)
    scenes = [scene for turn in itertools.zip_longest(*queues) for scene in turn if scene is not None][:number]
    if len(scenes) < number:
        raise ValueError(f"{number} different scenes asked for, only {len(scenes)} exist")
    return [replace(scene, variant=chooser.randrange(1 << 30)) for scene in scenes]


def caption(scene: Scene) -> str:
    """One sentence of at most 12 words, for example "Two red cars on the left of a snowy field."."""
    plural = scene.kind if scene.number == 1 or scene.kind == "fish" else f"{scene.kind}s"
    count = NUMBERS[scene.number] if scene.number > 1 else "an" if scene.colour[0] in "aeiou" else "a"
    things, place, background = f"{count} {scene.colour} {plural}", PLACES[scene.place], BACKGROUNDS[scene.background]
    if scene.place in ("left", "right"):
        sentence = f"{things} {place} of {background}."
    elif scene.place == "centre":
        sentence = f"{background} with {things} {place}."
    else:
        sentence = f"there {'is' if scene.number == 1 else 'are'} {things} {place} of {background}."
    return sentence[0].upper() + sentence[1:]


def draw(scene: Scene, size: int = 224) -> "Image":
    """Draw the scene as a `PIL.Image` of `size` x `size` pixels."""
    return draw_all([scene], scene.variant, size)


def draw_all(scenes: Sequence[Scene], variant: int, size: int, scale: float = 1.) -> "Image":
    """Draw the things of all `scenes` on the background of the first, `scale` times as large as in a picture of one scene.

    The picture is drawn four times as large and reduced. variant: what moves and resizes the things a little.
    """
    from PIL import Image, ImageDraw

    width = size * 4
    image = Image.new("RGB", (width, width))
    pen, jitter = ImageDraw.Draw(image), random.Random(variant)
    _BACKGROUND_PENS[scenes[0].background](pen, width, jitter)
    for scene in scenes:
        thing = scale * SIZES[scene.number] * width * jitter.uniform(.92, 1.04)
        x, y = (part * width + jitter.uniform(-.02, .02) * width for part in CENTRES[scene.place])
        across = scene.place in ("top", "bottom", "centre")  # things at a side stand above each other
        for i in range(scene.number):
            step = (i - (scene.number - 1) / 2) * thing * 1.12
            sway = jitter.uniform(-.012, .012) * width
            place = _Frame(pen, x + (step if across else sway), y + (sway if across else step), thing / 2)
            _THING_PENS[scene.kind](place, COLOURS[scene.colour])
    return image.resize((size, size), Image.Resampling.LANCZOS)


class _Frame:
    """A pen in the coordinates of one thing: -1..1 to the right and downwards, outlined in ink."""

    def __init__(self, pen, x, y, half):
        self.pen, self.x, self.y, self.half, self.line = pen, x, y, half, max(2, round(half * .07))

    def points(self, points):
        return [(self.x + u * self.half, self.y + v * self.half) for u, v in points]

    def polygon(self, points, fill, outline=INK):
        self.pen.polygon(self.points(points), fill=fill)
        self.pen.line(self.points([*points, points[0], points[1]]), fill=outline, width=self.line, joint="curve")

    def ellipse(self, left, top, right, bottom, fill, outline=INK):
        self.pen.ellipse(sum(self.points([(left, top), (right, bottom)]), ()), fill, outline, self.line)

    def arc(self, left, top, right, bottom, start, end, fill=INK, thick=1):
        self.pen.arc(sum(self.points([(left, top), (right, bottom)]), ()), start, end, fill, round(self.line * thick))

    def line_through(self, points, fill=INK, thick=1):
        self.pen.line(self.points(points), fill=fill, width=round(self.line * thick), joint="curve")


def _shade(colour, by):
    return tuple(max(0, min(255, round(part * by))) for part in colour)


def _ball(at, colour):
    at.ellipse(-.95, -.95, .95, .95, colour)
    at.arc(-2.1, -.95, -.1, .95, -58, 58, WHITE, 2.2)
    at.arc(.1, -.95, 2.1, .95, 122, 238, WHITE, 2.2)
    at.arc(-.95, -.95, .95, .95, 0, 360)


def _car(at, colour):
    at.polygon([(-.55, -.1), (-.3, -.6), (.35, -.6), (.62, -.1)], colour)
    at.polygon([(-.36, -.12), (-.2, -.45), (0, -.45), (0, -.12)], GLASS)
    at.polygon([(.1, -.12), (.1, -.45), (.28, -.45), (.44, -.12)], GLASS)
    at.polygon([(-1, -.1), (.8, -.1), (1, .1), (1, .4), (-1, .4)], colour)
    for x in (-.52, .52):
        at.ellipse(x - .27, .15, x + .27, .69, INK)
        at.ellipse(x - .11, .31, x + .11, .53, WHITE)


def _cup(at, colour):
    at.arc(.25, -.45, 1, .4, -95, 110, INK, 4.4)
    at.arc(.29, -.41, .96, .36, -95, 110, colour, 2.4)
    at.polygon([(-.8, -.65), (.55, -.65), (.38, .75), (-.63, .75)], colour)
    at.ellipse(-.8, -.85, .55, -.45, WHITE)
    at.ellipse(-.66, -.76, .41, -.52, (110, 65, 35))


def _fish(at, colour):
    at.polygon([(.4, 0), (1, -.5), (.85, 0), (1, .5)], _shade(colour, .75))
    at.polygon([(-.25, -.4), (.1, -.8), (.3, -.3)], _shade(colour, .75))
    at.ellipse(-1, -.52, .6, .52, colour)
    at.arc(-1.1, -.5, -.35, .5, -55, 55)
    at.ellipse(-.82, -.24, -.56, .02, WHITE)
    at.ellipse(-.75, -.17, -.65, -.07, INK)


def _flower(at, colour):
    at.line_through([(0, 0), (0, .98)], INK, 3.2)
    at.line_through([(0, 0), (0, .96)], (30, 125, 50), 1.8)
    at.polygon([(0, .85), (.5, .4), (.55, .62)], (30, 125, 50))
    for k in range(6):
        u, v = .44 * math.cos(k * math.pi / 3), .44 * math.sin(k * math.pi / 3) - .3
        at.ellipse(u - .27, v - .27, u + .27, v + .27, colour)
    at.ellipse(-.24, -.54, .24, -.06, (90, 55, 25))


def _house(at, colour):
    at.polygon([(-.72, -.15), (.72, -.15), (.72, .9), (-.72, .9)], colour)
    at.polygon([(-.95, -.12), (0, -.92), (.95, -.12)], _shade(colour, .55))
    at.polygon([(-.5, .12), (-.1, .12), (-.1, .48), (-.5, .48)], GLASS)
    at.polygon([(.15, .2), (.52, .2), (.52, .9), (.15, .9)], (110, 65, 35))


def _star(at, colour):
    turns = [(-.5 + k / 5) * math.pi for k in range(10)]
    radii = itertools.cycle([1, .42])
    at.polygon([(r * math.cos(a), r * math.sin(a) + .05) for r, a in zip(radii, turns, strict=False)], colour)


def _tree(at, colour):
    at.polygon([(-.16, .3), (.16, .3), (.2, .98), (-.2, .98)], (110, 65, 35))
    for low, top, half in ((.55, -.15, .85), (.12, -.55, .66), (-.3, -.98, .47)):
        at.polygon([(-half, low), (0, top), (half, low)], colour)


def _grass(pen, width, jitter):
    pen.rectangle((0, 0, width, width), (150, 205, 105))
    for _ in range(170):
        x, y, h = jitter.uniform(0, width), jitter.uniform(0, width), width * .035
        pen.line([(x - h / 3, y - h), (x, y), (x + h / 3, y - h)], (105, 170, 70), width // 220)


def _night(pen, width, jitter):
    pen.rectangle((0, 0, width, width), (25, 28, 70))
    for _ in range(70):
        x, y, r = jitter.uniform(0, width), jitter.uniform(0, width), width * jitter.uniform(.002, .006)
        pen.ellipse((x - r, y - r, x + r, y + r), (225, 225, 245))
    x, y, r = width * .93, width * .08, width * .05
    pen.ellipse((x - r, y - r, x + r, y + r), (240, 235, 200))
    pen.ellipse((x - 1.5 * r, y - 1.2 * r, x + .5 * r, y + .8 * r), (25, 28, 70))


def _sand(pen, width, jitter):
    pen.rectangle((0, 0, width, width), (232, 205, 150))
    for _ in range(500):
        x, y, r = jitter.uniform(0, width), jitter.uniform(0, width), width * .004
        pen.ellipse((x - r, y - r, x + r, y + r), (196, 163, 105))
    for y in range(0, width, width // 6):
        wave = [(x, y + width * .012 * math.sin(x / width * 22 + y)) for x in range(0, width + 1, 8)]
        pen.line(wave, (214, 184, 128), width // 130)


def _snow(pen, width, jitter):
    pen.rectangle((0, 0, width, width), (240, 245, 252))
    for _ in range(45):
        x, y, r = jitter.uniform(0, width), jitter.uniform(0, width), width * jitter.uniform(.012, .02)
        for k in range(3):
            dx, dy = r * math.cos(k * math.pi / 3), r * math.sin(k * math.pi / 3)
            pen.line([(x - dx, y - dy), (x + dx, y + dy)], (175, 200, 230), width // 250)


_THING_PENS = {"ball": _ball, "car": _car, "cup": _cup, "fish": _fish, "flower": _flower, "house": _house,
               "star": _star, "tree": _tree}
_BACKGROUND_PENS = {"grass": _grass, "night": _night, "sand": _sand, "snow": _snow}
