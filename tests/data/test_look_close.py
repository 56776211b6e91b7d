"""What is done in Rust to every document equals what Python says of it: `look`, `close`, and the search for copies."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from data_helpers import ByteTokenizer

from linnet.core.errors import TokenizerError
from linnet.core.native import native_available
from linnet.data.clean import Control, MinLength, Newlines, NotUtf8, Strip, clean, clean_texts
from linnet.data.close import DIVIDED, Closing, closed_natively, closed_plainly
from linnet.data.look import BLANK, CONTROL, NOT_UTF8, RETURNS, Texts, look, look_plainly
from linnet.data.split import repeated
from linnet.tokenizer.bpe_tokenizer import BPETokenizer

natively = pytest.mark.skipif(not native_available(), reason="the Rust library is not built")


def some_texts(count: int, seed: int) -> Iterator[bytes]:
    """Bytes, characters of all planes, and what lies beside the borders of what is legal."""
    luck = random.Random(seed)
    edges = [
        "\r",
        "\n",
        "\t",
        " ",
        "\0",
        "\x1f",
        "\x7f",
        "\x80",
        "\x85",
        "\x9f",
        "\xa0",
        "\u2028",
        "\u3000",
        "\ufeff",
        "!",
        "~",
        "é",
        "\U0010ffff",
    ]
    broken = [b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xff", b"\xc2"]
    for _ in range(count):
        size = luck.choice([0, 1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000])
        kind = luck.random()
        if kind < 0.2:
            yield luck.randbytes(size)
            continue
        text = "".join(
            luck.choice(edges) if luck.random() < 0.1 else chr(luck.choice([97, 98, 0xE9, 0x4E2D, 0x1F600])) for _ in range(size)
        )
        data = text.encode("utf-8")
        if kind < 0.4:
            at = luck.randint(0, len(data))
            data = data[:at] + luck.choice(broken) + data[at:]
        yield data


@natively
def test_look_in_rust_is_look_in_python() -> None:
    texts = list(some_texts(6000, seed=1))
    for size in (0, 1, 2, 3, 5, 8, 9, 1000, len(texts)):  # the hashes of several texts are made at once
        batch = Texts.of(texts[:size])
        ours, plain = look(batch), look_plainly(batch)
        for field in dataclasses.fields(ours):
            assert (getattr(ours, field.name) == getattr(plain, field.name)).all(), field.name
    seen = set(look(Texts.of(texts)).flags.tolist())
    assert all(
        any(flags & flag for flags in seen) and any(not flags & flag for flags in seen)
        for flag in (NOT_UTF8, RETURNS, CONTROL, BLANK)
    )


@natively
@pytest.mark.parametrize("lanes", [1, 3, 4, 7, 8, 15, 16])
def test_fingerprints_are_blake2b_at_every_length(lanes: int) -> None:
    """Around a block (128 bytes) and with neighbours of other lengths."""
    texts = [bytes([number % 251]) * (length + number) for length in range(0, 400, 13) for number in range(lanes)]
    found = look(Texts.of(texts)).fingerprints
    expected = np.frombuffer(b"".join(hashlib.blake2b(text, digest_size=16).digest() for text in texts), "<u8").reshape(-1, 2)
    assert (found == expected).all()


def test_cleaning_a_batch_is_cleaning_each() -> None:
    steps = (Newlines(), Control(), Strip(), MinLength(characters=3))
    texts = [text for text in some_texts(3000, seed=2) if is_utf8(text)]
    for used in (steps[:2], steps[:1], steps[1:2], steps, ()):
        one_by_one, together = Counter[str](), Counter[str]()
        kept = [clean(text.decode("utf-8"), used, one_by_one) for text in texts]
        found, looks = clean_texts(Texts.of(texts), used, together)
        assert [found[number].decode("utf-8") for number in range(len(found))] == [text for text in kept if text is not None]
        assert together == one_by_one
        assert (looks.fingerprints == look_plainly(found).fingerprints).all()
    with pytest.raises(NotUtf8):
        clean_texts(Texts.of([b"fine", b"\xff"]), steps[:2], Counter())


def is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Wide(ByteTokenizer):
    """Ids of more than 16 bits, of one and two bytes."""

    def __init__(self, vocab: int) -> None:
        super().__init__(vocab=vocab)
        self.special = {"<|endoftext|>": 256, "<|unknown|>": 257}

    def token_bytes(self, token: int) -> bytes:
        return b"ab" if token > 257 else super().token_bytes(token)


@natively
@pytest.mark.parametrize("vocab", [300, 2**16, 2**16 + 1, 70_000])
def test_close_in_rust_is_close_in_python(vocab: int) -> None:
    luck = np.random.default_rng(vocab)
    closing = Closing(Wide(vocab))
    for count in (0, 1, 2, 50):
        sizes = luck.integers(0, 30, count)
        ids = luck.integers(0, vocab, int(sizes.sum())).astype(np.uint32)
        ends = np.cumsum(sizes).astype(np.uint64)
        which = luck.choice([1, 2, 1 + DIVIDED, 2 + DIVIDED], count).astype(np.uint8)
        ours, plain = closed_natively(closing, ids, ends, which), closed_plainly(closing, ids, ends, which)
        by_hand: dict[int, list[int]] = {1: [], 2: []}
        for number in range(count):
            mine = ids[int(ends[number - 1]) if number else 0 : int(ends[number])].tolist()
            by_hand[which[number] & 3] += mine + ([256] if which[number] < DIVIDED else [])
            assert ours.bytes[number] == sum(len(closing.tokenizer.token_bytes(token)) for token in mine)
            assert ours.unknown[number] == sum(token in (256, 257) for token in mine)
        for side in (0, 1):
            assert ours.sides[side].tolist() == by_hand[side + 1] == plain.sides[side].tolist()
            assert ours.sides[side].dtype == plain.sides[side].dtype == (np.uint16 if vocab <= 2**16 else np.uint32)
        assert (ours.bytes == plain.bytes).all()
        assert (ours.unknown == plain.unknown).all()


@natively
@pytest.mark.parametrize("vocab_size", [300, 70_000])
def test_encoding_and_closing_at_once_is_one_after_the_other(vocab_size: int) -> None:
    chance = random.Random(vocab_size)
    merges = [(chance.randrange(97, 123), chance.randrange(97, 123)) for _ in range(30)]
    special = [f"<{number}>" for number in range(vocab_size - 300)]
    tokenizer = BPETokenizer.from_merges(sorted(set(merges)), pattern="gpt2", special=special)
    closing = Closing(tokenizer)
    for count in (0, 1, 2, 50):
        said = ["".join(chance.choices("abcdefghij  \né漢", k=chance.choice((0, 1, 30, 900)))) for _ in range(count)]
        texts = Texts.of([text.encode() for text in said])
        which = np.array(chance.choices([1, 2, 1 + DIVIDED, 2 + DIVIDED], k=count), np.uint8)
        ours, apart = closing.encode(texts, which, n_threads=1), closing.encode(texts, which, n_threads=2)
        for side in (0, 1):
            assert ours.sides[side].tolist() == apart.sides[side].tolist()
            assert ours.sides[side].dtype == (np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
        for found, expected in ((ours.lengths, apart.lengths), (ours.bytes, apart.bytes), (ours.unknown, apart.unknown)):
            assert found.tolist() == expected.tolist()
        assert ours.lengths.tolist() == [len(tokenizer.encode(text)) + (side < DIVIDED) for text, side in zip(said, which)]


@pytest.mark.parametrize("mutant", ["a byte too few", "an id out of range"])
def test_close_refuses(mutant: str) -> None:
    closing = Closing(ByteTokenizer())
    ids, sizes, which = np.array([1, 2, 3], np.uint32), np.array([3], np.uint64), np.array([1], np.uint8)
    closing(ids, np.array([3], np.uint64), sizes, which)
    if mutant == "a byte too few":
        sizes = sizes + np.uint64(1)
    else:
        ids = ids + np.uint32(300)
    with pytest.raises(TokenizerError, match=r"4 bytes of text|gave id 303"):
        closing(ids, np.array([3], np.uint64), sizes, which)


@pytest.mark.parametrize("collide", [False, True])
def test_repeated_finds_every_copy_but_the_first(collide: bool) -> None:
    """Also where the first words of different texts are equal."""
    luck = np.random.default_rng(3)
    words = luck.integers(0, 40, (3000, 2), dtype=np.uint64) * np.array([2 if collide else 2**55, 1], np.uint64)
    seen: set[tuple[int, int]] = set()
    expected = []
    for row in map(tuple, words.tolist()):
        expected.append(row in seen)
        seen.add(row)
    assert repeated(words).tolist() == expected
    assert 0 < sum(expected) < len(expected)
    assert repeated(words[:0]).tolist() == []
