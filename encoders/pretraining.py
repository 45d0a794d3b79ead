"""Self-supervised pretraining of the transformer encoder: patches of the EEG are hidden and reconstructed.

The method is that of masked autoencoders (He et al. 2022, arXiv 2111.06377).
"""

import math
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError
from runtime.pickles import brief, load_hashed

import torch
from torch import nn
from transformers import TrainingArguments

from eegdata.dataset_folder import MappedEEG

from .batches import row_batches
from .targets import FLAT
from .training import fit, gather, place
from .transformer import EEGTransformer

SAME_UNIT = 5.  # EEG of this many times the amplitude is in another unit


@dataclass(frozen=True)
class PretrainingData:
    """Unlabelled trials [N, C, T] float32 to train and to validate on, the SHA-256 of their files by part, and the names of
    their channels and their rate in Hz, None where the files do not say."""

    train: torch.Tensor
    val: torch.Tensor
    hashes: dict[str, str]
    channels: list[str] | None = None
    sfreq: float | None = None


def has_pretraining_data(folder: str | Path) -> bool:
    """Whether a folder holds the files of pretrain_data_processor.py; an encoder folder does not."""
    return (Path(folder) / "train.pt").is_file()


def read_pretraining_data(folder: str | Path) -> PretrainingData:
    """Read train.pt and val.pt of pretrain_data_processor.py; a file that cannot be used is an InputError."""
    (train, train_hash, told, run), (val, val_hash, of_val, run_of_val) = (
        _read_samples(Path(folder) / f"{part}.pt") for part in ("train", "val"))
    if run != run_of_val:
        raise InputError(f"--pretrained {folder}: train.pt and val.pt are of two runs of pretrain_data_processor.py, as "
                         "where one was stopped while it wrote them, so they may share recordings; run it again")
    if val.shape[1:] != train.shape[1:]:
        raise InputError(f"--pretrained {folder}: val.pt has trials of {tuple(val.shape[1:])}, train.pt of "
                         f"{tuple(train.shape[1:])} (channels, samples); make both in one run of "
                         "pretrain_data_processor.py")
    if told != of_val:
        raise InputError(f"--pretrained {folder}: val.pt is of {of_val}, train.pt of {told} (channels, sampling rate); "
                         "make both in one run of pretrain_data_processor.py")
    return PretrainingData(train, val, {"train": train_hash, "val": val_hash}, *told)


def _read_samples(path):
    """`samples` [N, C, T] float32 of one file, the file's SHA-256, (channels, sfreq), and which run of
    pretrain_data_processor.py wrote it, None where it does not say."""
    content, digest = load_hashed(path, "--pretrained")
    samples = content.get("samples") if isinstance(content, dict) else None
    if (not isinstance(samples, torch.Tensor) or samples.ndim != 3 or not samples.numel()
            or not all(samples[rows].isfinite().all() for rows in row_batches(samples))):
        raise InputError(f"--pretrained {path}: expected a dict with 'samples', a finite tensor [trials, channels, "
                         "samples]; make it with pretrain_data_processor.py")
    channels, sfreq = content.get("channels"), content.get("sfreq")
    count = samples.shape[1]
    if channels is not None and not (isinstance(channels, list | tuple) and len(channels) == count
                                     == len({str(name) for name in channels})):
        raise InputError(f"--pretrained {path}: 'channels' is {brief(channels)}, expected {count} different names, one for "
                         "each channel of 'samples'; correct or remove it")
    if sfreq is not None and (isinstance(sfreq, bool) or not isinstance(sfreq, int | float) or not 0 < sfreq < math.inf):
        raise InputError(f"--pretrained {path}: 'sfreq' is {brief(sfreq)}, expected the sampling rate in Hz; correct or "
                         "remove it")
    told = channels and list(map(str, channels)), sfreq and float(sfreq)
    return samples.float(), digest, told, str(content.get("run"))


def pretrain(encoder: EEGTransformer, data: PretrainingData, mask_ratio: float, arguments: TrainingArguments,
             **fit_options: object) -> list[dict]:
    """Whiten `encoder` by the training trials and train it by masked reconstruction; it keeps the best epoch's weights.

    mask_ratio: share of the patches to hide; fit_options: as training.fit takes them. Returns the log of the training.
    """
    count, total = len(data.train), len(data.train) + len(data.val)
    stored = MappedEEG([data.train.numpy(), data.val.numpy()], 0, data.train.shape[2])
    eeg = place(stored, torch.arange(total), arguments)
    rows = {"train": torch.arange(count), "val": torch.arange(count, total)}
    encoder.fit_whitening(eeg, rows["train"])
    return fit(MaskedReconstruction(encoder, mask_ratio), gather({"eeg": eeg}), rows, arguments, **fit_options)


class MaskedReconstruction(nn.Module):
    """Hides a share of the patches of each trial and predicts their samples, standardised per channel. The loss is MSE.

    The hidden patches are zero in the input as well, so that nothing of them reaches the neighbouring tokens.
    """

    def __init__(self, encoder: EEGTransformer, mask_ratio: float = 0.5) -> None:
        super().__init__()
        config = encoder.config
        if config.n_times < 2 * config.patch_size:
            raise InputError(f"--patch_size {config.patch_size}: trials of {config.n_times} samples hold fewer than two "
                             "patches, and pretraining predicts one patch from others; give a smaller --patch_size")
        self.encoder, self.mask_ratio, self.patch = encoder, mask_ratio, config.patch_size
        self.mask_token = nn.Parameter(torch.randn(config.d_model) * 0.02)
        self.head = nn.Linear(config.d_model, config.n_chans * config.patch_size)

    def forward(self, eeg: torch.Tensor) -> dict[str, torch.Tensor]:
        patches = eeg[:, :, :eeg.shape[2] // self.patch * self.patch].unflatten(2, (-1, self.patch))  # [B, C, P, S]
        hidden = self._mask(eeg.shape[0], patches.shape[2], eeg.device)
        visible = patches.masked_fill(hidden[:, None, :, None], 0).flatten(2)
        tokens = torch.where(hidden[..., None], self.mask_token + self.encoder.position, self.encoder.tokens(visible))
        predicted = self.head(self.encoder.transformer(tokens))  # [B, P, C * S]
        scale = eeg.std((0, 2), keepdim=True)
        scale = scale.clamp_min((FLAT * scale.max()).clamp_min(torch.finfo(scale.dtype).tiny))[..., None]
        truth = (patches / scale).transpose(1, 2).flatten(2)
        return {"loss": (predicted - truth)[hidden].square().mean()}

    def _mask(self, trials, patches, device):
        """[trials, patches] bool with equally many hidden in each; at least one is hidden and one visible."""
        count = min(max(round(self.mask_ratio * patches), 1), patches - 1)
        generator = None if self.training else torch.Generator(device).manual_seed(0)  # the same mask in each validation
        order = torch.rand(trials, patches, device=device, generator=generator).argsort(1)
        return order < count


def transfer_weights(source: nn.Module, target: nn.Module) -> tuple[list[str], list[str]]:
    """Copy from encoder `source` to `target` the weights that mean the same in both; returns (copied, left) names.

    Weights that depend on the electrodes (whitening, spatial filters) are copied only if both encoders name the same
    channels. The heads are never copied. All other weights are copied where their shape is the same.
    """
    same_channels = source.config.ch_names and source.config.ch_names == target.config.ch_names
    available, copied, left = source.state_dict(), [], []
    for name, tensor in target.state_dict().items():
        transferable = not name.startswith(("pool.", "projector.", "classifier."))
        if name.startswith(("patches.mean", "patches.whitening", "patches.spatial")):
            transferable = transferable and same_channels
        if transferable and name in available and available[name].shape == tensor.shape:
            tensor.copy_(available[name])
            copied.append(name)
        else:
            left.append(name)
    return copied, left


def start_from(source: nn.Module, target: nn.Module, name: str) -> None:
    """transfer_weights between encoders of the same type; prints which, and adapts a copied whitening to EEG in another
    unit. name: what --pretrained gives, for messages.

    InputError where no weight fits, as the training would then start from nothing.
    """
    if source.config.model_type != target.config.model_type:
        raise InputError(f"--pretrained {name}: holds an encoder of type {source.config.model_type}, expected "
                         f"{target.config.model_type}; name another folder")
    own = target.patches.mean.clone(), target.patches.whitening.clone()
    copied, left = transfer_weights(source, target)
    if not copied:
        sizes = " ".join(f"--{size} {getattr(source.config, size)}" for size in ("d_model", "attn_heads", "layers"))
        raise InputError(f"--pretrained {name}: none of its weights fits an encoder of --d_model {target.config.d_model}; "
                         f"give the sizes that it was pretrained with, {sizes}, or leave --pretrained out")
    print(f"--pretrained: {len(copied)} weights were copied: {', '.join(copied)}")
    print(f"--pretrained: {len(left)} weights start untrained: {', '.join(left)}")
    if "patches.whitening" in copied:
        _to_own_amplitude(target, *own, name)


def _to_own_amplitude(target, mean, whitening, name):
    """Rescale a whitening that was copied from EEG of another unit; mean, whitening: as fitted to the trials to train on.

    Whitened as volts, EEG in microvolts would enter the transformer a million times too large.
    """
    ratio = _amplitude(whitening) / _amplitude(target.patches.whitening)
    if 1 / SAME_UNIT <= ratio <= SAME_UNIT:  # people and caps differ by less
        return
    target.patches.mean.copy_(mean)
    target.patches.whitening.div_(ratio)
    print(f"note: --pretrained {name}: the trials to train on have {ratio:.2g} times the amplitude of those that it was "
          "trained on, as in another unit or standardised; its whitening is adapted to that")


def _amplitude(whitening):
    """Root mean square of the channels to which a ZCA whitening [C, C] was fitted; shrinkage keeps their mean power."""
    return torch.linalg.eigvalsh(whitening.double()).pow(-2).mean().sqrt().item()
