"""The fast convolutions of ChannelNet against torch's own: outputs, gradients, statistics, and where each is taken."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from config import ChannelNetConfig
from encoders.batch_norm import BatchNorm2d
from encoders.channelnet import ChannelNetModel
from encoders.fast_convolution import Conv2d, plain_convolutions, tall_convolution, winograd_convolution


def relative(found, exact):
    return float((found.detach() - exact.detach()).norm() / exact.detach().norm())


def compare(fast, plain, x, weight):
    """Output and both gradients of a float32 method against torch's in float64, each relative to its norm."""
    results = []
    for method, dtype in ((fast, torch.float32), (plain, torch.float64)):
        inputs = [tensor.detach().to(dtype).requires_grad_() for tensor in (x, weight)]
        output = method(*inputs)
        output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(dtype))
        results.append([output.detach(), *(tensor.grad for tensor in inputs)])
    assert all(found.dtype == torch.float32 and found.shape == exact.shape for found, exact in zip(*results, strict=True))
    return max(relative(found, exact) for found, exact in zip(*results, strict=True))


@pytest.mark.parametrize("shape", [(2, 70, 64, 40), (3, 66, 31, 9), (1, 3, 5, 6), (2, 2, 1, 1), (1, 4, 4, 300)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_winograd_is_the_3x3_convolution(shape, layout):
    torch.manual_seed(0)
    x, weight = torch.randn(shape).to(memory_format=layout), torch.randn(shape[1] + 3, shape[1], 3, 3)
    assert compare(winograd_convolution, lambda x, w: F.conv2d(x, w, padding=1), x, weight) < 3e-6


@pytest.mark.parametrize("height, rows, stride, padding", [
    (128, 128, 2, 63), (128, 64, 2, 31), (61, 61, 2, 30), (61, 30, 2, 14), (62, 20, 2, 9), (17, 16, 3, 7), (40, 33, 1, 0),
    (40, 16, 2, 0), (33, 16, 4, 20)])
def test_tall_is_the_convolution_over_channels(height, rows, stride, padding):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 5, height, 7).relu(), torch.randn(4, 5, rows, 1)
    assert compare(lambda x, w: tall_convolution(x, w, stride, padding),
                   lambda x, w: F.conv2d(x, w, stride=(stride, 1), padding=(padding, 0)), x, weight) < 2e-6


def test_gradient_of_a_kernel_as_high_as_the_map():
    """With AVX-512 torch's own is wrong here, by any factor, in the very sizes of ChannelNet."""
    torch.manual_seed(0)
    layer, x = Conv2d(40, 50, (128, 1), (2, 1), (63, 0)), torch.randn(2, 40, 128, 9)
    layer(x).square().mean().backward()
    found, layer = layer.weight.grad, layer.double()
    layer.weight.grad = None
    layer(x.double()).square().mean().backward()
    assert relative(found, layer.weight.grad) < 1e-5


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_statistics_of_a_large_batch_in_any_layout(layout):
    """torch's own layer is off by 1e-4 where channels come last, and misses these bounds."""
    torch.manual_seed(0)
    layer, x = BatchNorm2d(3), (torch.randn(8, 3, 90, 200).exp() + 2).to(memory_format=layout)
    layer.weight.data, layer.bias.data = torch.tensor([0.5, 2.0, -1.0]), torch.tensor([0.0, 1.0, -1.0])
    exact, wide = torch.nn.BatchNorm2d(3).double(), x.double().contiguous().requires_grad_()
    exact.load_state_dict(layer.state_dict())
    x, weight = x.requires_grad_(), torch.rand(x.shape)  # of one sign: what is added up does not cancel
    for one, given in ((layer, x), (exact, wide)):
        (one(given).square() * weight).sum().backward()
    assert relative(layer(x), exact(wide)) < 1e-6 and relative(x.grad, wide.grad) < 1e-5
    for found, true in zip(layer.parameters(), exact.parameters(), strict=True):
        assert relative(found.grad, true.grad) < 1e-5
    for name, found in layer.state_dict().items():
        torch.testing.assert_close(found.double(), exact.state_dict()[name].double(), rtol=1e-6, atol=0)
    assert int(layer.num_batches_tracked) == 2
    torch.testing.assert_close(layer.eval()(x).double(), exact.eval()(wide), rtol=1e-5, atol=1e-5)


def outputs(model, eeg, plain):
    """embedding, logits and buffers of one forward pass, with the dropout of one seed."""
    torch.manual_seed(1)
    with plain_convolutions() if plain else nullcontext():
        embedding, logits = model(eeg)
    return {"embedding": embedding, "logits": logits, **{name: tensor.clone() for name, tensor in model.named_buffers()}}


@pytest.mark.parametrize("height, width, blocks, methods", [
    (128, 120, 2, {"tall", "winograd", "plain"}), (61, 160, 1, {"tall", "winograd", "plain"}),
    (62, 80, 0, {"tall", "plain"})])
def test_channelnet_gives_what_plain_layers_give(height, width, blocks, methods, monkeypatch):
    """In training and evaluation, with first weights and after steps; taken: every method that the size calls for."""
    taken, method = set(), Conv2d.method
    monkeypatch.setattr(Conv2d, "method", lambda self, x: (taken.add(method(self, x)), method(self, x))[1])
    torch.manual_seed(0)
    model, other = (ChannelNetModel(ChannelNetConfig(
        input_height=height, input_width=width, num_residual_blocks=blocks, embedding_size=32, temp_channels=4,
        out_channels=20)) for _ in range(2))
    eeg, optimizer = torch.randn(3, height, width), torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(2):
        for train in (True, False):
            other.load_state_dict(model.state_dict())
            fast, plain = (outputs(one.train(train), eeg, one is other) for one in (model, other))
            for name, exact in plain.items():
                torch.testing.assert_close(fast[name], exact, rtol=1e-5, atol=1e-5)
        optimizer.zero_grad()
        F.cross_entropy(model.train()(eeg)[1], torch.arange(3)).backward()
        optimizer.step()
    assert taken == methods


def test_gradients_through_the_whole_network():
    """Smooth but for ReLU, which may turn at a value near zero: so a looser bound than a layer's."""
    config = ChannelNetConfig(input_height=128, input_width=80, num_residual_blocks=1, embedding_size=32, temp_channels=4,
                              out_channels=20)
    torch.manual_seed(0)
    fast, exact, eeg = ChannelNetModel(config).eval(), ChannelNetModel(config).double().eval(), torch.randn(2, 128, 80)
    exact.load_state_dict(fast.state_dict())
    for model, x in ((fast, eeg), (exact, eeg.double())):
        model(x)[1].logsumexp(1).sum().backward()
    for (name, found), parameter in zip(fast.named_parameters(), exact.parameters(), strict=True):
        assert relative(found.grad, parameter.grad) < 1e-4, name


def test_plain_wherever_the_fast_methods_do_not_apply():
    tall, square = Conv2d(40, 50, (64, 1), (2, 1), (31, 0)), Conv2d(64, 64, 3, padding=1)
    wide, tile = torch.randn(1, 40, 64, 8), torch.randn(1, 64, 40, 50)
    assert (tall.method(wide), square.method(tile)) == ("tall", "winograd")
    with plain_convolutions():
        assert (tall.method(wide), square.method(tile)) == ("plain", "plain")
    assert (tall.method(wide), square.method(tile)) == ("tall", "winograd")
    with torch.autocast("cpu", torch.bfloat16):
        assert tall.method(wide) == "plain" and square(tile).dtype == torch.bfloat16
    for other in (wide.double(), wide.bfloat16(), wide.to("meta"), wide[0]):
        assert tall.method(other) == "plain"
    assert square.method(tile[:, :, :8, :8]) == "plain"
    for other in (Conv2d(8, 8, 3, padding=1), Conv2d(64, 64, 3), Conv2d(64, 64, 3, 2, 1),
                  Conv2d(64, 64, 3, padding=1, groups=2), Conv2d(64, 64, 3, padding=1, dilation=2),
                  Conv2d(64, 64, 3, padding=1).double()):
        assert other.method(torch.randn(1, other.in_channels, 60, 60)) == "plain"
    for other in (Conv2d(40, 50, (8, 1)), Conv2d(40, 50, (64, 1), (2, 2)), Conv2d(40, 50, (64, 2))):
        assert other.method(wide) == "plain"


def test_what_inference_mode_has_cached_serves_training():
    layer, x = Conv2d(2, 3, (18, 1), (2, 1), (8, 0)), torch.randn(1, 2, 21, 5)
    with torch.inference_mode():
        expected = layer(x)
    assert torch.equal(layer(x), expected)
    layer(x).sum().backward()
    assert layer.weight.grad.abs().sum() > 0 and layer.bias.grad is not None
