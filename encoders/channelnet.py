"""ChannelNet (Palazzo et al., TPAMI 2020, doi 10.1109/TPAMI.2020.2995909), the encoder of the published checkpoints.

Parallel dilated convolutions over time, parallel convolutions over channels, residual blocks, a linear embedding, and a
linear classifier on the embedding. Names and shapes of the weights are those of Thought2Text's checkpoints.
"""

from collections.abc import Iterable

from runtime.errors import InputError

import torch
from torch import nn
from transformers import PreTrainedModel

from config import ChannelNetConfig


class ConvLayer(nn.Sequential):
    """Batch norm, ReLU, zero padding, convolution, dropout, in this order.

    The padding is a layer of its own: where a kernel with padding is as high as the map, as in the first spatial layer,
    nn.Conv2d gives a wrong gradient of the weight on a CPU with AVX-512 (torch 2.13, float32; tests/test_channelnet.py).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int | tuple[int, int], stride: int | tuple[int, int],
                 padding: tuple[int, int] = (0, 0), dilation: int | tuple[int, int] = 1) -> None:
        super().__init__()
        rows, columns = padding
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        if rows or columns:
            self.pad = nn.ZeroPad2d((columns, columns, rows, rows))
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, dilation=dilation)
        self.drop = nn.Dropout2d(0.2, inplace=True)


class ParallelConvs(nn.Module):
    """Layers that see the same input; their feature maps are concatenated.

    With an odd number of EEG channels, the maps of even kernels have one row less, so the others lose their last row.
    """

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [layer(x) for layer in self.layers]
        height = min(feature_map.shape[2] for feature_map in maps)
        return torch.cat([feature_map[:, :, :height] for feature_map in maps], dim=1)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.bn1(self.conv1(x)).relu_()
        return self.bn2(self.conv2(inner)).add_(x).relu_()


class FeatureExtractor(nn.Module):
    """eeg [B, 1, C, T] -> feature maps [B, out_channels, H, W]."""

    def __init__(self, config: ChannelNetConfig) -> None:
        super().__init__()
        width = config.out_channels * config.num_spatial_layers
        self.temporal_block = ParallelConvs(_temporal_layers(config))
        self.spatial_block = ParallelConvs(_spatial_layers(config))
        self.res_blocks = nn.ModuleList(
            nn.Sequential(ResidualBlock(width), ConvLayer(width, width, config.down_kernel, config.down_stride))
            for _ in range(config.num_residual_blocks))
        self.final_conv = ConvLayer(width, config.out_channels, config.down_kernel, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.spatial_block(self.temporal_block(x))
        for block in self.res_blocks:
            x = block(x)
        return self.final_conv(x)


def _temporal_layers(config):
    """One layer for each dilation; with their padding all outputs have input_width / temporal_stride samples."""
    dilations = [tuple(dilation) for dilation in config.temporal_dilation_list]
    dilations += dilations[-1:] * (config.num_temp_layers - len(dilations))
    for _, dilation in dilations[:config.num_temp_layers]:
        padding = (config.temporal_kernel[1] * dilation - 2) // 2 - dilation // 2 + 1
        yield ConvLayer(config.in_channels, config.temp_channels, tuple(config.temporal_kernel),
                        tuple(config.temporal_stride), (0, padding), (1, dilation))


def _spatial_layers(config):
    """The kernel of layer i covers 1/(i+1) of the channels."""
    for i in range(config.num_spatial_layers):
        height = config.input_height // (i + 1)
        yield ConvLayer(config.temp_channels * config.num_temp_layers, config.out_channels, (height, 1),
                        tuple(config.spatial_stride), ((height - 1) // 2, 0))


def _feature_count(config):
    """Number of features of one trial."""
    with torch.device("meta"):  # computes shapes only
        try:
            maps = FeatureExtractor(config)(torch.empty(1, config.in_channels, config.n_chans, config.n_times))
        except RuntimeError:
            maps = None
        if maps is None or not maps.numel():  # torch 2.11 gives empty maps where 2.13 raises
            blocks = config.num_residual_blocks
            raise InputError(f"--encoder channelnet: {config.n_chans} channels x {config.n_times} samples are too few for "
                             f"{blocks} residual blocks; use --encoder transformer"
                             f"{', or fewer --residual_blocks' if blocks else ''}")
    return maps.numel()


class ChannelNetModel(PreTrainedModel):
    """eeg [B, C, T] or [B, 1, C, T] with C = input_height, T = input_width -> embedding [B, E], logits [B, K]."""

    config_class = ChannelNetConfig
    main_input_name = "eeg"
    classifies_embedding = True

    def __init__(self, config: ChannelNetConfig) -> None:
        super().__init__(config)
        self.encoder = FeatureExtractor(config)
        self.projector = nn.Linear(_feature_count(config), config.embedding_size)
        self.classifier = nn.Linear(config.embedding_size, config.num_classes)
        self.post_init()

    def _init_weights(self, module):
        """PyTorch's own initialisation stands, as in the published training."""

    def forward(self, eeg: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if eeg.ndim == 3:
            eeg = eeg.unsqueeze(1)
        embedding = self.projector(self.encoder(eeg).flatten(1))
        return embedding, self.classifier(embedding)
