"""Near copies: texts that differ in a word here and there, found without comparing every two.

MinHash (Broder 1997, "On the resemblance and containment of documents"). A text is the set of its shingles, all runs of
`shingle` words (grams.py says what a word is), and two texts are as near as their sets: J(A, B) = |A ∩ B| / |A ∪ B|, Jaccard's
index. For a random order of all shingles, the first one of A is that of B with probability J. So k orders give k numbers a text, its
signature, and the share of them that two signatures have in common estimates J, without bias and with variance J (1 - J) / k.

Banding (Lee et al. 2021, arXiv 2107.06499). The k = bands · rows numbers are cut into bands, and only texts that have some whole
band in common are compared; of two texts with index s that happens with probability

    1 - (1 - s^rows)^bands        s-shaped, steepest about (1 / bands)^(1 / rows)

The default, 14 bands of 8, is FineWeb's (Penedo et al. 2024, arXiv 2406.17557): s = 0.5 is found with probability 0.05, 0.72
with 0.65, 0.8 with 0.92, 0.9 with 0.9996.

The orders are those of h_i(x) = (a_i x + b_i mod 2^64) / 2^32 over the 64 bits of a shingle's hash (multiply-shift, Dietzfelbinger 1996).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from linnet.core.native import checked, native_available, opened, pointer
from linnet.core.spec import Spec
from linnet.data.grams import given, grams, mixed, words_plainly
from linnet.data.look import Texts

NOTHING = np.uint32(2**32 - 1)  # in every place of the signature of a text without words
RUN = 2**9  # texts with an equal band of which each is compared with each; of more, those beside one another
BLOCK = 2**12  # shingles whose values are computed at a time, in numpy
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio


class Near(Spec):
    """When two texts are near copies of one another.

    threshold   the smallest share of equal numbers in two signatures, an estimate of Jaccard's index; 0: one equal band will do
    shingle     words in a row that are compared
    bands       parts of a signature, one of which has to be equal
    rows        numbers in each of them
    """

    threshold: float = Field(default=0.7, ge=0, le=1)
    shingle: int = Field(default=5, ge=1, le=100)
    bands: int = Field(default=14, ge=1, le=1000)
    rows: int = Field(default=8, ge=1, le=100)

    @property
    def n_hashes(self) -> int:
        """Numbers in a signature."""
        return self.bands * self.rows

    def probability(self, jaccard: float) -> float:
        """That two texts of this index have a band in common: 1 - (1 - s^rows)^bands."""
        return 1 - (1 - jaccard**self.rows) ** self.bands


def functions(n_hashes: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(a, b), each (n_hashes,): fixed numbers of 64 random bits, those of a odd; more of them begin with the same ones."""
    drawn = mixed(np.arange(1, 2 * n_hashes + 1, dtype=np.uint64) * np.uint64(GOLDEN)).reshape(-1, 2)
    return np.ascontiguousarray(drawn[:, 0] | np.uint64(1)), np.ascontiguousarray(drawn[:, 1])


def signatures(texts: Texts, spec: Near) -> NDArray[np.uint32]:
    """(n, n_hashes), in Rust where that is there. Any process may sign any texts: a text's signature is its own alone."""
    return signatures_natively(texts, spec) if native_available() and len(texts) else signatures_plainly(texts, spec)


def signatures_plainly(texts: Texts, spec: Near) -> NDArray[np.uint32]:
    """`signatures` in numpy: for each function, its smallest value over the shingles of a text.

    A text of fewer words than a shingle is one shingle; one without words has NOTHING everywhere.
    """
    a, b = functions(spec.n_hashes)
    found = np.full((len(texts), spec.n_hashes), NOTHING)
    words = words_plainly(texts)
    for number, (end, count) in enumerate(zip(words.ends.tolist(), words.counts.tolist())):
        n = min(spec.shingle, count)
        shingles = grams(words.hashes[end - count : end], n) if n else np.empty(0, np.uint64)
        for start in range(0, len(shingles), BLOCK):
            values = (a[:, None] * shingles[None, start : start + BLOCK] + b[:, None]) >> np.uint64(32)
            found[number] = np.minimum(found[number], values.min(axis=1).astype(np.uint32))
    return found


def signatures_natively(texts: Texts, spec: Near) -> NDArray[np.uint32]:
    """`signatures` in Rust."""
    _, lib, _ = opened()
    a, b = functions(spec.n_hashes)
    found = np.empty((len(texts), spec.n_hashes), np.uint32)
    code = lib.linnet_documents_minhash(
        *given(texts), spec.shingle, pointer("uint64_t", a), pointer("uint64_t", b), spec.n_hashes, pointer("uint32_t", found)
    )
    checked(code, "linnet_documents_minhash")
    return found


def near_copies(signatures: NDArray[np.uint32], spec: Near) -> NDArray[np.bool_]:
    """(n,): True for every text that is near to an earlier one that stays."""
    return firsts(signatures, spec) != np.arange(len(signatures))


def firsts(signatures: NDArray[np.uint32], spec: Near) -> NDArray[np.int64]:
    """(n,): the number of the text that stays for each, which is its own where it is near to no earlier one.

    Two texts are linked if they have a band in common and their estimate is at least the threshold; what is linked, directly or
    through others, is a cluster, and of each the first text stays. Beside the signatures (which may be a file that is mapped) it
    takes some 40 bytes a text.
    """
    n = len(signatures)
    clusters = Clusters(n)
    has_words = np.nonzero((signatures[:, 0] != NOTHING) | (signatures[:, -1] != NOTHING))[0]
    for band in range(spec.bands):
        keys = band_keys(signatures[:, band * spec.rows : (band + 1) * spec.rows])[has_words]
        order = np.argsort(keys, kind="stable")
        ranked, texts = keys[order], has_words[order]
        begins = np.nonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))[0] if len(ranked) else np.empty(0, np.int64)
        link(texts, begins, signatures, spec.threshold, clusters)
    return clusters.firsts()


def band_keys(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """(n, rows) → (n,): a number of 64 bits for each row, another one for another row."""
    found = np.zeros(len(band), np.uint64)
    for column in band.T:
        found = mixed(found ^ column.astype(np.uint64)) + np.uint64(GOLDEN)
    return found


def link(
    texts: NDArray[np.int64],
    begins: NDArray[np.int64],
    signatures: NDArray[np.uint32],
    threshold: float,
    clusters: Clusters,
) -> None:
    """Join texts of equal bands, which lie side by side from each of `begins` on, where they are near to one another."""
    sizes = np.diff(begins, append=len(texts))
    runs = np.repeat(np.arange(len(begins)), sizes)  # of each text
    firsts = texts[begins][runs]
    known = clusters.firsts()
    open_ = np.nonzero(known[texts] != known[firsts])[0]  # what earlier bands have not joined: with the first of its run
    far = np.empty(0, np.int64)
    for start in range(0, len(open_), BLOCK):
        some = open_[start : start + BLOCK]
        near = estimates(signatures[firsts[some]], signatures[texts[some]]) >= threshold
        for one, other in zip(firsts[some[near]].tolist(), texts[some[near]].tolist()):
            clusters.join(one, other)
        far = np.concatenate([far, some[~near]])
    for run in np.unique(runs[far]).tolist():  # perhaps they are near to another one of it
        members = texts[begins[run] :][: sizes[run]]
        for start in range(0, len(members), RUN):
            link_all(members[start : start + RUN], signatures, threshold, clusters)


def link_all(texts: NDArray[np.int64], signatures: NDArray[np.uint32], threshold: float, clusters: Clusters) -> None:
    """Join those of some texts that are near to one another, directly or through others."""
    reached: list[int] = []
    while len(texts):
        if not reached:
            reached, texts = [int(texts[0])], texts[1:]
        one = reached.pop()
        near = estimates(signatures[one], signatures[texts]) >= threshold
        for other in texts[near].tolist():
            clusters.join(one, other)
            reached.append(other)
        texts = texts[~near]


def estimates(some: NDArray[np.uint32], others: NDArray[np.uint32]) -> NDArray[np.float64]:
    """(n, n_hashes) or (n_hashes,), (n, n_hashes) → (n,): estimates of Jaccard's index, the share of equal numbers."""
    return (some == others).mean(axis=1)


class Clusters:
    """Sets of the numbers below n that grow together (union-find); each is known by its smallest number."""

    def __init__(self, n: int) -> None:
        self.above = np.arange(n)

    def first(self, number: int) -> int:
        """The smallest number in the set of a number."""
        while (above := int(self.above[number])) != number:
            self.above[number] = self.above[above]
            number = above
        return number

    def join(self, one: int, other: int) -> None:
        """Make one set of the sets of two numbers."""
        low, high = sorted((self.first(one), self.first(other)))
        self.above[high] = low

    def firsts(self) -> NDArray[np.int64]:
        """(n,) the smallest number in the set of each."""
        found = self.above.copy()
        while (found != found[found]).any():
            found = found[found]
        return found
