"""Each law of networks is worth what it kills: a mutant of the code, and the law that must not let it pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from sentences import FEW, SENTENCES, build, tokens
from torch import Tensor

import laws
from linnet.model import Network, context, network, state
from linnet.model.context import Context
from linnet.model.mixer import latent as latent_module
from linnet.model.mixer.attention import Attention, AttentionLayer
from linnet.model.mixer.latent import LatentAttentionLayer
from linnet.model.state import KeyValue, Tail
from linnet.ops.mask import Mask

pytestmark = pytest.mark.usefixtures("_small_buffers")
Patch = pytest.MonkeyPatch
ROPE, WINDOW, ONE_KEY, LEARNED, SENTENCE = FEW
ROPE_WINDOW = "attention n_heads=4 window=5 position=rope"
LATENT = "latent n_heads=4 d_latent=12 d_query_latent=20"


def without_kernels(patch: Patch) -> None:
    """Masks by PyTorch's attention, which asks `Mask`; the kernel asks `Context.first_seen`."""
    patch.setattr(Context, "first_seen", lambda self, **asked: (False, None))


def first_seen_early(patch: Patch) -> None:
    """Every query of the kernel sees one key more at the beginning."""
    first_seen = Context.first_seen

    def mutant(self: Context, **asked: Any) -> tuple[bool, Tensor | None]:
        known, first = first_seen(self, **asked)
        return known, None if first is None else (first - 1).clamp(min=0)

    patch.setattr(Context, "first_seen", mutant)


def forget_first_seen(patch: Patch) -> None:
    patch.setattr(Context, "first_seen", lambda self, **asked: (True, None))


def peek_one_ahead(patch: Patch) -> None:
    without_kernels(patch)
    patch.setattr(Mask, "dense", lambda self, q, k: q[:, None] - k[None] >= -1)
    patch.setattr(Mask, "is_square_causal", lambda self, *here: False)


def forget_the_triangle(patch: Patch) -> None:
    without_kernels(patch)
    patch.setattr(Mask, "is_square_causal", lambda self, *here: False)
    patch.setattr(Mask, "sees_all", lambda self, *here: True)


def window_off_by_one(patch: Patch, by: int) -> None:
    make = Context.mask
    patch.setattr(Context, "mask", lambda self, *, window, **rest: make(self, window=window and max(1, window + by), **rest))


def write_in_place_always(patch: Patch) -> None:
    append = Tail.append

    def mutant(self: Tail, new: Tensor) -> Tail:
        self.line.tip = self.stop
        return append(self, new)

    patch.setattr(Tail, "append", mutant)


def let_go_too_early(patch: Patch) -> None:
    append = Tail.append

    def mutant(self: Tail, new: Tensor) -> Tail:
        out = append(self, new)
        return replace(out, start=out.start + 1, first=out.first + 1) if out.window and out.stop - out.start > 1 else out

    patch.setattr(Tail, "append", mutant)


def lose_the_first_index(patch: Patch) -> None:
    append = Tail.append
    patch.setattr(Tail, "append", lambda self, new: replace(append(self, new), first=self.first))


def never_give_up(patch: Patch) -> None:
    patch.setattr(Tail, "_check", lambda self: None)


def detach_shares(patch: Patch) -> None:
    patch.setattr(Tail, "detach", lambda self: replace(self, line=state._Line(self.line.store.detach(), self.line.tip)))


def ignore_the_order(patch: Patch) -> None:
    select = KeyValue.select
    patch.setattr(KeyValue, "select", lambda self, rows: select(self, rows.sort().values))


def select_only_keys(patch: Patch) -> None:
    patch.setattr(KeyValue, "select", lambda self, rows: KeyValue(self.keys.select(rows), self.values.select(rows.flip(0))))


def never_restart(patch: Patch) -> None:
    patch.setattr(
        network,
        "positions_within",
        lambda documents, before, after: torch.arange(documents.shape[1]).expand_as(documents) + after[:, None],
    )


def always_restart(patch: Patch) -> None:
    within = network.positions_within
    patch.setattr(network, "positions_within", lambda documents, before, after: within(documents, None, after))


def begin_again_at_every_piece(patch: Patch) -> None:
    make = Network.context

    def mutant(self: Network, *arguments: Any) -> Any:
        here, carried = make(self, *arguments)
        here.positions = here.positions - here.first
        return here, carried

    patch.setattr(Network, "context", mutant)


def see_other_documents(patch: Patch) -> None:
    init = Context.__init__

    def mutant(
        self: Context, first: int, n: int, positions: Tensor, documents: Any = None, keys: Any = None, generator: Any = None
    ) -> None:
        init(self, first, n, positions, None, None, generator)

    patch.setattr(context.Context, "__init__", mutant)


def see_padding(patch: Patch) -> None:
    dense = Mask.dense

    def mutant(self: Mask, queries: Tensor, keys: Tensor) -> Tensor:
        of_query, of_key = self.documents or (torch.zeros(1, 1), torch.zeros(1, 1))
        allowed = dense(replace(self, documents=None), queries, keys)
        return allowed & ((of_query[:, :, None] == of_key[:, None]) | (of_key == -1)[:, None])

    patch.setattr(Mask, "dense", mutant)


def bias_from_the_piece(patch: Patch) -> None:
    bias = AttentionLayer._bias
    patch.setattr(
        AttentionLayer, "_bias", lambda self, here, first, n: bias(self, Context(0, here.n_tokens, here.positions), 0, n)
    )


def answer_coarsely(patch: Patch) -> None:
    logits = Network.logits
    patch.setattr(Network, "logits", lambda self, hidden: logits(self, hidden).bfloat16())


def learn_nothing_before(patch: Patch) -> None:
    forward = AttentionLayer.forward

    def mutant(self: AttentionLayer, *inputs: Any) -> Any:
        y, after = forward(self, *inputs)
        return y.detach(), after

    patch.setattr(AttentionLayer, "forward", mutant)


def forget_the_state(patch: Patch) -> None:
    forward = Network.forward
    patch.setattr(Network, "forward", lambda self, *a, state=None, **rest: forward(self, *a, **rest))


def cut(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere(net, text) <= 2e-5


def cut_gradients(net: Network, text: Tensor) -> None:
    assert laws.cut_anywhere_gradients(net, text) <= 2e-5


def detach_values(patch: Patch) -> None:
    append = Tail.append
    patch.setattr(Tail, "append", lambda self, new: append(self.detach(), new))


def causal(net: Network, text: Tensor) -> None:
    assert laws.future_gradient(net, text) == 0
    assert laws.future_change(net, text) <= 1e-6


def reaches(net: Network, text: Tensor) -> None:
    windows = [s.mixer.window for s in net.spec.decoder.sublayers() if isinstance(s.mixer, Attention) and s.mixer.window]
    distance = torch.arange(text.shape[1])[:, None] - torch.arange(text.shape[1])
    right = (distance >= 0) & (distance <= sum(w - 1 for w in windows))
    assert torch.equal(laws.reach(net, text), right)  # by the kernel, where there is one
    assert torch.equal(laws.reach(net.double(), text), right)


def packed(net: Network, text: Tensor) -> None:
    assert laws.packed_is_separate(net, text) <= 2e-5
    assert laws.rows_may_differ(net, text) <= 2e-5


def padded(net: Network, text: Tensor) -> None:
    assert laws.padding_changes_nothing(net, text) <= 2e-5


def selected(net: Network, text: Tensor) -> None:
    assert laws.select_is_running_those_rows(net, text) <= 2e-5


def branched(net: Network, text: Tensor) -> None:
    assert laws.branches_are_independent(net, text) <= 2e-5


def turn_from_the_piece(patch: Patch) -> None:
    """The shared key is turned as if each piece began a text."""
    rotation = latent_module.rotation
    patch.setattr(
        latent_module,
        "rotation",
        lambda rope, here, *rest: rotation(rope, Context(0, here.n_tokens, here.positions - here.first), *rest),
    )


def absorb_without_the_shared_key(patch: Patch) -> None:
    absorbed = latent_module.latent_attention

    def mutant(q: Tensor, rows: Tensor, up_k: Tensor, up_v: Tensor, attend: Any) -> Tensor:
        q = torch.cat((q[..., : up_k.shape[1]], torch.zeros_like(q[..., up_k.shape[1] :])), -1)
        return absorbed(q, rows, up_k, up_v, attend)

    patch.setattr(latent_module, "latent_attention", mutant)


def absorb_the_values_matrix_turned_round(patch: Patch) -> None:
    by_head = LatentAttentionLayer._by_head
    patch.setattr(LatentAttentionLayer, "_by_head", lambda self: (by_head(self)[0], by_head(self)[1].flip(0)))


def absorb_what_learns_nothing(patch: Patch) -> None:
    by_head = LatentAttentionLayer._by_head
    patch.setattr(LatentAttentionLayer, "_by_head", lambda self: tuple(up.detach() for up in by_head(self)))


def remember_the_latent_alone(patch: Patch) -> None:
    append = Tail.append
    d_latent = 12
    patch.setattr(Tail, "append", lambda self, new: append(self, new * (torch.arange(new.shape[-1]) < d_latent)))


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[Network, Tensor], None], str]] = [
    (answer_coarsely, laws.shapes_and_types, ROPE),
    (learn_nothing_before, laws.shapes_and_types, ROPE),
    (forget_the_state, laws.shapes_and_types, LEARNED),
    (peek_one_ahead, causal, ROPE),
    (forget_the_triangle, causal, LEARNED),
    (lambda patch: window_off_by_one(patch, 1), reaches, WINDOW),
    (lambda patch: window_off_by_one(patch, -1), reaches, WINDOW),
    (let_go_too_early, cut, WINDOW),
    (lose_the_first_index, cut, WINDOW),
    (begin_again_at_every_piece, cut, LEARNED),
    (bias_from_the_piece, cut, WINDOW),
    (detach_values, cut_gradients, ROPE),
    (never_restart, packed, LEARNED),
    (always_restart, packed, ROPE),
    (see_other_documents, packed, SENTENCE),
    (see_padding, padded, ROPE),
    (first_seen_early, packed, ROPE),
    (first_seen_early, reaches, ROPE_WINDOW),
    (forget_first_seen, packed, ROPE),
    (forget_first_seen, reaches, ROPE_WINDOW),
    (ignore_the_order, selected, ROPE),
    (select_only_keys, selected, SENTENCE),
    (write_in_place_always, branched, ROPE),
    (detach_shares, branched, LEARNED),
    (never_give_up, laws.stale_handles_raise, ROPE),
    (turn_from_the_piece, cut, LATENT),
    (absorb_without_the_shared_key, cut, LATENT),
    (absorb_the_values_matrix_turned_round, cut, LATENT),
    (absorb_what_learns_nothing, cut_gradients, LATENT),
    (remember_the_latent_alone, cut, LATENT),
    (see_other_documents, packed, LATENT),
    (never_give_up, laws.stale_handles_raise, LATENT),
]


@pytest.mark.parametrize(("mutate", "law", "name"), MUTANTS, ids=[f"{m.__name__}-{law.__name__}" for m, law, _ in MUTANTS])
def test_the_law_kills_the_mutant(mutate: Callable[[Patch], None], law: Callable[[Network, Tensor], None], name: str) -> None:
    net, text = build(SENTENCES[name]), tokens(3, 18)
    law(net, text)  # passes as it is
    net = build(SENTENCES[name])
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
            law(net, text)


def choose_by_what_all_chose(patch: Patch) -> None:
    """Experts that are full turn tokens away: who is asked then depends on who else is there."""
    from linnet.model.channel import moe

    asked = moe.route

    def mutant(logits: Tensor, *arguments: Any, **rest: Any) -> Any:
        return asked(logits - 8 * logits.detach().softmax(-1).mean(0), *arguments, **rest)

    patch.setattr(moe, "route", mutant)


@pytest.mark.parametrize("law", [causal, cut, packed], ids=lambda law: law.__name__)
def test_the_law_kills_experts_that_turn_tokens_away(law: Callable[[Network, Tensor], None]) -> None:
    test_the_law_kills_the_mutant(choose_by_what_all_chose, law, "moe expert=glu_d_ff=24 n_experts=4 top_k=2")
