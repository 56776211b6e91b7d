"""What training programs have to stand: any sentence of the grammar, layers that users write, and all that is done to a network
between its passes and between a pass and its way back. Where no program can be right, the network itself has to run."""

from __future__ import annotations

import copy
import gc
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from passes import apart, distance, gradients, used
from sentences import CAUSAL, PLAIN, SMALL, build, sentence, stack, tokens
from torch import Tensor, nn

from equivalence import Hold
from linnet.core.native import native_problem
from linnet.model import MLP, Attention, LayerNorm, Network, RMSNorm, Rope
from linnet.model.channel.mlp import GLU
from linnet.model.linear import LinearLayer
from linnet.model.mixer.convolution import Convolution
from linnet.model.norm import RMSNormLayer
from linnet.model.training_programs import TrainingPrograms
from linnet.ops.kernels import kernels_available
from linnet.ops.program import Program, lower
from linnet.ops.training_program import TrainingProgram

pytestmark = pytest.mark.skipif(not kernels_available(), reason=f"no kernels: {native_problem() or 'no GNU OpenMP'}")
ROUNDING = 2e-5  # as for laws 3 to 6
ROPE = "attention n_heads=4 position=rope"
LENGTH = 18


def fresh(name: str = ROPE) -> tuple[Any, Tensor]:
    """A network with programs, one of them written, and a text."""
    network, text = build(CAUSAL[name]), tokens(2, LENGTH)
    network.programs = TrainingPrograms()
    network(text)
    assert used(network) == 1
    return network, text


def drawn(seed: int) -> tuple[Network, Tensor, Tensor | None]:
    """A random sentence of the grammar, a text for it, and documents for half of the texts."""
    draw = random.Random(seed)
    mixers: list[Any] = [Convolution(width=draw.choice((2, 3, 9)))]
    for _ in range(3):
        heads, width = draw.choice((1, 2, 3, 4)), draw.choice((1, 2, 5, 8, 17))
        mixers.append(
            Attention(
                n_heads=heads,
                n_kv_heads=draw.choice([g for g in range(1, heads + 1) if heads % g == 0]),
                d_head=width,
                window=draw.choice((None, 1, 9, 100)),
                position=Rope(fraction=draw.choice((1.0, 0.75))) if width > 2 else None,
                qk_norm=draw.choice((None, RMSNorm(), LayerNorm())),
                bias=draw.random() < 0.5,
            )
        )
        layer: Any = draw.choice((MLP, GLU))
        mixers.append(layer(d_ff=draw.choice((1, 17, 40)), activation=draw.choice(("relu", "relu2", "gelu_tanh", "silu"))))
    chosen = draw.sample(mixers, draw.choice((1, 2, 3)))
    model = sentence(stack(*chosen, times=draw.choice((1, 2)), norm=draw.choice((RMSNorm(), LayerNorm()))))
    network = build(model.replace(d_model=draw.choice((8, 17, 33))), seed=seed)
    for layer in network.modules():
        if hasattr(layer, "place"):
            layer.place = draw.choice(("pre", "post"))
            if draw.random() < 0.3:
                layer.place, layer.norm = "pre", None
    draws = torch.Generator().manual_seed(seed)
    rows, length = draw.choice(((1, 1), (7, 2), (3, 33), (2, 130)))
    documents = (torch.rand(rows, length, generator=draws) < 0.2).cumsum(1) - 1
    return network, tokens(rows, length, seed), documents if draw.random() < 0.5 else None


@pytest.mark.parametrize("seed", range(60))
def test_7_any_sentence(seed: int, hold: Hold) -> None:
    """Against float64, beside what float32 makes of the network's own pass: a network of chance may be a restless one."""
    network, text, documents = drawn(seed)
    own = gradients(network, text, documents)
    network.programs = TrainingPrograms()
    got = gradients(network, text, documents)
    assert used(network) == 1
    exact = gradients(copy.deepcopy(network).double(), text, documents)
    restless = max(1.0, distance({k: v.double() for k, v in own.items()}, exact) / 1e-6)
    hold("7 training programs, any sentence", distance({k: v.double() for k, v in got.items()}, exact) / restless, ROUNDING)


@pytest.mark.parametrize("mixer", [Convolution(width=3), PLAIN, SMALL, GLU(d_ff=20)], ids=lambda one: one.kind)
@pytest.mark.parametrize("place", ["pre", "post", "sandwich", "none"])
def test_7_every_mixer_with_the_norm_in_every_place(mixer: Any, place: str, hold: Hold) -> None:
    """x + f(x) without a norm before f: what the sum gave back and what f gives back are of one value."""
    network = build(sentence(stack(mixer, times=3, place="pre" if place == "none" else place)))
    for layer in network.modules():
        if place == "none" and hasattr(layer, "place"):
            layer.norm = None
    hold("7 training programs, norms", apart(network, tokens(3, LENGTH)), ROUNDING)
    assert used(network) == 1


@pytest.mark.parametrize("name", ["convolution", "mlp d_ff=20 bias=True"])
def test_sums_over_many_rows_keep_their_digits(name: str) -> None:
    network, text = build(CAUSAL[name]), tokens(32, 512)
    got = apart_from_float64(network, text)
    network.programs = TrainingPrograms()
    assert apart_from_float64(network, text) < max(2e-6, 2 * got)


def apart_from_float64(network: Network, text: Tensor) -> float:
    exact = gradients(copy.deepcopy(network).double(), text)
    return distance({name: x.double() for name, x in gradients(network, text).items()}, exact)


# layers that users write

Writes = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Program, Tensor, Tensor], Tensor], bool]
WAYS: dict[str, Writes] = {  # of x and h = x Wᵀ, and whether there is a program
    "h": (lambda x, h: h, lambda p, x, h: h, True),
    "h ∘ x": (lambda x, h: h * x, lambda p, x, h: p.pointwise("multiply", h, x), True),
    "h ∘ h": (lambda x, h: h * h, lambda p, x, h: p.pointwise("multiply", h, h), False),
    "h + h": (lambda x, h: h + h, lambda p, x, h: p.pointwise("add", h, h), False),
    "h + x": (lambda x, h: h + x, lambda p, x, h: p.pointwise("add", h, x), False),
    "σ(h) ∘ h": (lambda x, h: h.sigmoid() * h, lambda p, x, h: p.pointwise("multiply", p.pointwise("sigmoid", h), h), False),
    "x": (lambda x, h: x, lambda p, x, h: x, False),
}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_7_a_layer_that_a_user_writes(way: str, norm: bool) -> None:
    forward, write, known = WAYS[way]

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = LinearLayer(32, 32)
            nn.init.normal_(self.up.weight, std=0.2)

        def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            return forward(x, self.up(x)), {}

        def lower(self, program: Program, x: Tensor) -> Tensor:
            return write(program, x, lower(self.up, program, x))

    network: Any = build(CAUSAL[ROPE])
    network.decoder.layers[0].sublayers[1].mixer = Layer()
    if not norm:
        network.decoder.layers[0].sublayers[1].norm = None
    assert apart(network, tokens(2, LENGTH)) < ROUNDING
    assert used(network) == (known and (norm or way != "h ∘ x"))


def test_what_does_not_fit_together_has_no_program() -> None:
    """Works look at addresses alone: matrices of other sizes must not get as far as that."""

    def put(network: Any, where: str, d_in: int, d_out: int) -> None:
        layer = LinearLayer(d_in, d_out)
        nn.init.normal_(layer.weight, std=0.2)
        sublayers = network.decoder.layers[0].sublayers
        setattr(sublayers[where == "down"].mixer, where, layer)

    network, text = fresh()
    put(network, "k", 32, 16)
    put(network, "v", 32, 16)
    assert apart(network, text) < ROUNDING
    assert used(network) == 0
    network, text = fresh()
    put(network, "down", 48, 1)  # it is spread over the stream
    assert apart(network, text) < ROUNDING
    assert used(network) == 0
    network, text = fresh()
    put(network, "down", 48, 16)
    with pytest.raises(RuntimeError, match="size of tensor"):
        network(text)
    network, text = fresh()
    network.decoder.layers[0].sublayers[0].norm = RMSNormLayer(5, 1e-6, True)
    with pytest.raises(RuntimeError):
        network(text)


# what is done to a network between its passes


def turn(network: Any) -> None:
    weight = network.decoder.layers[0].sublayers[0].mixer.q.weight
    weight.data = weight.data.t()  # the same memory, read the other way


def take_other_settings(network: Any) -> None:
    network.decoder.final_norm.eps = 1.0
    network.decoder.layers[0].sublayers[0].mixer.scale = 3.0


def take_another_activation(network: Any) -> None:
    network.decoder.layers[0].sublayers[1].mixer.activation = torch.tanh


def ignore_a_token(network: Any) -> None:
    network.embedding = nn.Embedding(97, 32, padding_idx=int(tokens(2, LENGTH)[0, 0]), _weight=network.embedding.weight.data)


def bound_the_embedding(network: Any) -> None:
    network.embedding.max_norm = 0.5


def share_gradients_by_frequency(network: Any) -> None:
    network.embedding.scale_grad_by_freq = True


def become_another_class(network: Any) -> None:
    up = network.decoder.layers[0].sublayers[1].mixer.up
    up.__class__ = type("Tripled", (type(up),), {"forward": lambda self, x: 3 * type(up).__mro__[1].forward(self, x)})


def put_a_method_on_an_instance(network: Any) -> None:
    attention = network.decoder.layers[0].sublayers[0].mixer
    attend = attention._attend
    attention._attend = lambda *given: 3 * attend(*given)


CHANGES = [turn, take_other_settings, take_another_activation, ignore_a_token, bound_the_embedding]
CHANGES += [share_gradients_by_frequency, become_another_class, put_a_method_on_an_instance]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: Callable[[Any], None]) -> None:
    network, text = fresh()
    before = gradients(network, text)
    change(network)
    own = copy.deepcopy(network)  # apart from it: a bounded embedding changes its weights in a pass
    own.programs = None
    after = gradients(network, text)
    assert distance(after, gradients(own, text)) < ROUNDING
    assert any(not torch.allclose(before[name], after[name], rtol=1e-3) for name in before), "it changed nothing"


def test_a_table_that_shrinks_in_place_has_fewer_tokens() -> None:
    network, text = fresh()
    network.embedding.weight.data = network.embedding.weight.data[:50]
    with pytest.raises(IndexError):
        network(text)
    assert apart(network, text % 50) < ROUNDING


def test_dropout_that_is_switched_on_drops() -> None:
    network, text = fresh()
    right = network(text).hidden.detach()
    got = network(text, generator=torch.Generator()).hidden.detach()
    assert torch.equal(got, right)
    assert used(network) == 2
    network.decoder.layers[0].sublayers[1].dropout = 0.5
    got = network(text, generator=torch.Generator().manual_seed(1)).hidden
    network.programs = None
    assert torch.equal(got, network(text, generator=torch.Generator().manual_seed(1)).hidden)


def test_programs_of_another_network_are_not_taken() -> None:
    network, text = fresh()
    other = build(CAUSAL[ROPE], seed=5)
    other.programs = network.programs
    assert apart(other, text) < ROUNDING


def test_training_and_evaluating_in_turn_writes_nothing_anew() -> None:
    network, text = fresh()
    kept = dict(network.programs._kept)
    network.eval()(text)
    network.train()(text)
    assert {key: id(found) for key, (_, found) in kept.items()} == {
        key: id(found) for key, (_, found) in network.programs._kept.items()
    }


def test_a_moment_without_programs_passes() -> None:
    """Another dtype, forward-mode derivatives: afterwards there is a program again."""
    network, text = fresh()
    network.double()
    assert network(text).hidden.dtype == torch.float64
    network.float()
    with torch.autograd.forward_ad.dual_level():
        network(text)
    assert apart(network, text) < ROUNDING
    assert used(network) == 1


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint8, torch.bool, torch.float32])
def test_only_integers_that_an_embedding_takes_are_tokens(dtype: torch.dtype) -> None:
    network, text = fresh()
    with pytest.raises(RuntimeError):
        network(text.to(dtype))
    got, right = (network(x).hidden.detach() for x in (text.int(), text))
    assert torch.equal(got, right)


@pytest.mark.parametrize("shape", [(1, LENGTH), (2, LENGTH - 1), (2, LENGTH + 1)])
def test_documents_of_another_shape_are_the_networks_business(shape: tuple[int, int]) -> None:
    said = []
    for programs in (TrainingPrograms(), None):
        network, text = fresh()
        network.programs = programs
        with pytest.raises((RuntimeError, ValueError)) as error:
            network(text, documents=torch.zeros(shape, dtype=torch.int64))
        said.append(str(error.value))
    assert said[0] == said[1]


# what is done to it between a pass and its way back


def test_weights_that_were_moved_before_the_way_back_raise() -> None:
    """Their old memory may be another tensor's by then."""
    network, text = fresh()
    loss = network(text).hidden.sum()
    weight = network.decoder.layers[0].sublayers[0].mixer.q.weight
    weight.data = torch.full_like(weight, 1e30)
    with pytest.raises(RuntimeError, match="changed or replaced"):
        loss.backward()


def test_two_threads_train_one_network() -> None:
    """Whoever comes second finds the buffers taken, also while the library is at work."""
    network = build(CAUSAL[ROPE])
    texts = [tokens(2, LENGTH, seed) for seed in range(2)]

    def asked(text: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(network(text).hidden.sin().sum(), list(network.parameters())))

    right, wrong = [asked(text) for text in texts], []
    network.programs = TrainingPrograms()

    def go(which: int) -> None:
        try:
            for _ in range(150):
                for got, one in zip(asked(texts[which]), right[which], strict=True):
                    assert torch.allclose(got, one, atol=1e-4 * float(one.abs().max()))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=go, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_buffers_are_claimed_before_the_library_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    network, text = fresh()
    forward, inner = TrainingProgram.forward, []

    def meanwhile(self: TrainingProgram, *given: Any) -> bool:
        monkeypatch.setattr(TrainingProgram, "forward", forward)
        done = forward(self, *given)
        inner.append(network((text + 1) % 97).hidden)  # another thread's pass
        return done

    right = network(text).hidden.detach()
    monkeypatch.setattr(TrainingProgram, "forward", meanwhile)
    assert torch.equal(network(text).hidden, right)
    assert len(inner) == 1


def test_programs_that_are_not_used_are_not_kept_alive() -> None:
    """Without the collector of cycles: buffers are large, and it counts objects."""
    gc.collect()
    gc.disable()
    try:
        network, text = fresh()
        gradients(network, text)
        finished = [weakref.ref(found) for _, found in network.programs._kept.values()]
        network.programs = None
        assert [found() for found in finished] == [None]
        begun: list[weakref.ref[TrainingProgram]] = []

        class Watched(TrainingProgram):
            def __init__(self, *given: Any, **more: Any) -> None:
                super().__init__(*given, **more)
                begun.append(weakref.ref(self))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("linnet.model.training_programs.TrainingProgram", Watched)
            network.decoder.layers[0].sublayers[1].mixer.up.register_forward_hook(lambda *seen: None)
            network.programs = TrainingPrograms()
            network(text)
        assert [found() for found in begun] == [None]
    finally:
        gc.enable()
