"""Two programs that round a ternary model's activations: borders are settled, and nothing else is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from linnet.core.rules import Rule
from linnet.interop import certify
from linnet.interop.certificate import Certificate, CertificateError, Line
from linnet.interop.certify import TOLERANCE
from linnet.interop.exporting import export_run, read_run_model
from linnet.interop.readers import ByTransformers
from linnet.interop.roundings import both, listen, rounded_alike, ternary_layers
from linnet.model.linear import TernaryLayer
from linnet.model.network import Network
from linnet.ops.ternary import LARGEST
from linnet.zoo import BitNet

pytest.importorskip("transformers")
from test_exporting import FAMILIES, bpe, run_of

FAMILY = BitNet(n_layers=2, d_model=32, n_heads=4, context_length=80)
V = 97


def shaken(module: nn.Module, layers: Any, steps: float) -> None:
    """Let layers be given what is off by up to so many steps of 8 bits, the token's largest excepted, as by sums in another order."""
    draws = torch.Generator().manual_seed(5)

    def shake(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, largest = given[0], given[0].abs().amax(-1, keepdim=True)
        off = torch.empty_like(x).uniform_(-steps, steps, generator=draws) * largest / LARGEST
        return (torch.where(x.abs() == largest, x, x + off).clamp(-largest, largest),)

    for name in layers:
        module.get_submodule(name).register_forward_pre_hook(shake)


@torch.no_grad()
def scores(network: Network, ids: Tensor) -> Tensor:
    return network.logits(network(ids).hidden)


@pytest.fixture
def pair() -> tuple[Network, Network, dict[str, str], Tensor]:
    """A network, a copy of it, the names of its layers there, and a text."""
    ours = Network(FAMILY.sentence(V), seed=3).eval()
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.15, generator=draws))
    text = torch.randint(0, V, (12, 64), generator=torch.Generator().manual_seed(1))
    return ours, copy.deepcopy(ours), {name: name for name in ternary_layers(ours)}, text


def test_activations_at_a_border_are_rounded_alike(pair: tuple[Network, Network, dict[str, str], Tensor]) -> None:
    ours, theirs, names, text = pair
    with listen(ours) as heard:
        right = scores(ours, text)
    assert {tuple(x.shape[:2]) for x in heard.values()} == {(12, 64)}
    shaken(theirs, names, 1e-3)
    assert (scores(theirs, text) - right).abs().max() > 100 * TOLERANCE, "no activation fell the other way"
    with rounded_alike(theirs, names, heard) as settled:
        got = scores(theirs, text)
    assert (got - right).abs().max() < TOLERANCE
    assert settled.problem is None
    assert 5e-4 < settled.farthest < 2e-3
    fell = settled.roundings
    assert fell
    assert all(abs(each.here - each.there) < 2e-3 and round(each.here) != round(each.there) for each in fell)
    assert "here" in str(fell[0])
    assert fell[0].layer in names
    assert (scores(theirs, text) - right).abs().max() > 100 * TOLERANCE, "the hooks are still there"


def test_a_text_may_go_by_in_pieces(pair: tuple[Network, Network, dict[str, str], Tensor]) -> None:
    """As while writing: a prompt, then token by token. What is beyond what was heard is left as it is."""
    ours, theirs, names, text = pair
    with torch.no_grad(), listen(ours) as heard:
        state = ours(text[:, :40], state=ours.new_state(12)).state
        hidden = ours(text[:, 40:], state=state).hidden
    right = scores(ours, text)[:, 40:]
    assert (ours.logits(hidden) - right).abs().max() < TOLERANCE
    shaken(theirs, names, 1e-3)
    with torch.no_grad(), rounded_alike(theirs, names, heard) as settled:
        state, got = theirs.new_state(12), []
        for first, last in ((0, 7), (7, 40), *((i, i + 1) for i in range(40, 64))):
            out = theirs(text[:, first:last], state=state)
            state, got = out.state, [*got, theirs.logits(out.hidden)]
        fell, before = settled.roundings, len(settled.roundings)
        theirs(text[:, :8])
    assert (torch.cat(got, 1)[:, 40:] - right).abs().max() < TOLERANCE
    assert 0 < before == len(fell)
    assert {each.at[1] for each in fell} <= set(range(64))
    assert max(each.at[1] for each in fell) > 7


@pytest.mark.parametrize(("apart", "counts"), [(0.0039, True), (0.0041, False)])
def test_how_far_apart_two_may_be(apart: float, counts: bool) -> None:
    """4e-3 steps, on one layer: 10.5 and a little here, 10.5 without it there."""
    ours, theirs = (nn.ModuleDict({"layer": TernaryLayer(4, 2)}) for _ in range(2))
    for parameter in (*ours.parameters(), *theirs.parameters()):
        nn.init.ones_(parameter)
    x = torch.tensor([[[127.0, 10.5 + apart / 2, -3.0, 40.2]]]) / 127
    there = torch.tensor([[[127.0, 10.5 - apart / 2, -3.0, 40.2]]]) / 127
    rules = [Rule("layer.weight", "layer.weight")]
    here, found, settled = both(ours, theirs, rules, lambda: ours["layer"](x), lambda: theirs["layer"](there))
    assert bool((here - found).abs().max() < 1e-6) == counts
    assert len(settled.roundings) == counts
    assert (settled.problem is None) == counts
    assert settled.farthest == pytest.approx(apart, rel=1e-2)


def test_an_activation_that_is_no_number_is_a_problem(pair: tuple[Network, Network, dict[str, str], Tensor]) -> None:
    ours, theirs, names, text = pair
    with listen(ours) as heard:
        scores(ours, text)
    with torch.no_grad():
        theirs.get_submodule("decoder.layers.0.sublayers.0.norm").weight[3] = torch.nan  # type: ignore[index, operator]
    with rounded_alike(theirs, names, heard) as settled:
        scores(theirs, text)
    assert settled.problem is not None


def negated(network: Network) -> None:
    with torch.no_grad():
        network.get_submodule("decoder.layers.1.sublayers.1.mixer.up").weight[3].neg_()  # type: ignore[union-attr, operator, index]


def one_channel_leads(network: Network) -> Any:
    """Let one channel be so much larger than the others that these are a step or less: as in models that were trained."""
    norm: Any = network.get_submodule("decoder.layers.0.sublayers.0.norm")
    with torch.no_grad():
        network.embedding.weight[:, 0] = 3
        norm.weight[0] = 20
    return norm


def norm_off_by_a_hundredth(network: Network) -> None:
    with torch.no_grad():
        network.get_submodule("decoder.layers.0.sublayers.0.norm").weight[1:] *= 1.01  # type: ignore[operator, index]


MUTANTS: dict[str, Callable[[Network], None]] = {
    "activations that are off by a tenth of a step": lambda network: shaken(network, ternary_layers(network), 0.1),
    "a layer off by three times what is allowed": lambda network: shaken(
        network, ["decoder.layers.0.sublayers.0.mixer.q"], 0.012
    ),
    "another weight": negated,
    "a norm of small numbers off by a hundredth": norm_off_by_a_hundredth,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_nothing_else_is_settled(mutant: str, pair: tuple[Network, Network, dict[str, str], Tensor]) -> None:
    ours, theirs, names, text = pair
    one_channel_leads(ours)
    one_channel_leads(theirs)
    with listen(ours) as heard:
        right = scores(ours, text)
    MUTANTS[mutant](theirs)
    with rounded_alike(theirs, names, heard) as settled:
        got = scores(theirs, text)
    assert settled.problem is not None or (got - right).abs().max() > 100 * TOLERANCE


# the certificate -------------------------------------------------------------------------------------------------------


def shaken_reader(monkeypatch: pytest.MonkeyPatch, steps: float) -> None:
    """Let transformers' sums be in an order of their own."""
    begin = ByTransformers.__init__

    def mutant(self: ByTransformers, folder: Path) -> None:
        begin(self, folder)
        shaken(self.model, [name for name, layer in self.model.named_modules() if type(layer).__name__ == "AutoBitLinear"], steps)

    monkeypatch.setattr(ByTransformers, "__init__", mutant)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    pytest.importorskip("accelerate")  # without which transformers opens no ternary model
    return run_of(tmp_path / "run", FAMILIES["bitnet"], bpe())


def line_of(found: Certificate, what: str) -> Line:
    [line] = [line for line in found.lines if line.what == what and line.reader.startswith("transformers")]
    return line


def test_the_certificate_names_the_activation(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the greedy texts that transformers writes otherwise."""
    monkeypatch.setattr(certify, "PROMPTS", tuple("abcdefghijklmnopqrstuvwxyz"))
    shaken_reader(monkeypatch, 3e-3)
    found = export_run(run, tmp_path / "hf")
    logits, stop = line_of(found, "logits").found, line_of(found, "stop").found
    assert "roundings of activations as here" in logits
    assert "decoder.layers." in logits
    assert float(logits.split()[2]) <= TOLERANCE
    assert "of 26 texts with activations rounded as here, as they fell greedy texts part after" in stop


def test_an_export_that_is_off_by_more_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shaken_reader(monkeypatch, 0.1)
    with pytest.raises(
        CertificateError, match=r"logits, read by transformers.*needed: at most 0\.0001; and an activation is \d+\.\d+ steps"
    ):
        export_run(run, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_greedy_texts_of_another_model_are_a_problem(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "hf")
    model, reader = read_run_model(run, "float32"), ByTransformers(tmp_path / "hf")
    with reader.quiet():
        assert certify.rounded_greedy_problem(model, reader, [1, 2, 3]) is None
        with torch.no_grad():
            reader.model.model.layers[1].mlp.up_proj.weight.neg_()
        assert certify.rounded_greedy_problem(model, reader, [1, 2, 3]) is not None
