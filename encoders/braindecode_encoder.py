"""Any model of braindecode as an EEG encoder: `--encoder braindecode:EEGNet`, `braindecode:Labram` ...

The model gives `features` numbers in place of its classes, and two linear layers read them. braindecode is optional:
requirements-encoders.txt.
"""

import importlib
import inspect
import types
from pathlib import Path

from runtime.checkpoints import read_tensors
from runtime.errors import InputError
from runtime.pickles import load_state
from runtime.places import resolve_checkpoint

import torch
from torch import nn
from transformers import PreTrainedModel

from config import BraindecodeConfig
from eegdata.montage import standard_places

PREFIX = "braindecode:"


def import_models() -> types.ModuleType:
    """braindecode.models."""
    try:
        return importlib.import_module("braindecode.models")
    except ImportError as error:
        raise InputError(f"--encoder {PREFIX}...: braindecode cannot be imported ({error}); install it: pip install -r "
                         "requirements-encoders.txt") from None


class BraindecodeEncoder(PreTrainedModel):
    """eeg [B, C, T] -> embedding [B, E], logits [B, K]."""

    config_class = BraindecodeConfig
    main_input_name = "eeg"
    classifies_embedding = False

    def __init__(self, config: BraindecodeConfig) -> None:
        super().__init__(config)
        models, name = import_models(), config.network
        known = [each for each in models.__all__ if isinstance(getattr(models, each, None), type)]
        if name not in known:
            raise InputError(f"--encoder {PREFIX}{name}: no model of braindecode; expected one of {', '.join(known)}")
        self.network = _built(getattr(models, name), config)
        self.projector = nn.Linear(config.features, config.embedding_size)
        self.classifier = nn.Linear(config.features, config.num_classes)
        self.post_init()

    def _init_weights(self, module):
        """The networks' own initialisation stands."""

    def forward(self, eeg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.network(eeg.squeeze(1) if eeg.ndim == 4 else eeg, **_named(self.network, self.config))
        return self.projector(features), self.classifier(features)


def _named(network, config):
    """The channels' names for a network that asks for them with each batch, as LaBraM does."""
    asks = config.ch_names and "ch_names" in inspect.signature(network.forward).parameters
    return {"ch_names": list(config.ch_names)} if asks else {}


def _built(network, config):
    """The network, which is tried on one trial: what does not fit the EEG often shows only there."""
    try:
        made = network(n_chans=config.n_chans, n_times=config.n_times, sfreq=config.sfreq, n_outputs=config.features,
                       chs_info=_channels(config.ch_names))
        with torch.no_grad():
            shape = tuple(made.eval()(torch.zeros(2, config.n_chans, config.n_times), **_named(made, config)).shape)
    except Exception as error:  # each of some sixty models has its own way to refuse
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise InputError(f"--encoder {PREFIX}{config.network}: cannot take {config.n_chans} channels x {config.n_times} "
                         f"samples at {config.sfreq:g} Hz ({reason}); choose another model, window or sampling rate"
                         ) from None
    if shape != (2, config.features):
        raise InputError(f"--encoder {PREFIX}{config.network}: gives outputs of shape {list(shape)}, expected "
                         f"{[2, config.features]}; it is no classifier of trials, so choose another model")
    return made.train()


def _channels(ch_names):
    """Names and standard places of the channels, as MNE writes them; None where a place is not known."""
    if not ch_names:
        return None
    places = {name.upper(): place for name, place in standard_places().items()}
    if any(name.upper() not in places for name in ch_names):
        return None
    return [{"ch_name": name, "kind": 2, "loc": [*map(float, places[name.upper()]), *[0.0] * 9]} for name in ch_names]


def start_from_weights(encoder: BraindecodeEncoder, name: str) -> None:
    """Copy into the network those weights of a Hub id or folder, as braindecode publishes them, that fit by name and shape.

    Which do not is printed; InputError where none fits.
    """
    folder = resolve_checkpoint(name, "--encoder_weights")
    found = _weights(folder)
    mapping, own = encoder.network.mapping or {}, encoder.network.state_dict()
    found = {mapping.get(key, key): tensor for key, tensor in found.items()}
    fitting = {key: tensor for key, tensor in found.items() if key in own and own[key].shape == tensor.shape}
    if not any(own[key].ndim > 1 for key in fitting):
        raise InputError(f"--encoder_weights {name}: none of its {len(found)} weights fits {encoder.config.network}; "
                         "give the weights of the same model")
    encoder.network.load_state_dict(own | fitting)
    new = sorted(own.keys() - fitting.keys())
    print(f"--encoder_weights: {len(fitting)} of {len(own)} weights copied from {name}"
          + (f"; new: {', '.join(new[:8])}{' ...' if len(new) > 8 else ''}" if new else ""))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        return read_tensors(safe)
    if pickled.is_file():
        return load_state(pickled, "--encoder_weights")
    raise InputError(f"--encoder_weights {folder}: holds no model.safetensors and no pytorch_model.bin")
