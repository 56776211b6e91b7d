"""A packed network is the network: same hidden states, same logits, for any number of rows, and it shares its parameters."""

from __future__ import annotations

import pytest
import torch

from linnet.model import Network
from linnet.model.packed import PackedLinear, can_pack, pack
from linnet.zoo import GPT2, Llama

FAMILIES = {
    "tied": GPT2(n_layers=2, n_heads=4, d_model=64, context_length=32),
    "free": Llama(n_layers=2, n_heads=4, n_kv_heads=2, d_model=64, context_length=32),
}


def network(name: str) -> Network:
    made = Network(FAMILIES[name].sentence(97), seed=0).eval()
    draws = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=draws))
    return made


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 40])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_packed_equals_plain(name: str, rows: int) -> None:
    plain = network(name)
    if not can_pack(plain):
        pytest.skip("this machine has no oneDNN")
    packed = pack(plain)
    tokens = torch.randint(0, 97, (rows, 1), generator=torch.Generator().manual_seed(2))
    ours, oracle = packed(tokens), plain(tokens)
    torch.testing.assert_close(ours.hidden, oracle.hidden, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed.logits(ours.hidden), plain.logits(oracle.hidden), rtol=1e-5, atol=1e-5)


def test_packing_shares_parameters_and_leaves_the_network_alone() -> None:
    plain = network("tied")
    if not can_pack(plain):
        pytest.skip("this machine has no oneDNN")
    packed = pack(plain)
    assert not any(isinstance(module, PackedLinear) for module in plain.modules())
    assert plain.head is None
    assert sum(isinstance(module, PackedLinear) for module in packed.modules()) == 2 * 6 + 1
    assert packed.embedding.weight is plain.embedding.weight
    ours, theirs = (each.decoder.layers[0].sublayers[0].mixer.q.weight for each in (packed, plain))
    assert ours.data_ptr() == theirs.data_ptr()


@torch.no_grad()
def test_a_packed_matrix_is_the_one_that_is_used() -> None:
    plain = network("tied")
    if not can_pack(plain):
        pytest.skip("this machine has no oneDNN")
    packed = pack(plain)
    mutant = packed.decoder.layers[0].sublayers[1].mixer.up
    mutant.packed = torch.ops.mkldnn._reorder_linear_weight(mutant.weight * 1.01, 16)
    tokens = torch.arange(8)[:, None]
    assert not torch.allclose(packed(tokens).hidden, plain(tokens).hidden, rtol=1e-5, atol=1e-5)
