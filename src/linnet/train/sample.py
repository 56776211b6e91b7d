"""What the model writes while it learns: a sample at each validation."""

from __future__ import annotations

from collections.abc import Callable

from linnet.generate.generate import generate
from linnet.generate.sampler import Sampling
from linnet.model.network import Network
from linnet.tokenizer.base import Tokenizer
from linnet.train.events import Sampled
from linnet.train.spec import RunSpec


def sampler(network: Network, tokenizer: Tokenizer, spec: RunSpec, context: int) -> Callable[[int], Sampled | None]:
    """A function of the step that lets the network write as it stands; it gives None where no sample was asked for."""
    asked = spec.sample

    def sample(step: int) -> Sampled | None:
        if asked.tokens == 0:
            return None
        [written] = generate(
            network,
            tokenizer,
            [asked.prompt],
            sampling=Sampling(temperature=asked.temperature),
            max_tokens=asked.tokens,
            seed=spec.seed,
            context_length=context,
            fresh_documents=spec.data.document_mask,
        )
        return Sampled(step, asked.prompt, written.text)

    return sample
