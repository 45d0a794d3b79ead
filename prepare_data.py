"""Turn recordings and pictures into a data set folder that every stage takes as --eeg_dataset.

    python prepare_data.py simulated --output demo/simulated/data
    python prepare_data.py n170 --recordings n170/muse2016 --stimuli n170/stimuli --output demo/n170/data

Then, on such a folder:

    python prepare_data.py audit demo/simulated/data
    python prepare_data.py split demo/simulated/data --split_by subject
    python prepare_data.py caption demo/simulated/data --model Salesforce/blip-image-captioning-base
    python prepare_data.py push demo/simulated/data org/name

`python -m captioning.push` uploads a model in the same way.
"""

import argparse
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from runtime import hub, idle_options, locks, options
from runtime.errors import InputError, exits_cleanly
from runtime.next_command import quoted, say_next
from runtime.wording import counted

from sources import SOURCES

SPLITTING = ("split_by", "val_fraction", "test_fraction", "split_seed", "split_gap", "unseen_pictures")
PARTS_MADE_BY = {"things": "val_fraction", "n170": "val_fraction test_fraction"}  # options of the parts that sources name


def add_source(name: str, command: argparse.ArgumentParser) -> None:
    SOURCES[name].add_arguments(command)
    group = command.add_argument_group("data set folder")
    group.add_argument("--output", required=True, help="folder to write the data set to; an interrupted run continues")
    group.add_argument("--overwrite", action="store_true", help="replace another data set in --output")
    group.add_argument("--scale", choices=("recording", "none"),
                       help="divide each channel by its standard deviation over a recording's trials (of a long one, its "
                            "first ones), or do not (unset: recording if the EEG is in microvolts)")
    options.split_options(command)
    options.audit_options(command).add_argument("--no_audit", action="store_true", help="do not run the audit")
    command.set_defaults(run=prepare)


def add_command(name: str, command: argparse.ArgumentParser) -> None:
    more = {"audit": ", or .pth file", "caption": ", or folder of pictures <class>/<name>.JPEG"}
    command.add_argument("folder", metavar="FOLDER", help="data set folder" + more.get(name, ""))
    if name == "split":
        options.split_options(command)
        command.add_argument("--splits_path", help="file to write (unset: splits.pth in FOLDER)")
    elif name == "audit":
        command.add_argument("--splits_path", help="splits file (unset: the folder's own)")
        command.add_argument("--image_dir", help="folder of pictures and captions (unset: the folder's own)")
        options.trials_options(command)
        command.add_argument("--output", help="folder for audit.json and audit.html (unset: FOLDER)")
        command.add_argument("--strict", action="store_true", help="exit with code 1 if a finding is severe")
        options.audit_options(command)
    elif name == "caption":
        command.add_argument("--model", required=True, help="image-to-text model: a Hub name or a local folder")
        command.add_argument("--overwrite", action="store_true", help="also replace captions that a model wrote; those of "
                                                                      "people are never replaced")
        command.add_argument("--batch_size", type=options.positive, default=8, help="pictures at a time")
        command.add_argument("--max_new_tokens", type=options.positive, default=40, help="longest caption in tokens")
        options.code_option(command)
        options.run_options(command, profile=False)
    elif name == "push":
        hub.push_options(command, "data set")
    command.set_defaults(run=COMMANDS[name][1])


def require(*packages: str) -> None:
    missing = [name for name in packages if not find_spec(name)]
    if missing:
        raise InputError(f"the package {' and '.join(missing)} is not installed; pip install -r requirements-data.txt")


def prepare(args: argparse.Namespace) -> None:
    """Write the data set of a source, its splits and its page."""
    require("datasets", "mne")
    with locks.only_run(args.output, "--output"):
        _prepare(args)


def _prepare(args):
    from eegdata.dataset_writer import write_folder

    data = SOURCES[args.command].find(args)
    scale = args.scale or ("recording" if data.units == "uV" else "none")
    record = write_folder(data, args.output, args.command, scale, args.overwrite)
    print(kept_and_dropped(record))
    try:
        if not _keeps_splits(args, record):
            split_folder(args, args.output, args.split_by or record["split_by"])
    except InputError as error:
        raise InputError(f"{error}. The trials are in {args.output}; make the splits with prepare_data.py split "
                         f"{quoted(str(args.output))} --split_by ...") from None
    if not args.no_audit:
        audit_data(args.output, permutations=args.permutations)
    print(f"data set written to {args.output}")
    say_next("train_eeg_classifier.py", args, carry=(), eeg_dataset=args.output,
             output=f"runs/{Path(args.output).resolve().name}/eeg_encoder",
             loss_weight=0 if record["pictures_known"] == "no" else None)


def _keeps_splits(args, record):
    """Whether the folder has other splits of this very data than a new one would have, and no option asks for any; they
    stay, which it says."""
    from eegdata.splits_file import read_splits_file

    path = Path(args.output) / "splits.pth"
    made_from = read_splits_file(path)[1] if path.is_file() else {}
    new = _made_from(args, record["split_by"], record["fingerprint"])
    if set(SPLITTING) & set(args.given()) or made_from.get("data") != record["fingerprint"] or made_from == new:
        return False
    print(f"{path}: the splits by {made_from.get('by')}, which were made with other options, stay; give --split_by to have "
          "others")
    return True


def _made_from(args, by, fingerprint):
    """What splits are made from, as their file keeps it."""
    return {"by": by, "val_fraction": args.val_fraction, "test_fraction": args.test_fraction, "seed": args.split_seed,
            "gap": args.split_gap, "unseen_pictures": args.unseen_pictures, "data": fingerprint}


def kept_and_dropped(record: dict) -> str:
    """One sentence on how many events gave a trial, and why the others did not."""
    from eegdata.dataset_folder import number_of_trials
    from eegdata.source import eeg_text, source_of_record

    dropped, recordings = Counter(), record["recordings"]
    for recording in recordings:
        dropped.update(recording["dropped"])
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "none"
    eeg = eeg_text(source_of_record(record))
    return (f"{number_of_trials(recordings)} trials of {eeg} from {counted(len(recordings), 'recording')}; "
            f"events that gave no trial: {reasons}")


def split(args: argparse.Namespace) -> None:
    """Make the splits of a data set folder again."""
    if not args.splits_path and not Path(args.folder).is_dir():
        raise InputError(f"{args.folder}: not a data set folder; for a .pth file give --splits_path, the file to write")
    given = args.splits_path
    with (locks.only_writer({"splits": Path(given)}, "--splits_path") if given else locks.only_run(args.folder, "FOLDER")):
        split_folder(args, args.folder, args.split_by, args.splits_path)


def split_folder(args: argparse.Namespace, folder: Path | str, by: str | None, splits_path: str | None = None) -> None:
    """Make splits by the options of `options.split_options`; by: None for what suits the source; splits_path: the file to
    write, None for the folder's own."""
    from eegdata.make_splits import make_splits
    from eegdata.splits import describe, write_splits
    from eegdata.trials import load_trials

    path = splits_path or Path(folder) / "splits.pth"
    trials = load_trials(folder)
    if by is None:
        by = trials.record.get("split_by", "picture")
        idle_options.say_idle(args, idle_options.SPLITTING, split_by=by)
    if by == "given" and trials.part is not None:
        idle_options.say_idle(args, idle_options.of_parts(set(trials.part), PARTS_MADE_BY.get(args.command, "")),
                              split_by=by)
    splits = make_splits(trials, by, args.val_fraction, args.test_fraction, args.split_seed, args.split_gap,
                         args.unseen_pictures)
    write_splits(path, splits, made_from=_made_from(args, by, trials.fingerprint))
    print(describe(trials, splits, by))
    print(f"splits written to {path}")


def audit(args: argparse.Namespace) -> int:
    """Check a data set for what would invalidate a result; write audit.json and audit.html."""
    require("mne")
    severe = audit_data(args.folder, args.splits_path, args.image_dir, args.split_num, args.output, args.permutations,
                        args.subject, args.splits_index)
    return int(args.strict and severe)


def audit_data(given: str, splits_path: str | None = None, image_dir: str | None = None, split_num: int = 0,
               output: str | None = None, permutations: int = 1000, subject: int = 0, index: str = "auto") -> bool:
    """Audit a data set folder or file; returns whether a finding is severe. output: folder for the page, None for `given`
    or the folder that it is in; subject: 0 for all; index: as --splits_index."""
    from audit.page import audit_files, simulated, summary, write_page
    from eegdata.data_paths import find_data

    paths = find_data(given, splits_path, image_dir, needed=("splits_path",))
    if not paths.image_dir:
        print("note: without --image_dir, pictures are compared by name only, and captions are not counted")
    trials, split, findings = audit_files(paths.eeg_dataset, paths.splits_path, paths.image_dir, split_num,
                                          subject, index, permutations)
    print(simulated(trials) + summary(findings))
    given = Path(given)
    folder = output or (given if given.is_dir() else given.parent if given.is_file() else ".")
    page = write_page(trials, split, findings, folder, paths.splits_path, split_num, paths.image_dir)
    print(f"audit written to {page}")
    return any(one.severity == "severe" for one in findings)


def caption(args: argparse.Namespace) -> None:
    """Have a model write captions for pictures that have none."""
    from eegdata.dataset_folder import read_record
    from eegdata.machine_captions import caption_pictures

    folder, names = Path(args.folder), None
    if _is_data_set(folder):
        folder, names = folder / "images", read_record(folder)["pictures"]
    device = options.resolve_device(args.device)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a data set folder, or a folder of pictures "
                         "<class>/<name>.JPEG")
    of_data_set = folder.name == "images" and _is_data_set(folder.parent)  # preparing locks that, and may remove pictures
    with locks.only_run(folder.parent if of_data_set else folder, "FOLDER"):
        caption_pictures(folder, names, args.model, device, args.overwrite, args.batch_size, args.max_new_tokens)


def _is_data_set(folder):
    return (folder / "dataset.json").is_file() or (folder / "trials").is_dir()


def push(args: argparse.Namespace) -> None:
    """Upload a data set folder to the Hub, from where --eeg_dataset datasets/ORG/NAME fetches it."""
    from eegdata.dataset_folder import read_record

    read_record(args.folder)  # an unfinished folder stays here
    hub.upload(args.folder, args.repository, "dataset", args.private)
    print(f"pushed; the stages take it as --eeg_dataset datasets/{args.repository}")


COMMANDS = {  # name: what it does, the function
    "split": ("make the splits of a data set folder again", split),
    "audit": ("check a data set for what would invalidate a result", audit),
    "caption": ("have a model write captions for pictures that have none", caption),
    "push": ("upload a data set folder to the Hub", push),
}


def parse(argv: list[str] | None) -> options.Options:
    parser = options.make_parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, source in SOURCES.items():
        add_source(name, commands.add_parser(name, help=source.__doc__.splitlines()[0], description=source.__doc__,
                                             formatter_class=parser.formatter_class, allow_abbrev=False))
    for name, (what, _) in COMMANDS.items():
        add_command(name, commands.add_parser(name, help=what, description=what, formatter_class=parser.formatter_class,
                                              allow_abbrev=False))
    args = options.parse(parser, argv)
    idle = {"split": idle_options.SPLITTING, "audit": idle_options.AUDIT}
    idle_options.say_idle(args, idle_options.PREPARING if args.command in SOURCES else idle.get(args.command, ()))
    return args


@exits_cleanly
def main(argv: list[str] | None = None) -> int | None:
    args = parse(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
