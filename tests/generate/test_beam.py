"""Beam search finds what trying everything finds, one beam is greedy decoding, and it says what transformers' says."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from linnet.core.errors import LinnetError
from linnet.core.spec import load
from linnet.generate import beam as module
from linnet.generate.beam import Beam, beam_search
from linnet.generate.decode import Decoder
from linnet.generate.sampler import Sampling
from linnet.generate.translate import longest_answer, translate
from linnet.interop.huggingface import import_network
from linnet.model.network import Network
from linnet.model.state import Source
from linnet.tokenizer import train_tokenizer
from linnet.tokenizer.spec import TokenizerSpec
from linnet.zoo import GPT2, Llama, Translate

V, END = 4, 0


def translator(seed: int) -> Network:
    """A model that has something to say: with its first weights alone it says its last token over and over, in every beam."""
    network = Network(Translate(n_layers=1, n_heads=2, d_model=16).sentence(V), seed=seed).eval().double()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1 if name.startswith("embedding") else 0.6, generator=draws))
    return network


def read(network: Network, seed: int = 0, rows: int = 3) -> Source:
    tokens = torch.randint(0, V, (rows, 5), generator=torch.Generator().manual_seed(seed))
    documents = torch.zeros(rows, 5, dtype=torch.int64)
    documents[1, 3:] = -1
    with torch.no_grad():
        return network.read(tokens, documents=documents)


@torch.no_grad()
def log_p(network: Network, tokens: tuple[int, ...], source: Source, row: int) -> float:
    """Of a whole answer, in one pass and without a state."""
    given = torch.tensor([[END, *tokens[:-1]]])
    hidden = network(given, source=source.select(torch.tensor([row]))).hidden
    logs = network.logits(hidden)[0].log_softmax(-1)
    return float(sum(logs[place, token] for place, token in enumerate(tokens)))


def every_answer(most: int) -> list[tuple[int, ...]]:
    """All that end with END within `most` tokens, and all of that length that have not ended."""
    words = [token for token in range(V) if token != END]
    ended = [(*body, END) for n in range(most) for body in itertools.product(words, repeat=n)]
    return ended + list(itertools.product(words, repeat=most))


def the_best(network: Network, source: Source, row: int, most: int, penalty: float) -> tuple[tuple[int, ...], float]:
    scored = [(log_p(network, answer, source, row) / len(answer) ** penalty, answer) for answer in every_answer(most)]
    score, answer = max(scored)
    return answer, score


def agrees_with_everything(penalty: float) -> None:
    for seed in range(3):
        network = translator(seed)
        source = read(network, seed)
        found = beam_search(
            network,
            torch.full((3, 1), END),
            Beam(n_beams=V**3, length_penalty=penalty),
            end_id=END,
            max_tokens=3,
            source=source,
        )
        for row in range(3):
            answer, score = the_best(network, source, row, 3, penalty)
            assert found[row][0].tokens == answer
            assert math.isclose(found[row][0].score, score, rel_tol=1e-9)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_wide_beams_find_the_best_of_all_answers(penalty: float) -> None:
    agrees_with_everything(penalty)


def worth_what_they_say() -> None:
    for seed in range(3):
        network = translator(seed)
        source = read(network, seed)
        beam = Beam(n_beams=3)
        for row, found in enumerate(beam_search(network, torch.full((3, 1), END), beam, end_id=END, max_tokens=6, source=source)):
            assert found
            assert found == sorted(found, key=lambda each: -each.score)
            for each in found:
                assert math.isclose(each.logprob, log_p(network, each.tokens, source, row), rel_tol=1e-9)
                assert math.isclose(each.score, each.logprob / len(each.tokens))


def test_narrow_beams_say_what_their_answers_are_worth() -> None:
    worth_what_they_say()


@pytest.mark.parametrize("family", [GPT2, Llama])
def test_one_beam_is_greedy(family: type) -> None:
    network = Network(family(n_layers=2, d_model=32, n_heads=4).sentence(50), seed=1).eval()
    prompts = torch.randint(1, 50, (4, 6), generator=torch.Generator().manual_seed(0))
    found = beam_search(network, prompts, Beam(n_beams=1), end_id=0, max_tokens=20)
    decoder = Decoder(network, prompts.tolist(), Sampling(temperature=0))
    for step in range(20):
        decoder.step()
        if step < 19:
            decoder.read()
    for row, hypotheses in zip(decoder.rows, found, strict=True):
        said = row[6:]
        said = said[: said.index(0) + 1] if 0 in said else said
        assert hypotheses[0].tokens == tuple(said)


def test_rows_do_not_depend_on_their_neighbours() -> None:
    network = translator(2)
    source = read(network)
    options = {"end_id": END, "max_tokens": 7}
    together = beam_search(network, torch.full((3, 1), END), Beam(n_beams=3), source=source, **options)
    for row in range(3):
        alone = beam_search(
            network, torch.full((1, 1), END), Beam(n_beams=3), source=source.select(torch.tensor([row])), **options
        )
        assert [each.tokens for each in alone[0]] == [each.tokens for each in together[row]]


def test_each_row_has_its_own_limit() -> None:
    cut = 0
    for seed in range(4):
        network = translator(seed)
        source = read(network, seed)
        most = [2, 7, 1]
        together = beam_search(network, torch.full((3, 1), END), Beam(n_beams=3), end_id=END, max_tokens=most, source=source)
        for row in range(3):
            one = {"end_id": END, "max_tokens": most[row], "source": source.select(torch.tensor([row]))}
            alone = beam_search(network, torch.full((1, 1), END), Beam(n_beams=3), **one)
            assert [each.tokens for each in alone[0]] == [each.tokens for each in together[row]]
            assert all(len(each.tokens) <= most[row] for each in together[row])
            cut += any(each.tokens[-1] != END for each in together[row])
    assert cut > 2
    with pytest.raises(LinnetError, match="or for each"):
        beam_search(network, torch.full((3, 1), END), Beam(), end_id=END, max_tokens=[2, 3], source=source)


def test_a_translation_does_not_depend_on_its_neighbours() -> None:
    tokenizer = train_tokenizer(load(TokenizerSpec, {"kind": "byte"}), ())  # type: ignore[type-abstract]
    network = Network(Translate(n_layers=1, n_heads=2, d_model=16).sentence(tokenizer.vocab_size), seed=0).eval().double()
    sources = ["a", "a b c d e f g h"]
    together = translate(network, tokenizer, sources, beam=Beam(n_beams=2))
    alone = [translate(network, tokenizer, [each], beam=Beam(n_beams=2))[0] for each in sources]
    assert [each.tokens for each in together] == [each.tokens for each in alone]
    assert len(together[0].tokens) == longest_answer(2, None) < len(together[1].tokens)


@pytest.mark.parametrize(("n_beams", "penalty"), [(4, 1.0), (3, 0.0)])
def test_says_what_transformers_says(n_beams: int, penalty: float) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=24, n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.35)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    ours = import_network(config.to_dict(), dict(theirs.state_dict())).eval()
    prompts = torch.randint(1, 24, (5, 4), generator=torch.Generator().manual_seed(0))
    options = {"early_stopping": False, "eos_token_id": 0, "pad_token_id": 0, "do_sample": False, "max_new_tokens": 20}
    options |= {"attention_mask": torch.ones_like(prompts), "return_dict_in_generate": True, "output_scores": True}
    expected = theirs.generate(prompts, num_beams=n_beams, num_return_sequences=n_beams, length_penalty=penalty, **options)
    found = beam_search(ours, prompts, Beam(n_beams=n_beams, length_penalty=penalty), end_id=0, max_tokens=20)
    ended = 0
    for row, hypotheses in enumerate(found):
        for place, each in enumerate(hypotheses):
            theirs_said = expected.sequences[row * n_beams + place, 4 : 4 + len(each.tokens)].tolist()
            assert list(each.tokens) == theirs_said
            assert abs(each.score - float(expected.sequences_scores[row * n_beams + place])) < 1e-4
            ended += each.tokens[-1] == 0
    assert 0 < ended < 5 * n_beams  # some have ended, and some have not


def test_a_search_that_forgets_to_reorder_its_state_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = module.continued

    def forgetful(*given: Any) -> Any:
        texts, scores, origins, going = plain(*given)
        return texts, scores, torch.arange(origins.shape[1]).expand_as(origins), going

    monkeypatch.setattr(module, "continued", forgetful)
    with pytest.raises(AssertionError):
        worth_what_they_say()


def test_what_cannot_be_searched_is_refused() -> None:
    network = translator(0)
    for prompts, most in ((torch.zeros(2, 0, dtype=torch.int64), 3), (torch.zeros(2, 1, dtype=torch.int64), 0)):
        with pytest.raises(LinnetError, match="prompts of shape"):
            beam_search(network, prompts, Beam(), end_id=END, max_tokens=most, source=read(network, rows=2))
