"""Convolutions with fewer multiplications, for float32 on a CPU: `Conv2d` picks the method by device, type and size.

Both methods transform the map along its height by a small matrix, so that all work is matrix products. They go trial by
trial through buffers that stay in the processor's cache, and keep no more for the backward pass than a plain layer does.

The tall kernels are also a matter of correctness. Where the kernel is as high as the map (ChannelNet's first spatial
layer), nn.Conv2d gives a wrong gradient of the weight on a CPU with AVX-512: oneDNN leaves taps of it uninitialised (seen
with torch 2.13 in float32, from 31 rows on).
"""

from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

TALL_ROWS = 16  # kernels from this height on are faster by tall_convolution, and all those that oneDNN gets wrong
WINOGRAD_CHANNELS, WINOGRAD_POSITIONS = 64, 2000  # below these the transforms cost what the products save
_plain = False


@contextmanager
def plain_convolutions():
    """Inside, every Conv2d is torch's own; for tests and measurements."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


class Conv2d(nn.Conv2d):
    """nn.Conv2d, by the fastest method that is as accurate; gradients of gradients only where the method is torch's own."""

    def method(self, x):
        """"tall", "winograd" or "plain" for this input."""
        if _plain or x.device.type != "cpu" or torch.is_autocast_enabled("cpu") \
                or x.dtype != torch.float32 or self.weight.dtype != torch.float32 \
                or x.ndim != 4 or self.dilation != (1, 1) or self.groups != 1:
            return "plain"
        if self.kernel_size[1] == self.stride[1] == 1 and self.padding[1] == 0 and self.kernel_size[0] >= TALL_ROWS:
            return "tall"
        if self.kernel_size == (3, 3) and self.stride == self.padding == (1, 1) \
                and min(self.in_channels, self.out_channels) >= WINOGRAD_CHANNELS \
                and x.shape[2] * x.shape[3] >= WINOGRAD_POSITIONS:
            return "winograd"
        return "plain"

    def forward(self, x):
        method = self.method(x)
        if method == "plain":
            return super().forward(x)
        if method == "tall":
            result = tall_convolution(x, self.weight, self.stride[0], self.padding[0])
        else:
            result = winograd_convolution(x, self.weight)
        return result if self.bias is None else result.add_(self.bias[:, None, None])


def _winograd_matrices(points):
    """F(4, 3) of Lavin & Gray 2016 (arXiv 1509.09308) at these points and infinity: inputs [6, 6], kernel [6, 3], outputs
    [4, 6]; 4 outputs from 6 inputs by 6 products in place of 12, by Toom and Cook's multiplication of polynomials."""
    infinity = len(points)
    inputs, kernel, outputs = np.zeros((6, 6)), np.zeros((6, 3)), np.zeros((4, 6))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        inputs[row, :infinity] = np.poly(others)[::-1]
        kernel[row] = point ** np.arange(3) / np.prod(point - np.array(others))
        outputs[:, row] = point ** np.arange(4)
    inputs[infinity], kernel[infinity, -1], outputs[-1, infinity] = np.poly(points)[::-1], 1, 1
    return torch.from_numpy(inputs).float(), torch.from_numpy(kernel), torch.from_numpy(outputs).float()


# Along the height alone: both axes would save more products, but lose digits, and time in the transforms. These points lose
# half as much as the paper's 0, 1, -1, 2, -2: the result is within 1e-6 of the exact one, a plain layer's within 2e-7. The
# result has its channels last, as the products have: so have the layers after it, and nothing is transposed between them.
INPUT, KERNEL, OUTPUT = _winograd_matrices((0.0, 0.5 ** 0.5, -(0.5 ** 0.5), 2.0 ** 0.5, -(2.0 ** 0.5)))


def winograd_convolution(x, weight):
    """Convolution of x [B, C, H, W] with weight [O, C, 3, 3], stride 1 and padding 1 -> [B, O, H, W]."""
    return _Winograd.apply(x, weight)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return _winograd(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return (_winograd(gradient, weight.flip(2, 3).transpose(0, 1)) if ctx.needs_input_grad[0] else None,
                _winograd_weight(x, gradient) if ctx.needs_input_grad[1] else None)


def _winograd(x, weight):
    batch, _, height, width = x.shape
    kernels = torch.einsum("pk,ockw->pocw", KERNEL, weight.double()).float().unsqueeze(3)
    kernels = [kernel.contiguous(memory_format=torch.channels_last) for kernel in kernels]
    tiles = _Tiles(x, INPUT.t())
    result = x.new_empty(batch, height, width, len(weight)).permute(0, 3, 1, 2)
    rows = x.new_empty(tiles.count, 4, width, len(weight))
    for image, target in zip(x, result, strict=True):
        rows.zero_()
        for tile, kernel, factors in zip(tiles(image), kernels, OUTPUT.t().tolist(), strict=True):
            product = F.conv2d(tile, kernel, padding=(0, 1))[0].permute(1, 2, 0)
            for row, factor in enumerate(factors):
                if factor:
                    rows[:, row].add_(product, alpha=factor)
        target.copy_(rows.view(-1, width, len(weight))[:height].permute(2, 0, 1))
    return result


def _winograd_weight(x, gradient):
    """The gradient of the weight [O, C, 3, 3]: the transposes of the three transforms of _winograd."""
    tiles, gradient_tiles = _Tiles(x, INPUT.t()), _Tiles(gradient, OUTPUT)
    sums = x.new_zeros(6, gradient.shape[1], x.shape[1], 1, 3)
    for image, image_gradient in zip(x, gradient, strict=True):
        for tile, gradient_tile, total in zip(tiles(image), gradient_tiles(image_gradient), sums, strict=True):
            total.add_(conv2d_weight(tile, total.shape, gradient_tile, padding=(0, 1)))
    return torch.einsum("pk,pocw->ockw", KERNEL, sums.squeeze(3).double()).float()


class _Tiles:
    """image [C, H, W] -> [6, 1, C, T, W], channels last: T tiles, one every 4 rows, times matrix [rows of a tile, 6].

    Zeros stand above and below the map as far as the tiles reach. The result is overwritten by the next call.
    """

    def __init__(self, x, matrix):
        _, channels, height, width = x.shape
        self.count, rows, line = -(-height // 4), len(matrix), width * channels
        self.matrix = matrix.t().expand(self.count, -1, -1)
        padded = x.new_zeros(4 * self.count + rows - 4, line)
        self.map = padded[(rows - 4) // 2:][:height].view(height, width, channels).permute(2, 0, 1)
        self.tiles = padded.as_strided((self.count, rows, line), (4 * line, line, 1))
        self.result = x.new_empty(6, 1, self.count, width, channels)

    def __call__(self, image):
        self.map.copy_(image)
        torch.bmm(self.matrix, self.tiles, out=self.result.view(6, self.count, -1).transpose(0, 1))
        return self.result.permute(0, 1, 4, 2, 3)


def tall_convolution(x, weight, stride, padding):
    """Convolution of x [B, C, H, W] with weight [O, C, K, 1] along the height -> [B, O, H', W], by Fourier transforms.

    As in Mathieu, Henaff & LeCun 2014 (arXiv 1312.5851). A stride of s is s convolutions of stride 1, one for the rows at
    each remainder of s; the transform need not be longer than those rows and the padding that the kernel reaches.
    """
    height, taps = x.shape[2], weight.shape[2]
    count, rows = (height + 2 * padding - taps) // stride + 1, -(-height // stride)
    first, last = -padding // stride, (taps - 1 - padding) // stride  # the steps that the kernel reaches back and forth
    size = max(count + last, rows - first)
    size += size % 2
    forth, back, spectrum = _fourier(size, rows, count, first, last)
    lead = -padding - stride * first
    weight = F.pad(weight.squeeze(3), (lead, stride * (last - first + 1) - taps - lead)).unflatten(2, (-1, stride))
    real, imaginary = torch.einsum("pfq,ocqs->pfcso", spectrum, weight)
    kernel = torch.stack([torch.stack([real, imaginary], -2), torch.stack([-imaginary, real], -2)], 1)
    kernel = kernel.flatten(1, 3).flatten(2)  # a complex product is a real one of twice the size
    if rows * stride > height:
        x = F.pad(x, (0, 0, 0, rows * stride - height))  # which copies also where it adds nothing
    return _Tall.apply(x.contiguous(), kernel, forth, back, stride)


@lru_cache
@torch.inference_mode(False)  # what is kept must serve training too
def _fourier(size, rows, count, first, last):
    """The matrices to size / 2 odd frequencies and back, and to the spectrum of taps [2, size / 2, last - first + 1].

    At odd frequencies (a half, one and a half, ...) real signals have no frequency without an imaginary part; what wraps
    around changes its sign, but only zeros do.
    """
    def waves(start, stop):
        angle = torch.outer(torch.arange(size // 2) + 0.5, torch.arange(start, stop)).double() * (2 * torch.pi / size)
        return torch.stack([angle.cos(), angle.sin()])

    sign = torch.tensor([1.0, -1.0])[:, None, None]
    forth, back = ((sign * waves(0, stop)).transpose(0, 1).flatten(0, 1) for stop in (rows, count))
    return forth.float(), (back * (2 / size)).float().t().contiguous(), waves(first, last + 1).float()


class _Tall(torch.autograd.Function):
    """x [B, C, R * stride, W], kernel [frequencies, 2 C stride, 2 O] (blocks of real and imaginary parts), the matrices."""

    @staticmethod
    def forward(ctx, x, kernel, forth, back, stride):
        ctx.save_for_backward(x, kernel, forth, back)
        ctx.stride = stride
        outputs, width = kernel.shape[2] // 2, x.shape[3]
        result = x.new_empty(len(x), outputs, len(back), width)
        waves, products = (x.new_empty(len(kernel), size, width) for size in kernel.shape[1:])
        for image, target in zip(x, result, strict=True):
            _times(forth, image.unflatten(1, (-1, stride)).flatten(2), _by_channel(waves, len(image)))
            torch.bmm(kernel.transpose(1, 2), waves, out=products)
            _times(back, _by_channel(products, outputs), target)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, kernel, forth, back = ctx.saved_tensors
        gradient = gradient.contiguous()  # it may come with channels last
        outputs, width = gradient.shape[1], x.shape[3]
        waves, products = (x.new_empty(len(kernel), size, width) for size in kernel.shape[1:])
        x_gradient, kernel_gradient = torch.empty_like(x), torch.zeros_like(kernel)
        for image, image_gradient, target in zip(x, gradient, x_gradient, strict=True):
            _times(forth, image.unflatten(1, (-1, ctx.stride)).flatten(2), _by_channel(waves, len(image)))
            _times(back.t(), image_gradient, _by_channel(products, outputs))
            kernel_gradient.baddbmm_(waves, products.transpose(1, 2))
            torch.bmm(kernel, products, out=waves)
            _times(forth.t(), _by_channel(waves, len(image)), target.unflatten(1, (-1, ctx.stride)).flatten(2))
        return x_gradient, kernel_gradient, None, None, None


def _by_channel(waves, channels):
    """[frequencies, 2 * channels * stride, W] -> a view [channels, 2 * frequencies, stride * W]."""
    return waves.view(2 * len(waves), channels, -1).transpose(0, 1)


def _times(matrix, maps, out):
    """out[c] = matrix @ maps[c] for each channel."""
    torch.bmm(matrix.expand(len(maps), -1, -1), maps, out=out)
