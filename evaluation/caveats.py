"""What speaks against taking a study's captions at their word: files changed, rows left out, controls made otherwise."""

from runtime.runs import file_hash

from metrics.caption_files import ABSTAINED
from metrics.conditions import BASELINES
from metrics.grounding import METRIC
from metrics.text import default_cleaning

# A control must be written as the model's captions were: of a shorter or warmer one the model gains for nothing.
MADE_OF = ("data", "splits", "split_num", "split", "subject")
WRITTEN_BY = ("load_in_8bit", "load_in_4bit", "bf16", "prompt_type", "prompt", "max_new_tokens", "do_sample", "temperature",
              "top_p", "repetition_penalty")
FEW = 1000  # exchanges or resamples under which p and intervals are coarse enough to be tried for luck
MOST_NAMED = 3  # files or conditions that a doubt names


def severe(text):
    return {"severity": "severe", "text": text}


def warning(text):
    return {"severity": "warning", "text": text}


def about_files(members, model):
    """Doubts about a study's files as they were given: [{"severity", "text"}]. model: that of the claims, None without."""
    found = []
    changed = [file.key for file in members
               if file.record and file.record.get("sha256") not in (None, file_hash(file.path))]
    if changed:
        found.append(severe(f"{listed(changed)} {'was' if len(changed) == 1 else 'were'} changed after being written"))
    if model is None:
        return found
    found += [doubt for doubt in (rows_left_out(members, model), made_otherwise(members, model)) if doubt]
    untold = [file.key for file in members if file is not model and file.record is None]
    if untold and model.record:
        found.append(severe(f"{listed(untold)} {'has' if len(untold) == 1 else 'have'} no record of how the captions were "
                            "made, as the model's have"))
    nameless = [file.key for file in members if file.condition and not file.only("model")]
    if len(members) > 1 and nameless:
        found.append(warning(f"{listed(nameless)} do not name the model that wrote them; they are taken for one model's "
                             "since they lie in one folder."))
    part = model.only("split") or (model.record or {}).get("split") or "test"
    if part == "train":
        found.append(severe("the captions are of the training part of the split"))
    elif part != "test":
        found.append(warning(f"The captions are of the {part} part of the split, which chose the best epoch of the "
                             "training, so scores on it are somewhat too high."))
    return found


def rows_left_out(members, model):
    """A severe doubt where other files hold trials that the model's does not, None else."""
    if "trial" not in model.table:
        return None
    held = {trial for file in members if "trial" in file.table for trial in file.table["trial"]}
    lacking = len(held - set(model.table["trial"]))
    return severe(f"{model.key} lacks {lacking} of the {len(held)} trials that its controls hold") if lacking else None


def made_otherwise(members, model):
    """A severe doubt where a control was made of other data or written with other options than the model's captions."""
    differing = {}
    for file in members:
        if file is model or not (file.record and model.record):
            continue
        theirs, ours = file.record, model.record
        keys = [key for key in MADE_OF if theirs.get(key) != ours.get(key)]
        if file.condition not in BASELINES:
            theirs, ours = ({**one, **one.get("options", {})} for one in (theirs, ours))
            keys += [key for key in WRITTEN_BY if theirs.get(key) != ours.get(key)]
        for key in keys:
            differing.setdefault(f"{key} {theirs.get(key)} instead of {ours.get(key)}", []).append(file.condition)
    if not differing:
        return None
    return severe("; ".join(f"{listed(names)} {'was' if len(names) == 1 else 'were'} made with {what}"
                            for what, names in list(differing.items())[:MOST_NAMED]))


def about_scores(study, args):
    """Doubts that depend on what was scored and how."""
    found, record = [], study.record
    if study.model is None:
        return found
    known = len(record.get("trained_on") or ())
    if known and record.get("repeated") == known:  # by design of a split by people, sessions or time
        found.append(warning(f"The split shows {known} of the pictures in its training part, too: what is claimed is of "
                             "new people or sessions, not of new pictures."))
    elif known:
        found.append(severe(f"the model was trained on {known} of the pictures"))
    if record.get("same_split") is False:
        found.append(severe("the model was trained with another split of this data, so it may have seen these very trials"))
    if study.abstained:
        found.append(warning(f"The model gave no reading ({ABSTAINED}) for {study.abstained} of "
                             f"{study.abstained + len(study.model.table)} trials. All numbers but the calibration are of "
                             "the others alone, and so are those of the controls."))
    few = [f"{flag} {number}" for flag, number in (("--n_perm", args.n_perm), ("--n_boot", args.n_boot)) if number < FEW]
    if few:
        found.append(warning(f"{' and '.join(few)}: p-values and intervals are coarse, and another --seed may give others; "
                             "leave the defaults for a result."))
    unread = sum(not any(letter.isascii() and letter.isalnum() for letter in text)
                 for text in study.model.texts("Expected Caption"))
    if unread:
        found.append(severe(f"{unread} of {len(study.model.table)} true captions hold no word of a to z or 0 to 9, the "
                            f"only ones that {METRIC} reads"))
    if args.protocol != "ours":
        found.append(warning(f"--protocol {args.protocol}: the {METRIC} of the tables is the predecessors' (package "
                             "rouge); claims and differences rest on that of the package rouge-score."))
    cleanings = {args.cleaning or default_cleaning(file.texts("Generated Caption"), args.protocol)
                 for file in study.files.values()}
    if len(cleanings) > 1:
        found.append(warning(f"The conditions were cleaned in different ways ({', '.join(sorted(cleanings))}); give "
                             "--cleaning to clean all alike."))
    if "subject" in study.model.table and 0 < (study.model.table["subject"] == "").sum() < len(study.model.table):
        found.append(warning("Some rows name no subject, so intervals draw pictures only and there are no results by "
                             "subject."))
    return found


def listed(names):
    """"a, b, c and 4 more"."""
    names = list(names)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
