"""The convolutional encoder of NICE (Song et al., ICLR 2024, arXiv 2308.13234), which ATM and many later models keep.

A convolution over time, one over all channels, and a residual layer. The layers and their sizes are those of the paper. Its
spans of 25, 51 and 5 samples at 250 Hz are kept in seconds, so that other sampling rates see the same time.
"""

from runtime.errors import InputError

import torch
from torch import nn
from transformers import PreTrainedModel

from config import NICEConfig

KERNEL_SECONDS, POOL_SECONDS, STRIDE_SECONDS = .1, .204, .02
DROPOUT = .5


class ResidualLayer(nn.Module):
    """x + layers(x), normalised."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.GELU(), nn.Linear(size, size), nn.Dropout(DROPOUT))
        self.norm = nn.LayerNorm(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.layers(x))


class NICEEncoder(PreTrainedModel):
    """eeg [B, C, T] -> embedding [B, E], logits [B, K].

    The paper matches the normalised output of the residual layer to the picture's embedding. Here a linear layer follows,
    as in all encoders of this project.
    """

    config_class = NICEConfig
    main_input_name = "eeg"
    classifies_embedding = False

    def __init__(self, config: NICEConfig) -> None:
        super().__init__(config)
        kernel, pool, stride = (max(1, round(seconds * config.sfreq))
                                for seconds in (KERNEL_SECONDS, POOL_SECONDS, STRIDE_SECONDS))
        steps = (config.n_times - kernel + 1 - pool) // stride + 1
        if steps < 1:
            raise InputError(f"--encoder nice: {config.n_times} samples at {config.sfreq:g} Hz are too few, expected at "
                             f"least {kernel + pool - 1}; use --encoder transformer, or a longer window")
        filters, size = config.filters, config.embedding_size
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, filters, (1, kernel)), nn.AvgPool2d((1, pool), (1, stride)), nn.BatchNorm2d(filters), nn.ELU(),
            nn.Conv2d(filters, filters, (config.n_chans, 1)), nn.BatchNorm2d(filters), nn.ELU(),
            nn.Dropout(DROPOUT), nn.Conv2d(filters, filters, 1), nn.Flatten())
        self.residual = nn.Sequential(nn.Linear(filters * steps, size), ResidualLayer(size))
        self.projector = nn.Linear(size, size)
        self.classifier = nn.Linear(size, config.num_classes)
        self.post_init()

    def _init_weights(self, module):
        """PyTorch's own initialisation stands, as in the published training."""

    def forward(self, eeg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.residual(self.convolutions(eeg.unsqueeze(1) if eeg.ndim == 3 else eeg))
        return self.projector(features), self.classifier(features)
