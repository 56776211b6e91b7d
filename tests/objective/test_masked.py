"""Masked tokens: what is hidden, by how much, and that the loss is that of the hidden places and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from linnet.core.errors import ConfigError, TokenizerError
from linnet.core.seeds import generator
from linnet.core.spec import load, words
from linnet.data.batch import Batch
from linnet.model import Attention, Head, Network
from linnet.objective import Masked, NextToken, Objective, ObjectiveSpec
from linnet.objective.masked import MaskedTokens, some_of
from linnet.tokenizer.mask import MASK
from linnet.tokenizer.simple import byte_tokenizer
from linnet.tokenizer.spec import TokenizerSpec
from linnet.train.evaluation import token_nats
from linnet.zoo import GPT2, Bert, LongformerFamily, Translate
from linnet.zoo.family import stack_of

TOKENIZER = byte_tokenizer((MASK,))
V, END, HIDDEN = TOKENIZER.vocab_size, TOKENIZER.end_id, TOKENIZER.special[MASK]
SMALL = {"n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 64}


def text(rows: int = 40, length: int = 60, seed: int = 0) -> Batch:
    """Bytes by chance, an end token here and there, the last row half padding."""
    tokens = torch.randint(0, 200, (rows, length + 1), generator=generator(seed, "text"))
    tokens[:, 20] = END
    documents = (torch.arange(length) > 20).int().expand(rows, length).clone()
    weights = torch.ones(rows, length)
    tokens[-1, 30:], documents[-1, 30:], weights[-1, 29:] = END, -1, 0
    return Batch(tokens[:, :-1], tokens[:, 1:], weights, documents)


def posed(spec: Masked, batch: Batch, seed: int = 0) -> Batch:
    [found] = spec.bound(TOKENIZER).posed([batch], seed)
    return found


def test_shares_are_those_that_were_asked_for() -> None:
    """Exactly a share of each row's places, rounded up; of these 80, 10 and 10 % to within four standard deviations."""
    batch = text(rows=400)
    found = posed(Masked(), batch)
    asked = found.weights > 0
    able = (batch.tokens != END) & (batch.documents >= 0)
    assert torch.equal(asked.sum(1), (0.15 * able.sum(1).double()).ceil().long())
    n = int(asked.sum())
    masked = float((found.tokens == HIDDEN)[asked].double().mean())
    changed = float(((found.tokens != batch.tokens) & (found.tokens != HIDDEN))[asked].double().mean())
    assert masked == pytest.approx(0.8, abs=4 * (0.16 / n) ** 0.5)
    assert changed == pytest.approx(0.1 * (1 - 1 / 256), abs=4 * (0.09 / n) ** 0.5)
    places = asked[:-1].double().mean(0)  # every place is as likely as any other
    assert float(places[20]) == 0
    spread = (0.15 * 0.85 / 399) ** 0.5
    assert float((places[torch.arange(60) != 20] - 9 / 59).abs().max()) < 4.5 * spread


def test_what_is_not_asked_for_stands_as_it_did() -> None:
    batch = text()
    found = posed(Masked(), batch)
    asked = found.weights > 0
    assert torch.equal(found.targets, batch.tokens)
    assert torch.equal(found.tokens[~asked], batch.tokens[~asked])
    assert not (asked & ((batch.tokens == END) | (batch.documents < 0))).any()
    put = found.tokens[asked & (found.tokens != HIDDEN)]
    assert not torch.isin(put, torch.tensor(sorted(TOKENIZER.special.values()))).any()
    assert torch.equal(found.documents, batch.documents)


def test_what_has_no_weight_is_not_asked_for() -> None:
    """A token's own weight is that of the place before it, which is where the next token is predicted."""
    batch = text()
    weights = batch.weights.clone()
    weights[:, 9:15] = 0  # the tokens 10 … 15
    weights[:, 30] = 2.0  # the token 31
    found = posed(Masked(rate=1.0, masked=1.0, random=0.0), replace(batch, weights=weights))
    able = (batch.tokens != END) & (batch.documents >= 0)
    able[:, 10:16] = False
    assert torch.equal(found.weights > 0, able)
    assert torch.equal(found.weights[:-1, 31], torch.full((39,), 2.0))


def test_padding_is_not_seen_where_documents_are_not_kept_apart() -> None:
    """The end token that ends a document is seen, those that fill the row behind it are not; nothing changes without padding."""
    tokens = torch.randint(0, 200, (3, 12), generator=generator(0, "padded"))
    tokens[:, 7:], weights = END, torch.ones(3, 12)
    weights[0, 7:], weights[1, 3:] = 0, 0  # the row ends at place 7; of the second only three tokens more are learned
    found = posed(Masked(), Batch(tokens, tokens, weights))
    assert found.documents is not None
    assert found.documents.tolist() == [[0] * 8 + [-1] * 4, [0] * 7 + [-1] * 5, [0] * 12]
    assert posed(Masked(), replace(text(3), documents=None, weights=torch.ones(3, 60))).documents is None


def test_shares_of_a_few_places() -> None:
    able = torch.tensor([[True] * 5, [True, False, False, False, True], [False] * 5])
    for seed in range(50):
        chosen = some_of(able, 0.3, generator(seed, "few"))
        assert chosen.sum(1).tolist() == [2, 1, 0]
        assert not (chosen & ~able).any()
    assert some_of(torch.ones(1, 100, dtype=torch.bool), 0.07, generator(0, "seven")).sum() == 7


def test_a_batch_is_asked_the_same_whatever_came_before_it() -> None:
    objective = Masked().bound(TOKENIZER)
    batches = [text(4, seed=n) for n in range(4)]
    whole = list(objective.posed(batches, seed=5))
    after = list(objective.posed(batches[2:], seed=5, first=2))
    for one, other in zip(whole[2:], after, strict=True):
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.weights, other.weights)
    other = next(objective.posed(batches, seed=6))
    assert not torch.equal(other.weights, whole[0].weights)
    assert not torch.equal(whole[0].weights > 0, whole[1].weights > 0)


@pytest.mark.parametrize("family", [Bert, LongformerFamily])
def test_the_loss_is_that_of_the_hidden_places(family: type) -> None:
    network = Network(family(**SMALL).sentence(V), seed=1).double()
    batch = posed(Masked(), text(6))
    batch = replace(batch, weights=batch.weights.double())
    objective = Masked().bound(TOKENIZER)
    loss = objective(network, batch)
    asked = batch.weights > 0
    scores = network.logits(network(batch.tokens, documents=batch.documents).hidden)[asked]
    expected = cross_entropy(scores, batch.targets[asked], reduction="sum")
    assert torch.allclose(loss.total, expected, rtol=1e-12)
    assert float(objective.count(batch)) == float(asked.sum()) == float(loss.logs["loss"][1])
    ours = torch.autograd.grad(loss.total, list(network.parameters()), allow_unused=True)
    theirs = torch.autograd.grad(expected, list(network.parameters()), allow_unused=True)
    for mine, its in zip(ours, theirs, strict=True):
        assert (mine is None) == (its is None)
        if mine is not None:
            assert torch.allclose(mine, its, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 4])
def test_micro_batches_add_up(rows: int) -> None:
    network, objective = Network(Bert(**SMALL).sentence(V), seed=1).double(), Masked().bound(TOKENIZER)
    batch = posed(Masked(), text(6))
    whole = objective(network, batch).total
    parts = [objective(network, batch.rows(start, start + rows)).total for start in range(0, 6, rows)]
    assert torch.allclose(torch.stack(parts).sum(), whole, rtol=1e-12)


def test_a_row_of_which_nothing_can_be_asked() -> None:
    network, objective = Network(Bert(**SMALL).sentence(V), seed=1), Masked().bound(TOKENIZER)
    batch = text(2)
    batch = replace(batch, tokens=torch.full_like(batch.tokens, END))
    [nothing] = objective.posed([batch], 0)
    assert nothing.weights.sum() == 0
    loss = objective(network, nothing)
    assert loss.total.item() == 0
    assert torch.isfinite(loss.total / objective.count(nothing))


# the law of the objective, and what breaks it -----------------------------------------------------------------------------


def answers_seen(objective: Objective, batch: Batch) -> float:
    """Another answer at every hidden place, the same chance: how far hidden states move, which is not at all; the targets all do."""
    network = Network(Bert(**SMALL).sentence(V), seed=1)
    one = next(objective.posed([batch], 3))
    asked = one.weights > 0
    others = replace(batch, tokens=torch.where(asked, (batch.tokens + 1) % 200, batch.tokens))
    two = next(objective.posed([others], 3))
    assert asked.any()
    assert (one.targets != two.targets)[asked].all()
    apart = network(one.tokens, documents=one.documents).hidden - network(two.tokens, documents=two.documents).hidden
    return float(apart.detach().abs().max())


@pytest.mark.parametrize("shares", [{"masked": 1.0, "random": 0.0}, {"masked": 0.0, "random": 1.0}])
@pytest.mark.parametrize("apart", [True, False])
def test_the_answer_cannot_be_seen(shares: dict[str, float], apart: bool) -> None:
    batch = text(4) if apart else replace(text(4), documents=None)
    assert answers_seen(Masked(**shares).bound(TOKENIZER), batch) == 0


def leaves_tokens(objective: MaskedTokens, batch: Batch, draws: torch.Generator) -> Batch:
    return replace(HIDE(objective, batch, draws), tokens=batch.tokens)


def hides_neighbours(objective: MaskedTokens, batch: Batch, draws: torch.Generator) -> Batch:
    found = HIDE(objective, batch, draws)
    return replace(found, tokens=torch.where((found.weights > 0).roll(1, 1), HIDDEN, batch.tokens))


def counts_letters(objective: MaskedTokens, batch: Batch, draws: torch.Generator) -> Batch:
    return replace(HIDE(objective, batch, draws), documents=batch.tokens.to(torch.int32) % 2)


HIDE = MaskedTokens.hide


@pytest.mark.parametrize("mutant", [leaves_tokens, hides_neighbours, counts_letters])
def test_the_law_kills(mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaskedTokens, "hide", mutant)
    assert answers_seen(Masked(masked=1.0, random=0.0).bound(TOKENIZER), text(4)) > 1e-3


def test_the_end_of_a_row_is_a_place_like_others() -> None:
    """The last token of a row of a document is only a target to those that see what stands before; here it is read and asked for."""
    tokens = torch.arange(1, 13)[None].repeat(2, 1)
    tokens[:, 8:], documents = END, torch.zeros(2, 12, dtype=torch.int32)
    weights = torch.ones(2, 12)
    documents[:, 7:], weights[:, 7:] = -1, 0  # place 7 holds the last letter, which place 6 predicts; place 8 the end
    found = posed(Masked(rate=1.0, masked=1.0, random=0.0), Batch(tokens, tokens.roll(-1, 1), weights, documents))
    assert found.documents is not None
    assert found.documents.tolist() == [[0] * 8 + [-1] * 4] * 2
    assert (found.weights > 0).tolist() == [[True] * 8 + [False] * 4] * 2


@pytest.mark.parametrize("head", [Head(tied=True), Head(tied=True, bias=True)])
def test_few_scores_are_those_of_all(head: Head) -> None:
    """By the head's matrix and without; where nothing is asked, nothing is lost. Attention that sees both ways need not be BERT's."""
    spec = GPT2(**SMALL).sentence(V)
    block = next(spec.decoder.blocks())
    both = block.replace(
        sublayers=tuple(
            part.replace(mixer=part.mixer.replace(causal=False)) if isinstance(part.mixer, Attention) else part
            for part in block.sublayers
        )
    )
    network = Network(spec.replace(head=head, decoder=stack_of((both, 1), final_norm=spec.decoder.final_norm)), seed=1)
    assert (network.head_matrix is None) == head.bias
    objective = Masked().bound(TOKENIZER)
    Masked().check(network.spec)
    few = posed(Masked(), text(6))
    nats = token_nats(network, few)
    whole = token_nats(network, replace(few, weights=torch.ones_like(few.weights)))
    asked = few.weights > 0
    assert asked.sum() < asked.numel() / 2
    assert torch.allclose(nats[asked], whole[asked], rtol=1e-5, atol=1e-5)
    assert not nats[~asked].any()
    loss = objective(network, few)
    assert loss.total.item() == pytest.approx(float(nats.sum()), rel=1e-5)
    nothing = replace(few, weights=torch.zeros_like(few.weights))
    assert not token_nats(network, nothing).any()
    assert objective(network, nothing).total.item() == 0


def test_a_tokenizer_gets_one_mask() -> None:
    for kind in ("byte", "char", {"kind": "bpe", "vocab_size": 300}):
        spec = load(TokenizerSpec, kind)  # type: ignore[type-abstract]
        assert Masked().with_special(spec).names() == (MASK,)
        assert NextToken().with_special(spec) == spec
    own = load(TokenizerSpec, {"kind": "byte", "special": ["[MASK]"]})  # type: ignore[type-abstract]
    assert Masked().with_special(own) == own


def test_words_and_refusals() -> None:
    assert words(ObjectiveSpec) == {"masked": Masked, "next_token": NextToken}
    assert load(ObjectiveSpec, "masked") == Masked()
    assert load(ObjectiveSpec, "next_token") == NextToken()
    with pytest.raises(ConfigError, match=r"masked \+ random = 1.2; needed: at most 1"):
        load(Masked, {"masked": 0.9, "random": 0.3})
    with pytest.raises(ConfigError, match="rate"):
        load(Masked, {"rate": 0.0})
    with pytest.raises(TokenizerError, match=r"a tokenizer without <\|mask\|>"):
        Masked().bound(byte_tokenizer(()))
    for family, got in ((GPT2, "sees only what stands before, to learn masked tokens"), (Translate, "reads a source")):
        with pytest.raises(ConfigError, match=got):
            Masked().check(family(**SMALL).sentence(V))
    Masked().check(Bert(**SMALL).sentence(V))
    assert isinstance(Masked().bound(TOKENIZER), MaskedTokens)
    assert NextToken().bound(TOKENIZER) == NextToken()
    objectives: list[Objective] = [Masked().bound(TOKENIZER), NextToken()]
    assert [each.adds_up for each in objectives] == [False, True]
