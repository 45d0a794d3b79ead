"""The default EEG encoder: spatio-temporal patches, then a transformer over time.

As in EEG-Conformer (Song et al. 2023), learned spatial filters are followed by filters in time, and each patch of time
becomes a token. Evoked responses are weak compared with the background EEG, so three things differ. The channels are
whitened first, as the background is strongly correlated across the scalp. Nothing before the transformer is nonlinear. The
residual branches of the transformer start at zero, so that training starts from a linear decoder. On simulated EEG each of
the three raised the accuracy on unseen pictures after the same number of steps (one seed each).

On real EEG with few trials simple linear decoders are better than any of this, so two of them stand beside the transformer
(encoders/branches.py).
"""

from collections.abc import Sequence

from runtime.errors import InputError

import torch
from torch import nn
from transformers import PreTrainedModel

from config import EEGEncoderConfig

from .batches import row_batches
from .linear_branch import LinearBranch, window_samples
from .tangent_branch import TangentBranch


class PatchEmbedding(nn.Module):
    """eeg [B, C, T] -> tokens [B, P, d_model], P = T // patch_size; samples after the last full patch are not used.

    Whitening and spatial filters are both linear, so they are multiplied first and applied as one matrix. They stay in
    float32 under autocast: whitening amplifies small differences between correlated channels, and would amplify the
    rounding errors of bfloat16.
    """

    def __init__(self, config: EEGEncoderConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(config.n_chans, 1))
        self.register_buffer("whitening", torch.eye(config.n_chans))
        self.spatial = nn.Conv1d(config.n_chans, config.spatial_filters, 1, bias=False)
        self.temporal = nn.Conv1d(config.spatial_filters, config.d_model, config.patch_size, stride=config.patch_size)
        nn.init.orthogonal_(self.spatial.weight)
        nn.init.orthogonal_(self.temporal.weight)

    def forward(self, eeg: torch.Tensor) -> torch.Tensor:
        with torch.autocast(eeg.device.type, enabled=False):
            filtered = nn.functional.conv1d(eeg - self.mean, (self.spatial.weight[:, :, 0] @ self.whitening)[:, :, None])
        return self.temporal(filtered).transpose(1, 2)


def mean_and_covariance(eeg: torch.Tensor, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean [C] and covariance [C, C] float64 of the channels over time and the trials `rows` (None: all) of eeg [N, C, T].

    A batch is read at a time. Each is centred by its own mean before they are merged (Chan, Golub and LeVeque 1983), so
    that a large mean does not cost precision. InputError where the covariance is 0 or overflows.
    """
    count, mean, scatter = 0, torch.zeros(eeg.shape[1], dtype=torch.float64), 0.
    for part in row_batches(eeg, rows):
        trials = eeg[part]
        own, n = trials.mean((0, 2)), trials.shape[0] * trials.shape[2]
        trials -= own[:, None]
        difference = own.double().cpu() - mean
        scatter = scatter + torch.bmm(trials, trials.transpose(1, 2)).sum(0, dtype=torch.float64).cpu()
        scatter += torch.outer(difference, difference) * (count * n / (count + n))
        count += n
        mean += difference * (n / count)
    if not torch.isfinite(scatter).all() or scatter.trace() <= 0:
        raise InputError("the covariance of the trials to train on is not usable: they are constant, or too large for "
                         "float32; scale the EEG to about unit variance")
    return mean, scatter / count


class EEGTransformer(PreTrainedModel):
    """eeg [B, C, T] or [B, 1, C, T] -> embedding [B, E], logits [B, K].

    Where the config names branches, both are sums over the branches that have a share.
    """

    config_class = EEGEncoderConfig
    main_input_name = "eeg"
    classifies_embedding = False

    def __init__(self, config: EEGEncoderConfig) -> None:
        super().__init__(config)
        if config.d_model % config.attn_heads:
            raise InputError(f"--d_model {config.d_model} is not a multiple of --attn_heads {config.attn_heads}; change "
                             "one of them")
        patches = config.n_times // config.patch_size
        if not patches:
            raise InputError(f"--patch_size {config.patch_size} is longer than the trials of {config.n_times} samples; "
                             "give a smaller one")
        self.patches = PatchEmbedding(config)
        self.position = nn.Parameter(torch.randn(1, patches, config.d_model) * 0.02)
        layer = nn.TransformerEncoderLayer(config.d_model, config.attn_heads, 4 * config.d_model, config.dropout,
                                           activation="gelu", batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(config.d_model),
                                                 enable_nested_tensor=False)
        for block in self.transformer.layers:
            for last in (block.self_attn.out_proj, block.linear2):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        self.pool = nn.Linear(patches * config.d_model, 2 * config.d_model)  # evoked responses are time-locked
        self.dropout = nn.Dropout(config.dropout)
        self.projector = nn.Linear(2 * config.d_model, config.embedding_size)
        self.classifier = nn.Linear(2 * config.d_model, config.num_classes)
        self.linear = self.tangent = None
        if config.branches:
            self.add_branches()
        self.post_init()

    def add_branches(self) -> None:
        """Make the modules of the branches that the config names; what they hold is fitted or loaded then."""
        config = self.config
        self.linear = LinearBranch(config.n_chans, config.n_times, window_samples(config.sfreq, config.n_times),
                                   config.num_classes, config.embedding_size).to(self.device)
        if config.branches["tangent"]["logits"]:
            self.tangent = TangentBranch(config.n_chans, config.n_times, config.num_classes).to(self.device)

    def _init_weights(self, module):
        """The initialisation above stands."""

    @torch.no_grad()
    def fit_whitening(self, eeg: torch.Tensor, rows: Sequence[int] | None = None, shrinkage: float = 0.01) -> None:
        """Set channel means and ZCA whitening from the training trials `rows` (positions, None: all) of eeg [N, C, T].

        eeg may also be a MappedEEG; a batch is read at a time. shrinkage (0..1): weight of a multiple of the identity in
        the covariance, which is singular where channels were interpolated or have an average reference.
        """
        mean, covariance = mean_and_covariance(eeg, rows)
        power = covariance.diagonal().mean()
        covariance = (1 - shrinkage) * covariance + shrinkage * power * torch.eye(len(covariance))
        values, vectors = torch.linalg.eigh(covariance)
        self.patches.mean.copy_(mean[:, None])
        self.patches.whitening.copy_(vectors * values.rsqrt() @ vectors.T)

    def tokens(self, eeg: torch.Tensor) -> torch.Tensor:
        """eeg [B, C, T] -> tokens [B, P, d_model] before the transformer."""
        return self.patches(eeg) + self.position

    def forward(self, eeg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if eeg.ndim == 4:
            eeg = eeg.squeeze(1)
        embedding, logits = self.from_tokens(eeg)
        if self.linear is None:
            return embedding, logits
        with torch.autocast(eeg.device.type, enabled=False):
            linear_embedding, linear_logits = self.linear(eeg.float())
            embedding, logits = embedding + linear_embedding, logits + linear_logits
            return embedding, logits if self.tangent is None else logits + self.tangent(eeg)

    def from_tokens(self, eeg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The transformer's own embedding [B, E] and logits [B, K]."""
        pooled = self.pool(self.dropout(self.transformer(self.tokens(eeg)).flatten(1)))
        features = self.dropout(nn.functional.gelu(pooled))
        return self.projector(features), self.classifier(features)
