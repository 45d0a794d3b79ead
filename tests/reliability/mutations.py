"""Damage to JSON-like content and to bytes, drawn with a seed: as disks, copies, editors and attackers make it."""

import copy
import random

ODD = (None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 1.5, float("nan"), float("inf"), 1e308, "", "x", "\ud800", "\0",
       "a" * 5000, "../../x", "/etc/passwd", [], [None], [[]], {}, {"": ""}, [1, 2, 3], "1", ["a", "a"], [0.5], "é", "\n",
       "<script>", [True])


def mutated(content: object, draw: random.Random) -> object:
    """A copy of content in which up to three values were replaced, dropped, doubled or changed."""
    content = copy.deepcopy(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(content))
        if not places:
            break
        holder, key = draw.choice(places)
        kind = draw.randrange(4)
        if kind < 2:
            holder[key] = copy.deepcopy(draw.choice(ODD))
        elif kind == 2:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif isinstance(holder[key], int | float):
            holder[key] *= draw.choice((-1, 0, 2, 1000, .5))
    return content


def _places(value):
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def flipped(content: bytes, draw: random.Random) -> bytes:
    """The bytes with one bit flipped."""
    content = bytearray(content)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)
