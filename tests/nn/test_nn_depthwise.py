"""The fast depthwise gradient is torch's gradient, for every layer of the default encoder and for awkward shapes."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from biocosmos.nn.depthwise import depthwise, use_fast_depthwise


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_(True)
    y = layer(x)
    weights = torch.linspace(-1, 1, y.numel()).view_as(y)
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()])]


def assert_same(layer: nn.Module, x: torch.Tensor) -> None:
    fast = copy.deepcopy(layer)
    assert use_fast_depthwise(fast) == 1
    for ours, theirs in zip(gradients(fast, x), gradients(layer, x), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.detach().abs().max()))


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_gradients_for_any_map_kernel_stride_and_padding(map_size, kernel, stride, padding) -> None:
    if any(m + 2 * p < k for m, k, p in zip(map_size, kernel, padding)):
        return
    x = torch.randn(2, 3, *map_size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, *kernel, dtype=torch.float64, requires_grad=True)
    ours, theirs = depthwise(x, weight, None, stride, padding), F.conv2d(x, weight, None, stride, padding, 1, 3)
    assert torch.equal(ours, theirs)
    seed = torch.randn_like(theirs)
    for a, b in zip(torch.autograd.grad(ours, [x, weight], seed), torch.autograd.grad(theirs, [x, weight], seed), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(5, 1, 3), (5, 2, 7), (3, 1, 2), (7, 1, 1)])
def test_first_and_second_derivatives_by_finite_differences(kernel, stride, size) -> None:
    x = torch.randn(2, 2, size, size + 1, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def f(*given: torch.Tensor) -> torch.Tensor:
        return depthwise(*given, (stride, stride), (kernel // 2, kernel // 2))

    assert torch.autograd.gradcheck(f, (x, weight, bias))
    assert torch.autograd.gradgradcheck(f, (x, weight, bias))


def test_every_layer_of_the_default_encoder_at_96_pixels() -> None:
    model = timm.create_model("tf_efficientnet_lite0").eval()
    seen: list[tuple[nn.Conv2d, torch.Tensor]] = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            layer.register_forward_hook(lambda layer, given, _: seen.append((layer, given[0])))
    with torch.no_grad():
        model(torch.randn(2, 3, 96, 96).contiguous(memory_format=torch.channels_last))
    assert len(seen) == 16
    for layer, x in seen:
        layer._forward_hooks.clear()
        assert_same(layer, x)
        assert_same(layer, x[..., : x.shape[-1] - 1])  # odd sides, and not square


def test_maps_smaller_than_the_kernel_and_layers_with_a_bias() -> None:
    for kernel, size in ((3, 1), (3, 2), (5, 2), (7, 3)):
        assert_same(nn.Conv2d(8, 8, kernel, padding=kernel // 2, groups=8), torch.randn(3, 8, size, size))


def test_names_and_results_stay_and_other_layers_are_left_alone() -> None:
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    fast = copy.deepcopy(model)
    assert use_fast_depthwise(fast) == 16
    assert use_fast_depthwise(fast) == 0
    assert list(fast.state_dict()) == list(model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(fast(x), model(x))
    loose = copy.deepcopy(fast)  # as a moving average of the weights does
    assert torch.allclose(loose(x), model(x), atol=1e-5)
    others = (
        nn.Conv2d(8, 8, 5, groups=8, dilation=2),
        nn.Conv2d(8, 16, 5, groups=8),
        nn.Conv2d(8, 8, 5, groups=4),
        nn.Conv2d(8, 8, 5, groups=8, padding="same"),
        nn.Conv2d(8, 8, 5, groups=8, padding_mode="circular"),
    )
    assert use_fast_depthwise(nn.Sequential(*others)) == 0


def test_half_precision_is_left_to_torch() -> None:
    layer = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2, groups=8))
    use_fast_depthwise(layer)
    x = torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    layer.bfloat16()(x.bfloat16()).sum().backward()
    assert layer[0].weight.grad is not None
