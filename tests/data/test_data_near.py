"""Near copies: words and their hashes, signatures that estimate what they should, bands that find what they should."""

from __future__ import annotations

import itertools
import math
import random
import sys
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from data_helpers import shared
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from linnet.core.errors import ConfigError
from linnet.core.native import native_available, opened
from linnet.core.spec import load
from linnet.data import near
from linnet.data.grams import APOSTROPHES, grams, hash_of, words_natively, words_of, words_plainly
from linnet.data.look import Texts
from linnet.data.near import (
    Near,
    band_keys,
    estimates,
    functions,
    near_copies,
    signatures,
    signatures_natively,
    signatures_plainly,
)

natively = pytest.mark.skipif(not native_available(), reason="the Rust library is not built")


def test_many_texts_with_an_equal_band_take_no_time_that_grows_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of one template: every band is equal, and no two are near enough. Of each run only so many are compared."""
    compared = [0]
    count = near.estimates

    def counted(some: NDArray[np.uint32], others: NDArray[np.uint32]) -> NDArray[np.float64]:
        compared[0] += len(others)
        return count(some, others)

    monkeypatch.setattr(near, "estimates", counted)
    luck = np.random.default_rng(0)
    signed = np.tile(luck.integers(0, 2**32, 112, dtype=np.uint32), (6 * near.RUN, 1))
    signed[:, 8:56] = luck.integers(0, 2**32, (len(signed), 48), dtype=np.uint32)  # nobody has 70 % in common with another one
    assert not near_copies(signed, Near()).any()
    assert compared[0] < 8 * len(signed) * (near.RUN / 2 + 2)


def texts_of(*texts: str) -> Texts:
    return Texts.of([text.encode() for text in texts])


# words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't PANIC: the rock’n’roll's here!", "dont panic the rocknrolls here"),
        ("well-known foo_bar(x1, 3.14)", "well known foo bar x1 3 14"),
        ("«Élan» ÇA ẞ ΣΑΣ Ǆ İ", "élan ça ß σασ ǆ i"),
        ("大家好 abc大de カタカナ ｶﾅ 한국어", "大 家 好 abc 大 de カ タ カ ナ ｶ ﾅ 한국어"),
        ("สวัสดี हिन्दी", "ส ว ั ส ด ี हिन्दी"),
        ("e\u0301 é", "e\u0301 é"),
        (" \t\n…!?'", ""),
        ("a\u200bb\u00a0c\u3000d\x00e", "a b c d e"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert words_of(text) == words.split(" " if words else None)


def test_lower_case_and_letters_are_those_of_unicode() -> None:
    """Of every character that this Python knows; that of later ones is compared in Rust, with its standard library."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cn" or category == "Cs":
            continue
        found = "".join(words_of(character))
        if category[0] in "LMN":
            assert found == character.lower()[0], f"{code:04X}"
        else:
            assert found == "", f"{code:04X}"


@natively
def test_rust_finds_the_same_words_in_all_of_unicode() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    same_words(texts_of(*characters, "".join(characters), *(f"x{each}Y'{each}{each}z" for each in characters)))


def same_words(texts: Texts) -> None:
    plain, native = words_plainly(texts), words_natively(texts)
    assert plain.ends.tolist() == native.ends.tolist()
    assert np.array_equal(plain.hashes, native.hashes)


def broken_texts(count: int, seed: int) -> Iterator[bytes]:
    """Bytes of every kind, and texts with pieces of characters in them."""
    luck = random.Random(seed)
    pieces = [
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xff",
        b"\xe0\x9f\xbf",
        b"\xc2",
    ]
    for _ in range(count):
        text = b"".join(
            luck.choice([luck.choice(pieces), luck.choice("ab'é中 Я.\U0001f600ß\u0301").encode()])
            for _ in range(luck.randint(0, 40))
        )
        yield luck.randbytes(luck.randint(0, 60)) if luck.random() < 0.3 else text


@natively
def test_rust_finds_the_same_words_in_what_is_no_text() -> None:
    same_words(Texts.of(list(broken_texts(3000, seed=0))))
    same_words(Texts.of([b"", b"a", b"", b" ", b"'", "大a".encode() * 50]))


def test_hashes_of_words_and_n_grams_by_hand() -> None:
    def by_hand(words: Sequence[str]) -> int:
        found = 1
        for word in words:
            h = 0xCBF29CE484222325
            for character in word:
                h = (h ^ ord(character)) * 0x9E3779B97F4A7C15 % 2**64
            found = (found * 0xD1342543DE82EF95 + (h ^ h >> 32)) % 2**64
        found = (found ^ found >> 33) * 0xFF51AFD7ED558CCD % 2**64
        found = (found ^ found >> 33) * 0xC4CEB9FE1A85EC53 % 2**64
        return found ^ found >> 33

    words = words_of("the quick brown fox jumps over the lazy 狗")
    hashes = np.array([hash_of(word) for word in words], np.uint64)
    for n in range(1, len(words) + 1):
        assert grams(hashes, n).tolist() == [by_hand(words[i : i + n]) for i in range(len(words) - n + 1)]


def test_different_n_grams_have_different_hashes() -> None:
    """All words of up to three letters, and all runs of up to six of two words; orders and lengths make a difference."""
    letters = "abcdeé中"
    words = {"".join(each) for n in range(1, 4) for each in itertools.product(letters, repeat=n)}
    assert len({hash_of(word) for word in words}) == len(words)
    runs = [each for n in range(1, 7) for each in itertools.product("ab", repeat=n)]
    assert len({int(grams(np.array([hash_of(word) for word in run], np.uint64), len(run))[0]) for run in runs}) == len(runs)


# signatures


def shingles_of(text: str, n: int) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def jaccard(one: str, other: str, n: int = 5) -> float:
    a, b = shingles_of(one, n), shingles_of(other, n)
    return len(a & b) / len(a | b)


def some_text(luck: random.Random, words: int) -> str:
    return " ".join(f"w{luck.randrange(5000)}" for _ in range(words))


def changed(luck: random.Random, text: str, words: int) -> str:
    """The text with so many words replaced."""
    found = text.split()
    for place in luck.sample(range(len(found)), words):
        found[place] = f"n{luck.randrange(5000)}"
    return " ".join(found)


def test_a_digest_is_the_smallest_value_of_each_function() -> None:
    spec = Near(bands=3, rows=2, shingle=2)
    text = "One two, three two three!"
    a, b = functions(6)
    hashes = [int(grams(np.array([hash_of(word) for word in run], np.uint64), 2)[0]) for run in shingles_of(text, 2)]
    by_hand = [min((int(a[i]) * x + int(b[i])) % 2**64 // 2**32 for x in hashes) for i in range(6)]
    assert signatures(texts_of(text), spec).tolist() == [by_hand]
    assert signatures_plainly(texts_of(text), spec).tolist() == [by_hand]


def test_signatures_do_not_change() -> None:
    """What was signed once can be compared for ever; longer signatures begin with shorter ones."""
    texts = texts_of("The quick brown fox jumps over the lazy dog.", "大家好，我是一只小鸟。", "short one", "!")
    found = signatures(texts, Near())
    assert found.shape == (4, 112)
    assert found[:, :2].tolist() == [
        [653439160, 3169681],
        [120464392, 69538094],
        [2819303374, 3793529286],
        [4294967295, 4294967295],
    ]
    assert (found[3] == near.NOTHING).all()
    assert np.array_equal(found[:, :12], signatures(texts, Near(bands=3, rows=4)))


def some_texts() -> Texts:
    luck = random.Random(1)
    made = [some_text(luck, luck.choice([0, 1, 4, 5, 6, 12, 13, 300])).encode() for _ in range(60)]
    return Texts.of([*made, *broken_texts(200, seed=2), ("大家 " * 5000).encode(), b"", b" "])


@natively
@pytest.mark.parametrize("vectors", [0, 1, 2], ids=["any", "AVX2", "AVX-512"])
@pytest.mark.parametrize("spec", [Near(), Near(bands=1, rows=1, shingle=1), Near(bands=5, rows=3, shingle=7)], ids=str)
def test_rust_signs_as_python_does(vectors: int, spec: Near) -> None:
    _, lib, _ = opened()
    lib.linnet_limit_vectors(vectors)
    try:
        assert np.array_equal(signatures_natively(some_texts(), spec), signatures_plainly(some_texts(), spec))
    finally:
        lib.linnet_limit_vectors(2)


def test_blocks_of_shingles_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = signatures_plainly(some_texts(), Near(bands=2, rows=2))
    monkeypatch.setattr(near, "BLOCK", 3)
    assert np.array_equal(signatures_plainly(some_texts(), Near(bands=2, rows=2)), expected)


def test_a_text_is_signed_by_itself_alone() -> None:
    texts = some_texts()
    together = signatures(texts, Near())
    assert all(np.array_equal(signatures(Texts.of([texts[i]]), Near())[0], together[i]) for i in range(0, len(texts), 7))
    assert signatures(Texts.of([]), Near()).shape == (0, 112)


@natively
def test_bad_arguments_are_codes_and_not_crashes() -> None:
    ffi, lib, _ = opened()
    bytes_, ends, numbers = ffi.new("uint8_t[]", 3), ffi.new("uint64_t[]", [3, 1]), ffi.new("uint64_t[]", 8)
    assert lib.linnet_documents_words(bytes_, ends, 2, numbers, numbers) == -1  # descending
    assert lib.linnet_documents_words(ffi.NULL, ends, 0, numbers, numbers) == -1
    out = ffi.new("uint32_t[]", 8)
    for shingle, n_hashes in ((0, 1), (1, 0)):
        assert lib.linnet_documents_minhash(bytes_, ends, 1, shingle, numbers, numbers, n_hashes, out) == -1
    assert lib.linnet_documents_minhash(bytes_, ends, 2, 1, numbers, numbers, 1, out) == -1
    assert lib.linnet_documents_minhash(bytes_, ends, 1, 1, ffi.NULL, numbers, 1, out) == -1


# estimates

PAIRS = 400


def pairs(seed: int) -> list[tuple[str, str]]:
    """Texts of 60 words and what they became with up to 12 words changed."""
    luck = random.Random(seed)
    firsts = [some_text(luck, 60) for _ in range(PAIRS)]
    return [(text, changed(luck, text, i % 13)) for i, text in enumerate(firsts)]


def estimate_well(spec: Near) -> None:
    """The mean error is that of fair draws, and so is its square: within five standard deviations."""
    both = pairs(seed=3)
    exact = np.array([jaccard(*pair, spec.shingle) for pair in both])
    found = [signatures(texts_of(*side), spec) for side in zip(*both)]
    error = estimates(found[0], found[1]) - exact
    variance = exact * (1 - exact) / spec.n_hashes
    assert abs(error.sum()) < 5 * math.sqrt(variance.sum())
    assert (error**2).sum() == pytest.approx(variance.sum(), rel=5 * math.sqrt(2 / PAIRS))
    assert 0 < exact.min() < 0.7
    assert exact.max() == 1


@pytest.mark.parametrize("spec", [Near(), Near(shingle=1, bands=4, rows=16), Near(shingle=3, bands=20, rows=5)], ids=str)
def test_the_share_of_equal_numbers_is_the_index_of_jaccard(spec: Near) -> None:
    estimate_well(spec)


def test_the_law_kills_functions_that_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    original = functions

    def ignoring(n_hashes: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        a, b = original(n_hashes)
        return np.full_like(a, a[0]), np.full_like(b, b[0])

    monkeypatch.setattr(near, "functions", ignoring)
    with pytest.raises(AssertionError):
        estimate_well(Near())


def test_the_law_kills_functions_that_only_add(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a factor all orders are one order, begun elsewhere: the estimates spread wider than they should."""
    original = functions
    monkeypatch.setattr(near, "functions", lambda n: (np.ones(n, np.uint64), original(n)[1]))
    with pytest.raises(AssertionError):
        estimate_well(Near())


def test_what_bands_find_is_an_s() -> None:
    """Pairs of one index each: as many as the formula says have a band in common, within five standard deviations."""
    spec = Near(shingle=1, threshold=0)
    for same, apart in ((15, 15), (18, 12), (21, 9), (24, 6), (27, 3)):
        luck = random.Random(same)
        index = same / (same + 2 * apart)
        found = []
        for _ in range(600):
            words = [f"w{number}" for number in luck.sample(range(100_000), same + 2 * apart)]
            found += [" ".join(words[: same + apart]), " ".join(words[:same] + words[same + apart :])]
        assert jaccard(*found[:2], 1) == index
        bands = signatures(texts_of(*found), spec).reshape(-1, 2, spec.bands, spec.rows)
        share = (bands[:, 0] == bands[:, 1]).all(axis=2).any(axis=1).mean()
        expected = spec.probability(index)
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 600) + 1e-9


def test_probabilities_are_those_of_fineweb() -> None:
    """Penedo et al. 2024, section 3.4: 0.7, 0.75, 0.8 and 0.85 are found with 56 %, 77 %, 92 % and 98.8 %."""
    found = [Near().probability(s) for s in (0.7, 0.75, 0.8, 0.85)]
    assert [round(p, 2) for p in found[:3]] == [0.56, 0.77, 0.92]
    assert round(found[3], 3) == 0.988
    assert Near(bands=1, rows=1).probability(0.25) == 0.25
    assert (Near().probability(0), Near().probability(1)) == (0, 1)


# clusters


def copies_by_hand(signed: NDArray[np.uint32], spec: Near) -> list[bool]:
    """Every two texts compared, and the clusters of what is linked grown one by one."""
    rows = [tuple(row) for row in signed.tolist()]
    empty = (2**32 - 1,) * spec.n_hashes

    def linked(i: int, j: int) -> bool:
        if rows[i] == empty or rows[j] == empty:
            return False
        parts = range(0, spec.n_hashes, spec.rows)
        in_band = any(rows[i][k : k + spec.rows] == rows[j][k : k + spec.rows] for k in parts)
        return in_band and sum(map(int.__eq__, rows[i], rows[j])) / spec.n_hashes >= spec.threshold

    found = []
    for i in range(len(rows)):
        cluster, added = {i}, True
        while added:
            more = {j for j in range(len(rows)) if j not in cluster and any(linked(j, k) for k in cluster)}
            cluster, added = cluster | more, bool(more)
        found.append(min(cluster) != i)
    return found


@given(st.data(), st.sampled_from([0.0, 0.4, 0.5, 0.6, 1.0]), st.sampled_from([(1, 1), (3, 2), (2, 3), (5, 1), (1, 4)]))
@settings(deadline=None, max_examples=300)
def test_near_copies_are_what_all_pairs_say(data: st.DataObject, threshold: float, shape: tuple[int, int]) -> None:
    spec = Near(threshold=threshold, bands=shape[0], rows=shape[1])
    value = st.sampled_from([0, 1, 2, 2**32 - 1])
    rows = data.draw(st.lists(st.lists(value, min_size=spec.n_hashes, max_size=spec.n_hashes), max_size=9))
    signed = np.array(rows, np.uint32).reshape(-1, spec.n_hashes)
    # a signature whose first and last numbers alone are the largest would be that of a text without words
    signed[(signed[:, 0] == near.NOTHING) & (signed[:, -1] == near.NOTHING)] = near.NOTHING
    assert near_copies(signed, spec).tolist() == copies_by_hand(signed, spec)


@pytest.mark.parametrize("order", itertools.permutations(range(4)))
def test_in_one_band_the_third_is_reached_through_the_second(order: tuple[int, ...]) -> None:
    """All four share the first band and no other one: a-b, b-c and c-d are just near enough, and nothing else is."""
    rows = [[0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 2, 1, 2, 2, 2], [0, 0, 3, 2, 3, 2, 3, 3], [0, 0, 3, 4, 3, 5, 4, 4]]
    spec = Near(threshold=0.5, bands=4, rows=2)
    signed = np.array([rows[i] for i in order], np.uint32)
    assert copies_by_hand(signed, spec) == [False, True, True, True]
    assert near_copies(signed, spec).tolist() == [False, True, True, True]


def finds_every_band(spec: Near) -> None:
    """Pairs of signatures that are equal in one band alone, each in another one."""
    luck = np.random.default_rng(0)
    signed = luck.integers(0, 2**32, (2 * 14, 112), dtype=np.uint32)
    for band in range(14):
        signed[14 + band, 8 * band : 8 * band + 8] = signed[band, 8 * band : 8 * band + 8]
    assert near_copies(signed, spec).tolist() == [False] * 14 + [True] * 14


def test_every_band_counts() -> None:
    finds_every_band(Near(threshold=0))


def test_the_law_kills_a_band_that_is_left_out() -> None:
    with pytest.raises(AssertionError):
        finds_every_band(Near(threshold=0, bands=13))


def test_keys_of_bands_tell_places_apart() -> None:
    rows = np.array(list(itertools.product([0, 1, 2], repeat=4)), np.uint32)
    assert len(set(band_keys(rows).tolist())) == 81
    assert band_keys(rows[:1]).tolist() == band_keys(rows[:1].copy()).tolist()


def test_planted_copies_are_found_and_nothing_else() -> None:
    luck = random.Random(5)
    originals = [some_text(luck, 200) for _ in range(300)]
    planted = [(i, changed(luck, originals[i], luck.choice([1, 2, 3]))) for i in luck.sample(range(300), 60)]
    far = [changed(luck, originals[i], 60) for i in range(20)]  # nearly every shingle is another one
    for i, text in planted:
        assert jaccard(originals[i], text) > 0.85
    texts = texts_of(*originals, *(text for _, text in planted), *far)
    assert near_copies(signatures(texts, Near()), Near()).tolist() == [False] * 300 + [True] * 60 + [False] * 20


def test_the_first_stays_and_what_is_near_through_another_goes() -> None:
    luck = random.Random(6)
    chain = [some_text(luck, 200)]
    for _ in range(12):
        chain.append(changed(luck, chain[-1], 2))
    assert jaccard(chain[0], chain[-1]) < 0.5
    for order in (chain, chain[::-1], sorted(chain)):
        copies = near_copies(signatures(texts_of(*order), Near()), Near())
        assert copies.tolist() == [False] + [True] * 12


def test_texts_without_words_are_never_near() -> None:
    texts = texts_of("!!!", "???", "", "one", "One!", "two", "!!!")
    assert near_copies(signatures(texts, Near()), Near()).tolist() == [False] * 4 + [True] + [False] * 2
    assert near_copies(signatures(Texts.of([]), Near()), Near()).tolist() == []


def test_real_stories_with_planted_copies() -> None:
    stories = [text.strip() for text in shared("stories/valid.txt").read_text("utf-8").split("<|endoftext|>") if text.strip()]
    luck = random.Random(7)
    copies = [changed(luck, text, 2) for text in stories if len(text.split()) > 150]
    signed = signatures(texts_of(*stories, *copies), Near())
    found = near_copies(signed, Near())
    assert not found[: len(stories)].any()
    assert len(copies) > 100
    assert found[len(stories) :].mean() > 0.95
    others = near_copies(signed, Near(threshold=0))
    assert others[len(stories) :].sum() >= found[len(stories) :].sum()


def test_the_spec_is_strict() -> None:
    assert Near().n_hashes == 112
    assert load(Near, {"threshold": 0.8, "bands": 20}) == Near(threshold=0.8, bands=20)
    for wrong, said in (({"treshold": 0.8}, "threshold"), ({"rows": 0}, "rows"), ({"threshold": 1.5}, "threshold")):
        with pytest.raises(ConfigError, match=said):
            load(Near, wrong)


def test_apostrophes_are_left_out() -> None:
    assert [words_of(f"a{mark}b") for mark in APOSTROPHES] == [["ab"], ["ab"]]
