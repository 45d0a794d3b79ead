"""Damage to JSON-like content and to bytes, drawn with a seed: as disks, copies, editors and attackers make it."""

import copy
import random

ODD = (None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 1.5, float("nan"), float("inf"), 1e308, "", "x", "\ud800", "\0",
       "a" * 5000, "../../x", "/etc/passwd", [], [None], [[]], {}, {"": ""}, [1, 2, 3], "1", ["a", "a"], [0.5], "é", "\n",
       "<script>", [True])
PIECES = (b"\0", b"\xff", b"\n", b"\r\n", b"\r", b"\t", b",", b";", b'"', b"'", b"-1", b"1e999", b"nan", b"-inf",
          b"9" * 400, b"0", b"1e308", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"1_000", b"\xd9\xa3", b"0x10",
          b" ", b"\x1a", b"\x85", b"..", b"=", b"/", b"\\", b"{", b"}", b"[", b"]", b"null", b"{{", b"}}", b"{%", b"%s",
          b"2147483648")


def mutated(content: object, draw: random.Random, more: tuple = ()) -> object:
    """A copy of content in which up to three values were replaced, dropped, doubled or changed. more: further values to
    put in their place."""
    content = copy.deepcopy(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(content))
        if not places:
            break
        holder, key = draw.choice(places)
        kind = draw.randrange(4)
        if kind < 2:
            holder[key] = copy.deepcopy(draw.choice((*ODD, *more)))
        elif kind == 2:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif isinstance(holder[key], int | float):
            holder[key] *= draw.choice((-1, 0, 2, 1000, .5))
        elif isinstance(holder[key], str):
            holder[key] = edited(holder[key].encode(errors="replace"), draw).decode(errors="replace")
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


def edited(content: bytes, draw: random.Random) -> bytes:
    """The bytes after one to six changes: bits and bytes, pieces put in, cut out or doubled, lines swapped or doubled, the
    end cut off."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        if not content:
            break
        start = draw.randrange(len(content))
        end = start + draw.choice((1, 2, 4, 16, 100))
        kind = draw.randrange(8)
        if kind == 0:
            content = flipped(content, draw)
        elif kind == 1:
            content = content[:start] + bytes([draw.randrange(256)]) + content[start + 1:]
        elif kind == 2:
            content = content[:start] + draw.choice(PIECES) + content[draw.choice((start, end)):]
        elif kind == 3:
            content = content[:start] + content[end:]
        elif kind == 4:
            content = content[:start]
        elif kind == 5:
            content = content[:end] + content[start:]
        else:
            lines = content.split(b"\n")
            one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
            if kind == 6:
                lines[one], lines[two] = lines[two], lines[one]
            else:
                lines[one:one + 1] = [lines[one]] * draw.choice((0, 2, 3))
            content = b"\n".join(lines)
    return content
