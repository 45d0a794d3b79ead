"""EEG encoders: one file each, one signature: eeg [B, C, T] -> (embedding [B, E], logits [B, K])."""

from pathlib import Path

import torch
from safetensors.torch import save
from tqdm import tqdm

from checkpoints import load_strictly, read_tensors, resolve_checkpoint
from config import ChannelNetConfig, EEGEncoderConfig
from errors import InputError
from runs import atomic_path, read_json

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


def check_fits(config, trials, flag):
    """Raise InputError unless trials have the channels, length and sampling rate that an encoder was built for."""
    found = {"channels": trials.eeg.shape[1], "samples": trials.eeg.shape[2], "Hz": trials.sfreq}
    built = {"channels": config.n_chans, "samples": config.n_times, "Hz": config.sfreq}
    for what, value in built.items():
        if found[what] != value:
            raise InputError(f"{flag}: the encoder was built for {value:g} {what}, {trials.path} has {found[what]:g}; use "
                             "the window (-tl, -th) and data set that it was trained on, or train another")
    if config.ch_names and trials.ch_names and list(config.ch_names) != list(trials.ch_names):
        pairs = zip(config.ch_names, trials.ch_names, strict=True)
        differ = [f"{i}: {built} / {found}" for i, (built, found) in enumerate(pairs) if built != found]
        raise InputError(f"{flag}: channel names or order differ from {trials.path} (built for / found) {differ[:5]}; "
                         "reorder the channels")
    names = {int(label): name for label, name in (config.id2label or {}).items()}
    own = {label: name for label, name in names.items() if name not in (f"class {label}", f"LABEL_{label}")}
    differ = [f"{label}: {own[label]} / {name}" for label, name in trials.class_names.items()
              if label in own and own[label] != name]
    if differ:
        raise InputError(f"{flag}: class names differ from {trials.path} (trained / found) {differ[:5]}; the labels of the "
                         "two data sets mean different classes")


@torch.no_grad()
def encode(model, eeg, batch_size=256, device="cpu"):
    """EEG [N, C, T] -> embeddings [N, E], logits [N, K] on the CPU; evaluation mode, nothing in the model changes."""
    model = model.eval().to(device)
    batches = eeg.split(batch_size)
    outputs = [model(batch.to(device)) for batch in tqdm(batches, desc="EEG", unit="batch", disable=len(eeg) <= 1000)]
    return torch.cat([e.float().cpu() for e, _ in outputs]), torch.cat([logits.float().cpu() for _, logits in outputs])
