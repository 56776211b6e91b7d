"""Law 7 for training programs: a pass by two calls of the library is the network's own, hidden states and every gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from passes import apart, gradients, has_program, used
from sentences import CAUSAL, SENTENCES, build, describe, tokens
from torch import Tensor

import laws
from equivalence import Hold
from linnet.core.errors import LinnetError
from linnet.core.native import native_problem, opened
from linnet.model import Network
from linnet.model.context import Context
from linnet.model.training_programs import TrainingPrograms
from linnet.ops.kernels import VECTORS, Matmul, kernels_available, limit_vectors, vectors_in_use
from linnet.ops.training_program import TrainingProgram
from linnet.zoo import Linnet

pytestmark = pytest.mark.skipif(not kernels_available(), reason=f"no kernels: {native_problem() or 'no GNU OpenMP'}")
Patch = pytest.MonkeyPatch
ROUNDING = 2e-5  # as for laws 3 to 6
ROPE = "attention n_heads=4 position=rope"
WINDOW = "attention n_heads=4 window=5 position=rope"
LINNET = describe(Linnet.examples()[1])
ROWS, LENGTH = 3, 18
DOCUMENTS = torch.tensor([[0] * 7 + [1] * 11, [4] * 18, [-1] * 2 + [0] * 9 + [3] * 7])


@pytest.mark.parametrize("name", SENTENCES)
def test_7_a_training_pass_is_the_networks_own(name: str, hold: Hold) -> None:
    network, text = build(SENTENCES[name]).eval(), tokens(ROWS, LENGTH)
    for documents in (None, DOCUMENTS):
        hold("7 training programs", apart(network, text, documents), ROUNDING)
        assert bool(used(network)) == has_program(name), f"{name}: {used(network)} programs"


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("vectors", VECTORS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 33)], ids=str)
def test_7_on_every_kind_of_processor_and_thread(shape: tuple[int, int], vectors: str, threads: int, hold: Hold) -> None:
    try:
        limit_vectors(vectors)
        if vectors_in_use() != vectors:
            pytest.skip(f"this processor has no {vectors}")
        torch.set_num_threads(threads)
        for name in (LINNET, WINDOW, "learned max_length=96"):
            network = build(CAUSAL[name]).eval()
            hold("7 training programs, processors", apart(network, tokens(*shape)), ROUNDING)
            assert used(network) == 1
    finally:
        limit_vectors()
        torch.set_num_threads(1)


def test_the_same_pass_gives_the_same_bits() -> None:
    network, text = build(CAUSAL[LINNET]).eval(), tokens(ROWS, LENGTH)
    network.programs = TrainingPrograms()
    first = gradients(network, text, DOCUMENTS)
    gradients(network, text + 1)  # another shape of pass in between, and other numbers in the buffers
    again = gradients(network, text, DOCUMENTS)
    assert all(torch.equal(again[name], first[name]) for name in first)


def test_gradients_of_several_passes_add_up() -> None:
    """Micro-batches: one after another, and two forward passes before the first way back."""
    network, text = build(CAUSAL[ROPE]), tokens(4, LENGTH)
    network.programs = None
    right = gradients(network, text)
    network.programs = TrainingPrograms()
    network.zero_grad(set_to_none=True)
    for rows in (slice(0, 2), slice(2, 4)):
        network(text[rows]).hidden.sin().sum().backward()
    assert used(network) == 1
    for name, p in network.named_parameters():
        assert p.grad is not None
        assert laws.gap(p.grad, right[name]) < ROUNDING
    network.zero_grad(set_to_none=True)
    passes = [network(text[rows]).hidden for rows in (slice(0, 2), slice(2, 4))]
    (passes[0].sin().sum() + passes[1].sin().sum()).backward()
    for name, p in network.named_parameters():
        assert p.grad is not None
        assert laws.gap(p.grad, right[name]) < ROUNDING


def test_a_graph_can_be_walked_again_until_the_next_pass() -> None:
    network, text = build(CAUSAL[ROPE]), tokens(2, LENGTH)
    network.programs = TrainingPrograms()
    right = gradients(network, text)
    hidden = network(text).hidden
    loss = hidden.sin().sum()
    for _ in range(2):
        network.zero_grad(set_to_none=True)
        loss.backward(retain_graph=True)
        for name, p in network.named_parameters():
            assert p.grad is not None
            assert torch.equal(p.grad, right[name])
    gradients(network, text + 1)  # the buffers of a pass that was walked back are the next one's, though its graph still lives
    assert used(network) == 1
    with pytest.raises(RuntimeError, match="after a later pass"):
        loss.backward()


def test_weights_that_were_changed_before_the_way_back_raise() -> None:
    network, text = build(CAUSAL[ROPE]), tokens(2, LENGTH)
    network.programs = TrainingPrograms()
    loss = network(text).hidden.sum()
    with torch.no_grad():
        network.embedding.weight.mul_(2)
    with pytest.raises(RuntimeError, match="changed or replaced"):
        loss.backward()


def test_weights_that_were_replaced_before_the_way_back_raise() -> None:
    """Where they lay may belong to somebody else by then."""
    network = build(SENTENCES[ROPE]).train()
    network.programs = TrainingPrograms()
    hidden = network(tokens(ROWS, LENGTH)).hidden
    for weight in network.parameters():
        weight.data = weight.data.clone()
    with pytest.raises(RuntimeError, match="changed or replaced"):
        hidden.sum().backward()


def test_threads_may_share_a_network() -> None:
    """One of them is in a program's buffers, the others run the network as ever."""
    network = build(SENTENCES[ROPE]).train()
    texts = [tokens(ROWS, LENGTH).roll(i, 1) for i in range(3)]
    weights = list(network.parameters())

    def gradients_of(text: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(network(text).hidden.sin().sum(), weights, allow_unused=True)

    network.programs = None
    right = [gradients_of(text) for text in texts]
    network.programs = TrainingPrograms()

    def work(i: int) -> list[float]:
        return [laws.gap(g, r) for _ in range(30) for g, r in zip(gradients_of(texts[i]), right[i], strict=True) if r is not None]

    with ThreadPoolExecutor(len(texts)) as threads:
        worst = max(error for errors in threads.map(work, range(len(texts))) for error in errors)
    assert used(network)
    assert worst <= ROUNDING


def test_hidden_states_outlive_the_next_pass() -> None:
    network, text = build(CAUSAL[ROPE]), tokens(2, LENGTH)
    network.programs = TrainingPrograms()
    hidden = network(text).hidden
    before = hidden.detach().clone()
    hidden.sum().backward()
    network((text + 1) % 50).hidden.sum().backward()
    assert torch.equal(hidden, before)


def test_frozen_weights_get_no_gradient() -> None:
    network, text = build(CAUSAL[ROPE]), tokens(2, LENGTH)
    for name, p in network.named_parameters():
        p.requires_grad_("mixer.q" in name)
    assert apart(network, text) < ROUNDING
    assert {name for name, p in network.named_parameters() if p.grad is not None} == {
        name for name, p in network.named_parameters() if "mixer.q" in name
    }


def test_what_changes_is_seen() -> None:
    """Weights trained in place, replaced, moved; a hook; a layer that was exchanged."""
    network, text = build(CAUSAL[ROPE]), tokens(2, LENGTH)
    programs = network.programs = TrainingPrograms()

    def same() -> bool:
        got = gradients(network, text)
        network.programs = None
        right = gradients(network, text)
        network.programs = programs
        return all(laws.gap(got[name], right[name]) < ROUNDING for name in right)

    mlp: Any = network.decoder.layers[0].sublayers[1].mixer  # type: ignore[union-attr, index]
    assert same()
    with torch.no_grad():
        mlp.up.weight.mul_(1.5)
    assert same()
    assert used(network) == 1
    mlp.up.weight = torch.nn.Parameter(mlp.up.weight.detach() * 2)
    assert same()
    assert used(network) == 1
    mlp.up.weight.data = mlp.up.weight.data * 0.5
    assert same()
    calls = []
    handle = mlp.up.register_forward_hook(lambda *seen: calls.append(1))
    assert same()
    assert len(calls) == 2
    assert used(network) == 0
    handle.remove()
    assert same()
    assert used(network) == 1
    for hook in (mlp.up.register_full_backward_hook, torch.nn.modules.module.register_module_forward_hook):
        handle = hook(lambda *seen: None)
        assert same()
        assert used(network) == 0
        handle.remove()
        assert same()
        assert used(network) == 1
    mlp.up = torch.nn.Sequential(mlp.up)
    assert same()
    assert used(network) == 0


def test_what_no_program_does_is_left_to_the_network() -> None:
    text = tokens(2, LENGTH)

    def uses(network: Network, **options: Any) -> bool:
        network.programs = TrainingPrograms()
        network(text, **options)
        return used(network) > 0

    network = build(CAUSAL[ROPE])
    assert uses(network)
    assert not uses(network, state=network.new_state(2))
    with torch.no_grad():
        assert not uses(network)
    with torch.autocast("cpu", torch.bfloat16):
        assert not uses(network)
    assert not uses(build(CAUSAL[ROPE], torch.float64))
    network.decoder.recompute = True
    assert not uses(network)
    dropping = build(CAUSAL[LINNET])
    assert not uses(dropping, generator=torch.Generator())
    assert uses(dropping)  # without a generator nothing is dropped
    torn = torch.tensor([[0, 1] + [0] * 16, [0] * 18])  # a document in two stretches: there is a program, but not for this
    assert apart(build(CAUSAL[ROPE]), text, torn) < ROUNDING
    network = build(CAUSAL[ROPE])
    learned = build(CAUSAL["learned max_length=96"])
    learned.programs = TrainingPrograms()
    with pytest.raises(LinnetError, match="96"):
        learned(tokens(1, 97))
    with pytest.raises(IndexError):
        network(text + 10_000)


def test_shapes_come_and_go_and_a_copy_has_programs_of_its_own() -> None:
    network = build(CAUSAL[ROPE])
    network.programs = TrainingPrograms()
    for length in range(2, 9):
        gradients(network, tokens(1, length))
    assert used(network) == 4
    other = copy.deepcopy(network)
    assert other.programs is not None
    assert used(other) == 0
    with torch.no_grad():
        other.embedding.weight.add_(1)
    assert apart(other, tokens(2, 7)) < ROUNDING


# mutants


def forget_the_stream(patch: Patch) -> None:
    """What a norm gives back takes the place of what the residual stream gave."""
    adding = TrainingProgram._adding

    @contextmanager
    def mutant(self: TrainingProgram, value: Tensor, g: Tensor) -> Iterator[tuple[Any, bool]]:
        with adding(self, value, g) as (to, _):
            yield to, False

    patch.setattr(TrainingProgram, "_adding", mutant)


def turn_the_same_way_back(patch: Patch) -> None:
    write = TrainingProgram._write

    def mutant(self: TrainingProgram, kind: str, fields: tuple[Any, ...]) -> None:
        write(self, kind, (*fields[:-2], False, fields[-1]) if kind == "rotate" else fields)

    patch.setattr(TrainingProgram, "_write", mutant)


def see_other_documents(patch: Patch) -> None:
    seen = Context.first_seen

    def mutant(self: Context, **asked: Any) -> Any:
        known, first = seen(self, **asked)
        return known, None if asked["window"] is None else first

    patch.setattr(Context, "first_seen", mutant)


def begin_everywhere_at_once(patch: Patch) -> None:
    forward = TrainingProgram.forward
    patch.setattr(TrainingProgram, "forward", lambda self, text, at, begins: forward(self, text, at, begins * 0))


def one_position_late(patch: Patch) -> None:
    forward = TrainingProgram.forward
    patch.setattr(TrainingProgram, "forward", lambda self, text, at, begins: forward(self, text, at + 1, begins))


def lose_a_sum(patch: Patch) -> None:
    """The gradients of biases and of norms' weights are those of the first row alone."""
    write = TrainingProgram._write

    def mutant(self: TrainingProgram, kind: str, fields: tuple[Any, ...]) -> None:
        write(self, kind, (1, *fields[1:]) if kind == "column_sum" else fields)

    patch.setattr(TrainingProgram, "_write", mutant)


def overwrite_what_queries_gave(patch: Patch) -> None:
    """A product's gradient takes the place of what other products of the same x gave."""
    write = TrainingProgram._write

    def mutant(self: TrainingProgram, kind: str, fields: Any) -> None:
        write(self, kind, fields._replace(base=opened()[0].NULL) if isinstance(fields, Matmul) else fields)

    patch.setattr(TrainingProgram, "_write", mutant)


MUTANTS: list[tuple[Callable[[Patch], None], str]] = [
    (forget_the_stream, ROPE),
    (turn_the_same_way_back, ROPE),
    (see_other_documents, ROPE),
    (begin_everywhere_at_once, "convolution"),
    (one_position_late, "sinusoidal"),
    (lose_a_sum, "mlp d_ff=20 bias=True"),
    (overwrite_what_queries_gave, ROPE),
]


@pytest.mark.parametrize(("mutate", "name"), MUTANTS, ids=lambda one: getattr(one, "__name__", one))
def test_the_law_kills_the_mutant(mutate: Callable[[Patch], None], name: str, monkeypatch: Patch) -> None:
    network = build(CAUSAL[name])
    assert apart(network, tokens(ROWS, LENGTH), DOCUMENTS) < ROUNDING
    network.programs = None
    right = gradients(network, tokens(ROWS, LENGTH), DOCUMENTS)
    mutate(monkeypatch)
    network.programs = TrainingPrograms()
    got = gradients(network, tokens(ROWS, LENGTH), DOCUMENTS)
    assert used(network) == 1
    assert max(((got[k] - right[k]).abs().max() / right[k].abs().max()).item() for k in right) > 1e-3
