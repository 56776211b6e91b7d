"""What a named family is: a spec that writes a sentence of the grammar from a size and a few numbers.

model: llama                                  the family with its defaults
model: {kind: llama, size: mini}              one of linnet's sizes
model: {kind: llama, n_layers: 4, d_model: 128, n_heads: 4}
model: {kind: sentence, model: {…}}           any sentence of the grammar, written out
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor

from linnet.core.errors import ConfigError, explain
from linnet.core.names import nearest
from linnet.core.rules import Rule
from linnet.core.spec import Spec, load
from linnet.model.channel.mlp import MLP
from linnet.model.linear import Dense
from linnet.model.mixer.attention import Attention
from linnet.model.norm import LayerNorm
from linnet.model.position import Alibi
from linnet.model.rewrite import with_linear
from linnet.model.spec import EXAMPLE_WIDTH, Block, Init, Linear, Mixer, Model, Norm, Repeat, Stack, Sublayer


@dataclass(frozen=True)
class Size:
    """Layers, heads and width."""

    n_layers: int
    n_heads: int
    d_model: int


# name → shape; about 12 · n_layers · d_model² parameters without the embedding
SIZES: dict[str, Size] = {
    "nano": Size(3, 3, 96),  # 0.3 M
    "micro": Size(4, 4, 128),  # 0.8 M
    "mini": Size(6, 5, 160),  # 1.8 M
    "tiny": Size(6, 4, 256),  # 4.7 M
    "small": Size(6, 6, 384),  # 10.6 M
    "medium": Size(8, 8, 512),  # 25 M
    "large": Size(12, 10, 640),  # 59 M
    "base": Size(12, 12, 768),  # 85 M: GPT-2's 124 M with its 50,257 tokens
}
SizeName = Literal["nano", "micro", "mini", "tiny", "small", "medium", "large", "base"]


class Family(Spec):
    """Family of families: anything that becomes a sentence once the vocabulary is known."""

    @abstractmethod
    def sentence(self, vocab_size: int) -> Model:
        """The sentence for a vocabulary of `vocab_size` tokens."""

    @property
    def reads(self) -> int | None:
        """The context length it is made for; None: not said."""
        return None


class Sentence(Family):
    """A sentence of the grammar, written out in the run file; its vocab_size must be the tokenizer's.

    model   the sentence
    """

    kind: Literal["sentence"] = "sentence"
    model: Model

    @classmethod
    def examples(cls) -> tuple[Sentence, ...]:
        attention, mlp = Attention(n_heads=4, position=Alibi()), MLP(d_ff=48)
        alternate = Block(sublayers=(Sublayer(mixer=attention, norm=LayerNorm()), Sublayer(mixer=mlp, norm=LayerNorm())))
        alone = Block(sublayers=(Sublayer(mixer=attention, norm=LayerNorm()),))
        stack = Stack(layers=(Repeat(pattern=(alternate, alone), times=2), Repeat(pattern=(alternate,))))
        model = Model(vocab_size=97, d_model=EXAMPLE_WIDTH, decoder=stack)
        return cls(model=model), cls(model=model.replace(embedding_scale="sqrt_d_model"))

    def sentence(self, vocab_size: int) -> Model:
        if self.model.vocab_size != vocab_size:
            raise ConfigError(
                explain(
                    f"a sentence with vocab_size = {self.model.vocab_size}",
                    need=f"the tokenizer's {vocab_size}",
                    hint=f"vocab_size: {vocab_size}",
                )
            )
        return self.model

    @property
    def reads(self) -> int | None:
        return self.model.max_length


class Sized(Family):
    """Fields of every family that comes in linnet's sizes. What is None comes from `size`.

    size             layers, heads and width at once; chosen under a time budget, where nothing says it
    context_length   tokens that it reads at a time
    n_layers         layers; default: by size
    d_model          width; default: by size
    dropout          share of numbers left out while training; chosen where a text is read over and over
    linear           how the matrices of the layers are held: dense, or ternary (BitNet)
    """

    size: SizeName = "micro"
    context_length: int = Field(default=256, ge=1)
    n_layers: int | None = Field(default=None, ge=1)
    d_model: int | None = Field(default=None, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    linear: Linear = Dense()

    @property
    def shape(self) -> Size:
        """The size with the fields given laid over it."""
        size = SIZES[self.size]
        return Size(self.n_layers or size.n_layers, size.n_heads, self.d_model or size.d_model)

    @property
    def reads(self) -> int | None:
        return self.context_length

    def written(self, vocab_size: int, decoder: Stack, **others: Any) -> Model:
        """The sentence with this decoder; the fields of a sentence that are not said are those that most families have."""
        fields = {
            "vocab_size": vocab_size,
            "d_model": self.shape.d_model,
            "decoder": decoder,
            "dropout": self.dropout,
            "init": Init(std=0.02, residual="scaled"),
        }
        model = load(Model, fields | others, path="model", name="the model")
        return model if self.linear == Dense() else with_linear(model, self.linear)


class WithHeads(Sized):
    """Families of a size that say how many heads attention has.

    n_heads   heads; default: by size
    """

    n_heads: int | None = Field(default=None, ge=1)

    @property
    def shape(self) -> Size:
        size = super().shape
        return replace(size, n_heads=self.n_heads or size.n_heads)


class Decoder(WithHeads):
    """Fields shared by decoder-only families.

    n_kv_heads   key-value heads, which groups of heads share; default: one a head
    d_head       width of a head; default: d_model / n_heads
    d_ff         width inside the MLP; default: as the family has it
    """

    n_kv_heads: int | None = Field(default=None, ge=1)
    d_head: int | None = Field(default=None, ge=1)
    d_ff: int | None = Field(default=None, ge=1)

    @classmethod
    def examples(cls) -> tuple[Self, ...]:
        return (
            cls(n_layers=2, n_heads=4, d_model=EXAMPLE_WIDTH, context_length=96),
            cls(n_layers=2, n_heads=4, n_kv_heads=2, d_head=6, d_ff=24, d_model=EXAMPLE_WIDTH, dropout=0.25),
            cls(size="nano", n_layers=1),
        )


def block_of(*mixers: Mixer, norm: Norm, place: Literal["pre", "post"] = "pre") -> Block:
    """A block whose sublayers all have their norm at one place."""
    return Block(sublayers=tuple(Sublayer(mixer=mixer, norm=norm, place=place) for mixer in mixers))


def stack_of(*layers: tuple[Block, int], final_norm: Norm | None = None) -> Stack:
    """Blocks, each so many times; those of no times are left out."""
    return Stack(layers=tuple(Repeat(pattern=(block,), times=times) for block, times in layers if times), final_norm=final_norm)


def gated_width(d_model: int) -> int:
    """Hidden width of a gated MLP with as many parameters as a plain one of 4 · d_model: 8/3 · d_model, in eights."""
    return round(8 * d_model / 3 / 8) * 8


def glu_rules(ours: str, theirs: str) -> list[Rule]:
    """The name map of a gated MLP whose names begin so."""
    return [Rule(f"{ours}{part}.weight", f"{theirs}{part}_proj.weight") for part in ("gate", "up", "down")]


def stacked_expert_rules(ours: str, theirs: str, n_experts: int) -> list[Rule]:
    """The name map of a layer's experts, gated MLPs, which transformers 5 holds as one tensor for all."""
    experts = range(n_experts)
    gate_up = tuple(f"{ours}experts.{e}.{part}.weight" for e in experts for part in ("gate", "up"))
    down = tuple(f"{ours}experts.{e}.down.weight" for e in experts)
    return [
        Rule(gate_up, f"{theirs}experts.gate_up_proj", stacked=n_experts),
        Rule(down, f"{theirs}experts.down_proj", stacked=n_experts),
    ]


class HuggingFace:
    """How a family is written by Hugging Face: a mixin of class methods, one rule map for both directions."""

    model_type: ClassVar[str]
    architecture: ClassVar[str]
    ignored: ClassVar[tuple[str, ...]] = ()
    usage: ClassVar[tuple[str, ...]] = ()  # lines of Python for the model card: how `beside` is given, in words of `transformers`

    @classmethod
    @abstractmethod
    def from_hf(cls, config: dict[str, Any]) -> Model:
        """The sentence that a config.json describes."""

    @classmethod
    @abstractmethod
    def to_hf(cls, model: Model, context_length: int) -> dict[str, Any]:
        """The config.json of a sentence of this family."""

    @classmethod
    @abstractmethod
    def rules(cls, model: Model) -> list[Rule]:
        """The name map."""

    @classmethod
    def beside(cls, ids: Tensor) -> dict[str, Tensor]:
        """What `transformers` has to be given beside ids (B, T) to compute what ours does: what no config.json says."""
        return {}

    @classmethod
    def full(cls, config: dict[str, Any], tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Their tensors as full numbers: for a family whose weights may be packed. Raises CheckpointError for a scale that is none."""
        return tensors

    @classmethod
    def packed(cls, config: dict[str, Any], names: Collection[str]) -> dict[str, str]:
        """Of weights with these names those that are packed, four numbers in a byte, each with the name of its scale."""
        return {}

    @classmethod
    def rules_for(cls, model: Model, names: Collection[str]) -> list[Rule]:
        """The name map for weights that have these names: for a family whose weights are found under more than one spelling."""
        return cls.rules(model)


class NotCovered(ConfigError):
    """A foreign config that linnet does not cover. `unknown`: the fields that it has no meaning for, where nothing else is wrong."""

    def __init__(self, message: str, unknown: Collection[str]) -> None:
        super().__init__(message)
        self.unknown = frozenset(unknown)


def expect(config: dict[str, Any], known: dict[str, Any], family: str) -> dict[str, Any]:
    """Check a foreign config: every key is known, every fixed one has its value.

    `known` maps a key to the value it must have, or to `...` when it may be anything. Hugging Face's own bookkeeping
    (names beginning with an underscore, versions, generation settings) is let through.
    """
    bookkeeping = {
        "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "use_cache", "bos_token_id", "eos_token_id", "pad_token_id",
        "tie_word_embeddings", "return_dict", "output_attentions", "output_hidden_states", "name_or_path", "is_encoder_decoder", "id2label",
        "label2id", "problem_type", "chunk_size_feed_forward", "task_specific_params", "pretraining_tp", "initializer_range", "sep_token_id",
        "cross_attention_hidden_size", "add_cross_attention", "is_decoder", "max_window_layers", "return_dict_in_generate",
    }  # fmt: skip
    problems, unknown = [], []
    for key, value in config.items():
        if key in known:
            if known[key] is not ... and value != known[key]:
                problems.append(f"{key} = {value!r}; needed: {known[key]!r}")
        elif key not in bookkeeping and not key.startswith("_"):
            problems.append(f"{key} = {value!r} is not known; {nearest(key, known)}")
            unknown.append(key)
    if problems:
        got = f"a {family} config that linnet does not cover: " + "; ".join(problems)
        raise NotCovered(explain(got, need=f"a plain {family}"), unknown if len(unknown) == len(problems) else ())
    return config


def expect_layers(config: Mapping[str, Any], key: str, have: Sequence[str], family: str) -> None:
    """Check a foreign config's list of what each layer is, if it has one, against what its other fields make of them."""
    names = {"attention": "full_attention", "mamba": "linear_attention"}  # as older configs say it
    said = [names.get(each, each) for each in config.get(key) or have]
    if len(said) != len(have):
        got = f"a {family} config with {len(said)} {key} of num_hidden_layers = {len(have)}"
        raise ConfigError(explain(got, need="one for each layer"))
    wrong = next((i for i, (one, other) in enumerate(zip(said, have, strict=True)) if one != other), None)
    if wrong is not None:
        got = f"a {family} config with {key}[{wrong}] = {config[key][wrong]!r}"
        raise ConfigError(explain(got, need=f"what its other fields say: {have[wrong]!r}"))
