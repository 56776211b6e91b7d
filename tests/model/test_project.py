"""Matrices laid together are the matrices one by one: values and all gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from linnet.model import linear as module
from linnet.model.linear import TOGETHER_ROWS, LinearLayer, project

WIDTHS = (24, 8, 8)  # grouped-query attention: fewer keys and values than queries


def layers(bias: bool) -> nn.ModuleList:
    made = nn.ModuleList(LinearLayer(16, width, bias) for width in WIDTHS)
    draws = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data.normal_(generator=draws)
    return made


def outputs_and_gradients(made: nn.ModuleList, together: bool) -> list[Tensor]:
    x = torch.randn(2, TOGETHER_ROWS, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    parts = project(x, list(made)) if together else [layer(x) for layer in made]
    draws = torch.Generator().manual_seed(2)
    loss = sum((part * torch.randn(part.shape, generator=draws)).sum() for part in parts)
    return [*parts, *torch.autograd.grad(loss, [x, *made.parameters()])]  # type: ignore[arg-type]


@pytest.mark.parametrize("bias", [False, True])
def test_together_is_one_by_one(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made, calls = layers(bias), []
    monkeypatch.setattr(module, "linear", lambda x, w, b, true=module.linear: calls.append(w.shape[0]) or true(x, w, b))
    ours = outputs_and_gradients(made, together=True)
    assert calls == [sum(WIDTHS)]
    for mine, theirs in zip(ours, outputs_and_gradients(made, together=False), strict=True):
        assert (mine - theirs).abs().max() <= 2e-6 * theirs.abs().max()  # sums of at most 512 products in another order


def test_layers_in_another_order_are_seen() -> None:
    made = layers(bias=True)
    one, other = (
        outputs_and_gradients(made, together=True),
        outputs_and_gradients(nn.ModuleList([made[0], made[2], made[1]]), together=True),
    )
    assert not torch.allclose(one[1], other[1])


def test_a_hook_is_heard_and_another_kind_of_layer_is_called() -> None:
    class Doubled(LinearLayer):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    x, heard = torch.randn(TOGETHER_ROWS, 16), []
    made = layers(bias=False)
    made[1].register_forward_hook(lambda *_: heard.append(1))
    project(x, list(made))
    assert heard == [1]
    doubled = Doubled(16, 8)
    doubled.weight = made[2].weight
    torch.testing.assert_close(project(x, [made[0], doubled])[1], 2 * made[2](x))
