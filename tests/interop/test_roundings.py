"""Two programs that round a ternary model's activations: borders are settled, and nothing else is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from linnet.interop import certify
from linnet.interop.certificate import CertificateError
from linnet.interop.certify import TOLERANCE
from linnet.interop.exporting import export_run
from linnet.interop.readers import ByTransformers
from linnet.interop.roundings import BORDER, listen, rounded_alike, ternary_layers
from linnet.model.network import Network
from linnet.ops.ternary import LARGEST
from linnet.zoo import BitNet

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
    with rounded_alike(theirs, names, heard) as fell:
        got = scores(theirs, text)
    assert (got - right).abs().max() < TOLERANCE
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
    with torch.no_grad(), rounded_alike(theirs, names, heard) as fell:
        state, got = theirs.new_state(12), []
        for first, last in ((0, 7), (7, 40), *((i, i + 1) for i in range(40, 64))):
            out = theirs(text[:, first:last], state=state)
            state, got = out.state, [*got, theirs.logits(out.hidden)]
        before = len(fell)
        theirs(text[:, :8])
    assert (torch.cat(got, 1)[:, 40:] - right).abs().max() < TOLERANCE
    assert 0 < before == len(fell)
    assert {each.at[1] for each in fell} <= set(range(64))
    assert max(each.at[1] for each in fell) > 7


def negated(network: Network) -> None:
    with torch.no_grad():
        network.get_submodule("decoder.layers.1.sublayers.1.mixer.up").weight[3].neg_()  # type: ignore[union-attr, operator, index]


MUTANTS: dict[str, Callable[[Network], None]] = {
    "activations that are off by a tenth of a step": lambda network: shaken(network, ternary_layers(network), 0.1),
    "a layer off by three borders": lambda network: shaken(network, ["decoder.layers.0.sublayers.0.mixer.q"], 3 * BORDER),
    "another weight": negated,
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_nothing_else_is_settled(mutant: str, pair: tuple[Network, Network, dict[str, str], Tensor]) -> None:
    ours, theirs, names, text = pair
    with listen(ours) as heard:
        right = scores(ours, text)
    MUTANTS[mutant](theirs)
    with rounded_alike(theirs, names, heard):
        got = scores(theirs, text)
    assert (got - right).abs().max() > 100 * TOLERANCE


# the certificate -------------------------------------------------------------------------------------------------------


def shaken_reader(monkeypatch: pytest.MonkeyPatch, steps: float) -> None:
    """Let transformers' sums be in an order of their own."""
    begin = ByTransformers.__init__

    def mutant(self: ByTransformers, folder: Path) -> None:
        begin(self, folder)
        shaken(self.model, [name for name, layer in self.model.named_modules() if type(layer).__name__ == "AutoBitLinear"], steps)

    monkeypatch.setattr(ByTransformers, "__init__", mutant)


def run_of(folder: Path) -> Path:
    from test_exporting import FAMILIES, bpe
    from test_exporting import run_of as written

    return written(folder, FAMILIES["bitnet"], bpe())


def test_the_certificate_names_the_activation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    run = run_of(tmp_path / "run")
    shaken_reader(monkeypatch, 1e-3)
    found = export_run(run, tmp_path / "hf")
    [line] = [line for line in found.lines if line.what == "logits" and line.reader.startswith("transformers")]
    assert "activations at a border are rounded as here" in line.found
    assert "decoder.layers." in line.found
    assert float(line.found.split()[2]) <= TOLERANCE


def test_an_export_that_is_off_by_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    run = run_of(tmp_path / "run")
    shaken_reader(monkeypatch, 0.1)
    with pytest.raises(CertificateError, match=r"logits, read by transformers.*needed: at most 0\.0001"):
        export_run(run, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_greedy_texts_that_part_by_a_rounding_are_written_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With transformers' activations shaken, texts part; with borders settled they do not; and of another model they do."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from linnet.interop.exporting import read_run_model

    run = run_of(tmp_path / "run")
    export_run(run, tmp_path / "hf")
    model = read_run_model(run, "float32")
    reader = ByTransformers(tmp_path / "hf")
    layers = [name for name, layer in reader.model.named_modules() if type(layer).__name__ == "AutoBitLinear"]
    shaken(reader.model, layers, BORDER / 2)
    parted = 0
    with reader.quiet():
        for first in range(40):
            prompt = [first, first + 1, first + 2]
            [ours] = certify.greedy(model, model.network, [prompt], model.stops)
            theirs = reader.greedy(prompt, len(ours))
            if certify.greedy_problem(model, prompt, ours, theirs):
                parted += 1
                assert certify.rounded_greedy_problem(model, reader, prompt, ours, theirs) is None
        assert parted, "no text parted"
        with torch.no_grad():
            reader.model.model.layers[1].mlp.up_proj.weight.neg_()
        assert certify.rounded_greedy_problem(model, reader, prompt, ours, reader.greedy(prompt, len(ours)))
