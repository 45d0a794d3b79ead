"""What the audit of the data says of a study: findings, and the caveats that belong to its claim."""

import shlex
from argparse import Namespace
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash

from audit.order import CHECK as ORDER_CHECK
from audit.page import audit_files, finding_dicts, read_audit, write_audit
from eegdata.eegcvpr40 import has_its_classes, synsets_of
from eegdata.source import says_another_origin
from eegdata.unchanged import why_other_data
from metrics.caption_files import COLUMNS

from .caveats import severe, warning
from .data_source import source_of_study
from .study import Study


def add_audit(study: Study, args: Namespace) -> None:
    """Set study.audit, {"findings": worst first, "note": why there are none, or ""}, and add its caveats.

    With --report an audit that is missing is made, which reads all of the EEG, and kept in the report's folder. Without it
    only an audit that is there is read.
    """
    if study.model is None:
        return
    findings, note = find_audit(study, args)
    study.audit = {"findings": findings, "note": note}
    bad = [finding for finding in findings if finding["severity"] == "severe"]
    if bad:
        study.doubts.append(severe("the audit of the data has severe findings "
                                   f"({', '.join(finding['check'] for finding in bad)})"))
    study.doubts += [warning(f"Audit of the data, {finding['check']}: {finding['sentence']}") for finding in findings
                     if finding["severity"] in ("severe", "warning")]
    if not findings:
        study.doubts.append(warning(note))
    if all(finding["check"] != ORDER_CHECK for finding in findings) and of_eegcvpr40(study):
        study.doubts.append(severe("its classes are those of EEGCVPR40, which showed each class in one block, so that slow "
                                   "changes of the recording give the class away (Li et al. 2021)"))


def of_eegcvpr40(study: Study) -> bool:
    """Whether class names or picture names are those of EEGCVPR40, and no record says that the EEG is of another source:
    others recorded the same pictures in random order."""
    named = any(map(has_its_classes, (study.model.texts(COLUMNS[1]), synsets_of(study.model.clusters))))
    return named and not says_another_origin(source_of_study(study))


def find_audit(study: Study, args: Namespace) -> tuple[list[dict], str]:
    """The findings of an audit of the captions' data and split, and a note where there are none."""
    record = study.record
    if not all(isinstance(record.get(name), str) for name in ("data", "splits", "eeg_dataset", "splits_path")):
        return [], "The data were not audited: the captions have no record that names them."
    made_from = {"fingerprint": record["data"], "subject": record.get("subject") or 0, "splits": record["splits"],
                 "split_num": record.get("split_num") or 0}
    index = record.get("options", {}).get("splits_index") or "auto"
    path, splits_path = Path(record["eeg_dataset"]), Path(record["splits_path"])
    kept = Path(args.report) / "audit.json" if args.report else None
    beside, model = study.model.path.parent, record.get("model_path")
    places = [kept, path / "audit.json", path.parent / "audit.json", beside / "audit.json",
              Path(model).parent / "audit.json" if model else None]
    try:
        for file in filter(None, places):
            findings = read_audit(file, made_from)
            if findings is not None:
                if kept not in (None, file) and kept.parent.resolve() not in file.resolve().parents:
                    write_audit(kept, findings, made_from)  # the findings remain when the data is gone
                return findings, ""
        refusal = why_other_data(path, made_from["fingerprint"]) or why_other_splits(splits_path, made_from["splits"])
        if refusal:
            return [], f"No audit of the data: {refusal}."
        if kept is None:
            return [], ("The data were not audited. Give --report to have it done, or run "
                        f"{audit_command(path, splits_path, made_from, index, beside)} first.")
        print(f"auditing {path}")
        image_dir = record.get("image_dir")
        _, _, found = audit_files(path, splits_path, image_dir if image_dir and Path(image_dir).is_dir() else None,
                                  made_from["split_num"], made_from["subject"], index)
    except InputError as error:  # the captions can be judged without it, and the claim says that it is missing
        return [], f"The data could not be audited: {error}."
    findings = finding_dicts(found)
    write_audit(kept, findings, made_from)
    return findings, ""


def why_other_splits(path: Path, wanted: str) -> str:
    """Why path is not the splits file whose hash is wanted; "" where it is."""
    if not path.is_file():
        return f"{path} was not found"
    return "" if file_hash(path) == wanted else f"{path} has changed since the model was trained"


def audit_command(path: Path, splits_path: Path, made_from: dict, index: str, beside: Path) -> str:
    """The command whose audit `find_audit` finds. An audit of one person or of a later split goes beside the captions: the
    data set's folder has room for one audit only."""
    command = ["python", "prepare_data.py", "audit", str(path), "--splits_path", str(splits_path)]
    options = {"--split_num": made_from["split_num"], "--subject": made_from["subject"]}
    if any(options.values()):
        options["--output"] = beside
    if index != "auto":
        options["--splits_index"] = index
    return shlex.join(command + [str(part) for pair in options.items() if pair[1] for part in pair])
