"""Whether a caption names the object that was shown, by WordNet (Miller 1995) instead of a list of our own.

A caption names an object by

- the object's name. `_` is a space. Each part of "canoe or boat", "fruits and vegetables" or "a, b" is a name, unless
  WordNet knows the whole;
- a synonym: a word of the same WordNet synset. The synset is the name's first noun sense that is a physical entity and not
  a person (the first sense of "crane" is Stephen Crane);
- a hyponym at any depth: "airliner" names an airplane and "taxi" a car. This must be the first noun sense of the hyponym
  ("boxer" is a dog but first a man), and a single word must not be an adjective ("orange" is mostly a colour).

A hypernym does not count: "airplane" does not name an airliner, nor "mug" a coffee mug, since by the head noun alone any
table would name a pool table. Words are runs of letters and digits in any case; the last word of a name may be inflected
(WordNet's morphy: cats, men, watches). Spaces, hyphens and apostrophes inside a name do not matter (cell phone,
cellphone). Of the true captions published with DL_Proj_EEG-to-Text, one a picture, 75% name their own object (62% by its
name, 4% more by synonyms, the rest by hyponyms), and 0.4% name any one of the 39 other objects.
"""

import functools
import re

from runtime.errors import InputError

import numpy as np

from metrics.wordnet import require_wordnet

MAX_NAME_WORDS = 4  # of a name that is looked for in a caption; more if the object name itself is longer


def object_named(predictions: list[str], objects: list[str]) -> np.ndarray:
    """1.0 where the generated caption names its row's object, else 0.0: [n].

    predictions: n captions, already cleaned (metrics.text.clean_captions); objects: n names of what was shown. Raises
    InputError where an object has no letter and no digit or WordNet is missing, ValueError where the lengths differ.
    """
    if len(predictions) != len(objects):
        raise ValueError(f"{len(predictions)} predictions for {len(objects)} objects")
    unnamed = [i for i, name in enumerate(objects) if not _words(name)]
    if unnamed:
        raise InputError(f"{len(unnamed)} expected objects hold no letter and no digit, the first, "
                         f"{objects[unnamed[0]]!r}, in row {unnamed[0]}; expected the name of the object shown in each row")
    require_wordnet()
    names = {name: _names(name) for name in set(objects)}
    longest = max([MAX_NAME_WORDS, *(len(_words(name)) for name in names)])
    return np.array([not names[name].isdisjoint(_phrases(caption, longest))
                     for caption, name in zip(predictions, objects, strict=True)], dtype=float)


def _words(text):
    return re.findall(r"[^\W_]+", text.lower())


@functools.cache
def _base_forms(word):
    """The word and its possible singulars. `morphy` gives only one form: for "men", which is a word itself, "men"."""
    from nltk.corpus import wordnet

    return tuple(dict.fromkeys([word, *wordnet._morphy(word, wordnet.NOUN)]))


def _inflections(words):
    """The words joined to one, with the last as it is and in its singular."""
    return {"".join(words[:-1]) + last for last in _base_forms(words[-1])}


def _phrases(caption, longest):
    """All runs of up to `longest` words, each joined to one word, also with the last one's singular."""
    words = _words(caption)
    return {phrase for start in range(len(words)) for end in range(start + 1, min(start + longest, len(words)) + 1)
            for phrase in _inflections(words[start:end])}


def _senses(name):
    """Noun senses of a name, in any of WordNet's spellings; [] where it knows none."""
    from nltk.corpus import wordnet

    *first, last = _words(name)
    spellings = [mark.join([*first, form]) for form in _base_forms(last) for mark in ("_", "", "-")]
    for spelling in ("_".join(name.lower().split()), *spellings):  # first as it is, with its apostrophes
        senses = wordnet.synsets(spelling, wordnet.NOUN)
        if senses:
            return senses
    return []


def _is_thing(sense):
    from nltk.corpus import wordnet

    thing = wordnet.synset("physical_entity.n.01")
    return not sense.instance_hypernyms() and thing in sense.closure(lambda one: one.hypernyms())


def _is_usual(lemma, sense):
    """Whether the lemma, as a single word or a phrase, mostly means this sense."""
    from nltk.corpus import wordnet

    nouns = wordnet.synsets(lemma, wordnet.NOUN)
    return nouns[:1] == [sense] and ("_" in lemma or not wordnet.synsets(lemma, wordnet.ADJ))


def _names(name):
    """Everything that names the object, each joined to one word."""
    whole = name.replace("_", " ").strip()
    parts = [whole] if _senses(whole) else re.split(r"\s+(?:or|and)\s+|[,/;]", whole)
    found = set()
    for part in filter(_words, parts):
        found |= _inflections(_words(part))
        senses = _senses(part)
        for sense in ([one for one in senses if _is_thing(one)] or senses)[:1]:
            found |= {"".join(_words(lemma)) for lemma in sense.lemma_names()}
            found |= {"".join(_words(lemma)) for kind in sense.closure(lambda one: one.hyponyms())
                      for lemma in kind.lemma_names() if _is_usual(lemma, kind)}
    return found
