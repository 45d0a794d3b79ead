"""Make studies from caption files: group them by model, and add the conditions that can be made without an LLM."""

from argparse import Namespace

from runtime.errors import InputError
from runtime.wording import counted, joined

import numpy as np

from metrics.caption_files import ABSTAINED, COLUMNS, Captions
from metrics.conditions import MODEL_CONDITION, ORDER, TABLE, TEXT_BASELINES, Condition

from .caveats import about_files, repeats_by_design, severe, warning
from .record_caveats import about_records
from .study import Study

RECORDED_DATA_OPTIONS = ("eeg_dataset", "splits_path", "image_dir", "split_num", "subject")

def group(files: list[Captions]) -> list[Study]:
    """Studies from caption files, in the order of the files.

    A study is of one model, prompt and part of the split. Files that do not name their model are grouped by folder. A
    predecessor's file, which names no condition, is a study of its own.
    """
    groups = {}
    for file in files:
        groups.setdefault(_study_key(file), []).append(file)
    studies = []
    for members in groups.values():
        by_condition, doubts = {}, []
        for file in sorted(members, key=lambda file: file.path.stat().st_mtime, reverse=True):
            kept = by_condition.setdefault(file.condition or MODEL_CONDITION, file)
            if kept is not file:
                newer = kept.path.stat().st_mtime > file.path.stat().st_mtime
                why = "is newer" if newer else "was given first; both were last changed at the same time"
                doubts.append(warning(f"{file.key} and {kept.key} hold the same condition. Claims rest on {kept.key}, "
                                      f"which {why}."))
        model = by_condition.get(MODEL_CONDITION)
        study = Study((model or members[0]).key, by_condition, model, members)
        study.doubts = about_files(members, model) + about_records(members, model) + doubts
        if model is not None:
            study.shown = len(set(model.clusters))
            _leave_abstained_out(study)
            study.doubts += _without_captions(study)
        studies.append(study)
    return studies


def _study_key(file):
    if file.condition is None:
        return (str(file.path.resolve()),)
    return file.only("model") or str(file.path.resolve().parent), file.only("prompt"), file.only("split")


def _leave_abstained_out(study):
    """Keep in all conditions only the trials that the model captioned, and count the others."""
    table = study.model.table
    if "probability" in table and (table["probability"] != "").all() and study.classes == "one":
        study.probability = table["probability"].to_numpy(dtype=float)
        study.correct = np.array(study.model.classes(COLUMNS[1])) == np.array(study.model.classes(COLUMNS[2]))
        study.factors = study.model.factors
    silent = (table["Generated Caption"] == ABSTAINED).to_numpy()
    study.abstained = int(silent.sum())
    if not study.abstained:
        return
    if silent.all():
        raise InputError(f"{study.model.path}: the model abstained on all {len(table)} trials, so there is nothing to "
                         "score; write the captions again with a lower --abstain_below")
    if "trial" not in table:
        raise InputError(f"{study.model.path}: holds rows in which the model abstained but no column 'trial', so the "
                         "controls cannot be scored on the same trials; write it again with inference.py")
    answered = set(table["trial"][~silent])
    for file in study.members:
        if "trial" in file.table:
            file.table = file.table[file.table["trial"].isin(answered)].reset_index(drop=True)
        if file.table.empty:
            raise InputError(f"{file.path}: holds no trial that {study.model.path} has a caption of; write it again with "
                             "inference_chance.py, or leave the file out")


def _without_captions(study):
    """A severe caveat where another condition abstained on trials that the model captioned: those rows are no captions, and
    the model would win against them for nothing."""
    silent = {condition: int((file.table["Generated Caption"] == ABSTAINED).sum())
              for condition, file in study.files.items() if file is not study.model}
    silent = {condition: count for condition, count in silent.items() if count}
    if not silent:
        return []
    told = joined(f"{condition} for {counted(count, 'trial')}" for condition, count in silent.items())
    return [severe(f"there is no caption ({ABSTAINED}) under {told} that the model captioned")]


def complete(study: Study, training: tuple[list[str], list[str]] | None, seed: int) -> None:
    """Add the conditions that can be made from the model's captions alone (exchanged among trials) or from training
    captions.

    training: captions and class names of the training pictures, None where they are not at hand.
    """
    if study.model is None:
        return
    given = set(study.files)
    for condition in TABLE:
        if condition.exchanges_captions and condition.name not in study.files and study.is_apt(condition.name):
            study.files[condition.name] = _exchanged(study, condition, seed)
    if training:
        from metrics.text_baselines import baseline_captions

        predicted = [name.strip() for name in study.model.texts("Predicted object")]
        for kind in TEXT_BASELINES if any(predicted) else ("constant",):
            if kind not in study.files:
                table = study.model.table_with("Generated Caption", baseline_captions(kind, *training, predicted))
                study.files[kind] = _captions_made(study, kind, table, "training captions")
    study.files = {condition: study.files[condition] for condition in ORDER if condition in study.files}
    made = [file for condition, file in study.files.items() if condition not in given]
    study.members = sorted(study.members + made, key=lambda file: ORDER.index(file.condition or MODEL_CONDITION))


def _captions_made(study, condition, table, source):
    return Captions(study.model.path, table, condition, key=f"{condition} ({study.model.key})", source=source)


def _exchanged(study: Study, condition: Condition, seed: int) -> Captions:
    """The model's own captions, each given to a trial of another picture, as metrics.exchange.swap assigns them."""
    import torch

    from metrics.exchange import swap
    from metrics.statistics import codes_of

    def codes(values):
        return torch.from_numpy(codes_of(values))

    table = study.model.table
    within = condition.embedding == "shuffled_within_class"
    predicted = study.model.classes(COLUMNS[2]) if within else np.zeros(len(table))
    partner, alone = swap(codes(predicted), codes(study.model.clusters), torch.Generator().manual_seed(seed))
    partner = partner.numpy()
    made = table.assign(**{column: table[column].take(partner).set_axis(table.index)
                           for column in ("Generated Caption", COLUMNS[2])})
    file = _captions_made(study, condition.name, made, "captions exchanged")
    if alone:
        file.notes.append(f"{alone} of {len(table)} trials have no partner and keep their own caption")
    return file


def training_captions(study: Study, args: Namespace) -> tuple[list[str], list[str]] | None:
    """Captions and class names of the training pictures, found by the flags or else by the model's record; None if neither
    says where they are.

    Data that the flags name must be there and be the model's, or InputError is raised. Data that only the record names may
    have been moved, so a problem with it becomes a note. Captioned pictures that are in the training part are a severe
    caveat, unless the split repeats them by design.
    """
    if study.model is None or not set(filter(study.is_apt, TEXT_BASELINES)) - set(study.files):
        return None
    if args.eeg_dataset:
        return _read_training(study, args)
    if not study.record.get("eeg_dataset"):
        return None
    recorded = {name: study.record.get(name) for name in RECORDED_DATA_OPTIONS}
    recorded["splits_index"] = study.record.get("options", {}).get("splits_index", "auto")
    try:
        return _read_training(study, Namespace(**{**vars(args), **recorded}))
    except InputError as error:
        study.notes.append(f"no baselines from the training captions: {error}")
        return None


def _read_training(study, args):
    """The captions and class names of the training pictures that the options lead to."""
    from eegdata.data_paths import find_data
    from eegdata.pictures import read_caption
    from eegdata.splits import load_split
    from eegdata.trials import load_trials

    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir)
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject or 0)
    trials.require_pictures()
    if study.record.get("data") not in (None, trials.fingerprint):
        raise InputError(f"--eeg_dataset {args.eeg_dataset}: is not the data that {study.name} was written from; "
                         "baselines must be fitted on the training captions of that data, so give its folder")
    rows = load_split(paths.splits_path, trials, args.split_num or 0, args.splits_index, needed=("train",))["train"]
    classes = dict(zip(trials.names(rows), trials.words(rows), strict=True))
    names = sorted(classes)
    trained = set(names) & study.model.pictures
    if repeats_by_design(study.record):  # of these a caveat says so
        trained -= set(study.record["trained_on"])
    if trained:
        study.doubts.append(severe(f"{len(trained)} of its pictures are in the training part of {paths.splits_path}"))
    return [read_caption(paths.image_dir, name) for name in names], [classes[name] for name in names]
