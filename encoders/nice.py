"""The convolutional encoder of NICE (Song et al., ICLR 2024, arXiv 2308.13234), and that of ATM (Li et al., NeurIPS 2024,
arXiv 2403.07721), which has an attention over channels in front of it.

A convolution over time, one over all channels, and a residual layer. The layers and their sizes are those of the papers.
Their spans of 25, 51 and 5 samples at 250 Hz are kept in seconds, so that other sampling rates see the same time.
"""

from runtime.errors import InputError

import torch
from torch import nn
from transformers import PreTrainedModel

from config import NICEConfig

KERNEL_SECONDS, POOL_SECONDS, STRIDE_SECONDS = .1, .204, .02
DROPOUT = .5
HEADS, FEED_FORWARD, ATTENTION_DROPOUT = 4, 256, .25


class ChannelAttention(nn.Module):
    """eeg [B, C, T] -> [B, C, W], with W the next multiple of HEADS from T on: one layer of attention between the channels.

    A channel's samples are its token. ATM has a token of the person beside them, which a new person would not have; it is
    left out.
    """

    def __init__(self, n_times: int) -> None:
        super().__init__()
        self.width = -(-n_times // HEADS) * HEADS
        self.embedding = nn.Sequential(nn.Linear(n_times, self.width), nn.Dropout(ATTENTION_DROPOUT))
        self.layer = nn.TransformerEncoderLayer(self.width, HEADS, FEED_FORWARD, ATTENTION_DROPOUT, "gelu",
                                                batch_first=True)
        self.norm = nn.LayerNorm(self.width)

    def forward(self, eeg: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(self.embedding(eeg)))


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

    The papers match the normalised output of the residual layer to the picture's embedding. Here a linear layer follows, as
    in all encoders of this project. config.features is the width of the residual layer; None: E, as in folders of an
    earlier version, which learned nothing where E is 1, as in an encoder that is only a classifier.
    """

    config_class = NICEConfig
    main_input_name = "eeg"
    classifies_embedding = False

    def __init__(self, config: NICEConfig) -> None:
        super().__init__(config)
        kernel, pool, stride = (max(1, round(seconds * config.sfreq))
                                for seconds in (KERNEL_SECONDS, POOL_SECONDS, STRIDE_SECONDS))
        self.attention = ChannelAttention(config.n_times) if config.channel_attention else None
        width = self.attention.width if self.attention else config.n_times
        steps = (width - kernel + 1 - pool) // stride + 1
        if steps < 1:
            name = "atm" if self.attention else "nice"
            raise InputError(f"--encoder {name}: {config.n_times} samples at {config.sfreq:g} Hz are too few, expected at "
                             f"least {kernel + pool - 1}; use --encoder transformer, or a longer window")
        filters, size = config.filters, config.features or config.embedding_size
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, filters, (1, kernel)), nn.AvgPool2d((1, pool), (1, stride)), nn.BatchNorm2d(filters), nn.ELU(),
            nn.Conv2d(filters, filters, (config.n_chans, 1)), nn.BatchNorm2d(filters), nn.ELU(),
            nn.Dropout(DROPOUT), nn.Conv2d(filters, filters, 1), nn.Flatten())
        self.residual = nn.Sequential(nn.Linear(filters * steps, size), ResidualLayer(size))
        self.projector = nn.Linear(size, config.embedding_size)
        self.classifier = nn.Linear(size, config.num_classes)
        self.post_init()

    def _init_weights(self, module):
        """PyTorch's own initialisation stands, as in the published trainings."""

    def forward(self, eeg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        eeg = eeg.flatten(1, 2) if eeg.ndim == 4 else eeg
        eeg = self.attention(eeg) if self.attention else eeg
        features = self.residual(self.convolutions(eeg.unsqueeze(1)))
        return self.projector(features), self.classifier(features)
