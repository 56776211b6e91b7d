"""What the laws run over: every example of every registered word, in the smallest sentence that holds it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linnet.core.spec import Spec, dump, words
from linnet.model import (
    GLU,
    MLP,
    Attention,
    Block,
    Encoder,
    Head,
    Model,
    MoE,
    Network,
    Output,
    Repeat,
    RMSNorm,
    Rope,
    Sinusoidal,
    Source,
    Stack,
    State,
    Sublayer,
)  # fmt: skip
from linnet.model.rewrite import linears
from linnet.model.spec import (
    EXAMPLE_WIDTH,
    AttentionPosition,
    ChannelMixer,
    InputPosition,
    Linear,
    Mixer,
    Norm,
    RopeScaling,
    TokenMixer,
)  # fmt: skip
from linnet.zoo import Family

VOCAB = 97
GRAMMAR: tuple[type[Spec], ...] = (Norm, InputPosition, AttentionPosition, RopeScaling, Linear, TokenMixer, ChannelMixer, Family)
PLAIN = Attention(n_heads=4, position=Rope())
SMALL = MLP(d_ff=48)


def describe(spec: Spec) -> str:
    """`attention window=5 position=rope`: the kind and what differs from the defaults."""
    parts = [str(getattr(spec, "kind", type(spec).__name__.lower()))]
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if name != "kind" and value != field.default and not isinstance(value, Model):
            parts.append(f"{name}={describe(value).replace(' ', '_') if isinstance(value, Spec) else value}")
    return " ".join(parts)


def stack(*mixers: Mixer, times: int = 1, norm: Norm | None = None, place: str = "pre") -> Stack:
    """Blocks of these mixers."""
    norm = norm or RMSNorm()
    block = Block(sublayers=tuple(Sublayer.model_validate({"mixer": mixer, "norm": norm, "place": place}) for mixer in mixers))
    return Stack(layers=(Repeat(pattern=(block,), times=times),), final_norm=norm)


def sentence(decoder: Stack, encoder: Encoder | None = None) -> Model:
    return Model(vocab_size=VOCAB, d_model=EXAMPLE_WIDTH, decoder=decoder, encoder=encoder)


def translator(mixer: TokenMixer) -> Model:
    """A sentence with an encoder, which this mixer looks at."""
    encoder = Encoder(stack=stack(Attention(n_heads=4, causal=False), SMALL), position=Sinusoidal())
    return sentence(stack(PLAIN, mixer, SMALL, times=2), encoder)


def held(linear: Linear) -> dict[str, Model]:
    """Sentences whose matrices are all held so."""
    attention, mlp = PLAIN.replace(linear=linear), SMALL.replace(linear=linear)
    experts = MoE(expert=GLU(d_ff=24, linear=linear), n_experts=4, top_k=2, n_shared=1)
    return {
        "attention + mlp": sentence(stack(attention, mlp, times=2)),
        "windowed attention with biases + glu": sentence(
            stack(attention.replace(n_kv_heads=2, window=5, bias=True), GLU(d_ff=40, bias=True, linear=linear), times=2)
        ),
        "attention + moe": sentence(stack(attention, experts)),
    }


def sentences() -> dict[str, Model]:
    """All of them, by a name that says what is special."""
    found: dict[str, Model] = {}
    for word in words(TokenMixer).values():
        for one in word.examples():
            found[describe(one)] = translator(one) if one.reads_source else sentence(stack(one, SMALL, times=2))
    for word in words(ChannelMixer).values():
        found |= {describe(one): sentence(stack(PLAIN, one)) for one in word.examples()}
    for norm_word in words(Norm).values():
        for one in norm_word.examples():
            found |= {
                f"{place} {describe(one)}": sentence(stack(PLAIN, SMALL, norm=one, place=place))
                for place in ("pre", "post", "sandwich")
            }
            found[f"embedding {describe(one)}"] = sentence(stack(PLAIN)).replace(embedding_norm=one)
    for position_word in words(InputPosition).values():
        for position in position_word.examples():
            found[describe(position)] = sentence(stack(Attention(n_heads=4), SMALL)).replace(position=position)
    for head in (Head(tied=False), Head(bias=True), Head(softcap=5.0), Head(transform=RMSNorm(), bias=True)):
        found[describe(head)] = sentence(stack(PLAIN)).replace(head=head)
    found["three kinds of places"] = sentence(stack(PLAIN)).replace(n_token_types=3)
    for linear_word in words(Linear).values():
        for linear in linear_word.examples():
            found |= {f"{describe(linear)} {name}": model for name, model in held(linear).items() if linear != PLAIN.linear}
    bare = Block(sublayers=(Sublayer(mixer=PLAIN), Sublayer(mixer=SMALL)))
    found["no norms"] = sentence(Stack(layers=(Repeat(pattern=(bare,)),)))
    for family in words(Family).values():
        found |= {describe(one): one.sentence(VOCAB) for one in family.examples()}
    return found


SENTENCES = sentences()


def is_causal(model: Model) -> bool:
    return not any(looks_ahead(dump(sublayer.mixer)) for sublayer in model.decoder.sublayers())


def looks_ahead(mixer: dict[str, Any]) -> bool:
    """Whether a mixer, or one inside of it, is told not to be causal."""
    inner = (part for part in mixer.values() if isinstance(part, dict))
    return mixer.get("causal") is False or any(looks_ahead(part) for part in inner)


CAUSAL = {name: model for name, model in SENTENCES.items() if is_causal(model)}
# one of each kind of state and position, for laws that cost more and for the mutants
FEW = [
    "attention n_heads=4 position=rope",
    "attention n_heads=2 n_kv_heads=1 window=7 position=alibi",
    "attention n_heads=4 n_kv_heads=2 window=1",
    "learned max_length=96",
    "sentence",
]


class Reader(Network):
    """A network with an encoder, for the laws of networks, none of which speaks of a source: every row has read the same one."""

    source_length = 7

    def source(self, rows: int) -> Source:
        return self.read(tokens(1, self.source_length, seed=5).expand(rows, -1))

    def forward(self, tokens: Tensor, *, state: State | None = None, **rest: Any) -> Output:
        return super().forward(tokens, state=state, source=self.source(len(tokens)) if state is None else None, **rest)

    def new_state(self, batch: int, *, capacity: int | None = None, source: Source | None = None) -> State:
        return super().new_state(batch, capacity=capacity, source=self.source(batch))


def rounds(model: Model) -> bool:
    """Whether a sentence rounds what it computes with, so that where it goes up or down hangs on the last bit.

    A pass cut in two sums attention in another order. In float32 that moved a number over the edge between two of 8 bits in one of 15
    passes of 18 tokens, which is 3e-3 of the answer; in float64 in none, and the laws hold to 1e-15.
    """
    return any(linear.bits is not None for linear in linears(model))


def build(model: Model, dtype: torch.dtype | None = None, seed: int = 1) -> Network:
    """The network with weights large enough that every part of it is heard: no zeros of a clever start are left.

    dtype   default: float32, or float64 for a sentence that rounds
    """
    dtype = dtype or (torch.float64 if rounds(model) else torch.float32)
    network = Network(model, seed=seed) if model.encoder is None else Reader(model, seed=seed)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            std = parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3
            parameter.add_(torch.empty_like(parameter).normal_(0, std, generator=draws))
        network.embedding.weight.mul_(EXAMPLE_WIDTH**0.5 / 2)
    return network.to(dtype)


def tokens(rows: int, n: int, seed: int = 0) -> Tensor:
    """(B, T) random tokens."""
    return torch.randint(0, VOCAB, (rows, n), generator=torch.Generator().manual_seed(seed))
