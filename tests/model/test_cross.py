"""Encoder and decoder: torch's own layers give the same, each document reads its own source, and doors are strict."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from linnet.core.errors import ConfigError, LinnetError
from linnet.core.spec import dump, load
from linnet.data.batch import Batch
from linnet.model import GLU, Attention, Cross, Encoder, Model, MoE, Network, Repeat, Source, Stack, State
from linnet.model.mixer.cross import CrossLayer
from linnet.model.position import SinusoidalLayer
from linnet.objective.next_token import NextToken
from linnet.zoo import Llama, Translate

D, HEADS, FF, VOCAB = 32, 4, 48, 61


def built(place: str = "post", **fields: object) -> Network:
    spec = Translate.model_validate({"n_layers": 2, "n_heads": HEADS, "d_model": D, "d_ff": FF, "place": place, **fields})
    network = Network(spec.sentence(VOCAB), seed=3).double()
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():  # biases and norms too, so that a swapped one shows
        for parameter in network.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.2, generator=draws))
    return network


def ids(rows: int, n: int, seed: int) -> Tensor:
    return torch.randint(0, VOCAB, (rows, n), generator=torch.Generator().manual_seed(seed))


def fill(theirs: nn.Module, ours: nn.ModuleList, *, decoder: bool) -> None:
    """Our numbers in torch's layer."""
    attentions = [(theirs.self_attn, ours[0])] + ([(theirs.multihead_attn, ours[1])] if decoder else [])
    for torchs, sublayer in attentions:
        mixer = sublayer.mixer
        torchs.in_proj_weight.copy_(torch.cat([part.weight for part in (mixer.q, mixer.k, mixer.v)]))
        torchs.in_proj_bias.copy_(torch.cat([part.bias for part in (mixer.q, mixer.k, mixer.v)]))
        torchs.out_proj.load_state_dict(mixer.o.state_dict())
    mlp = ours[-1].mixer
    theirs.linear1.load_state_dict(mlp.up.state_dict())
    theirs.linear2.load_state_dict(mlp.down.state_dict())
    for norm, sublayer in zip((theirs.norm1, theirs.norm2, *((theirs.norm3,) if decoder else ())), ours, strict=True):
        norm.load_state_dict(sublayer.norm.state_dict())


@torch.no_grad()
def theirs(network: Network, source: Tensor, target: Tensor, pre: bool) -> Tensor:
    """Hidden states by torch's own encoder and decoder layers."""
    kind = {"d_model": D, "nhead": HEADS, "dim_feedforward": FF, "dropout": 0.0, "batch_first": True, "norm_first": pre}
    waves = SinusoidalLayer(D, 10_000.0)

    def embedded(tokens: Tensor) -> Tensor:
        return network.embedding(tokens) * D**0.5 + waves(torch.arange(tokens.shape[1]))

    assert network.encoder is not None
    memory = embedded(source)
    for layer in network.encoder.stack.blocks():
        own = nn.TransformerEncoderLayer(**kind).double()
        fill(own, layer.sublayers, decoder=False)
        memory = own(memory)
    memory = memory if network.encoder.stack.final_norm is None else network.encoder.stack.final_norm(memory)
    x = embedded(target)
    for layer in network.decoder.blocks():
        own = nn.TransformerDecoderLayer(**kind).double()
        fill(own, layer.sublayers, decoder=True)
        x = own(x, memory, tgt_mask=nn.Transformer.generate_square_subsequent_mask(target.shape[1], dtype=torch.float64))
    return x if network.decoder.final_norm is None else network.decoder.final_norm(x)


@pytest.mark.parametrize("place", ["pre", "post"])
def test_torchs_own_transformer_gives_the_same(place: str) -> None:
    network = built(place)
    source, target = ids(3, 9, 1), ids(3, 7, 2)
    with torch.no_grad():
        ours = network(target, source=network.read(source)).hidden
    right = theirs(network, source, target, place == "pre")
    assert (ours - right).abs().max() < 1e-6 * right.abs().max()  # sines in float32


@torch.no_grad()
def test_padding_of_a_source_is_not_read() -> None:
    network, target = built(), ids(2, 5, 2)
    source, documents = ids(2, 8, 1), torch.zeros(2, 8, dtype=torch.int64)
    documents[1, 5:] = -1
    got = network(target, source=network.read(source, documents=documents)).hidden
    torch.testing.assert_close(got[0], network(target[:1], source=network.read(source[:1])).hidden[0])
    torch.testing.assert_close(got[1], network(target[1:], source=network.read(source[1:, :5])).hidden[0])


@torch.no_grad()
@pytest.mark.parametrize("cut", [None, 2, 4, 6])
def test_each_document_reads_its_own_source(cut: int | None) -> None:
    """Also where the row is cut, and where a source lies in another order, or is missing."""
    network = built()
    source, target = ids(1, 9, 1), ids(1, 8, 2)
    of_source = torch.tensor([[7, 7, 7, 2, 2, 2, 2, -1, -1]])
    of_target = torch.tensor([[2, 2, 2, 2, 7, 7, 7, 7]])
    read = network.read(source, documents=of_source)
    if cut is None:
        got = network(target, documents=of_target, source=read).hidden
    else:
        first = network(target[:, :cut], documents=of_target[:, :cut], state=network.new_state(1, source=read))
        second = network(target[:, cut:], documents=of_target[:, cut:], state=first.state)
        got = torch.cat((first.hidden, second.hidden), 1)
    right = [network(target[:, :4], source=network.read(source[:, 3:7])).hidden]
    right += [network(target[:, 4:], source=network.read(source[:, :3])).hidden]
    torch.testing.assert_close(got, torch.cat(right, 1))


@torch.no_grad()
def test_a_document_without_a_source_reads_zeros() -> None:
    network, target = built(), ids(1, 6, 2)
    read = network.read(ids(1, 4, 1), documents=torch.tensor([[0, 0, 0, 0]]))
    alone = network(target, documents=torch.full((1, 6), 3), source=read).hidden
    nothing = Source(torch.zeros_like(read.hidden), torch.zeros(1, 4, dtype=torch.int64))
    assert torch.isfinite(alone).all()
    torch.testing.assert_close(alone, network(target, documents=torch.full((1, 6), 3), source=nothing).hidden)


@torch.no_grad()
def test_rows_of_a_state_keep_their_sources() -> None:
    network, rows = built(), torch.tensor([2, 0, 0])
    source, target = ids(3, 6, 1), ids(3, 7, 2)
    documents = torch.zeros(3, 6, dtype=torch.int64)
    documents[2, 4:] = -1
    for read_before in (0, 3):  # also before anybody has looked at the source
        state: State | None = network.new_state(3, source=network.read(source, documents=documents))
        if read_before:
            state = network(target[:, :read_before], state=state).state
        assert state is not None
        got = network(target[rows][:, read_before:], state=state.select(rows)).hidden
        right = network(target[rows], source=network.read(source[rows], documents=documents[rows])).hidden[:, read_before:]
        torch.testing.assert_close(got, right)


def test_the_objective_reads_the_source_and_teaches_the_encoder() -> None:
    network = built().float()
    source = Batch(ids(2, 6, 1), ids(2, 6, 1), torch.ones(2, 6))
    batch = Batch(ids(2, 7, 2), ids(2, 7, 3), torch.ones(2, 7), source=source)
    loss = NextToken()(network, batch).total
    right = torch.nn.functional.cross_entropy(
        network.logits(network(batch.tokens, source=network.read(source.tokens)).hidden).flatten(0, 1),
        batch.targets.flatten(),
        reduction="sum",
    )
    torch.testing.assert_close(loss, right)
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in network.encoder.parameters())


@pytest.mark.parametrize("with_state", [True, False])
def test_no_tokens_are_refused_in_words(with_state: bool) -> None:
    network, nothing = built(), ids(2, 0, 1)
    read = network.read(ids(2, 5, 1))
    with pytest.raises(LinnetError, match="no tokens, in 2 rows; needed: at least one a row"):
        network(nothing, state=network.new_state(2, source=read)) if with_state else network(nothing, source=read)
    with pytest.raises(LinnetError, match="no tokens, in 2 rows"):
        network.read(nothing)


def with_experts(mixer: MoE) -> Model:
    """A translator whose encoder's channel mixers are these."""
    spec = Translate(n_layers=2, n_heads=HEADS, d_model=D, d_ff=FF).sentence(VOCAB)
    assert spec.encoder is not None
    block = next(spec.encoder.stack.blocks())
    last = block.sublayers[-1].replace(mixer=mixer)
    stack = spec.encoder.stack.replace(layers=(Repeat(pattern=(block.replace(sublayers=(*block.sublayers[:-1], last)),)),))
    return spec.replace(encoder=spec.encoder.replace(stack=stack))


def test_experts_of_an_encoder_are_balanced_by_the_first_pass_that_looks() -> None:
    network = Network(with_experts(MoE(expert=GLU(d_ff=8), n_experts=4, top_k=2, balance_weight=0.3)), seed=1)
    source, target = Batch(ids(2, 6, 1), ids(2, 6, 1), torch.ones(2, 6)), ids(2, 7, 2)
    loss = NextToken()(network, Batch(target, ids(2, 7, 3), torch.ones(2, 7), source=source))
    read = network.read(source.tokens)
    assert read.aux["loss/balance"] > 0
    torch.testing.assert_close(loss.total - loss.logs["loss"][0], read.aux["loss/balance"] * 14)
    assert {"balance", "routing_peak", "routing_entropy"} < set(loss.logs)
    first = network(target[:, :4], state=network.new_state(2, source=read))
    assert first.aux["loss/balance"] == read.aux["loss/balance"]
    assert network(target[:, 4:], state=first.state).aux == {}
    assert network.new_state(2, source=read).select(torch.tensor([1])).source.aux == {}


def test_a_token_uses_few_of_the_experts_of_an_encoder() -> None:
    mixer = MoE(expert=GLU(d_ff=8), n_experts=4, top_k=1, normalise=False)
    spec = with_experts(mixer)
    assert spec.n_params() - spec.n_active_params() == 3 * GLU(d_ff=8).n_params(D)


def test_a_state_keeps_its_source_and_takes_no_other() -> None:
    network, target = built(), ids(1, 4, 2)
    read, other = network.read(ids(1, 5, 1)), network.read(ids(1, 5, 3))
    with torch.no_grad():
        right = network(target, source=read).hidden[:, 2:]
        for begun in (network(target[:, :2], state=network.new_state(1), source=read), None):
            state = network(target[:, :2], state=network.new_state(1, source=read)).state if begun is None else begun.state
            torch.testing.assert_close(network(target[:, 2:], state=state).hidden, right)
            torch.testing.assert_close(network(target[:, 2:], state=state, source=read).hidden, right)
            with pytest.raises(LinnetError, match="a source beside a state that has another"):
                network(target[:, 2:], state=state, source=other)


def test_a_source_is_asked_for_and_refused() -> None:
    network, plain = built(), Network(Llama(n_layers=1, n_heads=4, d_model=D).sentence(VOCAB))
    with pytest.raises(LinnetError, match="no source"):
        network(ids(1, 3, 0))
    with pytest.raises(LinnetError, match="no source"):
        network(ids(1, 3, 0), state=network.new_state(1))
    with pytest.raises(LinnetError, match="no encoder"):
        plain(ids(1, 3, 0), source=network.read(ids(1, 3, 0)))
    with pytest.raises(LinnetError, match="without an encoder"):
        plain.read(ids(1, 3, 0))


@pytest.mark.parametrize(
    ("encoder", "cross", "said"),
    [(False, True, "there is no encoder"), (True, False, "nobody looks at"), ("cross", True, "cross attention in the encoder")],
)
def test_sentences_that_contradict_themselves(encoder: object, cross: bool, said: str) -> None:
    table = dump(Translate(n_layers=1, n_heads=4, d_model=D).sentence(VOCAB))
    if not cross:
        del table["decoder"]["layers"][0]["pattern"][0]["sublayers"][1]
    if not encoder:
        table["encoder"] = None
    elif encoder == "cross":
        table["encoder"]["stack"]["layers"][0]["pattern"][0]["sublayers"][0]["mixer"] = {"kind": "cross", "n_heads": 4}
    with pytest.raises(ConfigError, match=said):
        load(Model, table)


def test_heads_that_do_not_divide_are_all_named() -> None:
    table = dump(Translate(n_layers=1, n_heads=4, d_model=D).sentence(VOCAB))
    table["decoder"]["layers"][0]["pattern"][0]["sublayers"][1]["mixer"] = {"kind": "cross", "n_heads": 5, "n_kv_heads": 2}
    with pytest.raises(ConfigError, match=r"cross: n_heads = 5 .*cross: n_kv_heads = 2"):
        load(Model, table)


def test_the_tests_kill_keys_of_another_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.model.mixer import cross

    monkeypatch.setattr(cross.SourceKeyValue, "select", lambda self, rows: self)
    with pytest.raises((AssertionError, RuntimeError)):
        test_rows_of_a_state_keep_their_sources()


def test_the_tests_kill_a_source_that_all_documents_read(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = CrossLayer.forward

    def mutant(self: CrossLayer, x: Tensor, context: object, state: object = None) -> object:
        context.source_mask = lambda: (None, None)  # type: ignore[attr-defined]
        return forward(self, x, context, state)  # type: ignore[arg-type]

    monkeypatch.setattr(CrossLayer, "forward", mutant)
    for test in (test_padding_of_a_source_is_not_read, lambda: test_each_document_reads_its_own_source(None)):
        with pytest.raises(AssertionError):
            test()


def test_causal_encoders_and_odd_stacks_are_sentences_too() -> None:
    stack = Stack(layers=(Repeat.model_validate({"pattern": [{"sublayers": [{"mixer": {"kind": "attention", "n_heads": 4}}]}]}),))
    assert Encoder(stack=stack).n_params(D) == Attention(n_heads=4).n_params(D)
    assert Cross(n_heads=4).n_params(D) == Attention(n_heads=4).n_params(D)
