"""EEG encoders, one file each, with one signature: eeg [B, C, T] -> (embedding [B, E], logits [B, K]).

Both come from linear layers, `projector` and `classifier`. `classifies_embedding` says whether the classifier reads the
embedding or, like the projector, the features before it.
"""

from collections.abc import Sequence
from pathlib import Path

from runtime import profiler
from runtime.atomic_files import atomic_path
from runtime.checkpoint_files import check_whole
from runtime.checkpoints import load_strictly, read_tensors
from runtime.config_schema import OF_ENCODERS, made_of
from runtime.errors import InputError
from runtime.places import resolve_checkpoint
from runtime.quiet import watched
from runtime.runs import read_json
from runtime.wording import counted

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from tqdm import tqdm
from transformers import PretrainedConfig, PreTrainedModel

from eegdata.montage import match_channels
from eegdata.preprocessing_schema import read_preprocessing
from eegdata.trials import Trials

from .batches import VALUES_PER_BATCH, row_batches
from .braindecode_encoder import PREFIX, BraindecodeEncoder
from .centre import centre_people
from .channelnet import ChannelNetModel
from .nice import NICEEncoder
from .transformer import EEGTransformer

ENCODERS = {"transformer": EEGTransformer, "channelnet": ChannelNetModel, "nice": NICEEncoder, "atm": NICEEncoder}
BY_MODEL_TYPE = {encoder.config_class.model_type: encoder for encoder in (*ENCODERS.values(), BraindecodeEncoder)}


def encoder_class(name: str) -> type[PreTrainedModel]:
    """The class of what --encoder names."""
    return BraindecodeEncoder if name.startswith(PREFIX) else ENCODERS[name]


def build_encoder(config: PretrainedConfig) -> PreTrainedModel:
    """A new encoder for a config of config.py."""
    return BY_MODEL_TYPE[config.model_type](config)


def load_encoder(name: str | Path, flag: str = "--eeg_encoder_path") -> PreTrainedModel:
    """Load an encoder of this project or of its predecessors from a folder or the Hub, in evaluation mode.

    flag: the option that named it, for messages. Weights that are missing, unexpected or of another shape are an
    InputError.
    """
    folder = resolve_checkpoint(name, flag)
    check_whole(folder, flag)
    file = folder / "config.json"
    content = read_json(file)
    model_type = str(content.get("model_type"))
    if model_type not in BY_MODEL_TYPE:
        raise InputError(f"{file}: model_type {model_type!r}, expected one of {list(BY_MODEL_TYPE)}; give "
                         "the folder of an encoder")
    encoder = BY_MODEL_TYPE[model_type]
    model = made_of(OF_ENCODERS[model_type], content, file, lambda: encoder(encoder.config_class.from_dict(content)))
    file = folder / "model.safetensors"
    load_strictly(model, read_tensors(file), file)
    return model.eval()


def save_encoder(model: PreTrainedModel, folder: str | Path) -> None:
    """Write config.json, with every field, and model.safetensors. A file replaces an older one only when it is complete."""
    model.config.architectures = [type(model).__name__]
    state = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    for name, content in (("model.safetensors", save(state, metadata={"format": "pt"})),
                          ("config.json", model.config.to_json_string(use_diff=False).encode())):
        with atomic_path(Path(folder) / name) as temporary:
            temporary.write_bytes(content)


def fit_to_encoder(config: PretrainedConfig, trials: Trials, flag: str) -> None:
    """Match the channels of trials to those that an encoder was trained with, centre them as it was trained, and check all
    else that the encoder expects.

    If both name their channels and the names differ, `trials.eeg` and `trials.ch_names` are replaced (eegdata/montage.py),
    and a line that says how is printed. InputError if channels cannot be matched, or if the length, the sampling rate or
    the class names differ. flag: the option that named the encoder, for messages.
    """
    _check_time(config, trials, flag)
    if config.ch_names and trials.ch_names:
        _match_channels(config, trials, flag)
    elif config.ch_names or trials.ch_names:
        which = "the encoder" if config.ch_names else "the data set"
        print(f"{trials.path}: only {which} names its channels, so they are taken by position; check that both have "
              "them in the same order")
    if trials.eeg.shape[1] != config.n_chans:
        raise InputError(f"{flag}: the encoder was built for {config.n_chans} channels, {trials.path} has "
                         f"{trials.eeg.shape[1]}, and without channel names they cannot be matched; use the data set that "
                         "the encoder was trained on, prepare one that names its channels, or train another encoder")
    kinds = ["several" if config.several_classes else "one" if config.num_classes else "none", trials.classes]
    if kinds[0] not in ("none", kinds[1]):  # an encoder may have learned no classes where there are some
        had, has = ({"none": "no class", "one": "one class", "several": "several classes"}[kind] for kind in kinds)
        raise InputError(f"{flag}: the encoder was trained on pictures with {had}, those of {trials.path} have {has}; use "
                         "the data set that it was trained on, or train another encoder")
    names = {int(label): name for label, name in (config.id2label or {}).items()}
    trained = {label: name for label, name in names.items() if name not in (f"class {label}", f"LABEL_{label}")}
    differ = [f"{label}: {trained[label]} / {name}" for label, name in trials.class_names.items()
              if label in trained and trained[label] != name]
    if differ:
        raise InputError(f"{flag}: class names differ from {trials.path} (trained / found) {differ[:5]}; the labels of the "
                         "two data sets mean different classes, so use the data set that the encoder was trained on")
    if config.centre == "subject":
        centre_people(trials)


def name_all_classes(config: PretrainedConfig, trials: Trials) -> None:
    """Make the classes that only the encoder knows classes of the trials, too: it may predict them, and its logits have a
    place for each."""
    names = {int(label): name for label, name in (config.id2label or {}).items()}
    absent = range(len(trials.class_names), config.num_classes)
    trials.class_names = trials.class_names | {label: names.get(label, f"class {label}") for label in absent}
    if trials.objects is not None:
        trials.objects = nn.functional.pad(trials.objects, (0, len(absent)))


def _check_time(config, trials, flag):
    if trials.sfreq != config.sfreq:
        raise InputError(f"{flag}: the encoder was built for {config.sfreq:g} Hz, {trials.path} has {trials.sfreq:g}; "
                         f"prepare the recordings again with prepare_data.py ... --resample {config.sfreq:g} (or "
                         "--match_encoder, which takes rate and channels from an encoder), or train another encoder")
    if trials.eeg.shape[2] != config.n_times:
        raise InputError(f"{flag}: the encoder was built for {config.n_times} samples, {trials.path} has "
                         f"{trials.eeg.shape[2]}; use the window (-tl, -th) that it was trained with, prepare the "
                         "recordings again with trials of that length (prepare_data.py ... --tmax), or train another "
                         "encoder")
    if config.preprocessing and trials.preprocessing:
        trained, found = (read_preprocessing(kept, where).start / config.sfreq for kept, where in (
            (config.preprocessing, "config.json"), (trials.preprocessing, trials.path)))
        if trained != found:  # a window of the same length elsewhere
            raise InputError(f"{flag}: the encoder takes trials that begin {trained:g} s from the onset, those of "
                             f"{trials.path} begin {found:g} s from it; use the window (-tl, -th) that it was trained with")


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
        print(f"{trials.path}: each channel was scaled before this interpolation; prepare_data.py ... --match_encoder "
              "interpolates first")
    matrix = torch.from_numpy(matrix)
    trials.eeg = matrix @ trials.eeg if isinstance(trials.eeg, torch.Tensor) else trials.eeg.with_channels(matrix)
    trials.ch_names = list(config.ch_names)


@torch.no_grad()
def encode(model: nn.Module, eeg: torch.Tensor, rows: Sequence[int] | None = None, batch_size: int = 256,
           device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """The trials `rows` (positions [n], None: all) of eeg [N, C, T] -> embeddings [n, E], logits [n, K] float32 on the CPU.

    eeg may also be a MappedEEG; a batch is read at a time. The model is put in evaluation mode and does not change.
    InputError where its outputs are no numbers: scores would count a NaN as the best of all.
    """
    model = model.eval().to(device)
    if str(device) == "cpu":  # large batches leave its cache: 256 trials of 128 x 500 took twice the time of 4 x 64
        batch_size = min(batch_size, max(1, VALUES_PER_BATCH // (eeg.shape[1] * eeg.shape[2])))
    parts, outputs = row_batches(eeg, rows, batch_size), []
    with profiler.part("encoding EEG"):
        for part in tqdm(parts, desc="EEG", unit="batch", disable=sum(map(len, parts)) <= 1000 or not watched()):
            outputs.append(model(eeg[part].to(device)))
            profiler.step("EEG batch")
    embeddings, logits = (torch.cat([part.float().cpu() for part in each]) for each in zip(*outputs, strict=True))
    wrong = (~torch.isfinite(torch.cat([embeddings, logits], 1)).all(1)).nonzero()[:, 0]
    if len(wrong):
        first = torch.cat(parts)[wrong[0]]
        raise InputError(f"the encoder gives NaN or infinite numbers for {counted(len(wrong), 'trial')} of {len(logits)}: "
                         f"the values of the first reach {eeg[first[None]].abs().max():.2g}; leave such trials out, or "
                         "scale the EEG as that which the encoder was trained on")
    return embeddings, logits
