"""The default EEG encoder: spatio-temporal patches, then a transformer over time.

As in ShallowConvNet (Schirrmeister et al. 2017) and EEG-Conformer (Song et al. 2023), learned mixtures of the channels
are filtered in time and cut into patches, one token each. Two things differ, because evoked responses are weak: the
channels are whitened first (background EEG is strongly correlated across the scalp), and nothing before the transformer
is nonlinear. On simulated EEG of low SNR the encoder learns nothing useful without the second and far less without the
first.
"""

import torch
from torch import nn

import torchvision_cpu  # noqa: F401
from transformers import PreTrainedModel

from config import EEGEncoderConfig
from errors import InputError


class PatchEmbedding(nn.Module):
    """eeg [B, C, T] -> tokens [B, P, d_model], P = T // patch_size; samples after the last whole patch are not read."""

    def __init__(self, config):
        super().__init__()
        filters, patch = config.spatial_filters, config.patch_size
        self.register_buffer("mean", torch.zeros(config.n_chans, 1))
        self.register_buffer("whitening", torch.eye(config.n_chans))
        self.spatial = nn.Conv1d(config.n_chans, filters, 1, bias=False)
        self.temporal = nn.Conv1d(filters, filters, 2 * (patch // 2) + 1, padding=patch // 2, groups=filters, bias=False)
        self.patch = nn.Conv1d(filters, config.d_model, patch, stride=patch)

    def forward(self, eeg):
        white = torch.matmul(self.whitening, eeg - self.mean)
        return self.patch(self.temporal(self.spatial(white))).transpose(1, 2)


class EEGTransformer(PreTrainedModel):
    """eeg [B, C, T] or [B, 1, C, T] -> embedding [B, E], logits [B, K]."""

    config_class = EEGEncoderConfig
    main_input_name = "eeg"

    def __init__(self, config):
        super().__init__(config)
        if config.d_model % config.attn_heads:
            raise InputError(f"--d_model {config.d_model} is not a multiple of --attn_heads {config.attn_heads}")
        patches = config.n_times // config.patch_size
        if not patches:
            raise InputError(f"--patch_size {config.patch_size} is longer than the trials of {config.n_times} samples")
        self.patches = PatchEmbedding(config)
        self.position = nn.Parameter(torch.randn(1, patches, config.d_model) * 0.02)
        layer = nn.TransformerEncoderLayer(config.d_model, config.attn_heads, 4 * config.d_model, config.dropout,
                                           activation="gelu", batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(config.d_model),
                                                 enable_nested_tensor=False)
        self.pool = nn.Linear(patches * config.d_model, 2 * config.d_model)  # evoked responses are time-locked
        self.dropout = nn.Dropout(config.dropout)
        self.projector = nn.Linear(2 * config.d_model, config.embedding_size)
        self.classifier = nn.Linear(2 * config.d_model, config.num_classes)
        self.post_init()

    def _init_weights(self, module):
        """PyTorch's own initialisation stands."""

    @torch.no_grad()
    def fit_whitening(self, eeg, shrinkage=0.05):
        """Set channel means and ZCA whitening from training trials [N, C, T]; `shrinkage` (0..1) towards no mixing."""
        self.patches.mean.copy_(eeg.mean((0, 2))[:, None])
        centred = eeg - self.patches.mean.to(eeg)
        covariance = torch.einsum("nct,ndt->cd", centred, centred).double() / (eeg.shape[0] * eeg.shape[2])
        covariance = (1 - shrinkage) * covariance + shrinkage * torch.eye(len(covariance)) * covariance.trace() / len(covariance)
        values, vectors = torch.linalg.eigh(covariance)
        self.patches.whitening.copy_(vectors * values.rsqrt() @ vectors.T)

    def tokens(self, eeg):
        """eeg [B, C, T] -> tokens [B, P, d_model] before the transformer."""
        return self.patches(eeg) + self.position

    def forward(self, eeg):
        if eeg.ndim == 4:
            eeg = eeg.squeeze(1)
        pooled = self.pool(self.dropout(self.transformer(self.tokens(eeg)).flatten(1)))
        features = self.dropout(nn.functional.gelu(pooled))
        return self.projector(features), self.classifier(features)
