"""Grafts: a trained model's attention becomes another mixer that begins as the same function, to be trained on.

    graft(model, "infini")      sentence → sentence, a pure function; nothing is built
    grafted(network, …)         network → network: its weights under the same names, and the gates beside them

infini (2404.07143): every `attention` becomes Infini-attention over segments of L tokens,

    y = (1 - g) · attention within the segment  +  g · memory          g = sigmoid(gate)

With the gate closed, g is below what float32 can add, and the graft is the original with attention that does not look
beyond its segment: the same logits for texts of at most one segment, the same ones as attention within segments for
longer ones. Closed gates are hardly reached by gradients (sigmoid' is g, too): to be trained they are opened a little.

Deliberately not carried: what Infini-attention has no word for. A scale of its own, ALiBi, attention that looks ahead, a norm
before the output, persistent tokens, and a window shorter than the segment are refused, all problems at once.
"""

from __future__ import annotations

import torch
from pydantic import Field

from linnet.core.errors import ConfigError, explain, listing
from linnet.core.names import nearest
from linnet.core.spec import Spec
from linnet.model.mixer.attention import Attention
from linnet.model.mixer.infini import Infini
from linnet.model.network import Network
from linnet.model.position import Alibi
from linnet.model.rewrite import rewritten
from linnet.model.spec import Model, Stack, Sublayer
from linnet.model.weights import model_tensors, restore_model
from linnet.ops.compressive_memory import Rule

CLOSED = -20.0  # sigmoid: 2e-9, of which float32 adds nothing to a number of the same size
AJAR = -2.0  # 12 %: gradients reach the gate


class InfiniGraft(Spec):
    """How attention becomes Infini-attention.

    segment   tokens that are read in full; None: the model's window, or the length that it was trained on
    gate      where gates start, see CLOSED and AJAR
    rule      how the memory is written
    """

    segment: int | None = Field(default=None, ge=1)
    gate: float = Field(default=CLOSED, ge=-1000, le=1000)
    rule: Rule = "delta"


GRAFTS = {"infini": InfiniGraft}


def graft(model: Model, name: str, how: InfiniGraft | None = None, *, context_length: int) -> Model:
    """The sentence with every `attention` of its decoder replaced. Raises ConfigError with all that cannot be carried.

    context_length   what the model was trained on; the segment, where neither `how` nor a window says one
    """
    if name not in GRAFTS:
        raise ConfigError(explain(f"graft {name!r} is not known", need="a graft", hint=nearest(name, GRAFTS)))
    how = how or InfiniGraft()
    found = attentions(model.decoder)
    if not found:
        kinds = sorted({str(getattr(sublayer.mixer, "kind", "?")) for sublayer in model.decoder.sublayers()})
        got = f"a model without attention (its layers: {', '.join(kinds)})"
        raise ConfigError(explain(got, need="a mixer of kind: attention", hint="a run of mistral, llama or mixtral"))
    segment = how.segment or min([context_length, *(spec.window for spec in found if spec.window is not None)])
    problems = list(dict.fromkeys(problem for spec in found for problem in cannot_carry(spec, segment)))
    if model.max_length is not None and model.max_length <= segment:
        problems.append(f"{model.max_length} learned positions; needed: more than segment = {segment}, or rope")
    if problems:
        raise ConfigError(listing(problems, f"this attention cannot become {name}"))

    def infini(part: Spec) -> Spec:
        if isinstance(part, Sublayer) and type(part.mixer) is Attention:
            return part.replace(mixer=as_infini(part.mixer, segment, how))
        return part

    return model.replace(decoder=rewritten(model.decoder, infini))


def attentions(stack: Stack) -> list[Attention]:
    """The plain attention in a stack, from first to last. Words that only resemble it (latent, cross …) are others."""
    return [sublayer.mixer for sublayer in stack.sublayers() if type(sublayer.mixer) is Attention]


def cannot_carry(spec: Attention, segment: int) -> list[str]:
    """What of an attention Infini-attention over segments of that length has no word for."""
    found = []
    if isinstance(spec.position, Alibi):
        found.append("position alibi; needed: rope or none, for the memory knows no distance")
    if not spec.causal:
        found.append("causal = false; needed: attention that looks back")
    if spec.scale is not None:
        found.append(f"scale = {spec.scale:g}; needed: 1 / √(width of a head), the default")
    if spec.writes_bias != spec.bias:
        found.append(f"bias = {spec.bias} with output_bias = {spec.output_bias}; needed: biases on all four matrices or on none")
    if spec.sub_norm is not None:
        found.append("sub_norm, a norm before the output's matrix; needed: none")
    if spec.persistent:
        found.append(f"persistent = {spec.persistent} learned tokens; needed: 0")
    if spec.window is not None and spec.window < segment:
        found.append(
            f"window = {spec.window} within segment = {segment}, which would see more than the model did; "
            f"needed: a segment of at most the window; try: --segment {spec.window}"
        )
    return found


def as_infini(spec: Attention, segment: int, how: InfiniGraft) -> Infini:
    """One attention as Infini-attention: heads, groups, positions, norms and biases as they are."""
    return Infini(
        n_heads=spec.n_heads,
        n_kv_heads=spec.n_kv_heads,
        d_head=spec.d_head,
        segment=segment,
        rule=how.rule,
        gate=how.gate,
        position=spec.position,
        qk_norm=spec.qk_norm,
        bias=spec.bias,
        linear=spec.linear,
    )


def grafted(network: Network, name: str, how: InfiniGraft | None = None, *, context_length: int) -> Network:
    """A new network with the grafted sentence and the network's own weights; only gates are new, each where `how` says.

    Raises ConfigError as `graft` does; a weight that finds no place, or a place that is no gate and finds no weight, raises
    CheckpointError.
    """
    how = how or InfiniGraft()
    spec = graft(network.spec, name, how, context_length=context_length)
    new = Network(spec, seed=None).to(network.device)
    kept = model_tensors(network)
    gates = {
        path: torch.full_like(tensor, how.gate)
        for path, tensor in model_tensors(new).items()
        if path.endswith(".mixer.gate") and path not in kept
    }
    restore_model(new, kept | gates)
    return new.train(network.training)
