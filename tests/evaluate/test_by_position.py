"""Loss by position: every scored token stands in the bucket of its place in its document, and in no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from linnet.core.errors import LinnetError
from linnet.data.loader import as_batch
from linnet.evaluate.by_position import by_position, doubling, even, losses_by_bucket, nats_of, positions_of
from linnet.model import Network
from linnet.zoo import Llama

END, VOCAB, T = 0, 11, 12
NETWORK = Network(Llama(n_layers=1, n_heads=2, d_model=16, context_length=T).sentence(VOCAB), seed=0).eval()
WINDOWS = np.random.default_rng(0).integers(1, VOCAB, (3, T + 1))
WINDOWS[1, 5] = END  # a document begins in the middle of a row


@pytest.mark.parametrize("mask", [True, False])
def test_against_token_by_token(mask: bool) -> None:
    batch = as_batch(WINDOWS, END, document_mask=mask)
    batch.weights[2, 9:] = 0
    sums, counts = losses_by_bucket(NETWORK, [batch], [0, 1, 4, 9])
    right, n = np.zeros((3, 3)), np.zeros((3, 3))
    with torch.no_grad():
        hidden = NETWORK(batch.tokens, documents=batch.documents).hidden
        said = NETWORK.logits(hidden).log_softmax(-1)
    for row in range(3):
        position = -1
        for t in range(T):
            new = mask and t > 0 and batch.documents is not None and batch.documents[row, t] != batch.documents[row, t - 1]
            position = 0 if new else position + 1
            bucket = next((k for k, (a, b) in enumerate([(0, 1), (1, 4), (4, 9)]) if a <= position < b), None)
            if bucket is not None and batch.weights[row, t] > 0:
                right[row, bucket] -= said[row, t, batch.targets[row, t]].item()
                n[row, bucket] += 1
    np.testing.assert_array_equal(counts, n)
    np.testing.assert_allclose(sums, right, rtol=1e-5)


def test_all_buckets_together_are_the_mean_loss() -> None:
    batch = as_batch(WINDOWS, END, document_mask=False)
    buckets = by_position(NETWORK, [batch], doubling(T))
    assert [(bucket.first, bucket.last) for bucket in buckets] == [(0, 0), (1, 2), (3, 6), (7, 11)]
    whole = sum(bucket.nats.value * bucket.tokens for bucket in buckets) / sum(bucket.tokens for bucket in buckets)
    with torch.no_grad():
        assert whole == pytest.approx(nats_of(NETWORK, batch).mean().item(), rel=1e-5)
    for bucket in buckets:
        assert bucket.nats.low is not None
        assert bucket.nats.high is not None
        assert bucket.nats.low <= bucket.nats.value <= bucket.nats.high


def test_positions_begin_anew_with_a_document() -> None:
    marked = positions_of(as_batch(WINDOWS, END))
    assert marked[0].tolist() == list(range(T))
    assert marked[1].tolist() == [*range(6), *range(T - 6)]  # the end token is the last of its document
    assert positions_of(as_batch(WINDOWS, END, document_mask=False))[1].tolist() == list(range(T))


def test_buckets() -> None:
    assert doubling(12) == [0, 1, 3, 7, 12]
    assert even(10, 4) == [0, 2, 5, 8, 10]
    with pytest.raises(LinnetError, match="rising"):
        losses_by_bucket(NETWORK, [], [0, 4, 4])
    with pytest.raises(LinnetError, match="no rows"):
        losses_by_bucket(NETWORK, [], [0, 4])
