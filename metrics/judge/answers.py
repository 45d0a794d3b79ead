"""What a judge answers: the schema that a server is asked to keep to, and a parser for servers and models without it."""

import re

RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "rating", "strict": True, "schema": {
    "type": "object", "properties": {"score": {"type": "integer", "enum": [1, 2, 3, 4, 5]}},
    "required": ["score"], "additionalProperties": False}}}

_NUMBER = r"(?<![\w.,/-])(\d+(?:\.\d+)?)(?![\w%]|[.,]\d)"
_SINGLE = rf"{_NUMBER}(?!\s*(?:-|/|out of)\s*\d)"  # neither the 3 of "3-4" nor that of "3/10"
_SCALE_OR_SENTENCE = re.compile(r"\b1(?:\.0)?\s*(?:-|to|through|and|\.\.+)\s*5\b(?!\.\d)|"  # "on a scale of 1 to 5"
                                r"\bsentences? [12]\b(?: and [12]\b)?")
_RANGE = re.compile(r"(\d)\s*(?:-|to|or|and|\.\.+)\s*(?=\d)")
_OUT_OF_5 = re.compile(rf"{_NUMBER}\s*(?:/|out of)\s*5(?:\.0+)?(?![\w/]|\.\d)")
_LABELLED = re.compile(r"\b(?:score|rating|grade|fluency|adequacy|answer|rate (?:it|this|that|the [a-z ]{1,60}?)(?: as)?)"
                       rf"\s*(?:(?:is|of|an?|as|be)\s+|[:=]\s*)*{_SINGLE}")
_OPENING = re.compile(rf"\W*?(?:(?:score|rating|fluency|adequacy|answer)\s*[:=]?\s*)*{_SINGLE}"
                      r"\s*(?:$|\n|\(|[.:;)}](?:\s|$)|[,-]\s(?!\d))")


def score_of(answer: str, cut: bool = False) -> int | None:
    """The rating from 1 to 5 in `{"score": 4}`, "4", "Score: 4", "4/5" or "I would rate this 4 out of 5".

    None where the answer gives no rating, several, a range or a number off the scale. Text up to `</think>` is ignored.
    cut: the answer reached the length limit. Then only a rating at its beginning counts, because the rest may be a line
    of thought that was never finished.
    """
    text = answer.rpartition("</think>")[2]
    if "<think>" in text:  # the thought was never closed
        return None
    text = re.sub(r"[*_`#\"']", "", text.translate({0x2013: "-", 0x2014: "-"})).lower()  # en and em dash
    text = _RANGE.sub(r"\1-", _SCALE_OR_SENTENCE.sub(" ", text))
    text = _OUT_OF_5.sub(r"score \1\n", text)
    opening = _OPENING.match(text)
    if cut and opening and opening.end(1) == len(text):  # the number itself may have lost digits
        return None
    stated = {opening.group(1)} if opening else set()
    if not cut:
        stated.update(_LABELLED.findall(text))
        if not stated and not re.search(r"\d\s*(?:-|/|out of)\s*\d", text):
            stated.update(re.findall(_NUMBER, text))
    scores = {float(number) for number in stated}
    return int(*scores) if len(scores) == 1 and scores < {1.0, 2.0, 3.0, 4.0, 5.0} else None
