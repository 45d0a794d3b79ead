"""Mean and standard deviation over seeds: of models that differ in nothing but the seed of their training."""

import re
from pathlib import Path

from runtime.wording import is_number

import numpy as np

SEED = re.compile(r"seed(\d+)")  # the name of the last folder, as runtime/seeds.py gives it


def over_seeds(studies: list[dict]) -> list[dict]:
    """[{"name", "seeds", "beyond_class", "text", "conditions"}] for each folder of models of several seeds; empty without
    any.

    studies: as results.json holds them. beyond_class: of how many seeds the EEG adds something beyond the class name, or
    beyond look-alike pictures; text: the same in words, with the seeds where this could not be tested.
    conditions: [{"condition", "kind", "scores": {metric: {"mean", "sd"}}}] of those that all seeds have; sd is that of the
    seeds' means, with n - 1.
    """
    groups = {}
    for study in studies:
        place = Path(study["provenance"].get("model_path") or "")
        seed = SEED.fullmatch(place.name)
        if seed and study["verdicts"]:
            groups.setdefault((str(place.parent), study.get("prompt"), study.get("split")), {})[int(seed[1])] = study
    return [_joined(folder, dict(sorted(by_seed.items()))) for (folder, *_), by_seed in groups.items() if len(by_seed) > 1]


def _joined(name, by_seed):
    first, *others = by_seed.values()
    conditions = []
    for one in first["conditions"]:
        same = [one, *(other for study in others for other in study["conditions"]
                       if other["condition"] == one["condition"])]
        if len(same) < len(by_seed):
            continue
        means = {metric: [(entry["scores"].get(metric) or {}).get("mean") for entry in same] for metric in one["scores"]}
        conditions.append({"condition": one["condition"], "kind": one["kind"], "scores": {
            metric: {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
            for metric, values in means.items() if all(map(is_number, values))}})
    held = [study["verdicts"]["beyond_class"]["holds"] for study in by_seed.values()]
    return {"name": name, "seeds": list(by_seed), "conditions": conditions, "beyond_class": held.count(True),
            "text": _beyond(held, first["beyond"])}


def _beyond(held, what):
    """In how many seeds the EEG adds something; None in `held` where it could not be tested, which is no evidence."""
    unknown = held.count(None)
    if unknown == len(held):
        return f"whether the EEG adds something beyond {what} could not be tested"
    return (f"the EEG adds something beyond {what} in {held.count(True)} of {len(held)}"
            + (f"; in {unknown} of them this could not be tested" if unknown else ""))
