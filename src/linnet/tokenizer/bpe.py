"""Byte-pair encoding on bare ids: how merges are learned, and how they are applied.

Sennrich et al. 2016 (arXiv 1508.07909), on bytes as in GPT-2. The idea, in one line:

    while something occurs twice: replace the most frequent pair of neighbours (a, b) by one new id

Ids 0 … 255 are the bytes themselves; merge number r makes id 256 + r. A pair's count is the number of places where
it stands, each chunk weighted by how often it occurs ("aaa" holds the pair (a, a) in two places). Of equally
frequent pairs the lowest (a, b) is merged first. This decides every merge, in every implementation.

Each of the two halves comes twice, the plain way and the fast way, with the same results:

    learning   learn_merges_by_recounting   learn_merges: counts kept up to date, never taken again
    applying   merge_by_scanning            merge_by_heap: for chunks so long that scanning would be quadratic

Text, splitting and special tokens are not here but in `bpe_tokenizer`; the same functions in Rust are in `native`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

Pair = tuple[int, int]
MergeTable = Mapping[Pair, tuple[int, int]]  # (a, b) → (rank, id of the merged token); the lowest rank merges first

FIRST_MERGE = 256  # the id that the first merge makes
NOWHERE = -1  # in a linked list: no neighbour on this side; as a symbol: swallowed by the neighbour on the left
SCAN_AT_MOST = 64  # ids; a longer chunk is merged with a heap

OnMerge = Callable[[int], None]  # called with the number of merges that were learned so far


def learn_merges_by_recounting(chunks: Mapping[bytes, int], n_merges: int) -> list[Pair]:
    """The definition of BPE training, slow and short: every merge counts all pairs anew.

    Arguments and result are those of `learn_merges`.
    """
    words = [(list(chunk), weight) for chunk, weight in chunks.items()]
    merges: list[Pair] = []
    while len(merges) < n_merges:
        counts: Counter[Pair] = Counter()
        for symbols, weight in words:
            for pair in pairwise(symbols):
                counts[pair] += weight
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        for symbols, _ in words:
            replace_pair(symbols, best, FIRST_MERGE + len(merges))
        merges.append(best)
    return merges


def replace_pair(symbols: list[int], pair: Pair, merged: int) -> None:
    """Replace every (a, b) in a list of ids, from left to right and in place: a a a → aa a."""
    i = 0
    while i < len(symbols) - 1:
        if (symbols[i], symbols[i + 1]) == pair:
            symbols[i : i + 2] = [merged]
        i += 1


def learn_merges(chunks: Mapping[bytes, int], n_merges: int, on_merge: OnMerge | None = None) -> list[Pair]:
    """Learn up to `n_merges` merges from chunks and how often each of them occurs.

    Stops early when no pair occurs at least twice: merging such a pair would name a place and not a habit.

    All chunks lie in one line of symbols, linked to their neighbours, so that a merge touches only the places
    where its pair stands: the sum over all merges is about n log n in the bytes of the unique chunks.

    No two merges can spell the same bytes, so each makes a token of its own: bytes that became one token somewhere
    went through the same merges everywhere, because a border between tokens that lasts is never merged across.
    """
    line = _Line(chunks)
    heap = [(-count, pair) for pair, count in line.counts.items() if count >= 2]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < n_merges:
        count, pair = heapq.heappop(heap)
        current = line.counts[pair]
        if current != -count:  # other merges took some of its places: a count only falls once its pair exists,
            if current >= 2:  # so that an entry of the heap may be too high but is never too low
                heapq.heappush(heap, (-current, pair))
            continue
        for fresh in line.merge(pair, FIRST_MERGE + len(merges)):
            if line.counts[fresh] >= 2:
                heapq.heappush(heap, (-line.counts[fresh], fresh))
        merges.append(pair)
        if on_merge is not None:
            on_merge(len(merges))
    return merges


class _Line:
    """All unique chunks in one line of symbols, with the count and the places of every pair of neighbours.

    symbols[i]   the id at place i, NOWHERE once the symbol on the left has swallowed it
    left, right  the places of the neighbours in the same chunk, NOWHERE at a chunk's borders
    weights[i]   how often the chunk around place i occurs
    counts       pair → weighted number of places, exact at all times
    places       pair → where its left symbol stands; may hold places that are gone, never lacks one that is there
    """

    def __init__(self, chunks: Mapping[bytes, int]) -> None:
        self.symbols: list[int] = []
        self.left: list[int] = []
        self.right: list[int] = []
        self.weights: list[int] = []
        self.counts: dict[Pair, int] = {}
        self.places: dict[Pair, list[int]] = {}
        for chunk, weight in chunks.items():
            if not chunk:
                continue
            start, end = len(self.symbols), len(self.symbols) + len(chunk)
            self.symbols.extend(chunk)
            self.weights.extend([weight] * len(chunk))
            self.left.extend([NOWHERE, *range(start, end - 1)])
            self.right.extend([*range(start + 1, end), NOWHERE])
            for place, pair in enumerate(pairwise(chunk), start):
                self._add(pair, place, weight)

    def _add(self, pair: Pair, place: int, weight: int) -> None:
        if pair in self.counts:
            self.counts[pair] += weight
            self.places[pair].append(place)
        else:
            self.counts[pair] = weight
            self.places[pair] = [place]

    def merge(self, pair: Pair, merged: int) -> set[Pair]:
        """Put `merged` wherever `pair` stands, from left to right; returns the pairs that this made."""
        symbols, left, right, counts = self.symbols, self.left, self.right, self.counts
        first, second = pair
        fresh: set[Pair] = set()
        for place in sorted(self.places.pop(pair)):
            next_place = right[place]
            if symbols[place] != first or next_place == NOWHERE or symbols[next_place] != second:
                continue  # an earlier merge, or this one a step to the left, took the place
            weight, before, after = self.weights[place], left[place], right[next_place]
            symbols[place], symbols[next_place] = merged, NOWHERE
            right[place] = after
            if before != NOWHERE:
                counts[symbols[before], first] -= weight
                fresh.add((symbols[before], merged))
                self._add((symbols[before], merged), before, weight)
            if after != NOWHERE:
                left[after] = place
                counts[second, symbols[after]] -= weight
                fresh.add((merged, symbols[after]))
                self._add((merged, symbols[after]), place, weight)
        counts[pair] = 0
        return fresh


def merge_table(merges: Iterable[Pair]) -> dict[Pair, tuple[int, int]]:
    """The table of learned merges: merge number r has rank r and makes id 256 + r."""
    return {pair: (rank, FIRST_MERGE + rank) for rank, pair in enumerate(merges)}


def merge_chunk(symbols: Sequence[int], table: MergeTable) -> list[int]:
    """Apply merges to the ids of one chunk: always the lowest rank first, of equals the leftmost."""
    if len(symbols) <= SCAN_AT_MOST:
        return merge_by_scanning(symbols, table)
    return merge_by_heap(symbols, table)


def merge_by_scanning(symbols: Sequence[int], table: MergeTable) -> list[int]:
    """Look at all neighbours, merge the best pair, begin again. Quadratic, and the fastest for short chunks."""
    symbols = list(symbols)
    while True:
        found = [(*table[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in table]
        if not found:
            return symbols
        _, merged, i = min(found)
        symbols[i : i + 2] = [merged]


def merge_by_heap(symbols: Sequence[int], table: MergeTable) -> list[int]:
    """The same result in n log n: a heap of candidate merges over linked symbols, as in `_Line`."""
    symbols = list(symbols)
    left = list(range(-1, len(symbols) - 1))
    right = [*range(1, len(symbols)), NOWHERE]
    heap: list[tuple[int, int, int, Pair]] = []  # (rank, place, merged id, the pair that stood there)

    def consider(place: int) -> None:
        if place != NOWHERE and right[place] != NOWHERE:
            pair = (symbols[place], symbols[right[place]])
            if pair in table:
                rank, merged = table[pair]
                heapq.heappush(heap, (rank, place, merged, pair))

    for place in range(len(symbols)):
        consider(place)
    while heap:
        _, place, merged, pair = heapq.heappop(heap)
        next_place = right[place]
        if next_place == NOWHERE or (symbols[place], symbols[next_place]) != pair:
            continue  # one of the two has been merged since
        symbols[place], symbols[next_place] = merged, NOWHERE
        right[place] = right[next_place]
        if right[place] != NOWHERE:
            left[right[place]] = place
        right[next_place] = NOWHERE
        consider(left[place])
        consider(place)
    return [symbol for symbol in symbols if symbol != NOWHERE]
