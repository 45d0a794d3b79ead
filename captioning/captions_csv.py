"""Captions of one part of a split under each condition: one CSV per condition, with a record of how it was made."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from runtime import options, processes, profiler
from runtime.atomic_files import atomic_path
from runtime.errors import InputError
from runtime.model_files import model_key
from runtime.options import Options
from runtime.runs import content_key, file_hash, read_json, training_warnings, versions, write_record
from runtime.secrets import without_secrets
from runtime.text_files import parse_json, write_csv
from runtime.wording import listed

import torch

from captioning.captioner import Captioner
from captioning.conditions import captions_of, check_noise, noise_like_nothing, under_condition
from datautils import image_embeddings
from eegdata.data_paths import DataPaths, find_data
from eegdata.pictures import machine_made, picture_path, read_caption, read_captions
from eegdata.source import eeg_text
from eegdata.splits import load_split
from eegdata.trials import Trials, load_trials
from encoders import fit_to_encoder
from encoders.clip import clip_identity
from evaluation.provenance import check_window, overlap_error, read_records, selected_on, trained_on, trained_with
from metrics import caption_files
from metrics.conditions import BASELINES, BY_NAME
from metrics.text_baselines import baseline_captions, nearest_pictures

COLUMNS = (*caption_files.COLUMNS, "trial", "subject", "session", "recording", "image", "split", "condition", "prompt",
           "probability", "model")


@dataclass
class EncodedTrials:
    """Trials of one part of a split, where their data lie, and what the captioner read from them.

    positions [N] of the part's and training [M] of the training part's trials; names [N] of the pictures and references
    [N], the captions of each; embeddings [N, E]; truth, predicted: N class names, or the words in place of one; probability
    [N] of the predicted; told: N texts that stand for it in prompts.
    """

    paths: DataPaths
    trials: Trials
    positions: torch.Tensor
    training: torch.Tensor
    names: list
    references: list
    truth: list
    embeddings: torch.Tensor
    predicted: list
    probability: torch.Tensor
    told: list


def write_captions(captioner: Captioner, args: Options, files: dict[str, Path]) -> None:
    """Caption a part of a split under conditions of metrics/conditions.py, one CSV with COLUMNS per condition.

    files: {condition: Path of its CSV}. The trials are encoded once. An interrupted condition continues where it stopped.
    The record `<file>.json` is written before the CSV gets its name, and holds the hash of the CSV.
    """
    for condition, file in files.items():
        _keep_other_condition(file, condition)
    profiler.stage("data")
    paths = find_data(args.eeg_dataset, args.splits_path, args.image_dir)
    trials = load_trials(paths.eeg_dataset, args.time_low, args.time_high, args.subject)
    trials.require_pictures()
    check_model_fits(captioner, trials)
    split = load_split(paths.splits_path, trials, args.split_num, args.splits_index,
                       needed=() if args.split == "all" else (args.split,))
    fitted = [condition for condition in files if condition in BASELINES]
    if fitted and not len(split["train"]):
        raise InputError(f"--splits_path {paths.splits_path}: part 'train' is empty for these trials, but its captions "
                         f"make the baselines {', '.join(fitted)}; give the split that the captioner was trained with, or "
                         "name the conditions to write without these")
    positions = torch.arange(len(trials)) if args.split == "all" else split[args.split]
    asked = vars(args).get("conditions") or [vars(args).get("condition")]  # inference_chance.py's unset: all that there are
    check_noise(set(files) & set(asked), len(positions), captioner.learned)
    left_out = noise_like_nothing(files, len(positions), captioner.learned)
    if left_out:
        files = {condition: file for condition, file in files.items() if condition not in left_out}
        print(f"{', '.join(left_out)} are left out, as there are few trials and {captioner.folder}, a predecessor's or an "
              "early captioner, does not keep the mean and scale of the embeddings in training")
    names = trials.names(positions)
    training = set(trials.names(split["train"]))
    known = {part: set(pictures) for part, pictures in read_records(captioner.folder).items()}
    # Pictures of both parts are those of the validation, to which linear branches of the encoder were fitted.
    more = len(known.get("train", set()) - known.get("val", set()) - training)
    if fitted and more:
        print(f"note: {', '.join(fitted)}: fitted on the {len(training)} training pictures of these trials; the captioner "
              f"was trained on {more} more, so they are weaker than they could be")
    facts = _provenance(captioner, args, paths, trials, names, training | set(trials.names(split["val"])))
    captions = {name: read_captions(paths.image_dir, name) for name in set(names)}
    embeddings, predicted, probability = captioner.read(trials.eeg, positions)
    encoded = EncodedTrials(paths, trials, positions, split["train"], names, [captions[name] for name in names],
                            trials.words(positions), embeddings, predicted, probability,
                            captioner.route.labels(embeddings, predicted))
    truth, read = (list(map(caption_files.class_key, words)) for words in (encoded.truth, encoded.predicted))
    right = sum(map(str.__eq__, truth, read)) / len(names)
    told = trials.classes == "one" and not captioner.without_classes
    print(f"{args.split} trials of {eeg_text(trials.source)}: {len(names)}"
          + f", predicted class right in {right:.1%}" * told)
    batch_size = args.batch_size
    if not batch_size and set(files) - set(BASELINES):
        instruction = captioner.instruction(args.prompt_type, args.prompt)
        batch_size = captioner.fitting_batch_size(instruction, **options.generation_options(args))
        print(f"{batch_size} captions are written at a time (--batch_size)")
    for condition in sorted(files, key=lambda name: name not in fitted):  # the baselines are quick and show what lacks
        _write_condition(captioner, encoded, condition, args, batch_size, files[condition], facts)


def _keep_other_condition(file, condition):
    """Raise InputError if the file holds captions of another condition, which would be lost."""
    record = Path(f"{file}.json")
    if not (file.is_file() and record.is_file()):
        return
    held = read_json(record).get("condition")
    if held != condition:
        raise InputError(f"--dest {file}: holds captions of the condition {held}, and {condition} would overwrite them; "
                         "give another --dest, or remove that file")


def check_model_fits(captioner: Captioner, trials: Trials) -> None:
    """Raise InputError unless the trials fit the encoder of the captioner (encoders.fit_to_encoder)."""
    check_window(captioner.folder, trials, "--model_path")
    fit_to_encoder(captioner.model.encoder.config, trials, "--model_path")
    if captioner.without_classes:
        return
    known = set(map(caption_files.class_key, captioner.class_names.values()))
    strangers = sorted(name for name in set(trials.class_names.values()) if caption_files.class_key(name) not in known)
    if strangers:
        print(f"note: the model does not know the classes {strangers[:5]}; trials of these classes count as errors")


def _provenance(captioner, args, paths, trials, names, training):
    """What the records of all conditions share: model, data, and which pictures the model was trained on.

    training: names of the pictures in the training and validation parts of the split. Raises InputError for test pictures
    that the model was trained on, unless --allow_overlap is given.
    """
    pictures = sorted(set(names))
    other_llm = captioner.other_llm()
    if other_llm:
        print(f"note: the base LLM {captioner.llm_name} is not the one that the captioner was trained with (they differ in "
              f"{listed(other_llm, 3)}), so nothing can be claimed from these captions; give the same with "
              "--llm_backbone_name_or_path")
    known = trained_on(captioner.folder, paths.image_dir, pictures)
    same = trained_with(captioner.folder, args.model_path, trials.fingerprint, paths.splits_path, args.split_num,
                        args.split)
    repeated = len(training & set(known or ())) if same else 0
    if known and args.split == "test" and not args.allow_overlap:
        raise overlap_error("--model_path", args.model_path, known, pictures, repeated)
    if known and args.split != "train":
        print(f"note: the captioner was trained on {len(known)} of the {len(pictures)} pictures; scores say nothing about "
              "new pictures")
    if known is None:
        print(f"note: {args.model_path} does not say which pictures it was trained on; make sure that the {args.split} "
              "pictures are not among them")
    chosen = selected_on(captioner.folder, paths.image_dir, pictures)
    if chosen and args.split == "test":
        print(f"note: {len(chosen)} of the {len(pictures)} pictures were used to choose the best epoch of its training, so "
              "scores on them are somewhat too high")
    made = {name: model for name, model in machine_made(paths.image_dir).items() if name in set(pictures)}
    if made:
        print(f"note: the true captions of {len(made)} of {len(pictures)} pictures were written by a model "
              f"({', '.join(sorted(set(made.values())))}), not by people, so scores compare two models")
    given = {name: getattr(args, name) for name in ("model_path", "split", "split_num", "subject", "abstain_below")}
    given |= {"eeg_dataset": paths.eeg_dataset, "splits_path": paths.splits_path, "image_dir": paths.image_dir}
    return {"options": without_secrets(vars(args)), "versions": versions(), **given, "model": captioner.key,
            "data": trials.fingerprint, "source": trials.source, "splits": file_hash(paths.splits_path),
            "trained_on": known, "repeated": repeated, "same_split": same, "selected_on": chosen,
            "machine_made": len(made), "pictures": len(pictures), "classes": trials.classes,
            "label": captioner.route.label if captioner.tells else "none", "llm_bits": captioner.llm_bits,
            "training_warnings": training_warnings(captioner.folder)}


def _write_condition(captioner, encoded, condition, args, batch_size, file, facts):
    """Write the CSV of one condition and its record."""
    profiler.stage(condition)
    trials, positions = encoded.trials, encoded.positions
    rows = torch.arange(len(encoded.names))  # whose EEG is behind each caption
    partial = Path(f"{file}.partial")
    used, settings = _models_used(captioner, args, condition), _settings(captioner, args, condition)
    answered = (encoded.probability >= (args.abstain_below or 0)).tolist()  # by the own EEG, also where another's is shown
    if condition in BASELINES:
        texts = [text if answer else caption_files.ABSTAINED for text, answer in
                 zip(_baseline(captioner, encoded, condition, args), answered, strict=True)]
    else:
        truth = encoded.predicted if captioner.without_classes else encoded.truth  # no words either way
        shown = under_condition(condition, encoded.embeddings, encoded.predicted, captioner.route.named(truth),
                                trials.image[positions], args.seed, lambda: _picture_rows(
                                    captioner, encoded.paths.image_dir, encoded.names, args), encoded.told,
                                captioner.learned)
        if condition == "image" and captioner.route.label == "words":  # as stage 2 was trained, and the answer, too
            if captioner.route.of_pictures is None:
                print(f"note: image: {captioner.folder}, which an earlier version wrote, knows how words are read from EEG "
                      "only, so pictures are told fewer words than they hold; train it again")
            shown = shown._replace(labels=captioner.route.labels(shown.embeddings, truth, "image"))
        rows = shown.rows
        models = {name: model_key(identity) for name, identity in used.items() if name != "other_llm"}
        pictures = shown.embeddings.cpu().numpy().tobytes() if condition == "image" else b""  # others may lie there by now
        seen = [args.time_low, args.time_high, hashlib.sha256(pictures).hexdigest(),
                batch_size if args.do_sample else None]  # the captions of a batch are drawn one after the other
        key = content_key([captioner.weights, models, trials.fingerprint, seen, positions.tolist(), condition, args.asked(),
                           captioner.model.config.to_dict(), settings])
        texts = _generated(captioner, condition, shown, answered, args, batch_size, partial, key)
    if args.abstain_below is not None:
        print(f"{condition}: in {answered.count(False)} of {len(answered)} trials the class has a probability below "
              f"{args.abstain_below:g}, so they get '{caption_files.ABSTAINED}'")
    guesses = [encoded.predicted[row] for row in rows.tolist()]
    count, several = len(texts), any(len(own) > 1 for own in encoded.references)
    columns = (
        [str(picture_path(encoded.paths.image_dir, name)) for name in encoded.names],
        encoded.truth, guesses, [own[0] for own in encoded.references], texts,
        trials.trial[positions].tolist(), trials.subject[positions].tolist(),
        ["" if session < 0 else session for session in trials.session[positions].tolist()],
        [""] * count if trials.recording is None else trials.recording[positions].tolist(), encoded.names,
        [args.split] * count, [condition] * count, [args.prompt or args.prompt_type or captioner.prompt_type] * count,
        [f"{p:.4f}" for p in encoded.probability[rows].tolist()], [captioner.key] * count)
    if several:
        columns += ([json.dumps(own, ensure_ascii=False) for own in encoded.references],)
    with atomic_path(file) as temporary:
        write_csv(temporary, (*COLUMNS, caption_files.REFERENCES)[:len(columns)], zip(*columns, strict=True))
        write_record(f"{file}.json", {"format": caption_files.RECORD_FORMAT, "condition": condition, **facts,
                                      **used, **settings, "used": {"batch_size": batch_size},
                                      "sha256": file_hash(temporary)})
    if processes.is_main():
        partial.unlink(missing_ok=True)  # the baselines have none
    print(f"{condition}: {count} captions written to {file}")


def _models_used(captioner, args, condition):
    """The identities of the pretrained models that captions under a condition are made with, for their record."""
    used = {}
    if condition not in BASELINES:
        used = {"llm": captioner.llm, "other_llm": captioner.other_llm()}
    if BY_NAME[condition].needs_clip or (args.candidates > 1 and condition not in BASELINES):
        used["clip"] = clip_identity(captioner.clip_model)
    return used


def _settings(captioner, args, condition):
    """The rendered prompt and the generation settings of captions under a condition, for their record."""
    if condition in BASELINES:
        return {}
    asked, instruction = BY_NAME[condition], captioner.instruction(args.prompt_type, args.prompt)
    return captioner.settings(instruction, asked.label is not None, asked.embedding is not None,
                              **options.generation_options(args))


def _picture_rows(captioner, image_dir, names, args):
    """Embeddings of pictures from the CLIP model that the captioner was trained with."""
    config, clip_model = captioner.model.config, captioner.clip_model
    picture = args.picture or config.picture or "sketch"
    captioner.check_clip()
    rows = image_embeddings(names, image_dir, clip_model, picture, captioner.device, args.cache_dir)
    if rows.shape[1] != config.embedding_size:
        raise InputError(f"--clip_model {clip_model}: gives embeddings of size {rows.shape[1]}, the model takes "
                         f"{config.embedding_size}; name the CLIP model that it was trained with")
    return rows


def _baseline(captioner, encoded, condition, args):
    """The captions of a baseline, which is fitted on the pictures of the training part, each counted once."""
    trials = encoded.trials
    class_of = dict(zip(trials.names(encoded.training), trials.words(encoded.training), strict=True))
    pictures = sorted(class_of)
    captions = [read_caption(encoded.paths.image_dir, name) for name in pictures]
    if condition == "nearest_picture":
        rows = _picture_rows(captioner, encoded.paths.image_dir, pictures, args)
        nearest = nearest_pictures(encoded.embeddings.numpy(), rows.numpy())[:, 0]
        return [captions[i] for i in nearest]
    return baseline_captions(condition, captions, [class_of[name] for name in pictures], encoded.predicted)


def _generated(captioner, condition, shown, answered, args, batch_size, partial, key):
    """The LLM's caption for each trial that is answered. key: of all that they depend on, for captions in `partial`."""
    done = processes.from_main(_resume_partial, partial, key)

    def keep(new):
        with open(partial, "a", encoding="utf-8") as file:
            file.write(_line(new))

    return captions_of(captioner, shown, answered, captioner.instruction(args.prompt_type, args.prompt),
                       batch_size=batch_size, desc=condition, done=done, on_batch=keep, seed=args.seed,
                       **options.generation_options(args))


def _resume_partial(path, key):
    """The captions of an interrupted run with the same key, {number: text}; leaves the file with them and nothing else, to
    be appended to.

    The first line is the key, each further one a batch: the checksum of its pairs, and the pairs of a caption's number and
    its text, in any order. A line that was cut short or damaged does not count. Captions that were asked for otherwise are
    set aside as `<path>.old`, with a word on it.
    """
    done, path = {}, Path(path)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    if lines[:1] == [json.dumps(key)]:
        for line in lines[1:]:
            try:
                checksum, pairs = parse_json(line)
                if checksum == content_key(pairs):
                    done |= dict(pairs)
            except (ValueError, TypeError):
                continue
        print(f"{path}: going on after {len(done)} captions of an interrupted run")
    elif lines:
        os.replace(path, f"{path}.old")
        print(f"note: {path}: the captions of an interrupted run were asked for with other options, model or data, so all "
              f"are written anew; the others are kept in {path}.old")
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(key) + "\n" + (_line(list(done.items())) if done else ""), encoding="utf-8")
    return done


def _line(pairs):
    return json.dumps([content_key(pairs), pairs]) + "\n"
