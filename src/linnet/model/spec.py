"""The grammar: a model is a sentence of frozen specs.

    Model = embedding (+ position) → Stack → head           (and an Encoder, whose Stack reads a source that the other one looks at)
    Stack = Repeat, Repeat, …  → final norm         Repeat = a pattern of Blocks, so many times
    Block = Sublayer, Sublayer, …                   Sublayer = a mixer, its norm, and where the norm stands

A mixer is a *token mixer* (attention …: places exchange information) or a *channel mixer* (MLP …: each place thinks
by itself). This file holds the sentence and the families; each word lives in a file of its own, and everything here
can be counted without building anything.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from linnet.core.spec import Spec

Width = int  # the model's width D, handed to every `build` and count
EXAMPLE_WIDTH = 32  # the width that the `examples` of every word fit


class Part(Spec):
    """Anything that can be built into one module and counted without building it."""

    @abstractmethod
    def build(self, d_model: Width) -> nn.Module:
        """The module for a stream of width `d_model`, weights uninitialised (see model/init.py)."""

    @abstractmethod
    def n_params(self, d_model: Width) -> int:
        """Number of parameters; law: equals the built module's."""

    def problems(self, d_model: Width) -> list[str]:
        """Everything that does not fit a stream of this width, in words."""
        return []


class Norm(Part):
    """Family: what keeps the size of activations in check."""


class InputPosition(Part):
    """Family: positions that are added to the embedding."""


class AttentionPosition(Spec):
    """Family: positions that act inside attention, on queries and keys or on the scores."""


class RopeScaling(Spec):
    """Family: how rotary positions are slowed for texts longer than those of training."""

    @abstractmethod
    def frequencies(self, d_rotary: int, base: float) -> Tensor:
        """(R/2,) the angles of one step, from the fastest pair to the slowest; float32."""

    def multiplier(self) -> float:
        """What queries and keys are multiplied by."""
        return 1.0


class Linear(Spec):
    """Family: how a weight matrix is held and multiplied."""

    @property
    def bits(self) -> int | None:
        """Bits that a weight takes where it is stored as small as it can be; None: as many as its type has."""
        return None

    @abstractmethod
    def layer(self, d_in: int, d_out: int, bias: bool, writes_residual: bool) -> nn.Module:
        """The layer for one matrix (d_out, d_in), weights uninitialised; a `LinearLayer` (model/linear.py), or one of its own."""


class Mixer(Part):
    """Family: what a sublayer does."""

    def n_active_params(self, d_model: Width) -> int:
        """Parameters that one token is multiplied with or reads; fewer than all where tokens choose."""
        return self.n_params(d_model)

    def flops(self, d_model: Width, context: int) -> float:
        """Floating-point operations of the forward pass's matrix products a token, averaged over a context of `context`.

        A multiply-add is two.
        """
        raise NotImplementedError

    def state_bytes(self, d_model: Width, length: int, number: int) -> int:
        """Bytes of inference state of one row after `length` tokens, with `number` bytes a number."""
        return 0

    def activation_numbers(self, d_model: Width, context: int) -> float:
        """Numbers kept for the backward pass, a token (an estimate; see model/count.py)."""
        raise NotImplementedError


class TokenMixer(Mixer):
    """Family: mixers over places."""

    @property
    def reads_source(self) -> bool:
        """Whether it looks at what an encoder has read."""
        return False

    @property
    def has_global_places(self) -> bool:
        """Whether some places see and are seen by all, which a pass may name."""
        return False

    @property
    def sees_ahead(self) -> bool:
        """Whether a place sees what comes after it."""
        return not getattr(self, "causal", True)


class ChannelMixer(Mixer):
    """Family: mixers within a place."""


class FeedForward(ChannelMixer):
    """Family: channel mixers with one hidden width, their field `d_ff`; what experts can be. They add nothing to a loss."""


class Sublayer(Spec):
    """One residual step.

    pre:      x + mixer(norm(x))           post:  norm(x + mixer(x))
    sandwich: x + norm₂(mixer(norm(x)))    (Cogview 2105.13290, Gemma 2)

    mixer   attention, an MLP …: a token mixer or a channel mixer
    norm    a norm; default: none
    place   where the norm stands
    """

    mixer: Mixer
    norm: Norm | None = None
    place: Literal["pre", "post", "sandwich"] = "pre"

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.norm is None and self.place != "pre":
            raise ValueError(f"place = {self.place!r} without a norm; needed: a norm; try: norm: layer_norm, or leave place out")
        return self

    def n_params(self, d_model: Width) -> int:
        norms = 0 if self.norm is None else self.norm.n_params(d_model) * (2 if self.place == "sandwich" else 1)
        return self.mixer.n_params(d_model) + norms


class Block(Spec):
    """Sublayers in a row: most often a token mixer, then a channel mixer.

    sublayers   from first to last, each with its mixer and its norm
    """

    sublayers: tuple[Sublayer, ...] = Field(strict=False, min_length=1)


class Repeat(Spec):
    """A pattern of blocks, repeated.

    pattern   blocks in a row
    times     how often they are repeated
    """

    pattern: tuple[Block, ...] = Field(strict=False, min_length=1)
    times: int = Field(default=1, ge=1)


class Stack(Spec):
    """Layers from first to last, and the norm after them.

    layers       patterns of blocks, each repeated so many times
    final_norm   a norm after the last layer; default: none
    """

    layers: tuple[Repeat, ...] = Field(strict=False, min_length=1)
    final_norm: Norm | None = None

    def blocks(self) -> Iterator[Block]:
        """The blocks in order, repeats written out."""
        for repeat in self.layers:
            for _ in range(repeat.times):
                yield from repeat.pattern

    @property
    def n_layers(self) -> int:
        return sum(repeat.times * len(repeat.pattern) for repeat in self.layers)

    def sublayers(self) -> Iterator[Sublayer]:
        for block in self.blocks():
            yield from block.sublayers

    def parts(self) -> Iterator[Part | None]:
        """All that stands in it, first to last, repeats written out."""
        for sublayer in self.sublayers():
            yield from (sublayer.mixer, sublayer.norm)
        yield self.final_norm

    def reads_source(self) -> bool:
        """Whether anything in it looks at what an encoder has read."""
        return any(isinstance(sublayer.mixer, TokenMixer) and sublayer.mixer.reads_source for sublayer in self.sublayers())

    def has_global_places(self) -> bool:
        """Whether anything in it has places that see and are seen by all."""
        return any(isinstance(sublayer.mixer, TokenMixer) and sublayer.mixer.has_global_places for sublayer in self.sublayers())

    def sees_ahead(self) -> bool:
        """Whether a place in it sees what comes after."""
        return any(isinstance(sublayer.mixer, TokenMixer) and sublayer.mixer.sees_ahead for sublayer in self.sublayers())

    def n_params(self, d_model: Width) -> int:
        final = self.final_norm.n_params(d_model) if self.final_norm is not None else 0
        return final + sum(sublayer.n_params(d_model) for sublayer in self.sublayers())


class Encoder(Spec):
    """What reads a source before the decoder says anything: layers of their own over the same embedding (1706.03762, section 3.1).

    stack            the layers; attention in them that is not causal sees the whole source
    position         positions that are added to the source's embedding; default: none
    embedding_norm   a norm right after the source's embedding; default: none
    """

    stack: Stack
    position: InputPosition | None = None
    embedding_norm: Norm | None = None

    def parts(self) -> Iterator[Part | None]:
        """All that stands in it, first to last."""
        yield from (self.position, self.embedding_norm)
        yield from self.stack.parts()

    def n_params(self, d_model: Width) -> int:
        own = sum(part.n_params(d_model) for part in (self.position, self.embedding_norm) if part is not None)
        return own + self.stack.n_params(d_model)


class Head(Spec):
    """From hidden states to scores over the vocabulary.

    tied        the embedding's own matrix is used (1608.05859)
    bias        one number more for each id
    softcap     c · tanh(score / c), which bounds the scores (Gemma 2)
    transform   a norm behind one more matrix and a GELU, before the scores (BERT, 1810.04805); default: none
    """

    tied: bool = True
    bias: bool = False
    softcap: float | None = Field(default=None, gt=0)
    transform: Norm | None = None

    def n_params(self, d_model: Width, vocab_size: int) -> int:
        """Parameters besides the embedding's."""
        matrix = 0 if self.tied else vocab_size * d_model
        transform = 0 if self.transform is None else d_model * (d_model + 1) + self.transform.n_params(d_model)
        return matrix + (vocab_size if self.bias else 0) + transform


class Init(Spec):
    """How weights start.

    std             of every matrix and embedding (a normal distribution); null: 1 / √(fan in) for matrices
    embedding_std   of the embedding; default: std
    residual        matrices that write into the stream: 'scaled' divides std by √(number of sublayers) (GPT-2),
                    'zero' starts every sublayer as the identity, 'plain' leaves std
    head            of a free head: 'normal' as the others, 'zero' (the first prediction is then uniform)
    """

    std: float | None = Field(default=0.02, gt=0)
    embedding_std: float | None = Field(default=None, gt=0)
    residual: Literal["scaled", "zero", "plain"] = "scaled"
    head: Literal["normal", "zero"] = "normal"


class Model(Spec):
    """The whole sentence of a language model.

    vocab_size        ids, as many as the tokenizer's
    d_model           width
    decoder           the layers
    encoder           layers that read a source, which the decoder's cross attention looks at; default: none
    position          positions that are added to the embedding; default: none
    n_token_types     kinds of places, each with a vector that is added to the embedding (BERT's first and second sentence); 0: none
    embedding_norm    a norm right after the embedding; default: none
    embedding_scale   multiplies the embedding: 1, or √D as in 1706.03762
    dropout           on the embedding and on what each sublayer adds, while training
    head              from the last layer to a score for each id
    init              how weights start
    """

    vocab_size: int = Field(ge=1)
    d_model: int = Field(ge=1)
    decoder: Stack
    encoder: Encoder | None = None
    position: InputPosition | None = None
    n_token_types: int = Field(default=0, ge=0)
    embedding_norm: Norm | None = None
    embedding_scale: Literal["one", "sqrt_d_model"] = "one"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    head: Head = Head()
    init: Init = Init()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found: dict[str, None] = {}  # a set that keeps the order: every layer of a repeat says the same
        encoder = () if self.encoder is None else self.encoder.parts()
        for part in (self.position, self.embedding_norm, *self.decoder.parts(), self.head.transform, *encoder):
            for problem in part.problems(self.d_model) if part is not None else ():
                found[problem] = None
        if self.decoder.reads_source() and self.encoder is None:
            found[
                "the decoder looks at a source, and there is no encoder; needed: encoder:, or a decoder without cross attention"
            ] = None
        if self.encoder is not None and not self.decoder.reads_source():
            found["an encoder that nobody looks at; needed: cross attention in the decoder, or no encoder"] = None
        if self.encoder is not None and self.encoder.stack.reads_source():
            found["cross attention in the encoder, which is what it would look at; needed: attention with causal: false"] = None
        if found:
            raise ValueError(" · ".join(found))
        return self

    def n_params(self) -> int:
        """Parameters of the built network; shared ones count once."""
        d = self.d_model
        embedding = (self.vocab_size + self.n_token_types) * d
        position = self.position.n_params(d) if self.position is not None else 0
        norm = self.embedding_norm.n_params(d) if self.embedding_norm is not None else 0
        layers = self.decoder.n_params(d) + (self.encoder.n_params(d) if self.encoder is not None else 0)
        return embedding + position + norm + layers + self.head.n_params(d, self.vocab_size)

    def n_active_params(self) -> int:
        """Those of them that one token uses: all, but for what its layers do not choose (experts, rows of a memory)."""
        stacks = (self.decoder,) if self.encoder is None else (self.decoder, self.encoder.stack)
        mixers = (sublayer.mixer for stack in stacks for sublayer in stack.sublayers())
        idle = (mixer.n_params(self.d_model) - mixer.n_active_params(self.d_model) for mixer in mixers)
        return self.n_params() - sum(idle)

    @property
    def max_length(self) -> int | None:
        """The longest text the sentence can read, None: without a limit of its own."""
        return getattr(self.position, "max_length", None)
