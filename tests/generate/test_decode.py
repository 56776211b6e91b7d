"""Law 14 and the rest of what decoding promises, against a model that is read whole at every step."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch

from linnet.core.errors import ConfigError, LinnetError
from linnet.core.seeds import generator
from linnet.core.spec import load
from linnet.generate.decode import Decoder, score_tokens
from linnet.generate.generate import generate, stream
from linnet.generate.sampler import Sampling
from linnet.language_model import LanguageModel
from linnet.model import Network
from linnet.tokenizer.simple import ByteTokenizer
from linnet.zoo import Family

SHAPE = {"n_layers": 2, "n_heads": 2, "d_model": 16, "context_length": 24}
FAMILIES: dict[str, dict[str, Any]] = {"gpt2": SHAPE, "llama": SHAPE, "mistral": SHAPE | {"window": 5}, "linnet": SHAPE}
PROMPTS = ["The cat", "a", "Once upon a", "xyz!"]
TOKENIZER = ByteTokenizer()


@cache
def network(family: str = "llama") -> Network:
    """A model with opinions: random weights, large enough that its choices differ."""
    model = Network(load(Family, {"kind": family} | FAMILIES[family]).sentence(257), seed=1).eval()  # type: ignore[type-abstract]
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3)
    return model


def greedy(model: Network, ids: list[int], n: int, context: int | None = None) -> list[int]:
    """The oracle: read everything again for every token. A window that is too long keeps its last half."""
    ids, begin = list(ids), 0
    for _ in range(n):
        if context is not None and len(ids) - begin > context:
            begin = len(ids) - context // 2
        with torch.no_grad():
            ids.append(int(model.logits(model(torch.tensor([ids[begin:]])).hidden[:, -1]).argmax()))
    return ids[-n:]


def draw(
    model: Network, prompts: list[list[int]], n: int, sampling: Sampling, context: int | None = None, names: Any = None
) -> list[list[int]]:
    streams = [generator(0, f"generate/{name}") for name in (names or range(len(prompts)))]
    decoder = Decoder(model, prompts, sampling, streams, context_length=context)
    for _ in range(n):
        decoder.step()
        decoder.read()
    return [row[-n:] for row in decoder.rows]


GREEDY = Sampling(temperature=0)
IDS = [TOKENIZER.encode(prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_the_argmax_of_the_whole_text_read_at_every_step(family: str) -> None:
    model = network(family)
    assert draw(model, [IDS[0]], 12, GREEDY)[0] == greedy(model, IDS[0], 12)
    assert draw(model, IDS, 12, GREEDY) == [greedy(model, ids, 12) for ids in IDS]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("context", [2, 7, 24])
def test_past_the_context_each_row_slides_by_itself(family: str, context: int) -> None:
    """Rows of 1 to 11 tokens together: the long ones outgrow the context long before the short ones."""
    model = network(family)
    assert draw(model, IDS, 30, GREEDY, context) == [greedy(model, ids, 30, context) for ids in IDS]


def test_a_window_that_slides_with_its_neighbours_would_be_caught() -> None:
    """The mutant: every row is cut when the longest one is full."""

    class Together(Decoder):
        def _too_long(self) -> list[int]:
            return list(range(len(self.rows))) if super()._too_long() else []

    model = network()
    decoder = Together(model, IDS, GREEDY, context_length=12)
    for _ in range(12):
        decoder.step()
        decoder.read()
    assert [row[-12:] for row in decoder.rows] != [greedy(model, ids, 12, 12) for ids in IDS]


def test_a_row_of_a_batch_is_that_row_alone() -> None:
    sampling = Sampling(temperature=0.9, top_k=40, top_p=0.95)
    together = draw(network(), IDS, 15, sampling)
    for row, ids in enumerate(IDS):
        assert draw(network(), [ids], 15, sampling, names=[row])[0] == together[row]


def test_rows_that_stop_leave_the_others_as_they_were() -> None:
    decoder = Decoder(network(), IDS, GREEDY)
    for _ in range(3):
        decoder.step()
        decoder.read()
    decoder.step()
    decoder.keep([3, 1])
    for _ in range(4):
        decoder.read()
        decoder.step()
    assert [row[-8:] for row in decoder.rows] == [greedy(network(), IDS[row], 8) for row in (3, 1)]


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_scoring_the_text_again(family: str) -> None:
    """Within 1e-5 nats: token by token and all at once add up in another order."""
    done = generate(
        network(family), TOKENIZER, PROMPTS, sampling=Sampling(temperature=0.7, top_k=20), max_tokens=10, stop_tokens=[0]
    )
    for prompt, written in zip(PROMPTS, done, strict=True):
        ids = TOKENIZER.encode(prompt)
        scored = score_tokens(network(family), [*ids, *written.tokens])[len(ids) - 1 :]
        assert written.logprobs == pytest.approx(scored.tolist(), abs=1e-5)


def test_an_empty_prompt_begins_a_document_from_nothing() -> None:
    [fresh] = generate(network(), TOKENIZER, [""], sampling=GREEDY, max_tokens=6)
    first = greedy(network(), [TOKENIZER.end_id], 1)
    assert list(fresh.tokens) == [*first, *greedy(network(), first, 5)]
    [plain] = generate(network(), TOKENIZER, [""], sampling=GREEDY, max_tokens=6, fresh_documents=False)
    assert list(plain.tokens) == greedy(network(), [TOKENIZER.end_id], 6)
    assert fresh.tokens != plain.tokens
    scored = score_tokens(network(), [TOKENIZER.end_id, *fresh.tokens], fresh_documents=True)
    assert fresh.logprobs == pytest.approx(scored.tolist(), abs=1e-5)
    both = generate(network(), TOKENIZER, ["The cat", ""], sampling=GREEDY, max_tokens=6)  # beside a prompt
    assert both[1].tokens == fresh.tokens
    assert list(both[0].tokens) == greedy(network(), IDS[0], 6)


def test_longer_than_the_context_is_scored_in_windows() -> None:
    ids = TOKENIZER.encode("abcdefghijklmnop")
    whole = score_tokens(network("gpt2"), ids, context_length=5)
    assert len(whole) == 15
    for start in (0, 5, 10):
        torch.testing.assert_close(whole[start : start + 5], score_tokens(network("gpt2"), ids[start : start + 6]))
    assert len(score_tokens(network("gpt2"), ids * 10)) == 159  # more than it has positions
    assert len(score_tokens(network(), [1])) == 0


def test_pieces_joined_are_the_whole_and_stop_strings_cross_tokens() -> None:
    options: dict[str, Any] = {"sampling": Sampling(temperature=1.5), "max_tokens": 40, "seed": 4}
    [whole] = generate(network(), TOKENIZER, ["The cat"], **options)
    assert whole.reason in ("length", "stop_token")
    for prompt_pieces in (list(stream(network(), TOKENIZER, ["The cat"], **options)),):
        assert "".join(piece.text for piece in prompt_pieces) == whole.text
        assert prompt_pieces[-1].done == whole
    stop = whole.text[3:6]
    [cut] = generate(network(), TOKENIZER, ["The cat"], stop=[stop], **options)
    assert cut.reason == "stop_string"
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.tokens == whole.tokens[: len(cut.tokens)]


def test_max_tokens_and_stop_tokens() -> None:
    [one] = generate(network(), TOKENIZER, ["a"], sampling=GREEDY, max_tokens=1)
    assert (len(one.tokens), one.reason) == (1, "length")
    [none] = generate(network(), TOKENIZER, ["a"], sampling=GREEDY, max_tokens=5, stop_tokens=one.tokens)
    assert (none.text, none.tokens, none.reason) == ("", one.tokens, "stop_token")
    with pytest.raises(LinnetError, match="max_new_tokens = 0"):
        generate(network(), TOKENIZER, ["a"], max_tokens=0)
    with pytest.raises(LinnetError, match="an empty prompt"):
        Decoder(network(), [[]], GREEDY)


def test_seeds_reproduce_and_differ() -> None:
    model = LanguageModel.assemble(network(), TOKENIZER, context_length=24)
    texts = [model.generate("The", max_tokens=20, temperature=1.5, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    several = model.complete(["The", "A"], n=2, max_tokens=20, temperature=1.5, seed=0)
    assert [each.prompt for each in several] == ["The", "The", "A", "A"]
    assert several[0].text == texts[0] != several[1].text
    assert "".join(model.stream("The", max_tokens=20, temperature=1.5, seed=0)) == texts[0]


def test_penalties_reach_the_tokens() -> None:
    def most(**penalty: float) -> int:
        [written] = generate(
            network(), TOKENIZER, ["aaaa"], sampling=Sampling(temperature=0, **penalty), max_tokens=60, stop_tokens=[]
        )
        return max(written.tokens.count(token) for token in written.tokens)

    plain = most()
    assert plain > 2, "the case needs a model that repeats itself"
    assert most(frequency_penalty=2.0) < plain
    assert most(presence_penalty=2.0) < plain
    assert most(repetition_penalty=100.0) < plain
    together = generate(network(), TOKENIZER, PROMPTS, sampling=Sampling(temperature=0, repetition_penalty=1.5), max_tokens=15)
    alone = [
        generate(network(), TOKENIZER, [p], sampling=Sampling(temperature=0, repetition_penalty=1.5), max_tokens=15)[0]
        for p in PROMPTS
    ]
    assert [each.tokens for each in together] == [each.tokens for each in alone]


def test_the_name_of_a_special_token_in_a_prompt_is_text() -> None:
    [written] = generate(network(), TOKENIZER, ["<|endoftext|>"], sampling=GREEDY, max_tokens=4)
    assert list(written.tokens) == greedy(network(), list(b"<|endoftext|>"), 4)


def test_a_misspelt_option_is_refused() -> None:
    model = LanguageModel.assemble(network(), TOKENIZER, context_length=24)
    with pytest.raises(ConfigError, match="top_k"):
        model.generate("a", top_kk=3)
    assert network().training is False


def test_a_copy_goes_on_by_itself_and_a_read_that_failed_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    decoder = Decoder(model, [[5, 6, 7]], Sampling(temperature=0))
    decoder.step()
    decoder.read()
    decoder.step()
    other = copy.deepcopy(decoder)
    with monkeypatch.context() as patch:
        patch.setattr("linnet.generate.decode.one_token", lambda *given: None)
        decoder._made_for = -1
        patch.setattr(Network, "forward", lambda *given, **named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            decoder.read()
    for each in (decoder, other):
        each.read()
        each.step()
    assert decoder.rows == other.rows == [[5, 6, 7, *greedy(model, [5, 6, 7], 3)]]


def test_a_stop_token_ends_a_text() -> None:
    written = generate(network(), TOKENIZER, ["ab"], sampling=Sampling(temperature=0), max_tokens=6)[0]
    third = written.tokens[2]
    again = generate(network(), TOKENIZER, ["ab"], sampling=Sampling(temperature=0), max_tokens=6, stop_tokens=[third])[0]
    first = written.tokens.index(third)
    assert again.reason == "stop_token"
    assert again.tokens == written.tokens[: first + 1]
