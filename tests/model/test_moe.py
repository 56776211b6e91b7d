"""The mixture of experts as a layer: against transformers' DeepSeek-V3, in training, saved and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_run
from equivalence import Hold, furthest
from linnet.core.errors import ConfigError
from linnet.core.spec import dump, load
from linnet.data.batch import Batch
from linnet.model import GLU, MLP, Attention, Block, Model, MoE, Network, ProductKey, Repeat, RMSNorm, Rope, Stack, Sublayer
from linnet.model.channel.moe import MoELayer
from linnet.model.channel.product_key import ProductKeyLayer
from linnet.model.weights import model_tensors, restore_model
from linnet.objective.next_token import NextToken
from linnet.objective.token_loss import cross_entropy_sum
from linnet.ops.memory_lookup import best_pairs_reference, half_scores, read_reference
from linnet.ops.route import balance_loss, mix_reference, route
from linnet.train.settle import check_learns
from linnet.zoo import Mixtral

V, D = 31, 16
SMALL = {"n_experts": 4, "top_k": 2}


def filled(layer: torch.nn.Module, seed: int = 0) -> Any:
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.3, generator=draws)
    return layer


def sentence(mixer: Any, n_layers: int = 2) -> Model:
    norm = RMSNorm()
    attention = Sublayer(mixer=Attention(n_heads=2, position=Rope()), norm=norm)
    block = Block(sublayers=(attention, Sublayer(mixer=mixer, norm=norm)))
    return Model(vocab_size=V, d_model=D, decoder=Stack(layers=(Repeat(pattern=(block,), times=n_layers),), final_norm=norm))


def batch(rows: int = 4, n: int = 9, seed: int = 0) -> Batch:
    tokens = torch.randint(0, V, (rows, n + 1), generator=torch.Generator().manual_seed(seed))
    weights = torch.ones(rows, n)
    weights[0, :3] = 0
    return Batch(tokens[:, :-1], tokens[:, 1:], weights)


# ---- the layer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", MoE.examples(), ids=lambda one: f"{one.expert.kind}-{one.score}-{one.balance}")
def test_the_layer_is_made_of_its_parts(one: MoE, hold: Hold) -> None:
    layer: MoELayer = filled(one.build(D)).double()
    if layer.bias is not None:
        layer.bias.normal_(0, 0.2, generator=torch.Generator().manual_seed(5))
    x = torch.randn(3, 7, D, dtype=torch.float64, requires_grad=True)
    flat = x.reshape(-1, D)
    chosen, weights, _ = route(
        flat @ layer.router.weight.T, one.top_k, score=one.score, normalise=one.normalise, scale=one.scale, bias=layer.bias,
        n_groups=one.n_groups, top_groups=one.top_groups,
    )  # fmt: skip
    right = mix_reference(flat, [lambda rows, e=e: e(rows)[0] for e in layer.experts], chosen, weights)
    if layer.shared is not None:
        right = right + layer.shared(flat)[0]
    y, _ = layer(x)
    inputs = (x, *layer.parameters())
    got, right = ((one, *torch.autograd.grad(one.sin().sum(), inputs)) for one in (y, right.view_as(x)))
    hold("7 moe, dropless = expert by expert, float64", furthest(got, right), 1e-11)


def test_it_is_deepseek_v3_s_layer() -> None:
    """Sigmoid scores, a bias on the choice, groups, shared experts as one wider one, a scale."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE

    config = transformers.DeepseekV3Config(
        hidden_size=D, moe_intermediate_size=10, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=2, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, norm_topk_prob=True,
    )  # fmt: skip
    config._experts_implementation = "eager"
    theirs = filled(DeepseekV3MoE(config))
    theirs.gate.e_score_correction_bias.normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    spec = MoE(
        expert=GLU(d_ff=10), n_experts=8, top_k=3, n_shared=2, score="sigmoid", scale=2.5, n_groups=4, top_groups=2, balance="bias",
    )  # fmt: skip
    ours = spec.build(D)
    with torch.no_grad():
        ours.router.weight.copy_(theirs.gate.weight)
        ours.bias.copy_(theirs.gate.e_score_correction_bias)
        for e, expert in enumerate(ours.experts):
            gate, up = theirs.experts.gate_up_proj[e].chunk(2)
            for mine, other in ((expert.gate, gate), (expert.up, up), (expert.down, theirs.experts.down_proj[e])):
                mine.weight.copy_(other)
        for part in ("gate", "up", "down"):
            getattr(ours.shared, part).weight.copy_(getattr(theirs.shared_experts, f"{part}_proj").weight)
        x = torch.randn(2, 9, D, generator=torch.Generator().manual_seed(1))
        right = theirs(x)
        assert (ours(x)[0] - right).abs().max() < 1e-5
        ours.bias.zero_()
        assert (ours(x)[0] - right).abs().max() > 1e-3  # another choice is another answer


@pytest.mark.parametrize("one", ProductKey.examples(), ids=lambda one: f"{one.n_keys}-{one.gated}")
def test_product_keys_are_what_all_keys_written_out_give(one: ProductKey, hold: Hold) -> None:
    layer: ProductKeyLayer = filled(one.build(D)).double()
    x = torch.randn(11, D, dtype=torch.float64, requires_grad=True)
    queries = (x @ layer.query.weight.T).unflatten(-1, (one.n_heads, one.d_key))
    if layer.query_norm is not None:
        queries = layer.query_norm(queries)
    scores, index = best_pairs_reference(*half_scores(queries, layer.keys), one.top_k)
    right = read_reference(layer.values, index.flatten(1), scores.softmax(-1).flatten(1))
    if layer.gate is not None and layer.out is not None:
        right = (right * torch.nn.functional.silu(x @ layer.gate.weight.T)) @ layer.out.weight.T
    y, aux = layer(x)
    assert not aux
    inputs = (x, *layer.parameters())
    got, right = ((r, *torch.autograd.grad(r.sin().sum(), inputs)) for r in (y, right))
    hold("7 product keys = all keys written out, float64", furthest(got, right), 1e-11)


def test_active_parameters() -> None:
    """Mixtral 8x7B uses 12.9 of its 46.7 thousand million parameters a token (2401.04088, section 1: '13B active')."""
    model = Mixtral(n_layers=32, n_heads=32, n_kv_heads=8, d_model=4096, d_ff=14_336).sentence(32_000)
    assert model.n_active_params() == 12_879_925_248
    table = ProductKey(n_keys=10, top_k=3, n_heads=2, d_key=4)
    assert table.n_params(D) - table.n_active_params(D) == (100 - 6) * D
    assert GLU(d_ff=8).n_active_params(D) == GLU(d_ff=8).n_params(D)


def test_all_problems_at_once() -> None:
    wrong = MoE(expert=MLP(d_ff=4), n_experts=6, top_k=7, n_groups=4, top_groups=5)
    with pytest.raises(ConfigError) as caught:
        load(
            Model, dump(sentence(MLP(d_ff=4))) | {"decoder": {"layers": [{"pattern": [{"sublayers": [{"mixer": dump(wrong)}]}]}]}}
        )
    for words in ("top_k = 7 of n_experts = 6", "n_experts = 6 in n_groups = 4", "top_groups = 5 of n_groups = 4"):
        assert words in str(caught.value)
    one = MoE(expert=MLP(d_ff=4), n_experts=6, top_k=1)
    assert not one.problems(D), "which can be imported"
    with pytest.raises(ConfigError, match="the router learns nothing"):
        check_learns(sentence(one), NextToken())
    check_learns(sentence(one.replace(normalise=False)), NextToken())
    assert "of the 2 experts of 1 groups" in MoE(expert=MLP(d_ff=4), n_experts=6, top_k=3, n_groups=3).problems(D)[0]
    assert len(ProductKey(n_keys=2, top_k=5, d_key=7).problems(D)) == 2
    with pytest.raises(ConfigError, match="mlp"):
        load(MoE, {"kind": "moe", "expert": dump(one), "n_experts": 4, "top_k": 2})


# ---- in training -----------------------------------------------------------------------------------------------------


def test_the_balance_loss_is_learned_from_and_not_logged_as_loss() -> None:
    spec = MoE(expert=GLU(d_ff=8), balance_weight=0.3, **SMALL)
    network, here = Network(sentence(spec), seed=1), batch()
    loss = NextToken()(network, here)
    out = network(here.tokens)
    plain = cross_entropy_sum(network, out.hidden.flatten(0, 1), here.targets.flatten(), here.weights.flatten())
    losses = []  # of each layer, from its own input
    for layer in network.modules():
        if isinstance(layer, MoELayer):
            layer.register_forward_hook(lambda layer, inputs, _: losses.append(balance_of(layer, inputs[0])))
    network(here.tokens)
    balance = sum(losses)
    torch.testing.assert_close(loss.logs["loss"][0], plain)
    torch.testing.assert_close(loss.total, plain + 0.3 * balance * here.weights.sum())
    assert loss.logs["balance"][0] / loss.logs["balance"][1] == pytest.approx(balance.item() / 2, rel=1e-5)  # the mean of two
    assert set(loss.logs) == {"loss", "balance", "routing_peak", "routing_entropy"}
    with torch.no_grad():
        assert network(here.tokens).aux == {}
        assert NextToken()(network, here).total == loss.logs["loss"][0]  # evaluation has the cross entropy alone


def balance_of(layer: MoELayer, x: torch.Tensor) -> torch.Tensor:
    chosen, _, scores = route(layer.router(x.flatten(0, 1)), layer.spec.top_k)
    return balance_loss(scores, chosen)


def lopsided(spec: MoE) -> tuple[Network, MoELayer]:
    """A network of one layer whose router begins by asking the first two experts for everything."""
    network = Network(sentence(spec, n_layers=1), seed=1)
    layer = next(m for m in network.modules() if isinstance(m, MoELayer))
    with torch.no_grad():
        network.embedding.weight.add_(0.02)  # a direction that all tokens share
        layer.router.weight[:2] += 0.05
    return network, layer


def test_the_balance_loss_evens_the_load() -> None:
    peaks = {}
    for weight in (0.0, 1.0):
        network, layer = lopsided(MoE(expert=GLU(d_ff=8), balance_weight=weight, **SMALL))
        optimizer = torch.optim.SGD([layer.router.weight], lr=0.3)
        for _ in range(100):
            loss = NextToken()(network, batch())
            (loss.total / batch().weights.sum()).backward()
            optimizer.step()
            network.zero_grad()
        peaks[weight] = float(loss.logs["routing_peak"][0])
    assert peaks[1.0] < 1.5 < 1.8 < peaks[0.0], peaks


def test_the_bias_evens_the_load() -> None:
    """Without any gradient, and the weights of those chosen stay the scores."""
    network, _ = lopsided(BIASED.replace(score="sigmoid"))
    peaks = []
    for _ in range(40):
        network.before_step()
        peaks.append(float(NextToken()(network, batch()).logs["routing_peak"][0]))
        network.after_step()
    assert peaks[-1] < 1.5 < 1.8 < peaks[0], peaks


BIASED = MoE(expert=GLU(d_ff=8), balance="bias", bias_step=0.01, **SMALL)


def test_a_bias_moves_by_the_sign_of_the_error_and_only_in_a_step() -> None:
    network, here = Network(sentence(BIASED, n_layers=1), seed=1), batch()
    layer = next(m for m in network.modules() if isinstance(m, MoELayer))
    assert layer.bias is not None
    NextToken()(network, here).total.backward()  # timed, measured, looked at: no step
    network.after_step()
    assert not layer.bias.any()
    assert not layer.loads.any()
    network.before_step()
    kept = []
    layer.register_forward_hook(lambda layer, inputs, _: kept.append(inputs[0]))
    for start in (0, 2):  # micro-batches of one step
        NextToken()(network, here.rows(start, start + 2))
    with torch.no_grad():
        network(here.tokens)  # read in between
    chosen, _, _ = route(layer.router(torch.cat(kept[:2]).flatten(0, 1)), 2)
    counts = torch.bincount(chosen.flatten(), minlength=4).float()
    network.after_step()
    torch.testing.assert_close(layer.bias, 0.01 * torch.sign(counts.mean() - counts))
    assert layer.bias.any()
    assert not layer.loads.any()


def with_padding(network: Network, rows: torch.Tensor, padding: int) -> tuple[dict[str, Any], torch.Tensor]:
    """What the layers say of rows with so many places of padding after them, and the loads of a step."""
    layer = next(m for m in network.modules() if isinstance(m, MoELayer))
    tokens = torch.cat((rows, rows.new_full((len(rows), padding), 7)), 1)
    documents = torch.cat((torch.zeros_like(rows), rows.new_full((len(rows), padding), -1)), 1)
    network.before_step()
    aux = network(tokens, documents=documents).aux
    loads = torch.zeros(0) if layer.loads is None else layer.loads.clone()
    network.after_step()
    return aux, loads


@pytest.mark.parametrize("balance", ["loss", "bias"])
def test_padding_counts_for_nothing(balance: str) -> None:
    network, rows = Network(sentence(BIASED.replace(balance=balance), n_layers=1), seed=1), batch().tokens
    right, loads = with_padding(network, rows, 0)
    network = Network(sentence(BIASED.replace(balance=balance), n_layers=1), seed=1)
    aux, padded = with_padding(network, rows, 5)
    torch.testing.assert_close(aux, right)
    assert torch.equal(padded, loads)
    if balance == "bias":
        assert loads.sum() == rows.numel() * 2
    nothing = network(rows, documents=torch.full_like(rows, -1)).aux
    assert all(torch.isfinite(said).all() for said in nothing.values())


def test_a_bias_moves_in_16_bits_as_in_32() -> None:
    network = Network(sentence(BIASED.replace(bias_step=0.001), n_layers=1), seed=1)
    layer = next(m for m in network.modules() if isinstance(m, MoELayer))
    assert layer.bias is not None
    layer.bias.fill_(0.77)
    network.to(torch.bfloat16)
    assert layer.router.weight.dtype == torch.bfloat16
    assert torch.equal(layer.bias, torch.full((4,), 0.77))
    network.before_step()
    for _ in range(10):
        network(batch(rows=20, n=20).tokens)
    assert layer.loads.sum() == 10 * 20 * 20 * 2
    network.after_step()
    assert ((layer.bias - 0.77).abs() > 0.0009).any()
    assert network.double().decoder.layers[0].sublayers[1].mixer.bias.dtype == torch.float64


def test_recomputing_activations_moves_the_bias_alike() -> None:
    found = []
    for recompute in (False, True):
        network = Network(sentence(BIASED), seed=1)
        network.decoder.recompute = recompute
        network.before_step()
        NextToken()(network, batch()).total.backward()
        network.after_step()
        found.append(model_tensors(network)["decoder.layers.1.sublayers.1.mixer.bias"].clone())
    assert found[0].any()
    assert torch.equal(*found)


def test_a_bias_is_saved_with_the_weights_and_what_counts_is_not() -> None:
    network = Network(sentence(BIASED), seed=1)
    name = "decoder.layers.0.sublayers.1.mixer.bias"
    tensors = model_tensors(network)
    assert name in tensors
    assert not any("loads" in one for one in tensors)
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    tensors[name] += 0.5
    other = Network(sentence(BIASED), seed=None)
    restore_model(other, tensors)
    assert torch.equal(model_tensors(other)[name], tensors[name])
    del tensors[name]
    with pytest.raises(ValueError, match="bias is missing"):
        restore_model(other, tensors)


@pytest.mark.parametrize("balance", ["loss", "bias"])
def test_what_a_run_logs(balance: str, tmp_path: Path) -> None:
    model = dump(sentence(BIASED.replace(balance=balance)).replace(vocab_size=257))
    asked = tiny_run.tiny(model={"kind": "sentence", "model": model}, train__context_length=24)
    tiny_run.go(tmp_path / "run", asked)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "train"]
    assert len(steps) == 12
    assert all(1 <= line["routing_peak"] <= 2 and 0 < line["routing_entropy"] < 1.3863 for line in steps)
    assert all(("balance" in line) == (balance == "loss") for line in steps)
    validations = [line for line in lines if line["event"] == "validation"]
    assert all(set(line) == {"event", "step", "tokens", "loss", "bits_per_byte"} for line in validations)
