"""The only model class: tokens in, hidden states out; scores over the vocabulary apart.

    hidden = stack(embed(tokens) + position)            logits = hidden · head

They are apart so that a loss can be computed piece by piece without all scores in memory at once. The network knows
nothing of text, training, files or devices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from linnet.core.errors import LinnetError, explain
from linnet.model.block import StackLayer, added
from linnet.model.context import Context, document_begins
from linnet.model.init import initialise
from linnet.model.linear import LinearLayer
from linnet.model.spec import Encoder, Model, Norm
from linnet.model.state import Source, State, Tail
from linnet.model.training_programs import TrainingPrograms
from linnet.ops.activation import ACTIVATIONS
from linnet.ops.linear import linear
from linnet.ops.program import CannotRun, Program, lower, untouched


class Output(NamedTuple):
    """hidden (B, T, D) · the state after these tokens, None without one before · what layers want in the loss or log."""

    hidden: Tensor
    state: State | None
    aux: dict[str, Tensor]


class Network(nn.Module):
    """A sentence of the grammar, built. `seed` decides the weights; None leaves them empty for a loader to fill."""

    def __init__(self, spec: Model, seed: int | None = 0) -> None:
        super().__init__()
        self.spec = spec
        d = spec.d_model
        self.embedding = nn.Embedding(spec.vocab_size, d, _weight=torch.empty(spec.vocab_size, d))
        self.position = spec.position.build(d) if spec.position is not None else None
        self.token_types = nn.Parameter(torch.empty(spec.n_token_types, d)) if spec.n_token_types else None
        self.embedding_norm = spec.embedding_norm.build(d) if spec.embedding_norm is not None else None
        self.encoder = EncoderLayer(spec.encoder, d, spec.dropout) if spec.encoder is not None else None
        self.decoder = StackLayer(spec.decoder, d, spec.dropout)
        self.head_transform = HeadTransform(spec.head.transform, d) if spec.head.transform is not None else None
        self.head = None if spec.head.tied else LinearLayer(d, spec.vocab_size)
        self.head_bias = nn.Parameter(torch.empty(spec.vocab_size)) if spec.head.bias else None
        self.programs: TrainingPrograms | None = None  # a faster way to train, for who sets it
        if seed is not None:
            initialise(self, spec, seed)

    def forward(
        self,
        tokens: Tensor,
        *,
        documents: Tensor | None = None,
        state: State | None = None,
        generator: torch.Generator | None = None,
        source: Source | None = None,
        types: Tensor | None = None,
        marked: Tensor | None = None,
    ) -> Output:
        """Read tokens (B, T) after those that `state` holds.

        documents   (B, T) int: only equal numbers see each other, positions count within them; -1 is padding
        generator   where dropout draws from; None: no dropout
        source      what `read` gave, for a network with an encoder; the state that comes back keeps it for later passes
        types       (B, T) the kind of each place, for a network that has several; None: the first
        marked      (B, T) bool: the places that see and are seen by all of their document; None: the first ones of each, as the layers say
        """
        context, carried = self.context(tokens, documents, state, generator)
        context.source = self._source_of(source, state)
        context.marked = self._marked(marked, state)
        if self.programs is not None and state is None and types is None and marked is None:
            found = self.programs.hidden(self, tokens, context)
            if found is not None:
                return Output(found, None, {})
        x = self._embedded(tokens, context, self.position, self.embedding_norm, types)  # (B, T, D)
        states = state.layers if state is not None else (None,) * self.n_sublayers
        hidden, layers, aux = self.decoder(x, context, states)
        if context.source is not None:
            aux = added(aux, context.source.aux)
        after = None if carried is None else replace(carried, layers=layers, source=heard(context.source))
        return Output(hidden, after, aux)

    def read(self, tokens: Tensor, *, documents: Tensor | None = None, generator: torch.Generator | None = None) -> Source:
        """What the encoder makes of a source (B, S), for `forward` and `new_state`.

        documents   (B, S) int: each is read by the decoder's document of that number; -1 is padding; None: all of it by all
        """
        if self.encoder is None:
            raise LinnetError(explain("a source for a network without an encoder", need="tokens alone"))
        context, _ = self.context(tokens, documents, None, generator)
        x = self._embedded(tokens, context, self.encoder.position, self.encoder.embedding_norm)  # (B, S, D)
        hidden, _, aux = self.encoder.stack(x, context, (None,) * self.encoder.stack.n_sublayers)
        return Source(hidden, context.documents, aux)

    def _source_of(self, source: Source | None, state: State | None) -> Source | None:
        if state is not None and state.source is not None:
            if source is not None and source.hidden is not state.source.hidden:
                got = "a source beside a state that has another, whose keys may be made already"
                raise LinnetError(explain(got, need="one source", hint="leave source out, or begin with a new state"))
            return state.source
        if (source is None) != (self.encoder is None):
            got, need = ("no source", "one") if source is None else ("a source", "tokens alone: it has no encoder")
            raise LinnetError(explain(f"{got} for this network", need=need, hint="source=network.read(…)"))
        return source

    def _marked(self, marked: Tensor | None, state: State | None) -> Tensor | None:
        if marked is None:
            return None
        if not self.spec.decoder.has_global_places():
            raise LinnetError(
                explain("marked places for a network without global ones", need="longformer attention, or no marks")
            )
        if state is not None:
            raise LinnetError(explain("marked places with a state, which keeps no marks", need="whole texts, without a state"))
        return marked.to(torch.bool)

    def _embedded(
        self,
        tokens: Tensor,
        context: Context,
        position: nn.Module | None,
        embedding_norm: nn.Module | None,
        types: Tensor | None = None,
    ) -> Tensor:
        """Embeddings (B, T, D) as the first layer gets them."""
        x = self.embedding(tokens)
        if self.spec.embedding_scale == "sqrt_d_model":
            x = x * self.spec.d_model**0.5
        if position is not None:
            x = x + position(context.positions).to(x.dtype)
        if self.token_types is not None:
            x = x + (self.token_types[0] if types is None else nn.functional.embedding(types, self.token_types))
        elif types is not None:
            raise LinnetError(explain("kinds of places for a network that knows none", need="tokens alone"))
        if embedding_norm is not None:
            x = embedding_norm(x)
        return context.dropout(x, self.spec.dropout) if self.spec.dropout else x

    def lower(self, program: Program) -> Tensor:
        """Write down what makes hidden states (rows, D) of a program's tokens."""
        spec = self.spec
        if not is_plain(self.embedding) or self.token_types is not None:
            raise CannotRun("an embedding that is not a plain one")
        x = program.embed(self.embedding.weight, spec.d_model**0.5 if spec.embedding_scale == "sqrt_d_model" else 1.0)
        if self.position is not None:
            x = lower(self.position, program, x)
        if self.embedding_norm is not None:
            x = lower(self.embedding_norm, program, x)
        return lower(self.decoder, program, x)

    def lower_logits(self, program: Program, x: Tensor) -> Tensor:
        """Write down what makes logits (rows, V) of hidden states (rows, D)."""
        if self.spec.head.softcap is not None or self.head_transform is not None:
            raise CannotRun("a head with a softcap or a transform")
        if self.head is None:
            return program.linear(x, self.embedding.weight, self.head_bias)
        if self.head_bias is not None:
            raise CannotRun("a free head with a bias")
        return lower(self.head, program, x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (..., V) of the next token after each hidden state (..., D)."""
        if self.head_transform is not None:
            hidden = self.head_transform(hidden)
        scores = linear(hidden, self.embedding.weight) if self.head is None else self.head(hidden)
        if self.head_bias is not None:
            scores = scores + self.head_bias
        cap = self.spec.head.softcap
        return scores if cap is None else cap * torch.tanh(scores / cap)

    @property
    def head_matrix(self) -> Tensor | None:
        """W (V, D) if scores are just hidden · Wᵀ, else None: what lets a loss skip writing scores down."""
        if self.head_bias is not None or self.spec.head.softcap is not None or self.head_transform is not None:
            return None
        return self.embedding.weight if self.head is None else self.head.weight

    def new_state(self, batch: int, *, capacity: int | None = None, source: Source | None = None) -> State:
        """An empty memory for `batch` rows; `capacity` fixes its size (static shapes), None lets it grow.

        source   what `read` gave, for a network with an encoder
        """
        like = self.embedding.weight
        layers = tuple(
            sublayer.new_state(batch, like, capacity)  # type: ignore[operator]
            for layer in self.decoder.blocks()
            for sublayer in layer.sublayers
        )
        return State(layers, source=source)

    def before_step(self) -> None:
        """A step of training begins: layers that count what happens in it begin to (routing by biases)."""
        for module in self.modules():
            if (begin := getattr(module, "before_step", None)) is not None and module is not self:
                begin()

    def after_step(self) -> None:
        """The weights were updated: layers adjust what no gradient moves."""
        for module in self.modules():
            if (end := getattr(module, "after_step", None)) is not None and module is not self:
                end()

    @property
    def n_sublayers(self) -> int:
        return self.decoder.n_sublayers

    @property
    def stacks(self) -> tuple[StackLayer, ...]:
        """The decoder's layers, and the encoder's."""
        return (self.decoder,) if self.encoder is None else (self.decoder, self.encoder.stack)

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    def context(
        self, tokens: Tensor, documents: Tensor | None, state: State | None, generator: torch.Generator | None
    ) -> tuple[Context, State | None]:
        """Positions and documents of these tokens, and the state with both carried on."""
        if tokens.dim() != 2:
            raise LinnetError(
                explain(f"tokens of shape {tuple(tokens.shape)}", need="(rows, tokens)", hint="tokens[None] for one row")
            )
        batch, n = tokens.shape
        if n == 0:
            got = f"no tokens, in {batch} row{'' if batch == 1 else 's'}"
            raise LinnetError(explain(got, need="at least one a row", hint="the id that ends a text: a new one begins after it"))
        first = 0 if state is None else state.length
        held = None if state is None else state.documents
        if documents is None and held is None:
            positions = torch.arange(first, first + n, device=tokens.device)  # (T,)
            carried = None if state is None else State(state.layers, first + n, source=state.source)
            return Context(first, n, positions, generator=generator), carried
        if documents is None:  # the last document goes on
            assert held is not None
            documents = held.view()[:, 0, -1:, 0].expand(batch, n)
        documents = documents.to(torch.int64)
        before = None if held is None or held.length == 0 else held.view()[:, 0, -1, 0]  # (B,)
        if held is None and first > 0:  # so far each row was one document, called 0
            before = torch.zeros(batch, dtype=torch.int64, device=tokens.device)
        next_position = None if state is None else state.positions
        if next_position is None:
            next_position = torch.full((batch,), first, device=tokens.device)
        positions = positions_within(documents, before, next_position)  # (B, T)
        if state is None:
            return Context(first, n, positions, documents, documents, generator), None
        if held is None:
            held = Tail.empty(documents[:, None, :, None])
            if first > 0:
                held = held.append(torch.zeros(batch, 1, first, 1, dtype=torch.int64, device=tokens.device))
        held = held.append(documents[:, None, :, None])
        carried = State(state.layers, first + n, held, positions[:, -1] + 1, state.source)
        return Context(first, n, positions, documents, held.view()[:, 0, :, 0], generator), carried


class HeadTransform(nn.Module):
    """norm(gelu(x W + b)): what BERT's hidden states go through before they are compared with the embedding."""

    def __init__(self, norm: Norm, d_model: int) -> None:
        super().__init__()
        self.dense = LinearLayer(d_model, d_model, bias=True)
        self.norm = norm.build(d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(ACTIVATIONS["gelu"](self.dense(x)))  # (..., D)


class EncoderLayer(nn.Module):
    """What an encoder has besides the embedding, which it shares; `Network.read` puts it to work."""

    def __init__(self, spec: Encoder, d_model: int, dropout: float) -> None:
        super().__init__()
        self.position = spec.position.build(d_model) if spec.position is not None else None
        self.embedding_norm = spec.embedding_norm.build(d_model) if spec.embedding_norm is not None else None
        self.stack = StackLayer(spec.stack, d_model, dropout)


def heard(source: Source | None) -> Source | None:
    """A source for later passes, without what it wants in the loss of the first."""
    return source if source is None or not source.aux else replace(source, aux={})


def is_plain(embedding: nn.Module) -> bool:
    """Whether an embedding gives the rows of its matrix as they are, and these the gradients that they have."""
    if type(embedding) is not nn.Embedding or not untouched(embedding):
        return False
    as_they_are = embedding.padding_idx is None and embedding.max_norm is None
    return as_they_are and not embedding.scale_grad_by_freq and not embedding.sparse


def positions_within(documents: Tensor, before: Tensor | None, next_position: Tensor) -> Tensor:
    """Positions (B, T) that start from 0 in each document (B, T).

    A row whose first document is the one it was in before, (B,), goes on from next_position (B,).
    """
    begin = document_begins(documents)
    positions = torch.arange(documents.shape[1], device=documents.device) - begin
    if before is None:
        return positions
    goes_on = (begin == 0) & (documents[:, :1] == before[:, None])  # still in the document of the state
    return torch.where(goes_on, positions + next_position[:, None], positions)
