"""What a report is made of, without models: a run folder, caption files with their records, and results by hand."""

import json
from argparse import Namespace
from html.parser import HTMLParser
from pathlib import Path

from runtime.runs import file_hash, read_json

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from eegdata.dataset_folder import read_record
from eegdata.dataset_writer import write_folder
from eegdata.records import Block, DataSet, Picture, Recording
from eegdata.splits import write_splits
from evaluation.data_audit import add_audit
from evaluation.study import Study
from metrics.caption_files import COLUMNS, RECORD_FORMAT, read_captions
from report import read_beside, write_report

CLASSES = ["ball", "house", "tree", "star"]
COLOURS = {"red": (196, 52, 44), "blue": (52, 92, 190), "green": (60, 150, 76), "yellow": (226, 186, 50)}
CHANNELS = ["Fz", "Cz", "Pz", "O1", "Oz", "O2"]
KINDS = {"eeg+label": "model", "eeg": "variant", "label": "control", "shuffled": "control",
         "shuffled_within_class": "control", "constant": "baseline", "class_medoid": "baseline", "oracle_label": "knows",
         "image": "knows"}
METRICS = ("BLEU-1", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L", "METEOR", "chrF", "2-way (text)", "50-way (text)",
           "Object accuracy", "Fluency", "Adequacy")
SFREQ, N_TIMES, TMIN = 100, 80, -0.2
VOID = ("meta", "img", "line", "rect", "circle", "polyline")  # elements without an end tag


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit(path, change):
    content = read_json(path)
    change(content)
    write(path, content)


def picture_names(pictures):
    return [f"{CLASSES[i % len(CLASSES)]}_{i}" for i in range(pictures)]


def make_data(folder, pictures, subjects, rng):
    """A data set folder: each subject sees each picture once; at Oz a bump of 50 uV at 120 ms."""
    photographs = {}
    for name in picture_names(pictures):
        image = Image.new("RGB", (224, 224), (230, 235, 240))
        ImageDraw.Draw(image).ellipse((60, 60, 164, 164), fill=COLOURS[rng.choice(list(COLOURS))])
        photographs[name] = folder / "photographs" / f"{name}.png"
        photographs[name].parent.mkdir(parents=True, exist_ok=True)
        image.save(photographs[name])
    eeg = rng.normal(0, 5, (pictures, len(CHANNELS), N_TIMES)).astype(np.float32)
    eeg[:, CHANNELS.index("Oz"), 32] += 50

    def reader(subject):
        def read():
            yield Block(eeg + subject, np.arange(pictures) % len(CLASSES), picture_names(pictures),
                        np.arange(pictures) * 2.)
        return read

    data = DataSet([Recording(f"sub-{s}", s, 1, [s], reader(s)) for s in range(1, subjects + 1)], sfreq=SFREQ,
                   ch_names=CHANNELS, n_times=N_TIMES, tmin=TMIN, units="uV", class_ids=CLASSES, class_names=CLASSES,
                   pictures={name: Picture(path, (f"A {name}.",)) for name, path in photographs.items()},
                   about={"steps": []})
    write_folder(data, folder / "data", "test", "none")
    rows = np.arange(pictures * subjects)
    test = rows % pictures >= pictures // 2
    write_splits(folder / "data" / "splits.pth", {"train": rows[~test][::2].tolist(), "val": rows[~test][1::2].tolist(),
                                                  "test": rows[test].tolist()})


def losses(start, end, epochs, rng):
    """A log_history: losses every tenth of an epoch, validation after each, the Trainer's summary last."""
    def loss(epoch):
        return end + (start - end) * float(np.exp(-4 * epoch / epochs))

    entries = []
    for step in range(1, 10 * epochs + 1):
        epoch = step / 10
        entries.append({"loss": loss(epoch) + rng.normal(0, 0.04), "learning_rate": 1e-4, "epoch": epoch, "step": step})
        if step % 10 == 0:
            entries.append({"eval_loss": loss(epoch) + 0.1, "epoch": epoch, "step": step})
    return [*entries, {"train_runtime": 12.3, "train_loss": 1.0, "epoch": epochs}]


def make_run(folder, pictures=24, subjects=3, seed=0):
    """A run folder as the stages leave it: data/ with audit.json, eeg_encoder/, captioner/, results/*.csv with records."""
    rng = np.random.default_rng(seed)
    make_data(folder, pictures, subjects, rng)
    options = {"eeg_dataset": str(folder / "data"), "splits_path": str(folder / "data" / "splits.pth"),
               "image_dir": str(folder / "data" / "images"), "split_num": 0, "subject": 0}
    made = {"data": read_record(folder / "data")["fingerprint"], "splits": file_hash(folder / "data" / "splits.pth")}
    versions = {"python": "3.12.3", "torch": "2.13.0"}
    encoder, captioner = folder / "eeg_encoder", folder / "captioner"
    write(encoder / "args.json", {"options": options | {"learning_rate": 0.0003}, "versions": versions, **made})
    write(captioner / "args.json", {"options": options | {"eeg_encoder_path": str(encoder)}, "versions": versions, **made})
    write(encoder / "train_log.json", {"stage1": losses(2.2, 0.6, 12, rng)})
    write(captioner / "train_log.json", {"stage2": losses(3.1, 0.5, 3, rng), "stage3": losses(1.4, 0.35, 2, rng)})
    write(encoder / "test" / "scores.json", {
        "n": 36, "n_classes": 4, "top1": 0.8125, "top5": 1.0, "balanced_accuracy": 0.807,
        "balanced_accuracy_95": [0.71, 0.89], "chance": 0.25, "retrieval": {"top1": 0.208, "top5": 0.625, "n": pictures},
        "classical_baseline": {"name": "xDAWN + tangent space + logistic regression", "balanced_accuracy": 0.744,
                               "balanced_accuracy_95": [0.65, 0.84], "ours_minus_best": 0.063,
                               "ours_minus_best_95": [-0.012, 0.131]},
        "branches": {"transformer": {"logits": 0.25, "embedding": 0.5}, "linear": {"logits": 0.375, "embedding": 0.5},
                     "tangent": {"logits": 0.375, "embedding": 0.0}}})
    write(encoder / "test" / "when_where.json", {"sentence": "The evidence is at 100 to 200 ms over occipital sensors."})
    Image.new("RGB", (600, 520), "olive").save(encoder / "test" / "when_where.png")
    (encoder / "test" / "confusion_matrix.csv").write_text(
        "true,ball,house,tree,star\nball,7,2,0,0\nhouse,0,9,0,0\ntree,0,0,9,0\nstar,1,1,1,6\n")
    write(folder / "data" / "audit.json", {
        "format": "eeg-to-text audit 1", "facts": {},
        "made_from": {"fingerprint": made["data"], "subject": 0, "splits": made["splits"], "split_num": 0},
        "findings": [{"check": "Blocks", "severity": "warning", "sentence": "Each class was shown in one block.",
                      "numbers": {"p": 0.001}},
                     {"check": "Units", "severity": "passed", "sentence": "Microvolts.", "numbers": {}}]})
    for condition in KINDS:
        write_captions(folder, condition, pictures, subjects, rng, options | made)
    return folder


def write_captions(folder, condition, pictures, subjects, rng, facts):
    """One condition's CSV with its record: the test trials of each subject."""
    rows, names = [], picture_names(pictures)
    for subject in range(1, subjects + 1):
        for number in range(pictures // 2, pictures):
            kind, _, _ = names[number].partition("_")
            guess = kind if rng.random() < 0.8 else rng.choice(CLASSES)
            words = list(COLOURS)[number % len(COLOURS)], rng.choice(list(COLOURS))
            rows.append((str(folder / "data" / "images" / kind / f"{names[number]}.JPEG"), kind, guess,
                         f"A {words[0]} {kind} number {number}.", f"A {words[1]} {guess} of {condition}.",
                         (subject - 1) * pictures + number, subject, names[number], "test", condition, "basic",
                         f"{rng.uniform(0.3, 1):.4f}", "ab12ab12ab12ab12"))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "trial", "subject", "image", "split", "condition", "prompt",
                                        "probability", "model"])
    path = folder / "results" / f"captions{'' if condition == 'eeg+label' else f'_{condition}'}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    write(Path(f"{path}.json"), {"format": RECORD_FORMAT, "condition": condition, "options": {"seed": 42}, "versions": {},
                                 "model_path": str(folder / "captioner"), "model": "ab12ab12ab12ab12",
                                 "sha256": file_hash(path), "trained_on": [], "machine_made": 0, **facts})


def read_files(folder, seed=0):
    """{condition: Captions} of a run's CSVs, scored at random."""
    rng, files = np.random.default_rng(seed), {}
    for condition in KINDS:
        path = folder / "results" / f"captions{'' if condition == 'eeg+label' else f'_{condition}'}.csv"
        if path.is_file():
            files[condition] = read_captions(path)
            files[condition].headline = rng.uniform(0, 1, len(files[condition].table))
    return files


def make_results(folder, seed=0, name="captions.csv"):
    """Results as evaluate.py hands them over, of one study: plausible numbers at random, no two alike."""
    rng = np.random.default_rng(seed)

    def triple(middle):
        return {"mean": middle, "low": middle - rng.uniform(0.01, 0.05), "high": middle + rng.uniform(0.01, 0.05)}

    def gain(middle, p):
        score = triple(middle)
        return {"difference": score["mean"], "low": score["low"], "high": score["high"], "p": p}

    entries = [{"condition": condition, "kind": kind, "source": f"captions_{condition}.csv", "n": 36,
                "scores": {metric: triple(rng.uniform(1, 5) if metric in ("Fluency", "Adequacy") else rng.uniform(0.2, 0.9))
                           for metric in METRICS},
                "corpus": {"corpus BLEU-4": rng.uniform(), "distinct-1": rng.uniform(), "mean length": 12.5}}
               for condition, kind in KINDS.items()]
    places = {"model_path": folder / "captioner", "eeg_dataset": folder / "data",
              "splits_path": folder / "data" / "splits.pth", "image_dir": folder / "data" / "images"}
    coverage = np.linspace(0.1, 1, 19)
    study = {
        "name": name, "model": "ab12ab12ab12ab12", "prompt": "basic", "split": "test", "n": 36, "pictures": 12,
        "classes": 4, "claim": "Beyond the class name the EEG adds +0.123 ROUGE-1.", "conditions": entries,
        "missing": ["noise"], "doubts": [],
        "verdicts": {"class": {"holds": True, **gain(0.234, 0.0002), "text": "+0.234"},
                     "beyond_class": {"holds": False, **gain(0.012, 0.41), "text": "+0.012"},
                     "better_than_nothing": {"holds": None, "difference": None, "low": None, "high": None, "p": None,
                                             "best": None, "text": "no captions under noise"}},
        "comparisons": [{"control": condition, "n": 36, "pictures": 12, **gain(rng.uniform(-0.2, 0.2), 0.01 * i + 0.0071),
                         "p_holm": 0.02 * i + 0.0093} for i, condition in enumerate(KINDS) if i],
        "range": {"n": 36, "floor": "class_medoid", "floor_mean": 0.31, "model_mean": 0.459, "ceiling_mean": 0.71,
                  "floor_95": [0.28, 0.34], "model_95": [0.42, 0.49], "ceiling_95": [0.69, 0.73], "position": 0.372,
                  "low": 0.21, "high": 0.53},
        "subjects": [{"subject": str(s), "n": 12, "mean": 0.5, "shuffled": 0.4 - s / 100, **gain(0.1 + s / 100, None)}
                     for s in (1, 2, 3)],
        "power": {"sd": 0.101, "pictures": 12, "detectable": 0.0437, "needed": [{"effect": 0.01, "pictures": 8120},
                                                                               {"effect": 0.05, "pictures": None}],
                  "power_goal": 0.8},
        "calibration": {"ece": 0.0813, "ece_low": 0.04, "ece_high": 0.12, "ece_if_calibrated": 0.0617, "accuracy": 0.8,
                        "confidence": 0.71, "bins": [{"confidence": 0.4, "accuracy": 0.5, "n": 9},
                                                     {"confidence": 0.9, "accuracy": 0.95, "n": 27}],
                        "risk_coverage": [{"coverage": c, "risk": 0.2 * c, "score": 0.5 - 0.1 * c, "threshold": 1 - 0.6 * c}
                                          for c in coverage.tolist()],
                        "aurc": 0.1, "abstained": 0, "answered": 36},
        "judge": {"model": "judge-1", "rows": 36, "asked": 70, "cached": 2, "refused": {"Fluency": 1, "Adequacy": 2},
                  "cost": 0.0123},
        "provenance": {"trained_on": 0, "allowed": False, "machine_made": 0, "ledger": {
            "scored": 3, "models": 2, "text": "This test split was scored 3 times, by 2 models."}, "split_num": 0,
            "subject": 0, **{key: str(path) for key, path in places.items()}},
        "notes": ["captions_eeg.csv: 1 of 36 generated captions are empty and score 0 by their words"]}
    return {"format": "eeg-to-text results 1", "metric": "ROUGE-1", "protocol": "ours", "alpha": 0.05,
            "title": "Report of a test", "studies": [study], "models": [], "options": {"n_boot": 2000},
            "versions": {"python": "3.12.3"}}


class Elements(HTMLParser):
    """The start tags of a page, `found`, and what is still `open` at its end."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(run, results=None, files=None, beside=None, **more):
    results = results or make_results(run)
    files = files or [read_files(run)] * len(results["studies"])
    for entry, captions in zip(results["studies"], files, strict=True):
        study = Study(entry["name"], captions, captions.get("eeg+label"), list(captions.values()))
        add_audit(study, Namespace(report=str(run / "report")))
        entry |= {"audit": study.audit, "doubts": entry["doubts"] + study.doubts}
    paths = write_report(run / "report", results, files, read_beside(beside) if beside else None, **more)
    assert [path.name for path in paths] == ["report.html", "results.json", "table.tex", "index.md"]
    return paths[0].read_text(encoding="utf-8")


def section(page, name, key="s0"):
    return page.split(f'id="{key}-{name}"')[1].split("</section>")[0]
