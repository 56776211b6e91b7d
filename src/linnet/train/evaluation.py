"""Reading the validation part: quickly during a run, with intervals and yardsticks at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.data.batch import Batch
from linnet.data.loader import as_batch, evaluation_batches
from linnet.data.prepare import Prepared
from linnet.data.shards import Split
from linnet.data.spec import Rows
from linnet.evaluate.bootstrap import neighbours
from linnet.evaluate.compressors import MAX_TRAIN
from linnet.evaluate.metrics import Metrics, count_words, metrics
from linnet.evaluate.yardsticks import MAX_TOKENS, yardsticks
from linnet.model.network import Network
from linnet.ops.loss import token_losses

TOKENS_AT_ONCE = 8192


def rows_at_once(context: int) -> int:
    """Rows of `context` tokens that are read together: by validation, and by whatever times or estimates it."""
    return max(1, TOKENS_AT_ONCE // context)


@torch.inference_mode()
def score_batches(network: Network, batches: Iterable[Batch]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Nats (N,) and scored tokens (N,) of every row of some batches."""
    nats, counts = [], []
    for batch in batches:
        batch = batch.to(network.device)
        hidden = network(batch.tokens, documents=batch.documents).hidden  # (B, T, D)
        if network.head_matrix is not None:
            losses = token_losses(hidden.flatten(0, 1), network.head_matrix, batch.targets.flatten())
        else:
            losses = torch.nn.functional.cross_entropy(
                network.logits(hidden).float().flatten(0, 1), batch.targets.flatten(), reduction="none"
            )
        losses = losses.view_as(batch.weights).double() * batch.weights  # (B, T)
        nats.append(losses.sum(1).cpu().numpy())
        counts.append(batch.weights.sum(1).long().cpu().numpy())
    return np.concatenate(nats), np.concatenate(counts)


def window_losses(
    network: Network, split: Split, context: int, *, document_mask: bool, rows: Rows, batches: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Read a split once in order, in rows of `context` tokens cut as in training: nats and scored tokens of each row."""
    count = rows_at_once(context)
    return score_batches(
        network, islice(evaluation_batches(split, context, count, document_mask=document_mask, rows=rows), batches)
    )


def token_window_losses(
    network: Network, tokens: NDArray[np.int64], context: int, *, end_id: int, document_mask: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same for tokens (N,) in memory: each but the first is predicted once."""
    rows = rows_at_once(context)

    def batches() -> Iterator[Batch]:
        for first in range(0, len(tokens) - 1, rows * context):
            piece = tokens[first : first + rows * context + 1]
            n = len(piece) - 1
            whole = np.full((-(-n // context), context + 1), end_id, np.int64)
            for row in range(len(whole)):
                part = piece[row * context : (row + 1) * context + 1]
                whole[row, : len(part)] = part
            batch = as_batch(whole, end_id, document_mask=document_mask)
            batch.weights.view(-1)[n:] = 0
            yield batch

    return score_batches(network, batches())


def validator(
    network: Network, split: Split, context: int, *, document_mask: bool, rows: Rows, batches: int | None
) -> Callable[[], tuple[float, float | None]]:
    """A function that gives (nats a token, bits a byte) of the validation part as the network stands."""

    def validate() -> tuple[float, float | None]:
        network.eval()
        try:
            nats, counts = window_losses(network, split, context, document_mask=document_mask, rows=rows, batches=batches)
        finally:
            network.train()
        loss = float(nats.sum() / counts.sum())
        return loss, loss / (math.log(2) * split.bytes_per_token) if split.bytes else None

    return validate


def final_metrics(network: Network, prepared: Prepared, context: int, *, document_mask: bool) -> Metrics:
    """All metrics of the whole validation part, with intervals over runs of neighbouring rows."""
    nats, counts = window_losses(network, prepared.validation, context, document_mask=document_mask, rows=prepared.spec.rows)
    documents = (text for stream in prepared.validation.streams for text in prepared.texts(stream))
    n_words = sum(count_words(text.decode("utf-8", errors="replace")) for text in documents)
    return metrics(nats, counts, n_bytes=prepared.validation.bytes, n_words=n_words, blocks=neighbours(len(nats)))


def measure_yardsticks(prepared: Prepared, text: str | None = None, ids: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
    """Unigram, 5-gram and xz, which have read the training part, as rows for evaluation.json: on the validation part, or on a
    text and its ids. A part that is too long for them is cut, tokens and bytes at one place."""
    split = prepared.validation
    train, known = prepared.some_tokens(prepared.train, MAX_TOKENS), prepared.train_text(MAX_TRAIN)
    if text is not None and ids is not None:
        content = text.encode("utf-8", "surrogatepass")
        lengths = (len(ids), len(content))
    else:
        ids = prepared.some_tokens(split, MAX_TOKENS)
        content = prepared.text_of(ids)
        lengths = (split.tokens, split.bytes)
    return yardsticks(
        train,
        ids,
        prepared.tokenizer.vocab_size,
        known,
        content,
        end_id=prepared.tokenizer.end_id,
        whole=(prepared.train.tokens, lengths[0], prepared.train.bytes, lengths[1]),
    )
