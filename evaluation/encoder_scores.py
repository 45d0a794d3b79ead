"""The scores of an EEG encoder as tables and text, and whether it already knows the pictures that are scored."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.atomic_files import atomic_path
from runtime.runs import file_hash
from runtime.text_files import write_csv
from runtime.wording import interval

import numpy as np
import pandas

from eegdata.source import eeg_text
from evaluation import provenance
from metrics.classification import average_precision, confusion_table, draw_confusion, per_class_table, per_group_table

if TYPE_CHECKING:
    from eegdata.trials import Trials

WEIGHTS = "model.safetensors"
FILES = ("confusion_matrix.csv", "confusion_matrix.png", "per_class.csv", "per_subject.csv", "retrieval.csv")


def scored_weights(folder: Path) -> str:
    """A key of an encoder's weights, by which its scores are told from those of another encoder in the same folder."""
    return file_hash(folder / WEIGHTS)[:16]


def why_other_weights(folder: Path, scores: dict) -> str:
    """Why scores.json is not of the encoder in `folder`, which may have been trained anew since; "" where it is, or does
    not say: earlier versions did not."""
    if "encoder" not in scores or not (folder / WEIGHTS).is_file():
        return ""
    own = scored_weights(folder)
    return "" if own == scores["encoder"] else f"its weights are {own}, those that were scored {scores['encoder']}"


def scored_on(args: Namespace, trials: "Trials", splits_path: str | Path) -> dict[str, object]:
    """Which trials test_eeg_classifier.py scores, by the keys that a record of captions has, and their window."""
    return {"data": trials.fingerprint, "splits": file_hash(splits_path), "time_low": trials.eeg.low,
            "time_high": trials.eeg.high, **{name: getattr(args, name) for name in ("split_num", "split", "subject")}}


def why_other_trials(one: dict, other: dict) -> str:
    """In what the trials of two results differ, by the keys of `scored_on` that both tell; "" where they are the same."""
    differing = [key for key in one if key in other and one[key] != other[key]]
    return "; ".join(f"{key}: {str(one[key])[:16]} / {str(other[key])[:16]}" for key in differing)


def check_overlap(folder: Path, name: str, image_dir: str, pictures: list[str], *, part: str, in_training: list[str],
                  allowed: bool) -> int | None:
    """How many of the `pictures` to be scored the encoder in `folder` was trained on; None if it has no record of them.

    In the test part such pictures are an InputError unless `allowed`. Notes on what makes a score too good are printed.
    name: what --output gives, for messages; part: the part of the split; in_training: pictures of its training and
    validation parts, to which linear branches are fitted, too; [] where the encoder was trained with another split.
    """
    trained = provenance.trained_on(folder, image_dir, pictures)
    if part == "test" and trained and not allowed:
        raise provenance.overlap_error("--output", folder, trained, pictures, len(set(in_training) & set(trained)))
    selected = provenance.selected_on(folder, image_dir, pictures) if part == "test" else None
    if trained is None:
        print(f"note: {name} does not tell which pictures it was trained on, so these may be among them")
    elif trained:
        print(f"note: {name} was trained on {len(trained)} of the {len(pictures)} pictures that are scored")
    if selected:
        print(f"note: {len(selected)} of the {len(pictures)} pictures were used to select the best epoch, so scores on "
              "them are too high")
    return None if trained is None else len(trained)


def write_tables(folder: Path, labels: np.ndarray, logits: np.ndarray, subjects: np.ndarray,
                 class_names: dict[int, str], retrieval: list[dict] | None = None) -> dict[str, pandas.DataFrame]:
    """Write confusion_matrix.csv and .png, per_class.csv, per_subject.csv and retrieval.csv; returns the tables by name.

    labels, subjects [N]; logits [N, K]; retrieval: rows of evaluation/retrieval_table.py, None where there are no pictures.
    """
    confusion = confusion_table(labels, logits.argmax(1), class_names)
    tables = {"confusion_matrix": confusion,
              "per_class": pandas.DataFrame(per_class_table(labels, logits, class_names)).set_index("class"),
              "per_subject": pandas.DataFrame(per_group_table("subject", subjects, labels, logits)).set_index("subject")}
    with atomic_path(folder / "confusion_matrix.png") as temporary:
        draw_confusion(confusion, temporary)
    return _written(folder, tables, retrieval)


def write_object_tables(folder: Path, labels: np.ndarray, logits: np.ndarray, subjects: np.ndarray,
                        class_names: dict[int, str], retrieval: list[dict] | None = None) -> dict[str, pandas.DataFrame]:
    """write_tables where pictures have several classes (labels [N, K] 0 or 1) or none: per_class.csv of the classes that
    are shown, if there are any, and retrieval.csv."""
    shown = [number for number in class_names if labels[:, number].any()]
    tables = {}
    if shown:
        tables["per_class"] = pandas.DataFrame([
            {"class": class_names[number], "n": int(labels[:, number].sum()), "share": float(labels[:, number].mean()),
             "average_precision": average_precision(labels[:, [number]], logits[:, [number]])}
            for number in shown]).set_index("class")
    return _written(folder, tables, retrieval)


def _written(folder, tables, retrieval):
    """The tables, that of retrieval among them if there is one, each as a CSV file.

    Others of an earlier scoring go: the confusion matrix of an encoder with classes would stand beside the scores of one
    without, and the report would show it.
    """
    if retrieval:
        tables["retrieval"] = pandas.DataFrame(retrieval).set_index("repetitions")
    for name in FILES:
        if Path(name).stem not in tables:
            (folder / name).unlink(missing_ok=True)
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.csv") as temporary:
            write_csv(temporary, [table.index.name, *table.columns], table.itertuples(name=None))
    return tables


def print_scores(scores: dict, per_subject: pandas.DataFrame | None) -> None:
    """Print scores.json's content and, if there is one, the table per_subject.csv."""
    def line(name, entry, key):
        print(f"{name:<48} {entry[key]:.3f}  {interval(*entry[f'{key}_95'])}".rstrip())

    chance = f", {scores['n_classes']} classes, chance {scores['chance']:.3f}" if scores["chance"] is not None else ""
    print(f"{scores['n']} trials of {eeg_text(scores['source'])}{chance}; 95% intervals")
    for key in ("top1", "top5", "balanced_accuracy", "average_precision"):
        if key in scores:
            line(key, scores, key)
    if "classical_baseline" in scores:
        best = scores["classical_baseline"]
        line("balanced_accuracy, best classical baseline", best, "balanced_accuracy")
        line("  minus which the encoder's is", best, "ours_minus_best")
        for name, value in best["all"].items():
            print(f"  {name:<57} {value:.3f}")
    for name, baseline in scores.get("embedding_baseline", {}).items():
        line(f"balanced_accuracy, {name.replace('_', ' ')} of embeddings", baseline, "balanced_accuracy")
    if "calibration" in scores:
        expected = f"expected calibration error (if calibrated {scores['calibration']['ece_if_calibrated']:.3f})"
        print(f"{expected:<48} {scores['calibration']['ece']:.3f}")
    for k in (1, 5) if "retrieval" in scores else ():
        line(f"picture among {scores['retrieval']['n']}, top {k} (chance {scores['retrieval'][f'top{k}_chance']:.3f})",
             scores["retrieval"], f"top{k}")
    if per_subject is not None:
        print(per_subject.to_string(float_format="{:.3f}".format))
