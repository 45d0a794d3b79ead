"""Good, median and bad examples, chosen by score: picture, captions, captions of other conditions, the trial's EEG."""

from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from runtime.errors import InputError
from runtime.wording import number, shortened

from audit.page import data_uri
from eegdata.pictures import picture_path
from metrics.caption_files import Captions, class_key, paired_rows
from metrics.conditions import MODEL_CONDITION

from .traces import Eeg, read_eeg, trace_chart

if TYPE_CHECKING:
    from pandas import Series

GROUPS = ("good", "median", "bad")
PICTURE_SIZE = 160  # pixels


def choose_examples(scores: list[float], pictures: list[str], count: int) -> dict[str, list[int]]:
    """Rows for the page by their score: {"good" | "median" | "bad": row numbers}, count in all, or all if there are fewer.

    A third each, also where there are fewer: else all of five trials would be "good". A group shows a picture only once as
    long as others are left. No row is in two groups.
    """
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    middle = (len(order) - 1) / 2
    orders = {"good": order, "bad": order[::-1],
              "median": [row for _, row in sorted(enumerate(order), key=lambda place: abs(place[0] - middle))]}
    sizes = {group: len(range(i, min(count, len(order)), len(orders))) for i, group in enumerate(orders)}
    chosen, taken = {}, set()
    for group, walk in orders.items():
        rows, seen = [], set()
        for may_repeat in (False, True):
            for row in walk:
                if len(rows) < sizes[group] and row not in taken and (may_repeat or pictures[row] not in seen):
                    rows.append(row)
                    seen.add(pictures[row])
                    taken.add(row)
        chosen[group] = sorted(rows, key=lambda row: -scores[row])
    return {group: chosen[group] for group in GROUPS}


def examples(model: Captions | None, files: dict[str, Captions], contrasts: list[str], provenance: dict,
             count: int) -> dict:
    """{"groups": {group: cards}, "notes": [texts], "unit": of the EEG or ""} of a study.

    model: captions of the model's condition, None without them; contrasts: conditions whose caption of the same trial is
    shown for comparison.
    """
    if model is None:
        return {"groups": {}, "unit": "", "notes": [f"No examples: there are no captions under {MODEL_CONDITION}."]}
    scores = model.headline
    chosen = choose_examples(scores, model.clusters, count)
    rows = [row for group in chosen.values() for row in group]
    beside = {name: texts_by_row(files[name], model) for name in contrasts if name in files and files[name] is not model}
    pictures = {row: picture_uri(provenance.get("image_dir"), model.table.iloc[row], model.path) for row in rows}
    eeg, notes = eeg_of(model, rows, provenance)
    if any(len(own) > 1 for own in model.all_references):
        notes.append("The pictures have several true captions. The first is shown, and the score is that of the best.")
    if rows and not any(pictures.values()):
        notes.append("The pictures are not shown: they are not at the paths in the captions, such as "
                     f"{model.table['Ground Truth Image'].iloc[rows[0]]}, or lie outside the folder of the captions "
                     "and the picture folder that their record names.")

    def card(row):
        table, trial = model.table.iloc[row], trial_number(model.table.iloc[row])
        name = table.get("image") or Path(table["Ground Truth Image"]).stem
        seen = [f"{key} {table[key]}" for key in ("subject", "trial") if table.get(key)]
        return {"picture": pictures[row], "name": name, "true": shortened(table["Expected Caption"].strip()),
                "generated": shortened(table["Generated Caption"].strip()), "object": table["Expected object"],
                "predicted": table["Predicted object"], "probability": table.get("probability") or "",
                "right": class_key(table["Expected object"]) == class_key(table["Predicted object"]),
                "score": number(float(scores[row])), "seen": ", ".join(seen),
                "contrasts": [(name, shortened(texts[row].strip())) for name, texts in beside.items() if row in texts],
                "trace": trace_chart(eeg, trial, f"EEG of trial {trial}, picture {name}") if eeg else None}

    return {"groups": {group: list(map(card, rows)) for group, rows in chosen.items()}, "notes": notes,
            "pictures": any(pictures.values()), "unit": eeg.unit if eeg else ""}


def texts_by_row(captions: Captions, model: Captions) -> dict[int, str]:
    """{row of the model: caption} of another condition; {} where the files cannot be paired."""
    try:
        theirs, ours = paired_rows(captions, model)
    except InputError:  # a note of the evaluation says so
        return {}
    return dict(zip(ours, captions.table["Generated Caption"].iloc[theirs], strict=True))


def trial_number(row: "Series") -> int | None:
    """The trial of a row of captions; None where the row does not name it."""
    trial = row.get("trial") or ""
    return int(trial) if trial.isdecimal() else None


def eeg_of(model: Captions, rows: list[int], provenance: dict) -> tuple[Eeg | None, list[str]]:
    """(EEG of the rows' trials or None, notes)."""
    path = provenance.get("eeg_dataset")
    wanted = {trial_number(row): row.get("image") or "" for _, row in model.table.iloc[rows].iterrows()}
    if not path or not wanted or None in wanted:
        return None, []
    eeg, refusal = read_eeg(path, (model.record or {}).get("data"), wanted)
    return eeg, [f"No EEG traces: {refusal}."] if refusal else []


def picture_uri(image_dir: str | None, row: "Series", file: Path) -> str | None:
    """The row's picture as a data URI: from the picture folder, else from the path in the CSV, else None.

    file: the CSV. Its paths count only below its own folder and the picture folder: a page must not embed just any file.
    """
    given = row["Ground Truth Image"].replace("\0", "")
    name = PureWindowsPath(row.get("image") or given).name.removesuffix(".JPEG")  # which takes / and \ for separators
    places = [picture_path(image_dir, name)] if image_dir and name not in ("", "..") else []
    allowed = [Path(folder).resolve() for folder in (image_dir, file.parent) if folder]
    if any(Path(given).resolve().is_relative_to(folder) for folder in allowed):
        places.append(Path(given))
    return next(filter(None, (data_uri(path, PICTURE_SIZE) for path in places)), None)
