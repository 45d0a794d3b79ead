"""Reasons to doubt captions that their records give: no record, one that lacks what it must say, another LLM or CLIP."""

from collections.abc import Iterable

from runtime.model_files import differing_files
from runtime.wording import joined, listed

from metrics.caption_files import Captions
from metrics.conditions import BASELINES, BY_NAME, MODEL_CONDITION

from .caveats import MAX_LISTED, severe

OWN_COLUMNS = ("condition", "model", "trial")  # which no predecessor's file has
ALWAYS_RECORDED = ("model", "data", "sha256")  # every version wrote these: without them no other safeguard works


def about_records(members: list[Captions], model: Captions | None) -> list[dict[str, str]]:
    """Severe caveats about the records of a study's files, [{"severity", "text"}]; [] for a predecessor's file, which has
    no record by nature. model: the file that claims are made of."""
    if model is None:
        return []
    own = sorted((file for file in members if set(OWN_COLUMNS) & set(file.table)), key=lambda file: file is not model)
    found = [_without_record(own), *_incomplete(own), _other_llm(own), *_unlike(own, model)]
    return [severe(text) for text in found if text]


def _without_record(files):
    keys = [file.key for file in files if file.record is None]
    return keys and f"{_some(keys)} {'has' if len(keys) == 1 else 'have'} no record of how the captions were made"


def _incomplete(files):
    """Records that lack a key, by the keys that they lack."""
    lacking = {}
    for file in files:
        missing = [] if file.record is None else [key for key in ALWAYS_RECORDED if file.record.get(key) is None]
        if missing:
            lacking.setdefault(tuple(missing), []).append(file.key)
    for missing, keys in lacking.items():
        yield f"the {'record' if len(keys) == 1 else 'records'} of {_some(keys)} {'lacks' if len(keys) == 1 else 'lack'} " \
              f"{joined(missing)}"


def _other_llm(files):
    """Captions by another LLM than the one that projector and adapter were trained for."""
    found = {_condition(file): file.record["other_llm"] for file in files if (file.record or {}).get("other_llm")}
    return found and (f"{_some(found)} {_was(found)} written by another base LLM than the captioner was trained with (they "
                      f"differ in {_files(found.values())})")


def _unlike(files, model):
    """Controls by another LLM than the model's captions, and embeddings of pictures by several CLIP models."""
    ours = model.record or {}
    llm = {_condition(file): differing_files(file.record.get("llm"), ours.get("llm"))
           for file in files if file.record and file is not model and file.condition not in BASELINES
           and bool(file.record.get("other_llm")) <= bool(ours.get("other_llm"))}  # else `_other_llm` has said it
    embedded = [file for file in files if BY_NAME[_condition(file)].needs_clip and (file.record or {}).get("clip")]
    clip = {_condition(file): differing_files(file.record["clip"], embedded[0].record["clip"]) for file in embedded[1:]}
    for what, found in (("base LLM than the model's captions", llm),
                        (f"CLIP model than {_condition(embedded[0]) if embedded else ''}", clip)):
        found = {condition: names for condition, names in found.items() if names}
        if found:
            yield f"{_some(found)} {_was(found)} made with another {what} (they differ in {_files(found.values())})"


def _condition(file):
    return file.condition or MODEL_CONDITION


def _was(names):
    return "was" if len(names) == 1 else "were"


def _files(lists):
    return _some(dict.fromkeys(name for names in lists for name in names))


def _some(names: Iterable[str]) -> str:
    return listed(names, MAX_LISTED)
