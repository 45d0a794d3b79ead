"""EEG encoders: one file each, one signature: eeg [B, C, T] -> (embedding [B, E], logits [B, K])."""

from pathlib import Path

from runtime import profiler
from runtime.checkpoints import load_strictly, read_tensors, resolve_checkpoint
from runtime.errors import InputError
from runtime.runs import atomic_path, read_json

import numpy as np
import torch
from safetensors.torch import save
from tqdm import tqdm

from config import ChannelNetConfig, EEGEncoderConfig
from eegdata.montage import match_channels

from .batches import VALUES, row_batches
from .channelnet import ChannelNetModel
from .transformer import EEGTransformer

ENCODERS = {"transformer": EEGTransformer, "channelnet": ChannelNetModel}
CONFIGS = {config.model_type: (config, encoder) for config, encoder in
           ((EEGEncoderConfig, EEGTransformer), (ChannelNetConfig, ChannelNetModel))}


def build_encoder(config):
    """A new encoder for a config of config.py."""
    return CONFIGS[config.model_type][1](config)


def load_encoder(name, flag="--eeg_encoder_path"):
    """Load an encoder folder of ours or of the predecessors, local or from the Hub, strictly."""
    folder = resolve_checkpoint(name, flag)
    content = read_json(folder / "config.json")
    if content.get("model_type") not in CONFIGS:
        raise InputError(f"{folder}/config.json: model_type {content.get('model_type')!r}, expected one of {list(CONFIGS)}")
    config, encoder = CONFIGS[content["model_type"]]
    model = encoder(config.from_dict(content))
    file = folder / "model.safetensors"
    load_strictly(model, read_tensors(file), file)
    return model.eval()


def save_encoder(model, folder):
    """Write config.json, with every field, and model.safetensors; an encoder there already stays whole until replaced."""
    model.config.architectures = [type(model).__name__]
    state = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    for name, content in (("model.safetensors", save(state, metadata={"format": "pt"})),
                          ("config.json", model.config.to_json_string(use_diff=False).encode())):
        with atomic_path(Path(folder) / name) as temporary:
            temporary.write_bytes(content)


def fit_to_encoder(config, trials, flag):
    """Bring trials to the channels that an encoder was built for, by name, and check the rest of what it expects.

    Where both name their channels and the names differ, `trials.eeg` and `trials.ch_names` are replaced (montage.py) and a
    line is printed on what was done. Raises InputError where channels cannot be matched, and on another length, sampling
    rate or other class names.
    """
    _check_time(config, trials, flag)
    if config.ch_names and trials.ch_names:
        _match_channels(config, trials, flag)
    elif config.ch_names or trials.ch_names:
        which = "the encoder" if config.ch_names else "the data set"
        print(f"{trials.path}: only {which} names its channels, so they are taken by position; see that the order is the "
              "same")
    if trials.eeg.shape[1] != config.n_chans:
        raise InputError(f"{flag}: the encoder was built for {config.n_chans} channels, {trials.path} has "
                         f"{trials.eeg.shape[1]} and names are missing to match them by; use the data set that it was "
                         "trained on, prepare one that names its channels, or train another encoder")
    names = {int(label): name for label, name in (config.id2label or {}).items()}
    own = {label: name for label, name in names.items() if name not in (f"class {label}", f"LABEL_{label}")}
    differ = [f"{label}: {own[label]} / {name}" for label, name in trials.class_names.items()
              if label in own and own[label] != name]
    if differ:
        raise InputError(f"{flag}: class names differ from {trials.path} (trained / found) {differ[:5]}; the labels of the "
                         "two data sets mean different classes")


def _check_time(config, trials, flag):
    if trials.sfreq != config.sfreq:
        raise InputError(f"{flag}: the encoder was built for {config.sfreq:g} Hz, {trials.path} has {trials.sfreq:g}; "
                         f"prepare the recordings again with prepare_data.py ... --resample {config.sfreq:g} (or "
                         "--match_encoder, which takes rate and channels from an encoder), or train another")
    if trials.eeg.shape[2] != config.n_times:
        raise InputError(f"{flag}: the encoder was built for {config.n_times} samples, {trials.path} has "
                         f"{trials.eeg.shape[2]}; use the window (-tl, -th) that it was trained with, prepare the "
                         "recordings again with trials of that length (prepare_data.py ... --tmax), or train another")


def _match_channels(config, trials, flag):
    if list(config.ch_names) == list(trials.ch_names):
        return
    try:
        matrix, notes = match_channels(trials.ch_names, config.ch_names, trials.record.get("positions"))
    except InputError as error:
        raise InputError(f"{flag}: the channels of {trials.path} do not fit the encoder: {error}") from None
    for note in notes:
        print(f"{trials.path}: {note}")
    if trials.record.get("scale") == "recording" and (np.count_nonzero(matrix, 1) > 1).any():
        print(f"{trials.path}: its channels were scaled one by one before this interpolation; prepare_data.py ... "
              "--match_encoder interpolates first")
    matrix = torch.from_numpy(matrix)
    trials.eeg = matrix @ trials.eeg if isinstance(trials.eeg, torch.Tensor) else trials.eeg.with_channels(matrix)
    trials.ch_names = list(config.ch_names)


@torch.no_grad()
def encode(model, eeg, rows=None, batch_size=256, device="cpu"):
    """The trials `rows` (positions [n], None: all) of eeg [N, C, T] -> embeddings [n, E], logits [n, K] float32 on the CPU.

    eeg: anything that rows index; a batch is read at a time. Evaluation mode, nothing in the model changes.
    """
    model = model.eval().to(device)
    if str(device) == "cpu":  # large batches leave its cache: 256 trials of 128 x 500 took twice the time of 4 x 64
        batch_size = min(batch_size, max(1, VALUES // (eeg.shape[1] * eeg.shape[2])))
    parts, outputs = row_batches(eeg, rows, batch_size), []
    with profiler.part("encoding EEG"):
        for part in tqdm(parts, desc="EEG", unit="batch", disable=sum(map(len, parts)) <= 1000):
            outputs.append(model(eeg[part].to(device)))
            profiler.step("EEG batch")
    return torch.cat([e.float().cpu() for e, _ in outputs]), torch.cat([logits.float().cpu() for _, logits in outputs])
