"""Law 7 for programs: a network's next token in one call is its forward pass, and the state stays the value that it is.

Laws 3 to 6 run once more over a network whose single tokens are read by programs wherever there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from passes import has_program, is_decoded
from sentences import CAUSAL, SENTENCES, VOCAB, build, describe, tokens
from torch import Tensor, nn
from torch.nn.functional import softplus

import laws
from equivalence import Hold
from linnet.core.native import native_problem, opened
from linnet.model import Attention, Block, Head, Network, Repeat, RMSNorm, Rope, Stack, State, Sublayer
from linnet.model.channel.moe import MOST_ASKING
from linnet.model.mixer.attention import AttentionLayer
from linnet.model.mixer.mamba import Selected
from linnet.model.network import Output
from linnet.model.one_token import OneToken, one_token
from linnet.model.state import Tail
from linnet.ops import kernels
from linnet.ops.kernels import MOST_ROWS, VECTORS, kernels_available, limit_vectors, vectors_in_use
from linnet.ops.one_token_program import Memory, OneTokenProgram
from linnet.ops.program import CannotRun, Program
from linnet.ops.route import route
from linnet.ops.scan import selective_scan_reference
from linnet.zoo import Linnet
from linnet.zoo.deepseek import Deepseek
from linnet.zoo.jamba import Jamba

pytestmark = [
    pytest.mark.skipif(not kernels_available(), reason=f"no kernels: {native_problem() or 'no GNU OpenMP'}"),
    pytest.mark.usefixtures("_small_buffers"),
]
Patch = pytest.MonkeyPatch
ROUNDING = 2e-5  # as for laws 3 to 6
ROPE = "attention n_heads=4 position=rope"
WINDOW = "attention n_heads=4 window=5 position=rope"
CONVOLUTION = "convolution"
MAMBA = next(name for name in CAUSAL if name.startswith("mamba"))
LATENT = next(name for name in CAUSAL if name.startswith("latent"))
MOE = next(name for name in CAUSAL if name.startswith("moe"))
LINNET = describe(Linnet.examples()[1])
JAMBA = describe(Jamba.examples()[1])
DEEPSEEK = describe(Deepseek.examples()[1])


def decodes_by_program(name: str) -> bool:
    """A token's logits are what decoding needs, too."""
    head = CAUSAL[name].head
    return has_program(name, is_decoded) and head.softcap is None and head.transform is None


class ByPrograms:
    """A network that reads single tokens by programs, and answers with logits."""

    def __init__(self, network: Network) -> None:
        self.network, self.spec, self.new_state = network, network.spec, network.new_state
        self.programs: dict[int, OneToken | None] = {}
        self.used = 0

    def __call__(self, text: Tensor, *, documents: Tensor | None = None, state: State | None = None) -> Output:
        if text.shape[1] == 1 and documents is None and state is not None:
            if len(text) not in self.programs:
                self.programs[len(text)] = one_token(self.network, len(text))
            program = self.programs[len(text)]
            done = program(text, state) if program is not None else None
            if done is not None:
                self.used += 1
                return Output(done[0][:, None].clone(), done[1], {})
        out = self.network(text, documents=documents, state=state)
        return Output(self.network.logits(out.hidden), out.state, {})


@pytest.mark.parametrize("name", CAUSAL)
def test_7_one_token_is_the_forward_pass(name: str, hold: Hold) -> None:
    both: Any = ByPrograms(build(CAUSAL[name]))
    text = tokens(laws.ROWS, laws.LENGTH)
    hold("7 programs: cut anywhere", laws.cut_anywhere(both, text), ROUNDING)
    hold("7 programs: padding", laws.padding_changes_nothing(both, text), ROUNDING)
    hold("7 programs: documents by row", laws.rows_may_differ(both, text), ROUNDING)
    assert bool(both.used) == decodes_by_program(name), f"{both.used} tokens of {name} were read by a program"


@pytest.mark.parametrize("name", [name for name in CAUSAL if decodes_by_program(name)])
def test_7_states_of_programs_are_values(name: str, hold: Hold) -> None:
    both: Any = ByPrograms(build(CAUSAL[name]))
    text = tokens(laws.ROWS, laws.LENGTH)
    hold("7 programs: select", laws.select_is_running_those_rows(both, text), ROUNDING)
    hold("7 programs: branches", laws.branches_are_independent(both, text), ROUNDING)
    assert both.used > 20


@pytest.mark.parametrize("vectors", VECTORS)
@pytest.mark.parametrize("rows", [1, 2, 5, MOST_ROWS])
@pytest.mark.parametrize("family", [LINNET, JAMBA, DEEPSEEK], ids=["linnet", "jamba", "deepseek"])
def test_7_on_every_kind_of_processor_and_thread(vectors: str, rows: int, family: str, hold: Hold) -> None:
    """Widths that fill no vector, positions beyond the first table, and the same bits with one thread and with two."""
    network = build(CAUSAL[family]).eval()
    text = tokens(rows, 300)
    try:
        limit_vectors(vectors)
        if vectors_in_use() != vectors:
            pytest.skip(f"this processor has no {vectors}")
        with torch.no_grad():
            begun = network(text[:, :280], state=network.new_state(rows)).state
        answers = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.no_grad():
                program, state = one_token(network, rows), begun
                if rows > MOST_ASKING and family != LINNET:
                    assert program is None, "experts for many rows are sorted by the network"
                    return
                assert program is not None
                got = []
                for t in range(280, 300):
                    logits, state = program(text[:, t : t + 1], state)  # type: ignore[misc, arg-type]
                    got.append(logits.clone())
                answers.append(torch.stack(got, 1))
    finally:
        limit_vectors()
        torch.set_num_threads(1)
    with torch.no_grad():
        right = network.double().logits(network(text).hidden)[:, 280:]
    hold(f"7 programs: {vectors}", laws.gap(answers[0].double(), right), ROUNDING)
    assert torch.equal(*answers)


def test_7_a_program_grows_with_its_state() -> None:
    """From nothing to beyond the first capacity and the first table of positions: every logit of 300 tokens."""
    network = build(CAUSAL[ROPE])
    text = tokens(2, 300)
    with torch.no_grad():
        both: Any = ByPrograms(network)
        got = torch.cat([both(text[:, :1], state=network.new_state(2)).hidden], 1)
        state = both(text[:, :1], state=network.new_state(2)).state
        parts = [got]
        for t in range(1, 300):
            out = both(text[:, t : t + 1], state=state)
            state = out.state
            parts.append(out.hidden)
        right = network.logits(network(text).hidden)
    assert both.used == 301
    assert laws.gap(torch.cat(parts, 1), right) < ROUNDING


def test_what_a_program_cannot_do_is_left_to_the_network(monkeypatch: Patch) -> None:
    network = build(CAUSAL[ROPE])
    with torch.enable_grad():
        assert one_token(network, 1) is None
    with torch.no_grad():
        assert one_token(network, 1) is not None
        assert one_token(network, MOST_ROWS + 1) is None
        assert one_token(build(CAUSAL[ROPE], torch.bfloat16), 1) is None
        with torch.autocast("cpu", torch.bfloat16):
            assert one_token(network, 1) is None
        handle = network.decoder.layers[0].sublayers[0].mixer.q.register_forward_hook(lambda *seen: None)
        assert one_token(network, 1) is None
        handle.remove()
        handle = network.embedding.register_forward_pre_hook(lambda *seen: None)
        assert one_token(network, 1) is None
        handle.remove()
        assert one_token(build(SENTENCES[ROPE].replace(head=Head(tied=False, bias=True))), 1) is None
        monkeypatch.setattr("linnet.model.one_token.kernels_available", lambda: False)
        assert one_token(network, 1) is None


def test_a_layer_that_was_rewritten_has_no_program() -> None:
    """A subclass with another forward, an instance with one, and a module that nobody knows."""

    class Doubled(type(build(CAUSAL[ROPE]).decoder.layers[0].sublayers[1].mixer.up)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Turned(AttentionLayer):
        def _rotation(self, *given: Any) -> Any:
            cos, sin = super()._rotation(*given)
            return cos, -sin

    class Doubting(Network):
        def logits(self, hidden: Tensor) -> Tensor:
            return super().logits(hidden) / 2

    for change in ("class", "instance", "module", "method", "logits", "instance's logits"):
        network = build(CAUSAL[ROPE])
        mlp: Any = network.decoder.layers[0].sublayers[1].mixer
        with torch.no_grad():
            assert one_token(network, 1) is not None
            if change == "class":
                mlp.up.__class__ = Doubled
            elif change == "instance":
                mlp.up.forward = lambda x: x
            elif change == "method":
                network.decoder.layers[0].sublayers[0].mixer.__class__ = Turned  # type: ignore[union-attr, index, assignment]
            elif change == "logits":
                network.__class__ = Doubting
            elif change == "instance's logits":
                network.logits = lambda hidden: hidden  # type: ignore[method-assign]
            else:
                mlp.up = nn.Sequential(mlp.up)
            assert one_token(network, 1) is None


def test_a_program_refuses_states_that_it_does_not_know_and_loses_nothing() -> None:
    network = build(CAUSAL[ROPE])
    text = tokens(2, 8)
    with torch.no_grad():
        program = one_token(network, 2)
        assert program is not None
        fixed = network(text[:, :4], state=network.new_state(2, capacity=8)).state
        assert fixed is not None
        assert program(text[:, 4:5], fixed) is None, "a fixed capacity"
        torn = network(text[:, :4], documents=torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0]]), state=network.new_state(2)).state
        assert torn is not None
        assert program(text[:, 4:5], torn) is None, "a document in two stretches"
        state = network(text[:, :4], state=network.new_state(2)).state
        assert state is not None
        assert program(text[:1, 4:5], state.select(torch.tensor([0]))) is None, "another number of rows"
        right = network(text[:, 4:5], state=state).hidden
        for wrong in (VOCAB, -1):
            assert program(torch.tensor([[0], [wrong]]), state) is None, "a token that there is not"
            again = network(text[:, 4:5], state=state)
            assert torch.equal(again.hidden, right)


def test_positions_beyond_what_was_learned_are_the_networks_to_refuse() -> None:
    network = build(CAUSAL["learned max_length=96"])
    text = tokens(1, 96)
    with torch.no_grad():
        program = one_token(network, 1)
        state = network(text, state=network.new_state(1)).state
        assert program is not None
        assert state is not None
        assert program(text[:, :1], state) is None


def test_weights_are_read_where_they_lie_and_nowhere_else() -> None:
    """What is trained on in place is seen; where weights are moved, the program refuses."""
    text = tokens(1, 6)
    for move in (
        lambda network: network.to(torch.float64),
        lambda network: network.share_memory(),
        lambda network: setattr(network.embedding.weight, "data", network.embedding.weight.data.clone()),
    ):
        network = build(CAUSAL[ROPE])
        with torch.no_grad():
            program = one_token(network, 1)
            assert program is not None
            state = network(text[:, :5], state=network.new_state(1)).state
            assert state is not None
            network.decoder.layers[0].sublayers[1].mixer.up.weight.mul_(1.5)  # type: ignore[union-attr, index, operator]
            right = network.logits(network(text[:, 5:], state=state).hidden)[:, 0]
            done = program(text[:, 5:], state)
            assert done is not None
            assert laws.gap(done[0], right) < ROUNDING
            move(network)
            assert program(text[:, 5:], state) is None


def test_heads_of_different_width_turn_by_tables_of_their_own() -> None:
    model = CAUSAL[ROPE]
    for widths in ((8, 16), (16, 8)):
        mixers = [Attention(n_heads=2, d_head=width, position=Rope()) for width in widths]
        blocks = tuple(Block(sublayers=(Sublayer(mixer=mixer, norm=RMSNorm()),)) for mixer in mixers)
        both: Any = ByPrograms(build(model.replace(decoder=Stack(layers=(Repeat(pattern=blocks),)))))
        assert laws.cut_anywhere(both, tokens(laws.ROWS, laws.LENGTH)) < ROUNDING
        assert both.used


def test_states_and_tokens_of_another_shape_are_refused() -> None:
    network, text = build(CAUSAL[ROPE]), tokens(3, 6)
    groups = build(CAUSAL["attention n_heads=4 n_kv_heads=2 position=rope"])
    with torch.no_grad():
        one, three = network.new_state(1), network.new_state(3)
        program, many, grouped = one_token(network, 3), one_token(network, MOST_ROWS), one_token(groups, 3)
        assert program is not None
        assert many is not None
        assert grouped is not None
        assert program(text[:, :1], one) is None
        assert many(tokens(MOST_ROWS, 1), one) is None
        assert grouped(text[:, :1], three) is None
        assert program(text[:, :2], three) is None
        assert program(text[:, :1].float(), three) is None
        assert program(text[:, :1], three) is not None
        with torch.enable_grad():
            assert program(text[:, :1], three) is None
        with torch.autocast("cpu", torch.bfloat16):
            assert program(text[:, :1], three) is None


def test_another_default_dtype_and_device_change_nothing() -> None:
    network = build(CAUSAL[LINNET]).eval()
    text = tokens(2, 6)
    with torch.no_grad():
        state = network(text[:, :5], state=network.new_state(2)).state
        assert state is not None
        right = network.logits(network(text[:, 5:], state=state).hidden)[:, 0]
        torch.set_default_dtype(torch.float64)
        try:
            with torch.device("meta"):
                program = one_token(network, 2)
        finally:
            torch.set_default_dtype(torch.float32)
        done = program(text[:, 5:], state) if program is not None else None
        assert done is not None
        assert laws.gap(done[0], right) < ROUNDING


HOW = {"top_k": 2, "n_groups": 1, "top_groups": 1, "score": "softmax", "normalise": True, "scale": 1.0}
ROUTES: list[dict[str, Any]] = [
    {},
    {"score": "sigmoid", "normalise": False, "scale": 2.5},
    {"n_groups": 4, "top_groups": 2, "top_k": 3, "bias": True, "score": "sigmoid"},
    {"n_groups": 8, "top_groups": 3, "top_k": 3},
    {"top_k": 8, "bias": True},
    {"top_k": 1, "normalise": False, "bias": True},
]


@pytest.mark.parametrize("asked", ROUTES, ids=str)
def test_7_routes_of_programs_are_routes(asked: dict[str, Any], hold: Hold) -> None:
    draws = torch.Generator().manual_seed(0)
    logits, bias = torch.randn(30, 8, generator=draws), torch.randn(8, generator=draws)
    how = HOW | asked
    shift = bias if how.pop("bias", False) else None
    program = OneTokenProgram(30)
    weights = program.route(program.embed(logits), shift, **how)
    program.run(torch.arange(30), torch.zeros(30, dtype=torch.int64), torch.zeros(30, dtype=torch.int64))
    experts, shares, _ = route(logits, bias=shift, **how)
    right = torch.zeros(30, 8).scatter(1, experts, shares)
    assert torch.equal(weights.t() != 0, right != 0)
    hold("7 programs: routes", (weights.t() - right).abs().max().item(), 1e-6)


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_a_route_of_what_is_no_number_is_none(score: str) -> None:
    program = OneTokenProgram(2)
    x = program.embed(torch.tensor([[0.0, float("nan"), 1.0, 2.0], [3.0, 0.0, 1.0, 2.0]]))
    weights = program.route(x, None, **HOW | {"score": score})
    y = program.mix(weights, [x] * 4)
    program.run(torch.arange(2), torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    assert y[0].isnan().all()
    assert torch.allclose(y[1], torch.tensor([3.0, 0.0, 1.0, 2.0]))


@pytest.mark.parametrize("position", [0, 5])
def test_7_a_step_of_a_scan_is_a_step_of_a_scan(position: int, hold: Hold) -> None:
    """Widths that fill no vector and no piece; where a document begins, a state that is no number does not count."""
    draws = torch.Generator().manual_seed(0)
    rows, e, n = 3, 70, 19
    x, delta = (torch.randn(rows, e, generator=draws) * scale for scale in (1, 9))
    b, c = (torch.randn(rows, n, generator=draws) for _ in range(2))
    a_log, skip, before = (torch.randn(*shape, generator=draws) for shape in ((e, n), (e,), (rows, e, n)))
    program, after = OneTokenProgram(rows), torch.empty(rows, e, n)
    held = program.held()
    y = program.scan_step(held, program.embed(x), program.embed(delta), a_log, program.embed(b), program.embed(c), skip)
    if position == 0:
        before[0] = torch.nan
    assert held.fits(before)
    held.show(before, after)
    begins = torch.full((rows, 1), position == 0)
    parts = (x[:, None], softplus(delta)[:, None], -a_log.exp(), b[:, None], c[:, None], skip)
    right, last = selective_scan_reference(*(part.double() for part in parts), before.double(), begins)
    assert program.run(torch.arange(rows), torch.full((rows,), position), torch.zeros(rows, dtype=torch.int64))
    hold("7 programs: a step of a scan", laws.gap(y.double(), right[:, 0]), 1e-5)
    hold("7 programs: a step of a scan", laws.gap(after.double(), last), 1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_works_that_nobody_asks_for_are_passed_over(threads: int) -> None:
    """What they would write stays as it was, and what comes after them is done."""
    torch.set_num_threads(threads)
    try:
        program = OneTokenProgram(2)
        table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
        weights = program.route(program.embed(table), None, **HOW | {"top_k": 1})
        x = program.embed(table)
        with program.only_if(weights[1]):  # who has more in the second column
            program.pointwise("add", x, x)
        y = program.pointwise("add", program.embed(table), x)
        zeros = torch.zeros(2, dtype=torch.int64)
        for tokens_, expected in (
            ([0, 0], [[2.0, 0.0], [2.0, 0.0]]),
            ([1, 0], [[0.0, 3.0], [3.0, 0.0]]),
            ([0, 2], [[3.0, 0.0], [0.0, 6.0]]),
        ):
            program.run(torch.tensor(tokens_), zeros, zeros)
            assert y.tolist() == expected
    finally:
        torch.set_num_threads(1)


def test_conditions_weights_and_states_that_could_change_are_refused() -> None:
    program = OneTokenProgram(3)
    x = program.embed(torch.zeros(2, 4))
    weights = program.route(x, None, **HOW)
    for asked in (x[:, 0], torch.zeros(3), weights[0, :1]):
        with pytest.raises(CannotRun), program.only_if(asked):
            pass
    with program.only_if(weights[0]), pytest.raises(CannotRun), program.only_if(weights[1]):
        pass
    for wrong in (torch.ones(4, 3), weights[:2]):
        with pytest.raises(CannotRun):
            program.mix(wrong, [x] * 4)
    with pytest.raises(CannotRun), Program(3).only_if(weights[0]):
        pass


def test_instructions_that_make_no_sense_are_codes_and_not_crashes() -> None:
    ffi, lib, _ = opened()
    threads, numbers = kernels._threads(1), ffi.new("float[16]")
    places = ffi.new("int64_t[1]")
    inputs = ffi.new("linnet_inputs *", (1, places, places, places, ffi.NULL))
    memory = ffi.new("linnet_memory *", ((numbers, 4, 4, 4), 2, 0))
    empty = ffi.new("linnet_memory *", ((numbers, 4, 4, 4), 0, 0))
    table = ffi.new("linnet_table *", (numbers, 2))

    def run(kind: int, work: str, *fields: Any) -> int:
        one = ffi.new("linnet_instruction[]", [{"kind": kind, "work": {work: fields}}])
        return lib.linnet_run(one, 1, inputs, threads)

    assert run(0, "embed", table, 0, 0, 4, 1.0, numbers) == 0
    assert run(0, "embed", ffi.NULL, 0, 0, 4, 1.0, numbers) == -1
    assert run(0, "embed", table, 0, 0, 0, 1.0, numbers) == -1
    assert run(1, "norm", 1, 4, 1, 0, numbers, *[ffi.NULL] * 2, numbers, ffi.NULL, 1e-5, 1) == 0
    assert run(1, "norm", 1, 4, 1, 0, *[ffi.NULL] * 3, numbers, ffi.NULL, 1e-5, 1) == -1
    assert run(1, "norm", 1, 4, 0, 0, numbers, *[ffi.NULL] * 2, numbers, ffi.NULL, 1e-5, 1) == -1
    assert run(2, "product", 1, 2, 2, numbers, numbers, ffi.NULL, numbers + 8) == 0
    assert run(2, "product", 2, 2, 2, numbers, numbers, ffi.NULL, numbers + 8) == -1, "other rows than the inputs"
    assert run(3, "pointwise", 0, 4, numbers, numbers, numbers) == 0
    assert run(3, "pointwise", 0, 4, numbers, ffi.NULL, numbers) == -1
    assert run(3, "pointwise", 7, 4, numbers, numbers, numbers) == -1
    assert run(4, "rotate", table, 1, 4, 4, 0, numbers) == 0
    assert run(4, "rotate", table, 1, 4, 3, 0, numbers) == -1
    assert run(4, "rotate", table, 1, 4, 6, 0, numbers) == -1
    assert run(5, "remember", memory, 1, 4, numbers) == 0
    assert run(5, "remember", empty, 1, 4, numbers) == -1
    assert run(6, "attend", memory, memory, 1, 1, 4, 1.0, numbers, numbers + 8) == 0
    assert run(6, "attend", memory, empty, 1, 1, 4, 1.0, numbers, numbers + 8) == -1
    assert run(6, "attend", memory, memory, 3, 2, 4, 1.0, numbers, numbers + 8) == -1
    assert run(7, "convolve", memory, 2, 4, numbers, numbers, numbers + 8) == 0
    assert run(7, "convolve", memory, 0, 4, numbers, numbers, numbers + 8) == -1
    assert run(7, "convolve", memory, 2, 4, numbers, ffi.NULL, numbers + 8) == 0
    assert run(8, "matmul", 2, 2, 2, 0, 0, numbers, numbers, ffi.NULL, ffi.NULL, numbers + 8) == 0
    assert run(8, "matmul", 2, 0, 2, 0, 0, numbers, numbers, ffi.NULL, ffi.NULL, numbers + 8) == -1
    assert run(8, "matmul", 2, 2, 2, 0, 0, numbers, ffi.NULL, ffi.NULL, ffi.NULL, numbers + 8) == -1
    assert run(9, "column_sum", 0, 4, 4, numbers, numbers) == -1
    task = (1, 4, 1, 0, numbers, ffi.NULL, ffi.NULL, numbers, ffi.NULL, 1e-5, 1)
    assert run(10, "norm_back", task, numbers, numbers, ffi.NULL, 0) == -1, "without what the forward pass knew"
    assert run(11, "pointwise_back", 0, 4, numbers, ffi.NULL, numbers, numbers, ffi.NULL) == -1, (
        "a sum has no way back of its own"
    )
    assert run(11, "pointwise_back", 1, 4, numbers, ffi.NULL, numbers, numbers, ffi.NULL) == -1
    assert run(12, "embed_back", 0, 0, 4, 1.0, numbers, numbers) == -1, "a table without rows"
    assert run(13, "sequences") == -1
    assert run(14, "sequences_back") == -1
    assert run(15, "convolution", 3, 2, 4, numbers, numbers, numbers) == -1, "rows that are not whole sequences"
    assert run(16, "convolution_back") == -1
    assert run(17, "route", 4, 2, 2, 1, 0, 1, 1.0, numbers, ffi.NULL, numbers + 8) == 0
    assert run(17, "route", 4, 3, 2, 1, 0, 1, 1.0, numbers, ffi.NULL, numbers + 8) == -1, "more than the groups have"
    assert run(17, "route", 4, 0, 1, 1, 0, 1, 1.0, numbers, ffi.NULL, numbers + 8) == -1
    assert run(17, "route", 4, 1, 3, 1, 0, 1, 1.0, numbers, ffi.NULL, numbers + 8) == -1, "groups of different sizes"
    assert run(17, "route", 4, 1, 0, 1, 0, 1, 1.0, numbers, ffi.NULL, numbers + 8) == -1
    assert run(17, "route", 4, 1, 1, 1, 0, 1, 1.0, ffi.NULL, ffi.NULL, numbers + 8) == -1
    said = ffi.new("float *[2]", [numbers, numbers])
    assert run(18, "mix", 2, 4, numbers, said, numbers + 8) == 0
    assert run(18, "mix", 2, 4, numbers, ffi.new("float *[2]", [numbers, ffi.NULL]), numbers + 8) == -1
    assert run(18, "mix", 2, 4, numbers, ffi.NULL, numbers + 8) == -1
    held = ffi.new("linnet_held *", (numbers, numbers + 8))
    assert run(19, "scan_step", held, 2, 2, *[numbers] * 6, numbers + 12) == 0
    assert run(19, "scan_step", ffi.new("linnet_held *"), 2, 2, *[numbers] * 6, numbers + 12) == -1
    assert run(19, "scan_step", held, 2, 0, *[numbers] * 6, numbers + 12) == -1
    assert run(19, "scan_step", held, 2, 2, *[numbers] * 5, ffi.NULL, numbers + 12) == -1
    assert run(20, "columns", 2, 2, 4, 2, numbers, numbers + 8) == 0
    assert run(20, "columns", 2, 3, 4, 2, numbers, numbers + 8) == -1, "rows that are wider than they are apart"
    assert run(20, "columns", 0, 2, 4, 2, numbers, numbers + 8) == -1
    assert run(21, "by_head", 2, 2, 1, 0, numbers, numbers, numbers + 8) == 0
    assert run(21, "by_head", 2, 2, 0, 0, numbers, numbers, numbers + 8) == -1
    assert run(21, "by_head", 2, 2, 1, 0, numbers, ffi.NULL, numbers + 8) == -1
    assert run(22, "convolve", memory, 2, 4, numbers, numbers, numbers + 8) == -1, "a work that there is not"
    for bad in (2, -1):
        places[0] = bad
        assert run(0, "embed", table, 0, 0, 4, 1.0, numbers) == -1, "a token without a row"
        assert run(4, "rotate", table, 1, 4, 4, 0, numbers) == -1, "a position without a row"
    assert lib.linnet_run(ffi.NULL, 1, inputs, threads) == -1


# mutants


def begin_at_the_start(patch: Patch) -> None:
    run = OneTokenProgram.run
    patch.setattr(OneTokenProgram, "run", lambda self, text, at, begins: run(self, text, at, torch.zeros_like(begins)))


def one_position_late(patch: Patch) -> None:
    run = OneTokenProgram.run
    patch.setattr(OneTokenProgram, "run", lambda self, text, at, begins: run(self, text, at + 1, begins))


def forget_what_was_let_go(patch: Patch) -> None:
    show = Memory.show
    patch.setattr(Memory, "show", lambda self, store, start, places, first: show(self, store, start, places, 0))


def show_what_was_let_go(patch: Patch) -> None:
    show = Memory.show

    def mutant(self: Memory, store: Tensor, start: int, places: int, first: int) -> None:
        show(self, store, max(start - 1, 0), places + min(start, 1), first)

    patch.setattr(Memory, "show", mutant)


def write_in_place_always(patch: Patch) -> None:
    reserve = Tail.reserve

    def mutant(self: Tail, n: int, like: Tensor | None = None) -> Tail:
        self.line.tip = self.stop
        return reserve(self, n, like)

    patch.setattr(Tail, "reserve", mutant)


def forget_the_norms(patch: Patch) -> None:
    patch.setattr(OneTokenProgram, "rms_norm", lambda self, x, width, weight, eps: x)


def forget_the_shift(patch: Patch) -> None:
    linear = OneTokenProgram.linear
    patch.setattr(OneTokenProgram, "linear", lambda self, x, weight, bias: linear(self, x, weight, None))


def another_activation(patch: Patch) -> None:
    pointwise = OneTokenProgram.pointwise
    patch.setattr(
        OneTokenProgram,
        "pointwise",
        lambda self, what, x, other=None: pointwise(self, "silu" if what == "gelu_tanh" else what, x, other),
    )


def free_too_early(patch: Patch) -> None:
    """Every buffer is everybody's."""
    buffer = OneTokenProgram._buffer

    def mutant(self: OneTokenProgram, width: int) -> Tensor:
        taken = buffer(self, width)
        self._free[width].append(taken)
        return taken

    patch.setattr(OneTokenProgram, "_buffer", mutant)


def steps_of_another_gate(patch: Patch) -> None:
    step = OneTokenProgram.scan_step
    patch.setattr(
        OneTokenProgram, "scan_step", lambda self, held, x, delta, a, b, c, skip: step(self, held, x, delta, a, c, b, skip)
    )


def replace_in_place(patch: Patch) -> None:
    patch.setattr(Selected, "longer", lambda self: Selected(self.recent.longer(), self.h))


def nobody_is_asked(patch: Patch) -> None:
    only_if = OneTokenProgram.only_if

    def mutant(self: OneTokenProgram, asked: Tensor) -> Any:
        never = self._room(len(asked))
        self._deciding.add(never.data_ptr())
        return only_if(self, never)

    patch.setattr(OneTokenProgram, "only_if", mutant)


def all_count_alike(patch: Patch) -> None:
    route = OneTokenProgram.route
    patch.setattr(
        OneTokenProgram, "route", lambda self, *given, **how: route(self, *given, **how | {"scale": 1.2 * how["scale"]})
    )


def nothing_turned(patch: Patch) -> None:
    patch.setattr(OneTokenProgram, "rotate", lambda self, x, d_head, make, key: x)


def side_by_side_the_other_way(patch: Patch) -> None:
    join = OneTokenProgram.join
    patch.setattr(OneTokenProgram, "join", lambda self, parts, heads=1: join(self, parts[::-1], heads))


Law = Callable[[Any, Tensor], float]
MUTANTS: list[tuple[Callable[[Patch], None], Law, str]] = [
    (begin_at_the_start, laws.padding_changes_nothing, ROPE),
    (begin_at_the_start, laws.rows_may_differ, CONVOLUTION),
    (one_position_late, laws.rows_may_differ, "sinusoidal"),
    (forget_what_was_let_go, laws.padding_changes_nothing, WINDOW),
    (show_what_was_let_go, laws.cut_anywhere, WINDOW),
    (write_in_place_always, laws.branches_are_independent, ROPE),
    (forget_the_norms, laws.cut_anywhere, ROPE),
    (another_activation, laws.cut_anywhere, ROPE),
    (free_too_early, laws.cut_anywhere, ROPE),
    (steps_of_another_gate, laws.cut_anywhere, MAMBA),
    (replace_in_place, laws.branches_are_independent, MAMBA),
    (forget_the_shift, laws.cut_anywhere, MAMBA),
    (nothing_turned, laws.cut_anywhere, LATENT),
    (side_by_side_the_other_way, laws.cut_anywhere, LATENT),
    (nobody_is_asked, laws.cut_anywhere, MOE),
    (all_count_alike, laws.cut_anywhere, MOE),
]


@pytest.mark.parametrize(("mutate", "law", "name"), MUTANTS, ids=lambda one: getattr(one, "__name__", one))
def test_the_law_kills_the_mutant(mutate: Callable[[Patch], None], law: Law, name: str, monkeypatch: Patch) -> None:
    network = build(CAUSAL[name])
    text = tokens(laws.ROWS, laws.LENGTH)
    mutate(monkeypatch)
    assert law(ByPrograms(network), text) > 10 * ROUNDING


def test_the_law_kills_a_forgotten_bias(monkeypatch: Patch) -> None:
    name = next(name for name in CAUSAL if name.startswith("attention") and "bias=True" in name)
    forget_the_shift(monkeypatch)
    assert laws.cut_anywhere(ByPrograms(build(CAUSAL[name])), tokens(laws.ROWS, laws.LENGTH)) > 10 * ROUNDING  # type: ignore[arg-type]


def test_7_the_law_kills_a_program_that_forgets_a_scaling(monkeypatch: Patch) -> None:
    name = next(name for name in CAUSAL if "scaling=yarn" in name and name.startswith("attention"))
    text = tokens(laws.ROWS, laws.LENGTH)
    assert laws.cut_anywhere(ByPrograms(build(CAUSAL[name])), text) < ROUNDING  # type: ignore[arg-type]
    network, rotate = build(CAUSAL[name]), OneTokenProgram.rotate
    plain = lambda positions: Rope().table(positions, network.spec.d_model // 4)  # noqa: E731
    monkeypatch.setattr(OneTokenProgram, "rotate", lambda self, x, width, make, key: rotate(self, x, width, plain, key))
    assert laws.cut_anywhere(ByPrograms(network), text) > 100 * ROUNDING  # type: ignore[arg-type]
