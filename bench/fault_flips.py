"""Flip single bits of the files that the stages write, for bench.faults: each flip is noticed, or changes nothing that is
read. A kind of file is a Reader (see fault_readers) that compares what is read with what the whole file gave.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runtime.checkpoint_files import PLACES
from runtime.errors import InputError
from runtime.interrupted import COMPLETE_MARK, complete_checkpoints
from runtime.model_files import OF_A_COPY
from runtime.runs import read_json, read_run
from runtime.trainer_state import STATE

import torch

from audit.page import made_of, read_audit
from bench.fault_readers import Reader
from bench.fault_stages import OPTIONS
from bench.mutations import flipped
from captioning.captioner import Captioner
from captioning.training import kept_log
from datautils import _read_rows
from eegdata.splits import load_split
from eegdata.trials import load_trials
from encoders import load_encoder
from encoders.training import checkpoint_of
from evaluation.provenance import read_records
from evaluation.studies import group
from metrics.caption_files import read_captions


class Noticed(InputError):
    """Damage of which the program tells without an end."""


def kinds(made: Path) -> dict[str, Reader]:
    """Readers of one flipped bit in each kind of file; made: see fault_stages.make."""
    encoder, captioner, captions = made / "encoder", made / "captioner", made / "results"
    found, newest = {}, complete_checkpoints(made / "checkpoints")[-1]
    for folder, use, names in (
            (made / "data", of_data, ("dataset.json", "trials/*.arrow", "splits.pth")),
            (made / "data", of_audit, ("audit.json",)),
            (encoder, of_encoder, ("config.json", "model.safetensors", "args.json", "train_images.json",
                                   "val_images.json")),
            (captioner, of_captioner, ("config.json", "projector.safetensors", "adapter/*.safetensors", "args.json",
                                       "adapter/adapter_config.json", "tokenizer.json", "tokenizer_config.json",
                                       "train_images.json", "eeg_encoder/config.json", "eeg_encoder/model.safetensors")),
            (captions, of_captions, ("captions.csv", "captions.csv.json")),
            (made / "stage2", of_stage2, ("stage2.json", "*.safetensors", "adapter/*")),
            (made / "embeddings", of_embeddings, ("*.safetensors",)),
            (made / "checkpoints", of_checkpoint, (f"{newest.name}/*", "key.json"))):
        for pattern in names:
            for file in sorted(folder.glob(pattern)):
                if file.stat().st_size:
                    name = file.relative_to(folder).as_posix()
                    found[f"{folder.name}: {name}"] = _kind(folder, name, use)
    return found


def _kind(folder: Path, name: str, use: Callable[[Path], dict]) -> Reader:
    content, whole = (folder / name).read_bytes(), use(folder)

    def read(at):
        found = use(at)
        changed = [key for key, value in whole.items() if found.get(key) != value]
        return f"other {', '.join(changed)}" if changed else ""

    return Reader(lambda draw: {name: flipped(content, draw)}, read, folder)


def of_data(folder: Path) -> dict[str, object]:
    """All that is read of a data set folder."""
    trials = load_trials(folder)
    split = load_split(folder / "splits.pth", trials, needed=("train",))
    return {**trials.record, "eeg": trials.eeg[torch.arange(len(trials))].numpy().tobytes(),
            "labels": trials.label.tolist(), "split": {part: rows.tolist() for part, rows in split.items()}}


def of_audit(folder: Path) -> dict[str, object]:
    """The findings of an audit that a report shows. Noticed where it counts as one of other data."""
    findings = read_audit(folder / "audit.json", made_of(load_trials(folder), folder / "splits.pth", 0))
    if findings is None:
        raise Noticed("the audit is of other data")
    return {"findings": findings}


def of_run(folder: Path) -> dict[str, object]:
    """All that is read of a training's records."""
    content, _ = read_run(folder)
    return {**content, "records": read_records(folder)}


def of_encoder(folder: Path) -> dict[str, object]:
    """All that is read of an encoder's folder."""
    model = load_encoder(folder)
    weights = {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}
    return {**of_run(folder), **model.config.to_dict(), "weights": weights}


def of_captioner(folder: Path) -> dict[str, object]:
    """All that is read of a captioner's folder."""
    captioner = Captioner(folder, "cpu")
    weights = {name: tensor.float().numpy().tobytes() for name, tensor in captioner.model.state_dict().items()}
    config = {key: value for key, value in captioner.model.config.to_dict().items() if key not in PLACES + OF_A_COPY}
    return {**of_run(folder), "weights": weights, "config": config,
            "tokenizer": captioner.tokenizer.backend_tokenizer.to_str(), "names": captioner.class_names}


def of_captions(folder: Path) -> dict[str, object]:
    """All that is read of a caption file and its record; Noticed where the report would tell of other captions."""
    captions = read_captions(folder / "captions.csv")
    (study,) = group([captions])
    text = " ".join(doubt["text"] for doubt in study.doubts)
    if "changed" in text or "no record" in text or "lack" in text:
        raise Noticed(text)
    return {"table": captions.table.to_dict(), "record": captions.record, "doubts": text}


def of_stage2(folder: Path) -> dict[str, object]:
    """The log of a kept stage 2; the hashes of its files tell of damage before one is read."""
    return {"log": kept_log(folder), **{path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}}


def of_embeddings(folder: Path) -> dict[str, object]:
    """The cached embeddings of pictures, by the hash of the picture."""
    return {name: row.tolist() for file in folder.iterdir() for name, row in _read_rows(file).items()}


def of_checkpoint(folder: Path) -> dict[str, object]:
    """What a training goes on from; the hashes of its files tell of damage before one is read."""
    checkpoint = Path(checkpoint_of(folder, OPTIONS, True))
    state = read_json(checkpoint / STATE)
    return {path.name: path.read_bytes() for path in checkpoint.iterdir() if path.name not in (STATE, COMPLETE_MARK)} | {
        "state": state | {"best_model_checkpoint": Path(state["best_model_checkpoint"]).name}, "step": checkpoint.name}
