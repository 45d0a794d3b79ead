"""What the audit of the data says of a study: findings, and the caveats that belong to its claim."""

from argparse import Namespace
from pathlib import Path

from runtime.errors import InputError
from runtime.runs import file_hash

from audit.page import audit_files, finding_dicts, read_audit, write_audit
from eegdata.eegcvpr40 import has_its_classes
from metrics.caption_files import COLUMNS

from .caveats import severe, warning
from .study import Study

ORDER_CHECK = "Class against time of recording"  # of audit.order


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
    if has_its_classes(study.model.texts(COLUMNS[1])) and all(finding["check"] != ORDER_CHECK for finding in findings):
        study.doubts.append(severe("its classes are those of EEGCVPR40, which showed each class in one block, so that slow "
                                   "changes of the recording give the class away (Li et al. 2021)"))


def find_audit(study: Study, args: Namespace) -> tuple[list[dict], str]:
    """The findings of an audit of the captions' data and split, and a note where there are none."""
    record = study.record
    if not all(isinstance(record.get(name), str) for name in ("data", "splits", "eeg_dataset", "splits_path")):
        return [], "The data were not audited: the captions have no record that names them."
    made_from = {"fingerprint": record["data"], "subject": record.get("subject") or 0, "splits": record["splits"],
                 "split_num": record.get("split_num") or 0}
    path, splits_path = Path(record["eeg_dataset"]), Path(record["splits_path"])
    kept = Path(args.report) / "audit.json" if args.report else None
    model = record.get("model_path")
    places = [kept, path / "audit.json", path.parent / "audit.json", study.model.path.parent / "audit.json",
              Path(model).parent / "audit.json" if model else None]
    for file in filter(None, places):
        findings = read_audit(file, made_from)
        if findings is not None:
            if kept not in (None, file):
                write_audit(kept, findings, made_from)  # the findings remain when the data is gone
            return findings, ""
    refusal = why_not_audited(path, splits_path, made_from)
    if refusal:
        return [], f"No audit of the data: {refusal}."
    if kept is None:
        return [], (f"The data were not audited. Give --report to have it done, or run python prepare_data.py audit {path} "
                    f"--splits_path {splits_path} first.")
    print(f"auditing {path}")
    image_dir = record.get("image_dir")
    try:
        _, _, found = audit_files(path, splits_path, image_dir if image_dir and Path(image_dir).is_dir() else None,
                                  made_from["split_num"], made_from["subject"],
                                  record.get("options", {}).get("splits_index") or "auto")
    except InputError as error:
        return [], f"The data could not be audited: {error}"
    findings = finding_dicts(found)
    write_audit(kept, findings, made_from)
    return findings, ""


def why_not_audited(path: Path, splits_path: Path, made_from: dict) -> str:
    """Why the data at path cannot be audited; "" where it can be."""
    from eegdata.dataset_folder import read_record

    for file in (path, splits_path):
        if not file.exists():
            return f"{file} was not found"
    if (read_record(path)["fingerprint"] if path.is_dir() else file_hash(path)) != made_from["fingerprint"]:
        return f"{path} has changed since it was used"
    return "" if file_hash(splits_path) == made_from["splits"] else f"{splits_path} has changed since the model was trained"
