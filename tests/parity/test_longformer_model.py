"""Longformer's hidden states and scores are Hugging Face's, both ways, whichever places are global."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.core.errors import CheckpointError, ConfigError, LinnetError
from linnet.core.rules import export, import_
from linnet.core.spec import dump, load
from linnet.interop.huggingface import export_network, import_network, read_folder, write_folder
from linnet.model import Attention, Block, Longformer, Model, Network, Repeat, Stack, Sublayer
from linnet.model.weights import model_tensors
from linnet.zoo import Bert, Family, LongformerFamily
from parity import VOCAB, randomise, scores

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; measured maxima are below 1e-5
ROWS, LENGTH = 3, 33  # no multiple of a window: they pad it, and take off what they added
WINDOWS = [8, 4, 16]  # each a part of the largest, as theirs asks for
ANYWHERE = torch.zeros(ROWS, LENGTH, dtype=torch.int64)
ANYWHERE[0, [0, 7, 30]], ANYWHERE[1, 12], ANYWHERE[2, [1, 2, 3, 32]] = 1, 1, 1
FIRST = torch.zeros(ROWS, LENGTH, dtype=torch.int64).index_fill(1, torch.tensor([0]), 1)
MARKS = {"first": FIRST, "anywhere": ANYWHERE, "none": torch.zeros_like(FIRST), "all": torch.ones_like(FIRST)}


def config(headless: bool = False, **fields: Any) -> Any:
    made = transformers.LongformerConfig(
        **{
            "vocab_size": VOCAB, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80,
            "max_position_embeddings": 52, "attention_window": WINDOWS, "initializer_range": 0.2, "type_vocab_size": 1,
        }
        | fields
    )  # fmt: skip
    made.architectures = ["LongformerModel" if headless else "LongformerForMaskedLM"]
    return made


def draw(high: int = VOCAB, low: int = 2, seed: int = 1) -> Tensor:
    """Without the id of padding, 1, from which their positions are counted."""
    return torch.randint(low, high, (ROWS, LENGTH), generator=torch.Generator().manual_seed(seed))


def theirs(headless: bool = False, **fields: Any) -> Any:
    torch.manual_seed(0)
    kind = transformers.LongformerModel if headless else transformers.LongformerForMaskedLM
    made = kind._from_config(config(headless, **fields), attn_implementation="eager").eval()
    randomise(made)
    return made


@torch.no_grad()
@pytest.mark.parametrize("marks", MARKS)
def test_import_gives_their_scores(marks: str, hold: Hold) -> None:
    right = theirs()
    ours = import_network(config().to_dict(), right.state_dict())
    expected = right(draw(), global_attention_mask=MARKS[marks]).logits
    assert expected.std() > 0.1, "scores too flat to tell models apart"
    got = scores(ours, draw(), marked=MARKS[marks])
    hold("10 theirs here", (got - expected).abs().max().item(), TOLERANCE)
    if marks == "first":
        torch.testing.assert_close(scores(ours, draw()), got, rtol=1e-5, atol=1e-5)  # what it has where nobody marks any
    else:
        assert (scores(ours, draw()) - expected).abs().max() > 1e-2, "a model that does not listen to marks would pass"


@torch.no_grad()
def test_they_have_no_global_place_unless_they_are_told(hold: Hold) -> None:
    right = theirs()
    ours = import_network(config().to_dict(), right.state_dict())
    hold(
        "10 in part, padded, or a piece at a time",
        (scores(ours, draw(), marked=MARKS["none"]) - right(draw()).logits).abs().max().item(),
        TOLERANCE,
    )


@torch.no_grad()
def test_kinds_of_places_and_one_window_for_all(hold: Hold) -> None:
    fields = {"type_vocab_size": 2, "attention_window": 6, "layer_norm_eps": 1e-3}
    right, kinds = theirs(**fields), draw(2, 0, 5)
    ours = import_network(config(**fields).to_dict(), right.state_dict())
    expected = right(draw(), token_type_ids=kinds, global_attention_mask=ANYWHERE).logits
    hold(
        "10 in part, padded, or a piece at a time",
        (scores(ours, draw(), types=kinds, marked=ANYWHERE) - expected).abs().max().item(),
        TOLERANCE,
    )


@torch.no_grad()
def test_padding_is_their_attention_mask(hold: Hold) -> None:
    right = theirs(headless=True)
    ours = import_network(config(headless=True).to_dict(), right.state_dict())
    mask, ids = torch.ones(ROWS, LENGTH, dtype=torch.int64), draw()
    mask[1, 20:], ids[1, 20:] = 0, 1
    expected = right(ids, attention_mask=mask, global_attention_mask=ANYWHERE).last_hidden_state
    got = ours(ids, documents=mask - 1, marked=ANYWHERE).hidden
    hold("10 in part, padded, or a piece at a time", ((got - expected) * mask[:, :, None]).abs().max().item(), TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("headless", [False, True])
def test_export_gives_ours(tmp_path: Path, headless: bool, hold: Hold) -> None:
    family = LongformerFamily(
        n_layers=3, n_heads=4, d_model=48, d_ff=80, context_length=50, layer_windows=(3, 5, 3), masked_head=not headless
    )
    ours = Network(family.sentence(VOCAB), seed=3)
    randomise(ours)
    write_folder(tmp_path, ours, LongformerFamily, 50)
    kind = transformers.LongformerModel if headless else transformers.LongformerForMaskedLM
    right = kind.from_pretrained(tmp_path, attn_implementation="eager", local_files_only=True).eval()
    said, own = right(draw(), global_attention_mask=ANYWHERE), ours(draw(), marked=ANYWHERE).hidden
    difference = said.last_hidden_state - own if headless else said.logits - ours.logits(own)
    hold("10 ours there", difference.abs().max().item(), TOLERANCE)
    again = read_folder(tmp_path)
    assert again.spec == ours.spec.replace(init=again.spec.init)
    for (key, a), (_, b) in zip(ours.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("headless", [False, True])
def test_export_of_import_is_the_same_but_for_rows_that_say_nothing(headless: bool) -> None:
    right = theirs(headless).state_dict()
    ours = import_network(config(headless).to_dict(), right)
    tensors = export_network(ours, LongformerFamily, 50)[1]
    [positions] = [name for name in tensors if name.endswith("position_embeddings.weight")]
    for name, tensor in tensors.items():
        skip = 2 if name == positions else 0
        assert tensor.shape == right[name].shape
        assert torch.equal(tensor[skip:], right[name][skip:]), name
    left = {name for name in right if name not in tensors}
    pooler, tied = {"pooler.dense.weight", "pooler.dense.bias"}, {"lm_head.decoder.weight", "lm_head.decoder.bias"}
    assert left == (pooler if headless else tied)


@torch.no_grad()
@pytest.mark.parametrize(
    ("one", "other"), [("query", "query_global"), ("key", "key_global"), ("value", "value_global")], ids=lambda name: name
)
def test_swapped_projections_are_caught(one: str, other: str) -> None:
    state, name = dict(theirs().state_dict()), "longformer.encoder.layer.1.attention.self.{}.weight"
    state[name.format(one)], state[name.format(other)] = state[name.format(other)], state[name.format(one)]
    got = scores(import_network(config().to_dict(), state), draw(), marked=ANYWHERE)
    assert (got - theirs()(draw(), global_attention_mask=ANYWHERE).logits).abs().max() > TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize("wrong", [{"attention_window": [8, 2, 16]}, {"attention_window": 8}], ids=str)
def test_another_window_is_caught(wrong: dict[str, Any]) -> None:
    right = theirs()
    got = scores(import_network(config().to_dict() | wrong, right.state_dict()), draw(), marked=ANYWHERE)
    assert (got - right(draw(), global_attention_mask=ANYWHERE).logits).abs().max() > TOLERANCE


@torch.no_grad()
def test_positions_from_the_first_row_are_caught() -> None:
    right = theirs()
    state, name = dict(right.state_dict()), "longformer.embeddings.position_embeddings.weight"
    state[name] = state[name].roll(2, 0)
    got = scores(import_network(config().to_dict(), state), draw(), marked=ANYWHERE)
    assert (got - right(draw(), global_attention_mask=ANYWHERE).logits).abs().max() > TOLERANCE


@pytest.mark.parametrize("family", LongformerFamily.examples(), ids=lambda family: str(family.d_ff))
def test_the_name_map_holds_every_weight_once_and_goes_both_ways(family: LongformerFamily) -> None:
    network = Network(family.sentence(VOCAB), seed=0)
    ours, rules = model_tensors(network), LongformerFamily.rules(network.spec)
    assert sorted(name for rule in rules for name in rule.names) == sorted(ours)
    back = import_(rules, export(rules, ours), {name: tensor.shape for name, tensor in ours.items()})
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.items())
    assert load(Family, json.loads(json.dumps(dump(family)))) == family  # type: ignore[type-abstract]


def test_marks_stay_in_their_document() -> None:
    """Packed texts with marks are those texts alone with theirs."""
    ours = Network(LongformerFamily(n_layers=2, n_heads=4, d_model=48, window=3, context_length=50).sentence(VOCAB), seed=1)
    randomise(ours)
    ids, documents = draw()[:1], torch.tensor([[0] * 14 + [7] * 19])
    with torch.no_grad():
        packed = ours(ids, documents=documents, marked=ANYWHERE[:1]).hidden
        apart = [ours(ids[:, part], marked=ANYWHERE[:1, part]).hidden for part in (slice(14), slice(14, None))]
    torch.testing.assert_close(packed, torch.cat(apart, 1), rtol=1e-4, atol=1e-5)


PUBLISHED = {  # the config.json of allenai/longformer-base-4096
    "attention_mode": "longformer", "attention_probs_dropout_prob": 0.1, "attention_window": [512] * 12, "bos_token_id": 0, "eos_token_id": 2,
    "gradient_checkpointing": False, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "ignore_attention_mask": False,
    "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 4098, "model_type": "longformer",
    "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "sep_token_id": 2, "type_vocab_size": 1, "vocab_size": 50265,
}  # fmt: skip


def test_the_published_model_is_counted() -> None:
    """What transformers builds of its config, but for the two rows of positions that say nothing."""
    model = LongformerFamily.from_hf(PUBLISHED)
    with torch.device("meta"):
        built = transformers.LongformerForMaskedLM(transformers.LongformerConfig(**PUBLISHED))
    assert model.n_params() + 2 * 768 == sum(parameter.numel() for parameter in built.parameters()) == 148_711_257
    assert model.max_length == 4096
    assert [s.mixer.window for s in model.decoder.sublayers() if isinstance(s.mixer, Longformer)] == [257] * 12


def test_refusals() -> None:
    network = Network(Bert(n_layers=1, n_heads=4, d_model=48).sentence(VOCAB))
    with pytest.raises(LinnetError, match="marked places for a network without global ones"):
        network(draw(), marked=ANYWHERE)
    causal = Longformer(n_heads=4, causal=True)
    stack = Stack(layers=(Repeat(pattern=(Block(sublayers=(Sublayer(mixer=causal),)),)),))
    decoder = Network(Model(vocab_size=VOCAB, d_model=48, decoder=stack))
    with pytest.raises(LinnetError, match="marked places with a state"):
        decoder(draw(), state=decoder.new_state(ROWS), marked=ANYWHERE)
    assert not stack.replace(
        layers=(Repeat(pattern=(Block(sublayers=(Sublayer(mixer=Attention(n_heads=4)),)),)),)
    ).has_global_places()
    with pytest.raises(ConfigError, match=r"layer_windows = \[2, 3\] for n_layers = 3; needed: one of at least 1 for each layer"):
        LongformerFamily(n_layers=3, layer_windows=(2, 3)).sentence(VOCAB)
    for wrong, said in (
        ({"window": 2}, r"windows \[2, 2\]; needed: windows of 3 or more"),
        (
            {"layer_windows": (4, 6)},
            r"windows \[4, 6\]; needed: windows of 3 or more, each but for itself a divisor of the largest",
        ),
        ({"n_global": 2}, "n_global = 2; needed: one, which is what a config.json that cannot say it is read as"),
    ):
        with pytest.raises(ConfigError, match=said):
            LongformerFamily.to_hf(LongformerFamily(n_layers=2, **wrong).sentence(VOCAB), 256)
    with pytest.raises(ConfigError, match="pad_token_id = 0; needed: 1"):
        import_network(config().to_dict() | {"pad_token_id": 0}, {})
    state = dict(theirs().state_dict())
    del state["longformer.encoder.layer.2.attention.self.key_global.bias"]
    name = "longformer.embeddings.position_embeddings.weight"
    state[name] = state[name][2:]
    with pytest.raises(CheckpointError) as caught:
        import_network(config().to_dict(), state)
    assert "attention.self.key_global.bias is missing" in str(caught.value)
    assert f"{name} has shape (50, 48); needed: (50, 48) behind 2 rows" in str(caught.value)
