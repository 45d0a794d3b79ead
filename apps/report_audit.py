"""The audit of the data that a run was made with: found beside the data or in the run folder, else made."""

from pathlib import Path

from audit.page import audit_files, finding_dicts, read_audit, write_audit
from errors import InputError
from runs import file_hash


def find_audit(run):
    """Set run.findings and keep them in RUN/audit.json; a note says why there are none."""
    made = data_of(run)
    if made is None:
        run.note("audit", "Neither eeg_encoder/args.json nor captioner/args.json names the run's data, so its audit is "
                          "missing here.")
        return
    options, made_from = made
    kept, path = run.folder / "audit.json", Path(options["eeg_dataset"])
    for file in (kept, path / "audit.json"):
        findings = read_audit(file, made_from)
        if findings is not None:
            run.findings = findings
            break
    else:
        try:
            run.findings = finding_dicts(make_audit(path, options, made_from))
        except InputError as error:
            run.note("audit", f"The run's data could not be audited: {error}")
            return
    if file != kept:
        write_audit(kept, run.findings, made_from)


def data_of(run):
    """(options of the stage that names the data, what its audit must hold for), None where no args.json names it."""
    for stage in ("eeg_encoder", "captioner"):
        content = run.options.get(stage) or {}
        options = content.get("options")
        if not isinstance(options, dict) or not isinstance(content.get("data"), str):
            continue
        splits_path = options.get("splits_path")
        if options.get("eeg_dataset") and splits_path:
            splits = content.get("splits") or (file_hash(splits_path) if Path(splits_path).is_file() else None)
            return options, {"fingerprint": content["data"], "subject": options.get("subject") or 0, "splits": splits,
                             "split_num": options.get("split_num") or 0}
    return None


def make_audit(path, options, made_from):
    """Findings of the data at path, if it is still the run's; InputError where it is not."""
    from dataset_folder import read_record

    splits_path = Path(options["splits_path"])
    for file in (path, splits_path):
        if not file.exists():
            raise InputError(f"{file} is not there any more, seen from {Path.cwd()}")
    fingerprint = read_record(path)["fingerprint"] if path.is_dir() else file_hash(path)
    if fingerprint != made_from["fingerprint"] or file_hash(splits_path) != made_from["splits"]:
        raise InputError(f"{path} or {splits_path} is not what the run was made with")
    print(f"auditing {path}")
    image_dir = options.get("image_dir")
    _, _, findings = audit_files(path, splits_path, image_dir if image_dir and Path(image_dir).is_dir() else None,
                                 made_from["split_num"], made_from["subject"], options.get("splits_index") or "auto")
    return findings
