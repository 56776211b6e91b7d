"""Whether an exported folder is the model that it was made from: every claim a line, with who read the folder and what was found.

    tokens       500 texts get the same ids, special tokens and random Unicode in them
    weights      every number, bit for bit, read back by linnet
    logits       max |Δ| on random tokens, read back by linnet and by transformers
    specials     every special token has its id and is found in a text
    template     three conversations are the same text, and the same ids
    stop         64 greedy tokens after three prompts end at the same place, and writing stops at the same ids

The folder is read back by those who will read it: linnet's own import always, the `tokenizers` library and `transformers` where they
are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from linnet.core.errors import LinnetError
from linnet.core.extras import has
from linnet.core.version import __version__
from linnet.data.prepared import open_prepared
from linnet.generate.beam import Beam, beam_search
from linnet.generate.generate import generate
from linnet.generate.sampler import Sampling
from linnet.interop.certificate import Certificate
from linnet.interop.chat_jinja import CONVERSATIONS, text_of
from linnet.interop.huggingface import spelt_out
from linnet.interop.importing import Found, read_import
from linnet.interop.roundings import both, listen, rounded_alike, ternary_layers, their_names
from linnet.interop.sample_texts import sample_texts
from linnet.interop.tensors import Progress
from linnet.model.causal import is_headless, writes
from linnet.model.network import Network
from linnet.model.weights import model_tensors

if TYPE_CHECKING:
    from linnet.interop.exporting import Model
    from linnet.interop.readers import ByTransformers

TOLERANCE = 1e-4  # of logits in float32: other orders of the same sums
N_GREEDY = 64
PROMPTS = ("Once upon a time", "The", "1 2 3")


def certify(model: Model, folder: Path, *, progress: Progress | None = None) -> Certificate:
    """Read an exported folder back, by everyone who is here, and compare it with the model."""
    tell = progress or (lambda what, done, total: None)
    certificate = Certificate(
        facts={"linnet": __version__, "torch": torch.__version__, "family": model.family.model_type, "dtype": model.dtype, "tolerance": TOLERANCE}
    )  # fmt: skip
    tell("comparing: linnet", 0, 3)
    by_linnet(certificate, model, folder)
    texts = sample_texts(model.tokenizer, validation_text(model))
    tell("comparing: tokenizers", 1, 3)
    read_by(certificate, "tokenizers", ("tokens", "specials"), lambda: by_tokenizers(certificate, model, texts, folder))
    tell("comparing: transformers", 2, 3)
    lines = ("tokens", "logits", "specials", "template", "stop")
    read_by(certificate, "transformers", lines, lambda: with_transformers(certificate, model, texts, folder))
    tell("comparing", 3, 3)
    return certificate


def read_by(certificate: Certificate, library: str, lines: Sequence[str], compare: Callable[[], None]) -> None:
    """Let a library read the folder and compare it. Where it is not here, `lines` are left; where it cannot read the folder, or fails
    at what the model is asked, that is a line by itself."""
    if not has(library):
        for what in lines:
            certificate.left(what, library, f"{library} is not installed")
        return
    try:
        compare()
    except Exception as error:
        certificate.add("reading", library, f"{library} cannot read the folder: {type(error).__name__}: {error}", "")


# ── linnet ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_linnet(certificate: Certificate, model: Model, folder: Path) -> None:
    """The round trip: what linnet imports of the folder is the model, exactly."""
    try:
        found = read_import(folder)
    except LinnetError as error:
        certificate.add("reading", "linnet", f"linnet cannot import the folder: {error}", "")
        return
    alike = found.foreign.tokenizer.fingerprint == model.tokenizer.fingerprint
    certificate.add("tokens", "linnet", None if alike else "another tokenizer", "the same tokenizer, by its fingerprint")
    certificate.add(
        "weights", "linnet", weights_problem(model, found), f"{len(model_tensors(model.network)):,} tensors, bit for bit"
    )
    ids = random_ids(model)
    got, expected = scores_of(found.network, ids), scores_of(model.network, ids)
    apart = float((got - expected).abs().max())
    certificate.add("logits", "linnet", None if apart == 0 else f"max |Δ| {apart:.3g}", "max |Δ| 0, exact")
    if model.dtype != "float32":
        rounding = float((expected - scores_of(model.asked, ids)).abs().max())
        certificate.facts[f"max |Δ logit| that {model.dtype} costs beside the run"] = f"{rounding:.3g}"
    special = (
        dict(found.foreign.tokenizer.special) == dict(model.tokenizer.special)
        and list(found.foreign.begin) == model.manifest.begin
    )
    certificate.add(
        "specials", "linnet", None if special else "other names, ids or beginning", f"{len(model.tokenizer.special):,} names"
    )
    if model.template is None:
        certificate.left("template", "linnet", "the model was taught no conversations", "does not apply")
    else:
        same = found.foreign.template == model.template
        certificate.add("template", "linnet", None if same else "another template", getattr(model.template, "kind", ""))
    marks = found.foreign.template.marks(found.foreign.tokenizer) if found.foreign.template is not None else ()
    stops = {found.foreign.tokenizer.end_id, *found.foreign.stop, *marks}
    if not writes(model.network):
        certificate.left("stop", "linnet", "the model sees both ways and writes nothing", "does not apply")
        return
    problem = None if stops == set(model.stops) else f"writing stops at {sorted(stops)}; needed: {sorted(model.stops)}"
    prompts = prompt_ids(model)
    ours, theirs = greedy(model, model.network, prompts, model.stops), greedy(model, found.network, prompts, sorted(stops))
    problem = problem or (None if ours == theirs else "greedy texts differ")
    certificate.add("stop", "linnet", problem, f"{sum(map(len, ours))} greedy tokens, stops {sorted(stops)}")


def weights_problem(model: Model, found: Found) -> str | None:
    """What differs between the model's weights and sentence and those read back; None where nothing does."""
    if spelt_out(found.spec) != spelt_out(model.network.spec):
        return "another sentence"
    ours, theirs = model_tensors(model.network), model_tensors(found.network)
    wrong = [name for name in ours if name not in theirs or not torch.equal(ours[name], theirs[name])]
    return f"{len(wrong)} tensors differ, {wrong[0]} the first" if wrong or ours.keys() != theirs.keys() else None


@torch.no_grad()
def scores_of(network: Network, ids: torch.Tensor, source: torch.Tensor | None = None) -> torch.Tensor:
    """Logits (B, T, V), or hidden states of a model without a head. A model with an encoder reads `source`, or else the same ids."""
    read = None if network.encoder is None else network.read(ids if source is None else source)
    hidden = network(ids, source=read).hidden
    return hidden if is_headless(network) else network.logits(hidden)


def random_ids(model: Model) -> torch.Tensor:
    """Some rows of random tokens."""
    length = max(1, min(N_GREEDY, model.manifest.context_length, model.network.spec.max_length or N_GREEDY))
    return torch.randint(0, model.network.spec.vocab_size, (3, length), generator=torch.Generator().manual_seed(0))


def prompt_ids(model: Model) -> list[list[int]]:
    """What the greedy texts go on from, so short that there is room."""
    room = max(1, model.manifest.context_length // 2)
    return [([*model.manifest.begin, *model.tokenizer.encode(text)] or [model.tokenizer.end_id])[:room] for text in PROMPTS]


def n_greedy(model: Model, prompt: Sequence[int]) -> int:
    return max(1, min(N_GREEDY, model.manifest.context_length - len(prompt)))


def greedy(model: Model, network: Network, prompts: Sequence[Sequence[int]], stops: Sequence[int]) -> list[list[int]]:
    """The likeliest tokens after each prompt, up to and with where it stops; of a translator, to each prompt as a source."""
    found = []
    for prompt in prompts:
        if network.encoder is not None:
            found.append(greedy_answer(model, network, prompt))
            continue
        written = generate(
            network,
            model.tokenizer,
            [list(prompt)],
            sampling=Sampling(temperature=0),
            max_tokens=n_greedy(model, prompt),
            stop_tokens=tuple(stops),
            context_length=model.manifest.context_length,
            fresh_documents=False,
        )
        found.append(list(written[0].tokens))
    return found


def greedy_answer(model: Model, network: Network, source: Sequence[int]) -> list[int]:
    """The likeliest tokens that a translator gives to a source: one beam. Its end token alone stops it."""
    end, most = model.tokenizer.end_id, n_greedy(model, source)
    with torch.inference_mode():
        read = network.read(torch.tensor([list(source)]))
    [found] = beam_search(network, torch.tensor([[end]]), Beam(n_beams=1), end_id=end, max_tokens=most, source=read)
    return list(found[0].tokens)


# ── tokenizers and transformers ─────────────────────────────────────────────────────────────────────────────────────


def by_tokenizers(certificate: Certificate, model: Model, texts: Sequence[str], folder: Path) -> None:
    """The `tokenizers` library's ids."""
    from linnet.interop.readers import ByTokenizers

    reader, tokenizer = ByTokenizers(folder), model.tokenizer
    problem = first_difference(texts, lambda text: tokenizer.encode(text, special="token"), reader.ids)
    problem = problem or first_difference(texts, tokenizer.encode, reader.ids_of_plain_text)
    certificate.add("tokens", "tokenizers", problem, f"{len(texts)} texts, with special tokens and as plain text")
    certificate.add("specials", "tokenizers", specials_problem(model, reader.specials()), f"{len(tokenizer.special):,} names")


def with_transformers(certificate: Certificate, model: Model, texts: Sequence[str], folder: Path) -> None:
    from linnet.interop.readers import ByTransformers

    reader = ByTransformers(folder)
    with reader.quiet():
        by_transformers(certificate, model, texts, reader)


def logits_found(model: Model, reader: ByTransformers, ids: Tensor) -> tuple[str | None, str]:
    """(what is wrong, what is right) of the logits of ids (B, T)."""
    beside, scores, found = model.family.beside(ids), scores_of(model.network, ids), ""
    apart = float((reader.scores(ids, **beside) - scores).abs().max())
    if not apart <= TOLERANCE and ternary_layers(model.network):  # NaN is not
        rules, as_it_fell = model.family.rules(model.network.spec), apart
        scores, theirs, settled = both(
            model.network, reader.model, rules, lambda: scores_of(model.network, ids), lambda: reader.scores(ids, **beside)
        )
        if settled.problem:
            return f"max |Δ| {apart:.3g}; needed: at most {TOLERANCE:g}; and {settled.problem}", ""
        apart = float((theirs - scores).abs().max())
        if settled.roundings:
            many, first = len(settled.roundings), settled.roundings[0]
            found = f" with {many} roundings of activations as here, {as_it_fell:.3g} as they fell ({first})"
    if apart <= TOLERANCE:
        return None, f"max |Δ| {apart:.3g} ≤ {TOLERANCE:g}{found}"
    return f"max |Δ| {apart:.3g}{found}; needed: at most {TOLERANCE:g}", ""


def by_transformers(certificate: Certificate, model: Model, texts: Sequence[str], reader: ByTransformers) -> None:
    """What `transformers` makes of the folder."""
    tokenizer, version = model.tokenizer, f"transformers {reader.version}"
    problem = first_difference(texts, lambda text: tokenizer.encode(text, special="token"), reader.ids)
    certificate.add("tokens", version, problem, f"{len(texts)} texts")
    ids = random_ids(model)
    certificate.add("logits", version, *logits_found(model, reader, ids))
    begins = reader.ids_as_given("x") == [*model.manifest.begin, *tokenizer.encode("x", special="token")]
    problem = specials_problem(model, reader.specials()) or (None if begins else "a text begins with other tokens")
    problem = problem or (
        None if reader.end == tokenizer.end_id else f"eos_token has the id {reader.end}; needed: {tokenizer.end_id}"
    )
    certificate.add("specials", version, problem, f"{len(tokenizer.special):,} names, and how a text begins")
    if model.template is None:
        certificate.left("template", version, "the model was taught no conversations", "does not apply")
    else:
        problem, found = template_problem(model, reader)
        certificate.add("template", version, problem, found)
    if not writes(model.network):
        certificate.left("stop", version, "the model sees both ways and writes nothing", "does not apply")
        return
    stops = reader.stops()
    problem = None if stops == set(model.stops) else f"writing stops at {sorted(stops)}; needed: {sorted(model.stops)}"
    prompts = prompt_ids(model)
    ours = greedy(model, model.network, prompts, model.stops)
    theirs = [reader.greedy(prompt, n_greedy(model, prompt)) for prompt in prompts]
    parted = []
    for prompt, a, b in zip(prompts, ours, theirs, strict=True):
        wrong = greedy_problem(model, prompt, a, b)
        if wrong and ternary_layers(model.network):
            parted.append(wrong)
            wrong = rounded_greedy_problem(model, reader, prompt)
        problem = problem or wrong
    said = f"; {len(parted)} of {len(prompts)} texts with activations rounded as here, as they fell {parted[0]}" if parted else ""
    certificate.add("stop", version, problem, f"{sum(map(len, ours))} greedy tokens, stops {sorted(stops)}{said}")


def greedy_problem(model: Model, prompt: Sequence[int], ours: Sequence[int], theirs: Sequence[int]) -> str | None:
    """Where two greedy texts part; None where they do not, or at a tie that sums in another order decide."""
    if list(ours) == list(theirs):
        return None
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    if place < min(len(ours), len(theirs)):
        if model.network.encoder is None:
            logits = scores_of(model.network, torch.tensor([[*prompt, *ours[:place]]]))[0, -1]
        else:
            begun = torch.tensor([[model.tokenizer.end_id, *ours[:place]]])
            logits = scores_of(model.network, begun, torch.tensor([list(prompt)]))[0, -1]
        if float((logits[ours[place]] - logits[theirs[place]]).abs()) <= 2 * TOLERANCE:
            return None
    return f"greedy texts part after {place} tokens: {list(ours[place : place + 3])} and {list(theirs[place : place + 3])}"


def rounded_greedy_problem(model: Model, reader: ByTransformers, prompt: Sequence[int]) -> str | None:
    """The same of a ternary model's texts, with activations rounded there, and where a tie is looked for, as here in writing."""
    network, rules = model.network, model.family.rules(model.network.spec)
    with listen(network) as heard:
        [ours] = greedy(model, network, [prompt], model.stops)
    with rounded_alike(reader.model, their_names(rules, heard), heard) as settled:
        theirs = reader.greedy(prompt, n_greedy(model, prompt))
    with rounded_alike(network, {name: name for name in heard}, heard):
        problem = greedy_problem(model, prompt, ours, theirs)
    if ours == theirs:  # else they are activations of other texts, from where these part
        problem = settled.problem
    return problem


def specials_problem(model: Model, found: dict[str, int]) -> str | None:
    """Which special token has another id, or none."""
    wrong = [
        f"{name!r} has the id {found.get(name)}; needed: {each}"
        for name, each in model.tokenizer.special.items()
        if found.get(name) != each
    ]
    return f"{len(wrong)} special tokens differ: {wrong[0]}" if wrong else None


def template_problem(model: Model, reader: ByTransformers) -> tuple[str | None, str]:
    """What differs in how conversations are written, and what was compared."""
    template, tokenizer, apart = model.template, model.tokenizer, 0
    assert template is not None
    for number, turns in enumerate(CONVERSATIONS, 1):
        expected = text_of(template, turns, end=tokenizer.end, reply=True)
        got = reader.conversation(turns)
        if got != expected:
            return f"conversation {number} is written {got!r}; needed: {expected!r}", ""
        ids = tokenizer.encode(expected, special="token")
        if reader.ids(expected) != ids:
            return f"conversation {number} has other ids", ""
        apart += template.render(tokenizer, turns, reply=True).ids != ids
    beside = f"; {apart} of them get other ids in linnet, which encodes turns one by one" if apart else ""
    return None, f"{len(CONVERSATIONS)} conversations, text and ids{beside}"


def first_difference(texts: Sequence[str], ours: Callable[[str], list[int]], theirs: Callable[[str], list[int]]) -> str | None:
    """The first text with other ids."""
    wrong = [text for text in texts if ours(text) != theirs(text)]
    if not wrong:
        return None
    shortest = min(wrong, key=len)
    return f"{len(wrong)} of {len(texts)} texts have other ids; {shortest[:60]!r} has {theirs(shortest)[:8]}; needed: {ours(shortest)[:8]}"


def validation_text(model: Model) -> str:
    """The run's validation text, where it is still there."""
    fingerprint = model.manifest.data
    folder = model.run / "data" / (fingerprint or "")
    if not fingerprint or not (folder / "index.json").is_file():
        return ""
    try:
        return open_prepared(folder, model.tokenizer).validation_text().decode("utf-8", "replace")
    except (LinnetError, OSError):
        return ""
