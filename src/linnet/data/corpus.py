"""Text and the tokenizer that is trained on it: the part of a run file that says which tokens there are.

data: {sources: [{kind: files, path: notes/}]}
tokenizer: {kind: bpe, vocab_size: 4096}
seed: 0
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from linnet.core.spec import Spec, dump
from linnet.data.engine import Engine
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared
from linnet.data.question import TokenizerLater, TokenizerTrainer
from linnet.data.spec import DataSpec
from linnet.data.workplace import Progress
from linnet.tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from linnet.tokenizer.spec import BPE, TokenizerFile, TokenizerSpec


class Corpus(Spec):
    """What decides a run's tokens.

    data        where text comes from, and how it is cleaned and split
    tokenizer   how text becomes ids
    seed        decides what generated sources say
    """

    data: DataSpec
    tokenizer: TokenizerSpec = BPE()
    seed: int = 0


def vocabulary_for(n_bytes: int) -> int:
    """A vocabulary for a corpus: the power of two nearest to √bytes, from 512 to 32,768."""
    size = 512
    while size < 32_768 and size * 1.5 < n_bytes**0.5:
        size *= 2
    return size


def prepare_corpus(
    corpus: Corpus, folder: Path, tell: Progress, *, engine: Engine = "auto", workers: int | None = None
) -> Prepared:
    """The corpus as tokens, under `folder`; found again when nothing that decides it has changed. See `prepare`.

    A tokenizer that is trained gets the special tokens that the template of the corpus's conversations needs.
    """
    chosen = corpus.tokenizer
    maker: Tokenizer | TokenizerTrainer | TokenizerLater
    if isinstance(chosen, TokenizerFile):
        content = chosen.content()
        maker = train_tokenizer(chosen, ()) if content is None else TokenizerLater(lambda: train_tokenizer(chosen, ()), content)
    else:
        template = corpus.data.template
        special = template.special_names() if template is not None else ()

        def train(texts: Iterable[str]) -> Tokenizer:
            spec = chosen
            if isinstance(spec, BPE) and spec.vocab_size is None:
                n_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)  # the texts can be read again
                spec = spec.replace(vocab_size=vocabulary_for(n_bytes))
            return train_tokenizer(spec, texts, special=special, progress=trained)

        def trained(stage: str, done: int, total: int | None) -> None:
            tell(None, f"training the tokenizer: {stage} {done:,}" + (f" of {total:,}" if total else ""))

        maker = TokenizerTrainer(train, load_tokenizer, json.dumps(dump(chosen), sort_keys=True))
    return prepare(corpus.data, maker, folder, seed=corpus.seed, progress=tell, engine=engine, workers=workers)
