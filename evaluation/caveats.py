"""Reasons to doubt a study's captions: files that were changed, rows left out, controls made in another way."""

from argparse import Namespace

from runtime.runs import file_hash
from runtime.wording import counted, joined, listed

from metrics.caption_files import ABSTAINED, Captions
from metrics.conditions import BASELINES, BY_NAME, MODEL_CONDITION
from metrics.grounding import METRIC
from metrics.text import default_cleaning

from .study import Study

DATA_KEYS = ("data", "splits", "split_num", "split", "subject")  # of a record: what captions were made from
# Options that a control must share with the model: against shorter or more random captions the model would win for nothing.
# Prompts are not among them, as captions of other prompts are another study.
DECODING_OPTIONS = ("load_in_8bit", "load_in_4bit", "bf16", "max_new_tokens", "do_sample", "temperature", "top_p",
                    "repetition_penalty")
LATER_OPTIONS = {"guidance": 1.0, "candidates": 1, "min_new_tokens": 0, "label": None, "fp16": False}  # as it was before
MIN_RESAMPLES = 1000  # with fewer, p and intervals change so much with the seed that one could look for a lucky one
MAX_LISTED = 3  # files or conditions that a caveat names


def severe(text: str) -> dict[str, str]:
    return {"severity": "severe", "text": text}


def warning(text: str) -> dict[str, str]:
    return {"severity": "warning", "text": text}


def about_files(members: list[Captions], model: Captions | None) -> list[dict[str, str]]:
    """Caveats about a study's files as they were given: [{"severity", "text"}].

    model: the file that claims are made of. Severe texts are parts of a sentence: the claim joins them.
    """
    caveats = []
    changed = [file.key for file in members
               if file.record and file.record.get("sha256") not in (None, file_hash(file.path))]
    if changed:
        caveats.append(severe(f"{_some(changed)} {'was' if len(changed) == 1 else 'were'} changed after being written"))
    if model is None:
        return caveats
    caveats += [caveat for caveat in (rows_left_out(members, model), made_otherwise(members, model)) if caveat]
    without_model = [file.key for file in members if file.condition and not file.only("model")]
    if len(members) > 1 and without_model:
        does = "does" if len(without_model) == 1 else "do"
        caveats.append(warning(f"{_some(without_model)} {does} not name the model. The files are taken for one model's "
                               "because they are in one folder."))
    part = model.only("split") or (model.record or {}).get("split") or "test"
    if part == "train":
        caveats.append(severe("the captions are of the training part of the split"))
    elif part == "all":
        caveats.append(severe("the captions are of all trials of the data set, so those of the training part may be among "
                              "them"))
    elif part != "test":
        caveats.append(warning(f"The captions are of the {part} part of the split. It chose the best epoch of the "
                               "training, so scores on it are somewhat too high."))
    return caveats


def rows_left_out(members: list[Captions], model: Captions) -> dict[str, str] | None:
    """A severe caveat where other files hold trials that the model's does not, else None."""
    if "trial" not in model.table:
        return None
    trials = {trial for file in members if "trial" in file.table for trial in file.table["trial"]}
    missing = len(trials - set(model.table["trial"]))
    return severe(f"{model.key} lacks {missing} of the {len(trials)} trials that its controls hold") if missing else None


def made_otherwise(members: list[Captions], model: Captions) -> dict[str, str] | None:
    """A severe caveat where a control was made from other data or with other decoding options than the model's captions."""
    conditions_of = {}  # difference -> conditions that have it
    for file in members:
        if file is model or not (file.record and model.record):
            continue
        theirs, ours = file.record, model.record
        keys = [key for key in DATA_KEYS if theirs.get(key) != ours.get(key)]
        if file.condition not in BASELINES:
            theirs, ours = ({**one, **LATER_OPTIONS, **one.get("options", {})} for one in (theirs, ours))
            if "label" in file.record and "label" in model.record:  # what stood in the prompts, also without --label
                theirs["label"], ours["label"] = file.record["label"], model.record["label"]
            if "llm_bits" in file.record and "llm_bits" in model.record:  # which the training may have chosen
                for one in (theirs, ours):
                    one |= {f"load_in_{bits}bit": one["llm_bits"] == bits for bits in (8, 4)}
            idle = without_effect(file.condition, theirs) | without_effect(file.condition, ours)
            keys += [key for key in (*DECODING_OPTIONS, *LATER_OPTIONS)
                     if key not in idle and theirs.get(key) != ours.get(key)]
        for key in keys:
            conditions_of.setdefault(f"{key} {theirs.get(key)} instead of {ours.get(key)}", []).append(file.condition)
    if not conditions_of:
        return None
    return severe("; ".join(f"{_some(conditions)} {'was' if len(conditions) == 1 else 'were'} made with {difference}"
                            for difference, conditions in list(conditions_of.items())[:MAX_LISTED]))


def without_effect(condition: str | None, options: dict) -> set[str]:
    """Those of the decoding options that changed nothing in captions under a condition, given the other options."""
    shown, sampled = BY_NAME[condition or MODEL_CONDITION], options.get("do_sample")
    return {name for name, idle in (
        ("top_p", not sampled), ("temperature", not sampled and options["candidates"] == 1),
        ("label", shown.label is None), ("guidance", shown.embedding is None), ("candidates", shown.embedding is None))
        if idle}


def about_scores(study: Study, args: Namespace) -> list[dict[str, str]]:
    """Caveats that depend on what was scored and how: [{"severity", "text"}]."""
    if study.model is None:
        return []
    caveats, n = about_training(study), len(study.model.table)
    if study.abstained:
        caveats.append(warning(f"The model gave no caption ({ABSTAINED}) for {study.abstained} of {study.abstained + n} "
                               "trials. All numbers except the calibration, also those of the controls, are of the other "
                               "trials."))
    coarse = [f"{flag} {count}" for flag, count in (("--n_perm", args.n_perm), ("--n_boot", args.n_boot))
              if count < MIN_RESAMPLES]
    if coarse:
        caveats.append(warning(f"{joined(coarse)}: p-values and intervals are coarse and depend on --seed. Use the "
                               "defaults for a result."))
    unreadable = sum(not any(letter.isascii() and letter.isalnum() for text in own for letter in text)
                     for own in study.model.all_references)  # of several true captions the best counts
    if unreadable:
        caveats.append(severe(f"the true captions of {unreadable} of {counted(n, 'trial')} hold no letter a to z and no "
                              f"digit, and {METRIC} reads nothing else"))
    true = {}
    for picture, own in zip(study.model.clusters, study.model.all_references, strict=True):
        true.setdefault(picture, set()).add(tuple(text.strip() for text in own))
    unclear = sum(len(found) > 1 for found in true.values())
    if unclear:
        caveats.append(warning(f"{unclear} of {counted(len(true), 'picture')} {'has' if unclear == 1 else 'have'} other "
                               "true captions in some rows than in others. Scores are of each row's own, and the tests "
                               "compare with the first of them."))
    if args.protocol == "thought2text":
        caveats.append(warning(f"--protocol {args.protocol}: the {METRIC} of the scores, and of their differences from the "
                               "reference, is the predecessors' (package rouge). Claims and the report's comparisons rest "
                               "on that of the package rouge-score."))
    cleanings = {args.cleaning or default_cleaning(file.texts("Generated Caption"), args.protocol)
                 for file in study.files.values()}
    if len(cleanings) > 1:
        caveats.append(warning(f"The conditions were cleaned in different ways ({', '.join(sorted(cleanings))}). Give "
                               "--cleaning to clean all of them alike."))
    if "subject" in study.model.table and 0 < (study.model.table["subject"] == "").sum() < n:
        caveats.append(warning("Some rows name no subject, so intervals resample pictures only and there are no results by "
                               "subject."))
    return caveats


def about_training(study: Study) -> list[dict[str, str]]:
    """Caveats about a training that failed, and about pictures and trials that the model may have seen in training."""
    record = study.record
    caveats = [warning(text) for text in record.get("training_warnings") or []]
    trained_on = len(record.get("trained_on") or ())
    if repeats_by_design(record):
        caveats.append(warning(f"The training part of the split also shows {trained_on} of these pictures. Claims "
                               "are about new people or sessions, not about new pictures."))
    elif trained_on:
        caveats.append(severe(f"the model was trained on {trained_on} of the pictures"))
    if record.get("same_split") is False:
        caveats.append(severe("the model was trained with another split of this data, so it may have seen these very "
                              "trials"))
    return caveats


def repeats_by_design(record: dict) -> bool:
    """Whether the training part of the model's own split shows all test pictures that it was trained on, as in a split by
    people, sessions or time."""
    trained_on = len(record.get("trained_on") or ())
    return trained_on > 0 and record.get("repeated") == trained_on


def _some(names: list[str]) -> str:
    return listed(names, MAX_LISTED)
