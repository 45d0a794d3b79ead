"""Read the folders of a study's model: options, losses, encoder scores, the audit of its data.

The study's record names the captioner's folder, and that folder's args.json names the encoder's. A missing file becomes a
note, a broken file an InputError.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash, options_used, read_json

from audit.page import audit_files, finding_dicts, read_audit, write_audit

STAGES = {"stage1": "Stage 1: EEG encoder", "stage2": "Stage 2: captioner on picture embeddings",
          "stage3": "Stage 3: captioner on EEG embeddings"}
MAX_FILE_BYTES = 500_000_000  # of a .pth data set that is read for a report; a data set folder is read row by row


@dataclass
class Run:
    """A study's model: folders (None: not known), what was read from them, and notes."""

    captioner: Path | None = None
    encoder: Path | None = None
    options: dict = field(default_factory=dict)  # file as it is named on the page -> its args.json
    losses: dict = field(default_factory=dict)  # stage -> {"training" | "validation": [(epoch, loss)]}
    scores: dict = field(default_factory=dict)  # the encoder's on the test trials
    when_where: dict = field(default_factory=dict)
    findings: list = field(default_factory=list)  # of the data's audit, worst first
    notes: dict = field(default_factory=dict)  # part of the page -> [what is to be said there]

    def note(self, part: str, text: str) -> None:
        """Add a note to a part of the page."""
        self.notes.setdefault(part, []).append(text)

    def json(self, path: Path, part: str, writer: str) -> dict:
        """A JSON object; {} where the file is missing, with a note that names the script that writes it."""
        if not path.is_file():
            self.note(part, f"{path} is missing. {writer}")
            return {}
        return read_json(path)


def read_run(provenance: dict, record: dict | None, folder: Path) -> Run:
    """Run of a study. provenance: the study's; record: of its model's CSV, or None; folder: of the report."""
    run = Run()
    if provenance.get("model_path"):
        run.captioner = Path(provenance["model_path"])
        read_captioner(run)
    if run.encoder:
        read_encoder(run)
    find_audit(run, provenance, record or {}, folder)
    for finding in run.findings:
        if finding["severity"] == "severe":
            print(f"severe finding on the data: {finding['sentence']}")
    return run


def read_captioner(run: Run) -> None:
    """Options and losses of the captioner, and where its encoder is."""
    folder = run.captioner
    if not folder.is_dir():
        run.note("options", f"{folder} was not found, so the model's options, losses and encoder scores are missing.")
        return
    content = run.options[f"{folder}/args.json"] = run.json(folder / "args.json", "options", "finetune_llm.py writes it.")
    read_losses(run, folder, "finetune_llm.py")
    encoder = (content.get("options") or {}).get("eeg_encoder_path")
    if encoder and Path(encoder).is_dir():
        run.encoder = Path(encoder)
    elif encoder:
        run.note("encoder", f"{encoder}, the folder of the EEG encoder, was not found, so its scores are missing.")


def read_encoder(run: Run) -> None:
    """Options, losses and scores of the encoder."""
    folder = run.encoder
    run.options[f"{folder}/args.json"] = run.json(folder / "args.json", "options", "train_eeg_classifier.py writes it.")
    read_losses(run, folder, "train_eeg_classifier.py")
    file = folder / "test" / "scores.json"
    run.scores = run.json(file, "encoder", "test_eeg_classifier.py writes it.")
    objects = [run.scores.get(key) or {} for key in ("retrieval", "classical_baseline")]
    if run.scores and not (isinstance(run.scores.get("top1"), float | int) and all(isinstance(o, dict) for o in objects)):
        raise InputError(f"{file}: expected a number under 'top1' and objects under 'retrieval' and 'classical_baseline'; "
                         "write it again with test_eeg_classifier.py")
    file = folder / "test" / "when_where.json"
    if file.is_file():
        run.when_where = read_json(file)
        if not isinstance(run.when_where.get("sentence"), str):
            raise InputError(f"{file}: expected a text under 'sentence'; write it again with test_eeg_classifier.py "
                             "--when_and_where")


def read_losses(run: Run, folder: Path, script: str) -> None:
    """Loss curves of a folder's train_log.json."""
    log = run.json(folder / "train_log.json", "losses", f"{script} writes it. Without it there are no loss curves.")
    for name, entries in log.items():
        run.losses[name] = loss_curves(run, folder, name, entries)


def loss_curves(run: Run, folder: Path, name: str, entries: list[dict]) -> dict[str, list[tuple[float, float]]]:
    """{"training", "validation"}: (epoch, loss) points of a Trainer's log_history. Losses that are not finite become a
    note."""
    curves = {}
    for curve, key in (("training", "loss"), ("validation", "eval_loss")):
        try:
            points = [(float(entry["epoch"]), float(entry[key])) for entry in entries if key in entry]
        except (TypeError, ValueError, KeyError):
            raise InputError(f"{folder}/train_log.json: {name!r} is no list of log entries with numbers under 'epoch' and "
                             f"'{key}'; train again or remove the file") from None
        curves[curve] = [point for point in points if all(map(math.isfinite, point))]
        if len(curves[curve]) < len(points):
            run.note("losses", f"{name}: {len(points) - len(curves[curve])} {curve} losses are not finite.")
    if not any(curves.values()):
        run.note("losses", f"{name}: the log holds no losses.")
    return curves


def find_audit(run: Run, provenance: dict, record: dict, folder: Path) -> None:
    """Set run.findings, from an audit.json beside the report, the data or the model, or else from an audit made now.

    They are kept with the report.
    """
    made = data_of(run, provenance, record)
    if made is None:
        if provenance.get("eeg_dataset"):
            run.note("audit", "No audit of the data: it is not known which split was tested.")
        return
    options, made_from = made
    path, kept = Path(options["eeg_dataset"]), Path(folder) / "audit.json"
    places = [kept, path / "audit.json"] + ([run.captioner.parent / "audit.json"] if run.captioner else [])
    for file in places:
        findings = read_audit(file, made_from)
        if findings is not None:
            run.findings = findings
            if file != kept:
                write_audit(kept, findings, made_from)  # severe findings remain when the data is gone
            return
    refusal = cannot_be_audited(path, Path(options["splits_path"]), made_from)
    if refusal:
        run.note("audit", f"No audit of the data: {refusal}.")
        return
    print(f"auditing {path}")
    image_dir = options.get("image_dir")
    try:
        _, _, findings = audit_files(path, options["splits_path"], image_dir if image_dir and Path(image_dir).is_dir() else
                                     None, made_from["split_num"], made_from["subject"],
                                     options.get("splits_index") or "auto")
    except InputError as error:
        run.note("audit", f"The data could not be audited: {error}")
        return
    run.findings = finding_dicts(findings)
    write_audit(kept, run.findings, made_from)


def data_of(run: Run, provenance: dict, record: dict) -> tuple[dict, dict] | None:
    """(options that name the data and its splits, what its audit must be made from); None where nothing names them.

    The encoder's options come first, as it was trained on most of the data, then the captioner's, then the captions'.
    """
    contents = [content for content in reversed(run.options.values()) if isinstance(content, dict)]
    for content in [*contents, {"options": provenance, **record}]:
        options = {**provenance, **{name: value for name, value in options_used(content).items() if value is not None}}
        splits = content.get("splits")
        if splits is None and options.get("splits_path") and Path(options["splits_path"]).is_file():
            splits = file_hash(options["splits_path"])
        if isinstance(content.get("data"), str) and options.get("eeg_dataset") and options.get("splits_path") and splits:
            return options, {"fingerprint": content["data"], "subject": options.get("subject") or 0, "splits": splits,
                             "split_num": options.get("split_num") or 0}
    return None


def cannot_be_audited(path: Path, splits_path: Path, made_from: dict) -> str:
    """Why the data at path cannot be audited; "" where it can be."""
    for file in (path, splits_path):
        if not file.exists():
            return f"{file} was not found"
    refusal = why_not_readable(path, made_from["fingerprint"])
    if not refusal and file_hash(splits_path) != made_from["splits"]:
        refusal = f"{splits_path} has changed since the model was trained"
    return refusal


def why_not_readable(path: Path, fingerprint: str | None) -> str:
    """Why the data set at path is not read for the report; "" where it is. fingerprint: that it must have, None: any."""
    from eegdata.dataset_folder import read_record

    if not path.exists():
        return f"{path} was not found"
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        return (f"{path} is a file of {path.stat().st_size / 1e9:.1f} GB, too large to be read for a report; make a data "
                "set folder of it with prepare_data.py")
    found = read_record(path)["fingerprint"] if path.is_dir() else file_hash(path)
    return f"{path} has changed since it was used" if fingerprint and found != fingerprint else ""
