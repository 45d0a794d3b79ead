"""The first thing after the claim: a few trials, drawn at random across people, what was shown and what was written."""

from runtime.wording import shortened

import numpy as np

from metrics.caption_files import Captions
from metrics.conditions import BY_NAME

from .examples import picture_uri, texts_by_row

ROWS = 5
CONTROLS = ("shuffled_within_class", "shuffled", "noise+label", "label")  # the first that is there stands beside
TEXT = 160  # characters of a caption


def draw_rows(people: list[str] | None, pictures: list[str], count: int = ROWS, seed: int = 0) -> list[int]:
    """Rows drawn at random: one of each person in turn, a picture once as long as others are left."""
    order = np.random.default_rng(seed).permutation(len(pictures)).tolist()
    queues = {}
    for row in order:
        queues.setdefault(people[row] if people is not None else "", []).append(row)
    chosen, seen = [], set()
    while len(chosen) < min(count, len(pictures)):
        for queue in queues.values():  # people in random order, as their first rows are: else the last would never be shown
            if queue and len(chosen) < count:
                row = next((row for row in queue if pictures[row] not in seen), queue[0])
                queue.remove(row)
                seen.add(pictures[row])
                chosen.append(row)
    return chosen


def grid(model: Captions | None, files: dict[str, Captions], image_dir: str | None) -> dict | None:
    """{"control", "meaning", "people" (their number), "pictures" (whether there are any), "rows": [{"picture", "name",
    "true", "generated", "control", "person"}]}; None without the model's captions."""
    if model is None or not len(model.table):
        return None
    people = None if model.people is None else list(model.people)
    control = next((name for name in CONTROLS if name in files), None)
    beside = texts_by_row(files[control], model) if control else {}
    rows = []
    for row in draw_rows(people, list(model.clusters)):
        table = model.table.iloc[row]
        rows.append({"picture": picture_uri(image_dir, table, model.path), "name": table.get("image") or "",
                     "true": shortened(table["Expected Caption"].strip(), TEXT),
                     "generated": shortened(table["Generated Caption"].strip(), TEXT),
                     "control": shortened(beside[row].strip(), TEXT) if row in beside else "",
                     "person": "" if people is None else people[row]})
    return {"control": control if beside else None, "meaning": BY_NAME[control].meaning if control else "", "rows": rows,
            "people": 0 if people is None else len(set(people)), "pictures": any(one["picture"] for one in rows)}
