"""Self-supervised pretraining of the transformer encoder: hide patches of the EEG, reconstruct them (He et al. 2022)."""

from runtime.errors import InputError

import torch
from torch import nn


class MaskedReconstruction(nn.Module):
    """Hides a share of each trial's patches and predicts their samples, standardised per channel, by MSE.

    The hidden patches are zero in the input as well, so that nothing of them reaches the tokens beside them.
    """

    def __init__(self, encoder, mask_ratio=0.5):
        super().__init__()
        config = encoder.config
        if config.n_times < 2 * config.patch_size:
            raise InputError(f"--patch_size {config.patch_size}: trials of {config.n_times} samples hold fewer than two "
                             "patches, so none can be told from another; give a shorter one")
        self.encoder, self.mask_ratio, self.patch = encoder, mask_ratio, config.patch_size
        self.mask_token = nn.Parameter(torch.randn(config.d_model) * 0.02)
        self.head = nn.Linear(config.d_model, config.n_chans * config.patch_size)

    def forward(self, eeg):
        patches = eeg[:, :, :eeg.shape[2] // self.patch * self.patch].unflatten(2, (-1, self.patch))  # [B, C, P, S]
        hidden = self._mask(eeg.shape[0], patches.shape[2], eeg.device)
        visible = patches.masked_fill(hidden[:, None, :, None], 0).flatten(2)
        tokens = torch.where(hidden[..., None], self.mask_token + self.encoder.position, self.encoder.tokens(visible))
        predicted = self.head(self.encoder.transformer(tokens))  # [B, P, C * S]
        scale = eeg.std((0, 2), keepdim=True).clamp_min(1e-6)[..., None]
        truth = (patches / scale).transpose(1, 2).flatten(2)
        return {"loss": (predicted - truth)[hidden].square().mean()}

    def _mask(self, trials, patches, device):
        """[trials, patches] bool with equally many hidden in each; at least one is hidden and one visible."""
        count = min(max(round(self.mask_ratio * patches), 1), patches - 1)
        generator = None if self.training else torch.Generator(device).manual_seed(0)  # one mask for all validations
        order = torch.rand(trials, patches, device=device, generator=generator).argsort(1)
        return order < count


def transfer_weights(source, target):
    """Copy from encoder `source` to `target` what means the same in both; returns (copied, left) weight names.

    What depends on the electrodes (whitening, spatial filters) is copied between equal, named channels only, the heads
    never; everything else where its shape is the same.
    """
    electrodes = source.config.ch_names and source.config.ch_names == target.config.ch_names
    known, copied, left = source.state_dict(), [], []
    for name, tensor in target.state_dict().items():
        apt = not name.startswith(("pool.", "projector.", "classifier."))
        if name.startswith(("patches.mean", "patches.whitening", "patches.spatial")):
            apt = apt and electrodes
        if apt and name in known and known[name].shape == tensor.shape:
            tensor.copy_(known[name])
            copied.append(name)
        else:
            left.append(name)
    return copied, left
