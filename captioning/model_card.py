"""A model in a folder of its own, with a card that says what it is, what was found with it and what may not be claimed."""

import re
import shutil
from pathlib import Path

from runtime.checkpoint_files import check_whole, checkpoint_files, checkpoint_hashes
from runtime.errors import InputError
from runtime.runs import content_key, options_used, read_json, read_run, write_json
from runtime.schema import check
from runtime.wording import counted, interval, number

from config import EEGModelForCausalLMConfig
from eegdata.dataset_folder import read_record
from eegdata.preprocessing_schema import read_preprocessing
from eegdata.source import source_of_record, source_text
from eegdata.unchanged import why_other_data
from encoders import load_encoder
from encoders.clip import is_classifier_only
from encoders.confidence import confidence_text
from encoders.picture_targets import FILES as TARGET_FILES
from evaluation.encoder_scores import why_other_weights
from evaluation.provenance import ENCODER
from report import read_beside
from report.schema import EncoderScores
from sources import preprocessing

TEMPLATE = Path(__file__).with_suffix(".md")
# Absolute paths among the words of a command, which are quoted where they hold blanks.
PLACES = re.compile(r"""(?<=')/[^']+(?=')|(?<=")/[^"]+(?=")|(?<![^\s'"=])/[^\s'"]+""")
RECORDS = ("args.json", "train_log.json", "train_images.json", "val_images.json")
METRICS = ("ROUGE-1", "BLEU-1", "METEOR", "Object accuracy")
NO_CLAIM = "No scores were given with this model, so nothing may be claimed of it."
ENCODERS_CLAIM = "The scores below are of an encoder alone. What captions hold is told by the report of a captioner."
OTHER_LICENCES = ("Recordings and pictures that the model was trained on, and the base language model, have licences of "
                  "their own.")
SIMULATED = "**The EEG of this model is simulated.** "
USE = {True: """from captioning import Captioner

reader = Captioner.from_pretrained("{name}"{llm})
reader.caption(epochs, controls=["noise"])""", False: """from encoders import load_encoder

encoder = load_encoder("{name}")
embedding, logits = encoder(eeg)"""}


def save_model(folder: Path, output: str | Path, results: str | Path | None = None, licence: str | None = None,
               name: str = "ORG/NAME") -> Path:
    """Copy what an encoder or a captioner is loaded from, what the encoder predicts, and its records, to a new folder, with
    its card as README.md.

    Paths of this machine become plain names, but for that in adapter_config.json, whose hash is kept. results: results.json
    of `evaluate.py --report`, or scores.json of test_eeg_classifier.py; licence: short name; name: on the Hub. InputError
    where the folder is not a whole model of ours, or the results are of another one. Returns the new folder.
    """
    folder, output = Path(folder), Path(output)
    if not (folder / "args.json").is_file():
        raise InputError(f"{folder}: holds no args.json, so it is no model that this project trained; give the folder of "
                         "one that train_eeg_classifier.py or finetune_llm.py wrote")
    check_whole(folder, "FOLDER")
    if not (folder / "id2label.json").is_file():  # --pretrain writes none
        raise InputError(f"{folder}: holds no id2label.json, as an encoder that is only pretrained, which predicts nothing "
                         "yet; give the folder of one that was trained on pictures or classes")
    text = card(folder, results, licence, name)
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise InputError(f"{output}: is there already; expected a new folder")
    files = {*checkpoint_files(folder), *TARGET_FILES}
    files |= {f"{part}{name}" for part in ("", f"{ENCODER}/") for name in RECORDS}
    for name in sorted(file for file in files if (folder / file).is_file()):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, output / name)
    for name in ("config.json", "args.json", f"{ENCODER}/args.json", TARGET_FILES[0]):
        if (output / name).is_file():
            write_json(output / name, _without_places(read_json(output / name)))
    (output / "README.md").write_text(text, encoding="utf-8")
    return output


def _without_places(content):
    """JSON content with the last part of each absolute path in place of it: others cannot use the rest."""
    if isinstance(content, dict):
        return {name: _without_places(value) for name, value in content.items()}
    if isinstance(content, list):
        return list(map(_without_places, content))
    if not isinstance(content, str) or Path(content).is_absolute():
        return Path(content).name if isinstance(content, str) else content
    return PLACES.sub(lambda place: Path(place[0]).name, content)


def card(folder: Path, results: str | Path | None = None, licence: str | None = None, name: str = "ORG/NAME") -> str:
    """The card of a model: Markdown with the head that the Hub reads."""
    from huggingface_hub import ModelCard, ModelCardData

    config = read_json(folder / "config.json")
    captions = config.get("model_type") == EEGModelForCausalLMConfig.model_type
    encoder = read_json(folder / ENCODER / "config.json") if captions else config
    told = _captioners(folder, results) if captions else _encoders(folder, results)
    loaded = load_encoder(folder / ENCODER if captions else folder).config
    base, on_hub = _base_llm(folder, config["llm"]) if captions else (None, False)
    head = ModelCardData(license=licence, tags=["eeg", "brain-decoding", *(["image-to-text"] if captions else [])],
                         base_model=base if on_hub else None)
    return str(ModelCard.from_template(
        head, template_path=str(TEMPLATE), title="EEG captioner" if captions else "EEG encoder",
        kind="A captioner" if captions else "An encoder", what=(
            f"It writes a sentence about the picture that a person sees, from the EEG, with {base}." if captions else
            f"It predicts {_predicted(folder, loaded)} of the picture that a person sees, from the EEG."),
        data=_data(folder, encoder, base, told), steps=_steps(folder, encoder),
        confidence=confidence_text(loaded), use=USE[captions].format(
            name=name, llm=f', llm="the folder of {base}"' * (captions and not on_hub)),
        licence=f"{f'`{licence}`' if licence else 'Not stated: ask the authors'}. {OTHER_LICENCES}",
        **{name: told[name] for name in ("claim", "doubts", "scores", "scores_are")}))


def _base_llm(folder, llm):
    """The name of a captioner's base LLM, and whether it is one on the Hub. A folder, which may have moved since, is told
    by the record of the training; the path of an older captioner's must do."""
    kept = read_run(folder)[0].get("llm")
    recorded = isinstance(kept, dict) and kept["commit"] is None and bool(kept["files"])
    is_folder = recorded or Path(llm).is_absolute() or Path(llm).exists()
    return (Path(llm).name, False) if is_folder else (llm, True)


def _captioners(folder, results):
    """Claim, doubts, scores and source of a captioner, from results.json."""
    told = {"claim": NO_CLAIM, "doubts": [], "scores": [], "scores_are": "None were given.", "source": None}
    if results is None:
        return told
    key, (_, content) = content_key(checkpoint_hashes(folder)), read_beside(results, "--results")
    own = [one for one in content["studies"] if one.get("model") == key]
    if not own:
        models = ", ".join(str(one.get("model")) for one in content["studies"])
        raise InputError(f"--results {results}: holds scores of the models {models}, this one is {key}; give the "
                         "results.json of this model's captions")
    if len(own) > 1:
        found = "; ".join(f"{one.get('split')} part, prompt {one.get('prompt')}" for one in own)
        raise InputError(f"--results {results}: holds {len(own)} studies of this model ({found}), and a card shows one; "
                         "run evaluate.py --report on the captions of one of them, and give its results.json")
    study = own[0]
    metrics = [name for name in METRICS if any(name in one["scores"] for one in study["conditions"])]
    lines = [f"| condition | trials | {' | '.join(metrics)} |", f"|---|---|{'---|' * len(metrics)}"]
    for one in study["conditions"]:
        cells = (one["scores"].get(name, {}) for name in metrics)
        lines.append(f"| {one['condition']} | {one.get('n') or '-'} | " + " | ".join(
            f"{number(cell.get('mean'))} {interval(cell.get('low'), cell.get('high'))}".strip() for cell in cells) + " |")
    protocol, eeg = content.get("protocol"), study.get("eeg") or {}
    return {"claim": SIMULATED * bool(eeg.get("simulated")) + study["claim"],
            "doubts": [doubt["text"] for doubt in study.get("doubts") or []], "scores": lines,
            "scores_are": f"Of the {study.get('split')} part, with 95% intervals."
                          f"{f' Protocol of the text scores: {protocol}.' * (protocol not in (None, 'ours'))}",
            "source": eeg.get("text")}


def _predicted(folder, config):
    """What an encoder of this config learned to predict."""
    classes = "the classes" if config.several_classes else "the class" if config.num_classes else ""
    return " and ".join(filter(None, [classes, not is_classifier_only(folder) and "the embedding"]))


def _encoders(folder, results):
    """Claim and scores of an encoder, from the scores.json that test_eeg_classifier.py left in it or that is given."""
    file = Path(results) if results else folder / "test" / "scores.json"
    scores = read_json(file) if results or file.is_file() else {}
    check(EncoderScores, scores, file, "it is damaged or was changed by hand, so run test_eeg_classifier.py again")
    if why := why_other_weights(folder, scores):
        raise InputError(f"{file}: holds scores of another encoder ({why}); run test_eeg_classifier.py --output {folder} "
                         "again")
    if scores and not {"n", "split"} <= scores.keys():
        raise InputError(f"{file}: holds no scores of an encoder; give the scores.json of test_eeg_classifier.py, or leave "
                         "--results out")
    return {"claim": ENCODERS_CLAIM if scores else NO_CLAIM, "doubts": list(scores.get("training_warnings") or []),
            "scores": _score_lines(scores) if scores else [], "source": None,
            "scores_are": f"Of the {scores.get('split')} part, with 95% intervals." if scores else "None were given."}


def _score_lines(scores):
    """The table of an encoder's scores: of classes where it has learned some, of retrieval where there are pictures."""
    rows = [(name, f"{scores[name]:,}", "") for name in ("n", "n_classes") if scores.get(name)]
    named = [(name, scores, name) for name in ("chance", "top1", "balanced_accuracy", "average_precision")]
    found = scores.get("retrieval") or {}
    named += [(f"picture among {found.get('n')}, top {k}{what}", found, f"top{k}{key}")
              for k in (1, 5) for what, key in ((" by chance", "_chance"), ("", ""))]
    rows += [(title, number(part[key]), interval(*part.get(f"{key}_95") or (None, None)))
             for title, part, key in named if part.get(key) is not None]
    return ["| score | value |", "|---|---|", *(f"| {title} | {' '.join(filter(None, cells))} |" for title, *cells in rows)]


def _data(folder, encoder, base, told):
    """Rows of the table on data, people and base LLM."""
    content = read_run(folder)[0]
    options = options_used(content)
    place = options.get("eeg_dataset")
    source, people = told["source"], None
    if place and not source and Path(place).is_dir() and not why_other_data(Path(place), content.get("data")):
        record = read_record(place)
        people = 1 if options.get("subject") else len({one["subject"] for one in record["recordings"]})
        source = source_text(source_of_record(record), people)
    source = source or (content.get("source") and source_text(content["source"]))
    pictures = [len(read_json(folder / name)) if (folder / name).is_file() else None for name in RECORDS[2:]]
    rows = [("source and people", source or "unknown"), ("fingerprint of the data", content.get("data") or "unknown"),
            ("EEG", f"{len(encoder.get('ch_names') or []) or '?'} channels, {encoder.get('sfreq', 0):g} Hz"),
            ("classes", counted(len(read_json(folder / "id2label.json")), "class")),
            ("pictures to train on, to validate on", " / ".join("unknown" if n is None else str(n) for n in pictures))]
    made = content.get("made") or {}
    when = [text for text in (made.get("date"), made.get("commit") and f"commit {made['commit']}") if text]
    rows += [("trained", ", ".join(when))] if when else []
    return rows + ([("base language model", base)] if base else [])


def _steps(folder, encoder):
    if not encoder.get("preprocessing"):
        return []
    kept = read_preprocessing(encoder["preprocessing"], folder)
    return preprocessing.steps(preprocessing.settings_of(kept), [kept.sfreq])
