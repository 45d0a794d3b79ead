"""The rating that a judge's answer states: "4", "Score: 4", "4/5", "4.0", "I would rate this 4 out of 5", {"score": 4}."""

import re

_NUMBER = r"(?<![\w.,/-])(\d+(?:\.\d+)?)(?![\w%]|[.,]\d)"
_RANGE = r"\s*(?:-|to|or|and|\.\.+)\s*\d"  # what follows the 3 in "3 or 4"
_OF = r"\s*(?:/|out of)\s*"
_ALONE = rf"{_NUMBER}(?!{_RANGE}|{_OF}\d)"
_LABEL = r"(?:score|rating|grade|fluency|adequacy|answer|rate (?:it|this|that|the [a-z ]{1,60}?)(?: as)?)"
_OUT_OF_5 = re.compile(rf"{_NUMBER}{_OF}5(?:\.0+)?(?![\w/]|\.\d)")
_LABELLED = re.compile(rf"\b{_LABEL}\s*(?:(?:is|of|an?|as|be)\s+|[:=]\s*)*{_ALONE}")
_LEADING = re.compile(rf"^\W*?(?:(?:score|rating|fluency|adequacy|answer)\s*[:=]\s*)?{_ALONE}"
                      r"\s*(?:$|\n|\(|[.:;)](?:\s|$)|[,-]\s(?!\d))")
_NO_STATEMENT = re.compile(r"\b1(?:\.0)?\s*(?:-|to|through|and|\.\.+)\s*5\b(?!\.\d)|"  # "on a scale of 1 to 5"
                           r"\bsentences? [12]\b(?: and [12]\b)?")


def score_of(answer, cut=False):
    """The whole number 1 to 5 that an answer states; None where it states none, several, a range or another number.

    Thoughts up to `</think>` are dropped. cut: the answer was cut short; then only a number at its beginning counts, as
    what follows may be a thought without a mark.
    """
    text = answer.rpartition("</think>")[2]
    if "<think>" in text:  # never closed: all of it is thought
        return None
    text = text.translate({0x2013: "-", 0x2014: "-"})  # the longer dashes
    text = re.sub(r"[*_`#\"']", "", text).strip().lower()
    text = _NO_STATEMENT.sub(" ", text)
    leading = _LEADING.match(text)
    if cut:
        leading = leading or _OUT_OF_5.match(text)
        # A number at the very end may have lost its last digits.
        stated = {leading.group(1)} if leading and leading.end(1) < len(text) else set()
    else:
        stated = {*_OUT_OF_5.findall(text), *_LABELLED.findall(text), *([leading.group(1)] if leading else [])}
        if not stated and not re.search(rf"\d(?:{_RANGE}|{_OF}\d)", text):
            stated = set(re.findall(_NUMBER, text))
    stated = {float(number) for number in stated}
    return int(*stated) if len(stated) == 1 and stated < {1.0, 2.0, 3.0, 4.0, 5.0} else None
