"""Studies: one model's captions with the controls and baselines that they are judged by."""

from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError

from metrics.caption_files import ABSTAINED, COLUMNS, Captions
from metrics.conditions import COMPARED, MODEL_CONDITION, ORDER, TABLE, TEXT_BASELINES

from .caveats import about_files, severe, warning


@dataclass
class Study:
    """files: by condition, in the order of ORDER; model: the file that claims are made of, None without one; members: all
    files, also further ones of a condition.

    probability: of the predicted class in every trial, and correct: whether it is right, before abstained trials are left
    out; both None where unknown. doubts: [{"severity", "text"}], as of `doubts`.
    """

    name: str
    files: dict
    model: Captions | None
    members: list
    abstained: int = 0
    probability: object = None
    correct: object = None
    notes: list = field(default_factory=list)
    doubts: list = field(default_factory=list)

    @property
    def missing(self):
        return [condition for condition in COMPARED if condition not in self.files]

    @property
    def record(self):
        return (self.model.record if self.model else None) or {}


def group(files):
    """Studies from caption files, in the order of the files.

    Files of one model, prompt and part of the split belong together; files that do not name their model, those of one
    folder. A predecessor's file, which names no condition, is a model by itself.
    """
    found = {}
    for file in files:
        found.setdefault(_study_key(file), []).append(file)
    studies = []
    for members in found.values():
        by_condition, doubts = {}, []
        for file in sorted(members, key=lambda file: file.path.stat().st_mtime, reverse=True):
            kept = by_condition.setdefault(file.condition or MODEL_CONDITION, file)
            if kept is not file:
                doubts.append(warning(f"{file.key} and {kept.key} hold the same condition; claims rest on the newer, "
                                      f"{kept.key}."))
        model = by_condition.get(MODEL_CONDITION)
        study = Study((model or members[0]).key, by_condition, model, members)
        study.doubts = about_files(members, model) + doubts
        if model is not None:
            _leave_abstained_out(study)
        studies.append(study)
    return studies


def _study_key(file):
    if file.condition is None:
        return (str(file.path.resolve()),)
    return file.only("model") or str(file.path.resolve().parent), file.only("prompt"), file.only("split")


def _leave_abstained_out(study):
    """Judge all conditions on the trials that the model captioned; the others are counted."""
    table = study.model.table
    if "probability" in table and (table["probability"] != "").all():
        study.probability = table["probability"].to_numpy(dtype=float)
        study.correct = (table[COLUMNS[1]].str.strip() == table[COLUMNS[2]].str.strip()).to_numpy()
    silent = (table["Generated Caption"] == ABSTAINED).to_numpy()
    study.abstained = int(silent.sum())
    if not study.abstained:
        return
    if silent.all():
        raise InputError(f"{study.model.path}: the model abstained on all {len(table)} trials, so there is nothing to "
                         "score; write captions with a lower --abstain_below")
    if "trial" not in table:
        raise InputError(f"{study.model.path}: holds abstained rows but no column trial, so controls cannot be scored on "
                         "the same trials; write it with inference.py")
    answered = set(table["trial"][~silent])
    for file in study.members:
        if "trial" in file.table:
            file.table = file.table[file.table["trial"].isin(answered)].reset_index(drop=True)


def complete(study, training, seed):
    """Add what can be made of the model's captions alone (exchanged among trials) or of the training captions.

    training: (captions, class names) of the training pictures, or None.
    """
    if study.model is None:
        return
    given = set(study.files)
    for condition in TABLE:
        if condition.exchanged and condition.name not in study.files:
            study.files[condition.name] = _exchanged(study, condition, seed)
    if training:
        from metrics.text_baselines import baseline_captions

        predicted = [name.strip() for name in study.model.texts("Predicted object")]
        for kind in TEXT_BASELINES if any(predicted) else ("constant",):
            if kind not in study.files:
                table = study.model.table.assign(**{"Generated Caption": baseline_captions(kind, *training, predicted)})
                study.files[kind] = _made(study, kind, table, "training captions")
    study.files = {condition: study.files[condition] for condition in ORDER if condition in study.files}
    made = [file for condition, file in study.files.items() if condition not in given]
    study.members = sorted(study.members + made, key=lambda file: ORDER.index(file.condition or MODEL_CONDITION))


def _made(study, condition, table, source):
    return Captions(study.model.path, table, condition, key=f"{condition} ({study.model.key})", source=source)


def _exchanged(study, condition, seed):
    """The model's own captions, each given to another trial of another picture, as `metrics.exchange.swap` deals them."""
    import numpy as np
    import torch

    from metrics.exchange import swap
    from metrics.statistics import codes_of

    def codes(values):
        return torch.from_numpy(codes_of(values))

    table = study.model.table
    within = condition.embedding == "shuffled_within_class"
    predicted = table[COLUMNS[2]].str.strip().to_numpy() if within else np.zeros(len(table))
    partner, alone = swap(codes(predicted), codes(study.model.clusters), torch.Generator().manual_seed(seed))
    partner = partner.numpy()
    made = table.assign(**{column: table[column].to_numpy()[partner] for column in ("Generated Caption", COLUMNS[2])})
    file = _made(study, condition.name, made, "captions exchanged")
    if alone:
        file.notes.append(f"{alone} of {len(table)} trials have no partner and keep their own caption")
    return file


def training_captions(study, args):
    """(captions, class names) of the training pictures, by the flags or else by the model's record; None if neither tells.

    With the flags what is missing or of other data is an error; by the record a note, since the data may lie elsewhere by
    now. Pictures of the captions that are in that training part are a severe doubt.
    """
    if study.model is None or not set(TEXT_BASELINES) - set(study.files):
        return None
    if args.eeg_dataset:
        return _read_training(study, args)
    if not study.record.get("eeg_dataset"):
        return None
    from argparse import Namespace

    known = {name: study.record.get(name) for name in ("eeg_dataset", "splits_path", "image_dir", "split_num", "subject")}
    options = study.record.get("options", {})
    try:
        return _read_training(study, Namespace(**{**vars(args), **known,
                                                  "splits_index": options.get("splits_index", "auto")}))
    except InputError as error:
        study.notes.append(f"no baselines from the training captions: {error}")
        return None


def _read_training(study, args):
    from eegdata.data_paths import find_data
    from eegdata.pictures import read_caption
    from eegdata.splits import load_split
    from eegdata.trials import load_trials

    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir)
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject or 0)
    trials.require_pictures()
    if study.record.get("data") not in (None, trials.fingerprint):
        raise InputError(f"--eeg_dataset {args.eeg_dataset}: is not the data that {study.name} was written from; baselines "
                         "must be fitted on the training captions of the same data")
    rows = load_split(paths.splits_path, trials, args.split_num or 0, args.splits_index, needed=("train",))["train"]
    classes = dict(zip(trials.names(rows), (trials.class_names[i] for i in trials.label[rows].tolist()), strict=True))
    names = sorted(classes)
    trained = set(names) & {Path(picture).stem for picture in study.model.clusters}
    if trained:
        study.doubts.append(severe(f"{len(trained)} of its pictures are in the training part of {paths.splits_path}"))
    return [read_caption(paths.image_dir, name) for name in names], [classes[name] for name in names]
