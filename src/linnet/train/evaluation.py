"""Reading the validation part: quickly during a run, with intervals and yardsticks at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.data.batch import Batch
from linnet.data.loader import as_batch, evaluation_batches
from linnet.data.prepared import Prepared
from linnet.data.shards import Split
from linnet.data.spec import Rows
from linnet.evaluate.bootstrap import neighbours
from linnet.evaluate.compressors import MAX_TRAIN
from linnet.evaluate.metrics import Metrics, count_words, metrics
from linnet.evaluate.yardsticks import MAX_TOKENS, unigram, yardsticks
from linnet.model.network import Network
from linnet.objective.base import Objective
from linnet.objective.next_token import NextToken
from linnet.objective.token_loss import source_of
from linnet.ops.loss import token_losses
from linnet.train.precision import Precision

TOKENS_AT_ONCE = 8192
TOKENS_OF_A_PORTION = 2048
NEXT_TOKEN: Objective = NextToken()
SEED = 0  # of what an objective asks of a validation part: the same of every model


def rows_at_once(context: int) -> int:
    """Rows of `context` tokens that are read together where nothing else decides it: a batch of validation."""
    return max(1, TOKENS_AT_ONCE // context)


def rows_in_a_run(micro: int, precision: Precision) -> int | None:
    """Rows that a run reads together: on a CPU, in float32, those that it learns from together; None, whole batches, elsewhere.

    Larger blocks of memory than training's find no room among those that training freed, and the heap grows by them and
    by the holes between them: 8,192 tokens at a time in a run that learns from 768 cost a hundred MiB of its 590.
    """
    return micro if precision.device.type == "cpu" and precision.dtype is torch.float32 else None


def score_batches(
    network: Network, batches: Iterable[Batch], *, learned_rows: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Nats (N,) and scored tokens (N,) of every row of some batches. Those of `learned_rows` rows, which is what a
    network that is being trained learns from together, are read by its training program, where it has one."""
    nats, counts = [], []
    for batch in batches:
        batch = batch.to(network.device)
        hidden = read_as_trained(network, batch) if batch.tokens.shape[0] == learned_rows else None
        for part in portions(batch) if hidden is None else (batch,):
            losses = token_nats(network, part, hidden).double() * part.weights  # (B, T)
            nats.append(losses.sum(1).cpu().numpy())
            counts.append(part.weights.sum(1).long().cpu().numpy())
    return np.concatenate(nats), np.concatenate(counts)


def portions(batch: Batch) -> Iterator[Batch]:
    """A batch in portions that a CPU reads at a time: a twentieth faster than 8,192 tokens, whose activations leave its
    caches, in a quarter of the memory. A GPU takes it whole."""
    count, context = batch.tokens.shape
    rows = max(1, TOKENS_OF_A_PORTION // context) if batch.tokens.device.type == "cpu" else count
    return (batch.rows(start, start + rows) for start in range(0, count, rows))


@torch.inference_mode()
def token_nats(network: Network, batch: Batch, hidden: Tensor | None = None) -> Tensor:
    """-log p (B, T) of a batch's targets, 0 at places without a weight where most have none; `hidden` (B, T, D) where it is known already."""
    if hidden is None:
        hidden = network(batch.tokens, documents=batch.documents, source=source_of(network, batch)).hidden
    hidden, targets = hidden.flatten(0, 1), batch.targets.flatten()
    asked = batch.weights.flatten() > 0
    if few := int(asked.sum()) < asked.numel() // 2:  # scores for those alone
        hidden, targets = hidden[asked], targets[asked]
    if network.head_matrix is not None:
        losses = token_losses(hidden, network.head_matrix, targets)
    else:
        losses = torch.nn.functional.cross_entropy(network.logits(hidden).float(), targets, reduction="none")
    if few:
        losses = losses.new_zeros(asked.shape).masked_scatter(asked, losses)
    return losses.view_as(batch.weights)


def read_as_trained(network: Network, batch: Batch) -> Tensor | None:
    """hidden (B, T, D) by the program that training has for batches of this shape, in the memory that it holds already;
    None where training has none. With dropout it has none, and one made for reading would hold memory for nothing else; what
    is made in inference mode cannot be trained with."""
    if network.programs is None or network.spec.dropout or batch.source is not None or torch.is_inference_mode_enabled():
        return None
    with torch.enable_grad():  # it is a training pass, whose way back nobody asks for
        context, _ = network.context(batch.tokens, batch.documents, None, None)
        hidden = network.programs.hidden(network, batch.tokens, context)
    return None if hidden is None else hidden.detach()


def window_losses(
    network: Network,
    split: Split,
    context: int,
    *,
    document_mask: bool,
    rows: Rows,
    batches: int | None = None,
    learned_rows: int | None = None,
    objective: Objective = NEXT_TOKEN,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Read a split once in order, in rows of `context` tokens cut as in training: nats and scored tokens of each row.

    batches        only so many, of `rows_at_once(context)` rows; None: all
    learned_rows   how many rows to read together, see `rows_in_a_run`; None: a whole batch
    objective      what is asked in them; the same each time
    """
    whole = rows_at_once(context)
    together = (learned_rows or whole) if objective.adds_up else whole  # what is hidden goes by whole batches
    read = evaluation_batches(split, context, together, document_mask=document_mask, rows=rows)
    if batches is not None:
        read = first_rows(read, batches * whole)
    return score_batches(network, objective.posed(read, SEED), learned_rows=learned_rows)


def first_rows(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """Some batches until they have given `count` rows."""
    for batch in batches:
        if count <= 0:
            return
        yield batch.rows(0, count)
        count -= batch.tokens.shape[0]


def token_window_losses(
    network: Network,
    tokens: NDArray[np.int64],
    context: int,
    *,
    end_id: int,
    document_mask: bool,
    scored: NDArray[np.bool_] | None = None,
    objective: Objective = NEXT_TOKEN,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The same for tokens (N,) in memory: each but the first is predicted once.

    scored   (N,) which of them count; None: all
    """
    read = token_windows(tokens, context, rows_at_once(context), end_id=end_id, document_mask=document_mask, scored=scored)
    return score_batches(network, objective.posed(read, SEED))


def token_windows(
    tokens: NDArray[np.int64],
    context: int,
    rows: int,
    *,
    end_id: int,
    document_mask: bool,
    scored: NDArray[np.bool_] | None = None,
) -> Iterator[Batch]:
    """Tokens (N,) in batches of `rows` rows of `context` tokens, of which the last row counts only as far as they go; see above."""
    for first in range(0, len(tokens) - 1, rows * context):
        piece = tokens[first : first + rows * context + 1]
        n = len(piece) - 1
        whole = np.full((-(-n // context), context + 1), end_id, np.int64)
        for row in range(len(whole)):
            part = piece[row * context : (row + 1) * context + 1]
            whole[row, : len(part)] = part
        batch = as_batch(whole, end_id, document_mask=document_mask)
        weights = batch.weights.view(-1)
        weights[n:] = 0
        if scored is not None:
            weights[:n] *= torch.from_numpy(scored[first + 1 : first + n + 1])
        yield batch


def validator(
    network: Network,
    split: Split,
    context: int,
    *,
    document_mask: bool,
    rows: Rows,
    batches: int | None,
    learned_rows: int | None = None,
    objective: Objective = NEXT_TOKEN,
) -> Callable[[], tuple[float, float | None]]:
    """A function that gives (nats a token, bits a byte) of the validation part as the network stands; see `window_losses`. Bits are
    None where the objective's losses do not add up to the text."""

    def validate() -> tuple[float, float | None]:
        network.eval()
        try:
            nats, counts = window_losses(
                network,
                split,
                context,
                document_mask=document_mask,
                rows=rows,
                batches=batches,
                learned_rows=learned_rows,
                objective=objective,
            )
        finally:
            network.train()
        loss = float(nats.sum() / counts.sum())
        return loss, split.bits_per_byte(loss) if objective.adds_up else None

    return validate


def final_metrics(
    network: Network,
    prepared: Prepared,
    context: int,
    *,
    document_mask: bool,
    learned_rows: int | None = None,
    objective: Objective = NEXT_TOKEN,
) -> Metrics:
    """All metrics of the whole validation part, with intervals over runs of neighbouring rows; see `window_losses`. Those of bytes
    and words are None where the objective's losses do not add up to the text."""
    split, rows = prepared.validation, prepared.spec.rows
    nats, counts = window_losses(
        network, split, context, document_mask=document_mask, rows=rows, learned_rows=learned_rows, objective=objective
    )
    if not objective.adds_up:
        return metrics(nats, counts, n_bytes=0, n_words=0, blocks=neighbours(len(nats)))
    documents = (text for stream in split.streams for text in prepared.learned_texts(stream))
    n_words = sum(count_words(text.decode("utf-8", errors="replace")) for text in documents)
    return metrics(nats, counts, n_bytes=split.learned_bytes, n_words=n_words, blocks=neighbours(len(nats)))


def yardsticks_of(prepared: Prepared, objective: Objective) -> dict[str, Any]:
    """What a run folder keeps of the yardsticks of its validation part, and what they were measured for."""
    return {"data": measured_for(prepared, objective), "rows": measure_yardsticks(prepared, objective=objective)}


def measured_for(prepared: Prepared, objective: Objective) -> str:
    """What yardsticks depend on."""
    return prepared.fingerprint if objective.adds_up else f"{prepared.fingerprint}, token by token"


def measure_yardsticks(
    prepared: Prepared,
    text: str | None = None,
    ids: NDArray[np.int64] | None = None,
    *,
    objective: Objective = NEXT_TOKEN,
) -> list[dict[str, Any]]:
    """Unigram, 5-gram and xz, which have read the training part, as rows for evaluation.json: on the validation part, or on a
    text and its ids. A part that is too long for them is cut, tokens and bytes at one place. Where an objective's losses do not add up
    to the text, the unigram alone, on all tokens but special ones."""
    split = prepared.validation
    train = prepared.some_tokens(prepared.train, MAX_TOKENS)
    if not objective.adds_up:
        tokenizer = prepared.tokenizer
        if ids is None:
            ids = prepared.some_tokens(split, MAX_TOKENS)
            ids = ids if split.all_learned else ids[prepared.some_learned(split, MAX_TOKENS)]
        return unigram(train, ids, tokenizer.vocab_size, tokenizer.special.values())
    known, learned = prepared.train_text(MAX_TRAIN), None
    if text is not None and ids is not None:
        content = text.encode("utf-8", "surrogatepass")
        lengths = (len(ids), len(content))
    else:
        ids = prepared.some_tokens(split, MAX_TOKENS)
        learned = None if split.all_learned else prepared.some_learned(split, MAX_TOKENS)
        content = prepared.text_of(ids if learned is None else ids[learned])
        lengths = (split.tokens, split.bytes)
    return yardsticks(
        train,
        ids,
        prepared.tokenizer.vocab_size,
        known,
        content,
        end_id=prepared.tokenizer.end_id,
        learned=learned,
        whole=(prepared.train.tokens, lengths[0], prepared.train.bytes, lengths[1]),
    )
