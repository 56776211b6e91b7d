"""Law 15: byte-pair encoding in Rust does what it does in Python. Each law has a mutant."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_text import random_text

from linnet.core.native import native_available, native_problem
from linnet.tokenizer import native
from linnet.tokenizer.bpe import Pair, learn_merges, merge_chunk
from linnet.tokenizer.bpe_tokenizer import BPETokenizer, count_chunks, train_bpe
from linnet.tokenizer.pretokenize import PATTERNS, chunks_of_bytes, text_to_bytes

FEW_LETTERS = st.lists(st.sampled_from(b"abc"), max_size=20).map(bytes)
CHUNKS = st.dictionaries(FEW_LETTERS | st.binary(max_size=12), st.integers(1, 4), max_size=12)
BYTES = [bytes([byte]) for byte in range(256)]

pytestmark = pytest.mark.skipif(not native_available(), reason=f"no native library: {native_problem()}")

Encode = Callable[[bytes], Sequence[int]]

# ── Learning ────────────────────────────────────────────────────────────────────────────────────────────────────────


def learns_alike(
    learn: Callable[[Mapping[bytes, int], int], list[Pair]], chunks: Mapping[bytes, int], n_merges: int = 40
) -> bool:
    """The law of the two trainers: same merges, ties included."""
    return learn(chunks, n_merges) == learn_merges(chunks, n_merges)


@given(CHUNKS)
@settings(max_examples=300)
def test_the_same_merges(chunks: dict[bytes, int]) -> None:
    assert learns_alike(native.learn_merges, chunks)


def test_the_same_merges_on_much_random_text() -> None:
    chance = random.Random(0)
    chunks = {bytes(chance.choices(b"abcdefgh", k=chance.randint(1, 9))): chance.randint(1, 5) for _ in range(4000)}
    chunks[bytes(chance.choices(b"abcdefgh", k=50_000))] = 1
    assert learns_alike(native.learn_merges, chunks, 3000)


def test_the_law_finds_the_wrong_order_of_ties() -> None:
    def first_seen_first(chunks: Mapping[bytes, int], n_merges: int) -> list[Pair]:
        """Equal counts in the order of appearance, as a trainer without a rule for ties would have it."""
        order: dict[int, int] = {}
        for byte in b"".join(chunks):
            order.setdefault(byte, len(order))
        names = list(order)
        renamed = {bytes(order[byte] for byte in chunk): count for chunk, count in chunks.items()}
        return [tuple(names[side] if side < 256 else side for side in pair) for pair in learn_merges(renamed, n_merges)]  # type: ignore[misc]

    ties = {b"cd": 2, b"ab": 2}
    assert not learns_alike(first_seen_first, ties, 1)
    assert learns_alike(native.learn_merges, ties, 1)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_merges_from_texts(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in many batches and on several threads: chunks of more than 15 bytes, too, which are counted elsewhere."""
    monkeypatch.setattr(native, "BATCH_BYTES", 3000)
    monkeypatch.setattr(native, "n_cores", lambda: 3)
    chance = random.Random(1)
    texts = [random_text(chance, 60) + " unforgettablenesses" * chance.randint(0, 2) for _ in range(400)]
    merges = native.count_and_learn(map(text_to_bytes, texts), 300, pattern)
    assert len(merges) == 300
    assert merges == learn_merges(count_chunks(texts, pattern), 300)


def test_progress_is_reported() -> None:
    heard: list[int] = []
    chunks = {bytes([a, b]): 2 for a in range(10) for b in range(10)}
    merges = native.learn_merges(chunks, 1000, heard.append)
    assert heard == [64, len(merges)]


# ── Splitting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def splits_alike(split: Callable[[bytes, str], list[bytes]], data: bytes, pattern: str) -> bool:
    """The law of the two splitters: same chunks."""
    return split(data, pattern) == chunks_of_bytes(data, pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_chunks(pattern: str) -> None:
    chance = random.Random(2)
    for _ in range(5000):
        assert splits_alike(native.split_bytes, text_to_bytes(random_text(chance, surrogates=True)), pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_chunks_of_damaged_text(pattern: str) -> None:
    chance = random.Random(3)
    for _ in range(3000):
        data = bytearray(text_to_bytes(random_text(chance, surrogates=True)))
        for _ in range(min(len(data), 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        assert splits_alike(native.split_bytes, bytes(data), pattern)


@given(st.binary(max_size=40), st.sampled_from(list(PATTERNS)))
def test_the_same_chunks_of_any_bytes(data: bytes, pattern: str) -> None:
    assert splits_alike(native.split_bytes, data, pattern)


def test_the_law_finds_a_splitter_that_forgets_the_long_s() -> None:
    def forgetful(data: bytes, pattern: str) -> list[bytes]:
        return native.split_bytes(data.replace("ſ".encode(), b"zz"), pattern)

    data = "it'ſa".encode()
    assert not splits_alike(forgetful, data, "gpt4")
    assert splits_alike(native.split_bytes, data, "gpt4")


# ── Encoding ────────────────────────────────────────────────────────────────────────────────────────────────────────


def encodes_alike(encode: Encode, reference: Encode, data: bytes) -> bool:
    """The law of the two encoders: same ids."""
    return list(encode(data)) == list(reference(data))


def by_the_book(tokens: Sequence[bytes], merges: Sequence[Pair] | None, pattern: str) -> Encode:
    """What `native.Encoder` is to do, in Python: with merges their rank decides; without, the id of what two tokens spell."""
    ids = {token: token_id for token_id, token in enumerate(tokens) if token}
    if merges is None:
        splits = [(token[:cut], token[cut:], token_id) for token, token_id in ids.items() for cut in range(1, len(token))]
        table = {(ids[a], ids[b]): (made, made) for a, b, made in splits if a in ids and b in ids}
    else:
        table = {}
        for rank, (a, b) in enumerate(merges):
            table.setdefault((a, b), (rank, ids[tokens[a] + tokens[b]]))

    def encode(data: bytes) -> list[int]:
        found: list[int] = []
        for chunk in chunks_of_bytes(data, pattern):
            whole = merges is None and chunk in ids
            found += [ids[chunk]] if whole else merge_chunk([ids[bytes([byte])] for byte in chunk], table)
        return found

    return encode


def native_encoder(tokens: Sequence[bytes], merges: Sequence[Pair] | None, pattern: str) -> native.Encoder:
    ids = {token: token_id for token_id, token in enumerate(tokens) if token}
    rows = None if merges is None else [(a, b, ids[tokens[a] + tokens[b]]) for a, b in merges]
    return native.Encoder(pattern, tokens, rows, whole=merges is None)


def random_vocabulary(chance: random.Random, n_merges: int, letters: bytes, learned: bool) -> tuple[list[bytes], list[Pair]]:
    """Tokens, with bytes in any order, and merges; in the order in which they could be learned, or in any order at all."""
    tokens = [*BYTES]
    merges: list[Pair] = []
    usable = [*letters]
    while len(merges) < n_merges:
        a, b = chance.choice(usable), chance.choice(usable)
        if len(tokens[a] + tokens[b]) > 12:
            continue
        merges.append((a, b))
        if tokens[a] + tokens[b] not in tokens:
            usable.append(len(tokens))
            tokens.append(tokens[a] + tokens[b])
    if not learned:
        chance.shuffle(merges)
    order = list(range(len(tokens)))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    return [tokens[old] for old in order], [(place[a], place[b]) for a, b in merges]


@pytest.mark.parametrize("seed", range(60))
def test_the_same_ids(seed: int) -> None:
    """Of short chunks and long ones, whatever the ranks: what is learned is in order, what a file says need not be."""
    chance = random.Random(seed)
    letters = [b"ab", b"abcd", bytes(range(97, 123)), bytes(range(256))][seed % 4]
    tokens, merges = random_vocabulary(chance, chance.randint(0, 200), letters, learned=seed % 3 > 0)
    by_rank = native_encoder(tokens, merges, "gpt4").encode
    by_id = native_encoder(tokens, None, "gpt4").encode
    for _ in range(150):
        data = bytes(chance.choices(letters + b" " * (seed % 2), k=chance.randint(0, 80)))
        assert encodes_alike(by_rank, by_the_book(tokens, merges, "gpt4"), data)
        assert encodes_alike(by_id, by_the_book(tokens, None, "gpt4"), data)


def test_a_chunk_that_no_merge_makes_stays_one_where_ids_decide() -> None:
    tokens = [*BYTES, b"abc", b"", b"x y"]  # nothing makes abc: neither ab nor bc is a token
    assert native_encoder(tokens, None, "gpt2").encode(b"abc abcd").tolist() == [256, 32, 97, 98, 99, 100]
    assert native_encoder(tokens, [], "gpt2").encode(b"abc").tolist() == [97, 98, 99]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_ids_of_random_text(pattern: str) -> None:
    """In one text after another, so that chunks are remembered from earlier ones; and in batches on several threads."""
    chance = random.Random(4)
    texts = [random_text(chance, 60, surrogates=True) for _ in range(1500)]
    tokenizer = train_bpe(texts[:700], 700, pattern=pattern)
    plain = [tokenizer.encode_plainly(text) for text in texts]
    assert [tokenizer.encode(text) for text in texts] == plain
    for n_threads in (1, 2, 5):
        ids, ends = tokenizer._encoder.encode_batch([text_to_bytes(text) for text in texts], n_threads)
        borders = [0, *ends.tolist()]
        assert [ids[start:end].tolist() for start, end in pairwise(borders)] == plain


def test_texts_of_a_batch_lie_where_they_are_or_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not copied where Python says where its bytes lie; else they are put together."""
    chance = random.Random(6)
    encoder = train_bpe([random_text(chance, 60) for _ in range(200)], 400, pattern="gpt2")._encoder
    for count in (0, 1, 2, 300):
        texts = [chance.randbytes(chance.choice((0, 1, 7, 100, 3000))) for _ in range(count)] + [b"\0", b""] * (count > 1)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(native, "python_functions", lambda: None)
            ids, ends = encoder.encode_batch(texts, 2)
        for several in (texts, tuple(texts)):
            found, found_ends = encoder.encode_batch(several, 2)
            assert found.tolist() == ids.tolist()
            assert found_ends.tolist() == ends.tolist()
    for wrong in ([b"a", "b"], [b"a", None], [memoryview(b"a")], [b"a", 3]):
        with pytest.raises(TypeError, match="bytes"):
            encoder.encode_batch(wrong, 2)


def test_numbers_of_ids_are_those_of_tolist(monkeypatch: pytest.MonkeyPatch) -> None:
    luck = np.random.default_rng(3)
    numbers = native.Numbers(70_000)
    for size in (0, 1, 2, 15, 16, 17, 1000, 100_000):
        ids = luck.integers(0, 70_000, size, dtype=np.uint32)
        assert numbers.of(ids) == ids.tolist()
        assert all(type(number) is int for number in numbers.of(ids))
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(native, "python_functions", lambda: None)
            assert numbers.of(ids) == ids.tolist()
    assert numbers.of(np.arange(10, dtype=np.uint32)[::3]) == [0, 3, 6, 9]
    one = numbers.objects[60_001]
    before = sys.getrefcount(one)
    for _ in range(100):
        numbers.of(np.full(50, 60_001, np.uint32))
    assert sys.getrefcount(one) == before  # what was lent is given back
    with pytest.raises(SystemError, match="bad argument"):
        numbers.of(np.array([1, 70_000], np.uint32))


def test_long_chunks_like_many_short_steps() -> None:
    """Chunks of thousands of bytes, in which the longest token is often the wrong one, against the heap in Python."""
    chance = random.Random(5)
    tokenizer = train_bpe(["".join(chance.choices("abcdefgh", weights=range(1, 9), k=5000))], 900)
    for letters in ("abcdefgh", "ab", "h", "hg"):
        text = "".join(chance.choices(letters, k=20_000))
        assert tokenizer.encode(text) == tokenizer.encode_plainly(text)


def test_the_law_finds_an_encoder_that_takes_the_longest_token() -> None:
    tokens, merges = [*BYTES, b"bc", b"ab"], [(98, 99), (97, 98)]

    def greedy(data: bytes) -> list[int]:
        """Longest match from the left, which is not what BPE does."""
        return [257, 99] if data == b"abc" else [*data]

    assert not encodes_alike(greedy, by_the_book(tokens, merges, "gpt4"), b"abc")
    assert encodes_alike(native_encoder(tokens, merges, "gpt4").encode, by_the_book(tokens, merges, "gpt4"), b"abc")


def test_arrays_outlive_what_they_came_from() -> None:
    encoder = native.Encoder("gpt4", BYTES, [])
    ids, ends = encoder.encode_batch([b"a" * 50_000, b"", b"b"])
    del encoder
    assert ids.dtype == np.uint32
    assert ends.tolist() == [50_000, 50_000, 50_001]
    assert ids[:50_000].tolist() == [97] * 50_000
    assert native.Encoder("gpt4", BYTES, []).encode(b"").tolist() == []
    assert native.Encoder("gpt4", BYTES, []).encode_batch([])[0].tolist() == []


def test_bytes_that_are_no_text_come_back() -> None:
    tokenizer = train_bpe(["naïve café ĺ"], 280)
    data = bytes(range(256)) + "naïve".encode()[:3] + b"\xff\xc3"
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data
    plain = BPETokenizer(tokenizer.tokens, tokenizer.merges, pattern=tokenizer.pattern, special=tokenizer.special)
    plain.__dict__["_encoder"] = None  # as where there is no library
    assert plain.encode_bytes(data) == tokenizer.encode_bytes(data)
