"""Training of stages 2 and 3, the captioner, conditions, and captions of a whole split.

    from captioning import Captioner
"""


def __getattr__(name: str) -> object:
    if name != "Captioner":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from captioning.api import Captioner  # imports torch and transformers, which not every user of the package needs

    return Captioner
