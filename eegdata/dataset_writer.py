"""Writes a data set folder (dataset_folder.py). An interrupted run goes on from the recordings that it had finished."""

import os
import shutil
from collections import Counter
from pathlib import Path

from runtime.atomic_files import atomic_path
from runtime.errors import InputError
from runtime.names import MAX_NAME, below, is_text
from runtime.quiet import watched
from runtime.runs import LEDGER, content_key, file_hash, read_json, versions, write_json, write_record

import numpy as np

from eegdata.dataset_folder import FORMAT, number_of_trials, read_record
from eegdata.pictures import (
    machine_made,
    same_captions,
    shows_another,
    write_captions,
    write_machine_captions,
    write_picture,
)
from eegdata.records import MAX_NUMBER, DataSet
from eegdata.source import source_of_record

BATCH_TRIALS = 256  # trials in a record batch
DATASET_FIELDS = ("sfreq", "ch_names", "positions", "units", "tmin", "n_times", "class_ids", "class_names",
                  "pictures_known", "split_by", "about")  # of records.DataSet
# Removed in this order: without dataset.json a folder counts as unfinished, and by trials the rest is known for its own.
OWN_FILES = ("dataset.json", "images", "splits.pth", "README.md", "audit.json", "audit.html", "trials")
RUN_FILE = "run.json"  # in trials/ until the folder is finished: the key of the run


def write_folder(data: DataSet, output: Path | str, source: str, scale: str, overwrite: bool = False) -> dict:
    """Write `data` (sources.records.DataSet) as a data set folder; an interrupted run goes on.

    source: its name; scale: "recording" divides each channel by its standard deviation over the recording's trials, "none"
    does not. Returns the record. A folder that holds another data set is refused unless `overwrite`.
    """
    output = Path(output)
    _check_names(data)
    twice = [name for name, count in Counter(data.class_names).items() if count > 1]
    if twice:
        raise InputError(f"class name {twice[0]!r}: {len(data.class_names)} classes have {len(set(data.class_names))} "
                         "names; expected a name of its own for each class, as captions and prompts name it")
    head = {"format": FORMAT, "source": source, "scale": scale, **{name: getattr(data, name) for name in DATASET_FIELDS}}
    if data.objects is not None:
        head["objects"] = data.objects
    key = content_key([head, [(r.name, r.subject, r.session, r.key) for r in data.recordings], sorted(data.pictures)])
    _check_output(data, output)
    going_on = not overwrite and any((output / name).exists() for name in OWN_FILES)
    if not _begin(output, key, overwrite):
        _write_pictures(data, output / "images")  # captions may have come since
        print(f"{output}: holds this data set already; nothing to do for its trials")
        return _with_sketches(data, output)
    try:
        recordings = _write_content(data, output, key, content_key(head), scale)
    except InputError:
        if not going_on:  # nobody could tell what is there from a data set; an interrupted run is another matter
            _remove_own(output)
        raise
    record = {**head, "preprocessing": data.preprocessing and {**data.preprocessing, "scale": scale}, "key": key,
              "pictures": list(data.pictures), "picture": "sketch" if _all_sketched(data) else "photo",
              "recordings": recordings, "versions": versions()}
    record["fingerprint"] = content_key([key, [[s["sha256"] for s in r["shards"]] for r in recordings]])
    _write_card(output / "README.md", record)
    os.sync()  # the pictures too are on the disk before dataset.json says that the folder is whole
    write_record(output / "dataset.json", record)
    (output / "trials" / RUN_FILE).unlink()
    return record


def _all_sketched(data):
    return bool(data.pictures) and all(picture.sketch for picture in data.pictures.values())


def _with_sketches(data, output):
    """The record of a finished folder. It names the sketches that came since, as a new folder's would."""
    record = read_record(output)
    if record["picture"] == "photo" and _all_sketched(data):
        record["picture"] = "sketch"
        write_record(output / "dataset.json", record)
        print(f"{output}: its pictures have sketches now, which are embedded unless --picture photo is given")
    return record


def _check_names(data):
    """Raise InputError for a name or number that dataset.json and the shards cannot hold, before anything is written."""
    for what, names in (("recording", [recording.name for recording in data.recordings]), ("channel", data.ch_names),
                        ("class", data.class_ids), ("class", data.class_names), ("picture", data.pictures)):
        for name in names:
            if not is_text(name) or not 0 < len(name) <= MAX_NAME:
                raise InputError(f"{what} {name[:100]!r}: expected a name of 1 to {MAX_NAME} letters in UTF-8; rename it")
    for recording in data.recordings:
        for what in ("subject", "session"):
            if abs(getattr(recording, what)) > MAX_NUMBER:
                raise InputError(f"recording {recording.name}: {what} {getattr(recording, what)}, expected a number up to "
                                 f"{MAX_NUMBER}; give it a smaller one")


def _write_content(data, output, key, head_key, scale):
    """Write pictures and trials; returns the recordings' entries for dataset.json."""
    marker = output / "trials" / RUN_FILE  # an interrupted run with other options left other pictures of the same names
    stale = marker.is_file() and read_json(marker, str) != key
    write_json(marker, f"{key}, pictures of another run" if stale else key)
    _write_pictures(data, output / "images", stale)
    write_json(marker, key)
    recordings = _write_trials(data, output / "trials", head_key, scale)
    if not number_of_trials(recordings):
        reasons = {r["name"]: r["dropped"] for r in recordings if r["dropped"]}
        by_channel = next((note for r in recordings for note in r["notes"] if note.startswith("trials rejected")), "")
        raise InputError(f"no event gave a trial ({reasons or 'no events found'}){by_channel and '; ' + by_channel[:300]}; "
                         "check the events and --reject" + ", and leave channels that are no EEG out" * bool(by_channel))
    return recordings


def _remove_own(output):
    for path in (output / name for name in OWN_FILES):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _check_output(data, output):
    """Raise InputError for a folder of other things, or one whose pictures would be read and written."""
    if output.is_dir() and not (output / "dataset.json").is_file():
        own = OWN_FILES if (output / "trials").is_dir() else ("images",)  # what an interrupted run may leave
        own = (*own, LEDGER)  # which stays when other data come: its lines name the data that they are of
        others = sorted(path.name for path in output.iterdir() if path.name not in own and not path.name.startswith("."))
        if others:
            raise InputError(f"--output {output}: holds {', '.join(others)[:200]} and no data set; expected an empty or a "
                             "new folder, as files there could be replaced")
    inside = (output / "images").resolve()
    read = [path for each in data.pictures.values() for path in (each.photo, each.sketch) if isinstance(path, Path)]
    within = next((path for path in read if path.resolve().is_relative_to(inside)), None)
    if within:
        raise InputError(f"--output {output}: {within} lies in its folder images, where pictures are written to; move the "
                         "pictures, or choose another folder")


def _begin(output, key, overwrite):
    """Whether there is something to write to `output`; what another data set left there is removed if `overwrite`."""
    done = output / "dataset.json"
    if done.is_file() and not overwrite:
        if read_json(done).get("key") == key:
            return False
        raise InputError(f"--output {output}: holds a data set made from other files or with other options; choose another "
                         "folder, or give --overwrite")
    if overwrite:
        _remove_own(output)
    return True


def _write_pictures(data, folder, replace=False):
    from tqdm import tqdm

    foreign = {path.stem.removesuffix("_sketch") for path in folder.rglob("*.JPEG") if not path.name.startswith(".")}
    foreign -= set(data.pictures)
    if foreign:
        raise InputError(f"{folder}: holds {len(foreign)} pictures of another data set, {min(foreign)} among them; remove "
                         "that folder, choose another --output, or give --overwrite")
    by_model, kept, changed = machine_made(folder), [], []
    quiet = not (data.pictures and watched())
    for name, picture in tqdm(data.pictures.items(), desc="pictures", unit="picture", disable=quiet):
        if not replace and shows_another(folder, name, picture):
            changed.append(name)
        write_picture(folder, name, picture, replace)
        if not picture.captions or same_captions(folder, name, picture.captions):
            continue
        if name in by_model:
            write_captions(folder, {name: picture.captions})
        else:
            kept.append(name)
    if data.captions_by:
        of_people = set(kept)
        texts = {name: picture.captions[0] for name, picture in data.pictures.items()
                 if picture.captions and name not in of_people}
        write_machine_captions(folder, texts, data.captions_by)
    if changed:
        print(f"{folder}: {len(changed)} pictures, {changed[0]} among them, stay as they are, although their files have "
              "changed since; give --overwrite to have the new ones")
    if kept:
        print(f"{folder}: {len(kept)} pictures, {kept[0]} among them, keep captions that are not those of the tables; "
              "remove their <name>_caption.txt, or give --overwrite, to have those")


def _write_trials(data, folder, head_key, scale):
    """Write the shards of every recording that is not there yet; returns the recordings' entries for dataset.json."""
    from runtime.schema import check

    from tqdm import tqdm

    from eegdata.record_schema import RecordingFile

    entries, found = [], 0
    progress = tqdm(data.recordings, desc="recordings", unit="recording")
    for number, recording in enumerate(progress):
        progress.set_postfix_str(recording.name[-40:])
        file = folder / f"{number:05d}.json"
        key = content_key([head_key, recording.key, recording.name, recording.subject, recording.session])
        entry = {}
        if file.is_file():
            entry = check(RecordingFile, read_json(file), file, "remove the file, and its recording is read again")
        shards = [(below(folder, shard["file"], file), shard["bytes"]) for shard in entry.get("shards", ())]
        whole = all(path.is_file() and path.stat().st_size == size for path, size in shards)
        if entry.get("key") == key and whole:
            found += 1
        else:
            entry = {"key": key, **_write_recording(data, recording, number, folder, scale)}
            write_record(file, entry)
        entries.append(entry)
    named = {RUN_FILE, *(f"{number:05d}.json" for number in range(len(entries)))}
    named |= {shard["file"] for entry in entries for shard in entry["shards"]}
    for path in folder.iterdir():  # of an interrupted run with other options; the Hub would read them, too
        if path.name not in named:
            path.unlink()
    if found:
        print(f"{folder}: went on after {found} recordings of an interrupted run")
    return entries


def _write_recording(data, recording, number, folder, scale):
    entry = {"name": recording.name, "subject": recording.subject, "session": recording.session, "shards": [],
             "dropped": {}, "notes": [], "scale": None}
    for count, block in enumerate(recording.read()):
        for reason, dropped in block.dropped.items():
            entry["dropped"][reason] = entry["dropped"].get(reason, 0) + int(dropped)
        entry["notes"] += block.notes
        if not len(block.label):
            continue
        eeg = np.ascontiguousarray(block.eeg, dtype=np.float32)
        _check_block(data, recording, block, eeg)
        if scale == "recording":
            entry["scale"] = entry["scale"] or channel_scale(eeg)  # of the first block, for all
            eeg = divided(eeg, entry["scale"])
        file = folder / f"{number:05d}-{count:03d}.arrow"
        with atomic_path(file) as temporary:
            _write_shard(temporary, data, recording, number, block, eeg)
            size, digest = temporary.stat().st_size, file_hash(temporary)
        entry["shards"].append({"file": file.name, "trials": len(eeg), "bytes": size, "sha256": digest})
    return entry


def channel_scale(eeg: np.ndarray) -> list[float]:
    """The standard deviation of each channel over trials [n, C, T], 1 where it is 0: [C]."""
    deviation = eeg.std((0, 2), dtype=np.float64)
    return np.where(deviation > 0, deviation, 1.0).tolist()


def divided(eeg: np.ndarray, scale: list[float]) -> np.ndarray:
    """Trials [n, C, T] with each channel divided by its scale [C]."""
    return eeg / np.asarray(scale, np.float32)[:, None]


def _check_block(data, recording, block, eeg):
    expected = (len(block.label), len(data.ch_names), data.n_times)
    if eeg.shape != expected:
        raise InputError(f"{recording.name}: EEG of shape {eeg.shape}, expected {expected} (trials, channels, samples), as "
                         "the data set's other recordings")
    wrong = np.argwhere(~np.isfinite(eeg).all(2))
    if len(wrong):
        trial, channel = wrong[0]
        raise InputError(f"{recording.name}: trial {trial}, channel {data.ch_names[channel]} holds NaN or infinite values; "
                         "mend the recording or leave it out")
    one_class = bool(data.class_ids) and data.objects is None
    if ((np.asarray(block.label) < 0) == one_class).any():
        raise InputError(f"{recording.name}: a trial has {'no' if one_class else 'one'} class, unlike the data "
                         "set's others; give each picture one class, or none of them")
    unknown = sorted(set(block.picture) - set(data.pictures)) if data.pictures_known != "no" else []
    if unknown:
        raise InputError(f"{recording.name}: picture {unknown[0]} is not among the data set's {len(data.pictures)} "
                         "pictures")


def _write_shard(path, data, recording, number, block, eeg):
    import pyarrow
    from datasets import ClassLabel, Features, List, Value

    features = Features({
        "eeg": List(List(Value("float32"), length=data.n_times), length=len(data.ch_names)),
        "label": ClassLabel(names=list(data.class_ids)) if data.class_ids else Value("int64"),
        "subject": Value("int32"), "session": Value("int32"), "recording": Value("int32"), "onset": Value("float64"),
        "picture": Value("string"), "part": Value("string")})
    n = len(eeg)
    columns = {"label": np.asarray(block.label, np.int64), "subject": np.full(n, recording.subject, np.int32),
               "session": np.full(n, recording.session, np.int32), "recording": np.full(n, number, np.int32),
               "onset": np.asarray(block.onset, np.float64), "picture": list(block.picture),
               "part": list(block.part) if block.part is not None else [""] * n}
    schema = features.arrow_schema
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        for start in range(0, n, BATCH_TRIALS):
            part = slice(start, start + BATCH_TRIALS)
            rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(eeg[part].reshape(-1)), data.n_times)
            rows = pyarrow.FixedSizeListArray.from_arrays(rows, len(data.ch_names))
            writer.write_batch(pyarrow.record_batch([rows, *(pyarrow.array(column[part]) for column in columns.values())],
                                                    schema=schema))


def _write_card(path, record):
    """The dataset card: its YAML head tells the Hub where the shards are."""
    trials, simulated = number_of_trials(record["recordings"]), source_of_record(record)["simulated"]
    about = record["about"]
    origin = "".join(f"\n{name.capitalize()}: {about[name]}.\n" for name in ("published", "licence") if about.get(name))
    with atomic_path(path) as temporary:
        temporary.write_text(f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: trials/*.arrow
---
# {"Simulated " if simulated else ""}EEG of people who look at pictures

{trials} trials of {len(record["ch_names"])} channels x {record["n_times"]} samples at {record["sfreq"]:g} Hz, source
`{record["source"]}`, units {record["units"]}. The split `train` above is all trials; the parts are in `splits.pth`, the
channels, classes and steps in `dataset.json`, pictures and captions in `images/`.
{origin}""", encoding="utf-8")
