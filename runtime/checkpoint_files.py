"""Which files of a folder are a checkpoint of ours or of a predecessor: those that its model is loaded from."""

from pathlib import Path

from runtime import processes
from runtime.errors import InputError
from runtime.model_files import SMALL_FILES, small_hash
from runtime.runs import file_hash, read_run, write_json

PARTS = ("", "adapter", "eeg_encoder")  # folders of a captioner; an encoder has the first only
PATTERNS = (*SMALL_FILES, "*.safetensors", "*.pth", "*.pt", "*.bin", "id2label.json", "prompt_date.json")
PLACES = ("llm", "clip_model")  # of config.json: where other models lie, which have identities of their own
EDITED = ("id2label.json", "prompt_date.json")  # by hand: to correct a class name, or to set the date of the prompts
UNFINISHED = "unfinished"


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """{name relative to the folder: path} of the files that the model is loaded from, sorted. Anything else that lies in
    the folder, such as records, captions or .DS_Store, is no part of the model."""
    found = {path for part in PARTS for pattern in PATTERNS for path in (folder / part).glob(pattern)
             if path.is_file() and not path.name.startswith(".")}
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def checkpoint_hashes(folder: Path) -> dict[str, str]:
    """{name: hash} of checkpoint_files. Where the model was trained, and where other models lay, does not count."""
    return {name: small_hash(path, PLACES) if path.name == "config.json" else file_hash(path)
            for name, path in checkpoint_files(folder).items()}


def begin_saving(folder: str | Path) -> None:
    """Say in the folder's args.json that its checkpoint is being written. `runs.save_run`, which comes last, says that it
    is whole. So a run that is killed between two files leaves no checkpoint that is half new."""
    write_json(Path(folder) / "args.json", {"state": UNFINISHED})


def written_files(folder: str | Path) -> dict[str, str]:
    """checkpoint_hashes of what nobody edits, once all processes have written their files."""
    processes.wait()
    return {name: digest for name, digest in checkpoint_hashes(Path(folder)).items() if name not in EDITED}


def check_whole(folder: str | Path, flag: str) -> None:
    """Raise InputError unless a checkpoint's files are those that were written together. flag: the option that named it.

    Predecessors' checkpoints, and those of earlier versions, have no hashes in args.json and pass.
    """
    folder = Path(folder)
    content = read_run(folder)[0]
    if content.get("state") == UNFINISHED:
        raise InputError(f"{flag} {folder}: is not whole, since the run that wrote it was stopped while it saved the "
                         "model; run the training again, with --resume if it kept its checkpoints")
    check_files(folder, content, "args.json", "copy the folder again or train it again")


def check_files(folder: Path, record: dict, where: str, advice: str) -> None:
    """Raise InputError unless a folder's files are those whose hashes its record, the file `where`, holds under 'files'."""
    wanted = record.get("files", {})
    found = checkpoint_hashes(folder) if wanted else {}
    for name, digest in wanted.items():
        if name not in found:
            raise InputError(f"{folder / name}: not found, but {where} names it; {advice}")
        if found[name] != digest:
            raise InputError(f"{folder / name}: differs from the file that was written with the others ({where}); it is "
                             f"damaged, was changed by hand, or is of another training; {advice}")
