"""ChannelNet's gradients: torch's own fault in tall kernels with padding, and the network against float64."""

import pytest
import torch
from torch.nn import functional as F

from config import ChannelNetConfig
from encoders.channelnet import ChannelNetModel, ConvLayer


def relative_error(found, exact):
    return float((found.detach().double() - exact.detach()).norm() / exact.detach().norm())


def weight_gradient(convolution, x, weight, dtype):
    weight = weight.to(dtype).requires_grad_()
    convolution(x.to(dtype), weight).square().mean().backward()
    return weight.grad


def padded_by_torch(x, weight):
    return F.conv2d(x, weight, stride=(2, 1), padding=((len(weight[0, 0]) - 1) // 2, 0))


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX512", reason="the fault needs a CPU with AVX-512")
@pytest.mark.parametrize("width, batch", [(9, 1), (9, 4), (55, 1), (55, 4)])
def test_torch_is_wrong_where_a_padded_kernel_is_as_high_as_the_map(width, batch):
    """Why ConvLayer pads by itself. If this fails, torch is mended, and nn.Conv2d may pad again."""
    torch.manual_seed(0)
    x, weight = torch.randn(batch, 40, 128, width).relu(), torch.randn(50, 40, 128, 1)
    exact = weight_gradient(padded_by_torch, x, weight, torch.float64)
    assert not relative_error(weight_gradient(padded_by_torch, x, weight, torch.float32), exact) < 1e-3


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("width", [9, 55])
@pytest.mark.parametrize("height, kernel", [(128, 128), (128, 64), (128, 42), (128, 32), (62, 62), (61, 61), (61, 15)])
def test_a_spatial_layer_against_float64(height, kernel, width, batch):
    """Output and gradients of a layer alone, against the padding of nn.Conv2d, which is right in float64."""
    torch.manual_seed(0)
    padding = (kernel - 1) // 2
    layer = ConvLayer(40, 50, (kernel, 1), (2, 1), (padding, 0)).eval()
    exact = torch.nn.Conv2d(40, 50, (kernel, 1), (2, 1), (padding, 0)).double()
    exact.load_state_dict(layer.conv.state_dict())
    x = torch.randn(batch, 40, height, width)
    layer.norm.reset_running_stats()
    found, expected = layer(x), exact((x.double() / (1 + layer.norm.eps) ** 0.5).relu())
    found.square().mean().backward()
    expected.square().mean().backward()
    assert relative_error(found, expected) < 1e-5
    assert relative_error(layer.conv.weight.grad, exact.weight.grad) < 1e-5
    assert relative_error(layer.conv.bias.grad, exact.bias.grad) < 1e-5


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("height, width, blocks", [(128, 120, 2), (61, 160, 1), (62, 80, 0)])
def test_the_network_against_float64(height, width, blocks, batch):
    """Outputs and statistics in training (without dropout), outputs and all gradients in evaluation.

    The gradients' bound is looser: ReLU may turn at a value near zero.
    """
    torch.manual_seed(0)
    config = ChannelNetConfig(input_height=height, input_width=width, num_residual_blocks=blocks, embedding_size=32,
                              temp_channels=4, out_channels=20)
    model, exact, eeg = ChannelNetModel(config), ChannelNetModel(config).double(), torch.randn(batch, height, width)
    exact.load_state_dict(model.state_dict())
    for network in (model, exact):
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout2d):
                module.p = 0.0
    for training in (True, False):
        found, expected = model.train(training)(eeg), exact.train(training)(eeg.double())
        for one, other in zip((*found, *model.buffers()), (*expected, *exact.buffers()), strict=True):
            torch.testing.assert_close(one.to(other.dtype), other, rtol=1e-5, atol=1e-5)
    for _, logits in (found, expected):
        logits.logsumexp(1).sum().backward()
    for (name, parameter), other in zip(model.named_parameters(), exact.parameters(), strict=True):
        assert relative_error(parameter.grad, other.grad) < 1e-4, name
