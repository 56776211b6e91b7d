"""What the model writes while it learns: a sample at each validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from linnet.data.pair_batches import PairReader
from linnet.data.prepared import Prepared
from linnet.generate.beam import Beam
from linnet.generate.fill import guesses, ids_to_fill
from linnet.generate.generate import generate
from linnet.generate.sampler import Sampling
from linnet.generate.translate import translate
from linnet.model.causal import sees_both_ways, writes
from linnet.model.network import Network
from linnet.model.spec import Model
from linnet.tokenizer.base import Tokenizer
from linnet.tokenizer.chat import Turn
from linnet.tokenizer.mask import mask_id
from linnet.train.events import Sampled
from linnet.train.spec import RunSpec


def sampler(network: Network, prepared: Prepared, spec: RunSpec, context: int) -> Callable[[int], Sampled | None]:
    """A function of the step that lets the network write as it stands; it gives None where no sample was asked for."""
    asked, tokenizer = spec.sample, prepared.tokenizer
    if network.encoder is not None:
        return translator(network, prepared, spec, context)
    if not writes(network):
        return filler(network, prepared, spec, context)
    prompt = opening(prepared, asked.prompt)
    template = prepared.spec.taught

    def sample(step: int) -> Sampled | None:
        if asked.tokens == 0:
            return None
        [written] = generate(
            network,
            tokenizer,
            [prompt],
            sampling=Sampling(temperature=asked.temperature),
            max_tokens=asked.tokens,
            stop_tokens=template.marks(tokenizer) if template is not None else (),
            seed=spec.seed,
            context_length=context,
            fresh_documents=spec.data.document_mask,
        )
        return Sampled(step, written.prompt, written.text)

    return sample


def translator(network: Network, prepared: Prepared, spec: RunSpec, context: int) -> Callable[[int], Sampled | None]:
    """The same for pairs: what it makes of the prompt as a source, greedily; of none, of the first source of the validation part."""
    asked, tokenizer = spec.sample, prepared.tokenizer
    source = asked.prompt or tokenizer.decode([int(token) for token in PairReader(prepared.validation).read(0)[0][:-1]])

    def sample(step: int) -> Sampled | None:
        if asked.tokens == 0:
            return None
        most = min(asked.tokens, context)
        [found] = translate(network, tokenizer, [source], beam=Beam(n_beams=1), max_tokens=most, context_length=context)
        return Sampled(step, f"{source} → ", found.text)

    return sample


def check_prompt(spec: RunSpec, model: Model, tokenizer: Tokenizer, context: int) -> None:
    """Raise LinnetError for a prompt that a model that sees both ways could not fill: one without a masked place, or too long."""
    if spec.sample.prompt and spec.sample.tokens and sees_both_ways(model):
        ids_to_fill(tokenizer, spec.sample.prompt, limit=context)


def filler(network: Network, prepared: Prepared, spec: RunSpec, context: int) -> Callable[[int], Sampled | None]:
    """The same for a model that sees both ways: what it says stands at the masked places of the prompt; with none, of the beginning of
    the validation part, every seventh token of it masked."""
    asked, tokenizer = spec.sample, prepared.tokenizer
    mask = mask_id(tokenizer)
    if asked.prompt:
        ids = ids_to_fill(tokenizer, asked.prompt, limit=context)
    else:
        stream = prepared.validation.streams[0]
        ids = [int(token) for token in stream.read(0, min(28, context, stream.tokens))]
        ids = [mask if place % 7 == 3 and token not in tokenizer.special.values() else token for place, token in enumerate(ids)]

    def sample(step: int) -> Sampled | None:
        if asked.tokens == 0:
            return None
        network.eval()
        with torch.no_grad():
            found = iter(guesses(network, tokenizer, ids, k=1))
        network.train()
        filled = [next(found)[0].token if token == mask else token for token in ids]
        return Sampled(step, f"{tokenizer.decode(ids)} → ", tokenizer.decode(filled))

    return sample


def opening(prepared: Prepared, prompt: str) -> str | list[int]:
    """What a sample goes on from. A model that is taught conversations alone is asked `prompt`; with none, what the first conversation
    of the validation part begins with, as far as something is learned: it never learns to begin one."""
    template = prepared.spec.taught
    if template is None or not all(stream.masks for stream in prepared.train.streams):
        return prompt
    if prompt:
        return template.render(prepared.tokenizer, [Turn("user", prompt)], reply=True).ids
    for stream in prepared.validation.streams:
        if stream.masks:
            start, stop = map(int, stream.starts[:2])
            first = int(np.argmax(stream.learned(start, stop)))
            return [int(token) for token in stream.read(start, start + first)]
    return prompt
